/* SPDX-License-Identifier: Apache-2.0 */
/* touchlog task: what rules gave people to do. */
#include <stdio.h>

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
	const char	*assign;
	bool		 is_overdue, is_all;
};

static const struct option_row list_options[] = {
	{ "assign", '\0', OPTION_TEXT, offsetof(struct list_options, assign), "NAME",
	    .help = "only this one's" },
	{ "overdue", '\0', OPTION_SWITCH, offsetof(struct list_options, is_overdue),
	    .help = "only those that are late" },
	{ "all", '\0', OPTION_SWITCH, offsetof(struct list_options, is_all),
	    .help = "also those that are done" },
	{ "limit", 'n', OPTION_INT, offsetof(struct list_options, limit), "N", 1, 1000000, "100",
	    "the first N" },
	{ 0 },
};

static const struct table_column list_columns[] = {
	{ "ID", COLUMN_NUMBER }, { "STATE", COLUMN_TEXT }, { "DUE", COLUMN_TIME },
	{ "ASSIGN", COLUMN_TEXT }, { "PRIORITY", COLUMN_NUMBER }, { "CUSTOMER", COLUMN_NUMBER },
	{ "NAME", COLUMN_TEXT }, { "TITLE", COLUMN_TEXT }, { NULL, COLUMN_TEXT },
};

/* Customers of priority 1 first, those without one last. */
#define ORDER	" ORDER BY customer_priority NULLS LAST, priority NULLS LAST, due NULLS LAST, id"
#define LIST								\
    " FROM (SELECT * FROM (SELECT t.id, CASE WHEN t.done_at IS NOT NULL THEN 'done'"	\
    " WHEN t.due < now() THEN 'overdue' ELSE 'open' END AS state, t.due, t.assign,"	\
    " c.priority AS customer_priority, t.priority, c.id AS customer, c.name, t.title,"	\
    " t.thread, t.interaction_id AS interaction, f.rule, t.created_at, t.done_at, t.done_by,"	\
    " t.note"								\
    " FROM touchlog.task t LEFT JOIN touchlog.firing f ON f.id = t.firing_id"	\
    " LEFT JOIN touchlog.customer m ON m.id = t.customer_id"		\
    " LEFT JOIN touchlog.customer c ON c.id = m.root_id"		\
    " WHERE ($1::text IS NULL OR t.assign = $1) AND ($3::boolean OR t.done_at IS NULL)) x"	\
    " WHERE NOT $2::boolean OR state = 'overdue'" ORDER " LIMIT $4) t" ORDER

static const struct listing tasks = {
	.json = "SELECT to_json(t)" LIST,
	.table = "SELECT id, state, due, assign, coalesce(customer_priority, priority), customer, name,"
	    " title" LIST,
	.columns = list_columns, .nvalues = 4,
};

static enum exit_code
list(struct cli *cli)
{
	const struct list_options *o = cli->options;
	char limit[DB_NUMBER_BYTES];
	const char *const values[] = { o->assign, o->is_overdue ? "true" : "false",
	    o->is_all ? "true" : "false", db_number_text(limit, o->limit) };
	enum exit_code code;
	PGconn *pg = db_open(cli, DB_READ, &code);

	if (pg == NULL)
		return code;
	code = listing_print(cli, pg, &tasks, values);
	PQfinish(pg);
	return code;
}

/* ---- done, assign ---- */

/* Both answer true, false (it is done) or null (there is none). */
static enum exit_code
change(struct cli *cli, const char *sql, const char *const *values, int n, const char *what)
{
	enum exit_code code;
	PGresult *res;
	int64_t number;
	PGconn *pg;

	if (!str_to_i64(str_of(values[0]), 1, INT64_MAX, &number))
		return cli_fail(CLI_USAGE, "%s is no id of a task", values[0]);
	pg = db_open(cli, DB_WRITE, &code);
	if (pg == NULL)
		return code;
	code = CLI_OK;
	res = db_query(pg, sql, values, n);
	if (res == NULL)
		code = CLI_DATABASE;
	else if (PQgetisnull(res, 0, 0))
		code = cli_fail(CLI_NOT_FOUND, "there is no task %s", values[0]);
	else if (PQgetvalue(res, 0, 0)[0] != 't')
		code = cli_fail(CLI_FAILED, "task %s is done already", values[0]);
	else if (cli->wants_json)
		(void)printf("{\"id\":%s,\"state\":\"%s\"}\n", values[0], what);
	else
		(void)printf("%s: %s\n", values[0], what);
	PQclear(res);
	PQfinish(pg);
	return code;
}

struct done_options {
	const char	*who, *note;
};

static const struct option_row done_options[] = {
	{ "note", '\0', OPTION_TEXT, offsetof(struct done_options, note), "TEXT",
	    .help = "what came of it: the body of the interaction that is logged" },
	{ "who", '\0', OPTION_TEXT, offsetof(struct done_options, who), "NAME",
	    .help = "who did it; default: the user" },
	{ 0 },
};

static enum exit_code
done(struct cli *cli)
{
	const struct done_options *o = cli->options;
	const char *const values[] = { cli->args[0], cli_person(o->who), o->note };

	return change(cli, "SELECT touchlog.task_done($1, $2, $3)", values, 3, "done");
}

static enum exit_code
assign(struct cli *cli)
{
	const char *const values[] = { cli->args[0], cli->args[1] };

	return change(cli, "SELECT touchlog.task_assign($1, $2)", values, 2,
	    cli->args[1] != NULL ? "assigned" : "nobody's");
}

static const struct verb verbs[] = {
	{ "list", "", 0, 0, list_options, sizeof(struct list_options),
	    "List tasks, the most important customer's first, then what is due first", NULL, list },
	{ "done", "ID", 1, 1, done_options, sizeof(struct done_options),
	    "Say that a task is done",
	    "It is logged as `resolved`, an internal interaction in the task's thread, so that\n"
	    "rules see it.", done },
	{ "assign", "ID [NAME]", 1, 2, NULL, 0, "Give a task to somebody, or to nobody", NULL,
	    assign },
	{ 0 },
};

const struct command command_task = { "task", verbs };
