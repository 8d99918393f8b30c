/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A posted body -> its events -> the log.
 *
 * A body holds documents: one, or those of an array or of lines.  Where there is a map, a
 * document holds items, of which the map's conditions may take all, some or none; without
 * one it is an event itself.  All documents are read and all items found before the first
 * is submitted: what is refused is refused as a whole, and ids are counted through.
 *
 * What is kept of an event (as payload, and to be parked) is what was sent where that was
 * its own; of an item out of a list it is its document with the other items left out.
 * Either is read again by the same way when it was parked: events_replay().
 */
#include "channels/events.h"

#include <stdlib.h>

#include <json-c/json.h>

#include "base/json.h"
#include "channels/body.h"
#include "channels/need_values.h"
#include "channels/post.h"
#include "io/http_server.h"
#include "model/canonical.h"
#include "model/dedupe.h"
#include "model/mapping.h"
#include "model/normalise.h"

enum {
	PARKED_MAX_DEPTH = JSON_DEPTH_MAX,	/* it was let in once */
	EVENTS_MAX = 10000,		/* of one request */
	WRITTEN_MAX_TIMES = 32,		/* what items are written to, in bodies */
	WRITTEN_MIN_BYTES = 1024 * 1024,
};

struct document {
	struct str		 bytes;		/* the body's */
	struct json_object	*json;		/* ours; NULL with an error, or the value null */
	struct map_items	 items;		/* ours; of a mapped one that was told */
	bool			 is_read;	/* else it cannot be stored: its sender's to mend */
	bool			 is_deep;	/* that is why */
	bool			 is_told;	/* its items are known; else the map is to be mended */
	struct err		 err;		/* of either */
};

/* One body while its events are read. */
struct reading {
	const struct source	*source;
	const struct mapping	*mapping;
	struct body		 body;
	struct body_items	 slices;
	struct document		*docs;		/* ours */
	struct arena		 arena;		/* ours */
	const struct str	*values;	/* of the mapping's needs */
	struct str		 whole_type;	/* of what is kept: documents as sent */
	struct str		 item_type;	/* and JSON that was made of them */
	size_t			 nevents;
	size_t			 nwritten;	/* bytes of the latter */
};

/* ---- reading ---- */

static void
reading_fini(struct reading *r)
{
	for (size_t i = 0; i < r->slices.n && r->docs != NULL; i++) {
		map_items_fini(&r->docs[i].items);
		json_object_put(r->docs[i].json);
	}
	free(r->docs);
	arena_fini(&r->arena);
	body_items_fini(&r->slices);
	body_fini(&r->body);
}

/* An array that is not JSON throughout is no array.  A line, or an item that is JSON but
 * cannot be stored, fails alone. */
static bool
read_json(struct reading *r, struct document *d, struct body_refusal *why)
{
	struct json_scan scan;

	d->is_read = json_scan(d->bytes, &scan, &d->err) &&
	    json_parse_scanned(d->bytes, &scan, (size_t)r->source->max_depth,
	    &d->json, &d->err);
	d->is_deep = scan.fault == JSON_DEEP;
	if (d->is_read || d->is_deep || scan.fault == JSON_UNFIT || r->body.form != BODY_JSON)
		return true;
	if (r->slices.is_plural)
		(void)err_in(&d->err, "item %zu", (size_t)(d - r->docs));
	return body_refuse(why, 400, "json", d->err.text);
}

static bool
read_documents(struct reading *r, struct body_refusal *why)
{
	r->docs = calloc(r->slices.n + 1, sizeof(*r->docs));
	if (r->docs == NULL)
		return body_refuse(why, 503, "memory", "out of memory");
	for (size_t i = 0; i < r->slices.n; i++) {
		struct document *d = &r->docs[i];

		d->bytes = r->slices.v[i];
		if (!body_is_form(&r->body)) {
			if (!read_json(r, d, why))
				return false;
			continue;
		}
		if (!body_read_form(&r->body, &d->json, why))
			return false;
		d->is_read = true;
	}
	return true;
}

static struct map_input
input_of(const struct reading *r, const struct document *d)
{
	return (struct map_input){ .doc = d->json, .values = r->values, .zone = r->source->zone };
}

/* How many events the document is. */
static size_t
count(const struct reading *r, const struct document *d)
{
	return r->mapping != NULL && d->is_read && d->is_told ? d->items.n : 1;
}

