/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: walks the rows and the tree side by side and fills the structs. */
#include "base/conf.h"

#include "base/conf_internal.h"

enum { TABLES_MAX = 2 };

struct table {			/* rows and the struct they fill */
	const struct conf_key	*keys;
	char			*out;
};

struct entry {			/* a map and the rows that may stand in it */
	struct table		 tables[TABLES_MAX];
	size_t			 ntables;
	const struct conf_node	*node;		/* a map, or nothing */
	const struct conf_node	*place;		/* where what is missing is missing */
	bool			 has_type;	/* the key `type` is no row */
	bool			 any_key;	/* the type is wrong: which keys, nobody knows */
	bool			 is_partial;	/* what it builds on could not be read */
};

static size_t
enter(struct conf_walk *w, struct str name)
{
	size_t was = w->path.n;

	if (was > 0)
		buf_add(&w->path, ".", 1);
	buf_str_add(&w->path, str_prefix_utf8(name, CONF_NAME_MAX_BYTES));
	return was;
}

static void
leave(struct conf_walk *w, size_t was)
{
	w->path.n = was;
}

const struct conf_key *
conf_row(const struct conf_key *keys, struct str name)
{
	for (const struct conf_key *row = keys; row != NULL && row->name != NULL; row++)
		if (str_eq(str_of(row->name), name))
			return row;
	return NULL;
}

static void fill_block(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n,
    void *at);
static void fill_named(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n,
    void *at);

static void
fill(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	if (row->type == CONF_BLOCK)
		fill_block(w, row, n, at);
	else if (row->type == CONF_NAMED)
		fill_named(w, row, n, at);
	else
		conf_fill_leaf[row->type](w, row, n, at);
}

const struct conf_node *
conf_default_node(struct conf *c, const struct conf_key *row)
{
	bool is_list = row->type == CONF_TEXTS || row->type == CONF_FLAGS ||
	    row->type == CONF_SECRETS;
	struct conf_node *n;

	if (is_list && row->def[0] == '[')
		return conf_parse(c, NULL, str_of(row->def));
	n = conf_mem(c, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->kind = CONF_IS_TEXT;
	n->text = str_of(row->def);
	return n;
}

static void
set_defaults(struct conf_walk *w, const struct table *t)
{
	for (const struct conf_key *row = t->keys; row != NULL && row->name != NULL; row++) {
		size_t was = enter(w, str_of(row->name));

		if (row->type == CONF_BLOCK) {
			set_defaults(w, &(struct table){ row->keys, t->out + row->offset });
		} else if (row->def != NULL) {
			const struct conf_node *n = conf_default_node(w->c, row);

			if (n != NULL)
				fill(w, row, n, t->out + row->offset);
		}
		leave(w, was);
	}
}

/* The names of all rows of an entry, for suggestions. */
static const char *
row_name(void *arg, size_t i)
{
	const struct entry *e = arg;

	for (size_t t = 0; t < e->ntables; t++)
		for (const struct conf_key *row = e->tables[t].keys;
		    row != NULL && row->name != NULL; row++)
			if (i-- == 0)
				return row->name;
	return i == 0 && e->has_type ? "type" : NULL;
}

static void
fill_pair(struct conf_walk *w, struct entry *e, const struct conf_pair *pair)
{
	struct str name = pair->key->text;
	size_t was;

	if (e->has_type && str_eq(name, STR("type")))
		return;
	was = enter(w, name);
	for (size_t t = 0; t < e->ntables; t++) {
		const struct conf_key *row = conf_row(e->tables[t].keys, name);

		if (row != NULL) {
			fill(w, row, pair->value, e->tables[t].out + row->offset);
			leave(w, was);
			return;
		}
	}
	if (!e->any_key)
		conf_suggest(w, pair->key, "unknown key", row_name, e);
	leave(w, was);
}

static void
complain_missing(struct conf_walk *w, const struct entry *e, const struct conf_key *row)
{
	size_t was;

	if (!row->required || conf_find(e->node, row->name) != NULL)
		return;
	was = enter(w, str_of(row->name));
	conf_wrong(w, e->place, "is required and missing; add it here. %s",
	    row->help != NULL ? row->help : "");
	leave(w, was);
}

static void
fill_entry(struct conf_walk *w, struct entry *e)
{
	for (size_t i = 0; i < conf_count(e->node); i++)
		fill_pair(w, e, &e->node->pairs[i]);
	/* What is missing may stand in the part that could not be read. */
	for (size_t t = 0; t < e->ntables && !w->c->is_partial && !e->is_partial; t++)
		for (const struct conf_key *row = e->tables[t].keys;
		    row != NULL && row->name != NULL; row++)
			complain_missing(w, e, row);
}

static bool
want_map(struct conf_walk *w, const struct conf_node *n)
{
	if (n->kind == CONF_IS_MAP || n->kind == CONF_IS_NULL)
		return true;
	conf_wrong(w, n, "is %s; a map (\"key: value\") is wanted", conf_kind_name(n));
	return false;
}

static void
fill_block(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	struct entry e = { .tables = { { row->keys, at } }, .ntables = 1, .node = n, .place = n };

	if (want_map(w, n))
		fill_entry(w, &e);
}

static bool
is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9');

		if (!is_alnum && (i == 0 || (c != '-' && c != '_')))
			return false;
	}
	return s.n > 0 && s.n <= CONF_NAME_MAX_BYTES;
}

