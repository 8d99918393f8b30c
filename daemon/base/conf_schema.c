/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: the rows as a JSON Schema, with which editors complete and check a file.
 *
 * What stands in one file is judged: keys that are required at the top may come from an
 * included file, so they are asked for only where nothing is included. */
#include "base/conf.h"

#include "base/conf_internal.h"

static void schema_map(struct buf *out, const struct conf_key *common,
    const struct conf_key *own, const char *type);

static void
member(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, ",\"%s\":", name);
	buf_json(out, str_of(text));
}

/* A plain word of YAML stays one in JSON: true, 12; everything else is a string. */
static void
default_scalar(struct buf *out, const struct conf_key *row, struct str s)
{
	int64_t number;

	if (row->type == CONF_BOOL)
		buf_text(out, str_eq(s, STR("true")) || str_eq(s, STR("yes")) ? "true" : "false");
	else if ((row->type == CONF_INT || row->type == CONF_SIZE) &&
	    str_to_i64(s, INT64_MIN, INT64_MAX, &number))
		buf_printf(out, "%lld", (long long)number);
	else
		buf_json(out, s);
}

static void
default_list(struct buf *out, const struct conf_key *row, const struct conf_node *n)
{
	buf_text(out, "[");
	for (size_t i = 0; i < conf_count(n); i++) {
		buf_text(out, i > 0 ? "," : "");
		default_scalar(out, row, conf_text(conf_item(n, i)));
	}
	buf_text(out, "]");
}

static void
schema_default(struct buf *out, const struct conf_key *row)
{
	struct conf scratch = { .path = "" };
	const struct conf_node *n;

	if (row->def == NULL)
		return;
	n = conf_default_node(&scratch, row);
	buf_text(out, ",\"default\":");
	if (conf_is_list(n))
		default_list(out, row, n);
	else
		default_scalar(out, row, str_of(row->def));
	arena_fini(&scratch.arena);
}

static void
schema_range(struct buf *out, const struct conf_key *row)
{
	if (row->min == 0 && row->max == 0)
		return;
	buf_printf(out, ",\"minimum\":%lld", (long long)row->min);
	if (row->max >= row->min)
		buf_printf(out, ",\"maximum\":%lld", (long long)row->max);
}

static void
schema_bool(struct buf *out, const struct conf_key *row)
{
	(void)row;
	/* In YAML 1.2 yes and no are strings. */
	buf_text(out, ",\"enum\":[true,false,\"true\",\"false\",\"yes\",\"no\"]");
}

static void
schema_int(struct buf *out, const struct conf_key *row)
{
	buf_text(out, ",\"type\":[\"integer\",\"string\"],\"pattern\":\"^[+-]?[0-9]+$\"");
	schema_range(out, row);
}

static void
schema_ms(struct buf *out, const struct conf_key *row)
{
	(void)row;
	buf_text(out, ",\"type\":\"string\"");
	member(out, "pattern", CONF_MS_PATTERN);
}

static void
schema_size(struct buf *out, const struct conf_key *row)
{
	buf_text(out, ",\"type\":[\"integer\",\"string\"]");
	member(out, "pattern", CONF_SIZE_PATTERN);
	if (row->min == 0 && row->max == 0)
		buf_text(out, ",\"minimum\":0");
	schema_range(out, row);
}

/* An unquoted number or truth value is a text as it stands. */
#define TEXT_TYPE	"\"type\":[\"string\",\"number\",\"boolean\"]"

static void
schema_text(struct buf *out, const struct conf_key *row)
{
	(void)row;
	buf_text(out, "," TEXT_TYPE);
}

static void
choices(struct buf *out, const struct conf_key *row)
{
	buf_text(out, "\"enum\":[");
	for (size_t i = 0; row->choices[i] != NULL; i++) {
		buf_text(out, i > 0 ? "," : "");
		buf_json(out, str_of(row->choices[i]));
	}
	buf_text(out, "]");
}

static void
schema_enum(struct buf *out, const struct conf_key *row)
{
	buf_text(out, ",");
	choices(out, row);
}

static void
one_or_list(struct buf *out, struct str one, const char *more)
{
	buf_printf(out, ",\"anyOf\":[{%.*s},{\"type\":\"array\",\"items\":{%.*s}%s}]",
	    STR_ARG(one), STR_ARG(one), more);
}

static void
schema_texts(struct buf *out, const struct conf_key *row)
{
	(void)row;
	one_or_list(out, STR(TEXT_TYPE), "");
}

static void
schema_flags(struct buf *out, const struct conf_key *row)
{
	struct buf one;

	buf_init(&one, out->max);
	choices(&one, row);
	one_or_list(out, buf_str(&one), "");
	buf_fini(&one);
}

static void
schema_secrets(struct buf *out, const struct conf_key *row)
{
	(void)row;
	one_or_list(out, STR("\"type\":\"string\",\"pattern\":\"" CONF_SECRET_PATTERN "\""),
	    ",\"minItems\":1");
}

static bool
has_required(const struct conf_key *keys)
{
	for (const struct conf_key *row = keys; row != NULL && row->name != NULL; row++)
		if (row->required)
			return true;
	return false;
}

static void
schema_block(struct buf *out, const struct conf_key *row)
{
	buf_text(out, ",");
	schema_map(out, row->keys, NULL, NULL);
}

