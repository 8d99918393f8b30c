/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interaction -> bytes of PostgreSQL's binary COPY.
 *
 * A field is a length in bytes and that many bytes; -1 is null.  The columns stand
 * in one table, from which the statement was written too.  customer_id and txid are
 * at places that do not depend on what is between: behind three fields of fixed
 * size, and at the very end.
 */
#include "model/row.h"

#include <stdlib.h>

#include "model/source.h"

enum {
	ROW_NCOLUMNS	 = 23,
	/* The count of fields, then id, received_at, occurred_at, then our length. */
	CUSTOMER_AT	 = 2 + (4 + 16) + (4 + 8) + (4 + 8) + 4,
	DOCUMENT_NCOLUMNS = 4,
};

static const int64_t pg_epoch_us = 946684800000000;	/* 2000-01-01 */

const char row_copy_sql[] = "COPY touchlog.interaction (id, received_at, occurred_at, customer_id,"
    " source, brand, channel, direction, kind, external_id, thread, agent, subject, body, outcome,"
    " duration, wait, amount, currency, score, campaign, attributes, txid) FROM STDIN BINARY";

const char row_document_copy_sql[] = "COPY touchlog.document (id, received_at, customer_id, payload)"
    " FROM STDIN BINARY";

int64_t
row_time(int64_t at_us)
{
	return at_us - pg_epoch_us;
}

static void
put_null(struct buf *b)
{
	buf_be32(b, UINT32_MAX);
}

static void
put_bytes(struct buf *b, const void *p, size_t n)
{
	buf_be32(b, (uint32_t)n);
	buf_add(b, p, n);
}

static void
put_i64(struct buf *b, int64_t v)
{
	buf_be32(b, 8);
	buf_be64(b, (uint64_t)v);
}

static void
put_text(struct buf *b, struct str s)
{
	if (s.p == NULL)
		put_null(b);
	else
		put_bytes(b, s.p, s.n);
}

static void
put_span(struct buf *b, bool is_there, struct span s)
{
	if (!is_there) {
		put_null(b);
		return;
	}
	buf_be32(b, 16);
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
	int n = 0;

	if (!is_there) {
		put_null(b);
		return;
	}
	do {
		digit[n++] = (uint16_t)(left % 10000);
		left /= 10000;
	} while (left > 0);
	buf_be32(b, (uint32_t)(8 + 2 * n));
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
		put_null(b);
		return;
	}
	buf_be32(b, 2);
	buf_be16(b, (uint16_t)score);
}

static void
put_jsonb(struct buf *b, struct str json)
{
	buf_be32(b, (uint32_t)json.n + 1);
	buf_add(b, "\1", 1);		/* the version of jsonb's binary form */
	buf_str_add(b, json);
}

void
row_encode(const struct interaction *i, struct buf *out)
{
	buf_be16(out, ROW_NCOLUMNS);
	put_bytes(out, i->id.b, sizeof(i->id.b));
	put_i64(out, row_time(i->received_us));
	put_i64(out, row_time(i->occurred_us));
	put_i64(out, 0);			/* customer_id: row_patch() */
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
	put_text(out, i->text[COL_CURRENCY]);
	put_score(out, i->has_score, i->score);
	put_text(out, i->text[COL_CAMPAIGN]);
	put_jsonb(out, i->attributes);
	put_i64(out, 0);			/* txid: row_patch() */
}

void
row_patch(char *row, size_t len, int64_t customer_id, int64_t txid)
{
	uint64_t be = __builtin_bswap64((uint64_t)customer_id);

	memcpy(row + CUSTOMER_AT, &be, sizeof(be));
	be = __builtin_bswap64((uint64_t)txid);
	memcpy(row + len - sizeof(be), &be, sizeof(be));
}

void
row_document_head(struct uuid id, int64_t customer_id, size_t payload_bytes, struct buf *out)
{
	buf_be16(out, DOCUMENT_NCOLUMNS);
	put_bytes(out, id.b, sizeof(id.b));
	put_i64(out, row_time(uuid_at_us(id)));
	put_i64(out, customer_id);
	buf_be32(out, (uint32_t)payload_bytes + 1);
	buf_add(out, "\1", 1);
}
