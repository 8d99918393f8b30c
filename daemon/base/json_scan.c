/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: one fast look at the raw bytes before a parser sees them.
 *
 * Most bytes of most documents are ASCII inside strings: these are passed eight at a
 * time.  Everything else goes through one table by its first byte. */
#include "base/json.h"

#include <stdint.h>

#include "base/bytes8.h"
#include "base/json_internal.h"

enum { EXPONENT_MAX = 308 };

struct scanner {
	const unsigned char	*p, *end, *start;
	struct json_scan	*ret;
	const char		*broken;	/* what is wrong at p */
	const char		*unfit;		/* the first of them, at ret->at */
	size_t			 open;		/* brackets */
	struct buf		*quoted;	/* NULL: only look */
	const unsigned char	*copied;	/* up to here doc is in `quoted` */
};

static inline bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static const unsigned char *
skip_plain(const unsigned char *p, const unsigned char *end)
{
	uint64_t w;

	while (end - p >= 8) {
		memcpy(&w, p, 8);
		if ((w & BYTES8_HIGHS) != 0 || bytes8_has_escape(w))
			break;
		p += 8;
	}
	while (p < end && is_plain(*p))
		p++;
	return p;
}

static bool
is_broken(struct scanner *s, const char *what)
{
	s->broken = what;
	return false;
}

/* ---- strings ---- */

