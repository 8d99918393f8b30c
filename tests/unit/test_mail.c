/* SPDX-License-Identifier: Apache-2.0 */
/* Mails: which language of a template, and how a message is written. */
#include "flow/mail_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/mail_conf.h"
#include "flow/mail_template.h"

/* ---- templates ---- */

struct folder {
	char		 path[64];
	char		 file[128];	/* a configuration: an empty map */
	struct conf	*conf;
	struct mail_template t;
};

static const struct conf_key no_keys[] = { { 0 } };

static void
put(struct folder *f, const char *name, const char *text)
{
	char path[200];
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/%s", f->path, name);
	out = fopen(path, "w");
	assert_non_null(out);
	assert_int_equal(fputs(text, out) >= 0, 1);
	assert_int_equal(fclose(out), 0);
}

static void
open_folder(struct folder *f)
{
	(void)snprintf(f->path, sizeof(f->path), "/tmp/test_mail.XXXXXX");
	assert_non_null(mkdtemp(f->path));
	put(f, "conf.yaml", "{}\n");
	(void)snprintf(f->file, sizeof(f->file), "%s/conf.yaml", f->path);
}

static void
load(struct folder *f, const char *name)
{
	static int nothing;

	f->conf = conf_load(f->file, no_keys, &nothing);
	assert_non_null(f->conf);
	assert_int_equal(conf_errors(f->conf), 0);
	mail_template_load(f->conf, NULL, str_of(f->path), str_of(name), &f->t);
}

static void
close_folder(struct folder *f)
{
	char command[100];

	conf_free(f->conf);
	(void)snprintf(command, sizeof(command), "rm -r %s", f->path);
	assert_int_equal(system(command), 0);
}

static void
the_nearest_language_is_taken(void **state)
{
	static const struct { const char *language; const char *wanted; } rows[] = {
		{ "de-AT", "at" }, { "de_AT", "at" }, { "DE-at", "at" }, { "de-AT-1996", "at" },
		{ "de-CH", "de" }, { "de", "de" }, { "fr", "any" }, { "d", "any" }, { "", "any" },
		{ "dede", "any" }, { "-", "any" }, { "pt-BR", "br" }, { "pt", "any" },
		{ "a-very-long-tag-that-nobody-would-write-down-for-real", "any" },
	};
	struct folder f;

	(void)state;
	open_folder(&f);
	put(&f, "hi.txt", "any");
	put(&f, "hi.de.txt", "de");
	put(&f, "hi.de-AT.txt", "at");
	put(&f, "hi.PT-br.txt", "br");
	put(&f, "hi2.txt", "other");
	put(&f, "hi.de.txt~", "backup");
	put(&f, "hi.d e.txt", "no language");
	load(&f, "hi");
	assert_int_equal(conf_errors(f.conf), 0);
	assert_int_equal(f.t.n, 4);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct mail_variant *v = mail_template_for(&f.t, str_of(rows[i].language));

		print_message("%s\n", rows[i].language);
		assert_non_null(v);
		assert_true(str_eq(v->text, str_of(rows[i].wanted)));
	}
	assert_true(str_eq(mail_template_for(&f.t, STR_NONE)->text, STR("any")));
	close_folder(&f);
}

