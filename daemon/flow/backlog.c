/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is acknowledged but not in PostgreSQL yet.
 *
 * In: a record is packed and handed to the spool's thread.  It stays whose it was until
 * the spool has answered, since it may be in flight meanwhile.
 *
 * Out: rows are read ahead in their order, as records with the number of their row, so
 * that a writer never waits for the disk.  What was read is in memory until it is
 * committed, however often its batch fails, and its row is removed then.  So a daemon
 * that is killed between COMMIT and removal drains a row twice, and PostgreSQL knows it
 * by its own id.
 *
 * The reading goes forward only.  What it left behind it (a removal that failed, rows of
 * a salvaged file with numbers of their own) is found when nothing is in memory and the
 * spool still counts rows: then it starts over.
 */
#include "flow/backlog.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/record.h"
#include "flow/record_pack.h"
#include "flow/retries.h"
#include "flow/writer.h"

enum {
	READ_AHEAD_BATCHES = 2,			/* besides those in flight */
	BUFFER_KEPT_BYTES  = 1024 * 1024,	/* a larger one is given back */
	PAUSE_FIRST_US	   = 10 * 1000,
	PAUSE_MAX_US	   = 500 * 1000,
	SCAN_US		   = 1000 * 1000,	/* between two starts of the reading */
	REARM_PERCENT	   = 5,			/* so far below a level it may be told again */
	NLEVELS		   = 3,
};

static const int levels_percent[NLEVELS] = { 50, 80, 95 };

struct backlog {
	struct spool			*spool;		/* ours */
	const struct backlog_ops	*ops;
	void				*owner;
	struct batch_limits		 limits;	/* of a batch */
	size_t				 room_events, room_bytes;	/* of what is held */
	struct buf			 row, identities;	/* of the record being put */
	size_t				 put_bytes;
	bool				 refuses;	/* told once, until it takes again */

	struct record_queue		 ahead[BATCH_NKINDS];	/* read, in no batch yet */
	struct retries			 retries;
	size_t				 held_events, held_bytes;	/* all that was read */
	int64_t				 after;		/* seq: what is behind it was not read */
	int64_t				 scan_us;	/* clock_mono_us() of the last start */
	bool				 is_reading;
	bool				 has_news;	/* since that reading was asked for */
	bool				 is_at_end;	/* nothing is behind `after` */
	bool				 is_stopping;
	unsigned			 failures;	/* in a row, on a live connection */
	int64_t				 pause_until_us;	/* clock_mono_us() */
	size_t				 unreadable;	/* rows that this scan left behind */
	size_t				 refused;	/* likewise: not even parked */

	int				 level;		/* of levels_percent: the next one up */
	bool				 is_in_use;	/* rows stood in it at the last tick */
	uint64_t			 ndrained;	/* since it was empty */
};

/* ---- in ---- */

static void
tell_refusal(struct backlog *bl, const struct err *why)
{
	struct spool_state s;

	metric_add(metric_get(METRIC_SPOOL_REFUSED, NULL, NULL), 1);
	if (bl->refuses)
		return;
	bl->refuses = true;
	spool_state(bl->spool, &s);
	log_error("spool_refuses", F_ERR(why), F_NUM("events", s.events), F_NUM("bytes", s.bytes),
	    F_NUM("max_bytes", s.max_bytes));
}

static void
trim_buffer(struct buf *b)
{
	if (b->room > BUFFER_KEPT_BYTES)
		buf_fini(b);
}

bool
backlog_put(struct backlog *bl, struct record *e, struct err *err)
{
	struct spool_item item;
	bool ok = record_pack(e, &bl->row, &bl->identities, &item) ||
	    err_set(err, ERR_RETRY, "out of memory");

	ok = ok && spool_put(bl->spool, &item, e, err);
	if (ok) {
		e->put_bytes = item.source.n + item.identities.n + item.row.n;
		bl->put_bytes += e->put_bytes;
	} else {
		tell_refusal(bl, err);
	}
	trim_buffer(&bl->row);
	trim_buffer(&bl->identities);
	return ok;
}

static void
on_put_done(void *owner, void *tag, const struct uuid *id, const struct err *why)
{
	struct backlog *bl = owner;
	struct record *e = tag;

	bl->put_bytes -= e->put_bytes;
	e->put_bytes = 0;
	if (why != NULL) {
		tell_refusal(bl, why);
	} else {
		bl->refuses = false;
		bl->has_news = true;
		bl->is_at_end = false;
	}
	bl->ops->kept(bl->owner, e, id, why);
	bl->ops->changed(bl->owner);
}

size_t
backlog_put_bytes(const struct backlog *bl)
{
	return bl->put_bytes;
}

/* ---- reading ahead ---- */

void
backlog_read_ahead(struct backlog *bl)
{
	if (bl->is_reading || bl->is_at_end || bl->is_stopping ||
	    bl->held_events >= bl->room_events || bl->held_bytes >= bl->room_bytes)
		return;
	if (!spool_read(bl->spool, bl->after, bl->limits.events, bl->limits.bytes))
		return;		/* the next tick asks again */
	bl->is_reading = true;
	bl->has_news = false;
}

