/* SPDX-License-Identifier: Apache-2.0 */
/* Times and time spans as senders write them.  No libc function that knows a locale or a
 * time zone has a part in it. */
#include "model/when.h"

#include "model/when_internal.h"

enum {
	US_PER_S = 1000000,
	S_PER_DAY = 86400,
	FIRST_YEAR = 1900,
	LAST_YEAR = 9999,
	RFC5322_MAX_BYTES = 128,	/* comments left out */
};

/* 1900-01-01 and the last microsecond of 9999. */
static const int64_t first_us = INT64_C(-2208988800) * US_PER_S;
static const int64_t last_us = INT64_C(253402300800) * US_PER_S - 1;
static const int64_t first_ms_epoch = INT64_C(100000000000);

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char
upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

bool
when_cut_char(struct str *s, const char *any_of)
{
	if (s->n == 0 || s->p[0] == '\0' || strchr(any_of, s->p[0]) == NULL)
		return false;
	*s = str_skip(*s, 1);
	return true;
}

/* min to max digits, as many as there are. */
bool
when_cut_number(struct str *s, size_t min, size_t max, int *ret)
{
	size_t n = 0;
	int value = 0;

	while (n < s->n && n < max && is_digit(s->p[n]))
		value = value * 10 + (s->p[n++] - '0');
	if (n < min)
		return false;
	*s = str_skip(*s, n);
	*ret = value;
	return true;
}

/* The digits behind the point as millionths; what is finer is cut off. */
bool
when_cut_millionths(struct str *s, int *ret)
{
	int value = 0;
	size_t n = 0;

	for (; n < s->n && is_digit(s->p[n]); n++)
		if (n < 6)
			value = value * 10 + (s->p[n] - '0');
	for (size_t i = n; i < 6; i++)
		value *= 10;
	*s = str_skip(*s, n);
	*ret = value;
	return n > 0;
}

static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int
days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01. */
static int64_t
day_number(int year, int month, int day)
{
	int64_t before = year - 1;
	int64_t days = before * 365 + before / 4 - before / 100 + before / 400 - 719162;

	for (int m = 1; m < month; m++)
		days += days_in(year, m);
	return days + day - 1;
}

static bool
within_years(int64_t us, int64_t *ret_us)
{
	if (us < first_us || us > last_us)
		return false;
	*ret_us = us;
	return true;
}

/* A leap second comes out as the second after it, since :60 is one more than :59. */
bool
when_to_us(const struct date_time *t, int64_t *ret_us)
{
	int64_t s;

	if (t->year < FIRST_YEAR || t->year > LAST_YEAR || t->month < 1 || t->month > 12 ||
	    t->day < 1 || t->day > days_in(t->year, t->month) || t->hour > 23 ||
	    t->minute > 59 || t->second > 60)
		return false;
	s = day_number(t->year, t->month, t->day) * S_PER_DAY + t->hour * 3600 + t->minute * 60 +
	    t->second - t->offset_s;
	return within_years(s * US_PER_S + t->us, ret_us);
}

/* "+01:00", "+0100" or "+01". */
static bool
cut_offset(struct str *s, int *ret_s)
{
	bool is_west = s->n > 0 && s->p[0] == '-';
	int hours, minutes = 0;

	if (!when_cut_char(s, "+-") || !when_cut_number(s, 2, 2, &hours))
		return false;
	if (s->n > 0 && (when_cut_char(s, ":") || is_digit(s->p[0])) &&
	    !when_cut_number(s, 2, 2, &minutes))
		return false;
	if (hours > 23 || minutes > 59)
		return false;
	*ret_s = (hours * 60 + minutes) * 60;
	if (is_west)
		*ret_s = -*ret_s;
	return true;
}

static bool
cut_time(struct str *s, struct date_time *t)
{
	return when_cut_number(s, 2, 2, &t->hour) && when_cut_char(s, ":") &&
	    when_cut_number(s, 2, 2, &t->minute) && when_cut_char(s, ":") &&
	    when_cut_number(s, 2, 2, &t->second);
}

/* "2026-11-24T18:00:00.5+01:00", also in small letters and with a space for the T. */
static bool
parse_rfc3339(struct str s, int64_t *ret_us)
{
	struct date_time t = { 0 };

	if (!when_cut_number(&s, 4, 4, &t.year) || !when_cut_char(&s, "-") ||
	    !when_cut_number(&s, 2, 2, &t.month) || !when_cut_char(&s, "-") ||
	    !when_cut_number(&s, 2, 2, &t.day) || !when_cut_char(&s, "Tt ") || !cut_time(&s, &t))
		return false;
	if (when_cut_char(&s, ".") && !when_cut_millionths(&s, &t.us))
		return false;
	if (!when_cut_char(&s, "Zz") && !cut_offset(&s, &t.offset_s))
		return false;
	return s.n == 0 && when_to_us(&t, ret_us);
}

