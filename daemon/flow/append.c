/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch as PostgreSQL sees it: parallel arrays, by event, party and mention.
 * schema/README.md explains the functions that take them.
 *
 * Indexes in the arrays count from 1, as PostgreSQL does.  Mentions stand in the order
 * event, party, mention everywhere.
 */
#include "flow/append.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "flow/batch.h"
#include "model/row.h"

const struct pg_statement append_statements[] = {
	{ "begin", "BEGIN" },
	{ "adopt", "SELECT touchlog.adopt_cluster()" },
	{ "append", "SELECT stands, refused FROM touchlog.append($1, $2, $3, $4, $5, $6, $7, $8, $9,"
	    " $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)" },
	{ "commit", "COMMIT" },
	{ "rollback", "ROLLBACK" },
	{ "park", "SELECT touchlog.park($1, $2, $3, $4, $5, $6, $7)" },
	{ "partitions", "SELECT touchlog.make_partitions($1)" },
	{ NULL, NULL },
};

/* APPEND_ROWS: the number of touchlog.interaction_row differs from database to database. */
static const enum pg_type array_types[APPEND_NARRAYS] = {
	[APPEND_KEYS] = PG_UUID, [APPEND_IDS] = PG_UUID, [APPEND_UNTILS] = PG_DATE,
	[APPEND_EVENTS] = PG_INT4, [APPEND_TRUSTED] = PG_BOOL, [APPEND_PARTIES] = PG_INT4,
	[APPEND_KINDS] = PG_TEXT, [APPEND_VALS] = PG_TEXT, [APPEND_ALTS] = PG_TEXT,
	[APPEND_RAWS] = PG_TEXT, [APPEND_STRONGS] = PG_BOOL, [APPEND_ATS] = PG_TIMESTAMPTZ,
	[APPEND_OWNERS] = PG_INT4, [APPEND_DOCUMENTS] = PG_JSONB,
	[APPEND_PEOPLE_EVENTS] = PG_INT4, [APPEND_PEOPLE_MENTIONS] = PG_INT4,
	[APPEND_PEOPLE_ROLES] = PG_TEXT, [APPEND_PROFILE_EVENTS] = PG_INT4,
	[APPEND_PROFILE_MENTIONS] = PG_INT4, [APPEND_PROFILE_FIELDS] = PG_JSONB,
	[APPEND_PROFILE_TRUSTED] = PG_BOOL,
};

static const enum pg_type park_types[PARK_NARRAYS] = {
	PG_UUID, PG_UUID, PG_TEXT, PG_BYTEA, PG_TEXT, PG_TEXT, PG_TEXT,
};

void
append_init(struct append *a)
{
	*a = (struct append){ 0 };
	for (size_t i = 0; i < APPEND_NARRAYS; i++)
		pg_array_init(&a->arrays[i]);
}

void
append_fini(struct append *a)
{
	for (size_t i = 0; i < APPEND_NARRAYS; i++)
		pg_array_fini(&a->arrays[i]);
}

/* ---- filling the arrays ---- */

static void
add_mention(struct pg_array *col, const struct mention *m)
{
	pg_array_i32(&col[APPEND_PARTIES], (int32_t)col[APPEND_TRUSTED].n);
	pg_array_text(&col[APPEND_KINDS], m->kind);
	pg_array_text(&col[APPEND_VALS], m->value);
	pg_array_text(&col[APPEND_ALTS], m->alt);
	pg_array_text(&col[APPEND_RAWS], m->raw);
	pg_array_bool(&col[APPEND_STRONGS], m->is_strong_kind);
}

/* Everybody but the customer takes part. */
static void
add_participant(struct pg_array *col, int32_t event, int32_t mention, struct str role)
{
	pg_array_i32(&col[APPEND_PEOPLE_EVENTS], event);
	pg_array_i32(&col[APPEND_PEOPLE_MENTIONS], mention);
	pg_array_text(&col[APPEND_PEOPLE_ROLES], role);
}

