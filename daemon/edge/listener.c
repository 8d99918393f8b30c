/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP listeners: path -> channel or page.
 *
 * /in/{source}... goes to the source's channel, on listeners that serve ingest, which serve
 * the links to unsubscribe (unsubscribe.c) too; the pages of a table (ops_pages.c) are answered on those that serve ops.  What a
 * listener does not serve is 404 there, as if it did not exist.
 */
#include "edge/listener.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "channels/channel.h"
#include "edge/channel_host.h"
#include "edge/config.h"
#include "edge/ops_pages.h"
#include "edge/unsubscribe.h"
#include "io/http_server.h"
#include "io/listen_address.h"
#include "io/loop.h"
#include "io/passed_sockets.h"
#include "io/tls_context.h"

enum {
	BODY_MAX_BYTES	 = 256 * 1024 * 1024,	/* max_body of a source is lower */
	OPS_BODY_BYTES	 = 1024,
	OUTPUT_BYTES	 = 64 * 1024,
};

struct listener {
	struct listeners	*all;
	struct http_server	*server;	/* ours */
	char			*name;		/* ours */
	unsigned		 serve;		/* enum listener_role */
	int64_t			 tls_until_s;	/* its certificate's end; 0: it speaks no TLS */
};

struct listeners {
	struct channel_host	*host;		/* the caller's */
	struct intake		*intake;	/* the caller's */
	const struct rules	*rules;		/* the caller's */
	struct unsubscribe	*unsubscribe;	/* the caller's */
	size_t			 n;
	struct listener		 v[];
};

/* ---- paths ---- */

/* "/in/{name}{rest}" -> name; none for any other path. */
static struct str
source_of(struct str path, struct str *ret_rest)
{
	static const struct str prefix = STR("/in/");
	struct str name;
	size_t n = 0;

	if (!str_starts(path, prefix))
		return STR_NONE;
	name = str_skip(path, prefix.n);
	while (n < name.n && name.p[n] != '/')
		n++;
	*ret_rest = str_skip(name, n);
	name.n = n;
	return name;
}

static struct channel *
channel_at(const struct listener *l, struct str path, struct str *ret_rest)
{
	struct str name = source_of(path, ret_rest);
	struct channel *ch = NULL;

	if (name.p != NULL && (l->serve & SERVE_INGEST) != 0)
		ch = channel_host_find(l->all->host, name);
	return ch != NULL && channel_ops_of(ch)->request != NULL ? ch : NULL;
}

static bool
is_unsubscribe(const struct listener *l, struct str path)
{
	return (l->serve & SERVE_INGEST) != 0 && unsubscribe_is_path(path);
}

/* ---- the server's ops ---- */

static bool
on_head(void *owner, const struct http_message *m, struct http_verdict *verdict)
{
	const struct listener *l = owner;
	struct str rest;
	struct channel *ch = channel_at(l, m->path, &rest);

	if (ch == NULL && (l->serve & SERVE_OPS) != 0 && ops_page_exists(m->path)) {
		verdict->max_body_bytes = OPS_BODY_BYTES;
		return true;
	}
	if (ch == NULL && is_unsubscribe(l, m->path)) {
		verdict->max_body_bytes = UNSUBSCRIBE_BODY_BYTES;
		return true;
	}
	if (ch == NULL) {
		verdict->status = 404;
		verdict->why = "there is no such source or page";
		return false;
	}
	verdict->max_body_bytes = (size_t)channel_source(ch)->max_body;
	return channel_ops_of(ch)->head == NULL ||
	    channel_ops_of(ch)->head(ch, m, rest, verdict);
}

static void
on_request(void *owner, struct http_request *req)
{
	const struct listener *l = owner;
	const struct http_message *m = http_request_message(req);
	struct str rest;
	struct channel *ch = channel_at(l, m->path, &rest);
	const struct ops_context context = { l->all->host, l->all->intake, l->all,
	    l->all->rules };

	if (ch != NULL)
		channel_ops_of(ch)->request(ch, req, rest);
	else if (is_unsubscribe(l, m->path))
		unsubscribe_request(l->all->unsubscribe, req);
	else if ((l->serve & SERVE_OPS) == 0 || !ops_page_answer(&context, req))
		http_reply_problem(req, 404, NULL, STR("there is no such source or page"));
}

