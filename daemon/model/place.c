/* SPDX-License-Identifier: Apache-2.0 */
/* Looks places up.
 *
 * What is null or an empty text counts as not being there: senders write both for what
 * they do not know, and the next place of a list shall have its turn. */
#include "model/place.h"

#include <stdlib.h>

#include <json-c/json.h>

#include "base/buf.h"
#include "model/pattern.h"
#include "model/place_internal.h"

enum { JOINED_MAX_BYTES = 1024 * 1024, PARSED_MAX_DEPTH = 100 };

/* JSON that stood in a text.  It hangs on that text, so that it is parsed once however
 * many places look into it. */
struct place_parsed {
	struct json_object	*json;		/* ours */
	struct place_parsed	*next;
	bool			 is_unfolded;
};

/* One place being looked up. */
struct search {
	struct place_context	*context;
	const struct place	*place;
	const struct place_scope *scope;
	struct place_value	*ret;
	enum place_fate		 fate;
	struct err		*err;
	struct buf		 joined;	/* ours */
	bool			 has_joined;
};

void
place_context_fini(struct place_context *c)
{
	struct place_parsed *p;

	while ((p = c->parsed) != NULL) {
		c->parsed = p->next;
		json_object_put(p->json);
		free(p);
	}
}

struct json_object *
place_parsed_of(struct json_object *text)
{
	struct place_parsed *p = json_object_is_type(text, json_type_string) ?
	    json_object_get_userdata(text) : NULL;

	return p != NULL ? p->json : NULL;
}

void
place_unfold(struct json_object *text)
{
	struct place_parsed *p = json_object_get_userdata(text);

	p->is_unfolded = true;
}

bool
place_is_unfolded(struct json_object *text)
{
	const struct place_parsed *p = json_object_get_userdata(text);

	return p->is_unfolded;
}

bool
place_parse(struct place_context *c, struct place_value *v, struct err *err)
{
	struct json_object *text = v->unparsed != NULL ? v->unparsed : v->json;
	struct place_parsed *p;

	v->unparsed = text;
	v->json = place_parsed_of(text);
	if (v->json != NULL)
		return true;
	if (!json_parse(v->text, PARSED_MAX_DEPTH, &v->json, err))
		return false;
	p = malloc(sizeof(*p));
	if (p == NULL) {
		json_object_put(v->json);
		v->json = NULL;
		return err_set(err, ERR_RETRY, "out of memory");
	}
	*p = (struct place_parsed){ .json = v->json, .next = c->parsed };
	c->parsed = p;
	if (text != NULL)
		json_object_set_userdata(text, p, NULL);
	return true;
}

enum place_fate
place_set_text(struct place_value *v, struct str text)
{
	v->json = NULL;
	v->is_json = false;
	v->text = text;
	return text.n > 0 ? PLACE_FOUND : PLACE_ABSENT;
}

enum place_fate
place_set_json(struct place_value *v, struct json_object *json)
{
	v->json = json;
	v->is_json = false;
	v->text = STR_NONE;
	if (json == NULL)
		return PLACE_ABSENT;
	return !json_text(json, &v->text) || v->text.n > 0 ? PLACE_FOUND : PLACE_ABSENT;
}

/* ---- joining ---- */

static bool
join_one(struct search *s, struct json_object *json, struct str text)
{
	if (json != NULL && !json_text(json, &text)) {
		s->fate = PLACE_FAULT;
		(void)err_set(s->err, ERR_INPUT, "is an object or a list, which cannot be joined");
		return false;
	}
	if (text.n == 0)
		return true;
	if (s->has_joined)
		buf_str_add(&s->joined, s->place->join->text);
	buf_str_add(&s->joined, text);
	s->has_joined = true;
	return true;
}

/* The items of a list are values of their own.  true: no more of them, something is wrong. */
static bool
join(struct search *s, struct place_value *v)
{
	s->ret->from = v->from;
	for (size_t i = 0; i < s->place->nsteps && s->place->steps[i].row->is_each; i++) {
		s->fate = transform_run(s->context, &s->place->steps[i], v, s->err);
		if (s->fate != PLACE_FOUND)
			return s->fate == PLACE_FAULT;
	}
	if (!json_object_is_type(v->json, json_type_array))
		return !join_one(s, v->json, v->text);
	for (size_t i = 0; i < json_object_array_length(v->json); i++)
		if (!join_one(s, json_object_array_get_idx(v->json, i), STR_NONE))
			return true;
	return false;
}

