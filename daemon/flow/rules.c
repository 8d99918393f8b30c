/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at the active rule set every few seconds and at each connection.  At the start and after
 * a reload, a set of the file that is another one is installed: loaded and made active in one
 * transaction, or not at all.  If PostgreSQL refuses it, every expression is judged by itself, so
 * that the log names all that is wrong, and the set that was active stays.
 *
 * Later, a set that somebody else installed is left alone: two daemons with different files would
 * else take turns for ever.
 */
#include "flow/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "flow/rule_conf.h"
#include "flow/rule_fault.h"
#include "flow/rule_set.h"
#include "io/loop.h"
#include "io/pg_conn.h"

enum { TICK_S = 1, LOOK_EVERY_US = 5 * 1000000, STALL_US = 60 * 1000000 };

enum step { NOTHING, LOOK, INSTALL, JUDGE };

/* Columns of `look`. */
enum { LOOK_VERSION, LOOK_IS_OURS, LOOK_LIVE, LOOK_SHADOW, LOOK_OFF };

struct rules {
	struct pg_conn		*conn;		/* ours */
	struct event		*tick;		/* ours */
	struct rule_set		*set;		/* ours; NULL before the first rules_use() */
	enum step		 running;	/* what is asked */
	enum step		 next;		/* when that is answered */
	int64_t			 asked_us;	/* clock_mono_us(), when it was */
	int64_t			 look_us;	/* clock_mono_us(), when to look again */
	bool			 is_wanted;	/* the set is to be installed */
	bool			 is_stale;	/* what is asked is about a set before it */
	bool			 differs;
	size_t			 judging;	/* the text that is judged */
	size_t			 nfaults;
	char			 refusal[512];	/* of the set; "": it was not refused */
	char			 why[512];
};

static const struct pg_statement statements[] = {
	{ "look", "SELECT s.version, s.sha256 = $1::bytea, count(*) FILTER (WHERE r.mode = 'live'),"
	    " count(*) FILTER (WHERE r.mode = 'shadow'), count(*) FILTER (WHERE r.mode = 'off')"
	    " FROM touchlog.rule_set s LEFT JOIN touchlog.rule r ON r.rule_set = s.version"
	    " WHERE s.active GROUP BY s.version" },
	{ "install", RULE_SET_INSTALL },
	{ "judge", RULE_CHECK },
	{ NULL, NULL },
};

static bool
has_failed(const PGresult *res, const char *step)
{
	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		return false;
	log_warn("rules_step_failed", F_TEXT("step", step),
	    F_TEXT("sqlstate", PQresultErrorField(res, PG_DIAG_SQLSTATE)),
	    F_TEXT("error", pg_text(PQresultErrorMessage(res))));
	return true;
}

/* ---- look: which set is active, and is it ours? ---- */

static bool
send_look(struct rules *r, PGconn *pg)
{
	r->look_us = clock_mono_us() + LOOK_EVERY_US;
	return PQsendQueryPrepared(pg, "look", 1, (const char *const[]){ r->set->sha }, NULL, NULL, 0);
}

static double
number(const PGresult *res, int column)
{
	return PQntuples(res) == 1 ? strtod(PQgetvalue(res, 0, column), NULL) : 0;
}

/* No set, and none wanted, is the same.  A file that does not speak of rules wants none removed:
 * a daemon beside others that only takes events in. */
static bool
is_ours(const struct rules *r, const PGresult *res)
{
	if (r->set->is_silent)
		return true;
	if (PQntuples(res) == 0)
		return r->set->nrules == 0 && r->set->ncalendars == 0;
	return PQgetvalue(res, 0, LOOK_IS_OURS)[0] == 't';
}

static void
measure(const PGresult *res)
{
	metric_set(metric_get(METRIC_RULES_ACTIVE, "live", NULL), number(res, LOOK_LIVE));
	metric_set(metric_get(METRIC_RULES_ACTIVE, "shadow", NULL), number(res, LOOK_SHADOW));
	metric_set(metric_get(METRIC_RULES_ACTIVE, "off", NULL), number(res, LOOK_OFF));
}

