/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Action `webhook`: JSON is posted to a URL, signed as Standard Webhooks says.
 *
 * The receiver may get the same delivery more than once (an answer that was lost, a daemon that was
 * killed): it then carries the same webhook-id.  What it answers is looked at by its status only.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <json-c/json_object.h>

#include "base/clock.h"
#include "base/json.h"
#include "flow/action_body.h"
#include "flow/action_set.h"
#include "flow/action_types.h"
#include "flow/dispatcher.h"
#include "flow/host_gate.h"
#include "flow/mail_conf.h"
#include "io/http_client.h"
#include "io/signature.h"

enum {
	URL_MAX_BYTES		= 8192,
	BODY_MAX_BYTES		= 1024 * 1024,
	HEADERS_MAX_BYTES	= 64 * 1024,
	ANSWER_MAX_BYTES	= 64 * 1024,	/* read of it; nothing is kept */
	HEADERS_MAX		= 32,
	ERROR_BYTES		= 200,
};

struct webhook_conf {
	struct str		 url;
	const struct conf_node	*body, *headers;
	struct conf_texts	 authorization, secret;
	int64_t			 timeout_ms;
	int			 purpose;	/* index into purposes */
	struct signature	**signatures;	/* the configuration's; one for each secret */
	const struct action_env	*env;
};

/* A delivery on its way. */
struct post {
	struct action_job	*job;
	struct gate_pass	 pass;
	struct http_fetch	*fetch;		/* ours; NULL: it waits */
	struct buf		 url, body, headers;	/* headers: lines, each with a NUL */
};

/* ---- settings ---- */

static const char *const purposes[] = { "none", "service", "marketing", NULL };

#define OF_WEBHOOK(field) offsetof(struct webhook_conf, field)

static const struct conf_key webhook_keys[] = {
	{ "url", CONF_TEXT, OF_WEBHOOK(url), .required = true, .reload = true,
	    .help = "Where to: http:// or https://, a template whose values are percent-encoded. "
	    "Redirects are not followed." },
	{ "body", CONF_TREE, OF_WEBHOOK(body), .reload = true,
	    .help = "The JSON to post: maps and lists of templates, such as {text: \"{subject}\"}. "
	    "A text behind = is JSON itself: \"={amount}\", \"=true\". Default: all that is known: "
	    "rule, interaction, customer." },
	{ "headers", CONF_TREE, OF_WEBHOOK(headers), .reload = true,
	    .help = "Further headers, by name: templates." },
	{ "authorization", CONF_SECRETS, OF_WEBHOOK(authorization), .reload = true,
	    .help = "The value of the header Authorization, such as Bearer and a token." },
	{ "secret", CONF_SECRETS, OF_WEBHOOK(secret), .reload = true,
	    .help = "Signs each request as Standard Webhooks says (webhook-id, webhook-timestamp, "
	    "webhook-signature): whsec_ and base64. Of several, each signs." },
	{ "timeout", CONF_MS, OF_WEBHOOK(timeout_ms), .min = 100, .max = 60000, .def = "15s",
	    .reload = true, .help = "How long the receiver may take." },
	{ "purpose", CONF_ENUM, OF_WEBHOOK(purpose), .choices = purposes, .def = "none",
	    .reload = true, .help = "What leaves for a customer: marketing needs his consent. "
	    "none: it is not for him." },
	{ 0 },
};

static bool
is_url(struct str url)
{
	for (size_t i = 0; i < url.n; i++)
		if (url.p[i] <= ' ' || url.p[i] > '~')
			return false;
	return (str_starts(url, STR("https://")) && url.n > 8) ||
	    (str_starts(url, STR("http://")) && url.n > 7);
}

static void
free_signature(void *arg)
{
	signature_free(arg);
}

static bool
add_signature(struct conf *c, struct webhook_conf *w, size_t i, struct err *err)
{
	const struct signature_conf conf = { .scheme = SIGNATURE_STANDARD_WEBHOOKS,
	    .secrets = &w->secret.v[i], .nsecrets = 1, .signs = true };

	w->signatures[i] = signature_new(&conf, err);
	if (w->signatures[i] == NULL)
		return false;
	if (conf_defer(c, free_signature, w->signatures[i]))
		return true;
	signature_free(w->signatures[i]);
	return err_set(err, ERR_RETRY, "out of memory");
}

static void
check_secrets(struct conf *c, const struct conf_node *node, struct webhook_conf *w)
{
	struct err err;

	if (w->authorization.n > 1)
		conf_complain(c, conf_find(node, "authorization"), "authorization: one is wanted");
	if (w->secret.n == 0 || !conf_has_secrets(c))
		return;
	w->signatures = arena_alloc(conf_arena(c), w->secret.n * sizeof(struct signature *));
	for (size_t i = 0; w->signatures != NULL && i < w->secret.n; i++)
		if (!add_signature(c, w, i, &err)) {
			conf_complain(c, conf_find(node, "secret"), "secret: %s", err.text);
			return;
		}
}

