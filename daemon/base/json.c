/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that strangers sent: parsing it, walking its items, finding values in it.
 *
 * json-c is lenient and forgetful where we may not be: it takes raw control characters,
 * NaN and "1.", makes U+FFFD of lone surrogates and one number of all integers beyond
 * 64 bits.  json_scan.c has looked for all of that before anything is made of it, and
 * json_build.c makes json-c's objects of it.  json-c's own parser is only asked what is
 * wrong where that finds no sense in it. */
#include "base/json.h"

#include <limits.h>

#include <json-c/json.h>

#include "base/buf.h"
#include "base/json_internal.h"

enum { KEPT_MAX_BYTES = 1 << 20 };

/* Kept for the next document that is wrong.  The loop's thread alone parses. */
static struct json_tokener *tokener;

static struct json_tokener *
ready_tokener(void)
{
	if (tokener == NULL) {
		/* The scan has checked UTF-8 and depth already. */
		tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 2);
		if (tokener != NULL)
			json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	} else {
		json_tokener_reset(tokener);
	}
	return tokener;
}

/* The tokener's buffer is as long as the longest string it saw. */
static void
forget_large_buffer(struct str doc)
{
	if (doc.n <= KEPT_MAX_BYTES || tokener == NULL)
		return;
	json_tokener_free(tokener);
	tokener = NULL;
}

