/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_BUF_H
#define TL_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/str.h"

/* Bytes that grow up to a maximum.  Overflow (or no memory) sticks: whatever is
 * added afterwards is dropped, so many appends need one look at buf_ok(). */
struct buf {
	char	*p;		/* ours */
	size_t	 n;		/* bytes in use */
	size_t	 room;		/* bytes allocated */
	size_t	 max;		/* bytes */
	bool	 is_over;
};

void	buf_init(struct buf *b, size_t max_bytes);
void	buf_fini(struct buf *b);	/* also one that is all zeros */
void	buf_clear(struct buf *b);	/* keeps the memory, forgets overflow */
void	buf_add(struct buf *b, const void *p, size_t n);
void	buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds s as a JSON string with its quotes.  s is UTF-8. */
void	buf_json(struct buf *b, struct str s);
/* Adds s so that troff prints it as it stands, also at the head of a line. */
void	buf_man(struct buf *b, struct str s);
/* n bytes to be filled in by the caller; NULL: it is over, also where n is 0. */
void	*buf_space(struct buf *b, size_t n);

static inline bool
buf_ok(const struct buf *b)
{
	return !b->is_over;
}

static inline struct str
buf_str(const struct buf *b)
{
	return (struct str){ b->p != NULL ? b->p : "", b->n };
}

static inline void
buf_str_add(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

static inline void
buf_text(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

/* Big-endian, as PostgreSQL's binary formats have them. */
static inline void
buf_be16(struct buf *b, uint16_t v)
{
	v = __builtin_bswap16(v);
	buf_add(b, &v, sizeof(v));
}

static inline void
buf_be32(struct buf *b, uint32_t v)
{
	v = __builtin_bswap32(v);
	buf_add(b, &v, sizeof(v));
}

static inline void
buf_be64(struct buf *b, uint64_t v)
{
	v = __builtin_bswap64(v);
	buf_add(b, &v, sizeof(v));
}

#endif
