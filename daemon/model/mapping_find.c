/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the items of a document, and writes the document anew for one of them.
 *
 * An item that came out of a list is kept (as payload, and for the day its mapping is
 * mended) as the document it would have been alone in: what stands around it may be
 * mapped, too, and what stands beside it would make each of a thousand items as large as
 * the thousand.  The lists that are walked, and the texts within which they stand, carry a
 * mark that says what of them is written.
 */
#include <json-c/json.h>

#include "base/json.h"
#include "model/mapping_internal.h"

enum { FIRST_ITEMS = 4, WRITTEN_MAX_BYTES = 1 << 30 };

/* One document being searched. */
struct finder {
	const struct mapping	*mapping;
	struct place_context	 context;
	struct map_items	*ret;
	size_t			 room;
	struct err		*err;
};

/* ---- writing ---- */

static bool
write_marked(void *arg, struct json_object *o, struct buf *out)
{
	const struct json_writer *w = arg;
	const struct map_cut *cut;

	/* What a text was parsed to stands in its place: `json: yes` lets that pass when it
	 * comes again. */
	if (json_object_is_type(o, json_type_string)) {
		if (!place_is_unfolded(o))
			return false;
		json_write(out, place_parsed_of(o), w);
		return true;
	}
	cut = json_object_get_userdata(o);
	if (!json_object_is_type(o, json_type_array)) {
		if (!cut->keeps)
			buf_text(out, "null");
		return !cut->keeps;
	}
	buf_text(out, "[");
	if (cut->keeps)
		json_write(out, cut->kept, w);
	buf_text(out, "]");
	return true;
}

/* The mark on that part of the document, made at its first item.  No double is marked,
 * whose user data are json-c's own. */
static struct map_cut *
mark(struct finder *f, struct json_object *part)
{
	struct map_cut *cut = json_object_get_userdata(part);

	if (cut != NULL)
		return cut;
	cut = arena_alloc(f->context.arena, sizeof(*cut));
	if (cut != NULL)
		json_object_set_userdata(part, cut, NULL);
	return cut;
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
mapping_item_json(struct map_items *items, size_t i, const struct map_input *in,
    struct str *ret, struct err *err)
{
	struct json_writer w = { .write = write_marked };

	w.arg = &w;
	if (items->written.max == 0)
		buf_init(&items->written, WRITTEN_MAX_BYTES);
	buf_clear(&items->written);
	keep(items->v[i].scope, true);
	json_write(&items->written, in->doc, &w);
	keep(items->v[i].scope, false);
	*ret = buf_str(&items->written);
	return buf_ok(&items->written) || err_set(err, ERR_RETRY, "out of memory");
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
	if (v->unparsed != NULL)
		place_unfold(v->unparsed);
	ret->json = v->json;
	ret->is_list = json_object_is_type(v->json, json_type_array);
	/* A text that was made here stands nowhere in the document; and what the list lies
	 * in is written in any case. */
	if (v->json == NULL || is_within(scope, v->json) ||
	    !(ret->is_list || json_object_is_type(v->json, json_type_object)))
		return true;
	ret->cut = mark(f, v->json);
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

	*ret = (struct map_items){ .n = 0 };
	if (whole == NULL)
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
	buf_fini(&items->written);
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
