/* SPDX-License-Identifier: Apache-2.0 */
/* touchlog customer: who is one with whom, and by what; joined and split by hand. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/db.h"
#include "cli/options.h"
#include "cli/table.h"
#include "cli/who.h"

struct customer_options {
	const char	*why;
	const char	*region;
};

static const struct option_row change_options[] = {
	{ "why", '\0', OPTION_TEXT, offsetof(struct customer_options, why), "TEXT",
	    .help = "kept with the change" },
	{ 0 },
};

static const struct option_row identities_options[] = {
	{ "region", '\0', OPTION_TEXT, offsetof(struct customer_options, region), "CC",
	    .help = "the country of a national telephone number, such as NL" },
	{ 0 },
};

/* ---- merge and split ---- */

static bool
is_id(const char *text)
{
	int64_t id;

	return str_to_i64(str_of(text), 1, INT64_MAX, &id);
}

static enum exit_code
code_of(const PGresult *res)
{
	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		return CLI_OK;
	(void)db_fail(res);
	if (db_is_state(res, "P0002"))
		return CLI_NOT_FOUND;		/* no such customer, or no such edge */
	return db_is_state(res, "P0001") ? CLI_FAILED : CLI_DATABASE;
}

/* Both own customers, as they are now. */
static enum exit_code
print_roots(const struct cli *cli, PGconn *pg, const char *done)
{
	const char *const values[] = { cli->args[0], cli->args[1] };
	PGresult *res = db_query(pg, "SELECT id, root_id FROM touchlog.customer"
	    " WHERE id IN ($1::bigint, $2::bigint) ORDER BY id = $2::bigint", values, 2);

	if (res == NULL)
		return CLI_DATABASE;
	for (int row = 0; row < PQntuples(res); row++) {
		const char *id = PQgetvalue(res, row, 0), *root = PQgetvalue(res, row, 1);

		if (cli->wants_json)
			(void)printf("%s{\"id\":%s,\"customer\":%s}%s", row == 0 ? "[" : ",", id, root,
			    row + 1 == PQntuples(res) ? "]\n" : "");
		else
			(void)printf("%s: %s is now of customer %s\n", done, id, root);
	}
	PQclear(res);
	return CLI_OK;
}

static enum exit_code
change(struct cli *cli, const char *sql, const char *done)
{
	const struct customer_options *o = cli->options;
	const char *const values[] = { cli->args[0], cli->args[1], o->why };
	enum exit_code code;
	PGresult *res;
	PGconn *pg;

	if (!is_id(cli->args[0]) || !is_id(cli->args[1]))
		return cli_fail(CLI_USAGE, "two customers' ids are wanted, such as 12 15; "
		    "touchlog customer identities tells them");
	pg = db_open(cli, DB_WRITE, &code);
	if (pg == NULL)
		return code;
	res = db_try(pg, sql, values, 3);
	code = code_of(res);
	PQclear(res);
	if (code == CLI_OK)
		code = print_roots(cli, pg, done);
	PQfinish(pg);
	return code;
}

static enum exit_code
merge(struct cli *cli)
{
	return change(cli, "SELECT touchlog.join_by_hand($1::bigint, $2::bigint,"
	    " jsonb_build_object('by_hand', session_user), $3)", "merged");
}

static enum exit_code
split(struct cli *cli)
{
	return change(cli, "SELECT touchlog.split($1::bigint, $2::bigint, $3)", "split");
}

/* ---- identities ---- */

#define IDENTITIES							\
    " FROM touchlog.customer c LEFT JOIN touchlog.identity i ON i.customer_id = c.id"	\
    " WHERE c.root_id = $1 ORDER BY c.id, i.first_seen, i.kind, i.value LIMIT 10000"
#define EDGES								\
    " FROM touchlog.merge m WHERE EXISTS (SELECT FROM touchlog.customer c"	\
    " WHERE c.root_id = $1 AND c.id IN (m.a_id, m.b_id)) ORDER BY m.at, m.id LIMIT 10000"

