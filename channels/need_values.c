/* SPDX-License-Identifier: Apache-2.0 */
/* What a mapping reads of a request besides its body. */
#include "channels/need_values.h"

#include "base/buf.h"
#include "base/encoding.h"
#include "io/http_parse.h"

enum { VALUE_MAX_BYTES = 64 * 1024, TYPE_MAX_BYTES = 1024 * 1024 };

static const char *const parts[] = {
	[PLACE_HEADER] = "touchlog-header-",
	[PLACE_QUERY] = "touchlog-query-",
};

static bool
no_memory(struct err *err)
{
	return err_set(err, ERR_RETRY, "out of memory");
}

static struct str *
make_room(const struct place_needs *needs, struct arena *a)
{
	return arena_alloc(a, (needs->n + 1) * sizeof(struct str));
}

/* What is badly encoded is not there. */
static bool
fetch_query(struct str query, struct str name, struct arena *a, struct str *ret)
{
	struct buf b;
	bool ok = true;

	buf_init(&b, VALUE_MAX_BYTES);
	if (urlencoded_find(query, name, &b) && buf_ok(&b)) {
		*ret = arena_str(a, buf_str(&b));
		ok = ret->p != NULL;
	}
	buf_fini(&b);
	return ok;
}

bool
need_values_fetch(const struct place_needs *needs, const struct http_message *m,
    struct arena *a, const struct str **ret, struct err *err)
{
	struct str *values = make_room(needs, a);

	if (values == NULL)
		return no_memory(err);
	for (size_t i = 0; i < needs->n; i++)
		if (needs->v[i].part == PLACE_HEADER)
			values[i] = http_message_header(m, needs->v[i].name);
		else if (!fetch_query(m->query, needs->v[i].name, a,
		    &values[i]))
			return no_memory(err);
	*ret = values;
	return true;
}

/* "touchlog-query-id": letters, digits and what percent_encode() writes are all that a
 * parameter's name and value may hold (RFC 2045 5.1) and need no quotes. */
static void
put_name(const struct place_need *need, struct buf *b)
{
	buf_text(b, parts[need->part]);
	percent_encode(b, need->name, "-_.");
}

bool
need_values_keep(const struct place_needs *needs, const struct str *values, struct str type,
    struct arena *a, struct str *ret, struct err *err)
{
	struct buf b;

	*ret = type;
	buf_init(&b, TYPE_MAX_BYTES);
	buf_str_add(&b, type);
	for (size_t i = 0; i < needs->n; i++) {
		if (values[i].n == 0)
			continue;
		buf_text(&b, "; ");
		put_name(&needs->v[i], &b);
		buf_text(&b, "=");
		percent_encode(&b, values[i], "-_.");
	}
	if (b.n > type.n)
		*ret = buf_ok(&b) ? arena_str(a, buf_str(&b)) : STR_NONE;
	buf_fini(&b);
	return ret->p != NULL || no_memory(err);
}

/* The last of that name is ours: a sender's own stands before it. */
static struct str
parameter(struct str type, struct str name)
{
	struct str found = STR_NONE;

	while (type.n > 0) {
		struct str value = str_trim(str_cut(&type, ';'));

		if (str_eq(str_cut(&value, '='), name))
			found = value;
	}
	return found;
}

static bool
restore(struct str type, struct str name, struct arena *a, struct str *ret)
{
	struct str value = parameter(type, name);
	struct buf b;
	bool ok = true;

	if (value.p == NULL)
		return true;
	buf_init(&b, VALUE_MAX_BYTES);
	if (percent_decode(value, false, &b)) {
		*ret = arena_str(a, buf_str(&b));
		ok = ret->p != NULL;
	}
	buf_fini(&b);
	return ok;
}

bool
need_values_restore(const struct place_needs *needs, struct str type, struct arena *a,
    const struct str **ret, struct err *err)
{
	struct str *values = make_room(needs, a);
	bool ok = values != NULL;
	struct buf name;

	buf_init(&name, VALUE_MAX_BYTES);
	for (size_t i = 0; ok && i < needs->n; i++) {
		buf_clear(&name);
		put_name(&needs->v[i], &name);
		ok = buf_ok(&name) && restore(type, buf_str(&name), a, &values[i]);
	}
	buf_fini(&name);
	if (!ok)
		return no_memory(err);
	*ret = values;
	return true;
}

bool
need_values_keep_lists(struct str type, struct str word, struct arena *a, struct str *ret,
    struct err *err)
{
	static const struct str name = STR("; touchlog-each=");
	size_t n;
	char *text = NULL;

	if (size_add(type.n, name.n, &n) && size_add(n, word.n, &n))
		text = arena_alloc(a, n);
	if (text == NULL)
		return no_memory(err);
	memcpy(text, type.p, type.n);
	memcpy(text + type.n, name.p, name.n);
	memcpy(text + type.n + name.n, word.p, word.n);
	*ret = (struct str){ text, n };
	return true;
}

struct str
need_values_lists(struct str type)
{
	return parameter(type, STR("touchlog-each"));
}
