/* SPDX-License-Identifier: Apache-2.0 */
/* touchlog parked: what was authentic but could not be logged; looked at, logged after
 * all, or given up. */
#include <stdio.h>

#include "base/buf.h"
#include "base/uuid.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/db.h"
#include "cli/listing.h"
#include "cli/options.h"
#include "cli/parked_retry.h"
#include "cli/sources.h"
#include "cli/table.h"
#include "cli/terminal.h"

enum {
	NAMES_MAX_BYTES	= 64 * 1024,
	SHOWN_MAX_BYTES	= 1024 * 1024 * 1024,
	DUMP_BYTES	= 16,		/* in one line */
};

/* ---- list ---- */

struct list_options {
	int64_t		 limit;
	const char	*source, *state, *reason;
};

static const struct option_row list_options[] = {
	{ "source", '\0', OPTION_TEXT, offsetof(struct list_options, source), "NAME",
	    .help = "only this source's, also under its former names" },
	{ "state", '\0', OPTION_TEXT, offsetof(struct list_options, state), "STATE", .def = "open",
	    .help = "open, retried, dropped or all" },
	{ "reason", '\0', OPTION_TEXT, offsetof(struct list_options, reason), "TEXT",
	    .help = "only those whose reason holds this text" },
	{ "limit", 'n', OPTION_INT, offsetof(struct list_options, limit), "N", 1, 1000000, "100",
	    "the latest N" },
	{ 0 },
};

static const struct table_column list_columns[] = {
	{ "ID", COLUMN_TEXT }, { "SOURCE", COLUMN_TEXT }, { "STATE", COLUMN_TEXT },
	{ "TIMES", COLUMN_NUMBER }, { "LAST", COLUMN_TIME }, { "BYTES", COLUMN_NUMBER },
	{ "REASON", COLUMN_TEXT }, { NULL, COLUMN_TEXT },
};

#define LIST								\
    " FROM (SELECT * FROM touchlog.parked WHERE ($1::text[] IS NULL OR source = ANY($1))"	\
    " AND ($2 = 'all' OR state::text = $2)"				\
    " AND ($3::text IS NULL OR strpos(lower(reason), lower($3)) > 0)"	\
    " ORDER BY last_at DESC, id DESC LIMIT $4) p ORDER BY last_at, id"
#define METADATA							\
    "id, source, state, reason, sqlstate, content_type, attempts, first_at, last_at,"	\
    " octet_length(raw) AS bytes"

static const char *const states[] = { "open", "retried", "dropped", "all", NULL };

static const struct listing kept = {
	.json = "SELECT to_json(t) FROM (SELECT " METADATA LIST ") t",
	.table = "SELECT id, source, state, attempts, last_at, octet_length(raw), reason" LIST,
	.columns = list_columns, .nvalues = 4,
};

static enum exit_code
list(struct cli *cli)
{
	const struct list_options *o = cli->options;
	char limit[DB_NUMBER_BYTES];
	enum exit_code code;
	struct buf names;
	PGconn *pg;

	if (str_index(str_of(o->state), states) < 0)
		return cli_fail(CLI_USAGE, "--state: open, retried, dropped or all is wanted");
	pg = db_open(cli, DB_READ, &code);
	if (pg == NULL)
		return code;
	buf_init(&names, NAMES_MAX_BYTES);
	if (o->source != NULL)
		sources_names(cli->config, o->source, &names);
	const char *const values[] = { names.p, o->state, o->reason,
	    db_number_text(limit, o->limit) };
	code = buf_ok(&names) ? listing_print(cli, pg, &kept, values) :
	    cli_fail(CLI_USAGE, "this is too long for a source");
	buf_fini(&names);
	PQfinish(pg);
	return code;
}

/* ---- show ---- */

struct show_options {
	bool	is_raw;
};

static const struct option_row show_options[] = {
	{ "raw", '\0', OPTION_SWITCH, offsetof(struct show_options, is_raw),
	    .help = "the bytes as they came, and nothing else" },
	{ 0 },
};

/* In the order of SHOWN. */
static const char *const shown_names[] = { "id", "source", "state", "reason", "sqlstate",
    "content type", "attempts", "first", "last", "bytes" };

enum { NSHOWN = sizeof(shown_names) / sizeof(shown_names[0]), RAW_COLUMN = NSHOWN };

/* All as text; raw as its bytes, since the answer is asked for in binary. */
#define SHOWN								\
    "id::text, source, state::text, reason, sqlstate, content_type, attempts::text,"	\
    " first_at::text, last_at::text, octet_length(raw)::text, raw"

static void
put_dump_line(struct buf *out, struct str bytes, size_t at)
{
	buf_printf(out, "%08zx ", at);
	for (size_t i = 0; i < DUMP_BYTES; i++)
		if (at + i < bytes.n)
			buf_printf(out, " %02x", (unsigned char)bytes.p[at + i]);
		else
			buf_text(out, "   ");
	buf_text(out, "  ");
	for (size_t i = 0; i < DUMP_BYTES && at + i < bytes.n; i++) {
		char c = bytes.p[at + i];

		buf_printf(out, "%c", c >= ' ' && c < 0x7f ? c : '.');
	}
	buf_text(out, "\n");
}

static void
print_bytes(struct str raw)
{
	struct buf out;

	buf_init(&out, SHOWN_MAX_BYTES);
	if (terminal_is_text(raw)) {
		terminal_put(&out, raw, TERMINAL_LINES);
		buf_text(&out, "\n");
	}
	for (size_t at = 0; !terminal_is_text(raw) && at < raw.n; at += DUMP_BYTES)
		put_dump_line(&out, raw, at);
	(void)fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
}

