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
 * An event has one fate.  Until its sender knows it, the event is in a queue, in a batch,
 * or aside: handed to the spool, whose answer is to come.  Told, it is only still here if
 * it is in flight; should its batch fail, it is dropped, since the spool has it or its
 * sender will send it again.
 */
#include "flow/intake.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/backlog.h"
#include "flow/batch.h"
#include "flow/record.h"
#include "flow/retries.h"
#include "flow/source_queue.h"
#include "flow/writer.h"
#include "io/loop.h"

enum {
	MAX_WRITERS	 = 16,
	TICK_MS		 = 100,
	TROUBLE_FAILURES = 3,		/* then /readyz tells */
	MENTIONS_PER_EVENT = 4,		/* on average, in a full batch */
	PUTS_MAX_BYTES	 = 32 * 1024 * 1024,	/* on their way into the spool: more waits */
	PUT_WITHIN_US	 = 10 * 1000 * 1000,	/* else the sender is told to keep it after all */
	QUIET_US	 = 100 * 1000,	/* nothing came in for so long: all writers may drain */
	TROUBLE_US	 = 10 * 1000 * 1000,	/* so long a fault counts without a new try */
};

struct intake {
	struct intake_conf	 conf;
	struct batch_limits	 limits;	/* of a batch */
	struct loop		*loop;
	struct event		*pump;		/* ours: fills idle writers at the turn's end */
	struct event		*tick;		/* ours: deadlines and gauges */
	struct writer		*writers[MAX_WRITERS];	/* ours */
	struct source_queues	 queues;
	struct record_queue	 parkings;
	struct record_queue	 aside;		/* the spool is to answer; in no batch */
	struct retries		 retries;	/* whole batches, tried before new ones */
	struct backlog		*backlog;	/* ours: the spool; NULL: there is none */
	size_t			 bytes;		/* of all events we own, but the backlog's */
	int64_t			 came_us;	/* clock_mono_us() when an event last came in */
	bool			 drained_last;	/* the last batch given out came from the spool */
	bool			 hands_over;	/* everything goes to the spool: the daemon ends */
	int64_t			 down_us;	/* clock_mono_us() since no writer is up; 0: one is */
	struct err		 trouble;	/* why batches fail again and again */
	int64_t			 trouble_us;	/* clock_mono_us() of it; 0: there is none */
	struct metric		*batch_events, *ack;	/* the table's */
};

static void
wake(struct intake *in)
{
	event_active(in->pump, EV_TIMEOUT, 0);
}

/* ---- what can be expected of the database ---- */

static size_t
nwriters(const struct intake *in)
{
	return (size_t)in->conf.writers;
}

static int64_t
deadline_us(const struct intake *in)
{
	return clock_mono_us() - in->conf.spool_after_ms * 1000;
}

static bool
some_writer_is_up(const struct intake *in)
{
	for (size_t i = 0; i < nwriters(in); i++)
		if (in->writers[i] != NULL && writer_is_up(in->writers[i]))
			return true;
	return false;
}

/* Each writer that is up has had its batch since before that time. */
static bool
all_writers_hang(const struct intake *in, int64_t before_us)
{
	for (size_t i = 0; i < nwriters(in); i++) {
		const struct batch *b = writer_batch(in->writers[i]);

		if (writer_is_up(in->writers[i]) && (b == NULL || b->started_us >= before_us))
			return false;
	}
	return true;
}

/* For longer than a sender waits: there is no sense in letting more wait. */
static bool
is_away(const struct intake *in)
{
	int64_t before_us = deadline_us(in);

	return in->down_us != 0 ? in->down_us < before_us : all_writers_hang(in, before_us);
}

static const char *
database_why(const struct intake *in)
{
	if (!some_writer_is_up(in))
		return writer_why(in->writers[0]);
	if (in->trouble_us != 0 && clock_mono_us() - in->trouble_us < TROUBLE_US)
		return in->trouble.text;
	return all_writers_hang(in, deadline_us(in)) ? "the database does not answer" : NULL;
}

/* ---- the end of an event ---- */

