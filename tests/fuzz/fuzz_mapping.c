/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes a mapping's run on documents of strangers.  The input is a header's value up to the
 * first line end, and a document.
 *
 * What is written for an item is read as that item and written as the same again; and the
 * texts of its draft are UTF-8. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <json-c/json.h>

#include "base/json.h"
#include "model/mapping.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char yaml[] =
    "map:\n"
    "  kind: [ /kind, header:X-Event ]\n"
    "  agent: { from: /a, trim: yes, lower: yes, upper: yes, prefix: <, suffix: \">\" }\n"
    "  thread: { from: [ /t, root:/t ], split: \",\", take: -2 }\n"
    "  subject: { from: /s, match: \"([a-z]+)@(b|bb)+$\" }\n"
    "  campaign: { from: /l/*/x=1/c, join: \"-\" }\n"
    "  duration: { from: /ms, unit: ms }\n"
    "  wait: { from: /min, unit: min }\n"
    "  amount: { from: /cents, unit: cents }\n"
    "  currency: /cur\n"
    "  occurred_at: [ { from: /d, time: \"%a, %d %b %Y %I:%M:%S %p %z\" }, { from: /e, "
    "time: \"%F %T.%f\", time_zone: Europe/Amsterdam } ]\n"
    "  body: { from: /b, decode: base64, json: yes, pointer: /x }\n"
    "  outcome: { from: /o, decode: percent }\n"
    "  customer.name: ../n\n"
    "  participants: { each: /cc, email: /m, name: ../s }\n"
    "  attributes.q.items: { each: /l, map: { p: { from: /p, unit: us } } }\n"
    "  attributes.q.all: \"\"\n"
    "  attributes.root: \"root:\"\n"
    "when: { /no: no, header:X-Event: { match: \"^(a|aa)+$\" } }\n"
    "require: []\n"
    "items:\n"
    "  - each: [ /l, { from: /j, json: yes, pointer: /i } ]\n"
    "  - each: /l\n"
    "  - each: { from: /j, json: yes }\n"
    "    when: { ../yes: [ a, b ] }\n";

static const struct conf_key keys[] = {
	{ "map", CONF_TREE, offsetof(struct map_nodes, map), .help = "-" },
	{ "when", CONF_TREE, offsetof(struct map_nodes, when), .help = "-" },
	{ "require", CONF_TREE, offsetof(struct map_nodes, require), .help = "-" },
	{ "items", CONF_TREE, offsetof(struct map_nodes, items), .help = "-" },
	{ 0 },
};

static struct mapping *
compile(void)
{
	char path[] = "/tmp/touchlog-fuzz-mapping-XXXXXX";
	struct map_nodes nodes = { .map = NULL };
	struct mapping *m = NULL;
	struct conf *c = NULL;		/* kept to the end */
	int fd = mkstemp(path);

	if (fd >= 0 && write(fd, yaml, sizeof(yaml) - 1) == (ssize_t)sizeof(yaml) - 1)
		c = conf_load(path, keys, &nodes);
	(void)unlink(path);
	(void)close(fd);
	if (c != NULL)
		m = mapping_compile(c, &nodes);
	for (size_t i = 0; c != NULL && i < conf_errors(c); i++)
		fprintf(stderr, "%s\n", conf_error_text(c, i));
	if (m == NULL)
		abort();
	return m;
}

/* In the document as it was written, one item comes out of the same lists, and is written
 * as it was. */
static void
check_again(const struct mapping *m, const struct map_input *in, struct str text,
    struct str lists, bool is_ours)
{
	struct arena a = { 0 };
	struct map_items items = { .n = 0 };
	struct map_input again = *in;
	struct str copy = arena_str(&a, text), twice;
	size_t n = 0;
	struct err err;

	again.doc = NULL;
	if (!json_parse(copy, JSON_DEPTH_MAX, &again.doc, &err) ||
	    !mapping_find(m, &again, &a, &items, &err))
		abort();
	for (size_t i = 0; i < items.n; i++) {
		if (!str_eq(map_items_lists(&items, i), lists))
			continue;
		n++;
		if (map_items_takes(&items, i) != is_ours ||
		    !mapping_item_json(&items, i, &again, &twice, &err) || !str_eq(copy, twice))
			abort();
	}
	if (n != 1)
		abort();
	map_items_fini(&items);
	json_object_put(again.doc);
	arena_fini(&a);
}

static void
check_item(const struct mapping *m, struct map_items *items, size_t i, const struct map_input *in)
{
	struct arena a = { 0 };
	struct draft d;
	struct str text;
	struct err err;
	size_t at;

	if (map_items_takes(items, i) && (mapping_run(items, i, in, &a, &d, &err) ||
	    err.kind == ERR_INPUT))
		for (size_t c = 0; c < COL_NCOLUMNS; c++)
			if (!str_is_utf8(d.column[c], &at))
				abort();
	if (i < 4) {
		if (!mapping_item_json(items, i, in, &text, &err))
			abort();
		check_again(m, in, text, map_items_lists(items, i), map_items_takes(items, i));
	}
	arena_fini(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct mapping *m;
	struct str doc = { (const char *)data, n }, header = str_cut(&doc, '\n');
	struct str values[PLACE_MAX_NEEDS] = { header };
	struct map_input in = { .values = values };
	struct map_items items = { .n = 0 };
	struct arena a = { 0 };
	struct err err;

	if (m == NULL)
		m = compile();
	if (!json_parse(doc, 100, &in.doc, &err))
		return 0;
	if (mapping_find(m, &in, &a, &items, &err))
		for (size_t i = 0; i < items.n; i++)
			check_item(m, &items, i, &in);
	else if (err.kind != ERR_INPUT)
		abort();
	map_items_fini(&items);
	json_object_put(in.doc);
	arena_fini(&a);
	return 0;
}
