/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_TRIAL_REQUEST_H
#define TL_CLI_TRIAL_REQUEST_H

#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/options.h"
#include "io/http_parse.h"

/* What a request is made of; all of it is borrowed. */
struct trial_request_spec {
	const char			*path;		/* of the file; NULL and "-": stdin */
	const char			*type, *query;	/* or NULL */
	const struct option_texts	*headers;
	struct str			 source;	/* its name */
};

/* A body, or a whole request as it went over the wire, as the request that the daemon would
 * have had. */
struct trial_request {
	struct buf			 file, text;	/* ours */
	struct arena			 arena;		/* ours */
	struct http_parse_limits	 limits;
	struct http_parse		 parse;		/* ours; holds the message */
	struct str			 rest;		/* of its path, behind /in/SOURCE */
};

/* Reads the file and parses what becomes of it.  CLI_OK: parse.state is PARSE_DONE, or
 * PARSE_BAD: no listener would have let it in.  Either way trial_request_fini(). */
enum exit_code	trial_request_read(struct trial_request *r, const struct trial_request_spec *spec,
		    size_t max_body_bytes);
void		trial_request_fini(struct trial_request *r);

#endif
