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

/* What a key is made of. */
enum dedupe_basis {
	DEDUPE_BY_EXTERNAL_ID, DEDUPE_BY_IDEMPOTENCY_KEY, DEDUPE_BY_BYTES,
	DEDUPE_BY_NOTHING,	/* it is the event's own id: a retry is a new event */
};

/* First 16 bytes of SHA-256 over source, 0x1f and the best fact there is; else the event's
 * own id. */
struct uuid	dedupe_key(const struct source *s, const struct dedupe_facts *f,
		    enum dedupe_basis *ret_basis);
/* The key of bytes that could not be read at all: theirs. */
struct uuid	dedupe_body_key(const struct source *s, struct str raw);

#endif
