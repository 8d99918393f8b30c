/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is meant?  What a person types is read as the daemon reads what is sent, by each
 * kind that fits, and all spellings are looked up at once.
 */
#include "cli/who.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "cli/db.h"
#include "cli/table.h"
#include "edge/config.h"
#include "model/identity.h"
#include "model/source.h"

enum { MAX_SPELLINGS = 64, ARRAY_MAX_BYTES = 256 * 1024 };

/* What is looked for. */
struct wanted {
	struct arena		 arena;
	const struct config	*config;
	struct str		 kind;			/* none: any */
	struct str		 spellings[MAX_SPELLINGS];
	size_t			 n;
	int64_t			 customer;		/* 0: none */
	bool			 is_own;		/* one of our own addresses */
};

static void
add(struct wanted *w, struct str value)
{
	for (size_t i = 0; i < w->n; i++)
		if (str_eq(w->spellings[i], value))
			return;
	if (value.p != NULL && w->n < MAX_SPELLINGS)
		w->spellings[w->n++] = value;
}

static void
read_as(struct wanted *w, struct str kind, struct str value, const char *region)
{
	const struct identity_rules rules = { .own = w->config->own_set, .region = region };
	struct mention m;

	switch (identity_read(&w->arena, &rules, kind, value, &m)) {
	case IDENTITY_USED:
		add(w, m.value);
		add(w, m.alt);
		if (w->kind.p != NULL)
			w->kind = m.kind;	/* in small letters */
		break;
	case IDENTITY_OWN:
		w->is_own = true;
		break;
	default:
		break;
	}
}

/* A national number is one of some country of ours. */
static void
read_phone(struct wanted *w, struct str value, const char *region)
{
	static const struct str kind = STR("phone");

	read_as(w, kind, value, region);
	for (size_t i = 0; region == NULL && i < w->config->sources.n; i++) {
		const struct source *s = w->config->sources.v[i].common;

		if (s->region.p != NULL)
			read_as(w, kind, value, s->region.p);
	}
}

/* "external:shop:4711" -> "external:shop", "4711"; false: it begins with no kind. */
static bool
split_kind(struct str text, struct str *ret_kind, struct str *ret_value)
{
	struct str rest = text, name = str_cut(&rest, ':');

	for (size_t i = 0; i < IDENTITY_NRANKS; i++) {
		if (name.n == text.n || !str_eq_nocase(name, str_of(identity_rank_names[i])))
			continue;
		if (i == IDENTITY_EXTERNAL || i == IDENTITY_SOCIAL)
			(void)str_cut(&rest, ':');
		if (rest.n == 0)
			return false;
		*ret_value = rest;
		*ret_kind = (struct str){ text.p, text.n - rest.n - 1 };
		return true;
	}
	return false;
}

static void
read_text(struct wanted *w, struct str text, const char *region)
{
	static const struct str customer = STR("customer:");
	struct str value;

	if (str_starts(text, customer)) {
		if (!str_to_i64(str_skip(text, customer.n), 1, INT64_MAX, &w->customer))
			w->customer = 0;
	} else if (split_kind(text, &w->kind, &value)) {
		if (str_eq_nocase(w->kind, STR("phone")))
			read_phone(w, value, region);
		else
			read_as(w, w->kind, value, region);
	} else {
		if (!str_to_i64(text, 1, INT64_MAX, &w->customer))
			w->customer = 0;
		add(w, text);
		if (memchr(text.p, '@', text.n) != NULL)
			read_as(w, STR("email"), text, region);
		read_phone(w, text, region);
	}
}

/* ---- the look-up ---- */

static void
put_array(const struct wanted *w, struct buf *out)
{
	buf_text(out, "{");
	for (size_t i = 0; i < w->n; i++)
		db_array_item(out, w->spellings[i], i == 0);
	buf_add(out, "}", 2);		/* with its NUL */
}

static PGresult *
look_up(struct wanted *w, PGconn *pg)
{
	static const char sql[] =
	    "SELECT c.root_id, min(c.name), string_agg(DISTINCT f.named, ', ') FROM ("
	    " SELECT i.customer_id AS id, i.kind || ':' || i.value AS named"
	    " FROM touchlog.identity i"
	    " WHERE i.value = ANY($1::text[]) AND ($2::text IS NULL OR i.kind = $2)"
	    " UNION ALL SELECT $3::bigint, 'customer:' || $3 WHERE $3 <> '0') f"
	    " JOIN touchlog.customer c ON c.id = f.id"
	    " GROUP BY c.root_id ORDER BY c.root_id LIMIT 100";
	char customer[DB_NUMBER_BYTES];
	struct buf array, kind;
	PGresult *res = NULL;

	buf_init(&array, ARRAY_MAX_BYTES);
	buf_init(&kind, ARRAY_MAX_BYTES);
	put_array(w, &array);
	buf_str_add(&kind, w->kind);
	buf_add(&kind, "", 1);
	if (buf_ok(&array) && buf_ok(&kind)) {
		const char *const values[] = { array.p, w->kind.p != NULL ? kind.p : NULL,
		    db_number_text(customer, w->customer) };

		res = db_query(pg, sql, values, 3);
	} else {
		cli_note("this is too long for an identity");
	}
	buf_fini(&array);
	buf_fini(&kind);
	return res;
}

static enum exit_code
judge(const struct wanted *w, const PGresult *res, const struct cli *cli, const char *text,
    int64_t *ret_root)
{
	static const struct table_column columns[] = {
		{ "CUSTOMER", COLUMN_NUMBER }, { "NAME", COLUMN_TEXT }, { "KNOWN AS", COLUMN_TEXT },
		{ NULL, COLUMN_TEXT },
	};

	if (PQntuples(res) == 1) {
		*ret_root = db_number(res, 0, 0);
		return CLI_OK;
	}
	if (PQntuples(res) == 0)
		return cli_fail(CLI_NOT_FOUND, "nobody is known as %s%s", text,
		    w->is_own ? ": it is one of our own" : "");
	if (!cli->wants_json)
		table_print_result(res, columns);
	return cli_fail(CLI_FAILED, "several customers fit %s; say kind:value or customer:ID", text);
}

enum exit_code
who_find(struct cli *cli, PGconn *pg, const char *text, const char *region, int64_t *ret_root)
{
	struct wanted w = { .config = cli->config };
	enum exit_code code = CLI_DATABASE;
	size_t bad_at;
	PGresult *res;

	if (!str_is_utf8(str_of(text), &bad_at))
		return cli_fail(CLI_USAGE, "an identity is UTF-8 text");
	read_text(&w, str_trim(str_of(text)), region);
	res = look_up(&w, pg);
	if (res != NULL)
		code = judge(&w, res, cli, text, ret_root);
	PQclear(res);
	arena_fini(&w.arena);
	return code;
}
