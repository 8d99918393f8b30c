/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes -> one HTTP/1.x request, strictly.  No sockets, no clock.
 *
 * llhttp does the grammar.  Around it stand our own checks, because a listener
 * on the internet must not depend on which version of llhttp was built in, nor
 * on its LLHTTP_STRICT_MODE: every line ends in CRLF, no control bytes, no
 * folded lines, one length, one Host.  The head is collected whole and given to
 * llhttp in one piece, so a header is one slice of it and needs no joining.
 * Chunk lines and trailers go through the same line scan as the head.
 */
#include "io/http_parse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	MAX_HEADERS	 = 128,		/* a browser sends 20 */
	MAX_SKIPPED	 = 4,		/* RFC 9112 2.2: "at least one" empty line */
	FIRST_HEAD_BYTES = 1024,
	FIRST_BODY_BYTES = 2048,
	FRAMING_PER_BYTE = 8,		/* "1\r\nx\r\n" costs 5 */
};

static bool
bad(struct http_parse *p, int status, const char *why)
{
	if (p->state == PARSE_BAD)
		return false;	/* the first reason is the cause */
	p->state = PARSE_BAD;
	p->status = status;
	p->why = why;
	return false;
}

/* Makes *mem hold `want` bytes, doubling; never above max (want is not either). */
static bool
grow(char **mem, size_t *room, size_t want, size_t first, size_t max)
{
	size_t size = *room ? *room : first;
	char *more;

	while (size < want && size < max)
		if (!size_mul(size, 2, &size))
			return false;
	if (size > max)
		size = max;
	if (size < want)
		size = want;
	if (size <= *room)
		return true;
	more = realloc(*mem, size);
	if (more == NULL)
		return false;
	*mem = more;
	*room = size;
	return true;
}

/* ---- lines ---- */

/* Text that may stand inside a line; the rest is looked at one by one. */
static const bool plain[256] = {
	['\t'] = true,
	[' ' ... '~'] = true,
	[0x80 ... 0xff] = true,
};

/* One byte that is not plain text or starts a line. NULL: it may stand there. */
static const char *
scan_byte(struct line_scan *s, unsigned char c)
{
	if (s->prev == '\r' && c != '\n')
		return "a carriage return without a line feed";
	if (c == '\n' && s->prev != '\r')
		return "a line feed without a carriage return";
	if (s->column == 0 && s->lines > 0 && (c == ' ' || c == '\t'))
		return "a folded header line";
	if (!plain[c] && c != '\r' && c != '\n')
		return "a control character";
	s->prev = c;
	s->column++;
	return NULL;
}

/* Reads to the end of the line or of the bytes; *ret_used is set either way. */
static const char *
scan_line(struct line_scan *s, const char *bytes, size_t n, size_t *ret_used)
{
	const unsigned char *b = (const unsigned char *)bytes;
	const char *why = NULL;
	size_t i = 0;

	while (i < n && why == NULL) {
		size_t from = i;

		if (s->column > 0 && s->prev != '\r')
			while (i < n && plain[b[i]])
				i++;
		if (i > from) {
			s->column += i - from;
			s->prev = b[i - 1];
			continue;
		}
		why = scan_byte(s, b[i++]);
		if (b[i - 1] == '\n')
			break;
	}
	*ret_used = i;
	return why;
}

/* True when the line just read is complete; *ret_empty: it is a CRLF alone. */
static bool
line_ended(struct line_scan *s, bool *ret_empty)
{
	if (s->prev != '\n')
		return false;
	*ret_empty = s->column == 2;
	s->prev = 0;
	s->column = 0;
	s->lines++;
	return true;
}

/* ---- head ---- */

