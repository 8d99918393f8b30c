/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /u/TOKEN: one request from its token to its answer.
 *
 * The token is looked up first (touchlog.unsubscribe_look()): one that is unknown gets 404, and who
 * has left already changes nothing.  What leaves is an interaction, `unsubscribe` of source
 * touchlog, that goes through the intake like any event, and is answered when it is safe: so it is
 * logged once however often it is sent, and not lost while the database is away.  Then the token
 * cannot be looked up, and is believed: append() finds out whose it is when the spool is drained,
 * and nobody's changes nothing.
 */
#include "edge/unsubscribe.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <json-c/json.h>

#include "base/bucket.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/intake.h"
#include "io/http_server.h"
#include "io/loop.h"
#include "io/pg_conn.h"
#include "model/form.h"
#include "model/source.h"

enum {
	TOKEN_BYTES	 = 32,
	REQUESTS_PER_S	 = 100,
	LOOK_US		 = 2000 * 1000,		/* the database has this long */
	TICK_US		 = 200 * 1000,
	PAGE_MAX_BYTES	 = 16384,
	KEPT_DAYS	 = 400,			/* a retried one is known */
	GENERATION_BYTES = 40,
};

struct ask {
	TAILQ_ENTRY(ask)	 in_list;	/* while it waits for the database */
	struct unsubscribe	*owner;
	struct http_request	*req;		/* ours until answered */
	struct receipt		 receipt;
	char			 token[TOKEN_BYTES + 1];
	char			 generation[GENERATION_BYTES];	/* of the consent that counts now */
	char			 address[256];	/* shortened, for the page */
	int64_t			 until_us;	/* clock_mono_us() */
	bool			 wants_out;	/* POST */
	bool			 is_one_click;	/* a mail program's, no page of ours */
};

TAILQ_HEAD(asks, ask);

struct unsubscribe {
	struct loop		*loop;		/* the caller's */
	struct intake		*intake;	/* the caller's */
	struct pg_conn		*conn;		/* ours; started at the first question */
	struct event		*tick;		/* ours */
	struct asks		 waiting;	/* the first of them is being asked, while is_asking */
	struct source		 source;	/* `touchlog` */
	struct bucket		 bucket;
	bool			 has_started;
	bool			 is_asking;
	struct ask		*asked;		/* NULL: who asked has been answered meanwhile */
};

static const struct pg_statement statements[] = {
	{ "look", "SELECT address, state, generation FROM touchlog.unsubscribe_look($1)" },
	{ NULL, NULL },
};

