/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_SOURCE_QUEUE_H
#define TL_FLOW_SOURCE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/checked.h"
#include "base/str.h"
#include "model/receipt.h"

struct record;
struct source_queue;

struct source_counts {
	uint64_t	fates[FATE_NKINDS];	/* events */
	int64_t		last_success_us;	/* clock_now_us() of an acknowledgement; 0: never */
	size_t		waiting;		/* events */
};

/* The events that wait for a writer, in a queue for each source.  Sources take turns, an
 * event each. */
struct source_queues {
	TAILQ_HEAD(, source_queue)	 all;
	TAILQ_HEAD(, source_queue)	 turn;		/* those with events, next one first */
	size_t				 nwaiting;	/* events */
};

void	 source_queues_init(struct source_queues *s);
void	 source_queues_fini(struct source_queues *s);	/* frees the events; fires nothing */
/* Made at first use; it lives as long as all of them, so that counts outlast a reload.
 * NULL: memory is out. */
TL_MUST struct source_queue *source_queues_open(struct source_queues *s, const char *name);
/* NULL: no source of that name is configured. */
struct source_queue *source_queues_find(const struct source_queues *s, struct str name);
void	 source_queues_add(struct source_queues *s, struct source_queue *q,
	    struct record *take_record);
/* Whose turn it is; NULL: nothing waits. */
struct record	*source_queues_next(struct source_queues *s);
/* The one that has waited longest; NULL: nothing waits. */
struct record	*source_queues_oldest(const struct source_queues *s);
/* One that has waited since before that time; NULL: there is none. */
struct record	*source_queues_older(const struct source_queues *s, int64_t before_us);
/* It leaves its queue. */
void	 source_queues_remove(struct source_queues *s, struct record *e);
/* Sets the gauges by source. */
void	 source_queues_measure(const struct source_queues *s);

/* The source was removed: no metric is told of it any more.  source_queues_open() brings
 * it back. */
void	 source_queue_retire(struct source_queue *q);
void	 source_queue_counts(const struct source_queue *q, struct source_counts *ret);
void	 source_queue_count(struct source_queue *q, enum fate_kind fate);
/* An event was acknowledged just now. */
void	 source_queue_succeeded(struct source_queue *q);

#endif
