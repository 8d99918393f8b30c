/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes scanning, parsing and splitting JSON.
 *
 * What is taken must be JSON for json-c as well, and an array must split into items that
 * are taken one by one. */
#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>

#include <json-c/json.h>

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

static void
check_lenient(struct str doc)
{
	struct json_tokener *t = json_tokener_new_ex(100);
	struct json_object *o = json_tokener_parse_ex(t, doc.p, (int)doc.n);

	if (json_tokener_get_error(t) == json_tokener_continue)
		o = json_tokener_parse_ex(t, "", 1);
	if (json_tokener_get_error(t) != json_tokener_success)
		abort();
	json_object_put(o);
	json_tokener_free(t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct str doc = { (const char *)bytes, n }, item;
	struct json_object *o = NULL;
	struct json_items it;
	struct err err;

	if (json_parse(doc, 64, &o, &err)) {
		check_lenient(doc);
		if (json_object_is_type(o, json_type_array))
			check_items(doc, o);
		json_object_put(o);
	}
	if (json_items_begin(&it, doc))
		while (json_items_next(&it, &item, &err) == JSON_ITEM)
			;
	return 0;
}
