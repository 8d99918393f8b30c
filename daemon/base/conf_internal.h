/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BASE_CONF_INTERNAL_H
#define TL_BASE_CONF_INTERNAL_H

/* What the conf*.c files share; nobody else includes this. */

#include <sys/types.h>

#include "base/conf.h"

enum {
	CONF_DEPTH_MAX = 64,		/* maps and lists in each other */
	CONF_NODES_MAX = 1000000,	/* per file, with aliases written out */
	CONF_ANCHORS_MAX = 1000,	/* per file */
	CONF_FILE_MAX_BYTES = 16 << 20,
	CONF_FILES_MAX = 1000,
	CONF_INCLUDE_DEPTH_MAX = 8,
	CONF_LINES_MAX = 1000,		/* errors, and warnings */
	CONF_NAME_MAX_BYTES = 64,	/* of an entry of a named map */
};

/* How much of a name or value an error repeats. */
#define CONF_SHOWN(s)	STR_ARG(str_prefix_utf8((s), 60))

#define CONF_NAME_PATTERN	"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
#define CONF_MS_PATTERN		"^[0-9]+(ms|s|m|h|d|w|y)$"
#define CONF_SIZE_PATTERN	"^[0-9]+(B|KiB|MiB|GiB)?$"
#define CONF_SECRET_PATTERN	"^(file|env|cred|plain):"

struct conf_file {
	const char		*path;	/* as errors name it */
	dev_t			 dev;
	ino_t			 ino;
	const struct conf_node	*place;	/* of the include that named it; NULL: the first file */
	struct str		 bytes;	/* without its mark of byte order */
	struct conf_file	*next;
};

struct conf_pair {
	const struct conf_node	*key;	/* NULL in a list */
	const struct conf_node	*value;
};

struct conf_node {
	enum { CONF_IS_NULL, CONF_IS_TEXT, CONF_IS_LIST, CONF_IS_MAP } kind;
	const struct conf_file	*file;	/* NULL: a default, which stands in no file */
	int			 line, col;
	size_t			 weight;	/* nodes from here downwards, aliases written out */
	size_t			 height;	/* 1 for a scalar */
	enum { CONF_AS_IT_IS, CONF_SINGLE_QUOTED, CONF_DOUBLE_QUOTED } style;	/* of a text */
	size_t			 at;	/* of its first character in the file's bytes */
	struct str		 text;
	struct conf_pair	*pairs;
	size_t			 n;
};

struct conf_base {		/* a file that entries build on, read once */
	const char		*path;
	const struct conf_node	*map;	/* NULL: it could not be read, which was said */
	struct conf_base	*next;
};

struct conf_lines {
	const char	**v;		/* ours; the texts are the arena's */
	size_t		  n, room;
};

struct conf_deferred {
	void			(*fn)(void *arg);
	void			*arg;
	struct conf_deferred	*next;
};

struct conf {
	struct arena		 arena;
	struct conf_deferred	*deferred;	/* newest first */
	const char		*path;
	const struct conf_node	*root;		/* NULL: nothing could be read */
	struct conf_file	*files, **files_end;
	size_t			 nfiles;
	struct conf_base	*bases;
	struct conf_lines	 errors, warnings;
	bool			 is_partial;	/* something could not be read */
	bool			 skips_secrets;
	bool			 is_check;	/* by who may not have the credentials */
	bool			 lacks_secret;	/* so one was left out */
	bool			 no_memory;
};

/* arena_alloc that notes when memory is out. */
TL_MUST void		*conf_mem(struct conf *c, size_t n);
TL_MUST struct str	 conf_copy(struct conf *c, struct str s);

/* ---- conf_yaml.c ---- */
/* Parses one document.  Errors are complained about; what stood before the first one
 * is returned all the same.  NULL: empty, or nothing usable. */
struct conf_node	*conf_parse(struct conf *c, struct conf_file *file, struct str bytes);

