/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load of the drills: a sender as one would wish them.  Each event has an
 * external_id of its own and is posted again, unchanged, until it is acknowledged (200
 * or 202), over a new connection where need be; a ledger says what was answered.
 *
 *   sender [options] -l LEDGER ADDRESS:PORT/SOURCE
 *
 * It begins new events until it has begun all (-n) or reads a line on its standard
 * input; it ends when each that it began is acknowledged, or at the end of its input.
 * Then it writes the ledger.  While it runs it prints a line of counts every
 * REPORT_MS.
 *
 * An answer that is neither an acknowledgement nor a wish to be asked again is odd: it
 * ends all, with exit code 1.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/uuid.h"
#include "tests/bench/reply.h"
#include "tests/faults/ledger.h"

enum {
	BODY_MAX_BYTES = 16 << 20,
	WAIT_EVENTS = 256,		/* taken from epoll at once */
	TICK_US = 5000,			/* pauses and time-outs are looked at so often */
	REPORT_US = 100 * 1000,
};

/* SLOT_IDLE may have a connection or not. */
enum slot_state { SLOT_IDLE, SLOT_CONNECTING, SLOT_SENDING, SLOT_WAITING, SLOT_PAUSED };

enum counter { REFUSED, RESET, TIMED_OUT, TOLD_429, TOLD_503, NCOUNTERS };

static const char *const counter_names[NCOUNTERS] = {
	[REFUSED] = "refused", [RESET] = "reset", [TIMED_OUT] = "timed_out",
	[TOLD_429] = "http_429", [TOLD_503] = "http_503",
};

/* A connection and the request on it, which goes from one connection to the next. */
struct slot {
	enum slot_state	 state;
	int		 fd;		/* ours; -1: none */
	int64_t		 first;		/* event of the request */
	int64_t		 n;		/* events in it */
	int64_t		 until_us;	/* the end of the pause, or of patience */
	size_t		 sent;		/* bytes of `out` */
	struct buf	 out, in;
};

struct conf {
	struct ledger_conf	 ledger;
	const char		*ledger_path, *source;
	struct sockaddr_in	 address;
	int64_t			 n_slots, n_batch;
	int64_t			 rate;		/* requests/s of all slots together; 0: any */
	int64_t			 pause_ms;	/* before the next try */
	int64_t			 patience_ms;	/* for an answer */
};

struct sender {
	struct conf	 conf;
	struct ledger	 ledger;
	int		 epoll_fd;
	struct slot	*slots;		/* ours */
	int64_t		 n_busy;	/* slots with a request */
	int64_t		 start_us, begun;	/* requests begun since; they pace it */
	int64_t		 fates[NFATES];
	int64_t		 counts[NCOUNTERS];
	bool		 is_stopping, has_quit, is_odd;
	bool		 has_input;	/* somebody may still say something */
};

/* ---- a slot's request ---- */

static void
make_request(struct sender *s, struct slot *slot)
{
	struct buf body;

	buf_init(&body, BODY_MAX_BYTES);
	for (int64_t i = 0; i < slot->n; i++) {
		ledger_event(&s->ledger, slot->first + i, &body);
		if (s->conf.n_batch > 1)
			buf_text(&body, "\n");
	}
	buf_clear(&slot->out);
	buf_printf(&slot->out, "POST /in/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n"
	    "Content-Length: %zu\r\n\r\n", s->conf.source,
	    s->conf.n_batch > 1 ? "application/x-ndjson" : "application/json", body.n);
	buf_str_add(&slot->out, buf_str(&body));
	if (!buf_ok(&body) || !buf_ok(&slot->out))
		errx(1, "no memory for a request");
	buf_fini(&body);
}

static void
hang_up(struct slot *slot)
{
	if (slot->fd >= 0)
		(void)close(slot->fd);		/* epoll forgets it */
	slot->fd = -1;
	buf_clear(&slot->in);
}

/* Tries again in a while, not all slots in step. */
static void
pause_slot(struct sender *s, struct slot *slot, enum counter why)
{
	s->counts[why]++;
	slot->state = SLOT_PAUSED;
	slot->until_us = clock_mono_us() +
	    s->conf.pause_ms * (500 + (int64_t)arc4random_uniform(1001));
}

static void
fail(struct sender *s, struct slot *slot, enum counter why)
{
	hang_up(slot);
	pause_slot(s, slot, why);
}

static void
watch(struct sender *s, struct slot *slot, int how, uint32_t what)
{
	struct epoll_event want = { .events = what, .data.ptr = slot };

	if (epoll_ctl(s->epoll_fd, how, slot->fd, &want) != 0)
		err(1, "epoll_ctl");
}

