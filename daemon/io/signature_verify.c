/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying: what a request offers as its proof, and whether it is one.
 *
 * Tokens are compared by their SHA-256, so that not even a length can be measured;
 * signatures by what our keys make of the same text, in constant time.  The order of a
 * signed request: what it offers, the text, the signature, and only then the clock.
 */
#include "io/signature_internal.h"

#include <string.h>

#include <openssl/crypto.h>

#include "base/encoding.h"

enum { ED25519_SIGNATURE_BYTES = 64 };

/* From here on a number of seconds would be after the year 5138: milliseconds. */
static const int64_t first_ms = 100000000000;

/* ---- secrets as they are ---- */

static bool
is_a_secret(const struct signature *s, struct str token)
{
	unsigned char sum[SUM_BYTES];
	int found = 0;

	if (!sum_of(token, sum))
		return false;
	for (size_t i = 0; i < s->nkeys; i++)
		found |= CRYPTO_memcmp(s->keys[i].sum, sum, SUM_BYTES) == 0;
	return found != 0;
}

static bool
is_the_user(const struct signature *s, struct str user)
{
	unsigned char sum[SUM_BYTES];

	return sum_of(user, sum) && CRYPTO_memcmp(s->user_sum, sum, SUM_BYTES) == 0;
}

static const char *
find_one(const struct attempt *a, struct str name, struct str *ret_value)
{
	size_t n = http_message_count(a->r->m, name, ret_value);

	return n == 0 ? "header_missing" : n > 1 ? "header_repeated" : NULL;
}

const char *
verify_none(struct signature *s, struct attempt *a)
{
	(void)s;
	(void)a;
	return NULL;
}

/* "Bearer TOKEN", "Basic BASE64": the word in any case (RFC 9110 11.1). */
static const char *
find_credentials(const struct signature *s, const struct attempt *a, struct str *ret_rest)
{
	struct str value, challenge = str_of(s->scheme->challenge);
	const char *failed = find_one(a, STR("authorization"), &value);

	if (failed != NULL)
		return failed;
	if (!str_eq_nocase(str_cut(&value, ' '), str_cut(&challenge, ' ')))
		return "prefix";
	*ret_rest = str_trim(value);
	return NULL;
}

const char *
verify_bearer(struct signature *s, struct attempt *a)
{
	struct str token;
	const char *failed = find_credentials(s, a, &token);

	if (failed != NULL)
		return failed;
	return is_a_secret(s, token) ? NULL : "token";
}

static const char *
check_user_and_secret(const struct signature *s, struct str pair)
{
	struct str user;
	bool is_user, is_secret;

	if (pair.n == 0 || memchr(pair.p, ':', pair.n) == NULL)
		return "encoding";
	user = str_cut(&pair, ':');
	is_user = is_the_user(s, user);
	is_secret = is_a_secret(s, pair);
	return !is_user ? "user" : !is_secret ? "token" : NULL;
}

const char *
verify_basic(struct signature *s, struct attempt *a)
{
	struct str text;
	struct buf b;
	const char *failed = find_credentials(s, a, &text);
	union { char *text; unsigned char *bytes; } room;

	if (failed != NULL)
		return failed;
	buf_init(&b, text.n + 1);
	room.text = buf_space(&b, text.n + 1);
	failed = room.text != NULL && decode_base64(text, room.bytes, text.n, &b.n) ?
	    check_user_and_secret(s, buf_str(&b)) : "encoding";
	buf_fini(&b);
	return failed;
}

const char *
verify_token(struct signature *s, struct attempt *a)
{
	struct str token = a->r->path_token;
	const char *failed = s->header.n > 0 ? find_one(a, s->header, &token) :
	    token.p == NULL ? "token_missing" : NULL;

	if (failed != NULL)
		return failed;
	return is_a_secret(s, token) ? NULL : "token";
}

/* ---- what a signed request offers ---- */

static bool
has_form(const struct attempt *a, const struct form *f)
{
	struct str value;

	if (f->listing == LIST_BODY)
		return true;
	if (http_message_count(a->r->m, f->header, &value) == 0)
		return false;
	return f->only_header.n == 0 ||
	    str_eq_nocase(http_message_header(a->r->m, f->only_header), f->only_value);
}

static const char *
choose_form(const struct signature *s, struct attempt *a)
{
	for (size_t i = 0; i < s->nforms; i++)
		if (has_form(a, &s->forms[i])) {
			a->form = &s->forms[i];
			return NULL;
		}
	return "header_missing";
}

/* One in DER has no length of its own. */
static bool
is_length(const struct attempt *a, enum key_kind kind, size_t n)
{
	switch (kind) {
	case KEY_HMAC:
		return n == a->scheme->digest_len;
	case KEY_DIGEST:
		return n == SUM_BYTES;
	case KEY_ED25519:
		return n == ED25519_SIGNATURE_BYTES;
	default:
		return n > 0;
	}
}

static const char *
add_offer(struct attempt *a, enum key_kind kind, struct str text)
{
	struct offer *o = &a->offers[a->noffers];

	if (a->noffers == SIGNATURES_MAX)
		return "too_many_signatures";
	o->kind = kind;
	if (!(a->form->encoding == SIGNATURE_HEX ? decode_hex : decode_base64)(text, o->bytes,
	    sizeof(o->bytes), &o->n) || !is_length(a, kind, o->n))
		return "encoding";
	a->noffers++;
	return NULL;
}

/* One of several: whose label we do not know is of no interest, and one that is badly
 * written does not spoil the others. */
