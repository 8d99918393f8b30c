/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touchlog, the command line.  A command is a row here and a file beside this one; the
 * verbs and options of a command are rows there, from which the help is made too.
 *
 * Answers go to stdout, as tables or (--json) as JSON; all else to stderr.
 */
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "edge/config.h"

enum { TEXT_MAX_BYTES = 64 * 1024, LINE_MAX_BYTES = 4096 };

static const struct command *const commands[] = {
	&command_customer,
	&command_inject,
	&command_migrate,
	&command_outbox,
	&command_parked,
	&command_rule,
	&command_show,
	&command_source,
	&command_spool,
	&command_tail,
	&command_task,
	&command_trace,
};

enum { NCOMMANDS = sizeof(commands) / sizeof(commands[0]) };

/* ---- what commands use ---- */

/* Stored data may stand in a message: the terminal is not to obey it. */
static void
say(const char *fmt, va_list ap)
{
	char text[LINE_MAX_BYTES];
	struct buf line;

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	buf_init(&line, TEXT_MAX_BYTES);
	terminal_put(&line, str_of(text), TERMINAL_ONE_LINE);
	(void)fprintf(stderr, "touchlog: %.*s\n", STR_ARG(buf_str(&line)));
	buf_fini(&line);
}

enum exit_code
cli_fail(enum exit_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return code;
}

void
cli_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

const struct config *
cli_config(struct cli *cli)
{
	struct config *c;

	if (cli->config != NULL)
		return cli->config;
	c = config_load_without_secrets(cli->config_path);
	if (c == NULL) {
		cli_note("out of memory");
		return NULL;
	}
	if (conf_errors(c->conf) > 0) {
		config_print(c);
		config_free(c);
		return NULL;
	}
	cli->config = c;
	return c;
}

/* ---- help ---- */

static void
put_usage(const struct command *c, const struct verb *v, struct buf *out)
{
	buf_printf(out, "touchlog %s", c->name);
	if (v->name != NULL)
		buf_printf(out, " %s", v->name);
	if (v->args[0] != '\0')
		buf_printf(out, " %s", v->args);
}

static void
print_text(struct buf *text, FILE *to)
{
	(void)fwrite(text->p, 1, text->n, to);
	buf_fini(text);
}

static void
print_verb_help(const struct command *c, const struct verb *v)
{
	struct buf out;

	buf_init(&out, TEXT_MAX_BYTES);
	buf_text(&out, "usage: ");
	put_usage(c, v, &out);
	buf_printf(&out, " [OPTION]...\n\n%s.\n", v->summary);
	if (v->help != NULL)
		buf_printf(&out, "%s\n", v->help);
	buf_text(&out, "\n");
	options_help(v, &out);
	print_text(&out, stdout);
}

static void
put_command(const struct command *c, struct buf *out)
{
	for (const struct verb *v = c->verbs; v->run != NULL; v++) {
		buf_text(out, "  ");
		put_usage(c, v, out);
		buf_printf(out, "\n      %s\n", v->summary);
	}
}

static void
print_command_help(const struct command *c, FILE *to)
{
	struct buf out;

	buf_init(&out, TEXT_MAX_BYTES);
	buf_printf(&out, "usage: touchlog %s VERB ...\n\n", c->name);
	put_command(c, &out);
	print_text(&out, to);
}

static void
print_help(FILE *to)
{
	struct buf out;

	buf_init(&out, TEXT_MAX_BYTES);
	buf_text(&out, "usage: touchlog [-c FILE] COMMAND ...\n\n");
	for (size_t i = 0; i < NCOMMANDS; i++)
		put_command(commands[i], &out);
	buf_text(&out, "\ntouchlog COMMAND --help tells more; touchlog --version its version.\n"
	    "Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 not found, 5 database.\n");
	print_text(&out, to);
}

/* ---- which command, which verb ---- */

static const char *
command_name(void *arg, size_t i)
{
	(void)arg;
	return i < NCOMMANDS ? commands[i]->name : NULL;
}

