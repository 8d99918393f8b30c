/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PostgreSQL connection that makes itself: resolve names, connect, set up the
 * session, prepare the statements, be up; and again, after a backoff, for ever.
 *
 * PQconnectStart() would resolve host names synchronously, so they are resolved here
 * and handed over as hostaddr.  libpq's socket may change at every poll: the event
 * is made anew each time.
 */
#include "io/pg_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/log.h"
#include "base/metric.h"
#include "base/str.h"
#include "io/loop.h"
#include "io/pg_hosts.h"
#include "io/schema_level.h"

enum {
	BACKOFF_FIRST_MS = 100,
	BACKOFF_MAX_MS	 = 2000,	/* after a failover writing goes on within 5 s */
	CONNECT_MS	 = 10000,	/* all of it: resolving to the last statement */
};

enum pg_state { PG_IDLE, PG_RESOLVING, PG_CONNECTING, PG_SESSION, PG_PREPARING, PG_UP, PG_NSTATES };

struct pg_conn {
	struct loop			*loop;		/* the caller's */
	struct pg_conn_conf		 conf;
	const struct pg_conn_ops	*ops;
	void				*owner;
	struct pg_hosts			*hosts;		/* ours while resolving */
	PGconn				*pg;		/* ours */
	struct event			*socket;	/* ours, while there is a socket */
	struct event			*timer;		/* ours: deadline, or the next try */
	enum pg_state			 state;
	short				 waits_for;	/* what `socket` waits for */
	int				 backoff_ms;
	size_t				 first_host;	/* to be tried */
	unsigned			 row_type;	/* of touchlog.interaction_row */
	size_t				 prepared;	/* statements */
	bool				 has_warning;
	bool				 has_hint;
	bool				 has_failed_before;	/* one log line per outage */
	char				 why[sizeof(((struct err *)0)->text)];
};

/* Run in every session; the answers are checked by check_session().  All names of ours
 * are qualified: what others may have put into public is not to be found.  The server's
 * side of TCP, too, is to notice a peer that vanished: its locks go with the session. */
static const char session_sql[] =
    "SET search_path = pg_catalog, pg_temp; SET TimeZone = 'UTC';"
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;"
    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;"
    "SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '2s';"
    "SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 2;"
    "SET tcp_keepalives_count = 2; SET tcp_user_timeout = '7s';"
    "SET client_min_messages = warning;"
    "SELECT current_setting('synchronous_commit'), pg_is_in_recovery(),"
    " coalesce(max(version), 0), coalesce(max(min_binary), 0),"
    " to_regtype('touchlog.interaction_row')::oid, EXISTS (SELECT FROM pg_stat_activity"
    " WHERE wait_event = 'SyncRep' AND usename = current_user AND application_name LIKE"
    " 'touchlogd%' AND state_change < now() - interval '8 s') FROM touchlog.schema_version";

const char *
pg_text(const char *message)
{
	static char line[200];
	size_t n = 0, at;

	for (; message != NULL && *message != '\0' && n < sizeof(line) - 1; message++)
		line[n++] = *message == '\n' || *message == '\t' ? ' ' : *message;
	line[n] = '\0';
	if (!str_is_utf8(str_of(line), &at) && n - at < 4)
		n = at;		/* a piece of the last character */
	while (n > 0 && line[n - 1] == ' ')
		n--;
	line[n] = '\0';
	return line;
}

enum err_kind
pg_error_kind(const char *sqlstate, const char *constraint)
{
	static const char *const input[] = { "22", "23", "54" };

	if (sqlstate == NULL)
		return ERR_RETRY;
	if (strcmp(sqlstate, "23514") == 0 && constraint == NULL)
		return ERR_RETRY;	/* no partition for this row */
	for (size_t i = 0; i < sizeof(input) / sizeof(input[0]); i++)
		if (strncmp(sqlstate, input[i], 2) == 0)
			return ERR_INPUT;
	return strncmp(sqlstate, "42", 2) == 0 ? ERR_CONFIG : ERR_RETRY;
}

bool
pg_error_is_stale(const char *sqlstate)
{
	static const char *const classes[] = { "0A", "26", "XX" };

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}

/* ---- going down ---- */

static void
set_timer(struct pg_conn *c, int ms)
{
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };

	(void)event_add(c->timer, &tv);
}

static void
close_all(struct pg_conn *c)
{
	if (c->socket != NULL)
		event_free(c->socket);
	c->socket = NULL;
	c->waits_for = 0;
	pg_hosts_free(c->hosts);
	c->hosts = NULL;
	if (c->pg != NULL)
		PQfinish(c->pg);
	c->pg = NULL;
	c->state = PG_IDLE;
}