static void
set_differs(struct rules *r, bool differs, const PGresult *res)
{
	if (differs && !r->differs)
		log_warn("rules_differ", F_NUM("active", number(res, LOOK_VERSION)));
	else if (!differs && r->differs)
		log_info("rules_agree", F_NUM("active", number(res, LOOK_VERSION)));
	r->differs = differs;
	if (!differs)
		r->refusal[0] = '\0';
	(void)snprintf(r->why, sizeof(r->why), "the active rule set (version %.0f) is not that of this "
	    "file: touchlog rule apply, or a reload, installs it", number(res, LOOK_VERSION));
	metric_set(metric_get(METRIC_RULES_DIFFER, NULL, NULL), differs);
}

static enum step
read_look(struct rules *r, const PGresult *res)
{
	bool ours;

	if (has_failed(res, "look"))
		return NOTHING;
	ours = is_ours(r, res);
	measure(res);
	if (!ours && r->is_wanted)
		return INSTALL;
	if (ours)
		metric_set(metric_get(METRIC_RULES_LOAD_SUCCESSFUL, NULL, NULL), 1);
	r->is_wanted = false;
	set_differs(r, !ours, res);
	return NOTHING;
}

/* ---- install ---- */

static bool
send_install(struct rules *r, PGconn *pg)
{
	const char *const values[] = { r->set->sha, r->set->rules.p, r->set->calendars.p };

	return PQsendQueryPrepared(pg, "install", 3, values, NULL, NULL, 0);
}

/* What is nobody's fault is tried again when it is next looked. */
static enum step
read_install(struct rules *r, const PGresult *res)
{
	if (PQresultStatus(res) == PGRES_TUPLES_OK) {
		log_info("rules_installed", F_NUM("rules", r->set->nrules),
		    F_NUM("calendars", r->set->ncalendars));
		return LOOK;
	}
	if (!rule_fault_is_in(res)) {
		(void)has_failed(res, "install");
		return NOTHING;
	}
	r->is_wanted = false;
	r->judging = r->nfaults = 0;
	(void)snprintf(r->refusal, sizeof(r->refusal), "%s", pg_text(PQresultErrorMessage(res)));
	metric_set(metric_get(METRIC_RULES_LOAD_SUCCESSFUL, NULL, NULL), 0);
	return JUDGE;
}

/* ---- judge: what is wrong with a set that was refused ---- */

static bool
send_judge(struct rules *r, PGconn *pg)
{
	const struct rule_text *t = &r->set->texts[r->judging];
	const char *const values[] = { t->text.p, t->kind };

	return PQsendQueryPrepared(pg, "judge", 2, values, NULL, NULL, 0);
}

static void
tell_fault(struct rules *r, const PGresult *res)
{
	struct rule_fault fault;

	rule_fault_read(res, &r->set->texts[r->judging], &fault);
	log_error("rule_refused", F_STR("rule", fault.text->rule->name), F_TEXT("key", fault.text->key),
	    F_TEXT("place", fault.place), F_TEXT("error", fault.message));
	if (r->nfaults++ == 0)
		(void)snprintf(r->refusal, sizeof(r->refusal), "%.300s: %.180s", fault.place,
		    fault.message);
}

static enum step
end_judging(struct rules *r)
{
	log_error("rules_refused", F_NUM("faults", r->nfaults), F_TEXT("error", r->refusal));
	return LOOK;
}

static enum step
read_judge(struct rules *r, const PGresult *res)
{
	if (PQresultStatus(res) != PGRES_TUPLES_OK && rule_fault_is_in(res))
		tell_fault(r, res);
	else
		(void)has_failed(res, "judge");
	return ++r->judging < r->set->ntexts ? JUDGE : end_judging(r);
}

/* ---- the driver ---- */

