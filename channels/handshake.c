/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tool asks before it sends events, and what it wants to hear.
 *
 * An answer repeats what a stranger sent.  So it is short, without control characters, and
 * plain text that no browser takes for a page.
 */
#include "channels/handshake.h"

#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/json.h"
#include "channels/channel.h"
#include "channels/need_values.h"
#include "channels/post.h"
#include "io/http_server.h"
#include "io/signature.h"
#include "model/place.h"

enum { ANSWER_MAX_BYTES = 1024, BODY_MAX_BYTES = 65536, DOCUMENT_MAX_DEPTH = 100 };

struct handshake {
	bool				 is_get;	/* GET and HEAD; else POST */
	bool				 reads_body;
	struct str			 mark;		/* a body without it is another's; or unset */
	const struct place_condition	*when;
	const struct place		*token;		/* or NULL */
	const struct place		*answer;
};

struct handshakes {
	struct place_needs	 needs;
	struct handshake	*v;		/* the conf's */
	size_t			 n;
};

/* ---- compiling ---- */

static bool
is_in_request(struct str place)
{
	return str_starts(place, STR("header:")) || str_starts(place, STR("query:")) ||
	    str_starts(place, STR("="));
}

/* Whether a place, as it is written, is one of the body. */
static bool
reads_body(const struct conf_node *place)
{
	bool found = false;

	if (conf_is_scalar(place))
		return !is_in_request(conf_text(place));
	if (conf_is_map(place))
		return reads_body(conf_find(place, "from"));
	for (size_t i = 0; i < conf_count(place); i++)
		found |= reads_body(conf_item(place, i));
	return found;
}

/* Conditions on the body: a text that has to stand in it spares parsing those of all the
 * events that come later. */
static void
look_at_when(struct handshake *h, const struct conf_node *when)
{
	for (size_t i = 0; i < conf_count(when); i++) {
		struct str wanted = conf_text(conf_item(when, i));

		if (is_in_request(conf_key_text(when, i)))
			continue;
		h->reads_body = true;
		if (wanted.n > 0 && !str_eq(wanted, STR("yes")) && !str_eq(wanted, STR("no")))
			h->mark = wanted;
	}
}

static bool
check_keys(struct conf *c, const struct conf_node *row)
{
	static const char *const known[] = { "method", "when", "token", "answer" };
	bool ok = true;

	for (size_t i = 0; i < conf_count(row); i++) {
		bool found = false;

		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
			found |= str_eq(conf_key_text(row, i), str_of(known[k]));
		if (!found)
			conf_complain(c, conf_key_node(row, i), "handshake: unknown key \"%.*s\"; known "
			    "are: method, when, token, answer",
			    STR_ARG(str_prefix_utf8(conf_key_text(row, i), 60)));
		ok &= found;
	}
	return ok;
}

static bool
compile_method(struct conf *c, const struct conf_node *row, struct handshake *ret)
{
	const struct conf_node *method = conf_find(row, "method");

	ret->is_get = str_eq(conf_text(method), STR("GET"));
	if (ret->is_get || str_eq(conf_text(method), STR("POST")))
		return true;
	conf_complain(c, method != NULL ? method : row, "handshake: method: GET or POST is wanted");
	return false;
}

static bool
compile_places(struct handshakes *all, struct conf *c, const struct conf_node *row,
    struct handshake *ret)
{
	const struct conf_node *when = conf_find(row, "when"), *token = conf_find(row, "token");
	const struct conf_node *answer = conf_find(row, "answer");
	struct place_reader r = { .conf = c, .needs = &all->needs, .what = "handshake.when" };
	bool ok = when == NULL || place_compile_when(&r, when, &ret->when);

	if (answer == NULL) {
		conf_complain(c, row, "handshake: answer is required: where the text is that the "
		    "sender wants back, or the text after \"=\"");
		return false;
	}
	r.what = "handshake.answer";
	ret->answer = place_compile(&r, answer);
	r.what = "handshake.token";
	if (token != NULL)
		ret->token = place_compile(&r, token);
	if (!ok || ret->answer == NULL || (token != NULL && ret->token == NULL))
		return false;
	ret->reads_body = reads_body(answer) || (token != NULL && reads_body(token));
	if (when != NULL)
		look_at_when(ret, when);
	return true;
}

static bool
compile_row(struct handshakes *all, struct conf *c, const struct conf_node *row,
    struct handshake *ret)
{
	if (!conf_is_map(row)) {
		conf_complain(c, row, "handshake: a map is wanted, such as { method: GET, answer: "
		    "\"=ok\" }");
		return false;
	}
	if (!check_keys(c, row) || !compile_method(c, row, ret) ||
	    !compile_places(all, c, row, ret))
		return false;
	if (ret->is_get && ret->reads_body) {
		conf_complain(c, row, "handshake: a GET has no body: places in it are query:NAME and "
		    "header:NAME");
		return false;
	}
	return true;
}

