/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP connection: bytes -> request -> owner -> answer -> next request.
 *
 * Invariants:
 *  - At most one request is with the owner.  Until it is answered nothing is
 *    parsed; the socket is read ahead up to READ_AHEAD_BYTES, so that a client
 *    that leaves is noticed, then reading stops and a probe once a second asks
 *    the kernel instead (with bytes unread it will not report the end by itself;
 *    an EV_CLOSED event spins on a reset in libevent 2.1, which reports EPOLLERR
 *    as readable and writable only).
 *  - A request is parsed only while the output is below its mark: whoever sends
 *    and does not read costs one read-ahead and one mark of memory.
 *  - TLS is a bufferevent of another kind and one more state in the beginning.
 *  - Every state has a timer; see on_timer[].
 *  - Nothing is freed inside a callback: conn_close() moves to host->dead.
 */
#include "io/http_conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/log.h"
#include "io/http_answer.h"
#include "io/peer_table.h"

enum {
	TURN_REQUESTS	 = 16,		/* pipelined requests before others get a turn */
	READ_AHEAD_BYTES = 16 * 1024,
	PROBE_MS	 = 1000,
	LINGER_MS	 = 2000,	/* for the client to read why we close */
	/* While draining: for the first request of a connection, which is on its way, and
	 * for the next one of who asks all the time. */
	DRAIN_FIRST_MS	 = 1000,
	DRAIN_NEXT_MS	 = 200,
	HANDSHAKE_LOG_EVERY_S = 10,
};

/* The order matters: up to CONN_READING a next request is wanted, from
 * CONN_CLOSING on whatever comes is thrown away. */
enum conn_state {
	CONN_IDLE,		/* no byte of the next request yet */
	CONN_READING,		/* part of a request */
	CONN_HANDSHAKE,		/* of TLS: no request yet */
	CONN_HANDLING,		/* the owner has it */
	CONN_CLOSING,		/* the last answer is being sent */
	CONN_LINGER,		/* sent; waiting for the client to close */
	CONN_DEAD,
	CONN_NSTATES
};

struct conn {
	TAILQ_ENTRY(conn)	 in_list;	/* host->open or host->dead */
	TAILQ_ENTRY(conn)	 in_ready;	/* while is_ready */
	struct http_host	*host;		/* the server's, outlives us */
	struct bufferevent	*bev;		/* ours */
	struct event		*timer;		/* ours */
	struct peer		*peer;		/* ours */
	struct http_request	*req;		/* the owner's while CONN_HANDLING */
	struct http_parse	 parse;
	enum conn_state		 state;
	enum conn_state		 timer_for;	/* the state the timer was set in */
	size_t			 out_seen;	/* output bytes when the timer was set */
	size_t			 body_bytes;	/* our part of host->bodies_bytes */
	bool			 has_asked;	/* brought a request before */
	bool			 is_ready;
	bool			 is_advancing;	/* advance() is on the stack */
	bool			 is_paused;	/* not reading: the read-ahead is full */
	bool			 is_eof;	/* the client will send no more */
	bool			 is_clean;	/* nothing of the client's is left unread */
	char			 address[INET6_ADDRSTRLEN];
};

static size_t
in_bytes(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_input(c->bev));
}

static size_t
out_bytes(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev));
}

static void
discard_input(struct conn *c)
{
	(void)evbuffer_drain(bufferevent_get_input(c->bev), in_bytes(c));
}

/* ---- memory ---- */

static void
account_body(struct conn *c, size_t bytes)
{
	c->host->bodies_bytes += bytes - c->body_bytes;
	c->body_bytes = bytes;
}

/* Anybody may begin to send a body, before we know who it is; all of them together shall
 * not fill the memory.  One alone passes, so that each size that is allowed can come. */
static bool
has_room_for_body(struct conn *c)
{
	account_body(c, c->parse.body_room);
	return c->host->bodies_bytes <= c->host->limits.bodies_bytes ||
	    c->host->bodies_bytes == c->body_bytes;
}

/* ---- closing ---- */

static void
wake_host(struct http_host *h)
{
	event_active(h->turn, EV_TIMEOUT, 0);
}