/* Half of the wait is random, so that many daemons do not come back in step. */
static void
wait_and_retry(struct pg_conn *c)
{
	int half = c->backoff_ms / 2;

	close_all(c);
	set_timer(c, half + (int)arc4random_uniform((uint32_t)half + 1));
	c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void
fail(struct pg_conn *c, const struct err *why)
{
	const struct err copy = *why;	/* it may stand in libpq's memory */

	(void)snprintf(c->why, sizeof(c->why), "%s", copy.text);
	if (!c->has_failed_before)
		log_warn("database_unreachable", F_TEXT("conn", c->conf.application_name),
		    F_TEXT("error", copy.text));
	c->has_failed_before = true;
	wait_and_retry(c);
	c->ops->down(c->owner, &copy);
}

void
pg_conn_drop(struct pg_conn *c)
{
	(void)snprintf(c->why, sizeof(c->why), "reconnecting");
	c->backoff_ms = BACKOFF_FIRST_MS;
	wait_and_retry(c);
}

static void
fail_pg(struct pg_conn *c, const char *step)
{
	struct err err;

	(void)err_set(&err, ERR_RETRY, "%s: %s", step, pg_text(PQerrorMessage(c->pg)));
	fail(c, &err);
}

/* ---- the socket ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg);

static bool
watch(struct pg_conn *c, short what)
{
	if (c->socket != NULL && c->waits_for == what)
		return true;
	if (c->socket != NULL)
		event_free(c->socket);
	c->waits_for = what;
	c->socket = event_new(loop_base(c->loop), PQsocket(c->pg), (short)(what | EV_PERSIST),
	    on_socket, c);
	return c->socket != NULL && event_add(c->socket, NULL) == 0;
}

bool
pg_conn_flush(struct pg_conn *c, struct err *err)
{
	int left = PQflush(c->pg);

	if (left == -1 || !watch(c, left == 1 ? EV_READ | EV_WRITE : EV_READ))
		return err_set(err, ERR_RETRY, "%s", pg_text(PQerrorMessage(c->pg)));
	return true;
}

static void
flush_setup(struct pg_conn *c, const char *step)
{
	struct err err;

	if (!pg_conn_flush(c, &err)) {
		(void)err_in(&err, "%s", step);
		fail(c, &err);
	}
}

/* ---- going up: connect, session, statements ---- */

static void
become_up(struct pg_conn *c)
{
	(void)event_del(c->timer);
	c->state = PG_UP;
	c->backoff_ms = BACKOFF_FIRST_MS;
	c->first_host = 0;
	c->why[0] = '\0';
	metric_add(metric_get(METRIC_DB_CONNECTS, NULL, NULL), 1);
	log_info("database_connected", F_TEXT("conn", c->conf.application_name),
	    F_NUM("backend", PQbackendPID(c->pg)));
	c->has_failed_before = false;
	c->ops->up(c->owner);
}

static void
prepare_next(struct pg_conn *c)
{
	const struct pg_statement *s = &c->conf.statements[c->prepared];

	if (s->name == NULL) {
		become_up(c);
		return;
	}
	c->state = PG_PREPARING;
	if (!PQsendPrepare(c->pg, s->name, s->sql, 0, NULL))
		fail_pg(c, "prepare");
	else
		flush_setup(c, "prepare");
}

static bool
check_session(const PGresult *res, struct err *err)
{
	const char *commit = PQgetvalue(res, 0, 0);
	long version = strtol(PQgetvalue(res, 0, 2), NULL, 10);
	long min_binary = strtol(PQgetvalue(res, 0, 3), NULL, 10);

	if (strcmp(commit, "on") != 0 && strcmp(commit, "remote_apply") != 0)
		return err_set(err, ERR_CONFIG, "synchronous_commit is %s: an acknowledged event "
		    "could be lost; set it to on for this role", commit);
	if (strcmp(PQgetvalue(res, 0, 1), "t") == 0)
		return err_set(err, ERR_RETRY, "this server is a standby");
	/* It does not notice that we left: coming again and again would use it up. */
	if (strcmp(PQgetvalue(res, 0, 5), "t") == 0)
		return err_set(err, ERR_RETRY, "COMMIT waits for a synchronous standby");
	return schema_level_check(version, min_binary, err);
}

static bool
check_setup(struct pg_conn *c, const PGresult *res, struct err *err)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	if (PQresultStatus(res) == PGRES_TUPLES_OK) {
		c->row_type = (unsigned)strtoul(PQgetvalue(res, 0, 4), NULL, 10);
		return check_session(res, err);
	}
	if (PQresultStatus(res) == PGRES_COMMAND_OK)
		return true;
	if (state != NULL && (strcmp(state, "42P01") == 0 || strcmp(state, "3F000") == 0) &&
	    c->state == PG_SESSION)
		return err_set(err, ERR_CONFIG, "the database has no touchlog schema: "
		    "run touchlog migrate");
	return err_set(err, pg_error_kind(state, NULL), "%s",
	    pg_text(PQresultErrorMessage(res)));
}

/* Reads the answers of SESSION and PREPARING. */
static void
read_setup(struct pg_conn *c)
{
	PGresult *res;
	struct err err;
	bool ok = true;

	while (!PQisBusy(c->pg)) {
		res = PQgetResult(c->pg);
		if (res == NULL) {
			if (c->state == PG_PREPARING)
				c->prepared++;
			prepare_next(c);
			return;
		}
		ok = check_setup(c, res, &err);
		PQclear(res);
		if (!ok) {
			fail(c, &err);
			return;
		}
	}
}

