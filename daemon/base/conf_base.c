/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: the files that entries of a named map build on (rows of type BASE).
 *
 * Such a file is a map of the keys that an entry has.  It is merged under the entry
 * before anything is filled, so that the rest of the configuration never hears of it;
 * its nodes keep their places, so that an error in it names its own line. */
#include "base/conf.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/conf_internal.h"

static const char ending[] = ".yaml";

const struct conf_key *
conf_base_row(const struct conf_key *keys)
{
	for (const struct conf_key *row = keys; row != NULL && row->name != NULL; row++)
		if (row->type == CONF_BASE)
			return row;
	return NULL;
}

/* ---- the folder ---- */

/* A setting at the top may stand behind the entries that need it: it is looked up in the
 * tree.  NULL: it is not set, or is no text, which is said elsewhere. */
static const char *
folder(struct conf_walk *w, const char *key)
{
	const struct conf_key *row = conf_row(w->keys, str_of(key));
	const struct conf_node *n = conf_find(w->c->root, key);
	const char *path;
	struct buf b;

	if (n == NULL)
		return row != NULL ? row->def : NULL;
	if (!conf_is_scalar(n) || n->text.n == 0)
		return NULL;
	if (n->text.p[0] == '/')
		return n->text.p;
	buf_init(&b, 8192);
	buf_printf(&b, "%s/%.*s", conf_folder_of(w->c, n), STR_ARG(n->text));
	path = buf_ok(&b) ? conf_copy(w->c, buf_str(&b)).p : NULL;
	buf_fini(&b);
	return path;
}

struct names {			/* of the files in a folder, sorted */
	struct conf_walk	*w;
	const char		**v;	/* ours; the texts are the arena's */
	size_t			 n, room;
};

