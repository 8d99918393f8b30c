/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key by which a retried event is known.
 *
 * 0x1f stands between the parts because it is in no name; two of them in a row keep
 * the kinds of key apart, whatever an external_id looks like.
 */
#include "model/dedupe.h"

#include <stdio.h>

#include <openssl/evp.h>

#include "model/source.h"

/* Kept: fetching the algorithm and making a context costs more than the hash. */
static EVP_MD_CTX *
hash_start(void)
{
	static EVP_MD_CTX *ctx;
	static EVP_MD *md;

	if (ctx == NULL) {
		ctx = EVP_MD_CTX_new();
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
	}
	if (ctx == NULL || md == NULL || EVP_DigestInit_ex2(ctx, md, NULL) != 1)
		abort();	/* no memory, or an OpenSSL without SHA-256 */
	return ctx;
}

static void
hash_add(EVP_MD_CTX *ctx, struct str s)
{
	(void)EVP_DigestUpdate(ctx, s.p, s.n);
	(void)EVP_DigestUpdate(ctx, "\x1f", 1);
}

static struct uuid
hash_end(EVP_MD_CTX *ctx, struct str last)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len;
	struct uuid key;

	(void)EVP_DigestUpdate(ctx, last.p, last.n);
	(void)EVP_DigestFinal_ex(ctx, digest, &len);
	memcpy(key.b, digest, sizeof(key.b));
	return key;
}

struct uuid
dedupe_body_key(const struct source *s, struct str raw)
{
	EVP_MD_CTX *ctx = hash_start();

	hash_add(ctx, s->key_name);
	hash_add(ctx, STR(""));
	hash_add(ctx, STR("body"));
	return hash_end(ctx, raw);
}

static struct uuid
key_of_request(const struct source *s, const struct dedupe_facts *f)
{
	EVP_MD_CTX *ctx = hash_start();
	char index[16];

	(void)snprintf(index, sizeof(index), "%u", (unsigned)f->index);
	hash_add(ctx, s->key_name);
	hash_add(ctx, STR(""));
	hash_add(ctx, STR("key"));
	hash_add(ctx, f->idempotency_key);
	return hash_end(ctx, str_of(index));
}

struct uuid
dedupe_key(const struct source *s, const struct dedupe_facts *f, enum dedupe_basis *ret_basis)
{
	EVP_MD_CTX *ctx;

	*ret_basis = DEDUPE_BY_BYTES;
	if (s->dedupe == DEDUPE_BODY)
		return dedupe_body_key(s, f->raw);
	/* An empty one names nothing: else all that bear it would be one event. */
	if (s->dedupe == DEDUPE_AUTO && f->external_id.n > 0) {
		*ret_basis = DEDUPE_BY_EXTERNAL_ID;
		ctx = hash_start();
		hash_add(ctx, s->key_name);
		return hash_end(ctx, f->external_id);
	}
	if (s->dedupe == DEDUPE_AUTO && f->idempotency_key.n > 0) {
		*ret_basis = DEDUPE_BY_IDEMPOTENCY_KEY;
		return key_of_request(s, f);
	}
	if (s->dedupe == DEDUPE_AUTO && f->has_own_time)
		return dedupe_body_key(s, f->raw);
	*ret_basis = DEDUPE_BY_NOTHING;
	return f->id;
}
