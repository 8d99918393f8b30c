/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gets the rows out of a damaged file.
 *
 * A row is a cell of a leaf of the table's tree: the length of the record, the seq, and the
 * record, whose end stands in a chain of overflow pages when it is long.  A record is a head
 * with the type of each column, and their values.  Each leaf can be read without the tree
 * above it; lengths and numbers are believed only as far as they stay inside.
 *
 * The index of the keys says which seqs there were, so that what is lost can be counted.
 */
#include "io/spool_carve.h"

#include <stdlib.h>
#include <string.h>

#include "io/spool_raw.h"
#include "io/spool_row.h"

enum {
	LEAF_TABLE	= 0x0d,
	LEAF_INDEX	= 0x0a,
	INNER_INDEX	= 0x02,
	FIRST_PAGE_HEAD	= 100,		/* of the whole file, before page 1's own */
	HEAD_BYTES	= 8,		/* of a page; 4 more when it is no leaf */
	CHAINED_BYTES	= SPOOL_PAGE_BYTES - 4,
	LOCAL_MAX	= SPOOL_PAGE_BYTES - 35,
	LOCAL_MIN	= (SPOOL_PAGE_BYTES - 12) * 32 / 255 - 23,
	RECORD_MAX	= 512 * 1024 * 1024,
	CHAIN_STEPS	= 64,		/* for each page: a sound one is in one chain */
};

/* Columns as they stand in the record. */
enum column { SEQ, KEY, ID, KIND, FORMAT, SOURCE, IDENTITIES, ROW, PUT_AT, CRC, NCOLUMNS };

struct value {
	uint64_t		 type;
	const unsigned char	*p;
	size_t			 n;
};

/* Numbers above zero: open addressing, at most half full. */
struct seq_set {
	int64_t		*slots;		/* ours; 0: free */
	size_t		 n, room;	/* room: a power of two, or 0 */
};

struct carver {
	const struct spool_raw		*raw;
	const struct spool_carving	*to;
	struct seq_set			 found;
	struct seq_set			 known;		/* that there were */
	bool				 wants_known;	/* of the pages that are being read */
	bool				 no_memory;
	uint64_t			 steps;		/* of chains that may still be followed */
	unsigned char			*record;	/* ours */
	size_t				 room;
};

/* A piece of a page or record that is read from its front. */
struct piece {
	const unsigned char	*p, *end;
};

/* ---- numbers ---- */

