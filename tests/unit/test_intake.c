/* SPDX-License-Identifier: Apache-2.0 */
/* The route of an event between two stores, both of which are played here: every order in
 * which they may answer. */
#include "flow/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/batch.h"
#include "flow/source_queue.h"
#include "flow/writer.h"
#include "io/loop.h"
#include "model/source.h"

enum { MAX_WRITERS = 4, MAX_ROWS = 4000, MAX_EVENTS = 400, SPOOL_AFTER_MS = 1000 };

/* ---- writers that do what the test says ---- */

struct writer {
	const struct writer_ops	*ops;
	void			*owner;
	struct batch		*batch;
	bool			 is_up;
};

static struct writer writers[MAX_WRITERS];
static size_t nwriters;

struct writer *
writer_new(struct loop *l, const struct writer_conf *conf, const struct writer_ops *ops,
    void *owner, struct err *err)
{
	struct writer *w = &writers[nwriters++];

	(void)l;
	(void)conf;
	(void)err;
	*w = (struct writer){ ops, owner, NULL, true };
	return w;
}

void
writer_free(struct writer *w)
{
	if (w != NULL)
		batch_free(w->batch);
}

bool
writer_is_up(const struct writer *w)
{
	return w->is_up;
}

bool
writer_is_idle(const struct writer *w)
{
	return w->is_up && w->batch == NULL;
}

void
writer_put(struct writer *w, struct batch *take_batch)
{
	assert_true(writer_is_idle(w));
	w->batch = take_batch;
}

struct batch *
writer_batch(const struct writer *w)
{
	return w->batch;
}

const char *
writer_why(const struct writer *w)
{
	return w->is_up ? NULL : "it is away";
}

int64_t
writer_step_ms(const struct writer *w)
{
	(void)w;
	return 0;
}

/* ---- a spool that does what the test says ---- */

struct row {
	struct spool_item	 item;		/* its texts are ours */
	void			*tag;		/* while it is being put */
};

struct spool {
	const struct spool_ops	*ops;
	void			*owner;
	struct row		 rows[MAX_ROWS];	/* on disk, oldest first */
	size_t			 nrows;
	struct row		 puts[MAX_ROWS];	/* asked for */
	size_t			 nputs;
	int64_t			 next_seq;
	int64_t			 after;		/* of the reading asked for */
	size_t			 most;
	bool			 is_reading;
	bool			 takes;
	bool			 fails_to_remove;
	bool			 is_there;
};

static struct spool spool;

static struct str
own(struct str s)
{
	char *p = malloc(s.n + 1);

	assert_non_null(p);
	memcpy(p, s.p, s.n);
	return (struct str){ p, s.n };
}

static void
disown(struct str s)
{
	union { const char *in; char *out; } p = { s.p };

	free(p.out);
}

static void
forget(struct row *r)
{
	disown(r->item.source);
	disown(r->item.identities);
	disown(r->item.row);
}

struct spool *
spool_new(struct loop *l, const struct spool_conf *conf, const struct spool_ops *ops,
    void *owner, struct err *err)
{
	(void)l;
	(void)conf;
	(void)err;
	spool.ops = ops;
	spool.owner = owner;
	spool.is_there = true;
	return &spool;
}

static bool
same(struct uuid a, struct uuid b)
{
	return memcmp(a.b, b.b, sizeof(a.b)) == 0;
}

/* The rows: what is asked for and not answered gets there too. */
static void
store(struct row *put, struct uuid *ret_id)
{
	for (size_t i = 0; i < spool.nrows; i++)
		if (same(spool.rows[i].item.key, put->item.key)) {
			*ret_id = spool.rows[i].item.id;
			forget(put);
			return;
		}
	assert_true(spool.nrows < MAX_ROWS);
	put->item.seq = ++spool.next_seq;
	*ret_id = put->item.id;
	spool.rows[spool.nrows++] = *put;
}

void
spool_free(struct spool *s)
{
	struct uuid id;

	if (s == NULL)
		return;
	for (size_t i = 0; i < s->nputs; i++)
		store(&s->puts[i], &id);
	s->nputs = 0;
	s->is_there = false;
}

bool
spool_put(struct spool *s, const struct spool_item *item, void *tag, struct err *err)
{
	struct row *r = &s->puts[s->nputs];

	if (!s->takes)
		return err_set(err, ERR_RETRY, "it is full");
	assert_true(s->nputs < MAX_ROWS);
	*r = (struct row){ *item, tag };
	r->item.source = own(item->source);
	r->item.identities = own(item->identities);
	r->item.row = own(item->row);
	s->nputs++;
	return true;
}

bool
spool_read(struct spool *s, int64_t after, size_t max_items, size_t max_bytes)
{
	(void)max_bytes;
	assert_false(s->is_reading);
	s->is_reading = true;
	s->after = after;
	s->most = max_items;
	return true;
}

bool
spool_remove(struct spool *s, const int64_t *seqs, size_t n)
{
	size_t kept = 0;

	if (s->fails_to_remove)
		return true;
	for (size_t i = 0; i < s->nrows; i++) {
		bool goes = false;

		for (size_t k = 0; k < n; k++)
			goes |= s->rows[i].item.seq == seqs[k];
		if (goes)
			forget(&s->rows[i]);
		else
			s->rows[kept++] = s->rows[i];
	}
	s->nrows = kept;
	return true;
}

