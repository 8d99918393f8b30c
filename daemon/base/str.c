/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed slices of bytes: comparing, trimming, reading numbers. */
#include "base/str.h"

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool
str_eq_nocase(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

int
str_index(struct str s, const char *const *names)
{
	for (int i = 0; names[i] != NULL; i++)
		if (str_eq(s, str_of(names[i])))
			return i;
	return -1;
}

bool
str_is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

struct str
str_trim(struct str s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = str_skip(s, 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool
str_to_i64(struct str s, int64_t min, int64_t max, int64_t *ret_out)
{
	bool is_negative = s.n > 0 && s.p[0] == '-';
	int64_t value = 0;

	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
		s = str_skip(s, 1);
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int64_t digit = s.p[i] - '0';

		if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, is_negative ? -digit : digit, &value))
			return false;
	}
	if (value < min || value > max)
		return false;
	*ret_out = value;
	return true;
}

int
str_hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	    c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Length of the well-formed sequence at p, 0 when there is none. */
static size_t
utf8_length(const unsigned char *p, size_t n)
{
	size_t len;
	unsigned char low = 0x80, high = 0xbf;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return 0;
	low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : low;
	high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : high;
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool
str_is_utf8(struct str s, size_t *ret_at)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0, len;
	uint64_t word;

	while (i < s.n) {
		/* Eight ASCII bytes at a time: most of what comes is ASCII. */
		while (i + 8 <= s.n) {
			memcpy(&word, p + i, 8);
			if ((word & 0x8080808080808080U) != 0)
				break;
			i += 8;
		}
		if (i == s.n)
			break;
		len = utf8_length(p + i, s.n - i);
		if (len == 0) {
			*ret_at = i;
			return false;
		}
		i += len;
	}
	return true;
}

struct str
str_prefix_utf8(struct str s, size_t max_bytes)
{
	if (s.n <= max_bytes)
		return s;
	s.n = max_bytes;
	while (s.n > 0 && ((unsigned char)s.p[s.n] & 0xc0) == 0x80)
		s.n--;
	return s;
}
