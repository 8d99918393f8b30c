/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_ZONE_H
#define TL_MODEL_ZONE_H

#include <stdint.h>

#include "base/checked.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/str.h"

/* A time zone of the IANA database: "Europe/Amsterdam". */
struct zone;

/* For as long as the conf lives.  ERR_CONFIG: no zone of that name is known. */
TL_MUST bool zone_open(struct conf *c, struct str name, const struct zone **ret, struct err *err);
/* How far east of UTC its clocks are at that local time, in seconds.  A local time that
 * comes twice is taken for the first of the two; one that is left out, for what the clock
 * would show had it not been put forward. */
TL_MUST bool zone_offset(const struct zone *z, int64_t local_s, int *ret_s);

#endif
