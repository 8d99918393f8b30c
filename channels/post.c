/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request that carries events, from its first event to its answer.
 *
 * A post holds its channel, so that a reload does not take it away, and outlives its
 * client: an event that was submitted goes its way whoever waits for the answer.
 */
#include "channels/post.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "io/http_server.h"
#include "io/http_text.h"
#include "io/request_url.h"
#include "io/signature.h"

enum { ANSWER_MAX_BYTES = 16 * 1024 * 1024, SHOWN_MAX_BYTES = 2048 };

enum item_state { ITEM_NONE, ITEM_PENDING, ITEM_FATE, ITEM_REJECTED, ITEM_IGNORED };

struct item {
	struct receipt	 receipt;
	struct post	*post;
	enum item_state	 state;
	enum fate_kind	 fate;		/* ITEM_FATE */
	struct uuid	 id;
	struct str	 detail;	/* ITEM_REJECTED: in the post's arena */
};

struct post {
	struct channel		*ch;		/* held */
	struct http_request	*req;		/* ours until answered */
	struct uuid		 id;
	struct arena		 arena;
	size_t			 npending;
	bool			 is_plural;
	bool			 is_finished;	/* no further event comes */
	bool			 lacks_dedupe;
	size_t			 n;
	struct item		 items[];
};

struct tally {
	size_t	fates[FATE_NKINDS];
	size_t	rejected;
	size_t	ignored;
};

static const struct http_header json_type[] = {
	{ STR("Content-Type"), STR("application/json") },
	{ STR_NONE, STR_NONE },
};

static const struct http_header retry_later[] = {
	{ STR("Content-Type"), STR("application/problem+json") },
	{ STR("Retry-After"), STR("5") },
	{ STR_NONE, STR_NONE },
};

static const struct http_header problem_type[] = {
	{ STR("Content-Type"), STR("application/problem+json") },
	{ STR_NONE, STR_NONE },
};

static const char *const status_names[FATE_NKINDS] = {
	[FATE_LOGGED]	   = "logged",
	[FATE_DUPLICATE]   = "duplicate",
	[FATE_PARKED]	   = "parked",
	[FATE_SPOOLED]	   = "spooled",
	[FATE_UNAVAILABLE] = "unavailable",
};

static const char fate_letters[FATE_NKINDS] = {
	[FATE_LOGGED]	   = 'l',
	[FATE_DUPLICATE]   = 'd',
	[FATE_PARKED]	   = 'p',
	[FATE_SPOOLED]	   = 's',
	[FATE_UNAVAILABLE] = 'u',
};

/* ---- the answer ---- */

static struct tally
count(const struct post *p)
{
	struct tally t = { .rejected = 0 };

	for (size_t i = 0; i < p->n; i++)
		if (p->items[i].state == ITEM_REJECTED)
			t.rejected++;
		else if (p->items[i].state == ITEM_IGNORED)
			t.ignored++;
		else
			t.fates[p->items[i].fate]++;
	return t;
}

static void
put_id(struct buf *b, struct uuid id)
{
	char text[UUID_TEXT_SIZE];

	uuid_text(id, text);
	buf_printf(b, "\"%s\"", text);
}

static void
put_ids(struct buf *b, const struct post *p)
{
	buf_text(b, ",\"ids\":[");
	for (size_t i = 0; i < p->n; i++) {
		const struct item *item = &p->items[i];

		buf_text(b, i > 0 ? "," : "");
		if (item->state == ITEM_FATE && item->fate != FATE_UNAVAILABLE)
			put_id(b, item->id);
		else
			buf_text(b, "null");
	}
	buf_text(b, "]");
}

static void
put_rejected(struct buf *b, const struct post *p)
{
	const char *comma = "";

	buf_text(b, ",\"rejected\":[");
	for (size_t i = 0; i < p->n; i++) {
		if (p->items[i].state != ITEM_REJECTED)
			continue;
		buf_printf(b, "%s{\"index\":%zu,\"detail\":", comma, i);
		buf_json(b, p->items[i].detail);
		buf_text(b, "}");
		comma = ",";
	}
	buf_text(b, "]");
}

static void
put_problem(struct buf *b, int status, const char *detail)
{
	buf_printf(b, "\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\",",
	    http_status_text(status), status, detail);
}

