/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that were used, and with which body: a ring of the latest, found by hash. */
#include "io/used_tokens.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

enum { TOKENS_MAX = 65536, SUM_BYTES = 32, KEPT_BYTES = 16 };

struct used {
	unsigned char	token[KEPT_BYTES];	/* the head of its SHA-256 */
	unsigned char	body[KEPT_BYTES];
	uint32_t	next;			/* in its bucket: 1 + index; 0: the last */
};

struct used_tokens {
	uint32_t	buckets[TOKENS_MAX];	/* 1 + index; 0: empty */
	struct used	ring[TOKENS_MAX];
	uint32_t	at;			/* the next to be overwritten */
	bool		is_full;
};

struct used_tokens *
used_tokens_new(void)
{
	return calloc(1, sizeof(struct used_tokens));
}

void
used_tokens_free(struct used_tokens *u)
{
	free(u);
}

static bool
head_of_sum(struct str s, unsigned char out[KEPT_BYTES])
{
	unsigned char sum[SUM_BYTES];

	if (EVP_Digest(s.p, s.n, sum, NULL, EVP_sha256(), NULL) != 1)
		return false;
	memcpy(out, sum, KEPT_BYTES);
	return true;
}

static uint32_t *
bucket_of(struct used_tokens *u, const unsigned char token[KEPT_BYTES])
{
	return &u->buckets[token[0] << 8 | token[1]];
}

static void
forget(struct used_tokens *u, uint32_t index)
{
	uint32_t *link = bucket_of(u, u->ring[index].token);

	while (*link != index + 1)
		link = &u->ring[*link - 1].next;
	*link = u->ring[index].next;
}

static void
add(struct used_tokens *u, const struct used *fresh)
{
	uint32_t *bucket = bucket_of(u, fresh->token);

	if (u->is_full)
		forget(u, u->at);
	u->ring[u->at] = *fresh;
	u->ring[u->at].next = *bucket;
	*bucket = u->at + 1;
	u->at = (u->at + 1) % TOKENS_MAX;
	u->is_full |= u->at == 0;
}

bool
used_tokens_take(struct used_tokens *u, struct str token, struct str body)
{
	struct used fresh;

	if (!head_of_sum(token, fresh.token) || !head_of_sum(body, fresh.body))
		return false;
	for (uint32_t i = *bucket_of(u, fresh.token); i != 0; i = u->ring[i - 1].next)
		if (memcmp(u->ring[i - 1].token, fresh.token, KEPT_BYTES) == 0)
			return memcmp(u->ring[i - 1].body, fresh.body, KEPT_BYTES) == 0;
	add(u, &fresh);
	return true;
}
