/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the spool's file, closing it, and making one. */
#include "io/spool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/spool_sql.h"

#define SEQ_MAX	(INT64_C(1) << 60)	/* nobody puts that many: the number is damaged */

enum { CACHE_KIB = 32768 /* the index of a million keys */, BUSY_MS = 1000, SQL_BYTES = 512 };

/* ---- opening ---- */

static void
end(struct spool_file *f, bool is_damaged)
{
	if (f == NULL)
		return;
	if (is_damaged)
		(void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	for (size_t i = 0; i < SPOOL_NSQL; i++)
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
	    SPOOL_CHECKPOINT_PAGES * SPOOL_FRAME_BYTES);
	return spool_sql_exec(db, "open", sql, err);
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
		(void)spool_sql_fail(f->db, "open", err);
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

	if (!spool_sql_query(db, "identify", "PRAGMA application_id", &application, err) ||
	    !spool_sql_query(db, "identify", "PRAGMA user_version", &format, err))
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
    SPOOL_TABLE_SQL "') = 1 AND sum(name = 'sqlite_autoindex_event_1' AND tbl_name = 'event')"	\
    " = 1 AND sum(name = 'sqlite_sequence') = 1 FROM sqlite_schema"

static bool
check_schema(sqlite3 *db, struct err *err)
{
	int64_t fits = 0;

	if (!spool_sql_query(db, "schema", SCHEMA_QUERY, &fits, err))
		return false;
	return fits == 1 || err_set(err, ERR_INPUT, "its schema is not ours");
}

/* Counted by the index of the keys, a fortieth of the file: nothing else has to be kept
 * that could be wrong. */
static bool
count(struct spool_file *f, struct err *err)
{
	int64_t last = 0;

	if (!spool_sql_query(f->db, "count", "SELECT count(*) FROM event", &f->events, err) ||
	    !spool_sql_query(f->db, "count", "SELECT max(coalesce((SELECT max(seq) FROM event), 0),"
	    " coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0))", &last, err))
		return false;
	if (last < SEQ_MAX)
		f->next_seq = last + 1;
	return last < SEQ_MAX || err_set(err, ERR_INPUT, "its last number is %lld",
	    (long long)last);
}

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
prepare_to_write(struct spool_file *f, int64_t max_bytes, struct err *err)
{
	char sql[SQL_BYTES];

	(void)snprintf(sql, sizeof(sql), "PRAGMA journal_mode = WAL; PRAGMA max_page_count = %lld",
	    (long long)(max_bytes / SPOOL_PAGE_BYTES));
	(void)sqlite3_wal_hook(f->db, on_commit, f);
	return spool_sql_exec(f->db, "open", sql, err) && count(f, err);
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
		return err_set(err, ERR_RETRY, "%s: %s", strerror(errno), path);
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
	if (spool_sql_exec(f->db, "make", "PRAGMA journal_mode = MEMORY; PRAGMA page_size = 4096; "
	    "BEGIN; " SPOOL_TABLE_SQL, err))
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
		(void)err_set(err, ERR_RETRY, "%s: %s", strerror(errno), path);
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

/* SQLite says which mode it is now, and takes it for no error when that is another. */
static bool
use_log(sqlite3 *db, struct err *err)
{
	static const char sql[] = "PRAGMA journal_mode = WAL";
	sqlite3_stmt *stmt = NULL;
	bool ok = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW;

	if (!ok)
		(void)spool_sql_fail(db, "make", err);
	else if (sqlite3_stricmp((const char *)sqlite3_column_text(stmt, 0), "wal") != 0)
		ok = err_set(err, ERR_CONFIG, "its file system cannot hold a write-ahead log");
	(void)sqlite3_finalize(stmt);
	return ok;
}

/* The application_id says that it is complete, so it comes last but for the log. */
bool
spool_file_finish(struct spool_file *f, struct err *err)
{
	char sql[SQL_BYTES], *path = f->path;
	bool ok;

	(void)snprintf(sql, sizeof(sql), "COMMIT; PRAGMA user_version = %d; "
	    "PRAGMA application_id = %d", SPOOL_FORMAT, SPOOL_APPLICATION_ID);
	ok = spool_sql_exec(f->db, "make", sql, err) && use_log(f->db, err);
	f->path = NULL;
	spool_file_close(f);
	ok = ok && sync_file(path, err);
	free(path);
	return ok;
}
