/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: the tree of a file, walking, merging and comparing it. */
#include "base/conf.h"

#include <stdlib.h>

#include "base/conf_internal.h"

bool
conf_is_map(const struct conf_node *n)
{
	return n != NULL && n->kind == CONF_IS_MAP;
}

bool
conf_is_list(const struct conf_node *n)
{
	return n != NULL && n->kind == CONF_IS_LIST;
}

bool
conf_is_scalar(const struct conf_node *n)
{
	return n != NULL && n->kind == CONF_IS_TEXT;
}

size_t
conf_count(const struct conf_node *n)
{
	return n != NULL ? n->n : 0;
}

const struct conf_node *
conf_item(const struct conf_node *n, size_t i)
{
	return i < conf_count(n) ? n->pairs[i].value : NULL;
}

const struct conf_node *
conf_key_node(const struct conf_node *n, size_t i)
{
	return i < conf_count(n) ? n->pairs[i].key : NULL;
}

struct str
conf_key_text(const struct conf_node *n, size_t i)
{
	return conf_text(conf_key_node(n, i));
}

struct str
conf_text(const struct conf_node *n)
{
	return conf_is_scalar(n) ? n->text : STR_NONE;
}

const struct conf_node *
conf_find(const struct conf_node *n, const char *key)
{
	struct str wanted = str_of(key);

	for (size_t i = 0; conf_is_map(n) && i < n->n; i++)
		if (str_eq(conf_key_text(n, i), wanted))
			return n->pairs[i].value;
	return NULL;
}

const struct conf_node *
conf_find_key(const struct conf_node *n, const char *key)
{
	struct str wanted = str_of(key);

	for (size_t i = 0; conf_is_map(n) && i < n->n; i++)
		if (str_eq(conf_key_text(n, i), wanted))
			return conf_key_node(n, i);
	return NULL;
}

const char *
conf_kind_name(const struct conf_node *n)
{
	static const char *const names[] = {
		[CONF_IS_NULL] = "nothing", [CONF_IS_TEXT] = "a text",
		[CONF_IS_LIST] = "a list", [CONF_IS_MAP] = "a map",
	};

	return names[n->kind];
}

/* Keys first, places second: the first of each run is the one that stays. */
static int
by_key(const void *va, const void *vb)
{
	const struct conf_pair *a = *(struct conf_pair *const *)va;
	const struct conf_pair *b = *(struct conf_pair *const *)vb;
	struct str ka = a->key->text, kb = b->key->text;
	int order = memcmp(ka.p, kb.p, ka.n < kb.n ? ka.n : kb.n);

	if (order == 0)
		order = (ka.n > kb.n) - (ka.n < kb.n);
	return order != 0 ? order : (a > b) - (a < b);
}

static bool
may_grow(const struct conf_key *row, const struct conf_node *n)
{
	return row != NULL && (row->type == CONF_BLOCK || row->type == CONF_NAMED) &&
	    (n->kind == CONF_IS_MAP || n->kind == CONF_IS_NULL);
}

/* Both maps' pairs behind each other; the place is that of a. */
static struct conf_node *
join(struct conf *c, const struct conf_node *a, const struct conf_node *b)
{
	struct conf_node *both = conf_mem(c, sizeof(*both));
	struct conf_pair *pairs = conf_mem(c, (a->n + b->n) * sizeof(*pairs));

	if (both == NULL || pairs == NULL)
		return NULL;
	*both = a->kind == CONF_IS_MAP ? *a : *b;
	for (size_t i = 0; i < a->n; i++)
		pairs[i] = a->pairs[i];
	for (size_t i = 0; i < b->n; i++)
		pairs[a->n + i] = b->pairs[i];
	both->pairs = pairs;
	both->n = a->n + b->n;
	return both;
}

/* The run of pairs with one key becomes its first; the others lose their key. */
static void
settle_run(struct conf *c, const struct conf_key *keys, struct conf_pair **run, size_t n)
{
	const struct conf_key *row = keys != NULL ? conf_row(keys, run[0]->key->text) : NULL;
	struct conf_node *grown = NULL;

	for (size_t i = 1; i < n; i++) {
		const struct conf_node *first = run[0]->key, *key = run[i]->key;

		if (may_grow(row, run[0]->value) && may_grow(row, run[i]->value)) {
			grown = join(c, run[0]->value, run[i]->value);
			if (grown == NULL)
				return;
			run[0]->value = grown;
		} else if (first->file != NULL) {
			conf_complain(c, key, "%.*s: is given twice, the first is at %s:%d:%d; "
			    "remove one of them", CONF_SHOWN(key->text), first->file->path,
			    first->line, first->col);
		}
		run[i]->key = NULL;
	}
	if (grown != NULL)
		conf_settle(c, row->type == CONF_BLOCK ? row->keys : NULL, grown);
}

void
conf_settle(struct conf *c, const struct conf_key *keys, struct conf_node *map)
{
	struct conf_pair **sorted;
	size_t from = 0, kept = 0;

	if (map->n < 2)
		return;
	sorted = calloc(map->n, sizeof(struct conf_pair *));
	if (sorted == NULL) {
		c->no_memory = true;
		return;
	}
	for (size_t i = 0; i < map->n; i++)
		sorted[i] = &map->pairs[i];
	qsort(sorted, map->n, sizeof(*sorted), by_key);
	for (size_t i = 1; i <= map->n; i++)
		if (i == map->n || !str_eq(sorted[i]->key->text, sorted[from]->key->text)) {
			settle_run(c, keys, sorted + from, i - from);
			from = i;
		}
	free(sorted);
	for (size_t i = 0; i < map->n; i++)
		if (map->pairs[i].key != NULL)
			map->pairs[kept++] = map->pairs[i];
	map->n = kept;
}

bool
conf_same_tree(const struct conf_node *a, const struct conf_node *b)
{
	if (a == NULL || b == NULL || a == b)
		return a == b;
	if (a->kind != b->kind || a->n != b->n || !str_eq(a->text, b->text))
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!conf_same_tree(a->pairs[i].key, b->pairs[i].key) ||
		    !conf_same_tree(a->pairs[i].value, b->pairs[i].value))
			return false;
	return true;
}
