/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_HTTP_CALL_H
#define TL_CLI_HTTP_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

/* One HTTP request over a connection of its own, without TLS. */

struct http_answer {
	struct buf	bytes;		/* ours: where the others are */
	int		status;
	struct str	status_line;	/* what is shown of it: "503 Service Unavailable" */
	struct str	body;
};

/* Sends the request, which has to ask for the connection to be closed, and waits for the
 * whole answer.  ERR_RETRY: nobody answers in time, or not as HTTP demands.  Either way
 * http_answer_fini(). */
TL_MUST bool	http_call(const char *host, const char *port, struct str request,
		    int64_t timeout_ms, struct http_answer *ret, struct err *err);
void		http_answer_fini(struct http_answer *a);

#endif
