/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of an event that was tried, as JSON.
 *
 * It is what the daemon's own steps left: the draft, in which each value says where it
 * stood, and the interaction, which says what was made of it.
 */
#include "cli/trial_event.h"

#include <json-c/json.h>

#include "base/buf.h"
#include "base/json.h"
#include "channels/events.h"
#include "model/dedupe.h"
#include "model/draft.h"
#include "model/identity.h"
#include "model/source.h"

enum { VALUE_MAX_BYTES = 1024 * 1024, ATTRIBUTE_MAX_DEPTH = 200 };

static const char *const fates[] = {
	[EVENT_FITS] = "logged",
	[EVENT_UNFIT] = "parked",
	[EVENT_REJECTED] = "rejected",
	[EVENT_IGNORED] = "ignored",
};

enum { NFATES = sizeof(fates) / sizeof(fates[0]) };

static const char *const basis_names[] = {
	[DEDUPE_BY_EXTERNAL_ID] = "external_id",
	[DEDUPE_BY_IDEMPOTENCY_KEY] = "Idempotency-Key",
	[DEDUPE_BY_BYTES] = "bytes",
	[DEDUPE_BY_NOTHING] = "nothing",
};

const char *
trial_fate(size_t n)
{
	return n < NFATES ? fates[n] : NULL;
}

/* ---- JSON ---- */

static struct json_object *
text(struct str s)
{
	return s.p != NULL ? json_object_new_string_len(s.p, (int)s.n) : NULL;
}

static void
put_text(struct json_object *o, const char *name, struct str s)
{
	if (s.p != NULL)
		json_object_object_add(o, name, text(s));
}

/* A value that was found somewhere: what is made of it, where it stood, and how it was
 * written when that is different. */
static struct json_object *
found(struct str value, struct str from, struct str was)
{
	struct json_object *o = json_object_new_object();

	put_text(o, "value", value);
	put_text(o, "from", from);
	if (was.p != NULL && !str_eq(was, value))
		put_text(o, "text", was);
	return o;
}

/* ---- columns ---- */

static void
put_time(struct buf *out, int64_t at_us)
{
	int64_t left_us = at_us % 1000000;
	time_t at_s;
	struct tm tm;
	char day[32];

	if (left_us < 0)
		left_us += 1000000;
	at_s = (time_t)((at_us - left_us) / 1000000);
	if (gmtime_r(&at_s, &tm) == NULL || strftime(day, sizeof(day), "%FT%T", &tm) == 0)
		return;
	buf_text(out, day);
	if (left_us > 0) {
		buf_printf(out, ".%06d", (int)left_us);
		while (buf_ok(out) && out->p[out->n - 1] == '0')
			out->n--;
	}
	buf_text(out, "Z");
}

/* ISO 8601, with no unit but months, days and seconds, as PostgreSQL keeps them. */
static void
put_span(struct buf *out, struct span s)
{
	buf_text(out, "P");
	if (s.months != 0)
		buf_printf(out, "%dM", s.months);
	if (s.days != 0)
		buf_printf(out, "%dD", s.days);
	if (s.us == 0 && out->n > 1)
		return;
	buf_printf(out, "T%lld", (long long)(s.us / 1000000));
	if (s.us % 1000000 != 0) {
		buf_printf(out, ".%06d", (int)(s.us % 1000000));
		while (buf_ok(out) && out->p[out->n - 1] == '0')
			out->n--;
	}
	buf_text(out, "S");
}

static void
put_amount(struct buf *out, int64_t e4)
{
	uint64_t whole = e4 < 0 ? 0 - (uint64_t)e4 : (uint64_t)e4;

	buf_printf(out, "%s%llu.%04u", e4 < 0 ? "-" : "", (unsigned long long)(whole / 10000),
	    (unsigned)(whole % 10000));
}

