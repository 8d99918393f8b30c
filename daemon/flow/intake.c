/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door.  Every interaction is submitted here, waits in the queue of its source,
 * goes to an idle writer in a batch, and its receipt fires when it is committed.
 *
 * - No timer gathers batches: a writer that is idle takes what waits, up to batch_max.
 *   The taking is put off to the end of the loop's turn, so that requests read in the
 *   same turn share a transaction.
 * - Sources take turns, an event each: a flood from one does not delay another.
 * - A batch that PostgreSQL refused for its content is halved until the bad event
 *   stands alone; that one is parked.  Any other failure is tried again.
 * - What waits or hangs longer than spool_after is given up: its sender is told to
 *   keep it (503).  A batch in flight stays in flight; should it still commit, the
 *   sender's retry is a duplicate.
 */
#include "flow/intake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/batch.h"
#include "flow/record.h"
#include "flow/writer.h"
#include "io/loop.h"

enum {
	MAX_WRITERS	 = 16,
	TICK_MS		 = 100,
	SAME_FAILURES	 = 5,		/* then a batch is halved */
	TROUBLE_FAILURES = 3,		/* then /readyz tells */
	MENTIONS_PER_EVENT = 4,		/* on average, in a full batch */
	RETRY_FIRST_US	 = 10 * 1000,
	RETRY_MAX_US	 = 500 * 1000,
	TROUBLE_US	 = 10 * 1000 * 1000,	/* so long a fault counts without a new try */
};

struct source_queue {
	TAILQ_ENTRY(source_queue) in_list;
	TAILQ_ENTRY(source_queue) in_turn;	/* while something waits */
	struct record_queue	 events;
	struct source_counts	 counts;
	struct metric		*logged, *duplicates, *parked, *unavailable;	/* the table's */
	bool			 is_retired;	/* its source was removed */
	char			 name[];
};

