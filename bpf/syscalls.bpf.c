// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* System calls of the watched processes: every one counted; socket data, connections and what is written reported. */
#include "go.bpf.h"
#include "python.bpf.h"
#include "writes.bpf.h"
#include "syscall_nr.h"

#define IOV_MAX_SEEN \
	256 /* buffers of one readv/writev/sendmsg that are captured (Node writes three a stream); the rest counts as not captured */
#define WAITED_NS \
	1000000 /* a wait that was meant to wait; event loops also poll with no time at all */
#define PROT_EXEC 4
#define MSG_PEEK 2
#define EINTR 4
#define EAGAIN 11
#define ERESTARTSYS 512 /* to 516: the kernel's own restart codes */

struct iovec_user {
	const void *base;
	__u64 len;
};
struct msghdr_user {
	void *name;
	__u32 namelen;
	__u32 pad;
	const struct iovec_user *iov;
	__u64 iovlen;
};

#if defined(__TARGET_ARCH_x86)
/* the tracepoint's own pointer: plain loads, no helper calls */
#define ARG1(regs) ((regs)->di)
#define ARG2(regs) ((regs)->si)
#define ARG3(regs) ((regs)->dx)
#define ARG4(regs) ((regs)->r10)
#define ARG5(regs) ((regs)->r8)
#define ARG(regs, n) ARG##n(regs)
#define SYSCALL_NR(regs) ((long)(regs)->orig_ax)
#elif defined(__TARGET_ARCH_arm64)
#define ARG1(regs) ((regs)->orig_x0)
#define ARG2(regs) ((regs)->regs[1])
#define ARG3(regs) ((regs)->regs[2])
#define ARG4(regs) ((regs)->regs[3])
#define ARG5(regs) ((regs)->regs[4])
#define ARG(regs, n) ARG##n(regs)
#define SYSCALL_NR(regs) ((long)(regs)->syscallno)
#endif

/* A data call: where its bytes are. */
struct io {
	__u8 dir;
	__u8 vector;  /* p is an array of iovecs, len their number */
	__u8 message; /* p is a msghdr */
	__u8 peek;
	int fd;
	const void *p;
	__u64 len;
};

/* How a data call moves its bytes, by its number. In a table, for then the verifier follows one way and not one a call. */
enum {
	IO_MOVES = 1,
	IO_OUT = 2,
	IO_VECTOR = 4,
	IO_MESSAGE = 8,
	IO_FLAGS = 16,  /* in the fourth argument */
	IO_UNSEEN = 32, /* the bytes come from a file: counted, not captured */
};
#define IO_CALLS 512
static const __u8 io_calls[IO_CALLS] = {
	[NR_read] = IO_MOVES,
	[NR_recvfrom] = IO_MOVES | IO_FLAGS,
	[NR_readv] = IO_MOVES | IO_VECTOR,
	[NR_recvmsg] = IO_MOVES | IO_MESSAGE,
	[NR_write] = IO_MOVES | IO_OUT,
	[NR_sendto] = IO_MOVES | IO_OUT,
	[NR_pwrite64] = IO_MOVES | IO_OUT,
	[NR_writev] = IO_MOVES | IO_OUT | IO_VECTOR,
	[NR_pwritev] = IO_MOVES | IO_OUT | IO_VECTOR,
	[NR_pwritev2] = IO_MOVES | IO_OUT | IO_VECTOR,
	[NR_sendmsg] = IO_MOVES | IO_OUT | IO_MESSAGE,
	[NR_copy_file_range] = IO_MOVES | IO_OUT | IO_UNSEEN,
	[NR_sendfile] = IO_MOVES | IO_OUT | IO_UNSEEN,
};

/* False if nr moves no data through a descriptor. */
static __always_inline bool io_decode(struct pt_regs *regs, long nr, struct io *io)
{
	__u8 how = (__u64)nr < IO_CALLS ? io_calls[nr] : 0;

	io->fd = (int)(nr == NR_copy_file_range ? ARG(regs, 3) : ARG(regs, 1));
	io->p = how & IO_UNSEEN ? 0 : (const void *)ARG(regs, 2);
	io->len = how & IO_UNSEEN ? 0 : ARG(regs, 3);
	io->dir = how & IO_OUT ? DIR_OUT : DIR_IN;
	io->vector = (how & IO_VECTOR) != 0;
	io->message = (how & IO_MESSAGE) != 0;
	io->peek = io->dir == DIR_IN && ((how & IO_FLAGS && ARG(regs, 4) & MSG_PEEK) ||
	                                 (io->message && io->len & MSG_PEEK));
	return how & IO_MOVES;
}

