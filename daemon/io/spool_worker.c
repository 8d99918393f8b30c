/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool's thread.
 *
 * It takes all that has gathered in `asked` while it was busy, does it in one transaction,
 * and puts the answers into `told`.  So the longer an fsync takes, the more puts share the next
 * one.  Only these two are seen by both threads, under `lock`; libevent is never called here.
 *
 * Trouble: nothing is put until a probe, after a pause, succeeds; puts are refused at once
 * meanwhile, removals wait, and the file stays open to be read.  A damaged file is closed and
 * opened anew, which salvages it.
 */
#include "io/spool_worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/spool_store.h"

enum {
	WAL_MAX_BYTES	= 64 * 1024 * 1024,
	PAUSE_MIN_MS	= 250,
	PAUSE_MAX_MS	= 2000,
	SAID_AGAIN_MS	= 60000,		/* the same reason, in the log */
	SALVAGE_EVERY_MS = 10000,		/* a disk that rots would be filled with salvages */
};

struct spool_worker {
	pthread_t		 thread;
	int			 wake_fd;	/* the caller's */

	pthread_mutex_t		 lock;		/* of what follows */
	pthread_cond_t		 asked_more;
	struct {
		struct spool_puts	puts;
		struct spool_removals	removals;
		struct spool_reading	reading;
		bool			stop;
	} asked;
	struct spool_told	 told;

	/* The thread's own. */
	struct spool_store	 store;
	struct spool_file	*file;		/* ours; NULL: not open */
	struct spool_puts	 puts;		/* to be done */
	struct spool_removals	 removals;
	struct spool_reading	 reading;
	struct spool_told	 done;		/* to be told */
	size_t			 found_room, found_bytes;	/* of done.found */
	int64_t			 retry_at_us;	/* of clock_mono_us(); 0: there is no trouble */
	int64_t			 pause_ms;
	char			 said[sizeof(((struct err *)NULL)->text)];
	int64_t			 said_at_us;
	int64_t			 condemned_at_us;	/* 0: never */
};

static void
init_told(struct spool_told *t)
{
	*t = (struct spool_told){ .view = { .takes = false } };
	STAILQ_INIT(&t->puts);
	STAILQ_INIT(&t->removals);
}

/* Moves what is in `from`, which keeps the view. */
static void
move_told(struct spool_told *to, struct spool_told *from)
{
	STAILQ_CONCAT(&to->puts, &from->puts);
	STAILQ_CONCAT(&to->removals, &from->removals);
	if (from->found.is_there)
		to->found = from->found;
	from->found = (struct spool_found){ .n = 0 };
	to->view = from->view;
}

static void
tell(struct spool_worker *w)
{
	static const uint64_t one = 1;

	(void)pthread_mutex_lock(&w->lock);
	move_told(&w->told, &w->done);
	(void)pthread_mutex_unlock(&w->lock);
	/* It fails only when it is readable anyway. */
	(void)!write(w->wake_fd, &one, sizeof(one));
}

/* ---- trouble ---- */

static void
say(struct spool_worker *w, const struct err *why)
{
	int64_t now_us = clock_mono_us();

	if (strcmp(w->said, why->text) == 0 && now_us - w->said_at_us < SAID_AGAIN_MS * 1000)
		return;
	(void)snprintf(w->said, sizeof(w->said), "%s", why->text);
	w->said_at_us = now_us;
	log_warn("spool_unavailable", F_TEXT("path", w->store.path), F_ERR(why));
}

static void
set_why(struct spool_view *view, const char *text)
{
	(void)snprintf(view->why, sizeof(view->why), "%.*s",
	    STR_ARG(str_prefix_utf8(str_of(text), sizeof(view->why) - 1)));
}

static void
takes_again(struct spool_worker *w)
{
	w->done.view.news++;
	w->done.view.takes = true;
	set_why(&w->done.view, "");
	w->retry_at_us = 0;
}

static void
condemn(struct spool_worker *w, const struct err *why)
{
	struct err shown = *why;

	(void)err_in(&shown, "damaged, and being salvaged");
	set_why(&w->done.view, shown.text);
	spool_store_condemn(&w->store, w->file, why);
	w->file = NULL;
	w->retry_at_us = clock_mono_us();
	if (w->condemned_at_us > 0 &&
	    w->retry_at_us - w->condemned_at_us < SALVAGE_EVERY_MS * 1000)
		w->retry_at_us = w->condemned_at_us + SALVAGE_EVERY_MS * 1000;
	w->condemned_at_us = w->retry_at_us;
}

