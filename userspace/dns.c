/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers read with every length checked, and a table of addresses in which the oldest of a bucket makes room. */
#include "dns.h"

#include <stdlib.h>

/* RFC 1035, 4.1.1 */
#define HEADER 12
#define FLAG_RESPONSE 0x8000
#define FLAG_TRUNCATED 0x0200
#define OPCODE_AND_RCODE 0x780f /* a standard query, no error: all zero */
/* 3.2.2, 3.2.4; RFC 3596, 2.1; RFC 6891, 6.1.1 */
#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28
#define TYPE_OPT 41
#define CLASS_IN 1

#define RECORDS_MAX 64 /* of one answer; a datagram of 4096 bytes holds no more than 250 */
#define JUMPS_MAX 32   /* pointers followed in one name: none needs more than a few */

/* 1024 addresses: a run talks to some ten. */
#define BUCKETS 128
#define BUCKET 8

struct entry {
	uint8_t addr[16];
	uint64_t used; /* 0 empty; counts answers */
	bool several;  /* answers for different names had it */
	char name[DNS_NAME_MAX];
};

struct dns {
	uint64_t answers;
	struct entry entry[BUCKETS][BUCKET];
};

struct dns *dns_new(void)
{
	return calloc(1, sizeof(struct dns));
}

void dns_free(struct dns *d)
{
	free(d);
}

static unsigned be16(struct bytes b, size_t at)
{
	return (unsigned)(uint8_t)b.p[at] << 8 | (uint8_t)b.p[at + 1];
}

/* A label's bytes, in lower case; false: too long, or not a host's name. */
static bool label_add(char *to, size_t *n, struct bytes label)
{
	if (*n + label.n + 2 > DNS_NAME_MAX)
		return false;
	if (*n)
		to[(*n)++] = '.';
	for (size_t i = 0; i < label.n; i++) {
		char c = label.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c + 32);
		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_')
			return false;
		to[(*n)++] = c;
	}
	return true;
}

/* Reads the name at *at, which then lies behind it. to NULL: only passes over it. False: it does not fit into b, or is none
 * that can be shown. */
static bool name_read(struct bytes b, size_t *at, char *to)
{
	size_t i = *at, n = 0;

	for (unsigned jumps = 0;;) {
		unsigned len;

		if (i >= b.n)
			return false;
		len = (uint8_t)b.p[i];
		if ((len & 0xc0) == 0xc0) { /* 4.1.4: the rest stands elsewhere, earlier */
			if (i + 2 > b.n || ++jumps > JUMPS_MAX)
				return false;
			if (jumps == 1)
				*at = i + 2;
			if (!to)
				return true;
			i = be16(b, i) & 0x3fff;
			continue;
		}
		if (len & 0xc0 || i + 1 + len > b.n)
			return false;
		if (len == 0) {
			if (!jumps)
				*at = i + 1;
			if (to)
				to[n] = '\0';
			return !to || n;
		}
		if (to && !label_add(to, &n, (struct bytes){ b.p + i + 1, len }))
			return false;
		i += 1 + len;
	}
}

struct answer {
	char name[DNS_NAME_MAX];
	unsigned n;
	bool options; /* bytes that are no name and no address came along (RFC 6891) */
	uint8_t addr[RECORDS_MAX][16];
};

static bool record_read(struct bytes b, size_t *at, struct answer *a)
{
	unsigned type, len;
	uint8_t *to;

	if (!name_read(b, at, NULL) || b.n - *at < 10)
		return false;
	type = be16(b, *at);
	len = be16(b, *at + 8);
	if (type != TYPE_OPT && be16(b, *at + 2) != CLASS_IN)
		return false;
	*at += 10;
	if (b.n - *at < len)
		return false;
	to = a->addr[a->n];
	if (type == TYPE_A && len == 4) { /* RFC 4291, 2.5.5.2 */
		memset(to, 0, 10);
		to[10] = to[11] = 0xff;
		memcpy(to + 12, b.p + *at, 4);
		a->n++;
	} else if (type == TYPE_AAAA && len == 16) {
		memcpy(to, b.p + *at, 16);
		a->n++;
	} else if (type != TYPE_CNAME && type != TYPE_OPT) {
		return false;
	}
	a->options |= type == TYPE_OPT && len;
	*at += len;
	return true;
}

static bool answer_read(struct bytes b, struct answer *a)
{
	unsigned flags, records;
	size_t at = HEADER;

	a->n = 0;
	a->options = false;
	if (b.n < HEADER)
		return false;
	flags = be16(b, 2);
	records = be16(b, 6) + be16(b, 8) + be16(b, 10);
	if (!(flags & FLAG_RESPONSE) || flags & (FLAG_TRUNCATED | OPCODE_AND_RCODE) ||
	    be16(b, 4) != 1 || records > RECORDS_MAX)
		return false;
	if (!name_read(b, &at, a->name) || b.n - at < 4)
		return false;
	if ((be16(b, at) != TYPE_A && be16(b, at) != TYPE_AAAA) || be16(b, at + 2) != CLASS_IN)
		return false;
	at += 4;
	for (; records; records--)
		if (!record_read(b, &at, a))
			return false;
	return at == b.n;
}

static size_t bucket_of(const uint8_t *addr)
{
	return bytes_hash(0, (struct bytes){ (const char *)addr, 16 }) % BUCKETS;
}

static void keep(struct dns *d, const uint8_t *addr, const char *name)
{
	struct entry *bucket = d->entry[bucket_of(addr)], *e = bucket;

	for (size_t i = 0; i < BUCKET; i++) {
		if (bucket[i].used && memcmp(bucket[i].addr, addr, 16) == 0) {
			bucket[i].several |= strcmp(bucket[i].name, name) != 0;
			bucket[i].used = d->answers;
			return;
		}
		if (bucket[i].used < e->used)
			e = &bucket[i];
	}
	*e = (struct entry){ .used = d->answers };
	memcpy(e->addr, addr, 16);
	memcpy(e->name, name, strlen(name) + 1);
}

bool dns_answer(struct dns *d, struct bytes b)
{
	struct answer a;

	if (!answer_read(b, &a))
		return false;
	d->answers++;
	for (unsigned i = 0; i < a.n; i++)
		keep(d, a.addr[i], a.name);
	return true;
}

bool dns_is_answer(struct bytes b)
{
	struct answer a;

	return answer_read(b, &a) && !a.options;
}

const char *dns_name(const struct dns *d, const uint8_t addr[static 16])
{
	const struct entry *bucket = d->entry[bucket_of(addr)];

	for (size_t i = 0; i < BUCKET; i++)
		if (bucket[i].used && memcmp(bucket[i].addr, addr, 16) == 0)
			return bucket[i].several ? NULL : bucket[i].name;
	return NULL;
}
