/* SPDX-License-Identifier: Apache-2.0 */
/* Text -> a count of ten-thousandths, without a double in between. */
#include "model/decimal.h"

enum {
	DECIMALS = 4,
	EXPONENT_MAX = 10000,	/* beyond it every number is zero or out of range */
};

static const int64_t max_e4 = INT64_C(999999999999999999);

struct parts {
	bool		is_negative;
	struct str	whole, fraction;	/* digits */
	int64_t		exponent;
};

static struct str
cut_digits(struct str *s)
{
	struct str digits = { s->p, 0 };

	while (digits.n < s->n && s->p[digits.n] >= '0' && s->p[digits.n] <= '9')
		digits.n++;
	*s = str_skip(*s, digits.n);
	return digits;
}

static bool
cut_one(struct str *s, char a, char b)
{
	if (s->n == 0 || (s->p[0] != a && s->p[0] != b))
		return false;
	*s = str_skip(*s, 1);
	return true;
}

/* One too large for an int64_t is as good as the largest. */
static bool
read_exponent(struct str s, int64_t *ret)
{
	bool is_negative = cut_one(&s, '-', '-');

	if (!is_negative)
		(void)cut_one(&s, '+', '+');
	*ret = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (*ret < EXPONENT_MAX)
			*ret = *ret * 10 + (s.p[i] - '0');
	}
	if (is_negative)
		*ret = -*ret;
	return s.n > 0;
}

static bool
read_parts(struct str s, struct parts *ret)
{
	ret->is_negative = cut_one(&s, '-', '-');
	if (!ret->is_negative)
		(void)cut_one(&s, '+', '+');
	ret->whole = cut_digits(&s);
	ret->fraction = (struct str){ s.p, 0 };
	ret->exponent = 0;
	if (cut_one(&s, '.', '.'))
		ret->fraction = cut_digits(&s);
	if (ret->whole.n + ret->fraction.n == 0)
		return false;
	if (cut_one(&s, 'e', 'E'))
		return read_exponent(s, &ret->exponent);
	return s.n == 0;
}

static bool
add_digit(int64_t *value, int digit)
{
	return !__builtin_mul_overflow(*value, 10, value) &&
	    !__builtin_add_overflow(*value, digit, value);
}

/* i-th digit of the number, with zeros without end behind it. */
static int
digit_at(const struct parts *p, size_t i)
{
	if (i < p->whole.n)
		return p->whole.p[i] - '0';
	i -= p->whole.n;
	return i < p->fraction.n ? p->fraction.p[i] - '0' : 0;
}

static bool
is_zero(const struct parts *p)
{
	for (size_t i = 0; i < p->whole.n + p->fraction.n; i++)
		if (digit_at(p, i) != 0)
			return false;
	return true;
}

bool
decimal_parse(struct str s, int64_t *ret_e4)
{
	struct parts p;
	int64_t value = 0, keep;

	if (!read_parts(str_trim(s), &p))
		return false;
	/* So many leading digits make the ten-thousandths; the next one rounds. */
	keep = (int64_t)p.whole.n + p.exponent + DECIMALS;
	if (is_zero(&p))
		keep = 0;
	for (int64_t i = 0; i < keep; i++)
		if (!add_digit(&value, digit_at(&p, (size_t)i)) || value > max_e4)
			return false;
	if (keep >= 0 && digit_at(&p, (size_t)keep) >= 5 && ++value > max_e4)
		return false;
	*ret_e4 = p.is_negative ? -value : value;
	return true;
}