/* One `then` for each type: what may stand in an entry depends on it. */
static void
schema_variants(struct buf *out, const struct conf_key *row)
{
	const struct conf_variant *v;

	buf_text(out, "\"type\":\"object\",\"required\":[\"type\"],\"properties\":{\"type\":"
	    "{\"enum\":[");
	for (size_t i = 0; (v = row->variant(i)) != NULL; i++) {
		buf_text(out, i > 0 ? "," : "");
		buf_json(out, str_of(v->name));
	}
	buf_text(out, "]}},\"allOf\":[");
	for (size_t i = 0; (v = row->variant(i)) != NULL; i++) {
		buf_text(out, i > 0 ? "," : "");
		buf_text(out, "{\"if\":{\"properties\":{\"type\":{\"const\":");
		buf_json(out, str_of(v->name));
		buf_text(out, "}},\"required\":[\"type\"]},\"then\":{");
		schema_map(out, row->keys, v->keys, v->name);
		buf_text(out, "}}");
	}
	buf_text(out, "]");
}

static void
schema_named(struct buf *out, const struct conf_key *row)
{
	buf_text(out, ",\"type\":[\"object\",\"null\"],\"propertyNames\":{\"pattern\":");
	buf_json(out, STR(CONF_NAME_PATTERN));
	buf_text(out, "},\"additionalProperties\":{");
	if (row->variant != NULL)
		schema_variants(out, row);
	else
		schema_map(out, row->keys, NULL, NULL);
	buf_text(out, "}");
}

static void
schema_tree(struct buf *out, const struct conf_key *row)
{
	(void)out;
	(void)row;
}

static void
schema_base(struct buf *out, const struct conf_key *row)
{
	(void)row;
	buf_text(out, ",\"type\":\"string\",\"minLength\":1");
}

static void (*const schema[])(struct buf *, const struct conf_key *) = {
	[CONF_BOOL] = schema_bool,
	[CONF_INT] = schema_int,
	[CONF_MS] = schema_ms,
	[CONF_SIZE] = schema_size,
	[CONF_TEXT] = schema_text,
	[CONF_ENUM] = schema_enum,
	[CONF_TEXTS] = schema_texts,
	[CONF_FLAGS] = schema_flags,
	[CONF_SECRETS] = schema_secrets,
	[CONF_BLOCK] = schema_block,
	[CONF_NAMED] = schema_named,
	[CONF_TREE] = schema_tree,
	[CONF_BASE] = schema_base,
};

static void
schema_row(struct buf *out, const struct conf_key *row)
{
	struct buf help;

	buf_init(&help, 16384);
	buf_text(&help, row->help != NULL ? row->help : "");
	/* A schema cannot compare durations: the range is for the reader. */
	if ((row->type == CONF_MS || row->type == CONF_SIZE) && (row->min != 0 || row->max != 0)) {
		buf_text(&help, " Range: ");
		conf_range_text(&help, row);
		buf_text(&help, ".");
	}
	buf_json(out, str_of(row->name));
	buf_text(out, ":{\"description\":");
	buf_json(out, buf_str(&help));
	schema_default(out, row);
	schema[row->type](out, row);
	buf_text(out, "}");
	buf_fini(&help);
}

static const char *
schema_rows(struct buf *out, const struct conf_key *keys, const char *comma)
{
	for (const struct conf_key *row = keys; row != NULL && row->name != NULL; row++) {
		buf_text(out, comma);
		schema_row(out, row);
		comma = ",";
	}
	return comma;
}

static const char *
required_names(struct buf *out, const struct conf_key *keys, const char *comma)
{
	for (const struct conf_key *row = keys; row != NULL && row->name != NULL; row++)
		if (row->required) {
			buf_text(out, comma);
			buf_json(out, str_of(row->name));
			comma = ",";
		}
	return comma;
}

/* What is required may stand in the file that an entry builds on instead. */
static void
schema_required(struct buf *out, const struct conf_key *common, const struct conf_key *own)
{
	const struct conf_key *base = conf_base_row(common);
	const char *comma;

	if (base == NULL)
		base = conf_base_row(own);
	buf_text(out, base != NULL ? ",\"anyOf\":[{\"required\":[" : ",\"required\":[");
	comma = required_names(out, common, "");
	(void)required_names(out, own, comma);
	buf_text(out, "]");
	if (base != NULL) {
		buf_text(out, "},{\"required\":[");
		buf_json(out, str_of(base->name));
		buf_text(out, "]}]");
	}
}

/* The members of a schema of one map; `type` is a key of its own when not NULL. */
static void
schema_map(struct buf *out, const struct conf_key *common, const struct conf_key *own,
    const char *type)
{
	bool may_be_null = type == NULL && !has_required(common);
	const char *comma = "";

	buf_printf(out, "\"type\":%s,\"properties\":{",
	    may_be_null ? "[\"object\",\"null\"]" : "\"object\"");
	if (type != NULL) {
		buf_text(out, "\"type\":true");
		comma = ",";
	}
	comma = schema_rows(out, common, comma);
	(void)schema_rows(out, own, comma);
	buf_text(out, "},\"additionalProperties\":false");
	schema_required(out, common, own);
}

void
conf_schema(const struct conf_key *keys, struct buf *out)
{
	buf_text(out, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
	    "\"title\":\"touchlog.yaml\",");
	buf_printf(out, "\"type\":%s,\"properties\":{",
	    has_required(keys) ? "\"object\"" : "[\"object\",\"null\"]");
	buf_text(out, "\"include\":{\"description\":\"Further files, as glob patterns relative to "
	    "this one. Their maps are merged with this file's.\"");
	one_or_list(out, STR("\"type\":\"string\",\"minLength\":1"), "");
	buf_text(out, "}");
	(void)schema_rows(out, keys, ",");
	buf_text(out, "},\"additionalProperties\":false");
	if (has_required(keys)) {
		buf_text(out, ",\"anyOf\":[{\"required\":[\"include\"]},"
		    "{\"required\":[");
		(void)required_names(out, keys, "");
		buf_text(out, "]}]");
	}
	buf_text(out, "}\n");
}