static void
end_joining(struct search *s)
{
	if (s->fate != PLACE_FAULT && !buf_ok(&s->joined)) {
		s->fate = PLACE_FAULT;
		(void)err_set(s->err, ERR_INPUT, "is longer than %d bytes when joined",
		    JOINED_MAX_BYTES);
	}
	if (s->fate != PLACE_FAULT) {
		s->ret->from = s->place->joined;
		s->fate = place_set_text(s->ret,
		    arena_str(s->context->arena, buf_str(&s->joined)));
		if (s->ret->text.p == NULL) {
			s->fate = PLACE_FAULT;
			(void)err_set(s->err, ERR_RETRY, "out of memory");
		}
	}
	buf_fini(&s->joined);
}

/* ---- by kind: each gives the values that are there until it is told to stop ---- */

/* true: enough. */
static bool
take(struct search *s, struct place_value *v)
{
	if (s->place->join != NULL)
		return join(s, v);
	*s->ret = *v;
	s->fate = PLACE_FOUND;
	return true;
}

static bool
take_json(void *arg, struct json_object *json)
{
	struct search *s = arg;
	struct place_value v = { .from = s->place->text };

	return place_set_json(&v, json) == PLACE_FOUND && take(s, &v);
}

static void
search_document(struct search *s)
{
	const struct place_scope *scope = s->scope;

	for (size_t i = 0; i < s->place->up && scope->outer != NULL; i++)
		scope = scope->outer;
	(void)json_pointer_each(&s->place->pointer, scope->at, take_json, s);
}

static void
search_constant(struct search *s)
{
	struct place_value v = { .text = str_skip(s->place->text, 1), .from = s->place->text };

	(void)take(s, &v);
}

/* Headers are bytes, and an escape in a query can be any. */
static void
search_request(struct search *s)
{
	struct place_value v = { .text = s->context->values[s->place->need],
	    .from = s->place->text };
	size_t at;

	if (v.text.n == 0)
		return;
	if (!str_is_utf8(v.text, &at) || memchr(v.text.p, '\0', v.text.n) != NULL) {
		s->ret->from = v.from;
		s->fate = PLACE_FAULT;
		(void)err_set(s->err, ERR_INPUT, "is no UTF-8");
		return;
	}
	(void)take(s, &v);
}

static void
search_list(struct search *s)
{
	for (size_t i = 0; i < s->place->nlist; i++) {
		struct place_value v;
		enum place_fate fate = place_find(s->context, s->place->list[i], s->scope, &v,
		    s->err);

		if (fate == PLACE_FAULT) {
			s->ret->from = v.from;
			s->fate = fate;
			return;
		}
		if (fate == PLACE_FOUND && take(s, &v))
			return;
	}
}

static void (*const searches[PLACE_NKINDS])(struct search *) = {
	[PLACE_POINTER] = search_document,
	[PLACE_CONSTANT] = search_constant,
	[PLACE_OF_REQUEST] = search_request,
	[PLACE_LIST] = search_list,
};

enum place_fate
place_find(struct place_context *c, const struct place *p, const struct place_scope *scope,
    struct place_value *ret, struct err *err)
{
	struct search s = { .context = c, .place = p, .scope = scope, .ret = ret,
	    .fate = PLACE_ABSENT, .err = err };

	*ret = (struct place_value){ .from = p->text };
	if (p->join != NULL)
		buf_init(&s.joined, JOINED_MAX_BYTES);
	searches[p->kind](&s);
	if (p->join != NULL)
		end_joining(&s);
	for (size_t i = 0; i < p->nsteps && s.fate == PLACE_FOUND; i++)
		if (p->join == NULL || &p->steps[i] > p->join)
			s.fate = transform_run(c, &p->steps[i], ret, err);
	return s.fate;
}

/* ---- conditions ---- */

static bool
holds(struct place_context *c, const struct place_condition *one, const struct place_scope *scope)
{
	struct place_value v;
	struct err err;
	struct str part;
	enum place_fate fate = place_find(c, one->place, scope, &v, &err);

	switch (one->kind) {
	case PLACE_IS_THERE:
		return fate == PLACE_FOUND;
	case PLACE_IS_ABSENT:
		return fate == PLACE_ABSENT;
	case PLACE_IS_ONE_OF:
		return fate == PLACE_FOUND && place_find_word(&one->words, v.text) != NULL;
	case PLACE_MATCHES:
		return fate == PLACE_FOUND && v.text.p != NULL &&
		    pattern_find(one->pattern, v.text, &part) == PATTERN_FOUND;
	}
	return false;
}

bool
place_holds(struct place_context *c, const struct place_condition *all,
    const struct place_scope *scope)
{
	for (; all != NULL; all = all->next)
		if (!holds(c, all, scope))
			return false;
	return true;
}