/* Big-endian in groups of 7 bits; the ninth byte has 8. */
static bool
take_varint(struct piece *in, uint64_t *ret)
{
	uint64_t v = 0;

	for (int i = 0; i < 9 && in->p < in->end; i++) {
		unsigned char c = *in->p++;

		if (i == 8) {
			*ret = v << 8 | c;
			return true;
		}
		v = v << 7 | (c & 0x7f);
		if (c < 0x80) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static bool
value_number(const struct value *v, int64_t *ret)
{
	uint64_t n;

	if (v->type == 8 || v->type == 9) {
		*ret = (int64_t)v->type - 8;
		return true;
	}
	if (v->type < 1 || v->type > 6)
		return false;
	n = (v->p[0] & 0x80) != 0 ? UINT64_MAX : 0;
	for (size_t i = 0; i < v->n; i++)
		n = n << 8 | v->p[i];
	*ret = (int64_t)n;
	return true;
}

/* ---- sets of seqs ---- */

static size_t
slot_of(const struct seq_set *set, int64_t seq)
{
	size_t i = (size_t)((uint64_t)seq * 0x9e3779b97f4a7c15) & (set->room - 1);

	while (set->slots[i] != 0 && set->slots[i] != seq)
		i = (i + 1) & (set->room - 1);
	return i;
}

static bool
set_has(const struct seq_set *set, int64_t seq)
{
	return set->room > 0 && set->slots[slot_of(set, seq)] == seq;
}

static bool
set_grow(struct seq_set *set)
{
	struct seq_set more = { .room = set->room > 0 ? 2 * set->room : 1024, .n = set->n };

	more.slots = calloc(more.room, sizeof(*more.slots));
	if (more.slots == NULL)
		return false;
	for (size_t i = 0; i < set->room; i++)
		if (set->slots[i] != 0)
			more.slots[slot_of(&more, set->slots[i])] = set->slots[i];
	free(set->slots);
	*set = more;
	return true;
}

static bool
set_add(struct seq_set *set, int64_t seq)
{
	if (set_has(set, seq))
		return true;
	if (2 * set->n >= set->room && !set_grow(set))
		return false;
	set->slots[slot_of(set, seq)] = seq;
	set->n++;
	return true;
}

static void
remember_known(struct carver *c, int64_t seq)
{
	if (c->wants_known && seq > 0 && !set_add(&c->known, seq))
		c->no_memory = true;
}

static int64_t
count_lost(const struct carver *c)
{
	int64_t n = 0;

	for (size_t i = 0; i < c->known.room; i++)
		n += c->known.slots[i] != 0 && !set_has(&c->found, c->known.slots[i]);
	return n;
}

/* ---- records ---- */

/* false: no column has it. */
static bool
bytes_of_type(uint64_t type, size_t *ret)
{
	static const unsigned char sizes[] = { 0, 1, 2, 3, 4, 6, 8, 8, 0, 0 };

	if (type < sizeof(sizes))
		*ret = sizes[type];
	else if (type >= 12)
		*ret = (size_t)((type - 12) / 2);
	else
		return false;
	return true;
}

/* Exactly n columns that fill the record. */
static bool
read_record(const unsigned char *record, size_t bytes, struct value *v, size_t n)
{
	struct piece head = { record, record + bytes };
	const unsigned char *p;
	uint64_t head_bytes;

	if (!take_varint(&head, &head_bytes) || head_bytes > bytes)
		return false;
	p = record + head_bytes;
	head.end = p;
	for (size_t i = 0; i < n; i++) {
		if (!take_varint(&head, &v[i].type) || !bytes_of_type(v[i].type, &v[i].n) ||
		    v[i].n > (size_t)(record + bytes - p))
			return false;
		v[i].p = p;
		p += v[i].n;
	}
	return head.p == head.end && p == record + bytes;
}

static bool
value_uuid(const struct value *v, struct uuid *ret)
{
	if (v->n != sizeof(ret->b) || v->type % 2 != 0)
		return false;
	memcpy(ret->b, v->p, sizeof(ret->b));
	return true;
}

static struct str
value_text(const struct value *v)
{
	return (struct str){ (const char *)v->p, v->n };
}

static bool
read_row(const unsigned char *record, size_t bytes, int64_t seq, struct spool_row *ret)
{
	struct value v[NCOLUMNS];
	int64_t format, put_at_us, crc;

	if (!read_record(record, bytes, v, NCOLUMNS) || !value_number(&v[FORMAT], &format) ||
	    !value_number(&v[PUT_AT], &put_at_us) || !value_number(&v[CRC], &crc))
		return false;
	*ret = (struct spool_row){ .item = { .seq = seq, .format = (int)format,
	    .source = value_text(&v[SOURCE]), .identities = value_text(&v[IDENTITIES]),
	    .row = value_text(&v[ROW]) }, .put_at_us = put_at_us };
	return value_uuid(&v[KEY], &ret->item.key) && value_uuid(&v[ID], &ret->item.id) &&
	    spool_row_read_kind(value_text(&v[KIND]), ret) && crc == spool_row_crc(ret);
}

/* ---- cells of the table ---- */

static bool
make_room(struct carver *c, size_t n)
{
	unsigned char *more;

	if (n <= c->room)
		return true;
	more = realloc(c->record, n);
	if (more == NULL)
		return false;
	c->record = more;
	c->room = n;
	return true;
}

/* How much of a record stands in the leaf itself. */
static size_t
local_bytes(size_t n)
{
	size_t some = LOCAL_MIN + (n - LOCAL_MIN) % CHAINED_BYTES;

	if (n <= LOCAL_MAX)
		return n;
	return some <= LOCAL_MAX ? some : LOCAL_MIN;
}

/* The rest of a record, into its place.  A chain that breaks leaves zeros, which the checksum
 * will find. */
static void
follow_chain(struct carver *c, uint32_t next, enum spool_layer layer, size_t from,
    size_t bytes)
{
	unsigned char page[SPOOL_PAGE_BYTES];

	while (from < bytes && next != 0 && next <= spool_raw_pages(c->raw) && c->steps > 0) {
		size_t n = bytes - from < CHAINED_BYTES ? bytes - from : CHAINED_BYTES;

		c->steps--;
		spool_raw_page(c->raw, next, layer, page);
		memcpy(c->record + from, page + 4, n);
		from += n;
		next = spool_raw_be32(page);
	}
	memset(c->record + from, 0, bytes - from);
}

struct cell {
	int64_t			 seq;
	size_t			 bytes;		/* of the record */
	const unsigned char	*p;		/* what stands here of it */
	size_t			 local;
	uint32_t		 next;		/* page of the rest */
};

static bool
read_cell(const unsigned char *page, size_t at, struct cell *ret)
{
	struct piece in = { page + at, page + SPOOL_PAGE_BYTES };
	uint64_t bytes, seq;

	if (!take_varint(&in, &bytes) || !take_varint(&in, &seq) || bytes > RECORD_MAX)
		return false;
	*ret = (struct cell){ .seq = (int64_t)seq, .bytes = (size_t)bytes, .p = in.p,
	    .local = local_bytes((size_t)bytes) };
	if (ret->local + (ret->local < ret->bytes ? 4 : 0) > (size_t)(in.end - in.p))
		return false;
	if (ret->local < ret->bytes)
		ret->next = spool_raw_be32(in.p + ret->local);
	return true;
}

/* The overflow pages are looked for as they stand in either layer. */
static bool
assemble(struct carver *c, const struct cell *cell, struct spool_row *ret)
{
	if (cell->local == cell->bytes)
		return read_row(cell->p, cell->bytes, cell->seq, ret);
	if (cell->bytes / CHAINED_BYTES > spool_raw_pages(c->raw))
		return false;
	if (!make_room(c, cell->bytes)) {
		c->no_memory = true;
		return false;
	}
	memcpy(c->record, cell->p, cell->local);
	for (int layer = SPOOL_COMMITTED; layer <= SPOOL_LOOSE; layer++) {
		follow_chain(c, cell->next, layer, cell->local, cell->bytes);
		if (read_row(c->record, cell->bytes, cell->seq, ret))
			return true;
	}
	return false;
}

/* Of our table, going by the head of its record: ten columns, of which the first two have
 * one type each.  Cells of SQLite's own tables are not. */
static bool
looks_ours(const struct cell *cell)
{
	return cell->local > NCOLUMNS && cell->p[0] > NCOLUMNS && cell->p[0] < 0x80 &&
	    cell->p[1] == 0 && cell->p[2] == 12 + 2 * UUID_BYTES;
}

static bool
hand_out(struct carver *c, const struct spool_row *row, struct err *err)
{
	bool is_again = set_has(&c->found, row->item.seq);

	if (!set_add(&c->found, row->item.seq))
		c->no_memory = true;
	return c->to->row(c->to->arg, row, is_again, err);
}

static bool
carve_cell(struct carver *c, const unsigned char *page, size_t at, struct err *err)
{
	struct spool_row row;
	struct cell cell;

	if (!read_cell(page, at, &cell) || cell.seq <= 0)
		return true;
	if (assemble(c, &cell, &row))
		return hand_out(c, &row, err);
	if (looks_ours(&cell))
		remember_known(c, cell.seq);
	return true;
}

/* ---- cells of the index ---- */

static void
carve_key(struct carver *c, const unsigned char *page, size_t at)
{
	struct piece in = { page + at, page + SPOOL_PAGE_BYTES };
	struct value v[2];
	uint64_t bytes;
	int64_t seq;

	if (take_varint(&in, &bytes) && bytes <= (size_t)(in.end - in.p) &&
	    read_record(in.p, (size_t)bytes, v, 2) && v[0].type == 12 + 2 * UUID_BYTES &&
	    value_number(&v[1], &seq))
		remember_known(c, seq);
}

/* ---- pages ---- */

static bool
carve_page(struct carver *c, const unsigned char *page, size_t from, struct err *err)
{
	unsigned char type = page[from];
	bool is_index = type == LEAF_INDEX || type == INNER_INDEX;
	size_t head = from + HEAD_BYTES + (type == INNER_INDEX ? 4 : 0);
	size_t n = (size_t)page[from + 3] << 8 | page[from + 4];

	if ((type != LEAF_TABLE && !is_index) || n > (SPOOL_PAGE_BYTES - head) / 2)
		return true;
	for (size_t i = 0; i < n; i++) {
		const unsigned char *p = page + head + 2 * i;
		size_t at = (size_t)p[0] << 8 | p[1];

		if (at < head || at >= SPOOL_PAGE_BYTES - 4)
			continue;
		if (is_index)
			carve_key(c, page, at + (type == INNER_INDEX ? 4 : 0));
		if (!is_index && !carve_cell(c, page, at, err))
			return false;
	}
	return true;
}

static bool
carve_layer(struct carver *c, enum spool_layer layer, struct err *err)
{
	unsigned char page[SPOOL_PAGE_BYTES];

	for (uint32_t i = 1; i <= spool_raw_pages(c->raw); i++) {
		if (spool_raw_is_free(c->raw, i))
			continue;
		spool_raw_page(c->raw, i, layer, page);
		if (!carve_page(c, page, i == 1 ? FIRST_PAGE_HEAD : 0, err))
			return false;
	}
	return true;
}

static bool
carve_tail(struct carver *c, struct err *err)
{
	unsigned char page[SPOOL_PAGE_BYTES];

	for (size_t i = 0; spool_raw_loose(c->raw, i, page); i++)
		if (!carve_page(c, page, 0, err))
			return false;
	return true;
}

/* What is committed comes first: it keeps its seqs, should some of a transaction that was
 * cut off have the same. */
static bool
carve_all(struct carver *c, struct err *err)
{
	enum spool_layer latest = spool_raw_latest(c->raw);

	c->wants_known = latest == SPOOL_COMMITTED;
	if (!carve_layer(c, SPOOL_COMMITTED, err))
		return false;
	if (!spool_raw_has_tail(c->raw))
		return true;
	c->wants_known = latest == SPOOL_LOOSE;
	if (!carve_layer(c, SPOOL_LOOSE, err))
		return false;
	c->wants_known = false;
	return carve_tail(c, err);
}

static bool
carve(const struct spool_raw *r, const struct spool_carving *to,
    bool (*what)(struct carver *c, struct err *err), int64_t *ret_lost, struct err *err)
{
	struct carver c = { .raw = r, .to = to,
	    .steps = (uint64_t)CHAIN_STEPS * (spool_raw_pages(r) + 1) };
	bool ok = what(&c, err);

	if (ok && c.no_memory)
		ok = err_set(err, ERR_RETRY, "out of memory");
	*ret_lost = count_lost(&c);
	free(c.found.slots);
	free(c.known.slots);
	free(c.record);
	return ok;
}

bool
spool_carve(const struct spool_raw *r, const struct spool_carving *to, int64_t *ret_lost,
    struct err *err)
{
	return carve(r, to, carve_all, ret_lost, err);
}

bool
spool_carve_tail(const struct spool_raw *r, const struct spool_carving *to, struct err *err)
{
	int64_t lost;

	return carve(r, to, carve_tail, &lost, err);
}