#define PAGE_HEADERS \
	{ STR("Content-Type"), STR("text/html; charset=utf-8") }, \
	{ STR("Cache-Control"), STR("no-store") }, \
	{ STR("Content-Security-Policy"), STR("default-src 'none'; style-src 'unsafe-inline'; " \
	    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'") }, \
	{ STR("Referrer-Policy"), STR("no-referrer") }, \
	{ STR("X-Content-Type-Options"), STR("nosniff") }, \
	{ STR("X-Robots-Tag"), STR("noindex") }

static const struct http_header page_headers[] = { PAGE_HEADERS, { STR_NONE, STR_NONE } };
static const struct http_header later_headers[] = {
	PAGE_HEADERS, { STR("Retry-After"), STR("60") }, { STR_NONE, STR_NONE },
};
static const struct http_header allow_headers[] = {
	PAGE_HEADERS, { STR("Allow"), STR("GET, HEAD, POST") }, { STR_NONE, STR_NONE },
};

/* ---- pages ---- */

static const char page_head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Unsubscribe</title>\n"
    "<style>body { font: 1.1em/1.5 sans-serif; max-width: 32em; margin: 4em auto; padding: 0 1em }"
    " button { font: inherit; padding: .5em 1em }</style>\n</head>\n<body>\n<h1>Unsubscribe</h1>\n";

/* RFC 8058's own words, so that the button and a mail program say the same. */
static const char page_button[] =
    "<form method=\"post\"><input type=\"hidden\" name=\"List-Unsubscribe\" value=\"One-Click\">"
    "<input type=\"hidden\" name=\"by\" value=\"page\"><button>Unsubscribe</button></form>\n";

/* before and after the address, which is left out where it is not known. */
static void
answer(struct http_request *take_req, int status, const struct http_header *headers,
    const char *before, const char *address, const char *more)
{
	struct buf page;

	buf_init(&page, PAGE_MAX_BYTES);
	buf_text(&page, page_head);
	buf_printf(&page, "<p>%s", before);
	if (address != NULL) {
		buf_text(&page, address[0] != '\0' ? " <b>" : " <b>your address");
		html_escape(&page, str_of(address));
		buf_text(&page, "</b>.");
	}
	buf_printf(&page, "</p>\n%s</body>\n</html>\n", more);
	http_reply(take_req, status, headers, page.p, page.n);
	buf_fini(&page);
}

static void
count(const char *result)
{
	metric_add(metric_get(METRIC_UNSUBSCRIBES, result, NULL), 1);
}

static void
ask_free(struct ask *a)
{
	receipt_forget(&a->receipt);
	free(a);
}

static void
end(struct ask *a, const char *result, int status, const struct http_header *headers,
    const char *before, const char *address, const char *more)
{
	count(result);
	answer(a->req, status, headers, before, address, more);
	ask_free(a);
}

static void
end_unavailable(struct ask *a)
{
	end(a, "unavailable", 503, later_headers, "This cannot be done just now. Please try again in "
	    "a minute.", NULL, "");
}

static void
end_done(struct ask *a, const char *result)
{
	end(a, result, 200, page_headers, "No more marketing mail will be sent to", a->address, "");
}

/* ---- what is logged ---- */

static void
on_fate(struct receipt *r, const struct fate *fate)
{
	struct ask *a = (struct ask *)((char *)r - offsetof(struct ask, receipt));

	if (fate->kind == FATE_LOGGED || fate->kind == FATE_DUPLICATE || fate->kind == FATE_SPOOLED)
		end_done(a, "done");
	else
		end_unavailable(a);
}

/* What tells it from its own retry: the link, and the statement that it takes back.  Where that
 * is not known, it is another event, which changes nothing any more. */
static struct str
external_id(const struct ask *a, char text[TOKEN_BYTES + GENERATION_BYTES + 1])
{
	int n = snprintf(text, TOKEN_BYTES + GENERATION_BYTES + 1, "%s:%s", a->token, a->generation);

	return (struct str){ text, (size_t)n };
}

static void
submit(struct ask *a)
{
	static const int64_t pg_epoch_s = 946684800;
	struct unsubscribe *u = a->owner;
	struct source_queue *queue = intake_queue(u->intake, "touchlog");
	char id_text[TOKEN_BYTES + GENERATION_BYTES + 1], attributes[200];
	struct party nobody[1] = { { .nmentions = 0 } };	/* none of them is used */
	struct interaction i = { .source = &u->source, .id = http_request_id(a->req),
	    .parties = nobody };
	struct dedupe_facts facts = { .external_id = external_id(a, id_text), .id = i.id };
	struct err err;

	(void)snprintf(attributes, sizeof(attributes), "{\"token\":\"%s\",\"purpose\":\"marketing\","
	    "\"by\":\"%s\"}", a->token, a->is_one_click ? "one_click" : "page");
	i.key = dedupe_key(&u->source, &facts, &i.key_basis);
	i.received_us = i.occurred_us = uuid_at_us(i.id);
	i.until_day = (int32_t)((i.received_us / 1000000 - pg_epoch_s) / 86400 + KEPT_DAYS);
	i.text[COL_CHANNEL] = STR("email");
	i.text[COL_DIRECTION] = STR("in");
	i.text[COL_KIND] = STR("unsubscribe");
	i.text[COL_EXTERNAL_ID] = facts.external_id;
	i.attributes = str_of(attributes);
	a->receipt.fired = on_fate;
	if (queue == NULL || !intake_submit(u->intake, queue, &i, &a->receipt, &err))
		end_unavailable(a);
}

/* ---- the look-up ---- */

/* "ann@c.example" -> "a…@c.example": the page may be seen by others. */
static void
shorten(const char *address, char *out, size_t size)
{
	const char *at = strrchr(address, '@');
	size_t n = 1;

	while (((unsigned char)address[n] & 0xc0) == 0x80)
		n++;
	(void)snprintf(out, size, "%.*s\xe2\x80\xa6%s", (int)n, address, at != NULL ? at : "");
}

static void
on_known(struct ask *a, bool has_left)
{
	if (has_left && a->wants_out)
		end_done(a, "already");
	else if (has_left)
		end_done(a, "shown");
	else if (a->wants_out)
		submit(a);
	else
		end(a, "shown", 200, page_headers, "Do you want no more marketing mail? It is sent to",
		    a->address, page_button);
}

static void
end_unknown(struct ask *a)
{
	end(a, "unknown", 404, page_headers, "There is no such link. Is it whole?", NULL, "");
}

static void
on_looked(struct ask *a, const PGresult *res)
{
	if (PQntuples(res) != 1 || PQgetisnull(res, 0, 0)) {
		end_unknown(a);
		return;
	}
	shorten(PQgetvalue(res, 0, 0), a->address, sizeof(a->address));
	(void)snprintf(a->generation, sizeof(a->generation), "%s",
	    PQgetisnull(res, 0, 2) ? "none" : PQgetvalue(res, 0, 2));
	on_known(a, strcmp(PQgetvalue(res, 0, 1), "withdrawn") == 0);
}

/* The database does not say what the link is about. */
static void
go_without(struct ask *a)
{
	char id[UUID_TEXT_SIZE];

	uuid_text(http_request_id(a->req), id);
	(void)snprintf(a->generation, sizeof(a->generation), "%s", id);
	on_known(a, false);
}

static void
ask_next(struct unsubscribe *u)
{
	struct ask *a = TAILQ_FIRST(&u->waiting);
	struct err err;

	if (a == NULL || u->is_asking || !pg_conn_is_up(u->conn))
		return;
	u->is_asking = true;
	u->asked = a;
	if (!PQsendQueryPrepared(pg_conn_raw(u->conn), "look", 1, (const char *const[]){ a->token },
	    NULL, NULL, 0) || !pg_conn_flush(u->conn, &err)) {
		u->is_asking = false;
		pg_conn_drop(u->conn);
	}
}

static void
on_result(struct unsubscribe *u, const PGresult *res)
{
	struct ask *a = u->asked;

	u->asked = NULL;
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		log_warn("unsubscribe_failed", F_TEXT("sqlstate", PQresultErrorField(res,
		    PG_DIAG_SQLSTATE)), F_TEXT("error", pg_text(PQresultErrorMessage(res))));
	if (a == NULL)
		return;
	TAILQ_REMOVE(&u->waiting, a, in_list);
	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		on_looked(a, res);
	else
		go_without(a);
}

static void
on_input(void *owner)
{
	struct unsubscribe *u = owner;

	while (u->is_asking && !PQisBusy(pg_conn_raw(u->conn))) {
		PGresult *res = PQgetResult(pg_conn_raw(u->conn));

		if (res != NULL) {
			on_result(u, res);
			PQclear(res);
			continue;
		}
		u->is_asking = false;
		ask_next(u);
	}
}

static void
on_up(void *owner)
{
	ask_next(owner);
}

static void
on_down(void *owner, const struct err *why)
{
	struct unsubscribe *u = owner;

	(void)why;		/* the intake and /readyz tell of the database */
	u->is_asking = false;
	u->asked = NULL;
}

static const struct pg_conn_ops conn_ops = { .up = on_up, .down = on_down, .input = on_input };

/* Who has waited too long goes on without; a server that hangs is left. */
static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct unsubscribe *u = arg;
	int64_t now_us = clock_mono_us();
	struct ask *a;

	(void)fd;
	(void)what;
	while ((a = TAILQ_FIRST(&u->waiting)) != NULL && a->until_us <= now_us) {
		TAILQ_REMOVE(&u->waiting, a, in_list);
		if (u->is_asking && u->asked == a) {
			u->asked = NULL;
			u->is_asking = false;
			pg_conn_drop(u->conn);
		}
		go_without(a);
	}
	if (TAILQ_EMPTY(&u->waiting))
		(void)event_del(u->tick);
}

/* ---- requests ---- */

static bool
is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return s.n == TOKEN_BYTES;
}

