/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles `each`, `when`, `map`, `translate`, `require` and `items` of a source into the
 * program that mapping_find.c and mapping.c run.  It goes on after an error, so that all
 * of them are seen at once.
 *
 * The source's own keys are one layer, each entry of `items` is another that lies on it.
 * A layer is compiled once; a kind of item is made of one or two of them.
 */
#include "model/mapping.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/encoding.h"
#include "model/mapping_internal.h"

enum { MAX_LEVELS = 8, MAX_LAYERS = 2 };

#define SHOWN(s)	STR_ARG(str_prefix_utf8((s), 60))

/* An entry of `translate` or `require`, which names a key of `map`. */
struct naming {
	const char		*section;
	const struct conf_node	*at;		/* where it names it */
	struct str		 key;
	struct place_words	 words;		/* of translate */
	bool			 is_used;	/* some kind maps that key */
};

struct layer {
	struct map_nodes	 nodes;
	struct map_instruction	*v;
	size_t			 n;
	struct naming		*translate, *require;
	size_t			 ntranslate, nrequire;
	const struct place_condition *when;	/* those of the layer below, too */
	size_t			 when_up;	/* the most "../" in them */
};

struct compiler {
	struct place_reader	 reader;
	struct mapping		*mapping;
	struct map_kind		*kinds;
	size_t			 nkinds;
};

static void *
get_memory(struct compiler *co, size_t n, size_t size)
{
	size_t bytes;
	void *p = NULL;

	if (size_mul(n > 0 ? n : 1, size, &bytes))
		p = arena_alloc(conf_arena(co->reader.conf), bytes);
	if (p == NULL)
		conf_complain(co->reader.conf, NULL, "out of memory");
	return p;
}

/* What the next complaints begin with: "map.kind". */
static void
set_what(struct compiler *co, const char *section, struct str key)
{
	char room[200], *what;

	(void)snprintf(room, sizeof(room), "%s%s%.*s", section, key.n > 0 ? "." : "", SHOWN(key));
	what = arena_text(conf_arena(co->reader.conf), str_of(room));
	co->reader.what = what != NULL ? what : section;
}

/* ---- a layer ---- */

static void
read_map(struct compiler *co, const struct conf_node *map, struct layer *l)
{
	if (map != NULL && !conf_is_map(map)) {
		conf_complain(co->reader.conf, map, "map: needs pairs of a key and where its value "
		    "is");
		return;
	}
	l->v = get_memory(co, conf_count(map), sizeof(*l->v));
	for (size_t i = 0; l->v != NULL && i < conf_count(map); i++) {
		struct map_instruction *in = &l->v[l->n++];

		/* A bad one stays in the list: `translate` and `require` may name it. */
		in->key = arena_str(conf_arena(co->reader.conf), conf_key_text(map, i));
		in->order = i;
		set_what(co, "map", in->key);
		(void)!map_read_instruction(&co->reader, conf_key_node(map, i), conf_item(map, i),
		    in);
	}
}

static void
read_translate(struct compiler *co, const struct conf_node *translate, struct layer *l)
{
	if (translate != NULL && !conf_is_map(translate)) {
		conf_complain(co->reader.conf, translate, "translate: needs a table for each key");
		return;
	}
	l->translate = get_memory(co, conf_count(translate), sizeof(*l->translate));
	for (size_t i = 0; l->translate != NULL && i < conf_count(translate); i++) {
		struct naming *n = &l->translate[l->ntranslate++];

		*n = (struct naming){ .section = "translate", .at = conf_key_node(translate, i),
		    .key = conf_key_text(translate, i) };
		set_what(co, "translate", n->key);
		(void)!place_add_words(&co->reader, conf_item(translate, i), &n->words);
	}
}

static void
read_require(struct compiler *co, const struct conf_node *require, struct layer *l)
{
	if (require != NULL && !conf_is_list(require)) {
		conf_complain(co->reader.conf, require, "require: needs a list of mapped keys");
		return;
	}
	l->require = get_memory(co, conf_count(require), sizeof(*l->require));
	for (size_t i = 0; l->require != NULL && i < conf_count(require); i++)
		l->require[l->nrequire++] = (struct naming){ .section = "require",
		    .at = conf_item(require, i), .key = conf_text(conf_item(require, i)) };
}

