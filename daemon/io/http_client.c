/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outgoing HTTP.  What libcurl waits for, and from where it reports, is in curl_loop.c.
 */
#include "io/http_client.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "io/address_guard.h"
#include "io/curl_loop.h"

enum { CONNECT_SHARE = 2 };	/* of the time, to connect */

struct http_fetch {
	TAILQ_ENTRY(http_fetch)	 in_list;
	struct http_client	*client;
	CURL			*easy;		/* ours */
	struct curl_slist	*headers;	/* ours */
	const struct net_set	*allowed;	/* the caller's */
	struct buf		 body;		/* ours */
	bool			 ignores_body;
	bool			 is_refused;	/* an address was */
	char			 why[CURL_ERROR_SIZE];
	void			(*done)(void *arg, const struct http_got *got);
	void			*arg;
};

struct http_client {
	struct curl_loop	*loop;		/* ours */
	TAILQ_HEAD(, http_fetch) fetches;
};

/* ---- the end of a fetch ---- */

static void
fetch_free(struct http_fetch *f)
{
	TAILQ_REMOVE(&f->client->fetches, f, in_list);
	curl_loop_remove(f->client->loop, f->easy);
	curl_easy_cleanup(f->easy);
	curl_slist_free_all(f->headers);
	buf_fini(&f->body);
	free(f);
}

/* A body that nobody wants may be cut off, or break off at its limit. */
static bool
is_answered(const struct http_fetch *f, CURLcode code)
{
	return code == CURLE_OK || (f->ignores_body && code == CURLE_WRITE_ERROR);
}

static void
read_answer(const struct http_fetch *f, struct http_got *ret)
{
	curl_off_t retry_after_s = 0;
	long status = 0;

	(void)curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(f->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
	ret->status = (int)status;
	if (retry_after_s > 0 && retry_after_s < INT32_MAX)
		ret->retry_after_ms = (int64_t)retry_after_s * 1000;
}

/* Who is told may ask for more, so all else is done before. */
static void
finish(struct http_fetch *f, CURLcode code)
{
	struct http_got got = { .body = buf_str(&f->body) };
	struct buf kept = f->body;
	char why[CURL_ERROR_SIZE];
	void (*done)(void *, const struct http_got *) = f->done;
	void *arg = f->arg;

	if (is_answered(f, code))
		read_answer(f, &got);
	got.is_refused = got.status == 0 && f->is_refused;
	(void)snprintf(why, sizeof(why), "%s", !buf_ok(&f->body) ? "the answer is too large" :
	    f->is_refused ? "its address is not public and not in outbound.allow_private" :
	    f->why[0] != '\0' ? f->why : curl_easy_strerror(code));
	got.why = why;
	f->body = (struct buf){ .p = NULL };
	fetch_free(f);
	done(arg, &got);
	buf_fini(&kept);
}

static void
on_ended(CURL *easy, CURLcode code)
{
	finish(curl_private(easy), code);
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http_fetch *f = arg;

	buf_add(&f->body, p, size * n);
	return buf_ok(&f->body) ? size * n : 0;
}

/* The only place where the address is known that is connected to: looking a name up before would
 * tell what it meant then. */
static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct http_fetch *f = arg;

	(void)purpose;
	if (address_is_allowed(&a->addr, f->allowed))
		return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
	f->is_refused = true;
	return CURL_SOCKET_BAD;
}

/* ---- public ---- */

struct http_client *
http_client_new(struct event_base *base, struct err *err)
{
	struct http_client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	TAILQ_INIT(&c->fetches);
	c->loop = curl_loop_new(base, on_ended, err);
	if (c->loop != NULL)
		return c;
	free(c);
	return NULL;
}

void
http_client_free(struct http_client *c)
{
	struct http_fetch *f;

	if (c == NULL)
		return;
	while ((f = TAILQ_FIRST(&c->fetches)) != NULL)
		finish(f, CURLE_ABORTED_BY_CALLBACK);
	curl_loop_free(c->loop);
	free(c);
}

/* Every option that keeps a fetch within its bounds. */
static bool
set_options(struct http_fetch *f, const struct http_ask *ask)
{
	CURL *e = f->easy;

	return curl_easy_setopt(e, CURLOPT_URL, ask->url) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, ask->may_be_plain ? "http,https" :
	    "https") == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
	    (ask->ca_file == NULL ||
	    curl_easy_setopt(e, CURLOPT_CAINFO, ask->ca_file) == CURLE_OK) &&
	    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)ask->timeout_ms) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
	    (long)ask->timeout_ms / CONNECT_SHARE) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_USERAGENT, "touchlog") == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->why) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_WRITEDATA, f) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_PRIVATE, f) == CURLE_OK;
}

static bool
add_headers(struct http_fetch *f, const char *const *headers)
{
	for (; headers != NULL && *headers != NULL; headers++) {
		struct curl_slist *longer = curl_slist_append(f->headers, *headers);

		if (longer == NULL)
			return false;
		f->headers = longer;
	}
	return f->headers == NULL ||
	    curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers) == CURLE_OK;
}

static bool
set_body(struct http_fetch *f, const struct http_ask *ask)
{
	return !ask->is_post ||
	    (curl_easy_setopt(f->easy, CURLOPT_POST, 1L) == CURLE_OK &&
	    curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE,
	    (curl_off_t)ask->body.n) == CURLE_OK &&
	    curl_easy_setopt(f->easy, CURLOPT_COPYPOSTFIELDS,
	    ask->body.n > 0 ? ask->body.p : "") == CURLE_OK);
}

static bool
set_guard(struct http_fetch *f, const struct http_ask *ask)
{
	f->allowed = ask->allowed;
	return !ask->guards ||
	    (curl_easy_setopt(f->easy, CURLOPT_NOPROXY, "*") == CURLE_OK &&
	    curl_easy_setopt(f->easy, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
	    curl_easy_setopt(f->easy, CURLOPT_OPENSOCKETDATA, f) == CURLE_OK);
}

struct http_fetch *
http_client_send(struct http_client *c, const struct http_ask *ask,
    void (*done)(void *arg, const struct http_got *got), void *arg, struct err *err)
{
	struct http_fetch *f = calloc(1, sizeof(*f));

	if (f == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	f->client = c;
	f->done = done;
	f->arg = arg;
	f->ignores_body = ask->ignores_body;
	buf_init(&f->body, ask->max_bytes);
	f->easy = curl_easy_init();
	TAILQ_INSERT_TAIL(&c->fetches, f, in_list);
	if (f->easy != NULL && set_options(f, ask) && add_headers(f, ask->headers) &&
	    set_body(f, ask) && set_guard(f, ask) &&
	    curl_loop_add(c->loop, f->easy))
		return f;
	fetch_free(f);
	(void)err_set(err, ERR_RETRY, "libcurl takes no further request");
	return NULL;
}

bool
http_client_get(struct http_client *c, const struct http_ask *ask,
    void (*done)(void *arg, const struct http_got *got), void *arg, struct err *err)
{
	return http_client_send(c, ask, done, arg, err) != NULL;
}

void
http_client_cancel(struct http_fetch *f)
{
	fetch_free(f);
}
