/* SPDX-License-Identifier: Apache-2.0 */
/* The last requests: a ring of fixed size, and a bound on the letters it keeps. */
#include "edge/request_ring.h"

#include <stdlib.h>

enum { NENTRIES = 10000, LETTERS_MAX_BYTES = 4 * 1024 * 1024, NEAR_LETTERS = 16 };

struct entry {
	struct uuid	 id;
	const char	*source;	/* NULL: unused */
	char		*far;		/* ours: the letters, when they are many */
	size_t		 n;
	int		 status;
	char		 near[NEAR_LETTERS];
};

struct request_ring {
	size_t		 next;		/* where the next one goes */
	size_t		 oldest;	/* first that may hold far letters */
	size_t		 far_bytes;
	struct entry	 entries[NENTRIES];
};

struct request_ring *
request_ring_new(void)
{
	return calloc(1, sizeof(struct request_ring));
}

static void
forget(struct request_ring *r, struct entry *e)
{
	if (e->far != NULL)
		r->far_bytes -= e->n;
	free(e->far);
	*e = (struct entry){ 0 };
}

void
request_ring_free(struct request_ring *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < NENTRIES; i++)
		free(r->entries[i].far);
	free(r);
}

/* Large batches push older ones out before their place in the ring is needed. */
static void
make_room(struct request_ring *r, size_t n)
{
	while (r->far_bytes + n > LETTERS_MAX_BYTES && r->oldest != r->next) {
		forget(r, &r->entries[r->oldest]);
		r->oldest = (r->oldest + 1) % NENTRIES;
	}
}

void
request_ring_add(struct request_ring *r, struct uuid id, const char *source, int status,
    const char *fates, size_t nfates)
{
	struct entry *e = &r->entries[r->next];

	forget(r, e);
	e->id = id;
	e->source = source;
	e->status = status;
	r->next = (r->next + 1) % NENTRIES;
	if (r->oldest == r->next)
		r->oldest = (r->oldest + 1) % NENTRIES;
	if (nfates > NEAR_LETTERS) {
		make_room(r, nfates);
		e->far = malloc(nfates);
		if (e->far == NULL)
			return;
		r->far_bytes += nfates;
	}
	if (nfates > 0)
		memcpy(e->far != NULL ? e->far : e->near, fates, nfates);
	e->n = nfates;
}

/* The ids of a request's events differ from its own in the low 31 bits only. */
static bool
has_event(const struct entry *e, const struct uuid *id)
{
	struct uuid wanted = *id;

	if (memcmp(e->id.b, id->b, sizeof(id->b)) == 0)
		return true;
	for (size_t i = 1; i < e->n; i++) {
		wanted = uuid_plus(e->id, (uint32_t)i);
		if (memcmp(wanted.b, id->b, sizeof(id->b)) == 0)
			return true;
	}
	return false;
}

static bool
is_wanted(const struct entry *e, const struct uuid *id)
{
	if (e->source == NULL)
		return false;
	/* The first twelve bytes are the same for all events of a request. */
	return id == NULL || (memcmp(e->id.b, id->b, 12) == 0 && has_event(e, id));
}

void
request_ring_json(const struct request_ring *r, const struct uuid *id, struct buf *out)
{
	const char *comma = "";
	char text[UUID_TEXT_SIZE];

	for (size_t i = 1; i <= NENTRIES; i++) {
		const struct entry *e = &r->entries[(r->next + NENTRIES - i) % NENTRIES];

		if (!is_wanted(e, id))
			continue;
		uuid_text(e->id, text);
		buf_printf(out, "%s{\"id\":\"%s\",\"source\":", comma, text);
		buf_json(out, str_of(e->source));
		buf_printf(out, ",\"status\":%d,\"fates\":\"%.*s\"}", e->status, (int)e->n,
		    e->far != NULL ? e->far : e->near);
		comma = ",";
	}
}
