/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_CALENDAR_CONF_H
#define TL_FLOW_CALENDAR_CONF_H

#include <stddef.h>

#include "base/conf.h"
#include "base/str.h"

/* The setting `calendars`: when we are open. */

struct opening {			/* local time, half-open, within one day */
	int	weekday;		/* 1 is Monday */
	int	opens_min, closes_min;	/* of the day: 0 to 1440 */
	const struct conf_node *node;	/* that says so */
};

struct calendar_conf {
	struct str		 zone;
	const struct conf_node	*hours;
	struct conf_texts	 holidays;
	/* Set by calendar_conf_check(). */
	struct str		 name;
	struct opening		*openings;	/* sorted, the conf's */
	size_t			 nopenings;
};

extern const struct conf_key calendar_keys[];

/* Judges one and compiles its hours; sorts its holidays.  Complains. */
void	calendar_conf_check(struct conf *c, const struct conf_named *named);

#endif