static void
send_rest(struct sender *s, struct slot *slot)
{
	while (slot->sent < slot->out.n) {
		ssize_t n = send(slot->fd, slot->out.p + slot->sent, slot->out.n - slot->sent,
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			watch(s, slot, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
			return;
		}
		if (n < 0) {
			fail(s, slot, RESET);
			return;
		}
		slot->sent += (size_t)n;
	}
	slot->state = SLOT_WAITING;
	watch(s, slot, EPOLL_CTL_MOD, EPOLLIN);
}

static void
start_sending(struct sender *s, struct slot *slot)
{
	slot->state = SLOT_SENDING;
	slot->sent = 0;
	for (int64_t i = 0; i < slot->n; i++)
		s->ledger.entries[slot->first + i].tries++;
	send_rest(s, slot);
}

static void
start_connecting(struct sender *s, struct slot *slot)
{
	const int one = 1;

	slot->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (slot->fd < 0)
		err(1, "socket");
	(void)setsockopt(slot->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch(s, slot, EPOLL_CTL_ADD, EPOLLOUT);
	slot->state = SLOT_CONNECTING;
	if (connect(slot->fd, (const struct sockaddr *)&s->conf.address,
	    sizeof(s->conf.address)) != 0 && errno != EINPROGRESS)
		fail(s, slot, errno == ECONNREFUSED ? REFUSED : RESET);
}

static void
try_request(struct sender *s, struct slot *slot)
{
	slot->until_us = clock_mono_us() + s->conf.patience_ms * 1000;
	if (slot->fd < 0)
		start_connecting(s, slot);
	else
		start_sending(s, slot);
}

static void
end_connecting(struct sender *s, struct slot *slot)
{
	int error = 0;
	socklen_t len = sizeof(error);

	(void)getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0)
		fail(s, slot, error == ECONNREFUSED ? REFUSED : RESET);
	else
		start_sending(s, slot);
}

/* ---- answers ---- */

static void
note(struct sender *s, int64_t number, enum fate fate, const char *quoted_id)
{
	struct uuid id;

	if (quoted_id == NULL || *quoted_id != '"' ||
	    !uuid_parse((struct str){ quoted_id + 1, strnlen(quoted_id + 1, UUID_TEXT_SIZE - 1) },
	    &id)) {
		warnx("an acknowledgement without an id");
		s->is_odd = true;
		return;
	}
	ledger_acked(&s->ledger, number, fate, id);
	s->fates[fate]++;
}

static void
take_one(struct sender *s, struct slot *slot, const char *body)
{
	const char *status = reply_member(body, "status");

	for (enum fate fate = FATE_LOGGED; status != NULL && fate <= FATE_PARKED; fate++) {
		size_t len = strlen(fate_names[fate]);

		if (strncmp(status + 1, fate_names[fate], len) == 0 && status[1 + len] == '"') {
			note(s, slot->first, fate, reply_member(body, "id"));
			return;
		}
	}
	warnx("an acknowledgement that says nothing: %.200s", body);
	s->is_odd = true;
}

static void
take_many(struct sender *s, struct slot *slot, const struct reply *reply)
{
	const char *id = reply_member(reply->body, "ids");

	for (int64_t i = 0; i < slot->n && !s->is_odd; i++) {
		id += id != NULL ? strspn(id, "[, ") : 0;
		note(s, slot->first + i, reply->status == 200 ? FATE_MANY_200 : FATE_MANY_202, id);
		id += id != NULL ? UUID_TEXT_SIZE + 1 : 0;
	}
}

static void
take_reply(struct sender *s, struct slot *slot, const struct reply *reply)
{
	if (reply->status == 503 || reply->status == 429) {
		pause_slot(s, slot, reply->status == 503 ? TOLD_503 : TOLD_429);
		return;
	}
	slot->state = SLOT_IDLE;
	s->n_busy--;
	if (reply->status != 200 && reply->status != 202) {
		warnx("%d: %.400s", reply->status, reply->body);
		s->is_odd = true;
	} else if (s->conf.n_batch > 1)
		take_many(s, slot, reply);
	else
		take_one(s, slot, reply->body);
}

/* Zero: the server has closed the connection, which it may do while nobody asks. */
static void
receive(struct sender *s, struct slot *slot)
{
	const size_t had = slot->in.n;
	char *at = buf_space(&slot->in, REPLY_ROOM_BYTES);
	struct reply reply;
	ssize_t n;

	if (at == NULL)
		errx(1, "a reply of more than %d bytes", REPLY_MAX_BYTES);
	n = recv(slot->fd, at, REPLY_ROOM_BYTES - 1, MSG_DONTWAIT);
	slot->in.n = had + (size_t)(n < 0 ? 0 : n);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		if (slot->state == SLOT_WAITING || slot->state == SLOT_SENDING)
			fail(s, slot, RESET);
		else
			hang_up(slot);
		return;
	}
	slot->in.p[slot->in.n] = '\0';	/* there is room for it: see recv() */
	if (!reply_read(buf_str(&slot->in), &reply))
		return;
	if (slot->state != SLOT_WAITING && slot->state != SLOT_SENDING)
		errx(1, "a reply to nothing: %.200s", slot->in.p);
	take_reply(s, slot, &reply);
	buf_clear(&slot->in);
	if (reply.closes || slot->sent < slot->out.n)
		hang_up(slot);
}

