/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The benchmark's load: the same made-up events (event.c) four ways.
 *
 *   copy    the yardstick: their rows by binary COPY into plain tables
 *   post    one event a request, by HTTP
 *   ndjson  many events a request, by HTTP
 *   sendgrid  the same as SendGrid would post them: its own words, signed by ECDSA
 *
 * All that is sent is made and signed before the clock starts, so that on a machine
 * with few cores the generator takes little from what it measures; the line it
 * prints says how much (cpu_s).
 */
#include "tests/bench/load.h"

#include <err.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/str.h"

struct mode {
	const char	*name;
	void		(*run)(const struct load_conf *);
	int64_t		 n_conns, n_batch;	/* unless told */
};

struct number {
	int	letter;
	size_t	at;			/* in struct load_conf */
	int64_t	min, max;
};

static const struct mode modes[] = {
	{ "copy",   load_copy,   1, 1000 },
	{ "post",   load_post,   64, 1 },
	{ "ndjson", load_ndjson, 8, 500 },
	{ "sendgrid", load_sendgrid, 8, 1000 },
};

static const struct number numbers[] = {
	{ 'n', offsetof(struct load_conf, n_events), 1, 100000000 },
	{ 'c', offsetof(struct load_conf, n_conns), 1, 10000 },
	{ 'b', offsetof(struct load_conf, n_batch), 1, 100000 },
	{ 'p', offsetof(struct load_conf, n_people), 1, 1000000000 },
	{ 'r', offsetof(struct load_conf, rate), 1, 10000000 },
};

int64_t
load_cpu_us(void)
{
	struct rusage used;

	(void)getrusage(RUSAGE_SELF, &used);
	return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * (int64_t)1000000 +
	    used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

void
load_report(const char *mode, const struct load_conf *conf, const struct load_cost *cost)
{
	const double n = (double)conf->n_events;

	printf("mode=%s run=%s n=%" PRId64 " conns=%" PRId64 " batch=%" PRId64 " took_s=%.3f"
	    " per_s=%.0f us=%.2f cpu_s=%.2f", mode, conf->run, conf->n_events, conf->n_conns,
	    conf->n_batch, (double)cost->took_us / 1e6, n * 1e6 / (double)cost->took_us,
	    (double)cost->took_us / n, (double)cost->cpu_us / 1e6);
}

static _Noreturn void
usage(void)
{
	fputs("usage: load copy|post|ndjson|sendgrid [-n events] [-c connections] [-b events a request]\n"
	    "    [-p people] [-r requests/s] [-R run] [-k secret] [-s schema] CONNINFO|URL\n", stderr);
	exit(2);
}

static void
read_number(struct load_conf *conf, int letter, const char *text)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const struct number *number = &numbers[i];
		int64_t *field = (int64_t *)(void *)((char *)conf + number->at);

		if (number->letter != letter)
			continue;
		if (!str_to_i64(str_of(text), number->min, number->max, field))
			errx(2, "-%c %s: not %" PRId64 " to %" PRId64, letter, text, number->min,
			    number->max);
		return;
	}
	usage();
}

static void
read_options(struct load_conf *conf, int argc, char **argv)
{
	int letter;

	while ((letter = getopt(argc, argv, "n:c:b:p:r:R:k:s:")) != -1) {
		if (letter == 'R')
			conf->run = optarg;
		else if (letter == 'k')
			conf->secret = optarg;
		else if (letter == 's')
			conf->schema = optarg;
		else
			read_number(conf, letter, optarg);
	}
	if (optind != argc - 1)
		usage();
	conf->target = argv[optind];
}

static const struct mode *
find_mode(const char *name)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	usage();
}

int
main(int argc, char **argv)
{
	const struct mode *mode = find_mode(argc > 1 ? argv[1] : "");
	struct load_conf conf = { .run = "load", .schema = "bare", .secret = "secret",
		.n_events = 100000, .n_people = 20000, .n_conns = mode->n_conns,
		.n_batch = mode->n_batch };

	read_options(&conf, argc - 1, argv + 1);
	mode->run(&conf);
	return 0;
}