static int
hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind \u at p; -1: they are not there. */
static int
unit_at(const struct scanner *s, const unsigned char *p)
{
	int unit = 0;

	if (s->end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		int digit = hex_digit(p[i]);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

static bool
is_high(int unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

static bool
is_low(int unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

static void
note_unfit(struct scanner *s, const char *what)
{
	if (s->unfit != NULL)
		return;
	s->unfit = what;
	s->ret->at = (size_t)(s->p - s->start);
}

static bool
scan_unit(struct scanner *s)
{
	int unit = unit_at(s, s->p);

	if (unit < 0)
		return is_broken(s, "a \\u without four hexadecimal digits");
	if (is_high(unit) && is_low(unit_at(s, s->p + 6))) {
		s->p += 12;
		return true;
	}
	if (unit == 0)
		note_unfit(s, "the escape \\u0000, which PostgreSQL cannot keep,");
	else if (is_high(unit) || is_low(unit))
		note_unfit(s, "the escape of half a surrogate pair");
	s->p += 6;
	return true;
}

static bool
scan_escape(struct scanner *s)
{
	if (s->end - s->p < 2)
		return is_broken(s, "a string without end");
	switch (s->p[1]) {
	case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
		s->p += 2;
		return true;
	case 'u':
		return scan_unit(s);
	default:
		return is_broken(s, "an unknown escape");
	}
}

/* A run of bytes that are not ASCII; they stand between two that are. */
static bool
scan_utf8(struct scanner *s)
{
	struct str run = { (const char *)s->p, 0 };
	size_t bad;

	while (s->p < s->end && *s->p >= 0x80)
		s->p++;
	run.n = (size_t)((const char *)s->p - run.p);
	if (str_is_utf8(run, &bad))
		return true;
	s->p = (const unsigned char *)run.p + bad;
	return is_broken(s, "a byte that is not UTF-8");
}

static bool
scan_string(struct scanner *s)
{
	const unsigned char *quote = s->p++;

	for (;;) {
		bool is_good = true;

		s->p = skip_plain(s->p, s->end);
		if (s->p == s->end) {
			s->p = quote;
			return is_broken(s, "a string without end");
		}
		if (*s->p == '"') {
			s->p++;
			return true;
		}
		if (*s->p == '\\')
			is_good = scan_escape(s);
		else if (*s->p >= 0x80)
			is_good = scan_utf8(s);
		else
			is_good = is_broken(s, "a control character in a string");
		if (!is_good)
			return false;
	}
}

size_t
json_string_end(struct str doc, size_t at)
{
	const unsigned char *p = (const unsigned char *)doc.p + at;
	const unsigned char *end = (const unsigned char *)doc.p + doc.n;

	while (p < end) {
		p = skip_plain(p, end);
		if (p == end || *p == '"')
			break;
		p += *p == '\\' && end - p > 1 ? 2 : 1;
	}
	return (size_t)(p - (const unsigned char *)doc.p);
}

/* ---- numbers and words ---- */

static inline bool
is_digit(const struct scanner *s)
{
	return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

static struct str
digits(struct scanner *s)
{
	const unsigned char *from = s->p;

	while (is_digit(s))
		s->p++;
	return (struct str){ (const char *)from, (size_t)(s->p - from) };
}

/* Beyond what json-c keeps as int64 or uint64. */
static bool
is_wide_integer(struct str whole, bool is_negative)
{
	struct str limit = is_negative ? STR("9223372036854775808") : STR("18446744073709551615");

	return whole.n > limit.n ||
	    (whole.n == limit.n && memcmp(whole.p, limit.p, limit.n) > 0);
}

static size_t
leading_zeros(struct str s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] == '0')
		n++;
	return n;
}

/* Beyond a double, judged by the power of ten of its first digit that counts. */
static bool
is_wide_real(struct str whole, struct str fraction, int64_t exponent)
{
	size_t zeros = leading_zeros(fraction);
	int64_t power;

	if (whole.p[0] != '0')
		power = (int64_t)whole.n - 1;
	else if (zeros < fraction.n)
		power = -(int64_t)zeros - 1;
	else
		return false;
	power += exponent;
	return power >= EXPONENT_MAX || power <= -EXPONENT_MAX;
}

/* The exponent at p; far beyond any limit it stays where it is. */
static bool
scan_exponent(struct scanner *s, int64_t *ret_exponent)
{
	struct str number;
	int64_t value = 0;
	bool is_negative;

	s->p++;
	is_negative = s->p < s->end && *s->p == '-';
	s->p += s->p < s->end && (*s->p == '-' || *s->p == '+');
	number = digits(s);
	if (number.n == 0)
		return is_broken(s, "a number that is none");
	for (size_t i = 0; i < number.n && value < INT64_MAX / 16; i++)
		value = value * 10 + (number.p[i] - '0');
	*ret_exponent = is_negative ? -value : value;
	return true;
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?, and whether json-c keeps it. */
static bool
read_number(struct scanner *s, bool *ret_wide)
{
	bool is_negative = *s->p == '-', is_real = false;
	struct str whole, fraction = STR("");
	int64_t exponent = 0;

	s->p += is_negative;
	whole = digits(s);
	if (whole.n == 0 || (whole.n > 1 && whole.p[0] == '0'))
		return is_broken(s, "a number that is none");
	if (s->p < s->end && *s->p == '.') {
		is_real = true;
		s->p++;
		fraction = digits(s);
		if (fraction.n == 0)
			return is_broken(s, "a number that is none");
	}
	if (s->p < s->end && (*s->p | 0x20) == 'e') {
		is_real = true;
		if (!scan_exponent(s, &exponent))
			return false;
	}
	*ret_wide = is_real ? is_wide_real(whole, fraction, exponent) :
	    is_wide_integer(whole, is_negative);
	return true;
}

/* A number in place of a member's name is an error, which quotes would hide. */
static bool
is_name(const struct scanner *s)
{
	const unsigned char *p = s->p;

	while (p < s->end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p < s->end && *p == ':';
}

static bool
scan_number(struct scanner *s)
{
	const unsigned char *from = s->p;
	bool is_wide = false;

	if (!read_number(s, &is_wide))
		return false;
	s->ret->has_wide |= is_wide;
	if (is_wide && s->quoted != NULL && !is_name(s)) {
		buf_add(s->quoted, s->copied, (size_t)(from - s->copied));
		buf_add(s->quoted, "\"", 1);
		buf_add(s->quoted, from, (size_t)(s->p - from));
		buf_add(s->quoted, "\"", 1);
		s->copied = s->p;
	}
	return true;
}

static bool
scan_word(struct scanner *s)
{
	struct str rest = { (const char *)s->p, (size_t)(s->end - s->p) };
	struct str word = *s->p == 't' ? STR("true") : *s->p == 'f' ? STR("false") : STR("null");

	if (!str_starts(rest, word))
		return is_broken(s, "unexpected character");
	s->p += word.n;
	return true;
}

/* ---- the whole ---- */

static bool
scan_open(struct scanner *s)
{
	s->p++;
	if (++s->open > s->ret->depth)
		s->ret->depth = s->open;
	return true;
}

static bool
scan_close(struct scanner *s)
{
	if (s->open == 0)
		return is_broken(s, "a bracket that closes nothing");
	s->p++;
	s->open--;
	return true;
}

static bool
scan_one(struct scanner *s)
{
	s->p++;
	return true;
}

static bool
scan_odd(struct scanner *s)
{
	return is_broken(s, *s->p >= 0x80 ? "a byte outside ASCII and outside a string" :
	    "unexpected character");
}

static bool (*const scan_by[256])(struct scanner *) = {
	[' '] = scan_one, ['\t'] = scan_one, ['\n'] = scan_one, ['\r'] = scan_one,
	[','] = scan_one, [':'] = scan_one,
	['{'] = scan_open, ['['] = scan_open, ['}'] = scan_close, [']'] = scan_close,
	['"'] = scan_string,
	['-'] = scan_number, ['0'] = scan_number, ['1'] = scan_number, ['2'] = scan_number,
	['3'] = scan_number, ['4'] = scan_number, ['5'] = scan_number, ['6'] = scan_number,
	['7'] = scan_number, ['8'] = scan_number, ['9'] = scan_number,
	['t'] = scan_word, ['f'] = scan_word, ['n'] = scan_word,
};

static bool
scan_all(struct scanner *s)
{
	while (s->p < s->end) {
		bool (*scan)(struct scanner *) = scan_by[*s->p];

		if (!(scan != NULL ? scan(s) : scan_odd(s)))
			return false;
	}
	return s->open == 0 || is_broken(s, "the end before all brackets are closed");
}

static void
start(struct scanner *s, struct str doc, struct json_scan *ret)
{
	const unsigned char *p = (const unsigned char *)(doc.p != NULL ? doc.p : "");

	*ret = (struct json_scan){ .fault = JSON_FINE };
	*s = (struct scanner){ .p = p, .start = p, .end = p + doc.n, .ret = ret, .copied = p };
}

bool
json_scan(struct str doc, struct json_scan *ret, struct err *err)
{
	struct scanner s;

	start(&s, doc, ret);
	if (!scan_all(&s)) {
		ret->fault = JSON_BROKEN;
		ret->at = (size_t)(s.p - s.start);
		return err_set(err, ERR_INPUT, "not JSON: %s at byte %zu", s.broken, ret->at);
	}
	if (s.unfit != NULL) {
		ret->fault = JSON_UNFIT;
		return err_set(err, ERR_INPUT, "%s at byte %zu", s.unfit, ret->at);
	}
	return true;
}

void
json_quote_wide(struct str doc, struct buf *out)
{
	struct json_scan ignored;
	struct scanner s;

	start(&s, doc, &ignored);
	s.quoted = out;
	(void)scan_all(&s);
	buf_add(out, s.copied, (size_t)(s.end - s.copied));
}
