/* SPDX-License-Identifier: BSD-2-Clause */
/* Log-linear histogram: values below 256 have a bucket each, above that 128 buckets share each power of two. */
#include "base/hist.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SUB_BITS 7 /* 128 buckets a doubling: half a bucket is 0.4 % of its value */
#define SUB (1u << SUB_BITS)

struct hist {
	uint64_t count, sum, min, max;
	uint64_t exact[HIST_EXACT]; /* sorted, the first values */
	uint64_t *buckets;          /* as many as the largest value needs: 59 KB at most */
	uint32_t nbuckets;
};

static uint32_t bucket_of(uint64_t us)
{
	uint32_t shift;

	if (us < 2 * SUB)
		return (uint32_t)us;
	shift = 63 - (uint32_t)__builtin_clzll(us) - SUB_BITS;
	return shift * SUB + (uint32_t)(us >> shift);
}

/* The middle of a bucket. */
static uint64_t value_of(uint32_t bucket)
{
	uint32_t shift;

	if (bucket < 2 * SUB)
		return bucket;
	shift = bucket / SUB - 1;
	return ((uint64_t)(SUB + bucket % SUB) << shift) + (1ull << shift) / 2;
}

static int grow(struct hist *h, uint32_t n)
{
	uint64_t *b;

	if (n <= h->nbuckets)
		return 0;
	b = realloc(h->buckets, n * sizeof(*b));
	if (!b)
		return -ENOMEM;
	memset(b + h->nbuckets, 0, (n - h->nbuckets) * sizeof(*b));
	h->buckets = b;
	h->nbuckets = n;
	return 0;
}

static void insert_exact(struct hist *h, uint64_t us)
{
	uint64_t i = h->count;

	for (; i > 0 && h->exact[i - 1] > us; i--)
		h->exact[i] = h->exact[i - 1];
	h->exact[i] = us;
}

int hist_add(struct hist *h, uint64_t us)
{
	uint32_t bucket = bucket_of(us);

	if (grow(h, bucket + 1) < 0)
		return -ENOMEM;
	h->buckets[bucket]++;
	if (h->count < HIST_EXACT)
		insert_exact(h, us);
	if (!h->count || us < h->min)
		h->min = us;
	if (us > h->max)
		h->max = us;
	h->count++;
	h->sum += us;
	return 0;
}

uint64_t hist_count(const struct hist *h)
{
	return h->count;
}

uint64_t hist_min(const struct hist *h)
{
	return h->min;
}

uint64_t hist_max(const struct hist *h)
{
	return h->max;
}

double hist_mean(const struct hist *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}

uint64_t hist_percentile(const struct hist *h, double p)
{
	uint64_t rank = (uint64_t)ceil(p / 100 * (double)h->count), seen = 0, v = 0;

	if (!h->count)
		return 0;
	if (rank <= 1)
		return h->min;
	if (rank >= h->count)
		return h->max;
	if (h->count <= HIST_EXACT)
		return h->exact[rank - 1];
	for (uint32_t i = 0; i < h->nbuckets; i++) {
		seen += h->buckets[i];
		if (seen >= rank) {
			v = value_of(i);
			break;
		}
	}
	return v < h->min ? h->min : v > h->max ? h->max : v;
}

struct hist *hist_new(void)
{
	return calloc(1, sizeof(struct hist));
}

void hist_free(struct hist *h)
{
	if (!h)
		return;
	free(h->buckets);
	free(h);
}