static bool
is_member(struct json_object *form, const char *name, const char *value)
{
	struct json_object *o;

	return json_object_object_get_ex(form, name, &o) && json_object_is_type(o, json_type_string) &&
	    strcmp(json_object_get_string(o), value) == 0;
}

/* RFC 8058: urlencoded, or multipart. */
static bool
read_form(struct ask *a)
{
	struct str type = http_request_header(a->req, STR("content-type"));
	struct str body = http_request_body(a->req);
	struct json_object *form = NULL;
	struct err err;
	bool ok;

	if (type.n >= 10 && str_eq_nocase((struct str){ type.p, 10 }, STR("multipart/")))
		ok = form_read_multipart(type, body, &form, &err) == FORM_READ;
	else
		ok = form_read_urlencoded(body, FORM_PERCENT, &form, &err) == FORM_READ;
	if (!ok)
		return false;
	ok = is_member(form, "List-Unsubscribe", "One-Click");
	a->is_one_click = !is_member(form, "by", "page");
	json_object_put(form);
	return ok;
}

static void
refuse(struct http_request *take_req, const char *result, int status,
    const struct http_header *headers, const char *text)
{
	count(result);
	answer(take_req, status, headers, text, NULL, "");
}

static void
wait_for_look(struct unsubscribe *u, struct ask *a)
{
	const struct timeval tv = { 0, TICK_US };

	a->until_us = clock_mono_us() + LOOK_US;
	TAILQ_INSERT_TAIL(&u->waiting, a, in_list);
	if (!event_pending(u->tick, EV_TIMEOUT, NULL))
		(void)event_add(u->tick, &tv);
	if (!u->has_started)
		pg_conn_start(u->conn);
	u->has_started = true;
	ask_next(u);
}

