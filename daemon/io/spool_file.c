/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statements on the spool's file.
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
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <sqlite3.h>

enum {
	CACHE_KIB		= 8192,
	BUSY_MS			= 1000,
	CHECKPOINT_PAGES	= 4096,		/* 16 MiB: by then, pages are written often */
	SHRINK_PAGES		= 1024,		/* a smaller file stays as it is */
	FRAME_BYTES		= SPOOL_PAGE_BYTES + 24,	/* of the log */
	FREE_MIN_BYTES		= 1024 * 1024,	/* less on the disk: it is full */
	SQL_BYTES		= 512,
};

enum statement {
	BEGIN, COMMIT, ROLLBACK, PUT, FIND, REMOVE, READ, OLDEST, RESTORE, HAS_KEY, PAGES,
	FREE_PAGES, TOUCH, NSTATEMENTS
};

#define COLUMNS		"seq, key, id, kind, format, source, identities, row, put_at, crc"
#define VALUES		" INTO event(" COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"

static const struct {
	const char	*name;		/* in error texts */
	const char	*sql;
} statements[NSTATEMENTS] = {
	[BEGIN]		= { "begin", "BEGIN IMMEDIATE" },
	[COMMIT]	= { "commit", "COMMIT" },
	[ROLLBACK]	= { "roll back", "ROLLBACK" },
	[PUT]		= { "put", "INSERT" VALUES " ON CONFLICT(key) DO NOTHING" },
	[FIND]		= { "find", "SELECT " COLUMNS " FROM event WHERE key = ?1" },
	[REMOVE]	= { "remove", "DELETE FROM event WHERE seq = ?1" },
	[READ]		= { "read", "SELECT " COLUMNS " FROM event WHERE seq > ?1 ORDER BY seq" },
	[OLDEST]	= { "find oldest", "SELECT put_at FROM event ORDER BY seq LIMIT 1" },
	[RESTORE]	= { "restore", "INSERT OR IGNORE" VALUES },
	[HAS_KEY]	= { "find key", "SELECT 1 FROM event WHERE key = ?1" },
	[PAGES]		= { "measure", "PRAGMA page_count" },
	[FREE_PAGES]	= { "measure", "PRAGMA freelist_count" },
	[TOUCH]		= { "probe", "PRAGMA user_version = 1" },
};

_Static_assert(SPOOL_FORMAT == 1, "it stands in TOUCH");

struct spool_file {
	sqlite3		*db;			/* ours */
	sqlite3_stmt	*stmts[NSTATEMENTS];	/* ours; NULL until they are needed */
	char		*path;			/* ours */
	int64_t		 next_seq;
	int64_t		 events;		/* committed */
	int64_t		 change;		/* of the transaction */
	int64_t		 oldest_us;
	bool		 oldest_is_known;
	int64_t		 wal_pages;
};

/* ---- errors ---- */

/* A row of SQLite's codes says what to do; IOERR has some that tell of damage. */
static enum err_kind
kind_of(int code)
{
	switch (code) {
	case SQLITE_IOERR_READ:
	case SQLITE_IOERR_SHORT_READ:
	case SQLITE_IOERR_CORRUPTFS:
		return ERR_INPUT;
	}
	switch (code & 0xff) {
	case SQLITE_ERROR:		/* no such table, no such column */
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CONSTRAINT:		/* the next seq is taken */
	case SQLITE_MISMATCH:
		return ERR_INPUT;
	default:
		return ERR_RETRY;
	}
}

/* Is to be called first thing after the call that failed. */
static bool
fail(sqlite3 *db, const char *what, struct err *err)
{
	int code = sqlite3_extended_errcode(db), system_errno = sqlite3_system_errno(db);

	if ((code & 0xff) == SQLITE_FULL)
		return err_set(err, ERR_RETRY, "%s: the disk is full, or the file as large as it may "
		    "become", what);
	if (system_errno != 0 && ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN))
		return err_set(err, kind_of(code), "%s: %s (%d): %s", what, sqlite3_errmsg(db), code,
		    strerror(system_errno));
	return err_set(err, kind_of(code), "%s: %s (%d)", what, sqlite3_errmsg(db), code);
}

static bool
damaged(struct err *err, int64_t seq, const char *why)
{
	return err_set(err, ERR_INPUT, "event %lld: %s", (long long)seq, why);
}

/* ---- running statements ---- */

static sqlite3_stmt *
prepared(struct spool_file *f, enum statement id, struct err *err)
{
	if (f->stmts[id] == NULL && sqlite3_prepare_v3(f->db, statements[id].sql, -1,
	    SQLITE_PREPARE_PERSISTENT, &f->stmts[id], NULL) != SQLITE_OK)
		(void)fail(f->db, statements[id].name, err);
	return f->stmts[id];
}

