/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool: a durable queue in one file, on a thread of its own.
 *
 * The loop's side copies what is asked for into `asked` and wakes the thread; the thread takes
 * all that has gathered there, does it in one transaction, puts the answers into `told` and
 * wakes the loop through an eventfd.  So the longer an fsync takes, the more puts share the
 * next one.  Only what stands under `lock` is seen by both sides; libevent is never called
 * from the thread.
 *
 * A removal is remembered on the loop's side until it is done, however long the disk fails:
 * reads do not show what was asked to be removed.
 */
#include "io/spool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "io/loop.h"
#include "io/spool_file.h"
#include "io/spool_store.h"

enum {
	PUTS_MAX_BYTES	= 64 * 1024 * 1024,	/* in memory, not on disk yet */
	ROW_MAX_BYTES	= 256 * 1024 * 1024,	/* SQLite's own limit is 1e9 */
	ROOM_MIN_BYTES	= 16 * 1024,		/* less is left: it is full */
	WAL_MAX_BYTES	= 64 * 1024 * 1024,
	PAUSE_MIN_MS	= 250,
	PAUSE_MAX_MS	= 2000,
	SAID_AGAIN_MS	= 60000,		/* the same reason, in the log */
};

struct put {
	STAILQ_ENTRY(put)	 link;
	void			*tag;		/* the owner's */
	size_t			 memory_bytes;
	int64_t			 disk_bytes;	/* at most, we think */
	struct uuid		 id;		/* the answer */
	bool			 is_kept;
	struct err		 why;		/* unless it is kept */
	struct spool_row	 row;		/* its texts stand in data */
	char			 data[];
};

STAILQ_HEAD(puts, put);

struct removal {
	TAILQ_ENTRY(removal)	 pending;	/* the loop's */
	STAILQ_ENTRY(removal)	 link;		/* of who has it now */
	size_t			 n;
	int64_t			 seqs[];	/* rising */
};

TAILQ_HEAD(pending, removal);
STAILQ_HEAD(removals, removal);

struct reading {
	bool			 is_wanted;
	int64_t			 after;
	size_t			 max_items, max_bytes;
};

struct pages_read {
	bool			 is_there;
	struct spool_item	*items;		/* the arena's, with their texts */
	size_t			 n, room, bytes;
	struct arena		 arena;		/* ours */
};

/* What the thread knows of the file, copied to the loop's side. */
struct view {
	struct spool_usage	 usage;
	unsigned		 news;		/* counts openings, salvages and recoveries */
	bool			 takes;
	char			 why[sizeof(((struct spool_state *)NULL)->why)];
};

struct spool {
	/* The loop's. */
	const struct spool_ops	*ops;
	void			*owner;		/* of the callbacks */
	struct event		*wake;		/* ours */
	int			 wake_fd;	/* ours; the thread writes to it */
	struct pending		 pending;	/* asked for, not known to be done */
	int64_t			 npending;	/* seqs in them */
	size_t			 memory_bytes;	/* of puts that are not answered */
	int64_t			 disk_bytes;
	struct reading		 reading;	/* wanted: under way */
	struct view		 view;
	bool			 has_thread;
	pthread_t		 thread;

	/* Under lock. */
	pthread_mutex_t		 lock;
	pthread_cond_t		 asked_more;
	struct {
		struct puts	 puts;
		struct removals	 removals;
		struct reading	 reading;
		bool		 stop;
	} asked;
	struct {
		struct puts	 puts;
		struct removals	 removals;
		struct pages_read read;
		struct view	 view;
	} told;

	/* The thread's. */
	struct spool_store	 store;
	struct spool_file	*file;		/* ours; NULL: not open */
	struct puts		 puts;
	struct removals		 removals;
	struct reading		 to_read;
	struct pages_read	 read;
	struct view		 known;
	int64_t			 retry_at_us;	/* of clock_mono_us(); 0: all is well */
	int64_t			 pause_ms;
	char			 said[sizeof(((struct view *)NULL)->why)];
	int64_t			 said_at_us;
};

/* ---- the thread: what it tells ---- */

static void
tell(struct spool *s)
{
	static const uint64_t one = 1;

	(void)pthread_mutex_lock(&s->lock);
	if (s->read.is_there) {
		s->told.read = s->read;
		s->read = (struct pages_read){ .n = 0 };
	}
	s->told.view = s->known;
	(void)pthread_mutex_unlock(&s->lock);
	/* It fails only when it is readable anyway. */
	(void)!write(s->wake_fd, &one, sizeof(one));
}