/* It stays where it is, for a version that can read it. */
static void
leave_behind(struct backlog *bl, const struct spool_item *item, const struct err *why)
{
	char id[UUID_TEXT_SIZE];

	uuid_text(item->id, id);
	if (bl->unreadable++ == 0)
		log_error("spool_row_unreadable", F_NUM("seq", item->seq), F_TEXT("id", id),
		    F_STR("source", item->source), F_ERR(why));
}

static bool
hold(struct backlog *bl, const struct spool_item *item)
{
	struct record *e;
	struct err err;

	if (record_unpack(item, &e, &err)) {
		TAILQ_INSERT_TAIL(&bl->ahead[e->is_parking ? BATCH_PARK : BATCH_LOG], e, in_queue);
		bl->held_events++;
		bl->held_bytes += e->bytes;
	} else if (err.kind == ERR_INPUT) {
		leave_behind(bl, item, &err);
	} else {
		return false;
	}
	return true;
}

static void
on_read_done(void *owner, const struct spool_item *items, size_t n)
{
	struct backlog *bl = owner;

	bl->is_reading = false;
	if (n == 0)
		bl->is_at_end = !bl->has_news;
	/* Without memory the rest is read again. */
	for (size_t i = 0; i < n && hold(bl, &items[i]); i++)
		bl->after = items[i].seq;
	bl->ops->changed(bl->owner);
}

static void
on_spool_changed(void *owner)
{
	struct backlog *bl = owner;

	bl->has_news = true;
	bl->is_at_end = false;
	bl->ops->changed(bl->owner);
}

static const struct spool_ops spool_ops = {
	.put_done = on_put_done, .read_done = on_read_done, .changed = on_spool_changed,
};

static void
start_over(struct backlog *bl, int64_t now_us)
{
	bl->after = 0;
	bl->scan_us = now_us;
	bl->unreadable = bl->refused = 0;
	bl->is_at_end = false;
}

static void
look_behind(struct backlog *bl, const struct spool_state *s)
{
	int64_t now_us = clock_mono_us();

	if (bl->held_events == 0 && !bl->is_reading && bl->is_at_end &&
	    s->events > (int64_t)(bl->unreadable + bl->refused) && now_us - bl->scan_us >= SCAN_US)
		start_over(bl, now_us);
}

/* ---- out ---- */

/* The kind whose oldest record is the oldest of all. */
static struct record_queue *
oldest_queue(struct backlog *bl)
{
	struct record_queue *log = &bl->ahead[BATCH_LOG], *park = &bl->ahead[BATCH_PARK];

	if (TAILQ_EMPTY(log) || TAILQ_EMPTY(park))
		return TAILQ_EMPTY(log) ? park : log;
	return TAILQ_FIRST(log)->seq < TAILQ_FIRST(park)->seq ? log : park;
}

static struct batch *
fill(struct backlog *bl)
{
	struct record_queue *from = oldest_queue(bl);
	size_t room = bl->held_events < bl->limits.events ? bl->held_events : bl->limits.events;
	struct record *e;
	struct batch *b;

	if (TAILQ_EMPTY(from))
		return NULL;
	b = batch_new(from == &bl->ahead[BATCH_PARK] ? BATCH_PARK : BATCH_LOG, room);
	if (b == NULL)
		return NULL;
	b->is_drain = true;
	while (batch_has_room(b, &bl->limits) && (e = TAILQ_FIRST(from)) != NULL) {
		TAILQ_REMOVE(from, e, in_queue);
		batch_add(b, e);
	}
	return b;
}

struct batch *
backlog_take(struct backlog *bl)
{
	struct batch *b;

	if (bl->is_stopping || clock_mono_us() < bl->pause_until_us)
		return NULL;
	b = retries_next(&bl->retries);
	if (b == NULL)
		b = fill(bl);
	backlog_read_ahead(bl);
	return b;
}

static void
let_go(struct backlog *bl, struct batch *b)
{
	bl->held_events -= b->n;
	bl->held_bytes -= b->bytes;
	batch_free(b);
}

static void
committed(struct backlog *bl, struct batch *b)
{
	int64_t *seqs = calloc(b->n, sizeof(*seqs));

	for (size_t i = 0; i < b->n; i++) {
		if (seqs != NULL)
			seqs[i] = b->records[i]->seq;
		bl->ops->drained(bl->owner, b->records[i], &b->fates[i]);
	}
	/* Rows that stay are drained again, which is harmless. */
	if (seqs != NULL)
		(void)spool_remove(bl->spool, seqs, b->n);
	free(seqs);
	bl->failures = 0;
	bl->pause_until_us = 0;
	bl->ndrained += b->n;
	let_go(bl, b);
}

/* As a parking it joins the others.  Refused even so, its row stays in the spool, since it
 * was acknowledged. */
static void
refused(struct backlog *bl, struct batch *b, const struct write_failure *why)
{
	struct record *e = retries_refused(b, why);

	if (e != NULL) {
		TAILQ_INSERT_TAIL(&bl->ahead[BATCH_PARK], e, in_queue);
		return;
	}
	bl->refused++;
	let_go(bl, b);
}

