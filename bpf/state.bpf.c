// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Maps and the few functions all kernel programs share. */
#include "go.bpf.h"
#include "python.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

volatile int ready = 0;

struct targets targets SEC(".maps");
struct slots slots SEC(".maps");
struct losses_map losses SEC(".maps");
struct events events SEC(".maps");

struct threads_map threads SEC(".maps");
struct pythons_map pythons SEC(".maps");
struct go_calls_map go_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SOCKS_MAX);
	__type(key, __u64);
	__type(value, struct sock_state);
} socks SEC(".maps");

static long slot_try(__u32 i, __u32 *number)
{
	__u32 k = (bpf_get_smp_processor_id() + i) % SLOTS_MAX;
	struct slot *s = bpf_map_lookup_elem(&slots, &k);

	if (!s || __sync_val_compare_and_swap(&s->taken, 0, 1) != 0)
		return 0;
	*number = k;
	return 1;
}

__u32 slot_number(void)
{
	__u32 k = SLOTS_MAX;
	struct losses *l;

	bpf_loop(SLOTS_MAX, slot_try, &k, 0);
	l = k == SLOTS_MAX ? losses_now() : 0;
	if (l)
		__sync_fetch_and_add(&l->slots, 1);
	return k;
}

__hidden struct thread_state *thread_state(__u32 tid, __u32 tgid)
{
	struct thread_state *t = bpf_map_lookup_elem(&threads, &tid);

	if (t)
		return t;
	struct thread_state fresh = { .tgid = tgid };

	bpf_map_update_elem(&threads, &tid, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&threads, &tid);
}

static __always_inline void socket_announce(struct sock_ref *r)
{
	struct slot *s = slot_take();
	struct ev_socket *e;
	__u32 path = 0;

	if (!s)
		return;
	e = socket_record(s, EV_SOCKET, r, -1);
	if (r->family == AF_UNIX)
		path = unix_path(r->sk, e->path);
	e->h.size = sizeof(*e) + path;
	emit(e, sizeof(*e) + path);
	slot_put(s);
}

__hidden struct sock_state *sock_state(struct sock_ref *r)
{
	__u64 ino = r->ino;
	struct sock_state *st = bpf_map_lookup_elem(&socks, &ino);

	if (st)
		return st;
	struct sock_state fresh = {};

	fresh.ignored = r->family == AF_UNIX && !unix_named(r->sk);
	bpf_map_update_elem(&socks, &ino, &fresh, BPF_NOEXIST);
	if (!fresh.ignored)
		socket_announce(r);
	return bpf_map_lookup_elem(&socks, &ino);
}

struct chunks {
	struct slot *slot;
	const char *p;
	__u32 n;
	__u32 off; /* of p in the operation */
	__u32 more;
};

static long chunk_send(__u32 i, struct chunks *c)
{
	struct ev_data *d = (struct ev_data *)c->slot->room;
	__u32 at = i * EVENT_DATA_MAX, n = c->n - at;

	if (i && at >= c->n)
		return 1;
	if (n > EVENT_DATA_MAX)
		n = EVENT_DATA_MAX;
	d->h.flags &= ~(EVF_MORE | EVF_FAULT);
	if (n && bpf_probe_read_user(d->data, n, c->p + at)) {
		struct losses *l = losses_now();

		if (l)
			__sync_fetch_and_add(&l->faults, 1);
		d->h.flags |= EVF_FAULT;
		n = 0;
	}
	if (at + EVENT_DATA_MAX < c->n || c->more)
		d->h.flags |= EVF_MORE;
	d->off = c->off + at;
	d->n = n;
	d->h.size = sizeof(*d) + n;
	emit(d, sizeof(*d) + n);
	return 0;
}

int data_send(struct slot *s, __u64 p, __u32 n, __u32 more)
{
	struct chunks c = { .slot = s, .p = (const char *)p, .n = n, .more = more };
	struct ev_data *d;

	if (!s) /* the verifier takes nothing from the callers */
		return 0;
	d = (struct ev_data *)s->room;
	c.off = d->off;

	bpf_loop(CAPTURE_CHUNKS, chunk_send, &c, 0);
	d->off = c.off + n;
	return 0;
}
