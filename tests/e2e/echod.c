/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Smallest user of io/http_server, and the target of tests/e2e/test_http.py.
 *   echod ADDRESS:PORT [name=value ...]       names: see set()
 * Prints "port N" when it listens; SIGTERM drains, SIGINT ends at once.
 *
 * POST /echo     the body back, at once
 * POST /later?MS the body back after MS milliseconds (deferred)
 * POST /small    the body back, if it is 100 bytes at most
 * POST /private  the body back, if there is an Authorization header
 * POST /header   the body as the value of X-Echo
 * POST /problem  429 with the body as the detail, and two headers
 * GET  /big?N    N bytes
 * GET  /message  what was understood, one line each
 * GET  /id       the request's id
 * GET  /counts   the counters
 * GET  /refused  the refusals that ops.refused was told of, one line each, oldest
 *                first: id, status, method, path ("-" when unknown), why
 * Other paths are 404: before the body, when there is one.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "io/http_server.h"
#include "io/listen_address.h"

enum { SMALL_BYTES = 100, PAGE_BYTES = 1 << 20 };

struct app {
	struct event_base	*base;
	struct http_server	*server;
	SSL_CTX			*tls;
	unsigned long		 gone;		/* calls of ops.gone */
	unsigned long		 waiting;	/* deferred requests now */
	struct buf		 refused;	/* lines, see GET /refused */
	TAILQ_HEAD(, later)	 laters;
};

struct later {
	TAILQ_ENTRY(later)	 in_app;
	struct app		*app;
	struct http_request	*req;
	struct event		*timer;
};

static const struct http_header text_type[] = {
	{ { "Content-Type", 12 }, { "text/plain", 10 } },
	{ { NULL, 0 }, { NULL, 0 } },
};

static unsigned long
number_of(struct str s)
{
	char text[20] = "";

	if (s.n < sizeof(text) && s.n > 0)
		memcpy(text, s.p, s.n);
	return strtoul(text, NULL, 10);
}

static void
reply_later(evutil_socket_t fd, short what, void *arg)
{
	struct later *later = arg;
	struct str body = http_request_body(later->req);

	(void)fd;
	(void)what;
	later->app->waiting--;
	TAILQ_REMOVE(&later->app->laters, later, in_app);
	http_reply(later->req, 200, text_type, body.p, body.n);
	event_free(later->timer);
	free(later);
}

static void
answer_later(struct app *app, struct http_request *req)
{
	unsigned long ms = number_of(http_request_message(req)->query);
	struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
	struct later *later = calloc(1, sizeof(*later));

	if (later == NULL || (later->timer = evtimer_new(app->base, reply_later, later)) == NULL) {
		free(later);
		http_reply_problem(req, 503, NULL, STR("out of memory"));
		return;
	}
	later->app = app;
	later->req = req;
	app->waiting++;
	TAILQ_INSERT_TAIL(&app->laters, later, in_app);
	http_request_set_priv(req, later);
	(void)event_add(later->timer, &tv);
}

static void
answer_echo(struct app *app, struct http_request *req)
{
	struct str body = http_request_body(req);

	(void)app;
	http_reply(req, 200, text_type, body.p, body.n);
}

static void
answer_header(struct app *app, struct http_request *req)
{
	const struct http_header h[] = {
		{ STR("X-Echo"), http_request_body(req) }, { { NULL, 0 }, { NULL, 0 } },
	};

	(void)app;
	http_reply(req, 204, h, NULL, 0);
}

static void
answer_problem(struct app *app, struct http_request *req)
{
	static const struct http_header h[] = {
		{ { "Retry-After", 11 }, { "7", 1 } }, { { "X-Second", 8 }, { "2", 1 } },
		{ { NULL, 0 }, { NULL, 0 } },
	};

	(void)app;
	http_reply_problem(req, 429, h, http_request_body(req));
}

static void
answer_id(struct app *app, struct http_request *req)
{
	char text[UUID_TEXT_SIZE];

	(void)app;
	uuid_text(http_request_id(req), text);
	http_reply(req, 200, text_type, text, strlen(text));
}

static void
answer_big(struct app *app, struct http_request *req)
{
	size_t n = number_of(http_request_message(req)->query);
	char *bytes = malloc(n + 1);

	(void)app;
	if (bytes == NULL) {
		http_reply_problem(req, 503, NULL, STR("out of memory"));
		return;
	}
	memset(bytes, 'x', n);
	http_reply(req, 200, text_type, bytes, n);
	free(bytes);
}

