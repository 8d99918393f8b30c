/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outgoing mail: who waits, and the connections.
 *
 * A mail waits in a queue until a connection is free or another may be made.  A connection that
 * has sent its mail takes the next one, or idles for some seconds: a burst costs one login.
 *
 * libcurl's handle stays in its multi as long as the connection is used: taken out, nothing can
 * be sent on it.  Taken out at the end, it just closes (it says no QUIT, for which it would
 * wait).
 */
#include "io/smtp_client.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "io/curl_loop.h"

enum {
	SECOND_US	 = 1000 * 1000,
	READ_BYTES	 = 4096,
	IDLE_MS		 = 5000,
	/* RFC 5321 4.5.3.2.6: a server may look at the message for long, and who gives up then
	 * sends it twice. */
	LAST_ANSWER_TIMES = 5,
	HELO_BYTES	 = 256,
};

/* A server's settings, ours, as long as a connection uses them. */
struct settings {
	struct smtp_server	 server;
	char			*url;		/* with our name as its path: what libcurl greets with */
	char			 helo[HELO_BYTES];
	size_t			 nusers;
	bool			 is_old;
};

struct smtp_send {
	TAILQ_ENTRY(smtp_send)	 in_list;	/* while it waits */
	struct smtp_client	*client;
	struct smtp_conn	*conn;		/* that has it; NULL: it waits */
	struct smtp_mail	 mail;		/* its bytes stand behind this struct */
	void			(*done)(void *arg, const struct smtp_result *result);
	void			*arg;
	int64_t			 until_us;	/* clock_mono_us(): it waits, or is sent, no longer */
};

struct smtp_conn {
	TAILQ_ENTRY(smtp_conn)	 in_list;
	struct smtp_client	*client;
	struct settings		*settings;	/* held */
	CURL			*easy;		/* ours */
	struct event		*readable, *writable;	/* ours; NULL until it is connected */
	struct event		*timer;		/* ours */
	struct smtp_talk	 talk;		/* ours */
	size_t			 nsent;		/* bytes of talk.out */
	struct smtp_send	*send;		/* NULL: idle */
	unsigned		 nmails;	/* it was given */
	char			 why[CURL_ERROR_SIZE];
};

struct smtp_client {
	struct event_base	*base;		/* the caller's */
	struct curl_loop	*loop;		/* ours */
	struct event		*wake;		/* ours: connections are to be found */
	struct event		*tick;		/* ours: who has waited too long */
	struct settings		*settings;	/* held: of new connections */
	TAILQ_HEAD(, smtp_send)	 waiting;
	TAILQ_HEAD(, smtp_conn)	 conns;
	unsigned		 nconns;
};

/* ---- settings ---- */

static void
settings_free(struct settings *s)
{
	union { const char *p; char *ours; } url = { s->server.url }, user = { s->server.user },
	    secret = { s->server.secret }, ca = { s->server.ca_file }, helo = { s->server.helo };

	free(url.ours);
	free(user.ours);
	if (secret.ours != NULL)
		explicit_bzero(secret.ours, strlen(secret.ours));
	free(secret.ours);
	free(ca.ours);
	free(helo.ours);
	free(s->url);
	free(s);
}

static void
settings_release(struct settings *s)
{
	if (--s->nusers == 0 && s->is_old)
		settings_free(s);
}

static void
settings_retire(struct settings *s)
{
	if (s == NULL)
		return;
	s->is_old = true;
	if (s->nusers == 0)
		settings_free(s);
}

