/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a mapping: an item of a foreign document -> a draft. */
#include <json-c/json.h>

#include "base/buf.h"
#include "base/json.h"
#include "model/mapping_internal.h"

enum {
	ATTRIBUTE_MAX_BYTES = 1 << 20,
	KEY_SHOWN_BYTES = 45,		/* two of them are what err_in() has room for */
};

struct run {
	struct draft			 draft;
	struct place_context		 context;
	size_t				 party;	/* of the draft: whom identities are of */
	struct buf			 json;	/* ours: the attribute that is being written */
	struct buf			 objects;	/* ours: a list that is one's value */
	const struct map_target		*last;	/* its latest leaf; NULL: none is open */
	struct str			 from;	/* where its values stood */
};

/* A value that the tables do not know is kept. */
static void
translate(const struct map_instruction *in, struct place_value *v)
{
	const struct place_word *w = NULL;

	for (size_t i = 0; w == NULL && i < sizeof(in->words) / sizeof(in->words[0]); i++)
		if (in->words[i] != NULL)
			w = place_find_word(in->words[i], v->text);
	if (w == NULL)
		return;
	v->json = NULL;
	v->is_json = false;
	v->text = w->to;
}

static bool
needs_text(const struct place_value *v, struct err *err)
{
	if (v->text.p != NULL)
		return true;
	return err_set(err, ERR_INPUT, "is an %s where a text is wanted",
	    json_object_is_type(v->json, json_type_array) ? "array" : "object");
}

static void
write_json(struct buf *b, const struct place_value *v)
{
	if (v->json == NULL && v->is_json)
		buf_str_add(b, v->text);
	else if (v->json == NULL)
		buf_json(b, v->text);
	else
		json_write(b, v->json, NULL);
}

/* What the buffer holds, in the draft's arena. */
static bool
keep_json(struct run *r, struct str *ret, struct err *err)
{
	if (!buf_ok(&r->json))
		return err_set(err, ERR_INPUT, "is larger than %d bytes", ATTRIBUTE_MAX_BYTES);
	*ret = arena_str(r->draft.arena, buf_str(&r->json));
	return ret->p != NULL || err_set(err, ERR_RETRY, "out of memory");
}

static bool
put_column(struct run *r, const struct map_target *t, const struct place_value *v, struct err *err)
{
	if (!needs_text(v, err))
		return false;
	r->draft.column[t->column] = v->text;
	r->draft.place[t->column] = v->from;
	if (t->column == COL_CURRENCY)
		r->context.currency = v->text;
	return true;
}

static bool
put_identity(struct run *r, const struct map_target *t, const struct place_value *v,
    struct err *err)
{
	const struct draft_identity id = { t->name, v->text, v->from };

	return needs_text(v, err) && draft_add_identity(&r->draft.parties[r->party], &id, err);
}

static bool
put_profile(struct run *r, const struct map_target *t, const struct place_value *v, struct err *err)
{
	struct draft_field field = { .name = t->name, .place = v->from };

	buf_clear(&r->json);
	write_json(&r->json, v);
	return keep_json(r, &field.json, err) &&
	    draft_add_field(&r->draft.parties[r->party], &field, err);
}

/* Closes what is open of the attribute and gives it to the draft. */
static bool
end_attribute(struct run *r, struct err *err)
{
	const struct map_target *t = r->last;
	struct draft_field field = { .place = r->from };

	if (t == NULL)
		return true;
	for (size_t i = 1; i < t->npath; i++)
		buf_add(&r->json, "}", 1);
	r->last = NULL;
	field.name = t->path[0];
	if (keep_json(r, &field.json, err) && draft_add_attribute(&r->draft, &field, err))
		return true;
	return err_in(err, "attributes.%.*s", STR_ARG(str_prefix_utf8(t->path[0],
	    KEY_SHOWN_BYTES)));
}

/* One more place that the attribute comes from: of one that is an object. */
static struct str
also_from(struct run *r, struct str place)
{
	size_t n = r->from.n + 2 + place.n;
	char *both = arena_alloc(r->draft.arena, n);

	if (both == NULL)
		return r->from;
	memcpy(both, r->from.p, r->from.n);
	memcpy(both + r->from.n, ", ", 2);
	memcpy(both + r->from.n + 2, place.p, place.n);
	return (struct str){ both, n };
}

static bool
put_attribute(struct run *r, const struct map_target *t, const struct place_value *v,
    struct err *err)
{
	size_t common = r->last != NULL ? map_common(r->last, t) : 0;

