/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_EDGE_OPS_PAGES_H
#define TL_EDGE_OPS_PAGES_H

#include <stdbool.h>

#include "base/str.h"

struct channel_host;
struct http_request;
struct intake;
struct listeners;
struct rules;

/* What the pages tell of; all borrowed for the call. */
struct ops_context {
	struct channel_host	*host;
	struct intake		*intake;
	const struct listeners	*listeners;
	const struct rules	*rules;
};

/* /healthz /readyz /metrics /status */
bool	ops_page_exists(struct str path);
/* True: it was answered.  False: there is no such page, the request is still ours. */
bool	ops_page_answer(const struct ops_context *c, struct http_request *req);

#endif
