/* SPDX-License-Identifier: Apache-2.0 */
/* touchlog rule firings: what was decided; what was too old, fired after all. */
#include <stdio.h>
#include <string.h>

#include "base/conf.h"
#include "cli/command.h"
#include "cli/db.h"
#include "cli/listing.h"
#include "cli/rule.h"
#include "cli/rule_set_db.h"
#include "cli/table.h"

const struct option_row rule_firings_options[] = {
	{ "state", '\0', OPTION_TEXT, offsetof(struct rule_firings_options, state), "STATE",
	    .help = "only these: fired, shadowed, cancelled, cooldown, too_old, ..." },
	{ "since", '\0', OPTION_TIME, offsetof(struct rule_firings_options, since_us), "TIME",
	    .help = "only what was decided since: 2026-11-24, RFC 3339, or 36h (ago)" },
	{ "limit", 'n', OPTION_INT, offsetof(struct rule_firings_options, limit), "N", 1, 1000000, "100",
	    "the latest N" },
	{ "fire", '\0', OPTION_SWITCH, offsetof(struct rule_firings_options, fires),
	    .help = "with --state too_old: fire those that are listed" },
	{ 0 },
};

static const char *const states[] = { "fired", "shadowed", "cancelled", "cooldown", "no_subject",
    "too_old", "too_late", "failed", "capped", "no_consent", "suppressed", NULL };

static const struct table_column columns[] = {
	{ "ID", COLUMN_NUMBER }, { "DECIDED", COLUMN_TIME }, { "RULE", COLUMN_TEXT },
	{ "STATE", COLUMN_TEXT }, { "CUSTOMER", COLUMN_TEXT }, { "SUBJECT", COLUMN_TEXT },
	{ "INTERACTION", COLUMN_TEXT }, { "CAUSE", COLUMN_TEXT }, { NULL, COLUMN_TEXT },
};

#define FIRINGS								\
    " FROM (SELECT * FROM touchlog.firing WHERE ($1::text IS NULL OR rule = $1)"	\
    " AND ($2::text IS NULL OR state = $2)"				\
    " AND ($3::bigint IS NULL OR decided_at >= to_timestamp($3::bigint / 1000000.0))"	\
    " ORDER BY decided_at DESC, id DESC LIMIT $4::bigint) f"		\
    " LEFT JOIN touchlog.customer o ON o.id = f.customer_id AND f.customer_id > 0"	\
    " LEFT JOIN touchlog.customer c ON c.id = o.root_id"

enum { NVALUES = 4 };

static const struct listing decisions = {
	.json = "SELECT to_json(t) FROM (SELECT f.id, f.rule, f.state, f.subject,"
	    " o.root_id AS customer_id, c.name AS customer, f.origin_id, f.origin_at, f.cause_id,"
	    " f.error, f.decided_at, f.settled_at, f.rule_set" FIRINGS " ORDER BY f.decided_at, f.id)"
	    " t",
	.table = "SELECT f.id, f.decided_at, f.rule, f.state, nullif(concat_ws(' ', o.root_id,"
	    " c.name), ''), f.subject, f.origin_id, coalesce(f.cause_id::text, f.error)" FIRINGS
	    " ORDER BY f.decided_at, f.id",
	.columns = columns, .nvalues = NVALUES,
};

static enum exit_code
fire(const struct cli *cli, PGconn *pg, const char *const *values)
{
	PGresult *res = db_try(pg, "SELECT touchlog.firings_fire(coalesce(array_agg(f.id ORDER BY f.id),"
	    " '{}'))" FIRINGS, values, NVALUES);
	enum exit_code code = CLI_OK;

	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		code = rule_fail(res);
	else if (cli->wants_json)
		(void)printf("{\"fired\":%s}\n", PQgetvalue(res, 0, 0));
	else
		(void)printf("%s fired\n", PQgetvalue(res, 0, 0));
	PQclear(res);
	return code;
}

/* A rule that is gone may have fired. */
static enum exit_code
is_known(PGconn *pg, const char *name)
{
	const char *const values[] = { name };
	PGresult *res = db_query(pg, "SELECT FROM touchlog.firing WHERE rule = $1 LIMIT 1", values, 1);
	bool has_fired = res != NULL && PQntuples(res) == 1;

	PQclear(res);
	if (res == NULL)
		return CLI_DATABASE;
	return has_fired ? CLI_OK : rule_is_active(pg, name);
}

static const char *
state_name(void *arg, size_t i)
{
	(void)arg;
	return states[i];
}

static bool
is_state(const char *text)
{
	const char *nearest;

	if (str_index(str_of(text), states) >= 0)
		return true;
	nearest = conf_nearest(str_of(text), state_name, NULL);
	cli_note("--state: there is no state %s%s%s", text, nearest != NULL ? "; did you mean " : "",
	    nearest != NULL ? nearest : "");
	return false;
}

enum exit_code
rule_firings(struct cli *cli)
{
	const struct rule_firings_options *o = cli->options;
	char since[DB_NUMBER_BYTES], limit[DB_NUMBER_BYTES];
	const char *const values[NVALUES] = { cli->nargs > 0 ? cli->args[0] : NULL, o->state,
	    o->since_us != 0 ? db_number_text(since, o->since_us) : NULL,
	    db_number_text(limit, o->limit) };
	enum exit_code code;
	PGconn *pg;

	if (o->state != NULL && !is_state(o->state))
		return CLI_USAGE;
	if (o->fires && (o->state == NULL || strcmp(o->state, "too_old") != 0))
		return cli_fail(CLI_USAGE, "--fire goes with --state too_old");
	pg = db_open(cli, o->fires ? DB_WRITE : DB_READ, &code);
	if (pg == NULL)
		return code;
	code = cli->nargs > 0 ? is_known(pg, cli->args[0]) : CLI_OK;
	if (code == CLI_OK)
		code = o->fires ? fire(cli, pg, values) :
		    listing_print(cli, pg, &decisions, values);
	PQfinish(pg);
	return code;
}
