/* SPDX-License-Identifier: Apache-2.0 */
/* touchlogd's answers, as far as programs that post to it in tests have to read them. */
#include "tests/bench/reply.h"

#include <err.h>
#include <string.h>

static struct str
header(struct str head, const char *name)
{
	const char *at = strcasestr(head.p, name);
	struct str value;

	if (at == NULL || at > head.p + head.n)
		return STR_NONE;
	at += strlen(name);
	value = (struct str){ at, (size_t)(head.p + head.n - at) };
	return str_trim(str_cut(&value, '\r'));
}

bool
reply_read(struct str bytes, struct reply *ret)
{
	const char *end = memmem(bytes.p, bytes.n, "\r\n\r\n", 4);
	struct str status = { bytes.p + strlen("HTTP/1.1 "), 3 }, head;
	int64_t n, code;

	if (end == NULL)
		return false;
	head = (struct str){ bytes.p, (size_t)(end + 2 - bytes.p) };
	if (!str_to_i64(status, 100, REPLY_STATUS_END - 1, &code) ||
	    !str_to_i64(header(head, "\r\ncontent-length:"), 0, REPLY_MAX_BYTES, &n))
		errx(1, "a reply that this program cannot read: %.200s", bytes.p);
	*ret = (struct reply){ (int)code, end + 4,
		str_eq_nocase(header(head, "\r\nconnection:"), STR("close")) };
	if (bytes.p + bytes.n > ret->body + n)
		errx(1, "more than one reply to one request: %.200s", bytes.p);
	return bytes.p + bytes.n == ret->body + n;
}

const char *
reply_member(const char *body, const char *name)
{
	const size_t len = strlen(name);

	for (const char *p = body; (p = strchr(p, '"')) != NULL; p++) {
		if (strncmp(p + 1, name, len) != 0 || p[len + 1] != '"')
			continue;
		p += len + 2;
		p += strspn(p, " ");
		if (*p == ':')
			return p + 1 + strspn(p + 1, " ");
		p--;
	}
	return NULL;
}