static bool
add_name(struct names *names, struct str file)
{
	struct str end = str_of(ending);
	const char **more;

	if (file.n <= end.n || !str_eq(str_skip(file, file.n - end.n), end))
		return true;
	if (names->n == names->room) {
		size_t room = names->room > 0 ? 2 * names->room : 32;

		more = realloc(names->v, room * sizeof(*more));
		if (more == NULL)
			return false;
		names->v = more;
		names->room = room;
	}
	names->v[names->n] = conf_copy(names->w->c, (struct str){ file.p, file.n - end.n }).p;
	return names->v[names->n++] != NULL;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *
name_at(void *arg, size_t i)
{
	const struct names *names = arg;

	return i < names->n ? names->v[i] : NULL;
}

/* "did you mean ...?" and all there are. */
static void
complain_unknown(struct conf_walk *w, const struct conf_node *n, const char *path)
{
	struct names names = { .w = w };
	DIR *dir = opendir(path);
	const char *nearest;
	struct dirent *entry;
	struct buf all;

	if (dir == NULL) {
		conf_wrong(w, n, "%s: %s", path, strerror(errno));
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (!add_name(&names, str_of(entry->d_name)))
			w->c->no_memory = true;
	(void)closedir(dir);
	if (names.n > 0)
		qsort(names.v, names.n, sizeof(*names.v), by_text);
	nearest = conf_nearest(n->text, name_at, &names);
	buf_init(&all, 4096);
	conf_add_names(&all, name_at, &names);
	conf_wrong(w, n, "there is no \"%.*s\" in %s;%s%s%s known are: %.*s", CONF_SHOWN(n->text),
	    path, nearest != NULL ? " did you mean \"" : "", nearest != NULL ? nearest : "",
	    nearest != NULL ? "\"?" : "", STR_ARG(buf_str(&all)));
	buf_fini(&all);
	free(names.v);
}

/* ---- one file ---- */

/* What belongs to the entry alone would pass unseen. */
static void
refuse_own_keys(struct conf_walk *w, const struct conf_key *row, const struct conf_node *map)
{
	for (size_t i = 0; i < conf_count(map); i++) {
		struct str key = conf_key_text(map, i);

		if (str_eq(key, STR("type")) || str_eq(key, str_of(row->name)))
			conf_complain(w->c, conf_key_node(map, i), "%.*s: stands in what builds on "
			    "this file, not in it; remove it here", STR_ARG(key));
	}
}

static const struct conf_node *
read_base(struct conf_walk *w, const struct conf_key *row, const struct conf_node *name,
    const char *path)
{
	struct conf_base *b;

	for (b = w->c->bases; b != NULL; b = b->next)
		if (strcmp(b->path, path) == 0)
			return b->map;
	b = conf_mem(w->c, sizeof(*b));
	if (b == NULL || (b->path = conf_copy(w->c, str_of(path)).p) == NULL)
		return NULL;
	b->map = conf_read_map(w->c, path, name);
	b->next = w->c->bases;
	w->c->bases = b;
	refuse_own_keys(w, row, b->map);
	return b->map;
}

/* A name with a slash would lead out of the folder: it is unknown like any other. */
static bool
is_file_name(struct str s)
{
	return s.n > 0 && s.p[0] != '.' && memchr(s.p, '/', s.n) == NULL;
}

static const struct conf_node *
find_base(struct conf_walk *w, const struct conf_key *row, const struct conf_node *name)
{
	const char *dir = folder(w, row->folder);
	const struct conf_node *map = NULL;
	struct buf path;

	if (dir == NULL) {
		conf_wrong(w, name, "the setting %s names no folder", row->folder);
		return NULL;
	}
	buf_init(&path, 8192);
	buf_printf(&path, "%s/%.*s%s", dir, STR_ARG(name->text), ending);
	buf_add(&path, "", 1);
	if (buf_ok(&path) && is_file_name(name->text) && access(path.p, F_OK) == 0)
		map = read_base(w, row, name, path.p);
	else
		complain_unknown(w, name, dir);
	buf_fini(&path);
	return map;
}

/* ---- merging ---- */

/* What merge() works by. */
struct merger {
	struct conf			*c;
	const struct conf_key *const	*tables;
	size_t				 ntables;
};

static const struct conf_key *
row_named(const struct merger *m, struct str key)
{
	const struct conf_key *row = NULL;

	for (size_t t = 0; t < m->ntables && row == NULL; t++)
		row = conf_row(m->tables[t], key);
	return row;
}

static const struct conf_pair *
find_pair(const struct conf_node *map, struct str key)
{
	for (size_t i = 0; i < map->n; i++)
		if (str_eq(map->pairs[i].key->text, key))
			return &map->pairs[i];
	return NULL;
}

/* A node like `like`, with room for so many pairs and none of them set. */
static struct conf_node *
new_like(struct conf *c, const struct conf_node *like, size_t npairs)
{
	struct conf_node *n = conf_mem(c, sizeof(*n));

	if (n == NULL)
		return NULL;
	*n = *like;
	n->n = 0;
	n->pairs = conf_mem(c, npairs * sizeof(*n->pairs));
	return n->pairs != NULL ? n : NULL;
}

/* own over base, and the maps in them over each other so many levels deep.  A key
 * without a value takes away what the base has there. */
static const struct conf_node *
merge_maps(struct conf *c, const struct conf_node *own, const struct conf_node *base,
    unsigned levels)
{
	struct conf_node *both = new_like(c, own, own->n + base->n);

	if (both == NULL)
		return NULL;
	for (size_t i = 0; i < base->n; i++)
		if (find_pair(own, base->pairs[i].key->text) == NULL)
			both->pairs[both->n++] = base->pairs[i];
	for (size_t i = 0; i < own->n; i++) {
		const struct conf_pair *under = find_pair(base, own->pairs[i].key->text);
		struct conf_pair *to = &both->pairs[both->n];

		*to = own->pairs[i];
		if (to->value->kind == CONF_IS_NULL)
			continue;
		if (under != NULL && levels > 1 && conf_is_map(to->value) &&
		    conf_is_map(under->value))
			to->value = merge_maps(c, to->value, under->value, levels - 1);
		if (to->value == NULL)
			return NULL;
		both->n++;
	}
	return both;
}

/* The value of one key of an entry, where both may have one. */
static const struct conf_node *
merge_values(const struct merger *m, struct str key, const struct conf_node *own,
    const struct conf_node *base)
{
	const struct conf_key *row = row_named(m, key);

	if (row == NULL || row->merge_levels == 0 || !conf_is_map(own) || !conf_is_map(base))
		return own;
	return merge_maps(m->c, own, base, row->merge_levels);
}

/* What the part itself says stays, but for that over which the entry's own is merged. */
static const struct conf_node *
merge_part(const struct merger *m, const struct conf_node *own, const struct conf_node *part)
{
	struct conf_node *both;

	if (!conf_is_map(part))
		return part;
	both = new_like(m->c, part, part->n);
	for (size_t i = 0; both != NULL && i < part->n; i++) {
		struct str key = part->pairs[i].key->text;
		const struct conf_key *row = row_named(m, key);
		const struct conf_pair *over = find_pair(own, key);
		struct conf_pair *to = &both->pairs[both->n++];

		*to = part->pairs[i];
		if (over != NULL && row != NULL && row->merge_levels > 0)
			to->value = merge_values(m, key, over->value, to->value);
		if (to->value == NULL)
			return NULL;
	}
	return both;
}

static const struct conf_node *
merge_parts(const struct merger *m, const struct conf_node *own, const struct conf_node *list)
{
	struct conf_node *both;

	if (!conf_is_list(list))
		return list;
	both = new_like(m->c, list, list->n);
	for (size_t i = 0; both != NULL && i < list->n; i++) {
		struct conf_pair *to = &both->pairs[both->n++];

		*to = (struct conf_pair){ .value = merge_part(m, own, list->pairs[i].value) };
		if (to->value == NULL)
			return NULL;
	}
	return both;
}

static const struct conf_node *
merge_entry(const struct merger *m, const struct conf_node *own, const struct conf_node *base)
{
	struct conf_node *both = new_like(m->c, own, own->n + base->n);
	struct conf_node none = { .kind = CONF_IS_MAP };

	for (size_t i = 0; both != NULL && i < own->n + base->n; i++) {
		const struct conf_pair *from = i < own->n ? &own->pairs[i] :
		    &base->pairs[i - own->n];
		struct conf_pair *to = &both->pairs[both->n];
		const struct conf_key *row = row_named(m, from->key->text);
		const struct conf_pair *under = find_pair(base, from->key->text);

		*to = *from;
		if (i < own->n)
			to->value = merge_values(m, from->key->text, from->value,
			    under != NULL ? under->value : &none);
		else if (find_pair(own, from->key->text) != NULL)
			continue;
		else if (row != NULL && row->is_parts)
			to->value = merge_parts(m, own, from->value);
		if (to->value == NULL)
			return NULL;
		both->n++;
	}
	return both;
}

const struct conf_node *
conf_on_base(struct conf_walk *w, const struct conf_key *row, const struct conf_key *const *tables,
    size_t ntables, const struct conf_node *entry)
{
	const struct merger m = { w->c, tables, ntables };
	const struct conf_node *name = conf_find(entry, row->name), *base;
	size_t was = w->path.n;

	if (name == NULL)
		return entry;
	buf_printf(&w->path, ".%s", row->name);
	/* What is no text is complained about where the key itself is filled. */
	base = conf_is_scalar(name) ? find_base(w, row, name) : NULL;
	w->path.n = was;
	return base != NULL ? merge_entry(&m, entry, base) : NULL;
}
