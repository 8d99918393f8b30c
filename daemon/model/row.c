/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interaction -> bytes of a composite value (backend/utils/adt/rowtypes.c, record_recv):
 * the number of fields, then for each its type, its length in bytes (-1: null) and its
 * bytes.  The fields are those of touchlog.interaction_row (schema/006-append.sql), all
 * of built-in types, whose numbers are the same in every database.
 */
#include "model/row.h"

#include "model/source.h"

enum { ROW_NFIELDS = 21 };

/* pg_type.dat */
enum row_type {
	TYPE_INT2 = 21, TYPE_TEXT = 25, TYPE_BPCHAR = 1042, TYPE_TIMESTAMPTZ = 1184,
	TYPE_INTERVAL = 1186, TYPE_NUMERIC = 1700, TYPE_UUID = 2950, TYPE_JSONB = 3802,
};

static const int64_t pg_epoch_us = 946684800000000;	/* 2000-01-01 */

int64_t
row_time(int64_t at_us)
{
	return at_us - pg_epoch_us;
}

static void
put_head(struct buf *b, enum row_type type, size_t len)
{
	buf_be32(b, type);
	buf_be32(b, (uint32_t)len);
}

static void
put_null(struct buf *b, enum row_type type)
{
	buf_be32(b, type);
	buf_be32(b, UINT32_MAX);
}

static void
put_time(struct buf *b, int64_t at_us)
{
	put_head(b, TYPE_TIMESTAMPTZ, 8);
	buf_be64(b, (uint64_t)row_time(at_us));
}

static void
put_chars(struct buf *b, enum row_type type, struct str s)
{
	if (s.p == NULL) {
		put_null(b, type);
		return;
	}
	put_head(b, type, s.n);
	buf_str_add(b, s);
}

static void
put_text(struct buf *b, struct str s)
{
	put_chars(b, TYPE_TEXT, s);
}

static void
put_span(struct buf *b, bool is_there, struct span s)
{
	if (!is_there) {
		put_null(b, TYPE_INTERVAL);
		return;
	}
	put_head(b, TYPE_INTERVAL, 16);
	buf_be64(b, (uint64_t)s.us);
	buf_be32(b, (uint32_t)s.days);
	buf_be32(b, (uint32_t)s.months);
}

/* numeric: digits of base 10000 from the first that is not zero, the last of them
 * the four decimals. */
static void
put_amount(struct buf *b, bool is_there, int64_t e4)
{
	uint64_t left = e4 < 0 ? 0 - (uint64_t)e4 : (uint64_t)e4;
	uint16_t digit[6];
	size_t n = 0;

	if (!is_there) {
		put_null(b, TYPE_NUMERIC);
		return;
	}
	do {
		digit[n++] = (uint16_t)(left % 10000);
		left /= 10000;
	} while (left > 0);
	put_head(b, TYPE_NUMERIC, 8 + 2 * n);
	buf_be16(b, (uint16_t)n);
	buf_be16(b, (uint16_t)(n - 2));		/* weight of the first digit */
	buf_be16(b, e4 < 0 ? 0x4000 : 0);
	buf_be16(b, 4);				/* decimals shown */
	while (n > 0)
		buf_be16(b, digit[--n]);
}

static void
put_score(struct buf *b, bool is_there, int16_t score)
{
	if (!is_there) {
		put_null(b, TYPE_INT2);
		return;
	}
	put_head(b, TYPE_INT2, 2);
	buf_be16(b, (uint16_t)score);
}

void
row_encode(const struct interaction *i, struct buf *out)
{
	buf_be32(out, ROW_NFIELDS);
	put_head(out, TYPE_UUID, sizeof(i->id.b));
	buf_add(out, i->id.b, sizeof(i->id.b));
	put_time(out, i->received_us);
	put_time(out, i->occurred_us);
	put_text(out, i->source->name);
	put_text(out, i->text[COL_BRAND]);
	put_text(out, i->text[COL_CHANNEL]);
	put_text(out, i->text[COL_DIRECTION]);
	put_text(out, i->text[COL_KIND]);
	put_text(out, i->text[COL_EXTERNAL_ID]);
	put_text(out, i->text[COL_THREAD]);
	put_text(out, i->text[COL_AGENT]);
	put_text(out, i->text[COL_SUBJECT]);
	put_text(out, i->text[COL_BODY]);
	put_text(out, i->text[COL_OUTCOME]);
	put_span(out, i->has_duration, i->duration);
	put_span(out, i->has_wait, i->wait);
	put_amount(out, i->has_amount, i->amount_e4);
	put_chars(out, TYPE_BPCHAR, i->text[COL_CURRENCY]);
	put_score(out, i->has_score, i->score);
	put_text(out, i->text[COL_CAMPAIGN]);
	put_head(out, TYPE_JSONB, i->attributes.n + 1);
	buf_add(out, "\1", 1);			/* the version of jsonb's binary form */
	buf_str_add(out, i->attributes);
}