static const char *
add_labelled(struct attempt *a, struct str label, struct str text, const char **ret_bad)
{
	for (size_t i = 0; i < 2; i++) {
		const char *failed;

		if (a->form->label[i].text == NULL ||
		    !str_eq(label, str_of(a->form->label[i].text)))
			continue;
		failed = add_offer(a, a->form->label[i].kind, text);
		if (failed != NULL && strcmp(failed, "encoding") != 0)
			return failed;
		if (failed != NULL)
			*ret_bad = failed;
	}
	return NULL;
}

static const char *
read_words(struct attempt *a, struct str value)
{
	const char *failed = NULL, *bad = "prefix";

	while (failed == NULL && value.n > 0) {
		struct str word = str_cut(&value, ' ');
		struct str label = str_cut(&word, ',');

		failed = add_labelled(a, label, word, &bad);
	}
	return failed != NULL ? failed : a->noffers == 0 ? bad : NULL;
}

static const char *
read_pairs(struct attempt *a, struct str value)
{
	const char *failed = NULL, *bad = "prefix";

	while (failed == NULL && value.n > 0) {
		struct str pair = str_trim(str_cut(&value, ','));
		struct str label = str_cut(&pair, '=');

		if (!str_eq(label, STR("t")))
			failed = add_labelled(a, label, pair, &bad);
		else if (a->timestamp.p != NULL)
			failed = "timestamp_repeated";
		else
			a->timestamp = pair;
	}
	if (failed != NULL)
		return failed;
	return a->noffers == 0 ? bad : a->timestamp.p == NULL ? "timestamp_missing" : NULL;
}

static const char *
read_whole(struct attempt *a, struct str value)
{
	struct str prefix = str_of(a->form->label[0].text);

	if (!str_starts(value, prefix))
		return "prefix";
	return add_offer(a, a->form->label[0].kind, str_skip(value, prefix.n));
}

static const char *
read_body(struct attempt *a)
{
	struct str signature;
	const char *failed = body_fields(a, &signature);

	return failed != NULL ? failed : add_offer(a, a->form->label[0].kind, signature);
}

static const char *
read_offers(struct attempt *a)
{
	struct str value;
	const char *failed;

	if (a->form->listing == LIST_BODY)
		return read_body(a);
	if ((failed = find_one(a, a->form->header, &value)) != NULL)
		return failed;
	switch (a->form->listing) {
	case LIST_PAIRS:
		return read_pairs(a, value);
	case LIST_WORDS:
		return read_words(a, value);
	default:
		return read_whole(a, value);
	}
}

/* ---- the rest of it ---- */

static const char *
read_headers(struct attempt *a)
{
	const struct form *f = a->form;
	size_t n;

	if (f->timestamp_header.n > 0) {
		n = http_message_count(a->r->m, f->timestamp_header, &a->timestamp);
		if (n != 1)
			return n == 0 ? "timestamp_missing" : "timestamp_repeated";
	}
	if (f->id_header.n == 0)
		return NULL;
	n = http_message_count(a->r->m, f->id_header, &a->id);
	return n == 0 ? "id_missing" : n > 1 ? "id_repeated" : NULL;
}

/* A clock that is ahead is as wrong as one that is behind. */
static const char *
check_window(const struct signature *s, const struct attempt *a)
{
	int64_t at, age_us;

	if (a->timestamp.p == NULL)
		return NULL;
	if (a->timestamp.n == 0 || a->timestamp.p[0] == '-' || a->timestamp.p[0] == '+' ||
	    !str_to_i64(a->timestamp, 0, INT64_MAX / 1000, &at))
		return "timestamp";
	age_us = a->r->now_us - at * (at < first_ms ? 1000000 : 1000);
	return age_us >= -s->window_us && age_us <= s->window_us ? NULL : "window";
}

static bool
text_verifies(const struct signature *s, const struct attempt *a, struct str url)
{
	struct text t;

	if (!text_build(a, url, &t))
		return false;
	for (size_t k = 0; k < s->nkeys; k++)
		for (size_t i = 0; i < 2; i++)
			if (a->form->label[i].text != NULL && key_verifies(&s->keys[k],
			    a->form->label[i].kind, &t, a->offers, a->noffers))
				return true;
	return false;
}

static bool
is_signed(const struct signature *s, struct attempt *a)
{
	if (!form_wants(a->form, 'u'))
		return text_verifies(s, a, STR_NONE);
	for (size_t n = 0; n < 4; n++)
		if (text_url(a, n) && text_verifies(s, a, buf_str(&a->url)))
			return true;
	return false;
}

static const char *
take_token(struct signature *s, const struct attempt *a)
{
	if (s->used == NULL)
		s->used = used_tokens_new();
	if (s->used == NULL)
		return "memory";
	return used_tokens_take(s->used, a->token, a->r->body) ? NULL : "token_used";
}

const char *
verify_sns(struct signature *s, struct attempt *a)
{
	struct sns_message m;
	const char *failed = sns_read(a->r->body, &m);

	if (failed == NULL)
		failed = sns_verify(s->sns, &m, a->r->now_us);
	sns_message_fini(&m);
	return failed;
}

const char *
verify_signed(struct signature *s, struct attempt *a)
{
	const char *failed;

	if ((failed = choose_form(s, a)) != NULL || (failed = read_offers(a)) != NULL ||
	    (failed = read_headers(a)) != NULL)
		return failed;
	if (form_wants(a->form, 'u') && a->r->url.n == 0)
		return "url_unknown";
	if (form_wants(a->form, 'p') && (failed = text_params(a)) != NULL)
		return failed;
	if (!is_signed(s, a))
		return "signature";
	if ((failed = check_window(s, a)) != NULL)
		return failed;
	return a->form->is_once ? take_token(s, a) : NULL;
}
