/* SPDX-License-Identifier: Apache-2.0 */
/* The spool: what is put stands there, whatever becomes of the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/loop.h"
#include "io/spool.h"

enum { DEADLINE_S = 20, ANSWERS_MAX = 20000 };

/* ---- an owner that remembers what it was told ---- */

struct answer {
	void		*tag;
	struct uuid	 id;
	bool		 is_kept;
	struct err	 why;
};

struct owner {
	char		 folder[64];
	char		 path[128];
	struct loop	*loop;
	struct spool	*spool;
	struct answer	 answers[ANSWERS_MAX];
	size_t		 nanswers;
	struct spool_item *items;	/* with texts of their own */
	size_t		 nitems;
	bool		 was_read;
	unsigned	 nchanged;
};

static void
put_done(void *arg, void *tag, const struct uuid *id, const struct err *why)
{
	struct owner *o = arg;
	struct answer *a = &o->answers[o->nanswers++];

	assert_true(o->nanswers <= ANSWERS_MAX);
	*a = (struct answer){ .tag = tag, .id = *id, .is_kept = why == NULL };
	if (why != NULL)
		a->why = *why;
}

static struct str
copy(struct str s)
{
	char *p = malloc(s.n + 1);

	assert_non_null(p);
	memcpy(p, s.p, s.n);
	return (struct str){ p, s.n };
}

static void
forget_items(struct owner *o)
{
	for (size_t i = 0; i < o->nitems; i++) {
		union { const char *in; void *out; } a = { .in = o->items[i].source.p },
		    b = { .in = o->items[i].identities.p }, c = { .in = o->items[i].row.p };

		free(a.out);
		free(b.out);
		free(c.out);
	}
	free(o->items);
	o->items = NULL;
	o->nitems = 0;
}

static void
read_done(void *arg, const struct spool_item *items, size_t n)
{
	struct owner *o = arg;

	forget_items(o);
	o->items = calloc(n + 1, sizeof(*items));
	assert_non_null(o->items);
	for (size_t i = 0; i < n; i++) {
		o->items[i] = items[i];
		o->items[i].source = copy(items[i].source);
		o->items[i].identities = copy(items[i].identities);
		o->items[i].row = copy(items[i].row);
	}
	o->nitems = n;
	o->was_read = true;
}

static void
changed(void *arg)
{
	struct owner *o = arg;

	o->nchanged++;
}

static const struct spool_ops ops = { .put_done = put_done, .read_done = read_done,
    .changed = changed };

/* Turns the loop until it is so. */
#define until(condition) do {						\
	int64_t end_us_ = clock_mono_us() + (int64_t)DEADLINE_S * 1000000;	\
	while (!(condition)) {						\
		if (clock_mono_us() > end_us_)				\
			fail_msg("not within %d s: %s", DEADLINE_S, #condition);	\
		turn(o);						\
	}								\
} while (0)

static void
turn(struct owner *o)
{
	const struct timeval tick = { .tv_usec = 20000 };

	(void)event_base_loopexit(loop_base(o->loop), &tick);
	(void)event_base_loop(loop_base(o->loop), EVLOOP_ONCE);
}

static struct spool_state
state_of(const struct owner *o)
{
	struct spool_state state;

	spool_state(o->spool, &state);
	return state;
}

static bool
takes(const struct owner *o)
{
	return state_of(o).takes;
}

static void
start(struct owner *o, int64_t max_bytes)
{
	const struct spool_conf conf = { .path = str_of(o->path), .max_bytes = max_bytes };
	struct err err;

	o->spool = spool_new(o->loop, &conf, &ops, o, &err);
	assert_non_null(o->spool);
}

static void
stop(struct owner *o)
{
	spool_free(o->spool);
	o->spool = NULL;
}

enum { SMALL_BYTES = 8 * 1024 * 1024 };

static void
restart(struct owner *o)
{
	stop(o);
	start(o, SMALL_BYTES);
	until(takes(o));
}

