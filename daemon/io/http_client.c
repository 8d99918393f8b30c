/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outgoing HTTP.
 *
 * libcurl says which sockets it waits for and how long (on_socket_wish, on_timer_wish);
 * libevent says what happened to them (on_socket, on_timer).  What is finished is reported
 * from a turn of the loop of its own: libcurl may not be called back from within itself.
 */
#include "io/http_client.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <curl/curl.h>
#include <event2/event.h>

#include "base/buf.h"
#include "io/address_guard.h"

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
	struct event_base	*base;		/* the caller's */
	CURLM			*multi;		/* ours */
	struct event		*timer;		/* ours: what libcurl waits for */
	struct event		*finished;	/* ours: somebody is to be told */
	TAILQ_HEAD(, http_fetch) fetches;
};

static struct http_fetch *
fetch_of(CURL *easy)
{
	union { char *text; struct http_fetch *fetch; } p = { NULL };

	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &p.text);
	return p.fetch;
}

/* ---- the end of a fetch ---- */

static void
fetch_free(struct http_fetch *f)
{
	TAILQ_REMOVE(&f->client->fetches, f, in_list);
	(void)curl_multi_remove_handle(f->client->multi, f->easy);
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
finish_all(struct http_client *c)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left)) != NULL)
		if (m->msg == CURLMSG_DONE)
			finish(fetch_of(m->easy_handle), m->data.result);
}

static void
on_finished(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish_all(arg);
}

/* ---- libcurl and libevent ---- */

static void
act(struct http_client *c, curl_socket_t fd, int mask)
{
	int running;

	(void)curl_multi_socket_action(c->multi, fd, mask, &running);
	event_active(c->finished, 0, 0);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	act(arg, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) |
	    (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int
on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct http_client *c = arg;
	struct event *ev = of_socket;

	(void)easy;
	if (ev != NULL)
		event_free(ev);
	ev = what == CURL_POLL_REMOVE ? NULL :
	    event_new(c->base, fd, (short)((what & CURL_POLL_IN ? EV_READ : 0) |
	    (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST), on_socket, c);
	if (ev != NULL && event_add(ev, NULL) != 0) {
		event_free(ev);
		ev = NULL;
	}
	(void)curl_multi_assign(c->multi, fd, ev);
	return what == CURL_POLL_REMOVE || ev != NULL ? 0 : -1;
}

static int
on_timer_wish(CURLM *multi, long timeout_ms, void *arg)
{
	struct http_client *c = arg;
	const struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };

	(void)multi;
	if (timeout_ms < 0)
		return event_del(c->timer);
	return event_add(c->timer, &tv);
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

	if (c != NULL && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
		c->base = base;
		TAILQ_INIT(&c->fetches);
		c->multi = curl_multi_init();
		c->timer = evtimer_new(base, on_timer, c);
		c->finished = event_new(base, -1, 0, on_finished, c);
		if (c->multi != NULL && c->timer != NULL && c->finished != NULL &&
		    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish) == CURLM_OK &&
		    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) == CURLM_OK &&
		    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish) == CURLM_OK &&
		    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) == CURLM_OK)
			return c;
		http_client_free(c);
		c = NULL;
	}
	free(c);
	(void)err_set(err, ERR_RETRY, "libcurl cannot be started");
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
	if (c->multi != NULL)
		(void)curl_multi_cleanup(c->multi);
	if (c->timer != NULL)
		event_free(c->timer);
	if (c->finished != NULL)
		event_free(c->finished);
	curl_global_cleanup();
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
	    curl_multi_add_handle(c->multi, f->easy) == CURLM_OK)
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
