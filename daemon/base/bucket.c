/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket, by which what comes too fast is told to wait. */
#include "base/bucket.h"

#include "base/clock.h"

void
bucket_init(struct bucket *b)
{
	*b = (struct bucket){ 1e18, clock_mono_us() };
}

static int64_t
round_up(double v)
{
	int64_t whole = (int64_t)v;

	return (double)whole < v ? whole + 1 : whole;
}

static void
fill(struct bucket *b, double rate)
{
	int64_t now_us = clock_mono_us();

	b->level += (double)(now_us - b->filled_us) / 1e6 * rate;
	b->filled_us = now_us;
	if (b->level > rate)
		b->level = rate;
}

bool
bucket_take(struct bucket *b, int64_t rate, uint64_t n, int64_t *ret_wait_s)
{
	double wanted = n < (uint64_t)rate ? (double)n : (double)rate;

	fill(b, (double)rate);
	if (b->level < wanted) {
		*ret_wait_s = round_up((wanted - b->level) / (double)rate);
		return false;
	}
	b->level -= (double)n;
	return true;
}
