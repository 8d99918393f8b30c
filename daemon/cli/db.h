/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_DB_H
#define TL_CLI_DB_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/str.h"
#include "cli/command.h"

/* The database as commands use it: they wait for each answer. */

enum db_role {
	DB_READ,		/* reader_conninfo, and nothing can be written */
	DB_WRITE,		/* conninfo */
	DB_ADMIN,		/* admin_conninfo; the schema is not looked at */
};

enum { DB_NUMBER_BYTES = 24 };

/* Loads the configuration and connects.  NULL: it was said why; *ret_code is what to end
 * with.  What is not set falls back to conninfo. */
TL_MUST PGconn	*db_open(struct cli *cli, enum db_role role, enum exit_code *ret_code);
/* Values are text, $1 first.  NULL: it was said why: CLI_DATABASE. */
TL_MUST PGresult *db_query(PGconn *pg, const char *sql, const char *const *values, int n);
/* The same, whatever the result. */
TL_MUST PGresult *db_try(PGconn *pg, const char *sql, const char *const *values, int n);
bool		 db_is_state(const PGresult *res, const char *sqlstate);
/* Says what a result that failed says, and returns CLI_DATABASE. */
enum exit_code	 db_fail(const PGresult *res);
/* Prints the rows of a query that gives JSON in one column, as they come:
 * [row,\n row].  Returns how many, or -1: it was said why. */
TL_MUST long	 db_print_json(PGconn *pg, const char *sql, const char *const *values, int n);

/* STR_NONE when null. */
struct str	 db_cell(const PGresult *res, int row, int column);
/* 0 when null. */
int64_t		 db_number(const PGresult *res, int row, int column);
/* Adds one item of a text[] literal. */
void		 db_array_item(struct buf *out, struct str s, bool is_first);
const char	*db_number_text(char out[DB_NUMBER_BYTES], int64_t n);

#endif