static int
set_up(void **state)
{
	struct owner *o = calloc(1, sizeof(*o));
	struct err err;

	assert_non_null(o);
	(void)snprintf(o->folder, sizeof(o->folder), "/tmp/touchlog-spool-XXXXXX");
	assert_non_null(mkdtemp(o->folder));
	(void)snprintf(o->path, sizeof(o->path), "%s/spool.db", o->folder);
	o->loop = loop_new(&err);
	assert_non_null(o->loop);
	*state = o;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct owner *o = *state;

	spool_free(o->spool);
	forget_items(o);
	loop_free(o->loop);
	(void)nftw(o->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(o);
	return 0;
}

/* ---- items ---- */

static struct uuid
number_uuid(int kind, int n)
{
	struct uuid id = { { (uint8_t)kind } };

	/* Spread, as digests are. */
	for (size_t i = 1; i < 12; i++)
		id.b[i] = (uint8_t)((unsigned)n * 2654435761u >> (i % 4 * 8));
	memcpy(id.b + 12, &n, sizeof(n));
	return id;
}

enum { ROW_MAX_BYTES = 200000 };

/* A row whose bytes follow from its number. */
static struct str
row_of(int n, size_t bytes)
{
	static char text[ROW_MAX_BYTES];

	assert_true(bytes <= sizeof(text));
	for (size_t i = 0; i < bytes; i++)
		text[i] = (char)((size_t)n * 31 + i * 7);
	return (struct str){ text, bytes };
}

static struct spool_item
item_of(int n, size_t bytes)
{
	return (struct spool_item){ .key = number_uuid(1, n), .id = number_uuid(2, n),
	    .is_parking = n % 5 == 0, .format = 1, .source = STR("shop"),
	    .identities = STR("[[\"email\",\"a@b.example\"]]"), .row = row_of(n, bytes) };
}

static void
put(struct owner *o, int n, size_t bytes)
{
	const struct spool_item item = item_of(n, bytes);
	struct err err;

	if (!spool_put(o->spool, &item, o, &err))
		fail_msg("%s", err.text);
}

static void
put_all(struct owner *o, int from, int to, size_t bytes)
{
	o->nanswers = 0;
	for (int n = from; n < to; n++)
		put(o, n, bytes);
	until(o->nanswers == (size_t)(to - from));
	for (size_t i = 0; i < o->nanswers; i++)
		assert_true(o->answers[i].is_kept);
}

static void
read_all(struct owner *o, int64_t after, size_t max_items)
{
	o->was_read = false;
	assert_true(spool_read(o->spool, after, max_items, SIZE_MAX));
	until(o->was_read);
}

static bool
same_item(const struct spool_item *a, const struct spool_item *b)
{
	return memcmp(&a->key, &b->key, sizeof(a->key)) == 0 &&
	    memcmp(&a->id, &b->id, sizeof(a->id)) == 0 && a->is_parking == b->is_parking &&
	    a->format == b->format && str_eq(a->source, b->source) &&
	    str_eq(a->identities, b->identities) && str_eq(a->row, b->row);
}

static void
assert_item(const struct spool_item *got, int n, size_t bytes)
{
	const struct spool_item want = item_of(n, bytes);

	assert_true(same_item(got, &want));
}

/* ---- putting, reading, removing ---- */

static void
what_is_put_is_read_oldest_first_also_after_a_restart(void **state)
{
	struct owner *o = *state;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 50, 1000);
	for (int round = 0; round < 2; round++) {
		read_all(o, 0, 100);
		assert_int_equal(o->nitems, 50);
		for (int n = 0; n < 50; n++) {
			assert_item(&o->items[n], n, 1000);
			assert_true(n == 0 || o->items[n].seq > o->items[n - 1].seq);
		}
		assert_int_equal(state_of(o).events, 50);
		restart(o);
	}
}

static void
what_is_removed_is_gone(void **state)
{
	struct owner *o = *state;
	int64_t seqs[10];

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 0, 20, 100);
	read_all(o, 0, 10);
	assert_int_equal(o->nitems, 10);
	for (size_t i = 0; i < 10; i++)
		seqs[i] = o->items[i].seq;
	assert_true(spool_remove(o->spool, seqs, 10));
	assert_int_equal(state_of(o).events, 10);
	read_all(o, 0, 100);
	assert_int_equal(o->nitems, 10);
	assert_item(&o->items[0], 10, 100);
	restart(o);
	read_all(o, 0, 100);
	assert_int_equal(o->nitems, 10);
	assert_item(&o->items[0], 10, 100);
}

static void
a_key_that_is_there_is_answered_with_the_older_ones_id(void **state)
{
	struct owner *o = *state;
	const struct spool_item first = item_of(1, 100);
	struct spool_item twin = first;
	struct err err;

	start(o, SMALL_BYTES);
	until(takes(o));
	put_all(o, 1, 2, 100);
	twin.id = number_uuid(9, 9);
	o->nanswers = 0;
	assert_true(spool_put(o->spool, &twin, o, &err));
	until(o->nanswers == 1);
	assert_true(o->answers[0].is_kept);
	assert_memory_equal(&o->answers[0].id, &first.id, UUID_BYTES);
	assert_int_equal(state_of(o).events, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_put_is_read_oldest_first_also_after_a_restart),
		T(what_is_removed_is_gone),
		T(a_key_that_is_there_is_answered_with_the_older_ones_id),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
