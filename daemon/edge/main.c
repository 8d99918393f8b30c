/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touchlogd.  Reads its arguments and its configuration, starts the parts in the order
 * of a table, runs the loop, and stops the parts backwards.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/log.h"
#include "base/metric.h"
#include "edge/config.h"
#include "edge/daemon.h"
#include "edge/online.h"

enum { SCHEMA_MAX_BYTES = 4 * 1024 * 1024 };

static const char usage[] =
    "usage: touchlogd [-c FILE] [--hold-actions]\n"
    "                                      run, logging to stderr; do no actions\n"
    "       touchlogd -t [-c FILE]         check the configuration and end\n"
    "       touchlogd -t --online          have PostgreSQL check the rules too\n"
    "       touchlogd --schema             print the JSON Schema of the configuration\n"
    "       touchlogd --version | --help\n";

enum what { RUN, CHECK, SCHEMA, MAN_SETTINGS, MAN_METRICS };

struct arguments {
	const char	*path;
	enum what	 what;
	bool		 is_online;
	bool		 holds_actions;
};

/* Ends the program for --help, --version and what it does not understand. */
static void
read_arguments(struct arguments *a, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' },
		{ "hold-actions", no_argument, NULL, 'H' }, { "online", no_argument, NULL, 'o' },
		{ "schema", no_argument, NULL, 's' }, { "version", no_argument, NULL, 'V' },
		/* For the build, which makes the man pages from the tables. */
		{ "man-settings", no_argument, NULL, 'm' },
		{ "man-metrics", no_argument, NULL, 'M' }, { 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "c:ht", longs, NULL)) != -1) {
		switch (o) {
		case 'c': a->path = optarg; break;
		case 't': a->what = CHECK; break;
		case 'o': a->is_online = true; break;
		case 'H': a->holds_actions = true; break;
		case 's': a->what = SCHEMA; break;
		case 'm': a->what = MAN_SETTINGS; break;
		case 'M': a->what = MAN_METRICS; break;
		case 'h': (void)fputs(usage, stdout); exit(EXIT_SUCCESS);
		case 'V': (void)puts("touchlogd " TOUCHLOG_VERSION); exit(EXIT_SUCCESS);
		default: (void)fputs(usage, stderr); exit(EXIT_USAGE);
		}
	}
	if (optind < argc || (a->is_online && a->what != CHECK)) {
		(void)fputs(usage, stderr);
		exit(EXIT_USAGE);
	}
}

static int
print_table(enum what what)
{
	struct buf out;
	bool ok;

	buf_init(&out, SCHEMA_MAX_BYTES);
	if (what == SCHEMA)
		conf_schema(config_keys, &out);
	else if (what == MAN_SETTINGS)
		conf_man(config_keys, &out);
	else
		metric_man(&out);
	ok = buf_ok(&out) && fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0;
	buf_fini(&out);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Ends the program when memory is out. */
static struct config *
show(struct config *c)
{
	if (c == NULL) {
		(void)fputs("touchlogd: out of memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	config_print(c);
	return c;
}

static int
check(const struct arguments *a)
{
	struct config *c = show(config_load_to_check(a->path));
	int code = conf_errors(c->conf) == 0 ? EXIT_SUCCESS : EXIT_CONFIG;

	if (code == EXIT_SUCCESS && a->is_online)
		code = online_check(c);
	if (code == EXIT_SUCCESS)
		(void)printf("%s: ok, %zu listeners, %zu sources, %zu rules\n", a->path, c->listeners.n,
		    c->sources.n, c->rules.n);
	config_free(c);
	return code;
}

static int
run(const char *path, bool holds_actions)
{
	struct config *c = show(config_load(path));
	struct err err;

	if (conf_errors(c->conf) > 0) {
		log_error("config_refused", F_TEXT("file", path),
		    F_NUM("errors", conf_errors(c->conf)));
		config_free(c);
		return EXIT_CONFIG;
	}
	if (daemon_run(path, c, TOUCHLOG_VERSION, holds_actions, &err))
		return EXIT_SUCCESS;
	log_error("start_failed", F_ERR(&err));
	return err.kind == ERR_CONFIG ? EXIT_CONFIG : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	struct arguments a = { .path = TOUCHLOG_SYSCONFDIR "/touchlog/touchlog.yaml" };

	read_arguments(&a, argc, argv);
	if (a.what == RUN)
		return run(a.path, a.holds_actions);
	return a.what == CHECK ? check(&a) : print_table(a.what);
}
