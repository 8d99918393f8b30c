/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_BATCH_H
#define TL_FLOW_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/checked.h"
#include "flow/record.h"

enum batch_kind { BATCH_LOG, BATCH_PARK, BATCH_NKINDS };

/* How much goes into one transaction. */
struct batch_limits {
	size_t	events;
	size_t	bytes;
	size_t	mentions;
};

/* Events that share one transaction and so one fate, but for their freshness. */
struct batch {
	TAILQ_ENTRY(batch)	 in_queue;
	enum batch_kind		 kind;
	bool			 is_drain;	/* of the spool: no sender waits */
	struct record		**records;	/* ours, and each record too */
	size_t			 n;
	size_t			 room;
	size_t			 bytes;		/* of all records */
	size_t			 nmentions;	/* likewise */
	struct fate		*fates;		/* by record; the writer fills them in */
	unsigned		 failures;	/* equal ones in a row on a live connection */
	char			 sqlstate[6];	/* of the last failure */
	int64_t			 started_us;	/* clock_mono_us(), when a writer took it */
	int64_t			 not_before_us;	/* clock_mono_us(), of the next try */
};

TAILQ_HEAD(batch_queue, batch);

TL_MUST struct batch	*batch_new(enum batch_kind kind, size_t room);
/* Frees the records too, and fires nothing. */
void			 batch_free(struct batch *b);
void			 batch_add(struct batch *b, struct record *take_record);
/* Moves the second half to a new batch; NULL: memory is out, nothing changed.
 * n is at least 2. */
TL_MUST struct batch	*batch_halve(struct batch *b);
bool			 batch_has_room(const struct batch *b, const struct batch_limits *most);

#endif
