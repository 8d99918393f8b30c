/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: YAML bytes -> tree, over libfyaml's events.
 *
 * The events rather than libfyaml's own documents, because these recurse, stop at the
 * first duplicate key without saying where its twin stands, and copy what an alias
 * names: a few lines could fill the memory.  Here an alias is one more pointer to the
 * node, and what it would weigh if it were written out is counted and limited. */
#include "base/conf.h"

#include <libfyaml.h>

#include "base/conf_internal.h"

struct link {			/* a pair of a map or list that is still open */
	struct conf_pair	 pair;
	struct link		*next;
};

struct open_node {
	struct conf_node	*node;
	struct str		 anchor;
	const struct conf_node	*key;	/* a map's, waiting for its value */
	struct link		*first, **end;
};

struct anchor {
	struct str		 name;
	const struct conf_node	*node;
	struct anchor		*older;
};

struct yaml {
	struct conf		*c;
	struct conf_file	*file;
	struct str		 bytes;
	struct conf_node	*root;
	struct anchor		*anchors;
	size_t			 nanchors, ndocuments, depth;
	struct open_node	 open[CONF_DEPTH_MAX];
	bool			 is_over;	/* an error after which nothing makes sense */
};

/* An error behind which the rest of the file is not read. */
#define stop(y, node, ...) do {						\
	conf_complain((y)->c, (node), __VA_ARGS__);			\
	(y)->is_over = true;						\
} while (0)

static struct str
token_text(struct fy_token *token)
{
	struct str s;

	s.p = fy_token_get_text(token, &s.n);
	return s.p != NULL ? s : STR("");
}

static enum fy_scalar_style
style_of(struct fy_event *e)
{
	if (e->type != FYET_SCALAR || e->scalar.value == NULL)
		return FYSS_PLAIN;
	return fy_token_scalar_style(e->scalar.value);
}

/* libfyaml's marks of quoted texts and aliases stand behind the quote or star. */
static int
sigil(struct fy_event *e)
{
	enum fy_scalar_style style = style_of(e);

	return e->type == FYET_ALIAS || style == FYSS_SINGLE_QUOTED ||
	    style == FYSS_DOUBLE_QUOTED;
}

