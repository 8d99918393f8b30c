/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch as PostgreSQL sees it: parallel arrays for accept(), rows for COPY, arrays
 * for participants, profiles and match().  schema/README.md explains the functions.
 *
 * Mentions stand in the order event, party, mention everywhere, so one counter that
 * runs along finds the customer of each.
 */
#include "flow/append.h"

#include <stdio.h>
#include <stdlib.h>

#include "flow/batch.h"
#include "model/row.h"

const struct pg_statement append_statements[] = {
	{ "begin", "BEGIN" },
	{ "accept", "SELECT stands, own, txid, refused FROM touchlog.accept($1, $2, $3, $4, $5, $6,"
	    " $7, $8, $9, $10, $11, $12)" },
	{ "people", "INSERT INTO touchlog.participant (interaction_id, received_at,"
	    " interaction_customer_id, customer_id, role) SELECT * FROM unnest($1::uuid[],"
	    " $2::timestamptz[], $3::bigint[], $4::bigint[], $5::text[]) ON CONFLICT DO NOTHING" },
	{ "profile", "SELECT touchlog.profile($1, $2, $3)" },
	{ "match", "SELECT touchlog.match($1, $2, $3)" },
	{ "commit", "COMMIT" },
	{ "rollback", "ROLLBACK" },
	{ "park", "SELECT touchlog.park($1, $2, $3, $4, $5, $6, $7)" },
	{ "partitions", "SELECT touchlog.make_partitions($1)" },
	{ NULL, NULL },
};

static const enum pg_type accept_types[ACCEPT_NARRAYS] = {
	[ACCEPT_KEYS] = PG_UUID, [ACCEPT_IDS] = PG_UUID, [ACCEPT_UNTILS] = PG_DATE,
	[ACCEPT_EVENTS] = PG_INT4, [ACCEPT_TRUSTED] = PG_BOOL, [ACCEPT_PARTIES] = PG_INT4,
	[ACCEPT_KINDS] = PG_TEXT, [ACCEPT_VALS] = PG_TEXT, [ACCEPT_ALTS] = PG_TEXT,
	[ACCEPT_RAWS] = PG_TEXT, [ACCEPT_STRONGS] = PG_BOOL,
};

static const char copy_head[19] = "PGCOPY\n\377\r\n\0";
static const char copy_tail[2] = "\377\377";

void
append_init(struct append *a)
{
	*a = (struct append){ 0 };
	for (size_t i = 0; i < ACCEPT_NARRAYS; i++)
		pg_array_init(&a->accept[i]);
	for (size_t i = 0; i < PARK_NARRAYS; i++)
		pg_array_init(&a->other[i]);
}

void
append_fini(struct append *a)
{
	for (size_t i = 0; i < ACCEPT_NARRAYS; i++)
		pg_array_fini(&a->accept[i]);
	for (size_t i = 0; i < PARK_NARRAYS; i++)
		pg_array_fini(&a->other[i]);
	free(a->is_fresh);
	free(a->own);
}

/* ---- accept() ---- */

static void
add_mention(struct pg_array *col, const struct mention *m)
{
	pg_array_i32(&col[ACCEPT_PARTIES], (int32_t)col[ACCEPT_TRUSTED].n);
	pg_array_text(&col[ACCEPT_KINDS], m->kind);
	pg_array_text(&col[ACCEPT_VALS], m->value);
	pg_array_text(&col[ACCEPT_ALTS], m->alt);
	pg_array_text(&col[ACCEPT_RAWS], m->raw);
	pg_array_bool(&col[ACCEPT_STRONGS], m->is_strong_kind);
}

static void
add_event(struct pg_array *col, const struct record *e)
{
	pg_array_uuid(&col[ACCEPT_KEYS], e->key);
	pg_array_uuid(&col[ACCEPT_IDS], e->id);
	if (e->until_day == UNTIL_NEVER)
		pg_array_null(&col[ACCEPT_UNTILS]);
	else
		pg_array_i32(&col[ACCEPT_UNTILS], e->until_day);
	for (size_t i = 0; i < e->nparties; i++) {
		pg_array_i32(&col[ACCEPT_EVENTS], (int32_t)col[ACCEPT_IDS].n);
		pg_array_bool(&col[ACCEPT_TRUSTED], e->is_trusted);
		for (size_t m = 0; m < e->parties[i].nmentions; m++)
			add_mention(col, &e->parties[i].mentions[m]);
	}
}