static void
on_notice(void *arg, const PGresult *res)
{
	struct pg_conn *c = arg;
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity != NULL && strcmp(severity, "INFO") == 0)
		c->has_hint |= strcmp(PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY),
		    "touchlog: outbox") == 0;
	if (severity == NULL || strcmp(severity, "WARNING") != 0)
		return;
	c->has_warning = true;
	log_warn("database_warning", F_TEXT("conn", c->conf.application_name),
	    F_TEXT("sqlstate", PQresultErrorField(res, PG_DIAG_SQLSTATE)));
}

static void
start_session(struct pg_conn *c)
{
	c->state = PG_SESSION;
	c->prepared = 0;
	(void)PQsetNoticeReceiver(c->pg, on_notice, c);
	if (PQsetnonblocking(c->pg, 1) != 0 || !PQsendQuery(c->pg, session_sql))
		fail_pg(c, "session");
	else
		flush_setup(c, "session");
}

static void
poll_connect(struct pg_conn *c)
{
	PostgresPollingStatusType status = PQconnectPoll(c->pg);

	/* The socket may be another one by now. */
	if (c->socket != NULL)
		event_free(c->socket);
	c->socket = NULL;
	if (status == PGRES_POLLING_OK)
		start_session(c);
	else if (status == PGRES_POLLING_FAILED)
		fail_pg(c, "connect");
	else if (!watch(c, status == PGRES_POLLING_READING ? EV_READ : EV_WRITE))
		fail_pg(c, "connect");
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct pg_conn *c = arg;
	struct err err;

	(void)fd;
	if (c->state == PG_CONNECTING) {
		poll_connect(c);
		return;
	}
	if (!PQconsumeInput(c->pg)) {
		fail_pg(c, "read");
		return;
	}
	if ((what & EV_WRITE) && !pg_conn_flush(c, &err)) {
		fail(c, &err);
		return;
	}
	if (c->state == PG_UP)
		c->ops->input(c->owner);
	else
		read_setup(c);
}

/* ---- the start ---- */

static void
on_hosts(void *arg, const char *const *keywords, const char *const *values, const struct err *why)
{
	struct pg_conn *c = arg;

	if (why != NULL) {
		fail(c, why);
		return;
	}
	c->state = PG_CONNECTING;
	c->pg = PQconnectStartParams(keywords, values, 0);
	if (c->pg == NULL || PQstatus(c->pg) == CONNECTION_BAD)
		fail_pg(c, "connect");
	else if (!watch(c, EV_WRITE))
		fail_pg(c, "connect");
}

static void
connect_now(struct pg_conn *c)
{
	struct err err;

	c->state = PG_RESOLVING;
	set_timer(c, CONNECT_MS);
	c->hosts = pg_hosts_new(c->loop, c->conf.conninfo, c->conf.application_name,
	    c->first_host, on_hosts, c, &err);
	if (c->hosts == NULL)
		fail(c, &err);
	else
		pg_hosts_start(c->hosts);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct pg_conn *c = arg;
	struct err err;

	(void)fd;
	(void)what;
	if (c->state == PG_IDLE) {
		connect_now(c);
		return;
	}
	/* libpq would ask the same host first again. */
	c->first_host++;
	(void)err_set(&err, ERR_RETRY, "connect: no answer in %d s", CONNECT_MS / 1000);
	fail(c, &err);
}

struct pg_conn *
pg_conn_new(struct loop *l, const struct pg_conn_conf *conf, const struct pg_conn_ops *ops,
    void *owner, struct err *err)
{
	struct pg_conn *c = calloc(1, sizeof(*c));

	if (c != NULL)
		c->timer = evtimer_new(loop_base(l), on_timer, c);
	if (c == NULL || c->timer == NULL) {
		free(c);
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	c->loop = l;
	c->conf = *conf;
	c->ops = ops;
	c->owner = owner;
	c->backoff_ms = BACKOFF_FIRST_MS;
	(void)snprintf(c->why, sizeof(c->why), "not connected yet");
	return c;
}

void
pg_conn_start(struct pg_conn *c)
{
	set_timer(c, 0);
}

void
pg_conn_free(struct pg_conn *c)
{
	if (c == NULL)
		return;
	close_all(c);
	event_free(c->timer);
	free(c);
}

bool
pg_conn_is_up(const struct pg_conn *c)
{
	return c->state == PG_UP;
}

PGconn *
pg_conn_raw(struct pg_conn *c)
{
	return c->pg;
}

unsigned
pg_conn_row_type(const struct pg_conn *c)
{
	return c->row_type;
}

bool
pg_conn_take_warning(struct pg_conn *c)
{
	bool had = c->has_warning;

	c->has_warning = false;
	return had;
}

bool
pg_conn_take_hint(struct pg_conn *c)
{
	bool had = c->has_hint;

	c->has_hint = false;
	return had;
}

const char *
pg_conn_why(const struct pg_conn *c)
{
	return c->state == PG_UP ? NULL : c->why;
}
