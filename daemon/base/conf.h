/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_CONF_H
#define TL_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/str.h"

/* Settings: tables of rows -> structs.  The parser, `touchlogd -t`, `--schema`
 * and the man page all read the same rows.
 *
 * A file is one YAML 1.2 map.  Its key `include`, a glob or a list of globs relative to
 * the file, merges further files: blocks and named maps grow together, anything else
 * that is given twice is an error that names both places.  Anchors and aliases work;
 * tags do not.  `key:` without a value is an empty map where a map is wanted, unset
 * where a tree is, and an error elsewhere.
 *
 * A row of type BASE lets an entry of a NAMED map build on another file: FOLDER/NAME.yaml
 * is a map of the same keys, and it is filled in wherever the entry itself says nothing.
 * A required key may stand in either.  Each such file is read once. */

struct conf;			/* one loaded configuration: documents, arena, errors */
struct conf_node;		/* a place in it; lives as long as its conf */

enum conf_type {
	CONF_BOOL,		/* bool: true false yes no */
	CONF_INT,		/* int64_t within min..max */
	CONF_MS,		/* int64_t milliseconds: 250ms 10s 5m 4h 2d 3w 1y */
	CONF_SIZE,		/* int64_t bytes: 512 64KiB 2GiB */
	CONF_TEXT,		/* struct str; .p NULL when unset */
	CONF_ENUM,		/* int: index into choices; 0 without a default */
	CONF_TEXTS,		/* struct conf_texts: one text or a list, which may be empty */
	CONF_FLAGS,		/* unsigned: bit set of indexes into choices; a list */
	CONF_SECRETS,		/* struct conf_texts: file: env: cred: plain:, one or a list */
	CONF_BLOCK,		/* struct that stands at offset, described by keys */
	CONF_NAMED,		/* struct conf_named_list: a map keyed by name */
	CONF_TREE,		/* const struct conf_node *: compiled by the owner; NULL unset */
	CONF_BASE,		/* struct str: the name of a file that is merged underneath */
};

struct conf_texts {
	struct str	*v;
	size_t		 n;
};

/* What the key `type` of a named block selects: further rows, and their struct. */
struct conf_variant {
	const char		*name;
	const struct conf_key	*keys;		/* ended by { 0 }; NULL: none */
	size_t			 size;		/* of the struct they fill */
};

struct conf_named {
	struct str			 name;
	const struct conf_node		*node;
	void				*common;	/* the row's keys */
	const struct conf_variant	*variant;	/* NULL without variants */
	void				*own;		/* the variant's keys */
	struct str			 base;		/* what its BASE key names; .p NULL: none */
};

struct conf_named_list {
	struct conf_named	*v;
	size_t			 n;
};

struct conf_key {
	const char			*name;
	enum conf_type			 type;
	size_t				 offset;	/* in the struct that is filled */
	/* INT, MS, SIZE.  Both 0: any.  max 0 with a min above: no upper limit. */
	int64_t				 min, max;
	/* As the user would write it, a list as "[a, b]".  NULL: unset.  Not for BLOCK,
	 * NAMED and TREE. */
	const char			*def;
	bool				 required;	/* in a BLOCK that is itself there */
	/* SIGHUP may change it.  NAMED: entries may come, go and change their type.
	 * BLOCK: not looked at, its rows decide. */
	bool				 reload;
	const char *const		*choices;	/* ENUM, FLAGS: ended by NULL */
	const struct conf_key		*keys;		/* BLOCK, NAMED: ended by { 0 } */
	size_t				 size;		/* NAMED: of the common struct */
	/* NAMED: the n-th variant, NULL behind the last; NULL: no variants. */
	const struct conf_variant	*(*variant)(size_t n);
	const char			*folder;	/* BASE: the key at the top that names it */
	/* TREE: how many levels of its maps are merged with those of a base, entry by
	 * entry; 0: an entry's own replaces the base's. */
	unsigned			 merge_levels;
	/* TREE: a list of maps of these same keys.  Where a base gives it, what the entry
	 * itself says is merged into each of them as it is into the base. */
	bool				 is_parts;
	/* SECRETS: everybody may know it; no warning that they can. */
	bool				 is_public;
	const char			*help;		/* full sentences */
};

/* Reads the file (and what `include:` names) into *out by the rows.  Always
 * returns a conf unless memory is out; it holds *every* error found.  `out` was
 * zeroed by the caller and points into the conf afterwards. */
TL_MUST struct conf	*conf_load(const char *path, const struct conf_key *keys, void *out);
/* The same, but a fixed text stands for each secret: for programs that need none, and
 * whose user may not be allowed to read them. */
TL_MUST struct conf	*conf_load_without_secrets(const char *path, const struct conf_key *keys,
			    void *out);
