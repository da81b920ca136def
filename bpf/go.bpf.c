// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Plaintext of Go's crypto/tls: at the entry of (*Conn).Read and Write arguments are noted, at each of their RET
 * instructions the result is reported. Never at a return address: Go moves its stacks and walks them, and does not survive one
 * that is not its own. A call is known by its goroutine and how deep in its stack it is, never by its thread.
 */
#include "go.bpf.h"
#include "tls.bpf.h"

/* runtime.g begins with the bounds of its stack. */
struct go_stack {
	__u64 lo, hi;
};

/* False where g is no goroutine that runs on this stack. */
static __always_inline bool go_key(struct go_key *key, __u64 g, __u64 sp)
{
	struct go_stack stack;

	if (bpf_probe_read_user(&stack, sizeof(stack), (const void *)g) || sp <= stack.lo ||
	    sp >= stack.hi)
		return 0;
	key->g = g;
	key->depth = stack.hi - sp;
	key->tgid = bpf_get_current_pid_tgid() >> 32;
	return 1;
}

/* ---- the descriptor beneath a connection ---- */

/*
 * Go's description of a type from 1.17 on (internal/abi/type.go, before it reflect/type.go; seen with 1.19 and 1.24): what all
 * types have takes 48 bytes, with the kind at 23; then a pointer has what it points to, a struct its package's path and its
 * fields. A name is a byte of flags, its length, its characters.
 */
#define GO_KIND 23
#define GO_KIND_MASK 31
#define GO_POINTER 22
#define GO_STRUCT 25
#define GO_MORE 48
#define GO_NAME(n, chars) ((__u64)(n) | (__u64)(chars) << 8)
#define GO_FIELDS_MAX 64

struct go_struct {
	__u64 package, fields, nfields;
};
struct go_field {
	__u64 name, type, offset;
};

static __always_inline bool go_kind(__u64 type, __u8 kind)
{
	__u8 have = 0;

	return bpf_probe_read_user(&have, 1, (const void *)(type + GO_KIND)) == 0 &&
	       (have & GO_KIND_MASK) == kind;
}

/* What the pointer type points to, 0 if it is none. */
static __always_inline __u64 go_elem(__u64 type)
{
	__u64 elem = 0;

	if (!go_kind(type, GO_POINTER) ||
	    bpf_probe_read_user(&elem, sizeof(elem), (const void *)(type + GO_MORE)))
		return 0;
	return elem;
}

/* Is the name there that one, n characters long, n < 8? */
static __always_inline bool go_named(__u64 at, __u64 name, __u32 n)
{
	__u64 have = 0;

	return bpf_probe_read_user(&have, n + 1, (const void *)(at + 1)) == 0 && have == name;
}

/* Field i of the struct type, when it has that name. */
static __noinline bool go_field(__u64 type, __u32 i, __u64 name, struct go_field *f)
{
	struct go_struct s;

	if (!go_kind(type, GO_STRUCT) ||
	    bpf_probe_read_user(&s, sizeof(s), (const void *)(type + GO_MORE)) || i >= s.nfields ||
	    s.nfields > GO_FIELDS_MAX ||
	    bpf_probe_read_user(f, sizeof(*f), (const void *)(s.fields + i * sizeof(*f))))
		return 0;
	return go_named(f->name, name, name & 7);
}

static __always_inline bool go_in_package_net(__u64 type)
{
	__u64 package = 0;

	return bpf_probe_read_user(&package, sizeof(package), (const void *)(type + GO_MORE)) ==
	               0 &&
	       go_named(package, GO_NAME(3, 0x74656eull /* "net" */), 3);
}

/*
 * Is that the type of a *net.TCPConn or its like, whose first words lead to the descriptor? The program's own description
 * of its types says so, link by link; without that, nothing is read as one. Up to 1.18 offsets are kept doubled.
 */
#define GO_SYSFD 16
static __noinline bool go_has_descriptor(__u64 type)
{
	__u64 conn = go_elem(type);
	struct go_field f;

	if (!conn || !go_kind(conn, GO_STRUCT) || !go_in_package_net(conn) ||
	    !go_field(conn, 0, GO_NAME(4, 0x6e6e6f63ull /* "conn" */), &f) ||
	    !go_field(f.type, 0, GO_NAME(2, 0x6466ull /* "fd" */), &f) ||
	    !go_field(go_elem(f.type), 0, GO_NAME(3, 0x646670ull /* "pfd" */), &f) ||
	    !go_field(f.type, 1, GO_NAME(5, 0x6466737953ull /* "Sysfd" */), &f))
		return 0;
	return f.offset == GO_SYSFD || f.offset == 2 * GO_SYSFD;
}