static bool
is_header_name(struct str name)
{
	static const char also[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < name.n; i++) {
		char ch = name.p[i];

		if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z') &&
		    !(ch >= '0' && ch <= '9') && (ch == '\0' || strchr(also, ch) == NULL))
			return false;
	}
	return name.n > 0;
}

/* What the request's form depends on is not for templates. */
static bool
is_ours(struct str name)
{
	static const struct str ours[] = { STR("Host"), STR("Content-Length"),
	    STR("Transfer-Encoding"), STR("Connection"), STR("Authorization"), STR("webhook-id"),
	    STR("webhook-timestamp"), STR("webhook-signature") };

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (str_eq_nocase(name, ours[i]))
			return true;
	return false;
}

static void
check_headers(struct conf *c, const struct conf_node *headers)
{
	if (headers == NULL)
		return;
	if (!conf_is_map(headers) || conf_count(headers) > HEADERS_MAX / 2) {
		conf_complain(c, headers, "headers: a map of at most %d headers is wanted",
		    HEADERS_MAX / 2);
		return;
	}
	for (size_t i = 0; i < conf_count(headers); i++) {
		struct str name = conf_key_text(headers, i);

		if (!is_header_name(name) || is_ours(name))
			conf_complain(c, conf_key_node(headers, i), "headers: %.*s cannot be set "
			    "here", STR_ARG(name));
		if (!conf_is_scalar(conf_item(headers, i)))
			conf_complain(c, conf_item(headers, i), "headers: a text is wanted");
	}
	action_body_check(c, headers, "headers");
}

static void
check_webhook(struct conf *c, const struct conf_node *node, void *own)
{
	struct webhook_conf *w = own;
	struct err err;

	if (w->url.p != NULL && !is_url(w->url))
		conf_complain(c, conf_find(node, "url"), "url: http:// or https://, a host, and "
		    "nothing that a URL has percent-encoded are wanted");
	else if (w->url.p != NULL && !action_template_check(w->url, &err))
		conf_complain(c, conf_find(node, "url"), "url: %s", err.text);
	action_body_check(c, w->body, "body");
	check_headers(c, w->headers);
	check_secrets(c, node, w);
}

static void
use_env(void *own, const struct action_env *env)
{
	struct webhook_conf *w = own;

	w->env = env;
}

/* PostgreSQL has to know of it only whether it may leave. */
static struct json_object *
webhook_settings(const void *own)
{
	const struct webhook_conf *w = own;
	struct json_object *o = json_object_new_object();

	if (o == NULL || w->purpose == 0)
		return o;
	(void)json_object_object_add(o, "purpose", json_object_new_string(purposes[w->purpose]));
	(void)json_object_object_add(o, "consent_model",
	    json_object_new_string(consent_model_names[w->env->mail->consent_model]));
	return o;
}

/* ---- building ---- */

/* What does not fit now will not fit at the next try. */
static bool
is_built(const struct buf *b, bool ok, const char *what, struct err *err)
{
	if (!buf_ok(b))
		return err_set(err, ERR_INPUT, "%s: it is longer than %zu bytes", what, b->max);
	return ok || err_in(err, "%s", what);
}

static bool
build_url(struct post *p, const struct webhook_conf *w, struct json_object *payload,
    struct err *err)
{
	bool ok = action_substitute(w->url, payload, ESCAPE_URL, &p->url, err);

	buf_add(&p->url, "", 1);
	return is_built(&p->url, ok, "url", err);
}

static bool
add_header(struct post *p, struct str name, struct str text, struct json_object *payload,
    struct err *err)
{
	bool ok;

	buf_str_add(&p->headers, name);
	buf_text(&p->headers, ": ");
	ok = action_substitute(text, payload, ESCAPE_HEADER, &p->headers, err);
	buf_add(&p->headers, "", 1);
	return is_built(&p->headers, ok, "headers", err);
}

static bool
has_header(const struct conf_node *headers, struct str name)
{
	for (size_t i = 0; headers != NULL && i < conf_count(headers); i++)
		if (str_eq_nocase(conf_key_text(headers, i), name))
			return true;
	return false;
}

static bool
build_headers(struct post *p, const struct webhook_conf *w, struct json_object *payload,
    struct err *err)
{
	for (size_t i = 0; w->headers != NULL && i < conf_count(w->headers); i++)
		if (!add_header(p, conf_key_text(w->headers, i),
		    conf_text(conf_item(w->headers, i)), payload, err))
			return false;
	if (!has_header(w->headers, STR("Content-Type"))) {
		buf_text(&p->headers, "Content-Type: application/json");
		buf_add(&p->headers, "", 1);
	}
	if (w->authorization.n > 0) {
		buf_text(&p->headers, "Authorization: ");
		buf_str_add(&p->headers, w->authorization.v[0]);
		buf_add(&p->headers, "", 1);
	}
	/* libcurl would ask for leave before it sends a long body, and wait a second for it. */
	buf_text(&p->headers, "Expect:");
	buf_add(&p->headers, "", 1);
	return is_built(&p->headers, true, "headers", err);
}

