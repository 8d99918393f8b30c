/* SPDX-License-Identifier: Apache-2.0 */
/* SQL expressions cut into tokens, as far as it takes to see where they end. */
#include "flow/rule_text.h"

enum { DEPTH_MAX = 1000 };

struct reader {
	struct str	 text;
	size_t		 at;			/* byte of the token */
	size_t		 next;			/* byte behind it */
	size_t		 depth;			/* of brackets */
	size_t		 opened[DEPTH_MAX];	/* where: bytes */
	bool		 is_behind_dot;		/* the token before was one */
	const char	*why;			/* NULL: nothing is wrong yet */
};

static char
byte_at(const struct reader *r, size_t i)
{
	return i < r->text.n ? r->text.p[i] : '\0';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* ---- tokens that run up to an end of their own ---- */

/* From the opening quote on; a doubled one stands for itself. */
static void
read_quoted(struct reader *r, size_t from, bool has_escapes)
{
	char quote = byte_at(r, from);

	for (size_t i = from + 1; i < r->text.n; i++) {
		if (has_escapes && r->text.p[i] == '\\')
			i++;
		else if (r->text.p[i] != quote)
			continue;
		else if (byte_at(r, i + 1) == quote)
			i++;
		else {
			r->next = i + 1;
			return;
		}
	}
	r->why = "this quote is not closed";
}

/* PostgreSQL nests them. */
static void
read_comment(struct reader *r)
{
	size_t level = 0, i = r->at;

	while (i + 1 < r->text.n) {
		struct str two = { r->text.p + i, 2 };

		if (str_eq(two, STR("/*")))
			level++;
		else if (str_eq(two, STR("*/")))
			level--;
		i += str_eq(two, STR("/*")) || str_eq(two, STR("*/")) ? 2 : 1;
		if (level == 0) {
			r->next = i;
			return;
		}
	}
	r->why = "this comment is not closed";
}

/* The length of $$ or $name$ here; 0: it is none. */
static size_t
dollar_length(const struct reader *r)
{
	size_t i = r->at + 1;

	if (is_letter(byte_at(r, i)))
		while (is_letter(byte_at(r, i)) || is_digit(byte_at(r, i)))
			i++;
	return byte_at(r, i) == '$' ? i + 1 - r->at : 0;
}

static void
read_dollar_quoted(struct reader *r, size_t length)
{
	struct str tag = { r->text.p + r->at, length };

	for (size_t i = r->at + length; i + length <= r->text.n; i++)
		if (str_eq((struct str){ r->text.p + i, length }, tag)) {
			r->next = i + length;
			return;
		}
	r->why = "this dollar quote is not closed";
}

/* ---- the others ---- */

static void
read_word(struct reader *r)
{
	struct str word, behind;
	size_t n;

	while (is_letter(byte_at(r, r->next)) || is_digit(byte_at(r, r->next)) ||
	    byte_at(r, r->next) == '$')
		r->next++;
	word = (struct str){ r->text.p + r->at, r->next - r->at };
	behind = str_skip(r->text, r->next);
	for (n = 0; n < behind.n && (is_letter(behind.p[n]) || is_digit(behind.p[n]) || n == 0); n++)
		continue;
	/* Merges and splits change it: a predicate of it would not stay true. */
	if (!r->is_behind_dot && str_eq_nocase(word, STR("customer")) &&
	    str_eq_nocase((struct str){ behind.p, n }, STR(".id")))
		r->why = "customer.id cannot be asked for: merging and splitting change it";
}

static void
read_sign(struct reader *r)
{
	char c = byte_at(r, r->at);

	if (c == ';') {
		r->why = "one expression is wanted, without \";\"";
	} else if (c == ',' && r->depth == 0) {
		r->why = "one expression is wanted, without \",\"";
	} else if (c == '(' || c == '[') {
		if (r->depth == DEPTH_MAX)
			r->why = "brackets are nested too deep";
		else
			r->opened[r->depth++] = r->at;
	} else if ((c == ')' || c == ']') && r->depth-- == 0) {
		r->why = c == ')' ? "\")\" without its opening one" : "\"]\" without its opening one";
	}
}

static void
read_token(struct reader *r)
{
	char c = byte_at(r, r->at), after = byte_at(r, r->at + 1);

	r->next = r->at + 1;
	if ((c == 'e' || c == 'E') && after == '\'')
		read_quoted(r, r->at + 1, true);
	else if (c == '\'' || c == '"')
		read_quoted(r, r->at, false);
	else if (c == '-' && after == '-')
		while (r->next < r->text.n && r->text.p[r->next] != '\n')
			r->next++;
	else if (c == '/' && after == '*')
		read_comment(r);
	else if (c == '$' && dollar_length(r) > 0)
		read_dollar_quoted(r, dollar_length(r));
	else if (is_letter(c))
		read_word(r);
	else
		read_sign(r);
	r->is_behind_dot = c == '.';
}

/* Bytes to characters. */
static size_t
character(struct str text, size_t byte)
{
	size_t n = 0;

	for (size_t i = 0; i < byte; i++)
		n += ((unsigned char)text.p[i] & 0xc0) != 0x80;
	return n;
}

bool
rule_text_check(struct str text, size_t *ret_at, const char **ret_why)
{
	struct reader r = { .text = text };
	bool is_empty = true;

	while (r.next < text.n && r.why == NULL) {
		r.at = r.next;
		is_empty = is_empty && is_space(text.p[r.at]);
		read_token(&r);
	}
	if (r.why == NULL && is_empty)
		r.why = "it is empty";
	if (r.why == NULL && r.depth > 0) {
		r.at = r.opened[r.depth - 1];
		r.why = "this bracket is not closed";
	}
	if (r.why == NULL)
		return true;
	*ret_at = character(text, r.at);
	*ret_why = r.why;
	return false;
}
