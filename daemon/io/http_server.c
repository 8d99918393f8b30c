/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listener: lets connections in while the limits hold.  What happens on a
 * connection is http_conn.c's; what the bytes mean is http_parse.c's.
 */
#include "io/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <openssl/ssl.h>

#include "base/log.h"
#include "io/http_conn.h"
#include "io/listen_address.h"
#include "io/peer_table.h"

enum { BACKLOG = 1024, PAUSE_MS = 100, LOG_EVERY_S = 10 };

struct http_server {
	struct http_host	 host;
	struct evconnlistener	*listener;	/* ours; NULL once draining */
	struct event		*resume;	/* ours: ends a pause in accepting */
	struct peer_table	*peers;		/* ours */
	SSL_CTX			*tls;		/* our reference; NULL: plain */
	int			 spare_fd;	/* given up to accept one more; or -1 */
	time_t			 logged_at_s;	/* last line about a full table */
	bool			 is_passed;	/* who passed it listens on after us */
	struct listen_address	 address;
};

static const char *const refusal_names[HTTP_NREFUSALS] = {
	[REFUSED_BAD_REQUEST]		= "bad_request",
	[REFUSED_TOO_LARGE]		= "too_large",
	[REFUSED_HEADER_TOO_LARGE]	= "header_too_large",
	[REFUSED_TIMEOUT]		= "timeout",
	[REFUSED_UNSUPPORTED]		= "unsupported",
	[REFUSED_NO_MEMORY]		= "no_memory",
	[REFUSED_BY_HEAD]		= "by_head",
	[REFUSED_CONNECTIONS]		= "connections",
	[REFUSED_ADDRESS]		= "address",
	[REFUSED_FILES]			= "files",
};

static void
log_shed(struct http_server *s, const char *why)
{
	struct timeval now;

	(void)event_base_gettimeofday_cached(s->host.base, &now);
	if (now.tv_sec - s->logged_at_s < LOG_EVERY_S)
		return;	/* a flood of connections is not to become one of lines */
	s->logged_at_s = now.tv_sec;
	log_warn("http_connections_refused", F_TEXT("reason", why),
	    F_NUM("port", listen_address_port(&s->address)),
	    F_NUM("open", s->host.counts.open));
}

/* Says why and closes.  Over TLS there is nobody to say it to yet. */
static void
turn_away(struct http_server *s, evutil_socket_t fd, enum http_refusal reason, int status,
    const char *why)
{
	char body[HTTP_PROBLEM_SIZE], text[HTTP_PROBLEM_SIZE + 320], id_text[UUID_TEXT_SIZE];
	struct str problem = http_problem(body, status, str_of(why));
	struct uuid id = uuid_v7();
	int n;

	uuid_text(id, id_text);
	n = snprintf(text, sizeof(text), "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Request-Id: %s\r\n"
	    "Retry-After: 1\r\nContent-Type: application/problem+json\r\n"
	    "Content-Length: %zu\r\nConnection: close\r\n\r\n%.*s", status,
	    http_status_text(status), host_date(&s->host), id_text, problem.n, STR_ARG(problem));
	if (s->tls == NULL && n > 0) {
		(void)!send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
		s->host.counts.responses[status]++;
		/* Closing with bytes unread would send a reset after the answer. */
		(void)!recv(fd, NULL, INT_MAX, MSG_DONTWAIT | MSG_TRUNC);
	}
	(void)evutil_closesocket(fd);
	log_shed(s, why);
	host_refused(&s->host, reason, NULL, id, status, why);
}

static struct bufferevent *
new_bufferevent(struct http_server *s, evutil_socket_t fd)
{
	struct bufferevent *bev;
	SSL *ssl;

	if (s->tls == NULL)
		return bufferevent_socket_new(s->host.base, fd, BEV_OPT_CLOSE_ON_FREE);
	ssl = SSL_new(s->tls);
	if (ssl == NULL)
		return NULL;
	/* An evbuffer may move bytes between two tries to write them. */
	(void)SSL_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	bev = bufferevent_openssl_socket_new(s->host.base, fd, ssl,
	    BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	/* Not allow_dirty_shutdown: libevent would report a reset as a plain EOF. */
	if (bev == NULL)
		SSL_free(ssl);
	return bev;
}

static void
admit(struct http_server *s, evutil_socket_t fd, struct peer *peer, const struct sockaddr *sa)
{
	struct bufferevent *bev = new_bufferevent(s, fd);

	if (bev == NULL) {
		peer_leave(peer);
		turn_away(s, fd, REFUSED_NO_MEMORY, 503, "out of memory");
	} else if (!conn_open(&s->host, bev, peer, sa)) {
		peer_leave(peer);
		bufferevent_free(bev);
	}
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct http_server *s = arg;
	struct peer *peer;

	(void)l;
	(void)len;
	if (s->host.counts.open >= s->host.limits.connections) {
		turn_away(s, fd, REFUSED_CONNECTIONS, 503, "too many connections");
		return;
	}
	peer = peer_enter(s->peers, sa, s->host.limits.per_address);
	if (peer == NULL) {
		turn_away(s, fd, REFUSED_ADDRESS, 429, "too many connections from this address");
		return;
	}
	admit(s, fd, peer, sa);
}

static void
pause_accepting(struct http_server *s)
{
	struct timeval tv = { 0, PAUSE_MS * 1000 };

	(void)evconnlistener_disable(s->listener);
	(void)event_add(s->resume, &tv);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;

	(void)fd;
	(void)what;
	if (s->spare_fd == -1)
		s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->listener != NULL)
		(void)evconnlistener_enable(s->listener);
}

