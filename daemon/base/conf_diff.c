/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: which of those that need a restart differ between two loaded files. */
#include "base/conf.h"

#include "base/conf_internal.h"

struct diff {
	void		(*each)(void *arg, const char *path);
	void		*arg;
	struct buf	 path;
};

static void
report(struct diff *d)
{
	buf_add(&d->path, "", 1);
	if (buf_ok(&d->path))
		d->each(d->arg, d->path.p);
	d->path.n--;
}

static bool
same_texts(const struct conf_texts *a, const struct conf_texts *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!str_eq(a->v[i], b->v[i]))
			return false;
	return true;
}

static bool
same_text(const struct str *a, const struct str *b)
{
	return str_eq(*a, *b) && (a->p == NULL) == (b->p == NULL);
}

static bool
same_value(const struct conf_key *row, const void *was, const void *is)
{
	static const size_t sizes[] = {
		[CONF_BOOL] = sizeof(bool), [CONF_INT] = sizeof(int64_t),
		[CONF_MS] = sizeof(int64_t), [CONF_SIZE] = sizeof(int64_t),
		[CONF_ENUM] = sizeof(int), [CONF_FLAGS] = sizeof(unsigned),
	};

	switch (row->type) {
	case CONF_TEXT:
	case CONF_BASE:
		return same_text(was, is);
	case CONF_TEXTS:
	case CONF_SECRETS:
		return same_texts(was, is);
	case CONF_TREE:
		return conf_same_tree(*(const struct conf_node *const *)was,
		    *(const struct conf_node *const *)is);
	default:
		return memcmp(was, is, sizes[row->type]) == 0;
	}
}

static const struct conf_named *
named_entry(const struct conf_named_list *list, struct str name)
{
	for (size_t i = 0; i < list->n; i++)
		if (str_eq(list->v[i].name, name))
			return &list->v[i];
	return NULL;
}

static void diff_rows(struct diff *d, const struct conf_key *keys, const char *was,
    const char *is);

static void
diff_named(struct diff *d, const struct conf_key *row, const struct conf_named_list *was,
    const struct conf_named_list *is)
{
	for (size_t i = 0; i < was->n + is->n; i++) {
		const struct conf_named *at = i < was->n ? &was->v[i] : &is->v[i - was->n];
		const struct conf_named *a = named_entry(was, at->name);
		const struct conf_named *b = named_entry(is, at->name);
		size_t path_was = d->path.n;

		if (i >= was->n && a != NULL)
			continue;
		buf_printf(&d->path, ".%.*s", STR_ARG(at->name));
		if (a == NULL || b == NULL || a->variant != b->variant) {
			if (!row->reload)
				report(d);
		} else {
			diff_rows(d, row->keys, a->common, b->common);
			if (a->variant != NULL)
				diff_rows(d, a->variant->keys, a->own, b->own);
		}
		d->path.n = path_was;
	}
}

static void
diff_row(struct diff *d, const struct conf_key *row, const char *was, const char *is)
{
	size_t path_was = d->path.n;

	buf_printf(&d->path, "%s%s", path_was > 0 ? "." : "", row->name);
	if (row->type == CONF_BLOCK)
		diff_rows(d, row->keys, was, is);
	else if (row->type == CONF_NAMED)
		diff_named(d, row, (const void *)was, (const void *)is);
	else if (!row->reload && !same_value(row, was, is))
		report(d);
	d->path.n = path_was;
}

static void
diff_rows(struct diff *d, const struct conf_key *keys, const char *was, const char *is)
{
	for (const struct conf_key *row = keys; row != NULL && row->name != NULL; row++)
		diff_row(d, row, was + row->offset, is + row->offset);
}

void
conf_diff_fixed(const struct conf_key *keys, const void *was, const void *is,
    void (*each)(void *arg, const char *path), void *arg)
{
	struct diff d = { .each = each, .arg = arg };

	buf_init(&d.path, 4096);
	diff_rows(&d, keys, was, is);
	buf_fini(&d.path);
}
