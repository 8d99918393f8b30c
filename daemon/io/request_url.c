/* SPDX-License-Identifier: Apache-2.0 */
/* By which URL a sender knows us. */
#include "io/request_url.h"

#include <string.h>

#include "base/encoding.h"
#include "base/net_set.h"

static const struct str schemes_known[] = { STR("https://"), STR("http://") };

/* Letters, digits, dots, hyphens; a port; an IPv6 address in brackets. */
static bool
is_host(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) &&
		    (c == '\0' || strchr(".-:[]_", c) == NULL))
			return false;
	}
	return s.n > 0;
}

static bool
is_path(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] == 0x7f || s.p[i] == '?' || s.p[i] == '#')
			return false;
	return true;
}

bool
public_url_read(struct str text, struct str *ret)
{
	struct str rest = STR_NONE, host;

	for (size_t i = 0; i < 2 && rest.p == NULL; i++)
		if (str_starts(text, schemes_known[i]))
			rest = str_skip(text, schemes_known[i].n);
	if (rest.p == NULL)
		return false;
	host = str_cut(&rest, '/');
	while (text.p[text.n - 1] == '/')
		text.n--;
	*ret = text;
	return is_host(host) && is_path(rest);
}

/* The last of a list is what our own proxy saw; what stands before it, anybody may have
 * sent. */
static struct str
last_of(const struct http_message *m, struct str name)
{
	struct str value = STR_NONE, last = STR_NONE;

	for (size_t i = 0; i < m->nheaders; i++)
		if (str_eq_nocase(m->headers[i].name, name))
			value = m->headers[i].value;
	while (value.n > 0)
		last = str_trim(str_cut(&value, ','));
	return last;
}

static bool
put_origin(const struct http_message *m, struct url_peer peer, bool is_trusted, struct buf *out)
{
	struct str host = http_message_header(m, STR("Host"));
	bool is_https = peer.is_tls;

	if (is_trusted) {
		struct str forwarded = last_of(m, STR("X-Forwarded-Host"));
		struct str proto = last_of(m, STR("X-Forwarded-Proto"));

		if (proto.p != NULL)
			is_https = str_eq_nocase(proto, STR("https"));
		if (is_host(forwarded))
			host = forwarded;
	}
	if (!is_host(host))
		return false;
	buf_str_add(out, schemes_known[is_https ? 0 : 1]);
	buf_str_add(out, host);
	return true;
}

bool
request_url(const struct url_rules *rules, const struct http_message *m, struct url_peer peer,
    struct str rest, struct buf *out)
{
	if (rules->public_url.p != NULL)
		buf_str_add(out, rules->public_url);
	else if (!put_origin(m, peer, net_set_has(rules->proxies, peer.address), out))
		return false;
	buf_str_add(out, rules->public_url.p != NULL && rules->is_whole ? rest : m->path);
	if (m->query.p != NULL) {
		buf_text(out, "?");
		buf_str_add(out, m->query);
	}
	return buf_ok(out);
}

void
request_url_shown(struct str url, struct buf *out)
{
	struct str query = url, name, value;
	const char *mark = "?";

	buf_str_add(out, str_cut(&query, '?'));
	while (urlencoded_next(&query, &name, &value)) {
		buf_text(out, mark);
		buf_str_add(out, name);
		buf_text(out, "=");
		mark = "&";
	}
}
