/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: rows and YAML files -> structs, and what is said about bad ones. */
#include "base/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <json-c/json.h>
#include <regex.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- rows as the parts of the daemon have them ---- */

struct spool {
	struct str	path;
	int64_t		max_size;
};

struct database {
	struct str	conninfo;
	int64_t		writers;
};

struct listener {
	struct str	address;
	unsigned	serve;
};

struct source {
	int		channel;
	bool		paused;
	int64_t		rate;
};

struct webhook {
	struct conf_texts	 secret;
	const struct conf_node	*map;
};

struct mailbox {
	struct str	url;
	int64_t		poll_ms;
};

struct settings {
	struct conf_texts	own;
	struct database		database;
	struct spool		spool;
	struct conf_named_list	listeners, sources;
	int64_t			spool_after_ms;
	bool			color;
};

static const char *const roles[] = { "ingest", "api", "ops", NULL };
static const char *const channels[] = { "email", "call", "form", "web", NULL };

static const struct conf_key database_keys[] = {
	{ "conninfo", CONF_TEXT, offsetof(struct database, conninfo), .required = true,
	  .help = "How to reach PostgreSQL." },
	{ "writers", CONF_INT, offsetof(struct database, writers), .min = 1, .max = 16,
	  .def = "2", .reload = true, .help = "Connections that write." },
	{ .name = NULL },
};
static const struct conf_key spool_keys[] = {
	{ "path", CONF_TEXT, offsetof(struct spool, path), .def = "/var/lib/spool.db",
	  .help = "Where 'the' spool is." },
	{ "max_size", CONF_SIZE, offsetof(struct spool, max_size), .min = 1 << 20,
	  .def = "2GiB", .help = "How large it may grow." },
	{ .name = NULL },
};
static const struct conf_key listener_keys[] = {
	{ "address", CONF_TEXT, offsetof(struct listener, address), .required = true,
	  .help = "Host and port." },
	{ "serve", CONF_FLAGS, offsetof(struct listener, serve), .choices = roles,
	  .def = "[ingest, ops]", .reload = true, .help = "What it serves." },
	{ .name = NULL },
};
static const struct conf_key source_keys[] = {
	{ "channel", CONF_ENUM, offsetof(struct source, channel), .choices = channels,
	  .def = "web", .reload = true, .help = "The medium." },
	{ "paused", CONF_BOOL, offsetof(struct source, paused), .reload = true,
	  .help = "Answers 503." },
	{ "rate", CONF_INT, offsetof(struct source, rate), .min = 1, .def = "1000",
	  .help = "Events a second." },
	{ .name = NULL },
};
static const struct conf_key webhook_keys[] = {
	{ "secret", CONF_SECRETS, offsetof(struct webhook, secret), .reload = true,
	  .help = "What the sender signs with." },
	{ "map", CONF_TREE, offsetof(struct webhook, map), .reload = true,
	  .help = "Where the values stand." },
	{ .name = NULL },
};
static const struct conf_key mailbox_keys[] = {
	{ "url", CONF_TEXT, offsetof(struct mailbox, url), .required = true,
	  .help = "The mailbox." },
	{ "poll", CONF_MS, offsetof(struct mailbox, poll_ms), .min = 1000, .max = 3600000,
	  .def = "1m", .help = "How often it is read." },
	{ .name = NULL },
};
static const struct conf_variant types[] = {
	{ "webhook", webhook_keys, sizeof(struct webhook) },
	{ "imap", mailbox_keys, sizeof(struct mailbox) },
	{ "form", NULL, 0 },
};

static const struct conf_variant *
type_of(size_t n)
{
	return n < sizeof(types) / sizeof(types[0]) ? &types[n] : NULL;
}

static const struct conf_key keys[] = {
	{ "own", CONF_TEXTS, offsetof(struct settings, own), .reload = true,
	  .help = "Our own addresses." },
	{ "database", CONF_BLOCK, offsetof(struct settings, database), .keys = database_keys,
	  .help = "The database." },
	{ "spool", CONF_BLOCK, offsetof(struct settings, spool), .keys = spool_keys,
	  .help = "The spool." },
	{ "listeners", CONF_NAMED, offsetof(struct settings, listeners), .keys = listener_keys,
	  .size = sizeof(struct listener), .help = "Where it listens." },
	{ "sources", CONF_NAMED, offsetof(struct settings, sources), .keys = source_keys,
	  .size = sizeof(struct source), .variant = type_of, .reload = true,
	  .help = "The inlets." },
	{ "spool_after", CONF_MS, offsetof(struct settings, spool_after_ms), .min = 10,
	  .max = 60000, .def = "2s", .reload = true, .help = "When the spool takes it." },
	{ "color", CONF_BOOL, offsetof(struct settings, color), .def = "yes",
	  .help = "Paints." },
	{ .name = NULL },
};

/* ---- a folder of files for each test ---- */

static char folder[64];
static struct conf *conf;
static struct settings got;

static int
make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/touchlog-conf-XXXXXX");
	conf = NULL;
	return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
remove_folder(void **state)
{
	(void)state;
	conf_free(conf);
	conf = NULL;
	return chdir("/") != 0 || nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0;
}

static void
write_bytes(const char *name, const void *bytes, size_t n)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void
write_file(const char *name, const char *text)
{
	write_bytes(name, text, strlen(text));
}

static void
load(const char *name)
{
	conf_free(conf);
	memset(&got, 0, sizeof(got));
	conf = conf_load(name, keys, &got);
	assert_non_null(conf);
}

static void
load_text(const char *text)
{
	write_file("t.yaml", text);
	load("t.yaml");
}

static void
assert_no_errors(void)
{
	for (size_t i = 0; i < conf_errors(conf); i++)
		print_error("%s\n", conf_error_text(conf, i));
	assert_int_equal(conf_errors(conf), 0);
}

/* All errors, one a line. */
static void
assert_errors(const char *expected)
{
	struct buf all;

	buf_init(&all, 1 << 20);
	for (size_t i = 0; i < conf_errors(conf); i++)
		buf_printf(&all, "%s%s", i > 0 ? "\n" : "", conf_error_text(conf, i));
	buf_add(&all, "", 1);
	assert_string_equal(all.p, expected);
	buf_fini(&all);
}

static void
assert_str(struct str s, const char *expected)
{
	assert_non_null(s.p);
	assert_int_equal(s.n, strlen(expected));
	assert_memory_equal(s.p, expected, s.n);
}

/* ---- values ---- */

static void
every_kind_of_value_is_read_into_its_struct(void **state)
{
	const struct webhook *hook;
	const struct mailbox *box;
	const struct source *common;

	(void)state;
	load_text("own: ['@example.com', \"+31201234567\"]\n"
	    "database: { conninfo: dbname=touchlog }\n"
	    "spool: { path: /x/y.db, max_size: 64MiB }\n"
	    "spool_after: 250ms\n"
	    "color: no\n"
	    "listeners:\n"
	    "  public: { address: 0.0.0.0:8080, serve: [ops, api] }\n"
	    "sources:\n"
	    "  shop:\n"
	    "    type: webhook\n"
	    "    paused: true\n"
	    "    secret: [plain:one, plain:two]\n"
	    "    map: { email: [/a, /b], channel: '=web' }\n"
	    "  box: { type: imap, url: imaps://x, channel: email }\n"
	    "  news: { type: form }\n");
	assert_no_errors();
	assert_int_equal(got.own.n, 2);
	assert_str(got.own.v[1], "+31201234567");
	assert_str(got.database.conninfo, "dbname=touchlog");
	assert_int_equal(got.database.writers, 2);
	assert_int_equal(got.spool.max_size, 64 << 20);
	assert_int_equal(got.spool_after_ms, 250);
	assert_false(got.color);
	assert_int_equal(((struct listener *)got.listeners.v[0].common)->serve, 1U << 2 | 1U << 1);
	assert_int_equal(got.sources.n, 3);

	assert_str(got.sources.v[0].name, "shop");
	common = got.sources.v[0].common;
	assert_true(common->paused);
	assert_int_equal(common->channel, 3);
	assert_int_equal(common->rate, 1000);
	hook = got.sources.v[0].own;
	assert_int_equal(hook->secret.n, 2);
	assert_str(hook->secret.v[1], "two");
	assert_true(conf_is_map(hook->map));

	assert_string_equal(got.sources.v[1].variant->name, "imap");
	box = got.sources.v[1].own;
	assert_str(box->url, "imaps://x");
	assert_int_equal(box->poll_ms, 60000);
	common = got.sources.v[1].common;
	assert_int_equal(common->channel, 0);
	assert_string_equal(got.sources.v[2].variant->name, "form");
}