void
spool_state(const struct spool *s, struct spool_state *ret)
{
	*ret = (struct spool_state){ .events = (int64_t)s->nrows, .bytes = (int64_t)s->nrows,
	    .max_bytes = MAX_ROWS, .takes = s->takes };
}

/* ---- the intake between them ---- */

static struct loop *loop;
static struct intake *in;
static struct source_queue *queue;
static int64_t now_us;

struct event_try {
	struct receipt	 receipt;
	struct uuid	 id;
	struct fate	 fate;
	unsigned	 nfired;
};

static struct event_try tries[MAX_EVENTS];
static size_t ntries;

static void
turn(void)
{
	for (int i = 0; i < 5; i++)
		(void)event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
}

static void
read_answers(void)
{
	struct spool_item items[MAX_ROWS];
	size_t n = 0;

	if (!spool.is_reading)
		return;
	spool.is_reading = false;
	for (size_t i = 0; i < spool.nrows && n < spool.most; i++)
		if (spool.rows[i].item.seq > spool.after)
			items[n++] = spool.rows[i].item;
	spool.ops->read_done(spool.owner, items, n);
}

/* Until nothing happens by itself any more. */
static void
settle(void)
{
	turn();
	for (int i = 0; i < 20 && spool.is_reading; i++) {
		read_answers();
		turn();
	}
}

/* The intake's own timer, at that time; the last turn sees what is due now. */
static void
pass_ms(int64_t ms)
{
	now_us += ms * 1000;
	clock_set_us(now_us);
	settle();
	(void)event_base_loop(loop_base(loop), EVLOOP_ONCE);
	settle();
}

static void
start_with(int64_t n, bool with_spool, int64_t queue_max_bytes)
{
	const struct intake_conf conf = { .conninfo = "", .writers = n, .batch_max = 10,
	    .batch_max_bytes = 1 << 20, .queue_max_bytes = queue_max_bytes,
	    .spool_after_ms = SPOOL_AFTER_MS, .merge_limit = 5 };
	const struct spool_conf spool_conf = { STR("/spool"), MAX_ROWS };
	struct err err;

	in = intake_new(loop, &conf, &err);
	assert_non_null(in);
	if (with_spool)
		assert_true(intake_open_spool(in, &spool_conf, &err));
	queue = intake_queue(in, "web");
	assert_non_null(queue);
	for (size_t i = 0; i < nwriters; i++)
		writers[i].ops->changed(writers[i].owner);
	settle();
}

static void
start(int64_t n)
{
	start_with(n, true, 1 << 24);
}

static int
before_each(void **state)
{
	struct err err;

	(void)state;
	now_us = 1800000000000000;
	clock_set_us(now_us);
	log_set_level(LOG_ERROR - 1);
	nwriters = ntries = 0;
	memset(tries, 0, sizeof(tries));
	spool.takes = true;
	loop = loop_new(&err);
	return loop == NULL;
}

static int
after_each(void **state)
{
	(void)state;
	for (size_t i = 0; i < ntries; i++)
		receipt_forget(&tries[i].receipt);
	intake_free(in);
	for (size_t i = 0; i < spool.nrows; i++)
		forget(&spool.rows[i]);
	memset(&spool, 0, sizeof(spool));
	loop_free(loop);
	metric_free_all();
	clock_set_us(-1);
	return 0;
}

static void
fired(struct receipt *r, const struct fate *fate)
{
	struct event_try *t = (struct event_try *)r;	/* its first member */

	t->nfired++;
	t->fate = *fate;
}

static struct uuid
key_of(const char *name)
{
	struct uuid key = { { 0 } };

	(void)snprintf((char *)key.b, sizeof(key.b), "%s", name);
	return key;
}

static struct event_try *
new_try(void)
{
	struct event_try *t = &tries[ntries++];

	assert_true(ntries <= MAX_EVENTS);
	t->receipt.fired = fired;
	t->id = uuid_v7();
	return t;
}

static bool
submitted(struct event_try *t, const char *key, struct str raw)
{
	static const struct source source = { .name = STR("web") };
	static struct party nobody;
	struct interaction i = { .source = &source, .until_day = UNTIL_NEVER, .raw = raw,
	    .parties = &nobody,
	    .attributes = STR("{}"), .content_type = STR("application/json") };
	struct err err;

	i.id = t->id;
	i.key = key_of(key);
	return intake_submit(in, queue, &i, &t->receipt, &err);
}

static struct event_try *
submit(const char *key)
{
	struct event_try *t = new_try();

	assert_true(submitted(t, key, STR("{}")));
	return t;
}

static struct event_try *
park(const char *key)
{
	struct event_try *t = new_try();
	const struct parking p = { .id = t->id, .key = key_of(key), .source = STR("web"),
	    .raw = STR("{}"), .reason = STR("no kind") };
	struct err err;

	assert_true(intake_park(in, queue, &p, &t->receipt, &err));
	return t;
}

static void
go_down(size_t n)
{
	writers[n].is_up = false;
	writers[n].ops->changed(writers[n].owner);
}

static void
go_up(size_t n)
{
	writers[n].is_up = true;
	writers[n].ops->changed(writers[n].owner);
	settle();
}

static struct batch *
in_flight(size_t n)
{
	settle();
	assert_non_null(writers[n].batch);
	return writers[n].batch;
}

static struct batch *
take_back(size_t n)
{
	struct batch *b = in_flight(n);

	writers[n].batch = NULL;
	return b;
}

