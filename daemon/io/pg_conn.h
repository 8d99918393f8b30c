/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_PG_CONN_H
#define TL_IO_PG_CONN_H

#include <stdbool.h>

#include <libpq-fe.h>

#include "base/checked.h"
#include "base/err.h"

struct loop;
struct pg_conn;

struct pg_statement {
	const char	*name;
	const char	*sql;
};

struct pg_conn_conf {
	const char			*conninfo;	/* borrowed, outlives us */
	const char			*application_name;
	const struct pg_statement	*statements;	/* prepared at each connect; ended by { 0 } */
};

struct pg_conn_ops {
	/* Connected, session set, statements prepared. */
	void	(*up)(void *owner);
	/* The connection, or a try to make one, has failed; the next try is set.
	 * Not called for pg_conn_drop(). */
	void	(*down)(void *owner, const struct err *why);
	/* Input was consumed: ask PQisBusy() and read results.  Also called when a
	 * notice or the end of a flush made progress possible. */
	void	(*input)(void *owner);
};

/* One PostgreSQL connection on the loop: names through evdns, connects without
 * blocking, sets the session (DESIGN section 3), reconnects for ever with backoff.
 * No op is called before pg_conn_start(), nor from inside another call. */
TL_MUST struct pg_conn	*pg_conn_new(struct loop *l, const struct pg_conn_conf *conf,
			    const struct pg_conn_ops *ops, void *owner, struct err *err);
void	 pg_conn_free(struct pg_conn *c);	/* accepts NULL */
void	 pg_conn_start(struct pg_conn *c);
bool	 pg_conn_is_up(const struct pg_conn *c);
/* Valid while it is up. */
PGconn	*pg_conn_raw(struct pg_conn *c);
/* The number of the type touchlog.interaction_row in this database; while it is up. */
unsigned pg_conn_row_type(const struct pg_conn *c);
/* To be called after anything was sent.  false: the connection is lost, and the
 * caller should say so with pg_conn_drop(). */
TL_MUST bool pg_conn_flush(struct pg_conn *c, struct err *err);
/* Closes a connection that failed or hangs; connects again after a backoff. */
void	 pg_conn_drop(struct pg_conn *c);
/* A warning arrived since the last call (a COMMIT that warns is uncertain). */
bool	 pg_conn_take_warning(struct pg_conn *c);
/* A message came since the last call that rows were made for the dispatcher. */
bool	 pg_conn_take_hint(struct pg_conn *c);
/* Why it is not up; NULL while it is. */
const char *pg_conn_why(const struct pg_conn *c);

/* libpq's text on one line, without its end.  Points to static memory. */
const char *pg_text(const char *message);
/* What to do about this SQLSTATE (DESIGN section 3, errors). */
enum err_kind pg_error_kind(const char *sqlstate, const char *constraint);
/* What a session remembers (prepared statements, numbers of types) may be older than the
 * last migration, or gone: a new session learns it anew. */
bool	 pg_error_is_stale(const char *sqlstate);

#endif