static void
drop_record(struct intake *in, struct record *e)
{
	in->bytes -= e->bytes;
	record_free(e);
}

/* It is in no queue and in no batch; the spool will answer. */
static void
put_aside(struct intake *in, struct record *e)
{
	TAILQ_INSERT_TAIL(&in->aside, e, in_queue);
	e->is_aside = true;
}

/* Tells the submitter; the event stays ours.  One that was committed while the spool was
 * still at it is counted when its row is drained: see count_late(). */
static void
tell(struct intake *in, struct record *e, const struct fate *fate)
{
	if (e->is_told)
		return;
	e->is_told = true;
	e->fate = fate->kind;
	if (e->put_bytes == 0 || fate->kind == FATE_UNAVAILABLE)
		source_queue_count(e->queue, fate->kind);
	if (fate->kind != FATE_UNAVAILABLE)
		source_queue_succeeded(e->queue);
	metric_observe(in->ack, (double)(clock_mono_us() - e->queued_us) / 1e6);
	receipt_fire(&e->receipt, fate);
}

static void
give_up(struct intake *in, struct record *e)
{
	const struct fate fate = { FATE_UNAVAILABLE, e->id };

	tell(in, e, &fate);
}

/* Out of its batch. */
static void
let_go(struct intake *in, struct record *e)
{
	if (e->put_bytes > 0)
		put_aside(in, e);
	else
		drop_record(in, e);
}

static void
drop_batch(struct intake *in, struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		let_go(in, b->records[i]);
	b->n = 0;
	batch_free(b);
}

/* ---- into the spool ---- */

static bool
put(struct intake *in, struct record *e, struct err *err)
{
	if (in->backlog == NULL)
		return err_set(err, ERR_RETRY, "there is no spool");
	return backlog_put(in->backlog, e, err);
}

/* What finds the spool busy waits where it is; without a spool it does not have to. */
static bool
may_hand_over(const struct intake *in)
{
	return in->backlog == NULL || backlog_put_bytes(in->backlog) < PUTS_MAX_BYTES;
}

/* It was in no batch, and waits no longer. */
static void
move_on(struct intake *in, struct record *e)
{
	struct err err;		/* told by the backlog */

	if (may_hand_over(in) && put(in, e, &err)) {
		put_aside(in, e);
		return;
	}
	give_up(in, e);
	drop_record(in, e);
}

/* Committed while the spool was at it: it has been counted neither time unless its row is
 * drained, and only its own row is. */
static void
count_late(const struct record *e, bool has_row)
{
	if (e->fate != FATE_UNAVAILABLE && !has_row)
		source_queue_count(e->queue, e->fate);
}

static void
on_kept(void *owner, struct record *e, const struct uuid *id, const struct err *why)
{
	struct intake *in = owner;
	const struct fate spooled = { FATE_SPOOLED, why == NULL ? *id : e->id };

	if (e->is_told)
		count_late(e, why == NULL && memcmp(id->b, e->id.b, sizeof(id->b)) == 0);
	else if (why == NULL)
		tell(in, e, &spooled);
	else
		give_up(in, e);
	if (e->is_aside) {
		TAILQ_REMOVE(&in->aside, e, in_queue);
		drop_record(in, e);
	}
}

/* ---- filling batches ---- */

static struct batch *
take_records(struct intake *in)
{
	size_t n = in->queues.nwaiting;
	struct batch *b;

	if (n == 0)
		return NULL;
	b = batch_new(BATCH_LOG, n < in->limits.events ? n : in->limits.events);
	while (b != NULL && batch_has_room(b, &in->limits) && in->queues.nwaiting > 0)
		batch_add(b, source_queues_next(&in->queues));
	return b;
}

static struct batch *
take_parkings(struct intake *in)
{
	struct record *e;
	struct batch *b;

	if (TAILQ_EMPTY(&in->parkings))
		return NULL;
	b = batch_new(BATCH_PARK, in->limits.events);
	while (b != NULL && batch_has_room(b, &in->limits) &&
	    (e = TAILQ_FIRST(&in->parkings)) != NULL) {
		TAILQ_REMOVE(&in->parkings, e, in_queue);
		batch_add(b, e);
	}
	return b;
}