static void
commit(size_t n)
{
	struct batch *b = take_back(n);

	for (size_t i = 0; i < b->n; i++)
		b->fates[i] = (struct fate){ b->kind == BATCH_PARK ? FATE_PARKED : FATE_LOGGED,
		    b->records[i]->id };
	writers[n].ops->done(writers[n].owner, b, NULL);
	settle();
}

static void
fail_by(size_t n, enum err_kind kind, const char *sqlstate)
{
	struct batch *b = take_back(n);
	struct write_failure why = { .err = { .kind = kind } };

	(void)snprintf(why.err.text, sizeof(why.err.text), "it failed");
	(void)snprintf(why.sqlstate, sizeof(why.sqlstate), "%s", sqlstate);
	writers[n].ops->done(writers[n].owner, b, &why);
	settle();
}

static void
lose_connection(size_t n)
{
	struct batch *b = take_back(n);
	const struct write_failure why = { .err = { .kind = ERR_UNCERTAIN, .text = "lost" } };

	writers[n].is_up = false;
	writers[n].ops->done(writers[n].owner, b, &why);
	settle();
}

/* The spool's fsync. */
static void
sync_spool(void)
{
	size_t n = spool.nputs;

	spool.nputs = 0;
	for (size_t i = 0; i < n; i++) {
		struct row put = spool.puts[i];
		void *tag = put.tag;
		struct uuid id;

		store(&put, &id);
		spool.ops->put_done(spool.owner, tag, &id, NULL);
	}
	settle();
}

static void
break_spool(void)
{
	const struct err why = { ERR_RETRY, "disk full" };
	size_t n = spool.nputs;

	spool.nputs = 0;
	for (size_t i = 0; i < n; i++) {
		forget(&spool.puts[i]);
		spool.ops->put_done(spool.owner, spool.puts[i].tag, &spool.puts[i].item.id, &why);
	}
	settle();
}

static void
assert_fate(const struct event_try *t, enum fate_kind kind)
{
	assert_int_equal(t->nfired, 1);
	assert_int_equal(t->fate.kind, kind);
}

static uint64_t
counted(enum fate_kind kind)
{
	struct source_counts n;

	source_queue_counts(queue, &n);
	return n.fates[kind];
}

static void
assert_row(size_t n, const struct event_try *t)
{
	assert_true(n < spool.nrows);
	assert_true(same(spool.rows[n].item.id, t->id));
}

static void
assert_record(const struct batch *b, size_t n, const struct event_try *t)
{
	assert_true(n < b->n);
	assert_true(same(b->records[n]->id, t->id));
}

/* Down for longer than a sender waits. */
static void
be_away(void)
{
	for (size_t i = 0; i < nwriters; i++)
		go_down(i);
	pass_ms(SPOOL_AFTER_MS + 1);
}

/* Spooled and acknowledged. */
static void
spool_events(struct event_try **ret, size_t n)
{
	char key[16];

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "spooled%zu", i);
		ret[i] = submit(key);
	}
	sync_spool();
	for (size_t i = 0; i < n; i++)
		assert_fate(ret[i], FATE_SPOOLED);
}

/* ---- the database takes it ---- */

static void
an_event_is_acknowledged_when_its_batch_is_committed(void **state)
{
	struct event_try *a, *b;

	(void)state;
	start(1);
	a = submit("a");
	b = submit("b");
	assert_int_equal(in_flight(0)->n, 2);
	assert_int_equal(a->nfired, 0);
	commit(0);
	assert_fate(a, FATE_LOGGED);
	assert_fate(b, FATE_LOGGED);
	assert_true(intake_is_empty(in));
	assert_int_equal(spool.nputs + spool.nrows, 0);
}

/* It may go on in time. */
static void
without_a_spool_a_database_that_hangs_is_waited_for(void **state)
{
	struct event_try *hangs, *waits;

	(void)state;
	start_with(1, false, 1 << 24);
	hangs = submit("hangs");
	(void)in_flight(0);
	pass_ms(SPOOL_AFTER_MS - 200);
	waits = submit("waits");
	pass_ms(400);
	assert_fate(hangs, FATE_UNAVAILABLE);
	assert_int_equal(waits->nfired, 0);
	commit(0);
	commit(0);
	assert_fate(waits, FATE_LOGGED);
}

static void
without_a_spool_what_waits_too_long_is_given_up(void **state)
{
	struct event_try *flies, *waits, *parked;

	(void)state;
	start_with(1, false, 1 << 24);
	flies = submit("flies");
	assert_record(in_flight(0), 0, flies);
	waits = submit("waits");
	parked = park("parked");
	pass_ms(SPOOL_AFTER_MS + 1);
	assert_fate(flies, FATE_UNAVAILABLE);
	assert_fate(waits, FATE_UNAVAILABLE);
	assert_fate(parked, FATE_UNAVAILABLE);
	commit(0);
	assert_fate(flies, FATE_UNAVAILABLE);
	assert_null(writers[0].batch);
	assert_true(intake_is_empty(in));
}

/* ---- into the spool ---- */