static void
say_why(struct spool *s, const struct err *why)
{
	int64_t now_us = clock_mono_us();

	if (strcmp(s->said, why->text) == 0 && now_us - s->said_at_us < SAID_AGAIN_MS * 1000)
		return;
	(void)snprintf(s->said, sizeof(s->said), "%.*s", (int)sizeof(s->said) - 1, why->text);
	s->said_at_us = now_us;
	log_warn("spool_unavailable", F_TEXT("path", s->store.path), F_ERR(why));
}

static void
takes_again(struct spool *s)
{
	s->known.news++;
	s->known.takes = true;
	s->known.why[0] = '\0';
	s->retry_at_us = 0;
}

/* Nothing is put until the next try succeeds. */
static void
takes_no_more(struct spool *s, const struct err *why)
{
	say_why(s, why);
	s->known.takes = false;
	(void)snprintf(s->known.why, sizeof(s->known.why), "%.*s",
	    STR_ARG(str_prefix_utf8(str_of(why->text), sizeof(s->known.why) - 1)));
	s->retry_at_us = clock_mono_us() + s->pause_ms * 1000;
	s->pause_ms = s->pause_ms * 2 < PAUSE_MAX_MS ? s->pause_ms * 2 : PAUSE_MAX_MS;
}

static void
went_well(struct spool *s)
{
	s->pause_ms = PAUSE_MIN_MS;
}

/* ---- the thread: the file ---- */

static bool
update_usage(struct spool *s, struct err *err)
{
	return spool_file_usage(s->file, &s->known.usage, err);
}

/* What is damaged is closed, and salvaged at once when it is opened again.  Else the file stays
 * open: it can still be read when nothing can be written. */
static void
is_in_trouble(struct spool *s, const struct err *why)
{
	takes_no_more(s, why);
	if (why->kind != ERR_INPUT || s->file == NULL)
		return;
	spool_store_condemn(&s->store, s->file, why);
	s->file = NULL;
	s->retry_at_us = clock_mono_us();
}

static void
open_file(struct spool *s)
{
	int64_t began_us = clock_mono_us();
	struct err err;

	s->file = spool_store_open(&s->store, &err);
	if (s->file == NULL || !update_usage(s, &err)) {
		is_in_trouble(s, &err);
		return;
	}
	takes_again(s);
	log_info("spool_opened", F_TEXT("path", s->store.path),
	    F_NUM("events", s->known.usage.events), F_NUM("bytes", s->known.usage.used_bytes),
	    F_NUM("took_ms", (clock_mono_us() - began_us) / 1000));
}

static bool
watch_log(const struct spool *s, struct err *err)
{
	if (s->known.usage.wal_bytes <= WAL_MAX_BYTES)
		return true;
	return err_set(err, ERR_RETRY, "a reader (touchlog spool?) keeps %s-wal from being emptied",
	    s->store.path);
}

static void
probe(struct spool *s)
{
	struct err err;

	if (!spool_file_probe(s->file, &err) || !update_usage(s, &err) || !watch_log(s, &err)) {
		is_in_trouble(s, &err);
		return;
	}
	takes_again(s);
	log_info("spool_available", F_TEXT("path", s->store.path));
}

/* ---- the thread: writing ---- */

static bool
remove_all(struct spool *s, struct err *err)
{
	struct removal *r;

	STAILQ_FOREACH(r, &s->removals, link)
		if (!spool_file_remove(s->file, r->seqs, r->n, err))
			return false;
	return true;
}

static bool
put_all(struct spool *s, struct err *err)
{
	struct put *p;

	STAILQ_FOREACH(p, &s->puts, link)
		if (!spool_file_put(s->file, &p->row, &p->id, err))
			return false;
	return true;
}

static void
settle_puts(struct spool *s, const struct err *why)
{
	struct put *p;

	STAILQ_FOREACH(p, &s->puts, link) {
		p->is_kept = why == NULL;
		if (why != NULL)
			p->why = *why;
	}
	(void)pthread_mutex_lock(&s->lock);
	STAILQ_CONCAT(&s->told.puts, &s->puts);
	(void)pthread_mutex_unlock(&s->lock);
}

