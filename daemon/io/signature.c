/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who sent this?  Verifies a request by the secrets that its source shares with us.
 *
 * A scheme is a row of schemes[]: which settings it needs, which digest it uses and
 * the function that looks at the request.  What is compared are digests of equal
 * length, in constant time: of HMACs what was computed and what was sent, of tokens
 * the SHA-256 of ours and of theirs, so that not even a length can be measured.
 */
#include "io/signature.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/arena.h"
#include "base/buf.h"

enum { SUM_BYTES = 32 };	/* SHA-256 */

/* From here on a number of seconds would be after the year 5138: milliseconds. */
static const int64_t first_ms = 100000000000;

struct key {
	EVP_MAC_CTX	*mac;			/* ours; keyed once; hmac only */
	unsigned char	 sum[SUM_BYTES];	/* of the secret; the others */
};

struct signature {
	const struct scheme	*scheme;
	enum signature_encoding	 encoding;
	struct arena		 arena;		/* holds what the pointers below name */
	struct str		 header;
	struct str		 prefix;
	struct str		 timestamp_header;	/* .n 0: none */
	int64_t			 window_us;
	unsigned char		 user_sum[SUM_BYTES];
	struct key		*keys;
	size_t			 nkeys;
};

/* One request, as a scheme sees it. */
struct attempt {
	const struct http_message	*m;
	struct str			 body;
	struct str			 path_token;
	int64_t				 now_us;
};

struct scheme {
	const char	*digest;	/* hmac: its name for OpenSSL */
	size_t		 digest_len;	/* bytes */
	const char	*challenge;	/* the word in Authorization and WWW-Authenticate */
	unsigned	 needs, takes;	/* GIVEN_ bits of the settings */
	/* NULL: verified; else the check that failed. */
	const char	*(*verify)(const struct signature *s, const struct attempt *a);
};

enum {
	GIVEN_HEADER	= 1 << 0,
	GIVEN_PREFIX	= 1 << 1,
	GIVEN_TIMESTAMP	= 1 << 2,
	GIVEN_USER	= 1 << 3,
	GIVEN_SECRET	= 1 << 4,
	HMAC_NEEDS	= GIVEN_HEADER | GIVEN_SECRET,
	HMAC_TAKES	= HMAC_NEEDS | GIVEN_PREFIX | GIVEN_TIMESTAMP,
};

const char *const signature_encodings[] = { "hex", "base64", NULL };

const char *const signature_schemes[SIGNATURE_NSCHEMES + 1] = {
	[SIGNATURE_NONE]	= "none",
	[SIGNATURE_BEARER]	= "bearer",
	[SIGNATURE_BASIC]	= "basic",
	[SIGNATURE_TOKEN]	= "token",
	[SIGNATURE_HMAC_SHA1]	= "hmac-sha1",
	[SIGNATURE_HMAC_SHA256]	= "hmac-sha256",
	[SIGNATURE_HMAC_SHA512]	= "hmac-sha512",
};

/* ---- strict decoding ---- */