/* Without a free descriptor accept() fails and the listener stays readable: the
 * loop would spin.  The spare one lets us take the connection off the queue and
 * close it, so its client knows at once. */
static void
shed_with_spare(struct http_server *s)
{
	int fd;

	(void)close(s->spare_fd);
	fd = accept(evconnlistener_get_fd(s->listener), NULL, NULL);
	if (fd != -1)
		(void)close(fd);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	s->host.counts.refused[REFUSED_FILES] += fd != -1;
}

static void
on_accept_error(struct evconnlistener *l, void *arg)
{
	struct http_server *s = arg;
	int e = EVUTIL_SOCKET_ERROR();

	(void)l;
	log_shed(s, strerror(e));
	if ((e == EMFILE || e == ENFILE) && s->spare_fd != -1)
		shed_with_spare(s);
	if ((e != EMFILE && e != ENFILE) || s->spare_fd == -1)
		pause_accepting(s);
}

static bool
open_socket(struct http_server *s, const struct http_listen *at, struct err *err)
{
	const unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;
	struct listen_address a;

	if (at->take_fd != -1) {
		/* Its backlog is the choice of who opened it. */
		s->listener = evutil_make_socket_nonblocking(at->take_fd) != 0 ? NULL :
		    evconnlistener_new(s->host.base, on_accept, s, flags, 0, at->take_fd);
		return s->listener != NULL || err_set(err, ERR_RETRY, "out of memory");
	}
	if (!listen_address_read(at->address, &a))
		return err_set(err, ERR_CONFIG, "listen=%s: not ADDRESS:PORT", at->address);
	s->listener = evconnlistener_new_bind(s->host.base, on_accept, s,
	    flags | LEV_OPT_REUSEABLE, BACKLOG, (struct sockaddr *)&a.ss, (int)a.len);
	return s->listener != NULL ||
	    err_set(err, ERR_CONFIG, "listen=%s: %s", at->address, strerror(errno));
}

static bool
start_listening(struct http_server *s, const struct http_listen *at, struct err *err)
{
	evutil_socket_t fd;
	int one = 1;

	if (!open_socket(s, at, err))
		return false;
	fd = evconnlistener_get_fd(s->listener);
	evconnlistener_set_error_cb(s->listener, on_accept_error);
	/* Connections inherit it; without, each TLS answer waits 40 ms for an ACK. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->is_passed = at->take_fd != -1;
	return listen_address_of(fd, &s->address) ||
	    err_set(err, ERR_CONFIG, "listen=%s: no listening TCP socket", at->address);
}

void
http_server_set_tls(struct http_server *s, struct ssl_ctx_st *tls)
{
	if (tls != NULL)
		(void)SSL_CTX_up_ref(tls);
	SSL_CTX_free(s->tls);
	s->tls = tls;
}

void
http_server_set_limits(struct http_server *s, const struct http_limits *limits)
{
	s->host.limits = *limits;
}

struct http_server *
http_server_new(struct event_base *base, const struct http_listen *at,
    const struct http_limits *limits, const struct http_server_ops *ops, void *owner,
    struct err *err)
{
	struct http_server *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	http_server_set_tls(s, at->tls);
	s->host.limits = *limits;
	s->host.ops = ops;
	s->host.owner = owner;
	s->peers = peer_table_new();
	s->resume = evtimer_new(base, on_resume, s);
	if (!host_init(&s->host, base) || s->peers == NULL || s->resume == NULL)
		(void)err_set(err, ERR_RETRY, "out of memory");
	else if (start_listening(s, at, err))
		return s;
	http_server_free(s);
	return NULL;
}

void
http_server_free(struct http_server *s)
{
	if (s == NULL)
		return;
	if (s->listener != NULL)
		evconnlistener_free(s->listener);
	if (s->resume != NULL)
		event_free(s->resume);
	host_fini(&s->host);
	peer_table_free(s->peers);
	SSL_CTX_free(s->tls);
	if (s->spare_fd != -1)
		(void)close(s->spare_fd);
	free(s);
}

/* Those whom the kernel has let in already.  They would be reset. */
static void
accept_waiting(struct http_server *s)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd;

	for (int n = 0; n < BACKLOG; n++, len = sizeof(ss)) {
		fd = accept4(evconnlistener_get_fd(s->listener), (struct sockaddr *)&ss, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1)
			return;
		on_accept(s->listener, fd, (struct sockaddr *)&ss, (int)len, s);
	}
}

void
http_server_drain(struct http_server *s)
{
	if (s->listener != NULL && !s->is_passed)
		accept_waiting(s);
	if (s->listener != NULL)
		evconnlistener_free(s->listener);
	s->listener = NULL;
	host_drain(&s->host);
}

void
http_server_address(const struct http_server *s, struct listen_address *ret)
{
	*ret = s->address;
}

const struct http_counts *
http_server_counts(const struct http_server *s)
{
	return &s->host.counts;
}

const char *
http_refusal_name(enum http_refusal why)
{
	return refusal_names[why];
}