static void
settle_removals(struct spool *s)
{
	(void)pthread_mutex_lock(&s->lock);
	STAILQ_CONCAT(&s->told.removals, &s->removals);
	(void)pthread_mutex_unlock(&s->lock);
}

static bool
write_all(struct spool *s, struct err *err)
{
	if (!spool_file_begin(s->file, err) || !remove_all(s, err) || !put_all(s, err) ||
	    !spool_file_commit(s->file, err))
		return false;
	settle_removals(s);
	settle_puts(s, NULL);
	return true;
}

/* What stands in the way of puts need not stand in that of removals, which make room. */
static bool
write_removals(struct spool *s, struct err *err)
{
	if (STAILQ_EMPTY(&s->removals))
		return true;
	if (!spool_file_begin(s->file, err) || !remove_all(s, err) ||
	    !spool_file_commit(s->file, err))
		return false;
	settle_removals(s);
	return true;
}

/* Somebody took the file away: what is in it can still be drained from here, but nothing more
 * is put where nobody would find it. */
static bool
still_stands(struct spool *s, struct err *err)
{
	return spool_store_stands(&s->store) || err_set(err, ERR_RETRY, "%s was removed or replaced "
	    "while it was used; its events are still drained", s->store.path);
}

static void
write_failed(struct spool *s, struct err *err)
{
	struct err err_of_removals;

	settle_puts(s, err);
	if (err->kind != ERR_INPUT && !write_removals(s, &err_of_removals) &&
	    err_of_removals.kind == ERR_INPUT)
		*err = err_of_removals;
	is_in_trouble(s, err);
}

static void
do_writes(struct spool *s)
{
	struct err err;

	if (STAILQ_EMPTY(&s->puts) && STAILQ_EMPTY(&s->removals))
		return;
	if (!still_stands(s, &err) || !write_all(s, &err)) {
		write_failed(s, &err);
		return;
	}
	went_well(s);
	if (!update_usage(s, &err))
		is_in_trouble(s, &err);
}

/* ---- the thread: reading ---- */

static bool
copy_item(struct pages_read *r, const struct spool_item *it)
{
	struct spool_item *copy = &r->items[r->n];

	*copy = *it;
	copy->source = arena_str(&r->arena, it->source);
	copy->identities = arena_str(&r->arena, it->identities);
	copy->row = arena_str(&r->arena, it->row);
	return copy->source.p != NULL && copy->identities.p != NULL && copy->row.p != NULL;
}

static bool
keep_item(void *arg, const struct spool_row *row)
{
	struct spool *s = arg;
	struct pages_read *r = &s->read;
	const struct spool_item *it = &row->item;
	size_t bytes = it->source.n + it->identities.n + it->row.n;

	if (r->n > 0 && r->bytes + bytes > s->to_read.max_bytes)
		return false;
	if (!copy_item(r, it))
		return false;
	r->bytes += bytes;
	r->n++;
	return r->n < r->room;
}

static void
do_read(struct spool *s)
{
	struct pages_read *r = &s->read;
	struct err err;

	if (!s->to_read.is_wanted)
		return;
	r->room = s->to_read.max_items;
	r->items = arena_alloc(&r->arena, r->room * sizeof(*r->items));
	if (r->items != NULL && spool_file_read(s->file, s->to_read.after, keep_item, s, &err)) {
		r->is_there = true;
		s->to_read.is_wanted = false;
		return;
	}
	arena_fini(&r->arena);
	*r = (struct pages_read){ .n = 0 };
	is_in_trouble(s, &err);
}

/* ---- the thread: its life ---- */

static void
wait_until(struct spool *s, int64_t at_us)
{
	int64_t left_us = at_us - clock_mono_us();
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	left_us = (left_us > 0 ? left_us : 0) + ts.tv_nsec / 1000;
	ts.tv_sec += left_us / 1000000;
	ts.tv_nsec = left_us % 1000000 * 1000;
	(void)pthread_cond_timedwait(&s->asked_more, &s->lock, &ts);
}

static bool
has_work(const struct spool *s)
{
	return !STAILQ_EMPTY(&s->asked.puts) || !STAILQ_EMPTY(&s->asked.removals) ||
	    s->asked.reading.is_wanted || s->asked.stop;
}

/* Waits until there is something to do, and takes all of it.  false: it is to end, and there
 * was nothing. */