	if (common == 0) {
		if (!end_attribute(r, err))
			return false;
		buf_clear(&r->json);
		r->from = v->from;
	} else {
		r->from = also_from(r, v->from);
		/* The objects that both lie in stay open. */
		for (size_t i = common + 1; i < r->last->npath; i++)
			buf_add(&r->json, "}", 1);
		buf_add(&r->json, ",", 1);
		buf_json(&r->json, t->path[common]);
		buf_add(&r->json, ":", 1);
	}
	for (size_t i = common + 1; i < t->npath; i++) {
		buf_add(&r->json, "{", 1);
		buf_json(&r->json, t->path[i]);
		buf_add(&r->json, ":", 1);
	}
	write_json(&r->json, v);
	r->last = t;
	return true;
}

static bool
put_role(struct run *r, const struct map_target *t, const struct place_value *v, struct err *err)
{
	(void)t;
	if (!needs_text(v, err))
		return false;
	r->draft.parties[r->party].role = v->text;
	return true;
}

static bool (*const put[MAP_NKINDS])(struct run *, const struct map_target *,
    const struct place_value *, struct err *) = {
	[MAP_COLUMN] = put_column,
	[MAP_IDENTITY] = put_identity,
	[MAP_PROFILE] = put_profile,
	[MAP_ROLE] = put_role,
	[MAP_ATTRIBUTE] = put_attribute,
};

/* ---- one instruction ---- */

static bool
blame(const struct map_instruction *in, struct str from, struct err *err)
{
	return err_in(err, "%.*s (%.*s)", STR_ARG(str_prefix_utf8(in->key, KEY_SHOWN_BYTES)),
	    STR_ARG(str_prefix_utf8(from, KEY_SHOWN_BYTES)));
}

static bool
miss(const struct map_instruction *in, struct err *err)
{
	if (!in->is_required)
		return true;
	return err_set(err, ERR_INPUT, "%.*s: there is nothing at %.*s%s, and it is required",
	    STR_ARG(str_prefix_utf8(in->key, KEY_SHOWN_BYTES)),
	    STR_ARG(str_prefix_utf8(in->place != NULL ? place_text(in->place) : STR("its lists"),
	    KEY_SHOWN_BYTES)), in->place != NULL && place_is_list(in->place) ?
	    " or the other places" : "");
}

/* The value, translated.  What was translated to nothing is not there. */
static enum place_fate
find_value(struct run *r, const struct map_instruction *in, const struct place_scope *scope,
    struct place_value *ret, struct err *err)
{
	enum place_fate fate = place_find(&r->context, in->place, scope, ret, err);

	if (fate == PLACE_FAULT)
		(void)blame(in, ret->from, err);
	if (fate != PLACE_FOUND)
		return fate;
	translate(in, ret);
	return ret->text.p != NULL && ret->text.n == 0 ? PLACE_ABSENT : PLACE_FOUND;
}

static bool
run_value(struct run *r, const struct map_instruction *in, const struct place_scope *scope,
    struct err *err)
{
	struct place_value v;

	switch (find_value(r, in, scope, &v, err)) {
	case PLACE_ABSENT:
		return miss(in, err);
	case PLACE_FAULT:
		return false;
	case PLACE_FOUND:
		break;
	}
	return put[in->target.kind](r, &in->target, &v, err) || blame(in, v.from, err);
}

/* ---- lists within the item ---- */

/* The items of one list, each given to `run` in a scope of its own. */
static bool
each_item(struct run *r, const struct map_instruction *in, const struct map_list *list,
    const struct place_scope *scope, bool (*run)(struct run *, const struct map_instruction *,
    const struct map_list *, const struct place_scope *, struct err *), struct err *err)
{
	struct place_scope inner = { .outer = scope };
	struct place_value v;
	enum place_fate fate;
	bool is_list;
	size_t n;

	if (list->each == NULL)
		return run(r, in, list, scope, err);
	fate = place_find(&r->context, list->each, scope, &v, err);
	if (fate == PLACE_FAULT)
		return blame(in, v.from, err);
	is_list = fate == PLACE_FOUND && json_object_is_type(v.json, json_type_array);
	n = is_list ? json_object_array_length(v.json) : fate == PLACE_FOUND;
	for (size_t i = 0; i < n; i++) {
		inner.at = is_list ? json_object_array_get_idx(v.json, i) : v.json;
		if (!run(r, in, list, &inner, err))
			return false;
	}
	return true;
}

/* More than a draft holds are not worth losing the rest of it. */
static bool
add_participant(struct run *r, const struct map_instruction *in, const struct map_list *list,
    const struct place_scope *scope, struct err *err)
{
	struct draft_party *party;
	bool ok = true;

	(void)in;
	if (r->draft.nparties == DRAFT_MAX_PARTIES)
		return true;
	if (!draft_add_party(&r->draft, STR("participant"), &party, err))
		return false;
	r->party = r->draft.nparties - 1;
	for (size_t i = 0; ok && i < list->n; i++)
		ok = run_value(r, &list->v[i], scope, err);
	r->party = 0;
	return ok || err_in(err, "participants");
}

