/* SPDX-License-Identifier: Apache-2.0 */
/* What waits for a writer, by source, and what became of each source's events. */
#include "flow/source_queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/metric.h"
#include "flow/record.h"

struct source_queue {
	TAILQ_ENTRY(source_queue) in_all;
	TAILQ_ENTRY(source_queue) in_turn;	/* while something waits */
	struct record_queue	 events;
	struct source_counts	 counts;
	struct metric		*metrics[FATE_NKINDS];	/* the table's */
	bool			 is_retired;	/* its source was removed */
	char			 name[];
};

static const enum metric_id fate_metrics[FATE_NKINDS] = {
	[FATE_LOGGED]	   = METRIC_LOGGED,
	[FATE_DUPLICATE]   = METRIC_DUPLICATES,
	[FATE_PARKED]	   = METRIC_PARKED,
	[FATE_SPOOLED]	   = METRIC_SPOOLED,
	[FATE_UNAVAILABLE] = METRIC_UNAVAILABLE,
};

void
source_queues_init(struct source_queues *s)
{
	TAILQ_INIT(&s->all);
	TAILQ_INIT(&s->turn);
	s->nwaiting = 0;
}

void
source_queues_fini(struct source_queues *s)
{
	struct source_queue *q;
	struct record *e;

	while ((q = TAILQ_FIRST(&s->all)) != NULL) {
		TAILQ_REMOVE(&s->all, q, in_all);
		while ((e = TAILQ_FIRST(&q->events)) != NULL) {
			TAILQ_REMOVE(&q->events, e, in_queue);
			record_free(e);
		}
		free(q);
	}
}

/* ---- the queues ---- */

static struct source_queue *
find(const struct source_queues *s, struct str name)
{
	struct source_queue *q;

	TAILQ_FOREACH(q, &s->all, in_all)
		if (str_eq(str_of(q->name), name))
			return q;
	return NULL;
}

static struct source_queue *
make(struct source_queues *s, const char *name)
{
	size_t len = strlen(name) + 1;
	struct source_queue *q = calloc(1, sizeof(*q) + len);

	if (q == NULL)
		return NULL;
	memcpy(q->name, name, len);
	TAILQ_INIT(&q->events);
	TAILQ_INSERT_TAIL(&s->all, q, in_all);
	return q;
}

struct source_queue *
source_queues_open(struct source_queues *s, const char *name)
{
	struct source_queue *q = find(s, str_of(name));

	if (q == NULL)
		q = make(s, name);
	if (q == NULL)
		return NULL;
	q->is_retired = false;
	/* Got each time, since a source that was removed comes back to the page thereby. */
	for (size_t i = 0; i < FATE_NKINDS; i++)
		q->metrics[i] = metric_get(fate_metrics[i], name, NULL);
	return q;
}

struct source_queue *
source_queues_find(const struct source_queues *s, struct str name)
{
	struct source_queue *q = find(s, name);

	return q != NULL && !q->is_retired ? q : NULL;
}

void
source_queues_add(struct source_queues *s, struct source_queue *q, struct record *take_record)
{
	if (TAILQ_EMPTY(&q->events))
		TAILQ_INSERT_TAIL(&s->turn, q, in_turn);
	TAILQ_INSERT_TAIL(&q->events, take_record, in_queue);
	q->counts.waiting++;
	s->nwaiting++;
}

void
source_queues_remove(struct source_queues *s, struct record *e)
{
	struct source_queue *q = e->queue;

	TAILQ_REMOVE(&q->events, e, in_queue);
	if (TAILQ_EMPTY(&q->events))
		TAILQ_REMOVE(&s->turn, q, in_turn);
	q->counts.waiting--;
	s->nwaiting--;
}

struct record *
source_queues_next(struct source_queues *s)
{
	struct source_queue *q = TAILQ_FIRST(&s->turn);
	struct record *e = q != NULL ? TAILQ_FIRST(&q->events) : NULL;

	if (e == NULL)
		return NULL;
	/* Whoever has more stands at the end of the line again. */
	TAILQ_REMOVE(&s->turn, q, in_turn);
	TAILQ_INSERT_TAIL(&s->turn, q, in_turn);
	source_queues_remove(s, e);
	return e;
}

struct record *
source_queues_oldest(const struct source_queues *s)
{
	const struct source_queue *q;
	struct record *oldest = NULL;

	TAILQ_FOREACH(q, &s->turn, in_turn) {
		struct record *e = TAILQ_FIRST(&q->events);

		if (oldest == NULL || e->queued_us < oldest->queued_us)
			oldest = e;
	}
	return oldest;
}

struct record *
source_queues_older(const struct source_queues *s, int64_t before_us)
{
	const struct source_queue *q;

	TAILQ_FOREACH(q, &s->turn, in_turn)
		if (TAILQ_FIRST(&q->events)->queued_us < before_us)
			return TAILQ_FIRST(&q->events);
	return NULL;
}

void
source_queues_measure(const struct source_queues *s)
{
	int64_t now_us = clock_now_us();
	const struct source_queue *q;

	TAILQ_FOREACH(q, &s->all, in_all)
		if (q->counts.last_success_us > 0 && !q->is_retired)
			metric_set(metric_get(METRIC_LAST_SUCCESS_AGE, q->name, NULL),
			    (double)(now_us - q->counts.last_success_us) / 1e6);
}

/* ---- one source ---- */

void
source_queue_retire(struct source_queue *q)
{
	q->is_retired = true;
}

void
source_queue_counts(const struct source_queue *q, struct source_counts *ret)
{
	*ret = q->counts;
}

void
source_queue_count(struct source_queue *q, enum fate_kind fate)
{
	metric_add(q->metrics[fate], 1);
	q->counts.fates[fate]++;
}

void
source_queue_succeeded(struct source_queue *q)
{
	q->counts.last_success_us = clock_now_us();
}
