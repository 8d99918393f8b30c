/* SPDX-License-Identifier: Apache-2.0 */
/* touchlog rule: what is active, what it did, and why; the file's rules installed. */
#include "cli/rule.h"

#include <stdio.h>
#include <string.h>

#include "base/uuid.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/db.h"
#include "cli/listing.h"
#include "cli/rule_set_db.h"
#include "cli/sources.h"
#include "cli/table.h"
#include "edge/config.h"
#include "flow/rule_set.h"

/* ---- list ---- */

static const struct table_column list_columns[] = {
	{ "NAME", COLUMN_TEXT }, { "MODE", COLUMN_TEXT }, { "SINCE", COLUMN_TIME },
	{ "LAST FIRED", COLUMN_TIME }, { "WAITING", COLUMN_NUMBER }, { "LAST 7 DAYS", COLUMN_TEXT },
	{ "WHEN", COLUMN_TEXT }, { NULL, COLUMN_TEXT },
};

/* A decision took back, or a delivery did not happen: it fired all the same. */
#define FIRED	"('fired', 'shadowed', 'too_late', 'capped', 'no_consent', 'suppressed')"
#define LIST								\
    " FROM touchlog.rule r JOIN touchlog.rule_set s ON s.version = r.rule_set"		\
    " CROSS JOIN LATERAL (SELECT max(f.last) FILTER (WHERE f.state IN " FIRED ") AS last_fired_at,"	\
    " coalesce(jsonb_object_agg(f.state, f.week) FILTER (WHERE f.week > 0), '{}') AS last_7_days,"	\
    " string_agg(f.week || ' ' || f.state, ', ' ORDER BY f.week DESC, f.state)"	\
    " FILTER (WHERE f.week > 0) AS words"						\
    " FROM (SELECT f.state, max(f.decided_at) AS last,"				\
    " count(*) FILTER (WHERE f.decided_at >= now() - interval '7 days') AS week"	\
    " FROM touchlog.firing f WHERE f.rule = r.name GROUP BY 1) f) d"		\
    " CROSS JOIN LATERAL (SELECT count(*) AS waiting FROM touchlog.timer t WHERE t.rule = r.name) w"	\
    " WHERE s.active ORDER BY r.name"

static const struct listing active = {
	.json = "SELECT to_json(t) FROM (SELECT r.name, r.mode, r.since,"
	    " r.when_text AS \"when\", r.actions AS \"do\", d.last_fired_at, w.waiting,"
	    " d.last_7_days, r.rule_set" LIST ") t",
	.table = "SELECT r.name, r.mode, r.since, d.last_fired_at, w.waiting, d.words,"
	    " r.when_text" LIST,
	.columns = list_columns, .none = "no rule is active",
};

static enum exit_code
list(struct cli *cli)
{
	enum exit_code code;
	PGconn *pg = db_open(cli, DB_READ, &code);

	if (pg == NULL)
		return code;
	code = listing_print(cli, pg, &active, NULL);
	PQfinish(pg);
	return code;
}

/* ---- apply ---- */

static const struct table_column change_columns[] = {
	{ "CHANGE", COLUMN_TEXT }, { "WHAT", COLUMN_TEXT }, { "NAME", COLUMN_TEXT },
	{ NULL, COLUMN_TEXT },
};

/* What is active, by "what name". */
#define SNAPSHOT							\
    "SELECT coalesce(jsonb_object_agg(k, d), '{}') FROM (SELECT s.version FROM touchlog.rule_set s"	\
    " WHERE s.active) s CROSS JOIN LATERAL (SELECT 'rule ' || r.name AS k,"	\
    " to_jsonb(r) - '{id,rule_set,since,calendar_id}'::text[] AS d FROM touchlog.rule r"	\
    " WHERE r.rule_set = s.version"					\
    " UNION ALL SELECT 'calendar ' || c.name, jsonb_build_object('zone', c.zone, 'hours',"	\
    " (SELECT jsonb_agg(to_jsonb(h) - 'calendar' ORDER BY h.weekday, h.opens)"	\
    " FROM touchlog.calendar_hours h WHERE h.calendar = c.id), 'holidays',"	\
    " (SELECT jsonb_agg(d.day ORDER BY d.day) FROM touchlog.calendar_holiday d"	\
    " WHERE d.calendar = c.id)) FROM touchlog.calendar c WHERE c.rule_set = s.version) t"
#define CHANGES								\
    "SELECT CASE WHEN o.value IS NULL THEN 'added' WHEN n.value IS NULL THEN 'removed'"	\
    " WHEN o.value = n.value THEN 'unchanged' ELSE 'changed' END AS change,"	\
    " split_part(key, ' ', 1) AS what, split_part(key, ' ', 2) AS name"	\
    " FROM jsonb_each($1::jsonb) o FULL JOIN jsonb_each($2::jsonb) n USING (key)"	\
    " ORDER BY what DESC, name"

static const struct listing changes = {
	.json = "SELECT to_json(t) FROM (" CHANGES ") t",
	.table = CHANGES,
	.columns = change_columns, .nvalues = 2,
	.none = "there are no rules, neither in the file nor active",
};

static enum exit_code
activate(PGconn *pg, const struct rule_set *set)
{
	char version[DB_NUMBER_BYTES];
	const char *const values[] = { version };
	enum exit_code code = rule_set_load(pg, set, version);
	PGresult *res;

	if (code != CLI_OK)
		return code;
	res = db_query(pg, "SELECT touchlog.rule_set_activate($1::integer)", values, 1);
	PQclear(res);
	return res != NULL ? CLI_OK : CLI_DATABASE;
}