/* JSON's own white space, which is less than str_trim()'s. */
static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static struct str
trim(struct str s)
{
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* One pass of json-c over the whole of doc. */
static enum json_tokener_error
tokenise(struct json_tokener *t, struct str doc, struct json_object **ret, size_t *ret_at)
{
	struct json_object *o = json_tokener_parse_ex(t, doc.p, (int)doc.n);
	enum json_tokener_error error = json_tokener_get_error(t);

	*ret_at = json_tokener_get_parse_end(t);
	if (error == json_tokener_continue) {
		/* A lone number or word may go on; a NUL says that it does not. */
		*ret_at = doc.n;
		o = json_tokener_parse_ex(t, "", 1);
		error = json_tokener_get_error(t);
	} else if (error == json_tokener_success && *ret_at < doc.n) {
		json_object_put(o);
		return json_tokener_error_parse_unexpected;
	}
	if (error == json_tokener_success)
		*ret = o;
	return error;
}

static bool
fail(struct json_scan *scan, enum json_fault fault, size_t at)
{
	scan->fault = fault;
	scan->at = at;
	return false;
}

static bool
parse_bytes(struct str doc, struct str original, struct json_scan *scan,
    struct json_object **ret, struct err *err)
{
	enum json_tokener_error error;
	struct json_tokener *t;
	struct json_object *o;
	size_t at;

	if (json_build(doc, ret))
		return true;
	t = ready_tokener();
	if (t == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	error = tokenise(t, doc, ret, &at);
	if (error == json_tokener_success) {
		forget_large_buffer(doc);
		return true;
	}
	/* Quoted numbers have moved what stands behind them: without the quotes the
	 * error is the same, and its offset the sender's. */
	if (doc.p != original.p) {
		json_tokener_reset(t);
		if (tokenise(t, original, &o, &at) == json_tokener_success)
			json_object_put(o);
	}
	forget_large_buffer(doc);
	(void)err_set(err, ERR_INPUT, "not JSON: %s at byte %zu", json_tokener_error_desc(error),
	    at);
	return fail(scan, JSON_BROKEN, at);
}

bool
json_parse_scanned(struct str doc, struct json_scan *scan, size_t max_depth,
    struct json_object **ret, struct err *err)
{
	struct buf quoted;
	bool is_good;

	if (max_depth > JSON_DEPTH_MAX)
		max_depth = JSON_DEPTH_MAX;
	if (scan->depth > max_depth) {
		(void)err_set(err, ERR_INPUT, "nested %zu deep, allowed is %zu", scan->depth,
		    max_depth);
		return fail(scan, JSON_DEEP, 0);
	}
	doc = trim(doc);
	if (doc.n >= INT_MAX / 2) {
		(void)err_set(err, ERR_INPUT, "larger than 1 GiB");
		return fail(scan, JSON_UNFIT, 0);
	}
	if (!scan->has_wide)
		return parse_bytes(doc, doc, scan, ret, err);
	/* At worst "[1e999,1e999,...": two bytes more for each six. */
	buf_init(&quoted, 2 * doc.n + 2);
	json_quote_wide(doc, &quoted);
	is_good = buf_ok(&quoted) ? parse_bytes(buf_str(&quoted), doc, scan, ret, err) :
	    err_set(err, ERR_RETRY, "out of memory");
	buf_fini(&quoted);
	return is_good;
}

bool
json_parse(struct str doc, size_t max_depth, struct json_object **ret, struct err *err)
{
	struct json_scan scan;

	return json_scan(doc, &scan, err) && json_parse_scanned(doc, &scan, max_depth, ret, err);
}

/* ---- items of an array ---- */

static size_t
space_end(struct str doc, size_t at)
{
	while (at < doc.n && is_space(doc.p[at]))
		at++;
	return at;
}

bool
json_items_begin(struct json_items *it, struct str doc)
{
	*it = (struct json_items){ .doc = doc };
	it->at = space_end(doc, 0);
	if (it->at == doc.n || doc.p[it->at] != '[')
		return false;
	it->at++;
	return true;
}

/* Behind the value that starts at `at`, which may be anything. */
static size_t
value_end(struct str doc, size_t at)
{
	size_t depth = 0;

	for (; at < doc.n; at++) {
		char c = doc.p[at];

		if (c == '"') {
			at = json_string_end(doc, at + 1);
			if (at == doc.n)
				break;
		} else if (c == '[' || c == '{') {
			depth++;
		} else if (c == ']' || c == '}') {
			if (depth == 0)
				return at;
			depth--;
		} else if (depth == 0 && (c == ',' || is_space(c))) {
			return at;
		}
	}
	return at;
}

static enum json_step
broken(const char *what, size_t at, struct err *err)
{
	(void)err_set(err, ERR_INPUT, "not JSON: %s at byte %zu", what, at);
	return JSON_ERROR;
}

static enum json_step
end_of_array(const struct json_items *it, struct err *err)
{
	size_t at = space_end(it->doc, it->at + 1);

	return at == it->doc.n ? JSON_END : broken("something behind the array", at, err);
}

/* it->at moves only when an item was found: after an error the next call says the same. */
enum json_step
json_items_next(struct json_items *it, struct str *ret, struct err *err)
{
	size_t at, end;

	it->at = at = space_end(it->doc, it->at);
	if (at < it->doc.n && it->doc.p[at] == ']')
		return end_of_array(it, err);
	if (it->n > 0) {
		if (at == it->doc.n || it->doc.p[at] != ',')
			return broken("a comma or ] is missing", at, err);
		at = space_end(it->doc, at + 1);
	}
	end = value_end(it->doc, at);
	if (end == it->doc.n)
		return broken("the array does not end", end, err);
	if (end == at)
		return broken("a value is missing", at, err);
	*ret = (struct str){ it->doc.p + at, end - at };
	it->at = end;
	it->n++;
	return JSON_ITEM;
}

/* ---- pointers ---- */

static bool
parse_index(struct str s, size_t *ret_index)
{
	int64_t value;

	if (s.n == 0 || s.p[0] < '0' || s.p[0] > '9' || (s.p[0] == '0' && s.n > 1) ||
	    !str_to_i64(s, 0, INT64_MAX, &value))
		return false;
	*ret_index = (size_t)value;
	return true;
}

/* ~1 is a slash and ~0 a tilde; done in place, since it only grows shorter. */
static bool
unescape(char *name)
{
	char *to = name;

	for (const char *from = name; *from != '\0'; from++) {
		if (*from == '~') {
			from++;
			if (*from != '0' && *from != '1')
				return false;
			*to++ = *from == '0' ? '~' : '/';
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return true;
}

/* "name=text" */
static bool
read_filter(struct arena *a, const char *name, struct json_pointer_step *step)
{
	const char *at = strchr(name, '=');

	if (at == NULL || at == name)
		return true;
	step->member = arena_text(a, (struct str){ name, (size_t)(at - name) });
	step->wanted = str_of(at + 1);
	if (step->member == NULL)
		return false;
	for (char *p = step->member; *p != '\0'; p++)
		if (*p == '/') {
			*p = '\0';
			step->nmore++;
		}
	return true;
}

bool
json_pointer_compile(struct arena *a, struct str text, struct json_pointer *ret, struct err *err)
{
	struct json_pointer p = { .n = 0 };
	size_t room = 0, size;

	if (text.n > 0 && text.p[0] != '/')
		return err_set(err, ERR_CONFIG, "a JSON Pointer starts with a slash, e.g. /a/b");
	if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL)
		return err_set(err, ERR_CONFIG, "a JSON Pointer holds no NUL");
	for (size_t i = 0; i < text.n; i++)
		room += text.p[i] == '/';
	p.v = size_mul(room + 1, sizeof(*p.v), &size) ? arena_alloc(a, size) : NULL;
	if (p.v == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	text = text.n > 0 ? str_skip(text, 1) : text;
	while (p.n < room) {
		struct str piece = str_cut(&text, '/');
		struct json_pointer_step *step = &p.v[p.n++];
		char *name = arena_text(a, piece);

		if (name == NULL)
			return err_set(err, ERR_RETRY, "out of memory");
		if (!unescape(name))
			return err_set(err, ERR_CONFIG,
			    "in a JSON Pointer ~ is written ~0 and a slash in a name ~1");
		step->name = name;
		step->is_index = parse_index(piece, &step->index);
		step->is_any = str_eq(piece, STR("*"));
		if (!read_filter(a, name, step))
			return err_set(err, ERR_RETRY, "out of memory");
	}
	*ret = p;
	return true;
}

/* ---- scalars ---- */

bool
json_text(struct json_object *o, struct str *ret)
{
	size_t n;

	switch (json_object_get_type(o)) {
	case json_type_null:
		*ret = STR_NONE;
		return true;
	case json_type_object:
	case json_type_array:
		return false;
	case json_type_string:
		*ret = (struct str){ json_object_get_string(o),
		    (size_t)json_object_get_string_len(o) };
		return true;
	case json_type_boolean:
		*ret = json_object_get_boolean(o) ? STR("true") : STR("false");
		return true;
	default:
		/* json-c keeps the source text of what it reads as a double. */
		ret->p = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &n);
		ret->n = n;
		return ret->p != NULL;
	}
}

/* ---- looking up ---- */

static bool
is_wanted(const struct json_pointer_step *step, struct json_object *item)
{
	const char *name = step->member;
	struct str text;

	if (step->is_any)
		return true;
	for (size_t i = 0; i <= step->nmore; i++, name += strlen(name) + 1)
		if (!json_object_is_type(item, json_type_object) ||
		    !json_object_object_get_ex(item, name, &item))
			return false;
	return json_text(item, &text) && str_eq(text, step->wanted);
}

bool
json_pointer_each(const struct json_pointer *p, struct json_object *root,
    bool (*visit)(void *arg, struct json_object *o), void *arg)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct json_pointer_step *step = &p->v[i];
		const struct json_pointer rest = { p->v + i + 1, p->n - i - 1 };
		bool is_list = json_object_is_type(root, json_type_array);
		size_t n = is_list ? json_object_array_length(root) : 0;

		if (json_object_is_type(root, json_type_object)) {
			if (!json_object_object_get_ex(root, step->name, &root))
				return false;
		} else if (step->is_index && step->index < n) {
			root = json_object_array_get_idx(root, step->index);
		} else if (step->is_any || step->member != NULL) {
			for (size_t k = 0; k < n && k < JSON_POINTER_MAX_ITEMS; k++) {
				struct json_object *item = json_object_array_get_idx(root, k);

				if (is_wanted(step, item) &&
				    json_pointer_each(&rest, item, visit, arg))
					return true;
			}
			return false;
		} else {
			return false;
		}
	}
	return visit(arg, root);
}

static bool
take_first(void *arg, struct json_object *o)
{
	*(struct json_object **)arg = o;
	return true;
}

struct json_object *
json_pointer_find(const struct json_pointer *p, struct json_object *root, bool *ret_found)
{
	struct json_object *found = NULL;

	*ret_found = json_pointer_each(p, root, take_first, &found);
	return found;
}