static bool
take_work(struct spool *s)
{
	bool is_left;

	(void)pthread_mutex_lock(&s->lock);
	while (!has_work(s)) {
		if (s->retry_at_us == 0)
			(void)pthread_cond_wait(&s->asked_more, &s->lock);
		else if (clock_mono_us() < s->retry_at_us)
			wait_until(s, s->retry_at_us);
		else
			break;
	}
	is_left = !s->asked.stop || !STAILQ_EMPTY(&s->asked.puts) ||
	    !STAILQ_EMPTY(&s->asked.removals);
	STAILQ_CONCAT(&s->puts, &s->asked.puts);
	STAILQ_CONCAT(&s->removals, &s->asked.removals);
	if (s->asked.reading.is_wanted)
		s->to_read = s->asked.reading;
	s->asked.reading.is_wanted = false;
	(void)pthread_mutex_unlock(&s->lock);
	return is_left;
}

/* When it has been drained, one is made anew. */
static void
leave_behind(struct spool *s, const struct err *why)
{
	struct err err;

	if (!write_removals(s, &err) || !update_usage(s, &err)) {
		is_in_trouble(s, &err);
	} else if (s->known.usage.events > 0) {
		is_in_trouble(s, why);
	} else {
		spool_store_leave(&s->store, s->file);
		open_file(s);
	}
}

static void
mend(struct spool *s)
{
	struct err err;

	if (s->retry_at_us == 0 || clock_mono_us() < s->retry_at_us)
		return;
	if (s->file == NULL)
		open_file(s);
	else if (!still_stands(s, &err))
		leave_behind(s, &err);
	else
		probe(s);
}

static void
refuse_puts(struct spool *s)
{
	struct err why;

	(void)err_set(&why, ERR_RETRY, "%s", s->known.why);
	settle_puts(s, &why);
}

static void
tend(struct spool *s)
{
	struct err err;

	if (!spool_file_tend(s->file, &err) || !update_usage(s, &err) || !watch_log(s, &err))
		is_in_trouble(s, &err);
}

static void
work(struct spool *s)
{
	mend(s);
	if (s->known.takes)
		do_writes(s);
	else
		refuse_puts(s);
	tell(s);
	if (s->file != NULL)
		do_read(s);
	tell(s);
	if (s->known.takes)
		tend(s);
	tell(s);
}

static void *
thread_main(void *arg)
{
	struct spool *s = arg;

	while (take_work(s))
		work(s);
	spool_store_close(&s->store, s->file);
	spool_store_fini(&s->store);
	return NULL;
}

/* ---- the loop's side: what it is told ---- */

static bool
is_removed(const struct spool *s, int64_t seq)
{
	const struct removal *r;

	TAILQ_FOREACH(r, &s->pending, pending) {
		size_t lo = 0, hi = r->n;

		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (r->seqs[mid] < seq)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo < r->n && r->seqs[lo] == seq)
			return true;
	}
	return false;
}

static void
forget_removals(struct spool *s, struct removals *done)
{
	struct removal *r;

	while ((r = STAILQ_FIRST(done)) != NULL) {
		STAILQ_REMOVE_HEAD(done, link);
		TAILQ_REMOVE(&s->pending, r, pending);
		s->npending -= (int64_t)r->n;
		free(r);
	}
}

static void
answer_puts(struct spool *s, struct puts *done)
{
	struct put *p;

	while ((p = STAILQ_FIRST(done)) != NULL) {
		STAILQ_REMOVE_HEAD(done, link);
		s->memory_bytes -= p->memory_bytes;
		s->disk_bytes -= p->disk_bytes;
		s->ops->put_done(s->owner, p->tag, &p->id, p->is_kept ? NULL : &p->why);
		free(p);
	}
}

static void
ask_to_read(struct spool *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->asked.reading = s->reading;
	(void)pthread_cond_signal(&s->asked_more);
	(void)pthread_mutex_unlock(&s->lock);
}

/* What was asked to be removed meanwhile is left out; when nothing else was found, reading
 * goes on behind it. */
static void
answer_read(struct spool *s, struct pages_read *r)
{
	size_t found = r->n, n = 0;
	int64_t last = found > 0 ? r->items[found - 1].seq : 0;

	if (!r->is_there)
		return;
	for (size_t i = 0; i < found; i++)
		if (!is_removed(s, r->items[i].seq))
			r->items[n++] = r->items[i];
	if (found > 0 && n == 0) {
		s->reading.after = last;
		ask_to_read(s);
	} else {
		s->reading.is_wanted = false;
		s->ops->read_done(s->owner, r->items, n);
	}
	arena_fini(&r->arena);
}

