/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Amazon SNS wants besides an answer.
 *
 * One certificate is fetched at a time; the requests that are signed with others wait their
 * turn.  Who sends them is not known yet, so they are few, and only certificates of our
 * topics' own hosts are asked for.  What cannot be fetched is 503: SNS comes again.
 */
#include "channels/sns_door.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "channels/channel.h"
#include "channels/handshake.h"
#include "channels/post.h"
#include "io/http_client.h"
#include "io/http_server.h"
#include "io/sns.h"

enum {
	WAITING_MAX		= 100,
	FETCH_MS		= 5000,		/* SNS waits for 15 s */
	CERTIFICATE_MAX_BYTES	= 64 * 1024,
	ANSWER_MAX_BYTES	= 64 * 1024,	/* of a confirmation: some XML */
};

/* A request whose certificate is not there. */
struct waiting {
	TAILQ_ENTRY(waiting)	 in_list;
	struct http_request	*req;
	struct str		 rest;
	char			*url;		/* ours: of the certificate */
};

struct sns_door {
	struct sns_door_conf	 conf;
	TAILQ_HEAD(waiters, waiting) waiting;
	size_t			 nwaiting;
	char			*fetching;	/* ours: the URL; NULL: nothing is fetched */
};

/* A subscription that is being confirmed. */
struct confirming {
	struct sns_door		*door;
	struct http_request	*req;
};

static struct str
source_name(const struct sns_door *d)
{
	return channel_source(d->conf.ch)->name;
}

static void
count(const struct sns_door *d, const char *result)
{
	metric_add(metric_get(METRIC_FETCHES, source_name(d).p, result), 1);
}

static void
unavailable(struct sns_door *d, struct http_request *take_req, const char *check)
{
	post_refuse(d->conf.ch, take_req, 503, check, NULL,
	    STR("who sends cannot be verified now: send it again later"));
}

struct sns_door *
sns_door_new(const struct sns_door_conf *conf, struct err *err)
{
	struct sns_door *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	d->conf = *conf;
	TAILQ_INIT(&d->waiting);
	return d;
}

void
sns_door_free(struct sns_door *d)
{
	if (d != NULL)
		free(d->fetching);
	free(d);
}

/* ---- certificates ---- */

static void fetch_next(struct sns_door *d);

static bool
take_certificate(struct sns_door *d, const struct http_got *got)
{
	struct err err;

	if (got->status == 0)
		(void)err_set(&err, ERR_RETRY, "%s", got->why);
	else if (got->status != 200)
		(void)err_set(&err, ERR_RETRY, "the answer is %d", got->status);
	else if (sns_add_certificate(d->conf.sns, str_of(d->fetching), got->body, d->conf.ca_file,
	    clock_now_us(), &err)) {
		log_info("certificate_fetched", F_STR("source", source_name(d)),
		    F_TEXT("url", d->fetching));
		count(d, "certificate");
		return true;
	}
	log_warn("certificate_failed", F_STR("source", source_name(d)),
	    F_TEXT("url", d->fetching), F_ERR(&err));
	count(d, "certificate_failed");
	return false;
}

static void
let_go(struct sns_door *d, struct waiting *w, bool has_certificate)
{
	struct http_request *req = w->req;
	struct str rest = w->rest;

	free(w->url);
	free(w);
	if (has_certificate)
		d->conf.again(d->conf.ch, req, rest);
	else
		unavailable(d, req, "certificate_unavailable");
	channel_release(d->conf.ch);
}

/* Who waited for another one goes on waiting. */
static void
let_go_all(struct sns_door *d, const char *url, bool has_certificate)
{
	struct waiters ready = TAILQ_HEAD_INITIALIZER(ready);
	struct waiting *w, *next;

	for (w = TAILQ_FIRST(&d->waiting); w != NULL; w = next) {
		next = TAILQ_NEXT(w, in_list);
		if (strcmp(w->url, url) != 0)
			continue;
		TAILQ_REMOVE(&d->waiting, w, in_list);
		TAILQ_INSERT_TAIL(&ready, w, in_list);
		d->nwaiting--;
	}
	while ((w = TAILQ_FIRST(&ready)) != NULL) {
		TAILQ_REMOVE(&ready, w, in_list);
		let_go(d, w, has_certificate);
	}
}

static void
on_certificate(void *arg, const struct http_got *got)
{
	struct sns_door *d = arg;
	struct channel *ch = d->conf.ch;
	bool has_certificate = take_certificate(d, got);
	char *url = d->fetching;

	d->fetching = NULL;
	let_go_all(d, url, has_certificate);
	free(url);
	fetch_next(d);
	channel_release(ch);
}

