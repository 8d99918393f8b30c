/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_PLACE_INTERNAL_H
#define TL_MODEL_PLACE_INTERNAL_H

/* What the place*.c files, transform.c and mapping_target.c share. */

#include <stdint.h>

#include "base/json.h"
#include "model/place.h"

struct pattern;
struct transform;

enum place_kind {
	PLACE_POINTER,		/* in the item, or one further out */
	PLACE_CONSTANT,
	PLACE_OF_REQUEST,	/* a header or query parameter */
	PLACE_LIST,		/* the first of these that is there */
	PLACE_NKINDS
};

enum { PLACE_UP_TO_ROOT = PLACE_MAX_UP + 1 };

struct place {
	enum place_kind		 kind;
	struct str		 text;		/* as written */
	size_t			 up;		/* POINTER: scopes further out, or to the root */
	struct json_pointer	 pointer;
	size_t			 need;		/* OF_REQUEST: which value */
	struct place		**list;		/* LIST */
	size_t			 nlist;
	struct transform	*steps;		/* in the order of their rows */
	size_t			 nsteps;
	const struct transform	*join;		/* all that are there, instead of the first */
	struct str		 joined;	/* with it: the texts of the list */
};

struct transform_row;

/* One thing that is done to a value; its row says which of these are filled. */
struct transform {
	const struct transform_row *row;
	struct str		 text;
	int64_t			 number;
	struct json_pointer	 pointer;
	const struct pattern	*pattern;
	const struct zone	*zone;
	struct place_words	 words;
};

struct transform_row {
	const char	*name;
	const char	*also;		/* a second key, which makes sense only with it */
	bool		(*compile)(struct place_reader *r, const struct conf_node *value,
			    const struct conf_node *also, struct transform *ret);
	/* false: it is switched off.  NULL: done by place_find() itself. */
	enum place_fate	(*run)(struct place_context *c, const struct transform *t,
			    struct place_value *v, struct err *err);
	bool		 is_each;	/* before values are joined: of each of them */
	bool		 wants_text;
};

/* In the order in which they are applied; ended by a NULL name. */
extern const struct transform_row transform_rows[];
extern const struct transform_row *const transform_join;

enum place_fate transform_run(struct place_context *c, const struct transform *t,
    struct place_value *v, struct err *err);

enum place_wanted { PLACE_IS_THERE, PLACE_IS_ABSENT, PLACE_IS_ONE_OF, PLACE_MATCHES };

struct place_condition {
	const struct place	*place;
	enum place_wanted	 kind;
	struct place_words	 words;		/* ONE_OF: their `from` */
	const struct pattern	*pattern;	/* MATCHES */
	const struct place_condition *next;
};

/* Bytes of the conf's arena; NULL after a complaint. */
void	*place_memory(struct place_reader *r, size_t n, size_t size);
/* Each returns the fate of such a value. */
enum place_fate place_set_text(struct place_value *v, struct str text);
enum place_fate place_set_json(struct place_value *v, struct json_object *json);
/* Parses a value's text, or finds what it was parsed to before. */
TL_MUST bool	 place_parse(struct place_context *c, struct place_value *v, struct err *err);

#endif