static void
read_layer(struct compiler *co, const struct map_nodes *nodes, const struct layer *below,
    struct layer *ret)
{
	*ret = (struct layer){ .nodes = *nodes };
	if (below != NULL) {
		ret->when = below->when;
		ret->when_up = below->when_up;
		if (ret->nodes.each == NULL)
			ret->nodes.each = below->nodes.each;
	}
	if (nodes->when != NULL) {
		co->reader.what = "when";
		co->reader.max_up = ret->when_up;
		(void)!place_compile_when(&co->reader, nodes->when, &ret->when);
		ret->when_up = co->reader.max_up;
	}
	read_map(co, nodes->map, ret);
	read_translate(co, nodes->translate, ret);
	read_require(co, nodes->require, ret);
}

/* ---- a kind of item ---- */

static void
read_each(struct compiler *co, const struct conf_node *each, struct map_kind *k)
{
	size_t n = conf_is_list(each) ? conf_count(each) : each != NULL;

	k->each = each;
	k->levels = get_memory(co, n, sizeof(struct place *));
	if (n > MAX_LEVELS)
		conf_complain(co->reader.conf, each, "each: more than %d lists within each other",
		    MAX_LEVELS);
	co->reader.what = "each";
	for (size_t i = 0; k->levels != NULL && n <= MAX_LEVELS && i < n; i++) {
		const struct conf_node *at = conf_is_list(each) ? conf_item(each, i) : each;

		co->reader.max_up = 0;
		k->levels[k->nlevels++] = place_compile(&co->reader, at);
		if (co->reader.max_up > i)
			conf_complain(co->reader.conf, at, "each: there is nothing that far out");
	}
}

static struct map_instruction *
find_instruction(const struct map_kind *k, struct str key)
{
	for (size_t i = 0; i < k->n; i++)
		if (str_eq(k->v[i].key, key))
			return &k->v[i];
	return NULL;
}

static void
add_translate(struct layer *l, size_t which, struct map_kind *k)
{
	for (size_t i = 0; i < l->ntranslate; i++) {
		struct map_instruction *in = find_instruction(k, l->translate[i].key);

		if (in == NULL)
			continue;
		in->words[which] = &l->translate[i].words;
		l->translate[i].is_used = true;
	}
}

/* Without these an event can be neither told from others nor understood. */
static void
require_usual(struct map_kind *k)
{
	static const struct str usual[] = { STR("external_id"), STR("kind") };

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		struct map_instruction *in = find_instruction(k, usual[i]);

		if (in != NULL)
			in->is_required = true;
	}
}

static void
add_require(struct layer *const *layers, size_t n, struct map_kind *k)
{
	size_t at = 0;

	while (at < n && layers[at]->nodes.require == NULL)
		at++;
	if (at == n) {
		require_usual(k);
		return;
	}
	for (size_t i = 0; i < layers[at]->nrequire; i++) {
		struct naming *name = &layers[at]->require[i];
		struct map_instruction *in = find_instruction(k, name->key);

		if (in == NULL)
			continue;
		in->is_required = true;
		name->is_used = true;
	}
}

static void
check_depth(struct compiler *co, const struct layer *top, const struct map_kind *k)
{
	if (top->when_up > k->nlevels)
		conf_complain(co->reader.conf, top->nodes.when, "when: there is nothing that far out: "
		    "each walks %zu lists", k->nlevels);
	for (size_t i = 0; i < k->n; i++)
		if (k->v[i].max_up > k->nlevels)
			conf_complain(co->reader.conf, k->v[i].at, "map.%.*s: there is nothing that "
			    "far out: each walks %zu lists", SHOWN(k->v[i].key), k->nlevels);
}

size_t
map_common(const struct map_target *a, const struct map_target *b)
{
	size_t n = 0;

	while (n < a->npath && n < b->npath && str_eq(a->path[n], b->path[n]))
		n++;
	return n;
}

/* Attributes behind the others, and by their paths; the currency first, since amounts in
 * cents are read by it. */
static int
rank_of(const struct map_target *t)
{
	return t->kind == MAP_ATTRIBUTE ? 2 : t->kind != MAP_COLUMN || t->column != COL_CURRENCY;
}