/* The door is held as long as something is fetched. */
static void
fetch_next(struct sns_door *d)
{
	while (d->fetching == NULL && d->nwaiting > 0) {
		struct http_client *client = channel_http(d->conf.ch);
		struct http_ask ask = { .ca_file = d->conf.ca_file, .timeout_ms = FETCH_MS,
		    .max_bytes = CERTIFICATE_MAX_BYTES };
		char *url = strdup(TAILQ_FIRST(&d->waiting)->url);
		struct err err;

		ask.url = url;
		if (url != NULL && client != NULL &&
		    http_client_get(client, &ask, on_certificate, d, &err)) {
			d->fetching = url;
			channel_hold(d->conf.ch);
			return;
		}
		let_go_all(d, TAILQ_FIRST(&d->waiting)->url, false);
		free(url);
	}
}

void
sns_door_wait(struct sns_door *d, struct http_request *take_req, struct str rest)
{
	struct waiting *w = d->nwaiting < WAITING_MAX ? calloc(1, sizeof(*w)) : NULL;
	struct sns_message m;

	if (w != NULL) {
		if (sns_read(http_request_body(take_req), &m) == NULL)
			w->url = strndup(m.certificate_url.p, m.certificate_url.n);
		sns_message_fini(&m);
	}
	if (w == NULL || w->url == NULL) {
		free(w);
		unavailable(d, take_req, "certificate_unavailable");
		return;
	}
	w->req = take_req;
	w->rest = rest;
	channel_hold(d->conf.ch);
	TAILQ_INSERT_TAIL(&d->waiting, w, in_list);
	d->nwaiting++;
	fetch_next(d);
}

/* ---- subscriptions ---- */

static void
answer_plainly(struct sns_door *d, struct http_request *take_req)
{
	channel_answered(d->conf.ch, http_request_id(take_req), 200, NULL, 0);
	http_reply(take_req, 200, NULL, NULL, 0);
}

static void
on_confirmation(void *arg, const struct http_got *got)
{
	struct confirming *c = arg;
	struct sns_door *d = c->door;
	struct channel *ch = d->conf.ch;

	if (got->status == 200) {
		log_info("subscription_confirmed", F_STR("source", source_name(d)));
		count(d, "confirmation");
		answer_plainly(d, c->req);
	} else {
		log_warn("subscription_failed", F_STR("source", source_name(d)),
		    F_NUM("status", got->status), F_TEXT("error", got->why));
		count(d, "confirmation_failed");
		unavailable(d, c->req, "confirmation_failed");
	}
	free(c);
	channel_release(ch);
}

static void
confirm(struct sns_door *d, struct http_request *take_req, struct str url)
{
	struct confirming *c = calloc(1, sizeof(*c));
	struct http_client *client = channel_http(d->conf.ch);
	struct arena a = { 0 };
	struct http_ask ask = { .url = arena_text(&a, url), .ca_file = d->conf.ca_file,
	    .timeout_ms = FETCH_MS, .max_bytes = ANSWER_MAX_BYTES };
	struct err err;

	channel_hold(d->conf.ch);
	if (c != NULL)
		*c = (struct confirming){ d, take_req };
	if (c == NULL || client == NULL || ask.url == NULL ||
	    !http_client_get(client, &ask, on_confirmation, c, &err)) {
		free(c);
		unavailable(d, take_req, "confirmation_failed");
		channel_release(d->conf.ch);
	}
	arena_fini(&a);
}

/* What a message that is no event is answered with.  false: it is one. */
static bool
judge(const struct sns *sns, const struct sns_message *m, struct handshake_answer *ret)
{
	*ret = (struct handshake_answer){ .status = 200, .text = STR("") };
	if (m->type == SNS_SUBSCRIPTION && sns_may_confirm(sns, m))
		ret->fetches = m->subscribe_url;
	else if (m->type == SNS_SUBSCRIPTION)
		*ret = (struct handshake_answer){ .status = 400, .check = "confirmation_url",
		    .text = STR("the SubscribeURL is not at the topic's host") };
	return m->type != SNS_NOTIFICATION;
}

bool
sns_door_takes(struct sns_door *d, struct http_request *req)
{
	struct handshake_answer said;
	struct sns_message m;
	bool takes = sns_read(http_request_body(req), &m) == NULL &&
	    judge(d->conf.sns, &m, &said);

	if (takes && m.type == SNS_UNSUBSCRIPTION)
		log_warn("subscription_ended", F_STR("source", source_name(d)),
		    F_STR("topic", m.topic));
	if (takes && said.fetches.p != NULL)
		confirm(d, req, said.fetches);
	else if (takes)
		handshake_reply(d->conf.ch, req, &said);
	sns_message_fini(&m);
	return takes;
}

bool
sns_door_tells(const struct sns *sns, struct str body, struct arena *a,
    struct handshake_answer *ret)
{
	struct sns_message m;
	bool tells = sns_read(body, &m) == NULL && judge(sns, &m, ret);

	if (tells && ret->fetches.p != NULL)
		ret->fetches = arena_str(a, ret->fetches);
	sns_message_fini(&m);
	return tells;
}
