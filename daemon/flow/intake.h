/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_INTAKE_H
#define TL_FLOW_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
#include "io/spool.h"
#include "model/interaction.h"
#include "model/parking.h"
#include "model/receipt.h"

struct intake;
struct loop;
struct source_queue;

struct intake_conf {
	const char	*conninfo;		/* borrowed, outlives the intake */
	int64_t		 writers;		/* connections */
	int64_t		 batch_max;		/* events */
	int64_t		 batch_max_bytes;
	int64_t		 queue_max_bytes;	/* of all events that wait or are in flight */
	int64_t		 spool_after_ms;	/* how long an event may wait or hang */
	int64_t		 merge_limit;
};

struct intake_health {
	bool		 is_ready;	/* events can be acknowledged now, by either */
	const char	*database_why;	/* why not by the database, until the next call; or NULL */
	bool		 has_spool;	/* the rest is filled in */
	struct spool_state spool;
	size_t		 unreadable;	/* rows of it that this version cannot read */
};

/* The door: every interaction comes in here, and its receipt tells what became of it. */
TL_MUST struct intake	*intake_new(struct loop *l, const struct intake_conf *conf,
			    struct err *err);
/* What still waits is dropped without firing; nobody was acknowledged.  Accepts NULL. */
void	 intake_free(struct intake *in);
/* From now on the spool takes what the database does not.  Without it senders are told to
 * keep that. */
TL_MUST bool intake_open_spool(struct intake *in, const struct spool_conf *conf,
		    struct err *err);

/* The queue of a source, made at first use; see flow/source_queue.h. */
TL_MUST struct source_queue *intake_queue(struct intake *in, const char *source_name);

/* Copies what it is given.  true: r (which may be NULL) fires once, later.
 * false: ERR_RETRY, nothing takes events now; the sender keeps it. */
TL_MUST bool intake_submit(struct intake *in, struct source_queue *q,
		    const struct interaction *i, struct receipt *r, struct err *err);
TL_MUST bool intake_park(struct intake *in, struct source_queue *q, const struct parking *p,
		    struct receipt *r, struct err *err);

void	 intake_health(const struct intake *in, struct intake_health *ret);
/* For who watches over us.  False while all writers that are connected hang in the middle of
 * their work, which by themselves they do not for long, and when one does not give up a
 * server as it should.  A database that is away is no lack of progress. */
bool	 intake_makes_progress(const struct intake *in);
/* When the oldest event of the spool came in, about, and not later: clock_now_us(); 0: it has none.
 * false: it is not open yet. */
TL_MUST bool intake_oldest_spooled(const struct intake *in, int64_t *ret_us);
/* fn is called when a batch was committed that made rows of the outbox. */
void	 intake_tell_enqueued(struct intake *in, void (*fn)(void *arg), void *arg);
/* Sets the gauges. */
void	 intake_measure(struct intake *in);

/* The end of the program, step by step.  First: the spool is drained no further. */
void	 intake_stop_draining(struct intake *in);
/* Nothing waits or is in flight. */
bool	 intake_is_empty(const struct intake *in);
/* All that waits or is in flight goes to the spool.  true: it was asked, and receipts fire
 * as it answers; false: those that did not fire before have fired, FATE_UNAVAILABLE. */
bool	 intake_hand_over(struct intake *in);
/* Closes the spool, in which is then what it was asked to take, and fires every receipt
 * that is still held: FATE_UNAVAILABLE. */
void	 intake_give_up(struct intake *in);

#endif
