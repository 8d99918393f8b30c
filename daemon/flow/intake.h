/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_INTAKE_H
#define TL_FLOW_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
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

struct source_counts {
	uint64_t	logged, duplicates, parked, unavailable;
	int64_t		last_success_us;	/* clock_now_us() of a commit or parking; 0: never */
	size_t		waiting;		/* events */
};

/* The door: every interaction comes in here, and its receipt tells what became of it. */
TL_MUST struct intake	*intake_new(struct loop *l, const struct intake_conf *conf,
			    struct err *err);
/* What still waits is dropped without firing; nobody was acknowledged.  Accepts NULL. */
void	 intake_free(struct intake *in);

/* The queue of a source, made at first use; it lives as long as the intake, so that
 * counts outlast a reload. */
TL_MUST struct source_queue *intake_queue(struct intake *in, const char *source_name);
/* The source was removed: no metric is told of it any more.  intake_queue() brings it back. */
void	 intake_queue_retire(struct source_queue *q);
void	 intake_queue_counts(const struct source_queue *q, struct source_counts *ret);

/* Copies what it is given.  true: r (which may be NULL) fires once, later.
 * false: ERR_RETRY, nothing takes events now; the sender keeps it. */
TL_MUST bool intake_submit(struct intake *in, struct source_queue *q,
		    const struct interaction *i, struct receipt *r, struct err *err);
TL_MUST bool intake_park(struct intake *in, struct source_queue *q, const struct parking *p,
		    struct receipt *r, struct err *err);

/* Events can be acknowledged now; else *ret_why says why not (static until the next call). */
bool	 intake_is_ready(const struct intake *in, const char **ret_why);
/* For who watches over us.  False while all writers that are connected hang in the middle of
 * their work, which by themselves they do not for long, and when one does not give up a
 * server as it should.  A database that is away is no lack of progress. */
bool	 intake_makes_progress(const struct intake *in);
/* Nothing waits or is in flight. */
bool	 intake_is_empty(const struct intake *in);
/* Fires every receipt that is held: FATE_UNAVAILABLE.  For the end of the program. */
void	 intake_give_up(struct intake *in);
/* Sets the gauges. */
void	 intake_measure(struct intake *in);

#endif
