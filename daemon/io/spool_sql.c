/* SPDX-License-Identifier: Apache-2.0 */
/* The spool's statements: their texts, running them, and what their failures mean. */
#include "io/spool_sql.h"

#include <string.h>

#define COLUMNS		"seq, key, id, kind, format, source, identities, row, put_at, crc"
#define VALUES		" INTO event(" COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"

static const struct {
	const char	*name;		/* in error texts */
	const char	*sql;
} statements[SPOOL_NSQL] = {
	[SPOOL_SQL_BEGIN]	= { "begin", "BEGIN IMMEDIATE" },
	[SPOOL_SQL_COMMIT]	= { "commit", "COMMIT" },
	[SPOOL_SQL_ROLLBACK]	= { "roll back", "ROLLBACK" },
	[SPOOL_SQL_PUT]		= { "put", "INSERT" VALUES " ON CONFLICT(key) DO NOTHING" },
	[SPOOL_SQL_FIND]	= { "find", "SELECT " COLUMNS " FROM event WHERE key = ?1" },
	[SPOOL_SQL_REMOVE]	= { "remove", "DELETE FROM event WHERE seq = ?1" },
	[SPOOL_SQL_READ]	= { "read", "SELECT " COLUMNS " FROM event WHERE seq > ?1 "
				    "ORDER BY seq" },
	[SPOOL_SQL_OLDEST]	= { "find oldest", "SELECT put_at FROM event ORDER BY seq "
				    "LIMIT 1" },
	[SPOOL_SQL_RESTORE]	= { "restore", "INSERT OR IGNORE" VALUES },
	[SPOOL_SQL_HAS_KEY]	= { "find key", "SELECT 1 FROM event WHERE key = ?1" },
	[SPOOL_SQL_PAGES]	= { "measure", "PRAGMA page_count" },
	[SPOOL_SQL_FREE_PAGES]	= { "measure", "PRAGMA freelist_count" },
	[SPOOL_SQL_TOUCH]	= { "probe", "PRAGMA user_version = 1" },
};

_Static_assert(SPOOL_FORMAT == 1, "it stands in SPOOL_SQL_TOUCH");

/* ---- errors ---- */

/* Some of the codes for a failing disk tell of damage, too. */
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

bool
spool_sql_fail(sqlite3 *db, const char *what, struct err *err)
{
	int code = sqlite3_extended_errcode(db);

	if ((code & 0xff) == SQLITE_FULL)
		return err_set(err, ERR_RETRY, "%s: the disk is full, or the file as large as it "
		    "may become", what);
	return err_set(err, kind_of(code), "%s: %s (%d)", what, sqlite3_errmsg(db), code);
}

/* ---- running statements ---- */

sqlite3_stmt *
spool_sql_prepared(struct spool_file *f, enum spool_sql id, struct err *err)
{
	if (f->stmts[id] == NULL && sqlite3_prepare_v3(f->db, statements[id].sql, -1,
	    SQLITE_PREPARE_PERSISTENT, &f->stmts[id], NULL) != SQLITE_OK)
		(void)spool_sql_fail(f->db, statements[id].name, err);
	return f->stmts[id];
}

void
spool_sql_done(sqlite3_stmt *stmt)
{
	(void)sqlite3_reset(stmt);
	(void)sqlite3_clear_bindings(stmt);
}

bool
spool_sql_step(struct spool_file *f, enum spool_sql id, struct err *err)
{
	int rc = sqlite3_step(f->stmts[id]);
	bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW;

	if (!ok)
		(void)spool_sql_fail(f->db, statements[id].name, err);
	spool_sql_done(f->stmts[id]);
	return ok;
}

bool
spool_sql_run(struct spool_file *f, enum spool_sql id, struct err *err)
{
	return spool_sql_prepared(f, id, err) != NULL && spool_sql_step(f, id, err);
}

bool
spool_sql_number(struct spool_file *f, enum spool_sql id, int64_t *ret, bool *ret_found,
    struct err *err)
{
	sqlite3_stmt *stmt = spool_sql_prepared(f, id, err);
	int rc;

	if (stmt == NULL)
		return false;
	rc = sqlite3_step(stmt);
	*ret_found = rc == SQLITE_ROW;
	if (*ret_found)
		*ret = sqlite3_column_int64(stmt, 0);
	else if (rc != SQLITE_DONE)
		(void)spool_sql_fail(f->db, statements[id].name, err);
	spool_sql_done(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

bool
spool_sql_exec(sqlite3 *db, const char *what, const char *sql, struct err *err)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ||
	    spool_sql_fail(db, what, err);
}

bool
spool_sql_query(sqlite3 *db, const char *what, const char *sql, int64_t *ret, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	bool ok = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW;

	if (ok)
		*ret = sqlite3_column_int64(stmt, 0);
	else
		(void)spool_sql_fail(db, what, err);
	(void)sqlite3_finalize(stmt);
	return ok;
}

/* ---- rows in ---- */

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

bool
spool_sql_insert(struct spool_file *f, enum spool_sql id, const struct spool_row *row,
    bool *ret_is_new, struct err *err)
{
	sqlite3_stmt *stmt = spool_sql_prepared(f, id, err);

	if (stmt == NULL)
		return false;
	if (!bind_row(stmt, row)) {
		(void)spool_sql_fail(f->db, statements[id].name, err);
		spool_sql_done(stmt);
		return false;
	}
	if (!spool_sql_step(f, id, err))
		return false;
	*ret_is_new = sqlite3_changes(f->db) == 1;
	return true;
}

bool
spool_sql_find(struct spool_file *f, enum spool_sql id, const struct uuid *key,
    sqlite3_stmt **ret_stmt, struct err *err)
{
	sqlite3_stmt *stmt = spool_sql_prepared(f, id, err);
	int rc;

	if (stmt == NULL)
		return false;
	rc = bind_blob(stmt, 1, key->b, sizeof(key->b)) ? sqlite3_step(stmt) : SQLITE_NOMEM;
	*ret_stmt = rc == SQLITE_ROW ? stmt : NULL;
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		(void)spool_sql_fail(f->db, statements[id].name, err);
	spool_sql_done(stmt);
	return rc == SQLITE_DONE;
}

/* ---- rows out ---- */

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

bool
spool_sql_fetch(sqlite3_stmt *stmt, struct spool_row *ret, struct err *err)
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
		return err_set(err, ERR_INPUT, "event %lld: it is none", (long long)seq);
	if (sqlite3_column_int64(stmt, 9) != spool_row_crc(ret))
		return err_set(err, ERR_INPUT, "event %lld: its checksum does not fit",
		    (long long)seq);
	return true;
}
