/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touchlog rule test and arm: the past, before a rule is trusted with the future.
 *
 * A test loads the file's rule beside the active set in a transaction that is always rolled
 * back, so that what is tried is what is written, and nobody else ever sees it.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/db.h"
#include "cli/rule.h"
#include "cli/rule_set_db.h"
#include "cli/table.h"
#include "flow/rule_set.h"

enum { NAME_BYTES = 8 };

const struct option_row rule_test_options[] = {
	{ "since", '\0', OPTION_TIME, offsetof(struct rule_test_options, since_us), "TIME",
	    .def = "90d", .help = "matches received since: 2026-11-24, RFC 3339, or 90d (ago)" },
	{ "until", '\0', OPTION_TIME, offsetof(struct rule_test_options, until_us), "TIME",
	    .help = "and decided until then, else now" },
	{ "examples", 'n', OPTION_INT, offsetof(struct rule_test_options, examples), "N", 0, 1000, "5",
	    "the latest N of each state" },
	{ 0 },
};

const struct option_row rule_arm_options[] = {
	{ "since", '\0', OPTION_TIME, offsetof(struct rule_arm_options, since_us), "TIME",
	    .help = "by interactions since: 2026-11-24, RFC 3339, or 1y (ago)" },
	{ "yes", 'y', OPTION_SWITCH, offsetof(struct rule_arm_options, is_sure),
	    .help = "without a question" },
	{ 0 },
};

#define TIME(n)	"to_timestamp(" n "::bigint / 1000000.0)"

/* ---- test ---- */

static const struct table_column count_columns[] = {
	{ "STATE", COLUMN_TEXT }, { "TIMES", COLUMN_NUMBER }, { NULL, COLUMN_TEXT },
};

static const struct table_column example_columns[] = {
	{ "TIME", COLUMN_TIME }, { "STATE", COLUMN_TEXT }, { "CUSTOMER", COLUMN_TEXT },
	{ "SUBJECT", COLUMN_TEXT }, { "INTERACTION", COLUMN_TEXT }, { "CAUSE", COLUMN_TEXT },
	{ NULL, COLUMN_TEXT },
};

/* One document, so that the past is gone through once: $1 version, $2 since, $3 until,
 * $4 examples of each state. */
#define TRIAL								\
    "WITH r AS (SELECT id, name, touchlog.rule_test_exactness(id, " TIME("$2") ", " TIME("$3") ")"	\
    " AS why FROM touchlog.rule WHERE rule_set = $1::integer),"	\
    " tried AS MATERIALIZED (SELECT t.*, coalesce(t.settled_at, touchlog.at(t.origin_id)) AS at"	\
    " FROM r CROSS JOIN LATERAL touchlog.rule_test(r.id, " TIME("$2") ", " TIME("$3") ") t),"	\
    " examples AS (SELECT t.at, t.state, o.root_id AS customer_id, c.name AS customer, t.subject,"	\
    " t.origin_id, t.cause_id FROM (SELECT *, row_number() OVER (PARTITION BY state"	\
    " ORDER BY at DESC, origin_id DESC) AS nth FROM tried) t LEFT JOIN touchlog.interaction i"	\
    " ON i.id = t.origin_id AND i.received_at = touchlog.at(t.origin_id)"		\
    " LEFT JOIN touchlog.customer o ON o.id = i.customer_id AND i.customer_id > 0"	\
    " LEFT JOIN touchlog.customer c ON c.id = o.root_id"				\
    " WHERE t.nth <= $4::bigint ORDER BY t.at, t.origin_id)"				\
    " SELECT jsonb_build_object('rule', r.name, 'since', " TIME("$2") ", 'until', " TIME("$3") ","	\
    " 'exact', cardinality(r.why) = 0, 'why_approximate', to_jsonb(r.why),"	\
    " 'counts', (SELECT coalesce(jsonb_object_agg(state, n), '{}') FROM (SELECT state, count(*) AS n"	\
    " FROM tried GROUP BY 1) c),"							\
    " 'examples', (SELECT coalesce(jsonb_agg(to_jsonb(e)), '[]') FROM examples e)) FROM r"

