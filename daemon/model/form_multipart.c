/* SPDX-License-Identifier: Apache-2.0 */
/* multipart/form-data, by GMime. */
#include "model/form.h"

#include <gmime/gmime.h>

#include "model/form_internal.h"

enum { CHARSET_MAX_BYTES = 64 };

/* One form being read. */
struct reading {
	struct json_object	*form;		/* ours */
	size_t			 nfields;
	char			 charset[CHARSET_MAX_BYTES];	/* of `_charset_`, or "" */
	enum form_fate		 fate;
	struct err		*err;
};

/* ---- bytes of a part ---- */

/* Through a charset's filter, or none. */
static GByteArray *
content(GMimePart *part, const char *charset)
{
	GMimeDataWrapper *wrapper = g_mime_part_get_content(part);
	GByteArray *bytes = g_byte_array_new();
	GMimeStream *memory = g_mime_stream_mem_new_with_byte_array(bytes);
	GMimeStream *filtered = g_mime_stream_filter_new(memory);
	GMimeFilter *filter = charset != NULL ? g_mime_filter_charset_new(charset, "UTF-8") : NULL;

	/* The array outlives its stream. */
	g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(memory), FALSE);
	if (filter != NULL) {
		(void)g_mime_stream_filter_add(GMIME_STREAM_FILTER(filtered), filter);
		g_object_unref(filter);
	}
	if (wrapper != NULL)
		(void)g_mime_data_wrapper_write_to_stream(wrapper, filtered);
	(void)g_mime_stream_flush(filtered);
	g_object_unref(filtered);
	g_object_unref(memory);
	return bytes;
}

static struct str
str_of_bytes(const GByteArray *bytes)
{
	return (struct str){ (const char *)bytes->data, bytes->len };
}

/* ---- one field ---- */

static struct json_object *
read_text(struct reading *r, GMimePart *part)
{
	GMimeContentType *type = g_mime_object_get_content_type(GMIME_OBJECT(part));
	const char *charset = g_mime_content_type_get_parameter(type, "charset");
	struct json_object *text = NULL;
	GByteArray *bytes;
	size_t at;

	if (charset == NULL && r->charset[0] != '\0')
		charset = r->charset;
	bytes = content(part, charset);
	if (!str_is_utf8(str_of_bytes(bytes), &at)) {
		g_byte_array_unref(bytes);
		bytes = content(part, "windows-1252");
	}
	if (form_is_text(str_of_bytes(bytes)))
		text = form_text(str_of_bytes(bytes));
	else
		r->fate = form_fail(FORM_BROKEN, r->err, "a field of the form is no text");
	g_byte_array_unref(bytes);
	return text;
}

static bool
add_text(struct json_object *o, const char *key, const char *text)
{
	struct json_object *value;

	if (text == NULL || !form_is_text(str_of(text)))
		return true;
	value = form_text(str_of(text));
	return value != NULL && json_object_object_add(o, key, value) == 0;
}

/* What stands in it is not kept here: it is no part of what happened. */
static struct json_object *
describe_file(GMimeObject *part, const char *name)
{
	struct json_object *o = json_object_new_object();
	char *type = g_mime_content_type_get_mime_type(g_mime_object_get_content_type(part));
	bool ok = o != NULL && add_text(o, "name", name) && add_text(o, "type", type);

	g_free(type);
	if (ok && GMIME_IS_PART(part)) {
		GByteArray *bytes = content(GMIME_PART(part), NULL);

		ok = json_object_object_add(o, "size", json_object_new_int64(bytes->len)) == 0;
		g_byte_array_unref(bytes);
	}
	if (!ok) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

/* HTML 4.10.21.8: a field of that name says in what charset the others are. */
static void
note_charset(struct reading *r, const char *name, struct json_object *value)
{
	if (strcmp(name, "_charset_") == 0 && json_object_get_string_len(value) < CHARSET_MAX_BYTES)
		(void)memcpy(r->charset, json_object_get_string(value),
		    (size_t)json_object_get_string_len(value) + 1);
}

static void
read_field(struct reading *r, GMimeObject *part)
{
	GMimeContentDisposition *d = g_mime_object_get_content_disposition(part);
	const char *name = d != NULL ? g_mime_content_disposition_get_parameter(d, "name") : NULL;
	const char *file = d != NULL ? g_mime_content_disposition_get_parameter(d, "filename") :
	    NULL;
	struct json_object *value;

	if (name == NULL)
		return;		/* RFC 7578 4.2: each has one; what has none is no field */
	if (file != NULL || !GMIME_IS_PART(part)) {
		value = describe_file(part, file);
	} else {
		value = read_text(r, GMIME_PART(part));
		if (value != NULL)
			note_charset(r, name, value);
	}
	if (r->fate == FORM_READ)
		r->fate = form_put(r->form, &r->nfields, str_of(name), value, r->err);
}

/* ---- the form ---- */

/* A part needs a head; ours has the one line that matters. */
static GMimeStream *
stream_of(struct str content_type, struct str body)
{
	static const char head[] = "Content-Type: ", end[] = "\r\n\r\n";
	GMimeStream *s = g_mime_stream_mem_new();
	bool ok = g_mime_stream_write(s, head, sizeof(head) - 1) > 0 &&
	    g_mime_stream_write(s, content_type.p, content_type.n) > 0 &&
	    g_mime_stream_write(s, end, sizeof(end) - 1) > 0 &&
	    (body.n == 0 || g_mime_stream_write(s, body.p, body.n) > 0) &&
	    g_mime_stream_seek(s, 0, GMIME_STREAM_SEEK_SET) == 0;

	if (ok)
		return s;
	g_object_unref(s);
	return NULL;
}

static GMimeObject *
parse(struct str content_type, struct str body)
{
	static bool is_ready;
	GMimeStream *s;
	GMimeParser *parser;
	GMimeObject *o;

	if (!is_ready)
		g_mime_init();
	is_ready = true;
	s = stream_of(content_type, body);
	if (s == NULL)
		return NULL;
	parser = g_mime_parser_new_with_stream(s);
	o = g_mime_parser_construct_part(parser, NULL);
	g_object_unref(parser);
	g_object_unref(s);
	return o;
}

static void
read_parts(struct reading *r, GMimeMultipart *m)
{
	int n = g_mime_multipart_get_count(m);

	if (n == 0)
		r->fate = form_fail(FORM_BROKEN, r->err,
		    "the body holds no field behind the boundary that Content-Type names");
	for (int i = 0; r->fate == FORM_READ && i < n; i++)
		read_field(r, g_mime_multipart_get_part(m, i));
}

enum form_fate
form_read_multipart(struct str content_type, struct str body, struct json_object **ret,
    struct err *err)
{
	struct reading r = { .form = json_object_new_object(), .err = err };
	GMimeObject *o = parse(content_type, body);

	if (r.form == NULL)
		r.fate = form_fail(FORM_NO_MEMORY, err, "out of memory");
	else if (!GMIME_IS_MULTIPART(o))
		r.fate = form_fail(FORM_BROKEN, err, "not multipart/form-data");
	else
		read_parts(&r, GMIME_MULTIPART(o));
	if (o != NULL)
		g_object_unref(o);
	if (r.fate == FORM_READ)
		*ret = r.form;
	else
		json_object_put(r.form);
	return r.fate;
}
