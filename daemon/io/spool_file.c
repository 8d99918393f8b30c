/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool's file: one transaction after the other, and its upkeep.
 *
 * What is relied on of SQLite (its documents wal.html, pragma.html, howtocorrupt.html):
 * - WAL with synchronous=FULL: a COMMIT that returned SQLITE_OK was fsynced; one that failed
 *   is rolled back, and the next transaction writes its frames over it.  So a failed fsync is
 *   never followed by an acknowledgement that rests on it.
 * - Readers of other processes (touchlog spool) never hold up a writer; they only keep the
 *   log from being begun anew, so that it grows.  tend() and probe() keep an eye on it.
 * - A checkpoint writes pages that the log still holds: when it fails, it is done again.
 * - cell_size_check finds a damaged page when it is read rather than when it is used; what it
 *   cannot find, the checksum of each row does.
 * - secure_delete: Debian's default writes zeros over each page that is freed, which doubles
 *   the cost of removing; FAST does so only where the page is written anyway.
 * - POSIX locks go when any descriptor of the file is closed: nobody in this process opens
 *   the file by itself while it is open here.
 */
#include "io/spool_file.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "io/spool_sql.h"

enum {
	SHRINK_PAGES	= 1024,			/* a smaller file stays as it is */
	FREE_MIN_BYTES	= 1024 * 1024,		/* less on the disk: it is full */
};

int64_t
spool_file_next_seq(const struct spool_file *f)
{
	return f->next_seq;
}

void
spool_file_raise_seq(struct spool_file *f, int64_t seq)
{
	if (f->next_seq < seq)
		f->next_seq = seq;
}

/* A failure ends the transaction, as the header says. */
static bool
give_up(struct spool_file *f)
{
	struct err ignored;		/* SQLite may have rolled back by itself */

	if (sqlite3_get_autocommit(f->db) == 0)
		(void)!spool_sql_run(f, SPOOL_SQL_ROLLBACK, &ignored);
	f->change = 0;
	return false;
}

/* ---- the transaction ---- */

bool
spool_file_begin(struct spool_file *f, struct err *err)
{
	f->change = 0;
	return spool_sql_run(f, SPOOL_SQL_BEGIN, err) || give_up(f);
}

bool
spool_file_commit(struct spool_file *f, struct err *err)
{
	if (!spool_sql_run(f, SPOOL_SQL_COMMIT, err))
		return give_up(f);
	f->events += f->change;
	f->change = 0;
	return true;
}

/* Who has the key already: it is looked at whole, since an answer will rest on it. */
static bool
find_older(struct spool_file *f, const struct uuid *key, struct uuid *ret_id, struct err *err)
{
	sqlite3_stmt *stmt;
	struct spool_row older;
	bool ok;

	if (!spool_sql_find(f, SPOOL_SQL_FIND, key, &stmt, err))
		return false;
	if (stmt == NULL)
		return err_set(err, ERR_INPUT, "a key that is there cannot be found");
	ok = spool_sql_fetch(stmt, &older, err);
	if (ok)
		*ret_id = older.item.id;
	spool_sql_done(stmt);
	return ok;
}

bool
spool_file_put(struct spool_file *f, struct spool_row *row, struct uuid *ret_id, struct err *err)
{
	bool is_new;

	row->item.seq = f->next_seq;
	if (!spool_sql_insert(f, SPOOL_SQL_PUT, row, &is_new, err))
		return give_up(f);
	if (!is_new)
		return find_older(f, &row->item.key, ret_id, err) || give_up(f);
	f->next_seq++;
	f->change++;
	*ret_id = row->item.id;
	return true;
}

static bool
has_key(struct spool_file *f, const struct uuid *key, bool *ret, struct err *err)
{
	sqlite3_stmt *stmt;

	if (!spool_sql_find(f, SPOOL_SQL_HAS_KEY, key, &stmt, err))
		return false;
	*ret = stmt != NULL;
	if (stmt != NULL)
		spool_sql_done(stmt);
	return true;
}

/* Either the same row is there already, or another has its seq and it gets the next one. */
static bool
restore_as_next(struct spool_file *f, struct spool_row *row, bool *ret_is_new, struct err *err)
{
	bool is_there;

	if (!has_key(f, &row->item.key, &is_there, err))
		return false;
	if (is_there)
		return true;
	row->item.seq = f->next_seq;
	return spool_sql_insert(f, SPOOL_SQL_RESTORE, row, ret_is_new, err);
}

bool
spool_file_restore(struct spool_file *f, const struct spool_row *row, bool *ret_is_new,
    struct err *err)
{
	struct spool_row moved = *row;

	if (!spool_sql_insert(f, SPOOL_SQL_RESTORE, row, ret_is_new, err))
		return give_up(f);
	if (!*ret_is_new && !restore_as_next(f, &moved, ret_is_new, err))
		return give_up(f);
	if (*ret_is_new) {
		f->change++;
		spool_file_raise_seq(f, moved.item.seq + 1);
	}
	return true;
}