static void
on_slot(struct sender *s, struct slot *slot, uint32_t what)
{
	if (slot->fd < 0)
		return;
	if (slot->state == SLOT_CONNECTING) {
		end_connecting(s, slot);
		return;
	}
	if (what & ~(uint32_t)EPOLLOUT)
		receive(s, slot);
	if ((what & EPOLLOUT) && slot->fd >= 0 && slot->state == SLOT_SENDING)
		send_rest(s, slot);
}

/* ---- which event when ---- */

static int64_t
due_us(const struct sender *s)
{
	return s->conf.rate > 0 ? s->start_us + s->begun * 1000000 / s->conf.rate : 0;
}

static bool
has_more(const struct sender *s)
{
	int64_t n = s->conf.ledger.n_events;

	return !s->is_stopping && (n == 0 || s->ledger.n < n);
}

/* Late because all slots were busy, it is still timed from when it was due. */
static void
begin(struct sender *s, struct slot *slot, int64_t now_us)
{
	slot->n = 0;
	while (slot->n < s->conf.n_batch && has_more(s)) {
		int64_t number = ledger_add(&s->ledger);

		s->ledger.entries[number].due_us = s->conf.rate > 0 ? due_us(s) : now_us;
		if (slot->n++ == 0)
			slot->first = number;
	}
	s->begun++;
	s->n_busy++;
	make_request(s, slot);
	try_request(s, slot);
}

static void
begin_due(struct sender *s)
{
	int64_t now_us = clock_mono_us();

	for (int64_t i = 0; i < s->conf.n_slots && has_more(s) && due_us(s) <= now_us; i++)
		if (s->slots[i].state == SLOT_IDLE)
			begin(s, &s->slots[i], now_us);
}

static void
on_tick(struct sender *s)
{
	int64_t now_us = clock_mono_us();

	for (int64_t i = 0; i < s->conf.n_slots; i++) {
		struct slot *slot = &s->slots[i];

		if (slot->state == SLOT_IDLE || slot->until_us > now_us)
			continue;
		if (slot->state == SLOT_PAUSED)
			try_request(s, slot);
		else
			fail(s, slot, TIMED_OUT);
	}
}

/* ---- the whole ---- */

static void
print_counts(const struct sender *s)
{
	printf("at_us=%" PRId64 " begun=%" PRId64 " acked=%" PRId64, clock_mono_us(), s->ledger.n,
	    s->ledger.n_acked);
	for (int i = FATE_LOGGED; i < NFATES; i++)
		printf(" %s=%" PRId64, fate_names[i], s->fates[i]);
	for (int i = 0; i < NCOUNTERS; i++)
		printf(" %s=%" PRId64, counter_names[i], s->counts[i]);
	puts("");
	(void)fflush(stdout);
}

static void
look_at_input(struct sender *s)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	char line[256];

	if (!s->has_input || poll(&in, 1, 0) <= 0)
		return;
	if (read(STDIN_FILENO, line, sizeof(line)) > 0) {
		s->is_stopping = true;
		return;
	}
	s->has_input = false;
	s->has_quit = true;
}

static void
serve(struct sender *s)
{
	struct epoll_event ready[WAIT_EVENTS];
	bool can_begin = has_more(s) && s->n_busy < s->conf.n_slots;
	int64_t wait_us = can_begin ? due_us(s) - clock_mono_us() : TICK_US;
	struct timespec wait = { 0 };
	int n;

	if (wait_us > 0)
		wait.tv_nsec = (wait_us < TICK_US ? wait_us : TICK_US) * 1000;
	/* epoll_wait()'s milliseconds are too coarse to pace by. */
	n = epoll_pwait2(s->epoll_fd, ready, WAIT_EVENTS, &wait, NULL);
	if (n < 0 && errno != EINTR)
		err(1, "epoll_pwait2");
	for (int i = 0; i < n; i++)
		on_slot(s, ready[i].data.ptr, ready[i].events);
}

static void
run(struct sender *s)
{
	int64_t tick_us = 0, report_us = 0;

	s->start_us = clock_mono_us();
	while (!s->is_odd && !s->has_quit && (has_more(s) || s->n_busy > 0)) {
		begin_due(s);
		serve(s);
		if (clock_mono_us() - tick_us >= TICK_US) {
			tick_us = clock_mono_us();
			look_at_input(s);
			on_tick(s);
		}
		if (clock_mono_us() - report_us >= REPORT_US) {
			report_us = clock_mono_us();
			print_counts(s);
		}
	}
	print_counts(s);
}

