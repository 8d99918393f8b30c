/* SPDX-License-Identifier: Apache-2.0 */
/* touchlog source: what the running daemon remembers of its sources since its start, and
 * what they would make of a payload. */
#include <stdio.h>

#include "base/conf.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/ops_client.h"
#include "cli/source_try.h"
#include "cli/sources.h"
#include "cli/table.h"
#include "edge/config.h"

static const struct table_column list_columns[] = {
	{ "NAME", COLUMN_TEXT }, { "TYPE", COLUMN_TEXT }, { "PRESET", COLUMN_TEXT },
	{ "RECEIVED", COLUMN_NUMBER },
	{ "LOGGED", COLUMN_NUMBER }, { "DUPLICATES", COLUMN_NUMBER },
	{ "SPOOLED", COLUMN_NUMBER }, { "PARKED", COLUMN_NUMBER },
	{ "REJECTED", COLUMN_NUMBER }, { "IGNORED", COLUMN_NUMBER }, { "REFUSED", COLUMN_NUMBER },
	{ "LAST SUCCESS", COLUMN_TIME }, { NULL, COLUMN_TEXT },
};

static const char *const counts[] = { "received", "logged", "duplicates", "spooled", "parked",
    "rejected", "ignored", "refused" };

enum { NCOUNTS = sizeof(counts) / sizeof(counts[0]) };

static const struct table_column refusal_columns[] = {
	{ "TIME", COLUMN_TIME }, { "CHECK", COLUMN_TEXT }, { "BYTES", COLUMN_NUMBER },
	{ "REQUEST", COLUMN_TEXT }, { NULL, COLUMN_TEXT },
};

static void
print_document(struct json_object *o)
{
	(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
	    JSON_C_TO_STRING_NOSLASHESCAPE));
}

static struct str
text_or_none(const char *text)
{
	return text[0] != '\0' ? str_of(text) : STR_NONE;
}

/* ---- by the daemon ---- */

static void
mend(struct json_object *source)
{
	size_t n;
	struct json_object *refusals = ops_list(source, "refusals", &n);

	ops_mend_time(source, "last_success");
	for (size_t i = 0; i < n; i++)
		ops_mend_time(json_object_array_get_idx(refusals, i), "at");
}

static void
add_source(struct table *t, struct json_object *source)
{
	table_add(t, str_of(ops_text(source, "name")));
	table_add(t, str_of(ops_text(source, "type")));
	table_add(t, text_or_none(ops_text(source, "preset")));
	for (size_t i = 0; i < NCOUNTS; i++)
		table_add_number(t, ops_number(source, counts[i]));
	table_add(t, text_or_none(ops_text(source, "last_success")));
}

static void
print_sources(struct json_object *sources, size_t n)
{
	struct table *t = table_new(list_columns);

	for (size_t i = 0; i < n; i++)
		add_source(t, json_object_array_get_idx(sources, i));
	table_print(t);
	table_free(t);
}

static void
list_status(const struct cli *cli, struct json_object *status)
{
	size_t n;
	struct json_object *sources = ops_list(status, "sources", &n);

	for (size_t i = 0; i < n; i++) {
		struct json_object *source = json_object_array_get_idx(sources, i);

		mend(source);
		json_object_object_del(source, "refusals");
	}
	if (cli->wants_json && sources != NULL)
		print_document(sources);
	else
		print_sources(sources, n);
}

/* ---- by the configuration ---- */

static void
list_config(const struct cli *cli, const struct config *c)
{
	struct json_object *all = json_object_new_array();
	struct table *t = table_new(list_columns);

	for (size_t i = 0; i < c->sources.n; i++) {
		const struct conf_named *s = &c->sources.v[i];
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "name",
		    json_object_new_string_len(s->name.p, (int)s->name.n));
		json_object_object_add(o, "type", json_object_new_string(s->variant->name));
		json_object_array_add(all, o);
		table_add(t, s->name);
		table_add(t, str_of(s->variant->name));
		if (s->base.p != NULL)
			json_object_object_add(o, "preset",
			    json_object_new_string_len(s->base.p, (int)s->base.n));
		table_add(t, s->base);
		for (size_t k = 0; k < NCOUNTS + 1; k++)
			table_add(t, STR_NONE);
	}
	if (cli->wants_json)
		print_document(all);
	else
		table_print(t);
	table_free(t);
	json_object_put(all);
}