static bool
build(struct post *p, struct err *err)
{
	const struct webhook_conf *w = action_job_conf(p->job);
	struct json_object *payload = action_job_payload(p->job);

	return build_url(p, w, payload, err) &&
	    is_built(&p->body, action_body_build(w->body, payload, &p->body, err), "body", err) &&
	    build_headers(p, w, payload, err);
}

/* "https://user@Host:8443/x" -> "Host:8443" */
static struct str
host_of(const struct buf *url)
{
	struct str rest = { url->p, url->n - 1 };

	(void)str_cut(&rest, ':');
	rest = str_skip(rest, 2);
	for (size_t i = 0; i < rest.n; i++)
		if (strchr("/?#", rest.p[i]) != NULL)
			rest.n = i;
	for (size_t i = rest.n; i > 0; i--)
		if (rest.p[i - 1] == '@')
			return str_skip(rest, i);
	return rest;
}

/* ---- signing ---- */

/* What stands in the last header of one that was signed. */
static struct str
signature_in(const struct buf *headers)
{
	static const char name[] = "webhook-signature: ";
	const char *at = memmem(headers->p, headers->n, name, sizeof(name) - 1);
	struct str value = STR_NONE;

	if (at == NULL)
		return value;
	value = (struct str){ at + sizeof(name) - 1,
	    headers->n - (size_t)(at - headers->p) - (sizeof(name) - 1) };
	return str_cut(&value, '\r');
}

static bool
sign_with(struct post *p, struct signature *s, struct buf *list, int64_t now_us, struct err *err)
{
	const struct signature_draft draft = { .method = STR("POST"), .url = buf_str(&p->url),
	    .content_type = STR("application/json"), .body = buf_str(&p->body),
	    .id = str_of(action_job_delivery_id(p->job)), .now_us = now_us };
	struct signature_signed out;
	bool ok;

	buf_init(&out.headers, HEADERS_MAX_BYTES);
	buf_init(&out.url, URL_MAX_BYTES);
	buf_init(&out.body, BODY_MAX_BYTES);
	ok = signature_sign(s, &draft, &out, err);
	if (ok) {
		buf_text(list, list->n > 0 ? " " : "");
		buf_str_add(list, signature_in(&out.headers));
	}
	buf_fini(&out.headers);
	buf_fini(&out.url);
	buf_fini(&out.body);
	return ok;
}

/* The id says that it is the same delivery, also where nobody signs. */
static bool
sign(struct post *p, struct err *err)
{
	const struct webhook_conf *w = action_job_conf(p->job);
	int64_t now_us = clock_now_us();
	struct buf list;
	bool ok = true;

	buf_init(&list, HEADERS_MAX_BYTES);
	for (size_t i = 0; ok && w->signatures != NULL && i < w->secret.n; i++)
		ok = sign_with(p, w->signatures[i], &list, now_us, err);
	buf_printf(&p->headers, "webhook-id: %s", action_job_delivery_id(p->job));
	buf_add(&p->headers, "", 1);
	buf_printf(&p->headers, "webhook-timestamp: %" PRId64, now_us / 1000000);
	buf_add(&p->headers, "", 1);
	if (list.n > 0) {
		buf_printf(&p->headers, "webhook-signature: %.*s", STR_ARG(buf_str(&list)));
		buf_add(&p->headers, "", 1);
	}
	ok = ok && (buf_ok(&p->headers) || err_set(err, ERR_RETRY, "out of memory"));
	buf_fini(&list);
	return ok;
}

/* ---- the end ---- */

static void
post_free(struct post *p)
{
	buf_fini(&p->url);
	buf_fini(&p->body);
	buf_fini(&p->headers);
	free(p);
}

static void
finish(struct post *p, enum action_end end, int64_t retry_after_ms, const char *error)
{
	struct action_job *job = p->job;
	const struct action_outcome how = { .end = end, .retry_after_ms = retry_after_ms,
	    .error = error };

	post_free(p);
	action_job_done(job, &how);
}

static void
fail(struct post *p, const struct err *err)
{
	finish(p, err->kind == ERR_INPUT ? ACTION_DEAD : ACTION_RETRY, 0, err->text);
}