void
unsubscribe_request(struct unsubscribe *u, struct http_request *take_req)
{
	const struct http_message *m = http_request_message(take_req);
	struct str token = str_skip(m->path, sizeof("/u/") - 1);
	bool is_post = str_eq(m->method, STR("POST"));
	struct ask *a;
	int64_t wait_s;

	if (!bucket_take(&u->bucket, REQUESTS_PER_S, 1, &wait_s)) {
		refuse(take_req, "limited", 429, later_headers, "Too many at once. Please try again in "
		    "a minute.");
	} else if (!is_post && !str_eq(m->method, STR("GET")) && !str_eq(m->method, STR("HEAD"))) {
		refuse(take_req, "bad", 405, allow_headers, "This is not understood.");
	} else if ((a = calloc(1, sizeof(*a))) == NULL) {
		refuse(take_req, "unavailable", 503, later_headers, "Please try again in a minute.");
	} else {
		a->owner = u;
		a->req = take_req;
		a->wants_out = is_post;
		if (!is_token(token)) {
			end_unknown(a);
			return;
		}
		memcpy(a->token, token.p, TOKEN_BYTES);
		if (is_post && !read_form(a))
			end(a, "bad", 400, page_headers, "This is not understood.", NULL, "");
		else
			wait_for_look(u, a);
	}
}

bool
unsubscribe_is_path(struct str path)
{
	return str_starts(path, STR("/u/"));
}

/* ---- life ---- */

struct unsubscribe *
unsubscribe_new(struct loop *l, const char *conninfo, struct intake *intake, struct err *err)
{
	const struct pg_conn_conf conf = { .conninfo = conninfo,
	    .application_name = "touchlogd unsubscribe", .statements = statements };
	struct unsubscribe *u = calloc(1, sizeof(*u));

	if (u == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	u->loop = l;
	u->intake = intake;
	u->source = (struct source){ .name = STR("touchlog"), .key_name = STR("touchlog"),
	    .dedupe = DEDUPE_AUTO, .is_strong = true };
	TAILQ_INIT(&u->waiting);
	bucket_init(&u->bucket);
	u->tick = event_new(loop_base(l), -1, EV_PERSIST, on_tick, u);
	u->conn = pg_conn_new(l, &conf, &conn_ops, u, err);
	if (u->conn != NULL && u->tick != NULL)
		return u;
	if (u->tick == NULL)
		(void)err_set(err, ERR_RETRY, "out of memory");
	unsubscribe_free(u);
	return NULL;
}

void
unsubscribe_free(struct unsubscribe *u)
{
	struct ask *a;

	if (u == NULL)
		return;
	while ((a = TAILQ_FIRST(&u->waiting)) != NULL) {
		TAILQ_REMOVE(&u->waiting, a, in_list);
		end_unavailable(a);
	}
	pg_conn_free(u->conn);
	if (u->tick != NULL)
		event_free(u->tick);
	free(u);
}