/* What stands in the column; of what is none: nothing is added. */
static void
put_column(struct buf *out, const struct interaction *i, enum column c)
{
	switch (c) {
	case COL_OCCURRED_AT:
		put_time(out, i->occurred_us);
		break;
	case COL_DURATION:
		if (i->has_duration)
			put_span(out, i->duration);
		break;
	case COL_WAIT:
		if (i->has_wait)
			put_span(out, i->wait);
		break;
	case COL_AMOUNT:
		if (i->has_amount)
			put_amount(out, i->amount_e4);
		break;
	case COL_SCORE:
		if (i->has_score)
			buf_printf(out, "%d", i->score);
		break;
	default:
		buf_str_add(out, i->text[c]);
	}
}

/* Who gave a column that the event does not. */
static struct str
giver(const struct source *s, enum column c)
{
	if ((c == COL_CHANNEL && s->channel >= 0) || (c == COL_DIRECTION && s->direction >= 0) ||
	    c == COL_BRAND)
		return STR("(source)");
	return c == COL_OCCURRED_AT ? STR("(received)") : STR("(default)");
}

static void
add_column(struct json_object *all, const struct source *s, const struct event_outcome *o,
    enum column c)
{
	struct str was = o->draft->column[c], from = o->draft->place[c];
	struct buf value;

	if (was.n == 0)
		from = giver(s, c);
	else if (from.p == NULL)
		from = str_of(column_names[c]);
	buf_init(&value, VALUE_MAX_BYTES);
	if (o->event != NULL)
		put_column(&value, o->event, c);
	if (value.n > 0)
		json_object_object_add(all, column_names[c], found(buf_str(&value), from,
		    was.n > 0 ? was : STR_NONE));
	else if (was.n > 0)
		json_object_object_add(all, column_names[c], found(STR_NONE, from, was));
	buf_fini(&value);
}

static struct json_object *
columns(const struct source *s, const struct event_outcome *o)
{
	struct json_object *all = json_object_new_object();

	for (enum column c = 0; c < COL_NCOLUMNS; c++)
		add_column(all, s, o, c);
	return all;
}

/* ---- who ---- */

static bool
is_named(struct json_object *list, const struct mention *m)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *one = json_object_array_get_idx(list, i), *kind, *value;

		if (json_object_object_get_ex(one, "kind", &kind) &&
		    json_object_object_get_ex(one, "value", &value) &&
		    str_eq(str_of(json_object_get_string(kind)), m->kind) &&
		    str_eq(str_of(json_object_get_string(value)), m->value))
			return true;
	}
	return false;
}

/* Why an identity is left out; NULL: it is used. */
static const char *
dropped(struct json_object *list, enum identity_fate fate, const struct mention *m)
{
	static const char *const why[] = {
		[IDENTITY_JUNK] = "junk: it stands for nobody",
		[IDENTITY_OWN] = "own: it is one of ours",
		[IDENTITY_UNREADABLE] = "unreadable: kept in attributes.unreadable_identities",
		[IDENTITY_BAD_KIND] = "there is no such kind",
	};

	if (fate != IDENTITY_USED)
		return why[fate];
	return is_named(list, m) ? "it was named before" : NULL;
}

/* true: somebody can be looked up by it. */
static bool
add_identity(struct json_object *list, const struct source *s, const struct draft_identity *id)
{
	struct json_object *o = json_object_new_object();
	struct arena a = { 0 };
	struct mention m;
	enum identity_fate fate = identity_read(&a, &s->rules, id->kind, id->value, &m);
	const char *why = dropped(list, fate, &m);

	put_text(o, "kind", why == NULL ? m.kind : id->kind);
	if (why != NULL) {
		put_text(o, "text", id->value);
		put_text(o, "dropped", str_of(why));
	} else {
		put_text(o, "value", m.value);
		if (!str_eq(id->value, m.value))
			put_text(o, "text", id->value);
		json_object_object_add(o, "strong",
		    json_object_new_boolean(s->is_strong && m.is_strong_kind));
	}
	put_text(o, "from", id->place);
	json_object_array_add(list, o);
	arena_fini(&a);
	return why == NULL;
}

