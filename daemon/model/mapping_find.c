/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the items of a document, and writes the document anew for one of them.
 *
 * An item that came out of a list is kept (as payload, and for the day its mapping is
 * mended) as the document it would have been alone in: what stands around it may be
 * mapped, too, and what stands beside it would make each of a thousand items as large as
 * the thousand.  json-c lets every value bring its own writer: the lists that are walked,
 * and the texts within which they stand, get ours.
 */
#include <json-c/json.h>
#include <json-c/printbuf.h>

#include "model/mapping_internal.h"

enum { FIRST_ITEMS = 4, WRITE_FLAGS = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE };

/* One document being searched. */
struct finder {
	const struct mapping	*mapping;
	struct place_context	 context;
	struct map_items	*ret;
	size_t			 room;
	struct err		*err;
};

/* ---- writing ---- */

static int
append(struct printbuf *b, struct json_object *json)
{
	size_t n;
	const char *text = json_object_to_json_string_length(json, WRITE_FLAGS, &n);

	/* json-c writes each value into a buffer of its own: this may be that one. */
	if (text != NULL && text == b->buf)
		return 0;
	return text != NULL ? printbuf_memappend(b, text, (int)n) : -1;
}

/* By json-c itself. */
static int
append_plainly(struct printbuf *b, struct json_object *json, json_object_to_json_string_fn *ours)
{
	void *mark = json_object_get_userdata(json);
	int rc;

	json_object_set_serializer(json, NULL, NULL, NULL);
	rc = append(b, json);
	json_object_set_serializer(json, ours, mark, NULL);
	return rc;
}

static int
write_list(struct json_object *list, struct printbuf *b, int level, int flags)
{
	const struct map_cut *cut = json_object_get_userdata(list);

	(void)level;
	(void)flags;
	if (!*cut->is_on)
		return append_plainly(b, list, write_list);
	if (printbuf_memappend(b, "[", 1) < 0 || (cut->keeps && append(b, cut->kept) < 0))
		return -1;
	return printbuf_memappend(b, "]", 1);
}

static int
write_lone(struct json_object *lone, struct printbuf *b, int level, int flags)
{
	const struct map_cut *cut = json_object_get_userdata(lone);

	(void)level;
	(void)flags;
	return *cut->is_on && !cut->keeps ? printbuf_memappend(b, "null", 4) :
	    append_plainly(b, lone, write_lone);
}

/* As JSON in its place: `json: yes` lets that pass when it comes again. */
static int
write_parsed(struct json_object *text, struct printbuf *b, int level, int flags)
{
	const struct map_cut *cut = *place_parsed_owner(text);

	(void)level;
	(void)flags;
	return *cut->is_on ? append(b, place_parsed_of(text)) :
	    append_plainly(b, text, write_parsed);
}

static struct map_cut *
new_cut(struct finder *f)
{
	struct map_cut *cut = arena_alloc(f->context.arena, sizeof(*cut));

	if (cut != NULL)
		cut->is_on = f->ret->is_writing;
	return cut;
}

/* The mark on that part of the document, made at its first item.  No double is marked,
 * whose user data are json-c's own. */
static struct map_cut *
mark(struct finder *f, struct json_object *part, json_object_to_json_string_fn *writer)
{
	struct map_cut *cut = json_object_get_userdata(part);

	if (cut != NULL)
		return cut;
	cut = new_cut(f);
	if (cut != NULL)
		json_object_set_serializer(part, writer, cut, NULL);
	return cut;
}

/* The user data of a text are what it was parsed to, which holds our mark. */
static bool
mark_text(struct finder *f, struct json_object *text)
{
	void **owner = place_parsed_owner(text);

	if (*owner != NULL)
		return true;
	*owner = new_cut(f);
	if (*owner != NULL)
		json_object_set_serializer(text, write_parsed, json_object_get_userdata(text), NULL);
	return *owner != NULL;
}

static void
keep(const struct map_scope *scope, bool keeps)
{
	for (; scope != NULL; scope = (const struct map_scope *)scope->place.outer)
		if (scope->cut != NULL) {
			scope->cut->keeps = keeps;
			scope->cut->kept = scope->place.at;
		}
}

bool
mapping_item_json(const struct map_items *items, size_t i, const struct map_input *in,
    struct str *ret, struct err *err)
{
	*items->is_writing = true;
	keep(items->v[i].scope, true);
	ret->p = json_object_to_json_string_length(in->doc, WRITE_FLAGS, &ret->n);
	keep(items->v[i].scope, false);
	*items->is_writing = false;
	return ret->p != NULL || err_set(err, ERR_RETRY, "out of memory");
}

/* ---- finding ---- */

static bool
no_memory(struct finder *f)
{
	return err_set(f->err, ERR_RETRY, "out of memory");
}

