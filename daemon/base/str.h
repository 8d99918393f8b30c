/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_STR_H
#define TL_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/checked.h"

/* Borrowed bytes, never NUL-terminated, never freed.  Valid only as long as
 * the buffer it was cut from; copy with arena_str() to keep it longer.
 * .p NULL means "not there", which differs from "there and empty". */
struct str {
	const char	*p;
	size_t		 n;	/* bytes */
};

#define STR(lit)	((struct str){ "" lit, sizeof(lit) - 1 })
#define STR_NONE	((struct str){ NULL, 0 })
/* For printf's "%.*s". */
#define STR_ARG(s)	(int)(s).n, (s).p != NULL ? (s).p : ""

static inline struct str
str_of(const char *text)
{
	return (struct str){ text, text != NULL ? strlen(text) : 0 };
}

static inline bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* As memcmp(), but of any lengths. */
static inline int
str_compare(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static inline bool
str_starts(struct str s, struct str head)
{
	return s.n >= head.n && memcmp(s.p, head.p, head.n) == 0;
}

static inline struct str
str_skip(struct str s, size_t n)
{
	return (struct str){ s.p + n, s.n - n };
}

/* Cuts *rest at the first `sep`; the piece before it is returned and *rest
 * moves past it.  Without a `sep` the whole of *rest is returned. */
static inline struct str
str_cut(struct str *rest, char sep)
{
	const char *at = rest->n ? memchr(rest->p, sep, rest->n) : NULL;
	struct str head = *rest;

	if (at == NULL) {
		*rest = STR("");
		return head;
	}
	head.n = (size_t)(at - rest->p);
	rest->n -= head.n + 1;
	rest->p = at + 1;
	return head;
}

/* ASCII letters only, whatever the locale. */
bool	 str_eq_nocase(struct str a, struct str b);
/* Where it stands among names, which NULL ends; -1: nowhere. */
int	 str_index(struct str s, const char *const *names);
bool	 str_is_ascii(struct str s);
/* Without ASCII white space at both ends. */
struct str str_trim(struct str s);
/* The whole of s as decimal digits, with an optional sign, within min..max. */
TL_MUST bool str_to_i64(struct str s, int64_t min, int64_t max, int64_t *ret_out);
/* Value of a hexadecimal digit in either case; -1: it is none. */
int	 str_hex_digit(char c);
/* Well-formed UTF-8 (RFC 3629); *ret_at is the offset of the first bad byte. */
TL_MUST bool str_is_utf8(struct str s, size_t *ret_at);
/* The longest prefix of at most max bytes that does not cut a character. */
struct str str_prefix_utf8(struct str s, size_t max_bytes);

#endif