static struct json_object *
parse(struct str json)
{
	struct json_object *o = NULL;
	struct err err;

	return json_parse(json, ATTRIBUTE_MAX_DEPTH, &o, &err) ? o : text(json);
}

/* Fields of a profile, or attributes. */
static struct json_object *
fields(const struct draft_field *v, size_t n)
{
	struct json_object *all = json_object_new_object();
	struct arena a = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct json_object *one = json_object_new_object();
		char *name = arena_text(&a, v[i].name);

		json_object_object_add(one, "value", parse(v[i].json));
		put_text(one, "from", v[i].place);
		if (name == NULL || json_object_object_add(all, name, one) != 0)
			json_object_put(one);
	}
	arena_fini(&a);
	return all;
}

static struct json_object *
party(const struct source *s, const struct draft_party *p)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	bool is_somebody = false;

	for (size_t i = 0; i < p->nidentities; i++)
		is_somebody |= add_identity(list, s, &p->identities[i]);
	put_text(o, "role", p->role);
	/* Without an identity that is used, nobody is looked up or made. */
	json_object_object_add(o, "is_somebody", json_object_new_boolean(is_somebody));
	json_object_object_add(o, "identities", list);
	json_object_object_add(o, "profile", fields(p->fields, p->nfields));
	return o;
}

static struct json_object *
participants(const struct source *s, const struct draft *d)
{
	struct json_object *all = json_object_new_array();

	for (size_t i = 1; i < d->nparties; i++)
		json_object_array_add(all, party(s, &d->parties[i]));
	return all;
}

/* ---- the rest ---- */

/* Those of the event, and what was added to them on the way. */
static struct json_object *
attributes(const struct event_outcome *o)
{
	struct json_object *all = fields(o->draft->attributes, o->draft->nattributes);
	struct json_object *logged = o->event != NULL ? parse(o->event->attributes) : NULL;

	if (logged != NULL) {
		json_object_object_foreach(logged, name, value) {
			struct json_object *one;

			if (json_object_object_get_ex(all, name, NULL))
				continue;
			one = json_object_new_object();
			json_object_object_add(one, "value", json_object_get(value));
			put_text(one, "from", STR("(touchlog)"));
			json_object_object_add(all, name, one);
		}
		json_object_put(logged);
	}
	return all;
}

static void
add_key(struct json_object *event, struct uuid key, enum dedupe_basis basis)
{
	struct json_object *o = json_object_new_object();
	char id[UUID_TEXT_SIZE];

	uuid_text(key, id);
	put_text(o, "by", str_of(basis_names[basis]));
	put_text(o, "key", str_of(id));
	json_object_object_add(event, "dedupe", o);
}

static void
add_number(struct json_object *o, const char *name, size_t n)
{
	json_object_object_add(o, name, json_object_new_int64((int64_t)n));
}

struct json_object *
trial_event(const struct source *s, const struct event_outcome *o)
{
	struct json_object *e = json_object_new_object();

	add_number(e, "index", o->n);
	add_number(e, "document", o->document);
	add_number(e, "item", o->item);
	put_text(e, "fate", str_of(fates[o->end]));
	if (o->why != NULL)
		put_text(e, "why", str_of(o->why->text));
	else if (o->end == EVENT_IGNORED)
		put_text(e, "why", STR("no `when` takes it"));
	if (o->draft != NULL && o->draft->nparties > 0) {
		json_object_object_add(e, "columns", columns(s, o));
		json_object_object_add(e, "customer", party(s, &o->draft->parties[0]));
		json_object_object_add(e, "participants", participants(s, o->draft));
		json_object_object_add(e, "attributes", attributes(o));
	}
	if (o->event != NULL)
		add_key(e, o->event->key, o->event->key_basis);
	else if (o->parking != NULL)
		add_key(e, o->parking->key, o->key_basis);
	return e;
}