static bool
keep_head(struct http_parse *p, const char *bytes, size_t n)
{
	size_t want;

	if (!size_add(p->msg.head_len, n, &want) || want > p->limits->max_head_bytes)
		return p->scan.lines == 0 ? bad(p, 414, "the request line is too long") :
		    bad(p, 431, "the headers are too large");
	if (!grow(&p->msg.head, &p->head_room, want, FIRST_HEAD_BYTES, p->limits->max_head_bytes))
		return bad(p, 503, "out of memory");
	memcpy(p->msg.head + p->msg.head_len, bytes, n);
	p->msg.head_len = want;
	return true;
}

struct str
http_message_body(const struct http_message *m)
{
	return (struct str){ m->body != NULL ? m->body : "", m->body_len };
}

size_t
http_message_count(const struct http_message *m, struct str name, struct str *ret_first)
{
	size_t n = 0;

	*ret_first = STR_NONE;
	for (size_t i = 0; i < m->nheaders; i++) {
		if (!str_eq_nocase(m->headers[i].name, name))
			continue;
		if (n++ == 0)
			*ret_first = m->headers[i].value;
	}
	return n;
}

static bool
check_host(struct http_parse *p)
{
	struct str host;
	size_t n = http_message_count(&p->msg, STR("host"), &host);

	if (n == 0)
		return p->msg.minor == 0 || bad(p, 400, "HTTP/1.1 needs a Host header");
	if (n > 1)
		return bad(p, 400, "more than one Host header");
	for (size_t i = 0; i < host.n; i++)
		if (host.p[i] <= ' ' || strchr("/?#@\\,", host.p[i]) != NULL)
			return bad(p, 400, "the Host header is not a host");
	return true;
}

static bool
check_length(struct http_parse *p, struct str value)
{
	uint64_t length = 0;

	if (value.n == 0 || value.n > 18)
		return bad(p, value.n ? 413 : 400, "Content-Length is out of range");
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < '0' || value.p[i] > '9')
			return bad(p, 400, "Content-Length is not a number");
		length = length * 10 + (uint64_t)(value.p[i] - '0');
	}
	if (length > p->max_body_bytes)
		return bad(p, 413, "the body is too large");
	p->announced_bytes = (size_t)length;
	return true;
}

/* How long the body is has to have exactly one reading (RFC 9112 6.3, 11.2). */
static bool
check_framing(struct http_parse *p)
{
	struct str length, coding;
	size_t nlengths = http_message_count(&p->msg, STR("content-length"), &length);
	size_t ncodings = http_message_count(&p->msg, STR("transfer-encoding"), &coding);

	if (ncodings > 0) {
		if (nlengths > 0)
			return bad(p, 400, "both Content-Length and Transfer-Encoding");
		if (ncodings > 1 || !str_eq_nocase(coding, STR("chunked")))
			return bad(p, 400, "the only Transfer-Encoding taken is chunked");
		if (p->msg.minor == 0)
			return bad(p, 400, "HTTP/1.0 has no Transfer-Encoding");
		return true;
	}
	if (nlengths > 1)
		return bad(p, 400, "more than one Content-Length");
	return nlengths == 0 || check_length(p, length);
}

static bool
check_expect(struct http_parse *p)
{
	struct str value;
	size_t n = http_message_count(&p->msg, STR("expect"), &value);

	if (n == 0 || p->msg.minor == 0)
		return true;
	if (n > 1 || !str_eq_nocase(value, STR("100-continue")))
		return bad(p, 417, "the only Expect taken is 100-continue");
	p->expects_continue = true;
	return true;
}

