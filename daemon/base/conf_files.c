/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: reading a file and those it includes, and merging them into one tree. */
#include "base/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/conf_internal.h"

struct part {			/* the map of one file */
	const struct conf_node	*map;
	struct part		*next;
};

struct parts {			/* of all files, in the order they were read */
	struct conf		*c;
	struct part		*first, *last;
	size_t			 npairs;
};

static void
complain_file(struct conf *c, const struct conf_file *f, const char *what)
{
	struct conf_node start = { .file = f, .line = 1, .col = 1 };

	c->is_partial = true;
	if (f->place != NULL)
		conf_complain(c, f->place, "%s: %s", f->path, what);
	else
		conf_complain(c, &start, "%s", what);
}

/* Also notes which file it is, to find one that is read twice. */
static bool
read_bytes(struct conf_file *f, struct buf *out, const char **ret_why)
{
	/* Not blocking: a pipe would wait for a writer before it can be refused. */
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t got = -1;

	*ret_why = NULL;
	if (fd < 0 || fstat(fd, &st) != 0) {
		*ret_why = strerror(errno);
	} else if (!S_ISREG(st.st_mode)) {
		*ret_why = S_ISDIR(st.st_mode) ? "is a directory; name a file" : "is not a file";
	} else {
		f->dev = st.st_dev;
		f->ino = st.st_ino;
		do {
			char piece[65536];

			got = read(fd, piece, sizeof(piece));
			if (got > 0)
				buf_add(out, piece, (size_t)got);
		} while (got > 0 && buf_ok(out));
		if (got < 0)
			*ret_why = strerror(errno);
		else if (!buf_ok(out))
			*ret_why = "is larger than 16 MiB";
	}
	if (fd >= 0)
		(void)close(fd);
	return *ret_why == NULL;
}

static struct conf_node
place_of(const struct conf_file *f, struct str bytes, size_t at)
{
	struct conf_node place = { .file = f, .line = 1, .col = 1 };

	for (size_t i = 0; i < at; i++)
		if (bytes.p[i] == '\n') {
			place.line++;
			place.col = 1;
		} else if (((unsigned char)bytes.p[i] & 0xc0) != 0x80) {
			place.col++;
		}
	return place;
}

/* libfyaml reads on behind both of these in ways of its own. */
static bool
is_clean_text(struct conf *c, struct conf_file *f, struct str bytes)
{
	const char *nul = bytes.n > 0 ? memchr(bytes.p, '\0', bytes.n) : NULL;
	struct conf_node place;
	size_t at;

	if (nul != NULL) {
		place = place_of(f, bytes, (size_t)(nul - bytes.p));
		conf_complain(c, &place, "a NUL byte; this is no text file");
	} else if (!str_is_utf8(bytes, &at)) {
		place = place_of(f, bytes, at);
		conf_complain(c, &place, "byte 0x%02x is not UTF-8; save the file as UTF-8",
		    (unsigned char)bytes.p[at]);
	} else {
		return true;
	}
	c->is_partial = true;
	return false;
}

static const struct conf_file *
read_before(const struct conf *c, const struct conf_file *f)
{
	for (const struct conf_file *g = c->files; g != NULL; g = g->next)
		if (g->dev == f->dev && g->ino == f->ino)
			return g;
	return NULL;
}

static struct conf_node *
parse_bytes(struct conf *c, struct conf_file *f, struct str text)
{
	if (str_starts(text, STR("\xef\xbb\xbf")))
		text = str_skip(text, 3);
	return is_clean_text(c, f, text) ? conf_parse(c, f, text) : NULL;
}

static struct conf_node *
parse_file(struct conf *c, struct conf_file *f)
{
	struct conf_node *root = NULL;
	struct buf bytes;
	const char *why;

	buf_init(&bytes, CONF_FILE_MAX_BYTES);
	if (!read_bytes(f, &bytes, &why)) {
		complain_file(c, f, why);
	} else if (read_before(c, f) != NULL) {
		complain_file(c, f, "is read already; include each file once");
	} else {
		*c->files_end = f;
		c->files_end = &f->next;
		root = parse_bytes(c, f, buf_str(&bytes));
	}
	buf_fini(&bytes);
	return root;
}

static bool
add_part(struct parts *p, const struct conf_node *map)
{
	struct part *part = conf_mem(p->c, sizeof(*part));

	if (part == NULL)
		return false;
	part->map = map;
	if (p->last != NULL)
		p->last->next = part;
	else
		p->first = part;
	p->last = part;
	p->npairs += map->n;
	return true;
}