static bool
find_items(struct reading *r, struct body_refusal *why)
{
	for (size_t i = 0; i < r->slices.n; i++) {
		struct document *d = &r->docs[i];
		const struct map_input in = input_of(r, d);

		if (r->mapping != NULL && d->is_read) {
			d->is_told = mapping_find(r->mapping, &in, &r->arena, &d->items, &d->err);
			if (!d->is_told && d->err.kind != ERR_INPUT)
				return body_refuse(why, 503, "memory", d->err.text);
		}
		r->nevents += count(r, d);
	}
	return r->nevents <= EVENTS_MAX ||
	    body_refuse(why, 413, "too_many", "more than 10000 events in one request");
}

/* What the map reads of the request, and how it is kept beside the bytes. */
static bool
fetch_values(struct reading *r, const struct http_message *m, struct body_refusal *why)
{
	const struct place_needs *needs;
	struct err err;

	r->whole_type = body_is_form(&r->body) ? r->body.type : STR("application/json");
	r->item_type = STR("application/json");
	if (r->mapping == NULL)
		return true;
	needs = mapping_needs(r->mapping);
	return (need_values_fetch(needs, m, &r->arena, &r->values, &err) &&
	    need_values_keep(needs, r->values, r->whole_type, &r->arena, &r->whole_type, &err) &&
	    need_values_keep(needs, r->values, r->item_type, &r->arena, &r->item_type, &err)) ||
	    body_refuse(why, 503, "memory", err.text);
}

static bool
read_body(struct reading *r, const struct http_message *m, struct body_refusal *why)
{
	size_t max_bytes = (size_t)r->source->max_inflated;

	return body_open(&r->body, m, max_bytes, r->mapping != NULL, why) &&
	    body_split(&r->body, &r->slices, why) && read_documents(r, why) &&
	    fetch_values(r, m, why) && find_items(r, why);
}

/* ---- one event ---- */

/* What is kept of the event.  What stands around a thousand items is written a thousand
 * times, which has to have an end; and then there is nothing to park them by. */
static bool
fill_bytes(struct reading *r, struct document *d, size_t i, struct item_origin *o,
    struct arena *a, struct err *err)
{
	bool is_whole = r->mapping == NULL || map_items_is_whole(&d->items, i);
	const struct map_input in = input_of(r, d);

	if (is_whole && !body_is_form(&r->body))
		return true;
	if (!mapping_item_json(&d->items, i, &in, &o->payload, err))
		return false;
	if (is_whole)
		return true;
	r->nwritten += o->payload.n;
	if (r->nwritten > WRITTEN_MIN_BYTES + WRITTEN_MAX_TIMES * r->body.bytes.n)
		return err_set(err, ERR_CONFIG, "too much stands around the items of this document");
	o->raw = o->payload;
	o->content_type = r->item_type;
	return !mapping_has_several_lists(r->mapping) || need_values_keep_lists(r->item_type,
	    map_items_lists(&d->items, i), a, &o->content_type, err);
}

/* Item -> draft -> interaction, by the map or as a canonical event.  The draft comes
 * first: what is kept of the event is good until the next part of its document is
 * written. */
static bool
read_event(struct reading *r, struct document *d, size_t i, struct item_origin *o,
    struct arena *a, struct draft *draft, struct interaction *ret, struct err *err)
{
	const struct map_input in = input_of(r, d);
	struct err other;
	bool fits = r->mapping != NULL ? mapping_run(&d->items, i, &in, a, draft, err) :
	    draft_init(draft, a, err) && canonical_read(d->json, draft, err);

	if (!fill_bytes(r, d, i, o, a, &other)) {
		*err = other;
		return false;
	}
	return fits && normalise(r->source, draft, o, a, ret, err);
}

/* How an event that does not fit is parked.  The key is its own where it can be known, so
 * that the same event parked twice is parked once. */
static struct parking
parking_of(const struct reading *r, const struct draft *d, const struct item_origin *o,
    const struct err *why, enum dedupe_basis *ret_basis)
{
	const struct dedupe_facts facts = { .external_id = d->column[COL_EXTERNAL_ID],
	    .idempotency_key = o->idempotency_key, .index = o->index, .raw = o->raw,
	    .id = o->id };
	struct parking k = { .id = o->id, .source = r->source->name, .raw = o->raw,
	    .content_type = o->content_type, .reason = str_of(why->text) };

	k.key = dedupe_key(r->source, &facts, ret_basis);
	if (*ret_basis == DEDUPE_BY_NOTHING) {
		k.key = dedupe_body_key(r->source, o->raw);
		*ret_basis = DEDUPE_BY_BYTES;
	}
	return k;
}

/* A request whose events go somewhere. */
struct giving {
	struct reading			*r;
	const struct events_sink	*sink;
	void				*arg;
	struct uuid			 id;	/* of the first event */
	struct str			 idempotency_key;
	size_t				 n;	/* events so far */
};

