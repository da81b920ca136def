/* SPDX-License-Identifier: BSD-2-Clause */
/* Distributions: exact while small, within half a percent after. */
#include "test.h"

#include <stdbool.h>
#include <stdint.h>

#include "base/hist.h"

static bool near_to(uint64_t got, uint64_t want)
{
	uint64_t off = got > want ? got - want : want - got;

	return (double)off <= 0.005 * (double)want;
}

int main(void)
{
	struct hist *h = hist_new();
	uint64_t x = 1;
	bool close = true;

	TEST("an empty histogram answers 0");
	CHECK(hist_count(h) == 0 && hist_percentile(h, 50) == 0 && hist_mean(h) == 0 &&
	      hist_max(h) == 0);

	TEST("one value is every percentile, to the digit");
	hist_add(h, 12345);
	CHECK(hist_percentile(h, 0) == 12345 && hist_percentile(h, 50) == 12345 &&
	      hist_percentile(h, 100) == 12345);

	TEST("few values give the nearest rank");
	hist_add(h, 30001);
	hist_add(h, 20003);
	CHECK(hist_percentile(h, 50) == 20003 && hist_percentile(h, 33) == 12345 &&
	      hist_percentile(h, 95) == 30001);
	CHECK(hist_min(h) == 12345 && hist_max(h) == 30001 && hist_count(h) == 3);
	CHECK((uint64_t)(hist_mean(h) * 3 + 0.5) == 12345 + 30001 + 20003);
	hist_free(h);

	TEST("100,000 values of a line are within half a percent at every percentile");
	h = hist_new();
	for (uint64_t i = 1; i <= 100000; i++)
		hist_add(h, (i * 7919 % 100003) * 37);
	for (int p = 1; p < 100; p++)
		close &= near_to(hist_percentile(h, p), (uint64_t)p * 1000 * 37);
	CHECK(close);
	CHECK(hist_percentile(h, 100) == hist_max(h) && hist_percentile(h, 0) >= hist_min(h));
	hist_free(h);

	TEST("the same holds over all magnitudes, up to the largest number there is");
	close = true;
	for (int bit = 0; bit < 64; bit++) {
		h = hist_new();
		x = (1ull << bit) | (1ull << bit) / 3;
		for (int i = 0; i < 600; i++)
			hist_add(h, i < 10 ? 0 : i > 590 ? UINT64_MAX : x);
		close &= near_to(hist_percentile(h, 50), x);
		hist_free(h);
	}
	CHECK(close);
	hist_free(NULL);
	return DONE();
}
