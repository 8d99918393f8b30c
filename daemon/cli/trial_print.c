/* SPDX-License-Identifier: Apache-2.0 */
/* What a request that was tried would come to, for people. */
#include "cli/trial_print.h"

#include <json-c/json.h>
#include <stdio.h>

#include "base/buf.h"
#include "cli/ops_client.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/trial_event.h"

enum { LINE_MAX_BYTES = 1024 * 1024 };

static const struct table_column columns[] = {
	{ "FIELD", COLUMN_TEXT }, { "FROM", COLUMN_TEXT }, { "VALUE", COLUMN_TEXT },
	{ NULL, COLUMN_TEXT },
};

static struct json_object *
member(struct json_object *o, const char *name)
{
	struct json_object *value = NULL;

	(void)json_object_object_get_ex(o, name, &value);
	return value;
}

static bool
has(struct json_object *o, const char *name)
{
	return member(o, name) != NULL;
}

/* Texts as they are, all else as JSON. */
static struct str
shown(struct json_object *value)
{
	if (json_object_is_type(value, json_type_string))
		return (struct str){ json_object_get_string(value),
		    (size_t)json_object_get_string_len(value) };
	return str_of(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
	    JSON_C_TO_STRING_NOSLASHESCAPE));
}

static void
add_row(struct table *t, const char *field, struct json_object *from, struct str value)
{
	table_add(t, str_of(field));
	table_add(t, from != NULL ? shown(from) : STR_NONE);
	table_add(t, value);
}

/* ---- one event ---- */

/* "2026-02-13T16:26:40Z (was 1771000000)"; of what was not read, as it was written. */
static void
add_column(struct table *t, const char *name, struct json_object *column)
{
	struct buf b;

	buf_init(&b, LINE_MAX_BYTES);
	if (has(column, "value"))
		buf_str_add(&b, shown(member(column, "value")));
	else
		buf_str_add(&b, shown(member(column, "text")));
	if (has(column, "value") && has(column, "text"))
		buf_printf(&b, " (was %.*s)", STR_ARG(shown(member(column, "text"))));
	add_row(t, name, member(column, "from"), buf_str(&b));
	buf_fini(&b);
}

static void
add_identity(struct table *t, const char *who, struct json_object *id)
{
	struct buf b;

	buf_init(&b, LINE_MAX_BYTES);
	if (has(id, "dropped"))
		buf_printf(&b, "%s %.*s, dropped: %s", ops_text(id, "kind"),
		    STR_ARG(shown(member(id, "text"))), ops_text(id, "dropped"));
	else
		buf_printf(&b, "%s %.*s, %s", ops_text(id, "kind"),
		    STR_ARG(shown(member(id, "value"))),
		    json_object_get_boolean(member(id, "strong")) ? "strong" : "weak");
	if (!has(id, "dropped") && has(id, "text"))
		buf_printf(&b, " (was %.*s)", STR_ARG(shown(member(id, "text"))));
	add_row(t, who, member(id, "from"), buf_str(&b));
	buf_fini(&b);
}

/* The members of an object under "PREFIX.NAME". */
static void
add_fields(struct table *t, const char *prefix, struct json_object *fields)
{
	struct buf name;

	if (fields == NULL)
		return;
	buf_init(&name, LINE_MAX_BYTES);
	json_object_object_foreach(fields, key, value) {
		buf_clear(&name);
		buf_printf(&name, "%s.%s", prefix, key);
		buf_add(&name, "", 1);
		if (buf_ok(&name))
			add_row(t, name.p, member(value, "from"), shown(member(value, "value")));
	}
	buf_fini(&name);
}

