/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_INTERACTION_H
#define TL_MODEL_INTERACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"
#include "model/dedupe.h"
#include "model/draft.h"
#include "model/identity.h"
#include "model/when.h"

struct source;

/* Days since 2000-01-01, as PostgreSQL's binary date; or for ever. */
enum { UNTIL_NEVER = INT32_MAX };

/* One person or firm taking part. */
struct party {
	struct str	 role;		/* none: the customer */
	struct mention	*mentions;	/* in look-up order */
	size_t		 nmentions;
	struct str	 profile;	/* JSON object of profile fields, or none */
};

/* One contact moment, normalised.  All strs are borrowed for the call. */
struct interaction {
	const struct source	*source;
	struct uuid		 id;
	struct uuid		 key;		/* dedupe key */
	int32_t			 until_day;	/* how long the key is remembered */
	enum dedupe_basis	 key_basis;
	int64_t			 received_us;
	int64_t			 occurred_us;
	struct str		 text[COL_NCOLUMNS];	/* the text columns; none: null */
	struct span		 duration, wait;
	int64_t			 amount_e4;
	int16_t			 score;
	bool			 has_duration, has_wait, has_amount, has_score;
	struct str		 attributes;	/* JSON object */
	struct party		*parties;	/* with at least one mention each */
	size_t			 nparties;
	bool			 has_customer;	/* parties[0] is the customer */
	struct str		 payload;	/* JSON for `document`, or none */
	struct str		 raw;		/* what came, for `parked` */
	struct str		 content_type;
};

#endif
