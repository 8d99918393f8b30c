/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touchlog migrate: brings the schema up to the files of this version.
 *
 * One at a time (a session advisory lock), in order, each file in one transaction
 * together with its row in touchlog.schema_version: whatever interrupts it, the next
 * run goes on where this one stopped.  A lock that a busy table does not give within
 * lock_timeout is tried for again, so that no queue builds up behind a migration that
 * waits.
 */
#include <stdio.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/db.h"
#include "cli/migration.h"
#include "cli/options.h"
#include "io/pg_conn.h"
#include "io/schema_level.h"

enum { TRIES = 30, PAUSE_US = 500 * 1000 };

struct migrate_options {
	const char	*folder;
	bool		 is_dry;
};

static const struct option_row options[] = {
	{ "schema-dir", '\0', OPTION_TEXT, offsetof(struct migrate_options, folder), "DIR",
	    .def = TOUCHLOG_SCHEMADIR, .help = "where the migrations are" },
	{ "dry-run", '\0', OPTION_SWITCH, offsetof(struct migrate_options, is_dry),
	    .help = "only say what would be done" },
	{ 0 },
};

struct migrating {
	PGconn			*pg;		/* ours */
	struct migrations	 files;		/* ours */
	size_t			 done;		/* applied before, of the files */
	int			 version;	/* of the database, before */
	size_t			 applied;	/* by us */
	int64_t			 partitions;	/* made by us */
	bool			 wants_json;
	bool			 is_dry;
};

static bool
command(PGconn *pg, const char *sql)
{
	PGresult *res = db_query(pg, sql, NULL, 0);

	PQclear(res);
	return res != NULL;
}

/* ---- what stands there ---- */

/* Another one is waited for: both were asked to bring the schema up. */
static bool
lock(PGconn *pg)
{
	PGresult *res = db_query(pg, "SELECT pg_try_advisory_lock(hashtextextended("
	    "'touchlog.migrate', 0))", NULL, 0);
	bool is_ours = res != NULL && PQgetvalue(res, 0, 0)[0] == 't';

	PQclear(res);
	if (res == NULL || is_ours)
		return is_ours;
	cli_note("another touchlog migrate is at work; waiting for it");
	return command(pg, "SELECT pg_advisory_lock(hashtextextended('touchlog.migrate', 0))");
}

static enum exit_code
check_version(const struct migrating *m, const PGresult *res, int row)
{
	const struct migration *file;
	int64_t version = db_number(res, row, 0);

	if (version != row + 1)
		return cli_fail(CLI_FAILED, "the database lacks migration %d but has %lld", row + 1,
		    (long long)version);
	if ((size_t)row >= m->files.n)
		return CLI_OK;
	file = &m->files.v[row];
	if (str_eq(db_cell(res, row, 3), str_of(file->sha256)))
		return CLI_OK;
	return cli_fail(CLI_FAILED, "%s differs from what was applied as %s: an applied migration "
	    "is never edited", file->name, PQgetvalue(res, row, 1));
}

/* Every row must be one of the files, or newer than all of them. */
static enum exit_code
check_versions(struct migrating *m, const PGresult *res)
{
	int n = PQntuples(res);
	int64_t min_binary = 0;

	for (int row = 0; row < n; row++) {
		enum exit_code code = check_version(m, res, row);

		if (code != CLI_OK)
			return code;
		if (db_number(res, row, 2) > min_binary)
			min_binary = db_number(res, row, 2);
	}
	if (min_binary > BINARY_LEVEL)
		return cli_fail(CLI_FAILED, "the database (at %d) needs level %lld, this touchlog has "
		    "%d: upgrade touchlog", n, (long long)min_binary, BINARY_LEVEL);
	if ((size_t)n > m->files.n)
		cli_note("the database is newer (at %d) than these files (up to %zu), and content "
		    "with this touchlog", n, m->files.n);
	m->version = n;
	m->done = (size_t)n < m->files.n ? (size_t)n : m->files.n;
	return CLI_OK;
}

