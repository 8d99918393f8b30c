/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL's errors in rules.  It sees the user's text within a statement that
 * touchlog.rule_check() made, behind a marker: the error's position, less what stands before, is
 * the one in the user's text, and conf_place_at() knows where in the file that is.  What
 * rule_check() refuses by itself (42601) has the position in DETAIL.  Some have none (a function
 * that is not immutable, a wrong type): those are told at the key.
 */
#include "flow/rule_fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/str.h"
#include "flow/rule_conf.h"
#include "flow/rule_set.h"
#include "io/pg_conn.h"

static const char marker[] = "/*>*/";
/* The table that the statement makes; its name would tell the user nothing. */
static const char twin[] = "touchlog_check.";
/* What customer.x is called in there; customer_id is a column of its own. */
static const char prefix[] = "customer_";

bool
rule_fault_is_in(const PGresult *res)
{
	static const char *const elsewhere[] = { "08", "25", "40", "53", "55", "57", "58", "XX" };
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	for (size_t i = 0; state != NULL && i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
		if (strncmp(state, elsewhere[i], 2) == 0)
			return false;
	return state != NULL;
}

static size_t
characters(const char *from, const char *to)
{
	size_t n = 0;

	for (; from < to; from++)
		n += ((unsigned char)*from & 0xc0) != 0x80;
	return n;
}

/* Counted from 0; false: it has none. */
static bool
position(const PGresult *res, size_t *ret_at)
{
	const char *at = PQresultErrorField(res, PG_DIAG_INTERNAL_POSITION);
	const char *query = PQresultErrorField(res, PG_DIAG_INTERNAL_QUERY);
	const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *found = query != NULL ? strstr(query, marker) : NULL;
	int64_t n, before = 0;

	if (at != NULL && found != NULL)
		before = (int64_t)characters(query, found + strlen(marker));
	else if (state != NULL && strcmp(state, "42601") == 0)
		at = detail;
	else
		return false;
	if (at == NULL || !str_to_i64(str_of(at), 1, INT32_MAX, &n) || n <= before)
		return false;
	*ret_at = (size_t)(n - before - 1);
	return true;
}

/* In the words of who wrote the rule. */
static void
put_message(struct buf *out, const char *text)
{
	while (*text != '\0') {
		if (strncmp(text, twin, strlen(twin)) == 0) {
			text += strlen(twin);
		} else if (strncmp(text, prefix, strlen(prefix)) == 0 &&
		    strncmp(text + strlen(prefix), "id", 2) != 0) {
			buf_text(out, "customer.");
			text += strlen(prefix);
		} else {
			buf_add(out, text++, 1);
		}
	}
}

static void
read_message(const PGresult *res, char *ret, size_t size)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);
	struct buf message;

	buf_init(&message, 65536);
	put_message(&message, text != NULL ? text : pg_text(PQresultErrorMessage(res)));
	if (hint != NULL) {
		buf_text(&message, "; ");
		put_message(&message, hint);
	}
	(void)snprintf(ret, size, "%.*s", STR_ARG(str_prefix_utf8(buf_str(&message), size - 1)));
	buf_fini(&message);
}

void
rule_fault_read(const PGresult *res, const struct rule_text *text, struct rule_fault *ret)
{
	const struct conf_node *rule = text->rule->node;
	struct buf place;
	size_t at;

	ret->text = text;
	read_message(res, ret->message, sizeof(ret->message));
	buf_init(&place, sizeof(ret->place) - 1);
	if (position(res, &at))
		conf_place_at(conf_find(rule, text->key), at, &place);
	else
		conf_place(conf_find_key(rule, text->key), &place);
	(void)snprintf(ret->place, sizeof(ret->place), "%.*s", STR_ARG(buf_str(&place)));
	buf_fini(&place);
}

bool
rule_set_judge(const struct rule_set *s, PGconn *pg,
    void (*tell)(void *arg, const struct rule_fault *fault), void *arg, struct err *err)
{
	bool ok = true;

	for (size_t i = 0; ok && i < s->ntexts; i++) {
		const struct rule_text *t = &s->texts[i];
		const char *const values[] = { t->text.p, t->kind };
		PGresult *res = PQexecParams(pg, RULE_CHECK, 2, NULL, values, NULL, NULL, 0);
		struct rule_fault fault;

		if (PQresultStatus(res) != PGRES_TUPLES_OK && rule_fault_is_in(res)) {
			rule_fault_read(res, t, &fault);
			tell(arg, &fault);
		} else if (PQresultStatus(res) != PGRES_TUPLES_OK) {
			ok = err_set(err, ERR_RETRY, "%s", pg_text(PQresultErrorMessage(res)));
		}
		PQclear(res);
	}
	return ok;
}
