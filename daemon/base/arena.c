/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is freed all at once. */
#include "base/arena.h"

#include <stdlib.h>

enum { BLOCK_BYTES = 8192, ALIGN_BYTES = 16 };

struct arena_block {
	struct arena_block	*older;
	size_t			 size;
	_Alignas(ALIGN_BYTES) char bytes[];
};

static bool
add_block(struct arena *a, size_t n)
{
	size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES, whole;
	struct arena_block *b;

	if (!size_add(size, sizeof(*b), &whole) || (b = malloc(whole)) == NULL)
		return false;
	b->older = a->blocks;
	b->size = size;
	a->blocks = b;
	a->next = b->bytes;
	a->left = size;
	return true;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	size_t whole;
	void *p;

	if (!size_add(n, ALIGN_BYTES - 1, &whole))
		return NULL;
	/* Even nothing gets a place of its own, so that NULL only means no memory. */
	whole = whole == ALIGN_BYTES - 1 ? ALIGN_BYTES : whole & ~(size_t)(ALIGN_BYTES - 1);
	if (whole > a->left && !add_block(a, whole))
		return NULL;
	p = a->next;
	a->next += whole;
	a->left -= whole;
	return memset(p, 0, n);
}

struct str
arena_str(struct arena *a, struct str s)
{
	size_t whole;
	char *p = NULL;

	if (s.p != NULL && size_add(s.n, 1, &whole))
		p = arena_alloc(a, whole);
	if (p == NULL)
		return STR_NONE;
	memcpy(p, s.p, s.n);
	return (struct str){ p, s.n };
}

char *
arena_text(struct arena *a, struct str s)
{
	union { const char *in; char *out; } p = { .in = arena_str(a, s).p };

	return p.out;
}

static bool
is_capital(char c)
{
	return c >= 'A' && c <= 'Z';
}

struct str
arena_lower(struct arena *a, struct str s)
{
	size_t at = 0;
	char *p;

	while (at < s.n && !is_capital(s.p[at]))
		at++;
	if (at == s.n)
		return s;
	p = arena_text(a, s);
	if (p == NULL)
		return STR_NONE;
	for (; at < s.n; at++)
		if (is_capital(p[at]))
			p[at] = (char)(p[at] + ('a' - 'A'));
	return (struct str){ p, s.n };
}

void
arena_fini(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *b = a->blocks;

		a->blocks = b->older;
		free(b);
	}
	*a = (struct arena){ 0 };
}

void
arena_reset(struct arena *a)
{
	while (a->blocks != NULL && (a->blocks->older != NULL || a->blocks->size > BLOCK_BYTES)) {
		struct arena_block *b = a->blocks;

		a->blocks = b->older;
		free(b);
	}
	a->next = a->blocks != NULL ? a->blocks->bytes : NULL;
	a->left = a->blocks != NULL ? a->blocks->size : 0;
}
