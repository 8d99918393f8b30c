/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as text: hexadecimal, base64, percent-encoding and the pairs of a form. */
#include "base/encoding.h"

#include <stdint.h>
#include <string.h>

static int
base64_value(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 :
	    c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
decode_hex(struct str text, unsigned char *out, size_t room, size_t *ret_n)
{
	if (text.n % 2 != 0 || text.n / 2 > room)
		return false;
	for (size_t i = 0; i < text.n; i += 2) {
		int high = str_hex_digit(text.p[i]), low = str_hex_digit(text.p[i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (unsigned char)(high << 4 | low);
	}
	*ret_n = text.n / 2;
	return true;
}

/* Up to four digits into up to three bytes; the bits behind them have to be zero. */
static bool
decode_group(const char *digits, size_t n, unsigned char byte[3])
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i < n ? base64_value(digits[i]) : 0;

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
	}
	for (size_t i = 0; i < 3; i++)
		byte[i] = (unsigned char)(bits >> (16 - 8 * i));
	for (size_t i = n - 1; i < 3; i++)
		if (byte[i] != 0)
			return false;
	return true;
}

bool
decode_base64(struct str text, unsigned char *out, size_t room, size_t *ret_n)
{
	size_t npads = 0, n = 0;

	if (text.n % 4 != 0)
		return false;
	while (text.n > 0 && npads < 2 && text.p[text.n - 1] == '=') {
		text.n--;
		npads++;
	}
	for (size_t i = 0; i < text.n; i += 4) {
		size_t len = text.n - i < 4 ? text.n - i : 4;
		unsigned char byte[3];

		if (!decode_group(text.p + i, len, byte) || room - n < len - 1)
			return false;
		memcpy(out + n, byte, len - 1);
		n += len - 1;
	}
	/* "====" would pass for nothing. */
	if (n == 0 && npads > 0)
		return false;
	*ret_n = n;
	return true;
}

void
encode_hex(struct buf *out, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		const char pair[2] = { digits[bytes[i] >> 4], digits[bytes[i] & 15] };

		buf_add(out, pair, 2);
	}
}

void
encode_base64(struct buf *out, const unsigned char *bytes, size_t n)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t bits = (uint32_t)bytes[i] << 16 |
		    (i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0) | (i + 2 < n ? bytes[i + 2] : 0);
		const char four[4] = { digits[bits >> 18], digits[bits >> 12 & 63],
		    i + 1 < n ? digits[bits >> 6 & 63] : '=', i + 2 < n ? digits[bits & 63] : '=' };

		buf_add(out, four, 4);
	}
}

/* Whether one of eight bytes is that one: it makes a zero, from which 1 is borrowed. */
static bool
holds(uint64_t word, unsigned char byte)
{
	uint64_t x = word ^ 0x0101010101010101U * byte;

	return ((x - 0x0101010101010101U) & ~x & 0x8080808080808080U) != 0;
}

/* Shorter than the text or as long, so that room is asked for once. */
bool
percent_decode(struct str text, bool plus_is_space, struct buf *out)
{
	char *at = text.n > 0 ? buf_space(out, text.n) : NULL;
	size_t n = 0;

	if (at == NULL)
		return text.n == 0 && buf_ok(out);
	for (size_t i = 0; i < text.n; i++) {
		uint64_t word;
		char c;

		/* Eight at a time: most of what comes is plain. */
		while (i + 8 < text.n) {
			memcpy(&word, text.p + i, 8);
			if (holds(word, '%') || holds(word, '+'))
				break;
			memcpy(at + n, &word, 8);
			n += 8;
			i += 8;
		}
		c = text.p[i];
		if (c == '%') {
			int high = i + 2 < text.n ? str_hex_digit(text.p[i + 1]) : -1;
			int low = i + 2 < text.n ? str_hex_digit(text.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		at[n++] = c;
	}
	out->n -= text.n - n;
	return true;
}

static bool
is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void
percent_encode(struct buf *out, struct str text, const char *also)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (is_letter_or_digit(c) || (c != '\0' && strchr(also, c) != NULL))
			buf_add(out, &c, 1);
		else
			buf_printf(out, "%%%02X", (unsigned char)c);
	}
}

void
html_escape(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		switch (text.p[i]) {
		case '&':
			buf_text(out, "&amp;");
			break;
		case '<':
			buf_text(out, "&lt;");
			break;
		case '>':
			buf_text(out, "&gt;");
			break;
		case '"':
			buf_text(out, "&quot;");
			break;
		case '\'':
			buf_text(out, "&#39;");
			break;
		default:
			buf_add(out, text.p + i, 1);
		}
}

bool
urlencoded_next(struct str *rest, struct str *ret_name, struct str *ret_value)
{
	while (rest->n > 0) {
		struct str pair = str_cut(rest, '&');

		if (pair.n == 0)
			continue;
		*ret_name = str_cut(&pair, '=');
		*ret_value = pair;
		return true;
	}
	return false;
}

bool
urlencoded_find(struct str pairs, struct str name, struct buf *out)
{
	struct str key, value;

	while (urlencoded_next(&pairs, &key, &value)) {
		buf_clear(out);
		/* Most names cannot be it: a byte is written by three at the most. */
		if (key.n < name.n || key.n > 3 * name.n || !percent_decode(key, true, out) || !str_eq(buf_str(out), name))
			continue;
		buf_clear(out);
		return percent_decode(value, true, out);
	}
	return false;
}
