/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_RECEIPT_H
#define TL_MODEL_RECEIPT_H

#include <stddef.h>

#include "base/uuid.h"

enum fate_kind {
	FATE_LOGGED,		/* committed */
	FATE_DUPLICATE,		/* it stood in the log already */
	FATE_PARKED,		/* kept among the parked */
	FATE_SPOOLED,		/* safe in the spool: it will be one of these */
	FATE_UNAVAILABLE,	/* nothing took it in time: the sender keeps it */
	FATE_NKINDS
};

struct fate {
	enum fate_kind	 kind;
	struct uuid	 id;	/* duplicate, parked, spooled: of the first one */
};

/* Embedded in the request of whoever submits.  It fires once, from the loop and
 * never before the submitting call returned, or is forgotten: never both. */
struct receipt {
	void		 (*fired)(struct receipt *r, const struct fate *fate);
	struct receipt	**held;		/* where intake keeps us; NULL: fired or not submitted */
};

/* Intake's side: remembers whom to tell. */
static inline void
receipt_hold(struct receipt **held, struct receipt *r)
{
	*held = r;
	if (r != NULL)
		r->held = held;
}

static inline void
receipt_fire(struct receipt **held, const struct fate *fate)
{
	struct receipt *r = *held;

	if (r == NULL)
		return;
	*held = NULL;
	r->held = NULL;
	r->fired(r, fate);
}

/* The submitter's side: the event goes its way, nobody waits for its fate. */
static inline void
receipt_forget(struct receipt *r)
{
	if (r->held != NULL)
		*r->held = NULL;
	r->held = NULL;
}

#endif