#define EXACTNESS							\
    "SELECT CASE WHEN why = '' THEN 'exact' ELSE 'approximate: ' || why END FROM (SELECT"	\
    " array_to_string(ARRAY(SELECT jsonb_array_elements_text($1::jsonb -> 'why_approximate')), '; ')"	\
    " AS why) t"
#define COUNTS	"SELECT key, value FROM jsonb_each_text($1::jsonb -> 'counts') ORDER BY value::bigint DESC, key"
#define EXAMPLES							\
    "SELECT to_char(e.at, 'YYYY-MM-DD HH24:MI:SS'), e.state, concat_ws(' ', e.customer_id, e.customer),"	\
    " e.subject, e.origin_id, e.cause_id FROM jsonb_to_recordset($1::jsonb -> 'examples')"	\
    " AS e(at timestamptz, state text, customer_id bigint, customer text, subject text,"	\
    " origin_id uuid, cause_id uuid)"

static enum exit_code
print_part(PGconn *pg, const char *sql, const char *document, const struct table_column *columns)
{
	const char *const values[] = { document };
	PGresult *res = db_query(pg, sql, values, 1);

	if (res == NULL)
		return CLI_DATABASE;
	table_print_result(res, columns);
	if (PQntuples(res) > 0)
		(void)puts("");
	PQclear(res);
	return CLI_OK;
}

static enum exit_code
print_exactness(PGconn *pg, const char *document)
{
	const char *const values[] = { document };
	PGresult *res = db_query(pg, EXACTNESS, values, 1);

	if (res == NULL)
		return CLI_DATABASE;
	(void)puts(PQgetvalue(res, 0, 0));
	PQclear(res);
	return CLI_OK;
}

static enum exit_code
print_trial(const struct cli *cli, PGconn *pg, const char *document)
{
	enum exit_code code;

	if (cli->wants_json) {
		(void)puts(document);
		return CLI_OK;
	}
	code = print_part(pg, COUNTS, document, count_columns);
	if (code == CLI_OK)
		code = print_part(pg, EXAMPLES, document, example_columns);
	return code == CLI_OK ? print_exactness(pg, document) : code;
}

static enum exit_code
run_trial(const struct cli *cli, PGconn *pg, const struct rule_set *set)
{
	const struct rule_test_options *o = cli->options;
	char version[DB_NUMBER_BYTES], since[DB_NUMBER_BYTES], until[DB_NUMBER_BYTES],
	    examples[DB_NUMBER_BYTES];
	const char *const values[] = { version, db_number_text(since, o->since_us),
	    db_number_text(until, o->until_us != 0 ? o->until_us : clock_now_us()),
	    db_number_text(examples, o->examples) };
	enum exit_code code = rule_run(pg, "BEGIN") ? CLI_OK : CLI_DATABASE;
	PGresult *res;

	if (code == CLI_OK)
		code = rule_set_load(pg, set, version);
	if (code != CLI_OK)
		return code;
	res = db_query(pg, TRIAL, values, 4);
	code = res != NULL ? print_trial(cli, pg, PQgetvalue(res, 0, 0)) : CLI_DATABASE;
	PQclear(res);
	return rule_run(pg, "ROLLBACK") ? code : CLI_DATABASE;
}

enum exit_code
rule_test(struct cli *cli)
{
	struct rule_set *set = NULL;
	enum exit_code code = rule_set_of(cli, cli->args[0], &set);
	PGconn *pg = NULL;

	if (code == CLI_OK)
		pg = db_open(cli, DB_WRITE, &code);
	if (pg != NULL)
		code = run_trial(cli, pg, set);
	PQfinish(pg);
	rule_set_free(set);
	return code;
}

/* ---- arm ---- */

static const struct table_column overdue_columns[] = {
	{ "DUE", COLUMN_TIME }, { "SUBJECT", COLUMN_TEXT }, { "INTERACTION", COLUMN_TEXT },
	{ NULL, COLUMN_TEXT },
};