static void
what_waits_too_long_is_acknowledged_when_the_spool_has_it(void **state)
{
	struct event_try *a, *p;

	(void)state;
	start(1);
	go_down(0);
	a = submit("a");
	p = park("p");
	pass_ms(SPOOL_AFTER_MS - 100);
	assert_int_equal(spool.nputs, 0);
	pass_ms(200);
	assert_int_equal(spool.nputs, 2);
	assert_int_equal(a->nfired + p->nfired, 0);
	sync_spool();
	assert_fate(a, FATE_SPOOLED);
	assert_fate(p, FATE_SPOOLED);
	assert_row(0, a);
	assert_row(1, p);
	assert_true(spool.rows[1].item.is_parking && !spool.rows[0].item.is_parking);
	assert_true(intake_is_empty(in));
}

static void
while_the_database_is_away_events_go_to_the_spool_at_once(void **state)
{
	struct event_try *a;

	(void)state;
	start(2);
	be_away();
	a = submit("a");
	assert_int_equal(spool.nputs, 1);
	sync_spool();
	assert_fate(a, FATE_SPOOLED);
}

static void
while_every_writer_hangs_events_go_to_the_spool_at_once(void **state)
{
	struct event_try *a;

	(void)state;
	start(2);
	(void)submit("first");
	(void)in_flight(0);
	(void)submit("second");
	(void)in_flight(1);
	pass_ms(SPOOL_AFTER_MS + 1);
	sync_spool();
	a = submit("a");
	assert_int_equal(spool.nputs, 1);
	sync_spool();
	assert_fate(a, FATE_SPOOLED);
	/* One answers: it is expected of the database again. */
	commit(0);
	a = submit("b");
	assert_int_equal(spool.nputs, 0);
	assert_record(in_flight(0), 0, a);
}

/* Its copy would hang where it does, and take another writer away from who comes in. */
static void
nothing_is_drained_while_a_batch_hangs(void **state)
{
	struct event_try *hangs, *other;

	(void)state;
	start(2);
	hangs = submit("hangs");
	(void)in_flight(0);
	pass_ms(SPOOL_AFTER_MS + 1);
	sync_spool();
	assert_fate(hangs, FATE_SPOOLED);
	pass_ms(1000);
	assert_null(writers[1].batch);
	other = submit("other");
	assert_record(in_flight(1), 0, other);
	commit(1);
	fail_by(0, ERR_RETRY, "55P03");
	assert_record(in_flight(0), 0, hangs);
}

static void
a_repetition_of_what_is_spooled_is_spooled_under_the_first_ones_id(void **state)
{
	struct event_try *first, *again;

	(void)state;
	start(1);
	be_away();
	first = submit("same");
	sync_spool();
	again = submit("same");
	sync_spool();
	assert_fate(again, FATE_SPOOLED);
	assert_true(same(again->fate.id, first->id));
	assert_int_equal(spool.nrows, 1);
}

static void
what_the_spool_does_not_take_is_given_up(void **state)
{
	struct event_try *waits, *at_once = new_try();

	(void)state;
	start(1);
	spool.takes = false;
	go_down(0);
	waits = submit("waits");
	pass_ms(SPOOL_AFTER_MS + 1);
	assert_fate(waits, FATE_UNAVAILABLE);
	assert_false(submitted(at_once, "at once", STR("{}")));
	assert_int_equal(at_once->nfired, 0);
	assert_int_equal(counted(FATE_UNAVAILABLE), 2);
	assert_true(intake_is_empty(in));
}

static void
what_the_spool_fails_to_keep_is_given_up(void **state)
{
	struct event_try *a;

	(void)state;
	start(1);
	be_away();
	a = submit("a");
	break_spool();
	assert_fate(a, FATE_UNAVAILABLE);
	assert_true(intake_is_empty(in));
	assert_int_equal(spool.nrows, 0);
}

static void
a_disk_that_does_not_answer_keeps_no_sender_waiting_for_ever(void **state)
{
	struct event_try *a;

	(void)state;
	start(1);
	be_away();
	a = submit("a");
	pass_ms(9000);
	assert_int_equal(a->nfired, 0);
	pass_ms(3000);
	assert_fate(a, FATE_UNAVAILABLE);
	/* Its sender will come again, and find it there. */
	sync_spool();
	assert_fate(a, FATE_UNAVAILABLE);
	assert_row(0, a);
	assert_true(intake_is_empty(in));
}

static void
what_finds_the_spool_busy_waits_until_it_is_less_so(void **state)
{
	static char large[12 << 20];
	const struct str raw = { large, sizeof(large) };
	struct event_try *t[5];

	(void)state;
	start_with(1, true, 256 << 20);
	be_away();
	for (size_t i = 0; i < 5; i++) {
		char key[2] = { (char)('a' + i), '\0' };

		t[i] = new_try();
		assert_true(submitted(t[i], key, raw));
	}
	assert_int_equal(spool.nputs, 3);
	pass_ms(2000);
	assert_int_equal(t[4]->nfired, 0);
	sync_spool();
	pass_ms(100);
	assert_int_equal(spool.nputs, 2);
	sync_spool();
	assert_fate(t[4], FATE_SPOOLED);
	assert_int_equal(spool.nrows, 5);
}

static void
what_memory_has_no_room_for_goes_to_the_spool_too(void **state)
{
	static char large[700 << 10];
	const struct str raw = { large, sizeof(large) };
	struct event_try *waits = new_try(), *more = new_try(), *none = new_try();

	(void)state;
	start_with(1, true, 1 << 20);
	go_down(0);
	assert_true(submitted(waits, "waits", raw));
	assert_true(submitted(more, "more", raw));
	assert_int_equal(spool.nputs, 1);
	sync_spool();
	assert_fate(more, FATE_SPOOLED);
	assert_int_equal(waits->nfired, 0);
	spool.takes = false;
	assert_false(submitted(none, "none", raw));
}

