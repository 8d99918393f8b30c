/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a mapping: a foreign document -> a draft.
 *
 * What is null or an empty text counts as not being there: senders write both for what
 * they do not know, and the next source of a list shall have its turn. */
#include "model/mapping.h"

#include <stdlib.h>

#include <json-c/json.h>

#include "base/buf.h"
#include "model/mapping_internal.h"

enum {
	ATTRIBUTE_MAX_BYTES = 1 << 20,
	KEY_SHOWN_BYTES = 45,		/* two of them are what err_in() has room for */
};

/* What a source gave: a value of the document, or a text (a constant, or translated). */
struct value {
	struct json_object	*json;		/* borrowed; NULL: text */
	struct str		 text;		/* of scalars; .p NULL for an object or array */
	const struct map_source	*from;
};

struct run {
	struct draft			 draft;
	struct buf			 json;	/* the attribute that is being written */
	const struct map_target		*last;	/* its latest leaf; NULL: none is open */
};

int
map_compare(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

size_t
map_common(const struct map_target *a, const struct map_target *b)
{
	size_t n = 0;

	while (n < a->npath && n < b->npath && str_eq(a->path[n], b->path[n]))
		n++;
	return n;
}

static bool
look_up(const struct map_source *s, struct json_object *doc, struct value *ret)
{
	bool is_found = false;

	*ret = (struct value){ .text = s->text, .from = s };
	if (s->is_constant)
		return true;
	ret->json = json_pointer_find(&s->pointer, doc, &is_found);
	if (!is_found || ret->json == NULL)
		return false;
	if (!json_text(ret->json, &ret->text)) {
		ret->text = STR_NONE;
		return true;
	}
	return ret->text.n > 0;
}

static int
compare_word(const void *key, const void *word)
{
	return map_compare(*(const struct str *)key, ((const struct map_word *)word)->from);
}

/* A value that the table does not know is kept. */
static void
translate(const struct map_instruction *in, struct value *v)
{
	const struct map_word *w;

	if (in->nwords == 0 || v->text.p == NULL)
		return;
	w = bsearch(&v->text, in->words, in->nwords, sizeof(*in->words), compare_word);
	if (w == NULL)
		return;
	v->json = NULL;
	v->text = w->to;
}

static bool
needs_text(const struct value *v, struct err *err)
{
	if (v->text.p != NULL)
		return true;
	return err_set(err, ERR_INPUT, "is an %s where a text is wanted",
	    json_object_is_type(v->json, json_type_array) ? "array" : "object");
}

static void
write_json(struct buf *b, const struct value *v)
{
	size_t n;
	const char *text;

	if (v->json == NULL) {
		buf_json(b, v->text);
		return;
	}
	text = json_object_to_json_string_length(v->json,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);
	if (text != NULL)
		buf_add(b, text, n);
	else
		b->is_over = true;
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
put_column(struct run *r, const struct map_target *t, const struct value *v, struct err *err)
{
	if (!needs_text(v, err))
		return false;
	r->draft.column[t->column] = v->text;
	return true;
}

static bool
put_identity(struct run *r, const struct map_target *t, const struct value *v, struct err *err)
{
	return needs_text(v, err) &&
	    draft_add_identity(&r->draft.parties[0], t->name, v->text, err);
}

static bool
put_profile(struct run *r, const struct map_target *t, const struct value *v, struct err *err)
{
	struct str json;

	buf_clear(&r->json);
	write_json(&r->json, v);
	return keep_json(r, &json, err) &&
	    draft_add_field(&r->draft.parties[0], t->name, json, err);
}

/* Closes what is open of the attribute and gives it to the draft. */
static bool
end_attribute(struct run *r, struct err *err)
{
	const struct map_target *t = r->last;
	struct str json;

	if (t == NULL)
		return true;
	for (size_t i = 1; i < t->npath; i++)
		buf_add(&r->json, "}", 1);
	r->last = NULL;
	if (keep_json(r, &json, err) &&
	    draft_add_attribute(&r->draft, t->path[0], json, err))
		return true;
	return err_in(err, "attributes.%.*s", STR_ARG(str_prefix_utf8(t->path[0],
	    KEY_SHOWN_BYTES)));
}

static bool
put_attribute(struct run *r, const struct map_target *t, const struct value *v, struct err *err)
{
	size_t common = r->last != NULL ? map_common(r->last, t) : 0;

	if (common == 0) {
		if (!end_attribute(r, err))
			return false;
		buf_clear(&r->json);
	} else {
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

static bool (*const put[MAP_NKINDS])(struct run *, const struct map_target *,
    const struct value *, struct err *) = {
	[MAP_COLUMN] = put_column,
	[MAP_IDENTITY] = put_identity,
	[MAP_PROFILE] = put_profile,
	[MAP_ATTRIBUTE] = put_attribute,
};

static bool
miss(const struct map_instruction *in, struct err *err)
{
	if (!in->is_required)
		return true;
	return err_set(err, ERR_INPUT, "%.*s: there is nothing at %.*s%s, and it is required",
	    STR_ARG(str_prefix_utf8(in->key, KEY_SHOWN_BYTES)),
	    STR_ARG(str_prefix_utf8(in->sources[0].text, KEY_SHOWN_BYTES)),
	    in->nsources > 1 ? " or the other places" : "");
}

static bool
run_one(struct run *r, const struct map_instruction *in, struct json_object *doc, struct err *err)
{
	struct value v;
	size_t i = 0;

	while (i < in->nsources && !look_up(&in->sources[i], doc, &v))
		i++;
	if (i == in->nsources)
		return miss(in, err);
	translate(in, &v);
	if (v.text.p != NULL && v.text.n == 0)
		return miss(in, err);
	if (put[in->target.kind](r, &in->target, &v, err))
		return true;
	return err_in(err, "%.*s (%.*s)", STR_ARG(str_prefix_utf8(in->key, KEY_SHOWN_BYTES)),
	    STR_ARG(str_prefix_utf8(v.from->text, KEY_SHOWN_BYTES)));
}

/* Goes on behind what does not fit: the rest may hold the external_id by which the
 * document is known when it comes again. */
static bool
run_all(struct run *r, const struct mapping *m, struct json_object *doc, struct err *err)
{
	bool fits = true;
	struct err other;

	for (size_t i = 0; i < m->n; i++) {
		struct err *why = fits ? err : &other;	/* the first is told */

		if (run_one(r, &m->v[i], doc, why))
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
mapping_run(const struct mapping *m, struct json_object *doc, struct arena *a, struct draft *ret,
    struct err *err)
{
	struct run r = { .last = NULL };
	bool is_done;

	if (!draft_init(&r.draft, a, err))
		return false;
	buf_init(&r.json, ATTRIBUTE_MAX_BYTES);
	is_done = run_all(&r, m, doc, err);
	buf_fini(&r.json);
	*ret = r.draft;
	return is_done;
}