/* tls.Conn begins with the net.Conn it speaks through: an interface, of a table whose second word is the type and a pointer. */
static __noinline bool go_socket(__u64 object, struct go_call *c)
{
	__u64 conn[2], type = 0, fd_at = 0;
	struct sock_ref r = {};
	struct sock_state *st;
	__s32 fd = -1;

	if (bpf_probe_read_user(conn, sizeof(conn), (const void *)object) ||
	    bpf_probe_read_user(&type, sizeof(type), (const void *)(conn[0] + 8)) ||
	    !go_has_descriptor(type) ||
	    bpf_probe_read_user(&fd_at, sizeof(fd_at), (const void *)conn[1]) ||
	    bpf_probe_read_user(&fd, sizeof(fd), (const void *)(fd_at + GO_SYSFD)) ||
	    !sock_of_fd(fd, &r))
		return 0;
	c->sock = r.ino;
	c->fd = fd;
	st = sock_state(&r);
	if (st) {
		st->tgid = bpf_get_current_pid_tgid() >> 32;
		st->tls = object;
	}
	return 1;
}

/* An object at the address of one whose socket was another: that one is gone. */
static __always_inline void go_reused(struct thread_state *t, __u64 object, __u64 sock)
{
	struct tls_key key = { .tls = object, .tgid = t->tgid };
	struct tls_state *st = tls_state(&key);

	if (!st)
		return;
	if (st->sock && st->sock != sock) {
		tls_freed(&key, t->timed_out_ns);
		st = tls_state(&key);
	}
	if (st)
		st->sock = sock;
}

/* ---- calls ---- */

static __always_inline void go_find_socket(struct thread_state *t, struct go_call *c)
{
	if (go_socket(c->object, c))
		go_reused(t, c->object, c->sock);
}

SEC("uprobe")
int go_enter(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), which = bpf_get_attach_cookie(ctx) & (TLS_KEPT - 1),
	      g = GO_G(ctx), sp = PT_REGS_SP(ctx);
	struct go_call c = { .object = GO_ARG1(ctx), .buf = GO_ARG2(ctx), .fd = -1 };
	struct thread_state *t;
	struct go_key key;

	if (!watched(id >> 32))
		return 0;
	t = thread_state((__u32)id, id >> 32);
	if (!t)
		return 0;
	if (which == TLS_FREE) {
		struct tls_key freed = { .tls = c.object, .tgid = id >> 32 };

		tls_freed(&freed, t->timed_out_ns);
		return 0;
	}
	if (!go_key(&key, g, sp))
		return 0;
	c.dir = tls_dir(which);
	go_find_socket(t, &c);
	c.start_ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&go_calls, &key, &c, BPF_ANY)) {
		struct losses *l = losses_now();

		if (l)
			__sync_fetch_and_add(&l->slots, 1);
		return 0;
	}
	t->go = key;
	if (c.sock)
		t->go.g = 0;
	return 0;
}

/* The arguments of a call whose entry was not seen, from where its function keeps them. False where n does not fit. */
static __always_inline bool go_kept(struct thread_state *t, struct go_call *c, __u64 sp, __u64 n)
{
	__u64 kept[3]; /* receiver, bytes, their number */

	if (bpf_probe_read_user(kept, sizeof(kept), (const void *)(sp + 8)) || n > kept[2])
		return 0;
	c->object = kept[0];
	c->buf = kept[1];
	go_find_socket(t, c);
	return 1;
}

SEC("uprobe")
int go_exit(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), cookie = bpf_get_attach_cookie(ctx),
	      which = cookie & (TLS_KEPT - 1), g = GO_G(ctx), sp = PT_REGS_SP(ctx),
	      n = GO_RESULT(ctx);
	struct go_call late = { .fd = -1 }, *c;
	struct tls_done done = {};
	struct thread_state *t;
	struct go_key key;

	if (!watched(id >> 32))
		return 0;
	t = thread_state((__u32)id, id >> 32);
	if (!t || !go_key(&key, g, sp))
		return 0;
	c = bpf_map_lookup_elem(&go_calls, &key);
	if (c)
		late = *c;
	bpf_map_delete_elem(&go_calls, &key);
	if ((__s64)n <= 0 || (!c && !(cookie & TLS_KEPT)) || (!c && !go_kept(t, &late, sp, n)))
		return 0;
	done.object = late.object;
	done.buf = late.buf;
	done.n = n;
	done.start_ns = late.start_ns;
	done.sock = late.sock;
	done.fd = late.fd;
	done.dir = tls_dir(which);
	tls_send(&done);
	return 0;
}
