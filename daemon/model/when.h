/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_WHEN_H
#define TL_MODEL_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/str.h"

/* What PostgreSQL keeps of an interval. */
struct span {
	int64_t	us;
	int32_t	days;
	int32_t	months;
};

/* RFC 3339, epoch seconds or milliseconds (1e11 or more is milliseconds; fractions are
 * allowed), or RFC 5322 ("Tue, 24 Nov 2026 18:00:00 +0100").  *ret_us: microseconds
 * since 1970, UTC, within the years 1900..9999. */
TL_MUST bool when_parse(struct str s, int64_t *ret_us);
/* Seconds ("35", "1.5") or ISO 8601 ("PT1M30S", "P1DT2H").  Never negative. */
TL_MUST bool when_parse_span(struct str s, struct span *ret);

#endif
