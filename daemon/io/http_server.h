/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_HTTP_SERVER_H
#define TL_IO_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"
#include "io/http_parse.h"
#include "io/tls_context.h"

struct event_base;
struct http_request;
struct http_server;
struct listen_address;
struct ssl_ctx_st;

/* Every field must be set; a limit reached is an answer or a closed connection,
 * and a counter.  The most memory clients can take is, about, bodies_bytes + connections
 * x (head + output_bytes + 32 kB + one answer), and TLS's 25 kB. */
struct http_limits {
	struct http_parse_limits parse;	/* head 414/431, body 413 */
	unsigned	request_ms;	/* first byte to last byte of a request: 408; a handshake */
	unsigned	idle_ms;	/* without a request, or without reading our answer */
	size_t		bodies_bytes;	/* of all bodies that are being received: 503 */
	size_t		output_bytes;	/* above it no further request is looked at */
	unsigned	connections;	/* one more is told 503 and closed */
	unsigned	per_address;	/* one more is told 429 and closed */
};

/* Why something was refused before the owner got it as a request. */
enum http_refusal {
	REFUSED_BAD_REQUEST,		/* 400: not HTTP, or not with one meaning */
	REFUSED_TOO_LARGE,		/* 413 */
	REFUSED_HEADER_TOO_LARGE,	/* 414, 431 */
	REFUSED_TIMEOUT,		/* 408 */
	REFUSED_UNSUPPORTED,		/* 417, 501, 505 */
	REFUSED_NO_MEMORY,		/* 503 */
	REFUSED_BY_HEAD,		/* ops.head said so */
	REFUSED_CONNECTIONS,		/* over `connections`: 503 */
	REFUSED_ADDRESS,		/* over `per_address`: 429 */
	REFUSED_FILES,			/* no file descriptor left: closed without a word */
	HTTP_NREFUSALS
};

enum { HTTP_NSTATUSES = 600 };

struct http_counts {
	uint64_t	accepted;	/* connections let in */
	uint64_t	requests;	/* handed to the owner */
	uint64_t	gone;		/* left while the owner had the request */
	uint64_t	refused[HTTP_NREFUSALS];
	uint64_t	responses[HTTP_NSTATUSES];	/* by status, refusals too */
	uint64_t	handshakes;	/* of TLS, that were completed */
	uint64_t	handshake_failures[TLS_NFAILURES];	/* closed without a word */
	unsigned	open;		/* connections now */
};

/* What ops.head decides. */
struct http_verdict {
	/* Let in: the limit on this request's body, which may be lowered. */
	size_t				 max_body_bytes;
	/* Refused: status (400..599), static text for people, and further headers,
	 * static and ended by a NULL name, or NULL. */
	int				 status;
	const char			*why;
	const struct http_header	*headers;
};

/* None of the ops may free the server. */
struct http_server_ops {
	/* The head of a request that has a body is complete, and nothing of the
	 * body was kept or asked for (100-continue) yet.  True: let it in, under
	 * verdict->max_body_bytes.  False: it is refused with what the verdict
	 * says and the connection is closed.  m is borrowed for the call and has
	 * no body.  NULL: everything is let in. */
	bool	(*head)(void *owner, const struct http_message *m, struct http_verdict *verdict);
	/* A complete request.  The owner answers it once, with http_reply() or
	 * http_reply_problem(), in here or in any later turn of the loop; until
	 * then it may read the request.  The same connection brings no other
	 * request before that. */
	void	(*request)(void *owner, struct http_request *req);
	/* The client was lost before the answer: called at most once, never from
	 * inside request() or http_reply().  The request stays readable and still
	 * has to be answered, which then only frees it.  A client that merely
	 * closed its sending side gets its answer and is not reported here.
	 * NULL when the owner does not care. */
	void	(*gone)(void *owner, struct http_request *req);
	/* Something was refused before it became a request: by the server itself or
	 * by head().  m is borrowed and has no body to be read; it is NULL when no
	 * target was understood, as with a connection too many.  `id` is what the
	 * answer carried as X-Request-Id, `why` its text.  Not told of
	 * REFUSED_FILES, which has no answer.  NULL when the owner does not care. */
	void	(*refused)(void *owner, const struct http_message *m, struct uuid id, int status,
		    const char *why);
};

/* "bad_request" and so on, for a metric's label. */
const char	*http_refusal_name(enum http_refusal why);

/* Where and how to listen. */
struct http_listen {
	const char		*address;	/* as listen_address_read() takes it */
	int			 take_fd;	/* a listening socket instead; -1: none */
	struct ssl_ctx_st	*tls;		/* NULL: plain */
};

/* The socket is the server's once it is there.  The server holds a reference of its own to
 * `tls`, whose certificates and options are the caller's.  `ops`, `base` and `owner` are
 * borrowed; `limits` is copied.  The process has to ignore SIGPIPE.
 * NULL: ERR_CONFIG (address) or ERR_RETRY (memory). */
TL_MUST struct http_server *http_server_new(struct event_base *base,
    const struct http_listen *at, const struct http_limits *limits,
    const struct http_server_ops *ops, void *owner, struct err *err);
/* For connections from now on, with a reference of its own; NULL: plain. */
void	http_server_set_tls(struct http_server *s, struct ssl_ctx_st *tls);
/* From now on; what a connection waits for already ends when it was to. */
void	http_server_set_limits(struct http_server *s, const struct http_limits *limits);
/* Closes everything at once.  Requests the owner still holds live on until they
 * are answered; gone() is not called for them.  Not from inside an op.  Accepts
 * NULL. */
void	http_server_free(struct http_server *s);
/* Takes no new connection and closes the idle ones; the others get the answer to
 * the request they have begun.  Done when http_server_counts()->open is 0. */
void	http_server_drain(struct http_server *s);
/* Where it really listens, or did. */
void	http_server_address(const struct http_server *s, struct listen_address *ret);
const struct http_counts *http_server_counts(const struct http_server *s);

/* All str are valid until the request is answered. */
const struct http_message *http_request_message(const struct http_request *req);
struct str	 http_request_header(const struct http_request *req, struct str name);
struct str	 http_request_body(const struct http_request *req);
/* Given by us, whatever X-Request-Id the client sent; the answer carries it. */
struct uuid	 http_request_id(const struct http_request *req);
/* Address without port, as text. */
struct str	 http_request_peer(const struct http_request *req);
bool		 http_request_is_tls(const struct http_request *req);
/* The owner's own state for this request; NULL until set. */
void		 http_request_set_priv(struct http_request *req, void *priv);
void		*http_request_priv(const struct http_request *req);
/* False once the client is known to be lost. */
bool		 http_request_has_client(const struct http_request *req);

/* Answers and frees the request.  `headers` ends with a NULL name, or is NULL;
 * Date, X-Request-Id, Content-Length and Connection are added, `body` is copied.
 * status is 200..599.  A header value that holds a line end is our bug or an
 * attack: the client gets 500 instead.  HEAD, 204 and 304 send no body. */
void	http_reply(struct http_request *take_req, int status,
	    const struct http_header *headers, const char *body, size_t len);
/* The same with an application/problem+json body (RFC 9457), whose Content-Type is
 * added. */
void	http_reply_problem(struct http_request *take_req, int status,
	    const struct http_header *headers, struct str detail);

#endif