bool
spool_file_remove(struct spool_file *f, const int64_t *seqs, size_t n, struct err *err)
{
	sqlite3_stmt *stmt = spool_sql_prepared(f, SPOOL_SQL_REMOVE, err);

	if (stmt == NULL)
		return give_up(f);
	for (size_t i = 0; i < n; i++) {
		if (sqlite3_bind_int64(stmt, 1, seqs[i]) != SQLITE_OK ||
		    !spool_sql_step(f, SPOOL_SQL_REMOVE, err))
			return give_up(f);
		f->change -= sqlite3_changes(f->db);
	}
	f->oldest_is_known = false;
	return true;
}

/* ---- reading ---- */

bool
spool_file_read(struct spool_file *f, int64_t after,
    bool (*visit)(void *arg, const struct spool_row *row), void *arg, struct err *err)
{
	sqlite3_stmt *stmt = spool_sql_prepared(f, SPOOL_SQL_READ, err);
	struct spool_row row;
	bool ok = true, wants_more = true;
	int rc = SQLITE_DONE;

	if (stmt == NULL)
		return false;
	(void)sqlite3_bind_int64(stmt, 1, after);
	while (ok && wants_more && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		ok = spool_sql_fetch(stmt, &row, err);
		if (ok && row.item.seq <= after)
			ok = err_set(err, ERR_INPUT, "event %lld: it stands in the wrong place",
			    (long long)row.item.seq);
		if (ok) {
			after = row.item.seq;
			wants_more = visit(arg, &row);
		}
	}
	if (ok && rc != SQLITE_ROW && rc != SQLITE_DONE)
		ok = spool_sql_fail(f->db, "read", err);
	spool_sql_done(stmt);
	return ok;
}

/* The table and the index of its keys, by which they were counted, have to agree on whether
 * anything is there. */
static bool
find_oldest(struct spool_file *f, struct err *err)
{
	bool is_there;

	f->oldest_us = 0;
	if (!spool_sql_number(f, SPOOL_SQL_OLDEST, &f->oldest_us, &is_there, err))
		return false;
	if (is_there != (f->events > 0))
		return err_set(err, ERR_INPUT, "%lld events are counted, and %s is found",
		    (long long)f->events, is_there ? "one" : "none");
	f->oldest_is_known = is_there;
	return true;
}

bool
spool_file_usage(struct spool_file *f, struct spool_usage *ret, struct err *err)
{
	int64_t pages = 0, free_pages = 0;
	bool found;

	if (!f->oldest_is_known && !find_oldest(f, err))
		return false;
	if (!spool_sql_number(f, SPOOL_SQL_PAGES, &pages, &found, err) ||
	    !spool_sql_number(f, SPOOL_SQL_FREE_PAGES, &free_pages, &found, err))
		return false;
	*ret = (struct spool_usage){
		.events = f->events,
		.used_bytes = (pages - free_pages) * SPOOL_PAGE_BYTES,
		.wal_bytes = f->wal_pages * SPOOL_FRAME_BYTES,
		.oldest_us = f->oldest_us,
	};
	return true;
}

/* ---- upkeep ---- */

static bool
is_busy(int rc)
{
	return (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED;
}

/* When a reader is in the way, it is done another time. */
static bool
checkpoint(struct spool_file *f, int mode, struct err *err)
{
	int pages = -1, moved = -1;
	int rc = sqlite3_wal_checkpoint_v2(f->db, NULL, mode, &pages, &moved);

	if (rc != SQLITE_OK && !is_busy(rc))
		return spool_sql_fail(f->db, "checkpoint", err);
	/* All of it stands in the file: the next transaction begins it anew. */
	if (pages >= 0)
		f->wal_pages = moved == pages ? 0 : pages;
	return true;
}

/* Nothing is left but the schema: writing that anew costs next to nothing, whatever the file
 * has grown to. */
static bool
shrink(struct spool_file *f, struct err *err)
{
	int rc = sqlite3_exec(f->db, "VACUUM", NULL, NULL, NULL);

	if (is_busy(rc))
		return true;
	if (rc != SQLITE_OK)
		return spool_sql_fail(f->db, "shrink", err);
	return checkpoint(f, SQLITE_CHECKPOINT_TRUNCATE, err);
}

bool
spool_file_tend(struct spool_file *f, struct err *err)
{
	int64_t pages = 0;
	bool found;

	if (f->wal_pages >= SPOOL_CHECKPOINT_PAGES &&
	    !checkpoint(f, SQLITE_CHECKPOINT_PASSIVE, err))
		return false;
	if (f->events > 0)
		return true;
	if (!spool_sql_number(f, SPOOL_SQL_PAGES, &pages, &found, err))
		return false;
	return pages <= SHRINK_PAGES || shrink(f, err);
}

static bool
has_room(const struct spool_file *f, struct err *err)
{
	struct statvfs fs;

	if (statvfs(f->path, &fs) != 0)
		return err_set(err, ERR_RETRY, "%s: %s", strerror(errno), f->path);
	if (fs.f_bavail < FREE_MIN_BYTES / fs.f_frsize)
		return err_set(err, ERR_RETRY, "the disk is full");
	return true;
}

bool
spool_file_probe(struct spool_file *f, struct err *err)
{
	if (!has_room(f, err))
		return false;
	if (f->wal_pages >= SPOOL_CHECKPOINT_PAGES &&
	    !checkpoint(f, SQLITE_CHECKPOINT_TRUNCATE, err))
		return false;
	return spool_sql_run(f, SPOOL_SQL_TOUCH, err);
}
