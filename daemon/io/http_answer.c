/* SPDX-License-Identifier: Apache-2.0 */
/* An answer as bytes. */
#include "io/http_answer.h"

#include <stdio.h>

#include <event2/buffer.h>

#include "io/http_text.h"

enum { ONE_PIECE_BYTES = 16 * 1024 };

bool
http_headers_are_sendable(const struct http_header *h)
{
	for (; h != NULL && h->name.p != NULL; h++)
		if (!http_is_header_value(h->name) || !http_is_header_value(h->value))
			return false;
	return true;
}

static void
put_headers(struct evbuffer *out, const struct http_header *h)
{
	for (; h != NULL && h->name.p != NULL; h++) {
		(void)evbuffer_add(out, h->name.p, h->name.n);
		(void)evbuffer_add(out, ": ", 2);
		(void)evbuffer_add(out, h->value.p, h->value.n);
		(void)evbuffer_add(out, "\r\n", 2);
	}
}

/* One contiguous piece where it can be: one TLS record, one packet. */
void
http_answer_put(struct evbuffer *out, const struct http_answer *a, const char *date)
{
	const char *connection = !a->keep_alive ? "Connection: close\r\n" :
	    a->minor == 0 ? "Connection: keep-alive\r\n" : "";
	bool has_body = a->status != 204 && a->status != 304;
	char line[320], length[48] = "", id[UUID_TEXT_SIZE];
	int n;

	uuid_text(a->id, id);
	if (has_body)
		(void)snprintf(length, sizeof(length), "Content-Length: %zu\r\n", a->body.n);
	n = snprintf(line, sizeof(line), "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Request-Id: %s\r\n%s%s",
	    a->status, http_status_text(a->status), date, id, length, connection);
	if (has_body && !a->is_head && a->body.n < ONE_PIECE_BYTES)
		(void)evbuffer_expand(out, (size_t)n + a->body.n + 256);
	(void)evbuffer_add(out, line, (size_t)n);
	put_headers(out, a->type);
	put_headers(out, a->headers);
	(void)evbuffer_add(out, "\r\n", 2);
	if (has_body && !a->is_head)
		(void)evbuffer_add(out, a->body.p, a->body.n);
}