static bool
differ(const struct view *a, const struct view *b)
{
	return a->news != b->news || a->takes != b->takes || strcmp(a->why, b->why) != 0 ||
	    (a->usage.events == 0) != (b->usage.events == 0);
}

static void
hear(struct spool *s)
{
	struct puts puts = STAILQ_HEAD_INITIALIZER(puts);
	struct removals removals = STAILQ_HEAD_INITIALIZER(removals);
	struct view before = s->view;
	struct pages_read read;

	(void)pthread_mutex_lock(&s->lock);
	STAILQ_CONCAT(&puts, &s->told.puts);
	STAILQ_CONCAT(&removals, &s->told.removals);
	read = s->told.read;
	s->told.read = (struct pages_read){ .n = 0 };
	s->view = s->told.view;
	(void)pthread_mutex_unlock(&s->lock);
	forget_removals(s, &removals);
	answer_puts(s, &puts);
	answer_read(s, &read);
	if (differ(&before, &s->view))
		s->ops->changed(s->owner);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;

	(void)what;
	(void)!read(fd, &n, sizeof(n));
	hear(arg);
}

/* ---- the loop's side: asking ---- */

void
spool_state(const struct spool *s, struct spool_state *ret)
{
	const struct spool_usage *u = &s->view.usage;

	*ret = (struct spool_state){
		.events = u->events > s->npending ? u->events - s->npending : 0,
		.bytes = (u->events > 0 ? u->used_bytes : 0) + s->disk_bytes,
		.max_bytes = s->store.max_bytes,
		.takes = s->view.takes,
	};
	ret->oldest_us = ret->events > 0 ? u->oldest_us : 0;
	memcpy(ret->why, s->view.why, sizeof(ret->why));
	if (ret->takes && ret->bytes + ROOM_MIN_BYTES > ret->max_bytes) {
		ret->takes = false;
		(void)snprintf(ret->why, sizeof(ret->why), "it is full: %lld of %lld bytes are used",
		    (long long)ret->bytes, (long long)ret->max_bytes);
	} else if (ret->takes && s->memory_bytes >= PUTS_MAX_BYTES) {
		ret->takes = false;
		(void)snprintf(ret->why, sizeof(ret->why), "its disk is too slow: %zu bytes wait",
		    s->memory_bytes);
	}
}

/* Of a row and its entry in the index.  Two rows that do not fit into one page take two, and
 * the last page of a long one is not full. */
static int64_t
disk_bytes_of(size_t n)
{
	int64_t bytes = (int64_t)n + 100;

	return bytes < SPOOL_PAGE_BYTES ? 2 * bytes : bytes + SPOOL_PAGE_BYTES;
}

