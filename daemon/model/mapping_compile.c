/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles `map`, `translate` and `require` of a source into the program that mapping.c
 * runs.  It goes on after an error, so that all of them are seen at once. */
#include "model/mapping.h"

#include <stdlib.h>

#include "model/identity.h"
#include "model/mapping_internal.h"

enum { PATH_MAX_NAMES = 16 };

struct compiler {
	struct conf	*conf;
	struct arena	*arena;		/* the conf's */
	struct mapping	*mapping;
};

#define SHOWN(s)	STR_ARG(str_prefix_utf8((s), 60))

/* What may stand before the dot, and who reads what stands behind it. */
struct family {
	const char	*head;
	bool		(*read)(struct compiler *, const struct conf_node *, struct str key,
			    struct str rest, struct map_target *);
};

static void *
get_memory(struct compiler *co, size_t n, size_t size)
{
	size_t bytes;
	void *p = NULL;

	if (size_mul(n > 0 ? n : 1, size, &bytes))
		p = arena_alloc(co->arena, bytes);
	if (p == NULL)
		conf_complain(co->conf, NULL, "out of memory");
	return p;
}

static bool
has_name(const char *const *names, struct str s, size_t *ret)
{
	for (size_t i = 0; names[i] != NULL; i++)
		if (str_eq(s, str_of(names[i]))) {
			*ret = i;
			return true;
		}
	return false;
}

static const char *
name_of_list(void *arg, size_t i)
{
	const char *const *const *names = arg;

	return (*names)[i];
}

/* external.shop -> the identity kind external:shop */
static bool
read_namespaced(struct compiler *co, const struct conf_node *at, struct str key, struct str rest,
    struct map_target *ret)
{
	char *kind = arena_text(co->arena, key);
	enum identity_rank rank;

	if (kind == NULL)
		return false;
	if (rest.n > 0)
		kind[key.n - rest.n - 1] = ':';
	ret->kind = MAP_IDENTITY;
	if (identity_read_kind(co->arena, str_of(kind), &ret->name, &rank))
		return true;
	conf_complain(co->conf, at, "map.%.*s: needs a namespace of letters, digits, '.', '_' and "
	    "'-' behind the dot", SHOWN(key));
	return false;
}

static bool
read_profile(struct compiler *co, const struct conf_node *at, struct str key, struct str rest,
    struct map_target *ret)
{
	const char *const *names = profile_names;
	const char *nearest = conf_nearest(rest, name_of_list, &names);
	size_t i;

	if (has_name(profile_names, rest, &i)) {
		*ret = (struct map_target){ .kind = MAP_PROFILE, .name = str_of(profile_names[i]) };
		return true;
	}
	conf_complain(co->conf, at, "map.%.*s: is no field of the profile; did you mean "
	    "\"customer.%s\"?", SHOWN(key), nearest != NULL ? nearest : profile_names[0]);
	return false;
}

/* attributes.a.b -> "a", "b" */
static bool
read_path(struct compiler *co, const struct conf_node *at, struct str key, struct str rest,
    struct map_target *ret)
{
	struct str path[PATH_MAX_NAMES];
	size_t n = 0;
	bool is_last;

	do {
		struct str name = str_cut(&rest, '.');

		/* str_cut leaves the same behind "a" and "a.": look for the dot. */
		is_last = name.p + name.n == key.p + key.n;
		if (name.n == 0 || n == PATH_MAX_NAMES) {
			conf_complain(co->conf, at, "map.%.*s: needs 1 to %d names behind "
			    "\"attributes.\", none of them empty", SHOWN(key), PATH_MAX_NAMES);
			return false;
		}
		path[n++] = name;
	} while (!is_last);
	ret->kind = MAP_ATTRIBUTE;
	ret->path = get_memory(co, n, sizeof(*path));
	ret->npath = n;
	if (ret->path != NULL)
		memcpy(ret->path, path, n * sizeof(*path));
	return ret->path != NULL;
}

static const struct family families[] = {
	{ "external", read_namespaced },
	{ "social", read_namespaced },
	{ "customer", read_profile },
	{ "attributes", read_path },
	{ NULL, NULL },
};

/* The kinds of identity that have no namespace. */
static const char *const plain_kinds[] = { "email", "phone", "anonymous", NULL };

static const char *
name_of_family(void *arg, size_t i)
{
	(void)arg;
	return families[i].head;
}

/* Everything that stands without a dot, and the families. */
static const char *
name_of_target(void *arg, size_t i)
{
	enum { NKINDS = sizeof(plain_kinds) / sizeof(plain_kinds[0]) - 1 };

	if (i < COL_NCOLUMNS)
		return column_names[i];
	i -= COL_NCOLUMNS;
	return i < NKINDS ? plain_kinds[i] : name_of_family(arg, i - NKINDS);
}