static int
hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	    c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int
base64_value(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 :
	    c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool
decode_hex(struct str text, struct buf *out)
{
	if (text.n % 2 != 0)
		return false;
	for (size_t i = 0; i < text.n; i += 2) {
		int high = hex_value(text.p[i]), low = hex_value(text.p[i + 1]);
		unsigned char byte;

		if (high < 0 || low < 0)
			return false;
		byte = (unsigned char)(high << 4 | low);
		buf_add(out, &byte, 1);
	}
	return buf_ok(out);
}

/* RFC 4648 section 4 with its padding, and the bits that are left over zero: one text
 * for one value.  OpenSSL's decoder takes more than that. */
static bool
decode_base64(struct str text, struct buf *out)
{
	size_t npads = 0;

	if (text.n % 4 != 0)
		return false;
	while (text.n > 0 && npads < 2 && text.p[text.n - 1] == '=') {
		text.n--;
		npads++;
	}
	for (size_t i = 0; i < text.n; i += 4) {
		size_t len = text.n - i < 4 ? text.n - i : 4;
		uint32_t bits = 0;
		unsigned char byte[3];

		for (size_t at = 0; at < 4; at++) {
			int value = at < len ? base64_value(text.p[i + at]) : 0;

			if (value < 0)
				return false;
			bits = bits << 6 | (uint32_t)value;
		}
		for (size_t at = 0; at < 3; at++)
			byte[at] = (unsigned char)(bits >> (16 - 8 * at));
		for (size_t at = len - 1; at < 3; at++)
			if (byte[at] != 0)
				return false;
		buf_add(out, byte, len - 1);
	}
	return buf_ok(out);
}

/* ---- comparing ---- */

static bool
sum_of(struct str s, unsigned char sum[SUM_BYTES])
{
	return EVP_Digest(s.p, s.n, sum, NULL, EVP_sha256(), NULL) == 1;
}

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

static bool
update(EVP_MAC_CTX *mac, struct str s)
{
	return EVP_MAC_update(mac, (const unsigned char *)s.p, s.n) == 1;
}

/* A NULL key starts over with the one already there, for half the price. */
static bool
mac_of(EVP_MAC_CTX *mac, struct str timestamp, struct str body, unsigned char *out)
{
	size_t n;

	if (EVP_MAC_init(mac, NULL, 0, NULL) != 1)
		return false;
	if (timestamp.p != NULL && !(update(mac, timestamp) && update(mac, STR("."))))
		return false;
	return update(mac, body) && EVP_MAC_final(mac, out, &n, EVP_MAX_MD_SIZE) == 1;
}

static bool
is_signed(const struct signature *s, struct str timestamp, struct str body,
    const unsigned char *digest)
{
	unsigned char own[EVP_MAX_MD_SIZE];

	for (size_t i = 0; i < s->nkeys; i++)
		if (mac_of(s->keys[i].mac, timestamp, body, own) &&
		    CRYPTO_memcmp(own, digest, s->scheme->digest_len) == 0)
			return true;
	return false;
}

/* ---- the schemes ---- */

static const char *
find_one(const struct attempt *a, struct str name, struct str *ret_value)
{
	size_t n = http_message_count(a->m, name, ret_value);

	return n == 0 ? "header_missing" : n > 1 ? "header_repeated" : NULL;
}

static const char *
find_timestamp(const struct signature *s, const struct attempt *a, struct str *ret_value)
{
	size_t n;

	if (s->timestamp_header.n == 0)
		return NULL;
	n = http_message_count(a->m, s->timestamp_header, ret_value);
	return n == 0 ? "timestamp_missing" : n > 1 ? "timestamp_repeated" : NULL;
}

/* A clock that is ahead is as wrong as one that is behind. */
static const char *
check_window(const struct signature *s, struct str timestamp, int64_t now_us)
{
	int64_t at, age_us;

	if (timestamp.p == NULL)
		return NULL;
	if (timestamp.n == 0 || timestamp.p[0] == '-' || timestamp.p[0] == '+' ||
	    !str_to_i64(timestamp, 0, INT64_MAX / 1000, &at))
		return "timestamp";
	age_us = now_us - at * (at < first_ms ? 1000000 : 1000);
	return age_us >= -s->window_us && age_us <= s->window_us ? NULL : "window";
}

static bool
decode_digest(const struct signature *s, struct str text, unsigned char *ret_digest)
{
	struct buf b;
	bool ok;

	buf_init(&b, EVP_MAX_MD_SIZE);
	ok = (s->encoding == SIGNATURE_HEX ? decode_hex : decode_base64)(text, &b) &&
	    b.n == s->scheme->digest_len;
	if (ok)
		memcpy(ret_digest, b.p, b.n);
	buf_fini(&b);
	return ok;
}

static const char *
verify_hmac(const struct signature *s, const struct attempt *a)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct str value, timestamp = STR_NONE;
	const char *failed;

	if ((failed = find_one(a, s->header, &value)) != NULL)
		return failed;
	if (!str_starts(value, s->prefix))
		return "prefix";
	if (!decode_digest(s, str_skip(value, s->prefix.n), digest))
		return "encoding";
	if ((failed = find_timestamp(s, a, &timestamp)) != NULL)
		return failed;
	if (!is_signed(s, timestamp, a->body, digest))
		return "signature";
	return check_window(s, timestamp, a->now_us);
}

