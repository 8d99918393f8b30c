/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Posts the events over HTTP/1.1 keep-alive connections, plain or (https) through TLS
 * without asking whose certificate it is, and counts what became of them.
 *
 * Closed loop: a connection sends its next request as soon as it has the answer to
 * the last.  Paced (-r): request i is due i/rate seconds after the start, on
 * connection i modulo their number; one that is late because the answer before it
 * was late is timed from when it was due, so that a stall is not hidden by the
 * requests that it kept from being sent.
 */
#include "tests/bench/load.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/uuid.h"
#include "tests/bench/reply.h"
#include "tests/bench/request.h"

enum {
	BODY_MAX_BYTES = 256 << 20,
	WAIT_EVENTS = 64,		/* taken from epoll at once */
	STALL_MS = 60000,		/* without any answer: give up */
};

enum fate { LOGGED, DUPLICATE, SPOOLED, PARKED, REJECTED, NFATES };

struct fate_name {
	const char	*of_one, *of_many;	/* in answers; of_many is printed too */
};

static const struct fate_name fate_names[NFATES] = {
	[LOGGED]    = { "logged", "logged" },
	[DUPLICATE] = { "duplicate", "duplicates" },
	[SPOOLED]   = { "spooled", "spooled" },
	[PARKED]    = { "parked", "parked" },
	[REJECTED]  = { NULL, "rejected" },
};

struct url {
	char		 host[64];	/* a numeric IPv4 address */
	const char	*path;		/* borrowed */
	struct sockaddr_in address;
	bool		 is_tls;
};

struct conn {
	int		 fd;
	SSL		*ssl;		/* ours; NULL: plain */
	struct load_run	*run;		/* outlives us */
	int64_t		 request;	/* the one in flight, or -1 */
	int64_t		 next;		/* paced: the request that is ours next */
	int64_t		 n_due;		/* paced: of ours, due and not yet sent */
	int64_t		 since_us;	/* when the one in flight was due */
	size_t		 sent;		/* bytes */
	bool		 is_blocked;	/* waits for room to send */
	struct buf	 reply;
};

struct load_run {
	const struct load_conf	*conf;
	struct url		 url;
	SSL_CTX			*tls;		/* ours; NULL: plain */
	const struct request_kind *kind;
	int			 epoll_fd;
	struct conn		*conns;		/* ours */
	struct buf		 requests;	/* all, one after the other */
	size_t			*at;		/* ours; where each starts, and where the last ends */
	int64_t			 n_requests, n_started, n_done;
	int64_t			 start_us;
	uint32_t		*latency_us;	/* ours; by order of answers */
	int64_t			 fates[NFATES];
	int64_t			 statuses[REPLY_STATUS_END];	/* answers */
	struct uuid		 ids_xor;	/* of all ids acknowledged as logged or spooled */
};

static void
url_parse(struct url *ret_url, const char *text)
{
	struct str rest = str_of(text), scheme, host, port;
	int64_t number;

	scheme = str_cut(&rest, ':');
	ret_url->is_tls = str_eq(scheme, STR("https"));
	if ((!ret_url->is_tls && !str_eq(scheme, STR("http"))) || !str_starts(rest, STR("//")))
		errx(2, "%s: not http[s]://ADDRESS:PORT/PATH", text);
	rest = str_skip(rest, 2);
	ret_url->path = strchr(rest.p, '/');
	port = str_cut(&rest, '/');
	host = str_cut(&port, ':');
	(void)snprintf(ret_url->host, sizeof(ret_url->host), "%.*s", STR_ARG(host));
	ret_url->address.sin_family = AF_INET;
	if (ret_url->path == NULL || !str_to_i64(port, 1, UINT16_MAX, &number) ||
	    inet_pton(AF_INET, ret_url->host, &ret_url->address.sin_addr) != 1)
		errx(2, "%s: not http[s]://ADDRESS:PORT/PATH", text);
	ret_url->address.sin_port = htons((uint16_t)number);
}

static void
add_request(struct load_run *run, const struct buf *body)
{
	struct buf *out = &run->requests;

	buf_printf(out, "POST %s HTTP/1.1\r\nHost: %s:%u\r\nContent-Type: %s\r\n"
	    "Content-Length: %zu\r\n", run->url.path, run->url.host,
	    ntohs(run->url.address.sin_port), run->kind->type, body->n);
	run->kind->sign(out, run->conf->secret, buf_str(body));
	buf_text(out, "\r\n");
	buf_str_add(out, buf_str(body));
}

