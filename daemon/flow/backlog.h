/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_BACKLOG_H
#define TL_FLOW_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
#include "flow/batch.h"
#include "io/spool.h"

struct backlog;
struct loop;
struct record;
struct uuid;
struct write_failure;

/* What is acknowledged but not in PostgreSQL yet: records go into the spool here, and come
 * out of it in batches.  A row leaves the spool only when its own batch was committed. */

struct backlog_conf {
	struct spool_conf	spool;		/* borrowed for the call */
	struct batch_limits	batch;
	size_t			writers;	/* as many batches are read ahead, and two more */
};

/* Nothing is called from inside another call, but from backlog_done(). */
struct backlog_ops {
	/* What was put stands in the spool, under *id: its own, or that of the older one with
	 * its key; or, when why is not NULL, it does not. */
	void	(*kept)(void *owner, struct record *e, const struct uuid *id,
		    const struct err *why);
	/* A drained record was committed; it is freed afterwards. */
	void	(*drained)(void *owner, const struct record *e, const struct fate *fate);
	/* There may be something to drain. */
	void	(*changed)(void *owner);
};

struct backlog_state {
	struct spool_state	spool;
	size_t			unreadable;	/* rows that this version cannot read */
};

TL_MUST struct backlog	*backlog_new(struct loop *l, const struct backlog_conf *conf,
			    const struct backlog_ops *ops, void *owner, struct err *err);
/* What was put is in the spool then; fires nothing.  Accepts NULL. */
void	 backlog_free(struct backlog *bl);

/* e stays the caller's, as it is, until kept() is called.  false: ERR_RETRY, the spool does
 * not take it. */
TL_MUST bool backlog_put(struct backlog *bl, struct record *e, struct err *err);
/* That the spool has of what was put and not kept yet. */
size_t	 backlog_put_bytes(const struct backlog *bl);

/* The oldest batch that is due; NULL: none now. */
struct batch	*backlog_take(struct backlog *bl);
/* It was committed, or failed: then it is tried again, or parked. */
void	 backlog_done(struct backlog *bl, struct batch *take_batch,
	    const struct write_failure *why);
/* No further batch is given out: the daemon ends. */
void	 backlog_stop(struct backlog *bl);
/* Reads on while there is room for more. */
void	 backlog_read_ahead(struct backlog *bl);
/* Several times a second: looks for what was left behind, tells how full the spool is. */
void	 backlog_tick(struct backlog *bl);

void	 backlog_state(const struct backlog *bl, struct backlog_state *ret);
/* Sets the gauges. */
void	 backlog_measure(const struct backlog *bl);

#endif
