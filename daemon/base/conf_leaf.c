/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: fills what is no map: texts, numbers, words, lists of them. */
#include "base/conf.h"

#include <libgen.h>
#include <stdlib.h>

#include "base/conf_internal.h"

bool
conf_want_text(struct conf_walk *w, const struct conf_node *n, const char *wanted)
{
	if (n->kind == CONF_IS_TEXT)
		return true;
	if (n->kind == CONF_IS_NULL)
		conf_wrong(w, n, "has no value; give it %s or remove the key", wanted);
	else
		conf_wrong(w, n, "is %s; %s is wanted", conf_kind_name(n), wanted);
	return false;
}

static void
fill_bool(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	bool *out = at;

	(void)row;
	if (!conf_want_text(w, n, "true or false"))
		return;
	if (str_eq(n->text, STR("true")) || str_eq(n->text, STR("yes")))
		*out = true;
	else if (str_eq(n->text, STR("false")) || str_eq(n->text, STR("no")))
		*out = false;
	else
		conf_wrong(w, n, "\"%.*s\" is neither true nor false; write true, false, yes or no",
		    CONF_SHOWN(n->text));
}

static bool
is_in_range(const struct conf_key *row, int64_t value)
{
	if (row->min == 0 && row->max == 0)
		return true;
	return value >= row->min && (value <= row->max || row->max < row->min);
}

static void
fill_number(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n,
    int64_t *out, bool (*parse)(struct str, int64_t *), const char *wanted)
{
	int64_t value;

	if (!conf_want_text(w, n, wanted))
		return;
	if (!parse(n->text, &value)) {
		conf_wrong(w, n, "\"%.*s\" is not %s", CONF_SHOWN(n->text), wanted);
	} else if (!is_in_range(row, value)) {
		struct buf range;

		buf_init(&range, 256);
		conf_range_text(&range, row);
		conf_wrong(w, n, "%.*s is out of range; allowed is %.*s", CONF_SHOWN(n->text),
		    STR_ARG(buf_str(&range)));
		buf_fini(&range);
	} else {
		*out = value;
	}
}

static bool
parse_int(struct str s, int64_t *ret_value)
{
	return str_to_i64(s, INT64_MIN, INT64_MAX, ret_value);
}

static void
fill_int(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	fill_number(w, row, n, at, parse_int, "a whole number");
}

static void
fill_ms(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	fill_number(w, row, n, at, conf_parse_ms,
	    "a duration: a number with ms, s, m, h, d, w or y behind it, e.g. 10s");
}

static void
fill_size(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	fill_number(w, row, n, at, conf_parse_size,
	    "a size: bytes, or a number with KiB, MiB or GiB behind it, e.g. 64KiB");
}

static void
fill_text(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	struct str *out = at;

	(void)row;
	if (conf_want_text(w, n, "a text"))
		*out = n->text;
}

static const char *
choice_name(void *arg, size_t i)
{
	return ((const char *const *)arg)[i];
}

void
conf_add_names(struct buf *out, const char *(*name)(void *, size_t), void *arg)
{
	const char *text;

	for (size_t i = 0; (text = name(arg, i)) != NULL; i++)
		buf_printf(out, "%s%s", i > 0 ? ", " : "", text);
}

/* "did you mean "x"?", or all there are. */
void
conf_suggest(struct conf_walk *w, const struct conf_node *n, const char *what,
    const char *(*name)(void *, size_t), void *arg)
{
	const char *nearest = conf_nearest(n->text, name, arg);
	struct buf all;

	if (nearest != NULL) {
		conf_wrong(w, n, "%s; did you mean \"%s\"?", what, nearest);
		return;
	}
	buf_init(&all, 4096);
	conf_add_names(&all, name, arg);
	conf_wrong(w, n, "%s; known are: %.*s", what, STR_ARG(buf_str(&all)));
	buf_fini(&all);
}

static bool
choose(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, int *ret_index)
{
	union { const char *const *in; void *out; } choices = { .in = row->choices };
	struct buf what;

	for (int i = 0; row->choices[i] != NULL; i++)
		if (str_eq(n->text, str_of(row->choices[i]))) {
			*ret_index = i;
			return true;
		}
	buf_init(&what, 512);
	buf_printf(&what, "\"%.*s\" is not known here", CONF_SHOWN(n->text));
	buf_add(&what, "", 1);
	if (buf_ok(&what))
		conf_suggest(w, n, what.p, choice_name, choices.out);
	buf_fini(&what);
	return false;
}