static void
make_ready(struct conn *c)
{
	if (c->is_ready || c->state == CONN_DEAD)
		return;
	c->is_ready = true;
	TAILQ_INSERT_TAIL(&c->host->ready, c, in_ready);
	c->host->nready++;
	wake_host(c->host);
}

static void
make_unready(struct conn *c)
{
	if (!c->is_ready)
		return;
	c->is_ready = false;
	TAILQ_REMOVE(&c->host->ready, c, in_ready);
	c->host->nready--;
}

/* Detaches at once: no callback of this connection fires any more. */
static void
conn_close(struct conn *c)
{
	struct http_host *h = c->host;

	if (c->state == CONN_DEAD)
		return;
	make_unready(c);
	account_body(c, 0);
	c->state = CONN_DEAD;
	if (c->req != NULL)
		c->req->conn = NULL;
	c->req = NULL;
	(void)event_del(c->timer);
	bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
	(void)bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	peer_leave(c->peer);
	c->peer = NULL;
	TAILQ_REMOVE(&h->open, c, in_list);
	TAILQ_INSERT_TAIL(&h->dead, c, in_list);
	h->counts.open--;
	wake_host(h);
}

static void
conn_free(struct conn *c)
{
	if (c->bev != NULL)
		bufferevent_free(c->bev);
	if (c->timer != NULL)
		event_free(c->timer);
	http_parse_fini(&c->parse);
	free(c);
}

/* The client is lost; the owner is told last, since it may call us back. */
static void
conn_lost(struct conn *c)
{
	struct http_host *h = c->host;
	struct http_request *req = c->req;

	conn_close(c);
	if (req == NULL)
		return;
	h->counts.gone++;
	if (h->ops->gone != NULL)
		h->ops->gone(h->owner, req);
}

/* ---- timers ---- */

/* Closing a connection at once would cut off the request that is on its way. */
static unsigned
idle_ms(const struct conn *c)
{
	if (!c->host->is_draining || out_bytes(c) > 0)
		return c->host->limits.idle_ms;
	return c->has_asked ? DRAIN_NEXT_MS : DRAIN_FIRST_MS;
}

static unsigned
handshake_ms(const struct conn *c)
{
	unsigned ms = c->host->limits.request_ms;

	return c->host->is_draining && ms > DRAIN_FIRST_MS ? DRAIN_FIRST_MS : ms;
}

/* A request's deadline is set once and not moved by its later bytes: only a new
 * state, or idling again, starts the clock anew. */
static void
set_timer(struct conn *c)
{
	const struct http_limits *l = &c->host->limits;
	const unsigned ms[CONN_NSTATES] = {
		[CONN_IDLE]	= idle_ms(c),
		[CONN_READING]	= l->request_ms,
		[CONN_HANDSHAKE] = handshake_ms(c),
		[CONN_HANDLING]	= PROBE_MS,
		[CONN_CLOSING]	= l->idle_ms,
		[CONN_LINGER]	= LINGER_MS,
	};
	struct timeval tv = { ms[c->state] / 1000, (ms[c->state] % 1000) * 1000 };

	if (c->state == CONN_DEAD || (c->timer_for == c->state && c->state != CONN_IDLE))
		return;
	c->timer_for = c->state;
	c->out_seen = out_bytes(c);
	(void)event_add(c->timer, &tv);
}

static void
restart_timer(struct conn *c)
{
	c->timer_for = CONN_DEAD;
	set_timer(c);
}

/* ---- answers ---- */

/* A small answer, which the socket mostly takes at once, needs no event for being writable:
 * two system calls and a turn of the loop less.  An error shows again when the rest is
 * written. */
static void
send_now(struct conn *c, struct evbuffer *answer)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	if (evbuffer_get_length(answer) < READ_AHEAD_BYTES && evbuffer_get_length(out) == 0 &&
	    bufferevent_openssl_get_ssl(c->bev) == NULL)
		(void)evbuffer_write(answer, bufferevent_getfd(c->bev));
	(void)evbuffer_add_buffer(out, answer);
}

static void
put_answer(struct conn *c, const struct http_answer *a)
{
	c->host->counts.responses[a->status]++;
	http_answer_put(c->host->answer, a, host_date(c->host));
	send_now(c, c->host->answer);
}

