/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_HTTP_ANSWER_H
#define TL_IO_HTTP_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"
#include "io/http_parse.h"

/* Inside of http_server: nobody but http_conn.c includes this. */

struct evbuffer;

struct http_answer {
	int				 status;
	struct uuid			 id;
	const struct http_header	*type;		/* ended by a NULL name; or NULL */
	const struct http_header	*headers;	/* likewise */
	struct str			 body;
	uint8_t				 minor;
	bool				 is_head;
	bool				 keep_alive;
};

/* Whether no name or value of them holds what would end a line.  NULL: there are none. */
bool	http_headers_are_sendable(const struct http_header *h);
/* Writes it, with Date, X-Request-Id, Content-Length and Connection. */
void	http_answer_put(struct evbuffer *out, const struct http_answer *a, const char *date);

#endif
