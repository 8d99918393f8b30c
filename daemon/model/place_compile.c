/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles places and conditions.  It goes on after an error, so that all are seen at
 * once. */
#include "model/place.h"

#include <stdlib.h>

#include "model/pattern.h"
#include "model/place_internal.h"

#define SHOWN(s)	STR_ARG(str_prefix_utf8((s), 60))

void *
place_memory(struct place_reader *r, size_t n, size_t size)
{
	size_t bytes;
	void *p = NULL;

	if (size_mul(n > 0 ? n : 1, size, &bytes))
		p = arena_alloc(conf_arena(r->conf), bytes);
	if (p == NULL)
		conf_complain(r->conf, NULL, "out of memory");
	return p;
}

/* ---- the forms of a text ---- */

static bool
read_constant(struct place_reader *r, const struct conf_node *at, struct str rest,
    struct place *p)
{
	p->kind = PLACE_CONSTANT;
	if (rest.n == 0)
		conf_complain(r->conf, at, "%s: this constant is empty; leave the key out", r->what);
	return rest.n > 0;
}

static bool
read_steps(struct place_reader *r, const struct conf_node *at, struct str text, struct place *p)
{
	struct err err;

	p->kind = PLACE_POINTER;
	if (json_pointer_compile(conf_arena(r->conf), text, &p->pointer, &err))
		return true;
	conf_complain(r->conf, at, "%s: %s", r->what, err.text);
	return false;
}

/* Of all that is kept, the slash is the first character. */
static bool
read_pointer(struct place_reader *r, const struct conf_node *at, struct str rest,
    struct place *p)
{
	(void)rest;
	return read_steps(r, at, p->text, p);
}

static bool
read_root(struct place_reader *r, const struct conf_node *at, struct str rest, struct place *p)
{
	p->up = PLACE_UP_TO_ROOT;
	return read_steps(r, at, rest, p);
}

/* "..", "../../a/b" */
static bool
read_outer(struct place_reader *r, const struct conf_node *at, struct str rest, struct place *p)
{
	(void)rest;
	rest = p->text;
	while (str_starts(rest, STR("../")) || str_eq(rest, STR(".."))) {
		rest = str_skip(rest, rest.n == 2 ? 2 : 3);
		p->up++;
	}
	if (p->up > PLACE_MAX_UP)
		conf_complain(r->conf, at, "%s: more than %d times ../", r->what, PLACE_MAX_UP);
	if (p->up > r->max_up)
		r->max_up = p->up;
	/* The slash before the first name went with the dots. */
	if (rest.n > 0)
		rest = (struct str){ rest.p - 1, rest.n + 1 };
	return p->up <= PLACE_MAX_UP && read_steps(r, at, rest, p);
}

static bool
read_need(struct place_reader *r, const struct conf_node *at, enum place_part part,
    struct str name, struct place *p)
{
	struct place_needs *needs = r->needs;

	p->kind = PLACE_OF_REQUEST;
	if (name.n == 0) {
		conf_complain(r->conf, at, "%s: a name is missing behind the colon", r->what);
		return false;
	}
	for (p->need = 0; p->need < needs->n; p->need++)
		if (needs->v[p->need].part == part && str_eq(needs->v[p->need].name, name))
			return true;
	if (needs->n == PLACE_MAX_NEEDS) {
		conf_complain(r->conf, at, "%s: more than %d headers and query parameters", r->what,
		    PLACE_MAX_NEEDS);
		return false;
	}
	needs->v[needs->n++] = (struct place_need){ part, name };
	return true;
}

static bool
read_header(struct place_reader *r, const struct conf_node *at, struct str rest, struct place *p)
{
	return read_need(r, at, PLACE_HEADER, arena_lower(conf_arena(r->conf), rest), p);
}

static bool
read_query(struct place_reader *r, const struct conf_node *at, struct str rest, struct place *p)
{
	return read_need(r, at, PLACE_QUERY, rest, p);
}

/* Adds a name as a step of a pointer. */
static void
add_name(struct buf *b, struct str name)
{
	buf_text(b, "/");
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] == '~' || name.p[i] == '/')
			buf_text(b, name.p[i] == '~' ? "~0" : "~1");
		else
			buf_add(b, name.p + i, 1);
}