static int
by_path(const void *va, const void *vb)
{
	const struct map_instruction *x = va, *y = vb;
	const struct map_target *a = &x->target, *b = &y->target;
	int order = rank_of(a) - rank_of(b);
	size_t n = map_common(a, b);

	if (order != 0)
		return order;
	if (a->kind != MAP_ATTRIBUTE)
		return (x->order > y->order) - (x->order < y->order);
	if (n == a->npath || n == b->npath)
		return (a->npath > b->npath) - (a->npath < b->npath);
	return str_compare(a->path[n], b->path[n]);
}

/* The one whose value would have to be an object of ours and one of theirs. */
static void
check_nesting(struct compiler *co, const struct map_kind *k)
{
	for (size_t i = 1; i < k->n; i++) {
		const struct map_instruction *outer = &k->v[i - 1], *inner = &k->v[i];

		if (outer->target.kind == MAP_ATTRIBUTE && inner->target.kind == MAP_ATTRIBUTE &&
		    map_common(&outer->target, &inner->target) == outer->target.npath)
			conf_complain(co->reader.conf, inner->at, "map: \"%.*s\" lies within "
			    "\"%.*s\"; map one of them", SHOWN(inner->key), SHOWN(outer->key));
	}
}

/* The layer on top has the first say. */
static void
read_kind(struct compiler *co, struct layer *const *layers, size_t n, struct map_kind *k)
{
	size_t room = 0;

	k->when = layers[0]->when;
	read_each(co, layers[0]->nodes.each, k);
	for (size_t i = 0; i < n; i++)
		room += layers[i]->n;
	k->v = get_memory(co, room, sizeof(*k->v));
	if (k->v == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		for (size_t m = 0; m < layers[i]->n; m++)
			if (find_instruction(k, layers[i]->v[m].key) == NULL)
				k->v[k->n++] = layers[i]->v[m];
	for (size_t i = 0; i < n; i++)
		add_translate(layers[i], i, k);
	add_require(layers, n, k);
	check_depth(co, layers[0], k);
}

/* ---- the whole ---- */

static const char *
name_of_key(void *arg, size_t i)
{
	const struct compiler *co = arg;

	for (size_t k = 0; k < co->nkinds; k++) {
		if (i < co->kinds[k].n)
			return co->kinds[k].v[i].key.p;
		i -= co->kinds[k].n;
	}
	return NULL;
}

static void
check_names(struct compiler *co, const struct naming *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *nearest;

		if (names[i].is_used)
			continue;
		nearest = conf_nearest(names[i].key, name_of_key, co);
		if (nearest != NULL)
			conf_complain(co->reader.conf, names[i].at, "%s: \"%.*s\" is not mapped; did "
			    "you mean \"%s\"?", names[i].section, SHOWN(names[i].key), nearest);
		else
			conf_complain(co->reader.conf, names[i].at, "%s: \"%.*s\" is not mapped; give "
			    "it under \"map\" first", names[i].section, SHOWN(names[i].key));
	}
}

static void
check_layer(struct compiler *co, const struct layer *l)
{
	check_names(co, l->translate, l->ntranslate);
	check_names(co, l->require, l->nrequire);
}

static const char *const item_keys[] = { "each", "when", "map", "translate", "require", NULL };

static const char *
name_of_item_key(void *arg, size_t i)
{
	(void)arg;
	return item_keys[i];
}

static void
check_item_keys(struct compiler *co, const struct conf_node *item)
{
	for (size_t i = 0; i < conf_count(item); i++) {
		struct str key = conf_key_text(item, i);
		const char *nearest;
		size_t k = 0;

		while (item_keys[k] != NULL && !str_eq(key, str_of(item_keys[k])))
			k++;
		if (item_keys[k] != NULL)
			continue;
		nearest = conf_nearest(key, name_of_item_key, NULL);
		conf_complain(co->reader.conf, conf_key_node(item, i), "items: an item has each, when, "
		    "map, translate and require, and no %.*s%s%s%s", SHOWN(key),
		    nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
		    nearest != NULL ? "\"?" : "");
	}
}

static void
read_item(struct compiler *co, const struct conf_node *item, struct layer *shared)
{
	const struct map_nodes nodes = { .each = conf_find(item, "each"),
	    .when = conf_find(item, "when"), .map = conf_find(item, "map"),
	    .translate = conf_find(item, "translate"), .require = conf_find(item, "require") };
	struct layer own, *const layers[MAX_LAYERS] = { &own, shared };

	if (!conf_is_map(item)) {
		conf_complain(co->reader.conf, item, "items: needs { each: …, when: …, map: … }");
		return;
	}
	check_item_keys(co, item);
	read_layer(co, &nodes, shared, &own);
	read_kind(co, layers, MAX_LAYERS, &co->kinds[co->nkinds++]);
	check_layer(co, &own);
}

