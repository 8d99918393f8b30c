/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_TIME_FORMAT_H
#define TL_MODEL_TIME_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

struct zone;

/* Times in a form that only their sender writes, told by a text like that of strptime(3):
 * "%d/%m/%Y %H:%M".  Names are English whatever the locale. */

enum { TIME_TEXT_BYTES = 32 };

/* ERR_CONFIG: a letter that is not known, or no date. */
TL_MUST bool	time_format_check(struct str format, struct err *err);
/* format was checked.  zone: of a time that does not tell its own; NULL: UTC. */
TL_MUST bool	time_format_read(struct str format, const struct zone *zone, struct str s,
		    int64_t *ret_us);
/* RFC 3339, UTC, for what time_format_read() gave. */
struct str	time_text(int64_t at_us, char out[TIME_TEXT_BYTES]);

#endif
