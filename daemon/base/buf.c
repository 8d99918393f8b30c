/* SPDX-License-Identifier: Apache-2.0 */
/* Growing bytes with a maximum; overflow sticks. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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
	    (want > b->room && !make_room(b, want))) {
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

void
buf_json(struct buf *b, struct str s)
{
	size_t from = 0;

	buf_add(b, "\"", 1);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_add(b, s.p + from, i - from);
		from = i + 1;
		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\n')
			buf_add(b, "\\n", 2);
		else
			buf_printf(b, "\\u%04x", c);
	}
	buf_add(b, s.p + from, s.n - from);
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