static void
is_in_trouble(struct spool_worker *w, const struct err *why)
{
	w->done.view.takes = false;
	set_why(&w->done.view, why->text);
	if (why->kind == ERR_INPUT && w->file != NULL) {
		condemn(w, why);
		return;
	}
	say(w, why);
	w->retry_at_us = clock_mono_us() + w->pause_ms * 1000;
	w->pause_ms = w->pause_ms * 2 < PAUSE_MAX_MS ? w->pause_ms * 2 : PAUSE_MAX_MS;
}

/* ---- the file ---- */

static bool
update_usage(struct spool_worker *w, struct err *err)
{
	return spool_file_usage(w->file, &w->done.view.usage, err);
}

static void
open_file(struct spool_worker *w)
{
	const struct spool_usage *usage = &w->done.view.usage;
	int64_t began_us = clock_mono_us();
	struct err err;

	w->file = spool_store_open(&w->store, &err);
	if (w->file == NULL || !update_usage(w, &err)) {
		is_in_trouble(w, &err);
		return;
	}
	takes_again(w);
	log_info("spool_opened", F_TEXT("path", w->store.path), F_NUM("events", usage->events),
	    F_NUM("bytes", usage->used_bytes),
	    F_NUM("took_ms", (clock_mono_us() - began_us) / 1000));
}

static bool
watch_log(const struct spool_worker *w, struct err *err)
{
	if (w->done.view.usage.wal_bytes <= WAL_MAX_BYTES)
		return true;
	return err_set(err, ERR_RETRY, "a reader (touchlog spool?) keeps its log from being "
	    "emptied: %s-wal", w->store.path);
}

static void
probe(struct spool_worker *w)
{
	struct err err;

	if (!spool_file_probe(w->file, &err) || !update_usage(w, &err) || !watch_log(w, &err)) {
		is_in_trouble(w, &err);
		return;
	}
	takes_again(w);
	log_info("spool_available", F_TEXT("path", w->store.path));
}

static void
tend(struct spool_worker *w)
{
	struct err err;

	if (!spool_file_tend(w->file, &err) || !update_usage(w, &err) || !watch_log(w, &err))
		is_in_trouble(w, &err);
}

/* ---- writing ---- */

static bool
remove_all(struct spool_worker *w, struct err *err)
{
	struct spool_removal *r;

	STAILQ_FOREACH(r, &w->removals, link)
		if (!spool_file_remove(w->file, r->seqs, r->n, err))
			return false;
	return true;
}

static bool
put_all(struct spool_worker *w, struct err *err)
{
	struct spool_put *p;

	STAILQ_FOREACH(p, &w->puts, link)
		if (!spool_file_put(w->file, &p->row, &p->id, err))
			return false;
	return true;
}

/* why NULL: they are kept. */
static void
settle_puts(struct spool_worker *w, const struct err *why)
{
	struct spool_put *p;

	STAILQ_FOREACH(p, &w->puts, link) {
		p->is_kept = why == NULL;
		if (why != NULL)
			p->why = *why;
	}
	STAILQ_CONCAT(&w->done.puts, &w->puts);
}

static bool
write_all(struct spool_worker *w, struct err *err)
{
	if (!spool_file_begin(w->file, err) || !remove_all(w, err) || !put_all(w, err) ||
	    !spool_file_commit(w->file, err))
		return false;
	STAILQ_CONCAT(&w->done.removals, &w->removals);
	settle_puts(w, NULL);
	return true;
}

/* What stands in the way of puts need not stand in that of removals, which make room. */
static bool
write_removals(struct spool_worker *w, struct err *err)
{
	if (STAILQ_EMPTY(&w->removals))
		return true;
	if (!spool_file_begin(w->file, err) || !remove_all(w, err) ||
	    !spool_file_commit(w->file, err))
		return false;
	STAILQ_CONCAT(&w->done.removals, &w->removals);
	return true;
}

static void
write_failed(struct spool_worker *w, struct err *why)
{
	struct err err;

	settle_puts(w, why);
	if (why->kind != ERR_INPUT && !write_removals(w, &err) && err.kind == ERR_INPUT)
		*why = err;
	is_in_trouble(w, why);
}

/* Somebody took the file away: what is in it can still be drained from here, but nothing more
 * is put where nobody would find it. */
