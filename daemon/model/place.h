/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_PLACE_H
#define TL_MODEL_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json_object.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/str.h"

struct zone;

/* Where a value of a foreign document or of its request stands, and what is done to it:
 * "/buyer/email", "header:X-Event", { from: /name, trim: yes }.  The language is told in
 * touchlog.yaml(5), section MAPPING. */
struct place;

/* ---- compiling ---- */

enum place_part { PLACE_HEADER, PLACE_QUERY };

/* What is read of a request besides its body: whoever has the request fetches each once. */
struct place_need {
	enum place_part	part;
	struct str	name;		/* a header's in small letters */
};

enum { PLACE_MAX_NEEDS = 64, PLACE_MAX_UP = 16 };

struct place_needs {
	struct place_need	v[PLACE_MAX_NEEDS];
	size_t			n;
};

/* One compilation.  Everything wrong is complained of in the conf, at its place; what is
 * compiled lives as long as the conf. */
struct place_reader {
	struct conf		*conf;
	struct place_needs	*needs;		/* grows */
	const char		*what;		/* what complaints begin with: "map.kind" */
	size_t			 max_up;	/* result: the most "../" so far */
};

/* NULL after a complaint. */
struct place	*place_compile(struct place_reader *r, const struct conf_node *at);
/* As it is written, of an object its `from`, of a list its first. */
struct str	 place_text(const struct place *p);
/* It is one of several. */
bool		 place_is_list(const struct place *p);
/* It is the same whatever comes. */
bool		 place_is_constant(const struct place *p);

/* Our words for theirs, sorted by theirs. */
struct place_words {
	struct place_word { struct str from, to; } *v;
	size_t		 n;
};

/* Adds the pairs of a map; a word that is there already stays.  false after a complaint. */
bool		 place_add_words(struct place_reader *r, const struct conf_node *table,
		    struct place_words *words);
/* NULL: not in the table. */
const struct place_word *place_find_word(const struct place_words *words, struct str from);

/* ---- looking up ---- */

/* Where "/a" starts, and in `outer` where "../a" does. */
struct place_scope {
	struct json_object		*at;	/* borrowed; NULL is the value null */
	const struct place_scope	*outer;	/* NULL: at is the whole document */
};

struct place_context {
	struct arena		*arena;
	const struct str	*values;	/* of the needs; STR_NONE: not there */
	const struct zone	*zone;		/* of times that tell none; NULL: UTC */
	struct str		 currency;	/* of amounts in cents, or none */
	struct place_parsed	*parsed;	/* JSON within JSON: freed by place_context_fini() */
};

void	place_context_fini(struct place_context *c);
/* What that text was parsed to, which hangs on it, or NULL. */
struct json_object *place_parsed_of(struct json_object *text);
/* When the document is written, such a text is to be what it was parsed to. */
void	place_unfold(struct json_object *text);
bool	place_is_unfolded(struct json_object *text);

/* A value: JSON, or text that was made here. */
struct place_value {
	struct json_object	*json;		/* until place_context_fini(); NULL: text only */
	struct str		 text;		/* of scalars; .p NULL: an object or array */
	bool			 is_json;	/* the text is a JSON value as it stands */
	struct str		 from;		/* where it stood, as written */
	/* JSON within JSON: the string of the document that it was parsed from, or NULL. */
	struct json_object	*unparsed;
};

enum place_fate {
	PLACE_FOUND,
	PLACE_ABSENT,		/* or null, or an empty text */
	PLACE_FAULT,		/* err: it does not fit (ERR_INPUT), or memory is out (ERR_RETRY) */
};

/* ret->from is set also with PLACE_FAULT. */
enum place_fate place_find(struct place_context *c, const struct place *p,
    const struct place_scope *scope, struct place_value *ret, struct err *err);

/* ---- conditions ---- */

struct place_condition;

/* `when`: a map of a place and what has to stand there: a text, a list of texts, yes (it is
 * there), no (it is not), or { match: regex }.  Put before those of *ret, which is NULL or
 * was compiled before.  false after a complaint. */
bool	place_compile_when(struct place_reader *r, const struct conf_node *when,
	    const struct place_condition **ret);
/* All of them hold; also of NULL.  What cannot be read holds nothing. */
bool	place_holds(struct place_context *c, const struct place_condition *all,
	    const struct place_scope *scope);

#endif
