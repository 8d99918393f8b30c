/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_MAPPING_INTERNAL_H
#define TL_MODEL_MAPPING_INTERNAL_H

/* The program that mapping_compile.c and mapping_target.c write, and mapping_find.c and
 * mapping.c run. */

#include "model/draft.h"
#include "model/mapping.h"
#include "model/place.h"

enum map_target_kind {
	MAP_COLUMN, MAP_IDENTITY, MAP_PROFILE, MAP_ROLE, MAP_PARTICIPANTS, MAP_ATTRIBUTE,
	MAP_NKINDS
};

/* Where a value goes. */
struct map_target {
	enum map_target_kind	 kind;
	enum column		 column;	/* MAP_COLUMN */
	struct str		 name;		/* MAP_IDENTITY: its kind; MAP_PROFILE: the field */
	struct str		*path;		/* MAP_ATTRIBUTE: member names from outside in */
	size_t			 npath;
};

/* Something for each item of a list within the item: a participant, an object. */
struct map_list {
	const struct place	*each;		/* NULL: once, of the item itself */
	struct map_instruction	*v;
	size_t			 n;
};

/* One key of `map`: a value, translated, to its target; or lists. */
struct map_instruction {
	struct str		 key;		/* as written */
	const struct conf_node	*at;		/* its value, for complaints */
	struct map_target	 target;
	const struct place	*place;		/* NULL: lists */
	struct map_list		*lists;
	size_t			 nlists;
	size_t			 max_up;	/* the most "../" of its places */
	const struct place_words *words[2];	/* of the kind, of the source; or NULL */
	bool			 is_required;
	size_t			 order;		/* in the file */
};

/* What becomes of an item that its conditions take.  Attributes stand last and sorted by
 * path, so that those of one object are neighbours and are written out in one go. */
struct map_kind {
	const struct place_condition *when;	/* NULL: takes all */
	struct map_instruction	*v;
	size_t			 n;
	const struct conf_node	*each;		/* as written, or NULL */
	struct place		**levels;	/* of that; 0: the document */
	size_t			 nlevels;
};

/* Kinds of the items of the same lists; the first that takes an item has it. */
struct map_walk {
	struct str		 name;		/* its lists, percent-encoded */
	const struct map_kind	**kinds;
	size_t			 nkinds;
};

struct mapping {
	struct place_needs	 needs;
	struct map_walk		*walks;
	size_t			 nwalks;
	bool			 has_each;
};

/* What is kept of a list, or of a lone object, when the document is written for one item.
 * It hangs on that part of the document. */
struct map_cut {
	struct json_object	*kept;
	bool			 keeps;		/* else nothing */
};

/* An item, or one of the lists' items that it lies in. */
struct map_scope {
	struct place_scope	 place;		/* first: outer is a map_scope too */
	struct map_cut		*cut;		/* of the list it stands in; NULL: none */
};

struct map_item {
	const struct map_walk	*walk;
	const struct map_kind	*kind;		/* NULL: nobody's */
	const struct map_scope	*scope;
};

/* Reads the key of a map, the targets and sources of its value.  false after a complaint. */
TL_MUST bool	map_read_instruction(struct place_reader *r, const struct conf_node *key,
		    const struct conf_node *value, struct map_instruction *ret);
/* How many names two paths begin with in common. */
size_t		map_common(const struct map_target *a, const struct map_target *b);

#endif