static struct batch *
take_live(struct intake *in)
{
	struct batch *b = retries_next(&in->retries);

	if (b == NULL)
		b = take_parkings(in);
	return b != NULL ? b : take_records(in);
}

/* The spool got a copy of it, which would hang where it hangs, in another writer. */
static bool
some_live_batch_hangs(const struct intake *in)
{
	int64_t before_us = deadline_us(in);

	for (size_t i = 0; i < nwriters(in); i++) {
		const struct batch *b = writer_batch(in->writers[i]);

		if (b != NULL && !b->is_drain && b->started_us < before_us)
			return true;
	}
	return false;
}

static size_t
ndraining(const struct intake *in)
{
	size_t n = 0;

	for (size_t i = 0; i < nwriters(in); i++) {
		const struct batch *b = writer_batch(in->writers[i]);

		n += b != NULL && b->is_drain;
	}
	return n;
}

/* What comes in goes first.  While something does, one writer at most drains, so that
 * another is soon free; and with something waiting all the time, every second batch, so
 * that the spool gets empty all the same. */
static struct batch *
take_batch(struct intake *in)
{
	size_t n = ndraining(in);
	bool may_drain = in->backlog != NULL && !some_live_batch_hangs(in) &&
	    (n == 0 || clock_mono_us() - in->came_us > QUIET_US);
	struct batch *b = NULL;

	if (may_drain && n == 0 && !in->drained_last)
		b = backlog_take(in->backlog);
	if (b == NULL)
		b = take_live(in);
	if (b == NULL && may_drain)
		b = backlog_take(in->backlog);
	return b;
}

static void
fill_writers(struct intake *in)
{
	for (size_t i = 0; i < nwriters(in); i++) {
		struct batch *b;

		if (!writer_is_idle(in->writers[i]))
			continue;
		b = take_batch(in);
		if (b == NULL)
			return;
		b->started_us = clock_mono_us();
		in->drained_last = b->is_drain;
		metric_observe(in->batch_events, (double)b->n);
		writer_put(in->writers[i], b);
	}
}

static void
on_pump(evutil_socket_t fd, short what, void *arg)
{
	struct intake *in = arg;

	(void)fd;
	(void)what;
	fill_writers(in);
	if (in->backlog != NULL)
		backlog_read_ahead(in->backlog);
}

/* ---- what a writer says ---- */

/* The spool has them or is about to, or their senders will send them again. */
static void
drop_settled(struct intake *in, struct batch *b)
{
	size_t n = b->n;

	b->n = b->bytes = b->nmentions = 0;
	for (size_t i = 0; i < n; i++) {
		struct record *e = b->records[i];

		if (e->is_told || e->put_bytes > 0)
			let_go(in, e);
		else
			batch_add(b, e);
	}
}

/* Others were in the way, of this batch: it says nothing of the next. */
static bool
is_contention(const char *sqlstate)
{
	return strncmp(sqlstate, "40", 2) == 0 || strcmp(sqlstate, "55P03") == 0;
}

/* For /readyz: what time does not heal (a right or a function that is missing), and what
 * several tries did not (a full disk, a partition that cannot be made). */
static void
note_trouble(struct intake *in, const struct batch *b, const struct write_failure *why)
{
	bool lasts = why->err.kind == ERR_CONFIG || (b->failures > 0 &&
	    !is_contention(why->sqlstate) && (b->failures >= TROUBLE_FAILURES || b->n == 0));

	if (!lasts || why->err.kind == ERR_INPUT)
		return;
	in->trouble = why->err;
	in->trouble_us = clock_mono_us();
}

static void
refused(struct intake *in, struct batch *b, const struct write_failure *why)
{
	struct record *e = retries_refused(b, why);

	if (e != NULL) {
		TAILQ_INSERT_TAIL(&in->parkings, e, in_queue);
		return;
	}
	give_up(in, b->records[0]);
	drop_batch(in, b);
}