static void
give(struct giving *g, struct event_outcome *o, enum event_end end)
{
	o->end = end;
	g->sink->event(g->arg, o);
}

static void
reject(struct giving *g, struct event_outcome *o, const char *check, const struct err *why)
{
	o->check = check;
	o->why = why;
	give(g, o, EVENT_REJECTED);
}

static void
give_unfit(struct giving *g, struct event_outcome *o, const struct draft *d,
    const struct item_origin *origin, const struct err *why)
{
	const struct parking parking = parking_of(g->r, d, origin, why, &o->key_basis);

	o->parking = &parking;
	o->why = why;
	give(g, o, EVENT_UNFIT);
}

/* A canonical event that does not fit is its sender's to mend; a mapped one's sender
 * knows nothing of our map, so the event is kept until the map is mended. */
static void
give_read(struct giving *g, struct event_outcome *o, struct document *d,
    struct item_origin *origin)
{
	static struct arena arena;	/* kept: most events fit its first block */
	struct interaction event;
	struct draft draft = { 0 };
	struct err err;

	o->draft = &draft;
	if (read_event(g->r, d, o->item, origin, &arena, &draft, &event, &err)) {
		o->event = &event;
		give(g, o, EVENT_FITS);
	} else if (g->r->mapping == NULL || err.kind != ERR_INPUT) {
		reject(g, o, "content", &err);
	} else {
		give_unfit(g, o, &draft, origin, &err);
	}
	arena_reset(&arena);
}

static void
give_item(struct giving *g, size_t document, size_t item)
{
	const struct draft nothing = { 0 };
	struct document *d = &g->r->docs[document];
	struct event_outcome o = { .n = g->n++, .document = document, .item = item };
	struct item_origin origin = { .index = (uint32_t)o.n,
	    .idempotency_key = g->idempotency_key, .raw = d->bytes, .payload = d->bytes,
	    .content_type = g->r->whole_type };

	origin.id = o.id = uuid_plus(g->id, origin.index);
	if (!d->is_read)
		reject(g, &o, d->is_deep ? "depth" : "content", &d->err);
	else if (g->r->mapping != NULL && !d->is_told)
		give_unfit(g, &o, &nothing, &origin, &d->err);
	else if (g->r->mapping != NULL && !map_items_takes(&d->items, item))
		give(g, &o, EVENT_IGNORED);
	else
		give_read(g, &o, d, &origin);
}

static void
give_all(struct giving *g)
{
	struct reading *r = g->r;
	bool is_plural = r->slices.is_plural ||
	    (r->mapping != NULL && mapping_has_each(r->mapping));

	if (!g->sink->begin(g->arg, r->nevents, is_plural))
		return;
	for (size_t i = 0; i < r->slices.n; i++)
		for (size_t k = 0; k < count(r, &r->docs[i]); k++)
			give_item(g, i, k);
}

bool
events_read(const struct source *s, const struct mapping *mapping, const struct http_message *m,
    struct uuid id, const struct events_sink *sink, void *arg, struct body_refusal *why)
{
	struct reading r = { .source = s, .mapping = mapping };
	struct giving g = { .r = &r, .sink = sink, .arg = arg, .id = id,
	    .idempotency_key = http_message_header(m, STR("Idempotency-Key")) };
	bool ok = read_body(&r, m, why);

	if (ok)
		give_all(&g);
	reading_fini(&r);
	return ok;
}

/* ---- into the log ---- */

struct taking {
	struct channel		*ch;
	struct http_request	*req;	/* the post's once there is one */
	struct post		*post;
};

static bool
begin_post(void *arg, size_t n, bool is_plural)
{
	struct taking *t = arg;
	int64_t wait_s;

	if (channel_within_rate(t->ch, n > 0 ? n : 1, &wait_s))
		t->post = post_new(t->ch, t->req, n, is_plural);
	else
		post_refuse_for_now(t->ch, t->req, "rate", wait_s,
		    STR("more events than this source may send"));
	return t->post != NULL;
}

static void
post_event(void *arg, const struct event_outcome *o)
{
	struct taking *t = arg;

	switch (o->end) {
	case EVENT_FITS:
		post_submit(t->post, o->n, o->event);
		break;
	case EVENT_UNFIT:
		post_park(t->post, o->n, o->parking);
		break;
	case EVENT_REJECTED:
		post_reject(t->post, o->n, o->check, o->why);
		break;
	case EVENT_IGNORED:
		post_ignore(t->post, o->n);
		break;
	}
}