static enum action_end
end_of(const struct http_got *got)
{
	switch (got->status) {
	case 0:
		return got->is_refused ? ACTION_DEAD : ACTION_RETRY;
	case 410:
		return ACTION_GONE;
	case 408: case 409: case 425: case 429:
		return ACTION_RETRY;
	default:
		if (got->status >= 200 && got->status < 300)
			return ACTION_DONE;
		return got->status >= 400 && got->status < 500 ? ACTION_DEAD : ACTION_RETRY;
	}
}

static enum gate_end
gate_end_of(const struct http_got *got)
{
	if (got->is_refused)
		return GATE_NEITHER;
	return got->status == 0 || got->status >= 500 ? GATE_FAULT : GATE_WELL;
}

/* Leaving the gate may call others, and the job is gone when it is done: both come last. */
static void
on_answer(void *arg, const struct http_got *got)
{
	struct post *p = arg;
	struct host_gates *gates = dispatcher_gates(action_job_dispatcher(p->job));
	enum action_end end = end_of(got);
	char error[ERROR_BYTES];

	if (got->status == 0)
		(void)snprintf(error, sizeof(error), "%s", got->why);
	else
		(void)snprintf(error, sizeof(error), "HTTP %d", got->status);
	p->fetch = NULL;
	host_gates_leave(gates, &p->pass, gate_end_of(got),
	    end == ACTION_RETRY ? got->retry_after_ms : 0);
	finish(p, end, got->retry_after_ms, end == ACTION_DONE ? NULL : error);
}

/* ---- the way ---- */

static void
post_now(struct post *p)
{
	const struct webhook_conf *w = action_job_conf(p->job);
	struct dispatcher *d = action_job_dispatcher(p->job);
	const struct outbound_conf *limits = action_job_outbound(p->job);
	const char *headers[HEADERS_MAX + 1] = { NULL };
	struct err err = { .kind = ERR_RETRY, .text = "libcurl cannot be started" };
	size_t n = 0;

	if (sign(p, &err) && dispatcher_http(d) != NULL) {
		for (size_t at = 0; at < p->headers.n && n < HEADERS_MAX;
		    at += strlen(p->headers.p + at) + 1)
			headers[n++] = p->headers.p + at;
		p->fetch = http_client_send(dispatcher_http(d), &(struct http_ask){
		    .url = p->url.p, .ca_file = limits->ca_file.p, .max_bytes = ANSWER_MAX_BYTES,
		    .timeout_ms = (unsigned)w->timeout_ms, .is_post = true,
		    .body = buf_str(&p->body), .headers = headers, .may_be_plain = true,
		    .ignores_body = true, .guards = true, .allowed = limits->allowed,
		}, on_answer, p, &err);
	}
	if (p->fetch != NULL)
		return;
	host_gates_leave(dispatcher_gates(d), &p->pass, GATE_NEITHER, 0);
	fail(p, &err);
}

static void
on_gate(void *arg, enum gate_answer how, int64_t wait_ms)
{
	struct post *p = arg;

	switch (how) {
	case GATE_ENTER:
		post_now(p);
		break;
	case GATE_WAIT:
		break;
	case GATE_LATER:
		finish(p, ACTION_RELEASED, wait_ms, NULL);
		break;
	case GATE_BROKEN:
		finish(p, ACTION_RETRY, wait_ms, "its host is left alone for a while: requests "
		    "failed several times in a row");
		break;
	}
}

static void
start_webhook(struct action_job *job)
{
	struct post *p = calloc(1, sizeof(*p));
	enum gate_answer how;
	int64_t wait_ms = 0;
	struct err err;

	if (p == NULL) {
		action_job_done(job, &(struct action_outcome){ .end = ACTION_RETRY,
		    .error = "out of memory" });
		return;
	}
	p->job = job;
	p->pass = (struct gate_pass){ .called = on_gate, .arg = p };
	buf_init(&p->url, URL_MAX_BYTES);
	buf_init(&p->body, BODY_MAX_BYTES);
	buf_init(&p->headers, HEADERS_MAX_BYTES);
	action_job_set_priv(job, p);
	if (!build(p, &err)) {
		fail(p, &err);
		return;
	}
	how = host_gates_ask(dispatcher_gates(action_job_dispatcher(job)), host_of(&p->url),
	    &p->pass, &wait_ms);
	on_gate(p, how, wait_ms);
}

static void
cancel_webhook(struct action_job *job)
{
	struct post *p = action_job_priv(job);

	if (p->fetch != NULL)
		http_client_cancel(p->fetch);
	if (p->pass.host != NULL)
		host_gates_leave(dispatcher_gates(action_job_dispatcher(job)), &p->pass,
		    GATE_NEITHER, 0);
	post_free(p);
}

const struct action_type action_webhook = {
	.name = "webhook", .keys = webhook_keys, .conf_size = sizeof(struct webhook_conf),
	.use = use_env, .check = check_webhook, .settings = webhook_settings,
	.start = start_webhook, .cancel = cancel_webhook,
};
