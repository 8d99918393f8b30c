/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_UNIT_H
#define TL_MODEL_UNIT_H

#include "base/checked.h"
#include "base/str.h"

/* Numbers that senders count in a unit of their own, into seconds and amounts.
 * UNIT_CLOCK: 1:02:03, 02:03 or 02:03.5. */
enum unit { UNIT_MS, UNIT_US, UNIT_MIN, UNIT_CLOCK, UNIT_CENTS, UNIT_NUNITS };

extern const char *const unit_names[UNIT_NUNITS + 1];	/* ended by NULL */

enum { UNIT_TEXT_BYTES = 48 };

/* Exact, in decimal digits: "1250" ms is "1.25".  UNIT_CENTS: of that currency (ISO 4217,
 * whose minor units are 0 to 4 digits; unknown or none: 2).  *ret stands in out.
 * false: no number, or one with more than 18 digits. */
TL_MUST bool unit_convert(enum unit u, struct str currency, struct str s,
    char out[UNIT_TEXT_BYTES], struct str *ret);

#endif
