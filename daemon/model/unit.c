/* SPDX-License-Identifier: Apache-2.0 */
/* Units: by moving the decimal point, since binary fractions do not hold amounts. */
#include "model/unit.h"

#include <inttypes.h>
#include <stdio.h>

const char *const unit_names[UNIT_NUNITS + 1] = {
	[UNIT_MS]	= "ms",
	[UNIT_US]	= "us",
	[UNIT_MIN]	= "min",
	[UNIT_CLOCK]	= "clock",
	[UNIT_CENTS]	= "cents",
	[UNIT_NUNITS]	= NULL,
};

enum { MAX_DIGITS = 18, MAX_SHIFT = 40, MAX_CLOCK_PART = 1000000 };

/* digits * 10^-decimals */
struct number {
	int64_t	digits;
	int	decimals;
	bool	is_negative;
};

/* ISO 4217: those whose minor unit is not a hundredth. */
static const struct { char code[4]; int digits; } minor_units[] = {
	{ "BHD", 3 }, { "BIF", 0 }, { "CLF", 4 }, { "CLP", 0 }, { "DJF", 0 }, { "GNF", 0 },
	{ "IQD", 3 }, { "ISK", 0 }, { "JOD", 3 }, { "JPY", 0 }, { "KMF", 0 }, { "KRW", 0 },
	{ "KWD", 3 }, { "LYD", 3 }, { "OMR", 3 }, { "PYG", 0 }, { "RWF", 0 }, { "TND", 3 },
	{ "UGX", 0 }, { "UYI", 0 }, { "UYW", 4 }, { "VND", 0 }, { "VUV", 0 }, { "XAF", 0 },
	{ "XOF", 0 }, { "XPF", 0 },
};

static int
minor_digits(struct str currency)
{
	for (size_t i = 0; i < sizeof(minor_units) / sizeof(minor_units[0]); i++)
		if (str_eq_nocase(currency, str_of(minor_units[i].code)))
			return minor_units[i].digits;
	return 2;
}

static bool
is_digit(struct str s)
{
	return s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9';
}

static bool
add_digit(struct number *n, char c)
{
	n->digits = n->digits * 10 + (c - '0');
	return n->digits < INT64_C(1000000000000000000);
}

/* "e-2", "E+3" */
static bool
read_exponent(struct str s, struct number *n)
{
	int64_t exponent;

	if (s.n == 0)
		return true;
	if ((s.p[0] != 'e' && s.p[0] != 'E') ||
	    !str_to_i64(str_skip(s, 1), -MAX_SHIFT, MAX_SHIFT, &exponent))
		return false;
	n->decimals -= (int)exponent;
	return true;
}

static bool
read_number(struct str s, struct number *ret)
{
	struct number n = { .is_negative = s.n > 0 && s.p[0] == '-' };

	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
		s = str_skip(s, 1);
	if (!is_digit(s))
		return false;
	for (; is_digit(s); s = str_skip(s, 1))
		if (!add_digit(&n, s.p[0]))
			return false;
	if (s.n > 1 && s.p[0] == '.') {
		s = str_skip(s, 1);
		if (!is_digit(s))
			return false;
		/* What there are no digits left for is finer than anybody counts. */
		for (; is_digit(s); s = str_skip(s, 1))
			if (n.digits < INT64_C(100000000000000000) && add_digit(&n, s.p[0]))
				n.decimals++;
	}
	*ret = n;
	return read_exponent(s, ret);
}

/* Without zeros behind the last decimal. */
static bool
write_number(struct number n, char out[UNIT_TEXT_BYTES], struct str *ret)
{
	char digits[UNIT_TEXT_BYTES];
	int len, whole;

	/* What is finer than that, nobody counts. */
	for (; n.decimals > MAX_DIGITS; n.decimals--)
		n.digits /= 10;
	while (n.decimals > 0 && n.digits % 10 == 0) {
		n.digits /= 10;
		n.decimals--;
	}
	for (; n.decimals < 0; n.decimals++)
		if (n.digits >= INT64_C(100000000000000000))
			return false;
		else
			n.digits *= 10;
	len = snprintf(digits, sizeof(digits), "%0*" PRId64, n.decimals + 1, n.digits);
	whole = len - n.decimals;
	len = snprintf(out, UNIT_TEXT_BYTES, "%s%.*s%s%s", n.is_negative && n.digits > 0 ? "-" : "",
	    whole, digits, n.decimals > 0 ? "." : "", digits + whole);
	*ret = (struct str){ out, (size_t)len };
	return true;
}

/* Each colon counts what stands before it in sixties. */
static bool
read_clock(struct str s, struct number *ret)
{
	struct str last = s;
	int64_t whole = 0, part, seconds;

	while (last.n > 0 && memchr(last.p, ':', last.n) != NULL) {
		if (!str_to_i64(str_cut(&last, ':'), 0, MAX_CLOCK_PART, &part) ||
		    __builtin_add_overflow(whole, part, &whole) ||
		    __builtin_mul_overflow(whole, 60, &whole))
			return false;
	}
	if (!is_digit(last) || !read_number(last, ret) || ret->decimals < 0)
		return false;
	seconds = whole;
	for (int i = 0; i < ret->decimals; i++)
		if (__builtin_mul_overflow(seconds, 10, &seconds))
			return false;
	return !__builtin_add_overflow(ret->digits, seconds, &ret->digits);
}

bool
unit_convert(enum unit u, struct str currency, struct str s, char out[UNIT_TEXT_BYTES],
    struct str *ret)
{
	static const int shift[UNIT_NUNITS] = { [UNIT_MS] = 3, [UNIT_US] = 6 };
	struct number n;

	if (!(u == UNIT_CLOCK ? read_clock(str_trim(s), &n) : read_number(str_trim(s), &n)))
		return false;
	n.decimals += u == UNIT_CENTS ? minor_digits(currency) : shift[u];
	if (u == UNIT_MIN && __builtin_mul_overflow(n.digits, 60, &n.digits))
		return false;
	return write_number(n, out, ret);
}
