/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request over a connection of its own.  The answer is strictly read: a status
 * line, a head, a body of the length that the head says, or up to the end where it says
 * none.
 */
#include "cli/http_call.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { ANSWER_MAX_BYTES = 64 * 1024 * 1024, BLOCK_BYTES = 64 * 1024, SHOWN_BYTES = 60 };

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
	return err_set(err, ERR_RETRY, n == 0 ? "no answer in time" : "%s", strerror(errno));
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

/* "HTTP/1.1 200 OK" */
static bool
read_status(struct str line, struct http_answer *ret, struct err *err)
{
	int64_t status;

	line = str_trim(line);
	if (!str_starts(line, STR("HTTP/1.")) || line.n < 12 ||
	    !str_to_i64((struct str){ line.p + 9, 3 }, 100, 599, &status))
		return err_set(err, ERR_RETRY, "it answers %.*s",
		    STR_ARG(str_prefix_utf8(line, SHOWN_BYTES)));
	ret->status = (int)status;
	ret->status_line = str_prefix_utf8(str_skip(line, 9), SHOWN_BYTES);
	return true;
}

static bool
read_answer(struct str answer, struct http_answer *ret, struct err *err)
{
	static const struct str length = STR("Content-Length:");
	struct str line = str_cut(&answer, '\n');
	int64_t want = -1;

	if (!read_status(line, ret, err))
		return false;
	while ((line = str_trim(str_cut(&answer, '\n'))).n > 0)
		if (line.n > length.n &&
		    str_eq_nocase((struct str){ line.p, length.n }, length) &&
		    !str_to_i64(str_trim(str_skip(line, length.n)), 0, INT64_MAX, &want))
			want = INT64_MAX;
	if (want >= 0 && (uint64_t)want != answer.n)
		return err_set(err, ERR_RETRY, "its answer is cut off");
	ret->body = answer;
	return true;
}

bool
http_call(const char *host, const char *port, struct str request, int64_t timeout_ms,
    struct http_answer *ret, struct err *err)
{
	int64_t until_us = clock_mono_us() + timeout_ms * 1000;
	int fd = connect_to(host, port, until_us, err);
	bool ok;

	*ret = (struct http_answer){ .status = 0 };
	buf_init(&ret->bytes, ANSWER_MAX_BYTES);
	if (fd < 0)
		return false;
	ok = send_all(fd, request, until_us, err) &&
	    receive_all(fd, &ret->bytes, until_us, err) &&
	    read_answer(buf_str(&ret->bytes), ret, err);
	(void)close(fd);
	return ok;
}

void
http_answer_fini(struct http_answer *a)
{
	buf_fini(&a->bytes);
}