static struct str
cut_digits(struct str *s)
{
	struct str digits = { s->p, 0 };

	while (digits.n < s->n && is_digit(s->p[digits.n]))
		digits.n++;
	*s = str_skip(*s, digits.n);
	return digits;
}

/* "1764003600", "1764003600.25", "1764003600123", "-86400". */
static bool
parse_epoch(struct str s, int64_t *ret_us)
{
	bool is_negative = when_cut_char(&s, "-");
	int64_t value, us;
	int millionths = 0;

	if (!str_to_i64(cut_digits(&s), 0, last_us / 1000, &value))
		return false;
	if (when_cut_char(&s, ".") && !when_cut_millionths(&s, &millionths))
		return false;
	if (s.n > 0)
		return false;
	if (value >= first_ms_epoch)
		us = value * 1000 + millionths / 1000;
	else
		us = value * US_PER_S + millionths;
	return within_years(is_negative ? -us : us, ret_us);
}

/* Mail dates may hold comments, nested and with escapes, and be folded over lines. */
static bool
without_comments(struct str s, char out[RFC5322_MAX_BYTES], struct str *ret)
{
	size_t n = 0, depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '\\' && depth > 0)
			i++;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth-- == 0)
			return false;
		if (depth > 0 && (depth > 1 || c != '('))
			continue;
		if (n == RFC5322_MAX_BYTES)
			return false;
		out[n++] = strchr("()\t\r\n", c) != NULL ? ' ' : c;
	}
	*ret = str_trim((struct str){ out, n });
	return depth == 0;
}

static bool
cut_space(struct str *s)
{
	bool is_there = false;

	while (when_cut_char(s, " "))
		is_there = true;
	return is_there;
}

/* One of the names, which are in capitals and end in NULL. */
bool
when_cut_name(struct str *s, const char *const *names, size_t *ret)
{
	struct str word = { s->p, 0 };

	while (word.n < s->n && upper(s->p[word.n]) >= 'A' && upper(s->p[word.n]) <= 'Z')
		word.n++;
	for (size_t i = 0; names[i] != NULL; i++)
		if (str_eq_nocase(word, str_of(names[i]))) {
			*s = str_skip(*s, word.n);
			*ret = i;
			return true;
		}
	return false;
}

/* The names of RFC 5322.  Others ("CET") it would have us take for UTC; a wrong hour is
 * worse than none. */
bool
when_cut_zone(struct str *s, int *ret_offset_s)
{
	static const char *const names[] = { "GMT", "UT", "UTC", "Z", "EST", "EDT", "CST", "CDT",
	    "MST", "MDT", "PST", "PDT", NULL };
	static const int hours[] = { 0, 0, 0, 0, -5, -4, -6, -5, -7, -6, -8, -7 };
	size_t at;

	if (!when_cut_name(s, names, &at))
		return cut_offset(s, ret_offset_s);
	*ret_offset_s = hours[at] * 3600;
	return true;
}

/* Two digits are 1950 to 2049, three are years since 1900 (RFC 5322, 4.3). */
static bool
cut_mail_year(struct str *s, int *ret)
{
	size_t before = s->n;

	if (!when_cut_number(s, 2, 4, ret))
		return false;
	if (before - s->n == 2)
		*ret += *ret < 50 ? 2000 : 1900;
	else if (before - s->n == 3)
		*ret += 1900;
	return true;
}

/* "24 Nov 2026".  The name of the day in front is not compared: senders get it wrong. */
static bool
cut_mail_date(struct str *s, struct date_time *t)
{
	static const char *const days[] = { "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN", NULL };
	static const char *const months[] = { "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL",
	    "AUG", "SEP", "OCT", "NOV", "DEC", NULL };
	size_t at;

	if (when_cut_name(s, days, &at)) {
		(void)cut_space(s);
		(void)when_cut_char(s, ",");
		(void)cut_space(s);
	}
	if (!when_cut_number(s, 1, 2, &t->day) || !cut_space(s) || !when_cut_name(s, months, &at) ||
	    !cut_space(s) || !cut_mail_year(s, &t->year))
		return false;
	t->month = (int)at + 1;
	return true;
}