static void
add_profile(struct pg_array *col, int32_t event, int32_t mention, struct str fields,
    bool is_trusted)
{
	pg_array_i32(&col[APPEND_PROFILE_EVENTS], event);
	pg_array_i32(&col[APPEND_PROFILE_MENTIONS], mention);
	pg_array_jsonb(&col[APPEND_PROFILE_FIELDS], fields);
	pg_array_bool(&col[APPEND_PROFILE_TRUSTED], is_trusted);
}

static void
add_parties(struct pg_array *col, const struct record *e, int32_t event)
{
	for (size_t i = 0; i < e->nparties; i++) {
		const struct party *p = &e->parties[i];
		int32_t first = (int32_t)col[APPEND_VALS].n + 1;

		pg_array_i32(&col[APPEND_EVENTS], event);
		pg_array_bool(&col[APPEND_TRUSTED], e->is_trusted);
		for (size_t m = 0; m < p->nmentions; m++)
			add_mention(col, &p->mentions[m]);
		if (i > 0 || !e->has_customer)
			add_participant(col, event, first, p->role);
		if (p->profile.p != NULL)
			add_profile(col, event, first, p->profile, e->profile_is_trusted);
	}
}

static void
add_event(struct pg_array *col, const struct record *e)
{
	int32_t event = (int32_t)col[APPEND_IDS].n + 1;

	pg_array_uuid(&col[APPEND_KEYS], e->key);
	pg_array_uuid(&col[APPEND_IDS], e->id);
	if (e->until_day == UNTIL_NEVER)
		pg_array_null(&col[APPEND_UNTILS]);
	else
		pg_array_i32(&col[APPEND_UNTILS], e->until_day);
	pg_array_i64(&col[APPEND_ATS], row_time(uuid_at_us(e->id)));
	pg_array_bytes(&col[APPEND_ROWS], e->row, e->row_len);
	/* Its customer's first mention in look-up order says whose it is. */
	if (e->has_customer)
		pg_array_i32(&col[APPEND_OWNERS], (int32_t)col[APPEND_VALS].n + 1);
	else
		pg_array_null(&col[APPEND_OWNERS]);
	if (e->payload.p != NULL)
		pg_array_jsonb(&col[APPEND_DOCUMENTS], e->payload);
	else
		pg_array_null(&col[APPEND_DOCUMENTS]);
	add_parties(col, e, event);
}

static void
add_parking(struct pg_array *col, const struct record *e)
{
	pg_array_uuid(&col[0], e->id);
	pg_array_uuid(&col[1], e->key);
	pg_array_text(&col[2], e->source);
	pg_array_text(&col[3], e->raw);
	pg_array_text(&col[4], e->content_type);
	pg_array_text(&col[5], str_of(e->reason));
	pg_array_text(&col[6], e->sqlstate[0] != '\0' ? str_of(e->sqlstate) : STR_NONE);
}

bool
append_start(struct append *a, struct batch *b, uint32_t row_type)
{
	bool is_log = b->kind == BATCH_LOG, ok = true;
	size_t narrays = is_log ? APPEND_NARRAYS : PARK_NARRAYS;

	a->batch = b;
	a->refused = 0;
	for (size_t i = 0; i < narrays; i++)
		pg_array_start(&a->arrays[i], is_log ? array_types[i] : park_types[i]);
	if (is_log)
		pg_array_start(&a->arrays[APPEND_ROWS], row_type);
	for (size_t i = 0; i < b->n; i++)
		(is_log ? add_event : add_parking)(a->arrays, b->records[i]);
	for (size_t i = 0; i < narrays; i++) {
		pg_array_end(&a->arrays[i]);
		ok &= buf_ok(&a->arrays[i].bytes);
	}
	return ok;
}

/* ---- sending ---- */

bool
append_send(const struct append *a, PGconn *pg, int64_t merge_limit)
{
	const char *value[APPEND_NARRAYS + 1];
	int len[APPEND_NARRAYS + 1], format[APPEND_NARRAYS + 1], n = 0;
	char limit[24];

	(void)snprintf(limit, sizeof(limit), "%lld", (long long)merge_limit);
	for (int i = 0; i < APPEND_NARRAYS; i++) {
		value[n] = a->arrays[i].bytes.p;
		len[n] = (int)a->arrays[i].bytes.n;
		format[n++] = 1;
		if (i != APPEND_STRONGS)
			continue;
		value[n] = limit;
		len[n] = 0;
		format[n++] = 0;
	}
	return PQsendQueryPrepared(pg, "append", n, value, len, format, 1) == 1;
}

