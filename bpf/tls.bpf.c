// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Plaintext at the edge of the TLS library: entry of the hooked function remembers, return reports. Which function it is
 * comes as the attach cookie (enum tls_function). A call inside a call of the same direction (SSL_write_ex into SSL_write_ex2)
 * counts once: only the outermost, told by the stack pointer, which also outlives returns that never came (longjmp).
 */
#include "python.bpf.h"
#include "tls.bpf.h"

struct tls_states_map tls_states SEC(".maps");

int tls_send(struct tls_done *c)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct tls_key key = { .tgid = id >> 32 };
	struct tls_state *st;
	struct ev_data *d;
	struct slot *s;
	__u64 pos = 0;

	if (!c || c->n == 0 || c->n > 0x7fffffff)
		return 0;
	key.tls = c->object;
	st = tls_state(&key);
	if (st)
		pos = __sync_fetch_and_add(&st->moved[c->dir & 1], c->n);
	s = slot_take();
	if (!s)
		return 0;
	d = (struct ev_data *)s->room;
	__builtin_memset(d, 0, sizeof(*d));
	header(&d->h, EV_TLS, c->start_ns ? 0 : EVF_LATE, 0);
	d->start_ns = c->start_ns ? c->start_ns : d->h.ts_ns;
	d->sock = c->sock;
	d->tls = c->object;
	d->task = python_task(
		id >> 32); /* the same as at the call's entry: a task does not change within it */
	d->fd = c->fd;
	d->dir = c->dir;
	d->pos = pos;
	d->total = c->n;
	data_send(s, c->buf,
	          !c->buf                  ? 0
	          : c->n > CAPTURE_DEFAULT ? CAPTURE_DEFAULT
	                                   : (__u32)c->n,
	          0);
	slot_put(s);
	return 0;
}

/* The server's name, as the program gives it to its TLS object. */
static __always_inline void tls_named(__u64 object, __u64 which, __u64 name, __u64 len)
{
	char room[sizeof(struct ev_tls_name) + TLS_HOST_NAME_MAX + 1]
		__attribute__((aligned(8))) = {};
	struct ev_tls_name *e = (void *)room;
	char *text = room + sizeof(*e);
	long n;

	if (which == TLS_HOST_CTRL) {
		n = bpf_probe_read_user_str(text, TLS_HOST_NAME_MAX + 1, (const void *)name) - 1;
	} else {
		n = len & TLS_HOST_NAME_MAX;
		if (len > TLS_HOST_NAME_MAX || bpf_probe_read_user(text, n, (const void *)name))
			return;
	}
	if (n <= 0 || n > TLS_HOST_NAME_MAX)
		return;
	n &= TLS_HOST_NAME_MAX;
	header(&e->h, EV_TLS_NAME, 0, sizeof(*e) + n);
	e->tls = object;
	emit(e, sizeof(*e) + n);
}

SEC("uprobe")
int tls_enter(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), sp = PT_REGS_SP(ctx),
	      which = bpf_get_attach_cookie(ctx);
	struct tls_key key = { .tgid = id >> 32 };
	struct thread_state *t;
	struct tls_call *c;

	if (!watched(id >> 32))
		return 0;
	t = thread_state((__u32)id, id >> 32);
	if (!t)
		return 0;
	if (which == TLS_FREE) {
		key.tls = PT_REGS_PARM1(ctx);
		tls_freed(&key, t->timed_out_ns);
		return 0;
	}
	if (which == TLS_HOST_CTRL) {
		if (PT_REGS_PARM2(ctx) == TLS_CTRL_HOST)
			tls_named(PT_REGS_PARM1(ctx), which, PT_REGS_PARM4(ctx), 0);
		return 0;
	}
	if (which == TLS_HOST) {
		tls_named(PT_REGS_PARM1(ctx), which, PT_REGS_PARM3(ctx), PT_REGS_PARM4(ctx));
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
	struct tls_done done = {};
	struct thread_state *t;
	struct tls_call *c;
	__u8 dir;
	__s32 ret;

	if (!watched(id >> 32))
		return 0;
	t = thread_state((__u32)id, id >> 32);
	if (!t)
		return 0;
	if (which == TLS_NEW) {
		key.tls = PT_REGS_RC(ctx);
		if (key.tls)
			tls_freed(&key, t->timed_out_ns);
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
	if (c->buf && n > c->len)
		return 0;
	done.object = c->object;
	done.buf = c->buf;
	done.n = n;
	done.start_ns = c->start_ns;
	done.sock = c->sock;
	done.fd = c->fd;
	done.dir = dir;
	tls_send(&done);
	return 0;
}
