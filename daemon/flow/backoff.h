/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_BACKOFF_H
#define TL_FLOW_BACKOFF_H

#include <stdint.h>

/* How often a delivery is tried: twelve times within a bit more than an hour, then hourly, a day
 * in all. */
enum { BACKOFF_TRIES = 36 };

/* Milliseconds to wait after the nth attempt (from 1) has failed: 1 s, 2 s, 4 s, … up to an hour,
 * each between half of that and half as much again, so that what failed together does not come back
 * together.  random: any number. */
int64_t	backoff_ms(int nth, uint32_t random);

#endif