/* What a server can do nothing with becomes "localhost". */
static void
choose_helo(struct settings *s, const char *wanted)
{
	if (wanted != NULL)
		(void)snprintf(s->helo, sizeof(s->helo), "%s", wanted);
	else if (gethostname(s->helo, sizeof(s->helo)) != 0)
		s->helo[0] = '\0';
	s->helo[sizeof(s->helo) - 1] = '\0';
	if (s->helo[0] == '\0' || s->helo[strspn(s->helo,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-[]:")] != '\0')
		(void)snprintf(s->helo, sizeof(s->helo), "localhost");
}

static bool
copy_text(const char *text, const char **ret)
{
	*ret = text != NULL ? strdup(text) : NULL;
	return text == NULL || *ret != NULL;
}

static struct settings *
settings_new(const struct smtp_server *server)
{
	struct settings *s = calloc(1, sizeof(*s));
	size_t len = strlen(server->url);

	if (s == NULL)
		return NULL;
	choose_helo(s, server->helo);
	while (len > 0 && server->url[len - 1] == '/')
		len--;
	s->server.needs_tls = server->needs_tls;
	s->server.timeout_ms = server->timeout_ms;
	s->server.connections = server->connections;
	if (copy_text(server->url, &s->server.url) && copy_text(server->user, &s->server.user) &&
	    copy_text(server->secret, &s->server.secret) &&
	    copy_text(server->ca_file, &s->server.ca_file) &&
	    copy_text(server->helo, &s->server.helo)) {
		if (asprintf(&s->url, "%.*s/%s", (int)len, server->url, s->helo) >= 0)
			return s;
		s->url = NULL;
	}
	settings_free(s);
	return NULL;
}

static bool
is_same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
is_same(const struct smtp_server *a, const struct smtp_server *b)
{
	return is_same_text(a->url, b->url) && is_same_text(a->user, b->user) &&
	    is_same_text(a->secret, b->secret) && is_same_text(a->ca_file, b->ca_file) &&
	    is_same_text(a->helo, b->helo) && a->needs_tls == b->needs_tls &&
	    a->timeout_ms == b->timeout_ms && a->connections == b->connections;
}

/* ---- the end of a connection, and of a mail ---- */

static void
conn_free(struct smtp_conn *c)
{
	struct smtp_client *client = c->client;

	TAILQ_REMOVE(&client->conns, c, in_list);
	client->nconns--;
	if (c->readable != NULL)
		event_free(c->readable);
	if (c->writable != NULL)
		event_free(c->writable);
	if (c->timer != NULL)
		event_free(c->timer);
	if (c->easy != NULL) {
		curl_loop_remove(client->loop, c->easy);
		curl_easy_cleanup(c->easy);
	}
	smtp_talk_fini(&c->talk);
	settings_release(c->settings);
	free(c);
}

/* The last word, which nobody waits for. */
static void
say_quit(struct smtp_conn *c)
{
	static const char quit[] = "QUIT\r\n";
	size_t n;

	if (c->readable != NULL && c->nsent == c->talk.out.n)
		(void)curl_easy_send(c->easy, quit, sizeof(quit) - 1, &n);
}

static void
wake(struct smtp_client *client)
{
	event_active(client->wake, 0, 0);
}

/* An idle connection may have been closed by the server just as it was taken: the mail goes by
 * another one then, as if nothing had been. */
static bool
was_stale(const struct smtp_conn *c)
{
	return c->nmails > 1 && !c->talk.has_begun && c->talk.result.end == SMTP_LATER;
}

static void
wait_again(struct smtp_conn *c)
{
	struct smtp_client *client = c->client;

	c->send->conn = NULL;
	TAILQ_INSERT_HEAD(&client->waiting, c->send, in_list);
	conn_free(c);
	wake(client);
}

static void
set_timer(struct smtp_conn *c, int64_t after_ms)
{
	const struct timeval tv = { after_ms / 1000, after_ms % 1000 * 1000 };

	(void)event_add(c->timer, &tv);
}

/* The mail of this connection has come to its end.  Who is told may send another, so all else
 * is done before. */
static void
end_send(struct smtp_conn *c)
{
	struct smtp_client *client = c->client;
	const struct smtp_result result = c->talk.result;
	struct smtp_send *s = c->send;

	if (c->talk.state == SMTP_OVER && was_stale(c)) {
		wait_again(c);
		return;
	}
	c->send = NULL;
	/* Half a message that was answered early cannot be taken back. */
	if (c->talk.state == SMTP_OVER || c->nsent < c->talk.out.n || c->settings->is_old)
		conn_free(c);
	else
		set_timer(c, IDLE_MS);
	wake(client);
	s->done(s->arg, &result);
	free(s);
}

/* The connection is of no use any more. */
static void
conn_lost(struct smtp_conn *c, const char *why)
{
	struct smtp_client *client = c->client;

	smtp_talk_lost(&c->talk, why);
	if (c->send != NULL) {
		end_send(c);
		return;
	}
	conn_free(c);
	wake(client);
}

/* ---- what happens on a connection ---- */

static void
watch_time(struct smtp_conn *c)
{
	int64_t ms = c->settings->server.timeout_ms;
	int64_t left_ms = INT64_MAX;

	if (c->talk.state == SMTP_BODY)
		ms *= LAST_ANSWER_TIMES;
	if (c->send != NULL)
		left_ms = (c->send->until_us - clock_mono_us()) / 1000;
	set_timer(c, left_ms < 0 ? 0 : ms < left_ms ? ms : left_ms);
}

/* After AGAIN libcurl wants the same bytes at the same address again: nothing is added to what
 * is being sent. */
static bool
flush(struct smtp_conn *c)
{
	struct buf *out = &c->talk.out;
	CURLcode code = CURLE_OK;
	size_t n;

	while (c->nsent < out->n && code == CURLE_OK) {
		code = curl_easy_send(c->easy, out->p + c->nsent, out->n - c->nsent, &n);
		if (code == CURLE_OK)
			c->nsent += n;
	}
	if (code == CURLE_AGAIN)
		return event_add(c->writable, NULL) == 0;
	if (code == CURLE_OK) {
		buf_clear(out);
		c->nsent = 0;
	}
	return code == CURLE_OK;
}

static void
go_on(struct smtp_conn *c)
{
	if (flush(c))
		watch_time(c);
	else
		conn_lost(c, "the connection to the mail server broke");
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	go_on(arg);
}

/* Reads all there is: of TLS, bytes may wait in here that the socket does not tell of. */
static void
read_all(struct smtp_conn *c)
{
	char bytes[READ_BYTES];
	CURLcode code;
	size_t n;

	while ((code = curl_easy_recv(c->easy, bytes, sizeof(bytes), &n)) == CURLE_OK && n > 0) {
		if (smtp_talk_input(&c->talk, (struct str){ bytes, n })) {
			if (c->send != NULL)
				end_send(c);
			else
				conn_lost(c, "");
			return;
		}
		if (c->nsent == 0 && c->talk.out.n > 0 && !flush(c))
			break;
	}
	if (code == CURLE_AGAIN)
		go_on(c);
	else
		conn_lost(c, "the mail server closed the connection");
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	read_all(arg);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct smtp_conn *c = arg;

	(void)fd;
	(void)what;
	if (c->send == NULL)
		say_quit(c);
	conn_lost(c, "the mail server took too long");
}

/* ---- connecting ---- */

static bool
watch(struct smtp_conn *c)
{
	curl_socket_t fd;

	if (curl_easy_getinfo(c->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
	    fd == CURL_SOCKET_BAD)
		return false;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	c->readable = event_new(c->client->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(c->client->base, fd, EV_WRITE, on_writable, c);
	return c->readable != NULL && c->writable != NULL && event_add(c->readable, NULL) == 0;
}

/* libcurl is through: connected, with TLS and logged in; or not. */
static void
on_connected(CURL *easy, CURLcode code)
{
	struct smtp_conn *c = curl_private(easy);

	if (code != CURLE_OK) {
		conn_lost(c, c->why[0] != '\0' ? c->why : curl_easy_strerror(code));
		return;
	}
	if (!watch(c)) {
		conn_lost(c, "out of memory");
		return;
	}
	smtp_talk_hello(&c->talk);
	go_on(c);
}

static bool
set_options(struct smtp_conn *c)
{
	const struct smtp_server *s = &c->settings->server;
	CURL *e = c->easy;

	return curl_easy_setopt(e, CURLOPT_URL, c->settings->url) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "smtp,smtps") == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_USE_SSL, s->needs_tls ? (long)CURLUSESSL_ALL :
	    (long)CURLUSESSL_NONE) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
	    (s->ca_file == NULL || curl_easy_setopt(e, CURLOPT_CAINFO, s->ca_file) == CURLE_OK) &&
	    (s->user == NULL || (curl_easy_setopt(e, CURLOPT_USERNAME, s->user) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_PASSWORD, s->secret) == CURLE_OK)) &&
	    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)s->timeout_ms) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->why) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_PRIVATE, c) == CURLE_OK;
}

