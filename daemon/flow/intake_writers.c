/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writers of the intake: whether something can be expected of them, which batch an idle
 * one gets, and what becomes of the batches they give back.
 */
#include "flow/intake_internal.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/writer.h"

enum {
	TROUBLE_FAILURES = 3,		/* then /readyz tells */
	QUIET_US	 = 1000 * 1000,	/* nothing came in for so long: all writers may drain */
	TROUBLE_US	 = 10 * 1000 * 1000,	/* so long a fault counts without a new try */
};

/* ---- what can be expected of the database ---- */

static size_t
nwriters(const struct intake *in)
{
	return (size_t)in->conf.writers;
}

int64_t
intake_deadline_us(const struct intake *in)
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

/* Without a spool a hanging database is worth waiting for: it may go on in time. */
bool
intake_is_away(const struct intake *in)
{
	int64_t before_us = intake_deadline_us(in);

	if (in->down_us != 0)
		return in->down_us < before_us;
	return in->backlog != NULL && all_writers_hang(in, before_us);
}

const char *
intake_database_why(const struct intake *in)
{
	if (!some_writer_is_up(in))
		return writer_why(in->writers[0]);
	if (in->trouble_us != 0 && clock_mono_us() - in->trouble_us < TROUBLE_US)
		return in->trouble.text;
	return all_writers_hang(in, intake_deadline_us(in)) ? "the database does not answer" : NULL;
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
	int64_t before_us = intake_deadline_us(in);

	for (size_t i = 0; i < nwriters(in); i++) {
		const struct batch *b = writer_batch(in->writers[i]);

		if (b != NULL && !b->is_drain && b->started_us < before_us)
			return true;
	}
	return false;
}

size_t
intake_ndraining(const struct intake *in)
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
	size_t n = intake_ndraining(in);
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

void
intake_fill_writers(struct intake *in)
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
			intake_let_go(in, e);
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

/* Nothing was committed for so long that it is no matter of this batch any more: what is in the
 * way may be ours, a COMMIT of another writer which waits for a standby and holds the keys. */
static bool
is_stuck(const struct intake *in)
{
	return in->stuck_us != 0 && clock_mono_us() - in->stuck_us > TROUBLE_US;
}

static void
set_trouble(struct intake *in, const struct err *why)
{
	in->trouble = *why;
	in->trouble_us = clock_mono_us();
	if (!is_stuck(in))
		return;
	for (size_t i = 0; i < nwriters(in); i++)
		if (!writer_is_up(in->writers[i]))	/* it says what the others wait for */
			(void)err_set(&in->trouble, why->kind, "%s", writer_why(in->writers[i]));
}

/* For /readyz: what time does not heal (a right or a function that is missing), and what
 * several tries did not (a full disk, a partition that cannot be made). */
static void
note_trouble(struct intake *in, const struct batch *b, const struct write_failure *why)
{
	bool lasts = why->err.kind == ERR_CONFIG || is_stuck(in) || (b->failures > 0 &&
	    !is_contention(why->sqlstate) && (b->failures >= TROUBLE_FAILURES || b->n == 0));

	if (why->err.kind == ERR_INPUT)
		return;
	if (in->stuck_us == 0)
		in->stuck_us = clock_mono_us();
	if (lasts)
		set_trouble(in, &why->err);
}

static void
refused(struct intake *in, struct batch *b, const struct write_failure *why)
{
	struct record *e = retries_refused(b, why);

	if (e != NULL) {
		TAILQ_INSERT_TAIL(&in->parkings, e, in_queue);
		return;
	}
	intake_give_up_on(in, b->records[0]);
	intake_drop_batch(in, b);
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
	else if (b->n < n)
		retries_put_back(&in->retries, b);	/* the fault may have been another's */
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
	intake_wake(in);
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
	in->trouble_us = in->stuck_us = 0;
	if (b->is_drain) {
		backlog_done(in->backlog, b, NULL);
		return;
	}
	for (size_t i = 0; i < b->n; i++)
		intake_tell(in, b->records[i], &b->fates[i]);
	intake_drop_batch(in, b);
}

static void
on_enqueued(void *owner)
{
	struct intake *in = owner;

	if (in->enqueued != NULL)
		in->enqueued(in->enqueued_arg);
}

static const struct writer_ops writer_ops = { .done = on_done, .enqueued = on_enqueued,
    .changed = on_changed };

/* ---- life ---- */

bool
intake_start_writers(struct intake *in, struct err *err)
{
	const struct writer_conf conf = { in->conf.conninfo, in->conf.merge_limit };

	for (size_t i = 0; i < nwriters(in); i++) {
		in->writers[i] = writer_new(in->loop, &conf, &writer_ops, in, err);
		if (in->writers[i] == NULL)
			return false;
	}
	return true;
}