static void
failed(struct intake *in, struct batch *b, const struct write_failure *why)
{
	size_t n = b->n;

	retries_note(b, why);
	if (!b->is_drain)
		drop_settled(in, b);
	note_trouble(in, b, why);
	if (why->err.kind != ERR_INPUT && b->failures <= 1)
		log_warn("batch_failed", F_NUM("events", n), F_TEXT("sqlstate", why->sqlstate),
		    F_TEXT("uncertain", why->err.kind == ERR_UNCERTAIN ? "yes" : "no"),
		    F_ERR(&why->err));
	if (b->is_drain)
		backlog_done(in->backlog, b, why);
	else if (b->n == 0)
		batch_free(b);
	else if (!retries_take(&in->retries, b, why))
		refused(in, b, why);
}

static void
on_changed(void *owner)
{
	struct intake *in = owner;

	if (some_writer_is_up(in))
		in->down_us = 0;
	else if (in->down_us == 0)
		in->down_us = clock_mono_us();
	wake(in);
}

static void
on_done(void *owner, struct batch *b, const struct write_failure *why)
{
	struct intake *in = owner;

	on_changed(in);
	if (why != NULL) {
		failed(in, b, why);
		return;
	}
	in->trouble_us = 0;
	if (b->is_drain) {
		backlog_done(in->backlog, b, NULL);
		return;
	}
	for (size_t i = 0; i < b->n; i++)
		tell(in, b->records[i], &b->fates[i]);
	drop_batch(in, b);
}

static const struct writer_ops writer_ops = { .done = on_done, .changed = on_changed };

/* ---- what the backlog says ---- */

static void
on_drained(void *owner, const struct record *e, const struct fate *fate)
{
	static const char *const names[FATE_NKINDS] = {
		[FATE_LOGGED] = "logged", [FATE_DUPLICATE] = "duplicate", [FATE_PARKED] = "parked",
	};
	struct intake *in = owner;
	struct source_queue *q = source_queues_find(&in->queues, e->source);

	metric_add(metric_get(METRIC_SPOOL_DRAINED, names[fate->kind], NULL), 1);
	if (q != NULL)
		source_queue_count(q, fate->kind);
}

static void
on_backlog_changed(void *owner)
{
	wake(owner);
}

static const struct backlog_ops backlog_ops = {
	.kept = on_kept, .drained = on_drained, .changed = on_backlog_changed,
};

/* ---- deadlines ---- */

/* Who has waited since before before_us goes to the spool.  While that is busy, who has
 * waited since before late_us is told to keep its event after all: a disk that does not
 * answer is nothing to keep a sender waiting for. */
struct sweep {
	int64_t	before_us;
	int64_t	late_us;
};

static int64_t
due_before_us(const struct intake *in, const struct sweep *s)
{
	return may_hand_over(in) ? s->before_us : s->late_us;
}

static bool
is_due(const struct intake *in, const struct record *e, const struct sweep *s)
{
	return e->queued_us < due_before_us(in, s);
}

static void
sweep_waiting(struct intake *in, const struct sweep *s)
{
	struct record *e;

	while ((e = source_queues_older(&in->queues, due_before_us(in, s))) != NULL) {
		source_queues_remove(&in->queues, e);
		move_on(in, e);
	}
	while ((e = TAILQ_FIRST(&in->parkings)) != NULL && is_due(in, e, s)) {
		TAILQ_REMOVE(&in->parkings, e, in_queue);
		move_on(in, e);
	}
}

static void
sweep_retries(struct intake *in, const struct sweep *s)
{
	struct batch *b, *next;

	for (b = TAILQ_FIRST(&in->retries.batches); b != NULL; b = next) {
		size_t n = b->n;

		next = TAILQ_NEXT(b, in_queue);
		b->n = b->bytes = b->nmentions = 0;
		for (size_t i = 0; i < n; i++)
			if (is_due(in, b->records[i], s))
				move_on(in, b->records[i]);
			else
				batch_add(b, b->records[i]);
		if (b->n > 0)
			continue;
		TAILQ_REMOVE(&in->retries.batches, b, in_queue);
		batch_free(b);
	}
}