static enum exit_code
read_versions(struct migrating *m)
{
	PGresult *res = db_query(m->pg, "SELECT to_regclass('touchlog.schema_version') IS NOT NULL",
	    NULL, 0);
	bool is_there = res != NULL && PQgetvalue(res, 0, 0)[0] == 't';
	enum exit_code code;

	PQclear(res);
	if (res == NULL)
		return CLI_DATABASE;
	if (!is_there)
		return CLI_OK;
	res = db_query(m->pg, "SELECT version, name, min_binary, encode(sha256, 'hex')"
	    " FROM touchlog.schema_version ORDER BY version", NULL, 0);
	code = res != NULL ? check_versions(m, res) : CLI_DATABASE;
	PQclear(res);
	return code;
}

/* ---- applying ---- */

static PGresult *
record(PGconn *pg, const struct migration *file)
{
	char version[DB_NUMBER_BYTES], min_binary[DB_NUMBER_BYTES];
	const char *const values[] = { db_number_text(version, file->version), file->name,
	    db_number_text(min_binary, file->min_binary), file->sha256 };

	return db_try(pg, "INSERT INTO touchlog.schema_version (version, name, min_binary, sha256)"
	    " VALUES ($1, $2, $3, decode($4, 'hex'))", values, 4);
}

/* The file, then its row, under the role that the file has set; PGRES_COMMAND_OK or
 * what failed. */
static PGresult *
run_inside(PGconn *pg, const struct migration *file)
{
	PGresult *res = PQexec(pg, "BEGIN; SET LOCAL lock_timeout = '2s'");

	if (PQresultStatus(res) == PGRES_COMMAND_OK) {
		PQclear(res);
		res = PQexec(pg, file->sql);
	}
	if (PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK) {
		PQclear(res);
		if (PQtransactionStatus(pg) != PQTRANS_INTRANS)
			return PQmakeEmptyPGresult(pg, PGRES_FATAL_ERROR);
		res = record(pg, file);
	}
	if (PQresultStatus(res) == PGRES_COMMAND_OK) {
		PQclear(res);
		res = PQexec(pg, "COMMIT");
	}
	return res;
}

/* A no-transaction file is one statement (the extended protocol takes no more) that can
 * be run again: its row comes after it, in a transaction of its own. */
static PGresult *
run_outside(PGconn *pg, const struct migration *file)
{
	PGresult *res = PQexec(pg, "SET lock_timeout = '2s'; SET ROLE touchlog_admin");

	if (PQresultStatus(res) == PGRES_COMMAND_OK) {
		PQclear(res);
		res = db_try(pg, file->sql, NULL, 0);
	}
	if (PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK) {
		PQclear(res);
		res = record(pg, file);
	}
	PQclear(PQexec(pg, "RESET ROLE; SET lock_timeout = 0"));
	return res;
}

static PGresult *
run_partitions(PGconn *pg, const struct migration *file)
{
	PGresult *res = PQexec(pg, "BEGIN; SET LOCAL lock_timeout = '2s';"
	    "SET LOCAL ROLE touchlog_admin; SELECT touchlog.make_partitions(now())");

	(void)file;
	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		PQclear(PQexec(pg, "COMMIT"));
	return res;
}

static void
roll_back(PGconn *pg)
{
	if (PQtransactionStatus(pg) != PQTRANS_IDLE)
		PQclear(PQexec(pg, "ROLLBACK"));
}

static enum exit_code
say_failure(PGconn *pg, const char *what, const PGresult *res)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);
	const char *where = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);

	if (text == NULL && PQstatus(pg) == CONNECTION_OK)
		text = "it ends its own transaction";
	if (text == NULL)
		text = pg_text(PQerrorMessage(pg));
	return cli_fail(CLI_DATABASE, "%s: %s%s%s%s%s", what, text, where != NULL ? "; character " : "",
	    where != NULL ? where : "", hint != NULL ? "; " : "", hint != NULL ? hint : "");
}

