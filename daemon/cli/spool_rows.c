/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a spool's file for those who only look: by SQLite while it is sound, else page
 * by page. */
#include "cli/spool_rows.h"

#include <stdlib.h>
#include <time.h>

#include "io/spool_carve.h"
#include "io/spool_file.h"
#include "io/spool_raw.h"

enum {
	AT_ONCE = 1000,		/* then others may empty the log */
	TRIES	= 3,
	PAUSE_NS = 50 * 1000 * 1000,
};

struct walk {
	struct spool_rows	*rows;
	int64_t			*seqs;		/* ours: those that were visited, rising */
	size_t			 n, room;
	size_t			 left;		/* of this turn */
	bool			 no_memory;
};

static bool
remember(struct walk *w, int64_t seq)
{
	size_t room = w->room > 0 ? 2 * w->room : 1024;
	int64_t *more;

	if (w->n == w->room) {
		more = realloc(w->seqs, room * sizeof(*more));
		if (more == NULL) {
			w->no_memory = true;
			return false;
		}
		w->seqs = more;
		w->room = room;
	}
	w->seqs[w->n++] = seq;
	return true;
}

/* ---- by SQLite ---- */

static bool
visit_next(void *arg, const struct spool_row *row)
{
	struct walk *w = arg;

	if (!remember(w, row->item.seq))
		return false;
	w->rows->visit(w->rows->arg, row);
	return --w->left > 0;
}

/* In turns, each a transaction of its own. */
static bool
walk_sound(struct walk *w, const char *path, struct err *err)
{
	struct spool_file *f = spool_file_open_to_read(path, err);
	bool ok = f != NULL;

	while (ok && w->left == 0 && !w->no_memory) {
		w->left = AT_ONCE;
		ok = spool_file_read(f, w->n > 0 ? w->seqs[w->n - 1] : 0, visit_next, w, err);
	}
	spool_file_close(f);
	if (ok && w->no_memory)
		return err_set(err, ERR_RETRY, "out of memory");
	return ok;
}

/* ---- page by page ---- */

static int
by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static bool
was_visited(const struct walk *w, int64_t seq)
{
	return w->n > 0 && bsearch(&seq, w->seqs, w->n, sizeof(*w->seqs), by_number) != NULL;
}

static bool
visit_carved(void *arg, const struct spool_row *row, bool is_again, struct err *err)
{
	struct walk *w = arg;

	(void)err;
	if (!is_again && !was_visited(w, row->item.seq))
		w->rows->visit(w->rows->arg, row);
	return true;
}

static bool
walk_damaged(struct walk *w, const char *path, struct err *err)
{
	const struct spool_carving carving = { .row = visit_carved, .arg = w };
	struct spool_raw *r = spool_raw_open(path, err);
	bool ok = r != NULL && spool_carve(r, &carving, &w->rows->lost, err);

	spool_raw_close(r);
	return ok;
}

/* Damage that SQLite would pass over in silence.  A daemon at work may be in the middle of
 * writing what is looked at here, so what looks damaged is looked at again. */
static bool
judge(const char *path, struct err *err)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	bool ok = false;

	for (int i = 0; i < TRIES && !ok; i++) {
		struct spool_raw *r = spool_raw_open(path, err);

		ok = r != NULL && spool_raw_judge(r, err);
		spool_raw_close(r);
		if (!ok && (r == NULL || err->kind != ERR_INPUT))
			return false;
		if (!ok)
			(void)nanosleep(&pause, NULL);
	}
	return ok;
}

/* A sound file that SQLite cannot open all the same stands where nothing can be written: it
 * wants an index of the log beside it. */
bool
spool_rows_each(struct spool_rows *rows, const char *path, struct err *err)
{
	struct walk w = { .rows = rows };
	bool ok = judge(path, err) && walk_sound(&w, path, err);

	rows->is_damaged = !ok && err->kind == ERR_INPUT;
	if (rows->is_damaged)
		rows->why = *err;
	if (!ok && err->kind != ERR_CONFIG)
		ok = walk_damaged(&w, path, err);
	free(w.seqs);
	return ok;
}