static const struct http_header problem_type[] = {
	{ { "Content-Type", 12 }, { "application/problem+json", 24 } },
	{ { NULL, 0 }, { NULL, 0 } },
};

/* Answers something that is not a request, and closes. */
static void
refuse_with(struct conn *c, enum http_refusal reason, int status, const char *why,
    const struct http_header *headers)
{
	char text[HTTP_PROBLEM_SIZE];
	struct http_answer a = {
		.status = status,
		.id = uuid_v7(),
		.type = problem_type,
		.headers = headers,
		.body = http_problem(text, status, str_of(why)),
		.minor = 1,
		.is_head = c->parse.msg.is_head,
	};

	assert(status >= 400 && status < HTTP_NSTATUSES && http_headers_are_sendable(headers));
	put_answer(c, &a);
	c->is_clean = false;
	c->state = CONN_CLOSING;
	host_refused(c->host, reason, c->parse.knows_target ? &c->parse.msg : NULL, a.id,
	    status, why);
	/* The connection may stay for a while; what it brought need not. */
	account_body(c, 0);
	http_parse_fini(&c->parse);
}

static enum http_refusal
reason_of(int status)
{
	switch (status) {
	case 408:
		return REFUSED_TIMEOUT;
	case 413:
		return REFUSED_TOO_LARGE;
	case 414:
	case 431:
		return REFUSED_HEADER_TOO_LARGE;
	case 417:
	case 501:
	case 505:
		return REFUSED_UNSUPPORTED;
	case 503:
		return REFUSED_NO_MEMORY;
	default:
		return REFUSED_BAD_REQUEST;
	}
}

static void
refuse(struct conn *c, int status, const char *why)
{
	refuse_with(c, reason_of(status), status, why, NULL);
}

/* Everything is sent.  Closing with bytes unread makes the kernel send a reset,
 * which may overtake the answer: so shut our side and wait a little. */
static void
close_sent(struct conn *c)
{
	SSL *ssl = bufferevent_openssl_get_ssl(c->bev);

	if (ssl != NULL && SSL_is_init_finished(ssl)) {
		(void)SSL_shutdown(ssl);	/* best effort: says that this was all */
		ERR_clear_error();
	}
	if (c->is_eof || (c->is_clean && in_bytes(c) == 0)) {
		conn_close(c);
		return;
	}
	(void)shutdown(bufferevent_getfd(c->bev), SHUT_WR);
	c->state = CONN_LINGER;
	discard_input(c);
}

/* Stops reading while the read-ahead is full.  Not by bufferevent's high-water
 * mark: libevent 2.1 calls the read callback again and again above it. */
static void
set_reading(struct conn *c)
{
	bool is_full = in_bytes(c) >= READ_AHEAD_BYTES;

	if (c->state == CONN_DEAD || c->is_eof || is_full == c->is_paused)
		return;
	c->is_paused = is_full;
	if (is_full)
		(void)bufferevent_disable(c->bev, EV_READ);
	else
		(void)bufferevent_enable(c->bev, EV_READ);
}

/* ---- the path of a request ---- */

static const struct http_header retry_soon[] = {
	{ { "Retry-After", 11 }, { "1", 1 } },
	{ { NULL, 0 }, { NULL, 0 } },
};

/* A body follows: the owner decides whether it is wanted, and how much of it. */
static void
judge_head(struct conn *c)
{
	struct http_host *h = c->host;
	struct http_verdict v = { .max_body_bytes = h->limits.parse.max_body_bytes };

	if (h->ops->head == NULL)
		return;
	if (h->ops->head(h->owner, &c->parse.msg, &v))
		http_parse_limit_body(&c->parse, v.max_body_bytes);
	else
		refuse_with(c, REFUSED_BY_HEAD, v.status, v.why, v.headers);
}

/* Foreign call last: the owner may answer inside. */
static void
hand_over(struct conn *c)
{
	struct http_host *h = c->host;
	struct http_request *req = calloc(1, sizeof(*req));

	if (req == NULL) {
		refuse(c, 503, "out of memory");
		return;
	}
	http_parse_take(&c->parse, &req->msg);
	account_body(c, 0);
	req->conn = c;
	req->id = uuid_v7();
	req->is_tls = bufferevent_openssl_get_ssl(c->bev) != NULL;
	memcpy(req->address, c->address, sizeof(req->address));
	c->req = req;
	c->state = CONN_HANDLING;
	c->has_asked = true;
	c->timer_for = CONN_DEAD;	/* the next request gets its own deadline */
	h->counts.requests++;
	h->ops->request(h->owner, req);
}