/* ---- in both stores ---- */

static void
a_batch_that_hangs_is_copied_under_its_own_ids_and_counts_once(void **state)
{
	struct event_try *a;

	(void)state;
	start(1);
	a = submit("a");
	(void)in_flight(0);
	pass_ms(SPOOL_AFTER_MS + 1);
	sync_spool();
	assert_fate(a, FATE_SPOOLED);
	assert_row(0, a);
	/* It commits after all, and is drained: the same id both times. */
	commit(0);
	assert_record(in_flight(0), 0, a);
	assert_int_equal(counted(FATE_LOGGED), 0);
	commit(0);
	assert_fate(a, FATE_SPOOLED);
	assert_int_equal(counted(FATE_SPOOLED), 1);
	assert_int_equal(counted(FATE_LOGGED), 1);
	assert_int_equal(spool.nrows, 0);
	assert_true(intake_is_empty(in));
}

static void
of_a_batch_that_fails_only_what_was_not_spooled_is_tried_again(void **state)
{
	struct event_try *old, *young;
	const struct batch *b;

	(void)state;
	start(1);
	(void)submit("holds the writer");
	(void)in_flight(0);
	old = submit("old");
	pass_ms(SPOOL_AFTER_MS - 200);
	young = submit("young");
	commit(0);
	assert_int_equal(in_flight(0)->n, 2);
	pass_ms(300);
	assert_int_equal(spool.nputs, 1);
	sync_spool();
	assert_fate(old, FATE_SPOOLED);
	lose_connection(0);
	go_up(0);
	b = in_flight(0);
	/* The spool's turn, or theirs: what matters is that each is there once. */
	if (!b->is_drain) {
		assert_int_equal(b->n, 1);
		assert_record(b, 0, young);
		commit(0);
	}
	b = in_flight(0);
	assert_int_equal(b->n, 1);
	assert_int_equal(b->is_drain, same(b->records[0]->id, old->id));
	commit(0);
	if (writers[0].batch != NULL)
		commit(0);
	assert_fate(young, FATE_LOGGED);
	assert_int_equal(spool.nrows, 0);
	assert_true(intake_is_empty(in));
}

/* The refused one may be the one that the spool has. */
static void
what_is_left_of_a_refused_batch_is_not_taken_for_the_refused_event(void **state)
{
	struct event_try *old, *young;

	(void)state;
	start(1);
	(void)submit("holds the writer");
	(void)in_flight(0);
	old = submit("old");
	pass_ms(SPOOL_AFTER_MS - 200);
	young = submit("young");
	commit(0);
	pass_ms(300);
	sync_spool();
	assert_fate(old, FATE_SPOOLED);
	fail_by(0, ERR_INPUT, "22003");
	while (writers[0].batch != NULL && writers[0].batch->is_drain)
		fail_by(0, ERR_INPUT, "22003");
	while (young->nfired == 0)
		commit(0);
	assert_fate(young, FATE_LOGGED);
	while (writers[0].batch != NULL)
		commit(0);
	assert_int_equal(counted(FATE_PARKED), 1);
	assert_int_equal(spool.nrows, 0);
}

static void
a_batch_that_fails_while_the_spool_is_at_it_is_the_spools(void **state)
{
	struct event_try *a;

	(void)state;
	start(1);
	a = submit("a");
	(void)in_flight(0);
	pass_ms(SPOOL_AFTER_MS + 1);
	assert_int_equal(spool.nputs, 1);
	fail_by(0, ERR_INPUT, "22003");
	assert_null(writers[0].batch);
	assert_int_equal(a->nfired, 0);
	assert_false(intake_is_empty(in));
	sync_spool();
	assert_fate(a, FATE_SPOOLED);
	assert_record(in_flight(0), 0, a);
}

static void
a_batch_that_fails_and_is_not_kept_either_is_given_up(void **state)
{
	struct event_try *a;

	(void)state;
	start(1);
	a = submit("a");
	(void)in_flight(0);
	pass_ms(SPOOL_AFTER_MS + 1);
	lose_connection(0);
	break_spool();
	assert_fate(a, FATE_UNAVAILABLE);
	assert_true(intake_is_empty(in));
}

static void
what_is_committed_while_the_spool_is_at_it_is_logged_and_counts_once(void **state)
{
	struct event_try *a;

	(void)state;
	start(1);
	a = submit("a");
	(void)in_flight(0);
	pass_ms(SPOOL_AFTER_MS + 1);
	commit(0);
	assert_fate(a, FATE_LOGGED);
	assert_int_equal(counted(FATE_LOGGED), 0);
	sync_spool();
	assert_record(in_flight(0), 0, a);
	commit(0);
	assert_int_equal(counted(FATE_LOGGED), 1);
	assert_int_equal(counted(FATE_SPOOLED), 0);
	assert_true(intake_is_empty(in));
}

static void
what_is_committed_while_the_spool_fails_counts_too(void **state)
{
	struct event_try *a;

	(void)state;
	start(1);
	a = submit("a");
	(void)in_flight(0);
	pass_ms(SPOOL_AFTER_MS + 1);
	commit(0);
	break_spool();
	assert_fate(a, FATE_LOGGED);
	assert_int_equal(counted(FATE_LOGGED), 1);
	assert_int_equal(counted(FATE_UNAVAILABLE), 0);
	assert_true(intake_is_empty(in));
}

