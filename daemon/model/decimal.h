/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_DECIMAL_H
#define TL_MODEL_DECIMAL_H

#include <stdint.h>

#include "base/checked.h"
#include "base/str.h"

/* numeric(18,4) as a count of ten-thousandths: -99999999999999.9999 up to that, positive.
 * Reads "12", "-0.5", "1.5e2", "19.95"; more than four decimals are rounded half
 * away from zero, as PostgreSQL does.  False: not a number, or out of range. */
TL_MUST bool decimal_parse(struct str s, int64_t *ret_e4);

#endif