static const char *
variant_name(void *arg, size_t i)
{
	const struct conf_key *row = arg;
	const struct conf_variant *v = row->variant(i);

	return v != NULL ? v->name : NULL;
}

/* The variant that the key `type` names; NULL after a complaint. */
static const struct conf_variant *
select_variant(struct conf_walk *w, const struct conf_key *row, const struct conf_named *named,
    const struct conf_node *place)
{
	union { const struct conf_key *in; void *out; } arg = { .in = row };
	const struct conf_node *type = conf_find(named->node, "type");
	const struct conf_variant *v = NULL;
	size_t was = enter(w, STR("type"));
	struct buf names;

	if (type == NULL) {
		buf_init(&names, 4096);
		conf_add_names(&names, variant_name, arg.out);
		conf_wrong(w, place, "is required and missing; known are: %.*s",
		    STR_ARG(buf_str(&names)));
		buf_fini(&names);
	} else if (conf_want_text(w, type, "one of the known types")) {
		for (size_t i = 0; (v = row->variant(i)) != NULL; i++)
			if (str_eq(type->text, str_of(v->name)))
				break;
		if (v == NULL)
			conf_suggest(w, type, "unknown type", variant_name, arg.out);
	}
	leave(w, was);
	return v;
}

/* Merges what the entry builds on under it.  false after a complaint: the base could
 * not be read, so nobody knows what is missing. */
static bool
take_base(struct conf_walk *w, struct entry *e, struct conf_named *named)
{
	const struct conf_key *tables[TABLES_MAX];
	const struct conf_key *row = NULL;
	const struct conf_node *node;

	for (size_t t = 0; t < e->ntables; t++) {
		tables[t] = e->tables[t].keys;
		if (row == NULL)
			row = conf_base_row(tables[t]);
	}
	if (row == NULL)
		return true;
	node = conf_on_base(w, row, tables, e->ntables, e->node);
	if (node == NULL)
		return false;
	named->base = conf_text(conf_find(node, row->name));
	named->node = e->node = node;
	return true;
}

static void
fill_one(struct conf_walk *w, const struct conf_key *row, const struct conf_pair *pair,
    struct conf_named *named)
{
	struct entry e = { .ntables = 1, .node = pair->value, .place = pair->key };

	named->name = pair->key->text;
	named->node = pair->value;
	named->common = conf_mem(w->c, row->size);
	if (row->variant != NULL) {
		e.has_type = true;
		named->variant = select_variant(w, row, named, pair->key);
		e.any_key = named->variant == NULL;
	}
	if (named->variant != NULL)
		named->own = conf_mem(w->c, named->variant->size);
	if (named->common == NULL || (named->variant != NULL && named->own == NULL))
		return;
	e.tables[0] = (struct table){ row->keys, named->common };
	if (named->variant != NULL)
		e.tables[e.ntables++] = (struct table){ named->variant->keys, named->own };
	for (size_t t = 0; t < e.ntables; t++)
		set_defaults(w, &e.tables[t]);
	e.is_partial = !take_base(w, &e, named);
	fill_entry(w, &e);
	/* An entry that is half known is not judged as a whole. */
	if (e.is_partial)
		named->variant = NULL;
}

static void
fill_named(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	struct conf_named_list *out = at, list;

	if (!want_map(w, n))
		return;
	list = (struct conf_named_list){ .v = conf_mem(w->c, n->n * sizeof(*list.v)) };
	for (size_t i = 0; list.v != NULL && i < n->n; i++) {
		const struct conf_pair *pair = &n->pairs[i];
		size_t was = enter(w, pair->key->text);

		if (!is_name(pair->key->text))
			conf_wrong(w, pair->key, "%s", "a name is 1 to 64 letters, digits, \"-\" "
			    "and \"_\", with a letter or digit at its head");
		if (want_map(w, pair->value))
			fill_one(w, row, pair, &list.v[list.n++]);
		leave(w, was);
	}
	*out = list;
}

void
conf_fill(struct conf *c, const struct conf_key *keys, const struct conf_node *root, void *out)
{
	struct conf_walk w = { .c = c, .keys = keys };
	struct entry e = { .tables = { { keys, out } }, .ntables = 1, .node = root, .place = root };

	buf_init(&w.path, 4096);
	set_defaults(&w, &e.tables[0]);
	fill_entry(&w, &e);
	if (!buf_ok(&w.path))
		c->no_memory = true;
	buf_fini(&w.path);
}
