/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_HTTP_PARSE_H
#define TL_IO_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

#include "base/checked.h"
#include "base/str.h"

struct http_header {
	struct str	name;	/* as sent; compare without case */
	struct str	value;	/* without the white space around it */
};

/* One complete request, self-contained: every str points into `head`, `body`
 * or static text, so it outlives the connection that brought it. */
struct http_message {
	char			*head;		/* ours: request line and header lines */
	size_t			 head_len;	/* bytes */
	struct http_header	*headers;	/* ours */
	size_t			 nheaders;
	char			*body;		/* ours; NULL when body_len is 0 */
	size_t			 body_len;	/* bytes */
	struct str		 target;	/* exactly as sent */
	struct str		 method;	/* static text, upper case */
	struct str		 path;		/* starts with '/', or is "*"; not decoded */
	struct str		 query;		/* after '?'; .p is NULL without one */
	uint8_t			 minor;		/* HTTP/1.minor: 0 or 1 */
	bool			 is_head;	/* the answer carries no body */
	bool			 keep_alive;	/* the client is ready for another */
};

struct http_parse_limits {
	size_t	max_head_bytes;		/* request line and headers together */
	size_t	max_body_bytes;		/* after the chunks are put together */
};

enum http_parse_state { PARSE_HEAD, PARSE_BODY, PARSE_DONE, PARSE_BAD };

/* Whether the bytes between bodies keep to CRLF lines; llhttp 8 tolerates more. */
struct line_scan {
	unsigned char	prev;		/* the byte before the next one */
	size_t		column;		/* bytes since the last line end */
	size_t		lines;		/* line ends seen */
};

/* Embedded by the connection; the fields are the parser's own but for those
 * under "read by the caller". */
struct http_parse {
	/* Read by the caller. */
	enum http_parse_state	 state;
	int			 status;	/* PARSE_BAD: what to answer */
	const char		*why;		/* PARSE_BAD: static text for people */
	bool			 knows_target;	/* of msg, all but the body may be read */
	struct http_message	 msg;

	const struct http_parse_limits *limits;	/* the caller's, outlive us */
	llhttp_t		 ll;
	struct line_scan	 scan;
	size_t			 head_room;	/* bytes allocated */
	size_t			 header_room;	/* entries allocated */
	size_t			 body_room;	/* bytes allocated */
	size_t			 framing_bytes;	/* chunk lines and trailers so far */
	size_t			 skipped_bytes;	/* empty lines before the request */
	const char		*gap;		/* first framing byte not scanned yet */
	size_t			 max_body_bytes;	/* of this request */
	size_t			 announced_bytes;	/* Content-Length; 0 without one */
	bool			 expects_continue;
};

/* limits are borrowed until http_parse_fini(). */
void	http_parse_init(struct http_parse *p, const struct http_parse_limits *limits);
/* Also accepts a parser whose message was taken.  Ends the life of every str. */
void	http_parse_fini(struct http_parse *p);

/* Reads up to the end of one request and not a byte further; returns how many
 * bytes it used (at most n) and leaves the outcome in p->state:
 *   PARSE_HEAD  everything was used, more is needed
 *   PARSE_BODY  after PARSE_HEAD: the head is complete and a body follows, of which
 *               nothing was used yet; after PARSE_BODY: everything was used
 *   PARSE_DONE  p->msg is complete; take it before going on
 *   PARSE_BAD   answer p->status, then close: the framing is lost
 * A request without a body goes from PARSE_HEAD to PARSE_DONE. */
TL_MUST size_t http_parse_feed(struct http_parse *p, const char *bytes, size_t n);

/* PARSE_BODY, before any of the body: this request may bring at most that much, if
 * that is less than the limits say.  A body announced to be longer is PARSE_BAD
 * at once, chunks that come to more are when they do. */
void	http_parse_limit_body(struct http_parse *p, size_t max_bytes);
/* No byte of a request has come yet. */
bool	http_parse_is_fresh(const struct http_parse *p);
/* True once per request: the client waits for "100 Continue". */
bool	http_parse_take_continue(struct http_parse *p);
/* PARSE_DONE only: moves the message out; the parser starts over. */
void	http_parse_take(struct http_parse *p, struct http_message *ret_msg);
/* Frees what a message owns; accepts a zeroed one. */
void	http_message_fini(struct http_message *m);
/* Never .p NULL. */
struct str http_message_body(const struct http_message *m);
/* First header of that name, compared without case; .p is NULL when absent. */
struct str http_message_header(const struct http_message *m, struct str name);
/* How often that header is there; *ret_first is the first, .p NULL without one. */
size_t	http_message_count(const struct http_message *m, struct str name, struct str *ret_first);

#endif
