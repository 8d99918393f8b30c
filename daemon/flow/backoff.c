/* SPDX-License-Identifier: Apache-2.0 */
/* When a delivery that failed is tried again. */
#include "flow/backoff.h"

enum { FIRST_MS = 1000, MOST_MS = 3600 * 1000, DOUBLINGS = 12 };

int64_t
backoff_ms(int nth, uint32_t random)
{
	int64_t ms = nth > DOUBLINGS ? MOST_MS : (int64_t)FIRST_MS << (nth > 1 ? nth - 1 : 0);

	return ms / 2 + (int64_t)(random % (uint32_t)(ms + 1));
}
