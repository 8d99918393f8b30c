/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures that stand in the body: as members of a JSON object, or as fields of a form,
 * of either kind.
 *
 * JSON is not parsed here, only walked: who has not proven himself is to cost little.
 * Whether the whole is JSON is found later, by who reads it.
 */
#include "io/signature_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/encoding.h"

enum { BOUNDARY_MAX_BYTES = 70, BOUNDARY_BYTES = BOUNDARY_MAX_BYTES + 5 };

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
	const char *end = s.n > 1 ? memchr(s.p + 1, '"', s.n - 1) : NULL;
	size_t n = end != NULL ? (size_t)(end - s.p) : 0;

	if (n == 0 || memchr(s.p, '\\', n) == NULL)
		return end != NULL ? n + 1 : 0;
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

/* ---- multipart ---- */

/* The boundary with the hyphens before it, and its type is multipart/form-data (RFC 7578;
 * RFC 2046 5.1.1). */
static bool
read_boundary(struct str type, char out[BOUNDARY_BYTES], struct str *ret)
{
	static const struct str key = STR("boundary=");
	struct str value = STR_NONE;
	int n;

	if (!str_eq_nocase(str_trim(str_cut(&type, ';')), STR("multipart/form-data")))
		return false;
	while (value.p == NULL && type.n > 0) {
		struct str param = str_trim(str_cut(&type, ';'));

		if (param.n > key.n && str_eq_nocase((struct str){ param.p, key.n }, key))
			value = str_skip(param, key.n);
	}
	if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
		value = (struct str){ value.p + 1, value.n - 2 };
	if (value.n == 0 || value.n > BOUNDARY_MAX_BYTES)
		return false;
	n = snprintf(out, BOUNDARY_BYTES, "\r\n--%.*s", STR_ARG(value));
	*ret = (struct str){ out, (size_t)n };
	return true;
}

/* Takes what stands before the mark off the head of s; false: the mark is not there. */
static bool
cut_at(struct str *s, struct str mark, struct str *ret_before)
{
	const char *at = s->n > 0 ? memmem(s->p, s->n, mark.p, mark.n) : NULL;

	if (at == NULL)
		return false;
	*ret_before = (struct str){ s->p, (size_t)(at - s->p) };
	*s = str_skip(*s, ret_before->n + mark.n);
	return true;
}

/* The first part that is named so. */
static bool
part_named(struct str body, struct str mark, struct str name, struct str *ret)
{
	struct str part, head;
	char wanted[64];
	int n = snprintf(wanted, sizeof(wanted), " name=\"%.*s\"", STR_ARG(name));

	/* The first boundary may be the body's first line. */
	if (!str_starts(body, str_skip(mark, 2)) && !cut_at(&body, mark, &part))
		return false;
	while (cut_at(&body, mark, &part)) {
		if (!cut_at(&part, STR("\r\n\r\n"), &head) ||
		    memmem(head.p, head.n, wanted, (size_t)n) == NULL)
			continue;
		*ret = part;
		return true;
	}
	return false;
}

/* ---- any of them ---- */

enum body_kind { BODY_IS_JSON, BODY_IS_FORM, BODY_IS_MULTIPART };

static enum body_kind
kind_of(const struct attempt *a, char room[BOUNDARY_BYTES], struct str *ret_mark)
{
	struct str type = http_message_header(a->r->m, STR("Content-Type"));

	return is_form_type(type) ? BODY_IS_FORM :
	    read_boundary(type, room, ret_mark) ? BODY_IS_MULTIPART : BODY_IS_JSON;
}

const char *
body_fields(struct attempt *a, struct str *ret_signature)
{
	static const struct { struct str name; const char *missing; } fields[] = {
		{ STR("signature"), "signature_missing" },
		{ STR("timestamp"), "timestamp_missing" },
		{ STR("token"), "token_missing" },
	};
	struct str object = STR_NONE, mark = STR_NONE, *const out[] = { ret_signature, &a->timestamp,
	    &a->token };
	char room[BOUNDARY_BYTES];
	enum body_kind kind = kind_of(a, room, &mark);

	/* Its room is taken at once: what points into it must not move. */
	if (kind == BODY_IS_FORM && buf_space(&a->fields, a->r->body.n + 1) == NULL)
		return "memory";
	a->fields.n = 0;
	if (kind == BODY_IS_JSON && !body_member(a->r->body, fields[0].name, &object))
		return fields[0].missing;
	for (size_t i = 0; i < 3; i++)
		if (kind == BODY_IS_FORM ? !form_field(a, fields[i].name, out[i]) :
		    kind == BODY_IS_JSON ? !plain_member(object, fields[i].name, out[i]) :
		    !part_named(a->r->body, mark, fields[i].name, out[i]))
			return fields[i].missing;
	return NULL;
}
