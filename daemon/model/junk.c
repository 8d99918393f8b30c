/* SPDX-License-Identifier: Apache-2.0 */
/* Values that stand for nobody. */
#include "model/junk.h"

#include <stddef.h>

enum {
	MAIL = 1 << IDENTITY_EMAIL,
	CALL = 1 << IDENTITY_PHONE,
	ALL = (1 << IDENTITY_NRANKS) - 1,
};

/* Capitals and small letters are the same here, and so is what stands in "", '', <> or (). */
static const struct word {
	struct str	text;
	unsigned	ranks;
} words[] = {
#define WORD(lit, ranks)	{ { lit, sizeof(lit) - 1 }, ranks }
	/* What programs write for nothing. */
	WORD("#n/a", ALL), WORD("[object object]", ALL), WORD("\\n", ALL), WORD("empty", ALL),
	WORD("false", ALL), WORD("n.a.", ALL), WORD("n/a", ALL), WORD("na", ALL),
	WORD("nan", ALL), WORD("nil", ALL), WORD("none", ALL), WORD("null", ALL),
	WORD("true", ALL), WORD("undefined", ALL),
	/* What programs and people write for somebody. */
	WORD("anonymous", ALL), WORD("distinct_id", ALL), WORD("distinctid", ALL),
	WORD("email", ALL), WORD("example", ALL), WORD("guest", ALL), WORD("id", ALL),
	WORD("not_authenticated", ALL), WORD("phone", ALL), WORD("test", ALL),
	WORD("tbd", ALL), WORD("unknown", ALL), WORD("user_id", ALL), WORD("userid", ALL),
	WORD("example@example.com", MAIL), WORD("na@na.com", MAIL),
	WORD("noemail@noemail.com", MAIL), WORD("none@none.com", MAIL),
	WORD("null@null.com", MAIL), WORD("test@example.com", MAIL),
	WORD("test@test.com", MAIL), WORD("test@test.test", MAIL),
	/* Withheld numbers, as exchanges spell them, also on the keys of a telephone. */
	WORD("blocked", CALL), WORD("no caller id", CALL), WORD("no number", CALL),
	WORD("not available", CALL), WORD("private", CALL), WORD("private number", CALL),
	WORD("restricted", CALL), WORD("unavailable", CALL), WORD("unknown caller", CALL),
	WORD("unknown number", CALL), WORD("withheld", CALL), WORD("withheld number", CALL),
	WORD("266696687", CALL) /* anonymous */, WORD("2562533", CALL) /* blocked */,
	WORD("7748283", CALL) /* private */, WORD("7378742833", CALL) /* restricted */,
	WORD("86282452253", CALL) /* unavailable */, WORD("8656966", CALL) /* unknown */,
#undef WORD
};

/* How templates that nobody filled in begin and end. */
static const struct bracket {
	struct str	open, close;
} brackets[] = {
#define BRACKET(open, close)	{ { open, sizeof(open) - 1 }, { close, sizeof(close) - 1 } }
	BRACKET("[", "]"), BRACKET("[[", "]]"), BRACKET("{", "}"), BRACKET("{{", "}}"),
	BRACKET("{{{", "}}}"), BRACKET("${", "}"), BRACKET("#{", "}"), BRACKET("*|", "|*"),
	BRACKET("%", "%"), BRACKET("%%", "%%"), BRACKET("%(", ")s"), BRACKET("<%=", "%>"),
	BRACKET("{%", "%}"),
#undef BRACKET
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
str_ends(struct str s, struct str tail)
{
	return s.n >= tail.n && str_eq_nocase(str_skip(s, s.n - tail.n), tail);
}

static struct str
inside(struct str s, size_t before, size_t after)
{
	return str_trim((struct str){ s.p + before, s.n - before - after });
}

/* "null", 'null', <null>, (null) */
static struct str
unquote(struct str s)
{
	static const char open[] = "\"'<(", close[] = "\"'>)";
	const char *at;

	if (s.n < 2 || s.p[0] == '\0' || (at = strchr(open, s.p[0])) == NULL ||
	    s.p[s.n - 1] != close[at - open])
		return s;
	return inside(s, 1, 1);
}

/* Zeros with what may stand between them: "0000", "+000", the UUID of nobody; and signs
 * without anything: "-", "", "??". */
static bool
is_blank(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_letter(s.p[i]) || (is_digit(s.p[i]) && s.p[i] != '0') ||
		    (unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

static bool
is_word(enum identity_rank rank, struct str s)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].text.n == s.n && (words[i].ranks & 1U << rank) != 0 &&
		    str_eq_nocase(s, words[i].text))
			return true;
	return false;
}

/* Some programs write a UUID in braces: that one is somebody. */
static bool
is_uuid(struct str s)
{
	return s.n == 36 && s.p[8] == '-' && s.p[13] == '-' && s.p[18] == '-' && s.p[23] == '-';
}

/* What stands in a template's brackets: `Number`, `contact.email`, `E-Mail address`. */
static bool
is_name(struct str s)
{
	if (s.n == 0 || (!is_letter(s.p[0]) && s.p[0] != '_') || is_uuid(s))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_letter(s.p[i]) && !is_digit(s.p[i]) && strchr("_-.: |", s.p[i]) == NULL)
			return false;
	return true;
}

static bool
is_template(struct str s)
{
	if (s.n == 0 || is_letter(s.p[0]) || is_digit(s.p[0]))
		return false;
	for (size_t i = 0; i < sizeof(brackets) / sizeof(brackets[0]); i++) {
		const struct bracket *b = &brackets[i];

		if (s.n > b->open.n + b->close.n && str_starts(s, b->open) &&
		    str_ends(s, b->close) && is_name(inside(s, b->open.n, b->close.n)))
			return true;
	}
	return false;
}

bool
junk_is(enum identity_rank rank, struct str s)
{
	struct str bare = unquote(s);

	/* RFC 2606: nobody is ever there; SIP's anonymous@anonymous.invalid. */
	if (rank == IDENTITY_EMAIL && str_ends(bare, STR(".invalid")))
		return true;
	if (rank == IDENTITY_PHONE && str_starts(bare, STR("+")) &&
	    is_word(rank, str_skip(bare, 1)))
		return true;
	return is_blank(bare) || is_word(rank, bare) || is_template(s);
}