static void
an_empty_file_is_all_defaults(void **state)
{
	static const char *const empty[] = { "", "# nothing\n", "---\n", "{}", "spool:\n",
	    "\xef\xbb\xbf# a byte order mark\n" };
	static const struct conf_key optional[] = {
		{ "spool", CONF_BLOCK, offsetof(struct settings, spool), .keys = spool_keys },
		{ "own", CONF_TEXTS, offsetof(struct settings, own), .def = "[a, b]" },
		{ .name = NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		write_file("t.yaml", empty[i]);
		conf_free(conf);
		memset(&got, 0, sizeof(got));
		conf = conf_load("t.yaml", optional, &got);
		assert_non_null(conf);
		assert_no_errors();
		assert_str(got.spool.path, "/var/lib/spool.db");
		assert_int_equal(got.spool.max_size, INT64_C(2) << 30);
		assert_int_equal(got.own.n, 2);
		assert_str(got.own.v[1], "b");
	}
}

static void
a_tree_can_be_walked_by_its_owner(void **state)
{
	const struct conf_node *map;

	(void)state;
	load_text("sources:\n  s: { type: webhook, map: { email: [/a, /b], kind: /k } }\n");
	assert_no_errors();
	map = ((struct webhook *)got.sources.v[0].own)->map;
	assert_int_equal(conf_count(map), 2);
	assert_str(conf_key_text(map, 0), "email");
	assert_true(conf_is_list(conf_item(map, 0)));
	assert_str(conf_text(conf_item(conf_item(map, 0), 1)), "/b");
	assert_true(conf_is_scalar(conf_find(map, "kind")));
	assert_null(conf_find(map, "nothing"));
	assert_null(conf_find(NULL, "nothing"));
	assert_null(conf_item(map, 2));
	assert_null(conf_text(map).p);
	conf_complain(conf, conf_key_node(map, 1), "no %s", "such column");
	conf_complain(conf, NULL, "about the whole");
	assert_errors("t.yaml:2:47: no such column\nt.yaml: about the whole");
}

static void
a_tree_without_a_value_is_unset(void **state)
{
	(void)state;
	load_text("sources:\n  s: { type: webhook, map: }\n");
	assert_no_errors();
	assert_null(((struct webhook *)got.sources.v[0].own)->map);
}

static void
an_alias_is_what_its_anchor_names(void **state)
{
	(void)state;
	load_text("listeners:\n  a: &x { address: one }\n  b: *x\n");
	assert_no_errors();
	assert_str(((struct listener *)got.listeners.v[1].common)->address, "one");
}

static void
durations_are_a_number_and_one_unit(void **state)
{
	static const struct { const char *text; int64_t ms; } good[] = {
		{ "250ms", 250 }, { "10s", 10000 }, { "5m", 300000 }, { "4h", 14400000 },
		{ "2d", 172800000 }, { "3w", 1814400000 }, { "1y", INT64_C(31536000000) },
		{ "0s", 0 }, { "007s", 7000 },
	};
	static const char *const bad[] = { "", "10", "s", "1.5s", "-1s", "+1s", "1 s", "1h30m",
	    "10S", "1month", "9223372036854775808ms", "300000000000y", "1s " };
	int64_t ms = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(conf_parse_ms(str_of(good[i].text), &ms));
		assert_int_equal(ms, good[i].ms);
	}
	ms = 77;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(conf_parse_ms(str_of(bad[i]), &ms));
	assert_int_equal(ms, 77);
}