struct intake {
	struct intake_conf	 conf;
	struct loop		*loop;
	struct event		*pump;		/* ours: fills idle writers at the turn's end */
	struct event		*tick;		/* ours: deadlines and gauges */
	struct writer		*writers[MAX_WRITERS];	/* ours */
	TAILQ_HEAD(, source_queue) sources;
	TAILQ_HEAD(, source_queue) turn;	/* those with events, next one first */
	struct record_queue	 parkings;
	struct batch_queue	 retries;	/* whole batches, tried before new ones */
	size_t			 nwaiting;	/* events queued for a batch */
	size_t			 bytes;		/* of all events we own */
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

static size_t
nwriters(const struct intake *in)
{
	return (size_t)in->conf.writers;
}

static bool
some_writer_is_up(const struct intake *in)
{
	for (size_t i = 0; i < nwriters(in); i++)
		if (in->writers[i] != NULL && writer_is_up(in->writers[i]))
			return true;
	return false;
}

/* ---- the end of an event ---- */

static void
count_fate(struct source_queue *q, enum fate_kind kind)
{
	struct { struct metric *metric; uint64_t *count; } at[FATE_NKINDS] = {
		[FATE_LOGGED]	   = { q->logged, &q->counts.logged },
		[FATE_DUPLICATE]   = { q->duplicates, &q->counts.duplicates },
		[FATE_PARKED]	   = { q->parked, &q->counts.parked },
		[FATE_UNAVAILABLE] = { q->unavailable, &q->counts.unavailable },
	};

	metric_add(at[kind].metric, 1);
	*at[kind].count += 1;
	if (kind != FATE_UNAVAILABLE)
		q->counts.last_success_us = clock_now_us();
}

/* Tells the submitter; the event stays ours. */
static void
tell(struct intake *in, struct record *e, const struct fate *fate)
{
	if (e->is_given_up)
		return;		/* was told already that it has to keep it */
	count_fate(e->queue, fate->kind);
	metric_observe(in->ack, (double)(clock_mono_us() - e->queued_us) / 1e6);
	receipt_fire(&e->receipt, fate);
}

static void
give_up(struct intake *in, struct record *e)
{
	const struct fate fate = { FATE_UNAVAILABLE, e->id };

	tell(in, e, &fate);
	e->is_given_up = true;
}

static void
drop_batch(struct intake *in, struct batch *b)
{
	in->bytes -= b->bytes;
	batch_free(b);
}

/* ---- filling batches ---- */

static struct record *
next_event(struct intake *in)
{
	struct source_queue *q = TAILQ_FIRST(&in->turn);
	struct record *e = TAILQ_FIRST(&q->events);

	TAILQ_REMOVE(&q->events, e, in_queue);
	TAILQ_REMOVE(&in->turn, q, in_turn);
	if (!TAILQ_EMPTY(&q->events))
		TAILQ_INSERT_TAIL(&in->turn, q, in_turn);
	q->counts.waiting--;
	in->nwaiting--;
	return e;
}

/* One event may mention 1,600 people, each of whom costs PostgreSQL 50 us when new: a
 * thousand of them would keep who shares their batch waiting for longer than it waits. */
static bool
has_room(const struct intake *in, const struct batch *b)
{
	return b->n < b->room && b->bytes < (size_t)in->conf.batch_max_bytes &&
	    b->nmentions < MENTIONS_PER_EVENT * (size_t)in->conf.batch_max;
}

static size_t
batch_room(const struct intake *in, size_t nwaiting)
{
	return nwaiting < (size_t)in->conf.batch_max ? nwaiting : (size_t)in->conf.batch_max;
}

static struct batch *
take_records(struct intake *in)
{
	struct batch *b;

	if (in->nwaiting == 0)
		return NULL;
	b = batch_new(BATCH_LOG, batch_room(in, in->nwaiting));
	while (b != NULL && has_room(in, b) && in->nwaiting > 0)
		batch_add(b, next_event(in));
	return b;
}

static struct batch *
take_parkings(struct intake *in)
{
	struct record *e;
	struct batch *b;

	if (TAILQ_EMPTY(&in->parkings))
		return NULL;
	b = batch_new(BATCH_PARK, (size_t)in->conf.batch_max);
	while (b != NULL && has_room(in, b) && (e = TAILQ_FIRST(&in->parkings)) != NULL) {
		TAILQ_REMOVE(&in->parkings, e, in_queue);
		batch_add(b, e);
	}
	return b;
}

static struct batch *
take_retry(struct intake *in)
{
	int64_t now_us = clock_mono_us();
	struct batch *b;

	TAILQ_FOREACH(b, &in->retries, in_queue)
		if (b->not_before_us <= now_us) {
			TAILQ_REMOVE(&in->retries, b, in_queue);
			return b;
		}
	return NULL;
}

static struct batch *
take_batch(struct intake *in)
{
	struct batch *b = take_retry(in);

	if (b == NULL)
		b = take_parkings(in);
	return b != NULL ? b : take_records(in);
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
		metric_observe(in->batch_events, (double)b->n);
		writer_put(in->writers[i], b);
	}
}

static void
on_pump(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	fill_writers(arg);
}

/* ---- what a writer says ---- */

static void
retry_later(struct intake *in, struct batch *b)
{
	int64_t wait_us = RETRY_FIRST_US;

	for (unsigned i = 1; i < b->failures && wait_us < RETRY_MAX_US; i++)
		wait_us *= 2;
	b->not_before_us = clock_mono_us() + (b->failures > 0 ? wait_us : 0);
	TAILQ_INSERT_TAIL(&in->retries, b, in_queue);
}

/* Both halves are tried at once; without memory the whole is tried again. */
static void
halve(struct intake *in, struct batch *b)
{
	struct batch *rest = batch_halve(b);

	b->failures = 0;
	b->not_before_us = 0;
	TAILQ_INSERT_HEAD(&in->retries, b, in_queue);
	if (rest != NULL)
		TAILQ_INSERT_AFTER(&in->retries, b, rest, in_queue);
}