static const struct table_column identity_columns[] = {
	{ "CUSTOMER", COLUMN_NUMBER }, { "KIND", COLUMN_TEXT }, { "IDENTITY", COLUMN_TEXT },
	{ "STRENGTH", COLUMN_TEXT }, { "SINCE", COLUMN_TIME }, { "RECEIVED AS", COLUMN_TEXT },
	{ NULL, COLUMN_TEXT },
};

static const struct table_column edge_columns[] = {
	{ "CUSTOMER", COLUMN_NUMBER }, { "WITH", COLUMN_NUMBER }, { "STATE", COLUMN_TEXT },
	{ "SINCE", COLUMN_TIME }, { "EVIDENCE", COLUMN_TEXT }, { NULL, COLUMN_TEXT },
};

static enum exit_code
print_json(PGconn *pg, const char *const *values)
{
	(void)printf("{\"customer\":%s,\n\"identities\":", values[0]);
	if (db_print_json(pg, "SELECT to_json(t) FROM (SELECT c.id AS customer_id, i.kind, i.value,"
	    " i.strong, i.received_as, i.first_seen" IDENTITIES ") t", values, 1) < 0)
		return CLI_DATABASE;
	(void)fputs(",\n\"edges\":", stdout);
	if (db_print_json(pg, "SELECT to_json(t) FROM (SELECT m.a_id, m.b_id, m.state, m.evidence,"
	    " m.at, m.undone_at" EDGES ") t", values, 1) < 0)
		return CLI_DATABASE;
	(void)puts("}");
	return CLI_OK;
}

static enum exit_code
print_tables(PGconn *pg, const char *const *values)
{
	PGresult *identities = db_query(pg, "SELECT c.id, i.kind, i.value,"
	    " CASE WHEN i.strong THEN 'strong' ELSE 'weak' END, i.first_seen, i.received_as"
	    IDENTITIES, values, 1);
	PGresult *edges = db_query(pg, "SELECT m.a_id, m.b_id, m.state,"
	    " coalesce(m.undone_at, m.at), m.evidence" EDGES, values, 1);
	bool ok = identities != NULL && edges != NULL;

	if (ok) {
		(void)printf("Customer %s\n\n", values[0]);
		table_print_result(identities, identity_columns);
		if (PQntuples(edges) > 0)
			(void)puts("");
		table_print_result(edges, edge_columns);
	}
	PQclear(identities);
	PQclear(edges);
	return ok ? CLI_OK : CLI_DATABASE;
}

static enum exit_code
identities(struct cli *cli)
{
	const struct customer_options *o = cli->options;
	char id[DB_NUMBER_BYTES];
	enum exit_code code;
	PGconn *pg = db_open(cli, DB_READ, &code);
	int64_t root;

	if (pg == NULL)
		return code;
	code = who_find(cli, pg, cli->args[0], o->region, &root);
	if (code == CLI_OK) {
		const char *const values[] = { db_number_text(id, root) };

		code = cli->wants_json ? print_json(pg, values) : print_tables(pg, values);
	}
	PQfinish(pg);
	return code;
}

static const struct verb verbs[] = {
	{ "identities", "ID|IDENTITY", 1, 1, identities_options, sizeof(struct customer_options),
	    "Show by what a customer is known, and what joins it", WHO_HELP, identities },
	{ "merge", "A B", 2, 2, change_options, sizeof(struct customer_options),
	    "Join two customers to one", "Also beyond merge_limit, and what was split before.",
	    merge },
	{ "split", "A B", 2, 2, change_options, sizeof(struct customer_options),
	    "Take the edge between two customers away",
	    "Both time lines are exact again. The two are never joined automatically again.",
	    split },
	{ 0 },
};

const struct command command_customer = { "customer", verbs };