static bool
add_item(struct finder *f, const struct map_walk *w, const struct map_kind *kind,
    const struct map_scope *scope)
{
	struct map_items *items = f->ret;

	if (items->n == MAP_MAX_ITEMS)
		return err_set(f->err, ERR_INPUT, "more than %d items", MAP_MAX_ITEMS);
	if (items->n == f->room) {
		size_t room = f->room > 0 ? 2 * f->room : FIRST_ITEMS;
		struct map_item *v = arena_alloc(f->context.arena, room * sizeof(*v));

		if (v == NULL)
			return no_memory(f);
		if (items->n > 0)
			memcpy(v, items->v, items->n * sizeof(*v));
		items->v = v;
		f->room = room;
	}
	items->v[items->n++] = (struct map_item){ w, kind, scope };
	return true;
}

/* To the first kind that takes it.  The document itself is nobody's only when it holds
 * nothing else. */
static bool
give(struct finder *f, const struct map_walk *w, const struct map_scope *scope)
{
	for (size_t i = 0; i < w->nkinds; i++)
		if (place_holds(&f->context, w->kinds[i]->when, &scope->place))
			return add_item(f, w, w->kinds[i], scope);
	return w->kinds[0]->nlevels == 0 || add_item(f, w, NULL, scope);
}

static bool
is_within(const struct map_scope *scope, struct json_object *at)
{
	const struct place_scope *s = &scope->place;

	while (s != NULL && s->at != at)
		s = s->outer;
	return s != NULL;
}

/* What one level of `each` found: a list, or a lone value, which counts as a list of one. */
struct group {
	struct json_object	*json;
	bool			 is_list;
	struct map_cut		*cut;
};

static bool
mark_group(struct finder *f, const struct map_scope *scope, const struct place_value *v,
    struct group *ret)
{
	if (v->unparsed != NULL && !mark_text(f, v->unparsed))
		return no_memory(f);
	ret->json = v->json;
	ret->is_list = json_object_is_type(v->json, json_type_array);
	/* A text that was made here stands nowhere in the document; and what the list lies
	 * in is written in any case. */
	if (v->json == NULL || is_within(scope, v->json) ||
	    !(ret->is_list || json_object_is_type(v->json, json_type_object)))
		return true;
	ret->cut = mark(f, v->json, ret->is_list ? write_list : write_lone);
	return ret->cut != NULL || no_memory(f);
}

static bool
descend(struct finder *f, const struct map_walk *w, size_t level, const struct map_scope *scope)
{
	const struct map_kind *kind = w->kinds[0];
	struct group g = { .json = NULL };
	struct place_value v;
	enum place_fate fate;
	bool ok = true;
	size_t n;

	if (level == kind->nlevels)
		return give(f, w, scope);
	fate = place_find(&f->context, kind->levels[level], &scope->place, &v, f->err);
	if (fate == PLACE_FAULT)
		return err_in(f->err, "each (%.*s)", STR_ARG(str_prefix_utf8(v.from, 45)));
	if (fate == PLACE_ABSENT || !mark_group(f, scope, &v, &g))
		return fate == PLACE_ABSENT;
	n = g.is_list ? json_object_array_length(g.json) : 1;
	for (size_t i = 0; ok && i < n; i++) {
		struct map_scope *inner = arena_alloc(f->context.arena, sizeof(*inner));

		if (inner == NULL)
			return no_memory(f);
		*inner = (struct map_scope){ { g.is_list ? json_object_array_get_idx(g.json, i) :
		    g.json, &scope->place }, g.cut };
		ok = descend(f, w, level + 1, inner);
	}
	return ok;
}

static bool
find_all(struct finder *f, const struct map_scope *whole)
{
	for (size_t i = 0; i < f->mapping->nwalks; i++)
		if (!descend(f, &f->mapping->walks[i], 0, whole))
			return false;
	return f->ret->n > 0 || add_item(f, &f->mapping->walks[0], NULL, whole);
}

bool
mapping_find(const struct mapping *m, const struct map_input *in, struct arena *a,
    struct map_items *ret, struct err *err)
{
	struct finder f = { .mapping = m, .ret = ret, .err = err,
	    .context = { .arena = a, .values = in->values, .zone = in->zone } };
	struct map_scope *whole = arena_alloc(a, sizeof(*whole));
	bool is_done;

	*ret = (struct map_items){ .is_writing = arena_alloc(a, sizeof(bool)) };
	if (whole == NULL || ret->is_writing == NULL)
		return no_memory(&f);
	whole->place.at = in->doc;
	is_done = find_all(&f, whole);
	ret->parsed = f.context.parsed;
	return is_done;
}

void
map_items_fini(struct map_items *items)
{
	struct place_context c = { .parsed = items->parsed };

	place_context_fini(&c);
	items->parsed = NULL;
}

bool
map_items_takes(const struct map_items *items, size_t i)
{
	return items->v[i].kind != NULL;
}

bool
map_items_is_whole(const struct map_items *items, size_t i)
{
	return items->v[i].scope->place.outer == NULL;
}

struct str
map_items_lists(const struct map_items *items, size_t i)
{
	return items->v[i].walk->name;
}