/* ---- conf_files.c ---- */
/* Reads the file and all it includes and merges them by the rows.  Never NULL unless
 * memory is out. */
const struct conf_node	*conf_read_files(struct conf *c, const struct conf_key *keys);
/* One file that includes none.  NULL after a complaint, at `place`.  Does not set
 * is_partial: what was read besides is whole. */
const struct conf_node	*conf_read_map(struct conf *c, const char *path,
	    const struct conf_node *place);

/* ---- conf_tree.c ---- */
/* Drops every pair of the map whose key stood there before.  Where a row of `keys`
 * (may be NULL) lets maps grow together they are merged, else it is an error. */
void	conf_settle(struct conf *c, const struct conf_key *keys, struct conf_node *map);
bool	conf_same_tree(const struct conf_node *a, const struct conf_node *b);
/* "a map", "a list", "a text", "nothing" */
const char *conf_kind_name(const struct conf_node *n);

/* ---- conf_place.c ---- */
/* The node, but with line and column of that character of its text. */
struct conf_node conf_node_at(const struct conf_node *text, size_t at);

/* ---- conf_fill.c ---- */
void	conf_fill(struct conf *c, const struct conf_key *keys, const struct conf_node *root,
	    void *out);
const struct conf_key *conf_row(const struct conf_key *keys, struct str name);
/* A default as the node that the parser would have made of it. */
const struct conf_node *conf_default_node(struct conf *c, const struct conf_key *row);

/* ---- conf_leaf.c ---- */
struct conf_walk {		/* rows and tree, side by side */
	struct conf	*c;
	const struct conf_key *keys;	/* the topmost rows */
	struct buf	 path;		/* of the setting at hand: "sources.shop" */
};

typedef void conf_fill_fn(struct conf_walk *w, const struct conf_key *row,
    const struct conf_node *n, void *at);

/* By type; BLOCK and NAMED are conf_fill.c's own. */
extern conf_fill_fn *const conf_fill_leaf[];

/* Complains about the setting at hand. */
#define conf_wrong(w, node, fmt, ...)					\
	conf_complain((w)->c, (node), "%.*s: " fmt, STR_ARG(buf_str(&(w)->path)), __VA_ARGS__)

/* False after a complaint: n is no scalar; "... is wanted". */
TL_MUST bool conf_want_text(struct conf_walk *w, const struct conf_node *n, const char *wanted);
/* Complains "what; did you mean ...?", or lists all names there are. */
void	conf_suggest(struct conf_walk *w, const struct conf_node *n, const char *what,
	    const char *(*name)(void *, size_t), void *arg);
/* "a, b, c" */
void	conf_add_names(struct buf *out, const char *(*name)(void *, size_t), void *arg);

/* The folder of the file that names it: a relative path counts from there. */
char	*conf_folder_of(struct conf *c, const struct conf_node *n);

/* ---- conf_base.c ---- */
/* The row of type BASE among these; NULL: there is none. */
const struct conf_key *conf_base_row(const struct conf_key *keys);
/* The entry with what it builds on merged underneath; the entry itself when it names
 * nothing.  NULL after a complaint. */
const struct conf_node *conf_on_base(struct conf_walk *w, const struct conf_key *row,
	    const struct conf_key *const *tables, size_t ntables, const struct conf_node *entry);

/* ---- conf_values.c ---- */
struct conf_secret {
	struct str	 value;
	const char	*why;		/* what is wrong */
	const char	*warning;	/* NULL: nothing */
};
TL_MUST bool conf_secret_in(struct arena *a, const char *folder, struct str spec,
    struct conf_secret *ret);
/* The shortest spelling: 90s, 64KiB. */
void	conf_ms_text(struct buf *out, int64_t ms);
void	conf_size_text(struct buf *out, int64_t bytes);
/* "1 to 16", "at least 10ms"; nothing when any value goes. */
void	conf_range_text(struct buf *out, const struct conf_key *row);

#endif