static void
done(sqlite3_stmt *stmt)
{
	(void)sqlite3_reset(stmt);
	(void)sqlite3_clear_bindings(stmt);
}

/* What is bound to it is forgotten. */
static bool
step(struct spool_file *f, enum statement id, struct err *err)
{
	sqlite3_stmt *stmt = f->stmts[id];
	int rc = sqlite3_step(stmt);
	bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW;

	if (!ok)
		(void)fail(f->db, statements[id].name, err);
	done(stmt);
	return ok;
}

static bool
run(struct spool_file *f, enum statement id, struct err *err)
{
	return prepared(f, id, err) != NULL && step(f, id, err);
}

/* *ret stays as it is when there is no row. */
static bool
ask_number(struct spool_file *f, enum statement id, int64_t *ret, bool *ret_found,
    struct err *err)
{
	sqlite3_stmt *stmt = prepared(f, id, err);
	int rc;

	if (stmt == NULL)
		return false;
	rc = sqlite3_step(stmt);
	*ret_found = rc == SQLITE_ROW;
	if (*ret_found)
		*ret = sqlite3_column_int64(stmt, 0);
	else if (rc != SQLITE_DONE)
		(void)fail(f->db, statements[id].name, err);
	done(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool
exec(sqlite3 *db, const char *what, const char *sql, struct err *err)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK || fail(db, what, err);
}

/* The only value of a query that is run once. */
static bool
query_number(sqlite3 *db, const char *what, const char *sql, int64_t *ret, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	bool ok = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW;

	if (ok)
		*ret = sqlite3_column_int64(stmt, 0);
	else
		(void)fail(db, what, err);
	(void)sqlite3_finalize(stmt);
	return ok;
}

/* A failure ends the transaction, as the header says. */
static bool
give_up(struct spool_file *f)
{
	struct err ignored;		/* SQLite may have rolled back by itself */

	if (sqlite3_get_autocommit(f->db) == 0)
		(void)run(f, ROLLBACK, &ignored);
	f->change = 0;
	return false;
}

/* ---- rows ---- */

static bool
bind_text(sqlite3_stmt *stmt, int i, struct str s)
{
	return sqlite3_bind_text64(stmt, i, s.p != NULL ? s.p : "", s.n, SQLITE_STATIC,
	    SQLITE_UTF8) == SQLITE_OK;
}

static bool
bind_blob(sqlite3_stmt *stmt, int i, const void *p, size_t n)
{
	return sqlite3_bind_blob64(stmt, i, p != NULL ? p : "", n, SQLITE_STATIC) == SQLITE_OK;
}

static bool
bind_row(sqlite3_stmt *stmt, const struct spool_row *row)
{
	const struct spool_item *it = &row->item;

	return sqlite3_bind_int64(stmt, 1, it->seq) == SQLITE_OK &&
	    bind_blob(stmt, 2, it->key.b, sizeof(it->key.b)) &&
	    bind_blob(stmt, 3, it->id.b, sizeof(it->id.b)) &&
	    bind_text(stmt, 4, spool_row_kind(row)) &&
	    sqlite3_bind_int(stmt, 5, it->format) == SQLITE_OK &&
	    bind_text(stmt, 6, it->source) && bind_text(stmt, 7, it->identities) &&
	    bind_blob(stmt, 8, it->row.p, it->row.n) &&
	    sqlite3_bind_int64(stmt, 9, row->put_at_us) == SQLITE_OK &&
	    sqlite3_bind_int64(stmt, 10, spool_row_crc(row)) == SQLITE_OK;
}

static struct str
column(sqlite3_stmt *stmt, int i)
{
	const void *p = sqlite3_column_blob(stmt, i);

	return (struct str){ p != NULL ? p : "", (size_t)sqlite3_column_bytes(stmt, i) };
}

static bool
column_uuid(sqlite3_stmt *stmt, int i, struct uuid *ret)
{
	struct str s = column(stmt, i);

	if (s.n != sizeof(ret->b))
		return false;
	memcpy(ret->b, s.p, sizeof(ret->b));
	return true;
}

/* The row that stmt stands on; its texts live until the next step. */
static bool
fetch(sqlite3_stmt *stmt, struct spool_row *ret, struct err *err)
{
	int64_t seq = sqlite3_column_int64(stmt, 0);

	*ret = (struct spool_row){
		.item = { .seq = seq, .format = sqlite3_column_int(stmt, 4),
		    .source = column(stmt, 5), .identities = column(stmt, 6),
		    .row = column(stmt, 7) },
		.put_at_us = sqlite3_column_int64(stmt, 8),
	};
	if (!column_uuid(stmt, 1, &ret->item.key) || !column_uuid(stmt, 2, &ret->item.id) ||
	    !spool_row_read_kind(column(stmt, 3), ret))
		return damaged(err, seq, "it is no event");
	if (sqlite3_column_int64(stmt, 9) != spool_row_crc(ret))
		return damaged(err, seq, "its checksum does not fit");
	return true;
}

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

/* ---- the transaction ---- */

bool
spool_file_begin(struct spool_file *f, struct err *err)
{
	f->change = 0;
	return run(f, BEGIN, err) || give_up(f);
}

bool
spool_file_commit(struct spool_file *f, struct err *err)
{
	if (!run(f, COMMIT, err))
		return give_up(f);
	f->events += f->change;
	f->change = 0;
	return true;
}

/* Who has the key already: it is looked at whole, since an answer will rest on it. */
static bool
find_older(struct spool_file *f, const struct uuid *key, struct uuid *ret_id, struct err *err)
{
	sqlite3_stmt *stmt = prepared(f, FIND, err);
	struct spool_row older;
	bool ok;
	int rc;

	if (stmt == NULL)
		return false;
	if (!bind_blob(stmt, 1, key->b, sizeof(key->b)))
		return fail(f->db, "bind", err);
	rc = sqlite3_step(stmt);
	ok = rc == SQLITE_ROW && fetch(stmt, &older, err);
	if (ok)
		*ret_id = older.item.id;
	else if (rc == SQLITE_DONE)
		(void)err_set(err, ERR_INPUT, "a key that is there cannot be found");
	else if (rc != SQLITE_ROW)
		(void)fail(f->db, "find", err);
	done(stmt);
	return ok;
}

static bool
insert(struct spool_file *f, enum statement id, const struct spool_row *row, bool *ret_is_new,
    struct err *err)
{
	sqlite3_stmt *stmt = prepared(f, id, err);

