/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_DEDUPE_H
#define TL_MODEL_DEDUPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"

struct source;

/* What may tell an event from its own retry, best first. */
struct dedupe_facts {
	struct str	 external_id;		/* or none */
	struct str	 idempotency_key;	/* of the whole request; or none */
	uint32_t	 index;			/* of the item in the request */
	struct str	 raw;			/* bytes of the item */
	bool		 has_own_time;		/* the event says when it occurred */
	struct uuid	 id;
};

/* First 16 bytes of SHA-256 over source, 0x1f and the best fact there is.  The
 * event's own id when there is none: *ret_none is then true. */
struct uuid	dedupe_key(const struct source *s, const struct dedupe_facts *f, bool *ret_none);
/* The key of bytes that could not be read at all: theirs. */
struct uuid	dedupe_body_key(const struct source *s, struct str raw);

#endif
