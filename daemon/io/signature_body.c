/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures that stand in the body: as members of a JSON object, or as fields of a form.
 *
 * JSON is not parsed here, only walked: who has not proven himself is to cost little.
 * Whether the whole is JSON is found later, by who reads it.
 */
#include "io/signature_internal.h"

#include <string.h>

#include "base/encoding.h"

/* ---- JSON ---- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
skip_blanks(struct str *s)
{
	while (s->n > 0 && is_blank(s->p[0]))
		*s = str_skip(*s, 1);
}

/* Bytes of the string at the head of s, with its quotes; 0: it does not end. */
static size_t
string_length(struct str s)
{
	for (size_t i = 1; i < s.n; i++)
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return i + 1;
	return 0;
}

/* Of any value: up to the comma or bracket that ends it. */
static size_t
value_length(struct str s)
{
	size_t depth = 0, i = 0;

	while (i < s.n) {
		char c = s.p[i];
		size_t len = c == '"' ? string_length(str_skip(s, i)) : 1;

		if (len == 0)
			return 0;
		if (depth == 0 && (c == ',' || c == '}' || c == ']'))
			break;
		depth += c == '{' || c == '[';
		depth -= depth > 0 && (c == '}' || c == ']');
		i += len;
	}
	return i;
}

/* Takes `"name": value` off the head of s, the name without its quotes. */
static bool
next_member(struct str *s, struct str *ret_name, struct str *ret_value)
{
	size_t n;

	skip_blanks(s);
	if (s->n == 0 || s->p[0] != '"' || (n = string_length(*s)) == 0)
		return false;
	*ret_name = (struct str){ s->p + 1, n - 2 };
	*s = str_skip(*s, n);
	skip_blanks(s);
	if (s->n == 0 || s->p[0] != ':')
		return false;
	*s = str_skip(*s, 1);
	n = value_length(*s);
	if (n == 0)
		return false;
	*ret_value = str_trim((struct str){ s->p, n });
	*s = str_skip(*s, n);
	return true;
}

bool
body_member(struct str object, struct str name, struct str *ret_value)
{
	struct str key, value, found = STR_NONE;

	skip_blanks(&object);
	if (object.n == 0 || object.p[0] != '{')
		return false;
	do {
		object = str_skip(object, 1);
		if (!next_member(&object, &key, &value))
			return false;
		if (!str_eq(key, name))
			continue;
		if (found.p != NULL)
			return false;
		found = value;
	} while (object.n > 0 && object.p[0] == ',');
	if (found.p == NULL || object.n == 0 || object.p[0] != '}' ||
	    str_trim(str_skip(object, 1)).n > 0)
		return false;
	*ret_value = found;
	return true;
}

/* A string without escapes, or a number: none of the three needs more. */
static bool
plain_member(struct str object, struct str name, struct str *ret)
{
	struct str value;

	if (!body_member(object, name, &value) || value.n == 0)
		return false;
	if (value.p[0] == '"' && value.n >= 2)
		value = (struct str){ value.p + 1, value.n - 2 };
	else if (value.p[0] < '0' || value.p[0] > '9')
		return false;
	*ret = value;
	return memchr(value.p, '\\', value.n) == NULL;
}

/* ---- forms ---- */

static bool
form_field(struct attempt *a, struct str name, struct str *ret)
{
	struct str rest = a->r->body, key, value;
	size_t from = a->fields.n;

	while (urlencoded_next(&rest, &key, &value)) {
		if (!str_eq(key, name))
			continue;
		if (!percent_decode(value, true, &a->fields))
			return false;
		*ret = (struct str){ a->fields.p + from, a->fields.n - from };
		return true;
	}
	return false;
}

/* ---- either ---- */

const char *
body_fields(struct attempt *a, struct str *ret_signature)
{
	bool is_form = is_form_type(http_message_header(a->r->m, STR("Content-Type")));
	struct str object = STR_NONE, *const out[] = { ret_signature, &a->timestamp, &a->token };
	static const struct { struct str name; const char *missing; } fields[] = {
		{ STR("signature"), "signature_missing" },
		{ STR("timestamp"), "timestamp_missing" },
		{ STR("token"), "token_missing" },
	};

	/* Its room is taken at once: what points into it must not move. */
	if (is_form && buf_space(&a->fields, a->r->body.n + 1) == NULL)
		return "memory";
	a->fields.n = 0;
	if (!is_form && !body_member(a->r->body, fields[0].name, &object))
		return fields[0].missing;
	for (size_t i = 0; i < 3; i++)
		if (is_form ? !form_field(a, fields[i].name, out[i]) :
		    !plain_member(object, fields[i].name, out[i]))
			return fields[i].missing;
	return NULL;
}