static bool
make_room(void **mem, size_t *room, size_t want, size_t size)
{
	void *more;

	if (want <= *room)
		return true;
	more = realloc(*mem, want * size);
	if (more == NULL)
		return false;
	*mem = more;
	*room = want;
	return true;
}

bool
append_start(struct append *a, struct batch *b)
{
	void *fresh = a->is_fresh, *own = a->own;
	bool ok;

	a->batch = b;
	a->nfresh = a->npayloads = 0;
	a->txid = a->refused = 0;
	for (size_t i = 0; i < ACCEPT_NARRAYS; i++)
		pg_array_start(&a->accept[i], accept_types[i]);
	for (size_t i = 0; i < b->n && b->kind == BATCH_LOG; i++)
		add_event(a->accept, b->records[i]);
	for (size_t i = 0; i < ACCEPT_NARRAYS; i++) {
		pg_array_end(&a->accept[i]);
		if (!buf_ok(&a->accept[i].bytes))
			return false;
	}
	ok = make_room(&fresh, &a->event_room, b->n, sizeof(*a->is_fresh)) &&
	    make_room(&own, &a->mention_room, a->accept[ACCEPT_VALS].n + 1, sizeof(*a->own));
	a->is_fresh = fresh;
	a->own = own;
	return ok;
}

/* All parameters but `last` are arrays; last may be NULL. */
static bool
send_arrays(PGconn *pg, const char *statement, const struct pg_array *arrays, int n,
    const char *last)
{
	const char *value[ACCEPT_NARRAYS + 1];
	int len[ACCEPT_NARRAYS + 1], format[ACCEPT_NARRAYS + 1];

	for (int i = 0; i < n; i++) {
		if (!buf_ok(&arrays[i].bytes))
			return false;
		value[i] = arrays[i].bytes.p;
		len[i] = (int)arrays[i].bytes.n;
		format[i] = 1;
	}
	value[n] = last;
	len[n] = 0;
	format[n] = 0;
	return PQsendQueryPrepared(pg, statement, last != NULL ? n + 1 : n, value, len, format, 1);
}

bool
append_send_accept(struct append *a, PGconn *pg, int64_t merge_limit)
{
	char limit[24];

	(void)snprintf(limit, sizeof(limit), "%lld", (long long)merge_limit);
	return send_arrays(pg, "accept", a->accept, ACCEPT_NARRAYS, limit);
}

static bool
read_stands(struct append *a, const PGresult *res)
{
	struct batch *b = a->batch;
	struct pg_array_reader r;
	struct str id;

	pg_array_read(&r, PQgetvalue(res, 0, 0), PQgetlength(res, 0, 0));
	for (size_t i = 0; i < b->n; i++) {
		struct fate *f = &b->fates[i];

		if (!pg_array_next(&r, &id) || (id.p != NULL && id.n != sizeof(f->id.b)))
			return false;
		a->is_fresh[i] = id.p == NULL;
		a->nfresh += a->is_fresh[i];
		a->npayloads += a->is_fresh[i] && b->records[i]->payload.p != NULL;
		*f = (struct fate){ FATE_LOGGED, b->records[i]->id };
		/* Our own id: an earlier try was committed and its answer lost. */
		if (id.p != NULL && memcmp(id.p, f->id.b, sizeof(f->id.b)) != 0) {
			f->kind = FATE_DUPLICATE;
			memcpy(f->id.b, id.p, sizeof(f->id.b));
		}
	}
	return true;
}

static bool
read_own(struct append *a, const PGresult *res)
{
	struct pg_array_reader r;
	struct str id;

	pg_array_read(&r, PQgetvalue(res, 0, 1), PQgetlength(res, 0, 1));
	for (uint32_t i = 0; i < a->accept[ACCEPT_VALS].n; i++) {
		/* No element: nothing was fresh, so nobody was looked up. */
		if (!pg_array_next(&r, &id))
			id = STR_NONE;
		if (id.p != NULL && id.n != sizeof(int64_t))
			return false;
		a->own[i] = id.p != NULL ? pg_get_i64(id.p) : 0;
	}
	return true;
}

bool
append_read_accept(struct append *a, const PGresult *res, struct err *err)
{
	if (PQntuples(res) != 1 || PQnfields(res) != 4 || !read_stands(a, res) ||
	    !read_own(a, res))
		return err_set(err, ERR_RETRY, "accept() did not answer as it should");
	a->txid = PQgetisnull(res, 0, 2) ? 0 : pg_get_i64(PQgetvalue(res, 0, 2));
	if (!PQgetisnull(res, 0, 3) && PQgetlength(res, 0, 3) == 4)
		a->refused = pg_get_i32(PQgetvalue(res, 0, 3));
	return true;
}

