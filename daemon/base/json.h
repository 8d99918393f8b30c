/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_JSON_H
#define TL_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json_object.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

/* JSON that strangers sent.  No text made here repeats what stood in it. */

enum { JSON_DEPTH_MAX = 512 };	/* the most any caller may allow */

enum json_fault {
	JSON_FINE,
	JSON_BROKEN,		/* not UTF-8, or not JSON: 400 */
	JSON_UNFIT,		/* JSON, but PostgreSQL cannot keep it: 422 */
	JSON_DEEP,		/* JSON, but deeper than the caller allows: 422 */
};

struct json_scan {
	enum json_fault	fault;
	size_t		at;		/* offset of the fault */
	size_t		depth;		/* 0: a lone scalar */
	bool		has_wide;	/* a number that json-c would change: see json_parse */
};

/* Looks at the raw bytes, once and without allocating: UTF-8, strings and their
 * escapes, numbers and words, brackets opened and closed.  It does not judge the order
 * of all these: json_parse does.  \u0000 and lone surrogates are UNFIT; what is BROKEN
 * anywhere is told before what is UNFIT.  *ret is set in any case, err (ERR_INPUT) when
 * false is returned. */
TL_MUST bool json_scan(struct str doc, struct json_scan *ret, struct err *err);

/* Scans and parses; the whole of doc must be one value with white space around it.
 * false (ERR_INPUT): not JSON, unfit, or deeper than max_depth.
 * The value null is *ret NULL.  Who gets *ret frees it with json_object_put().
 * Integers outside int64 and uint64 and numbers beyond 1e308 (or that close to 0)
 * become strings of their own text, so that two ids stay two. */
TL_MUST bool json_parse(struct str doc, size_t max_depth, struct json_object **ret,
    struct err *err);
/* The same for who has scanned doc already (with JSON_FINE); sets the fault on failure:
 * too deep is DEEP. */
TL_MUST bool json_parse_scanned(struct str doc, struct json_scan *scan, size_t max_depth,
    struct json_object **ret, struct err *err);

/* ---- writing ---- */

/* Asked of each list, object and text that has user data.  true: it was written. */
struct json_writer {
	bool	(*write)(void *arg, struct json_object *o, struct buf *out);
	void	*arg;
};

/* Adds o as JSON without white space; numbers as they were read.  w NULL: all as it is. */
void	json_write(struct buf *out, struct json_object *o, const struct json_writer *w);

/* ---- the items of an array, as the bytes that were sent ---- */
struct json_items {
	struct str	doc;
	size_t		at;		/* bytes behind the last item */
	size_t		n;		/* items so far */
};

enum json_step { JSON_ITEM, JSON_END, JSON_ERROR };

/* false: doc is no array.  doc must live as long as the items. */
TL_MUST bool json_items_begin(struct json_items *it, struct str doc);
/* JSON_ITEM: *ret is the next item without white space around it.  Strings and nesting
 * are honoured, but an item itself may still be no JSON: give it to json_parse.
 * JSON_END: the array was closed and only white space follows.
 * JSON_ERROR: the array is broken; err (ERR_INPUT) says where.  It stays so. */
TL_MUST enum json_step json_items_next(struct json_items *it, struct str *ret, struct err *err);

/* ---- RFC 6901, and in arrays a little more ----
 * A step into an array is an index; or "*", each of its items; or "name=text", each item
 * whose member of that name is that text; "a~1b=text" looks at b of its member a.  In an
 * object all of these are names. */
struct json_pointer_step {
	const char	*name;		/* the member of an object */
	size_t		 index;		/* the item of an array */
	bool		 is_index;
	bool		 is_any;	/* * */
	char		*member;	/* name=text; NULL: it has no "=" */
	size_t		 nmore;		/* names behind it, each after a NUL */
	struct str	 wanted;
};

enum { JSON_POINTER_MAX_ITEMS = 1000 };	/* looked at by one step into one array */

struct json_pointer {
	struct json_pointer_step	*v;	/* the arena's */
	size_t				 n;	/* 0: the whole document */
};

/* Pointer text, "" or "/a/b~1c/0".  ERR_CONFIG on a bad one. */
TL_MUST bool json_pointer_compile(struct arena *a, struct str text, struct json_pointer *ret,
    struct err *err);
/* Calls visit with each value there, borrowed (NULL is the value null), in order, until
 * it returns true.  Returns whether it did. */
bool json_pointer_each(const struct json_pointer *p, struct json_object *root,
    bool (*visit)(void *arg, struct json_object *o), void *arg);
/* The first of them; NULL with *ret_found true is the value null. */
struct json_object *json_pointer_find(const struct json_pointer *p, struct json_object *root,
    bool *ret_found);

/* A scalar as a column takes it, borrowed from o: strings as they are, numbers as the
 * sender wrote them, true, false; null is STR_NONE.  false: an object or array. */
TL_MUST bool json_text(struct json_object *o, struct str *ret);

#endif
