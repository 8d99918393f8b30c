/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door, and the one place that knows that there are two stores.  Every interaction is
 * submitted here, waits in the queue of its source, goes to an idle writer in a batch, and
 * its receipt fires when it is committed.
 *
 * - No timer gathers batches: a writer that is idle takes what waits, up to batch_max.
 *   The taking is put off to the end of the loop's turn, so that requests read in the
 *   same turn share a transaction.
 * - Sources take turns, an event each: a flood from one does not delay another.
 * - A batch that PostgreSQL refused for its content is halved until the bad event
 *   stands alone; that one is parked.  Any other failure is tried again.
 * - What waits or hangs longer than spool_after goes to the spool, and its receipt fires
 *   when it is safe there.  A batch in flight stays in flight: its events are copied, under
 *   their own ids, so that it does not matter which of the two comes first.  While nothing
 *   can be expected of the database, events go to the spool at once.
 * - What the spool does not take either is given up: its sender is told to keep it (503).
 * - The spool is drained beside what comes in, which goes first.
 *
 * intake_writers.c fills the writers and hears them; intake_fate.c keeps the deadlines.
 */
#include "flow/intake_internal.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/metric.h"
#include "flow/writer.h"
#include "io/loop.h"

enum {
	TICK_MS		   = 100,
	MENTIONS_PER_EVENT = 4,		/* on average, in a full batch */
};

/* ---- the door ---- */

void
intake_wake(struct intake *in)
{
	event_active(in->pump, EV_TIMEOUT, 0);
}

/* true: it is to wait, or (e->is_aside) the spool will answer. */
static bool
route(struct intake *in, struct record *e, struct err *err)
{
	bool is_full = in->bytes + e->bytes > (size_t)in->conf.queue_max_bytes;

	if (!is_full && (!intake_is_away(in) || !intake_may_hand_over(in)))
		return true;
	if (is_full && !intake_may_hand_over(in))
		return err_set(err, ERR_RETRY, "too much waits for the database");
	if (!intake_put(in, e, err))
		return err_in(err, is_full ? "too much waits for the database" :
		    "the database cannot be reached");
	intake_put_aside(in, e);
	return true;
}

static bool
admit(struct intake *in, struct source_queue *q, struct record *e, struct receipt *r,
    struct err *err)
{
	if (e == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	e->queue = q;
	e->queued_us = in->came_us = clock_mono_us();
	if (!route(in, e, err)) {
		record_free(e);
		source_queue_count(q, FATE_UNAVAILABLE);
		return false;
	}
	receipt_hold(&e->receipt, r);
	in->bytes += e->bytes;
	intake_wake(in);
	return true;
}

bool
intake_submit(struct intake *in, struct source_queue *q, const struct interaction *i,
    struct receipt *r, struct err *err)
{
	struct record *e = record_new(i);

	if (!admit(in, q, e, r, err))
		return false;
	if (!e->is_aside)
		source_queues_add(&in->queues, q, e);
	return true;
}

bool
intake_park(struct intake *in, struct source_queue *q, const struct parking *p,
    struct receipt *r, struct err *err)
{
	struct record *e = record_new_parking(p);