/* ---- COPY ---- */

static size_t
mentions_of(const struct record *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->nparties; i++)
		n += e->parties[i].nmentions;
	return n;
}

/* Whose an event is: its customer's first mention in look-up order. */
static int64_t
customer_of(const struct append *a, const struct record *e, size_t first_mention)
{
	return e->has_customer ? a->own[first_mention] : 0;
}

bool
append_put_interactions(struct append *a, PGconn *pg)
{
	struct batch *b = a->batch;
	size_t mention = 0;

	if (PQputCopyData(pg, copy_head, sizeof(copy_head)) != 1)
		return false;
	for (size_t i = 0; i < b->n; i++) {
		struct record *e = b->records[i];

		if (a->is_fresh[i]) {
			row_patch(e->row, e->row_len, customer_of(a, e, mention), a->txid);
			if (PQputCopyData(pg, e->row, (int)e->row_len) != 1)
				return false;
		}
		mention += mentions_of(e);
	}
	return PQputCopyData(pg, copy_tail, sizeof(copy_tail)) == 1 && PQputCopyEnd(pg, NULL) == 1;
}

static bool
put_document(PGconn *pg, const struct record *e, int64_t customer_id)
{
	static struct buf head;

	head.max = 256;
	buf_clear(&head);
	row_document_head(e->id, customer_id, e->payload.n, &head);
	return buf_ok(&head) && PQputCopyData(pg, head.p, (int)head.n) == 1 &&
	    PQputCopyData(pg, e->payload.p, (int)e->payload.n) == 1;
}

bool
append_put_documents(struct append *a, PGconn *pg)
{
	struct batch *b = a->batch;
	size_t mention = 0;

	if (PQputCopyData(pg, copy_head, sizeof(copy_head)) != 1)
		return false;
	for (size_t i = 0; i < b->n; i++) {
		const struct record *e = b->records[i];

		if (a->is_fresh[i] && e->payload.p != NULL &&
		    !put_document(pg, e, customer_of(a, e, mention)))
			return false;
		mention += mentions_of(e);
	}
	return PQputCopyData(pg, copy_tail, sizeof(copy_tail)) == 1 && PQputCopyEnd(pg, NULL) == 1;
}

/* ---- participants, profiles, match ---- */

static void
add_people(struct append *a, const struct record *e, size_t first_mention)
{
	size_t mention = first_mention;
	struct pg_array *col = a->other;

	for (size_t i = 0; i < e->nparties; i++) {
		const struct party *p = &e->parties[i];

		if (i > 0 || !e->has_customer) {
			pg_array_uuid(&col[0], e->id);
			pg_array_i64(&col[1], row_time(uuid_at_us(e->id)));
			pg_array_i64(&col[2], customer_of(a, e, first_mention));
			pg_array_i64(&col[3], a->own[mention]);
			pg_array_text(&col[4], p->role);
		}
		mention += p->nmentions;
	}
}

static void
add_profiles(struct append *a, const struct record *e, size_t mention)
{
	for (size_t i = 0; i < e->nparties; i++) {
		const struct party *p = &e->parties[i];

		if (p->profile.p != NULL) {
			pg_array_i64(&a->other[0], a->own[mention]);
			pg_array_jsonb(&a->other[1], p->profile);
			pg_array_bool(&a->other[2], e->profile_is_trusted);
		}
		mention += p->nmentions;
	}
}

static void
add_id(struct append *a, const struct record *e, size_t mention)
{
	(void)mention;
	pg_array_uuid(&a->other[0], e->id);
}

/* Fills the first n of `other` from the fresh events. */
static void
fill_other(struct append *a, const enum pg_type *types, size_t n,
    void (*add)(struct append *, const struct record *, size_t first_mention))
{
	size_t mention = 0;

	for (size_t i = 0; i < n; i++)
		pg_array_start(&a->other[i], types[i]);
	for (size_t i = 0; i < a->batch->n; i++) {
		if (a->is_fresh[i])
			add(a, a->batch->records[i], mention);
		mention += mentions_of(a->batch->records[i]);
	}
	for (size_t i = 0; i < n; i++)
		pg_array_end(&a->other[i]);
}

