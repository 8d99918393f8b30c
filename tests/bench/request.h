/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BENCH_REQUEST_H
#define TL_BENCH_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct event;
struct load_conf;

/* How events stand in a request of each mode, and how it is signed. */
struct request_kind {
	const char	*name;		/* the mode */
	const char	*type;		/* Content-Type */
	bool		 is_many;	/* events a request, and plural answers */
	const char	*open, *between, *close;
	void		(*put)(struct buf *body, const struct event *e);
	/* Adds header lines; key is conf->secret. */
	void		(*sign)(struct buf *out, const char *key, struct str body);
};

extern const struct request_kind request_post, request_ndjson, request_sendgrid;

/* The body of a request that holds n events from number `first` on. */
void	request_body(const struct request_kind *kind, const struct load_conf *conf, int64_t first,
	    int64_t n, struct buf *body);

#endif
