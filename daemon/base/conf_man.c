/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: the rows as text of a manual page. */
#include "base/conf.h"

#include "base/conf_internal.h"

static const char *const type_names[] = {
	[CONF_BOOL] = "true or false",
	[CONF_INT] = "number",
	[CONF_MS] = "duration",
	[CONF_SIZE] = "size",
	[CONF_TEXT] = "text",
	[CONF_ENUM] = "one word",
	[CONF_TEXTS] = "text or list of texts",
	[CONF_FLAGS] = "list of words",
	[CONF_SECRETS] = "secret or list of secrets",
	[CONF_BLOCK] = "map",
	[CONF_NAMED] = "map keyed by name",
	[CONF_TREE] = "map, list or text",
	[CONF_BASE] = "name",
};

static void
man_choices(struct buf *out, const struct conf_key *row)
{
	if (row->choices == NULL)
		return;
	buf_text(out, " of");
	for (size_t i = 0; row->choices[i] != NULL; i++) {
		buf_text(out, i > 0 ? ", " : " ");
		buf_man(out, str_of(row->choices[i]));
	}
}

/* "(duration, 10ms to 60s, default 2s, needs a restart)" */
static void
man_facts(struct buf *out, const struct conf_key *row)
{
	struct buf range;

	buf_init(&range, 256);
	conf_range_text(&range, row);
	buf_printf(out, "(%s", type_names[row->type]);
	man_choices(out, row);
	if (range.n > 0) {
		buf_text(out, ", ");
		buf_man(out, buf_str(&range));
	}
	if (row->def != NULL) {
		buf_text(out, ", default ");
		buf_man(out, str_of(row->def));
	}
	if (row->required)
		buf_text(out, ", required");
	if (row->type != CONF_BLOCK)
		buf_text(out, row->reload ? ", reloadable" : ", needs a restart");
	buf_text(out, ")\n.br\n");
	buf_fini(&range);
}

static void man_rows(struct buf *out, const struct conf_key *keys);

static void
man_variants(struct buf *out, const struct conf_key *row)
{
	const struct conf_variant *v;

	buf_text(out, ".TP\n.B type\n(one word of");
	for (size_t i = 0; (v = row->variant(i)) != NULL; i++) {
		buf_text(out, i > 0 ? ", " : " ");
		buf_man(out, str_of(v->name));
	}
	buf_text(out, ", required)\n.br\nWhat kind of entry it is; it decides which further "
	    "keys there are.\n");
	for (size_t i = 0; (v = row->variant(i)) != NULL; i++) {
		if (v->keys == NULL || v->keys->name == NULL)
			continue;
		buf_text(out, ".PP\nWith\n.BR type :\n.BR ");
		buf_man(out, str_of(v->name));
		buf_text(out, " :\n.RS\n");
		man_rows(out, v->keys);
		buf_text(out, ".RE\n");
	}
}

static void
man_row(struct buf *out, const struct conf_key *row)
{
	buf_text(out, ".TP\n.B ");
	buf_man(out, str_of(row->name));
	buf_text(out, "\n");
	man_facts(out, row);
	buf_man(out, str_of(row->help != NULL ? row->help : ""));
	buf_text(out, "\n");
	if (row->keys == NULL && row->variant == NULL)
		return;
	buf_text(out, ".RS\n");
	man_rows(out, row->keys);
	if (row->variant != NULL)
		man_variants(out, row);
	buf_text(out, ".RE\n");
}

static void
man_rows(struct buf *out, const struct conf_key *keys)
{
	for (const struct conf_key *row = keys; row != NULL && row->name != NULL; row++)
		man_row(out, row);
}

void
conf_man(const struct conf_key *keys, struct buf *out)
{
	static const struct conf_key include = {
		.name = "include", .type = CONF_TEXTS, .reload = true,
		.help = "Further files, as glob patterns relative to this one. Their maps are "
		    "merged with this file's; a setting or name that is given twice is an error.",
	};

	man_row(out, &include);
	man_rows(out, keys);
}