static void
a_batch_that_hangs_and_finds_no_spool_is_given_up_but_may_commit(void **state)
{
	struct event_try *a;

	(void)state;
	start(1);
	spool.takes = false;
	a = submit("a");
	(void)in_flight(0);
	pass_ms(SPOOL_AFTER_MS + 1);
	assert_fate(a, FATE_UNAVAILABLE);
	commit(0);
	assert_fate(a, FATE_UNAVAILABLE);
	assert_int_equal(counted(FATE_LOGGED), 0);
}

static void
a_batch_that_hangs_while_the_disk_does_keeps_no_sender_waiting_for_ever(void **state)
{
	struct event_try *a;

	(void)state;
	start(1);
	a = submit("a");
	(void)in_flight(0);
	pass_ms(SPOOL_AFTER_MS + 1);
	assert_int_equal(spool.nputs, 1);
	pass_ms(12000);
	assert_fate(a, FATE_UNAVAILABLE);
	commit(0);
	sync_spool();
	assert_fate(a, FATE_UNAVAILABLE);
	assert_record(in_flight(0), 0, a);
}

/* ---- out of the spool ---- */

static void
a_row_leaves_the_spool_when_it_is_committed_and_not_before(void **state)
{
	struct event_try *t[3];

	(void)state;
	start(1);
	be_away();
	spool_events(t, 3);
	go_up(0);
	assert_int_equal(in_flight(0)->n, 3);
	assert_int_equal(spool.nrows, 3);
	lose_connection(0);
	assert_int_equal(spool.nrows, 3);
	go_up(0);
	assert_int_equal(in_flight(0)->n, 3);
	commit(0);
	assert_int_equal(spool.nrows, 0);
	assert_int_equal(counted(FATE_LOGGED), 3);
	assert_int_equal(metric_value(metric_get(METRIC_SPOOL_DRAINED, "logged", NULL)), 3);
}

static void
the_spool_is_drained_oldest_first_and_read_ahead_within_bounds(void **state)
{
	struct event_try *t[100];
	size_t next = 0;

	(void)state;
	start(1);
	be_away();
	spool_events(t, 100);
	go_up(0);
	while (next < 100) {
		const struct batch *b = in_flight(0);

		assert_int_equal(b->n, 10);
		for (size_t i = 0; i < b->n; i++)
			assert_record(b, i, t[next++]);
		/* One in flight and two more: no reading is asked for beyond that. */
		assert_true(spool.after <= (int64_t)next + 20);
		commit(0);
	}
	assert_int_equal(spool.nrows, 0);
	assert_null(writers[0].batch);
}

static void
a_batch_of_the_spool_is_never_given_up_nor_spooled_again(void **state)
{
	struct event_try *t[2];

	(void)state;
	start(1);
	be_away();
	spool_events(t, 2);
	go_up(0);
	(void)in_flight(0);
	pass_ms(60000);
	assert_int_equal(spool.nputs, 0);
	fail_by(0, ERR_RETRY, "53100");
	pass_ms(60000);
	assert_int_equal(in_flight(0)->n, 2);
	commit(0);
	assert_int_equal(spool.nrows, 0);
}

static void
while_the_database_takes_nothing_the_spool_knocks_ever_more_seldom(void **state)
{
	struct event_try *t[30];
	unsigned ntries_made = 0;

	(void)state;
	start(1);
	be_away();
	spool_events(t, 30);
	go_up(0);
	for (int i = 0; i < 40; i++) {
		if (writers[0].batch != NULL) {
			ntries_made++;
			fail_by(0, ERR_RETRY, "53100");
		}
		pass_ms(100);
	}
	/* Four seconds with half a second between two tries, after the first few. */
	assert_in_range(ntries_made, 5, 16);
	for (int i = 0; i < 60 && spool.nrows > 0; i++) {
		if (writers[0].batch != NULL)
			commit(0);
		else
			pass_ms(600);
	}
	assert_int_equal(spool.nrows, 0);
	assert_int_equal(counted(FATE_LOGGED), 30);
}

static void
a_row_that_postgresql_refuses_is_parked_and_its_neighbours_are_logged(void **state)
{
	struct event_try *t[4];

	(void)state;
	start(1);
	be_away();
	spool_events(t, 4);
	go_up(0);
	fail_by(0, ERR_INPUT, "22003");		/* 0 1 2 3 */
	fail_by(0, ERR_INPUT, "22003");		/* 0 1 */
	assert_int_equal(in_flight(0)->n, 1);
	fail_by(0, ERR_INPUT, "22003");		/* 0 */
	while (writers[0].batch != NULL)
		commit(0);
	assert_int_equal(spool.nrows, 0);
	assert_int_equal(counted(FATE_LOGGED), 3);
	assert_int_equal(counted(FATE_PARKED), 1);
	assert_int_equal(metric_value(metric_get(METRIC_SPOOL_DRAINED, "parked", NULL)), 1);
}

static void
a_spooled_parking_is_parked(void **state)
{
	struct event_try *p;
	const struct batch *b;

	(void)state;
	start(1);
	be_away();
	p = park("p");
	sync_spool();
	go_up(0);
	b = in_flight(0);
	assert_int_equal(b->kind, BATCH_PARK);
	assert_record(b, 0, p);
	assert_string_equal(b->records[0]->reason, "no kind");
	commit(0);
	assert_int_equal(spool.nrows, 0);
	assert_int_equal(counted(FATE_PARKED), 1);
}