static void
answer_message(struct app *app, struct http_request *req)
{
	const struct http_message *m = http_request_message(req);
	struct str peer = http_request_peer(req), agent = http_request_header(req, STR("USER-agent"));
	char text[1024];
	int n = snprintf(text, sizeof(text), "method=%.*s\npath=%.*s\nquery=%.*s\nminor=%d\n"
	    "peer=%.*s\nagent=%.*s\nheaders=%zu\nbody=%zu\n", (int)m->method.n, m->method.p,
	    (int)m->path.n, m->path.p, m->query.p ? (int)m->query.n : 6,
	    m->query.p ? m->query.p : "(none)", m->minor, (int)peer.n, peer.p,
	    (int)agent.n, agent.p ? agent.p : "", m->nheaders, m->body_len);

	(void)app;
	http_reply(req, 200, text_type, text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void
answer_counts(struct app *app, struct http_request *req)
{
	const struct http_counts *c = http_server_counts(app->server);
	struct buf b;

	buf_init(&b, PAGE_BYTES);
	buf_printf(&b, "{\"accepted\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"gone\":%" PRIu64
	    ",\"open\":%u,\"told_gone\":%lu,\"waiting\":%lu,\"refused\":{", c->accepted,
	    c->requests, c->gone, c->open, app->gone, app->waiting);
	for (int i = 0; i < HTTP_NREFUSALS; i++)
		buf_printf(&b, "%s\"%s\":%" PRIu64, i > 0 ? "," : "",
		    http_refusal_name((enum http_refusal)i), c->refused[i]);
	buf_text(&b, "},\"responses\":{\"0\":0");
	for (int i = 0; i < HTTP_NSTATUSES; i++)
		if (c->responses[i] > 0)
			buf_printf(&b, ",\"%d\":%" PRIu64, i, c->responses[i]);
	buf_text(&b, "}}\n");
	http_reply(req, 200, NULL, b.p, b.n);
	buf_fini(&b);
}

static void
answer_refused(struct app *app, struct http_request *req)
{
	struct str text = buf_str(&app->refused);

	http_reply(req, 200, text_type, text.p, text.n);
}

static const struct {
	const char	*path;
	void		(*answer)(struct app *, struct http_request *);
} routes[] = {
	{ "/echo", answer_echo },
	{ "/later", answer_later },
	{ "/small", answer_echo },
	{ "/private", answer_echo },
	{ "/header", answer_header },
	{ "/problem", answer_problem },
	{ "/big", answer_big },
	{ "/message", answer_message },
	{ "/id", answer_id },
	{ "/counts", answer_counts },
	{ "/refused", answer_refused },
};

enum { NROUTES = sizeof(routes) / sizeof(routes[0]) };

static size_t
route_of(struct str path)
{
	size_t i = 0;

	while (i < NROUTES && !str_eq(path, str_of(routes[i].path)))
		i++;
	return i;
}

static bool
refuse(struct http_verdict *verdict, int status, const char *why,
    const struct http_header *headers)
{
	verdict->status = status;
	verdict->why = why;
	verdict->headers = headers;
	return false;
}

static bool
on_head(void *owner, const struct http_message *m, struct http_verdict *verdict)
{
	static const struct http_header challenge[] = {
		{ { "WWW-Authenticate", 16 }, { "Bearer", 6 } }, { { NULL, 0 }, { NULL, 0 } },
	};

	(void)owner;
	if (route_of(m->path) == NROUTES)
		return refuse(verdict, 404, "no such path", NULL);
	if (str_eq(m->path, STR("/private")) &&
	    http_message_header(m, STR("authorization")).p == NULL)
		return refuse(verdict, 401, "who are you?", challenge);
	if (str_eq(m->path, STR("/small")))
		verdict->max_body_bytes = SMALL_BYTES;
	return true;
}

static void
on_refused(void *owner, const struct http_message *m, struct uuid id, int status,
    const char *why)
{
	struct app *app = owner;
	char text[UUID_TEXT_SIZE];

	uuid_text(id, text);
	buf_printf(&app->refused, "%s %d %.*s %.*s %s\n", text, status,
	    STR_ARG(m != NULL ? m->method : STR("-")), STR_ARG(m != NULL ? m->path : STR("-")),
	    why);
}

static void
on_request(void *owner, struct http_request *req)
{
	size_t route = route_of(http_request_message(req)->path);

	if (route < NROUTES)
		routes[route].answer(owner, req);
	else
		http_reply_problem(req, 404, NULL, STR("no such path"));
}

static void
on_gone(void *owner, struct http_request *req)
{
	struct app *app = owner;

	(void)req;	/* its timer still answers it, which frees it */
	app->gone++;
}

static const struct http_server_ops ops = {
	.head = on_head, .request = on_request, .gone = on_gone, .refused = on_refused,
};

struct settings {
	struct http_limits	 limits;
	const char		*cert, *key;
};

static void
set(struct settings *s, const char *name, const char *value)
{
	const struct { const char *name; size_t *at; } sizes[] = {
		{ "max_head_bytes", &s->limits.parse.max_head_bytes },
		{ "max_body_bytes", &s->limits.parse.max_body_bytes },
		{ "bodies_bytes", &s->limits.bodies_bytes },
		{ "output_bytes", &s->limits.output_bytes },
	};
	const struct { const char *name; unsigned *at; } numbers[] = {
		{ "request_ms", &s->limits.request_ms },
		{ "idle_ms", &s->limits.idle_ms },
		{ "connections", &s->limits.connections },
		{ "per_address", &s->limits.per_address },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (strcmp(sizes[i].name, name) == 0)
			*sizes[i].at = strtoul(value, NULL, 10);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(numbers[i].name, name) == 0)
			*numbers[i].at = (unsigned)strtoul(value, NULL, 10);
	if (strcmp(name, "cert") == 0)
		s->cert = value;
	if (strcmp(name, "key") == 0)
		s->key = value;
}

static SSL_CTX *
new_tls(const struct settings *s)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	if (tls != NULL && SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1 &&
	    SSL_CTX_use_certificate_chain_file(tls, s->cert) == 1 &&
	    SSL_CTX_use_PrivateKey_file(tls, s->key, SSL_FILETYPE_PEM) == 1) {
		(void)SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION);
		return tls;
	}
	fprintf(stderr, "cannot read %s and %s\n", s->cert, s->key);
	exit(1);
}

