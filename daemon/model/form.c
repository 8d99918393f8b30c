/* SPDX-License-Identifier: Apache-2.0 */
/* Forms -> a JSON document. */
#include "model/form.h"

#include "base/buf.h"
#include "base/encoding.h"
#include "model/form_internal.h"

enum { VALUE_MAX_BYTES = 256 * 1024 * 1024 };

/* ---- the tree ---- */

enum form_fate
form_fail(enum form_fate fate, struct err *err, const char *text)
{
	(void)err_set(err, fate == FORM_NO_MEMORY ? ERR_RETRY : ERR_INPUT, "%s", text);
	return fate;
}

static enum form_fate
no_memory(struct err *err)
{
	return form_fail(FORM_NO_MEMORY, err, "out of memory");
}

/* a[b][] -> "a", "b", "".  false: brackets do not pair, or there are too many. */
static bool
cut_name(struct str name, struct form_name *ret)
{
	struct str rest = name;

	ret->n = 1;
	ret->part[0] = (struct str){ name.p, 0 };
	while (ret->part[0].n < name.n && name.p[ret->part[0].n] != '[')
		ret->part[0].n++;
	rest = str_skip(name, ret->part[0].n);
	if (ret->part[0].n == 0)
		return false;
	while (rest.n > 0) {
		if (rest.p[0] != '[' || memchr(rest.p, ']', rest.n) == NULL ||
		    ret->n == FORM_MAX_DEPTH)
			return false;
		rest = str_skip(rest, 1);
		ret->part[ret->n++] = str_cut(&rest, ']');
	}
	return true;
}

/* The member of that name, NULL when there is none. */
static struct json_object *
member(struct json_object *o, struct str name, char key[FORM_NAME_MAX_BYTES + 1])
{
	struct json_object *found = NULL;

	memcpy(key, name.p, name.n);
	key[name.n] = '\0';
	(void)json_object_object_get_ex(o, key, &found);
	return found;
}

/* json-c takes the value over when it succeeds, and only then. */
static bool
add(struct json_object *to, const char *key, struct json_object *take_o)
{
	int rc = key != NULL ? json_object_object_add(to, key, take_o) :
	    json_object_array_add(to, take_o);

	if (rc != 0)
		json_object_put(take_o);
	return rc == 0;
}

/* A second value of one name makes a list of both. */
static bool
make_list(struct json_object *o, const char *key, struct json_object *first)
{
	struct json_object *list = json_object_new_array();

	if (list == NULL)
		return false;
	if (add(list, NULL, json_object_get(first)))
		return add(o, key, list);
	json_object_put(list);
	return false;
}

static bool
is_index(const struct form_name *name, size_t i)
{
	return i > 0 && name->part[i].n == 0;
}

/* Whether the name goes with what is there: looked at first, so that nothing is made in
 * vain. */
static bool
goes(struct json_object *at, const struct form_name *name)
{
	char key[FORM_NAME_MAX_BYTES + 1];

	for (size_t i = 0; i < name->n; i++) {
		bool is_last = i + 1 == name->n;

		if (!json_object_is_type(at, is_index(name, i) ? json_type_array :
		    json_type_object))
			return false;
		if (is_index(name, i))
			return true;		/* a new item: nothing is there yet */
		at = member(at, name->part[i], key);
		if (at == NULL)
			return true;
		if (is_last)
			return !json_object_is_type(at, json_type_object);
	}
	return true;
}

static enum form_fate
put(struct json_object *at, const struct form_name *name, struct json_object *take_value,
    struct err *err)
{
	char key[FORM_NAME_MAX_BYTES + 1];
	struct json_object *next = NULL;

