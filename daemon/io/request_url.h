/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_REQUEST_URL_H
#define TL_IO_REQUEST_URL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/str.h"
#include "io/http_parse.h"

struct net_set;

/* By which URL a sender knows us: some sign it, and a proxy in front of us may have changed
 * all of it but the query. */
struct url_rules {
	struct str	 public_url;	/* checked; .p NULL: not configured */
	bool		 is_whole;	/* it stands for /in/SOURCE too */
	const struct net_set *proxies;	/* whose X-Forwarded-Proto and -Host are believed */
};

/* Who brought the request here. */
struct url_peer {
	struct str	address;
	bool		is_tls;		/* it came over TLS of our own */
};

/* "https://host", "http://host:8080/path": a scheme, a host, perhaps a path, no query.
 * *ret has no slash at its end. */
TL_MUST bool	public_url_read(struct str text, struct str *ret);

/* The configured one first; else what a trusted proxy (`peer`) says; else what the request
 * and its connection say themselves.  `rest` is the path behind /in/SOURCE.  false: it
 * names no host, or is too long. */
TL_MUST bool	request_url(const struct url_rules *rules, const struct http_message *m,
		    struct url_peer peer, struct str rest, struct buf *out);
/* The same for people: without the values in its query. */
void		request_url_shown(struct str url, struct buf *out);

#endif
