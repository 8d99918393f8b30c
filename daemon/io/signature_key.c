/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys made of the secrets, and what they do: digests compared in constant time, and
 * signatures on curves.  A key is made once; a request costs no more than its text.
 */
#include "io/signature_internal.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/encoding.h"

enum { KEY_BYTES_MAX = 4096, ED25519_BYTES = 32 };

/* ---- making one ---- */

/* OpenSSL knows no other failure here than memory, and a policy without SHA-1. */
static bool
openssl_failed(struct err *err)
{
	char text[120];

	ERR_error_string_n(ERR_get_error(), text, sizeof(text));
	ERR_clear_error();
	return err_set(err, ERR_RETRY, "secret: %s", text);
}

bool
sum_of(struct str s, unsigned char sum[SUM_BYTES])
{
	return EVP_Digest(s.p, s.n, sum, NULL, EVP_sha256(), NULL) == 1;
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

static EVP_MD_CTX *
new_digest(struct str secret)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, secret.p, secret.n) == 1)
		return ctx;
	EVP_MD_CTX_free(ctx);
	return NULL;
}

static bool
init_text_key(struct key *k, const struct scheme *scheme, struct str secret, struct err *err)
{
	if ((scheme->kinds & 1 << KEY_SUM) != 0 && !sum_of(secret, k->sum))
		return openssl_failed(err);
	if ((scheme->kinds & 1 << KEY_HMAC) != 0 &&
	    (k->mac = new_mac(scheme->digest, secret)) == NULL)
		return openssl_failed(err);
	if ((scheme->kinds & 1 << KEY_DIGEST) != 0 && (k->digest = new_digest(secret)) == NULL)
		return openssl_failed(err);
	return true;
}

/* A private key is the seed, with or without its public half behind it. */
static bool
init_ed25519(struct key *k, bool is_private, struct str bytes, struct err *err)
{
	const unsigned char *p = (const unsigned char *)bytes.p;

	if (bytes.n != ED25519_BYTES && !(is_private && bytes.n == 2 * ED25519_BYTES))
		return err_set(err, ERR_CONFIG, "secret: an Ed25519 key of %d bytes is wanted",
		    ED25519_BYTES);
	k->curve = is_private ?
	    EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, p, ED25519_BYTES) :
	    EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, p, ED25519_BYTES);
	k->curve_kind = KEY_ED25519;
	return k->curve != NULL || openssl_failed(err);
}

static bool
init_standard_key(struct key *k, const struct scheme *scheme, struct str secret, struct err *err)
{
	static const struct str shared = STR("whsec_"), public = STR("whpk_"),
	    private = STR("whsk_");
	bool is_private = str_starts(secret, private);
	bool is_curve = is_private || str_starts(secret, public);
	unsigned char bytes[KEY_BYTES_MAX];
	struct str key = { (const char *)bytes, 0 };
	bool ok;

	if (is_curve || str_starts(secret, shared))
		secret = str_skip(secret, is_curve ? public.n : shared.n);
	if (!decode_base64(secret, bytes, sizeof(bytes), &key.n) || key.n == 0)
		return err_set(err, ERR_CONFIG,
		    "secret: whsec_, whpk_ or whsk_ and base64 behind it are wanted");
	ok = is_curve ? init_ed25519(k, is_private, key, err) :
	    init_text_key(k, scheme, key, err);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return ok;
}

/* And its point in full, so that one key has one text. */
static bool
is_p256(const EVP_PKEY *key)
{
	char name[40], format[40];
	size_t n;

	return EVP_PKEY_is_a(key, "EC") == 1 &&
	    EVP_PKEY_get_group_name(key, name, sizeof(name), &n) == 1 &&
	    strcmp(name, "prime256v1") == 0 &&
	    EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
	    format, sizeof(format), &n) == 1 && strcmp(format, "uncompressed") == 0;
}

/* OpenSSL reads more than it writes: what it would write is the one text of the key. */
static bool
is_canonical(EVP_PKEY *key, const unsigned char *bytes, size_t n)
{
	unsigned char *own = NULL;
	int own_n = i2d_PUBKEY(key, &own);
	bool ok = own_n > 0 && (size_t)own_n == n && memcmp(own, bytes, n) == 0;

	OPENSSL_free(own);
	return ok;
}

static bool
init_der_key(struct key *k, bool is_private, struct str secret, struct err *err)
{
	unsigned char bytes[KEY_BYTES_MAX];
	const unsigned char *at = bytes;
	size_t n = 0;
	bool ok;

	if (decode_base64(str_trim(secret), bytes, sizeof(bytes), &n))
		k->curve = is_private ? d2i_AutoPrivateKey(NULL, &at, (long)n) :
		    d2i_PUBKEY(NULL, &at, (long)n);
	k->curve_kind = KEY_ECDSA;
	ok = k->curve != NULL && is_p256(k->curve) &&
	    (is_private ? at == bytes + n : is_canonical(k->curve, bytes, n));
	OPENSSL_cleanse(bytes, sizeof(bytes));
	ERR_clear_error();
	if (!ok)
		return err_set(err, ERR_CONFIG, "secret: a %s key for the curve P-256 is wanted, in "
		    "base64 of DER, without PEM's lines", is_private ? "private" : "public");
	return true;
}