static void
sizes_are_bytes_or_binary_units(void **state)
{
	static const struct { const char *text; int64_t bytes; } good[] = {
		{ "0", 0 }, { "512", 512 }, { "512B", 512 }, { "64KiB", 65536 },
		{ "3MiB", 3145728 }, { "2GiB", INT64_C(2147483648) },
	};
	static const char *const bad[] = { "", "KiB", "1kB", "1KB", "1M", "1.5GiB", "-1",
	    "9223372036854775807KiB", "1 KiB" };
	int64_t bytes;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(conf_parse_size(str_of(good[i].text), &bytes));
		assert_int_equal(bytes, good[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(conf_parse_size(str_of(bad[i]), &bytes));
}

/* ---- errors ---- */

static const struct { const char *text, *errors; } bad_files[] = {
	{ "spol_after: 1s\n",
	  "t.yaml:1:1: spol_after: unknown key; did you mean \"spool_after\"?" },
	{ "x: 1\n", "t.yaml:1:1: x: unknown key; known are: own, database, spool, listeners, "
	  "sources, spool_after, color" },
	{ "spool:\n  pathh: x\n",
	  "t.yaml:2:3: spool.pathh: unknown key; did you mean \"path\"?" },
	{ "database: { conninfo: x, writers: 99 }\n",
	  "t.yaml:1:35: database.writers: 99 is out of range; allowed is 1 to 16" },
	{ "database: { conninfo: x, writers: many }\n",
	  "t.yaml:1:35: database.writers: \"many\" is not a whole number" },
	{ "database: { conninfo: x, writers: 99999999999999999999 }\n",
	  "t.yaml:1:35: database.writers: \"99999999999999999999\" is not a whole number" },
	{ "spool_after: 5ms\n", "t.yaml:1:14: spool_after: 5ms is out of range; allowed is "
	  "10ms to 1m" },
	{ "spool_after: 10\n", "t.yaml:1:14: spool_after: \"10\" is not a duration: a number with "
	  "ms, s, m, h, d, w or y behind it, e.g. 10s" },
	{ "spool: { max_size: 10 }\n",
	  "t.yaml:1:20: spool.max_size: 10 is out of range; allowed is at least 1MiB" },
	{ "spool: { max_size: 2GB }\n",
	  "t.yaml:1:20: spool.max_size: \"2GB\" is not a size: bytes, "
	  "or a number with KiB, MiB or GiB behind it, e.g. 64KiB" },
	{ "color: maybe\n", "t.yaml:1:8: color: \"maybe\" is neither true nor false; write true, "
	  "false, yes or no" },
	{ "color:\n", "t.yaml:1:1: color: has no value; give it true or false or remove the key" },
	{ "color: [yes]\n", "t.yaml:1:8: color: is a list; true or false is wanted" },
	{ "database: { conninfo: { host: x } }\n",
	  "t.yaml:1:23: database.conninfo: is a map; a text is wanted" },
	{ "database: { conninfo: ~ }\n", "t.yaml:1:23: database.conninfo: has no value; give it "
	  "a text or remove the key" },
	{ "spool: 12\n", "t.yaml:1:8: spool: is a text; a map (\"key: value\") is wanted" },
	{ "spool: [a]\n", "t.yaml:1:8: spool: is a list; a map (\"key: value\") is wanted" },
	{ "sources: { a: b }\n",
	  "t.yaml:1:15: sources.a: is a text; a map (\"key: value\") is wanted" },
	{ "own: { a: b }\n",
	  "t.yaml:1:6: own: is a map; a text, or a list of them is wanted" },
	{ "own: [\xc3\xa9, {}]\n",
	  "t.yaml:1:10: own: is a map; a text, or a list of them is wanted" },
	{ "own: [a, [b]]\n",
	  "t.yaml:1:10: own: is a list; a text, or a list of them is wanted" },
	{ "database: { writers: 3 }\n", "t.yaml:1:11: database.conninfo: is required and missing; "
	  "add it here. How to reach PostgreSQL." },
	{ "database:\n", "t.yaml:1:1: database.conninfo: is required and missing; "
	  "add it here. How to reach PostgreSQL." },
	{ "listeners:\n  a:\n    serve: [ingest, opps, xyz]\n",
	  "t.yaml:3:21: listeners.a.serve: \"opps\" is not known here; did you mean \"ops\"?\n"
	  "t.yaml:3:27: listeners.a.serve: \"xyz\" is not known here; known are: ingest, api, ops\n"
	  "t.yaml:2:3: listeners.a.address: is required and missing; add it here. Host and port." },
	{ "sources:\n  a: { type: webhok }\n",
	  "t.yaml:2:14: sources.a.type: unknown type; did you mean \"webhook\"?" },
	{ "sources:\n  a: { type: ftp, url: x, rate: 0 }\n",
	  "t.yaml:2:14: sources.a.type: unknown type; known are: webhook, imap, form\n"
	  "t.yaml:2:33: sources.a.rate: 0 is out of range; allowed is at least 1" },
	{ "sources:\n  a: { rate: 5 }\n", "t.yaml:2:3: sources.a.type: is required and missing; "
	  "known are: webhook, imap, form" },
	{ "sources:\n  a: { type: [x] }\n",
	  "t.yaml:2:14: sources.a.type: is a list; one of the known types is wanted" },
	{ "sources:\n  a: { type: form, url: x }\n", "t.yaml:2:20: sources.a.url: unknown key; "
	  "known are: channel, paused, rate, type" },
	{ "sources:\n  a: { type: imap, channel: fax }\n",
	  "t.yaml:2:29: sources.a.channel: \"fax\" is not known here; known are: email, call, "
	  "form, web\n"
	  "t.yaml:2:3: sources.a.url: is required and missing; add it here. The mailbox." },
	{ "sources:\n  -x: { type: form }\n", "t.yaml:2:3: sources.-x: a name is 1 to 64 letters, "
	  "digits, \"-\" and \"_\", with a letter or digit at its head" },
	{ "sources:\n  a/b: { type: form }\n",
	  "t.yaml:2:3: sources.a/b: a name is 1 to 64 letters, "
	  "digits, \"-\" and \"_\", with a letter or digit at its head" },
	{ "sources:\n  a: { type: form }\n  b: { type: form }\n  a: { type: form }\n",
	  "t.yaml:4:3: a: is given twice, the first is at t.yaml:2:3; remove one of them" },
	{ "color: yes\nspool_after: 1s\ncolor: no\n",
	  "t.yaml:3:1: color: is given twice, the first is at t.yaml:1:1; remove one of them" },
	{ "spool_after: 1s\nspool: { path: a }\nspool: { max_size: 2MiB }\n",
	  "t.yaml:3:1: spool: is given twice, the first is at t.yaml:2:1; remove one of them" },
	{ "sources:\n  a: { type: webhook, map: { e: /x, e: /y } }\n",
	  "t.yaml:2:37: e: is given twice, the first is at t.yaml:2:30; remove one of them" },
	{ "sources:\n  a: { type: webhook, secret: [] }\n", "t.yaml:2:31: sources.a.secret: the "
	  "list is empty; name a secret or remove the key" },
	{ "- a\n- b\n", "t.yaml:1:1: the file holds a list; a map (\"key: value\") is wanted" },
	{ "just words\n", "t.yaml:1:1: the file holds a text; a map (\"key: value\") is wanted" },
	{ "color: \"x\nspool_after: 2\n",
	  "t.yaml:1:8: not YAML: wrongly indented double-quoted scalar" },
	{ "spool:\n\tpath: x\n",
	  "t.yaml:2:1: not YAML: tab character may not be used as indentation" },
	{ "color: maybe\nown: [a\n",
	  "t.yaml:3:1: not YAML: flow sequence without a closing bracket\n"
	  "t.yaml:1:8: color: \"maybe\" is neither true nor false; write true, false, yes or no" },
	{ "color: yes\n---\ncolor: no\n", "t.yaml:2:1: a second document starts here; remove the "
	  "line \"---\" before it" },
	{ "color: *x\n", "t.yaml:1:8: *x: no such anchor stands before this" },
	{ "own: &x [a, *x]\n", "t.yaml:1:13: *x: no such anchor stands before this" },
	{ "[a]: b\n", "t.yaml:1:1: a key must be a text, this is a list" },
	{ "color: !!bool yes\n", "t.yaml:1:15: a tag (\"!...\") means nothing here; remove it" },
	{ "own: \"a\\0b\"\n", "t.yaml:1:6: a text holds a NUL (\\0); remove it" },
	{ "\"a\\nb\": 1\n", "t.yaml:1:1: a?b: unknown key; known are: own, database, spool, "
	  "listeners, sources, spool_after, color" },
	{ "own: [\xc3\xa9, \xff]\n",
	  "t.yaml:1:10: byte 0xff is not UTF-8; save the file as UTF-8" },
	{ "include: [{}]\n", "t.yaml:1:11: include: a file name or pattern is wanted, e.g. "
	  "conf.d/*.yaml" },
	{ "include: nothere.yaml\n", "t.yaml:1:10: include: nothere.yaml: there is no such file" },
	{ "include: t.yaml\n", "t.yaml:1:10: t.yaml: is read already; include each file once" },
};

static void
each_error_says_where_what_and_what_to_do(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
		load_text(bad_files[i].text);
		assert_errors(bad_files[i].errors);
	}
}

static void
all_errors_of_a_file_are_told_at_once(void **state)
{
	(void)state;
	load_text("color: maybe\nspool: { pathh: x, max_size: big }\nspool_after: 1\nxyz: 1\n");
	assert_int_equal(conf_errors(conf), 5);
}

static void
errors_are_told_up_to_a_thousand(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 1 << 20);
	for (int i = 0; i < 5000; i++)
		buf_printf(&text, "unknown%d: x\n", i);
	write_bytes("t.yaml", text.p, text.n);
	buf_fini(&text);
	load("t.yaml");
	assert_int_equal(conf_errors(conf), 1000);
	assert_string_equal(conf_error_text(conf, 999), "and more, which are not shown");
}

static void
a_file_that_cannot_be_read_is_one_error(void **state)
{
	(void)state;
	load("missing.yaml");
	assert_errors("missing.yaml:1:1: No such file or directory");
	assert_int_equal(mkdir("d.yaml", 0700), 0);
	load("d.yaml");
	assert_errors("d.yaml:1:1: is a directory; name a file");
	assert_int_equal(mkfifo("p.yaml", 0600), 0);
	load("p.yaml");
	assert_errors("p.yaml:1:1: is not a file");
	write_bytes("n.yaml", "color: yes\nown: a\0b\n", 20);
	load("n.yaml");
	assert_errors("n.yaml:2:7: a NUL byte; this is no text file");
}

static void
a_name_has_at_most_64_bytes(void **state)
{
	char text[200];

	(void)state;
	(void)snprintf(text, sizeof(text), "listeners: { %064d: { address: x } }\n", 0);
	load_text(text);
	assert_no_errors();
	(void)snprintf(text, sizeof(text), "listeners: { %065d: { address: x } }\n", 0);
	load_text(text);
	assert_int_equal(conf_errors(conf), 1);
}

/* ---- includes ---- */

static void
included_files_are_merged_in_the_order_of_their_names(void **state)
{
	(void)state;
	assert_int_equal(mkdir("conf.d", 0700), 0);
	write_file("conf.d/b.yaml",
	    "sources: { two: { type: form } }\nspool: { max_size: 5MiB }\n");
	write_file("conf.d/a.yaml", "sources: { one: { type: form } }\ninclude: ../more.yaml\n");
	write_file("conf.d/c.txt", "color: maybe\n");
	write_file("more.yaml", "sources:\n  three: { type: form }\nspool: { path: /m }\n");
	load_text("include: [conf.d/*.yaml, none.d/*.yaml]\nsources:\n");
	assert_no_errors();
	assert_int_equal(got.sources.n, 3);
	assert_str(got.sources.v[0].name, "one");
	assert_str(got.sources.v[1].name, "three");
	assert_str(got.sources.v[2].name, "two");
	assert_str(got.spool.path, "/m");
	assert_int_equal(got.spool.max_size, 5 << 20);
}

