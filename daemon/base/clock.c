/* SPDX-License-Identifier: Apache-2.0 */
/* The time, which tests may set. */
#include "base/clock.h"

#include <time.h>

static int64_t set_us = -1;

static int64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	if (set_us >= 0)
		return set_us;
	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_now_us(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t
clock_mono_us(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

void
clock_set_us(int64_t at_us)
{
	set_us = at_us;
}