/* In the transaction, which it ends. */
static enum exit_code
install(const struct cli *cli, PGconn *pg, const struct rule_set *set)
{
	PGresult *before = db_query(pg, SNAPSHOT, NULL, 0), *after = NULL;
	enum exit_code code = before != NULL ? activate(pg, set) : CLI_DATABASE;

	if (code == CLI_OK) {
		after = db_query(pg, SNAPSHOT, NULL, 0);
		code = after != NULL && rule_run(pg, "COMMIT") ? CLI_OK : CLI_DATABASE;
	}
	if (code == CLI_OK) {
		const char *const snapshots[] = { PQgetvalue(before, 0, 0), PQgetvalue(after, 0, 0) };

		code = listing_print(cli, pg, &changes, snapshots);
	}
	PQclear(before);
	PQclear(after);
	return code;
}

static enum exit_code
apply(struct cli *cli)
{
	struct rule_set *set = NULL;
	enum exit_code code = rule_set_of(cli, NULL, &set);
	PGconn *pg = NULL;

	if (code == CLI_OK && !config_has_rules(cli_config(cli)))
		code = cli_fail(CLI_CONFIG, "the configuration does not speak of rules; to remove those "
		    "that are active, write rules: {}");
	if (code == CLI_OK)
		pg = db_open(cli, DB_WRITE, &code);
	if (pg != NULL)
		code = rule_run(pg, "BEGIN") ? install(cli, pg, set) : CLI_DATABASE;
	PQfinish(pg);
	rule_set_free(set);
	return code;
}

/* ---- explain ---- */

static const struct table_column explain_columns[] = {
	{ "STEP", COLUMN_TEXT }, { "VERDICT", COLUMN_TEXT }, { "DETAIL", COLUMN_TEXT },
	{ NULL, COLUMN_TEXT },
};

#define EXPLAIN	" FROM touchlog.rule_explain($1, $2::uuid)"

static const struct listing explanation = {
	.json = "SELECT to_json(t) FROM (SELECT step, verdict, detail" EXPLAIN ") t",
	.table = "SELECT step, verdict, detail" EXPLAIN,
	.columns = explain_columns, .nvalues = 2,
};

/* Under its own id; a duplicate has another than it was answered. */
static enum exit_code
find_logged(PGconn *pg, const char *sql, const char *value, char ret_id[UUID_TEXT_SIZE])
{
	const char *const values[] = { value };
	PGresult *res = db_query(pg, sql, values, 1);
	enum exit_code code = CLI_OK;

	if (res == NULL)
		return CLI_DATABASE;
	if (PQntuples(res) == 1)
		(void)snprintf(ret_id, UUID_TEXT_SIZE, "%s", PQgetvalue(res, 0, 0));
	else
		code = cli_fail(CLI_NOT_FOUND, "no such interaction stands in the log; touchlog trace "
		    "tells what became of it");
	PQclear(res);
	return code;
}

static enum exit_code
find_event(const struct cli *cli, PGconn *pg, char ret_id[UUID_TEXT_SIZE])
{
	char key[UUID_TEXT_SIZE];
	enum exit_code code;

	if (cli->nargs == 2)
		return find_logged(pg, "SELECT id FROM touchlog.interaction WHERE id = $1::uuid"
		    " AND received_at = touchlog.at($1::uuid)", cli->args[1], ret_id);
	code = sources_event_key(cli, cli->args[1], cli->args[2], key);
	return code != CLI_OK ? code : find_logged(pg, "SELECT i.id FROM touchlog.seen s"
	    " JOIN touchlog.interaction i ON i.id = s.id AND i.received_at = touchlog.at(s.id)"
	    " WHERE s.key = $1::uuid", key, ret_id);
}

static enum exit_code
explain(struct cli *cli)
{
	char id[UUID_TEXT_SIZE];
	struct uuid parsed;
	enum exit_code code;
	PGconn *pg;

	if (cli->nargs == 2 && !uuid_parse(str_of(cli->args[1]), &parsed))
		return cli_fail(CLI_USAGE, "%s is no interaction's id; else SOURCE EXTERNAL_ID is wanted",
		    cli->args[1]);
	pg = db_open(cli, DB_WRITE, &code);
	if (pg == NULL)
		return code;
	code = rule_is_active(pg, cli->args[0]);
	if (code == CLI_OK)
		code = find_event(cli, pg, id);
	if (code == CLI_OK)
		code = listing_print(cli, pg, &explanation,
		    (const char *const[]){ cli->args[0], id });
	PQfinish(pg);
	return code;
}

static const struct verb verbs[] = {
	{ "apply", "", 0, 0, NULL, 0, "Make the rules of the configuration the active ones",
	    "All daemons of the database run them from then on. What PostgreSQL refuses is told with\n"
	    "its place in the file, and nothing changes then.", apply },
	{ "arm", "NAME", 1, 1, rule_arm_options, sizeof(struct rule_arm_options),
	    "Start the waits of a new rule for the customers that are there",
	    "By their interactions since then. What would be overdue is listed and does not fire.",
	    rule_arm },
	{ "explain", "NAME ID | NAME SOURCE EXTERNAL_ID", 2, 3, NULL, 0,
	    "Tell why an active rule fired on an interaction, or why not", NULL, explain },
	{ "firings", "[NAME]", 0, 1, rule_firings_options, sizeof(struct rule_firings_options),
	    "List what rules decided, latest last",
	    "With --state too_old --fire, what is listed fires after all.", rule_firings },
	{ "list", "", 0, 0, NULL, 0, "List the active rules and what they did", NULL, list },
	{ "test", "NAME", 1, 1, rule_test_options, sizeof(struct rule_test_options),
	    "Tell what a rule of the configuration would have done in the past",
	    "It need not be active, nor the same as the active one. Nothing is done or kept.",
	    rule_test },
	{ 0 },
};

const struct command command_rule = { "rule", verbs };