static const char *
verb_name(void *arg, size_t i)
{
	const struct command *c = arg;

	return c->verbs[i].name;
}

static enum exit_code
unknown(const char *what, const char *name, const char *nearest)
{
	if (nearest != NULL)
		return cli_fail(CLI_USAGE, "there is no %s %s; did you mean %s?", what, name, nearest);
	return cli_fail(CLI_USAGE, "there is no %s %s; touchlog --help lists them", what, name);
}

static enum exit_code
run_verb(struct cli *cli, const struct command *c, const struct verb *v, int argc, char **argv)
{
	static char program[] = "touchlog";	/* what getopt_long() begins its lines with */
	void *options = calloc(1, v->size + 1);
	enum exit_code code = CLI_USAGE;
	bool wants_help = false;

	if (options == NULL)
		return cli_fail(CLI_FAILED, "out of memory");
	cli->options = options;
	argv[0] = program;
	if (!options_read(v, argc, argv, cli, options, &wants_help)) {
		cli_note("touchlog %s --help lists the options", c->name);
	} else if (wants_help) {
		print_verb_help(c, v);
		code = CLI_OK;
	} else if (cli->nargs < v->min_args || cli->nargs > v->max_args) {
		cli_note("usage: touchlog %s%s%s %s", c->name, v->name != NULL ? " " : "",
		    v->name != NULL ? v->name : "", v->args);
	} else {
		code = v->run(cli);
	}
	free(options);
	config_free(cli->config);
	return code;
}

static enum exit_code
run_command(struct cli *cli, const struct command *c, int argc, char **argv)
{
	union { const struct command *in; void *out; } arg = { .in = c };

	if (c->verbs[0].name == NULL)
		return run_verb(cli, c, &c->verbs[0], argc, argv);
	if (argc < 2) {
		print_command_help(c, stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_command_help(c, stdout);
		return CLI_OK;
	}
	for (const struct verb *v = c->verbs; v->run != NULL; v++)
		if (strcmp(v->name, argv[1]) == 0)
			return run_verb(cli, c, v, argc - 1, argv + 1);
	return unknown(c->name, argv[1], conf_nearest(str_of(argv[1]), verb_name, arg.out));
}

static enum exit_code
run_named(struct cli *cli, int argc, char **argv)
{
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (strcmp(commands[i]->name, argv[0]) == 0)
			return run_command(cli, commands[i], argc, argv);
	return unknown("command", argv[0], conf_nearest(str_of(argv[0]), command_name, NULL));
}

/* What stands before the command: -c FILE, --json, --help, --version. */
static enum exit_code
run(struct cli *cli, int argc, char **argv)
{
	static const struct verb before = { .args = "" };
	bool wants_help = false;
	int n = 1;

	while (n < argc && argv[n][0] == '-' && strcmp(argv[n], "--version") != 0)
		n += strcmp(argv[n], "-c") == 0 || strcmp(argv[n], "--config") == 0 ? 2 : 1;
	if (n > argc)
		n = argc;
	if (n < argc && strcmp(argv[n], "--version") == 0) {
		(void)puts("touchlog " TOUCHLOG_VERSION);
		return CLI_OK;
	}
	if (!options_read(&before, n, argv, cli, NULL, &wants_help))
		return cli_fail(CLI_USAGE, "touchlog --help lists the commands");
	if (wants_help) {
		print_help(stdout);
		return CLI_OK;
	}
	if (n == argc) {
		print_help(stderr);
		return CLI_USAGE;
	}
	return run_named(cli, argc - n, argv + n);
}

int
main(int argc, char **argv)
{
	struct cli cli = { .config_path = TOUCHLOG_SYSCONFDIR "/touchlog/touchlog.yaml" };
	enum exit_code code;

	/* For the width of characters only; what is stored is UTF-8 whatever the locale. */
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	log_set_level(LOG_ERROR);
	code = run(&cli, argc, argv);
	if (fflush(stdout) != 0 || ferror(stdout) != 0)
		return cli_fail(CLI_FAILED, "the answer could not be written");
	return (int)code;
}
