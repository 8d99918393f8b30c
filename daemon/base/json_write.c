/* SPDX-License-Identifier: Apache-2.0 */
/* json-c's objects -> JSON.  json-c's own writers give each value that is asked for a buffer
 * of its own and copy from one to the next; this writes into one. */
#include "base/json.h"

#include <inttypes.h>

#include <json-c/json.h>

#include "base/buf.h"

/* A number is the text that it was read from where it is no integer. */
static void
write_real(struct buf *out, struct json_object *o)
{
	const char *text = json_object_get_userdata(o);

	buf_text(out, text != NULL ? text : json_object_to_json_string_ext(o,
	    JSON_C_TO_STRING_PLAIN));
}

static void
write_integer(struct buf *out, struct json_object *o)
{
	int64_t value = json_object_get_int64(o);

	/* What is beyond int64 is told as its end. */
	if (value == INT64_MAX)
		buf_printf(out, "%" PRIu64, json_object_get_uint64(o));
	else
		buf_printf(out, "%" PRId64, value);
}

static void
write_list(struct buf *out, struct json_object *o, const struct json_writer *w)
{
	size_t n = json_object_array_length(o);

	buf_add(out, "[", 1);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_add(out, ",", 1);
		json_write(out, json_object_array_get_idx(o, i), w);
	}
	buf_add(out, "]", 1);
}

static void
write_object(struct buf *out, struct json_object *o, const struct json_writer *w)
{
	struct json_object_iterator it = json_object_iter_begin(o), end = json_object_iter_end(o);
	char before = '{';

	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
		buf_add(out, &before, 1);
		buf_json(out, str_of(json_object_iter_peek_name(&it)));
		buf_add(out, ":", 1);
		json_write(out, json_object_iter_peek_value(&it), w);
		before = ',';
	}
	if (before == '{')
		buf_add(out, "{", 1);
	buf_add(out, "}", 1);
}

void
json_write(struct buf *out, struct json_object *o, const struct json_writer *w)
{
	enum json_type type = json_object_get_type(o);

	if (w != NULL && type != json_type_null && type != json_type_double &&
	    json_object_get_userdata(o) != NULL && w->write(w->arg, o, out))
		return;
	switch (type) {
	case json_type_null:
		buf_add(out, "null", 4);
		break;
	case json_type_boolean:
		buf_text(out, json_object_get_boolean(o) ? "true" : "false");
		break;
	case json_type_double:
		write_real(out, o);
		break;
	case json_type_int:
		write_integer(out, o);
		break;
	case json_type_string:
		buf_json(out, (struct str){ json_object_get_string(o),
		    (size_t)json_object_get_string_len(o) });
		break;
	case json_type_array:
		write_list(out, o, w);
		break;
	case json_type_object:
		write_object(out, o, w);
		break;
	}
}