void
events_take(struct channel *ch, const struct mapping *mapping, struct http_request *take_req)
{
	static const struct events_sink log = { begin_post, post_event };
	struct taking t = { .ch = ch, .req = take_req };
	struct body_refusal why;
	int64_t wait_s;

	if (!channel_within_rate_bytes(ch, http_request_body(take_req).n, &wait_s))
		post_refuse_for_now(ch, take_req, "rate_bytes", wait_s,
		    STR("more bytes than this source may send"));
	else if (!events_read(channel_source(ch), mapping, http_request_message(take_req),
	    http_request_id(take_req), &log, &t, &why))
		post_refuse(ch, take_req, why.status, why.check, NULL, str_of(why.detail));
	else if (t.post != NULL)
		post_finish(t.post);
}

/* ---- what was parked ---- */

/* The bytes are one document, also where they begin with a bracket. */
static bool
read_parked(struct reading *r, const struct parking *p, struct err *err)
{
	struct body_refusal why;
	struct document *d;

	r->slices.v = calloc(1, sizeof(*r->slices.v));
	r->docs = calloc(1, sizeof(*r->docs));
	if (r->slices.v == NULL || r->docs == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	r->slices.n = 1;
	r->whole_type = r->item_type = p->content_type;
	d = &r->docs[0];
	d->bytes = p->raw;
	if (!body_open_kept(&r->body, p->content_type, p->raw, r->mapping != NULL, &why) ||
	    (body_is_form(&r->body) && !body_read_form(&r->body, &d->json, &why)))
		return err_set(err, why.status == 503 ? ERR_RETRY : ERR_INPUT, "%s", why.detail);
	if (!body_is_form(&r->body) && !json_parse(p->raw, PARKED_MAX_DEPTH, &d->json, err))
		return false;
	return r->mapping == NULL || need_values_restore(mapping_needs(r->mapping),
	    p->content_type, &r->arena, &r->values, err);
}

/* How many items are taken (of those lists only, unless they are none), and the last of
 * them. */
static size_t
count_taken(const struct map_items *items, struct str lists, size_t *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < items->n; i++)
		if (map_items_takes(items, i) &&
		    (lists.p == NULL || str_eq(lists, map_items_lists(items, i)))) {
			*ret = i;
			n++;
		}
	return n;
}

/* An event is parked by itself, but what it stood in may be an item, too: then the lists
 * tell.  The map was mended meanwhile, and they with it: then there has to be but one. */
static bool
find_parked(struct reading *r, struct str type, size_t *ret, struct err *err)
{
	struct document *d = &r->docs[0];
	const struct map_input in = input_of(r, d);
	struct str lists = need_values_lists(type);
	size_t n;

	*ret = 0;
	if (r->mapping == NULL)
		return true;
	if (!mapping_find(r->mapping, &in, &r->arena, &d->items, err))
		return false;
	if (lists.p != NULL && count_taken(&d->items, lists, ret) == 1)
		return true;
	n = count_taken(&d->items, STR_NONE, ret);
	if (n == 0)
		return err_set(err, ERR_INPUT, "no event of this source any more: no `when` takes it");
	return n == 1 || err_set(err, ERR_INPUT, "by the map as it is now these are %zu events; "
	    "post them again", n);
}

static bool
replay_event(struct reading *r, struct channel *ch, const struct parking *p, size_t i,
    struct receipt *receipt, struct arena *a, struct err *err)
{
	struct item_origin o = { .id = p->id, .raw = p->raw, .payload = p->raw,
	    .content_type = p->content_type };
	struct interaction event;
	struct draft draft;

	if (!read_event(r, &r->docs[0], i, &o, a, &draft, &event, err))
		return false;
	/* Without an id of its own, the key of its first coming: that may have been its
	 * request's Idempotency-Key. */
	if (event.text[COL_EXTERNAL_ID].p == NULL)
		event.key = p->key;
	/* It is parked as it came, should it be refused again. */
	event.raw = p->raw;
	event.content_type = p->content_type;
	return channel_submit(ch, &event, receipt, err);
}

bool
events_replay(struct channel *ch, const struct mapping *mapping, const struct parking *p,
    struct receipt *receipt, struct err *err)
{
	struct reading r = { .source = channel_source(ch), .mapping = mapping };
	struct arena arena = { 0 };
	size_t i;
	bool ok = read_parked(&r, p, err) && find_parked(&r, p->content_type, &i, err) &&
	    replay_event(&r, ch, p, i, receipt, &arena, err);

	arena_fini(&arena);
	reading_fini(&r);
	return ok;
}
