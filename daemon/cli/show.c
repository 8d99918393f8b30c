/* SPDX-License-Identifier: Apache-2.0 */
/* touchlog show: who somebody is, and the time line. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/db.h"
#include "cli/interaction_sql.h"
#include "cli/options.h"
#include "cli/table.h"
#include "cli/who.h"

struct show_options {
	int64_t		 limit;
	int64_t		 since_us;
	const char	*region;
};

static const struct option_row options[] = {
	{ "limit", 'n', OPTION_INT, offsetof(struct show_options, limit), "N", 1, 1000000, "50",
	    "the newest N of the time line" },
	{ "since", '\0', OPTION_TIME, offsetof(struct show_options, since_us), "TIME",
	    .help = "only what occurred since: 2026-11-24, 2026-11-24T18:00:00Z or 36h (ago)" },
	{ "region", '\0', OPTION_TEXT, offsetof(struct show_options, region), "CC",
	    .help = "the country of a national telephone number, such as NL" },
	{ 0 },
};

#define MEMBERS								\
    " FROM touchlog.customer WHERE root_id = $1 ORDER BY id LIMIT 1000"
#define IDENTITIES							\
    " FROM touchlog.customer c JOIN touchlog.identity i ON i.customer_id = c.id"	\
    " WHERE c.root_id = $1 ORDER BY c.id, i.first_seen, i.kind, i.value LIMIT 1000"
/* The newest, then in the order in which they occurred. */
#define TIMELINE							\
    " FROM (SELECT * FROM touchlog.timeline WHERE customer_id = $1"	\
    " AND occurred_at >= coalesce(to_timestamp($2::float8 / 1000000), '-infinity')"	\
    " ORDER BY occurred_at DESC, id DESC LIMIT $3) t ORDER BY occurred_at, id"

static const struct table_column member_columns[] = {
	{ "CUSTOMER", COLUMN_NUMBER }, { "KIND", COLUMN_TEXT }, { "NAME", COLUMN_TEXT },
	{ "LANGUAGE", COLUMN_TEXT }, { "TIME ZONE", COLUMN_TEXT }, { "SINCE", COLUMN_TIME },
	{ "ADDRESS AND MORE", COLUMN_TEXT }, { NULL, COLUMN_TEXT },
};

static const struct table_column identity_columns[] = {
	{ "CUSTOMER", COLUMN_NUMBER }, { "KIND", COLUMN_TEXT }, { "IDENTITY", COLUMN_TEXT },
	{ "STRENGTH", COLUMN_TEXT }, { "SINCE", COLUMN_TIME }, { NULL, COLUMN_TEXT },
};

static const struct table_column timeline_columns[] = {
	{ "OCCURRED", COLUMN_TIME }, { "CHANNEL", COLUMN_TEXT }, { "", COLUMN_TEXT },
	{ "KIND", COLUMN_TEXT }, { "SOURCE", COLUMN_TEXT }, { "CUSTOMER", COLUMN_NUMBER },
	{ "ROLE", COLUMN_TEXT }, { "DETAIL", COLUMN_TEXT }, { NULL, COLUMN_TEXT },
};

/* One part of the answer, in both forms. */
struct part {
	const char		*name;		/* of its JSON member */
	const char		*json, *sql;
	const struct table_column	*columns;
	int			 nvalues;
};

static const struct part parts[] = {
	{ "members", "SELECT to_json(m) FROM (SELECT id, kind, member_of, name, stage, tags, owner,"
	    " priority, language, time_zone, address, attributes, created_at" MEMBERS ") m",
	    "SELECT id, kind, name, language, time_zone, created_at,"
	    " nullif(concat_ws(' ', address::text, nullif(attributes, '{}')::text), '')" MEMBERS,
	    member_columns, 1 },
	{ "identities", "SELECT to_json(m) FROM (SELECT i.customer_id, i.kind, i.value, i.strong,"
	    " i.received_as, i.first_seen" IDENTITIES ") m",
	    "SELECT i.customer_id, i.kind, i.value, CASE WHEN i.strong THEN 'strong' ELSE 'weak' END,"
	    " i.first_seen" IDENTITIES, identity_columns, 1 },
	{ "timeline", "SELECT to_json(l) FROM (SELECT id, received_at, occurred_at,"
	    " own_customer_id AS customer_id, role, source, brand, channel, direction, kind,"
	    " external_id, thread, agent, subject, body, outcome, duration, wait, amount, currency,"
	    " score, campaign, attributes" TIMELINE ") l",
	    "SELECT occurred_at, channel, direction, kind, source, own_customer_id,"
	    " nullif(role, 'customer'), " INTERACTION_DETAIL TIMELINE, timeline_columns, 3 },
};

enum { NPARTS = sizeof(parts) / sizeof(parts[0]) };

static enum exit_code
print_tables(PGconn *pg, const char *const *values)
{
	for (size_t i = 0; i < NPARTS; i++) {
		PGresult *res = db_query(pg, parts[i].sql, values, parts[i].nvalues);

		if (res == NULL)
			return CLI_DATABASE;
		if (i > 0 && PQntuples(res) > 0)
			(void)puts("");
		table_print_result(res, parts[i].columns);
		PQclear(res);
	}
	return CLI_OK;
}

static enum exit_code
print_json(PGconn *pg, const char *const *values)
{
	(void)printf("{\"customer\":%s", values[0]);
	for (size_t i = 0; i < NPARTS; i++) {
		(void)printf(",\n\"%s\":", parts[i].name);
		if (db_print_json(pg, parts[i].json, values, parts[i].nvalues) < 0)
			return CLI_DATABASE;
	}
	(void)puts("}");
	return CLI_OK;
}

static enum exit_code
show_customer(struct cli *cli, PGconn *pg, int64_t root)
{
	const struct show_options *o = cli->options;
	char id[DB_NUMBER_BYTES], since[DB_NUMBER_BYTES], limit[DB_NUMBER_BYTES];
	const char *const values[] = { db_number_text(id, root),
	    o->since_us != 0 ? db_number_text(since, o->since_us) : NULL,
	    db_number_text(limit, o->limit) };

	return cli->wants_json ? print_json(pg, values) : print_tables(pg, values);
}

static enum exit_code
show(struct cli *cli)
{
	const struct show_options *o = cli->options;
	enum exit_code code;
	PGconn *pg = db_open(cli, DB_READ, &code);
	int64_t root;

	if (pg == NULL)
		return code;
	code = who_find(cli, pg, cli->args[0], o->region, &root);
	if (code == CLI_OK)
		code = show_customer(cli, pg, root);
	PQfinish(pg);
	return code;
}

static const struct verb verbs[] = {
	{ NULL, "IDENTITY", 1, 1, options, sizeof(struct show_options),
	    "Show who somebody is, and the time line, newest last", WHO_HELP, show },
	{ 0 },
};

const struct command command_show = { "show", verbs };