/* The event stands alone and PostgreSQL does not take it. */
static void
park_refused(struct intake *in, struct batch *b, const struct write_failure *why)
{
	struct record *e = b->records[0];
	char id[UUID_TEXT_SIZE];

	uuid_text(e->id, id);
	if (b->kind == BATCH_PARK) {
		log_error("parking_refused", F_TEXT("id", id), F_STR("source", e->source),
		    F_TEXT("sqlstate", why->sqlstate), F_NUM("bytes", e->raw.n));
		give_up(in, e);
		drop_batch(in, b);
		return;
	}
	log_warn("event_parked", F_TEXT("id", id), F_STR("source", e->source),
	    F_TEXT("sqlstate", why->sqlstate), F_NUM("bytes", e->raw.n));
	record_set_reason(e, str_of(why->err.text));
	(void)snprintf(e->sqlstate, sizeof(e->sqlstate), "%s", why->sqlstate);
	b->n = 0;
	batch_free(b);
	TAILQ_INSERT_TAIL(&in->parkings, e, in_queue);
}

static void
count_failure(struct batch *b, const struct write_failure *why)
{
	bool is_same = strcmp(b->sqlstate, why->sqlstate) == 0;

	(void)snprintf(b->sqlstate, sizeof(b->sqlstate), "%s", why->sqlstate);
	/* A lost connection says nothing about the batch. */
	b->failures = why->sqlstate[0] == '\0' ? 0 : is_same ? b->failures + 1 : 1;
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
	    !is_contention(why->sqlstate) &&
	    (b->failures >= TROUBLE_FAILURES || batch_is_given_up(b)));

	if (!lasts || why->err.kind == ERR_INPUT)
		return;
	in->trouble = why->err;
	in->trouble_us = clock_mono_us();
}

static void
failed(struct intake *in, struct batch *b, const struct write_failure *why)
{
	char class[3] = { why->sqlstate[0], why->sqlstate[0] ? why->sqlstate[1] : '\0', '\0' };

	metric_add(metric_get(METRIC_BATCH_ERRORS, class[0] != '\0' ? class : "connection", NULL),
	    1);
	count_failure(b, why);
	note_trouble(in, b, why);
	if (why->err.kind != ERR_INPUT && b->failures <= 1)
		log_warn("batch_failed", F_NUM("events", b->n), F_TEXT("sqlstate", why->sqlstate),
		    F_TEXT("uncertain", why->err.kind == ERR_UNCERTAIN ? "yes" : "no"),
		    F_ERR(&why->err));
	if (batch_is_given_up(b))
		drop_batch(in, b);
	else if (why->err.kind == ERR_INPUT && b->n == 1)
		park_refused(in, b, why);
	else if (b->n > 1 && (why->err.kind == ERR_INPUT || b->failures >= SAME_FAILURES))
		halve(in, b);
	else
		retry_later(in, b);
}

static void
on_done(void *owner, struct batch *b, const struct write_failure *why)
{
	struct intake *in = owner;

	wake(in);
	if (why != NULL) {
		failed(in, b, why);
		return;
	}
	in->trouble_us = 0;
	for (size_t i = 0; i < b->n; i++)
		tell(in, b->records[i], &b->fates[i]);
	drop_batch(in, b);
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

static const struct writer_ops writer_ops = { .done = on_done, .changed = on_changed };

/* ---- deadlines ---- */

static int64_t
deadline_us(const struct intake *in)
{
	return clock_mono_us() - in->conf.spool_after_ms * 1000;
}

static void
give_up_batch(struct intake *in, struct batch *b, int64_t before_us)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->records[i]->queued_us < before_us && !b->records[i]->is_given_up)
			give_up(in, b->records[i]);
}

/* Nobody was acknowledged: what was given up before a writer took it is dropped. */
static void
expire_queue(struct intake *in, struct source_queue *q, int64_t before_us)
{
	struct record *e;

	while ((e = TAILQ_FIRST(&q->events)) != NULL && e->queued_us < before_us) {
		TAILQ_REMOVE(&q->events, e, in_queue);
		if (TAILQ_EMPTY(&q->events))
			TAILQ_REMOVE(&in->turn, q, in_turn);
		q->counts.waiting--;
		in->nwaiting--;
		in->bytes -= e->bytes;
		give_up(in, e);
		record_free(e);
	}
}

static void
expire_retries(struct intake *in, int64_t before_us)
{
	struct batch *b, *next;

	for (b = TAILQ_FIRST(&in->retries); b != NULL; b = next) {
		next = TAILQ_NEXT(b, in_queue);
		give_up_batch(in, b, before_us);
		if (batch_is_given_up(b)) {
			TAILQ_REMOVE(&in->retries, b, in_queue);
			drop_batch(in, b);
		}
	}
}

