/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: where a character of a text stands in its file.
 *
 * A text is not what stands in the file: lines are folded, indented, quoted and escaped.  But
 * all that YAML takes away or puts in, escapes aside, is white space: so the characters that
 * are none are counted in the text, and counted off in the file. */
#include "base/conf.h"

#include "base/conf_internal.h"

struct walk {
	struct str	 rest;		/* of the file, from here on */
	int		 line, col;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Not the second to fourth byte of one. */
static bool
begins_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static void
step(struct walk *w)
{
	if (w->rest.p[0] == '\n') {
		w->line++;
		w->col = 1;
	} else {
		w->col++;
	}
	do
		w->rest = str_skip(w->rest, 1);
	while (w->rest.n > 0 && !begins_character(w->rest.p[0]));
}

static void
step_n(struct walk *w, size_t n)
{
	while (n-- > 0 && w->rest.n > 0)
		step(w);
}

/* Characters of the file that the escape here takes; 0: there is none. */
static size_t
escape_length(struct str rest)
{
	static const struct { char letter; size_t digits; } hex[] = {
		{ 'x', 2 }, { 'u', 4 }, { 'U', 8 },
	};

	if (rest.n < 2 || rest.p[0] != '\\')
		return 0;
	for (size_t i = 0; i < sizeof(hex) / sizeof(hex[0]); i++)
		if (rest.p[1] == hex[i].letter)
			return 2 + hex[i].digits;
	return 2;
}

/* Escapes that make white space, or (before the end of a line) nothing. */
static bool
is_space_escape(struct str rest)
{
	size_t n = escape_length(rest);
	int value = 0;

	if (n == 0 || n > rest.n)
		return false;
	if (n == 2)
		return memchr("ntr \t\n", rest.p[1], 6) != NULL;
	for (size_t i = 2; i < n && value <= ' '; i++)
		value = 16 * value + str_hex_digit(rest.p[i]);
	return value <= ' ' && is_space((char)value);
}

static void
skip_space(struct walk *w, const struct conf_node *text)
{
	for (;;) {
		if (w->rest.n > 0 && is_space(w->rest.p[0]))
			step(w);
		else if (text->style == CONF_DOUBLE_QUOTED && is_space_escape(w->rest))
			step_n(w, escape_length(w->rest));
		else
			return;
	}
}

/* One character of the text that is no white space. */
static void
skip_character(struct walk *w, const struct conf_node *text)
{
	size_t escape = text->style == CONF_DOUBLE_QUOTED ? escape_length(w->rest) : 0;

	if (text->style == CONF_SINGLE_QUOTED && str_starts(w->rest, STR("''")))
		escape = 2;
	step_n(w, escape > 0 ? escape : 1);
}

struct conf_node
conf_node_at(const struct conf_node *text, size_t at)
{
	struct conf_node place = *text;
	struct walk w = { .line = text->line, .col = text->col + (text->style != CONF_AS_IT_IS) };
	size_t n = 0;
	bool is_behind = true;

	if (text->file == NULL || text->kind != CONF_IS_TEXT || text->at > text->file->bytes.n)
		return place;
	w.rest = str_skip(text->file->bytes, text->at);
	for (size_t i = 0; i < text->text.n; i++) {
		char c = text->text.p[i];

		if (!begins_character(c))
			continue;
		if (n++ == at) {
			is_behind = is_space(c);
			break;
		}
		if (is_space(c))
			continue;
		skip_space(&w, text);
		skip_character(&w, text);
	}
	if (!is_behind)
		skip_space(&w, text);
	place.line = w.line;
	place.col = w.col;
	return place;
}

void
conf_place(const struct conf_node *n, struct buf *out)
{
	if (n->file != NULL)
		buf_printf(out, "%s:%d:%d", n->file->path, n->line, n->col);
}

void
conf_place_at(const struct conf_node *text, size_t at, struct buf *out)
{
	const struct conf_node place = conf_node_at(text, at);

	conf_place(&place, out);
}
