/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes scanning, parsing and splitting JSON.
 *
 * What is taken must be the same for json-c's own parser, and an array must split into items
 * that are taken one by one.  What json-c takes after the scan must be taken. */
#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>

#include <json-c/json.h>

#include "base/json_internal.h"

int	LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void
check_items(struct str doc, struct json_object *whole)
{
	struct json_items it;
	struct str item;
	struct err err;

	if (!json_items_begin(&it, doc))
		abort();
	for (size_t i = 0; i < json_object_array_length(whole); i++) {
		struct json_object *one = NULL;

		if (json_items_next(&it, &item, &err) != JSON_ITEM ||
		    !json_parse(item, 64, &one, &err) ||
		    !json_object_equal(one, json_object_array_get_idx(whole, i)))
			abort();
		json_object_put(one);
	}
	if (json_items_next(&it, &item, &err) != JSON_END)
		abort();
}

/* json-c's own parser on the same bytes. */
static bool
ask_json_c(struct str doc, struct json_object **ret)
{
	struct json_tokener *t = json_tokener_new_ex(JSON_DEPTH_MAX + 2);
	enum json_tokener_error error;
	size_t end;

	json_tokener_set_flags(t, JSON_TOKENER_STRICT);
	*ret = json_tokener_parse_ex(t, doc.p, (int)doc.n);
	error = json_tokener_get_error(t);
	end = json_tokener_get_parse_end(t);
	if (error == json_tokener_continue) {
		*ret = json_tokener_parse_ex(t, "", 1);
		error = json_tokener_get_error(t);
		end = doc.n;
	}
	json_tokener_free(t);
	if (error == json_tokener_success && end == doc.n)
		return true;
	if (error == json_tokener_success)
		json_object_put(*ret);
	*ret = NULL;
	return false;
}

static const char *
written(struct json_object *o)
{
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
}

static void
check_same(struct str doc)
{
	struct json_object *ours = NULL, *theirs = NULL;
	struct json_scan scan;
	struct err err;
	bool is_ours;

	while (doc.n > 0 && memchr(" \n\r\t", doc.p[doc.n - 1], 4) != NULL)
		doc.n--;
	if (doc.n == 0 || !json_scan(doc, &scan, &err) || scan.has_wide ||
	    scan.depth > JSON_DEPTH_MAX)
		return;
	is_ours = json_build(doc, &ours);
	if (is_ours != ask_json_c(doc, &theirs))
		abort();
	if (is_ours && (!json_object_equal(ours, theirs) ||
	    strcmp(written(ours), written(theirs)) != 0))
		abort();
	json_object_put(ours);
	json_object_put(theirs);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct str doc = { (const char *)bytes, n }, item;
	struct json_object *o = NULL;
	struct json_items it;
	struct err err;

	check_same(doc);
	if (json_parse(doc, 64, &o, &err)) {
		if (json_object_is_type(o, json_type_array))
			check_items(doc, o);
		json_object_put(o);
	}
	if (json_items_begin(&it, doc))
		while (json_items_next(&it, &item, &err) == JSON_ITEM)
			;
	return 0;
}