static void
what_is_not_even_parked_stays_in_the_spool_and_blocks_nothing(void **state)
{
	struct event_try *p, *after;

	(void)state;
	start(1);
	be_away();
	p = park("p");
	after = submit("after");
	sync_spool();
	go_up(0);
	assert_record(in_flight(0), 0, p);
	fail_by(0, ERR_INPUT, "22021");
	assert_record(in_flight(0), 0, after);
	commit(0);
	assert_int_equal(spool.nrows, 1);
	assert_row(0, p);
	pass_ms(5000);
	assert_null(writers[0].batch);
}

/* As after an upgrade that was taken back: the rows are there before the intake is. */
static void
a_row_of_another_version_stays_in_the_spool_is_counted_and_blocks_nothing(void **state)
{
	struct intake_health health;
	struct event_try *t[3];

	(void)state;
	start(1);
	be_away();
	spool_events(t, 3);
	spool.rows[0].item.format = 99;
	intake_free(in);
	nwriters = 0;
	spool.is_reading = false;
	start(1);
	assert_int_equal(in_flight(0)->n, 2);
	commit(0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(spool.nrows, 1);
		assert_row(0, t[0]);
		assert_null(writers[0].batch);
		intake_health(in, &health);
		assert_int_equal(health.unreadable, 1);
		pass_ms(2000);
	}
}

static void
what_could_not_be_removed_is_drained_again(void **state)
{
	struct event_try *t[2];

	(void)state;
	start(1);
	be_away();
	spool_events(t, 2);
	go_up(0);
	spool.fails_to_remove = true;
	commit(0);
	assert_int_equal(spool.nrows, 2);
	assert_null(writers[0].batch);
	spool.fails_to_remove = false;
	pass_ms(2000);
	assert_int_equal(in_flight(0)->n, 2);
	commit(0);
	assert_int_equal(spool.nrows, 0);
}

static void
rows_of_a_salvaged_file_are_found_though_their_numbers_are_lower(void **state)
{
	struct event_try *t[4];

	(void)state;
	start(1);
	be_away();
	spool_events(t, 4);
	go_up(0);
	commit(0);
	assert_int_equal(spool.nrows, 0);
	be_away();
	spool.next_seq = 0;
	(void)submit("after the salvage");
	sync_spool();
	go_up(0);
	pass_ms(2000);
	assert_int_equal(in_flight(0)->n, 1);
}

/* ---- beside what comes in ---- */

static void
with_one_writer_the_spool_and_what_comes_in_take_turns(void **state)
{
	struct event_try *t[30];
	int turns[2] = { 0, 0 };

	(void)state;
	start(1);
	be_away();
	spool_events(t, 30);
	go_up(0);
	for (int i = 0; i < 6; i++) {
		(void)submit("live");
		turns[in_flight(0)->is_drain]++;
		commit(0);
	}
	assert_int_equal(turns[true], 3);
	assert_int_equal(turns[false], 3);
}

static void
with_two_writers_one_drains_while_events_come_in_and_both_when_it_is_quiet(void **state)
{
	struct event_try *t[60];

	(void)state;
	start(2);
	be_away();
	spool_events(t, 60);
	(void)submit("live");
	sync_spool();
	go_up(0);
	go_up(1);
	(void)submit("a");
	settle();
	assert_int_equal(writers[0].batch->is_drain + (writers[1].batch != NULL &&
	    writers[1].batch->is_drain), 1);
	for (size_t i = 0; i < 2; i++)
		if (writers[i].batch != NULL && !writers[i].batch->is_drain)
			commit(i);
	assert_int_equal((writers[0].batch != NULL) + (writers[1].batch != NULL), 1);
	pass_ms(500);
	assert_int_equal((writers[0].batch != NULL) + (writers[1].batch != NULL), 1);
	pass_ms(1000);
	assert_true(in_flight(0)->is_drain && in_flight(1)->is_drain);
	/* And an event that comes in now is next. */
	(void)submit("b");
	commit(0);
	assert_false(in_flight(0)->is_drain);
}

/* ---- the end ---- */

static void
at_the_end_what_cannot_be_committed_is_spooled(void **state)
{
	struct event_try *flies, *waits, *parked;

	(void)state;
	start(1);
	flies = submit("flies");
	(void)in_flight(0);
	waits = submit("waits");
	parked = park("parked");
	intake_stop_draining(in);
	assert_true(intake_hand_over(in));
	assert_int_equal(spool.nputs, 3);
	sync_spool();
	assert_fate(flies, FATE_SPOOLED);
	assert_fate(waits, FATE_SPOOLED);
	assert_fate(parked, FATE_SPOOLED);
	intake_give_up(in);
	assert_fate(flies, FATE_SPOOLED);
	assert_false(spool.is_there);
	assert_int_equal(spool.nrows, 3);
}

static void
at_the_end_who_got_no_answer_is_told_to_keep_it(void **state)
{
	struct event_try *a;

	(void)state;
	start(1);
	be_away();
	a = submit("a");
	intake_give_up(in);
	assert_fate(a, FATE_UNAVAILABLE);
	/* It is in the spool all the same; the sender's retry will be a duplicate. */
	assert_int_equal(spool.nrows, 1);
}