/* Tries until it has the locks it needs.  *ret_res, where wanted, is what it gave. */
static enum exit_code
insist(struct migrating *m, const char *what, const struct migration *file,
    PGresult *(*run)(PGconn *pg, const struct migration *file), int64_t *ret_number)
{
	for (int try = 1; ; try++) {
		PGresult *res = run(m->pg, file);
		bool ok = PQresultStatus(res) == PGRES_COMMAND_OK ||
		    PQresultStatus(res) == PGRES_TUPLES_OK;
		bool is_locked = db_is_state(res, "55P03");
		enum exit_code code = CLI_OK;

		if (ok && ret_number != NULL)
			*ret_number = db_number(res, 0, 0);
		if (!ok && (!is_locked || try == TRIES))
			code = say_failure(m->pg, what, res);
		PQclear(res);
		roll_back(m->pg);
		if (ok || code != CLI_OK)
			return code;
		cli_note("%s: a table is locked by others; try %d of %d follows", what, try + 1,
		    TRIES);
		(void)usleep(PAUSE_US);
	}
}

static enum exit_code
apply(struct migrating *m, const struct migration *file)
{
	enum exit_code code;

	if (file->min_binary > BINARY_LEVEL)
		return cli_fail(CLI_FAILED, "%s needs level %d, this touchlog has %d: upgrade touchlog",
		    file->name, file->min_binary, BINARY_LEVEL);
	code = m->is_dry ? CLI_OK :
	    insist(m, file->name, file, file->is_outside ? run_outside : run_inside, NULL);
	if (code != CLI_OK)
		return code;
	m->applied++;
	if (!m->wants_json)
		(void)printf("%s: %s\n", file->name, m->is_dry ? "would be applied" : "applied");
	(void)fflush(stdout);
	return CLI_OK;
}

static enum exit_code
apply_all(struct migrating *m)
{
	enum exit_code code = CLI_OK;

	for (size_t i = m->done; code == CLI_OK && i < m->files.n; i++)
		code = apply(m, &m->files.v[i]);
	if (code != CLI_OK || m->is_dry)
		return code;
	return insist(m, "partitions", NULL, run_partitions, &m->partitions);
}

/* ---- what was done ---- */

static void
print_json(const struct migrating *m)
{
	(void)printf("{\"version\":%zu,\"dry_run\":%s,\"applied\":[",
	    (size_t)m->version + (m->is_dry ? 0 : m->applied), m->is_dry ? "true" : "false");
	for (size_t i = 0; i < m->applied; i++)
		(void)printf("%s\"%s\"", i > 0 ? "," : "", m->files.v[m->done + i].name);
	(void)printf("],\"partitions\":%lld}\n", (long long)m->partitions);
}

static void
print_end(const struct migrating *m)
{
	if (m->wants_json)
		print_json(m);
	else if (m->applied == 0 && m->partitions == 0)
		(void)printf("nothing to do: the schema is at %d\n", m->version);
	else if (m->partitions > 0)
		(void)printf("%lld partition%s made\n", (long long)m->partitions,
		    m->partitions == 1 ? "" : "s");
}

static enum exit_code
migrate(struct cli *cli)
{
	const struct migrate_options *o = cli->options;
	struct migrating m = { .wants_json = cli->wants_json, .is_dry = o->is_dry };
	enum exit_code code = CLI_FAILED;
	struct err err;

	if (cli_config(cli) == NULL)
		code = CLI_CONFIG;
	else if (!migrations_read(o->folder, &m.files, &err))
		cli_note("%s", err.text);
	else if ((m.pg = db_open(cli, DB_ADMIN, &code)) != NULL)
		code = lock(m.pg) ? read_versions(&m) : CLI_DATABASE;
	if (m.pg != NULL && code == CLI_OK)
		code = apply_all(&m);
	if (code == CLI_OK)
		print_end(&m);
	PQfinish(m.pg);
	migrations_fini(&m.files);
	return code;
}

static const struct verb verbs[] = {
	{ .args = "", .options = options, .size = sizeof(struct migrate_options),
	    .summary = "Bring the schema up to the migrations of this version",
	    .help = "It connects by database.admin_conninfo, else conninfo. It may be run at any "
	    "time,\nalso while daemons write, and again after an interruption.",
	    .run = migrate },
	{ 0 },
};

const struct command command_migrate = { "migrate", verbs };