/* data[merges][EMAIL] -> /data/merges/EMAIL; tag[] -> /tag.  false: it is none. */
static bool
field_to_pointer(struct str text, struct buf *b)
{
	struct str rest = text, name = { text.p, 0 };

	while (name.n < text.n && text.p[name.n] != '[')
		name.n++;
	rest = str_skip(text, name.n);
	if (name.n == 0 || memchr(name.p, ']', name.n) != NULL)
		return false;
	add_name(b, name);
	while (rest.n > 0 && !str_eq(rest, STR("[]"))) {
		if (rest.p[0] != '[')
			return false;
		rest = str_skip(rest, 1);
		if (memchr(rest.p, ']', rest.n) == NULL)
			return false;
		name = str_cut(&rest, ']');
		if (name.n == 0 || memchr(name.p, '[', name.n) != NULL)
			return false;
		add_name(b, name);
	}
	return true;
}

/* A name with one of these is more often a slip (buyer.email, event/type, heder:X) than a
 * field; the few that are meant can be written as pointers. */
static bool
read_field(struct place_reader *r, const struct conf_node *at, struct str rest, struct place *p)
{
	bool is_odd = false;
	struct str pointer;
	struct buf b;

	for (size_t i = 0; i < rest.n; i++)
		is_odd |= strchr("/.:$=", rest.p[i]) != NULL;
	buf_init(&b, 4096);
	if (is_odd || !field_to_pointer(rest, &b)) {
		conf_complain(r->conf, at, "%s: \"%.*s\" is neither a JSON Pointer "
		    "(\"/buyer/email\"), nor ../, root:, header: or query: with what stands there, "
		    "nor a constant (\"=web\"), nor a plain form field (data[email]; others are "
		    "written as pointers)", r->what, SHOWN(rest));
		buf_fini(&b);
		return false;
	}
	pointer = buf_ok(&b) ? arena_str(conf_arena(r->conf), buf_str(&b)) : STR_NONE;
	buf_fini(&b);
	if (pointer.p == NULL) {
		conf_complain(r->conf, at, "%s: this name is too long", r->what);
		return false;
	}
	return read_steps(r, at, pointer, p);
}

static const struct form {
	const char	*head;
	/* rest: behind the head */
	bool		(*read)(struct place_reader *, const struct conf_node *, struct str rest,
			    struct place *);
} forms[] = {
	{ "=", read_constant },
	{ "/", read_pointer },
	{ "..", read_outer },
	{ "root:", read_root },
	{ "header:", read_header },
	{ "query:", read_query },
	{ "", read_field },		/* whatever is left */
};

static bool
read_text(struct place_reader *r, const struct conf_node *at, struct str text, struct place *p)
{
	p->text = arena_str(conf_arena(r->conf), text);
	if (p->text.p == NULL) {
		conf_complain(r->conf, NULL, "out of memory");
		return false;
	}
	if (text.n == 0)
		return read_steps(r, at, text, p);
	for (const struct form *f = forms;; f++)
		if (str_starts(p->text, str_of(f->head)))
			return f->read(r, at, str_skip(p->text, strlen(f->head)), p);
}

/* ---- lists and transforms ---- */

static bool
read_list(struct place_reader *r, const struct conf_node *at, struct place *p)
{
	size_t n = conf_count(at);
	bool is_good = n > 0;

	p->kind = PLACE_LIST;
	p->list = place_memory(r, n, sizeof(struct place *));
	if (p->list == NULL)
		return false;
	if (n == 0)
		conf_complain(r->conf, at, "%s: needs at least one place", r->what);
	for (size_t i = 0; i < n; i++) {
		p->list[i] = place_compile(r, conf_item(at, i));
		is_good &= p->list[i] != NULL;
		p->nlist++;
		if (i > 0 && p->list[i - 1] != NULL && place_is_constant(p->list[i - 1])) {
			conf_complain(r->conf, conf_item(at, i), "%s: nothing behind a constant is "
			    "ever used; put the constant last", r->what);
			is_good = false;
		}
	}
	if (is_good)
		p->text = p->list[0]->text;
	return is_good;
}

static const char *
name_of_key(void *arg, size_t i)
{
	(void)arg;
	/* `from`, then each row's name, then what goes with it. */
	if (i == 0)
		return "from";
	for (const struct transform_row *row = transform_rows; row->name != NULL; row++) {
		if (--i == 0)
			return row->name;
		if (row->also != NULL && --i == 0)
			return row->also;
	}
	return NULL;
}

