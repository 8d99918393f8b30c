/* SPDX-License-Identifier: Apache-2.0 */
/* touchlog outbox: actions that wait, are under way or were given up; and whether anything may
 * leave at all. */
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/db.h"
#include "cli/listing.h"
#include "cli/options.h"
#include "cli/person.h"
#include "cli/table.h"

/* ---- list ---- */

struct list_options {
	int64_t		 limit;
	const char	*state, *action;
};

static const struct option_row list_options[] = {
	{ "state", '\0', OPTION_TEXT, offsetof(struct list_options, state), "STATE", .def = "all",
	    .help = "waiting, running, dead or all" },
	{ "action", '\0', OPTION_TEXT, offsetof(struct list_options, action), "NAME",
	    .help = "only this action's" },
	{ "limit", 'n', OPTION_INT, offsetof(struct list_options, limit), "N", 1, 1000000, "100",
	    "the latest N" },
	{ 0 },
};

static const struct table_column list_columns[] = {
	{ "ID", COLUMN_NUMBER }, { "STATE", COLUMN_TEXT }, { "ACTION", COLUMN_TEXT },
	{ "RULE", COLUMN_TEXT }, { "TRIES", COLUMN_NUMBER }, { "NEXT", COLUMN_TIME },
	{ "ERROR", COLUMN_TEXT }, { NULL, COLUMN_TEXT },
};

#define STATE								\
    "CASE WHEN o.state = 'dead' THEN 'dead' WHEN o.claim_until > now() THEN 'running'"	\
    " ELSE 'waiting' END"
#define LIST								\
    " FROM (SELECT o.id, " STATE " AS state, o.action, f.rule, o.firing_id AS firing,"	\
    " nullif(f.customer_id, 0) AS customer, o.attempts,"		\
    " CASE WHEN o.state <> 'dead' THEN o.next_at END AS next_at, o.claimed_by, o.error"	\
    " FROM touchlog.outbox o JOIN touchlog.firing f ON f.id = o.firing_id"	\
    " WHERE ($1 = 'all' OR " STATE " = $1) AND ($2::text IS NULL OR o.action = $2)"	\
    " ORDER BY o.id DESC LIMIT $3) t ORDER BY id"

static const char *const states[] = { "waiting", "running", "dead", "all", NULL };

static const struct listing waiting = {
	.json = "SELECT to_json(t)" LIST,
	.table = "SELECT id, state, action, rule, attempts, next_at, error" LIST,
	.columns = list_columns, .nvalues = 3,
};

/* Whoever looks why nothing happens is to see it. */
static enum exit_code
note_pause(PGconn *pg)
{
	PGresult *res = db_query(pg, "SELECT date_trunc('second', at), coalesce(who, '?'),"
	    " coalesce(': ' || why, '') FROM touchlog.outbox_pause WHERE paused", NULL, 0);

	if (res == NULL)
		return CLI_DATABASE;
	if (PQntuples(res) == 1)
		cli_note("actions are paused since %s by %s%s", PQgetvalue(res, 0, 0),
		    PQgetvalue(res, 0, 1), PQgetvalue(res, 0, 2));
	PQclear(res);
	return CLI_OK;
}

static enum exit_code
list(struct cli *cli)
{
	const struct list_options *o = cli->options;
	char limit[DB_NUMBER_BYTES];
	const char *const values[] = { o->state, o->action, db_number_text(limit, o->limit) };
	enum exit_code code;
	PGconn *pg;

	if (str_index(str_of(o->state), states) < 0)
		return cli_fail(CLI_USAGE, "--state: waiting, running, dead or all is wanted");
	pg = db_open(cli, DB_READ, &code);
	if (pg == NULL)
		return code;
	code = note_pause(pg);
	if (code == CLI_OK)
		code = listing_print(cli, pg, &waiting, values);
	PQfinish(pg);
	return code;
}

/* ---- retry ---- */

struct retry_options {
	bool	is_dead;
};

static const struct option_row retry_options[] = {
	{ "dead", '\0', OPTION_SWITCH, offsetof(struct retry_options, is_dead),
	    .help = "all that were given up" },
	{ 0 },
};

static enum exit_code
say_not_retried(PGconn *pg, const char *id)
{
	PGresult *res = db_query(pg, "SELECT FROM touchlog.outbox WHERE id = $1::bigint", &id, 1);
	bool is_there = res != NULL && PQntuples(res) == 1;

	PQclear(res);
	if (res == NULL)
		return CLI_DATABASE;
	if (is_there)
		return cli_fail(CLI_FAILED, "%s is under way", id);
	return cli_fail(CLI_NOT_FOUND, "no action waits as %s; what was done is no longer there",
	    id);
}

