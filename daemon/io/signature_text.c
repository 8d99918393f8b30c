/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is signed: the canonical text of a request, from the pieces that a form's `text`
 * names.  The body is the bytes as they came; what is made anew are the parameters of a
 * form in their order, and the spellings of the URL that a sender may have had.
 */
#include "io/signature_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/encoding.h"

enum { PARAMS_MAX = 1000 };

/* ---- the text ---- */

bool
form_wants(const struct form *f, char code)
{
	for (const char *p = strchr(f->text, '%'); p != NULL; p = strchr(p + 2, '%'))
		if (p[1] == code)
			return true;
	return false;
}

static struct str
piece(const struct attempt *a, struct str url, char code)
{
	switch (code) {
	case 'b': return a->r->body;
	case 't': return a->timestamp;
	case 'i': return a->id;
	case 'k': return a->token;
	case 'm': return a->r->m->method;
	case 'u': return url;
	case 'p': return buf_str(&a->params);
	}
	abort();	/* the row is wrong */
}

bool
text_build(const struct attempt *a, struct str url, struct text *ret)
{
	const char *p = a->form->text;

	ret->n = 0;
	while (*p != '\0') {
		size_t len = strcspn(p, "%");

		if (ret->n == TEXT_PARTS_MAX)
			return false;
		if (len > 0) {
			ret->part[ret->n++] = (struct str){ p, len };
			p += len;
		} else {
			ret->part[ret->n++] = piece(a, url, p[1]);
			p += 2;
		}
	}
	return true;
}

/* ---- parameters ---- */

struct pair {
	struct str	name, value;
};

static int
by_name_and_value(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int order = str_compare(x->name, y->name);

	return order != 0 ? order : str_compare(x->value, y->value);
}

static bool
decode_into(struct buf *out, struct str text, struct str *ret)
{
	size_t from = out->n;

	if (!percent_decode(text, true, out))
		return false;
	*ret = (struct str){ out->p + from, out->n - from };
	return true;
}

/* The room is taken at once: what points into it must not move. */
static bool
read_pairs(struct str body, struct buf *room, struct pair *pairs, size_t *ret_n)
{
	struct str name, value;
	size_t n = 0;

	if (buf_space(room, body.n + 1) == NULL)
		return false;
	room->n = 0;
	for (; urlencoded_next(&body, &name, &value); n++)
		if (n == PARAMS_MAX || !decode_into(room, name, &pairs[n].name) ||
		    !decode_into(room, value, &pairs[n].value))
			return false;
	*ret_n = n;
	return true;
}

/* Twilio sorts by name, and a repeated name's values too, of which equal ones count
 * once. */
static const char *
sort_form(struct attempt *a)
{
	struct pair *pairs = malloc(PARAMS_MAX * sizeof(*pairs));
	size_t n = 0;
	bool ok;

	if (pairs == NULL)
		return "memory";
	ok = read_pairs(a->r->body, &a->fields, pairs, &n);
	if (ok)
		qsort(pairs, n, sizeof(*pairs), by_name_and_value);
	for (size_t i = 0; ok && i < n; i++) {
		if (i > 0 && by_name_and_value(&pairs[i - 1], &pairs[i]) == 0)
			continue;
		buf_str_add(&a->params, pairs[i].name);
		buf_str_add(&a->params, pairs[i].value);
	}
	free(pairs);
	return ok && buf_ok(&a->params) ? NULL : "form";
}

bool
is_form_type(struct str content_type)
{
	return str_eq_nocase(str_trim(str_cut(&content_type, ';')),
	    STR("application/x-www-form-urlencoded"));
}

static struct str
query_of(struct str url)
{
	(void)str_cut(&url, '?');
	return str_cut(&url, '#');
}

/* true: the URL, which is signed, holds the body's digest; *ret_failed says whether it is
 * that. */
static bool
hash_in_query(struct attempt *a, const char **ret_failed)
{
	unsigned char sum[SUM_BYTES], own[SUM_BYTES];
	size_t n;

	if (a->form->hash_param.n == 0)
		return false;
	if (!urlencoded_find(query_of(a->r->url), a->form->hash_param, &a->fields))
		return false;
	*ret_failed = decode_hex(buf_str(&a->fields), sum, sizeof(sum), &n) &&
	    n == SUM_BYTES && sum_of(a->r->body, own) &&
	    memcmp(sum, own, SUM_BYTES) == 0 ? NULL : "body_hash";
	return true;
}

/* A body that is no form and whose digest is nowhere would not be signed at all. */
const char *
text_params(struct attempt *a)
{
	const char *failed = NULL;

	if (hash_in_query(a, &failed) || a->r->body.n == 0)
		return failed;
	if (!is_form_type(http_message_header(a->r->m, STR("Content-Type"))))
		return "body_unsigned";
	buf_clear(&a->fields);
	return sort_form(a);
}

