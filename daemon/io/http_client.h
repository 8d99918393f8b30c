/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_HTTP_CLIENT_H
#define TL_IO_HTTP_CLIENT_H

#include <stddef.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

struct event_base;
struct http_client;
struct http_fetch;

/* Outgoing HTTPS: libcurl's multi handle, driven by the event loop.
 *
 * Certificates and names are verified, redirects are not followed, and every fetch has an end
 * in time and bytes.  The proxy of the environment (https_proxy) is used. */

/* One GET.  Borrowed for the call. */
struct http_ask {
	const char	*url;		/* https:// */
	const char	*ca_file;	/* PEM; NULL: the system's */
	size_t		 max_bytes;	/* of the answer's body */
	unsigned	 timeout_ms;	/* first to last byte of it all */
};

/* What came of it; good until the callback returns. */
struct http_got {
	int		 status;	/* 0: no answer, see why */
	struct str	 body;
	const char	*why;		/* status 0: for people */
};

/* NULL: ERR_RETRY. */
TL_MUST struct http_client *http_client_new(struct event_base *base, struct err *err);
/* What is under way ends with status 0.  Accepts NULL. */
void	http_client_free(struct http_client *c);

/* done fires once, from the loop or from http_client_free(), never before this returned.
 * false: ERR_RETRY, it never fires. */
TL_MUST bool http_client_get(struct http_client *c, const struct http_ask *ask,
    void (*done)(void *arg, const struct http_got *got), void *arg, struct err *err);

#endif