static int64_t
events_in(const struct load_run *run, int64_t request)
{
	const int64_t step = run->conf->n_batch, left = run->conf->n_events - request * step;

	return left < step ? left : step;
}

static void
make_requests(struct load_run *run)
{
	struct buf body;

	buf_init(&body, BODY_MAX_BYTES);
	buf_init(&run->requests, SIZE_MAX / 4);
	run->n_requests = (run->conf->n_events + run->conf->n_batch - 1) / run->conf->n_batch;
	run->at = calloc((size_t)run->n_requests + 1, sizeof(*run->at));
	run->latency_us = calloc((size_t)run->n_requests, sizeof(*run->latency_us));
	if (run->at == NULL || run->latency_us == NULL)
		err(1, "calloc");
	for (int64_t i = 0; i < run->n_requests; i++) {
		request_body(run->kind, run->conf, i * run->conf->n_batch, events_in(run, i), &body);
		add_request(run, &body);
		run->at[i + 1] = run->requests.n;
		if (!buf_ok(&body) || !buf_ok(&run->requests))
			errx(1, "no memory for the requests; make -n less");
	}
	buf_fini(&body);
}

static void
conn_start_tls(struct conn *c)
{
	c->ssl = SSL_new(c->run->tls);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1)
		errx(1, "TLS with %s failed", c->run->conf->target);
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0)
		err(1, "fcntl");
}

/* As send() and recv() without blocking. */
static ssize_t
tls_result(const struct conn *c, int ret)
{
	const int why = ret > 0 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, ret);

	if (why == SSL_ERROR_NONE)
		return ret;
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
	return -1;
}

static ssize_t
link_send(const struct conn *c, const char *bytes, size_t n)
{
	if (c->ssl == NULL)
		return send(c->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	return tls_result(c, SSL_write(c->ssl, bytes, n < INT32_MAX ? (int)n : INT32_MAX));
}

static ssize_t
link_receive(const struct conn *c, char *room, size_t n)
{
	if (c->ssl == NULL)
		return recv(c->fd, room, n, MSG_DONTWAIT);
	return tls_result(c, SSL_read(c->ssl, room, (int)n));
}

static void
conn_open(struct load_run *run, int64_t i)
{
	struct conn *c = &run->conns[i];
	struct epoll_event want = { .events = EPOLLIN, .data.ptr = c };
	const int one = 1;

	*c = (struct conn){ .run = run, .request = -1, .next = i };
	buf_init(&c->reply, REPLY_MAX_BYTES);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&run->url.address,
	    sizeof(run->url.address)) != 0)
		err(1, "connect %s", run->conf->target);
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (run->tls != NULL)
		conn_start_tls(c);
	if (epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, c->fd, &want) != 0)
		err(1, "epoll_ctl");
}

static void
conn_set_blocked(struct conn *c, bool is_blocked)
{
	struct epoll_event want = { .events = EPOLLIN, .data.ptr = c };

	if (c->is_blocked == is_blocked)
		return;
	c->is_blocked = is_blocked;
	if (is_blocked)
		want.events |= EPOLLOUT;
	if (epoll_ctl(c->run->epoll_fd, EPOLL_CTL_MOD, c->fd, &want) != 0)
		err(1, "epoll_ctl");
}

static void
conn_send(struct conn *c)
{
	const struct load_run *run = c->run;
	const size_t from = run->at[c->request], len = run->at[c->request + 1] - from;

	while (c->sent < len) {
		const ssize_t n = link_send(c, run->requests.p + from + c->sent, len - c->sent);

		if (n < 0 && errno == EAGAIN) {
			conn_set_blocked(c, true);
			return;
		}
		if (n < 0)
			err(1, "send");
		c->sent += (size_t)n;
	}
	conn_set_blocked(c, false);
}

static void
conn_start(struct conn *c, int64_t request, int64_t since_us)
{
	c->request = request;
	c->since_us = since_us;
	c->sent = 0;
	c->run->n_started++;
	conn_send(c);
}

static int64_t
due_us(const struct load_run *run, int64_t request)
{
	return run->start_us + request * 1000000 / run->conf->rate;
}

/* Gives an idle connection its next request, if there is one for it by now. */
static void
conn_go_on(struct conn *c)
{
	struct load_run *run = c->run;

	if (run->conf->rate == 0) {
		if (run->n_started < run->n_requests)
			conn_start(c, run->n_started, clock_mono_us());
	} else if (c->n_due > 0) {
		c->n_due--;
		conn_start(c, c->next, due_us(run, c->next));
		c->next += run->conf->n_conns;
	}
}