static struct str
copy_text(char **at, struct str s)
{
	struct str copy = { *at, s.n };

	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

static struct put *
put_new(const struct spool_item *item, size_t n, void *tag)
{
	struct put *p = malloc(sizeof(*p) + n);
	char *at;

	if (p == NULL)
		return NULL;
	*p = (struct put){ .tag = tag, .memory_bytes = sizeof(*p) + n,
	    .disk_bytes = disk_bytes_of(n), .id = item->id,
	    .row = { .item = *item, .put_at_us = clock_now_us() } };
	at = p->data;
	p->row.item.source = copy_text(&at, item->source);
	p->row.item.identities = copy_text(&at, item->identities);
	p->row.item.row = copy_text(&at, item->row);
	return p;
}

bool
spool_put(struct spool *s, const struct spool_item *item, void *tag, struct err *err)
{
	size_t n = item->source.n + item->identities.n + item->row.n;
	struct spool_state state;
	struct put *p;

	spool_state(s, &state);
	if (!state.takes)
		return err_set(err, ERR_RETRY, "spool: %s", state.why);
	if (n > ROW_MAX_BYTES || state.bytes + disk_bytes_of(n) > state.max_bytes)
		return err_set(err, ERR_RETRY, "spool: it has no room for %zu bytes", n);
	p = put_new(item, n, tag);
	if (p == NULL)
		return err_set(err, ERR_RETRY, "spool: out of memory");
	s->memory_bytes += p->memory_bytes;
	s->disk_bytes += p->disk_bytes;
	(void)pthread_mutex_lock(&s->lock);
	STAILQ_INSERT_TAIL(&s->asked.puts, p, link);
	(void)pthread_cond_signal(&s->asked_more);
	(void)pthread_mutex_unlock(&s->lock);
	return true;
}

bool
spool_read(struct spool *s, int64_t after, size_t max_items, size_t max_bytes)
{
	if (s->reading.is_wanted)
		return false;
	s->reading = (struct reading){ true, after, max_items, max_bytes };
	ask_to_read(s);
	return true;
}

static int
by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

bool
spool_remove(struct spool *s, const int64_t *seqs, size_t n)
{
	struct removal *r;

	if (n == 0)
		return true;
	r = malloc(sizeof(*r) + n * sizeof(r->seqs[0]));
	if (r == NULL)
		return false;
	r->n = n;
	memcpy(r->seqs, seqs, n * sizeof(r->seqs[0]));
	qsort(r->seqs, n, sizeof(r->seqs[0]), by_number);
	TAILQ_INSERT_TAIL(&s->pending, r, pending);
	s->npending += (int64_t)n;
	(void)pthread_mutex_lock(&s->lock);
	STAILQ_INSERT_TAIL(&s->asked.removals, r, link);
	(void)pthread_cond_signal(&s->asked_more);
	(void)pthread_mutex_unlock(&s->lock);
	return true;
}

/* ---- the loop's side: its life ---- */

static bool
start_thread(struct spool *s, struct err *err)
{
	sigset_t all, before;
	int rc;

	/* Signals are the loop's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&s->thread, NULL, thread_main, s);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_set(err, ERR_RETRY, "the spool's thread cannot be started: %s", strerror(rc));
	s->has_thread = true;
	return true;
}

static bool
start_wake(struct spool *s, struct loop *l, struct err *err)
{
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd >= 0)
		s->wake = event_new(loop_base(l), s->wake_fd, EV_READ | EV_PERSIST, on_wake, s);
	if (s->wake == NULL || event_add(s->wake, NULL) != 0)
		return err_set(err, ERR_RETRY, "the spool cannot be waited for");
	return true;
}

static void
init_shared(struct spool *s)
{
	pthread_condattr_t attr;

	TAILQ_INIT(&s->pending);
	STAILQ_INIT(&s->asked.puts);
	STAILQ_INIT(&s->asked.removals);
	STAILQ_INIT(&s->told.puts);
	STAILQ_INIT(&s->told.removals);
	STAILQ_INIT(&s->puts);
	STAILQ_INIT(&s->removals);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->asked_more, &attr);
	(void)pthread_condattr_destroy(&attr);
}

struct spool *
spool_new(struct loop *l, const struct spool_conf *conf, const struct spool_ops *ops,
    void *owner, struct err *err)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	init_shared(s);
	s->ops = ops;
	s->owner = owner;
	s->wake_fd = -1;
	s->pause_ms = PAUSE_MIN_MS;
	s->retry_at_us = 1;		/* the file is to be opened */
	(void)snprintf(s->known.why, sizeof(s->known.why), "it is being opened");
	s->view = s->told.view = s->known;
	if (spool_store_init(&s->store, conf, err) && start_wake(s, l, err) && start_thread(s, err))
		return s;
	spool_free(s);
	return NULL;
}

static void
free_lists(struct spool *s)
{
	struct put *p;
	struct removal *r;

	while ((p = STAILQ_FIRST(&s->told.puts)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->told.puts, link);
		free(p);
	}
	while ((r = TAILQ_FIRST(&s->pending)) != NULL) {
		TAILQ_REMOVE(&s->pending, r, pending);
		free(r);
	}
	arena_fini(&s->told.read.arena);
}

void
spool_free(struct spool *s)
{
	if (s == NULL)
		return;
	if (s->has_thread) {
		(void)pthread_mutex_lock(&s->lock);
		s->asked.stop = true;
		(void)pthread_cond_signal(&s->asked_more);
		(void)pthread_mutex_unlock(&s->lock);
		(void)pthread_join(s->thread, NULL);
	}
	if (s->wake != NULL)
		event_free(s->wake);
	if (s->wake_fd >= 0)
		(void)close(s->wake_fd);
	free_lists(s);
	(void)pthread_cond_destroy(&s->asked_more);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}