static void
nothing_more_is_drained_at_the_end(void **state)
{
	struct event_try *t[20];

	(void)state;
	start(1);
	be_away();
	spool_events(t, 20);
	go_up(0);
	assert_false(intake_is_empty(in));
	intake_stop_draining(in);
	commit(0);
	pass_ms(1000);
	assert_null(writers[0].batch);
	assert_true(intake_is_empty(in));
	assert_int_equal(spool.nrows, 10);
}

/* ---- what is told ---- */

static void
events_can_be_acknowledged_while_either_store_takes_them(void **state)
{
	struct intake_health h;

	(void)state;
	start(1);
	intake_health(in, &h);
	assert_true(h.is_ready);
	assert_null(h.database_why);
	go_down(0);
	intake_health(in, &h);
	assert_true(h.is_ready);
	assert_string_equal(h.database_why, "it is away");
	spool.takes = false;
	intake_health(in, &h);
	assert_false(h.is_ready);
	go_up(0);
	intake_health(in, &h);
	assert_true(h.is_ready);
	assert_false(h.spool.takes);
}

/* The COMMIT of one writer hangs at a standby and keeps the keys that the other one needs: each of
 * its failures is mere contention, but nothing is acknowledged any more. */
static void
contention_alone_is_trouble_when_nothing_is_committed_for_long(void **state)
{
	struct intake_health h;

	(void)state;
	start_with(2, false, 1 << 24);
	go_down(0);
	(void)submit("a");
	for (int s = 0; s < 10; s++) {
		(void)submit("again");	/* some come in all the time */
		pass_ms(1000);
		if (writers[1].batch != NULL)
			fail_by(1, ERR_RETRY, "55P03");
		intake_health(in, &h);
		assert_true(h.is_ready);
	}
	for (int s = 0; s < 3; s++) {
		(void)submit("again");
		pass_ms(1000);
		if (writers[1].batch != NULL)
			fail_by(1, ERR_RETRY, "55P03");
	}
	intake_health(in, &h);
	assert_false(h.is_ready);
	assert_string_equal(h.database_why, "it is away");
	(void)submit("b");
	pass_ms(1000);
	commit(1);
	intake_health(in, &h);
	assert_true(h.is_ready);
}

#define route_test(f)	cmocka_unit_test_setup_teardown(f, before_each, after_each)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		route_test(an_event_is_acknowledged_when_its_batch_is_committed),
		route_test(without_a_spool_a_database_that_hangs_is_waited_for),
		route_test(without_a_spool_what_waits_too_long_is_given_up),
		route_test(what_waits_too_long_is_acknowledged_when_the_spool_has_it),
		route_test(while_the_database_is_away_events_go_to_the_spool_at_once),
		route_test(while_every_writer_hangs_events_go_to_the_spool_at_once),
		route_test(nothing_is_drained_while_a_batch_hangs),
		route_test(a_repetition_of_what_is_spooled_is_spooled_under_the_first_ones_id),
		route_test(what_the_spool_does_not_take_is_given_up),
		route_test(what_the_spool_fails_to_keep_is_given_up),
		route_test(a_disk_that_does_not_answer_keeps_no_sender_waiting_for_ever),
		route_test(what_finds_the_spool_busy_waits_until_it_is_less_so),
		route_test(what_memory_has_no_room_for_goes_to_the_spool_too),
		route_test(a_batch_that_hangs_is_copied_under_its_own_ids_and_counts_once),
		route_test(of_a_batch_that_fails_only_what_was_not_spooled_is_tried_again),
		route_test(what_is_left_of_a_refused_batch_is_not_taken_for_the_refused_event),
		route_test(a_batch_that_fails_while_the_spool_is_at_it_is_the_spools),
		route_test(a_batch_that_fails_and_is_not_kept_either_is_given_up),
		route_test(what_is_committed_while_the_spool_is_at_it_is_logged_and_counts_once),
		route_test(what_is_committed_while_the_spool_fails_counts_too),
		route_test(a_batch_that_hangs_and_finds_no_spool_is_given_up_but_may_commit),
		route_test(a_batch_that_hangs_while_the_disk_does_keeps_no_sender_waiting_for_ever),
		route_test(a_row_leaves_the_spool_when_it_is_committed_and_not_before),
		route_test(the_spool_is_drained_oldest_first_and_read_ahead_within_bounds),
		route_test(a_batch_of_the_spool_is_never_given_up_nor_spooled_again),
		route_test(while_the_database_takes_nothing_the_spool_knocks_ever_more_seldom),
		route_test(a_row_that_postgresql_refuses_is_parked_and_its_neighbours_are_logged),
		route_test(a_spooled_parking_is_parked),
		route_test(what_is_not_even_parked_stays_in_the_spool_and_blocks_nothing),
		route_test(a_row_of_another_version_stays_in_the_spool_is_counted_and_blocks_nothing),
		route_test(what_could_not_be_removed_is_drained_again),
		route_test(rows_of_a_salvaged_file_are_found_though_their_numbers_are_lower),
		route_test(with_one_writer_the_spool_and_what_comes_in_take_turns),
		route_test(with_two_writers_one_drains_while_events_come_in_and_both_when_it_is_quiet),
		route_test(at_the_end_what_cannot_be_committed_is_spooled),
		route_test(at_the_end_who_got_no_answer_is_told_to_keep_it),
		route_test(nothing_more_is_drained_at_the_end),
		route_test(events_can_be_acknowledged_while_either_store_takes_them),
		route_test(contention_alone_is_trouble_when_nothing_is_committed_for_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
