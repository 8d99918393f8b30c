/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_MAPPING_INTERNAL_H
#define TL_MODEL_MAPPING_INTERNAL_H

/* The program that mapping_compile.c writes and mapping.c runs. */

#include "base/json.h"
#include "model/draft.h"

/* Where a value comes from. */
struct map_source {
	bool			is_constant;
	struct str		text;		/* the constant, or the pointer as written */
	struct json_pointer	pointer;
};

struct map_word {
	struct str	from, to;
};

enum map_target_kind { MAP_COLUMN, MAP_IDENTITY, MAP_PROFILE, MAP_ATTRIBUTE, MAP_NKINDS };

/* Where it goes. */
struct map_target {
	enum map_target_kind	 kind;
	enum column		 column;	/* MAP_COLUMN */
	struct str		 name;		/* MAP_IDENTITY: its kind; MAP_PROFILE: the field */
	struct str		*path;		/* MAP_ATTRIBUTE: member names from outside in */
	size_t			 npath;
};

/* One key of `map`: the first source that gives something, translated, to the target. */
struct map_instruction {
	struct str		 key;		/* as written */
	struct map_target	 target;
	struct map_source	*sources;
	size_t			 nsources;
	struct map_word		*words;		/* sorted by from */
	size_t			 nwords;
	bool			 is_required;
};

/* Attributes stand last and sorted by path, so that those of one object are neighbours:
 * they are written out in one go. */
struct mapping {
	struct map_instruction	*v;
	size_t			 n;
};

/* Bytes first, then length. */
int	map_compare(struct str a, struct str b);
/* How many names two paths begin with in common. */
size_t	map_common(const struct map_target *a, const struct map_target *b);

#endif
