/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_NORMALISE_H
#define TL_MODEL_NORMALISE_H

#include "base/arena.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/uuid.h"
#include "model/draft.h"
#include "model/interaction.h"

struct source;

/* Where an item came from: what the draft itself does not say. */
struct item_origin {
	struct uuid	 id;			/* given at acceptance */
	uint32_t	 index;			/* of the item in its request */
	struct str	 idempotency_key;	/* or none */
	struct str	 raw;			/* the item's bytes */
	struct str	 payload;		/* the same as JSON, or none */
	struct str	 content_type;
};

/* Draft -> interaction: the only place where texts become times, amounts, enums and
 * identities.  *ret points into the arena, the draft and the origin.
 * false: ERR_INPUT, naming the column; ERR_RETRY when memory is out. */
TL_MUST bool	normalise(const struct source *s, const struct draft *d,
		    const struct item_origin *o, struct arena *a, struct interaction *ret,
		    struct err *err);

#endif
