/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_DRAFT_H
#define TL_MODEL_DRAFT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

/* What a document says of one contact, as text and not yet judged: filled by a mapping
 * or by the reader of canonical events, turned into an interaction by normalise. */

/* The columns of `interaction` that a sender may fill. */
enum column {
	COL_CHANNEL, COL_DIRECTION, COL_KIND, COL_EXTERNAL_ID, COL_THREAD, COL_AGENT,
	COL_SUBJECT, COL_BODY, COL_OUTCOME, COL_OCCURRED_AT, COL_DURATION, COL_WAIT,
	COL_AMOUNT, COL_CURRENCY, COL_SCORE, COL_CAMPAIGN, COL_BRAND,
	COL_NCOLUMNS
};

extern const char *const column_names[COL_NCOLUMNS + 1];	/* ended by NULL */
/* The fields of a party's profile that a sender may fill. */
extern const char *const profile_names[];			/* ended by NULL */

enum {
	DRAFT_MAX_IDENTITIES = 16,	/* of one party */
	DRAFT_MAX_FIELDS = 16,		/* of one party */
	DRAFT_MAX_PARTIES = 100,
	DRAFT_MAX_ATTRIBUTES = 256,
};

struct draft_identity {
	struct str	kind;		/* both as received */
	struct str	value;
	struct str	place;		/* where it stood, as written */
};

struct draft_field {
	struct str	name;		/* one member's name: a dot in it is just a dot */
	struct str	json;		/* its value as JSON text */
	struct str	place;		/* where it stood, as written; of an object all of them */
};

struct draft_party {
	struct str		role;		/* none: the customer */
	struct draft_identity	identities[DRAFT_MAX_IDENTITIES];
	size_t			nidentities;
	struct draft_field	fields[DRAFT_MAX_FIELDS];	/* the profile */
	size_t			nfields;
};

/* All strs are borrowed from the document or live in the arena. */
struct draft {
	struct arena		*arena;		/* the caller's, outlives us */
	struct str		 column[COL_NCOLUMNS];	/* text; .p NULL: not there */
	struct str		 place[COL_NCOLUMNS];	/* where it stood; none: under its own name */
	struct draft_party	*parties;	/* [0] is the customer, who is always there */
	size_t			 nparties;
	size_t			 room_parties;
	struct draft_field	*attributes;	/* a name given twice: the last one counts */
	size_t			 nattributes;
	size_t			 room_attributes;
};

/* Each fails with ERR_INPUT at its limit, or with ERR_RETRY when memory is out. */
TL_MUST bool draft_init(struct draft *d, struct arena *a, struct err *err);
/* *ret is good until the next party is added. */
TL_MUST bool draft_add_party(struct draft *d, struct str role, struct draft_party **ret,
    struct err *err);
TL_MUST bool draft_add_identity(struct draft_party *p, const struct draft_identity *id,
    struct err *err);
TL_MUST bool draft_add_field(struct draft_party *p, const struct draft_field *field,
    struct err *err);
TL_MUST bool draft_add_attribute(struct draft *d, const struct draft_field *field,
    struct err *err);

#endif