static const char *
check_of(int status)
{
	static const struct { int status; const char *check; } checks[] = {
		{ 408, "timeout" }, { 413, "too_large" }, { 414, "head_too_large" },
		{ 429, "rate_bytes" }, { 431, "head_too_large" }, { 503, "memory" },
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (checks[i].status == status)
			return checks[i].check;
	return "http";
}

/* The server refused it before it was a request: it is the source's refusal too. */
static void
on_refused(void *owner, const struct http_message *m, struct uuid id, int status, const char *why)
{
	const struct listener *l = owner;
	struct str rest;
	struct channel *ch = m != NULL && m->path.p != NULL ? channel_at(l, m->path, &rest) : NULL;

	(void)why;
	if (ch != NULL)
		channel_refused(ch, id, status, check_of(status), 0, STR_NONE);
}

static const struct http_server_ops server_ops = {
	.head = on_head, .request = on_request, .refused = on_refused,
};

/* ---- life ---- */

/* The address is that of the socket, which need not be the configured one. */
static void
tell_listening(const struct listener *l, const char *configured, bool is_passed)
{
	struct listen_address a, wanted;
	char text[LISTEN_ADDRESS_SIZE];

	http_server_address(l->server, &a);
	listen_address_text(&a, text);
	log_info("listening", F_TEXT("listener", l->name), F_TEXT("address", text),
	    F_NUM("port", listen_address_port(&a)),
	    F_TEXT(l->tls_until_s != 0 ? "tls" : NULL, "yes"),
	    F_TEXT(is_passed ? "socket" : NULL, "passed"));
	if (is_passed && listen_address_read(configured, &wanted) &&
	    listen_address_port(&wanted) != 0 && !listen_address_eq(&a, &wanted))
		log_warn("socket_elsewhere", F_TEXT("listener", l->name), F_TEXT("address", text),
		    F_TEXT("configured", configured), F_TEXT("hint", "the socket unit decides: "
		    "write its ListenStream= here too"));
}

static struct http_limits
limits_of(const struct listener_conf *c)
{
	return (struct http_limits){
		.parse = { (size_t)c->max_head, BODY_MAX_BYTES },
		.request_ms = (unsigned)c->request_ms, .idle_ms = (unsigned)c->idle_ms,
		.bodies_bytes = (size_t)c->max_bodies, .output_bytes = OUTPUT_BYTES,
		.connections = (unsigned)c->max_connections,
		.per_address = (unsigned)c->max_per_address,
	};
}

static void
use_certificate(struct listener *l, const struct listener_conf *c)
{
	l->tls_until_s = c->tls.context != NULL ? tls_context_valid_until_s(c->tls.context) : 0;
}

static bool
open_listener(struct loop *loop, struct listener *l, const struct conf_named *named,
    struct passed_sockets *passed, struct err *err)
{
	const struct listener_conf *c = named->common;
	const struct http_limits limits = limits_of(c);
	struct http_listen at = { .address = c->address.p, .tls = c->tls.context };

	l->name = strndup(named->name.p, named->name.n);
	if (l->name == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	l->serve = c->serve;
	use_certificate(l, c);
	at.take_fd = passed_sockets_take(passed, l->name, c->address.p);
	l->server = http_server_new(loop_base(loop), &at, &limits, &server_ops, l, err);
	if (l->server == NULL) {
		if (at.take_fd != -1)
			(void)close(at.take_fd);
		return err_in(err, "listener=%s", l->name);
	}
	tell_listening(l, at.address, at.take_fd != -1);
	return true;
}

struct listeners *
listeners_new(struct loop *loop, const struct config *c, struct passed_sockets *passed,
    struct channel_host *host, struct intake *intake, const struct rules *rules,
    struct unsubscribe *unsubscribe, struct err *err)
{
	struct listeners *ls = calloc(1, sizeof(*ls) + c->listeners.n * sizeof(ls->v[0]));

	if (ls == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	ls->host = host;
	ls->intake = intake;
	ls->rules = rules;
	ls->unsubscribe = unsubscribe;
	for (size_t i = 0; i < c->listeners.n; i++) {
		ls->v[i].all = ls;
		ls->n++;
		if (!open_listener(loop, &ls->v[i], &c->listeners.v[i], passed, err)) {
			listeners_free(ls);
			return NULL;
		}
	}
	return ls;
}

static const struct listener_conf *
conf_of(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->listeners.n; i++)
		if (str_eq(c->listeners.v[i].name, str_of(name)))
			return c->listeners.v[i].common;
	return NULL;
}

void
listeners_use(struct listeners *ls, const struct config *c)
{
	for (size_t i = 0; i < ls->n; i++) {
		struct listener *l = &ls->v[i];
		const struct listener_conf *conf = conf_of(c, l->name);
		struct http_limits limits;

		if (conf == NULL)
			continue;	/* a restart takes it away */
		limits = limits_of(conf);
		http_server_set_limits(l->server, &limits);
		use_certificate(l, conf);
		http_server_set_tls(l->server, conf->tls.context);
	}
}

void
listeners_free(struct listeners *ls)
{
	if (ls == NULL)
		return;
	for (size_t i = 0; i < ls->n; i++) {
		http_server_free(ls->v[i].server);
		free(ls->v[i].name);
	}
	free(ls);
}

void
listeners_drain(struct listeners *ls)
{
	for (size_t i = 0; i < ls->n; i++)
		http_server_drain(ls->v[i].server);
}

bool
listeners_are_closed(const struct listeners *ls)
{
	for (size_t i = 0; i < ls->n; i++)
		if (http_server_counts(ls->v[i].server)->open > 0)
			return false;
	return true;
}

static void
measure_tls(const struct listener *l, const struct http_counts *n)
{
	if (l->tls_until_s == 0 && n->handshakes == 0)
		return;
	metric_set(metric_get(METRIC_TLS_EXPIRY, l->name, NULL), (double)l->tls_until_s);
	metric_set(metric_get(METRIC_TLS_HANDSHAKES, l->name, NULL), (double)n->handshakes);
	for (enum tls_failure why = 0; why < TLS_NFAILURES; why++)
		metric_set(metric_get(METRIC_TLS_FAILURES, l->name, tls_failure_name(why)),
		    (double)n->handshake_failures[why]);
}

static void
measure_one(const struct listener *l)
{
	const struct http_counts *n = http_server_counts(l->server);

	measure_tls(l, n);

	metric_set(metric_get(METRIC_HTTP_CONNECTIONS, l->name, NULL), n->open);
	metric_set(metric_get(METRIC_HTTP_ACCEPTED, l->name, NULL), (double)n->accepted);
	metric_set(metric_get(METRIC_HTTP_REQUESTS, l->name, NULL), (double)n->requests);
	for (enum http_refusal why = 0; why < HTTP_NREFUSALS; why++)
		metric_set(metric_get(METRIC_HTTP_BAD, l->name, http_refusal_name(why)),
		    (double)n->refused[why]);
}

void
listeners_measure(const struct listeners *ls)
{
	char code[8];

	for (size_t i = 0; i < ls->n; i++)
		measure_one(&ls->v[i]);
	for (int status = 100; status < HTTP_NSTATUSES; status++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < ls->n; i++)
			sum += http_server_counts(ls->v[i].server)->responses[status];
		if (sum == 0)
			continue;
		(void)snprintf(code, sizeof(code), "%d", status);
		metric_set(metric_get(METRIC_HTTP_RESPONSES, code, NULL), (double)sum);
	}
}