static const char *
verify_none(const struct signature *s, const struct attempt *a)
{
	(void)s;
	(void)a;
	return NULL;
}

/* "Bearer TOKEN", "Basic BASE64": the word in any case (RFC 9110 11.1). */
static const char *
find_credentials(const struct signature *s, const struct attempt *a, struct str *ret_rest)
{
	struct str value;
	const char *failed = find_one(a, STR("authorization"), &value);

	if (failed != NULL)
		return failed;
	if (!str_eq_nocase(str_cut(&value, ' '), str_of(s->scheme->challenge)))
		return "prefix";
	*ret_rest = str_trim(value);
	return NULL;
}

static const char *
verify_bearer(const struct signature *s, const struct attempt *a)
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

	if (memchr(pair.p, ':', pair.n) == NULL)
		return "encoding";
	user = str_cut(&pair, ':');
	is_user = is_the_user(s, user);
	is_secret = is_a_secret(s, pair);
	return !is_user ? "user" : !is_secret ? "token" : NULL;
}

static const char *
verify_basic(const struct signature *s, const struct attempt *a)
{
	struct str text;
	struct buf b;
	const char *failed = find_credentials(s, a, &text);

	if (failed != NULL)
		return failed;
	buf_init(&b, text.n);
	failed = decode_base64(text, &b) ? check_user_and_secret(s, buf_str(&b)) : "encoding";
	buf_fini(&b);
	return failed;
}

static const char *
verify_token(const struct signature *s, const struct attempt *a)
{
	struct str token = a->path_token;
	const char *failed = s->header.n > 0 ? find_one(a, s->header, &token) :
	    token.p == NULL ? "token_missing" : NULL;

	if (failed != NULL)
		return failed;
	return is_a_secret(s, token) ? NULL : "token";
}

static const struct scheme schemes[SIGNATURE_NSCHEMES] = {
	[SIGNATURE_NONE] = { .verify = verify_none },
	[SIGNATURE_BEARER] = { .verify = verify_bearer, .challenge = "Bearer",
	    .needs = GIVEN_SECRET, .takes = GIVEN_SECRET },
	[SIGNATURE_BASIC] = { .verify = verify_basic, .challenge = "Basic",
	    .needs = GIVEN_USER | GIVEN_SECRET, .takes = GIVEN_USER | GIVEN_SECRET },
	[SIGNATURE_TOKEN] = { .verify = verify_token,
	    .needs = GIVEN_SECRET, .takes = GIVEN_SECRET | GIVEN_HEADER },
	[SIGNATURE_HMAC_SHA1] = { .verify = verify_hmac, .digest = "SHA1", .digest_len = 20,
	    .needs = HMAC_NEEDS, .takes = HMAC_TAKES },
	[SIGNATURE_HMAC_SHA256] = { .verify = verify_hmac, .digest = "SHA256", .digest_len = 32,
	    .needs = HMAC_NEEDS, .takes = HMAC_TAKES },
	[SIGNATURE_HMAC_SHA512] = { .verify = verify_hmac, .digest = "SHA512", .digest_len = 64,
	    .needs = HMAC_NEEDS, .takes = HMAC_TAKES },
};

/* ---- making one ---- */