static const struct {
	const char	*name;
	bool		(*send)(struct rules *r, PGconn *pg);
	enum step	(*read)(struct rules *r, const PGresult *res);
} steps[] = {
	[LOOK]	  = { "look",	 send_look,    read_look },
	[INSTALL] = { "install", send_install, read_install },
	[JUDGE]	  = { "judge",	 send_judge,   read_judge },
};

static void
start_step(struct rules *r, enum step step)
{
	struct err err;

	if (step == JUDGE && r->judging >= r->set->ntexts)
		step = end_judging(r);
	r->running = step;
	r->next = NOTHING;
	r->asked_us = clock_mono_us();
	if (!steps[step].send(r, pg_conn_raw(r->conn)) || !pg_conn_flush(r->conn, &err)) {
		r->running = NOTHING;
		pg_conn_drop(r->conn);
	}
}

static void
look_if_due(struct rules *r)
{
	if (r->set != NULL && r->running == NOTHING && pg_conn_is_up(r->conn) &&
	    r->look_us <= clock_mono_us())
		start_step(r, LOOK);
}

static void
end_step(struct rules *r)
{
	enum step next = r->is_stale ? LOOK : r->next;

	r->running = NOTHING;
	r->is_stale = false;
	if (next != NOTHING)
		start_step(r, next);
}

static void
on_input(void *owner)
{
	struct rules *r = owner;

	while (r->running != NOTHING && !PQisBusy(pg_conn_raw(r->conn))) {
		PGresult *res = PQgetResult(pg_conn_raw(r->conn));

		if (res == NULL)
			end_step(r);
		else if (!r->is_stale)
			r->next = steps[r->running].read(r, res);
		PQclear(res);
	}
}

static void
on_up(void *owner)
{
	struct rules *r = owner;

	r->look_us = 0;
	look_if_due(r);
}

static void
on_down(void *owner, const struct err *why)
{
	struct rules *r = owner;

	(void)why;
	r->running = NOTHING;
	r->is_stale = false;
}

static void
check_stall(struct rules *r)
{
	if (r->running == NOTHING || clock_mono_us() - r->asked_us < STALL_US)
		return;
	log_warn("rules_hang", F_TEXT("step", steps[r->running].name));
	on_down(r, NULL);
	pg_conn_drop(r->conn);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct rules *r = arg;

	(void)fd;
	(void)what;
	check_stall(r);
	metric_set(metric_get(METRIC_DB_CONNECTED, "rules", NULL), pg_conn_is_up(r->conn));
	look_if_due(r);
}

static const struct pg_conn_ops ops = { .up = on_up, .down = on_down, .input = on_input };

struct rules *
rules_new(struct loop *l, const char *conninfo, struct err *err)
{
	const struct pg_conn_conf conf = { .conninfo = conninfo,
	    .application_name = "touchlogd rules", .statements = statements };
	const struct timeval tv = { TICK_S, 0 };
	struct rules *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	r->tick = event_new(loop_base(l), -1, EV_PERSIST, on_tick, r);
	r->conn = pg_conn_new(l, &conf, &ops, r, err);
	if (r->conn != NULL && r->tick != NULL && event_add(r->tick, &tv) == 0) {
		metric_set(metric_get(METRIC_RULES_LOAD_SUCCESSFUL, NULL, NULL), 1);
		pg_conn_start(r->conn);
		return r;
	}
	rules_free(r);
	return NULL;
}

void
rules_free(struct rules *r)
{
	if (r == NULL)
		return;
	pg_conn_free(r->conn);
	if (r->tick != NULL)
		event_free(r->tick);
	rule_set_free(r->set);
	free(r);
}

void
rules_use(struct rules *r, struct rule_set *take_set)
{
	rule_set_free(r->set);
	r->set = take_set;
	r->is_wanted = true;
	r->is_stale = r->running != NOTHING;
	r->refusal[0] = '\0';
	r->look_us = 0;
	look_if_due(r);
}

const char *
rules_why(const struct rules *r)
{
	return r->refusal[0] != '\0' ? r->refusal : r->differs ? r->why : NULL;
}
