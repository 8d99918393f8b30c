/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_BUCKET_H
#define TL_BASE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checked.h"

/* A token bucket: so much a second, and at most one second's worth at once. */
struct bucket {
	double	level;		/* what it holds; below zero: a debt */
	int64_t	filled_us;	/* clock_mono_us() of the last filling */
};

/* Full, whatever the rate. */
void	bucket_init(struct bucket *b);
/* What is larger than a full bucket passes when the bucket is full, and leaves a debt: else
 * it could never pass.  false: nothing was taken, and it would pass in *ret_wait_s (at
 * least 1). */
TL_MUST bool bucket_take(struct bucket *b, int64_t rate, uint64_t n, int64_t *ret_wait_s);

#endif