static enum exit_code
list(struct cli *cli)
{
	const struct config *c = cli_config(cli);
	struct json_object *status = NULL;
	struct err err;

	if (c == NULL)
		return CLI_CONFIG;
	if (ops_ask(c, "/status", &status, &err)) {
		list_status(cli, status);
	} else {
		cli_note("%s; this is what the configuration says", err.text);
		list_config(cli, c);
	}
	json_object_put(status);
	return CLI_OK;
}

/* ---- one of them ---- */

static void
print_refusals(struct json_object *source)
{
	size_t n;
	struct json_object *refusals = ops_list(source, "refusals", &n);
	struct table *t = table_new(refusal_columns);

	(void)puts(n > 0 ? "\nRefused, newest first:" : "\nNothing was refused.");
	for (size_t i = 0; i < n; i++) {
		struct json_object *r = json_object_array_get_idx(refusals, i);

		table_add(t, str_of(ops_text(r, "at")));
		table_add(t, str_of(ops_text(r, "check")));
		table_add_number(t, ops_number(r, "bytes"));
		table_add(t, str_of(ops_text(r, "request")));
	}
	table_print(t);
	table_free(t);
}

static enum exit_code
say_unknown(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->sources.n; i++)
		if (str_eq(c->sources.v[i].name, str_of(name)))
			return cli_fail(CLI_NOT_FOUND, "the daemon does not know the source %s: it "
			    "has not loaded this configuration", name);
	return sources_unknown(c, name);
}

static enum exit_code
show_status(struct cli *cli, struct json_object *status)
{
	size_t n;
	struct json_object *sources = ops_list(status, "sources", &n), *source = NULL;

	for (size_t i = 0; source == NULL && i < n; i++)
		if (strcmp(ops_text(json_object_array_get_idx(sources, i), "name"),
		    cli->args[0]) == 0)
			source = json_object_array_get_idx(sources, i);
	if (source == NULL)
		return say_unknown(cli->config, cli->args[0]);
	mend(source);
	if (cli->wants_json) {
		print_document(source);
		return CLI_OK;
	}
	print_sources(sources, n);
	print_refusals(source);
	return CLI_OK;
}

/* The name goes into a path: what is no name of a source is not asked for. */
static bool
is_name(const char *s)
{
	return s[0] != '\0' && s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789_-")] == '\0' && strlen(s) <= 64;
}

static enum exit_code
show(struct cli *cli)
{
	const struct config *c = cli_config(cli);
	struct json_object *status = NULL;
	enum exit_code code;
	char path[128];
	struct err err;

	if (c == NULL)
		return CLI_CONFIG;
	if (!is_name(cli->args[0]))
		return say_unknown(cli->config, cli->args[0]);
	(void)snprintf(path, sizeof(path), "/status?source=%s", cli->args[0]);
	if (!ops_ask(c, path, &status, &err))
		return cli_fail(CLI_FAILED, "%s", err.text);
	code = show_status(cli, status);
	json_object_put(status);
	return code;
}

static const struct verb verbs[] = {
	{ "list", "", .summary = "List the sources and what the daemon counted since its start",
	    .help = "The daemon is asked on its first listener that serves ops.", .run = list },
	{ "show", "NAME", 1, 1, .summary = "Show one source and its last 20 refusals",
	    .help = "A refusal: when, which check failed, bytes of the body, the request's id.",
	    .run = show },
	{ "try", "NAME|--preset NAME [FILE]", 0, 2, source_try_options,
	    sizeof(struct source_try_options),
	    .summary = "Show what a payload would become, field by field, and log nothing",
	    .help = "FILE, or stdin, is a body, or a whole request as it was captured.  Neither the\n"
	    "daemon nor the database is asked.  The exit code is 0 when every event would be\n"
	    "logged or ignored, 1 when one would be parked, rejected or refused.\n"
	    "The sender is checked with --verify, or where a header is given that proves who it is.",
	    .run = source_try },
	{ 0 },
};

const struct command command_source = { "source", verbs };
