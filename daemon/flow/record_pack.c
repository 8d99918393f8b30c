/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record <-> row of the spool.
 *
 * Id, key, source and kind are columns of the spool.  The rest, in this order, numbers
 * big-endian, a text as its length in four bytes and its bytes:
 *
 *   flags (1), until_day (4), number of parties (4) and of their mentions (4),
 *   row, payload, raw, content_type, reason, sqlstate,
 *   by party: role, profile, number of mentions (4),
 *     by mention: kind, value, alt, raw, rank (1), is_strong_kind (1)
 *
 * The spool checks a sum of it; nothing is believed here all the same.
 */
#include "flow/record_pack.h"

#include <stdlib.h>
#include <string.h>

#include "flow/record.h"
#include "io/spool.h"

enum {
	PACK_MAX_BYTES	  = 900 * 1024 * 1024,	/* SQLite takes 10^9 */
	HEAD_BYTES	  = 13,
	PARTY_MIN_BYTES	  = 12,
	MENTION_MIN_BYTES = 18,
};

enum flag {
	FLAG_TRUSTED	     = 1,
	FLAG_PROFILE_TRUSTED = 2,
	FLAG_CUSTOMER	     = 4,
	FLAG_KNOWN	     = 7,
};

/* Lengths that are none. */
static const uint32_t none_len = UINT32_MAX, as_raw_len = UINT32_MAX - 1;

/* ---- writing ---- */

static void
put_str(struct buf *b, struct str s)
{
	buf_be32(b, s.p != NULL ? (uint32_t)s.n : none_len);
	buf_str_add(b, s);
}

static void
put_byte(struct buf *b, int v)
{
	buf_add(b, &(uint8_t){ (uint8_t)v }, 1);
}

static void
put_parties(struct buf *b, const struct record *e)
{
	for (size_t i = 0; i < e->nparties; i++) {
		const struct party *p = &e->parties[i];

		put_str(b, p->role);
		put_str(b, p->profile);
		buf_be32(b, (uint32_t)p->nmentions);
		for (size_t k = 0; k < p->nmentions; k++) {
			const struct mention *m = &p->mentions[k];

			put_str(b, m->kind);
			put_str(b, m->value);
			put_str(b, m->alt);
			put_str(b, m->raw);
			put_byte(b, (int)m->rank);
			put_byte(b, m->is_strong_kind);
		}
	}
}

/* Mostly it is the raw bytes: once is enough.  Who is parked keeps those only. */
static void
put_payload(struct buf *b, const struct record *e)
{
	if (!e->is_parking && e->payload.p != NULL && e->raw.p != NULL &&
	    str_eq(e->payload, e->raw))
		buf_be32(b, as_raw_len);
	else
		put_str(b, e->is_parking ? STR_NONE : e->payload);
}

static void
put_row(struct buf *b, const struct record *e)
{
	bool is_log = !e->is_parking;

	put_byte(b, (e->is_trusted ? FLAG_TRUSTED : 0) |
	    (e->profile_is_trusted ? FLAG_PROFILE_TRUSTED : 0) |
	    (is_log && e->has_customer ? FLAG_CUSTOMER : 0));
	buf_be32(b, (uint32_t)e->until_day);
	buf_be32(b, is_log ? (uint32_t)e->nparties : 0);
	buf_be32(b, is_log ? (uint32_t)e->nmentions : 0);
	put_str(b, is_log ? (struct str){ e->row, e->row_len } : STR_NONE);
	put_payload(b, e);
	put_str(b, e->raw);
	put_str(b, e->content_type);
	put_str(b, str_of(e->reason));
	put_str(b, str_of(e->sqlstate));
	if (is_log)
		put_parties(b, e);
}

static void
put_pair(struct buf *b, struct str kind, struct str value)
{
	buf_text(b, b->n > 1 ? ",[" : "[");
	buf_json(b, kind);
	buf_text(b, ",");
	buf_json(b, value);
	buf_text(b, "]");
}

/* Who is to be forgotten may be asked for by either spelling of a number. */
static void
put_identities(struct buf *b, const struct record *e)
{
	buf_text(b, "[");
	for (size_t i = 0; i < e->nparties; i++)
		for (size_t k = 0; k < e->parties[i].nmentions; k++) {
			const struct mention *m = &e->parties[i].mentions[k];

			put_pair(b, m->kind, m->value);
			if (m->alt.p != NULL)
				put_pair(b, m->kind, m->alt);
		}
	buf_text(b, "]");
}

bool
record_pack(const struct record *e, struct buf *row, struct buf *identities,
    struct spool_item *ret_item)
{
	row->max = identities->max = PACK_MAX_BYTES;
	buf_clear(row);
	buf_clear(identities);
	put_row(row, e);
	put_identities(identities, e);
	*ret_item = (struct spool_item){ .key = e->key, .id = e->id, .is_parking = e->is_parking,
	    .format = RECORD_FORMAT, .source = e->source, .identities = buf_str(identities),
	    .row = buf_str(row) };
	return buf_ok(row) && buf_ok(identities);
}

/* ---- reading ---- */

/* What is left to read; once it was too short, everything reads as nothing. */
struct reader {
	struct str	 rest;
	bool		 is_bad;
};

static struct str
take(struct reader *r, size_t n)
{
	struct str s = { r->rest.p, n };

	if (r->is_bad || n > r->rest.n) {
		r->is_bad = true;
		return STR_NONE;
	}
	r->rest = str_skip(r->rest, n);
	return s;
}

static uint8_t
take_byte(struct reader *r)
{
	struct str s = take(r, 1);

	return s.p != NULL ? (uint8_t)s.p[0] : 0;
}