static void
note_id(struct load_run *run, const char *quoted)
{
	struct uuid id;

	if (quoted == NULL || *quoted != '"' ||
	    !uuid_parse((struct str){ quoted + 1, strnlen(quoted + 1, UUID_TEXT_SIZE - 1) }, &id))
		errx(1, "an acknowledgement without an id");
	for (int i = 0; i < UUID_BYTES; i++)
		run->ids_xor.b[i] ^= id.b[i];
}

static void
count_one(struct load_run *run, const char *body)
{
	const char *status = reply_member(body, "status");

	for (int i = 0; i < NFATES && status != NULL && *status == '"'; i++) {
		const char *name = fate_names[i].of_one;

		if (name == NULL || strncmp(status + 1, name, strlen(name)) != 0 ||
		    status[strlen(name) + 1] != '"')
			continue;
		run->fates[i]++;
		if (i == LOGGED || i == SPOOLED)
			note_id(run, reply_member(body, "id"));
		return;
	}
	run->fates[REJECTED]++;
}

static void
note_ids(struct load_run *run, const char *list)
{
	for (const char *p = list; p != NULL && *p != ']' && *p != '\0'; p++) {
		if (*p != '"')
			continue;
		note_id(run, p);
		p += UUID_TEXT_SIZE;	/* to its closing quote */
	}
}

static void
count_many(struct load_run *run, const char *body, int64_t n_events)
{
	int64_t n_known = 0;

	for (int i = 0; i < REJECTED; i++) {
		const char *value = reply_member(body, fate_names[i].of_many);
		const int64_t n = value != NULL ? strtoll(value, NULL, 10) : 0;

		run->fates[i] += n;
		n_known += n;
	}
	run->fates[REJECTED] += n_events - n_known;
	note_ids(run, reply_member(body, "ids"));
}

static void
settle(struct conn *c, int status, const char *body)
{
	struct load_run *run = c->run;
	const int64_t took_us = clock_mono_us() - c->since_us;

	if (c->request < 0 || c->is_blocked)
		errx(1, "%d before the request was sent: %.200s", status, body);
	run->latency_us[run->n_done++] = took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX;
	if (run->statuses[status]++ == 0 && status != 200)
		warnx("%d: %.200s", status, body);
	if (status != 200 && status != 202)
		run->fates[REJECTED] += events_in(run, c->request);
	else if (run->kind->is_many)
		count_many(run, body, events_in(run, c->request));
	else
		count_one(run, body);
	c->request = -1;
	conn_go_on(c);
}

/* False: there is nothing more for now. */
static bool
conn_receive_some(struct conn *c)
{
	const size_t had = c->reply.n;
	char *at = buf_space(&c->reply, REPLY_ROOM_BYTES);
	struct reply reply;
	ssize_t n;

	if (at == NULL)
		errx(1, "a reply of more than %d bytes", REPLY_MAX_BYTES);
	n = link_receive(c, at, REPLY_ROOM_BYTES - 1);
	if (n < 0 && errno != EAGAIN)
		err(1, "recv");
	if (n == 0)
		errx(1, "the server closed a connection%s", c->request < 0 ? "" :
		    " without an answer");
	c->reply.n = had + (size_t)(n < 0 ? 0 : n);
	c->reply.p[c->reply.n] = '\0';	/* there is room for it: see recv() */
	if (n > 0 && reply_read(buf_str(&c->reply), &reply)) {
		buf_clear(&c->reply);
		settle(c, reply.status, reply.body);
	}
	return n > 0;
}

/* epoll knows nothing of what TLS has taken in already. */
static void
conn_receive(struct conn *c)
{
	while (conn_receive_some(c) && c->ssl != NULL && SSL_has_pending(c->ssl) == 1)
		;
}

/* Paced: hands out what is due by now; the time until the next is, in us. */
static int64_t
hand_out(struct load_run *run, int64_t *next)
{
	const int64_t now_us = clock_mono_us();

	while (*next < run->n_requests) {
		struct conn *c = &run->conns[*next % run->conf->n_conns];

		if (due_us(run, *next) > now_us)
			return due_us(run, *next) - now_us;
		++*next;
		c->n_due++;
		if (c->request < 0)
			conn_go_on(c);
	}
	return STALL_MS * (int64_t)1000;
}

