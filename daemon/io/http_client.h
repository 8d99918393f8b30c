/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_HTTP_CLIENT_H
#define TL_IO_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

struct event_base;
struct http_client;
struct http_fetch;
struct net_set;

/* Outgoing HTTP: libcurl's multi handle, driven by the event loop.
 *
 * Certificates and names are verified, redirects are not followed, and every fetch has an end
 * in time and bytes.  The proxy of the environment (https_proxy) is used, but by who guards. */

/* One request.  Borrowed for the call, but for `allowed`. */
struct http_ask {
	const char	*url;		/* https:// */
	const char	*ca_file;	/* PEM; NULL: the system's */
	size_t		 max_bytes;	/* of the answer's body */
	unsigned	 timeout_ms;	/* first to last byte of it all */
	/* Without what follows it is a GET. */
	bool		 is_post;
	struct str	 body;		/* of a POST */
	const char *const *headers;	/* "Name: value"; ended by NULL */
	bool		 may_be_plain;	/* http:// too */
	bool		 ignores_body;	/* only the status counts: a longer body is cut off */
	/* Connects to public addresses only, whatever the name says by then, and to those of
	 * `allowed` (NULL: none), which outlives the fetch.  No proxy. */
	bool		 guards;
	const struct net_set *allowed;
};

/* What came of it; good until the callback returns. */
struct http_got {
	int		 status;	/* 0: no answer, see why */
	struct str	 body;
	const char	*why;		/* status 0: for people */
	int64_t		 retry_after_ms;	/* as the answer says, either way; 0: not */
	bool		 is_refused;	/* status 0: all that the name led to is not allowed */
};

/* NULL: ERR_RETRY. */
TL_MUST struct http_client *http_client_new(struct event_base *base, struct err *err);
/* What is under way ends with status 0.  Accepts NULL. */
void	http_client_free(struct http_client *c);

/* done fires once, from the loop or from http_client_free(), never before this returned.
 * false: ERR_RETRY, it never fires. */
TL_MUST bool http_client_get(struct http_client *c, const struct http_ask *ask,
    void (*done)(void *arg, const struct http_got *got), void *arg, struct err *err);
/* The same, for who may want to end it.  NULL: ERR_RETRY. */
TL_MUST struct http_fetch *http_client_send(struct http_client *c, const struct http_ask *ask,
    void (*done)(void *arg, const struct http_got *got), void *arg, struct err *err);
/* It ends without done.  Not from within done. */
void	http_client_cancel(struct http_fetch *f);

#endif
