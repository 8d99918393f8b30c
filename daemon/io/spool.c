/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool, as its owner on the loop sees it: what is asked for is handed to the thread
 * (io/spool_worker.c), and its answers become callbacks when the eventfd wakes the loop.
 *
 * A removal is remembered here until it is done, however long the disk fails: what was asked
 * to be removed is neither counted nor read any more.
 */
#include "io/spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "io/loop.h"
#include "io/spool_worker.h"

enum {
	PUTS_MAX_BYTES	= 64 * 1024 * 1024,	/* in memory, not on disk yet */
	ROW_MAX_BYTES	= 256 * 1024 * 1024,	/* SQLite's own limit is 1e9 */
	ROOM_MIN_BYTES	= 16 * 1024,		/* less is left: it is full */
};

TAILQ_HEAD(pending, spool_removal);

struct spool {
	const struct spool_ops	*ops;
	void			*owner;		/* of the callbacks */
	struct spool_worker	*worker;	/* ours */
	struct event		*wake;		/* ours */
	int			 wake_fd;	/* ours */
	int64_t			 max_bytes;
	struct pending		 pending;	/* ours: asked for, not known to be done */
	int64_t			 npending;	/* seqs in them */
	size_t			 memory_bytes;	/* of puts that are not answered */
	int64_t			 disk_bytes;	/* likewise */
	struct spool_reading	 reading;	/* wanted: under way */
	struct spool_view	 view;		/* as it was told last */
};

/* ---- what it is told ---- */

static bool
is_among(const struct spool_removal *r, int64_t seq)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->seqs[mid] < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->n && r->seqs[lo] == seq;
}

static bool
is_removed(const struct spool *s, int64_t seq)
{
	const struct spool_removal *r;

	TAILQ_FOREACH(r, &s->pending, pending)
		if (is_among(r, seq))
			return true;
	return false;
}

static void
forget_removals(struct spool *s, struct spool_removals *done)
{
	struct spool_removal *r;

	while ((r = STAILQ_FIRST(done)) != NULL) {
		STAILQ_REMOVE_HEAD(done, link);
		TAILQ_REMOVE(&s->pending, r, pending);
		s->npending -= (int64_t)r->n;
		free(r);
	}
}

static void
answer_puts(struct spool *s, struct spool_puts *done)
{
	struct spool_put *p;

	while ((p = STAILQ_FIRST(done)) != NULL) {
		STAILQ_REMOVE_HEAD(done, link);
		s->memory_bytes -= p->memory_bytes;
		s->disk_bytes -= p->disk_bytes;
		s->ops->put_done(s->owner, p->tag, &p->id, p->is_kept ? NULL : &p->why);
		free(p);
	}
}

/* What was asked to be removed meanwhile is left out; when nothing else was found, reading
 * goes on behind it. */
static void
answer_read(struct spool *s, struct spool_found *f)
{
	size_t found = f->n, n = 0;
	int64_t last = found > 0 ? f->items[found - 1].seq : 0;

	if (!f->is_there)
		return;
	for (size_t i = 0; i < found; i++)
		if (!is_removed(s, f->items[i].seq))
			f->items[n++] = f->items[i];
	if (found > 0 && n == 0) {
		s->reading.after = last;
		spool_worker_read(s->worker, &s->reading);
	} else {
		s->reading.is_wanted = false;
		s->ops->read_done(s->owner, f->items, n);
	}
	arena_fini(&f->arena);
}

static bool
differ(const struct spool_view *a, const struct spool_view *b)
{
	return a->news != b->news || a->takes != b->takes || strcmp(a->why, b->why) != 0 ||
	    (a->usage.events == 0) != (b->usage.events == 0);
}

static void
hear(struct spool *s)
{
	struct spool_view before = s->view;
	struct spool_told told;

	spool_worker_hear(s->worker, &told);
	s->view = told.view;
	forget_removals(s, &told.removals);
	answer_puts(s, &told.puts);
	answer_read(s, &told.found);
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

/* ---- asking ---- */

void
spool_state(const struct spool *s, struct spool_state *ret)
{
	const struct spool_usage *u = &s->view.usage;

	*ret = (struct spool_state){
		.events = u->events > s->npending ? u->events - s->npending : 0,
		.bytes = (u->events > 0 ? u->used_bytes : 0) + s->disk_bytes,
		.max_bytes = s->max_bytes,
		.takes = s->view.takes,
	};
	ret->oldest_us = ret->events > 0 ? u->oldest_us : 0;
	memcpy(ret->why, s->view.why, sizeof(ret->why));
	if (ret->takes && ret->bytes + ROOM_MIN_BYTES > ret->max_bytes) {
		ret->takes = false;
		(void)snprintf(ret->why, sizeof(ret->why), "it is full: %lld of %lld bytes are "
		    "used", (long long)ret->bytes, (long long)ret->max_bytes);
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

static struct spool_put *
put_new(const struct spool_item *item, size_t n, void *tag)
{
	struct spool_put *p = malloc(sizeof(*p) + n);
	char *at;

	if (p == NULL)
		return NULL;
	*p = (struct spool_put){ .tag = tag, .memory_bytes = sizeof(*p) + n,
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
	struct spool_put *p;

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
	spool_worker_put(s->worker, p);
	return true;
}

bool
spool_read(struct spool *s, int64_t after, size_t max_items, size_t max_bytes)
{
	if (s->reading.is_wanted)
		return false;
	s->reading = (struct spool_reading){ true, after, max_items, max_bytes };
	spool_worker_read(s->worker, &s->reading);
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
	struct spool_removal *r;

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
	spool_worker_remove(s->worker, r);
	return true;
}

/* ---- its life ---- */

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

struct spool *
spool_new(struct loop *l, const struct spool_conf *conf, const struct spool_ops *ops,
    void *owner, struct err *err)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	TAILQ_INIT(&s->pending);
	s->ops = ops;
	s->owner = owner;
	s->max_bytes = conf->max_bytes;
	s->wake_fd = -1;
	(void)snprintf(s->view.why, sizeof(s->view.why), SPOOL_OPENING);
	if (start_wake(s, l, err))
		s->worker = spool_worker_new(conf, s->wake_fd, err);
	if (s->worker != NULL)
		return s;
	spool_free(s);
	return NULL;
}

void
spool_free(struct spool *s)
{
	struct spool_removal *r;

	if (s == NULL)
		return;
	spool_worker_free(s->worker);
	if (s->wake != NULL)
		event_free(s->wake);
	if (s->wake_fd >= 0)
		(void)close(s->wake_fd);
	while ((r = TAILQ_FIRST(&s->pending)) != NULL) {
		TAILQ_REMOVE(&s->pending, r, pending);
		free(r);
	}
	free(s);
}
