/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: one loaded configuration, its errors and warnings.
 *
 * The way of a file: conf_files.c reads it and what it includes, conf_yaml.c makes a tree
 * of each, conf_tree.c merges them, conf_fill.c walks the rows and fills the structs.
 * Nobody stops at an error: each complains and goes on, so that `touchlogd -t` shows
 * all of them at once. */
#include "base/conf.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/conf_internal.h"

enum { LINE_MAX_BYTES = 8192 };

void *
conf_mem(struct conf *c, size_t n)
{
	void *p = arena_alloc(&c->arena, n > 0 ? n : 1);

	if (p == NULL)
		c->no_memory = true;
	return p;
}

struct str
conf_copy(struct conf *c, struct str s)
{
	struct str copy = arena_str(&c->arena, s);

	if (copy.p == NULL && s.p != NULL)
		c->no_memory = true;
	return copy;
}

static void
add_line(struct conf *c, struct conf_lines *l, struct str text)
{
	struct str copy;

	/* A file that several entries build on is judged with each of them. */
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(str_of(l->v[i]), text))
			return;
	if (l->n >= CONF_LINES_MAX)
		return;
	if (l->n == CONF_LINES_MAX - 1)
		text = STR("and more, which are not shown");
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 16;
		const char **v = realloc(l->v, room * sizeof(*v));

		if (v == NULL) {
			c->no_memory = true;
			return;
		}
		l->v = v;
		l->room = room;
	}
	copy = conf_copy(c, text);
	if (copy.p != NULL)
		l->v[l->n++] = copy.p;
}

static void
complain(struct conf *c, struct conf_lines *l, const struct conf_node *node, const char *fmt,
    va_list ap)
{
	char text[LINE_MAX_BYTES];
	struct buf line;

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	/* What came from the file may hold line ends: one error is one line. */
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	buf_init(&line, 2 * LINE_MAX_BYTES);
	if (node != NULL && node->file != NULL)
		buf_printf(&line, "%s:%d:%d: %s", node->file->path, node->line, node->col, text);
	else
		buf_printf(&line, "%s: %s", c->path, text);
	if (!buf_ok(&line))
		c->no_memory = true;
	add_line(c, l, buf_str(&line));
	buf_fini(&line);
}

void
conf_complain(struct conf *c, const struct conf_node *node, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(c, &c->errors, node, fmt, ap);
	va_end(ap);
}

void
conf_complain_at(struct conf *c, const struct conf_node *text, size_t at, const char *fmt, ...)
{
	const struct conf_node place = conf_node_at(text, at);
	va_list ap;

	va_start(ap, fmt);
	complain(c, &c->errors, &place, fmt, ap);
	va_end(ap);
}

void
conf_warn(struct conf *c, const struct conf_node *node, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(c, &c->warnings, node, fmt, ap);
	va_end(ap);
}

size_t
conf_errors(const struct conf *c)
{
	return c->errors.n;
}

size_t
conf_warnings(const struct conf *c)
{
	return c->warnings.n;
}

const char *
conf_error_text(const struct conf *c, size_t i)
{
	return c->errors.v[i];
}

const char *
conf_warning_text(const struct conf *c, size_t i)
{
	return c->warnings.v[i];
}

struct arena *
conf_arena(struct conf *c)
{
	return &c->arena;
}

bool
conf_defer(struct conf *c, void (*fn)(void *arg), void *arg)
{
	struct conf_deferred *d = conf_mem(c, sizeof(*d));

	if (d == NULL)
		return false;
	*d = (struct conf_deferred){ fn, arg, c->deferred };
	c->deferred = d;
	return true;
}

static struct conf *
load(const char *path, const struct conf_key *keys, void *out, const struct conf *mode)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	*c = *mode;
	c->files_end = &c->files;
	c->path = conf_copy(c, str_of(path)).p;
	if (c->path != NULL)
		c->root = conf_read_files(c, keys);
	if (c->root != NULL && keys != NULL)
		conf_fill(c, keys, c->root, out);
	if (c->no_memory) {
		conf_free(c);
		return NULL;
	}
	return c;
}

struct conf *
conf_load(const char *path, const struct conf_key *keys, void *out)
{
	return load(path, keys, out, &(struct conf){ .skips_secrets = false });
}

struct conf *
conf_load_without_secrets(const char *path, const struct conf_key *keys, void *out)
{
	return load(path, keys, out, &(struct conf){ .skips_secrets = true });
}

struct conf *
conf_load_to_check(const char *path, const struct conf_key *keys, void *out)
{
	return load(path, keys, out, &(struct conf){ .is_check = true });
}

struct conf *
conf_load_tree(const char *path)
{
	return load(path, NULL, NULL, &(struct conf){ .skips_secrets = true });
}

bool
conf_has_secrets(const struct conf *c)
{
	return !c->skips_secrets && !c->lacks_secret;
}

const struct conf_node *
conf_root(const struct conf *c)
{
	return c->root;
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	for (struct conf_deferred *d = c->deferred; d != NULL; d = d->next)
		d->fn(d->arg);
	free(c->errors.v);
	free(c->warnings.v);
	arena_fini(&c->arena);
	free(c);
}