static void
put_dedupe(struct buf *b, const struct post *p)
{
	if (p->lacks_dedupe)
		buf_text(b, ",\"dedupe\":\"none\"");
	buf_text(b, "}\n");
}

/* Several events: what became of each; as a problem when it is one. */
static int
put_plural(struct buf *b, const struct post *p, const struct tally *t)
{
	int status = t->fates[FATE_UNAVAILABLE] > 0 ? 503 :
	    t->rejected > 0 && t->rejected == p->n ? 422 :
	    t->fates[FATE_SPOOLED] > 0 ? 202 : 200;

	buf_text(b, "{");
	if (status == 503)
		put_problem(b, status, "not all events could be taken: send the whole again later");
	if (status == 422)
		put_problem(b, status, "no event could be taken: see rejected");
	buf_printf(b, "\"logged\":%zu,\"duplicates\":%zu,\"spooled\":%zu,\"parked\":%zu",
	    t->fates[FATE_LOGGED], t->fates[FATE_DUPLICATE], t->fates[FATE_SPOOLED],
	    t->fates[FATE_PARKED]);
	if (t->ignored > 0)
		buf_printf(b, ",\"ignored\":%zu", t->ignored);
	put_rejected(b, p);
	put_ids(b, p);
	put_dedupe(b, p);
	return status;
}

static int
put_single(struct buf *b, const struct post *p)
{
	const struct item *item = &p->items[0];

	buf_text(b, "{\"id\":");
	put_id(b, item->id);
	buf_printf(b, ",\"status\":\"%s\"", status_names[item->fate]);
	put_dedupe(b, p);
	return item->fate == FATE_PARKED || item->fate == FATE_SPOOLED ? 202 : 200;
}

static int
put_answer(struct buf *b, const struct post *p, const struct tally *t)
{
	/* One that is ignored has no fate to tell of: the counts say so. */
	if (p->is_plural || t->ignored > 0)
		return put_plural(b, p, t);
	if (t->fates[FATE_UNAVAILABLE] > 0) {
		buf_text(b, "{");
		put_problem(b, 503, "the event could not be stored now: send it again later");
		b->n--;		/* the comma for further members */
		buf_text(b, "}\n");
		return 503;
	}
	if (t->rejected > 0) {
		buf_printf(b, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":422,"
		    "\"detail\":", http_status_text(422));
		buf_json(b, p->items[0].detail);
		buf_text(b, "}\n");
		return 422;
	}
	return put_single(b, p);
}

static void
tell_host(struct post *p, int status)
{
	char *letters = arena_alloc(&p->arena, p->n + 1);

	if (letters == NULL)
		return;		/* the log has it all the same */
	for (size_t i = 0; i < p->n; i++)
		letters[i] = p->items[i].state == ITEM_REJECTED ? 'r' :
		    p->items[i].state == ITEM_IGNORED ? 'i' : fate_letters[p->items[i].fate];
	channel_answered(p->ch, p->id, status, letters, p->n);
}

static void
answer(struct post *p)
{
	struct tally t = count(p);
	struct channel *ch = p->ch;
	size_t n = p->n;
	struct buf b;
	int status;

	buf_init(&b, ANSWER_MAX_BYTES);
	status = put_answer(&b, p, &t);
	tell_host(p, status);
	if (buf_ok(&b))
		http_reply(p->req, status, status == 503 ? retry_later :
		    status >= 400 ? problem_type : json_type, b.p, b.n);
	else
		http_reply_problem(p->req, 500, NULL, STR("the answer became too large"));
	buf_fini(&b);
	arena_fini(&p->arena);
	free(p);
	channel_leave(ch, n);
	channel_release(ch);
}

/* ---- the events ---- */

static void
set_fate(struct item *item, const struct fate *fate)
{
	item->state = ITEM_FATE;
	item->fate = fate->kind;
	item->id = fate->id;
}

static void
on_fate(struct receipt *r, const struct fate *fate)
{
	struct item *item = (struct item *)r;	/* its first member */
	struct post *p = item->post;

	set_fate(item, fate);
	p->npending--;
	if (p->is_finished && p->npending == 0)
		answer(p);
}