static enum exit_code
retry_these(const struct cli *cli, PGconn *pg, const char *id)
{
	PGresult *res = db_query(pg, "SELECT to_json(r), cardinality(r) FROM touchlog.outbox_retry("
	    "CASE WHEN $1::bigint IS NOT NULL THEN ARRAY[$1::bigint] END) r", &id, 1);
	int64_t n;

	if (res == NULL)
		return CLI_DATABASE;
	n = db_number(res, 0, 1);
	if (n > 0 || id == NULL) {
		if (cli->wants_json)
			(void)printf("{\"retried\":%s}\n", PQgetvalue(res, 0, 0));
		else
			(void)printf("%lld to be tried now\n", (long long)n);
	}
	PQclear(res);
	return n == 0 && id != NULL ? say_not_retried(pg, id) : CLI_OK;
}

static enum exit_code
retry(struct cli *cli)
{
	const struct retry_options *o = cli->options;
	const char *id = cli->args[0];
	enum exit_code code;
	int64_t number;
	PGconn *pg;

	if ((id == NULL) != o->is_dead)
		return cli_fail(CLI_USAGE, "an id, or --dead, is wanted");
	if (id != NULL && !str_to_i64(str_of(id), 1, INT64_MAX, &number))
		return cli_fail(CLI_USAGE, "%s is no id of an action", id);
	pg = db_open(cli, DB_WRITE, &code);
	if (pg == NULL)
		return code;
	code = retry_these(cli, pg, id);
	PQfinish(pg);
	return code;
}

/* ---- pause, resume ---- */

struct pause_options {
	const char	*who, *why;
};

static const struct option_row pause_options[] = {
	{ "why", '\0', OPTION_TEXT, offsetof(struct pause_options, why), "TEXT",
	    .help = "the reason, for who looks at it later" },
	{ "who", '\0', OPTION_TEXT, offsetof(struct pause_options, who), "NAME",
	    .help = "who does it; default: the user" },
	{ 0 },
};

static enum exit_code
set_paused(struct cli *cli, bool is_paused)
{
	const struct pause_options *o = cli->options;
	const char *const values[] = { is_paused ? "true" : "false", cli_person(o->who), o->why };
	enum exit_code code;
	PGresult *res;
	PGconn *pg;
	bool is_new;

	pg = db_open(cli, DB_WRITE, &code);
	if (pg == NULL)
		return code;
	res = db_query(pg, "SELECT touchlog.outbox_set_paused($1, $2, $3)", values, 3);
	is_new = res != NULL && PQgetvalue(res, 0, 0)[0] == 't';
	if (res != NULL && cli->wants_json)
		(void)printf("{\"paused\":%s,\"changed\":%s}\n", values[0],
		    is_new ? "true" : "false");
	else if (res != NULL)
		(void)printf("actions %s\n", !is_new ? (is_paused ? "were paused already" :
		    "were not paused") : is_paused ? "are paused" : "go on");
	code = res != NULL ? CLI_OK : CLI_DATABASE;
	PQclear(res);
	PQfinish(pg);
	return code;
}

static enum exit_code
outbox_pause(struct cli *cli)
{
	return set_paused(cli, true);
}

static enum exit_code
outbox_resume(struct cli *cli)
{
	return set_paused(cli, false);
}

static const struct verb verbs[] = {
	{ "list", "", 0, 0, list_options, sizeof(struct list_options),
	    "List actions that wait, are under way or were given up", NULL, list },
	{ "retry", "[ID]", 0, 1, retry_options, sizeof(struct retry_options),
	    "Have an action tried now: ID, or --dead",
	    "Its tries count anew. What is sent bears the same id as before. An action whose\n"
	    "receiver had said that it is gone (410) is used again.", retry },
	{ "pause", "", 0, 0, pause_options, sizeof(struct pause_options),
	    "Let nothing leave: no daemon does any action until `resume`",
	    "Rules go on being decided, and what they want is kept. When it returns, nothing\n"
	    "more is begun; what is under way ends.", outbox_pause },
	{ "resume", "", 0, 0, pause_options, sizeof(struct pause_options),
	    "Let actions go on",
	    "A database that was restored into another cluster is paused by itself: first make\n"
	    "sure that it is no copy of one that goes on elsewhere.", outbox_resume },
	{ 0 },
};

const struct command command_outbox = { "outbox", verbs };
