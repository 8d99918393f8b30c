/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the configuration, loaded beside the active ones. */
#include "cli/rule_set_db.h"

#include <stdio.h>
#include <string.h>

#include "cli/terminal.h"
#include "edge/config.h"
#include "flow/rule_conf.h"
#include "flow/rule_fault.h"
#include "flow/rule_set.h"
#include "io/pg_conn.h"

enum { LINE_MAX_BYTES = 8192 };

bool
rule_run(PGconn *pg, const char *sql)
{
	PGresult *res = db_query(pg, sql, NULL, 0);
	bool ok = res != NULL;

	PQclear(res);
	return ok;
}

enum exit_code
rule_fail(const PGresult *res)
{
	(void)db_fail(res);
	if (db_is_state(res, "P0002"))
		return CLI_NOT_FOUND;
	return db_is_state(res, "P0001") || db_is_state(res, "22023") ? CLI_FAILED : CLI_DATABASE;
}

/* ---- of the file ---- */

static const char *
name_at(void *arg, size_t i)
{
	const struct config *const *c = arg;

	return i < (*c)->rules.n ? (*c)->rules.v[i].name.p : NULL;
}

static const struct conf_named *
find(const struct conf_named_list *list, struct str name)
{
	for (size_t i = 0; i < list->n; i++)
		if (str_eq(list->v[i].name, name))
			return &list->v[i];
	return NULL;
}

/* The entry of that name as a list of its own; empty without one. */
static struct conf_named_list
only_one(const struct conf_named_list *list, struct str name)
{
	struct conf_named_list one = { .v = NULL };

	for (size_t i = 0; i < list->n; i++)
		if (str_eq(list->v[i].name, name))
			one = (struct conf_named_list){ &list->v[i], 1 };
	return one;
}

static enum exit_code
unknown(const struct config *c, const char *name)
{
	const char *nearest = conf_nearest(str_of(name), name_at, &c);

	if (nearest != NULL)
		return cli_fail(CLI_NOT_FOUND, "the configuration has no rule %s; did you mean %s?", name,
		    nearest);
	return cli_fail(CLI_NOT_FOUND, "the configuration has no rule %s", name);
}

enum exit_code
rule_set_of(struct cli *cli, const char *only, struct rule_set **ret)
{
	const struct config *c = cli_config(cli);
	struct conf_named_list rules, calendars;
	const struct conf_named *found;
	const struct rule_conf *rule;
	struct err err;

	if (c == NULL)
		return CLI_CONFIG;
	rules = c->rules;
	calendars = c->calendars;
	if (only != NULL) {
		found = find(&c->rules, str_of(only));
		if (found == NULL)
			return unknown(c, only);
		rule = found->common;
		rules = only_one(&c->rules, found->name);
		calendars = only_one(&c->calendars, rule->calendar);
	}
	*ret = rule_set_new(&rules, &calendars, &err);
	return *ret != NULL ? CLI_OK : cli_fail(CLI_FAILED, "%s", err.text);
}

/* ---- into the database ---- */

/* As touchlogd -t prints them, so that an editor finds the place. */
static void
print_fault(void *arg, const struct rule_fault *fault)
{
	size_t *nfaults = arg;
	char text[LINE_MAX_BYTES];
	struct buf line;

	(*nfaults)++;
	(void)snprintf(text, sizeof(text), "%s: rules.%.*s.%s: %s", fault->place,
	    STR_ARG(fault->text->rule->name), fault->text->key, fault->message);
	buf_init(&line, 4 * LINE_MAX_BYTES);
	terminal_put(&line, str_of(text), TERMINAL_ONE_LINE);
	(void)fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&line)));
	buf_fini(&line);
}

/* What no expression is to blame for is told as it came. */
static enum exit_code
tell_refusal(PGconn *pg, const struct rule_set *s, const PGresult *res)
{
	size_t nfaults = 0;
	struct err err;

	if (!rule_fault_is_in(res))
		return db_fail(res);
	if (!rule_run(pg, "ROLLBACK"))
		return CLI_DATABASE;
	if (!rule_set_judge(s, pg, print_fault, &nfaults, &err))
		return cli_fail(CLI_DATABASE, "database: %s", err.text);
	if (nfaults == 0)
		(void)db_fail(res);
	return CLI_CONFIG;
}

enum exit_code
rule_set_load(PGconn *pg, const struct rule_set *s, char ret_version[DB_NUMBER_BYTES])
{
	const char *const values[] = { s->sha, s->rules.p, s->calendars.p };
	PGresult *res = db_try(pg, "SELECT " RULE_SET_LOAD, values, 3);
	enum exit_code code = CLI_OK;

	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		(void)db_number_text(ret_version, db_number(res, 0, 0));
	else
		code = tell_refusal(pg, s, res);
	PQclear(res);
	return code;
}

/* ---- the active set ---- */

static const char *
row_at(void *arg, size_t i)
{
	const PGresult *const *res = arg;

	return i < (size_t)PQntuples(*res) ? PQgetvalue(*res, (int)i, 0) : NULL;
}

enum exit_code
rule_is_active(PGconn *pg, const char *name)
{
	PGresult *res = db_query(pg, "SELECT r.name FROM touchlog.rule r JOIN touchlog.rule_set s"
	    " ON s.version = r.rule_set WHERE s.active ORDER BY 1", NULL, 0);
	const PGresult *names = res;
	enum exit_code code = CLI_NOT_FOUND;
	const char *nearest;

	if (res == NULL)
		return CLI_DATABASE;
	for (int row = 0; row < PQntuples(res); row++)
		if (strcmp(PQgetvalue(res, row, 0), name) == 0)
			code = CLI_OK;
	nearest = conf_nearest(str_of(name), row_at, &names);
	if (code != CLI_OK && nearest != NULL)
		cli_note("the active set has no rule %s; did you mean %s?", name, nearest);
	else if (code != CLI_OK)
		cli_note("the active set has no rule %s", name);
	PQclear(res);
	return code;
}