static struct conf_node *
new_node(struct yaml *y, struct fy_event *e)
{
	const struct fy_mark *mark = fy_event_start_mark(e);
	struct open_node *top = y->depth > 0 ? &y->open[y->depth - 1] : NULL;
	struct conf_node *n = conf_mem(y->c, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->file = y->file;
	n->line = n->col = 1;
	n->weight = n->height = 1;
	if (mark != NULL) {
		n->line = mark->line + 1;
		n->col = mark->column + 1 - sigil(e);
		n->at = mark->input_pos;
		n->style = style_of(e) == FYSS_SINGLE_QUOTED ? CONF_SINGLE_QUOTED :
		    style_of(e) == FYSS_DOUBLE_QUOTED ? CONF_DOUBLE_QUOTED : CONF_AS_IT_IS;
	} else if (top != NULL) {
		/* A value that is left out stands nowhere: its key is the place. */
		n->line = top->key != NULL ? top->key->line : top->node->line;
		n->col = top->key != NULL ? top->key->col : top->node->col;
	}
	return n;
}

static void
keep_anchor(struct yaml *y, struct str name, const struct conf_node *node)
{
	struct anchor *a;

	if (name.p == NULL)
		return;
	if (y->nanchors++ == CONF_ANCHORS_MAX) {
		stop(y, node, "there are more than %d anchors", CONF_ANCHORS_MAX);
		return;
	}
	a = conf_mem(y->c, sizeof(*a));
	if (a == NULL)
		return;
	*a = (struct anchor){ name, node, y->anchors };
	y->anchors = a;
}

static void
grow(struct yaml *y, struct conf_node *parent, const struct conf_node *child)
{
	parent->weight += child->weight;
	if (child->height >= parent->height)
		parent->height = child->height + 1;
	if (y->depth + child->height > CONF_DEPTH_MAX)
		stop(y, child, "maps and lists are nested deeper than %d", CONF_DEPTH_MAX);
	else if (parent->weight > CONF_NODES_MAX)
		stop(y, child, "there are more than %d values, aliases written out",
		    CONF_NODES_MAX);
}

/* A finished node goes where it belongs: root, key, value or item. */
static void
place_node(struct yaml *y, const struct conf_node *n)
{
	struct open_node *top = &y->open[y->depth > 0 ? y->depth - 1 : 0];
	struct link *l;

	if (y->depth == 0) {
		union { const struct conf_node *in; struct conf_node *out; } p = { .in = n };

		y->root = p.out;
		return;
	}
	if (top->node->kind == CONF_IS_MAP && top->key == NULL) {
		if (n->kind != CONF_IS_TEXT)
			stop(y, n, "a key must be a text, this is %s", conf_kind_name(n));
		top->key = n;
		return;
	}
	l = conf_mem(y->c, sizeof(*l));
	if (l == NULL)
		return;
	l->pair = (struct conf_pair){ top->key, n };
	*top->end = l;
	top->end = &l->next;
	top->node->n++;
	top->key = NULL;
	grow(y, top->node, n);
}

static void
refuse_tag(struct yaml *y, struct fy_token *tag, const struct conf_node *n)
{
	if (tag != NULL)
		conf_complain(y->c, n, "a tag (\"!...\") means nothing here; remove it");
}

static struct str
anchor_name(struct yaml *y, struct fy_token *anchor)
{
	return anchor != NULL ? conf_copy(y->c, token_text(anchor)) : STR_NONE;
}

/* Plain words that YAML reads as null; as a key they are texts. */
static bool
is_null(const struct yaml *y, struct str text)
{
	const struct open_node *top = y->depth > 0 ? &y->open[y->depth - 1] : NULL;

	if (text.n == 0)
		return true;
	if (top != NULL && top->node->kind == CONF_IS_MAP && top->key == NULL)
		return false;
	return str_eq(text, STR("~")) || str_eq(text, STR("null"));
}

/* Of single quotes, what stands between them where libfyaml is not to read it: version 0.7 makes
 * three quotes of '''', drops the last character, and leaks.  SQL within YAML has such texts.
 * STR_NONE: it may. */
static struct str
misread(const struct yaml *y, struct fy_event *e, const struct conf_node *n)
{
	const struct fy_mark *end = fy_event_end_mark(e);
	struct str raw;

	if (n->style != CONF_SINGLE_QUOTED || end->input_pos > y->bytes.n || end->input_pos < n->at)
		return STR_NONE;
	raw = (struct str){ y->bytes.p + n->at, end->input_pos - n->at };
	return memmem(raw.p, raw.n, "''''", 4) != NULL ? raw : STR_NONE;
}

static struct str
unquote(struct yaml *y, const struct conf_node *n, struct str raw)
{
	char *out = conf_mem(y->c, raw.n + 1);
	struct str text = { out, 0 };

	if (out == NULL)
		return STR("?");
	if (memchr(raw.p, '\n', raw.n) != NULL) {
		conf_complain(y->c, n, "'''' is not understood in a text of several lines; write it as "
		    "a block, behind |");
		return STR("?");
	}
	for (size_t i = 0; i < raw.n; i++) {
		out[text.n++] = raw.p[i];
		i += raw.p[i] == '\'';		/* they stand in pairs */
	}
	return text;
}

static struct str
scalar_text(struct yaml *y, struct fy_event *e, const struct conf_node *n)
{
	struct str raw = misread(y, e, n);

	if (raw.p != NULL)
		return unquote(y, n, raw);
	return e->scalar.value != NULL ? token_text(e->scalar.value) : STR("");
}

static void
on_scalar(struct yaml *y, struct fy_event *e)
{
	struct fy_token *value = e->scalar.value;
	struct conf_node *n = new_node(y, e);
	struct str text;

	if (n == NULL)
		return;
	text = scalar_text(y, e, n);
	refuse_tag(y, e->scalar.tag, n);
	if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL) {
		conf_complain(y->c, n, "a text holds a NUL (\\0); remove it");
		text = STR("?");
	}
	if ((value == NULL || fy_token_scalar_style(value) == FYSS_PLAIN) && is_null(y, text)) {
		n->kind = CONF_IS_NULL;
	} else {
		n->kind = CONF_IS_TEXT;
		n->text = conf_copy(y->c, text);
	}
	keep_anchor(y, anchor_name(y, e->scalar.anchor), n);
	place_node(y, n);
}

static void
on_alias(struct yaml *y, struct fy_event *e)
{
	struct str name = token_text(e->alias.anchor);

	/* An anchor is known when its node is complete: none can hold itself. */
	for (const struct anchor *a = y->anchors; a != NULL; a = a->older)
		if (str_eq(a->name, name)) {
			place_node(y, a->node);
			return;
		}
	stop(y, new_node(y, e), "*%.*s: no such anchor stands before this",
	    CONF_SHOWN(name));
}