static void
on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct app *app = arg;

	(void)what;
	if (fd == SIGTERM)
		http_server_drain(app->server);
	if (fd == SIGINT || http_server_counts(app->server)->open == 0)
		(void)event_base_loopbreak(app->base);
}

int
main(int argc, char **argv)
{
	struct settings s = {
		.limits = { .parse = { 16384, 1048576 }, .request_ms = 10000, .idle_ms = 60000,
		    .bodies_bytes = 268435456, .output_bytes = 65536, .connections = 10000,
		    .per_address = 10000 },
	};
	struct app app = { .base = event_base_new() };
	struct listen_address address;
	struct event *term, *intr;
	struct err err;

	TAILQ_INIT(&app.laters);
	buf_init(&app.refused, PAGE_BYTES);
	for (int i = 2; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (value != NULL) {
			*value++ = '\0';
			set(&s, argv[i], value);
		}
	}
	signal(SIGPIPE, SIG_IGN);
	app.tls = s.cert != NULL ? new_tls(&s) : NULL;
	app.server = http_server_new(app.base, &(struct http_listen){ .take_fd = -1,
	    .address = argc > 1 ? argv[1] : "127.0.0.1:0", .tls = app.tls }, &s.limits, &ops, &app,
	    &err);
	if (app.server == NULL) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	term = evsignal_new(app.base, SIGTERM, on_signal, &app);
	intr = evsignal_new(app.base, SIGINT, on_signal, &app);
	(void)event_add(term, NULL);
	(void)event_add(intr, NULL);
	http_server_address(app.server, &address);
	printf("port %u\n", listen_address_port(&address));
	fflush(stdout);
	(void)event_base_dispatch(app.base);
	http_server_free(app.server);
	/* Requests outlive the server; answering only frees them now. */
	while (!TAILQ_EMPTY(&app.laters))
		reply_later(-1, 0, TAILQ_FIRST(&app.laters));
	event_free(term);
	event_free(intr);
	event_base_free(app.base);
	SSL_CTX_free(app.tls);
	buf_fini(&app.refused);
	return 0;
}