static bool
refuse_target(struct compiler *co, const struct conf_node *at, struct str key, struct str head,
    struct str rest)
{
	bool has_dot = head.n < key.n;
	const char *nearest = conf_nearest(head, has_dot ? name_of_family : name_of_target, NULL);

	if (nearest != NULL)
		conf_complain(co->conf, at, "map.%.*s: is not known; did you mean \"%s%s%.*s\"?",
		    SHOWN(key), nearest, has_dot ? "." : "", SHOWN(rest));
	else
		conf_complain(co->conf, at, "map.%.*s: is not known; \"attributes.%.*s\" keeps it "
		    "beside the columns", SHOWN(key), SHOWN(key));
	return false;
}

static bool
read_target(struct compiler *co, const struct conf_node *at, struct str key,
    struct map_target *ret)
{
	struct str rest = key, head = str_cut(&rest, '.');
	size_t i;

	*ret = (struct map_target){ .kind = MAP_COLUMN };
	if (has_name(column_names, key, &i)) {
		ret->column = (enum column)i;
		return true;
	}
	if (has_name(plain_kinds, key, &i)) {
		ret->kind = MAP_IDENTITY;
		ret->name = str_of(plain_kinds[i]);
		return true;
	}
	for (i = 0; families[i].head != NULL; i++)
		if (str_eq(head, str_of(families[i].head)))
			return families[i].read(co, at, key, rest, ret);
	return refuse_target(co, at, key, head, rest);
}

static void
read_source(struct compiler *co, struct str key, const struct conf_node *at,
    struct map_source *ret)
{
	struct str text = arena_str(co->arena, conf_text(at));
	struct err err;

	if (text.p == NULL || (text.n > 0 && text.p[0] != '/' && text.p[0] != '=')) {
		conf_complain(co->conf, at, "map.%.*s: \"%.*s\" is neither a JSON Pointer "
		    "(\"/buyer/email\") nor a constant (\"=web\")", SHOWN(key), SHOWN(text));
	} else if (text.n > 0 && text.p[0] == '=') {
		*ret = (struct map_source){ .is_constant = true, .text = str_skip(text, 1) };
		if (text.n == 1)
			conf_complain(co->conf, at, "map.%.*s: this constant is empty; leave the "
			    "key out", SHOWN(key));
	} else {
		ret->text = text;
		if (!json_pointer_compile(co->arena, text, &ret->pointer, &err))
			conf_complain(co->conf, at, "map.%.*s: %s", SHOWN(key), err.text);
	}
}

/* One source, or a list of them. */
static void
read_sources(struct compiler *co, const struct conf_node *value, struct map_instruction *in)
{
	bool is_list = conf_is_list(value);
	size_t n = is_list ? conf_count(value) : 1;

	if ((!is_list && !conf_is_scalar(value)) || n == 0) {
		conf_complain(co->conf, value, "map.%.*s: needs a JSON Pointer (\"/buyer/email\"), a "
		    "constant (\"=web\") or a list of them", SHOWN(in->key));
		return;
	}
	in->sources = get_memory(co, n, sizeof(*in->sources));
	if (in->sources == NULL)
		return;
	in->nsources = n;
	for (size_t i = 0; i < n; i++) {
		const struct conf_node *at = is_list ? conf_item(value, i) : value;

		read_source(co, in->key, at, &in->sources[i]);
		if (i > 0 && in->sources[i - 1].is_constant)
			conf_complain(co->conf, at, "map.%.*s: nothing behind a constant is ever "
			    "used; put the constant last", SHOWN(in->key));
	}
}

static void
read_map(struct compiler *co, const struct conf_node *map)
{
	struct mapping *m = co->mapping;

	if (map != NULL && !conf_is_map(map)) {
		conf_complain(co->conf, map, "map: needs pairs of a key and where its value is");
		return;
	}
	m->v = get_memory(co, conf_count(map), sizeof(*m->v));
	for (size_t i = 0; m->v != NULL && i < conf_count(map); i++) {
		struct map_instruction *in = &m->v[m->n++];

		/* A bad one stays in the list: `translate` and `require` may name it. */
		in->key = arena_str(co->arena, conf_key_text(map, i));
		if (in->key.p != NULL &&
		    read_target(co, conf_key_node(map, i), in->key, &in->target))
			read_sources(co, conf_item(map, i), in);
	}
}

static const char *
name_of_key(void *arg, size_t i)
{
	const struct mapping *m = arg;

	return i < m->n ? m->v[i].key.p : NULL;
}

/* The instruction for that key, or NULL with a complaint. */
static struct map_instruction *
find_key(struct compiler *co, const char *section, const struct conf_node *at)
{
	struct mapping *m = co->mapping;
	struct str key = conf_text(at);
	const char *nearest;

	for (size_t i = 0; i < m->n; i++)
		if (str_eq(m->v[i].key, key))
			return &m->v[i];
	nearest = conf_nearest(key, name_of_key, m);
	if (nearest != NULL)
		conf_complain(co->conf, at, "%s: \"%.*s\" is not mapped; did you mean \"%s\"?",
		    section, SHOWN(key), nearest);
	else
		conf_complain(co->conf, at, "%s: \"%.*s\" is not mapped; give it under \"map\" "
		    "first", section, SHOWN(key));
	return NULL;
}

