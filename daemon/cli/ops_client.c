/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the running daemon over its ops listener.  One GET over a connection of its own,
 * strictly read: a status line, a head, a body of the length that the head says.
 */
#include "cli/ops_client.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "edge/config.h"

enum {
	DEADLINE_US	 = 5 * 1000 * 1000,
	ANSWER_MAX_BYTES = 64 * 1024 * 1024,
	BLOCK_BYTES	 = 64 * 1024,
	HOST_BYTES	 = 256,
	PORT_BYTES	 = 8,
	JSON_DEPTH	 = 16,
};

/* ---- where it listens ---- */

static const struct listener_conf *
ops_listener(const struct config *c)
{
	for (size_t i = 0; i < c->listeners.n; i++) {
		const struct listener_conf *l = c->listeners.v[i].common;

		if ((l->serve & SERVE_OPS) != 0)
			return l;
	}
	return NULL;
}

/* "[::1]:9180" -> "::1", "9180".  Who listens everywhere is reached on the loopback. */
static bool
split_address(struct str address, char host[HOST_BYTES], char port[PORT_BYTES])
{
	struct str name = address;
	size_t at = address.n;

	while (at > 0 && address.p[at - 1] != ':')
		at--;
	if (at == 0 || address.n - at >= PORT_BYTES || at > HOST_BYTES)
		return false;
	name.n = at - 1;
	if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
		name = (struct str){ name.p + 1, name.n - 2 };
	if (str_eq(name, STR("0.0.0.0")) || name.n == 0)
		name = STR("127.0.0.1");
	if (str_eq(name, STR("::")))
		name = STR("::1");
	(void)snprintf(host, HOST_BYTES, "%.*s", STR_ARG(name));
	(void)snprintf(port, PORT_BYTES, "%s", address.p + at);
	return strcmp(port, "0") != 0;
}

/* ---- the socket, with a deadline for all of it ---- */

static bool
wait_for(int fd, short what, int64_t until_us, struct err *err)
{
	struct pollfd p = { fd, what, 0 };
	int64_t left_us;
	int n;

	do {
		left_us = until_us - clock_mono_us();
		n = left_us > 0 ? poll(&p, 1, (int)(left_us / 1000) + 1) : 0;
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return true;
	return err_set(err, ERR_RETRY, n == 0 ? "no answer within 5 s" : "%s", strerror(errno));
}

static int
connect_one(const struct addrinfo *ai, int64_t until_us, struct err *err)
{
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int failure = 0;
	socklen_t len = sizeof(failure);

	if (fd < 0) {
		(void)err_set(err, ERR_RETRY, "%s", strerror(errno));
		return -1;
	}
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
		return fd;
	if (errno != EINPROGRESS)
		failure = errno;
	else if (!wait_for(fd, POLLOUT, until_us, err)) {
		(void)close(fd);
		return -1;
	} else {
		(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len);
	}
	if (failure == 0)
		return fd;
	(void)close(fd);
	(void)err_set(err, ERR_RETRY, "%s", strerror(failure));
	return -1;
}

static int
connect_to(const char *host, const char *port, int64_t until_us, struct err *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;
	int why = getaddrinfo(host, port, &hints, &all), fd = -1;

	if (why != 0) {
		(void)err_set(err, ERR_RETRY, "%s", gai_strerror(why));
		return -1;
	}
	for (const struct addrinfo *ai = all; fd < 0 && ai != NULL; ai = ai->ai_next)
		fd = connect_one(ai, until_us, err);
	freeaddrinfo(all);
	return fd;
}

static bool
send_all(int fd, struct str s, int64_t until_us, struct err *err)
{
	while (s.n > 0) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

		if (n > 0)
			s = str_skip(s, (size_t)n);
		else if (errno != EAGAIN && errno != EINTR)
			return err_set(err, ERR_RETRY, "%s", strerror(errno));
		else if (!wait_for(fd, POLLOUT, until_us, err))
			return false;
	}
	return true;
}

