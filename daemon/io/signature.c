/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who sent this?  Verifies a request by the secrets that its source shares with us.
 *
 * A scheme is a row of schemes[] (signature_schemes.c): which settings and keys it needs,
 * and its forms: where signatures stand and what text they are of.  The way of a
 * request is in signature_verify.c; its text in signature_text.c; keys and their
 * comparing in signature_key.c; signature_sign.c is the other side, by the same rows.
 */
#include "io/signature.h"

#include <stdlib.h>
#include <string.h>

#include "io/signature_internal.h"

/* ---- the settings ---- */

static bool
check_given(const struct signature_conf *conf, const struct scheme *scheme, struct err *err)
{
	const struct { unsigned bit; const char *name; bool is_given; } settings[] = {
		{ GIVEN_HEADER, "header", conf->header.n > 0 },
		{ GIVEN_PREFIX, "prefix", conf->prefix.n > 0 },
		{ GIVEN_TIMESTAMP, "timestamp_header", conf->timestamp_header.n > 0 },
		{ GIVEN_USER, "user", conf->user.n > 0 },
		{ GIVEN_SECRET, "secret", conf->nsecrets > 0 },
		{ GIVEN_WINDOW, "window", conf->window_ms != 0 },
		{ GIVEN_TOPIC, "topic", conf->ntopics > 0 },
		{ GIVEN_HOSTS, "certificate_hosts", conf->nhosts > 0 },
		{ GIVEN_CA, "ca_file", conf->ca_file.n > 0 },
	};
	const char *verify = signature_schemes[conf->scheme];

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (settings[i].is_given && (scheme->takes & settings[i].bit) == 0)
			return err_set(err, ERR_CONFIG, "verify: %s has no use for %s", verify,
			    settings[i].name);
		if (!settings[i].is_given && (scheme->needs & settings[i].bit) != 0 &&
		    !(conf->signs && settings[i].bit == GIVEN_TOPIC))
			return err_set(err, ERR_CONFIG, "verify: %s needs %s", verify,
			    settings[i].name);
	}
	return true;
}

static bool
check_values(const struct signature_conf *conf, struct err *err)
{
	/* Whoever sends nothing would know it. */
	for (size_t i = 0; i < conf->nsecrets; i++)
		if (conf->secrets[i].n == 0)
			return err_set(err, ERR_CONFIG, "secret: it is empty");
	if (conf->user.n > 0 && memchr(conf->user.p, ':', conf->user.n) != NULL)
		return err_set(err, ERR_CONFIG, "user: it cannot hold a colon");
	if (conf->window_ms < 0 || conf->window_ms > INT64_MAX / 1000)
		return err_set(err, ERR_CONFIG, "window: it is out of range");
	return true;
}

static bool
keep(struct signature *s, struct str text, struct str *ret_kept, struct err *err)
{
	if (text.n == 0)
		return true;
	*ret_kept = arena_str(&s->arena, text);
	return ret_kept->p != NULL || err_set(err, ERR_RETRY, "out of memory");
}

/* hmac-*: where the signature stands and what is signed is the user's to say. */
static bool
make_form(struct signature *s, const struct signature_conf *conf, struct err *err)
{
	struct form *f = &s->own_form;
	struct str prefix = STR("");

	if (!keep(s, conf->header, &f->header, err) || !keep(s, conf->prefix, &prefix, err) ||
	    !keep(s, conf->timestamp_header, &f->timestamp_header, err))
		return false;
	f->label[0].text = prefix.p;
	f->label[0].kind = KEY_HMAC;
	f->encoding = conf->encoding;
	f->text = f->timestamp_header.n > 0 ? "%t.%b" : "%b";
	s->forms = f;
	s->nforms = 1;
	return true;
}

