/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_IDENTITY_H
#define TL_MODEL_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/str.h"

/* Look-up order: a party's mentions are sorted by it. */
enum identity_rank {
	IDENTITY_EXTERNAL, IDENTITY_EMAIL, IDENTITY_PHONE, IDENTITY_SOCIAL, IDENTITY_ANONYMOUS,
	IDENTITY_NRANKS
};

extern const char *const identity_rank_names[IDENTITY_NRANKS + 1];	/* ended by NULL */

struct own_set;			/* our own addresses, domains and numbers */

/* How one source's identities are read. */
struct identity_rules {
	const struct own_set	*own;		/* borrowed; may be NULL */
	const char		*region;	/* ISO country for national numbers, or NULL */
	unsigned		 strong_ranks;	/* bit per enum identity_rank */
};

/* One way in which a party was named. */
struct mention {
	struct str		kind;		/* "email", "external:shop", ... */
	struct str		value;		/* normalised */
	struct str		alt;		/* the other spelling of that number, or none */
	struct str		raw;		/* as received; none when equal to value */
	enum identity_rank	rank;
	bool			is_strong_kind;	/* a role address is not */
};

enum identity_fate {
	IDENTITY_USED,
	IDENTITY_JUNK,			/* "null", all zeros, ...: dropped */
	IDENTITY_OWN,			/* ours: dropped */
	IDENTITY_UNREADABLE,		/* cannot be normalised: kept in attributes */
	IDENTITY_BAD_KIND,		/* no such kind, or one without its namespace */
};

enum { IDENTITY_MAX_BYTES = 512 };

/* The kind in small letters; false: no such kind, or one without its namespace. */
TL_MUST bool identity_read_kind(struct arena *a, struct str kind, struct str *ret_kind,
    enum identity_rank *ret_rank);

/* One spelling for each address and number (DESIGN section 5).  The strs of
 * *ret point into the arena, into `kind` or into `raw`.  *ret is set only with IDENTITY_USED. */
enum identity_fate identity_read(struct arena *a, const struct identity_rules *rules,
    struct str kind, struct str raw, struct mention *ret);

/* "@example.com", "someone@example.com", "+31201234567"; what is none of these is
 * reported by *ret_bad (index) and NULL is returned.  The set lives in the arena. */
struct own_set *own_set_new(struct arena *a, const struct str *texts, size_t n, size_t *ret_bad);

#endif
