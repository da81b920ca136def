// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Plaintext at the edge of the TLS library: entry of the hooked function remembers, return reports. Which function it is
 * comes as the attach cookie (enum tls_function). A call inside a call of the same direction (SSL_write_ex into SSL_write_ex2)
 * counts once: only the outermost, told by the stack pointer, which also outlives returns that never came (longjmp).
 */
#include "python.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TLS_MAX);
	__type(key, struct tls_key);
	__type(value, __u64[2]);
} tls_moved SEC(".maps");

/* Adds n to what the object has moved in a direction; returns what it was before. */
static __always_inline __u64 moved_add(struct tls_key *key, __u32 dir, __u64 n)
{
	__u64 none[2] = {}, *moved = bpf_map_lookup_elem(&tls_moved, key);

	if (!moved) {
		bpf_map_update_elem(&tls_moved, key, none, BPF_NOEXIST);
		moved = bpf_map_lookup_elem(&tls_moved, key);
	}
	return moved ? __sync_fetch_and_add(&moved[dir & 1], n) : 0;
}

static __always_inline __u8 tls_dir(__u64 which)
{
	return which == TLS_READ || which == TLS_READ_EX || which == TLS_READ_FLAGS ? DIR_IN
	                                                                            : DIR_OUT;
}

/* The object is no more, or another one has its address. */
static __always_inline void object_gone(const struct thread_state *t, __u64 object)
{
	struct tls_key key = { .tgid = t->tgid, .tls = object };
	struct ev_close e = {};

	header(&e.h, EV_TLS_FREE, 0, sizeof(e));
	e.tls = object;
	e.fd = -1;
	e.timed_out_ns = t->timed_out_ns;
	bpf_map_delete_elem(&tls_moved, &key);
	emit(&e, sizeof(e));
}

SEC("uprobe")
int tls_enter(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), sp = PT_REGS_SP(ctx),
	      which = bpf_get_attach_cookie(ctx);
	struct thread_state *t;
	struct tls_call *c;

	if (!watched(id >> 32))
		return 0;
	t = thread_state((__u32)id, id >> 32);
	if (!t)
		return 0;
	if (which == TLS_FREE) {
		object_gone(t, PT_REGS_PARM1(ctx));
		return 0;
	}
	c = &t->tls[tls_dir(which) & 1];
	if (c->sp && sp < c->sp)
		return 0;
	/* what is shown now is read, and counted, later */
	c->sp = which == TLS_READ_FLAGS && (PT_REGS_PARM4(ctx) & TLS_PEEK) ? 0 : sp;
	c->object = PT_REGS_PARM1(ctx);
	c->buf = PT_REGS_PARM2(ctx);
	c->len = PT_REGS_PARM3(ctx);
	/* two plain loads: the verifier refuses a context pointer chosen by a branch */
	c->out = PT_REGS_PARM4(ctx);
	barrier_var(ctx);
	if (which == TLS_WRITE_EX2)
		c->out = PT_REGS_PARM5(ctx);
	c->start_ns = bpf_ktime_get_ns();
	c->sock = 0;
	c->fd = -1;
	return 0;
}

SEC("uretprobe")
int tls_exit(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), sp = PT_REGS_SP(ctx),
	      which = bpf_get_attach_cookie(ctx), n = 0;
	struct tls_key key = { .tgid = id >> 32 };
	struct thread_state *t;
	struct tls_call *c;
	struct slot *s;
	struct ev_data *d;
	__u64 pos;
	__u8 dir;
	__s32 ret;

	if (!watched(id >> 32))
		return 0;
	t = thread_state((__u32)id, id >> 32);
	if (!t)
		return 0;
	if (which == TLS_NEW) {
		if (PT_REGS_RC(ctx))
			object_gone(t, PT_REGS_RC(ctx));
		return 0;
	}
	dir = tls_dir(which);
	c = &t->tls[dir & 1];
	if (!c->sp || sp < c->sp || sp > c->sp + 16)
		return 0;
	c->sp = 0;
	ret = (__s32)PT_REGS_RC(ctx);
	if (ret <= 0)
		return 0;
	if (which == TLS_READ || which == TLS_WRITE || which == TLS_READ_FLAGS)
		n = ret;
	else if (bpf_probe_read_user(&n, sizeof(n), (const void *)c->out))
		return 0;
	/* more than there was room for was not moved; GnuTLS is told to go on with what it has by no buffer */
	if (n == 0 || n > 0x7fffffff || (c->buf && n > c->len))
		return 0;
	key.tls = c->object;
	pos = moved_add(&key, dir, n);
	s = slot_take();
	if (!s)
		return 0;
	d = (struct ev_data *)s->room;
	__builtin_memset(d, 0, sizeof(*d));
	header(&d->h, EV_TLS, 0, 0);
	d->start_ns = c->start_ns;
	d->sock = c->sock;
	d->tls = c->object;
	d->task = python_task(
		id >> 32); /* the same as at the call's entry: a task does not change within it */
	d->fd = c->fd;
	d->dir = dir;
	d->pos = pos;
	d->total = n;
	data_send(s, c->buf, !c->buf ? 0 : n > CAPTURE_DEFAULT ? CAPTURE_DEFAULT : (__u32)n, 0);
	slot_put(s);
	return 0;
}