int iov_send(struct slot *s, __u64 iov, __u64 iovlen, __u32 want);

/* What is left of an array of buffers. */
struct buffers {
	struct slot *slot;
	const struct iovec_user *iov;
	__u32 n;
	__u32 want;
};

static long buffer_send(__u32 i, struct buffers *b)
{
	struct iovec_user v;
	__u32 n;

	if (!b->want || bpf_probe_read_user(&v, sizeof(v), b->iov + i))
		return 1;
	n = v.len > b->want ? b->want : (__u32)v.len;
	b->want -= n;
	data_send(b->slot, (__u64)v.base, n, b->want && i + 1 < b->n);
	return 0;
}

/* At most want bytes of the buffers at user address iov. Like data_send, a function of its own to the verifier; by bpf_loop, or
 * each round is checked anew: that was most of loading. */
int iov_send(struct slot *s, __u64 iov, __u64 iovlen, __u32 want)
{
	struct buffers b = { .slot = s, .iov = (const struct iovec_user *)iov, .want = want };

	if (!s)
		return 0;
	b.n = iovlen > IOV_MAX_SEEN ? IOV_MAX_SEEN : (__u32)iovlen;
	bpf_loop(b.n, buffer_send, &b, 0);
	return 0;
}

/* The first want bytes of a finished call. */
static __always_inline void payload_send(struct slot *s, const struct io *io, __u32 want)
{
	struct msghdr_user m;

	if (io->message && want) {
		if (bpf_probe_read_user(&m, sizeof(m), io->p) == 0)
			iov_send(s, (__u64)m.iov, m.iovlen, want);
		else
			data_send(s, 0, 0, 0);
	} else if (io->vector && want) {
		iov_send(s, (__u64)io->p, io->len, want);
	} else {
		data_send(s, (__u64)io->p, io->p ? want : 0, 0);
	}
}

__u64 task_now(__u32 tgid);

/* python_task(), checked by the verifier once and not in every state it is called in: that is half of loading. */
__u64 task_now(__u32 tgid)
{
	return python_task(tgid);
}

/* Bytes of one operation to capture, where the loader wants less than CAPTURE_DEFAULT: by socket inode. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SOCKS_MAX);
	__type(key, __u64);
	__type(value, __u32);
} captures SEC(".maps");

/* Is a socket used inside a TLS call? The first one is the one it speaks through. */
static __always_inline bool tls_uses(struct tls_call *c, __u64 ino, int fd)
{
	if (!c->sp)
		return 0;
	if (!c->sock) {
		c->sock = ino;
		c->fd = fd;
	}
	return c->sock == ino;
}

/* One finished data call on a socket: a record or more. ret: bytes, 0 or -errno; g: the goroutine, where the thread has one. */
static __always_inline void socket_io(struct sock_ref *r, const struct io *io, int fd, long ret,
                                      struct thread_state *t, __u64 g)
{
	struct sock_state *st;
	struct slot *s;
	struct ev_data *d;
	__u32 want = 0, limit, *capture;
	bool in_tls;
	__u64 pos;

	/* of the same direction: Node writes to sockets inside SSL_read(), from its handshake callback */
	if (io->dir == DIR_IN)
		in_tls = tls_uses(&t->tls[DIR_IN], r->ino, fd);
	else
		in_tls = tls_uses(&t->tls[DIR_OUT], r->ino, fd);
	go_uses(t, g, io->dir, r->ino, fd);
	if (io->peek || ret == -EAGAIN || ret == -EINTR ||
	    (ret <= -ERESTARTSYS && ret >= -ERESTARTSYS - 4))
		return;
	if (r->kind != SOCK_STREAM && ret <= 0)
		return;
	st = sock_state(r);
	if (!st || st->ignored)
		return;
	pos = ret > 0 ? __sync_fetch_and_add(&st->moved[io->dir & 1], ret) : st->moved[io->dir & 1];
	s = slot_take();
	if (!s)
		return;
	d = (struct ev_data *)s->room;
	__builtin_memset(d, 0, sizeof(*d));
	header(&d->h, EV_DATA, t->enter_ns ? 0 : EVF_LATE, 0);
	if (in_tls)
		d->h.flags |= EVF_IN_TLS;
	d->start_ns = t->enter_ns ? t->enter_ns : d->h.ts_ns;
	d->sock = r->ino;
	d->tls = st->tgid == t->tgid ? st->tls : 0;
	d->task = task_now(t->tgid);
	d->fd = fd;
	d->dir = io->dir;
	d->pos = pos;
	if (ret > 0) {
		d->total = ret;
		capture = bpf_map_lookup_elem(&captures, &d->sock);
		limit = capture ? *capture : CAPTURE_DEFAULT;
		want = ret > limit ? limit : (__u32)ret;
	} else if (ret < 0) {
		d->err = (__u16)-ret;
	} else if (io->dir == DIR_IN && (io->len || io->message)) {
		d->h.flags |= EVF_EOF;
	}
	payload_send(s, io, want);
	slot_put(s);
}