static void
fill_enum(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	int *out = at, index;

	if (conf_want_text(w, n, "one of the known words") && choose(w, row, n, &index))
		*out = index;
}

/* ---- one or a list ---- */

/* Items of a list; a single text is a list of itself. */
static size_t
items(const struct conf_node *n)
{
	return n->kind == CONF_IS_LIST ? n->n : 1;
}

static const struct conf_node *
item(const struct conf_node *n, size_t i)
{
	return n->kind == CONF_IS_LIST ? n->pairs[i].value : n;
}

static void
fill_flags(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	unsigned flags = 0, *out = at;
	int index;

	for (size_t i = 0; i < items(n); i++)
		if (conf_want_text(w, item(n, i), "a list of the known words") &&
		    choose(w, row, item(n, i), &index))
			flags |= 1U << index;
	*out = flags;
}

static bool
read_text(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n,
    struct str *ret)
{
	(void)row;
	if (!conf_want_text(w, n, "a text, or a list of them"))
		return false;
	*ret = n->text;
	return true;
}

/* A relative file counts from the folder of the file that names it. */
char *
conf_folder_of(struct conf *c, const struct conf_node *n)
{
	const char *path = n->file != NULL ? n->file->path : c->path;
	struct str copy = conf_copy(c, str_of(path));
	union { const char *in; char *out; } p = { .in = copy.p };

	return copy.p != NULL ? dirname(p.out) : NULL;
}

/* systemd 252 gives credentials to ExecStart= only, so that ExecReload= could not check a
 * file that names one; nor could a person. */
static bool
is_out_of_reach(const struct conf_walk *w, struct str spec)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");

	return w->c->is_check && (dir == NULL || *dir == '\0') && str_starts(spec, STR("cred:"));
}

static bool
read_secret(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n,
    struct str *ret)
{
	struct conf_secret secret;

	if (!conf_want_text(w, n, "file:PATH, env:NAME, cred:NAME, or a list of them"))
		return false;
	if (w->c->skips_secrets) {
		*ret = STR("(this secret was not read)");
		return true;
	}
	if (is_out_of_reach(w, n->text)) {
		conf_warn(w->c, n, "%.*s: %.*s: not checked: the service alone has its credentials",
		    STR_ARG(buf_str(&w->path)), CONF_SHOWN(n->text));
		w->c->lacks_secret = true;
		*ret = STR("(this secret was not read)");
		return true;
	}
	if (!conf_secret_in(&w->c->arena, conf_folder_of(w->c, n), n->text, &secret)) {
		conf_wrong(w, n, "%s", secret.why);
		return false;
	}
	if (secret.warning != NULL && !row->is_public)
		conf_warn(w->c, n, "%.*s: %s", STR_ARG(buf_str(&w->path)), secret.warning);
	*ret = secret.value;
	return true;
}

static void
fill_list(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n,
    struct conf_texts *out, bool (*read)(struct conf_walk *, const struct conf_key *,
    const struct conf_node *, struct str *))
{
	struct conf_texts texts = { .v = conf_mem(w->c, items(n) * sizeof(*texts.v)) };

	for (size_t i = 0; texts.v != NULL && i < items(n); i++)
		if (read(w, row, item(n, i), &texts.v[texts.n]))
			texts.n++;
	*out = texts;
}

static void
fill_texts(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	fill_list(w, row, n, at, read_text);
}

static void
fill_secrets(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	/* A list without a secret would verify nothing, or everything. */
	if (items(n) == 0)
		conf_wrong(w, n, "%s", "the list is empty; name a secret or remove the key");
	else
		fill_list(w, row, n, at, read_secret);
}

static void
fill_tree(struct conf_walk *w, const struct conf_key *row, const struct conf_node *n, void *at)
{
	const struct conf_node **out = at;

	(void)w;
	(void)row;
	*out = n->kind != CONF_IS_NULL ? n : NULL;
}

conf_fill_fn *const conf_fill_leaf[] = {
	[CONF_BOOL] = fill_bool,
	[CONF_INT] = fill_int,
	[CONF_MS] = fill_ms,
	[CONF_SIZE] = fill_size,
	[CONF_TEXT] = fill_text,
	[CONF_ENUM] = fill_enum,
	[CONF_TEXTS] = fill_texts,
	[CONF_FLAGS] = fill_flags,
	[CONF_SECRETS] = fill_secrets,
	[CONF_TREE] = fill_tree,
	[CONF_BASE] = fill_text,
};
