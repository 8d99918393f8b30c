/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored text on its way to a terminal.  A subject that a stranger wrote may hold
 * escape sequences that rename the window or hide a line: none of them gets through.
 */
#include "cli/terminal.h"

#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

/* The first character of s; *ret_len its bytes.  False: s begins with no character. */
static bool
decode(struct str s, uint32_t *ret_c, size_t *ret_len)
{
	unsigned char b = (unsigned char)s.p[0];
	size_t len = b < 0x80 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4, at;
	uint32_t c = len == 1 ? b : b & (0x7fU >> len);

	if (len > s.n || !str_is_utf8((struct str){ s.p, len }, &at))
		return false;
	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)s.p[i] & 0x3f);
	*ret_c = c;
	*ret_len = len;
	return true;
}

/* Beyond the controls: marks that turn the direction of text, separators, tags. */
static bool
is_obeyed(uint32_t c)
{
	static const struct { uint32_t low, high; } ranges[] = {
		{ 0x00, 0x1f }, { 0x7f, 0x9f }, { 0x61c, 0x61c }, { 0x200e, 0x200f },
		{ 0x2028, 0x202e }, { 0x2066, 0x2069 }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb },
		{ 0xe0000, 0xe007f },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].low && c <= ranges[i].high)
			return true;
	return false;
}

static void
put_visible(struct buf *out, uint32_t c, enum terminal_form form)
{
	if (form == TERMINAL_LINES && (c == '\n' || c == '\t'))
		buf_printf(out, "%c", (char)c);
	else if (c == '\n' || c == '\t' || c == '\r')
		buf_printf(out, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
	else if (c < 0x80)
		buf_printf(out, "\\x%02x", (unsigned)c);
	else
		buf_printf(out, "\\u{%x}", (unsigned)c);
}

void
terminal_put(struct buf *out, struct str s, enum terminal_form form)
{
	uint32_t c;
	size_t len;

	while (s.n > 0) {
		if (!decode(s, &c, &len)) {
			buf_printf(out, "\\x%02x", (unsigned char)s.p[0]);
			len = 1;
		} else if (is_obeyed(c)) {
			put_visible(out, c, form);
		} else {
			buf_add(out, s.p, len);
		}
		s = str_skip(s, len);
	}
}

static size_t
width_of(uint32_t c)
{
	int width = wcwidth((wchar_t)c);

	return width < 0 ? 1 : (size_t)width;
}

struct str
terminal_prefix(struct str s, size_t columns)
{
	size_t at = 0, used = 0, len;
	uint32_t c;

	while (at < s.n) {
		if (!decode(str_skip(s, at), &c, &len)) {
			c = '?';
			len = 1;
		}
		if (used + width_of(c) > columns)
			break;
		used += width_of(c);
		at += len;
	}
	return (struct str){ s.p, at };
}

size_t
terminal_width(struct str s)
{
	size_t used = 0, len;
	uint32_t c;

	for (; s.n > 0; s = str_skip(s, len)) {
		if (!decode(s, &c, &len)) {
			c = '?';
			len = 1;
		}
		used += width_of(c);
	}
	return used;
}

size_t
terminal_columns(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
		return 0;
	return size.ws_col;
}

bool
terminal_is_text(struct str s)
{
	size_t at;

	if (!str_is_utf8(s, &at))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' && s.p[i] != '\n' && s.p[i] != '\t' &&
		    s.p[i] != '\r')
			return false;
	return true;
}