	if (stmt == NULL)
		return false;
	if (!bind_row(stmt, row)) {
		(void)fail(f->db, "bind", err);
		done(stmt);
		return false;
	}
	if (!step(f, id, err))
		return false;
	*ret_is_new = sqlite3_changes(f->db) == 1;
	return true;
}

bool
spool_file_put(struct spool_file *f, struct spool_row *row, struct uuid *ret_id, struct err *err)
{
	bool is_new;

	row->item.seq = f->next_seq;
	if (!insert(f, PUT, row, &is_new, err))
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
	sqlite3_stmt *stmt = prepared(f, HAS_KEY, err);
	int rc;

	if (stmt == NULL)
		return false;
	if (!bind_blob(stmt, 1, key->b, sizeof(key->b)))
		return fail(f->db, "bind", err);
	rc = sqlite3_step(stmt);
	*ret = rc == SQLITE_ROW;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		(void)fail(f->db, "find", err);
	done(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

bool
spool_file_restore(struct spool_file *f, const struct spool_row *row, bool *ret_is_new,
    struct err *err)
{
	struct spool_row moved = *row;
	bool is_there;

	if (!insert(f, RESTORE, row, ret_is_new, err))
		return give_up(f);
	if (!*ret_is_new) {
		if (!has_key(f, &row->item.key, &is_there, err))
			return give_up(f);
		if (is_there)
			return true;
		/* Another has its seq. */
		moved.item.seq = f->next_seq;
		if (!insert(f, RESTORE, &moved, ret_is_new, err))
			return give_up(f);
	}
	f->change++;
	spool_file_raise_seq(f, moved.item.seq + 1);
	return true;
}

bool
spool_file_remove(struct spool_file *f, const int64_t *seqs, size_t n, struct err *err)
{
	sqlite3_stmt *stmt = prepared(f, REMOVE, err);

	if (stmt == NULL)
		return give_up(f);
	for (size_t i = 0; i < n; i++) {
		if (sqlite3_bind_int64(stmt, 1, seqs[i]) != SQLITE_OK ||
		    !step(f, REMOVE, err))
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
	sqlite3_stmt *stmt = prepared(f, READ, err);
	struct spool_row row;
	bool ok = true, wants_more = true;
	int rc = SQLITE_DONE;

	if (stmt == NULL)
		return false;
	(void)sqlite3_bind_int64(stmt, 1, after);
	while (ok && wants_more && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		ok = fetch(stmt, &row, err);
		if (ok && row.item.seq <= after)
			ok = damaged(err, row.item.seq, "it stands in the wrong place");
		if (ok) {
			after = row.item.seq;
			wants_more = visit(arg, &row);
		}
	}
	if (ok && rc != SQLITE_ROW && rc != SQLITE_DONE)
		ok = fail(f->db, "read", err);
	done(stmt);
	return ok;
}

/* The table and the index of its keys, by which they were counted, have to agree on whether
 * anything is there. */
static bool
find_oldest(struct spool_file *f, struct err *err)
{
	bool is_there;

	f->oldest_us = 0;
	if (!ask_number(f, OLDEST, &f->oldest_us, &is_there, err))
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
	if (!ask_number(f, PAGES, &pages, &found, err) ||
	    !ask_number(f, FREE_PAGES, &free_pages, &found, err))
		return false;
	*ret = (struct spool_usage){
		.events = f->events,
		.used_bytes = (pages - free_pages) * SPOOL_PAGE_BYTES,
		.wal_bytes = f->wal_pages * FRAME_BYTES,
		.oldest_us = f->oldest_us,
	};
	return true;
}

/* ---- upkeep ---- */

static int
on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct spool_file *f = arg;

	(void)db;
	(void)name;
	f->wal_pages = pages;
	return SQLITE_OK;
}

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
		return fail(f->db, "checkpoint", err);
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
		return fail(f->db, "shrink", err);
	return checkpoint(f, SQLITE_CHECKPOINT_TRUNCATE, err);
}

bool
spool_file_tend(struct spool_file *f, struct err *err)
{
	int64_t pages = 0;
	bool found;

	if (f->wal_pages >= CHECKPOINT_PAGES && !checkpoint(f, SQLITE_CHECKPOINT_PASSIVE, err))
		return false;
	if (f->events > 0)
		return true;
	if (!ask_number(f, PAGES, &pages, &found, err))
		return false;
	return pages <= SHRINK_PAGES || shrink(f, err);
}

static bool
has_room(const struct spool_file *f, struct err *err)
{
	struct statvfs fs;

	if (statvfs(f->path, &fs) != 0)
		return err_set(err, ERR_RETRY, "%s: %s", f->path, strerror(errno));
	if (fs.f_bavail < FREE_MIN_BYTES / fs.f_frsize)
		return err_set(err, ERR_RETRY, "the disk is full");
	return true;
}

bool
spool_file_probe(struct spool_file *f, struct err *err)
{
	return has_room(f, err) && (f->wal_pages < CHECKPOINT_PAGES ||
	    checkpoint(f, SQLITE_CHECKPOINT_TRUNCATE, err)) && run(f, TOUCH, err);
}

/* ---- opening ---- */

static void
end(struct spool_file *f, bool is_damaged)
{
	if (f == NULL)
		return;
	if (is_damaged)
		(void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	for (size_t i = 0; i < NSTATEMENTS; i++)
		(void)sqlite3_finalize(f->stmts[i]);
	(void)sqlite3_close_v2(f->db);
	free(f->path);
	free(f);
}

void
spool_file_close(struct spool_file *f)
{
	end(f, false);
}

void
spool_file_abandon(struct spool_file *f)
{
	end(f, true);
}

/* A file of others must not make us run what they put into it. */
static bool
harden(sqlite3 *db, struct err *err)
{
	char sql[SQL_BYTES];

	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	(void)sqlite3_busy_timeout(db, BUSY_MS);
	(void)snprintf(sql, sizeof(sql), "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; "
	    "PRAGMA cache_size = -%d; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; "
	    "PRAGMA secure_delete = FAST; PRAGMA journal_size_limit = %d", CACHE_KIB,
	    CHECKPOINT_PAGES * FRAME_BYTES);
	return exec(db, "open", sql, err);
}

static struct spool_file *
connect_to(const char *path, int flags, struct err *err)
{
	struct spool_file *f = calloc(1, sizeof(*f));

	if (f != NULL)
		f->path = strdup(path);
	if (f == NULL || f->path == NULL) {
		free(f);
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	f->next_seq = 1;
	if (sqlite3_open_v2(path, &f->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
	    NULL) != SQLITE_OK)
		(void)fail(f->db, "open", err);
	else if (harden(f->db, err))
		return f;
	spool_file_abandon(f);
	return NULL;
}

/* Whose file it is, and of which release. */
static bool
identify(sqlite3 *db, struct err *err)
{
	int64_t application = 0, format = 0;

	if (!query_number(db, "identify", "PRAGMA application_id", &application, err) ||
	    !query_number(db, "identify", "PRAGMA user_version", &format, err))
		return false;
	if (application != SPOOL_APPLICATION_ID)
		return err_set(err, ERR_INPUT, "it is no spool: its application_id is %lld",
		    (long long)application);
	if (format > SPOOL_FORMAT && format <= SPOOL_FORMAT_MAX)
		return err_set(err, ERR_CONFIG, "its format is %lld, of a later release; this one "
		    "reads %d: start that release again, or move the file away", (long long)format,
		    SPOOL_FORMAT);
	if (format != SPOOL_FORMAT)
		return err_set(err, ERR_INPUT, "its format is %lld", (long long)format);
	return true;
}

#define SCHEMA_QUERY							\
    "SELECT count(*) = 3 AND sum(name = 'event' AND type = 'table' AND sql = '"	\
    SPOOL_TABLE_SQL "') = 1 AND sum(name = 'sqlite_autoindex_event_1' AND tbl_name = 'event') = 1 "	\
    "AND sum(name = 'sqlite_sequence') = 1 FROM sqlite_schema"

static bool
check_schema(sqlite3 *db, struct err *err)
{
	int64_t fits = 0;

	if (!query_number(db, "schema", SCHEMA_QUERY, &fits, err))
		return false;
	return fits == 1 || err_set(err, ERR_INPUT, "its schema is not ours");
}

/* Counted by the index of the keys, a fortieth of the file: nothing else has to be kept
 * that could be wrong. */
static bool
count(struct spool_file *f, struct err *err)
{
	return query_number(f->db, "count", "SELECT count(*) FROM event", &f->events, err) &&
	    query_number(f->db, "count", "SELECT 1 + max(coalesce((SELECT max(seq) FROM event), 0), "
	    "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0))", &f->next_seq,
	    err) && find_oldest(f, err);
}

static bool
prepare_to_write(struct spool_file *f, int64_t max_bytes, struct err *err)
{
	char sql[SQL_BYTES];

	(void)snprintf(sql, sizeof(sql), "PRAGMA journal_mode = WAL; PRAGMA max_page_count = %lld",
	    (long long)(max_bytes / SPOOL_PAGE_BYTES));
	(void)sqlite3_wal_hook(f->db, on_commit, f);
	return exec(f->db, "open", sql, err) && count(f, err);
}

struct spool_file *
spool_file_open(const char *path, int64_t max_bytes, struct err *err)
{
	struct spool_file *f = connect_to(path, SQLITE_OPEN_READWRITE, err);

	if (f == NULL)
		return NULL;
	if (identify(f->db, err) && check_schema(f->db, err) &&
	    prepare_to_write(f, max_bytes, err))
		return f;
	spool_file_abandon(f);
	return NULL;
}

struct spool_file *
spool_file_open_to_read(const char *path, struct err *err)
{
	struct spool_file *f = connect_to(path, SQLITE_OPEN_READONLY, err);

	if (f == NULL)
		return NULL;
	if (identify(f->db, err) && check_schema(f->db, err))
		return f;
	spool_file_abandon(f);
	return NULL;
}

/* ---- making one ---- */

/* With our mode: SQLite gives its own files beside it the same. */
static bool
make_empty(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set(err, ERR_RETRY, "%s: %s", path, strerror(errno));
	(void)close(fd);
	return true;
}

struct spool_file *
spool_file_create(const char *path, struct err *err)
{
	struct spool_file *f;

	if (!make_empty(path, err))
		return NULL;
	f = connect_to(path, SQLITE_OPEN_READWRITE, err);
	if (f == NULL)
		return NULL;
	/* Should we die before it is complete, nobody will look at it: no journal is needed. */
	if (exec(f->db, "make", "PRAGMA journal_mode = MEMORY; PRAGMA page_size = 4096; BEGIN; "
	    SPOOL_TABLE_SQL, err))
		return f;
	spool_file_abandon(f);
	return NULL;
}

static bool
sync_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (!ok)
		(void)err_set(err, ERR_RETRY, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

/* The application_id says that it is complete, so it comes last. */
bool
spool_file_finish(struct spool_file *f, struct err *err)
{
	char sql[SQL_BYTES];
	bool ok;

	(void)snprintf(sql, sizeof(sql), "COMMIT; PRAGMA user_version = %d; "
	    "PRAGMA application_id = %d; PRAGMA journal_mode = WAL", SPOOL_FORMAT,
	    SPOOL_APPLICATION_ID);
	ok = exec(f->db, "make", sql, err);
	char *path = f->path;

	f->path = NULL;
	spool_file_close(f);
	ok = ok && sync_file(path, err);
	free(path);
	return ok;
}