static bool
still_stands(const struct spool_worker *w, struct err *err)
{
	return spool_store_stands(&w->store) || err_set(err, ERR_RETRY, "it was removed or "
	    "replaced while it was used, and is still drained: %s", w->store.path);
}

static void
do_writes(struct spool_worker *w)
{
	struct err err;

	if (STAILQ_EMPTY(&w->puts) && STAILQ_EMPTY(&w->removals))
		return;
	if (!still_stands(w, &err) || !write_all(w, &err)) {
		write_failed(w, &err);
		return;
	}
	w->pause_ms = PAUSE_MIN_MS;
	if (!update_usage(w, &err))
		is_in_trouble(w, &err);
}

static void
refuse_puts(struct spool_worker *w)
{
	struct err why;

	(void)err_set(&why, ERR_RETRY, "%s", w->done.view.why);
	settle_puts(w, &why);
}

/* ---- reading ---- */

static bool
copy_item(struct spool_found *f, const struct spool_item *it)
{
	struct spool_item *copy = &f->items[f->n];

	*copy = *it;
	copy->source = arena_str(&f->arena, it->source);
	copy->identities = arena_str(&f->arena, it->identities);
	copy->row = arena_str(&f->arena, it->row);
	return copy->source.p != NULL && copy->identities.p != NULL && copy->row.p != NULL;
}

/* Without memory for one it is as if that were not there: what was read before it goes out. */
static bool
keep_item(void *arg, const struct spool_row *row)
{
	struct spool_worker *w = arg;
	struct spool_found *f = &w->done.found;
	const struct spool_item *it = &row->item;
	size_t bytes = it->source.n + it->identities.n + it->row.n;

	if (f->n > 0 && w->found_bytes + bytes > w->reading.max_bytes)
		return false;
	if (!copy_item(f, it)) {
		f->is_there = f->n > 0;
		return false;
	}
	w->found_bytes += bytes;
	f->n++;
	return f->n < w->found_room;
}