bool
append_send_people(struct append *a, PGconn *pg)
{
	static const enum pg_type types[PEOPLE_NARRAYS] = { PG_UUID, PG_TIMESTAMPTZ, PG_INT8,
	    PG_INT8, PG_TEXT };

	fill_other(a, types, PEOPLE_NARRAYS, add_people);
	return a->other[0].n == 0 || send_arrays(pg, "people", a->other, PEOPLE_NARRAYS, NULL);
}

bool
append_send_profiles(struct append *a, PGconn *pg)
{
	static const enum pg_type types[PROFILE_NARRAYS] = { PG_INT8, PG_JSONB, PG_BOOL };

	fill_other(a, types, PROFILE_NARRAYS, add_profiles);
	return a->other[0].n == 0 || send_arrays(pg, "profile", a->other, PROFILE_NARRAYS, NULL);
}

/* Lowest and highest received_at of the batch, in PostgreSQL's form. */
static void
time_bounds(const struct batch *b, uint64_t *ret_low, uint64_t *ret_high)
{
	int64_t low = INT64_MAX, high = INT64_MIN;

	for (size_t i = 0; i < b->n; i++) {
		int64_t at_us = uuid_at_us(b->records[i]->id);

		low = at_us < low ? at_us : low;
		high = at_us > high ? at_us : high;
	}
	*ret_low = __builtin_bswap64((uint64_t)row_time(low));
	*ret_high = __builtin_bswap64((uint64_t)row_time(high));
}

bool
append_send_match(struct append *a, PGconn *pg)
{
	static const enum pg_type types[] = { PG_UUID };
	static const int format[] = { 1, 1, 1 };
	uint64_t low, high;

	fill_other(a, types, 1, add_id);
	time_bounds(a->batch, &low, &high);
	return buf_ok(&a->other[0].bytes) && PQsendQueryPrepared(pg, "match", 3,
	    (const char *const[]){ a->other[0].bytes.p, (const char *)&low, (const char *)&high },
	    (const int[]){ (int)a->other[0].bytes.n, sizeof(low), sizeof(high) }, format, 1);
}

/* ---- the missing partition, and the parked ---- */

/* The partitions of the oldest event's month, or of this one's: the rest follows at
 * the next try. */
bool
append_send_partitions(struct append *a, PGconn *pg)
{
	static const int format[] = { 1 };
	uint64_t low, high;

	time_bounds(a->batch, &low, &high);
	return PQsendQueryPrepared(pg, "partitions", 1,
	    (const char *const[]){ (const char *)(a->batch->failures % 2 == 0 ? &low : &high) },
	    (const int[]){ sizeof(low) }, format, 1);
}

bool
append_send_park(struct append *a, PGconn *pg)
{
	static const enum pg_type types[PARK_NARRAYS] = { PG_UUID, PG_UUID, PG_TEXT, PG_BYTEA,
	    PG_TEXT, PG_TEXT, PG_TEXT };
	struct pg_array *col = a->other;

	for (size_t i = 0; i < PARK_NARRAYS; i++)
		pg_array_start(&col[i], types[i]);
	for (size_t i = 0; i < a->batch->n; i++) {
		const struct record *e = a->batch->records[i];

		pg_array_uuid(&col[0], e->id);
		pg_array_uuid(&col[1], e->key);
		pg_array_text(&col[2], e->source);
		pg_array_text(&col[3], e->raw);
		pg_array_text(&col[4], e->content_type);
		pg_array_text(&col[5], str_of(e->reason));
		pg_array_text(&col[6], e->sqlstate[0] != '\0' ? str_of(e->sqlstate) : STR_NONE);
	}
	for (size_t i = 0; i < PARK_NARRAYS; i++)
		pg_array_end(&col[i]);
	return send_arrays(pg, "park", col, PARK_NARRAYS, NULL);
}

bool
append_read_park(struct append *a, const PGresult *res, struct err *err)
{
	struct pg_array_reader r;
	struct str id;

	pg_array_read(&r, PQgetvalue(res, 0, 0), PQgetlength(res, 0, 0));
	for (size_t i = 0; i < a->batch->n; i++) {
		struct fate *f = &a->batch->fates[i];

		if (!pg_array_next(&r, &id) || id.n != sizeof(f->id.b))
			return err_set(err, ERR_RETRY, "park() did not answer as it should");
		f->kind = FATE_PARKED;
		memcpy(f->id.b, id.p, sizeof(f->id.b));
	}
	return true;
}