/* Up to the end, which the daemon makes: we asked it to close. */
static bool
receive_all(int fd, struct buf *in, int64_t until_us, struct err *err)
{
	for (;;) {
		char *at = buf_space(in, BLOCK_BYTES);
		ssize_t n;

		if (at == NULL)
			return err_set(err, ERR_RETRY, "its answer is too large");
		n = recv(fd, at, BLOCK_BYTES, 0);
		in->n -= BLOCK_BYTES - (n > 0 ? (size_t)n : 0);
		if (n == 0)
			return true;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return err_set(err, ERR_RETRY, "%s", strerror(errno));
		if (n < 0 && !wait_for(fd, POLLIN, until_us, err))
			return false;
	}
}

/* ---- the answer ---- */

static bool
find_body(struct str answer, struct str *ret, struct err *err)
{
	static const struct str length = STR("Content-Length:");
	struct str line = str_cut(&answer, '\n');
	int64_t want = -1;

	if (!str_starts(line, STR("HTTP/1.1 200 ")))
		return err_set(err, ERR_RETRY, "it answers %.*s",
		    STR_ARG(str_prefix_utf8(str_trim(line), 60)));
	while ((line = str_trim(str_cut(&answer, '\n'))).n > 0)
		if (line.n > length.n &&
		    str_eq_nocase((struct str){ line.p, length.n }, length) &&
		    !str_to_i64(str_trim(str_skip(line, length.n)), 0, INT64_MAX, &want))
			want = -1;
	if (want < 0 || (uint64_t)want != answer.n)
		return err_set(err, ERR_RETRY, "its answer is cut off");
	*ret = answer;
	return true;
}

static bool
ask(int fd, const char *path, int64_t until_us, struct buf *in, struct err *err)
{
	struct buf out;
	bool ok;

	buf_init(&out, BLOCK_BYTES);
	buf_printf(&out, "GET %s HTTP/1.1\r\nHost: touchlog\r\nConnection: close\r\n\r\n", path);
	ok = send_all(fd, buf_str(&out), until_us, err) && receive_all(fd, in, until_us, err);
	buf_fini(&out);
	return ok;
}

static bool
ask_at(const char *host, const char *port, const char *path, struct json_object **ret,
    struct err *err)
{
	int64_t until_us = clock_mono_us() + DEADLINE_US;
	int fd = connect_to(host, port, until_us, err);
	struct str body;
	struct buf in;
	bool ok;

	if (fd < 0)
		return false;
	buf_init(&in, ANSWER_MAX_BYTES);
	ok = ask(fd, path, until_us, &in, err) && find_body(buf_str(&in), &body, err) &&
	    json_parse(body, JSON_DEPTH, ret, err);
	buf_fini(&in);
	(void)close(fd);
	return ok;
}

bool
ops_ask(const struct config *c, const char *path, struct json_object **ret, struct err *err)
{
	const struct listener_conf *l = ops_listener(c);
	char host[HOST_BYTES], port[PORT_BYTES];

	if (l == NULL)
		return err_set(err, ERR_RETRY, "no listener serves ops");
	if (!split_address(l->address, host, port))
		return err_set(err, ERR_RETRY, "the listener for ops has no fixed port");
	return ask_at(host, port, path, ret, err) ||
	    err_in(err, "the daemon at %.*s", STR_ARG(l->address));
}

/* ---- what stands in it ---- */

const char *
ops_text(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(o, key, &value) && value != NULL ?
	    json_object_get_string(value) : "";
}

int64_t
ops_number(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_int64(value) : 0;
}

struct json_object *
ops_list(struct json_object *o, const char *key, size_t *ret_n)
{
	struct json_object *value = NULL;

	*ret_n = 0;
	if (!json_object_object_get_ex(o, key, &value) ||
	    !json_object_is_type(value, json_type_array))
		return NULL;
	*ret_n = json_object_array_length(value);
	return value;
}

void
ops_mend_time(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;
	struct tm tm;
	char text[48];
	double at_s;
	time_t s;

	if (!json_object_object_get_ex(o, key, &value) || value == NULL)
		return;
	at_s = json_object_get_double(value);
	s = (time_t)at_s;
	if (gmtime_r(&s, &tm) == NULL || strftime(text, 20, "%FT%T", &tm) == 0)
		return;
	(void)snprintf(text + 19, sizeof(text) - 19, ".%03dZ", (int)((at_s - (double)s) * 1000));
	json_object_object_add(o, key, json_object_new_string(text));
}