static bool
read_items(struct spool_worker *w, struct err *err)
{
	struct spool_found *f = &w->done.found;

	w->found_bytes = 0;
	w->found_room = w->reading.max_items;
	f->items = arena_alloc(&f->arena, w->found_room * sizeof(*f->items));
	if (f->items == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	f->is_there = true;
	if (!spool_file_read(w->file, w->reading.after, keep_item, w, err))
		return false;
	return f->is_there || err_set(err, ERR_RETRY, "out of memory");
}

static void
do_read(struct spool_worker *w)
{
	struct err err;

	if (!w->reading.is_wanted)
		return;
	if (read_items(w, &err)) {
		w->reading.is_wanted = false;
		return;
	}
	arena_fini(&w->done.found.arena);
	w->done.found = (struct spool_found){ .n = 0 };
	is_in_trouble(w, &err);
}

/* ---- its life ---- */

/* When it has been drained, one is made anew. */
static void
leave_behind(struct spool_worker *w, const struct err *why)
{
	struct err err;

	if (!write_removals(w, &err) || !update_usage(w, &err)) {
		is_in_trouble(w, &err);
	} else if (w->done.view.usage.events > 0) {
		is_in_trouble(w, why);
	} else {
		spool_store_leave(&w->store, w->file);
		open_file(w);
	}
}

static void
mend(struct spool_worker *w)
{
	struct err err;

	if (w->retry_at_us == 0 || clock_mono_us() < w->retry_at_us)
		return;
	if (w->file == NULL)
		open_file(w);
	else if (!still_stands(w, &err))
		leave_behind(w, &err);
	else
		probe(w);
}

static void
work(struct spool_worker *w)
{
	mend(w);
	if (w->done.view.takes)
		do_writes(w);
	else
		refuse_puts(w);
	tell(w);
	if (w->file != NULL)
		do_read(w);
	tell(w);
	if (w->done.view.takes)
		tend(w);
	tell(w);
}

static void
wait_until(struct spool_worker *w, int64_t at_us)
{
	int64_t left_us = at_us - clock_mono_us();
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	left_us = (left_us > 0 ? left_us : 0) + ts.tv_nsec / 1000;
	ts.tv_sec += left_us / 1000000;
	ts.tv_nsec = left_us % 1000000 * 1000;
	(void)pthread_cond_timedwait(&w->asked_more, &w->lock, &ts);
}

static bool
is_asked(const struct spool_worker *w)
{
	return !STAILQ_EMPTY(&w->asked.puts) || !STAILQ_EMPTY(&w->asked.removals) ||
	    w->asked.reading.is_wanted || w->asked.stop;
}

static void
wait_for_work(struct spool_worker *w)
{
	while (!is_asked(w)) {
		if (w->retry_at_us == 0)
			(void)pthread_cond_wait(&w->asked_more, &w->lock);
		else if (clock_mono_us() < w->retry_at_us)
			wait_until(w, w->retry_at_us);
		else
			break;
	}
}

/* Takes all there is.  false: it is to end, and nothing was left to do. */
static bool
take_work(struct spool_worker *w)
{
	bool is_left;

	(void)pthread_mutex_lock(&w->lock);
	wait_for_work(w);
	is_left = !w->asked.stop || !STAILQ_EMPTY(&w->asked.puts) ||
	    !STAILQ_EMPTY(&w->asked.removals);
	STAILQ_CONCAT(&w->puts, &w->asked.puts);
	STAILQ_CONCAT(&w->removals, &w->asked.removals);
	if (w->asked.reading.is_wanted)
		w->reading = w->asked.reading;
	w->asked.reading.is_wanted = false;
	(void)pthread_mutex_unlock(&w->lock);
	return is_left;
}

static void *
thread_main(void *arg)
{
	struct spool_worker *w = arg;

	while (take_work(w))
		work(w);
	spool_store_close(&w->store, w->file);
	spool_store_fini(&w->store);
	return NULL;
}

/* ---- the loop's side ---- */

void
spool_worker_put(struct spool_worker *w, struct spool_put *put)
{
	(void)pthread_mutex_lock(&w->lock);
	STAILQ_INSERT_TAIL(&w->asked.puts, put, link);
	(void)pthread_cond_signal(&w->asked_more);
	(void)pthread_mutex_unlock(&w->lock);
}

void
spool_worker_remove(struct spool_worker *w, struct spool_removal *r)
{
	(void)pthread_mutex_lock(&w->lock);
	STAILQ_INSERT_TAIL(&w->asked.removals, r, link);
	(void)pthread_cond_signal(&w->asked_more);
	(void)pthread_mutex_unlock(&w->lock);
}

void
spool_worker_read(struct spool_worker *w, const struct spool_reading *reading)
{
	(void)pthread_mutex_lock(&w->lock);
	w->asked.reading = *reading;
	(void)pthread_cond_signal(&w->asked_more);
	(void)pthread_mutex_unlock(&w->lock);
}

void
spool_worker_hear(struct spool_worker *w, struct spool_told *ret)
{
	init_told(ret);
	(void)pthread_mutex_lock(&w->lock);
	move_told(ret, &w->told);
	(void)pthread_mutex_unlock(&w->lock);
}

static bool
start_thread(struct spool_worker *w, struct err *err)
{
	sigset_t all, before;
	int rc;

	/* Signals are the loop's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&w->thread, NULL, thread_main, w);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc == 0 ||
	    err_set(err, ERR_RETRY, "the spool's thread cannot be started: %s", strerror(rc));
}

static void
init_box(struct spool_worker *w)
{
	pthread_condattr_t attr;

	STAILQ_INIT(&w->asked.puts);
	STAILQ_INIT(&w->asked.removals);
	STAILQ_INIT(&w->puts);
	STAILQ_INIT(&w->removals);
	init_told(&w->done);
	init_told(&w->told);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->asked_more, &attr);
	(void)pthread_condattr_destroy(&attr);
}

static void
free_box(struct spool_worker *w)
{
	struct spool_put *p;

	while ((p = STAILQ_FIRST(&w->told.puts)) != NULL) {
		STAILQ_REMOVE_HEAD(&w->told.puts, link);
		free(p);
	}
	arena_fini(&w->told.found.arena);
	(void)pthread_cond_destroy(&w->asked_more);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

struct spool_worker *
spool_worker_new(const struct spool_conf *conf, int wake_fd, struct err *err)
{
	struct spool_worker *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	init_box(w);
	w->wake_fd = wake_fd;
	w->pause_ms = PAUSE_MIN_MS;
	w->retry_at_us = 1;		/* the file is to be opened */
	set_why(&w->done.view, SPOOL_OPENING);
	w->told.view = w->done.view;
	if (spool_store_init(&w->store, conf, err) && start_thread(w, err))
		return w;
	free_box(w);
	return NULL;
}

void
spool_worker_free(struct spool_worker *w)
{
	if (w == NULL)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->asked.stop = true;
	(void)pthread_cond_signal(&w->asked_more);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
	free_box(w);
}