/* Else the batches that were read ahead would be halved to single records and knock, each
 * by itself, at a database that takes nothing. */
static void
pause_draining(struct backlog *bl)
{
	int64_t wait_us = PAUSE_FIRST_US;

	for (unsigned i = 0; i < bl->failures && wait_us < PAUSE_MAX_US; i++)
		wait_us *= 2;
	bl->failures++;
	bl->pause_until_us = clock_mono_us() + (wait_us < PAUSE_MAX_US ? wait_us : PAUSE_MAX_US);
}

void
backlog_done(struct backlog *bl, struct batch *take_batch, const struct write_failure *why)
{
	if (why == NULL) {
		committed(bl, take_batch);
		return;
	}
	if (why->err.kind != ERR_INPUT && why->sqlstate[0] != '\0')
		pause_draining(bl);
	if (!retries_take(&bl->retries, take_batch, why))
		refused(bl, take_batch, why);
}

void
backlog_stop(struct backlog *bl)
{
	bl->is_stopping = true;
}

/* ---- what is told ---- */

static int
percent(const struct spool_state *s)
{
	return s->max_bytes > 0 ? (int)(s->bytes * 100 / s->max_bytes) : 0;
}

static void
tell_level(struct backlog *bl, const struct spool_state *s)
{
	int now = percent(s);

	while (bl->level > 0 && now < levels_percent[bl->level - 1] - REARM_PERCENT)
		bl->level--;
	if (bl->level == NLEVELS || now < levels_percent[bl->level])
		return;
	while (bl->level < NLEVELS && now >= levels_percent[bl->level])
		bl->level++;
	log_warn("spool_fills", F_NUM("percent", now), F_NUM("events", s->events),
	    F_NUM("bytes", s->bytes), F_NUM("max_bytes", s->max_bytes));
}

static void
tell_use(struct backlog *bl, const struct spool_state *s)
{
	if (bl->is_in_use == (s->events > 0))
		return;
	bl->is_in_use = s->events > 0;
	if (bl->is_in_use)
		log_warn("spool_in_use", F_NUM("events", s->events));
	else
		log_info("spool_drained", F_NUM("events", bl->ndrained));
	bl->ndrained = 0;
}

void
backlog_tick(struct backlog *bl)
{
	struct spool_state s;

	spool_state(bl->spool, &s);
	tell_level(bl, &s);
	tell_use(bl, &s);
	look_behind(bl, &s);
	backlog_read_ahead(bl);
}

void
backlog_state(const struct backlog *bl, struct backlog_state *ret)
{
	spool_state(bl->spool, &ret->spool);
	ret->unreadable = bl->unreadable;
}

static void
set(enum metric_id id, double value)
{
	metric_set(metric_get(id, NULL, NULL), value);
}

void
backlog_measure(const struct backlog *bl)
{
	struct spool_state s;

	spool_state(bl->spool, &s);
	set(METRIC_SPOOL_EVENTS, (double)s.events);
	set(METRIC_SPOOL_BYTES, (double)s.bytes);
	set(METRIC_SPOOL_MAX_BYTES, (double)s.max_bytes);
	set(METRIC_SPOOL_FILL, s.max_bytes > 0 ? (double)s.bytes / (double)s.max_bytes : 0);
	set(METRIC_SPOOL_OLDEST_AGE,
	    s.oldest_us > 0 ? (double)(clock_now_us() - s.oldest_us) / 1e6 : 0);
	set(METRIC_SPOOL_TAKES, s.takes);
	set(METRIC_SPOOL_UNREADABLE, (double)bl->unreadable);
}

/* ---- life ---- */

struct backlog *
backlog_new(struct loop *l, const struct backlog_conf *conf, const struct backlog_ops *ops,
    void *owner, struct err *err)
{
	size_t batches = conf->writers + READ_AHEAD_BATCHES;
	struct backlog *bl = calloc(1, sizeof(*bl));

	if (bl == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	bl->ops = ops;
	bl->owner = owner;
	bl->limits = conf->batch;
	bl->room_events = batches * conf->batch.events;
	bl->room_bytes = batches * conf->batch.bytes;
	retries_init(&bl->retries);
	for (size_t i = 0; i < BATCH_NKINDS; i++)
		TAILQ_INIT(&bl->ahead[i]);
	bl->spool = spool_new(l, &conf->spool, &spool_ops, bl, err);
	if (bl->spool != NULL)
		return bl;
	backlog_free(bl);
	return NULL;
}

void
backlog_free(struct backlog *bl)
{
	struct record *e;

	if (bl == NULL)
		return;
	spool_free(bl->spool);
	for (size_t i = 0; i < BATCH_NKINDS; i++)
		while ((e = TAILQ_FIRST(&bl->ahead[i])) != NULL) {
			TAILQ_REMOVE(&bl->ahead[i], e, in_queue);
			record_free(e);
		}
	retries_fini(&bl->retries);
	buf_fini(&bl->row);
	buf_fini(&bl->identities);
	free(bl);
}