static void
init(struct sender *s)
{
	s->ledger.conf = s->conf.ledger;
	s->has_input = true;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->slots = calloc((size_t)s->conf.n_slots, sizeof(*s->slots));
	if (s->epoll_fd < 0 || s->slots == NULL)
		err(1, "start");
	for (int64_t i = 0; i < s->conf.n_slots; i++) {
		s->slots[i].fd = -1;
		buf_init(&s->slots[i].out, BODY_MAX_BYTES);
		buf_init(&s->slots[i].in, REPLY_MAX_BYTES);
	}
}

static void
fini(struct sender *s)
{
	for (int64_t i = 0; i < s->conf.n_slots; i++) {
		hang_up(&s->slots[i]);
		buf_fini(&s->slots[i].out);
		buf_fini(&s->slots[i].in);
	}
	(void)close(s->epoll_fd);
	free(s->slots);
	ledger_fini(&s->ledger);
}

/* ---- the command line ---- */

static _Noreturn void
usage(void)
{
	fputs("usage: sender [-n events [-o which is the first]] [-c connections]\n"
	    "    [-b events a request] [-r requests/s] [-w pause before a retry, ms] [-t patience, ms]\n"
	    "    [-p prefix] [-u people] [-x every nth is poison] -l LEDGER ADDRESS:PORT/SOURCE\n", stderr);
	exit(2);
}

static const struct number {
	int	letter;
	size_t	at;			/* in struct conf */
	int64_t	min, max;
} numbers[] = {
	{ 'n', offsetof(struct conf, ledger.n_events), 1, 100000000 },
	{ 'o', offsetof(struct conf, ledger.first), 0, 100000000 },
	{ 'c', offsetof(struct conf, n_slots), 1, 20000 },
	{ 'b', offsetof(struct conf, n_batch), 1, 10000 },
	{ 'r', offsetof(struct conf, rate), 1, 1000000 },
	{ 'w', offsetof(struct conf, pause_ms), 0, 60000 },
	{ 't', offsetof(struct conf, patience_ms), 1, 600000 },
	{ 'u', offsetof(struct conf, ledger.n_people), 1, 1000000000 },
	{ 'x', offsetof(struct conf, ledger.poison_every), 1, 100000000 },
};

static void
read_number(struct conf *conf, int letter, const char *text)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		int64_t *field = (int64_t *)(void *)((char *)conf + numbers[i].at);

		if (numbers[i].letter != letter)
			continue;
		if (!str_to_i64(str_of(text), numbers[i].min, numbers[i].max, field))
			errx(2, "-%c %s: not %" PRId64 " to %" PRId64, letter, text, numbers[i].min,
			    numbers[i].max);
		return;
	}
	usage();
}

static void
read_target(struct conf *conf, const char *text)
{
	struct str rest = str_of(text), host = str_cut(&rest, ':'), port = str_cut(&rest, '/');
	char address[INET_ADDRSTRLEN];
	int64_t number;

	(void)snprintf(address, sizeof(address), "%.*s", STR_ARG(host));
	conf->address.sin_family = AF_INET;
	if (inet_pton(AF_INET, address, &conf->address.sin_addr) != 1 ||
	    !str_to_i64(port, 1, UINT16_MAX, &number) || rest.n == 0)
		usage();
	conf->address.sin_port = htons((uint16_t)number);
	conf->source = rest.p;		/* to the end of the argument */
}

static void
read_options(struct conf *conf, int argc, char **argv)
{
	int letter;

	while ((letter = getopt(argc, argv, "n:o:c:b:r:w:t:u:x:p:l:")) != -1) {
		if (letter == 'p')
			conf->ledger.prefix = optarg;
		else if (letter == 'l')
			conf->ledger_path = optarg;
		else
			read_number(conf, letter, optarg);
	}
	if (optind != argc - 1 || conf->ledger_path == NULL)
		usage();
	read_target(conf, argv[optind]);
}

int
main(int argc, char **argv)
{
	struct sender s = { .conf = { .n_slots = 16, .n_batch = 1, .pause_ms = 50,
	    .patience_ms = 30000, .ledger = { .prefix = "e", .n_people = 1000 } } };
	bool ok;

	read_options(&s.conf, argc, argv);
	init(&s);
	run(&s);
	ok = !s.is_odd && s.n_busy == 0;
	if (!ledger_save(&s.ledger, s.conf.ledger_path))
		err(1, "%s", s.conf.ledger_path);
	fini(&s);
	return ok ? 0 : 1;
}
