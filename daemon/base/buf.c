/* SPDX-License-Identifier: Apache-2.0 */
/* Growing bytes with a maximum; overflow sticks. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes8.h"

enum { FIRST_BYTES = 256 };

void
buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){ .max = max_bytes };
}

void
buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ .max = b->max };
}

void
buf_clear(struct buf *b)
{
	b->n = 0;
	b->is_over = false;
}

static bool
make_room(struct buf *b, size_t want)
{
	size_t size = b->room ? b->room : FIRST_BYTES;
	char *more;

	while (size < want)
		if (!size_mul(size, 2, &size))
			return false;
	if (size > b->max)
		size = b->max;
	more = size >= want ? realloc(b->p, size) : NULL;
	if (more == NULL)
		return false;
	b->p = more;
	b->room = size;
	return true;
}

void *
buf_space(struct buf *b, size_t n)
{
	size_t want;
	char *at;

	if (b->is_over || !size_add(b->n, n, &want) ||
	    ((want > b->room || b->p == NULL) && !make_room(b, want))) {
		b->is_over = true;
		return NULL;
	}
	at = b->p + b->n;
	b->n = want;
	return at;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	void *at = n > 0 ? buf_space(b, n) : NULL;

	if (at != NULL)
		memcpy(at, p, n);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	char *at;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	/* One more for the NUL, which is then given back. */
	at = n > 0 ? buf_space(b, (size_t)n + 1) : NULL;
	if (at != NULL) {
		(void)vsnprintf(at, (size_t)n + 1, fmt, again);
		b->n--;
	}
	va_end(again);
}

/* What cannot stand in a JSON string as it is; 'u': by its number. */
static const char escapes[256] = {
	[0] = 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u',
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
	['"'] = '"', ['\\'] = '\\',
};

/* Bytes at the front of s that stand for themselves. */
static size_t
plain_json(struct str s)
{
	size_t n = 0;
	uint64_t w;

	for (; s.n - n >= 8; n += 8) {
		memcpy(&w, s.p + n, 8);
		if (bytes8_has_escape(w))
			break;
	}
	while (n < s.n && escapes[(unsigned char)s.p[n]] == '\0')
		n++;
	return n;
}

void
buf_json(struct buf *b, struct str s)
{
	buf_add(b, "\"", 1);
	for (;;) {
		size_t n = plain_json(s);
		char escape[2] = "\\";

		buf_add(b, s.p, n);
		if (n == s.n)
			break;
		escape[1] = escapes[(unsigned char)s.p[n]];
		if (escape[1] == 'u')
			buf_printf(b, "\\u%04x", (unsigned char)s.p[n]);
		else
			buf_add(b, escape, 2);
		s = str_skip(s, n + 1);
	}
	buf_add(b, "\"", 1);
}

void
buf_man(struct buf *b, struct str s)
{
	bool is_head = b->n == 0 || b->p[b->n - 1] == '\n';

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (is_head && (c == '.' || c == '\''))
			buf_text(b, "\\&");
		if (c == '\\')
			buf_text(b, "\\e");
		else if (c == '-')
			buf_text(b, "\\-");
		else if (c == '"')
			buf_text(b, "\\(dq");
		else if (c == '\'' || c == '`' || c == '^' || c == '~')
			buf_printf(b, "\\(%s", c == '\'' ? "aq" : c == '`' ? "ga" :
			    c == '^' ? "ha" : "ti");
		else
			buf_add(b, &c, 1);
		is_head = c == '\n';
	}
}