static void
print_parked(const PGresult *res)
{
	struct buf line;

	buf_init(&line, SHOWN_MAX_BYTES);
	for (int i = 0; i < NSHOWN; i++) {
		if (PQgetisnull(res, 0, i))
			continue;
		buf_printf(&line, "%-13s", shown_names[i]);
		terminal_put(&line, db_cell(res, 0, i), TERMINAL_ONE_LINE);
		buf_text(&line, "\n");
	}
	(void)printf("%.*s\n", STR_ARG(buf_str(&line)));
	buf_fini(&line);
	print_bytes(db_cell(res, 0, RAW_COLUMN));
}

static enum exit_code
print_json(PGconn *pg, const char *const *values)
{
	/* convert_from() fails on what is no UTF-8: then the bytes go as base64. */
	PGresult *res = db_try(pg, "SELECT to_json(t) FROM (SELECT " METADATA
	    ", convert_from(raw, 'UTF8') AS raw FROM touchlog.parked WHERE id = $1::uuid) t", values, 1);

	if (PQresultStatus(res) != PGRES_TUPLES_OK) {
		PQclear(res);
		res = db_query(pg, "SELECT to_json(t) FROM (SELECT " METADATA
		    ", translate(encode(raw, 'base64'), E'\\n', '') AS raw_base64"
		    " FROM touchlog.parked WHERE id = $1::uuid) t", values, 1);
	}
	if (res == NULL)
		return CLI_DATABASE;
	if (PQntuples(res) == 1)
		(void)puts(PQgetvalue(res, 0, 0));
	PQclear(res);
	return CLI_OK;
}

static enum exit_code
print_shown(const struct cli *cli, PGconn *pg, const char *const *values)
{
	const struct show_options *o = cli->options;
	PGresult *res = PQexecParams(pg, "SELECT " SHOWN " FROM touchlog.parked WHERE id = $1::uuid", 1,
	    NULL, values, NULL, NULL, 1);
	enum exit_code code = CLI_OK;

	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		code = db_fail(res);
	else if (PQntuples(res) == 0)
		code = cli_fail(CLI_NOT_FOUND, "nothing is parked as %s", values[0]);
	else if (o->is_raw)
		(void)fwrite(PQgetvalue(res, 0, RAW_COLUMN), 1,
		    (size_t)PQgetlength(res, 0, RAW_COLUMN), stdout);
	else if (cli->wants_json)
		code = print_json(pg, values);
	else
		print_parked(res);
	PQclear(res);
	return code;
}

static bool
is_id(const char *text)
{
	struct uuid id;

	return uuid_parse(str_of(text), &id);
}

static enum exit_code
with_id(struct cli *cli, enum db_role role,
    enum exit_code (*run)(const struct cli *cli, PGconn *pg, const char *const *values))
{
	const char *const values[] = { cli->args[0] };
	enum exit_code code;
	PGconn *pg;

	if (!is_id(cli->args[0]))
		return cli_fail(CLI_USAGE, "%s is no id of a parked event", cli->args[0]);
	pg = db_open(cli, role, &code);
	if (pg == NULL)
		return code;
	code = run(cli, pg, values);
	PQfinish(pg);
	return code;
}

static enum exit_code
show(struct cli *cli)
{
	return with_id(cli, DB_READ, print_shown);
}

/* ---- drop ---- */

static enum exit_code
say_not_dropped(PGconn *pg, const char *const *values)
{
	PGresult *res = db_query(pg, "SELECT FROM touchlog.parked WHERE id = $1::uuid", values, 1);
	bool is_there = res != NULL && PQntuples(res) == 1;

	PQclear(res);
	if (res == NULL)
		return CLI_DATABASE;
	if (is_there)
		return cli_fail(CLI_FAILED, "%s was retried and stands in the log", values[0]);
	return cli_fail(CLI_NOT_FOUND, "nothing is parked as %s", values[0]);
}

static enum exit_code
drop_id(const struct cli *cli, PGconn *pg, const char *const *values)
{
	PGresult *res = db_query(pg, "SELECT touchlog.settle_parked($1::uuid, 'dropped')", values, 1);
	bool is_done = res != NULL && PQgetvalue(res, 0, 0)[0] == 't';

	PQclear(res);
	if (res == NULL)
		return CLI_DATABASE;
	if (!is_done)
		return say_not_dropped(pg, values);
	if (cli->wants_json)
		(void)printf("{\"id\":\"%s\",\"state\":\"dropped\"}\n", values[0]);
	else
		(void)printf("%s: dropped\n", values[0]);
	return CLI_OK;
}

static enum exit_code
drop(struct cli *cli)
{
	return with_id(cli, DB_WRITE, drop_id);
}

static const struct verb verbs[] = {
	{ "list", "", 0, 0, list_options, sizeof(struct list_options),
	    "List what is parked, latest last", NULL, list },
	{ "show", "ID", 1, 1, show_options, sizeof(struct show_options),
	    "Show one parked event with its bytes", NULL, show },
	{ "retry", "[ID]", 0, 1, parked_retry_options, PARKED_RETRY_SIZE,
	    "Log parked events after all: ID, or --source NAME, or --all",
	    "Each is read anew, by the configuration as it is now. It keeps its id, unless it\n"
	    "turns out to be a duplicate.", parked_retry },
	{ "drop", "ID", 1, 1, NULL, 0, "Give a parked event up",
	    "Its bytes stay; should it be sent again, it stays dropped.", drop },
	{ 0 },
};

const struct command command_parked = { "parked", verbs };