/* A finished write to what is no socket, for file_written(). */
struct file_call {
	__u64 file; /* address of its struct file */
	__u64 enter_ns;
	__u64 n;
	struct io io;
	__u32 tgid;
	__u32 pad;
};

int file_written(struct file_call *c);

/* Its records. Like data_send, a function of its own to the verifier. */
int file_written(struct file_call *c)
{
	struct file_state *st;
	struct file *f;
	struct ev_data *d;
	struct slot *s;
	__u32 want;

	if (!c)
		return 0;
	f = (struct file *)c->file;
	want = file_want(f);
	st = want ? file_state(f, c->io.fd) : 0;
	s = st ? slot_take() : 0;
	if (!s)
		return 0;
	d = (struct ev_data *)s->room;
	__builtin_memset(d, 0, sizeof(*d));
	header(&d->h, EV_WRITE, c->enter_ns ? 0 : EVF_LATE, 0);
	d->start_ns = c->enter_ns ? c->enter_ns : d->h.ts_ns;
	file_key(f, &d->sock, &d->tls);
	d->task = task_now(c->tgid);
	d->fd = c->io.fd;
	d->dir = DIR_OUT;
	d->pos = __sync_fetch_and_add(&st->written, c->n);
	d->total = c->n;
	payload_send(s, &c->io, c->n > want ? want : (__u32)c->n);
	slot_put(s);
	return 0;
}

static __always_inline void file_report(struct file *f, const struct io *io, long ret,
                                        const struct thread_state *t)
{
	struct file_call c = {
		.file = (__u64)f, .enter_ns = t->enter_ns, .n = ret, .io = *io, .tgid = t->tgid
	};

	file_written(&c);
}

/* Bytes through something that is no socket: output and input count as having done something, wake-ups through event
 * and timer descriptors (no file type) do not. */
static __always_inline bool file_io(struct file *f, const struct io *io, long ret,
                                    struct thread_state *t)
{
	__u32 type;

	if (ret <= 0 || !f)
		return 0;
	type = BPF_CORE_READ(f, f_inode, i_mode) & S_IFMT;
	if (type != S_IFREG && type != S_IFIFO && type != S_IFCHR)
		return 0;
	if (io->dir == DIR_OUT) {
		t->written += ret;
		if (file_reported(type, io->fd))
			file_report(f, io, ret, t);
	}
	return 1;
}

static __always_inline void socket_opened(__u16 type, struct sock_ref *r, int fd, long ret,
                                          const struct thread_state *t, const void *addr,
                                          __u32 addrlen)
{
	struct slot *s = slot_take();
	struct ev_socket *e;
	__u32 path = 0;

	if (!s)
		return;
	e = socket_record(s, type, r, fd);
	e->start_ns = t->enter_ns ? t->enter_ns : e->h.ts_ns;
	e->ret = (__s32)ret;
	e->role = type == EV_CONNECT ? ROLE_CLIENT : ROLE_SERVER;
	/* a failed connect leaves no address behind: take it from the call */
	if (addr && r->family == AF_INET) {
		bpf_probe_read_user(&e->remote_port, 2, addr + 2);
		e->remote_port = __builtin_bswap16(e->remote_port);
		bpf_probe_read_user(e->remote, 4, addr + 4);
	} else if (addr && r->family == AF_INET6) {
		bpf_probe_read_user(&e->remote_port, 2, addr + 2);
		e->remote_port = __builtin_bswap16(e->remote_port);
		bpf_probe_read_user(e->remote, 16, addr + 8);
	} else if (addr && addrlen > 2 && addrlen <= UNIX_PATH_MAX + 2) {
		path = (addrlen - 2) & 127;
		if (bpf_probe_read_user(e->path, path, addr + 2))
			path = 0;
	} else if (r->family == AF_UNIX) {
		path = unix_path(r->sk, e->path);
	}
	e->h.size = sizeof(*e) + path;
	emit(e, sizeof(*e) + path);
	slot_put(s);
}