static void
a_name_given_in_two_files_is_an_error_naming_both_places(void **state)
{
	(void)state;
	write_file("a.yaml", "sources:\n  shop: { type: form }\nspool: { path: /a }\ncolor: no\n");
	load_text("include: a.yaml\nsources: { x: { type: form }, shop: { type: form } }\n"
	    "spool: { path: /b }\ncolor: yes\n");
	assert_errors(
	    "a.yaml:4:1: color: is given twice, the first is at t.yaml:4:1; remove one of them\n"
	    "a.yaml:2:3: shop: is given twice, the first is at t.yaml:2:31; remove one of them\n"
	    "a.yaml:3:10: path: is given twice, the first is at t.yaml:3:10; remove one of them");
}

static void
an_error_names_the_included_file_it_stands_in(void **state)
{
	(void)state;
	assert_int_equal(mkdir("d", 0700), 0);
	write_file("d/a.yaml", "color: maybe\n");
	write_file("d/b.yaml", "color: [\n");
	assert_int_equal(symlink("nowhere", "d/c.yaml"), 0);
	load_text("include: d/*.yaml\n");
	assert_errors("d/b.yaml:2:1: not YAML: flow sequence without a closing bracket\n"
	    "t.yaml:1:10: d/c.yaml: No such file or directory\n"
	    "d/b.yaml:1:1: color: is given twice, the first is at d/a.yaml:1:1; remove one of "
	    "them\n"
	    "d/a.yaml:1:8: color: \"maybe\" is neither true nor false; write true, false, "
	    "yes or no");
}

static void
files_that_include_each_other_end(void **state)
{
	(void)state;
	write_file("a.yaml", "include: t.yaml\n");
	load_text("include: a.yaml\n");
	assert_errors("a.yaml:1:10: t.yaml: is read already; include each file once");
}

static void
includes_are_nested_eight_deep_at_most(void **state)
{
	char name[32], text[48];

	(void)state;
	for (int i = 0; i < 10; i++) {
		(void)snprintf(name, sizeof(name), "%d.yaml", i);
		(void)snprintf(text, sizeof(text), "include: %d.yaml\n", i + 1);
		write_file(name, text);
	}
	load("0.yaml");
	assert_errors("8.yaml:1:10: 9.yaml: includes are nested too deep");
}

/* ---- secrets ---- */

static void
load_secret(const char *spec)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "sources:\n  s: { type: webhook, secret: \"%s\" }\n",
	    spec);
	load_text(text);
}

static struct str
loaded_secret(void)
{
	const struct webhook *hook = got.sources.v[0].own;

	assert_no_errors();
	assert_int_equal(hook->secret.n, 1);
	return hook->secret.v[0];
}

static void
secrets_come_from_files_environment_credentials_and_text(void **state)
{
	(void)state;
	write_file("key", "from-file\n");
	assert_int_equal(chmod("key", 0600), 0);
	load_secret("file:key");
	assert_str(loaded_secret(), "from-file");
	assert_int_equal(conf_warnings(conf), 0);

	assert_int_equal(setenv("TL_TEST_SECRET", "from-env", 1), 0);
	load_secret("env:TL_TEST_SECRET");
	assert_str(loaded_secret(), "from-env");

	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	load_secret("cred:key");
	assert_str(loaded_secret(), "from-file");
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);

	load_secret("plain:from text");
	assert_str(loaded_secret(), "from text");
	assert_int_equal(conf_warnings(conf), 1);
	assert_string_equal(conf_warning_text(conf, 0), "t.yaml:2:31: sources.s.secret: the secret "
	    "stands here in clear; file:PATH, env:NAME or cred:NAME keep it elsewhere");
}

static void
a_secret_file_counts_from_the_folder_of_its_configuration(void **state)
{
	(void)state;
	assert_int_equal(mkdir("sub", 0700), 0);
	write_file("sub/key", "in sub\r\n");
	assert_int_equal(chmod("sub/key", 0640), 0);
	write_file("sub/a.yaml", "sources: { s: { type: webhook, secret: file:key } }\n");
	load_text("include: sub/a.yaml\n");
	assert_str(loaded_secret(), "in sub");
	assert_int_equal(conf_warnings(conf), 0);
}

static void
a_secret_that_everybody_can_read_is_a_warning(void **state)
{
	(void)state;
	write_file("key", "x");
	assert_int_equal(chmod("key", 0644), 0);
	load_secret("file:key");
	assert_str(loaded_secret(), "x");
	assert_int_equal(conf_warnings(conf), 1);
	assert_string_equal(conf_warning_text(conf, 0), "t.yaml:2:31: sources.s.secret: file:key: "
	    "can be read by every user; chmod o-r");
}

static void
a_bad_secret_is_an_error_that_does_not_repeat_it(void **state)
{
	static const struct { const char *spec, *why; } bad[] = {
		{ "hunter2", "does not say where the secret is; write file:PATH, env:NAME, "
		  "cred:NAME or plain:TEXT" },
		{ "plane:hunter2", "does not say where the secret is; write file:PATH, env:NAME, "
		  "cred:NAME or plain:TEXT" },
		{ "", "does not say where the secret is; write file:PATH, env:NAME, cred:NAME or "
		  "plain:TEXT" },
		{ "plain:", "plain:: is empty" },
		{ "file:", "file:: names no file" },
		{ "file:none", "file:none: No such file or directory" },
		{ "file:.", "file:.: is not a file" },
		{ "file:empty", "file:empty: is empty; put the secret into it" },
		{ "env:TL_TEST_UNSET", "env:TL_TEST_UNSET: no such variable in the environment" },
		{ "env:TL_TEST_EMPTY", "env:TL_TEST_EMPTY: the variable is empty" },
		{ "cred:x", "cred:x: $CREDENTIALS_DIRECTORY is not set; the unit needs "
		  "LoadCredential=" },
	};
	char line[300];

	(void)state;
	write_file("empty", "\n");
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	assert_int_equal(setenv("TL_TEST_EMPTY", "", 1), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		load_secret(bad[i].spec);
		(void)snprintf(line, sizeof(line), "t.yaml:2:31: sources.s.secret: %s", bad[i].why);
		assert_errors(line);
	}
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	load_secret("cred:../etc/passwd");
	assert_errors("t.yaml:2:31: sources.s.secret: cred:../etc/passwd: is no name of a "
	    "credential");
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void
a_check_from_outside_of_the_service_warns_of_credentials_and_reads_the_rest(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	write_file("t.yaml", "sources:\n"
	    "  s: { type: webhook, secret: [\"cred:key\", \"file:none\"] }\n");
	conf_free(conf);
	conf = conf_load_to_check("t.yaml", keys, &got);
	assert_non_null(conf);
	assert_errors("t.yaml:2:44: sources.s.secret: file:none: No such file or directory");
	assert_int_equal(conf_warnings(conf), 1);
	assert_string_equal(conf_warning_text(conf, 0), "t.yaml:2:32: sources.s.secret: cred:key: "
	    "not checked: the service alone has its credentials");
	assert_false(conf_has_secrets(conf));

	write_file("key", "x");
	assert_int_equal(chmod("key", 0600), 0);
	write_file("t.yaml", "sources:\n  s: { type: webhook, secret: \"cred:key\" }\n");
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	conf_free(conf);
	memset(&got, 0, sizeof(got));
	conf = conf_load_to_check("t.yaml", keys, &got);
	assert_str(loaded_secret(), "x");
	assert_true(conf_has_secrets(conf));
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void
a_secret_file_has_at_most_64_kib(void **state)
{
	static char bytes[65537];

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	write_bytes("key", bytes, 65536);
	assert_int_equal(chmod("key", 0600), 0);
	load_secret("file:key");
	assert_int_equal(loaded_secret().n, 65536);
	write_bytes("key", bytes, 65537);
	load_secret("file:key");
	assert_errors("t.yaml:2:31: sources.s.secret: file:key: is larger than 64 KiB");
}

static void
a_secret_is_read_without_a_configuration_too(void **state)
{
	struct arena a = { 0 };
	struct str value;
	const char *why = NULL;

	(void)state;
	assert_true(conf_read_secret(&a, STR("plain:x"), &value, &why));
	assert_str(value, "x");
	assert_false(conf_read_secret(&a, STR("x"), &value, &why));
	assert_non_null(strstr(why, "env:NAME"));
	arena_fini(&a);
}

/* ---- strange files ---- */

static void
load_repeated(const char *head, const char *piece, size_t times, const char *tail)
{
	struct buf text;

	buf_init(&text, 64 << 20);
	buf_text(&text, head);
	for (size_t i = 0; i < times; i++)
		buf_text(&text, piece);
	buf_text(&text, tail);
	write_bytes("t.yaml", text.p, text.n);
	buf_fini(&text);
	load("t.yaml");
}

static void
deep_nesting_is_an_error(void **state)
{
	static const char *const pieces[] = { "[", "{a: ", "- ", "? " };

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		load_repeated("own:\n  ", pieces[i], 100000, "\n");
		assert_true(conf_errors(conf) >= 1);
		assert_non_null(strstr(conf_error_text(conf, 0),
		    "maps and lists are nested deeper than 64"));
	}
}

static void
aliases_that_multiply_are_an_error(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_text(&text, "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n");
	for (int i = 1; i < 20; i++) {
		buf_printf(&text, "x%d: &x%d [", i, i);
		for (int j = 0; j < 10; j++)
			buf_printf(&text, "%s*x%d", j > 0 ? ", " : "", i - 1);
		buf_text(&text, "]\n");
	}
	write_bytes("t.yaml", text.p, text.n);
	buf_fini(&text);
	load("t.yaml");
	assert_non_null(strstr(conf_error_text(conf, 0), "there are more than 1000000 values"));
}

static void
aliases_that_nest_too_deep_are_an_error(void **state)
{
	struct buf text;
	size_t n;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_text(&text, "x0: &x0 [a]\n");
	for (int i = 1; i < 100; i++)
		buf_printf(&text, "x%d: &x%d [*x%d]\n", i, i, i - 1);
	write_bytes("t.yaml", text.p, text.n);
	buf_fini(&text);
	load("t.yaml");
	n = conf_errors(conf);
	assert_non_null(strstr(conf_error_text(conf, 0), "nested deeper than 64"));
	assert_true(n < 100);
}

static void
a_thousand_anchors_are_enough(void **state)
{
	load_repeated("own: [", "&a x, ", 1001, "]\n");
	(void)state;
	assert_non_null(strstr(conf_error_text(conf, 0), "there are more than 1000 anchors"));
}

static void
a_file_of_ten_megabytes_works_and_one_beyond_the_limit_is_an_error(void **state)
{
	(void)state;
	load_repeated("database: { conninfo: \"", "0123456789", 1000000, "\" }\n");
	assert_no_errors();
	assert_int_equal(got.database.conninfo.n, 10000000);
	load_repeated("color: yes # ", "0123456789", 1700000, "\n");
	assert_errors("t.yaml:1:1: is larger than 16 MiB");
}

static void
a_map_of_many_names_takes_no_time(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 64 << 20);
	buf_text(&text, "listeners:\n");
	for (int i = 0; i < 50000; i++)
		buf_printf(&text, "  l%d: { address: x }\n", i);
	buf_text(&text, "  l77: { address: x }\n");
	write_bytes("t.yaml", text.p, text.n);
	buf_fini(&text);
	load("t.yaml");
	assert_errors("t.yaml:50002:3: l77: is given twice, the first is at t.yaml:79:3; "
	    "remove one of them");
	assert_int_equal(got.listeners.n, 50000);
}

