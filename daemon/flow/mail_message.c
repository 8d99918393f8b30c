/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mails, written by GMime: headers encoded and folded, text as quoted-printable, with HTML
 * beside it as multipart/alternative.
 *
 * All of them say Auto-Submitted (RFC 3834), so that no machine answers; those with a link to
 * unsubscribe say so in headers too, which mail programs show as a button (RFC 8058).
 */
#include "flow/mail_message.h"

#include <gmime/gmime.h>

static void
start_gmime(void)
{
	static bool is_started;

	if (!is_started)
		g_mime_init();
	is_started = true;
}

/* A C string of one line; freed with g_free(). */
static char *
one_line(struct str s)
{
	char *line = g_strndup(s.p != NULL ? s.p : "", s.n);

	for (char *p = line; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	return line;
}

/* As it stands: where a word is longer than a line, GMime would encode it, and a URL or an id
 * that is encoded is none any more. */
static void
set_header(GMimeMessage *m, const char *name, const char *value)
{
	GMimeHeaderList *list = g_mime_object_get_header_list(GMIME_OBJECT(m));
	char *raw = g_strdup_printf(" %s\n", value);

	g_mime_header_list_set(list, name, "", NULL);
	g_mime_header_set_raw_value(g_mime_header_list_get_header(list, name), raw);
	g_free(raw);
}

/* ---- addresses ---- */

static bool
add_parsed(InternetAddressList *list, struct str text, const char *what, struct err *err)
{
	char *line = one_line(text);
	InternetAddressList *found = internet_address_list_parse(NULL, line);
	bool ok = found != NULL && internet_address_list_length(found) == 1;

	if (ok)
		internet_address_list_append(list, found);
	if (found != NULL)
		g_object_unref(found);
	g_free(line);
	return ok || err_set(err, ERR_INPUT, "%s is no address", what);
}

static void
add_recipient(GMimeMessage *m, const struct mail_message *mail)
{
	char *name = one_line(mail->to_name);
	char *address = one_line(mail->to);
	InternetAddress *to = internet_address_mailbox_new(name[0] != '\0' ? name : NULL, address);

	if (name[0] != '\0')
		internet_address_set_charset(to, "utf-8");
	internet_address_list_add(g_mime_message_get_to(m), to);
	g_object_unref(to);
	g_free(name);
	g_free(address);
}

/* ---- the thread ---- */

/* An id without its brackets, when s is one: it comes from others' mails. */
static bool
read_message_id(struct str s, struct str *ret)
{
	bool has_at = false;

	s = str_trim(s);
	if (s.n > 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
		s = (struct str){ s.p + 1, s.n - 2 };
	if (s.n < 3 || s.n > 900)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c >= 0x7f || c == '<' || c == '>')
			return false;
		has_at |= c == '@' && i > 0 && i + 1 < s.n;
	}
	*ret = s;
	return has_at;
}

static void
set_thread(GMimeMessage *m, const struct mail_message *mail)
{
	struct str first, last;
	char *value;

	if (!read_message_id(mail->in_reply_to, &last))
		return;
	value = g_strdup_printf("<%.*s>", STR_ARG(last));
	set_header(m, "In-Reply-To", value);
	if (read_message_id(mail->thread, &first) && !str_eq(first, last)) {
		g_free(value);
		value = g_strdup_printf("<%.*s>\n <%.*s>", STR_ARG(first), STR_ARG(last));
	}
	set_header(m, "References", value);
	g_free(value);
}

/* ---- the body ---- */

/* g_mime_text_part_set_text() would choose a charset by what it finds. */
static GMimeObject *
new_part(const char *subtype, struct str text)
{
	GMimeTextPart *part = g_mime_text_part_new_with_subtype(subtype);
	GMimeStream *bytes = g_mime_stream_mem_new_with_buffer(text.p != NULL ? text.p : "", text.n);
	GMimeDataWrapper *content = g_mime_data_wrapper_new_with_stream(bytes,
	    GMIME_CONTENT_ENCODING_DEFAULT);

	g_mime_text_part_set_charset(part, "utf-8");
	g_mime_part_set_content(GMIME_PART(part), content);
	g_mime_part_set_content_encoding(GMIME_PART(part), GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE);
	g_object_unref(content);
	g_object_unref(bytes);
	return GMIME_OBJECT(part);
}

static void
set_body(GMimeMessage *m, const struct mail_message *mail)
{
	GMimeObject *body = new_part("plain", mail->text);

	if (mail->html.p != NULL) {
		GMimeMultipart *both = g_mime_multipart_new_with_subtype("alternative");
		GMimeObject *html = new_part("html", mail->html);

		g_mime_multipart_add(both, body);
		g_mime_multipart_add(both, html);
		g_object_unref(body);
		g_object_unref(html);
		body = GMIME_OBJECT(both);
	}
	g_mime_message_set_mime_part(m, body);
	g_object_unref(body);
}

/* ---- all of it ---- */

static void
set_headers(GMimeMessage *m, const struct mail_message *mail)
{
	char *subject = one_line(mail->subject);
	char *id = one_line(mail->message_id);
	GDateTime *date = g_date_time_new_from_unix_utc(mail->at_us / 1000000);

	g_mime_message_set_subject(m, subject, "utf-8");
	g_mime_message_set_message_id(m, id);
	g_mime_message_set_date(m, date);
	set_header(m, "Auto-Submitted", "auto-generated");
	if (mail->unsubscribe_url.n > 0) {
		char *url = one_line(mail->unsubscribe_url);
		char *value = g_strdup_printf("<%s>", url);

		set_header(m, "List-Unsubscribe", value);
		set_header(m, "List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
		g_free(value);
		g_free(url);
	}
	g_date_time_unref(date);
	g_free(subject);
	g_free(id);
}

static bool
fill(GMimeMessage *m, const struct mail_message *mail, struct err *err)
{
	if (!add_parsed(g_mime_message_get_from(m), mail->from, "from", err))
		return false;
	if (mail->reply_to.n > 0 &&
	    !add_parsed(g_mime_message_get_reply_to(m), mail->reply_to, "reply_to", err))
		return false;
	add_recipient(m, mail);
	set_headers(m, mail);
	set_thread(m, mail);
	set_body(m, mail);
	return true;
}

bool
mail_message_write(const struct mail_message *m, struct buf *out, struct err *err)
{
	GMimeMessage *message;
	bool ok;

	start_gmime();
	message = g_mime_message_new(TRUE);
	ok = fill(message, m, err);
	if (ok) {
		char *text = g_mime_object_to_string(GMIME_OBJECT(message), NULL);

		buf_text(out, text);
		g_free(text);
		ok = buf_ok(out) || err_set(err, ERR_RETRY, "out of memory, or the mail is too large");
	}
	g_object_unref(message);
	return ok;
}