/* Parses one piece of the input.  False: there is none. */
static bool
parse_some(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	enum http_parse_state was = c->parse.state;
	struct evbuffer_iovec v;
	size_t used;

	if (evbuffer_get_length(in) == 0 || evbuffer_peek(in, -1, NULL, &v, 1) < 1)
		return false;
	used = http_parse_feed(&c->parse, v.iov_base, v.iov_len);
	(void)evbuffer_drain(in, used);
	if (was == PARSE_HEAD && c->parse.state == PARSE_BODY)
		judge_head(c);
	else if (c->parse.state == PARSE_BODY && !has_room_for_body(c))
		refuse_with(c, REFUSED_NO_MEMORY, 503, "too much is being received already",
		    retry_soon);
	return true;
}

static bool
wants_request(const struct conn *c)
{
	return c->state <= CONN_READING && out_bytes(c) <= c->host->limits.output_bytes;
}

/* Nothing more to parse for now: decides what the connection waits for. */
static void
settle(struct conn *c)
{
	if (c->state <= CONN_READING) {
		c->state = http_parse_is_fresh(&c->parse) ? CONN_IDLE : CONN_READING;
		if (in_bytes(c) > 0 && wants_request(c))
			make_ready(c);
		else if (in_bytes(c) == 0 && c->is_eof && c->state == CONN_READING)
			refuse(c, 400, "the request ends too early");
		else if (in_bytes(c) == 0 && c->is_eof)
			c->state = CONN_CLOSING;
		else if (http_parse_take_continue(&c->parse))
			(void)evbuffer_add(bufferevent_get_output(c->bev),
			    "HTTP/1.1 100 Continue\r\n\r\n", 25);
	}
	if (c->state == CONN_CLOSING) {
		discard_input(c);
		if (out_bytes(c) == 0)
			close_sent(c);
	}
	set_timer(c);
	set_reading(c);
}

static void
advance(struct conn *c)
{
	unsigned left = TURN_REQUESTS;

	if (c->is_advancing)
		return;
	c->is_advancing = true;
	while (left > 0 && wants_request(c) && parse_some(c)) {
		if (c->state == CONN_CLOSING)
			break;
		if (c->parse.state == PARSE_BAD)
			refuse(c, c->parse.status, c->parse.why);
		if (c->parse.state == PARSE_DONE) {
			hand_over(c);
			left--;
		}
	}
	c->is_advancing = false;
	settle(c);
}

/* ---- TLS ---- */

/* A flood of them is not to become one of lines; who just looks whether the port is open
 * (a balancer does, each second) is none of them. */
static void
log_handshake(struct conn *c, enum tls_failure why, unsigned long error)
{
	char text[160] = "";
	struct timeval now;

	(void)event_base_gettimeofday_cached(c->host->base, &now);
	if (why == TLS_GONE || now.tv_sec - c->host->handshake_logged_s < HANDSHAKE_LOG_EVERY_S)
		return;
	c->host->handshake_logged_s = now.tv_sec;
	if (error != 0)
		ERR_error_string_n(error, text, sizeof(text));
	log_warn("tls_handshake_failed", F_TEXT("reason", tls_failure_name(why)),
	    F_TEXT(error != 0 ? "error" : NULL, text));
}

static void
fail_handshake(struct conn *c, enum tls_failure why, unsigned long error)
{
	c->host->counts.handshake_failures[why]++;
	log_handshake(c, why, error);
	conn_close(c);
}

static void
end_handshake(struct conn *c)
{
	c->host->counts.handshakes++;
	c->state = CONN_IDLE;
	set_timer(c);
}

static void
lose_handshake(struct conn *c)
{
	unsigned long error = bufferevent_get_openssl_error(c->bev);

	fail_handshake(c, tls_failure_of(error), error);
}

/* ---- libevent's callbacks ---- */