/* A file cut or with one byte changed anywhere gives errors or settings, never a crash;
 * what counts here is that the sanitizers are content. */
static void
a_damaged_file_is_survived_at_every_byte(void **state)
{
	static const char whole[] = "own: ['@a', \"b\\u0041\"]\n"
	    "database: { conninfo: &x \"y\" }\n"
	    "spool: # c\n  path: >-\n    folded\n    text\n  max_size: 2MiB\n"
	    "sources:\n  s: { type: webhook, secret: [plain:a], map: { a: *x, ? b : c } }\n"
	    "  m:\n    type: imap\n    url: |\n      x\n";
	static const char odd[] = "\0\"'{}[]:,&*!|>%@`#-? \t\n\\\x80\xff";

	(void)state;
	for (size_t cut = 0; cut < sizeof(whole) - 1; cut++) {
		write_bytes("t.yaml", whole, cut);
		load("t.yaml");
	}
	for (size_t at = 0; at < sizeof(whole) - 1; at++)
		for (size_t i = 0; i < sizeof(odd) - 1; i++) {
			char copy[sizeof(whole)];

			memcpy(copy, whole, sizeof(whole));
			copy[at] = odd[i];
			write_bytes("t.yaml", copy, sizeof(whole) - 1);
			load("t.yaml");
		}
	load_text(whole);
	assert_no_errors();
}

/* ---- suggestions ---- */

static const char *
name_of(void *arg, size_t i)
{
	return ((const char *const *)arg)[i];
}

static void
the_nearest_name_is_suggested_when_it_is_near(void **state)
{
	static const char *names[] = { "secret", "serve", "address", "rate", "own", "url", NULL };
	static const struct { const char *wrong, *nearest; } rows[] = {
		{ "sceret", "secret" }, { "secrets", "secret" }, { "adress", "address" },
		{ "addresss", "address" }, { "server", "serve" }, { "onw", "own" },
		{ "urI", "url" }, { "rte", "rate" }, { "zzz", NULL }, { "x", NULL },
		{ "", NULL }, { "completely_different", NULL },
	};
	char longer[200];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *nearest = conf_nearest(str_of(rows[i].wrong), name_of, names);

		if (rows[i].nearest == NULL)
			assert_null(nearest);
		else
			assert_string_equal(nearest, rows[i].nearest);
	}
	memset(longer, 's', sizeof(longer));
	assert_null(conf_nearest((struct str){ longer, sizeof(longer) }, name_of, names));
}

/* ---- reload ---- */

static void
add_path(void *arg, const char *path)
{
	buf_printf(arg, "%s\n", path);
}

static void
a_reload_names_the_settings_that_need_a_restart(void **state)
{
	static const struct { const char *was, *is, *paths; } rows[] = {
		{ "color: yes\n", "color: true\n", "" },
		{ "color: yes\nspool_after: 1s\n", "color: no\nspool_after: 2s\n", "color\n" },
		{ "", "spool: { max_size: 2048MiB }\n", "" },
		{ "", "spool: { max_size: 3GiB, path: /p }\n", "spool.path\nspool.max_size\n" },
		{ "own: a\n", "own: [a, b]\n", "" },
		{ "listeners: { a: { address: x }, b: { address: x } }\n",
		  "listeners: { b: { address: y, serve: ops }, c: { address: x } }\n",
		  "listeners.a\nlisteners.b.address\nlisteners.c\n" },
		{ "sources: { a: { type: imap, url: x }, b: { type: imap, url: x } }\n",
		  "sources: { a: { type: imap, url: y, paused: true }, c: { type: form } }\n",
		  "sources.a.url\n" },
		{ "sources: { a: { type: imap, url: x } }\n",
		  "sources: { a: { type: form } }\n", "" },
		{ "sources: { a: { type: form } }\n", "sources: { a: { type: form, rate: 5 } }\n",
		  "sources.a.rate\n" },
	};
	struct buf paths;

	(void)state;
	buf_init(&paths, 4096);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct settings was;
		struct conf *first;

		load_text(rows[i].was);
		assert_no_errors();
		was = got;
		first = conf;
		conf = NULL;
		load_text(rows[i].is);
		assert_no_errors();
		buf_clear(&paths);
		conf_diff_fixed(keys, &was, &got, add_path, &paths);
		buf_add(&paths, "", 1);
		assert_string_equal(paths.p, rows[i].paths);
		conf_free(first);
	}
	buf_fini(&paths);
}

static void
a_changed_tree_that_is_fixed_is_named(void **state)
{
	struct trees { const struct conf_node *map; } was = { NULL }, is = { NULL };
	static const struct conf_key tree_keys[] = {
		{ "map", CONF_TREE, offsetof(struct trees, map), .help = "A tree." },
		{ .name = NULL },
	};
	struct conf *a, *b, *c;
	struct buf paths;

	(void)state;
	buf_init(&paths, 4096);
	write_file("a", "map: { a: [1, 2] }\n");
	write_file("b", "map:\n  a:\n    - 1\n    - 2\n");
	write_file("c", "map: { a: [1, 3] }\n");
	a = conf_load("a", tree_keys, &was);
	b = conf_load("b", tree_keys, &is);
	conf_diff_fixed(tree_keys, &was, &is, add_path, &paths);
	assert_int_equal(paths.n, 0);
	c = conf_load("c", tree_keys, &is);
	conf_diff_fixed(tree_keys, &was, &is, add_path, &paths);
	assert_str(buf_str(&paths), "map\n");
	conf_free(a);
	conf_free(b);
	conf_free(c);
	buf_fini(&paths);
}