static bool
run_participants(struct run *r, const struct map_instruction *in,
    const struct place_scope *scope, struct err *err)
{
	size_t before = r->draft.nparties;

	for (size_t i = 0; i < in->nlists; i++)
		if (!each_item(r, in, &in->lists[i], scope, add_participant, err))
			return false;
	return r->draft.nparties > before || miss(in, err);
}

static bool
add_object(struct run *r, const struct map_instruction *in, const struct map_list *list,
    const struct place_scope *scope, struct err *err)
{
	const char *comma = "{";

	buf_text(&r->objects, r->objects.n > 1 ? "," : "");
	for (size_t i = 0; i < list->n; i++) {
		struct place_value v;

		switch (find_value(r, &list->v[i], scope, &v, err)) {
		case PLACE_FAULT:
			return err_in(err, "%.*s", STR_ARG(str_prefix_utf8(in->key, KEY_SHOWN_BYTES)));
		case PLACE_ABSENT:
			continue;
		case PLACE_FOUND:
			break;
		}
		buf_text(&r->objects, comma);
		buf_json(&r->objects, list->v[i].key);
		buf_text(&r->objects, ":");
		write_json(&r->objects, &v);
		comma = ",";
	}
	buf_text(&r->objects, comma[0] == '{' ? "{}" : "}");
	return true;
}

static bool
run_objects(struct run *r, const struct map_instruction *in, const struct place_scope *scope,
    struct err *err)
{
	struct place_value v = { .is_json = true, .from = place_text(in->lists[0].each) };

	buf_clear(&r->objects);
	buf_text(&r->objects, "[");
	if (!each_item(r, in, &in->lists[0], scope, add_object, err))
		return false;
	if (r->objects.n == 1)
		return miss(in, err);
	buf_text(&r->objects, "]");
	if (!buf_ok(&r->objects))
		return err_set(err, ERR_INPUT, "%.*s: is larger than %d bytes",
		    STR_ARG(str_prefix_utf8(in->key, KEY_SHOWN_BYTES)), ATTRIBUTE_MAX_BYTES);
	v.text = buf_str(&r->objects);
	return put_attribute(r, &in->target, &v, err);
}

static bool
run_attribute(struct run *r, const struct map_instruction *in, const struct place_scope *scope,
    struct err *err)
{
	return in->place != NULL ? run_value(r, in, scope, err) : run_objects(r, in, scope, err);
}

static bool (*const run_by_kind[MAP_NKINDS])(struct run *, const struct map_instruction *,
    const struct place_scope *, struct err *) = {
	[MAP_COLUMN] = run_value,
	[MAP_IDENTITY] = run_value,
	[MAP_PROFILE] = run_value,
	[MAP_PARTICIPANTS] = run_participants,
	[MAP_ATTRIBUTE] = run_attribute,
};

/* ---- the whole ---- */

/* Goes on behind what does not fit: the rest may hold the external_id by which the
 * document is known when it comes again. */
static bool
run_all(struct run *r, const struct map_item *item, struct err *err)
{
	const struct map_kind *k = item->kind;
	bool fits = true;
	struct err other;

	for (size_t i = 0; i < k->n; i++) {
		struct err *why = fits ? err : &other;	/* the first is told */

		if (run_by_kind[k->v[i].target.kind](r, &k->v[i], &item->scope->place, why))
			continue;
		if (why->kind != ERR_INPUT) {
			*err = *why;
			return false;
		}
		fits = false;
	}
	return end_attribute(r, fits ? err : &other) && fits;
}

bool
mapping_run(struct map_items *items, size_t i, const struct map_input *in, struct arena *a,
    struct draft *ret, struct err *err)
{
	struct run r = { .context = { .arena = a, .values = in->values, .zone = in->zone,
	    .parsed = items->parsed } };
	bool is_done;

	if (!draft_init(&r.draft, a, err))
		return false;
	buf_init(&r.json, ATTRIBUTE_MAX_BYTES);
	buf_init(&r.objects, ATTRIBUTE_MAX_BYTES);
	is_done = run_all(&r, &items->v[i], err);
	buf_fini(&r.json);
	buf_fini(&r.objects);
	/* What was parsed on the way stays until the document goes: the draft borrows. */
	items->parsed = r.context.parsed;
	*ret = r.draft;
	return is_done;
}
