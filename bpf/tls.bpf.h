/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the programs at the edge of TLS code share: what TLS objects have moved, and how plaintext leaves. */
#ifndef WHYSTUCK_TLS_BPF_H
#define WHYSTUCK_TLS_BPF_H
#include "state.bpf.h"

struct tls_state {
	__u64 moved[2]; /* bytes by direction since it is followed */
	__u64 sock;     /* inode of the socket beneath it, where its memory tells; 0 unknown */
};

struct tls_states_map {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TLS_MAX);
	__type(key, struct tls_key);
	__type(value, struct tls_state);
};
extern struct tls_states_map tls_states SEC(".maps");

/* The entry of an object, made when missing. */
static __always_inline struct tls_state *tls_state(struct tls_key *key)
{
	struct tls_state *st = bpf_map_lookup_elem(&tls_states, key), fresh = {};

	if (st)
		return st;
	bpf_map_update_elem(&tls_states, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&tls_states, key);
}

static __always_inline __u8 tls_dir(__u64 which)
{
	return which == TLS_READ || which == TLS_READ_EX || which == TLS_READ_FLAGS ? DIR_IN
	                                                                            : DIR_OUT;
}

/* A call of a TLS function that moved bytes. */
struct tls_done {
	__u64 object;
	__u64 buf;      /* 0: the bytes are not to be had */
	__u64 n;        /* moved */
	__u64 start_ns; /* of the call, 0 unknown */
	__u64 sock;     /* inode of the socket used inside, 0 unknown */
	__s32 fd;
	__u32 dir;
};

/* Its records. Like data_send, a function of its own to the verifier. Returns 0. */
int tls_send(struct tls_done *c);

/* The object is no more, or another one has its address: EV_TLS_FREE. */
static __always_inline void tls_freed(struct tls_key *key, __u64 timed_out_ns)
{
	struct ev_close e = {};

	header(&e.h, EV_TLS_FREE, 0, sizeof(e));
	e.tls = key->tls;
	e.fd = -1;
	e.timed_out_ns = timed_out_ns;
	bpf_map_delete_elem(&tls_states, key);
	emit(&e, sizeof(e));
}

#endif