/* The spool gets a copy: its batch may still commit it. */
static void
sweep_in_flight(struct intake *in, struct batch *b, const struct sweep *s)
{
	struct err err;

	for (size_t i = 0; i < b->n; i++) {
		struct record *e = b->records[i];

		if (is_due(in, e, s) && !e->is_told && e->put_bytes == 0 &&
		    !(may_hand_over(in) && put(in, e, &err)))
			give_up(in, e);
	}
}

/* What was handed over may still get there; the sender's retry is then a duplicate. */
static void
sweep_aside(struct intake *in, const struct sweep *s)
{
	struct record *e;

	TAILQ_FOREACH(e, &in->aside, in_queue)
		if (e->queued_us < s->late_us)
			give_up(in, e);
}

static void
sweep(struct intake *in, int64_t before_us)
{
	const struct sweep s = { before_us, deadline_us(in) - PUT_WITHIN_US };

	sweep_waiting(in, &s);
	sweep_retries(in, &s);
	for (size_t i = 0; i < nwriters(in); i++) {
		struct batch *b = writer_batch(in->writers[i]);

		if (b != NULL && !b->is_drain)
			sweep_in_flight(in, b, &s);
	}
	sweep_aside(in, &s);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct intake *in = arg;

	(void)fd;
	(void)what;
	sweep(in, in->hands_over || is_away(in) ? INT64_MAX : deadline_us(in));
	if (in->backlog != NULL)
		backlog_tick(in->backlog);
	fill_writers(in);
}

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
	sweep(in, INT64_MAX);
	return in->backlog != NULL && backlog_put_bytes(in->backlog) > 0;
}

void
intake_give_up(struct intake *in)
{
	struct record *e;

	backlog_free(in->backlog);
	in->backlog = NULL;
	sweep(in, INT64_MAX);
	TAILQ_FOREACH(e, &in->aside, in_queue)
		give_up(in, e);
}

/* ---- the door ---- */

/* true: it is to wait, or (e->is_aside) the spool will answer. */
static bool
route(struct intake *in, struct record *e, struct err *err)
{
	bool is_full = in->bytes + e->bytes > (size_t)in->conf.queue_max_bytes;

	if (!is_full && (!is_away(in) || !may_hand_over(in)))
		return true;
	if (is_full && !may_hand_over(in))
		return err_set(err, ERR_RETRY, "too much waits for the database");
	if (!put(in, e, err))
		return err_in(err, is_full ? "too much waits for the database" :
		    "the database cannot be reached");
	put_aside(in, e);
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
	wake(in);
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
	*ret = (struct intake_health){ .database_why = database_why(in),
	    .has_spool = in->backlog != NULL, .spool = s.spool, .unreadable = s.unreadable };
	ret->is_ready = ret->database_why == NULL || (ret->has_spool && s.spool.takes);
}

bool
intake_is_empty(const struct intake *in)
{
	return in->bytes == 0 && ndraining(in) == 0;
}

void
intake_measure(struct intake *in)
{
	const struct record *oldest = source_queues_oldest(&in->queues);
	size_t up = 0;

	for (size_t i = 0; i < nwriters(in); i++)
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

/* ---- life ---- */

static bool
start_writers(struct intake *in, struct err *err)
{
	const struct writer_conf conf = { in->conf.conninfo, in->conf.merge_limit };

	for (size_t i = 0; i < nwriters(in); i++) {
		in->writers[i] = writer_new(in->loop, &conf, &writer_ops, in, err);
		if (in->writers[i] == NULL)
			return false;
	}
	return true;
}

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
	if (start_timers(in, err) && start_writers(in, err))
		return in;
	intake_free(in);
	return NULL;
}

bool
intake_open_spool(struct intake *in, const struct spool_conf *conf, struct err *err)
{
	const struct backlog_conf backlog = { *conf, in->limits, nwriters(in) };

	in->backlog = backlog_new(in->loop, &backlog, &backlog_ops, in, err);
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
	for (size_t i = 0; i < MAX_WRITERS; i++)
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