struct handshakes *
handshakes_compile(struct conf *c, const struct conf_node *list)
{
	struct handshakes *h = arena_alloc(conf_arena(c), sizeof(*h));
	bool ok = true;

	if (!conf_is_list(list)) {
		conf_complain(c, list, "handshake: a list is wanted");
		return NULL;
	}
	if (h == NULL || (h->v = arena_alloc(conf_arena(c),
	    (conf_count(list) + 1) * sizeof(*h->v))) == NULL) {
		conf_complain(c, list, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < conf_count(list); i++)
		ok &= compile_row(h, c, conf_item(list, i), &h->v[h->n++]);
	return ok ? h : NULL;
}

bool
handshakes_have_token(const struct handshakes *h)
{
	bool found = false;

	for (size_t i = 0; h != NULL && i < h->n; i++)
		found |= h->v[i].token != NULL;
	return found;
}

/* ---- a request ---- */

/* One request while it is looked at. */
struct look {
	const struct handshake_question *q;
	struct place_context	 context;	/* ours */
	struct json_object	*doc;		/* ours; NULL without one, or not read yet */
	bool			 has_doc;
};

static void
read_document(struct look *l)
{
	struct err err;

	if (l->has_doc)
		return;
	l->has_doc = true;
	if (!json_parse(http_message_body(l->q->m), DOCUMENT_MAX_DEPTH, &l->doc, &err))
		l->doc = NULL;		/* no JSON: no condition on it holds */
}

/* What can be said without reading anything: most posts are events. */
static bool
may_be(const struct handshake *h, const struct http_message *m)
{
	struct str body = http_message_body(m);

	if (h->is_get ? !str_eq(m->method, STR("GET")) && !str_eq(m->method, STR("HEAD")) :
	    !str_eq(m->method, STR("POST")))
		return false;
	return !h->reads_body || (body.n > 0 && body.n <= BODY_MAX_BYTES &&
	    (h->mark.n == 0 || memmem(body.p, body.n, h->mark.p, h->mark.n) != NULL));
}

static bool
is_this(const struct handshake *h, struct look *l)
{
	struct place_scope whole = { NULL, NULL };

	if (!may_be(h, l->q->m))
		return false;
	if (h->reads_body) {
		read_document(l);
		whole.at = l->doc;
	}
	return place_holds(&l->context, h->when, &whole);
}

static bool
find_text(struct look *l, const struct place *p, struct str *ret)
{
	const struct place_scope whole = { l->doc, NULL };
	struct place_value value;
	struct err err;

	if (place_find(&l->context, p, &whole, &value, &err) != PLACE_FOUND)
		return false;
	*ret = value.text;
	return value.text.p != NULL;
}

static bool
is_known(struct look *l, const struct place *p)
{
	struct signature_request r = { .m = l->q->m };
	const char *check;

	if (l->q->trusts_tokens)
		return true;
	return l->q->tokens != NULL && find_text(l, p, &r.path_token) &&
	    signature_verify(l->q->tokens, &r, &check);
}

/* Words in UTF-8, and short. */
static bool
is_fit(struct str s)
{
	size_t at;

	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= ANSWER_MAX_BYTES && str_is_utf8(s, &at);
}

static struct handshake_answer
make_answer(const struct handshake *h, struct look *l)
{
	struct handshake_answer a = { .status = 200 };

	if (h->token != NULL && !is_known(l, h->token))
		return (struct handshake_answer){ .status = 403, .check = "verify_token",
		    .text = STR("the sender is not known") };
	/* The document goes before the answer does. */
	if (find_text(l, h->answer, &a.text) && is_fit(a.text) &&
	    (a.text = arena_str(l->context.arena, a.text)).p != NULL)
		return a;
	return (struct handshake_answer){ .status = 400, .check = "handshake",
	    .text = STR("there is nothing here that could be answered with") };
}

bool
handshakes_find(const struct handshakes *h, const struct handshake_question *q, struct arena *a,
    struct handshake_answer *ret)
{
	struct look l = { .q = q, .context = { .arena = a } };
	const struct handshake *found = NULL;
	struct err err;

	for (size_t i = 0; h != NULL && i < h->n && found == NULL; i++)
		found = may_be(&h->v[i], q->m) ? &h->v[i] : NULL;
	if (found == NULL)
		return false;
	found = NULL;
	if (need_values_fetch(&h->needs, q->m, a, &l.context.values, &err))
		for (size_t i = 0; i < h->n && found == NULL; i++)
			found = is_this(&h->v[i], &l) ? &h->v[i] : NULL;
	if (found != NULL)
		*ret = make_answer(found, &l);
	place_context_fini(&l.context);
	json_object_put(l.doc);
	return found != NULL;
}

void
handshake_reply(struct channel *ch, struct http_request *take_req, const struct handshake_answer *a)
{
	static const struct http_header plain[] = {
		{ STR("Content-Type"), STR("text/plain; charset=utf-8") },
		{ STR("X-Content-Type-Options"), STR("nosniff") },
		{ STR("Cache-Control"), STR("no-store") },
		{ STR_NONE, STR_NONE },
	};

	if (a->status != 200) {
		post_refuse(ch, take_req, a->status, a->check, NULL, a->text);
	} else {
		channel_answered(ch, http_request_id(take_req), 200, NULL, 0);
		http_reply(take_req, 200, plain, a->text.p, a->text.n);
	}
}
