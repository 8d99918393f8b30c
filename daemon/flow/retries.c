/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a batch that failed: the next try, by the class of the error.
 *
 * - Refused for its content, it is halved until the bad record stands alone.
 * - Any other failure is tried again, with growing pauses; after five equal ones on a
 *   live connection it is halved too, since some server may call a bad record so.
 */
#include "flow/retries.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/writer.h"

enum {
	SAME_FAILURES	= 5,		/* then a batch is halved */
	RETRY_FIRST_US	= 10 * 1000,
	RETRY_MAX_US	= 500 * 1000,
};

void
retries_init(struct retries *r)
{
	TAILQ_INIT(&r->batches);
}

void
retries_fini(struct retries *r)
{
	struct batch *b;

	while ((b = TAILQ_FIRST(&r->batches)) != NULL) {
		TAILQ_REMOVE(&r->batches, b, in_queue);
		batch_free(b);
	}
}

bool
retries_are_empty(const struct retries *r)
{
	return TAILQ_EMPTY(&r->batches);
}

void
retries_note(struct batch *b, const struct write_failure *why)
{
	char class[3] = { why->sqlstate[0], why->sqlstate[0] ? why->sqlstate[1] : '\0', '\0' };
	bool is_same = strcmp(b->sqlstate, why->sqlstate) == 0;

	metric_add(metric_get(METRIC_BATCH_ERRORS, class[0] != '\0' ? class : "connection", NULL),
	    1);
	(void)snprintf(b->sqlstate, sizeof(b->sqlstate), "%s", why->sqlstate);
	/* A lost connection says nothing about the batch. */
	b->failures = why->sqlstate[0] == '\0' ? 0 : is_same ? b->failures + 1 : 1;
}

static void
retry_later(struct retries *r, struct batch *b)
{
	int64_t wait_us = RETRY_FIRST_US;

	for (unsigned i = 1; i < b->failures && wait_us < RETRY_MAX_US; i++)
		wait_us *= 2;
	b->not_before_us = clock_mono_us() + (b->failures > 0 ? wait_us : 0);
	TAILQ_INSERT_TAIL(&r->batches, b, in_queue);
}

void
retries_put_back(struct retries *r, struct batch *take_batch)
{
	take_batch->failures = 0;
	take_batch->not_before_us = 0;
	TAILQ_INSERT_HEAD(&r->batches, take_batch, in_queue);
}

/* Both halves are tried at once; without memory the whole is tried again. */
static void
halve(struct retries *r, struct batch *b)
{
	struct batch *rest = batch_halve(b);

	retries_put_back(r, b);
	if (rest != NULL)
		TAILQ_INSERT_AFTER(&r->batches, b, rest, in_queue);
}

bool
retries_take(struct retries *r, struct batch *take_batch, const struct write_failure *why)
{
	bool is_refused = why->err.kind == ERR_INPUT;

	if (is_refused && take_batch->n == 1)
		return false;
	if (take_batch->n > 1 && (is_refused || take_batch->failures >= SAME_FAILURES))
		halve(r, take_batch);
	else
		retry_later(r, take_batch);
	return true;
}

struct record *
retries_refused(struct batch *take_batch, const struct write_failure *why)
{
	struct record *e = take_batch->records[0];
	char id[UUID_TEXT_SIZE];

	uuid_text(e->id, id);
	if (e->is_parking) {
		log_error("parking_refused", F_TEXT("id", id), F_STR("source", e->source),
		    F_TEXT("sqlstate", why->sqlstate), F_NUM("bytes", e->raw.n));
		return NULL;
	}
	log_warn("event_parked", F_TEXT("id", id), F_STR("source", e->source),
	    F_TEXT("sqlstate", why->sqlstate), F_NUM("bytes", e->raw.n));
	record_set_reason(e, str_of(why->err.text));
	(void)snprintf(e->sqlstate, sizeof(e->sqlstate), "%s", why->sqlstate);
	e->is_parking = true;
	take_batch->n = 0;
	batch_free(take_batch);
	return e;
}

struct batch *
retries_next(struct retries *r)
{
	int64_t now_us = clock_mono_us();
	struct batch *b;

	TAILQ_FOREACH(b, &r->batches, in_queue)
		if (b->not_before_us <= now_us) {
			TAILQ_REMOVE(&r->batches, b, in_queue);
			return b;
		}
	return NULL;
}