static uint32_t
take_be32(struct reader *r)
{
	struct str s = take(r, sizeof(uint32_t));
	uint32_t v = 0;

	if (s.p != NULL)
		memcpy(&v, s.p, sizeof(v));
	return __builtin_bswap32(v);
}

static struct str
take_str(struct reader *r)
{
	uint32_t len = take_be32(r);

	return len == none_len ? STR_NONE : take(r, len);
}

/* A text that ends up in an array of the record. */
static void
take_text(struct reader *r, char *out, size_t size)
{
	struct str s = take_str(r);

	r->is_bad |= s.n >= size;
	if (!r->is_bad && s.n > 0)
		memcpy(out, s.p, s.n);		/* the record was zeroed */
}

static void
take_mention(struct reader *r, struct mention *m)
{
	uint8_t rank, is_strong;

	m->kind = take_str(r);
	m->value = take_str(r);
	m->alt = take_str(r);
	m->raw = take_str(r);
	rank = take_byte(r);
	m->rank = (enum identity_rank)rank;
	is_strong = take_byte(r);
	m->is_strong_kind = is_strong == 1;
	r->is_bad |= m->kind.p == NULL || m->value.p == NULL || rank >= IDENTITY_NRANKS ||
	    is_strong > 1;
}

/* `room` mentions were counted for all parties together. */
static void
take_parties(struct reader *r, struct record *e, struct mention *mentions, size_t room)
{
	for (size_t i = 0; i < e->nparties && !r->is_bad; i++) {
		struct party *p = &e->parties[i];
		size_t n;

		p->role = take_str(r);
		p->profile = take_str(r);
		n = take_be32(r);
		r->is_bad |= n == 0 || n > room;
		if (r->is_bad)
			return;
		p->mentions = mentions;
		p->nmentions = n;
		mentions += n;
		room -= n;
		for (size_t k = 0; k < n; k++)
			take_mention(r, &p->mentions[k]);
	}
	r->is_bad |= room > 0;
}

static void
take_texts(struct reader *r, struct record *e)
{
	struct str row = take_str(r);
	uint32_t payload_len = take_be32(r);

	e->row_len = row.n;
	e->row = row.p != NULL ? (char *)(uintptr_t)row.p : NULL;	/* our own copy */
	if (payload_len != none_len && payload_len != as_raw_len)
		e->payload = take(r, payload_len);
	e->raw = take_str(r);
	if (payload_len == as_raw_len)
		e->payload = e->raw;
	e->content_type = take_str(r);
	take_text(r, e->reason, sizeof(e->reason));
	take_text(r, e->sqlstate, sizeof(e->sqlstate));
}

static void
take_head(struct reader *r, struct record *e)
{
	uint8_t flags = take_byte(r);

	r->is_bad |= (flags & ~FLAG_KNOWN) != 0;
	e->is_trusted = (flags & FLAG_TRUSTED) != 0;
	e->profile_is_trusted = (flags & FLAG_PROFILE_TRUSTED) != 0;
	e->has_customer = (flags & FLAG_CUSTOMER) != 0;
	e->until_day = (int32_t)take_be32(r);
	e->nparties = take_be32(r);
	e->nmentions = take_be32(r);
}

/* The counts tell how much memory it takes: no more is claimed than the bytes can hold. */
static bool
measure(const struct spool_item *item, size_t *ret_bytes)
{
	struct reader r = { item->row, false };
	struct record head = { .id = item->id };

	take_head(&r, &head);
	if (r.is_bad || item->source.p == NULL || head.nparties > r.rest.n / PARTY_MIN_BYTES ||
	    head.nmentions > r.rest.n / MENTION_MIN_BYTES)
		return false;
	*ret_bytes = sizeof(head) + head.nparties * sizeof(struct party) +
	    head.nmentions * sizeof(struct mention) + item->source.n + item->row.n;
	return true;
}

/* e: a zeroed block as large as measure() said.  The arrays stand behind the record, then
 * the source's name, then the row as it was read, which the texts point into. */
static bool
fill(struct record *e, const struct spool_item *item)
{
	struct reader r = { item->row, false };
	struct mention *mentions;
	char *at;

	take_head(&r, e);
	e->parties = (struct party *)(e + 1);
	mentions = (struct mention *)(e->parties + e->nparties);
	at = (char *)(mentions + e->nmentions);
	memcpy(at, item->source.p, item->source.n);
	e->source = (struct str){ at, item->source.n };
	at += item->source.n;
	memcpy(at, item->row.p, item->row.n);
	r.rest = str_skip((struct str){ at, item->row.n }, HEAD_BYTES);
	take_texts(&r, e);
	take_parties(&r, e, mentions, e->nmentions);
	return !r.is_bad && r.rest.n == 0 && (e->row == NULL) == item->is_parking &&
	    (!e->has_customer || e->nparties > 0);
}

bool
record_unpack(const struct spool_item *item, struct record **ret_record, struct err *err)
{
	struct record *e;
	size_t bytes;

	if (item->format != RECORD_FORMAT)
		return err_set(err, ERR_INPUT, "its format is %d: another version of touchlogd "
		    "wrote it", item->format);
	if (!measure(item, &bytes))
		return err_set(err, ERR_INPUT, "it is damaged");
	e = calloc(1, bytes);
	if (e == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	if (!fill(e, item)) {
		free(e);
		return err_set(err, ERR_INPUT, "it is damaged");
	}
	e->bytes = bytes;
	e->id = item->id;
	e->key = item->key;
	e->is_parking = item->is_parking;
	e->seq = item->seq;
	*ret_record = e;
	return true;
}