static void
check_keys(struct place_reader *r, const struct conf_node *at)
{
	for (size_t i = 0; i < conf_count(at); i++) {
		struct str key = conf_key_text(at, i);
		const char *name, *nearest;
		size_t k = 0;

		while ((name = name_of_key(NULL, k)) != NULL && !str_eq(key, str_of(name)))
			k++;
		if (name != NULL)
			continue;
		nearest = conf_nearest(key, name_of_key, NULL);
		conf_complain(r->conf, conf_key_node(at, i), "%s: %.*s: is nothing that is done to a "
		    "value%s%s%s", r->what, SHOWN(key), nearest != NULL ? "; did you mean \"" : "",
		    nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
	}
}

static size_t
count_rows(void)
{
	size_t n = 0;

	while (transform_rows[n].name != NULL)
		n++;
	return n;
}

/* "type, fired_at": what a joined value comes from. */
static bool
name_joined(struct place_reader *r, struct place *p)
{
	struct buf b;

	buf_init(&b, 4096);
	for (size_t i = 0; i < p->nlist; i++) {
		buf_text(&b, i > 0 ? ", " : "");
		buf_str_add(&b, p->list[i]->text);
	}
	p->joined = p->nlist > 0 && buf_ok(&b) ? arena_str(conf_arena(r->conf), buf_str(&b)) :
	    p->text;
	buf_fini(&b);
	if (p->joined.p == NULL)
		conf_complain(r->conf, NULL, "out of memory");
	return p->joined.p != NULL;
}

static bool
read_transforms(struct place_reader *r, const struct conf_node *at, struct place *p)
{
	p->steps = place_memory(r, count_rows(), sizeof(*p->steps));
	if (p->steps == NULL)
		return false;
	for (const struct transform_row *row = transform_rows; row->name != NULL; row++) {
		const struct conf_node *value = conf_find(at, row->name);
		const struct conf_node *also = row->also != NULL ? conf_find(at, row->also) : NULL;
		struct transform *t = &p->steps[p->nsteps];

		if (value == NULL && also != NULL)
			conf_complain(r->conf, also, "%s: %s goes with %s", r->what, row->also,
			    row->name);
		if (value == NULL)
			continue;
		*t = (struct transform){ .row = row };
		if (!row->compile(r, value, also, t))
			continue;
		p->nsteps++;
		if (row == transform_join)
			p->join = t;
	}
	return p->join == NULL || name_joined(r, p);
}

/* { from: place, … }: a list of one, so that a place keeps its own transforms. */
static bool
read_map(struct place_reader *r, const struct conf_node *at, struct place *p)
{
	const struct conf_node *from = conf_find(at, "from");
	size_t before = conf_errors(r->conf);
	struct place *of;

	if (from == NULL) {
		conf_complain(r->conf, at, "%s: needs `from`: where the value is", r->what);
		return false;
	}
	check_keys(r, at);
	of = place_compile(r, from);
	if (of == NULL)
		return false;
	if (of->nsteps == 0) {
		*p = *of;
	} else {
		p->kind = PLACE_LIST;
		p->text = of->text;
		p->list = place_memory(r, 1, sizeof(struct place *));
		if (p->list == NULL)
			return false;
		p->list[p->nlist++] = of;
	}
	return read_transforms(r, at, p) && conf_errors(r->conf) == before;
}

struct place *
place_compile(struct place_reader *r, const struct conf_node *at)
{
	struct place *p = place_memory(r, 1, sizeof(*p));
	bool is_good;

	if (p == NULL)
		return NULL;
	if (conf_is_list(at)) {
		is_good = read_list(r, at, p);
	} else if (conf_is_map(at)) {
		is_good = read_map(r, at, p);
	} else if (conf_is_scalar(at)) {
		is_good = read_text(r, at, conf_text(at), p);
	} else {
		conf_complain(r->conf, at, "%s: needs a place", r->what);
		is_good = false;
	}
	return is_good ? p : NULL;
}

struct str
place_text(const struct place *p)
{
	return p->text;
}

bool
place_is_list(const struct place *p)
{
	return p->nlist > 1;
}

bool
place_is_constant(const struct place *p)
{
	return p->kind == PLACE_CONSTANT;
}

/* ---- words ---- */

static int
by_from(const void *a, const void *b)
{
	return str_compare(((const struct place_word *)a)->from, ((const struct place_word *)b)->from);
}

static int
compare_word(const void *key, const void *word)
{
	return str_compare(*(const struct str *)key, ((const struct place_word *)word)->from);
}

const struct place_word *
place_find_word(const struct place_words *words, struct str from)
{
	if (words->n == 0 || from.p == NULL)
		return NULL;
	return bsearch(&from, words->v, words->n, sizeof(*words->v), compare_word);
}

bool
place_add_words(struct place_reader *r, const struct conf_node *table, struct place_words *words)
{
	size_t n = conf_count(table), before = conf_errors(r->conf);
	struct place_words all = { .n = words->n };

	if (!conf_is_map(table)) {
		conf_complain(r->conf, table, "%s: needs pairs of a value and what it becomes",
		    r->what);
		return false;
	}
	all.v = place_memory(r, words->n + n, sizeof(*all.v));
	if (all.v == NULL)
		return false;
	if (words->n > 0)
		memcpy(all.v, words->v, words->n * sizeof(*all.v));
	for (size_t i = 0; i < n; i++) {
		struct place_word w = {
			.from = arena_str(conf_arena(r->conf), conf_key_text(table, i)),
			.to = arena_str(conf_arena(r->conf), conf_text(conf_item(table, i))),
		};

		if (!conf_is_scalar(conf_item(table, i)))
			conf_complain(r->conf, conf_item(table, i), "%s.%.*s: needs a text", r->what,
			    SHOWN(conf_key_text(table, i)));
		else if (place_find_word(words, w.from) == NULL)
			all.v[all.n++] = w;
	}
	if (all.n > 1)
		qsort(all.v, all.n, sizeof(*all.v), by_from);
	*words = all;
	return conf_errors(r->conf) == before;
}

/* ---- conditions ---- */

static bool
read_words(struct place_reader *r, const struct conf_node *at, struct place_condition *c)
{
	size_t n = conf_is_list(at) ? conf_count(at) : 1;

	c->kind = PLACE_IS_ONE_OF;
	c->words.v = place_memory(r, n, sizeof(*c->words.v));
	if (c->words.v == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct conf_node *item = conf_is_list(at) ? conf_item(at, i) : at;

		if (!conf_is_scalar(item)) {
			conf_complain(r->conf, item, "%s: needs a text", r->what);
			return false;
		}
		c->words.v[c->words.n++].from = arena_str(conf_arena(r->conf), conf_text(item));
	}
	if (n > 1)
		qsort(c->words.v, n, sizeof(*c->words.v), by_from);
	return true;
}

static bool
read_match(struct place_reader *r, const struct conf_node *at, struct place_condition *c)
{
	const struct conf_node *match = conf_find(at, "match");
	struct err err;

	c->kind = PLACE_MATCHES;
	if (conf_count(at) != 1 || !conf_is_scalar(match)) {
		conf_complain(r->conf, at, "%s: needs a text, a list of texts, yes (it is there), no "
		    "(it is not) or { match: REGEX }", r->what);
		return false;
	}
	if (pattern_compile(r->conf, conf_text(match), &c->pattern, &err))
		return true;
	conf_complain(r->conf, match, "%s: %s", r->what, err.text);
	return false;
}

static bool
read_wanted(struct place_reader *r, const struct conf_node *at, struct place_condition *c)
{
	if (conf_is_map(at))
		return read_match(r, at, c);
	if (conf_is_list(at) && conf_count(at) > 0)
		return read_words(r, at, c);
	if (!conf_is_scalar(at)) {
		conf_complain(r->conf, at, "%s: needs what has to stand there", r->what);
		return false;
	}
	c->kind = str_eq(conf_text(at), STR("yes")) ? PLACE_IS_THERE : PLACE_IS_ABSENT;
	return c->kind == PLACE_IS_THERE || str_eq(conf_text(at), STR("no")) ||
	    read_words(r, at, c);
}

bool
place_compile_when(struct place_reader *r, const struct conf_node *when,
    const struct place_condition **ret)
{
	const struct place_condition *all = *ret;
	size_t before = conf_errors(r->conf);

	if (!conf_is_map(when) || conf_count(when) == 0) {
		conf_complain(r->conf, when, "%s: needs pairs of a place and what has to stand there",
		    r->what);
		return false;
	}
	for (size_t i = 0; i < conf_count(when); i++) {
		struct place_condition *c = place_memory(r, 1, sizeof(*c));
		struct place *p = place_memory(r, 1, sizeof(*p));

		if (c == NULL || p == NULL)
			return false;
		c->place = p;
		c->next = all;
		all = c;
		/* One at least will have complained. */
		(void)!read_text(r, conf_key_node(when, i), conf_key_text(when, i), p);
		(void)!read_wanted(r, conf_item(when, i), c);
	}
	*ret = all;
	return conf_errors(r->conf) == before;
}