static void
serve(struct load_run *run, int64_t wait_us)
{
	const struct timespec wait = { .tv_sec = wait_us / 1000000,
		.tv_nsec = wait_us % 1000000 * 1000 };
	struct epoll_event ready[WAIT_EVENTS];
	/* epoll_wait()'s milliseconds are too coarse to pace by. */
	const int n = epoll_pwait2(run->epoll_fd, ready, WAIT_EVENTS, &wait, NULL);

	if (n < 0 && errno != EINTR)
		err(1, "epoll_pwait2");
	if (n == 0 && wait_us >= STALL_MS * (int64_t)1000)
		errx(1, "no answer for %d s", STALL_MS / 1000);
	for (int i = 0; i < n; i++) {
		struct conn *c = ready[i].data.ptr;

		if (ready[i].events & EPOLLOUT)
			conn_send(c);
		if (ready[i].events & ~(uint32_t)EPOLLOUT)
			conn_receive(c);
	}
}

static void
run_all(struct load_run *run)
{
	int64_t next = 0, wait_us = STALL_MS * (int64_t)1000;

	run->start_us = clock_mono_us();
	for (int64_t i = 0; run->conf->rate == 0 && i < run->conf->n_conns; i++)
		conn_go_on(&run->conns[i]);
	while (run->n_done < run->n_requests) {
		if (run->conf->rate > 0)
			wait_us = hand_out(run, &next);
		serve(run, wait_us);
	}
}

static int
compare(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void
report(struct load_run *run, const struct load_cost *cost)
{
	const size_t n = (size_t)run->n_done;
	char ids[UUID_TEXT_SIZE];

	load_report(run->kind->name, run->conf, cost);
	for (int i = 0; i < NFATES; i++)
		printf(" %s=%" PRId64, fate_names[i].of_many, run->fates[i]);
	for (int i = 0; i < REPLY_STATUS_END; i++)
		if (run->statuses[i] > 0)
			printf(" http_%d=%" PRId64, i, run->statuses[i]);
	qsort(run->latency_us, n, sizeof(*run->latency_us), compare);
	printf(" p50_ms=%.3f p90_ms=%.3f p99_ms=%.3f max_ms=%.3f",
	    run->latency_us[n / 2] / 1e3, run->latency_us[n * 90 / 100] / 1e3,
	    run->latency_us[n * 99 / 100] / 1e3, run->latency_us[n - 1] / 1e3);
	uuid_text(run->ids_xor, ids);
	printf(" ids_xor=%s\n", ids);
}

static void
run_fini(struct load_run *run)
{
	for (int64_t i = 0; i < run->conf->n_conns; i++) {
		SSL_free(run->conns[i].ssl);
		(void)close(run->conns[i].fd);
		buf_fini(&run->conns[i].reply);
	}
	(void)close(run->epoll_fd);
	SSL_CTX_free(run->tls);
	free(run->conns);
	free(run->at);
	free(run->latency_us);
	buf_fini(&run->requests);
}

static void
post(const struct load_conf *conf, const struct request_kind *kind)
{
	struct load_run run = { .conf = conf, .kind = kind,
		.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
		.conns = calloc((size_t)conf->n_conns, sizeof(*run.conns)) };
	struct load_cost cost;

	if (run.epoll_fd < 0 || run.conns == NULL)
		err(1, "start");
	url_parse(&run.url, conf->target);
	if (run.url.is_tls && (run.tls = SSL_CTX_new(TLS_client_method())) == NULL)
		errx(1, "no TLS");
	if (run.tls != NULL)
		(void)SSL_CTX_set_mode(run.tls, SSL_MODE_ENABLE_PARTIAL_WRITE);
	make_requests(&run);
	for (int64_t i = 0; i < conf->n_conns; i++)
		conn_open(&run, i);
	/* Whoever measures across an event of his own waits for this line. */
	puts("started");
	(void)fflush(stdout);
	cost.cpu_us = load_cpu_us();
	run_all(&run);
	cost.took_us = clock_mono_us() - run.start_us;
	cost.cpu_us = load_cpu_us() - cost.cpu_us;
	report(&run, &cost);
	run_fini(&run);
}

void
load_post(const struct load_conf *conf)
{
	if (conf->n_batch != 1)
		errx(2, "post is one event a request; use ndjson");
	post(conf, &request_post);
}

void
load_ndjson(const struct load_conf *conf)
{
	post(conf, &request_ndjson);
}

void
load_sendgrid(const struct load_conf *conf)
{
	post(conf, &request_sendgrid);
}