/* NULL: memory is out. */
static struct smtp_conn *
conn_new(struct smtp_client *client)
{
	struct smtp_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->client = client;
	c->settings = client->settings;
	c->settings->nusers++;
	smtp_talk_init(&c->talk, c->settings->helo);
	TAILQ_INSERT_TAIL(&client->conns, c, in_list);
	client->nconns++;
	c->easy = curl_easy_init();
	c->timer = evtimer_new(client->base, on_timeout, c);
	if (c->easy != NULL && c->timer != NULL && set_options(c) &&
	    curl_loop_add(client->loop, c->easy)) {
		watch_time(c);
		return c;
	}
	conn_free(c);
	return NULL;
}

/* ---- who waits gets a connection ---- */

static struct smtp_conn *
idle_conn(struct smtp_client *client)
{
	struct smtp_conn *c;

	TAILQ_FOREACH(c, &client->conns, in_list)
		if (c->send == NULL && !c->settings->is_old)
			return c;
	return NULL;
}

static void
give(struct smtp_conn *c, struct smtp_send *s)
{
	TAILQ_REMOVE(&s->client->waiting, s, in_list);
	s->conn = c;
	s->until_us = clock_mono_us() + SMTP_SEND_S * (int64_t)SECOND_US;
	c->send = s;
	c->nmails++;
	if (smtp_talk_begin(&c->talk, &s->mail))
		end_send(c);
	else if (c->readable != NULL)
		go_on(c);
}