static void
on_readable(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (c->state >= CONN_CLOSING)
		discard_input(c);
	else if (c->state <= CONN_READING)
		advance(c);
	set_reading(c);
}

/* The output is empty. */
static void
on_sent(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (c->state == CONN_CLOSING) {
		close_sent(c);
		set_timer(c);
	} else if (c->state <= CONN_READING && in_bytes(c) > 0)
		advance(c);
	else if (c->state == CONN_IDLE && c->host->is_draining)
		restart_timer(c);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (what & BEV_EVENT_CONNECTED) {
		end_handshake(c);
		return;
	}
	if (c->state == CONN_HANDSHAKE) {
		lose_handshake(c);
		ERR_clear_error();
		return;
	}
	if (!(what & BEV_EVENT_EOF)) {
		ERR_clear_error();
		conn_lost(c);
		return;
	}
	c->is_eof = true;
	if (c->state == CONN_LINGER)
		conn_close(c);
	else if (c->state <= CONN_READING)
		advance(c);
}

static void
time_idle(struct conn *c)
{
	if (out_bytes(c) < c->out_seen) {
		restart_timer(c);	/* slow, but it is reading our answer */
	} else if (c->state == CONN_IDLE && c->host->is_draining && out_bytes(c) == 0) {
		c->state = CONN_CLOSING;
		settle(c);
	} else {
		conn_lost(c);
	}
}

static void
time_reading(struct conn *c)
{
	refuse(c, 408, "the request did not arrive in time");
	settle(c);
}

static void
time_handshake(struct conn *c)
{
	fail_handshake(c, TLS_TIMED_OUT, 0);
}

static void
time_handling(struct conn *c)
{
	struct pollfd pfd = { .fd = bufferevent_getfd(c->bev), .events = POLLRDHUP };

	if (poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLERR | POLLHUP)) != 0)
		conn_lost(c);
	else
		restart_timer(c);
}

static void (*const on_timer[CONN_NSTATES])(struct conn *) = {
	[CONN_IDLE]	= time_idle,
	[CONN_READING]	= time_reading,
	[CONN_HANDSHAKE] = time_handshake,
	[CONN_HANDLING]	= time_handling,
	[CONN_CLOSING]	= time_idle,
	[CONN_LINGER]	= conn_close,
	[CONN_DEAD]	= conn_close,
};

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	/* Answered since, perhaps in this very turn of the loop: the time that is over is
	 * that of a state which is over too. */
	if (c->timer_for != c->state) {
		restart_timer(c);
		return;
	}
	c->timer_for = CONN_DEAD;
	on_timer[c->state](c);
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct http_host *h = arg;
	size_t n = h->nready;	/* those that become ready meanwhile: next time */
	struct conn *c;

	(void)fd;
	(void)what;
	while (n-- > 0 && (c = TAILQ_FIRST(&h->ready)) != NULL) {
		make_unready(c);
		advance(c);
	}
	while ((c = TAILQ_FIRST(&h->dead)) != NULL) {
		TAILQ_REMOVE(&h->dead, c, in_list);
		conn_free(c);
	}
}

/* ---- what http_server.c calls ---- */

static void
name_address(char out[INET6_ADDRSTRLEN], const struct sockaddr *sa)
{
	const void *in4 = &((const struct sockaddr_in *)(const void *)sa)->sin_addr;
	const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

	if (sa->sa_family == AF_INET)
		(void)evutil_inet_ntop(AF_INET, in4, out, INET6_ADDRSTRLEN);
	else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(in6))
		(void)evutil_inet_ntop(AF_INET, in6->s6_addr + 12, out, INET6_ADDRSTRLEN);
	else if (sa->sa_family == AF_INET6)
		(void)evutil_inet_ntop(AF_INET6, in6, out, INET6_ADDRSTRLEN);
}

