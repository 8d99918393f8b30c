/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the bodies of forms.  The first byte says which kind of form the rest is.
 *
 * A form becomes an object that can be written, whose texts are UTF-8 without a NUL. */
#include <stdlib.h>

#include <json-c/json.h>

#include "base/json.h"
#include "model/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str body = { (const char *)data + 1, n - 1 };
	struct json_object *form = NULL, *again = NULL;
	enum form_fate fate;
	struct err err;
	struct str text;

	if (n == 0)
		return 0;
	fate = data[0] % 4 == 0 ? form_read_urlencoded(body, FORM_BASE64, &form, &err) :
	    data[0] % 4 == 1 ? form_read_urlencoded(body, FORM_PERCENT, &form, &err) :
	    form_read_multipart(STR("multipart/form-data; boundary=b"), body, &form, &err);
	if (fate != FORM_READ)
		return 0;
	if (!json_object_is_type(form, json_type_object))
		abort();
	text.p = json_object_to_json_string_length(form, JSON_C_TO_STRING_PLAIN, &text.n);
	if (!json_parse(text, JSON_DEPTH_MAX, &again, &err) || !json_object_equal(form, again))
		abort();
	json_object_put(again);
	json_object_put(form);
	return 0;
}