static void
fail_first(struct smtp_client *client, const struct smtp_result *result)
{
	struct smtp_send *s = TAILQ_FIRST(&client->waiting);

	TAILQ_REMOVE(&client->waiting, s, in_list);
	s->done(s->arg, result);
	free(s);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	static const struct smtp_result late = { SMTP_NOT_BEGUN, "all connections to the mail server "
	    "are busy" };
	struct smtp_client *client = arg;
	struct smtp_send *s;

	(void)fd;
	(void)what;
	while ((s = TAILQ_FIRST(&client->waiting)) != NULL && s->until_us <= clock_mono_us())
		fail_first(client, &late);
	if (TAILQ_EMPTY(&client->waiting))
		(void)event_del(client->tick);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	static const struct smtp_result no_memory = { SMTP_LATER, "out of memory" };
	struct smtp_client *client = arg;
	struct smtp_send *s;

	(void)fd;
	(void)what;
	while ((s = TAILQ_FIRST(&client->waiting)) != NULL) {
		struct smtp_conn *c = idle_conn(client);

		if (c == NULL && client->nconns >= client->settings->server.connections)
			return;
		if (c == NULL)
			c = conn_new(client);
		if (c != NULL) {
			give(c, s);
		} else if (client->nconns == 0) {
			fail_first(client, &no_memory);
		} else {
			return;		/* when one of them is free */
		}
	}
}

/* ---- public ---- */

bool
smtp_client_use(struct smtp_client *c, const struct smtp_server *server, struct err *err)
{
	struct smtp_conn *conn, *next;
	struct settings *s;

	if (c->settings != NULL && is_same(&c->settings->server, server))
		return true;
	s = settings_new(server);
	if (s == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	settings_retire(c->settings);
	c->settings = s;
	for (conn = TAILQ_FIRST(&c->conns); conn != NULL; conn = next) {
		next = TAILQ_NEXT(conn, in_list);
		if (conn->send == NULL)
			conn_free(conn);
	}
	return true;
}

struct smtp_client *
smtp_client_new(struct event_base *base, const struct smtp_server *server, struct err *err)
{
	struct smtp_client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	c->base = base;
	TAILQ_INIT(&c->waiting);
	TAILQ_INIT(&c->conns);
	c->wake = event_new(base, -1, 0, on_wake, c);
	c->tick = event_new(base, -1, EV_PERSIST, on_tick, c);
	if (c->wake != NULL && c->tick != NULL)
		c->loop = curl_loop_new(base, on_connected, err);
	else
		(void)err_set(err, ERR_RETRY, "out of memory");
	if (c->loop != NULL && smtp_client_use(c, server, err))
		return c;
	smtp_client_free(c);
	return NULL;
}

void
smtp_client_free(struct smtp_client *c)
{
	struct smtp_conn *conn;
	struct smtp_send *s;

	if (c == NULL)
		return;
	while ((conn = TAILQ_FIRST(&c->conns)) != NULL) {
		free(conn->send);
		conn_free(conn);
	}
	while ((s = TAILQ_FIRST(&c->waiting)) != NULL) {
		TAILQ_REMOVE(&c->waiting, s, in_list);
		free(s);
	}
	settings_retire(c->settings);
	curl_loop_free(c->loop);
	if (c->wake != NULL)
		event_free(c->wake);
	if (c->tick != NULL)
		event_free(c->tick);
	free(c);
}

static struct str
put(char **at, struct str s)
{
	struct str copy = { *at, s.n };

	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

struct smtp_send *
smtp_client_send(struct smtp_client *c, const struct smtp_mail *mail,
    void (*done)(void *arg, const struct smtp_result *result), void *arg, struct err *err)
{
	struct smtp_send *s = calloc(1, sizeof(*s) + mail->from.n + mail->to.n + mail->message.n);
	char *at = (char *)(s + 1);

	if (s == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	s->client = c;
	s->done = done;
	s->arg = arg;
	s->mail.from = put(&at, mail->from);
	s->mail.to = put(&at, mail->to);
	s->mail.message = put(&at, mail->message);
	s->until_us = clock_mono_us() + SMTP_QUEUE_S * (int64_t)SECOND_US;
	TAILQ_INSERT_TAIL(&c->waiting, s, in_list);
	if (!event_pending(c->tick, EV_TIMEOUT, NULL))
		(void)event_add(c->tick, &(const struct timeval){ 1, 0 });
	wake(c);
	return s;
}

void
smtp_client_cancel(struct smtp_send *s)
{
	struct smtp_client *client = s->client;

	if (s->conn != NULL) {
		conn_free(s->conn);
		wake(client);
	} else {
		TAILQ_REMOVE(&client->waiting, s, in_list);
	}
	free(s);
}