	for (size_t i = 0; i + 1 < name->n; i++, at = next) {
		bool has_key = !is_index(name, i);

		next = has_key ? member(at, name->part[i], key) : NULL;
		if (next != NULL)
			continue;
		next = is_index(name, i + 1) ? json_object_new_array() :
		    json_object_new_object();
		if (next == NULL || !add(at, has_key ? key : NULL, next)) {
			json_object_put(take_value);
			return no_memory(err);
		}
	}
	if (is_index(name, name->n - 1))
		return add(at, NULL, take_value) ? FORM_READ : no_memory(err);
	next = member(at, name->part[name->n - 1], key);
	if (next == NULL)
		return add(at, key, take_value) ? FORM_READ : no_memory(err);
	if (!json_object_is_type(next, json_type_array) && !make_list(at, key, next)) {
		json_object_put(take_value);
		return no_memory(err);
	}
	return add(member(at, name->part[name->n - 1], key), NULL, take_value) ? FORM_READ :
	    no_memory(err);
}

enum form_fate
form_put(struct json_object *form, size_t *nfields, struct str text,
    struct json_object *take_value, struct err *err)
{
	struct form_name name;
	enum form_fate fate = FORM_READ;

	if (take_value == NULL)
		return no_memory(err);
	if (++*nfields > FORM_MAX_FIELDS)
		fate = form_fail(FORM_TOO_LARGE, err, "more than 1000 fields in a form");
	else if (text.n > FORM_NAME_MAX_BYTES)
		fate = form_fail(FORM_TOO_LARGE, err, "a field's name is longer than 1024 bytes");
	else if (!form_is_text(text))
		fate = form_fail(FORM_BROKEN, err, "a field's name is no UTF-8 text");
	if (fate != FORM_READ) {
		json_object_put(take_value);
		return fate;
	}
	if (!cut_name(text, &name) || !goes(form, &name))
		name = (struct form_name){ .part = { text }, .n = 1 };
	return put(form, &name, take_value, err);
}

bool
form_is_text(struct str s)
{
	size_t at;

	return str_is_utf8(s, &at) && (s.n == 0 || memchr(s.p, '\0', s.n) == NULL);
}

struct json_object *
form_text(struct str s)
{
	return json_object_new_string_len(s.n > 0 ? s.p : "", (int)s.n);
}

/* ---- urlencoded ---- */

/* The letters of base64 are not percent-encoded by the one sender there is, and its `+` is
 * no space. */
static bool
decode(struct str text, enum form_coding coding, struct buf *out)
{
	unsigned char *to;
	size_t n = 0;

	buf_clear(out);
	if (coding == FORM_PERCENT)
		return percent_decode(text, true, out);
	to = buf_space(out, text.n);
	if (to == NULL || !decode_base64(text, to, text.n, &n))
		return false;
	out->n = n;
	return true;
}

/* One pair; the buffers are kept from one to the next. */
struct decoding {
	enum form_coding coding;
	struct buf	 name, value;		/* ours */
	size_t		 nfields;
};

static enum form_fate
put_pair(struct decoding *d, struct json_object *form, struct str name, struct str value,
    struct err *err)
{
	bool is_decoded = decode(name, FORM_PERCENT, &d->name) &&
	    decode(value, d->coding, &d->value);

	if (!buf_ok(&d->name) || !buf_ok(&d->value))
		return no_memory(err);
	if (!is_decoded)
		return form_fail(FORM_BROKEN, err, d->coding == FORM_BASE64 ?
		    "a field of the form is no base64" :
		    "a field of the form is not percent-encoded");
	if (!form_is_text(buf_str(&d->value)))
		return form_fail(FORM_BROKEN, err, "a field of the form is no UTF-8 text");
	return form_put(form, &d->nfields, buf_str(&d->name), form_text(buf_str(&d->value)), err);
}

enum form_fate
form_read_urlencoded(struct str body, enum form_coding coding, struct json_object **ret,
    struct err *err)
{
	struct decoding d = { .coding = coding };
	struct json_object *form = json_object_new_object();
	enum form_fate fate = form != NULL ? FORM_READ : no_memory(err);
	struct str name, value, rest = str_trim(body);

	buf_init(&d.name, VALUE_MAX_BYTES);
	buf_init(&d.value, VALUE_MAX_BYTES);
	while (fate == FORM_READ && urlencoded_next(&rest, &name, &value))
		fate = put_pair(&d, form, name, value, err);
	buf_fini(&d.name);
	buf_fini(&d.value);
	if (fate == FORM_READ)
		*ret = form;
	else
		json_object_put(form);
	return fate;
}