/* As conf_load(), for who checks the file from outside of the service: a systemd credential
 * that this process was not given is a warning, and conf_has_secrets() is false then. */
TL_MUST struct conf	*conf_load_to_check(const char *path, const struct conf_key *keys,
			    void *out);
/* A file, with what it includes, as a tree and by no rows: look at conf_root(). */
TL_MUST struct conf	*conf_load_tree(const char *path);
void			 conf_free(struct conf *c);	/* accepts NULL */
/* Memory that lives as long as the conf. */
struct arena		*conf_arena(struct conf *c);
/* fn(arg) is called when the conf is freed: for what an owner compiled that is not memory
 * of the arena.  false when memory is out: not called. */
TL_MUST bool		 conf_defer(struct conf *c, void (*fn)(void *arg), void *arg);
/* False when it was loaded without them, or one of them could not be had: a text that stands
 * for it proves nothing. */
bool			 conf_has_secrets(const struct conf *c);
/* The whole file as a tree; NULL when it could not be read. */
const struct conf_node	*conf_root(const struct conf *c);

/* Adds "file:line:col: text" as an error.  node NULL: about the whole file. */
void	conf_complain(struct conf *c, const struct conf_node *node, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
/* The same of one character of a text, counted from 0; see conf_place(). */
void	conf_complain_at(struct conf *c, const struct conf_node *text, size_t at,
	    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void	conf_warn(struct conf *c, const struct conf_node *node, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
size_t	conf_errors(const struct conf *c);
size_t	conf_warnings(const struct conf *c);
/* i-th error or warning, a complete line without its end. */
const char *conf_error_text(const struct conf *c, size_t i);
const char *conf_warning_text(const struct conf *c, size_t i);

/* ---- trees, for what the owner compiles itself ---- */
bool	conf_is_map(const struct conf_node *n);
bool	conf_is_list(const struct conf_node *n);
bool	conf_is_scalar(const struct conf_node *n);
/* Items of a list, or pairs of a map. */
size_t	conf_count(const struct conf_node *n);
/* i-th item of a list, or value of the i-th pair of a map. */
const struct conf_node *conf_item(const struct conf_node *n, size_t i);
/* The key of the i-th pair of a map, as text and as a place. */
struct str conf_key_text(const struct conf_node *n, size_t i);
const struct conf_node *conf_key_node(const struct conf_node *n, size_t i);
/* Text of a scalar; STR_NONE otherwise. */
struct str conf_text(const struct conf_node *n);
/* The value of that key of a map; NULL when it is not there or n is NULL. */
const struct conf_node *conf_find(const struct conf_node *n, const char *key);

/* The key itself, as a place; NULL when it is not there or n is NULL. */
const struct conf_node *conf_find_key(const struct conf_node *n, const char *key);
/* Adds "file:line:col" of a node. */
void	conf_place(const struct conf_node *n, struct buf *out);
/* The same of one character of a text, counted from 0: where it stands in the file, whatever
 * the text is quoted by, folded or escaped; white space stands behind the character before
 * it.  Beyond the last it is the text's end; what stands in no file adds nothing. */
void	conf_place_at(const struct conf_node *text, size_t at, struct buf *out);

/* ---- the scalars, for others who read such text ---- */
TL_MUST bool conf_parse_ms(struct str s, int64_t *ret_ms);
TL_MUST bool conf_parse_size(struct str s, int64_t *ret_bytes);
/* "file:PATH", "env:NAME", "cred:NAME", "plain:TEXT"; the value is in the arena.
 * A relative PATH counts from the working directory; in a configuration it counts from
 * the folder of the file it is written in.  ret_why is set to what is wrong (static or
 * arena text, never the secret) on failure. */
TL_MUST bool conf_read_secret(struct arena *a, struct str spec, struct str *ret_value,
    const char **ret_why);
/* The nearest of the names to a misspelt one, or NULL when none is near.  `name(i)`
 * returns NULL behind the last. */
const char *conf_nearest(struct str wrong, const char *(*name)(void *arg, size_t i), void *arg);

/* Calls `each` with the dotted path of every setting whose row says reload = false
 * and whose value differs between two structs filled by the same rows.  An entry of a
 * NAMED row that came, went or changed its type is one path, that of the entry. */
void	conf_diff_fixed(const struct conf_key *keys, const void *was, const void *is,
	    void (*each)(void *arg, const char *path), void *arg);

/* JSON Schema (2020-12) of the rows. */
void	conf_schema(const struct conf_key *keys, struct buf *out);
/* The same as the body of a section of a man(7) page: .TP entries, nested by .RS. */
void	conf_man(const struct conf_key *keys, struct buf *out);

#endif