static int
by_from(const void *a, const void *b)
{
	return map_compare(((const struct map_word *)a)->from, ((const struct map_word *)b)->from);
}

static void
read_words(struct compiler *co, const struct conf_node *table, struct map_instruction *in)
{
	size_t n = conf_count(table);

	in->words = get_memory(co, n, sizeof(*in->words));
	for (size_t i = 0; in->words != NULL && i < n; i++) {
		struct map_word *w = &in->words[i];

		w->from = arena_str(co->arena, conf_key_text(table, i));
		w->to = arena_str(co->arena, conf_text(conf_item(table, i)));
		if (!conf_is_scalar(conf_item(table, i)))
			conf_complain(co->conf, conf_item(table, i), "translate.%.*s.%.*s: needs a "
			    "text", SHOWN(in->key), SHOWN(w->from));
	}
	if (in->words == NULL || n == 0)
		return;
	qsort(in->words, n, sizeof(*in->words), by_from);
	in->nwords = n;
}

static void
read_translate(struct compiler *co, const struct conf_node *translate)
{
	if (translate != NULL && !conf_is_map(translate)) {
		conf_complain(co->conf, translate, "translate: needs a table for each key");
		return;
	}
	for (size_t i = 0; i < conf_count(translate); i++) {
		const struct conf_node *table = conf_item(translate, i);
		struct map_instruction *in = find_key(co, "translate", conf_key_node(translate, i));

		if (in == NULL)
			continue;
		if (conf_is_map(table))
			read_words(co, table, in);
		else
			conf_complain(co->conf, table, "translate.%.*s: needs pairs of a value and "
			    "what it becomes", SHOWN(in->key));
	}
}

/* Without these an event can be neither told from others nor understood. */
static void
require_usual(struct mapping *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (str_eq(m->v[i].key, STR("external_id")) || str_eq(m->v[i].key, STR("kind")))
			m->v[i].is_required = true;
}

static void
read_require(struct compiler *co, const struct conf_node *require)
{
	if (require == NULL) {
		require_usual(co->mapping);
		return;
	}
	if (!conf_is_list(require)) {
		conf_complain(co->conf, require, "require: needs a list of mapped keys");
		return;
	}
	for (size_t i = 0; i < conf_count(require); i++) {
		struct map_instruction *in = find_key(co, "require", conf_item(require, i));

		if (in != NULL)
			in->is_required = true;
	}
}

/* Attributes behind the others, and by their paths. */
static int
by_path(const void *va, const void *vb)
{
	const struct map_target *a = &((const struct map_instruction *)va)->target;
	const struct map_target *b = &((const struct map_instruction *)vb)->target;
	size_t n = map_common(a, b);

	if (a->kind != MAP_ATTRIBUTE || b->kind != MAP_ATTRIBUTE)
		return (a->kind == MAP_ATTRIBUTE) - (b->kind == MAP_ATTRIBUTE);
	if (n == a->npath || n == b->npath)
		return (a->npath > b->npath) - (a->npath < b->npath);
	return map_compare(a->path[n], b->path[n]);
}

/* The one whose value would have to be an object of ours and one of theirs. */
static void
check_nesting(struct compiler *co, const struct conf_node *map)
{
	const struct mapping *m = co->mapping;

	for (size_t i = 1; i < m->n; i++) {
		const struct map_instruction *outer = &m->v[i - 1], *inner = &m->v[i];

		if (outer->target.kind == MAP_ATTRIBUTE && inner->target.kind == MAP_ATTRIBUTE &&
		    map_common(&outer->target, &inner->target) == outer->target.npath)
			conf_complain(co->conf, map, "map: \"%.*s\" lies within \"%.*s\"; map one "
			    "of them", SHOWN(inner->key), SHOWN(outer->key));
	}
}

struct mapping *
mapping_compile(struct conf *c, const struct conf_node *map, const struct conf_node *translate,
    const struct conf_node *require)
{
	struct compiler co = { .conf = c, .arena = conf_arena(c) };
	size_t before = conf_errors(c);

	co.mapping = get_memory(&co, 1, sizeof(*co.mapping));
	if (co.mapping == NULL)
		return NULL;
	read_map(&co, map);
	read_translate(&co, translate);
	read_require(&co, require);
	if (conf_errors(c) > before)
		return NULL;
	if (co.mapping->n > 1)
		qsort(co.mapping->v, co.mapping->n, sizeof(*co.mapping->v), by_path);
	check_nesting(&co, map);
	return conf_errors(c) == before ? co.mapping : NULL;
}
