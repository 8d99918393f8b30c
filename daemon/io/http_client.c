/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outgoing HTTPS.  What libcurl waits for, and from where it reports, is in curl_loop.c.
 */
#include "io/http_client.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "io/curl_loop.h"

enum { CONNECT_SHARE = 2 };	/* of the time, to connect */

struct http_fetch {
	TAILQ_ENTRY(http_fetch)	 in_list;
	struct http_client	*client;
	CURL			*easy;		/* ours */
	struct buf		 body;		/* ours */
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
	buf_fini(&f->body);
	free(f);
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
	long status = 0;

	if (code == CURLE_OK)
		(void)curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	got.status = (int)status;
	(void)snprintf(why, sizeof(why), "%s", !buf_ok(&f->body) ? "the answer is too large" :
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
	    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
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

bool
http_client_get(struct http_client *c, const struct http_ask *ask,
    void (*done)(void *arg, const struct http_got *got), void *arg, struct err *err)
{
	struct http_fetch *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	f->client = c;
	f->done = done;
	f->arg = arg;
	buf_init(&f->body, ask->max_bytes);
	f->easy = curl_easy_init();
	TAILQ_INSERT_TAIL(&c->fetches, f, in_list);
	if (f->easy != NULL && set_options(f, ask) &&
	    curl_loop_add(c->loop, f->easy))
		return true;
	fetch_free(f);
	return err_set(err, ERR_RETRY, "libcurl takes no further request");
}
