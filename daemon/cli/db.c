/* SPDX-License-Identifier: Apache-2.0 */
/* The database as commands use it: synchronously, with every failure said once. */
#include "cli/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/config.h"
#include "io/pg_conn.h"
#include "io/schema_level.h"

static const char *
conninfo_of(const struct config *c, enum db_role role)
{
	const char *own = role == DB_READ ? c->database.reader_conninfo.p :
	    role == DB_ADMIN ? c->database.admin_conninfo.p : NULL;

	return own != NULL ? own : c->database.conninfo_text.p;
}

static PGconn *
connect_to(const char *conninfo)
{
	/* The later of two counts: the conninfo may say otherwise. */
	static const char *const keywords[] = { "connect_timeout", "fallback_application_name",
	    "dbname", "client_encoding", NULL };
	const char *const values[] = { "10", "touchlog", conninfo, "UTF8", NULL };
	PGconn *pg = PQconnectdbParams(keywords, values, 1);

	if (pg != NULL && PQstatus(pg) == CONNECTION_OK)
		return pg;
	cli_note("database: %s", pg != NULL ? pg_text(PQerrorMessage(pg)) : "out of memory");
	PQfinish(pg);
	return NULL;
}

/* Notices (a role that is there already, say) are not the user's business. */
static void
drop_notice(void *arg, const PGresult *res)
{
	(void)arg;
	(void)res;
}

/* As in the daemon's own sessions: what others may have put into public is not ours. */
#define NO_PUBLIC "SET search_path = pg_catalog, pg_temp; "

static bool
set_session(PGconn *pg, enum db_role role)
{
	static const char *const sql[] = {
		[DB_READ]  = NO_PUBLIC "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = "
		    "'iso_8601'; SET jit = off; SET default_transaction_read_only = on",
		[DB_WRITE] = NO_PUBLIC "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET jit = off;"
		    "SET lock_timeout = '10s'",
		[DB_ADMIN] = NO_PUBLIC "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'",
	};
	PGresult *res;
	bool ok;

	(void)PQsetNoticeReceiver(pg, drop_notice, NULL);
	res = PQexec(pg, sql[role]);
	ok = PQresultStatus(res) == PGRES_COMMAND_OK;
	if (!ok)
		(void)db_fail(res);
	PQclear(res);
	return ok;
}

static bool
check_schema(PGconn *pg)
{
	PGresult *res = db_try(pg, "SELECT coalesce(max(version), 0), coalesce(max(min_binary), 0)"
	    " FROM touchlog.schema_version", NULL, 0);
	struct err err;
	bool ok = PQresultStatus(res) == PGRES_TUPLES_OK;

	if (ok) {
		ok = schema_level_check((long)db_number(res, 0, 0), (long)db_number(res, 0, 1), &err);
		if (!ok)
			cli_note("database: %s", err.text);
	} else if (db_is_state(res, "42P01") || db_is_state(res, "3F000")) {
		cli_note("database: it has no touchlog schema: run touchlog migrate");
	} else {
		(void)db_fail(res);
	}
	PQclear(res);
	return ok;
}

PGconn *
db_open(struct cli *cli, enum db_role role, enum exit_code *ret_code)
{
	const struct config *c = cli_config(cli);
	PGconn *pg;

	*ret_code = CLI_CONFIG;
	if (c == NULL)
		return NULL;
	*ret_code = CLI_DATABASE;
	pg = connect_to(conninfo_of(c, role));
	if (pg == NULL || !set_session(pg, role) || (role != DB_ADMIN && !check_schema(pg))) {
		PQfinish(pg);
		return NULL;
	}
	return pg;
}

PGresult *
db_try(PGconn *pg, const char *sql, const char *const *values, int n)
{
	return PQexecParams(pg, sql, n, NULL, values, NULL, NULL, 0);
}

bool
db_is_state(const PGresult *res, const char *sqlstate)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	return state != NULL && strcmp(state, sqlstate) == 0;
}

enum exit_code
db_fail(const PGresult *res)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);

	if (text == NULL)
		text = pg_text(PQresultErrorMessage(res));
	cli_note("database: %s%s%s", text, hint != NULL ? "; " : "", hint != NULL ? hint : "");
	return CLI_DATABASE;
}

PGresult *
db_query(PGconn *pg, const char *sql, const char *const *values, int n)
{
	PGresult *res = db_try(pg, sql, values, n);

	if (PQresultStatus(res) == PGRES_TUPLES_OK || PQresultStatus(res) == PGRES_COMMAND_OK)
		return res;
	(void)db_fail(res);
	PQclear(res);
	return NULL;
}

/* Also reads what follows a failure, so that the connection is free again. */
long
db_print_json(PGconn *pg, const char *sql, const char *const *values, int n)
{
	bool ok = PQsendQueryParams(pg, sql, n, NULL, values, NULL, NULL, 0) == 1 &&
	    PQsetSingleRowMode(pg) == 1;
	PGresult *res;
	long rows = 0;

	(void)fputs("[", stdout);
	while ((res = PQgetResult(pg)) != NULL) {
		if (PQresultStatus(res) == PGRES_SINGLE_TUPLE)
			(void)printf("%s%s", rows++ > 0 ? ",\n " : "", PQgetvalue(res, 0, 0));
		else if (PQresultStatus(res) != PGRES_TUPLES_OK) {
			(void)db_fail(res);
			ok = false;
		}
		PQclear(res);
	}
	(void)fputs("]", stdout);
	return ok ? rows : -1;
}

struct str
db_cell(const PGresult *res, int row, int column)
{
	if (PQgetisnull(res, row, column))
		return STR_NONE;
	return (struct str){ PQgetvalue(res, row, column), (size_t)PQgetlength(res, row, column) };
}

int64_t
db_number(const PGresult *res, int row, int column)
{
	int64_t n = 0;

	if (!str_to_i64(db_cell(res, row, column), INT64_MIN, INT64_MAX, &n))
		return 0;
	return n;
}

const char *
db_number_text(char out[DB_NUMBER_BYTES], int64_t n)
{
	(void)snprintf(out, DB_NUMBER_BYTES, "%lld", (long long)n);
	return out;
}

void
db_array_item(struct buf *out, struct str s, bool is_first)
{
	buf_text(out, is_first ? "\"" : ",\"");
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_text(out, "\\");
		buf_add(out, &s.p[i], 1);
	}
	buf_text(out, "\"");
}