static void
add_party(struct table *t, const char *who, struct json_object *party)
{
	size_t n;
	struct json_object *list = ops_list(party, "identities", &n);

	if (party == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		add_identity(t, who, json_object_array_get_idx(list, i));
	if (!json_object_get_boolean(member(party, "is_somebody")))
		add_row(t, who, NULL, STR("nobody: no identity is left"));
	add_fields(t, who, member(party, "profile"));
}

static void
print_fields(struct json_object *event)
{
	struct table *t = table_new(columns);
	struct json_object *all = member(event, "columns"), *key = member(event, "dedupe");
	size_t n;
	struct json_object *others = ops_list(event, "participants", &n);

	if (all != NULL) {
		json_object_object_foreach(all, name, value)
			add_column(t, name, value);
	}
	add_party(t, "customer", member(event, "customer"));
	for (size_t i = 0; i < n; i++) {
		struct json_object *one = json_object_array_get_idx(others, i);

		add_party(t, ops_text(one, "role"), one);
	}
	add_fields(t, "attributes", member(event, "attributes"));
	if (key != NULL)
		add_row(t, "dedupe key", member(key, "by"), shown(member(key, "key")));
	table_print(t);
	table_free(t);
}

/* A line in which a stranger's words may stand. */
static void
print_line(struct buf *line)
{
	struct buf safe;

	buf_init(&safe, 8 * LINE_MAX_BYTES);
	terminal_put(&safe, buf_str(line), TERMINAL_ONE_LINE);
	(void)printf("%.*s\n", STR_ARG(buf_str(&safe)));
	buf_fini(&safe);
	buf_clear(line);
}

static void
print_event(struct json_object *event, size_t n)
{
	struct buf line;

	buf_init(&line, LINE_MAX_BYTES);
	if (n > 1)
		buf_printf(&line, "event %lld of %zu: ",
		    (long long)ops_number(event, "index") + 1, n);
	buf_printf(&line, "would be %s", ops_text(event, "fate"));
	if (has(event, "why"))
		buf_printf(&line, ": %s", ops_text(event, "why"));
	(void)puts("");
	print_line(&line);
	buf_fini(&line);
	print_fields(event);
}

/* ---- the whole ---- */

static void
put_sender(struct json_object *sender, struct buf *line)
{
	buf_printf(line, "sender: %s", ops_text(sender, "status"));
	if (has(sender, "failed"))
		buf_printf(line, " (%s), 401", ops_text(sender, "failed"));
	if (has(sender, "url"))
		buf_printf(line, "; the URL is %s", ops_text(sender, "url"));
}

static void
put_handshake(struct json_object *handshake, struct buf *line)
{
	const char *text = ops_text(handshake, "text");

	buf_printf(line, "a handshake: would be answered with %lld%s%s",
	    (long long)ops_number(handshake, "status"), text[0] != '\0' ? ": " : "", text);
	if (has(handshake, "fetches"))
		buf_printf(line, ", once %s has been fetched", ops_text(handshake, "fetches"));
}

static void
put_end(struct json_object *answer, struct buf *line)
{
	struct json_object *handshake = member(answer, "handshake");
	struct json_object *refused = member(answer, "refused");

	if (handshake != NULL)
		put_handshake(handshake, line);
	if (refused != NULL)
		buf_printf(line, "would be refused with %lld (%s): %s",
		    (long long)ops_number(refused, "status"), ops_text(refused, "check"),
		    ops_text(refused, "detail"));
}

static void
put_counts(struct json_object *events, size_t n, struct buf *line)
{
	const char *comma = "";

	buf_printf(line, "%zu events: ", n);
	for (size_t k = 0; trial_fate(k) != NULL; k++) {
		size_t found = 0;

		for (size_t i = 0; i < n; i++)
			found += strcmp(ops_text(json_object_array_get_idx(events, i), "fate"),
			    trial_fate(k)) == 0;
		if (found == 0)
			continue;
		buf_printf(line, "%s%zu would be %s", comma, found, trial_fate(k));
		comma = ", ";
	}
}

void
trial_print(struct json_object *answer)
{
	size_t n;
	struct json_object *events = ops_list(answer, "events", &n);
	struct buf line;

	buf_init(&line, LINE_MAX_BYTES);
	if (has(answer, "sender")) {
		put_sender(member(answer, "sender"), &line);
		print_line(&line);
	}
	for (size_t i = 0; i < n; i++)
		print_event(json_object_array_get_idx(events, i), n);
	put_end(answer, &line);
	if (events != NULL && n == 0)
		buf_text(&line, "there is no event in it");
	if (n > 1) {
		(void)puts("");
		put_counts(events, n, &line);
	}
	if (line.n > 0)
		print_line(&line);
	buf_fini(&line);
}
