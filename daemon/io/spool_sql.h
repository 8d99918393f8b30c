/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SPOOL_SQL_H
#define TL_IO_SPOOL_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/uuid.h"
#include "io/spool_row.h"

/* What the parts of spool_file.h share: SQLite, with errors as ours. */

enum {
	SPOOL_FRAME_BYTES	= SPOOL_PAGE_BYTES + 24,	/* of the write-ahead log */
	SPOOL_CHECKPOINT_PAGES	= 4096,		/* 16 MiB: by then, pages were written often */
};

enum spool_sql {
	SPOOL_SQL_BEGIN,
	SPOOL_SQL_COMMIT,
	SPOOL_SQL_ROLLBACK,
	SPOOL_SQL_PUT,
	SPOOL_SQL_FIND,
	SPOOL_SQL_REMOVE,
	SPOOL_SQL_READ,
	SPOOL_SQL_OLDEST,
	SPOOL_SQL_RESTORE,
	SPOOL_SQL_HAS_KEY,
	SPOOL_SQL_PAGES,
	SPOOL_SQL_FREE_PAGES,
	SPOOL_SQL_TOUCH,
	SPOOL_NSQL
};

struct spool_file {
	sqlite3		*db;			/* ours */
	sqlite3_stmt	*stmts[SPOOL_NSQL];	/* ours; NULL until they are needed */
	char		*path;			/* ours */
	int64_t		 next_seq;
	int64_t		 events;		/* committed */
	int64_t		 change;		/* of the transaction */
	int64_t		 oldest_us;
	bool		 oldest_is_known;
	int64_t		 wal_pages;		/* that stand in the log only */
};

/* The error of the call that failed just now, under a name for what was tried.  false. */
bool	 spool_sql_fail(sqlite3 *db, const char *what, struct err *err);

/* ---- the statements, prepared when they are first needed ---- */

TL_MUST sqlite3_stmt	*spool_sql_prepared(struct spool_file *f, enum spool_sql id,
			    struct err *err);
/* Makes it ready for the next time; what is bound to it is forgotten. */
void			 spool_sql_done(sqlite3_stmt *stmt);
/* Runs a prepared one whose rows nobody wants. */
TL_MUST bool		 spool_sql_step(struct spool_file *f, enum spool_sql id, struct err *err);
/* The same for one to which nothing is bound. */
TL_MUST bool		 spool_sql_run(struct spool_file *f, enum spool_sql id, struct err *err);
/* The number in its first row; *ret stays as it is when there is none. */
TL_MUST bool		 spool_sql_number(struct spool_file *f, enum spool_sql id, int64_t *ret,
			    bool *ret_found, struct err *err);
/* Looks for a key with FIND or HAS_KEY.  *ret_stmt stands on its row, or is NULL when there
 * is none; it is the caller's to spool_sql_done(). */
TL_MUST bool		 spool_sql_find(struct spool_file *f, enum spool_sql id,
			    const struct uuid *key, sqlite3_stmt **ret_stmt, struct err *err);
/* Runs PUT or RESTORE.  *ret_is_new false: a row was in the way. */
TL_MUST bool		 spool_sql_insert(struct spool_file *f, enum spool_sql id,
			    const struct spool_row *row, bool *ret_is_new, struct err *err);
/* The row that stmt stands on, its texts until the next step.  ERR_INPUT: it is none. */
TL_MUST bool		 spool_sql_fetch(sqlite3_stmt *stmt, struct spool_row *ret, struct err *err);

/* ---- texts that are run once ---- */

TL_MUST bool	 spool_sql_exec(sqlite3 *db, const char *what, const char *sql, struct err *err);
TL_MUST bool	 spool_sql_query(sqlite3 *db, const char *what, const char *sql, int64_t *ret,
		    struct err *err);

#endif
