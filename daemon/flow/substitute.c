/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values in templates: {subject}, {customer.name|there}.
 *
 * A template is cut into pieces, each literal text or a value.  The first name of a value's path
 * is a member of the payload (rule, interaction, customer, …), else a column of the interaction;
 * what follows are members, or numbers of a list's items from 0.
 */
#include "flow/action.h"

#include "base/buf.h"
#include "base/encoding.h"
#include "base/json.h"

struct piece {
	struct str	 literal;	/* .n 0: it is a value */
	struct str	 path;
	struct str	 other;		/* what stands for a value that is not there */
};

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '_' || c == '-';
}

/* Names, with a full stop between each two. */
static bool
is_path(struct str path)
{
	struct str rest = path;

	if (path.n == 0 || path.p[path.n - 1] == '.')
		return false;
	while (rest.n > 0) {
		struct str name = str_cut(&rest, '.');

		if (name.n == 0)
			return false;
		for (size_t i = 0; i < name.n; i++)
			if (!is_name_char(name.p[i]))
				return false;
	}
	return true;
}

/* rest begins with a brace that is not doubled. */
static const char *
cut_value(struct str *rest, struct piece *ret)
{
	const char *end = memchr(rest->p, '}', rest->n);
	struct str inside;

	if (rest->p[0] == '}')
		return "this brace closes nothing: write }} for a brace";
	if (end == NULL)
		return "this brace is not closed: write {{ for a brace";
	inside = (struct str){ rest->p + 1, (size_t)(end - rest->p) - 1 };
	*rest = str_skip(*rest, inside.n + 2);
	*ret = (struct piece){ .path = str_cut(&inside, '|'), .other = inside };
	if (!is_path(ret->path) || (ret->other.n > 0 && memchr(ret->other.p, '{', ret->other.n)))
		return "this is no name such as {subject} or {customer.name|there}: "
		    "write {{ for a brace";
	return NULL;
}

/* Cuts the next piece off the front of what is left, which is not empty.  Not NULL: what is
 * wrong at the place where rest was. */
static const char *
next_piece(struct str *rest, struct piece *ret)
{
	struct str text = *rest;
	size_t n = 0;

	while (n < text.n && text.p[n] != '{' && text.p[n] != '}')
		n++;
	if (n == 0 && text.n > 1 && text.p[0] == text.p[1]) {
		*ret = (struct piece){ .literal = { text.p, 1 } };
		*rest = str_skip(text, 2);
		return NULL;
	}
	if (n == 0)
		return cut_value(rest, ret);
	*ret = (struct piece){ .literal = { text.p, n } };
	*rest = str_skip(text, n);
	return NULL;
}

/* at: how much of the text is left where the fault is. */
static bool
broken(struct str text, size_t left, const char *why, struct err *err)
{
	size_t line = 1;
	size_t column = 1;

	for (size_t i = 0; i < text.n - left; i++) {
		column++;
		if (text.p[i] == '\n') {
			line++;
			column = 1;
		}
	}
	if (memchr(text.p, '\n', text.n) == NULL)
		return err_set(err, ERR_INPUT, "column %zu: %s", column, why);
	return err_set(err, ERR_INPUT, "line %zu, column %zu: %s", line, column, why);
}

/* ---- the value ---- */

/* false: there is no member of that name, or item of that number.  Borrowed. */
static bool
find_member(struct json_object *o, struct str name, struct json_object **ret)
{
	char key[128];
	int64_t at;

	*ret = NULL;
	if (json_object_is_type(o, json_type_array)) {
		if (str_to_i64(name, 0, INT32_MAX, &at))
			*ret = json_object_array_get_idx(o, (size_t)at);
		return *ret != NULL;
	}
	if (!json_object_is_type(o, json_type_object) || name.n >= sizeof(key))
		return false;
	memcpy(key, name.p, name.n);
	key[name.n] = '\0';
	return json_object_object_get_ex(o, key, ret);
}

static struct json_object *
value_of(struct json_object *payload, struct str path)
{
	struct str rest = path;
	struct str name = str_cut(&rest, '.');
	struct json_object *o;

	if (!find_member(payload, name, &o)) {
		(void)find_member(payload, STR("interaction"), &o);
		(void)find_member(o, name, &o);
	}
	while (rest.n > 0 && o != NULL) {
		name = str_cut(&rest, '.');
		(void)find_member(o, name, &o);
	}
	return o;
}

/* A header is one line, whatever stood in the value. */
static void
add_header(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		buf_add(out, c < 0x20 || c == 0x7f ? " " : s.p + i, 1);
	}
}

/* What stands between the quotes of a string. */
static void
add_json(struct buf *out, struct str s)
{
	size_t before = out->n;

	buf_json(out, s);
	if (!buf_ok(out))
		return;
	memmove(out->p + before, out->p + before + 1, out->n - before - 2);
	out->n -= 2;
}

static void
add_escaped(struct buf *out, struct str s, enum action_escape how)
{
	switch (how) {
	case ESCAPE_NONE:
		buf_str_add(out, s);
		break;
	case ESCAPE_JSON:
		add_json(out, s);
		break;
	case ESCAPE_URL:
		percent_encode(out, s, "-._~");
		break;
	case ESCAPE_HTML:
		html_escape(out, s);
		break;
	case ESCAPE_HEADER:
		add_header(out, s);
		break;
	}
}

/* Lists and maps as their JSON.  What stands for a missing value is the template's own text. */
static void
add_value(struct buf *out, struct json_object *o, struct str other, enum action_escape how)
{
	struct str text;
	struct buf json;

	if (json_text(o, &text)) {
		if (text.n > 0)
			add_escaped(out, text, how);
		else
			add_escaped(out, other, how == ESCAPE_HEADER ? how : ESCAPE_NONE);
		return;
	}
	buf_init(&json, out->max);
	json_write(&json, o, NULL);
	add_escaped(out, buf_str(&json), how);
	if (!buf_ok(&json))
		out->is_over = true;
	buf_fini(&json);
}

/* ---- public ---- */

bool
action_substitute(struct str text, struct json_object *payload, enum action_escape how,
    struct buf *ret, struct err *err)
{
	struct str rest = text;
	struct piece piece;

	while (rest.n > 0) {
		size_t left = rest.n;
		const char *why = next_piece(&rest, &piece);

		if (why != NULL)
			return broken(text, left, why, err);
		if (piece.literal.n > 0)
			buf_str_add(ret, piece.literal);
		else
			add_value(ret, value_of(payload, piece.path), piece.other, how);
	}
	return buf_ok(ret) || err_set(err, ERR_RETRY, "out of memory, or more than %zu bytes",
	    ret->max);
}

bool
action_template_check(struct str text, struct err *err)
{
	struct str rest = text;
	struct piece piece;

	while (rest.n > 0) {
		size_t left = rest.n;
		const char *why = next_piece(&rest, &piece);

		if (why != NULL)
			return broken(text, left, why, err);
	}
	return true;
}
