/* SPDX-License-Identifier: Apache-2.0 */
/* Events that share one transaction. */
#include "flow/batch.h"

#include <stdlib.h>

struct batch *
batch_new(enum batch_kind kind, size_t room)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->kind = kind;
	b->room = room;
	b->records = calloc(room, sizeof(struct record *));
	b->fates = calloc(room, sizeof(*b->fates));
	if (b->records != NULL && b->fates != NULL)
		return b;
	batch_free(b);
	return NULL;
}

void
batch_free(struct batch *b)
{
	if (b == NULL)
		return;
	for (size_t i = 0; i < b->n; i++)
		record_free(b->records[i]);
	free(b->records);
	free(b->fates);
	free(b);
}

void
batch_add(struct batch *b, struct record *take_record)
{
	b->records[b->n++] = take_record;
	b->bytes += take_record->bytes;
	b->nmentions += take_record->nmentions;
}

struct batch *
batch_halve(struct batch *b)
{
	size_t keep = b->n / 2;
	struct batch *rest = batch_new(b->kind, b->n - keep);

	if (rest == NULL)
		return NULL;
	rest->is_drain = b->is_drain;
	for (size_t i = keep; i < b->n; i++) {
		b->bytes -= b->records[i]->bytes;
		b->nmentions -= b->records[i]->nmentions;
		batch_add(rest, b->records[i]);
	}
	b->n = keep;
	return rest;
}

bool
batch_has_room(const struct batch *b, const struct batch_limits *most)
{
	return b->n < b->room && b->bytes < most->bytes && b->nmentions < most->mentions;
}
