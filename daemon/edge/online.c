/* SPDX-License-Identifier: Apache-2.0 */
/* The part of `touchlogd -t` that needs the database: the expressions of the rules. */
#include "edge/online.h"

#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>

#include "edge/config.h"
#include "edge/daemon.h"
#include "flow/rule_conf.h"
#include "flow/rule_fault.h"
#include "flow/rule_set.h"
#include "io/pg_conn.h"

static void
print_fault(void *arg, const struct rule_fault *fault)
{
	size_t *nfaults = arg;

	(*nfaults)++;
	(void)fprintf(stderr, "%s: rules.%.*s.%s: %s\n", fault->place,
	    STR_ARG(fault->text->rule->name), fault->text->key, fault->message);
}

static int
fail(const char *why)
{
	(void)fprintf(stderr, "touchlogd: database: %s\n", why);
	return EXIT_DATABASE;
}

static PGconn *
connect_to(const char *conninfo)
{
	static const char *const keywords[] = { "connect_timeout", "fallback_application_name",
	    "dbname", "client_encoding", NULL };
	const char *const values[] = { "10", "touchlogd -t", conninfo, "UTF8", NULL };

	return PQconnectdbParams(keywords, values, 1);
}

/* NOTICEs are not what was asked for. */
static void
drop_notice(void *arg, const PGresult *res)
{
	(void)arg;
	(void)res;
}

static int
judge(const struct config *c, PGconn *pg)
{
	struct rule_set *set;
	size_t nfaults = 0;
	struct err err;
	bool ok;

	if (PQstatus(pg) != CONNECTION_OK)
		return fail(pg_text(PQerrorMessage(pg)));
	(void)PQsetNoticeReceiver(pg, drop_notice, NULL);
	set = rule_set_new(&c->rules, &c->calendars, &err);
	ok = set != NULL && rule_set_judge(set, pg, print_fault, &nfaults, &err);
	rule_set_free(set);
	if (!ok)
		return fail(err.text);
	return nfaults == 0 ? EXIT_SUCCESS : EXIT_CONFIG;
}

int
online_check(const struct config *c)
{
	PGconn *pg = connect_to(c->database.conninfo_text.p);
	int code = pg != NULL ? judge(c, pg) : fail("out of memory");

	PQfinish(pg);
	return code;
}