static void
expire_parkings(struct intake *in, int64_t before_us)
{
	struct record *e;

	while ((e = TAILQ_FIRST(&in->parkings)) != NULL && e->queued_us < before_us) {
		TAILQ_REMOVE(&in->parkings, e, in_queue);
		in->bytes -= e->bytes;
		give_up(in, e);
		record_free(e);
	}
}

static void
expire(struct intake *in, int64_t before_us)
{
	struct source_queue *q;

	TAILQ_FOREACH(q, &in->sources, in_list)
		expire_queue(in, q, before_us);
	expire_parkings(in, before_us);
	expire_retries(in, before_us);
	for (size_t i = 0; i < nwriters(in); i++)
		if (writer_batch(in->writers[i]) != NULL)
			give_up_batch(in, writer_batch(in->writers[i]), before_us);
}

void
intake_give_up(struct intake *in)
{
	expire(in, INT64_MAX);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct intake *in = arg;

	(void)fd;
	(void)what;
	expire(in, deadline_us(in));
	if (!TAILQ_EMPTY(&in->retries))
		fill_writers(in);
}

/* ---- the door ---- */

/* PostgreSQL may be away for a moment; longer than a sender waits, there is no sense
 * in letting it wait. */
static bool
takes_events(struct intake *in, size_t bytes, struct err *err)
{
	if (in->bytes + bytes > (size_t)in->conf.queue_max_bytes)
		return err_set(err, ERR_RETRY, "too much waits for the database");
	if (in->down_us != 0 && in->down_us < deadline_us(in))
		return err_set(err, ERR_RETRY, "the database cannot be reached");
	return true;
}

static bool
admit(struct intake *in, struct source_queue *q, struct record *e, struct receipt *r,
    struct err *err)
{
	if (e == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	if (!takes_events(in, e->bytes, err)) {
		record_free(e);
		metric_add(q->unavailable, 1);
		q->counts.unavailable++;
		return false;
	}
	e->queue = q;
	e->queued_us = clock_mono_us();
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
	if (TAILQ_EMPTY(&q->events))
		TAILQ_INSERT_TAIL(&in->turn, q, in_turn);
	TAILQ_INSERT_TAIL(&q->events, e, in_queue);
	q->counts.waiting++;
	in->nwaiting++;
	return true;
}

bool
intake_park(struct intake *in, struct source_queue *q, const struct parking *p,
    struct receipt *r, struct err *err)
{
	struct record *e = record_new_parking(p);