static void
a_subject_stands_at_the_head(void **state)
{
	static const struct { const char *file; const char *subject; const char *text; } rows[] = {
		{ "Subject: Hi {customer.name}\n\nDear\n", "Hi {customer.name}", "Dear\n" },
		{ "SUBJECT:Hi\r\n\r\nDear\r\n", "Hi", "Dear\r\n" },
		{ "Subject: Hi\nDear", "Hi", "Dear" },
		{ "Subject:\n\nDear", "", "Dear" },
		{ "Dear\nSubject: no", NULL, "Dear\nSubject: no" },
		{ "", NULL, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct folder f;

		open_folder(&f);
		put(&f, "x.txt", rows[i].file);
		put(&f, "x.html", "<p>Subject: stays</p>");
		load(&f, "x");
		assert_int_equal(conf_errors(f.conf), 0);
		assert_int_equal(f.t.v[0].subject.p == NULL, rows[i].subject == NULL);
		assert_true(str_eq(f.t.v[0].subject, str_of(rows[i].subject)));
		assert_true(str_eq(f.t.v[0].text, str_of(rows[i].text)));
		assert_true(str_eq(f.t.v[0].html, STR("<p>Subject: stays</p>")));
		close_folder(&f);
	}
}

static void
what_is_missing_or_broken_is_told_with_the_file(void **state)
{
	static const struct { const char *file; const char *text; const char *name; const char *wanted; } rows[] = {
		{ "y.txt", "x", "x", "there is no /tmp/" },
		{ "x.de.txt", "x", "x", "/x.txt, for those whose language is not known" },
		{ "x.html", "x", "x", "x.html there is no .txt" },
		{ "x.txt", "a\n{b", "x", "/x.txt: line 2, column 1: this brace is not closed" },
		{ "x.txt", "\xff", "x", "/x.txt: it is not in UTF-8" },
		{ "x.txt", "a", "../x", "letters, digits, - and _ are wanted" },
		{ "x.txt", "a", "", "letters, digits, - and _ are wanted" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct folder f;

		print_message("%s\n", rows[i].wanted);
		open_folder(&f);
		put(&f, rows[i].file, rows[i].text);
		load(&f, rows[i].name);
		assert_int_equal(conf_errors(f.conf), 1);
		assert_non_null(strstr(conf_error_text(f.conf, 0), rows[i].wanted));
		close_folder(&f);
	}
}

static void
a_folder_that_is_not_there_is_told(void **state)
{
	struct folder f;

	(void)state;
	open_folder(&f);
	load(&f, "x");
	mail_template_load(f.conf, NULL, STR("/nowhere/at/all"), STR("x"), &f.t);
	assert_non_null(strstr(conf_error_text(f.conf, 1),
	    "template_dir /nowhere/at/all: No such file or directory"));
	close_folder(&f);
}

/* ---- messages ---- */

static const struct mail_message plain = {
	.from = STR("Care <care@our.example>"), .to = STR("ann@c.example"), .subject = STR("Hi"),
	.text = STR("Dear Ann\n"), .message_id = STR("tl_1@our.example"),
	.at_us = INT64_C(1700000000) * 1000000,
};

static char *
written(const struct mail_message *m)
{
	struct buf out;
	struct err err;

	buf_init(&out, 100000);
	if (!mail_message_write(m, &out, &err))
		fail_msg("%s", err.text);
	buf_add(&out, "", 1);
	return out.p;
}

static void
holds(const char *text, const char *wanted)
{
	if (strstr(text, wanted) == NULL)
		fail_msg("no \"%s\" in:\n%s", wanted, text);
}

static void
lacks(const char *text, const char *unwanted)
{
	if (strstr(text, unwanted) != NULL)
		fail_msg("\"%s\" in:\n%s", unwanted, text);
}

static void
a_message_has_all_its_headers(void **state)
{
	char *text = written(&plain);

	(void)state;
	holds(text, "From: Care <care@our.example>\n");
	holds(text, "To: ann@c.example\n");
	holds(text, "Subject: Hi\n");
	holds(text, "Message-Id: <tl_1@our.example>\n");
	holds(text, "Date: Tue, 14 Nov 2023 22:13:20 +0000\n");
	holds(text, "Auto-Submitted: auto-generated\n");
	holds(text, "MIME-Version: 1.0\n");
	holds(text, "Content-Type: text/plain; charset=utf-8\n");
	holds(text, "\n\nDear Ann\n");
	lacks(text, "List-Unsubscribe");
	lacks(text, "In-Reply-To");
	lacks(text, "Reply-To");
	free(text);
}

static void
html_stands_beside_the_text(void **state)
{
	struct mail_message m = plain;
	char *text;

	(void)state;
	m.html = STR("<p>Dear Änn</p>");
	text = written(&m);
	holds(text, "Content-Type: multipart/alternative; boundary=");
	holds(text, "Content-Type: text/html; charset=utf-8");
	holds(text, "<p>Dear =C3=84nn</p>");
	assert_true(strstr(text, "text/plain") < strstr(text, "text/html"));
	free(text);
}

static void
all_of_it_is_ascii_in_short_lines(void **state)
{
	struct mail_message m = plain;
	char long_text[3001];
	char *text, *rest;

	(void)state;
	memset(long_text, 'x', 3000);
	long_text[3000] = '\0';
	m.to_name = STR("Änn Müller-Lüdenscheidt von und zu Überall, Kundin der ersten Stunde");
	m.subject = STR("Schöne Grüße und alles Gute zum Jubiläum, das Sie heute mit uns feiern können");
	m.text = str_of(long_text);
	m.html = str_of(long_text);
	text = written(&m);
	holds(text, "=?");
	for (rest = text; *rest != '\0'; rest += strcspn(rest, "\n") + 1) {
		assert_true(strcspn(rest, "\n") <= 998);
		for (size_t i = 0; i < strcspn(rest, "\n"); i++)
			assert_true((unsigned char)rest[i] < 0x80);
	}
	free(text);
}

static void
no_text_leaves_its_header(void **state)
{
	struct mail_message m = plain;
	char *text;

	(void)state;
	m.subject = STR("Hi\r\nBcc: all@c.example\n\nbody");
	m.to_name = STR("Ann\r\nBcc: b@c.example");
	m.in_reply_to = STR("<a@b>\r\nBcc: c@c.example");
	m.thread = STR("<x@y>\r\n\r\nbody");
	m.unsubscribe_url = STR("https://x.example/u/1\r\nBcc: d@c.example");
	m.from = STR("Care\r\nBcc: e@c.example <care@our.example>");
	text = written(&m);
	lacks(text, "\nBcc:");
	lacks(text, "In-Reply-To");
	holds(text, "\n\nDear Ann");
	assert_ptr_equal(strstr(text, "\n\n"), strstr(text, "\n\nDear Ann"));
	free(text);
}

static void
a_mail_for_marketing_can_be_left_with_one_click(void **state)
{
	struct mail_message m = plain;
	char *text;

	(void)state;
	m.unsubscribe_url = STR("https://a-rather-long-host-name.of-some-firm.example/with/a/path/"
	    "in-front/u/0123456789abcdef0123456789abcdef");
	text = written(&m);
	holds(text, "https://a-rather-long-host-name.of-some-firm.example/with/a/path/in-front/u/"
	    "0123456789abcdef0123456789abcdef>\n");
	holds(text, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\n");
	free(text);
}

static void
an_answer_joins_its_thread(void **state)
{
	static const struct { const char *id; const char *thread; const char *wanted; } rows[] = {
		{ "<2@c>", "<1@c>", "In-Reply-To: <2@c>\nReferences: <1@c>\n <2@c>\n" },
		{ "2@c", "<2@c>", "In-Reply-To: <2@c>\nReferences: <2@c>\n" },
		{ "2@c", "ticket 7", "In-Reply-To: <2@c>\nReferences: <2@c>\n" },
		{ "order 7", "<1@c>", NULL }, { "<a b@c>", NULL, NULL }, { "<ab>", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mail_message m = plain;
		char *text;

		m.in_reply_to = str_of(rows[i].id);
		m.thread = str_of(rows[i].thread);
		text = written(&m);
		if (rows[i].wanted != NULL)
			holds(text, rows[i].wanted);
		else
			lacks(text, "References");
		free(text);
	}
}

static void
who_sends_must_be_one_address(void **state)
{
	static const char *const rows[] = { "", "a@b.example, c@d.example", NULL };

	(void)state;
	for (size_t i = 0; rows[i] != NULL; i++) {
		struct mail_message m = plain;
		struct buf out;
		struct err err;

		m.from = str_of(rows[i]);
		buf_init(&out, 10000);
		assert_false(mail_message_write(&m, &out, &err));
		assert_int_equal(err.kind, ERR_INPUT);
		buf_fini(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_language_is_taken),
		cmocka_unit_test(a_subject_stands_at_the_head),
		cmocka_unit_test(what_is_missing_or_broken_is_told_with_the_file),
		cmocka_unit_test(a_folder_that_is_not_there_is_told),
		cmocka_unit_test(a_message_has_all_its_headers),
		cmocka_unit_test(html_stands_beside_the_text),
		cmocka_unit_test(all_of_it_is_ascii_in_short_lines),
		cmocka_unit_test(no_text_leaves_its_header),
		cmocka_unit_test(a_mail_for_marketing_can_be_left_with_one_click),
		cmocka_unit_test(an_answer_joins_its_thread),
		cmocka_unit_test(who_sends_must_be_one_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