static bool
add_forms(struct signature *s, const struct signature_conf *conf, struct err *err)
{
	s->forms = s->scheme->forms;
	s->nforms = s->scheme->nforms;
	if (s->scheme->verify != verify_signed)
		return keep(s, conf->header, &s->header, err);
	if (s->forms == NULL && !make_form(s, conf, err))
		return false;
	for (size_t i = 0; i < s->nforms; i++)
		s->needs_url |= form_wants(&s->forms[i], 'u');
	return true;
}

static bool
add_keys(struct signature *s, const struct signature_conf *conf, struct err *err)
{
	if (conf->nsecrets == 0 || conf->is_keyless)
		return true;
	s->keys = arena_alloc(&s->arena, conf->nsecrets * sizeof(*s->keys));
	if (s->keys == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	while (s->nkeys < conf->nsecrets) {
		size_t n = s->nkeys++;	/* first, so that half a key is freed too */

		if (!key_init(&s->keys[n], s->scheme, conf->secrets[n], conf->signs, err))
			return false;
	}
	if (conf->user.n > 0 && !sum_of(conf->user, s->user_sum))
		return err_set(err, ERR_RETRY, "out of memory");
	return !conf->signs || (keep(s, conf->user, &s->user, err) &&
	    keep(s, conf->secrets[0], &s->secret, err));
}

static bool
add_sns(struct signature *s, const struct signature_conf *conf, struct err *err)
{
	const struct sns_conf sns = { conf->topics, conf->ntopics, conf->hosts, conf->nhosts,
	    s->window_us };

	if (conf->scheme != SIGNATURE_AMAZON_SNS)
		return true;
	s->sns = sns_new(&sns, err);
	return s->sns != NULL;
}

struct signature *
signature_new(const struct signature_conf *conf, struct err *err)
{
	const struct scheme *scheme = &schemes[conf->scheme];
	struct signature *s;

	if (!check_given(conf, scheme, err) || !check_values(conf, err))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	s->scheme = scheme;
	s->window_us = (conf->window_ms > 0 ? conf->window_ms : scheme->window_ms) * 1000;
	if (add_forms(s, conf, err) && add_keys(s, conf, err) && add_sns(s, conf, err))
		return s;
	signature_free(s);
	return NULL;
}

void
signature_free(struct signature *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->nkeys; i++)
		key_fini(&s->keys[i]);
	used_tokens_free(s->used);
	sns_free(s->sns);
	arena_fini(&s->arena);
	free(s);
}

/* ---- using it ---- */

bool
signature_verify(struct signature *s, const struct signature_request *r, const char **ret_check)
{
	struct attempt a;
	const char *failed;

	/* Not the whole of it: the offers are large, and are set when there are any. */
	a.scheme = s->scheme;
	a.r = r;
	a.form = NULL;
	a.timestamp = a.id = a.token = STR_NONE;
	a.noffers = 0;
	buf_init(&a.params, r->body.n + 1);
	buf_init(&a.fields, r->body.n + r->url.n + 1);
	buf_init(&a.url, 4 * r->url.n + 16);
	failed = s->scheme->verify(s, &a);
	buf_fini(&a.params);
	buf_fini(&a.fields);
	buf_fini(&a.url);
	if (failed != NULL)
		*ret_check = failed;
	return failed == NULL;
}

bool
signature_needs_url(const struct signature *s)
{
	return s->needs_url;
}

bool
signature_reads(const struct signature *s, struct str header)
{
	if (s->scheme->challenge != NULL && str_eq_nocase(header, STR("Authorization")))
		return true;
	if (s->header.n > 0 && str_eq_nocase(header, s->header))
		return true;
	for (size_t i = 0; i < s->nforms; i++) {
		const struct form *f = &s->forms[i];
		const struct str names[] = { f->header, f->only_header, f->timestamp_header,
		    f->id_header };

		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
			if (names[k].n > 0 && str_eq_nocase(header, names[k]))
				return true;
	}
	return false;
}

struct sns *
signature_sns(struct signature *s)
{
	return s->sns;
}

const char *
signature_challenge(const struct signature *s)
{
	return s->scheme->challenge;
}