static bool
check_given(const struct signature_conf *conf, const struct scheme *scheme, struct err *err)
{
	const struct { unsigned bit; const char *name; bool is_given; } settings[] = {
		{ GIVEN_HEADER, "header", conf->header.n > 0 },
		{ GIVEN_PREFIX, "prefix", conf->prefix.n > 0 },
		{ GIVEN_TIMESTAMP, "timestamp_header", conf->timestamp_header.n > 0 },
		{ GIVEN_USER, "user", conf->user.n > 0 },
		{ GIVEN_SECRET, "secret", conf->nsecrets > 0 },
	};
	const char *verify = signature_schemes[conf->scheme];

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (settings[i].is_given && (scheme->takes & settings[i].bit) == 0)
			return err_set(err, ERR_CONFIG, "verify: %s has no use for %s", verify,
			    settings[i].name);
		if (!settings[i].is_given && (scheme->needs & settings[i].bit) != 0)
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
	if (conf->timestamp_header.n > 0 &&
	    (conf->window_ms <= 0 || conf->window_ms > INT64_MAX / 1000))
		return err_set(err, ERR_CONFIG, "window: it is out of range");
	return true;
}

/* OpenSSL knows no other failure here than memory, and a policy without SHA-1. */
static bool
openssl_failed(struct err *err, const char *what)
{
	char text[120];

	ERR_error_string_n(ERR_get_error(), text, sizeof(text));
	ERR_clear_error();
	return err_set(err, ERR_RETRY, "%s: %s", what, text);
}

static EVP_MAC_CTX *
new_mac(const char *digest, struct str secret)
{
	union { const char *in; char *out; } name = { .in = digest };
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name.out, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;

	EVP_MAC_free(hmac);	/* the context keeps it */
	if (mac != NULL &&
	    EVP_MAC_init(mac, (const unsigned char *)secret.p, secret.n, params) == 1)
		return mac;
	EVP_MAC_CTX_free(mac);
	return NULL;
}

static bool
add_keys(struct signature *s, const struct signature_conf *conf, struct err *err)
{
	if (conf->nsecrets == 0)
		return true;
	s->keys = arena_alloc(&s->arena, conf->nsecrets * sizeof(*s->keys));
	if (s->keys == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	for (; s->nkeys < conf->nsecrets; s->nkeys++) {
		struct key *key = &s->keys[s->nkeys];
		struct str secret = conf->secrets[s->nkeys];

		if (s->scheme->digest == NULL ? !sum_of(secret, key->sum) :
		    (key->mac = new_mac(s->scheme->digest, secret)) == NULL)
			return openssl_failed(err, "secret");
	}
	return conf->user.n == 0 || sum_of(conf->user, s->user_sum) || openssl_failed(err, "user");
}

static bool
keep(struct signature *s, struct str text, struct str *ret_kept, struct err *err)
{
	if (text.n == 0)
		return true;
	*ret_kept = arena_str(&s->arena, text);
	return ret_kept->p != NULL || err_set(err, ERR_RETRY, "out of memory");
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
	s->encoding = conf->encoding;
	s->window_us = conf->timestamp_header.n > 0 ? conf->window_ms * 1000 : 0;
	s->prefix = STR("");
	if (keep(s, conf->header, &s->header, err) && keep(s, conf->prefix, &s->prefix, err) &&
	    keep(s, conf->timestamp_header, &s->timestamp_header, err) && add_keys(s, conf, err))
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
		EVP_MAC_CTX_free(s->keys[i].mac);
	arena_fini(&s->arena);
	free(s);
}

/* ---- using it ---- */

bool
signature_verify(struct signature *s, const struct http_message *m, struct str body,
    struct str path_token, int64_t now_us, const char **ret_check)
{
	const struct attempt a = {
		.m = m, .body = body, .path_token = path_token, .now_us = now_us,
	};
	const char *failed = s->scheme->verify(s, &a);

	if (failed != NULL)
		*ret_check = failed;
	return failed == NULL;
}

bool
signature_needs_body(const struct signature *s)
{
	return s->scheme->digest != NULL;
}

const char *
signature_challenge(const struct signature *s)
{
	return s->scheme->challenge;
}