	if (!admit(in, q, e, r, err))
		return false;
	if (!e->is_aside)
		TAILQ_INSERT_TAIL(&in->parkings, e, in_queue);
	return true;
}

struct source_queue *
intake_queue(struct intake *in, const char *source_name)
{
	return source_queues_open(&in->queues, source_name);
}

/* ---- what others ask ---- */

void
intake_health(const struct intake *in, struct intake_health *ret)
{
	struct backlog_state s = { .unreadable = 0 };

	if (in->backlog != NULL)
		backlog_state(in->backlog, &s);
	*ret = (struct intake_health){ .database_why = intake_database_why(in),
	    .has_spool = in->backlog != NULL, .spool = s.spool, .unreadable = s.unreadable };
	ret->is_ready = ret->database_why == NULL || (ret->has_spool && s.spool.takes);
}

bool
intake_makes_progress(const struct intake *in)
{
	size_t nup = 0, nhang = 0;

	for (int64_t i = 0; i < in->conf.writers; i++) {
		int64_t ms = writer_step_ms(in->writers[i]);

		if (ms > WRITER_STALL_MS + WRITER_STALL_MS / 2)
			return false;
		nup += writer_is_up(in->writers[i]);
		nhang += ms > WRITER_STALL_MS / 2;
	}
	return nup == 0 || nhang < nup;
}

bool
intake_oldest_spooled(const struct intake *in, int64_t *ret_us)
{
	struct backlog_state s;

	if (in->backlog == NULL)
		return false;
	backlog_state(in->backlog, &s);
	if (!s.spool.takes && s.spool.events == 0)
		return false;
	/* It waited, or hung with its batch, before it was put there. */
	*ret_us = s.spool.oldest_us == 0 ? 0 :
	    s.spool.oldest_us - (in->conf.spool_after_ms + WRITER_STALL_MS) * 1000;
	return true;
}

void
intake_tell_enqueued(struct intake *in, void (*fn)(void *arg), void *arg)
{
	in->enqueued = fn;
	in->enqueued_arg = arg;
}

bool
intake_is_empty(const struct intake *in)
{
	return in->bytes == 0 && intake_ndraining(in) == 0;
}

void
intake_measure(struct intake *in)
{
	const struct record *oldest = source_queues_oldest(&in->queues);
	size_t up = 0;

	for (size_t i = 0; i < (size_t)in->conf.writers; i++)
		up += writer_is_up(in->writers[i]);
	metric_set(metric_get(METRIC_DB_CONNECTED, "writer", NULL), (double)up);
	metric_set(metric_get(METRIC_QUEUE_EVENTS, NULL, NULL), (double)in->queues.nwaiting);
	metric_set(metric_get(METRIC_QUEUE_BYTES, NULL, NULL), (double)in->bytes);
	metric_set(metric_get(METRIC_QUEUE_OLDEST_AGE, NULL, NULL),
	    oldest != NULL ? (double)(clock_mono_us() - oldest->queued_us) / 1e6 : 0);
	source_queues_measure(&in->queues);
	if (in->backlog != NULL)
		backlog_measure(in->backlog);
}

/* ---- time ---- */

static void
on_pump(evutil_socket_t fd, short what, void *arg)
{
	struct intake *in = arg;

	(void)fd;
	(void)what;
	intake_fill_writers(in);
	if (in->backlog != NULL)
		backlog_read_ahead(in->backlog);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct intake *in = arg;
	bool is_over = in->hands_over || (in->backlog != NULL && intake_is_away(in));

	(void)fd;
	(void)what;
	intake_sweep(in, is_over ? INT64_MAX : intake_deadline_us(in));
	if (in->backlog != NULL)
		backlog_tick(in->backlog);
	intake_fill_writers(in);
}

/* ---- the end ---- */

void
intake_stop_draining(struct intake *in)
{
	if (in->backlog != NULL)
		backlog_stop(in->backlog);
}

bool
intake_hand_over(struct intake *in)
{
	in->hands_over = true;
	intake_sweep(in, INT64_MAX);
	return in->backlog != NULL && backlog_put_bytes(in->backlog) > 0;
}

void
intake_give_up(struct intake *in)
{
	struct record *e;

	backlog_free(in->backlog);
	in->backlog = NULL;
	intake_sweep(in, INT64_MAX);
	TAILQ_FOREACH(e, &in->aside, in_queue)
		intake_give_up_on(in, e);
}

/* ---- life ---- */

static bool
start_timers(struct intake *in, struct err *err)
{
	const struct timeval tv = { 0, TICK_MS * 1000 };

	in->pump = event_new(loop_base(in->loop), -1, 0, on_pump, in);
	in->tick = event_new(loop_base(in->loop), -1, EV_PERSIST, on_tick, in);
	if (in->pump == NULL || in->tick == NULL || event_add(in->tick, &tv) != 0)
		return err_set(err, ERR_RETRY, "out of memory");
	return true;
}

struct intake *
intake_new(struct loop *l, const struct intake_conf *conf, struct err *err)
{
	struct intake *in = calloc(1, sizeof(*in));

	if (in == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	in->conf = *conf;
	in->limits = (struct batch_limits){ (size_t)conf->batch_max,
	    (size_t)conf->batch_max_bytes, MENTIONS_PER_EVENT * (size_t)conf->batch_max };
	in->loop = l;
	in->down_us = clock_mono_us();
	in->batch_events = metric_get(METRIC_BATCH_EVENTS, NULL, NULL);
	in->ack = metric_get(METRIC_ACK_LATENCY, NULL, NULL);
	source_queues_init(&in->queues);
	TAILQ_INIT(&in->parkings);
	TAILQ_INIT(&in->aside);
	retries_init(&in->retries);
	if (start_timers(in, err) && intake_start_writers(in, err))
		return in;
	intake_free(in);
	return NULL;
}

bool
intake_open_spool(struct intake *in, const struct spool_conf *conf, struct err *err)
{
	const struct backlog_conf backlog = { *conf, in->limits, (size_t)in->conf.writers };

	in->backlog = backlog_new(in->loop, &backlog, &intake_backlog_ops, in, err);
	return in->backlog != NULL;
}

static void
free_events(struct record_queue *queue)
{
	struct record *e;

	while ((e = TAILQ_FIRST(queue)) != NULL) {
		TAILQ_REMOVE(queue, e, in_queue);
		record_free(e);
	}
}

void
intake_free(struct intake *in)
{
	if (in == NULL)
		return;
	backlog_free(in->backlog);
	for (size_t i = 0; i < INTAKE_MAX_WRITERS; i++)
		writer_free(in->writers[i]);
	retries_fini(&in->retries);
	free_events(&in->parkings);
	free_events(&in->aside);
	source_queues_fini(&in->queues);
	if (in->pump != NULL)
		event_free(in->pump);
	if (in->tick != NULL)
		event_free(in->tick);
	free(in);
}