/* "Tue, 24 Nov 2026 18:00:00 +0100 (CET)". */
static bool
parse_rfc5322(struct str s, int64_t *ret_us)
{
	char text[RFC5322_MAX_BYTES];
	struct date_time t = { 0 };

	if (!without_comments(s, text, &s) || !cut_mail_date(&s, &t) || !cut_space(&s))
		return false;
	if (!when_cut_number(&s, 2, 2, &t.hour) || !when_cut_char(&s, ":") ||
	    !when_cut_number(&s, 2, 2, &t.minute))
		return false;
	if (when_cut_char(&s, ":") && !when_cut_number(&s, 2, 2, &t.second))
		return false;
	return cut_space(&s) && when_cut_zone(&s, &t.offset_s) && s.n == 0 && when_to_us(&t, ret_us);
}

bool
when_parse(struct str s, int64_t *ret_us)
{
	s = str_trim(s);
	return parse_rfc3339(s, ret_us) || parse_epoch(s, ret_us) || parse_rfc5322(s, ret_us);
}

/* A count with its fraction in millionths. */
struct amount {
	int64_t	whole;
	int	millionths;
	bool	has_fraction;
};

static bool
cut_amount(struct str *s, struct amount *ret)
{
	*ret = (struct amount){ .whole = 0 };
	if (!str_to_i64(cut_digits(s), 0, INT64_MAX, &ret->whole))
		return false;
	ret->has_fraction = when_cut_char(s, ".");
	return !ret->has_fraction || when_cut_millionths(s, &ret->millionths);
}

static bool
add_months(struct span *to, const struct amount *n, int64_t months_each)
{
	int64_t more;

	return !n->has_fraction && !__builtin_mul_overflow(n->whole, months_each, &more) &&
	    !__builtin_add_overflow(to->months, more, &to->months);
}

static bool
add_days(struct span *to, const struct amount *n, int64_t days_each)
{
	int64_t more;

	return !n->has_fraction && !__builtin_mul_overflow(n->whole, days_each, &more) &&
	    !__builtin_add_overflow(to->days, more, &to->days);
}

static bool
add_seconds(struct span *to, const struct amount *n, int64_t seconds_each)
{
	int64_t us;

	return !__builtin_mul_overflow(n->whole, seconds_each * US_PER_S, &us) &&
	    !__builtin_add_overflow(us, n->millionths * seconds_each, &us) &&
	    !__builtin_add_overflow(to->us, us, &to->us);
}

/* The parts of an ISO 8601 duration, in the order in which they stand. */
static const struct unit {
	char	letter;
	bool	is_time;		/* stands behind the T */
	bool	(*add)(struct span *, const struct amount *, int64_t each);
	int64_t	each;
} units[] = {
	{ 'Y', false, add_months, 12 },
	{ 'M', false, add_months, 1 },
	{ 'W', false, add_days, 7 },
	{ 'D', false, add_days, 1 },
	{ 'H', true, add_seconds, 3600 },
	{ 'M', true, add_seconds, 60 },
	{ 'S', true, add_seconds, 1 },
};

enum { NUNITS = sizeof(units) / sizeof(units[0]) };

/* The unit called so at or behind *from, on that side of the T. */
static const struct unit *
cut_unit(struct str *s, bool is_time, size_t *from)
{
	char letter = s->n > 0 ? upper(s->p[0]) : '\0';

	for (; *from < NUNITS; ++*from)
		if (units[*from].letter == letter && units[*from].is_time == is_time) {
			*s = str_skip(*s, 1);
			return &units[(*from)++];
		}
	return NULL;
}

/* "P1DT2H30M", "PT1M30.5S", "P2W". */
static bool
parse_iso_span(struct str s, struct span *ret)
{
	bool is_time = false, is_complete = false;
	struct span span = { 0 };
	size_t from = 0;

	if (!when_cut_char(&s, "Pp"))
		return false;
	while (s.n > 0) {
		struct amount n;
		const struct unit *u;

		if (!is_time && when_cut_char(&s, "Tt")) {
			is_time = true;
			is_complete = false;
		}
		if (!cut_amount(&s, &n) || (u = cut_unit(&s, is_time, &from)) == NULL ||
		    !u->add(&span, &n, u->each) || (n.has_fraction && s.n > 0))
			return false;
		is_complete = true;
	}
	if (is_complete)
		*ret = span;
	return is_complete;
}

bool
when_parse_span(struct str s, struct span *ret)
{
	struct span span = { 0 };
	struct amount n;

	s = str_trim(s);
	if (parse_iso_span(s, ret))
		return true;
	if (!cut_amount(&s, &n) || s.n > 0 || !add_seconds(&span, &n, 1))
		return false;
	*ret = span;
	return true;
}
