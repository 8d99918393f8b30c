/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_WRITER_H
#define TL_FLOW_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"

struct batch;
struct loop;
struct writer;

enum { WRITER_STALL_MS = 10000 };	/* a server that says nothing for so long is given up */

/* Why a batch was not committed; the transaction is rolled back, or its end is
 * unknown (ERR_UNCERTAIN): the same batch again is harmless either way. */
struct write_failure {
	struct err	err;		/* RETRY, INPUT, CONFIG or UNCERTAIN */
	char		sqlstate[6];	/* "": the connection was lost */
};

struct writer_ops {
	/* Gives the batch back.  why NULL: committed, and the fates are filled in.
	 * The writer is idle or down by then; writer_put() may be called. */
	void	(*done)(void *owner, struct batch *b, const struct write_failure *why);
	/* What was committed made rows of the outbox.  Nothing of the writer may be called. */
	void	(*enqueued)(void *owner);
	/* It became idle after a (re)connect, or went down. */
	void	(*changed)(void *owner);
};

struct writer_conf {
	const char	*conninfo;	/* borrowed */
	int64_t		 merge_limit;	/* customers in a component */
};

/* One connection, one batch at a time. */
TL_MUST struct writer	*writer_new(struct loop *l, const struct writer_conf *conf,
			    const struct writer_ops *ops, void *owner, struct err *err);
/* A batch in flight is given back to nobody: it is freed. */
void	 writer_free(struct writer *w);		/* accepts NULL */
bool	 writer_is_up(const struct writer *w);
bool	 writer_is_idle(const struct writer *w);	/* up, and without a batch */
/* Only while it is idle. */
void	 writer_put(struct writer *w, struct batch *take_batch);
/* The batch in flight, or NULL. */
struct batch *writer_batch(const struct writer *w);
/* How long its batch has been in one step; 0 without a batch, or when it is down. */
int64_t	 writer_step_ms(const struct writer *w);
/* Why it is down; NULL while it is up. */
const char *writer_why(const struct writer *w);

#endif
