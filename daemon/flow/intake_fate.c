/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an event ends, and the way into the spool.
 *
 * An event has one fate.  Until its sender knows it, the event is in a queue, in a batch,
 * or aside: handed to the spool, whose answer is to come.  Told, it is only still here if
 * it is in flight; should its batch fail, it is dropped, since the spool has it or its
 * sender will send it again.
 */
#include "flow/intake_internal.h"

#include <string.h>

#include "base/clock.h"
#include "base/metric.h"
#include "flow/writer.h"

enum {
	PUTS_MAX_BYTES = 32 * 1024 * 1024,	/* on their way into the spool: more waits */
	PUT_WITHIN_US  = 10 * 1000 * 1000,	/* else the sender is to keep it after all */
};

/* ---- the end of an event ---- */

static void
drop(struct intake *in, struct record *e)
{
	in->bytes -= e->bytes;
	record_free(e);
}

void
intake_put_aside(struct intake *in, struct record *e)
{
	TAILQ_INSERT_TAIL(&in->aside, e, in_queue);
	e->is_aside = true;
}

/* One that was committed while the spool was
 * still at it is counted when its row is drained: see count_late(). */
void
intake_tell(struct intake *in, struct record *e, const struct fate *fate)
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

void
intake_give_up_on(struct intake *in, struct record *e)
{
	const struct fate fate = { FATE_UNAVAILABLE, e->id };

	intake_tell(in, e, &fate);
}

void
intake_let_go(struct intake *in, struct record *e)
{
	if (e->put_bytes > 0)
		intake_put_aside(in, e);
	else
		drop(in, e);
}

void
intake_drop_batch(struct intake *in, struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		intake_let_go(in, b->records[i]);
	b->n = 0;
	batch_free(b);
}

/* ---- into the spool ---- */

bool
intake_put(struct intake *in, struct record *e, struct err *err)
{
	if (in->backlog == NULL)
		return err_set(err, ERR_RETRY, "there is no spool");
	return backlog_put(in->backlog, e, err);
}

bool
intake_may_hand_over(const struct intake *in)
{
	return in->backlog == NULL || backlog_put_bytes(in->backlog) < PUTS_MAX_BYTES;
}

/* It was in no batch, and waits no longer. */
static void
move_on(struct intake *in, struct record *e)
{
	struct err err;		/* told by the backlog */

	if (intake_may_hand_over(in) && intake_put(in, e, &err)) {
		intake_put_aside(in, e);
		return;
	}
	intake_give_up_on(in, e);
	drop(in, e);
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
		intake_tell(in, e, &spooled);
	else
		intake_give_up_on(in, e);
	if (e->is_aside) {
		TAILQ_REMOVE(&in->aside, e, in_queue);
		drop(in, e);
	}
}

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
	intake_wake(owner);
}

const struct backlog_ops intake_backlog_ops = {
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
	return intake_may_hand_over(in) ? s->before_us : s->late_us;
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
		bool is_put = e->put_bytes > 0;

		if (e->is_told || (is_put ? e->queued_us >= s->late_us : !is_due(in, e, s)))
			continue;
		if (is_put || !intake_may_hand_over(in) || !intake_put(in, e, &err))
			intake_give_up_on(in, e);
	}
}

/* What was handed over may still get there; the sender's retry is then a duplicate. */
static void
sweep_aside(struct intake *in, const struct sweep *s)
{
	struct record *e;

	TAILQ_FOREACH(e, &in->aside, in_queue)
		if (e->queued_us < s->late_us)
			intake_give_up_on(in, e);
}

void
intake_sweep(struct intake *in, int64_t before_us)
{
	const struct sweep s = { before_us, intake_deadline_us(in) - PUT_WITHIN_US };

	sweep_waiting(in, &s);
	sweep_retries(in, &s);
	for (size_t i = 0; i < (size_t)in->conf.writers; i++) {
		struct batch *b = writer_batch(in->writers[i]);

		if (b != NULL && !b->is_drain)
			sweep_in_flight(in, b, &s);
	}
	sweep_aside(in, &s);
}