/* ---- schema: a small judge of the words that ours uses ---- */

static bool judge(struct json_object *schema, struct json_object *v);

static struct json_object *
word(struct json_object *schema, const char *name)
{
	struct json_object *v = NULL;

	(void)json_object_object_get_ex(schema, name, &v);
	return v;
}

static bool
is_of_type(const char *type, struct json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_null: return strcmp(type, "null") == 0;
	case json_type_boolean: return strcmp(type, "boolean") == 0;
	case json_type_double: return strcmp(type, "number") == 0;
	case json_type_int:
		return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
	case json_type_object: return strcmp(type, "object") == 0;
	case json_type_array: return strcmp(type, "array") == 0;
	case json_type_string: return strcmp(type, "string") == 0;
	}
	return false;
}

static bool
judge_type(struct json_object *types_wanted, struct json_object *v)
{
	if (types_wanted == NULL)
		return true;
	if (json_object_is_type(types_wanted, json_type_string))
		return is_of_type(json_object_get_string(types_wanted), v);
	for (size_t i = 0; i < json_object_array_length(types_wanted); i++)
		if (is_of_type(json_object_get_string(
		    json_object_array_get_idx(types_wanted, i)), v))
			return true;
	return false;
}

static bool
matches(const char *pattern, const char *text)
{
	regex_t re;
	bool found;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	found = regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return found;
}

static bool
judge_scalar(struct json_object *schema, struct json_object *v)
{
	struct json_object *choices = word(schema, "enum"), *pattern = word(schema, "pattern");
	struct json_object *min = word(schema, "minimum"), *max = word(schema, "maximum");
	struct json_object *only = word(schema, "const");
	bool is_int = json_object_is_type(v, json_type_int), found = choices == NULL;

	for (size_t i = 0; choices != NULL && i < json_object_array_length(choices); i++)
		found |= json_object_equal(json_object_array_get_idx(choices, i), v) != 0;
	if (!found || (only != NULL && !json_object_equal(only, v)))
		return false;
	if (pattern != NULL && json_object_is_type(v, json_type_string) &&
	    !matches(json_object_get_string(pattern), json_object_get_string(v)))
		return false;
	return !is_int ||
	    ((min == NULL || json_object_get_int64(v) >= json_object_get_int64(min)) &&
	    (max == NULL || json_object_get_int64(v) <= json_object_get_int64(max)));
}

static bool
judge_object(struct json_object *schema, struct json_object *v)
{
	struct json_object *properties = word(schema, "properties"), *required = word(schema,
	    "required");
	struct json_object *more = word(schema, "additionalProperties"), *names = word(schema,
	    "propertyNames");

	for (size_t i = 0; required != NULL && i < json_object_array_length(required); i++)
		if (!json_object_object_get_ex(v,
		    json_object_get_string(json_object_array_get_idx(required, i)), NULL))
			return false;
	json_object_object_foreach(v, key, value) {
		struct json_object *sub = NULL, *name = json_object_new_string(key);
		bool is_good = names == NULL || judge(names, name);

		json_object_put(name);
		if (properties == NULL || !json_object_object_get_ex(properties, key, &sub))
			sub = more;
		if (!is_good || (sub != NULL && !judge(sub, value)))
			return false;
	}
	return true;
}

static bool
judge_array(struct json_object *schema, struct json_object *v)
{
	struct json_object *each = word(schema, "items"), *least = word(schema, "minItems");
	size_t n = json_object_array_length(v);

	if (least != NULL && n < (size_t)json_object_get_int64(least))
		return false;
	for (size_t i = 0; each != NULL && i < n; i++)
		if (!judge(each, json_object_array_get_idx(v, i)))
			return false;
	return true;
}

static bool
judge_combined(struct json_object *schema, struct json_object *v)
{
	struct json_object *any = word(schema, "anyOf"), *all = word(schema, "allOf");
	struct json_object *cond = word(schema, "if");
	bool found = any == NULL;

	for (size_t i = 0; any != NULL && i < json_object_array_length(any); i++)
		found |= judge(json_object_array_get_idx(any, i), v);
	for (size_t i = 0; all != NULL && i < json_object_array_length(all); i++)
		found &= judge(json_object_array_get_idx(all, i), v);
	if (cond != NULL && judge(cond, v))
		found &= judge(word(schema, "then"), v);
	return found;
}

static bool
judge(struct json_object *schema, struct json_object *v)
{
	if (json_object_is_type(schema, json_type_boolean))
		return json_object_get_boolean(schema);
	if (!judge_type(word(schema, "type"), v) || !judge_scalar(schema, v) ||
	    !judge_combined(schema, v))
		return false;
	if (json_object_is_type(v, json_type_object))
		return judge_object(schema, v);
	return !json_object_is_type(v, json_type_array) || judge_array(schema, v);
}

static struct json_object *
parsed_schema(void)
{
	struct buf text;
	struct json_object *schema;

	buf_init(&text, 1 << 20);
	conf_schema(keys, &text);
	buf_add(&text, "", 1);
	assert_true(buf_ok(&text));
	schema = json_tokener_parse(text.p);
	assert_non_null(schema);
	buf_fini(&text);
	return schema;
}

/* JSON is YAML: one text for both the parser and the schema. */
static const struct { const char *text; bool is_good; } judged[] = {
	{ "{}", true },
	{ "{\"color\": true, \"own\": \"a\"}", true },
	{ "{\"color\": \"yes\", \"own\": [\"a\", 1, true]}", true },
	{ "{\"color\": \"maybe\"}", false },
	{ "{\"color\": 1}", false },
	{ "{\"color\": null}", false },
	{ "{\"own\": [[\"a\"]]}", false },
	{ "{\"own\": []}", true },
	{ "{\"unknown\": 1}", false },
	{ "{\"spool_after\": \"10s\"}", true },
	{ "{\"spool_after\": 10}", false },
	{ "{\"spool_after\": \"10\"}", false },
	{ "{\"spool_after\": \"1.5s\"}", false },
	{ "{\"spool\": {\"max_size\": 2097152}}", true },
	{ "{\"spool\": {\"max_size\": 12}}", false },
	{ "{\"spool\": {\"max_size\": \"2MiB\"}}", true },
	{ "{\"spool\": {\"max_size\": \"2MB\"}}", false },
	{ "{\"spool\": null}", true },
	{ "{\"spool\": 3}", false },
	{ "{\"spool\": {\"max_size\": {}}}", false },
	{ "{\"database\": null}", false },
	{ "{\"database\": {}}", false },
	{ "{\"database\": {\"conninfo\": \"x\", \"writers\": 3}}", true },
	{ "{\"database\": {\"conninfo\": \"x\", \"writers\": \"3\"}}", true },
	{ "{\"database\": {\"conninfo\": \"x\", \"writers\": 0}}", false },
	{ "{\"database\": {\"conninfo\": \"x\", \"writers\": 17}}", false },
	{ "{\"database\": {\"conninfo\": \"x\", \"writers\": \"3.5\"}}", false },
	{ "{\"database\": {\"conninfo\": \"x\", \"writers\": 3.5}}", false },
	{ "{\"listeners\": {\"a\": {\"address\": \"x\", \"serve\": [\"ops\", \"api\"]}}}", true },
	{ "{\"listeners\": {\"a\": {\"address\": \"x\", \"serve\": \"ops\"}}}", true },
	{ "{\"listeners\": {\"a\": {\"address\": \"x\", \"serve\": \"opps\"}}}", false },
	{ "{\"listeners\": {\"a\": {\"serve\": []}}}", false },
	{ "{\"listeners\": {\"a b\": {\"address\": \"x\"}}}", false },
	{ "{\"listeners\": null}", true },
	{ "{\"sources\": {\"s\": {\"type\": \"webhook\", \"map\": {\"x\": [1, {}]}}}}", true },
	{ "{\"sources\": {\"s\": {\"type\": \"webhook\", \"map\": null}}}", true },
	{ "{\"sources\": {\"s\": {\"type\": \"webhook\", \"url\": \"x\"}}}", false },
	{ "{\"sources\": {\"s\": {\"type\": \"webhook\", \"secret\": []}}}", false },
	{ "{\"sources\": {\"s\": {\"type\": \"webhook\", \"secret\": \"x\"}}}", false },
	{ "{\"sources\": {\"s\": {\"type\": \"webhook\", \"secret\": [\"plain:x\"]}}}", true },
	{ "{\"sources\": {\"s\": {\"type\": \"imap\", \"url\": \"x\", \"paused\": false}}}", true },
	{ "{\"sources\": {\"s\": {\"type\": \"imap\"}}}", false },
	{ "{\"sources\": {\"s\": {\"type\": \"form\", \"channel\": \"email\"}}}", true },
	{ "{\"sources\": {\"s\": {\"type\": \"form\", \"channel\": \"fax\"}}}", false },
	{ "{\"sources\": {\"s\": {\"type\": \"ftp\"}}}", false },
	{ "{\"sources\": {\"s\": {}}}", false },
	{ "{\"sources\": {\"s\": null}}", false },
	{ "{\"include\": [\"none.d/*.yaml\"]}", true },
	{ "{\"include\": 3.5}", false },
};