static void
open_node(struct yaml *y, struct fy_event *e, struct fy_token *anchor, struct fy_token *tag)
{
	struct conf_node *n = new_node(y, e);
	struct open_node *o = &y->open[y->depth];

	if (n == NULL)
		return;
	n->kind = e->type == FYET_MAPPING_START ? CONF_IS_MAP : CONF_IS_LIST;
	refuse_tag(y, tag, n);
	if (y->depth == CONF_DEPTH_MAX) {
		stop(y, n, "maps and lists are nested deeper than %d", CONF_DEPTH_MAX);
		return;
	}
	*o = (struct open_node){ .node = n, .anchor = anchor_name(y, anchor) };
	o->end = &o->first;
	y->depth++;
}

static void
close_node(struct yaml *y)
{
	struct open_node *o = &y->open[y->depth - 1];
	struct conf_node *n = o->node;
	size_t i = 0;

	n->pairs = conf_mem(y->c, n->n * sizeof(*n->pairs));
	if (n->pairs == NULL)
		return;
	for (const struct link *l = o->first; l != NULL; l = l->next)
		n->pairs[i++] = l->pair;
	if (n->kind == CONF_IS_MAP)
		conf_settle(y->c, NULL, n);
	y->depth--;
	keep_anchor(y, o->anchor, n);
	place_node(y, n);
}

static void
on_event(struct yaml *y, struct fy_event *e)
{
	switch (e->type) {
	case FYET_DOCUMENT_START:
		if (y->ndocuments++ > 0)
			stop(y, new_node(y, e), "a second document starts here; "
			    "remove the line \"---\" before it");
		break;
	case FYET_SCALAR:
		on_scalar(y, e);
		break;
	case FYET_ALIAS:
		on_alias(y, e);
		break;
	case FYET_MAPPING_START:
		open_node(y, e, e->mapping_start.anchor, e->mapping_start.tag);
		break;
	case FYET_SEQUENCE_START:
		open_node(y, e, e->sequence_start.anchor, e->sequence_start.tag);
		break;
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		close_node(y);
		break;
	default:
		break;
	}
}

/* libfyaml's collected errors, as lines of ours. */
static void
complain_syntax(struct yaml *y, struct fy_diag *diag)
{
	struct fy_diag_error *error;
	void *at = NULL;
	size_t n = 0;

	while ((error = fy_diag_errors_iterate(diag, &at)) != NULL) {
		struct conf_node place = { .file = y->file, .line = error->line,
		    .col = error->column };
		struct str text = str_trim(str_of(error->msg));

		conf_complain(y->c, &place, "not YAML: %.*s", STR_ARG(text));
		n++;
	}
	if (n == 0) {
		struct conf_node place = { .file = y->file, .line = 1, .col = 1 };

		conf_complain(y->c, &place, "not YAML");
	}
}

static void
run(struct yaml *y, struct fy_parser *parser, struct fy_diag *diag)
{
	bool is_end = false;

	while (!is_end && !y->is_over && !y->c->no_memory) {
		struct fy_event *e = fy_parser_parse(parser);

		if (e == NULL)
			break;
		is_end = e->type == FYET_STREAM_END;
		on_event(y, e);
		fy_parser_event_free(parser, e);
	}
	if (!is_end && !y->is_over && !y->c->no_memory)
		complain_syntax(y, diag);
	if (!is_end) {
		y->c->is_partial = true;
		/* What was read before the error is checked as well. */
		y->is_over = true;
		while (y->depth > 0 && !y->c->no_memory)
			close_node(y);
	}
}

static struct fy_diag *
quiet_diag(void)
{
	struct fy_diag_cfg cfg;
	struct fy_diag *diag;

	fy_diag_cfg_default(&cfg);
	cfg.fp = NULL;
	cfg.level = FYET_ERROR;
	diag = fy_diag_create(&cfg);
	if (diag != NULL)
		fy_diag_set_collect_errors(diag, true);
	return diag;
}

struct conf_node *
conf_parse(struct conf *c, struct conf_file *file, struct str bytes)
{
	struct fy_diag *diag = quiet_diag();
	struct fy_parse_cfg cfg = {
		.flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE,
		.diag = diag,
	};
	struct fy_parser *parser = diag != NULL ? fy_parser_create(&cfg) : NULL;
	struct yaml *y = conf_mem(c, sizeof(*y));
	struct conf_node *root = NULL;

	if (parser == NULL || fy_parser_set_string(parser, bytes.p, bytes.n) != 0)
		c->no_memory = true;
	if (file != NULL)		/* NULL: a default */
		file->bytes = conf_copy(c, bytes);
	if (y != NULL && !c->no_memory) {
		y->c = c;
		y->file = file;
		y->bytes = bytes;
		run(y, parser, diag);
		root = y->root;
	}
	fy_parser_destroy(parser);
	fy_diag_destroy(diag);
	return root;
}