struct post *
post_new(struct channel *ch, struct http_request *take_req, size_t n, bool is_plural)
{
	struct post *p = NULL;
	size_t size;

	if (!channel_enter(ch, n)) {
		post_refuse_for_now(ch, take_req, "in_flight", 1,
		    STR("more events of this source wait for their answer than it may have"));
		return NULL;
	}
	if (size_mul(n, sizeof(struct item), &size) && size_add(size, sizeof(*p), &size))
		p = calloc(1, size);
	if (p == NULL) {
		channel_leave(ch, n);
		post_refuse(ch, take_req, 503, "memory", NULL, STR("out of memory"));
		return NULL;
	}
	p->ch = ch;
	p->req = take_req;
	p->id = http_request_id(take_req);
	p->n = n;
	p->is_plural = is_plural;
	channel_hold(ch);
	channel_received(ch, n);
	return p;
}

struct arena *
post_arena(struct post *p)
{
	return &p->arena;
}

static struct item *
start_item(struct post *p, size_t n)
{
	struct item *item = &p->items[n];

	item->receipt.fired = on_fate;
	item->post = p;
	item->state = ITEM_PENDING;
	p->npending++;
	return item;
}

static void
settle(struct post *p, struct item *item, bool was_taken)
{
	const struct fate nowhere = { FATE_UNAVAILABLE, { { 0 } } };

	if (was_taken)
		return;
	p->npending--;
	set_fate(item, &nowhere);
}

void
post_submit(struct post *p, size_t n, const struct interaction *i)
{
	struct item *item = start_item(p, n);
	struct err err;

	p->lacks_dedupe |= i->key_basis == DEDUPE_BY_NOTHING;
	settle(p, item, channel_submit(p->ch, i, &item->receipt, &err));
}

void
post_park(struct post *p, size_t n, const struct parking *k)
{
	struct item *item = start_item(p, n);
	struct err err;

	settle(p, item, channel_park(p->ch, k, &item->receipt, &err));
}

void
post_reject(struct post *p, size_t n, const char *check, const struct err *why)
{
	struct item *item = &p->items[n];

	item->state = ITEM_REJECTED;
	item->detail = arena_str(&p->arena, str_of(why->text));
	channel_rejected(p->ch, check);
}

void
post_ignore(struct post *p, size_t n)
{
	p->items[n].state = ITEM_IGNORED;
	channel_ignored(p->ch, 1);
}

void
post_finish(struct post *p)
{
	p->is_finished = true;
	if (p->npending == 0)
		answer(p);
}

void
post_refuse(struct channel *ch, struct http_request *take_req, int status, const char *check,
    const struct http_header *headers, struct str detail)
{
	static const struct http_header retry[] = {
		{ STR("Retry-After"), STR("5") }, { STR_NONE, STR_NONE },
	};
	static const struct http_header allow[] = {
		{ STR("Allow"), STR("POST") }, { STR_NONE, STR_NONE },
	};

	channel_refused(ch, http_request_id(take_req), status, check,
	    http_request_body(take_req).n, STR_NONE);
	if (headers == NULL)
		headers = status == 503 || status == 429 ? retry : status == 405 ? allow : NULL;
	http_reply_problem(take_req, status, headers, detail);
}

void
post_refuse_for_now(struct channel *ch, struct http_request *take_req, const char *check,
    int64_t wait_s, struct str detail)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRId64, wait_s);
	const struct http_header headers[] = {
		{ STR("Retry-After"), { text, (size_t)n } }, { STR_NONE, STR_NONE },
	};

	post_refuse(ch, take_req, 429, check, headers, detail);
}

void
post_refuse_sender(struct channel *ch, struct http_request *take_req, const char *check,
    const struct http_header *headers, struct str url)
{
	struct buf shown;

	buf_init(&shown, SHOWN_MAX_BYTES);
	if (url.p != NULL)
		request_url_shown(url, &shown);
	channel_refused(ch, http_request_id(take_req), 401, check, http_request_body(take_req).n,
	    url.p != NULL ? buf_str(&shown) : STR_NONE);
	buf_fini(&shown);
	http_reply_problem(take_req, 401, headers, STR("the sender is not known"));
}
