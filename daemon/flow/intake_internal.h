/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_INTAKE_INTERNAL_H
#define TL_FLOW_INTAKE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
#include "flow/backlog.h"
#include "flow/batch.h"
#include "flow/intake.h"
#include "flow/record.h"
#include "flow/retries.h"
#include "flow/source_queue.h"

/* Between the files of the intake only. */

enum { INTAKE_MAX_WRITERS = 16 };

struct intake {
	struct intake_conf	 conf;
	struct batch_limits	 limits;	/* of a batch */
	struct loop		*loop;
	struct event		*pump;		/* ours: fills idle writers at the turn's end */
	struct event		*tick;		/* ours: deadlines and gauges */
	struct writer		*writers[INTAKE_MAX_WRITERS];	/* ours */
	struct source_queues	 queues;
	struct record_queue	 parkings;
	struct record_queue	 aside;		/* the spool is to answer; in no batch */
	struct retries		 retries;	/* whole batches, tried before new ones */
	struct backlog		*backlog;	/* ours: the spool; NULL: there is none */
	size_t			 bytes;		/* of all events we own, but the backlog's */
	int64_t			 came_us;	/* clock_mono_us() when an event last came in */
	bool			 drained_last;	/* the last batch given out came from the spool */
	bool			 hands_over;	/* everything goes to the spool: the daemon ends */
	int64_t			 down_us;	/* clock_mono_us(), since no writer is up; 0 */
	struct err		 trouble;	/* why batches fail again and again */
	int64_t			 trouble_us;	/* clock_mono_us() of it; 0: there is none */
	int64_t			 stuck_us;	/* clock_mono_us() of the first failure since a COMMIT; 0 */
	void			(*enqueued)(void *arg);	/* or NULL */
	void			*enqueued_arg;
	struct metric		*batch_events, *ack;	/* the table's */
};

/* ---- intake.c ---- */

/* The writers are filled at the end of this turn of the loop. */
void	 intake_wake(struct intake *in);

/* ---- intake_writers.c: what they get, and what they say ---- */

TL_MUST bool intake_start_writers(struct intake *in, struct err *err);
/* clock_mono_us(): who came before that has waited longer than spool_after. */
int64_t	 intake_deadline_us(const struct intake *in);
/* For longer than a sender waits nothing could be expected of the database. */
bool	 intake_is_away(const struct intake *in);
/* Why it takes nothing; NULL: it does. */
const char *intake_database_why(const struct intake *in);
/* That have a batch of the spool. */
size_t	 intake_ndraining(const struct intake *in);
void	 intake_fill_writers(struct intake *in);

/* ---- intake_fate.c: how an event ends; the way into the spool ---- */

extern const struct backlog_ops intake_backlog_ops;

/* Tells the submitter, once; the event stays ours. */
void	 intake_tell(struct intake *in, struct record *e, const struct fate *fate);
/* Its sender is to keep it. */
void	 intake_give_up_on(struct intake *in, struct record *e);
/* It has left its batch: it is dropped, or stays aside while the spool is to answer. */
void	 intake_let_go(struct intake *in, struct record *e);
void	 intake_drop_batch(struct intake *in, struct batch *b);
/* What finds the spool busy waits where it is; without a spool it does not have to. */
bool	 intake_may_hand_over(const struct intake *in);
/* Asks the spool to take it; it stays ours.  false: ERR_RETRY, it does not. */
TL_MUST bool intake_put(struct intake *in, struct record *e, struct err *err);
/* It was put, and is in no queue and no batch. */
void	 intake_put_aside(struct intake *in, struct record *e);
/* Who has waited since before that time waits no longer. */
void	 intake_sweep(struct intake *in, int64_t before_us);

#endif