static const char *
beside(struct conf *c, const struct conf_file *f, struct str pattern)
{
	const char *slash = strrchr(f->path, '/'), *copy;
	struct buf path;

	buf_init(&path, 8192);
	if (slash != NULL && pattern.n > 0 && pattern.p[0] != '/')
		buf_add(&path, f->path, (size_t)(slash - f->path) + 1);
	buf_str_add(&path, pattern);
	copy = buf_ok(&path) ? conf_copy(c, buf_str(&path)).p : NULL;
	buf_fini(&path);
	return copy;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A folder that is not there holds nothing; one that may not be read is an error. */
static int
is_fatal(const char *path, int error)
{
	(void)path;
	return error != ENOENT && error != ENOTDIR;
}

static void read_file(struct parts *p, const char *path, const struct conf_node *place, int depth);

static void
include_glob(struct parts *p, const struct conf_node *n, int depth)
{
	const char *pattern = conf_is_scalar(n) && n->text.n > 0 ?
	    beside(p->c, n->file, n->text) : NULL;
	glob_t found = { 0 };
	int rc;

	if (pattern == NULL) {
		conf_complain(p->c, n, "include: a file name or pattern is wanted, "
		    "e.g. conf.d/*.yaml");
		return;
	}
	/* Sorted by bytes, not as the locale would. */
	rc = glob(pattern, GLOB_NOSORT, is_fatal, &found);
	if (rc == GLOB_NOSPACE)
		p->c->no_memory = true;
	else if (rc == GLOB_ABORTED)
		conf_complain(p->c, n, "include: %s: %s", pattern, strerror(errno));
	else if (rc == GLOB_NOMATCH && strpbrk(pattern, "*?[") == NULL)
		conf_complain(p->c, n, "include: %s: there is no such file", pattern);
	if (rc == 0) {
		qsort(found.gl_pathv, found.gl_pathc, sizeof(*found.gl_pathv), by_name);
		for (size_t i = 0; i < found.gl_pathc; i++)
			read_file(p, found.gl_pathv[i], n, depth + 1);
	}
	globfree(&found);
}

/* Takes the key out of the map, so that the rows need not know it. */
static const struct conf_node *
take_include(struct conf_node *map)
{
	for (size_t i = 0; i < map->n; i++)
		if (str_eq(conf_key_text(map, i), STR("include"))) {
			const struct conf_node *value = map->pairs[i].value;

			map->n--;
			memmove(map->pairs + i, map->pairs + i + 1,
			    (map->n - i) * sizeof(*map->pairs));
			return value;
		}
	return NULL;
}

static void
include_all(struct parts *p, const struct conf_node *n, int depth)
{
	if (n == NULL || n->kind == CONF_IS_NULL)
		return;
	if (!conf_is_list(n)) {
		include_glob(p, n, depth);
		return;
	}
	for (size_t i = 0; i < n->n; i++)
		include_glob(p, n->pairs[i].value, depth);
}

static bool
holds_map(struct conf *c, const struct conf_node *root)
{
	if (root->kind == CONF_IS_MAP)
		return true;
	c->is_partial = true;
	conf_complain(c, root, "the file holds %s; a map (\"key: value\") is wanted",
	    conf_kind_name(root));
	return false;
}

static void
read_file(struct parts *p, const char *path, const struct conf_node *place, int depth)
{
	struct conf_file *f = conf_mem(p->c, sizeof(*f));
	struct conf_node *map;
	const struct conf_node *include;

	if (f == NULL || (f->path = conf_copy(p->c, str_of(path)).p) == NULL)
		return;
	f->place = place;
	if (depth > CONF_INCLUDE_DEPTH_MAX || p->c->nfiles++ >= CONF_FILES_MAX) {
		complain_file(p->c, f, depth > CONF_INCLUDE_DEPTH_MAX ?
		    "includes are nested too deep" : "too many files are included");
		return;
	}
	map = parse_file(p->c, f);
	if (map == NULL || map->kind == CONF_IS_NULL || !holds_map(p->c, map))
		return;
	include = take_include(map);
	if (add_part(p, map))
		include_all(p, include, depth);
}

const struct conf_node *
conf_read_files(struct conf *c, const struct conf_key *keys)
{
	struct parts p = { .c = c };
	struct conf_node *root = conf_mem(c, sizeof(*root));

	read_file(&p, c->path, NULL, 0);
	if (root == NULL)
		return NULL;
	root->pairs = conf_mem(c, p.npairs * sizeof(*root->pairs));
	if (root->pairs == NULL)
		return NULL;
	root->kind = CONF_IS_MAP;
	root->file = c->files;
	root->line = root->col = 1;
	for (const struct part *part = p.first; part != NULL; part = part->next)
		for (size_t i = 0; i < part->map->n; i++)
			root->pairs[root->n++] = part->map->pairs[i];
	conf_settle(c, keys, root);
	return root;
}

const struct conf_node *
conf_read_map(struct conf *c, const char *path, const struct conf_node *place)
{
	struct conf_file *f = conf_mem(c, sizeof(*f));
	const struct conf_node *map = NULL;
	bool was_partial = c->is_partial, is_whole;
	struct buf bytes;
	const char *why;

	if (f == NULL || (f->path = conf_copy(c, str_of(path)).p) == NULL)
		return NULL;
	f->place = place;
	c->is_partial = false;
	buf_init(&bytes, CONF_FILE_MAX_BYTES);
	if (!read_bytes(f, &bytes, &why))
		complain_file(c, f, why);
	else
		map = parse_bytes(c, f, buf_str(&bytes));
	buf_fini(&bytes);
	is_whole = !c->is_partial && map != NULL && holds_map(c, map);
	c->is_partial = was_partial;
	return is_whole ? map : NULL;
}