/* "/path?query", "*" with OPTIONS, or "http://host/path?query" (RFC 9112 3.2). */
static bool
split_target(struct http_parse *p)
{
	struct str rest = p->msg.target;
	const char *at;

	for (size_t i = 0; i < rest.n; i++)
		if (rest.p[i] <= ' ' || rest.p[i] == 0x7f || rest.p[i] == '#')
			return bad(p, 400, "the request target is not a path");
	if (rest.n >= 7 && (strncasecmp(rest.p, "http://", 7) == 0 ||
	    (rest.n >= 8 && strncasecmp(rest.p, "https://", 8) == 0))) {
		size_t scheme = rest.p[4] == ':' ? 7 : 8;

		at = memchr(rest.p + scheme, '/', rest.n - scheme);
		if (at == NULL)
			return bad(p, 400, "the request target has no path");
		rest.n -= (size_t)(at - rest.p);
		rest.p = at;
	}
	p->msg.path = str_cut(&rest, '?');
	p->msg.query = rest;
	if (p->msg.path.n + p->msg.query.n == p->msg.target.n)
		p->msg.query.p = NULL;
	if (p->msg.path.n > 0 && p->msg.path.p[0] == '/')
		return true;
	if (str_eq(p->msg.target, STR("*")) && p->ll.method == HTTP_OPTIONS)
		return true;
	return bad(p, 400, "the request target is not a path");
}

/* RFC 9110 5.6.2; llhttp 8 takes an empty name. */
static bool
are_names_tokens(const struct http_message *m)
{
	for (size_t i = 0; i < m->nheaders; i++) {
		struct str name = m->headers[i].name;

		for (size_t at = 0; at < name.n; at++)
			if (name.p[at] <= ' ' || strchr("()<>@,;:\\\"/[]?={}\x7f", name.p[at]))
				return false;
		if (name.n == 0)
			return false;
	}
	return true;
}

/* "METHOD SP target SP HTTP/1.x CRLF" and nothing else; llhttp 8 takes more spaces. */
static bool
is_line_exact(const struct http_message *m)
{
	const char *end = memchr(m->head, '\r', m->head_len);
	size_t want = m->method.n + 1 + m->target.n + 1 + strlen("HTTP/1.1");

	return end != NULL && (size_t)(end - m->head) == want &&
	    m->target.p == m->head + m->method.n + 1;
}

