/* SPDX-License-Identifier: Apache-2.0 */
/* One interaction or parking as one block of memory that owns all its bytes. */
#include "flow/record.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "model/row.h"
#include "model/source.h"

enum { ROW_MAX_BYTES = 64 * 1024 * 1024 };

/* Where the next piece of the block goes. */
struct cutter {
	char	*next;
	size_t	 left;
};

static void *
cut(struct cutter *c, size_t n)
{
	char *at = c->next;

	if (n > c->left)
		abort();	/* the sizes were added up wrongly */
	c->next += n;
	c->left -= n;
	return at;
}

static struct str
cut_str(struct cutter *c, struct str s)
{
	char *at;

	if (s.p == NULL)
		return s;
	at = cut(c, s.n);
	memcpy(at, s.p, s.n);
	return (struct str){ at, s.n };
}

static void
cut_parties(struct cutter *c, struct record *e, const struct interaction *i)
{
	e->nparties = i->nparties;
	e->parties = cut(c, i->nparties * sizeof(*e->parties));
	memcpy(e->parties, i->parties, i->nparties * sizeof(*e->parties));
	for (size_t n = 0; n < e->nparties; n++) {
		struct party *p = &e->parties[n];
		size_t size = p->nmentions * sizeof(*p->mentions);
		struct mention *m = cut(c, size);

		memcpy(m, p->mentions, size);
		p->mentions = m;
		e->nmentions += p->nmentions;
	}
	for (size_t n = 0; n < e->nparties; n++) {
		struct party *p = &e->parties[n];

		p->role = cut_str(c, p->role);
		p->profile = cut_str(c, p->profile);
		for (size_t k = 0; k < p->nmentions; k++) {
			struct mention *m = &p->mentions[k];

			m->kind = cut_str(c, m->kind);
			m->value = cut_str(c, m->value);
			m->alt = cut_str(c, m->alt);
			m->raw = cut_str(c, m->raw);
		}
	}
}

static size_t
size_of(const struct interaction *i, size_t row_len)
{
	size_t n = sizeof(struct record) + row_len + i->payload.n + i->raw.n +
	    i->content_type.n + i->source->name.n;

	for (size_t k = 0; k < i->nparties; k++) {
		const struct party *p = &i->parties[k];

		n += sizeof(*p) + p->role.n + p->profile.n + p->nmentions * sizeof(*p->mentions);
		for (size_t m = 0; m < p->nmentions; m++)
			n += p->mentions[m].kind.n + p->mentions[m].value.n +
			    p->mentions[m].alt.n + p->mentions[m].raw.n;
	}
	return n;
}

static void
fill(struct record *e, struct cutter *c, const struct interaction *i, struct str row)
{
	e->id = i->id;
	e->key = i->key;
	e->until_day = i->until_day;
	e->is_trusted = i->source->is_strong;
	e->profile_is_trusted = i->source->profile == PROFILE_TRUSTED;
	e->has_customer = i->has_customer;
	cut_parties(c, e, i);
	e->source = cut_str(c, i->source->name);
	e->row = cut(c, row.n);
	memcpy(e->row, row.p, row.n);
	e->row_len = row.n;
	e->raw = cut_str(c, i->raw);
	/* Mostly the payload is the raw bytes: once is enough. */
	e->payload = i->payload.p == i->raw.p && i->payload.n == i->raw.n ? e->raw :
	    cut_str(c, i->payload);
	e->content_type = cut_str(c, i->content_type);
}

struct record *
record_new(const struct interaction *i)
{
	static struct buf row;		/* kept: most rows fit without asking for memory */
	struct cutter c;
	struct record *e;

	row.max = ROW_MAX_BYTES;
	buf_clear(&row);
	row_encode(i, &row);
	c.left = size_of(i, row.n);
	e = buf_ok(&row) ? malloc(c.left) : NULL;
	if (e == NULL)
		return NULL;
	*e = (struct record){ .bytes = c.left };
	c.next = (char *)(e + 1);
	c.left -= sizeof(*e);
	fill(e, &c, i, buf_str(&row));
	return e;
}

void
record_set_reason(struct record *e, struct str reason)
{
	size_t at;

	(void)snprintf(e->reason, sizeof(e->reason), "%.*s", STR_ARG(reason));
	while (!str_is_utf8(str_of(e->reason), &at))
		e->reason[at] = '?';
}

struct record *
record_new_parking(const struct parking *p)
{
	size_t bytes = sizeof(struct record) + p->source.n + p->raw.n + p->content_type.n;
	struct record *e = malloc(bytes);
	struct cutter c = { (char *)(e + 1), bytes - sizeof(*e) };

	if (e == NULL)
		return NULL;
	*e = (struct record){ .bytes = bytes, .id = p->id, .key = p->key, .is_parking = true };
	e->source = cut_str(&c, p->source);
	e->raw = cut_str(&c, p->raw);
	e->content_type = cut_str(&c, p->content_type);
	record_set_reason(e, p->reason);
	return e;
}

void
record_free(struct record *e)
{
	if (e != NULL && e->receipt != NULL)
		receipt_forget(e->receipt);
	free(e);
}