static void
the_schema_accepts_what_the_parser_accepts(void **state)
{
	struct json_object *schema = parsed_schema();

	(void)state;
	for (size_t i = 0; i < sizeof(judged) / sizeof(judged[0]); i++) {
		struct json_object *v = json_tokener_parse(judged[i].text);

		load_text(judged[i].text);
		if ((conf_errors(conf) == 0) != judged[i].is_good ||
		    judge(schema, v) != judged[i].is_good)
			fail_msg("%s", judged[i].text);
		json_object_put(v);
	}
	json_object_put(schema);
}

static void
the_schema_holds_help_range_and_default_of_each_row(void **state)
{
	struct json_object *schema = parsed_schema(), *properties, *row;

	(void)state;
	assert_string_equal(json_object_get_string(word(schema, "$schema")),
	    "https://json-schema.org/draft/2020-12/schema");
	properties = word(schema, "properties");
	row = word(properties, "spool_after");
	assert_string_equal(json_object_get_string(word(row, "description")),
	    "When the spool takes it. Range: 10ms to 1m.");
	assert_string_equal(json_object_get_string(word(row, "default")), "2s");
	assert_true(json_object_get_boolean(word(word(properties, "color"), "default")));
	row = word(word(properties, "database"), "properties");
	assert_int_equal(json_object_get_int64(word(word(row, "writers"), "default")), 2);
	row = word(word(word(properties, "listeners"), "additionalProperties"), "properties");
	assert_string_equal(json_object_to_json_string_ext(word(word(row, "serve"), "default"),
	    JSON_C_TO_STRING_PLAIN), "[\"ingest\",\"ops\"]");
	json_object_put(schema);
}

static void
the_schema_asks_for_what_is_required_only_where_nothing_is_included(void **state)
{
	static const struct conf_key required[] = {
		{ "url", CONF_TEXT, .required = true, .help = "A place." },
		{ .name = NULL },
	};
	struct buf text;
	struct json_object *schema, *empty = json_tokener_parse("{}");
	struct json_object *split = json_tokener_parse("{\"include\":\"x\"}");

	(void)state;
	buf_init(&text, 1 << 20);
	conf_schema(required, &text);
	buf_add(&text, "", 1);
	schema = json_tokener_parse(text.p);
	assert_non_null(schema);
	assert_false(judge(schema, empty));
	assert_true(judge(schema, split));
	json_object_put(schema);
	json_object_put(empty);
	json_object_put(split);
	buf_fini(&text);
}

/* ---- manual page ---- */

static void
the_manual_page_shows_type_range_default_and_reload(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 1 << 20);
	conf_man(keys, &text);
	buf_add(&text, "", 1);
	assert_true(buf_ok(&text));
	assert_non_null(strstr(text.p, ".TP\n.B spool_after\n(duration, 10ms to 1m, default 2s, "
	    "reloadable)\n.br\nWhen the spool takes it.\n"));
	assert_non_null(strstr(text.p, ".TP\n.B spool\n(map)\n.br\nThe spool.\n.RS\n.TP\n.B path\n"
	    "(text, default /var/lib/spool.db, needs a restart)\n.br\n"
	    "Where \\(aqthe\\(aq spool is.\n"));
	assert_non_null(strstr(text.p, "(list of words of ingest, api, ops, default [ingest, ops], "
	    "reloadable)"));
	assert_non_null(strstr(text.p, ".TP\n.B type\n"
	    "(one word of webhook, imap, form, required)"));
	assert_non_null(strstr(text.p, ".B url\n(text, required, needs a restart)"));
	buf_fini(&text);
}

