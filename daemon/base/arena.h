/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_ARENA_H
#define TL_BASE_ARENA_H

#include <stddef.h>

#include "base/checked.h"
#include "base/str.h"

struct arena_block;

/* Memory that is freed all at once: one per message while it is parsed, one per
 * configuration.  A zeroed arena is empty and ready. */
struct arena {
	struct arena_block	*blocks;	/* ours, newest first */
	char			*next;		/* free bytes of the newest */
	size_t			 left;
};

/* Zeroed bytes, aligned for any type.  NULL when memory is out. */
TL_MUST void	*arena_alloc(struct arena *a, size_t n);
/* A copy with a NUL behind it.  .p is NULL when memory is out or s.p is NULL. */
TL_MUST struct str arena_str(struct arena *a, struct str s);
/* The same as a C string. */
TL_MUST char	*arena_text(struct arena *a, struct str s);
/* In small ASCII letters; s itself where it has no others. */
TL_MUST struct str arena_lower(struct arena *a, struct str s);
/* Frees everything; the arena may be used again. */
void		 arena_fini(struct arena *a);
/* Keeps the first block for the next message. */
void		 arena_reset(struct arena *a);

#endif