static __always_inline bool last_reference(struct file *f)
{
	struct file___count *old = (void *)f;

	if (bpf_core_field_exists(f->f_ref))
		return BPF_CORE_READ(f, f_ref.refcnt.counter) == 0; /* FILE_REF_ONEREF */
	if (bpf_core_field_exists(old->f_count))
		return BPF_CORE_READ(old, f_count.counter) == 1;
	return 0;
}

/* At entry, while the descriptor is still there. */
static __always_inline void socket_closing(int fd, const struct thread_state *t)
{
	struct sock_ref r = {};
	struct ev_close e = {};

	if (!sock_of_fd(fd, &r))
		return;
	header(&e.h, EV_CLOSE, last_reference(r.file) ? EVF_LAST : 0, sizeof(e));
	e.sock = r.ino;
	e.fd = fd;
	e.timed_out_ns = t->timed_out_ns;
	emit(&e, sizeof(e));
}

static __always_inline void file_mapped(struct pt_regs *regs, long ret)
{
	struct ev_mapped e = {};

	if (!(ARG(regs, 3) & PROT_EXEC) || (int)ARG(regs, 5) < 0 || (ret < 0 && ret > -4096))
		return;
	header(&e.h, EV_MAPPED, 0, sizeof(e));
	e.start = ret;
	emit(&e, sizeof(e));
}

SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_enter, struct pt_regs *regs, long nr)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct thread_state *t;

	if (!watched(id >> 32))
		return 0;
	t = thread_state((__u32)id, id >> 32);
	if (!t)
		return 0;
	t->enter_ns = t->last_ns = bpf_ktime_get_ns();
	if (nr == NR_close)
		socket_closing((int)ARG(regs, 1), t);
	return 0;
}

/* Everything about the call is still in the registers, so a call entered before we came is understood too. */
SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_exit, struct pt_regs *regs, long ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct thread_state *t;
	struct sock_ref r = {};
	struct io io = {};
	bool useful = 0;
	__u64 now;
	long nr;
	int fd;

	if (!watched(id >> 32))
		return 0;
	t = thread_state((__u32)id, id >> 32);
	if (!t)
		return 0;
	t->syscalls++;
	nr = SYSCALL_NR(regs);
	fd = (int)ARG(regs, 1);
	if (io_decode(regs, nr, &io)) {
		struct file *f = file_of_fd(io.fd);

		if (!sock_of_file(f, &r))
			useful = file_io(f, &io, ret, t);
		else if (r.family != AF_UNIX || r.kind == SOCK_STREAM)
			socket_io(&r, &io, fd, ret, t, GO_G(regs));
		/* Node.js gives its children pairs of sockets for their output */
		if (r.family == AF_UNIX && r.kind == SOCK_STREAM && io.dir == DIR_OUT && ret > 0 &&
		    file_reported(S_IFSOCK, io.fd))
			file_report(f, &io, ret, t);
	} else {
		switch (nr) {
		case NR_connect:
			if (sock_of_fd(fd, &r))
				socket_opened(EV_CONNECT, &r, fd, ret, t,
				              (const void *)ARG(regs, 2), (__u32)ARG(regs, 3));
			useful = ret == 0;
			break;
		case NR_accept:
		case NR_accept4:
			if (ret >= 0 && sock_of_fd((int)ret, &r))
				socket_opened(EV_ACCEPT, &r, (int)ret, 0, t, 0, 0);
			useful = ret >= 0;
			break;
		case NR_mmap:
			file_mapped(regs, ret);
			break;
		case NR_poll:
		case NR_ppoll:
		case NR_select:
		case NR_pselect6:
		case NR_epoll_wait:
		case NR_epoll_pwait:
			now = bpf_ktime_get_ns();
			if (ret == 0 && t->enter_ns && now - t->enter_ns >= WAITED_NS)
				t->timed_out_ns = now;
			break;
		case NR_wait4:
			useful = ret > 0;
			break;
		case NR_open:
		case NR_openat:
		case NR_pread64:
		case NR_fsync:
		case NR_fdatasync:
		case NR_rename:
		case NR_renameat2:
		case NR_unlink:
		case NR_unlinkat:
		case NR_getdents64:
		case NR_clone:
		case NR_clone3:
		case NR_execve:
			useful = ret >= 0;
			break;
		}
	}
	if (useful) {
		t->useful++;
		t->useful_ns = bpf_ktime_get_ns();
	}
	t->enter_ns = 0;
	return 0;
}