/* ---- the URL ---- */

struct url_parts {
	struct str	scheme;		/* with "://" */
	struct str	host;		/* with what stands before an "@" */
	struct str	port;		/* with its colon; empty without one */
	struct str	path;		/* up to the query */
	struct str	query;		/* behind the "?"; .p NULL without one */
};

static bool
split_url(struct str url, struct url_parts *ret)
{
	static const struct str mark = STR("://");
	const char *at = memmem(url.p, url.n, mark.p, mark.n), *end;
	size_t colon;

	if (at == NULL)
		return false;
	ret->scheme = (struct str){ url.p, (size_t)(at - url.p) + mark.n };
	url = str_skip(url, ret->scheme.n);
	for (end = url.p; end < url.p + url.n && *end != '/' && *end != '?'; end++)
		;
	ret->host = (struct str){ url.p, (size_t)(end - url.p) };
	for (colon = ret->host.n; colon > 0; colon--)
		if (ret->host.p[colon - 1] < '0' || ret->host.p[colon - 1] > '9')
			break;
	colon = colon > 0 && ret->host.p[colon - 1] == ':' ? colon - 1 : ret->host.n;
	ret->port = str_skip(ret->host, colon);
	ret->host.n = colon;
	ret->query = str_skip(url, (size_t)(end - url.p));
	ret->path = str_cut(&ret->query, '?');
	if (ret->query.n == 0)
		ret->query.p = NULL;
	return true;
}

/* As Node's querystring does, which some of Twilio's senders sign: every pair decoded and
 * encoded anew.  false: it cannot be decoded. */
static bool
encode_anew(struct str query, struct buf *out)
{
	struct str name, value;
	const char *mark = "?";
	struct buf b;
	bool ok = true;

	buf_init(&b, query.n);
	while (ok && urlencoded_next(&query, &name, &value)) {
		buf_text(out, mark);
		buf_clear(&b);
		ok = percent_decode(name, true, &b);
		percent_encode(out, buf_str(&b), "-_.!~*'()");
		buf_text(out, "=");
		buf_clear(&b);
		ok = ok && percent_decode(value, true, &b);
		percent_encode(out, buf_str(&b), "-_.!~*'()");
		mark = "&";
	}
	buf_fini(&b);
	return ok;
}

/* Without a port, with one (its own, or the scheme's), and both with the query encoded
 * anew. */
static bool
twilio_url(struct str url, size_t n, struct buf *out)
{
	struct url_parts u;

	if (n > 3)
		return false;
	if (!split_url(url, &u)) {
		buf_str_add(out, url);
		return n == 0;
	}
	if (n > 1 && u.query.p == NULL)
		return false;
	buf_str_add(out, u.scheme);
	buf_str_add(out, u.host);
	if (n % 2 == 1 && u.port.n > 0)
		buf_str_add(out, u.port);
	else if (n % 2 == 1)
		buf_text(out, str_eq_nocase(u.scheme, STR("https://")) ? ":443" : ":80");
	buf_str_add(out, u.path);
	if (n > 1)
		return encode_anew(u.query, out);
	if (u.query.p != NULL) {
		buf_text(out, "?");
		buf_str_add(out, u.query);
	}
	return true;
}

/* HubSpot signs some characters undone that the request line has as escapes: this table
 * is its documentation's.  Its own library signs the URL as it is. */
static bool
hubspot_url(struct str url, size_t n, struct buf *out)
{
	static const char undone[] = ":/?@!$'()*,;";

	if (n > 1 || (n == 1 && memchr(url.p, '%', url.n) == NULL))
		return false;
	for (size_t i = 0; i < url.n; i++) {
		int high = n == 1 && url.p[i] == '%' && i + 2 < url.n ?
		    str_hex_digit(url.p[i + 1]) : -1;
		int low = high >= 0 ? str_hex_digit(url.p[i + 2]) : -1;
		char c = (char)(low >= 0 ? high << 4 | low : 0);
		bool is_undone = c != '\0' && strchr(undone, c) != NULL;

		buf_add(out, is_undone ? &c : url.p + i, 1);
		i += is_undone ? 2 : 0;
	}
	return true;
}

bool
text_url(struct attempt *a, size_t n)
{
	bool ok;

	buf_clear(&a->url);
	switch (a->form->urls) {
	case URL_TWILIO:
		ok = twilio_url(a->r->url, n, &a->url);
		break;
	case URL_HUBSPOT:
		ok = hubspot_url(a->r->url, n, &a->url);
		break;
	default:
		ok = n == 0;
		buf_str_add(&a->url, a->r->url);
	}
	return ok && buf_ok(&a->url);
}
