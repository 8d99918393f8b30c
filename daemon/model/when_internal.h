/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_WHEN_INTERNAL_H
#define TL_MODEL_WHEN_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/str.h"

/* What reading times has in common, whatever their form: each cuts its part off the front
 * of *s, or leaves *s alone and returns false. */

struct date_time {
	int	year, month, day;
	int	hour, minute, second;	/* second 60: a leap second */
	int	us;
	int	offset_s;		/* of local time, east of UTC */
};

/* Microseconds since 1970.  false: no such time, or out of 1900..9999. */
TL_MUST bool when_to_us(const struct date_time *t, int64_t *ret_us);
bool	when_cut_char(struct str *s, const char *any_of);
/* min to max digits, as many as there are. */
bool	when_cut_number(struct str *s, size_t min, size_t max, int *ret);
/* The digits behind the point as millionths; what is finer is cut off. */
bool	when_cut_millionths(struct str *s, int *ret);
/* A word of the list, in either case; the list is in capitals and ends in NULL. */
bool	when_cut_name(struct str *s, const char *const *names, size_t *ret);
/* "+01:00", "+0100", "+01", "Z", "GMT", "EST", ...; seconds east of UTC. */
bool	when_cut_zone(struct str *s, int *ret_offset_s);

#endif