static bool
check_head(struct http_parse *p)
{
	p->msg.method = str_of(llhttp_method_name((llhttp_method_t)p->ll.method));
	p->msg.is_head = p->ll.method == HTTP_HEAD;
	p->msg.minor = p->ll.http_minor;
	p->msg.keep_alive = llhttp_should_keep_alive(&p->ll) != 0;
	if (p->ll.http_major != 1 || p->ll.http_minor > 1)
		return bad(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	if (p->ll.method == HTTP_CONNECT)
		return bad(p, 501, "tunnels are not offered");
	if (!is_line_exact(&p->msg))
		return bad(p, 400, "the request line is not METHOD TARGET VERSION");
	if (!are_names_tokens(&p->msg))
		return bad(p, 400, "a header name is not a word");
	if (!split_target(p))
		return false;
	p->knows_target = true;
	return check_host(p) && check_framing(p) && check_expect(p);
}

/* llhttp knows a fixed list of methods.  A well-formed word that is not on it is
 * "not implemented" (RFC 9110 9.1), anything else is not HTTP. */
static bool
is_method_word(const struct http_message *m)
{
	size_t n = 0;

	while (n < m->head_len && m->head[n] >= 'A' && m->head[n] <= 'Z')
		n++;
	return n > 0 && n < m->head_len && m->head[n] == ' ';
}

static bool
explain(struct http_parse *p, llhttp_errno_t e)
{
	const char *reason = llhttp_get_error_reason(&p->ll);

	if (e == HPE_INVALID_METHOD && is_method_word(&p->msg))
		return bad(p, 501, "the method is not known here");
	if (e == HPE_INVALID_VERSION || e == HPE_PAUSED_H2_UPGRADE)
		return bad(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	return bad(p, 400, reason != NULL ? reason : "not an HTTP request");
}

static bool
parse_head(struct http_parse *p)
{
	llhttp_errno_t e;

	if (p->scan.lines - 2 > MAX_HEADERS)
		return bad(p, 431, "too many headers");
	p->header_room = p->scan.lines;
	p->msg.headers = calloc(p->header_room, sizeof(*p->msg.headers));
	if (p->msg.headers == NULL)
		return bad(p, 503, "out of memory");
	e = llhttp_execute(&p->ll, p->msg.head, p->msg.head_len);
	if (p->state == PARSE_BAD || p->state == PARSE_DONE)
		return p->state == PARSE_DONE;
	if (e != HPE_OK)
		return explain(p, e);
	if (p->ll.method == HTTP_PRI)	/* llhttp waits for the rest of HTTP/2's greeting */
		return explain(p, HPE_PAUSED_H2_UPGRADE);
	/* Every line was there, so the head must be over for llhttp too. */
	if (p->state != PARSE_BODY)
		return bad(p, 400, "the headers do not end where they should");
	return true;
}

/* Starts again after empty lines before a request, which count for nothing. */
static bool
skip_empty(struct http_parse *p)
{
	p->skipped_bytes += p->msg.head_len;
	p->msg.head_len = 0;
	p->scan = (struct line_scan){ 0 };
	return p->skipped_bytes <= MAX_SKIPPED || bad(p, 400, "empty lines instead of a request");
}

static size_t
feed_head(struct http_parse *p, const char *bytes, size_t n)
{
	size_t used = 0, piece;
	bool is_empty;

	while (used < n && p->state == PARSE_HEAD) {
		const char *why = scan_line(&p->scan, bytes + used, n - used, &piece);

		if (why != NULL) {
			(void)bad(p, 400, why);
			break;
		}
		if (!keep_head(p, bytes + used, piece))
			break;
		used += piece;
		if (!line_ended(&p->scan, &is_empty) || !is_empty)
			continue;
		(void)(p->scan.lines == 1 ? skip_empty(p) : parse_head(p));
	}
	return used;
}

/* ---- body ---- */

/* Framing bytes between two pieces of body: chunk lines, then trailers. */
static bool
scan_gap(struct http_parse *p, const char *end)
{
	size_t n = (size_t)(end - p->gap), piece;
	bool is_empty;

	p->framing_bytes += n;
	for (size_t at = 0; at < n; at += piece) {
		const char *why = scan_line(&p->scan, p->gap + at, n - at, &piece);

		if (why != NULL)
			return bad(p, 400, why);
		(void)line_ended(&p->scan, &is_empty);
	}
	p->gap = end;
	if (p->framing_bytes > p->limits->max_head_bytes + FRAMING_PER_BYTE * p->msg.body_len)
		return bad(p, 413, "chunk lines or trailers are too large");
	return true;
}

static size_t
feed_body(struct http_parse *p, const char *bytes, size_t n)
{
	llhttp_errno_t e;
	const char *end = bytes + n;

	p->gap = bytes;
	e = llhttp_execute(&p->ll, bytes, n);
	if (p->state == PARSE_BAD)
		return n;
	if (e == HPE_PAUSED && p->state == PARSE_DONE)
		end = llhttp_get_error_pos(&p->ll);
	else if (e != HPE_OK) {
		(void)explain(p, e);
		return n;
	}
	(void)scan_gap(p, end);
	return (size_t)(end - bytes);
}

/* ---- llhttp's callbacks ---- */

static struct http_parse *
of(llhttp_t *ll)
{
	return ll->data;
}

/* llhttp may hand one text over in several pieces; in the head they adjoin. */
static int
extend(struct str *s, const char *at, size_t n)
{
	if (s->p == NULL)
		s->p = at;
	s->n = (size_t)(at + n - s->p);
	return 0;
}

static int
on_url(llhttp_t *ll, const char *at, size_t n)
{
	return extend(&of(ll)->msg.target, at, n);
}

static int
on_field(llhttp_t *ll, const char *at, size_t n)
{
	struct http_parse *p = of(ll);

	if (p->state != PARSE_HEAD)
		return 0;	/* a trailer: nobody asked for it */
	if (p->msg.nheaders >= p->header_room)
		return HPE_USER;
	return extend(&p->msg.headers[p->msg.nheaders].name, at, n);
}

static int
on_value(llhttp_t *ll, const char *at, size_t n)
{
	struct http_parse *p = of(ll);

	if (p->state != PARSE_HEAD || p->msg.nheaders >= p->header_room)
		return 0;
	return extend(&p->msg.headers[p->msg.nheaders].value, at, n);
}

static int
on_value_complete(llhttp_t *ll)
{
	struct http_parse *p = of(ll);
	struct str *v;

	if (p->state != PARSE_HEAD || p->msg.nheaders >= p->header_room)
		return 0;
	v = &p->msg.headers[p->msg.nheaders++].value;
	if (v->p == NULL)
		*v = STR("");
	while (v->n > 0 && (v->p[v->n - 1] == ' ' || v->p[v->n - 1] == '\t'))
		v->n--;
	return 0;
}

static int
on_headers_complete(llhttp_t *ll)
{
	struct http_parse *p = of(ll);

	ll->upgrade = 0;	/* "Upgrade: h2c" may be ignored, and is */
	if (!check_head(p))
		return HPE_USER;
	p->state = PARSE_BODY;
	return 0;
}

static int
on_body(llhttp_t *ll, const char *at, size_t n)
{
	struct http_parse *p = of(ll);
	size_t want;

	if (!scan_gap(p, at))
		return HPE_USER;
	p->gap = at + n;
	p->scan = (struct line_scan){ .prev = 0 };
	if (!size_add(p->msg.body_len, n, &want) || want > p->max_body_bytes) {
		(void)bad(p, 413, "the body is too large");
		return HPE_USER;
	}
	if (!grow(&p->msg.body, &p->body_room, want, FIRST_BODY_BYTES, p->max_body_bytes)) {
		(void)bad(p, 503, "out of memory");
		return HPE_USER;
	}
	memcpy(p->msg.body + p->msg.body_len, at, n);
	p->msg.body_len = want;
	return 0;
}

/* Pausing keeps llhttp from reading into the next request. */
static int
on_message_complete(llhttp_t *ll)
{
	of(ll)->state = PARSE_DONE;
	return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* ---- public ---- */

void
http_parse_init(struct http_parse *p, const struct http_parse_limits *limits)
{
	*p = (struct http_parse){ .limits = limits, .max_body_bytes = limits->max_body_bytes };
	llhttp_init(&p->ll, HTTP_REQUEST, &callbacks);
	p->ll.data = p;
}

void
http_message_fini(struct http_message *m)
{
	free(m->head);
	free(m->headers);
	free(m->body);
	*m = (struct http_message){ 0 };
}

void
http_parse_fini(struct http_parse *p)
{
	http_message_fini(&p->msg);
}

size_t
http_parse_feed(struct http_parse *p, const char *bytes, size_t n)
{
	if (p->state == PARSE_HEAD)
		return feed_head(p, bytes, n);
	return p->state == PARSE_BODY ? feed_body(p, bytes, n) : 0;
}

void
http_parse_limit_body(struct http_parse *p, size_t max_bytes)
{
	assert(p->state == PARSE_BODY && p->msg.body_len == 0);
	if (max_bytes < p->max_body_bytes)
		p->max_body_bytes = max_bytes;
	if (p->announced_bytes > p->max_body_bytes)
		(void)bad(p, 413, "the body is too large");
}

bool
http_parse_is_fresh(const struct http_parse *p)
{
	return p->state == PARSE_HEAD && p->msg.head_len == 0 && p->skipped_bytes == 0;
}

bool
http_parse_take_continue(struct http_parse *p)
{
	bool waits = p->state == PARSE_BODY && p->expects_continue && p->msg.body_len == 0 &&
	    p->framing_bytes == 0;

	if (p->state == PARSE_BODY)
		p->expects_continue = false;
	return waits;
}

void
http_parse_take(struct http_parse *p, struct http_message *ret_msg)
{
	*ret_msg = p->msg;
	http_parse_init(p, p->limits);
}

struct str
http_message_header(const struct http_message *m, struct str name)
{
	struct str value;

	(void)http_message_count(m, name, &value);
	return value;
}