bool
key_init(struct key *k, const struct scheme *scheme, struct str secret, bool is_private,
    struct err *err)
{
	*k = (struct key){ 0 };
	switch (scheme->secret) {
	case SECRET_STANDARD:
		return init_standard_key(k, scheme, secret, err);
	case SECRET_DER:
		return init_der_key(k, is_private, secret, err);
	case SECRET_TEXT:
		break;
	}
	return init_text_key(k, scheme, secret, err);
}

void
key_fini(struct key *k)
{
	EVP_MAC_CTX_free(k->mac);
	EVP_MD_CTX_free(k->digest);
	EVP_PKEY_free(k->curve);
}

/* ---- digests ---- */

/* A NULL key starts over with the one already there, for half the price. */
static bool
mac_of(EVP_MAC_CTX *mac, const struct text *t, unsigned char *out, size_t *ret_n)
{
	if (EVP_MAC_init(mac, NULL, 0, NULL) != 1)
		return false;
	for (size_t i = 0; i < t->n; i++)
		if (EVP_MAC_update(mac, (const unsigned char *)t->part[i].p, t->part[i].n) != 1)
			return false;
	return EVP_MAC_final(mac, out, ret_n, EVP_MAX_MD_SIZE) == 1;
}

static bool
digest_of(const EVP_MD_CTX *begun, const struct text *t, unsigned char *out, size_t *ret_n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned n = 0;
	bool ok = ctx != NULL && EVP_MD_CTX_copy_ex(ctx, begun) == 1;

	for (size_t i = 0; ok && i < t->n; i++)
		ok = EVP_DigestUpdate(ctx, t->part[i].p, t->part[i].n) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, out, &n) == 1;
	EVP_MD_CTX_free(ctx);
	*ret_n = n;
	return ok;
}

/* ---- curves ---- */

/* Ed25519 wants its text in one piece. */
static bool
join(const struct text *t, struct buf *out)
{
	for (size_t i = 0; i < t->n; i++)
		buf_str_add(out, t->part[i]);
	return buf_ok(out);
}

static bool
curve_verifies(const struct key *k, struct str text, const struct offer *o)
{
	const EVP_MD *digest = k->curve_kind == KEY_ECDSA ? EVP_sha256() : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, digest, NULL, k->curve) == 1 &&
	    EVP_DigestVerify(ctx, o->bytes, o->n, (const unsigned char *)text.p, text.n) == 1;

	EVP_MD_CTX_free(ctx);
	ERR_clear_error();	/* a signature that is none leaves its story there */
	return ok;
}

static bool
any_on_curve(const struct key *k, const struct text *t, const struct offer *offers, size_t n)
{
	bool found = false;
	struct buf b;

	buf_init(&b, SIZE_MAX);
	if (join(t, &b))
		for (size_t i = 0; i < n && !found; i++)
			found = offers[i].kind == k->curve_kind &&
			    curve_verifies(k, buf_str(&b), &offers[i]);
	buf_fini(&b);
	return found;
}

static bool
sign_on_curve(const struct key *k, const struct text *t, unsigned char *out, size_t *ret_n)
{
	const EVP_MD *digest = k->curve_kind == KEY_ECDSA ? EVP_sha256() : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct buf b;
	bool ok;

	buf_init(&b, SIZE_MAX);
	*ret_n = SIGNATURE_BYTES;
	ok = ctx != NULL && join(t, &b) &&
	    EVP_DigestSignInit(ctx, NULL, digest, NULL, k->curve) == 1 &&
	    EVP_DigestSign(ctx, out, ret_n, (const unsigned char *)buf_str(&b).p, b.n) == 1;
	buf_fini(&b);
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

/* ---- either ---- */

bool
key_signs(const struct key *k, enum key_kind kind, const struct text *t,
    unsigned char out[SIGNATURE_BYTES], size_t *ret_n)
{
	if (kind == KEY_HMAC && k->mac != NULL)
		return mac_of(k->mac, t, out, ret_n);
	if (kind == KEY_DIGEST && k->digest != NULL)
		return digest_of(k->digest, t, out, ret_n);
	return k->curve != NULL && k->curve_kind == kind && sign_on_curve(k, t, out, ret_n);
}

bool
key_verifies(const struct key *k, enum key_kind kind, const struct text *t,
    const struct offer *offers, size_t n)
{
	unsigned char own[SIGNATURE_BYTES];
	size_t own_n;
	int found = 0;

	if (kind == KEY_ED25519 || kind == KEY_ECDSA)
		return k->curve != NULL && k->curve_kind == kind &&
		    any_on_curve(k, t, offers, n);
	if (!key_signs(k, kind, t, own, &own_n))
		return false;
	for (size_t i = 0; i < n; i++)
		found |= offers[i].kind == kind && offers[i].n == own_n &&
		    CRYPTO_memcmp(own, offers[i].bytes, own_n) == 0;
	return found != 0;
}
