/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_MAPPING_H
#define TL_MODEL_MAPPING_H

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json_object.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/conf.h"
#include "base/err.h"
#include "model/draft.h"
#include "model/place.h"

/* A foreign document -> its items -> a draft of each, as a source's `each`, `when`, `map`,
 * `translate`, `require` and `items` say. */
struct mapping;
struct map_item;
struct zone;

/* The values of these keys; each may be NULL: not given. */
struct map_nodes {
	const struct conf_node	*each, *when, *map, *translate, *require, *items;
};

/* Everything wrong is complained of in c, at its place.  NULL: something was wrong.  The
 * mapping lives as long as the conf. */
struct mapping *mapping_compile(struct conf *c, const struct map_nodes *nodes);

/* The headers and query parameters that its places name. */
const struct place_needs *mapping_needs(const struct mapping *m);
/* A document may hold several items. */
bool	mapping_has_each(const struct mapping *m);
/* And they may come out of different lists. */
bool	mapping_has_several_lists(const struct mapping *m);

/* What there is to read. */
struct map_input {
	struct json_object	*doc;		/* of any type, NULL for null; see mapping_find() */
	const struct str	*values;	/* of mapping_needs(); STR_NONE: not there */
	const struct zone	*zone;		/* of times that tell none; NULL: UTC */
};

enum { MAP_MAX_ITEMS = 10000 };		/* of one document */

/* The items of one document, in order; where nothing else is there, the document itself,
 * as one that nobody takes. */
struct map_items {
	struct map_item		*v;		/* the arena's */
	size_t			 n;
	struct place_parsed	*parsed;	/* JSON within its texts */
	struct buf		 written;	/* the document for one of them */
};

/* Leaves its marks on the document, which must not be written once the arena is gone.
 * ERR_INPUT: the items cannot be told. */
TL_MUST bool	mapping_find(const struct mapping *m, const struct map_input *in,
		    struct arena *a, struct map_items *ret, struct err *err);
/* Before the document is put; also after false. */
void		map_items_fini(struct map_items *items);
/* The i-th; false: no `when` takes it. */
bool		map_items_takes(const struct map_items *items, size_t i);
/* It is the document itself, out of no list. */
bool		map_items_is_whole(const struct map_items *items, size_t i);

/* A word (of what percent-encoding leaves) for the lists that it came out of. */
struct str	map_items_lists(const struct map_items *items, size_t i);

/* The document as JSON with this item alone in the lists that `each` walks, from which
 * mapping_find() gets this item again, the only one with the same map_items_lists().  Good
 * until the next call for the same document; ERR_RETRY when memory is out. */
TL_MUST bool	mapping_item_json(struct map_items *items, size_t i,
		    const struct map_input *in, struct str *ret, struct err *err);

/* One that is taken.  The draft borrows from the document and from the mapping and has its
 * memory in a.
 * ERR_INPUT: a value does not fit its key, or a required one is not there; the draft
 * holds the others, and err tells of the first. */
TL_MUST bool	mapping_run(struct map_items *items, size_t i, const struct map_input *in,
		    struct arena *a, struct draft *ret, struct err *err);

#endif