bool
append_send_park(const struct append *a, PGconn *pg)
{
	const char *value[PARK_NARRAYS];
	int len[PARK_NARRAYS], format[PARK_NARRAYS];

	for (int i = 0; i < PARK_NARRAYS; i++) {
		value[i] = a->arrays[i].bytes.p;
		len[i] = (int)a->arrays[i].bytes.n;
		format[i] = 1;
	}
	return PQsendQueryPrepared(pg, "park", PARK_NARRAYS, value, len, format, 1) == 1;
}

/* Oldest and newest in turn: the rest follows at the next try. */
bool
append_send_partitions(const struct append *a, PGconn *pg)
{
	static const int format[] = { 1 }, len[] = { sizeof(uint64_t) };
	int64_t low = INT64_MAX, high = INT64_MIN;
	uint64_t at;

	for (size_t i = 0; i < a->batch->n; i++) {
		int64_t at_us = uuid_at_us(a->batch->records[i]->id);

		low = at_us < low ? at_us : low;
		high = at_us > high ? at_us : high;
	}
	at = __builtin_bswap64((uint64_t)row_time(a->batch->failures % 2 == 0 ? low : high));
	return PQsendQueryPrepared(pg, "partitions", 1, (const char *const[]){ (const char *)&at },
	    len, format, 1) == 1;
}

/* ---- reading ---- */

/* null: it is fresh.  Its own id: an earlier try was committed, and the answer lost. */
static bool
read_fate(struct fate *f, struct uuid own, struct str stands)
{
	*f = (struct fate){ FATE_LOGGED, own };
	if (stands.p == NULL)
		return true;
	if (stands.n != sizeof(own.b))
		return false;
	memcpy(f->id.b, stands.p, sizeof(f->id.b));
	if (memcmp(f->id.b, own.b, sizeof(own.b)) != 0)
		f->kind = FATE_DUPLICATE;
	return true;
}

void
append_tell_adopted(const PGresult *res)
{
	if (strcmp(PQgetvalue(res, 0, 0), "t") == 0)
		log_warn("cluster_adopted", F_TEXT("what", "this database was restored into "
		    "another cluster: its transaction numbers go on above the old ones"));
}

bool
append_read(struct append *a, const PGresult *res, struct err *err)
{
	bool ok = PQntuples(res) == 1 && PQnfields(res) == 2;
	struct pg_array_reader r = { 0 };
	struct str id;

	if (ok)
		pg_array_read(&r, PQgetvalue(res, 0, 0), PQgetlength(res, 0, 0));
	for (size_t i = 0; ok && i < a->batch->n; i++)
		ok = pg_array_next(&r, &id) &&
		    read_fate(&a->batch->fates[i], a->batch->records[i]->id, id);
	if (!ok)
		return err_set(err, ERR_RETRY, "append() did not answer as it should");
	if (PQgetlength(res, 0, 1) == sizeof(int32_t))
		a->refused = pg_get_i32(PQgetvalue(res, 0, 1));
	return true;
}

bool
append_read_park(struct append *a, const PGresult *res, struct err *err)
{
	bool ok = PQntuples(res) == 1 && PQnfields(res) == 1;
	struct pg_array_reader r = { 0 };
	struct str id;

	if (ok)
		pg_array_read(&r, PQgetvalue(res, 0, 0), PQgetlength(res, 0, 0));
	for (size_t i = 0; ok && i < a->batch->n; i++) {
		struct fate *f = &a->batch->fates[i];

		ok = pg_array_next(&r, &id) && id.n == sizeof(f->id.b);
		f->kind = FATE_PARKED;
		if (ok)
			memcpy(f->id.b, id.p, sizeof(f->id.b));
	}
	return ok || err_set(err, ERR_RETRY, "park() did not answer as it should");
}