static void
read_kinds(struct compiler *co, const struct map_nodes *nodes)
{
	size_t n = conf_is_list(nodes->items) ? conf_count(nodes->items) : 0;
	struct layer shared, *const layers[] = { &shared };

	co->kinds = get_memory(co, n + 1, sizeof(*co->kinds));
	if (co->kinds == NULL)
		return;
	read_layer(co, nodes, NULL, &shared);
	if (nodes->items == NULL)
		read_kind(co, layers, 1, &co->kinds[co->nkinds++]);
	else if (n == 0)
		conf_complain(co->reader.conf, nodes->items, "items: needs a list of kinds of item");
	for (size_t i = 0; i < n; i++)
		read_item(co, conf_item(nodes->items, i), &shared);
	check_layer(co, &shared);
}

static bool
is_same(const struct conf_node *a, const struct conf_node *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	if (conf_count(a) != conf_count(b) || conf_is_map(a) != conf_is_map(b) ||
	    conf_is_list(a) != conf_is_list(b) || !str_eq(conf_text(a), conf_text(b)))
		return false;
	for (size_t i = 0; i < conf_count(a); i++)
		if ((conf_is_map(a) && !str_eq(conf_key_text(a, i), conf_key_text(b, i))) ||
		    !is_same(conf_item(a, i), conf_item(b, i)))
			return false;
	return true;
}

static void
name_walk(struct compiler *co, struct map_walk *w)
{
	const struct map_kind *k = w->kinds[0];
	struct buf b;

	buf_init(&b, 64 * 1024);
	for (size_t i = 0; i < k->nlevels; i++) {
		buf_text(&b, i > 0 ? "_" : "");
		percent_encode(&b, place_text(k->levels[i]), "-.");
	}
	w->name = arena_str(conf_arena(co->reader.conf), buf_str(&b));
	if (!buf_ok(&b) || w->name.p == NULL)
		conf_complain(co->reader.conf, k->each, "each: this is too long");
	buf_fini(&b);
}

/* The kinds of items of the same lists, so that each list is walked once and each item
 * has one kind. */
static void
group_kinds(struct compiler *co)
{
	struct mapping *m = co->mapping;

	m->walks = get_memory(co, co->nkinds, sizeof(*m->walks));
	for (size_t i = 0; m->walks != NULL && i < co->nkinds; i++) {
		const struct map_kind **kinds;
		size_t at = 0;

		m->has_each |= co->kinds[i].nlevels > 0;
		while (at < m->nwalks && !is_same(m->walks[at].kinds[0]->each, co->kinds[i].each))
			at++;
		if (at == m->nwalks) {
			m->walks[m->nwalks].kinds = get_memory(co, co->nkinds, sizeof(*kinds));
			if (m->walks[m->nwalks++].kinds == NULL)
				return;
		}
		m->walks[at].kinds[m->walks[at].nkinds++] = &co->kinds[i];
	}
	for (size_t i = 0; i < m->nwalks; i++)
		name_walk(co, &m->walks[i]);
}

struct mapping *
mapping_compile(struct conf *c, const struct map_nodes *nodes)
{
	struct compiler co = { .reader = { .conf = c } };
	size_t before = conf_errors(c);

	co.mapping = get_memory(&co, 1, sizeof(*co.mapping));
	if (co.mapping == NULL)
		return NULL;
	co.reader.needs = &co.mapping->needs;
	read_kinds(&co, nodes);
	if (conf_errors(c) > before)
		return NULL;
	for (size_t i = 0; i < co.nkinds; i++) {
		if (co.kinds[i].n > 1)
			qsort(co.kinds[i].v, co.kinds[i].n, sizeof(*co.kinds[i].v), by_path);
		check_nesting(&co, &co.kinds[i]);
	}
	group_kinds(&co);
	return conf_errors(c) == before ? co.mapping : NULL;
}

const struct place_needs *
mapping_needs(const struct mapping *m)
{
	return &m->needs;
}

bool
mapping_has_each(const struct mapping *m)
{
	return m->has_each;
}

bool
mapping_has_several_lists(const struct mapping *m)
{
	return m->nwalks > 1;
}