bool
conn_open(struct http_host *h, struct bufferevent *take_bev, struct peer *take_peer,
    const struct sockaddr *sa)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return false;
	c->timer = evtimer_new(h->base, on_time, c);
	if (c->timer == NULL) {
		free(c);
		return false;
	}
	c->host = h;
	c->state = bufferevent_openssl_get_ssl(take_bev) != NULL ? CONN_HANDSHAKE : CONN_IDLE;
	c->bev = take_bev;
	c->peer = take_peer;
	c->timer_for = CONN_DEAD;
	name_address(c->address, sa);
	http_parse_init(&c->parse, &h->limits.parse);
	TAILQ_INSERT_TAIL(&h->open, c, in_list);
	h->counts.open++;
	h->counts.accepted++;
	bufferevent_setcb(c->bev, on_readable, on_sent, on_event, c);
	/* Writing is enabled from the start; doing it again costs a wake-up. */
	(void)bufferevent_enable(c->bev, EV_READ);
	set_timer(c);
	return true;
}

bool
host_init(struct http_host *h, struct event_base *base)
{
	h->base = base;
	TAILQ_INIT(&h->open);
	TAILQ_INIT(&h->ready);
	TAILQ_INIT(&h->dead);
	h->date_at_s = -1;
	h->turn = event_new(base, -1, 0, on_turn, h);
	h->answer = evbuffer_new();
	return h->turn != NULL && h->answer != NULL;
}

void
host_fini(struct http_host *h)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&h->open)) != NULL)
		conn_close(c);
	while ((c = TAILQ_FIRST(&h->dead)) != NULL) {
		TAILQ_REMOVE(&h->dead, c, in_list);
		conn_free(c);
	}
	if (h->turn != NULL)
		event_free(h->turn);
	if (h->answer != NULL)
		evbuffer_free(h->answer);
}

void
host_drain(struct http_host *h)
{
	struct conn *c;

	h->is_draining = true;
	TAILQ_FOREACH(c, &h->open, in_list)
		if (c->state == CONN_IDLE || c->state == CONN_HANDSHAKE)
			restart_timer(c);
}

const char *
host_date(struct http_host *h)
{
	struct timeval now;

	if (event_base_gettimeofday_cached(h->base, &now) == 0 && now.tv_sec != h->date_at_s) {
		h->date_at_s = now.tv_sec;
		http_date(h->date, h->date_at_s);
	}
	return h->date;
}

void
host_refused(struct http_host *h, enum http_refusal reason, const struct http_message *m,
    struct uuid id, int status, const char *why)
{
	h->counts.refused[reason]++;
	if (h->ops->refused != NULL)
		h->ops->refused(h->owner, m, id, status, why);
}

/* ---- the request, for its owner ---- */

static void
request_free(struct http_request *req)
{
	http_message_fini(&req->msg);
	free(req);
}

static void
send_answer(struct conn *c, const struct http_request *req, struct http_answer *a)
{
	a->id = req->id;
	a->minor = req->msg.minor;
	a->is_head = req->msg.is_head;
	a->keep_alive = req->msg.keep_alive && !c->host->is_draining;
	put_answer(c, a);
	c->req = NULL;
	c->is_clean = !req->msg.keep_alive;
	c->state = a->keep_alive ? CONN_IDLE : CONN_CLOSING;
	if (!c->is_advancing)
		make_ready(c);	/* what is pipelined waits for our caller to finish */
}

static void
reply(struct http_request *take_req, struct http_answer *a)
{
	assert(a->status >= 200 && a->status < HTTP_NSTATUSES);
	if (take_req->conn != NULL)
		send_answer(take_req->conn, take_req, a);
	request_free(take_req);
}

static void
reply_problem(struct http_request *take_req, int status, const struct http_header *headers,
    struct str detail)
{
	char text[HTTP_PROBLEM_SIZE];
	struct http_answer a = {
		.status = status,
		.type = problem_type,
		.headers = headers,
		.body = http_problem(text, status, detail),
	};

	reply(take_req, &a);
}

void
http_reply(struct http_request *take_req, int status, const struct http_header *headers,
    const char *body, size_t len)
{
	struct http_answer a = { .status = status, .headers = headers, .body = { body, len } };

	if (http_headers_are_sendable(headers))
		reply(take_req, &a);
	else
		reply_problem(take_req, 500, NULL, STR("the answer could not be sent"));
}

void
http_reply_problem(struct http_request *take_req, int status,
    const struct http_header *headers, struct str detail)
{
	if (http_headers_are_sendable(headers))
		reply_problem(take_req, status, headers, detail);
	else
		reply_problem(take_req, 500, NULL, STR("the answer could not be sent"));
}