/* One document, as above: $1 the rule, $2 since. */
#define ARM								\
    "SELECT jsonb_build_object('rule', $1::text, 'armed', count(*) FILTER (WHERE NOT a.is_overdue),"	\
    " 'overdue', coalesce(jsonb_agg(jsonb_build_object('subject', a.subject, 'due', a.due,"	\
    " 'origin_id', a.origin_id) ORDER BY a.due, a.subject) FILTER (WHERE a.is_overdue), '[]')),"	\
    " count(*) FILTER (WHERE NOT a.is_overdue), count(*) FILTER (WHERE a.is_overdue)"	\
    " FROM touchlog.rule_arm($1::text, " TIME("$2") ") a"
#define OVERDUE								\
    "SELECT to_char(due, 'YYYY-MM-DD HH24:MI:SS'), subject, origin_id"		\
    " FROM jsonb_to_recordset($1::jsonb -> 'overdue') AS e(subject text, due timestamptz, origin_id uuid)"

/* Arms, and keeps it or not.  NULL: it was said why not; *ret_code is what to end with. */
static PGresult *
arm_once(const struct cli *cli, PGconn *pg, bool keeps, enum exit_code *ret_code)
{
	const struct rule_arm_options *o = cli->options;
	char since[DB_NUMBER_BYTES];
	const char *const values[] = { cli->args[0], db_number_text(since, o->since_us) };
	PGresult *res;

	*ret_code = CLI_DATABASE;
	if (!rule_run(pg, "BEGIN"))
		return NULL;
	res = db_try(pg, ARM, values, 2);
	if (PQresultStatus(res) != PGRES_TUPLES_OK) {
		*ret_code = rule_fail(res);
		PQclear(res);
		return NULL;
	}
	if (rule_run(pg, keeps ? "COMMIT" : "ROLLBACK"))
		return res;
	PQclear(res);
	return NULL;
}

static bool
ask(const char *armed)
{
	char answer[NAME_BYTES];

	(void)fprintf(stderr, "Arm these %s waits? [y/N] ", armed);
	return fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

static enum exit_code
print_armed(const struct cli *cli, PGconn *pg, const PGresult *res, bool is_done)
{
	enum exit_code code;

	if (cli->wants_json) {
		(void)puts(PQgetvalue(res, 0, 0));
		return CLI_OK;
	}
	code = print_part(pg, OVERDUE, PQgetvalue(res, 0, 0), overdue_columns);
	(void)printf("%s: %s waits %s, %s are overdue and do not fire\n", cli->args[0],
	    PQgetvalue(res, 0, 1), is_done ? "were started" : "would start", PQgetvalue(res, 0, 2));
	return code;
}

/* Nothing is locked while somebody thinks about it: it is tried first, and then done. */
static enum exit_code
arm(const struct cli *cli, PGconn *pg)
{
	const struct rule_arm_options *o = cli->options;
	enum exit_code code;
	PGresult *res = arm_once(cli, pg, o->is_sure, &code);

	if (res == NULL)
		return code;
	code = print_armed(cli, pg, res, o->is_sure);
	if (!o->is_sure && code == CLI_OK) {
		bool is_asked = !cli->wants_json && isatty(STDIN_FILENO);

		if (!is_asked || !ask(PQgetvalue(res, 0, 1)))
			code = cli_fail(CLI_FAILED, "nothing was armed%s", is_asked ? "" : "; --yes does");
		PQclear(res);
		res = code == CLI_OK ? arm_once(cli, pg, true, &code) : NULL;
		if (res != NULL)
			code = print_armed(cli, pg, res, true);
	}
	PQclear(res);
	return code;
}

enum exit_code
rule_arm(struct cli *cli)
{
	const struct rule_arm_options *o = cli->options;
	enum exit_code code;
	PGconn *pg;

	if (o->since_us == 0)
		return cli_fail(CLI_USAGE, "--since is wanted, such as --since 1y");
	pg = db_open(cli, DB_WRITE, &code);
	if (pg == NULL)
		return code;
	code = rule_is_active(pg, cli->args[0]);
	if (code == CLI_OK)
		code = arm(cli, pg);
	PQfinish(pg);
	return code;
}