static void
the_manual_page_is_balanced_and_clean_for_groff(void **state)
{
	struct buf text;
	FILE *f;

	(void)state;
	if (system("groff --version >/dev/null 2>&1") != 0)
		skip();
	buf_init(&text, 1 << 20);
	buf_text(&text, ".TH TOUCHLOG.YAML 5\n.SH SETTINGS\n");
	conf_man(keys, &text);
	f = popen("groff -man -Tutf8 -ww 2>&1 >/dev/null | grep . >&2; test $? = 1", "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(pclose(f), 0);
	buf_fini(&text);
}

/* ---- entries that build on a file ---- */

struct built {
	struct str		 base, verify;
	const struct conf_node	*map, *items;
};

struct built_settings {
	struct str		 folder;
	struct conf_named_list	 sources;
};

static const struct conf_key built_keys[] = {
	{ "preset", CONF_BASE, offsetof(struct built, base), .reload = true,
	  .folder = "preset_dir", .help = "What it builds on." },
	{ "verify", CONF_TEXT, offsetof(struct built, verify), .required = true,
	  .help = "How a sender proves who it is." },
	{ "map", CONF_TREE, offsetof(struct built, map), .merge_levels = 2,
	  .help = "Where the values stand." },
	{ "items", CONF_TREE, offsetof(struct built, items), .is_parts = true,
	  .help = "Several kinds." },
	{ .name = NULL },
};
static const struct conf_variant built_type = { "webhook", built_keys, sizeof(struct built) };

static const struct conf_variant *
built_type_of(size_t n)
{
	return n == 0 ? &built_type : NULL;
}

static const struct conf_key building_keys[] = {
	{ "sources", CONF_NAMED, offsetof(struct built_settings, sources), .keys = source_keys,
	  .size = sizeof(struct source), .variant = built_type_of, .help = "The inlets." },
	{ "preset_dir", CONF_TEXT, offsetof(struct built_settings, folder),
	  .def = "/nowhere/at/all", .help = "Where the presets are." },
	{ .name = NULL },
};

static struct built_settings built;

static void
load_built(const char *text)
{
	write_file("t.yaml", text);
	conf_free(conf);
	memset(&built, 0, sizeof(built));
	conf = conf_load("t.yaml", building_keys, &built);
	assert_non_null(conf);
}

static void
write_preset(const char *text)
{
	assert_true(mkdir("presets", 0700) == 0 || errno == EEXIST);
	write_file("presets/shop.yaml", text);
}

static void
an_entry_says_again_what_it_builds_on_or_takes_it_away(void **state)
{
	const struct built *own;
	const struct source *common;

	(void)state;
	write_preset("verify: token\nchannel: form\npaused: yes\n"
	    "map: { id: /a, kind: /b, mail: /c, words: { x: y, z: w } }\n");
	/* The folder may be named behind the entries, and counts from the file. */
	load_built("sources:\n"
	    "  one: { type: webhook, preset: shop }\n"
	    "  two: { type: webhook, preset: shop, verify: none, paused: no,\n"
	    "         map: { kind: /B, mail: , words: { z: W, v: u } } }\n"
	    "preset_dir: presets\n");
	assert_no_errors();
	own = built.sources.v[0].own;
	common = built.sources.v[0].common;
	assert_str(own->verify, "token");
	assert_str(own->base, "shop");
	assert_str(built.sources.v[0].base, "shop");
	assert_str(conf_text(conf_find(own->map, "kind")), "/b");
	assert_true(common->paused && common->channel == 2);

	own = built.sources.v[1].own;
	common = built.sources.v[1].common;
	assert_str(own->verify, "none");
	assert_false(common->paused);
	assert_int_equal(common->channel, 2);
	assert_int_equal(conf_count(own->map), 3);
	assert_str(conf_text(conf_find(own->map, "id")), "/a");
	assert_str(conf_text(conf_find(own->map, "kind")), "/B");
	assert_int_equal(conf_count(conf_find(own->map, "words")), 3);
	assert_str(conf_text(conf_find(conf_find(own->map, "words"), "z")), "W");
	assert_non_null(conf_find(built.sources.v[1].node, "channel"));
}

static void
what_an_entry_says_goes_for_all_parts_of_what_it_builds_on(void **state)
{
	const struct built *own;
	const struct conf_node *map;

	(void)state;
	write_preset("verify: none\nmap: { id: /a, kind: /k }\n"
	    "items: [ { when: x, map: { kind: /b, mail: /c } }, { when: y }, z ]\n");
	load_built("preset_dir: presets\nsources:\n"
	    "  one: { type: webhook, preset: shop, map: { kind: /B, mail: , more: /m } }\n"
	    "  two: { type: webhook, preset: shop, map: { kind: /B }, items: [] }\n");
	assert_no_errors();
	own = built.sources.v[0].own;
	assert_int_equal(conf_count(own->map), 3);
	assert_str(conf_text(conf_find(own->map, "id")), "/a");
	assert_int_equal(conf_count(own->items), 3);
	map = conf_find(conf_item(own->items, 0), "map");
	assert_str(conf_text(conf_find(map, "kind")), "/B");
	assert_null(conf_find(map, "mail"));
	assert_str(conf_text(conf_find(conf_item(own->items, 0), "when")), "x");
	assert_null(conf_find(conf_item(own->items, 1), "map"));
	assert_str(conf_text(conf_item(own->items, 2)), "z");
	own = built.sources.v[1].own;
	assert_int_equal(conf_count(own->items), 0);
}

static void
an_error_in_what_entries_build_on_names_its_own_place(void **state)
{
	(void)state;
	write_preset("verify: [x]\npaused: maybe\ntype: webhook\npreset: shop\nmpa: {}\n");
	load_built("preset_dir: presets\nsources: { one: { type: webhook, preset: shop } }\n");
	assert_int_equal(conf_errors(conf), 5);
	assert_string_equal(conf_error_text(conf, 0), "./presets/shop.yaml:3:1: "
	    "type: stands in what builds on this file, not in it; remove it here");
	assert_non_null(strstr(conf_error_text(conf, 1), "/presets/shop.yaml:4:1: preset: "));
	assert_non_null(strstr(conf_error_text(conf, 2), "/presets/shop.yaml:1:9: "
	    "sources.one.verify: is a list"));
	assert_non_null(strstr(conf_error_text(conf, 3), "/presets/shop.yaml:2:9: "));
	assert_non_null(strstr(conf_error_text(conf, 4), "did you mean \"map\"?"));
	write_preset("verify: 'x\n");
	load_built("preset_dir: presets\nsources: { one: { type: webhook, preset: shop },\n"
	    "  two: { type: webhook, preset: shop } }\n");
	assert_int_equal(conf_errors(conf), 1);
	assert_non_null(strstr(conf_error_text(conf, 0), "/presets/shop.yaml:1:"));
	assert_null(built.sources.v[0].variant);
}

static void
what_nothing_can_be_built_on_is_one_error_with_the_nearest_name(void **state)
{
	static const char *const bad[][2] = {
		{ "shpo", "there is no \"shpo\" in ./presets; did you mean \"shop\"? known are: "
		    "shop" },
		{ "../t", "there is no \"../t\" in ./presets; known are: shop" },
		{ "''", "there is no \"\" in ./presets; known are: shop" },
		{ "[]", "is a list; a text is wanted" },
	};
	char text[256];

	(void)state;
	write_preset("verify: none\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text), "preset_dir: presets\nsources:\n"
		    "  s: { type: webhook, preset: %s }\n", bad[i][0]);
		load_built(text);
		(void)snprintf(text, sizeof(text), "t.yaml:3:31: sources.s.preset: %s", bad[i][1]);
		assert_errors(text);
	}
	load_built("sources: { s: { type: webhook, preset: shop } }\n");
	assert_errors("t.yaml:1:40: sources.s.preset: /nowhere/at/all: No such file or directory");
}

static void
what_is_required_may_stand_in_what_an_entry_builds_on(void **state)
{
	struct buf schema;

	(void)state;
	write_preset("channel: web\n");
	load_built("preset_dir: presets\nsources:\n  s: { type: webhook, preset: shop }\n");
	assert_int_equal(conf_errors(conf), 1);
	assert_non_null(strstr(conf_error_text(conf, 0),
	    "t.yaml:3:3: sources.s.verify: is required"));
	buf_init(&schema, 1 << 20);
	conf_schema(building_keys, &schema);
	buf_add(&schema, "", 1);
	assert_non_null(strstr(schema.p, "\"anyOf\":[{\"required\":[\"verify\"]},"
	    "{\"required\":[\"preset\"]}]"));
	buf_fini(&schema);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(every_kind_of_value_is_read_into_its_struct),
		TEST(an_empty_file_is_all_defaults),
		TEST(a_tree_can_be_walked_by_its_owner),
		TEST(a_tree_without_a_value_is_unset),
		TEST(an_alias_is_what_its_anchor_names),
		TEST(durations_are_a_number_and_one_unit),
		TEST(sizes_are_bytes_or_binary_units),
		TEST(each_error_says_where_what_and_what_to_do),
		TEST(all_errors_of_a_file_are_told_at_once),
		TEST(errors_are_told_up_to_a_thousand),
		TEST(a_file_that_cannot_be_read_is_one_error),
		TEST(a_name_has_at_most_64_bytes),
		TEST(included_files_are_merged_in_the_order_of_their_names),
		TEST(a_name_given_in_two_files_is_an_error_naming_both_places),
		TEST(an_error_names_the_included_file_it_stands_in),
		TEST(files_that_include_each_other_end),
		TEST(includes_are_nested_eight_deep_at_most),
		TEST(secrets_come_from_files_environment_credentials_and_text),
		TEST(a_secret_file_counts_from_the_folder_of_its_configuration),
		TEST(a_secret_that_everybody_can_read_is_a_warning),
		TEST(a_bad_secret_is_an_error_that_does_not_repeat_it),
		TEST(a_check_from_outside_of_the_service_warns_of_credentials_and_reads_the_rest),
		TEST(a_secret_file_has_at_most_64_kib),
		TEST(a_secret_is_read_without_a_configuration_too),
		TEST(deep_nesting_is_an_error),
		TEST(aliases_that_multiply_are_an_error),
		TEST(aliases_that_nest_too_deep_are_an_error),
		TEST(a_thousand_anchors_are_enough),
		TEST(a_file_of_ten_megabytes_works_and_one_beyond_the_limit_is_an_error),
		TEST(a_map_of_many_names_takes_no_time),
		TEST(a_damaged_file_is_survived_at_every_byte),
		TEST(the_nearest_name_is_suggested_when_it_is_near),
		TEST(a_reload_names_the_settings_that_need_a_restart),
		TEST(a_changed_tree_that_is_fixed_is_named),
		TEST(the_schema_accepts_what_the_parser_accepts),
		TEST(the_schema_holds_help_range_and_default_of_each_row),
		TEST(the_schema_asks_for_what_is_required_only_where_nothing_is_included),
		TEST(the_manual_page_shows_type_range_default_and_reload),
		TEST(the_manual_page_is_balanced_and_clean_for_groff),
		TEST(an_entry_says_again_what_it_builds_on_or_takes_it_away),
		TEST(what_an_entry_says_goes_for_all_parts_of_what_it_builds_on),
		TEST(an_error_in_what_entries_build_on_names_its_own_place),
		TEST(what_nothing_can_be_built_on_is_one_error_with_the_nearest_name),
		TEST(what_is_required_may_stand_in_what_an_entry_builds_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
