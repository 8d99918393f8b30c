/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_CLOCK_H
#define TL_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds since 1970, UTC. */
int64_t	clock_now_us(void);
/* Microseconds of a clock that is never set; for measuring. */
int64_t	clock_mono_us(void);
/* For tests, and to try what was captured before: both clocks stand at this until it is
 * called with a negative value. */
void	clock_set_us(int64_t at_us);

#endif
