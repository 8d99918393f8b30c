/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_RETRIES_H
#define TL_FLOW_RETRIES_H

#include <stdbool.h>

#include "base/checked.h"
#include "flow/batch.h"

struct write_failure;

/* Batches that failed and wait for their next try. */
struct retries {
	struct batch_queue	batches;
};

void	 retries_init(struct retries *r);
void	 retries_fini(struct retries *r);	/* frees the batches; fires nothing */
bool	 retries_are_empty(const struct retries *r);

/* Counts the failure, in the batch and for the metrics. */
void	 retries_note(struct batch *b, const struct write_failure *why);
/* Noted, it is tried again: after a pause, or halved at once.  false: PostgreSQL refuses
 * the only record in it; the batch stays the caller's. */
TL_MUST bool retries_take(struct retries *r, struct batch *take_batch,
	    const struct write_failure *why);
/* That record as a parking; the batch is freed.  NULL: it was one already, and nothing
 * else can be done with it; the batch stays the caller's. */
TL_MUST struct record *retries_refused(struct batch *take_batch,
	    const struct write_failure *why);
/* It lost records and is another batch now, of which nothing is known: at once. */
void	 retries_put_back(struct retries *r, struct batch *take_batch);
/* One whose time has come, or NULL. */
struct batch	*retries_next(struct retries *r);

#endif