	if (!admit(in, q, e, r, err))
		return false;
	TAILQ_INSERT_TAIL(&in->parkings, e, in_queue);
	return true;
}

static struct source_queue *
queue_of(struct intake *in, const char *source_name)
{
	size_t len = strlen(source_name) + 1;
	struct source_queue *q;

	TAILQ_FOREACH(q, &in->sources, in_list)
		if (strcmp(q->name, source_name) == 0)
			return q;
	q = calloc(1, sizeof(*q) + len);
	if (q == NULL)
		return NULL;
	memcpy(q->name, source_name, len);
	TAILQ_INIT(&q->events);
	TAILQ_INSERT_TAIL(&in->sources, q, in_list);
	return q;
}

struct source_queue *
intake_queue(struct intake *in, const char *source_name)
{
	struct source_queue *q = queue_of(in, source_name);

	if (q == NULL)
		return NULL;
	q->is_retired = false;
	/* Got each time, since a source that was removed comes back to the page thereby. */
	q->logged = metric_get(METRIC_LOGGED, source_name, NULL);
	q->duplicates = metric_get(METRIC_DUPLICATES, source_name, NULL);
	q->parked = metric_get(METRIC_PARKED, source_name, NULL);
	q->unavailable = metric_get(METRIC_UNAVAILABLE, source_name, NULL);
	return q;
}

void
intake_queue_retire(struct source_queue *q)
{
	q->is_retired = true;
}

void
intake_queue_counts(const struct source_queue *q, struct source_counts *ret)
{
	*ret = q->counts;
}

/* ---- what others ask ---- */

/* Each writer that is up has had its batch for longer than a sender waits. */
static bool
all_writers_hang(const struct intake *in)
{
	for (size_t i = 0; i < nwriters(in); i++) {
		const struct batch *b = writer_batch(in->writers[i]);

		if (writer_is_up(in->writers[i]) && (b == NULL || b->started_us >= deadline_us(in)))
			return false;
	}
	return true;
}

bool
intake_is_ready(const struct intake *in, const char **ret_why)
{
	if (!some_writer_is_up(in))
		*ret_why = writer_why(in->writers[0]);
	else if (in->trouble_us != 0 && clock_mono_us() - in->trouble_us < TROUBLE_US)
		*ret_why = in->trouble.text;
	else if (all_writers_hang(in))
		*ret_why = "the database does not answer";
	else
		return true;
	return false;
}

bool
intake_makes_progress(const struct intake *in)
{
	size_t nup = 0, nhang = 0;

	for (size_t i = 0; i < nwriters(in); i++) {
		int64_t ms = writer_step_ms(in->writers[i]);

		if (ms > WRITER_STALL_MS + WRITER_STALL_MS / 2)
			return false;
		nup += writer_is_up(in->writers[i]);
		nhang += ms > WRITER_STALL_MS / 2;
	}
	return nup == 0 || nhang < nup;
}

bool
intake_is_empty(const struct intake *in)
{
	return in->bytes == 0;
}

static int64_t
oldest_us(const struct intake *in)
{
	int64_t oldest = INT64_MAX;
	const struct source_queue *q;

	TAILQ_FOREACH(q, &in->turn, in_turn) {
		const struct record *e = TAILQ_FIRST(&q->events);

		oldest = e->queued_us < oldest ? e->queued_us : oldest;
	}
	return oldest;
}

void
intake_measure(struct intake *in)
{
	int64_t oldest = oldest_us(in), now_us = clock_now_us();
	const struct source_queue *q;
	size_t up = 0;

	for (size_t i = 0; i < nwriters(in); i++)
		up += writer_is_up(in->writers[i]);
	metric_set(metric_get(METRIC_DB_CONNECTED, "writer", NULL), (double)up);
	metric_set(metric_get(METRIC_QUEUE_EVENTS, NULL, NULL), (double)in->nwaiting);
	metric_set(metric_get(METRIC_QUEUE_BYTES, NULL, NULL), (double)in->bytes);
	metric_set(metric_get(METRIC_QUEUE_OLDEST_AGE, NULL, NULL),
	    oldest == INT64_MAX ? 0 : (double)(clock_mono_us() - oldest) / 1e6);
	TAILQ_FOREACH(q, &in->sources, in_list)
		if (q->counts.last_success_us > 0 && !q->is_retired)
			metric_set(metric_get(METRIC_LAST_SUCCESS_AGE, q->name, NULL),
			    (double)(now_us - q->counts.last_success_us) / 1e6);
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
	in->loop = l;
	in->down_us = clock_mono_us();
	in->batch_events = metric_get(METRIC_BATCH_EVENTS, NULL, NULL);
	in->ack = metric_get(METRIC_ACK_LATENCY, NULL, NULL);
	TAILQ_INIT(&in->sources);
	TAILQ_INIT(&in->turn);
	TAILQ_INIT(&in->parkings);
	TAILQ_INIT(&in->retries);
	if (start_timers(in, err) && start_writers(in, err))
		return in;
	intake_free(in);
	return NULL;
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
	struct source_queue *q;
	struct batch *b;

	if (in == NULL)
		return;
	for (size_t i = 0; i < MAX_WRITERS; i++)
		writer_free(in->writers[i]);
	while ((b = TAILQ_FIRST(&in->retries)) != NULL) {
		TAILQ_REMOVE(&in->retries, b, in_queue);
		batch_free(b);
	}
	free_events(&in->parkings);
	while ((q = TAILQ_FIRST(&in->sources)) != NULL) {
		TAILQ_REMOVE(&in->sources, q, in_list);
		free_events(&q->events);
		free(q);
	}
	if (in->pump != NULL)
		event_free(in->pump);
	if (in->tick != NULL)
		event_free(in->tick);
	free(in);
}
