/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_HTTP_CONN_H
#define TL_IO_HTTP_CONN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <time.h>

#include <event2/event.h>

#include "io/http_server.h"
#include "io/http_text.h"

/* Inside of http_server: nobody but http_server.c, http_conn.c and http_request.c includes
 * this. */

struct bufferevent;
struct conn;
struct peer;

/* What the connections of one listener share. */
struct http_host {
	struct event_base		*base;	/* the caller's */
	struct http_limits		 limits;
	const struct http_server_ops	*ops;	/* the caller's */
	void				*owner;	/* the caller's, passed to ops */
	struct http_counts		 counts;
	TAILQ_HEAD(, conn)		 open;
	TAILQ_HEAD(, conn)		 ready;	/* to be looked at this turn; also in open */
	TAILQ_HEAD(, conn)		 dead;	/* freed at the end of the turn */
	size_t				 nready;
	size_t				 bodies_bytes;	/* of the bodies being received */
	struct event			*turn;	/* ours: serves ready, frees dead */
	struct evbuffer			*answer;	/* ours: one is put together in it, empty between */
	bool				 is_draining;
	time_t				 handshake_logged_s;	/* last line about a failed one */
	time_t				 date_at_s;
	char				 date[HTTP_DATE_SIZE];	/* text of date_at_s */
};

struct http_request {
	struct conn		*conn;		/* NULL once the client is lost */
	struct http_message	 msg;
	struct uuid		 id;
	void			*priv;		/* the owner's */
	bool			 is_tls;
	char			 address[INET6_ADDRSTRLEN];
};

TL_MUST bool	host_init(struct http_host *h, struct event_base *base);
/* Drops every connection; requests with the owner live on without one. */
void		host_fini(struct http_host *h);
/* See http_server_drain(). */
void		host_drain(struct http_host *h);
/* The value of the Date header, made once a second. */
const char	*host_date(struct http_host *h);

/* Counts a refusal and tells the owner. */
void		host_refused(struct http_host *h, enum http_refusal reason,
		    const struct http_message *m, struct uuid id, int status, const char *why);

/* true: the connection owns bev and peer, and callbacks may fire from the next
 * turn on.  false: out of memory, the caller still owns both. */
TL_MUST bool	conn_open(struct http_host *h, struct bufferevent *take_bev,
		    struct peer *take_peer, const struct sockaddr *sa);

#endif
