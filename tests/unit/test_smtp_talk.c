/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of SMTP: what is said, and what each answer means for the mail. */
#include "io/smtp_talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct smtp_mail mail = {
	STR("care@our.example"), STR("ann@c.example"), STR("Subject: Hi\n\nYours\n"),
};

/* What was said since the last time. */
static void
said(struct smtp_talk *t, const char *wanted)
{
	buf_add(&t->out, "", 1);
	assert_true(buf_ok(&t->out));
	assert_string_equal(t->out.p, wanted);
	buf_clear(&t->out);
}

/* The server's lines until a state is reached, as a well-behaved one has them. */
static void
reach(struct smtp_talk *t, enum smtp_state state, bool has_mail)
{
	static const struct { enum smtp_state until; const char *reply; } steps[] = {
		{ SMTP_EHLO, "250-mx.example\r\n250-SIZE 1000\r\n250 8BITMIME\r\n" },
		{ SMTP_MAIL, "250 2.1.0 Ok\r\n" }, { SMTP_RCPT, "250 2.1.5 Ok\r\n" },
		{ SMTP_DATA, "354 go\r\n" },
	};

	smtp_talk_init(t, "me.example");
	smtp_talk_hello(t);
	if (has_mail)
		assert_false(smtp_talk_begin(t, &mail));
	for (size_t i = 0; t->state != state; i++) {
		assert_true(i < sizeof(steps) / sizeof(steps[0]));
		assert_int_equal(t->state, steps[i].until);
		assert_false(smtp_talk_input(t, str_of(steps[i].reply)));
	}
	buf_clear(&t->out);
}

static void
a_mail_is_said_step_by_step(void **state)
{
	struct smtp_talk t;

	(void)state;
	smtp_talk_init(&t, "me.example");
	smtp_talk_hello(&t);
	assert_false(smtp_talk_begin(&t, &mail));
	said(&t, "EHLO me.example\r\n");
	assert_false(smtp_talk_input(&t, STR("250-mx.exam")));
	assert_false(smtp_talk_input(&t, STR("ple\r\n250-SIZE\r\n25")));
	said(&t, "");
	assert_false(smtp_talk_input(&t, STR("0 HELP\r\n")));
	said(&t, "MAIL FROM:<care@our.example>\r\n");
	assert_false(smtp_talk_input(&t, STR("250 2.1.0 Ok\r\n")));
	said(&t, "RCPT TO:<ann@c.example>\r\n");
	assert_false(smtp_talk_input(&t, STR("250 2.1.5 Ok\r\n")));
	said(&t, "DATA\r\n");
	assert_false(smtp_talk_input(&t, STR("354 End data with <CR><LF>.<CR><LF>\r\n")));
	said(&t, "Subject: Hi\r\n\r\nYours\r\n.\r\n");
	assert_true(smtp_talk_input(&t, STR("250 2.0.0 Ok: queued as 1A\r\n")));
	assert_int_equal(t.result.end, SMTP_SENT);
	assert_string_equal(t.result.text, "250 2.0.0 Ok: queued as 1A");
	assert_false(smtp_talk_begin(&t, &mail));
	said(&t, "MAIL FROM:<care@our.example>\r\n");
	smtp_talk_fini(&t);
}

static void
each_answer_means_one_end(void **state)
{
	static const struct { enum smtp_state in; const char *reply; enum smtp_end end; bool is_over; } rows[] = {
		{ SMTP_EHLO, "421 4.3.2 later", SMTP_LATER, true },
		{ SMTP_EHLO, "454 later", SMTP_LATER, true },
		{ SMTP_MAIL, "451 4.7.1 greylisted", SMTP_LATER, false },
		{ SMTP_MAIL, "530 5.7.0 Authentication required", SMTP_LATER, false },
		{ SMTP_MAIL, "552 5.3.4 too big", SMTP_NEVER, false },
		{ SMTP_RCPT, "450 4.2.0 greylisted", SMTP_LATER, false },
		{ SMTP_RCPT, "452 4.2.2 full", SMTP_LATER, false },
		{ SMTP_RCPT, "550 5.1.1 <ann@c.example>: rejected", SMTP_NO_RECIPIENT, false },
		{ SMTP_RCPT, "553 5.1.3 bad syntax", SMTP_NO_RECIPIENT, false },
		{ SMTP_RCPT, "550 5.1.10 no mx", SMTP_NO_RECIPIENT, false },
		{ SMTP_RCPT, "550 5.2.1 disabled", SMTP_NO_RECIPIENT, false },
		{ SMTP_RCPT, "550 User unknown", SMTP_NO_RECIPIENT, false },
		{ SMTP_RCPT, "550-Requested action not taken:\r\n550 mailbox unavailable", SMTP_NO_RECIPIENT, false },
		{ SMTP_RCPT, "550 5.1.8 sender's domain", SMTP_NEVER, false },
		{ SMTP_RCPT, "550 5.7.1 unknown to our policy", SMTP_NEVER, false },
		{ SMTP_RCPT, "550 blocked by a list", SMTP_NEVER, false },
		{ SMTP_RCPT, "554 5.7.1 Relay access denied", SMTP_NEVER, false },
		{ SMTP_RCPT, "421 4.3.2 shutting down", SMTP_LATER, true },
		{ SMTP_DATA, "451 4.3.0 later", SMTP_LATER, false },
		{ SMTP_DATA, "554 5.5.1 no valid recipients", SMTP_NEVER, false },
		{ SMTP_BODY, "250 Ok", SMTP_SENT, false },
		{ SMTP_BODY, "451 4.3.0 disk", SMTP_LATER, false },
		{ SMTP_BODY, "550 5.7.1 spam", SMTP_NEVER, false },
		{ SMTP_BODY, "550 5.1.1 unknown", SMTP_NEVER, false },
		{ SMTP_BODY, "354 what", SMTP_LATER, false },
		{ SMTP_MAIL, "hello", SMTP_LATER, true },
		{ SMTP_MAIL, "25", SMTP_LATER, true },
		{ SMTP_MAIL, "999 x", SMTP_LATER, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_talk t;
		char reply[200];

		print_message("%s\n", rows[i].reply);
		(void)snprintf(reply, sizeof(reply), "%s\r\n", rows[i].reply);
		reach(&t, rows[i].in, true);
		assert_true(smtp_talk_input(&t, str_of(reply)));
		assert_int_equal(t.result.end, rows[i].end);
		assert_int_equal(t.state == SMTP_OVER, rows[i].is_over);
		smtp_talk_fini(&t);
	}
}

static void
after_a_refusal_the_next_mail_begins_with_a_reset(void **state)
{
	struct smtp_talk t;

	(void)state;
	reach(&t, SMTP_RCPT, true);
	assert_true(smtp_talk_input(&t, STR("550 5.1.1 x\r\n")));
	assert_string_equal(t.result.text, "RCPT TO: 550 5.1.1 x");
	assert_false(smtp_talk_begin(&t, &mail));
	said(&t, "RSET\r\n");
	assert_false(smtp_talk_input(&t, STR("250 Ok\r\n")));
	said(&t, "MAIL FROM:<care@our.example>\r\n");
	smtp_talk_fini(&t);
}

static void
a_server_without_ehlo_is_greeted_the_old_way(void **state)
{
	struct smtp_talk t;

	(void)state;
	reach(&t, SMTP_EHLO, true);
	assert_false(smtp_talk_input(&t, STR("502 what\r\n")));
	said(&t, "HELO me.example\r\n");
	assert_false(smtp_talk_input(&t, STR("250 hi\r\n")));
	said(&t, "MAIL FROM:<care@our.example>\r\n");
	smtp_talk_fini(&t);
}

static void
an_address_beyond_ascii_needs_a_server_that_knows_them(void **state)
{
	static const struct smtp_mail wide = { STR("care@our.example"), STR("änn@c.example"), STR("x") };
	struct smtp_talk t;

	(void)state;
	reach(&t, SMTP_READY, false);
	assert_true(smtp_talk_begin(&t, &wide));
	assert_int_equal(t.result.end, SMTP_NEVER);
	smtp_talk_fini(&t);
	smtp_talk_init(&t, "me");
	assert_false(smtp_talk_input(&t, STR("250-mx\r\n250 smtputf8\r\n")));
	assert_false(smtp_talk_begin(&t, &wide));
	said(&t, "MAIL FROM:<care@our.example> SMTPUTF8\r\n");
	smtp_talk_fini(&t);
}

static void
a_lost_connection_costs_one_try(void **state)
{
	struct smtp_talk t;

	(void)state;
	for (enum smtp_state in = SMTP_EHLO; in <= SMTP_BODY; in++) {
		if (in == SMTP_HELO || in == SMTP_READY || in == SMTP_RSET)
			continue;
		reach(&t, in, true);
		smtp_talk_lost(&t, "gone");
		assert_null(t.mail);
		assert_int_equal(t.result.end, SMTP_LATER);
		assert_int_equal(t.has_begun, in > SMTP_MAIL);
		smtp_talk_fini(&t);
	}
}

static void
who_is_closed_while_nothing_is_sent_is_told(void **state)
{
	struct smtp_talk t;

	(void)state;
	reach(&t, SMTP_READY, false);
	assert_true(smtp_talk_input(&t, STR("421 4.4.2 idle too long\r\n")));
	assert_int_equal(t.state, SMTP_OVER);
	smtp_talk_fini(&t);
}

static void
a_server_that_babbles_is_left(void **state)
{
	struct smtp_talk t;
	char line[5000];

	(void)state;
	reach(&t, SMTP_MAIL, true);
	memset(line, 'x', sizeof(line));
	assert_true(smtp_talk_input(&t, (struct str){ line, sizeof(line) }));
	assert_int_equal(t.result.end, SMTP_LATER);
	smtp_talk_fini(&t);
	reach(&t, SMTP_MAIL, true);
	for (int i = 0; i < 200; i++)
		assert_false(smtp_talk_input(&t, STR("250-more\r\n")));
	assert_true(smtp_talk_input(&t, STR("250-more\r\n")));
	assert_int_equal(t.state, SMTP_OVER);
	smtp_talk_fini(&t);
}

static void
what_a_server_says_is_told_in_printable_letters(void **state)
{
	struct smtp_talk t;

	(void)state;
	reach(&t, SMTP_BODY, true);
	assert_true(smtp_talk_input(&t, STR("451 a\tb\x1b[31m\xff\r\n")));
	assert_string_equal(t.result.text, "the message: 451 a?b?[31m?");
	smtp_talk_fini(&t);
}

static void
what_a_server_says_is_told_without_addresses(void **state)
{
	struct smtp_talk t;

	(void)state;
	reach(&t, SMTP_RCPT, true);
	assert_true(smtp_talk_input(&t, STR("550 5.1.1 <ann@c.example>: no ann@c.example here @ all\r\n")));
	assert_string_equal(t.result.text, "RCPT TO: 550 5.1.1 <*@c.example>: no *@c.example here @ all");
	smtp_talk_fini(&t);
}

static void
a_full_stop_at_the_head_of_a_line_is_doubled(void **state)
{
	static const struct { const char *message; const char *wanted; } rows[] = {
		{ "a\r\nb\r\n", "a\r\nb\r\n.\r\n" },
		{ "a\nb", "a\r\nb\r\n.\r\n" },
		{ ".\n..\na.\n.b\n", "..\r\n...\r\na.\r\n..b\r\n.\r\n" },
		{ "a\r\n.\r\nRCPT TO:<x@y>\r\n", "a\r\n..\r\nRCPT TO:<x@y>\r\n.\r\n" },
		{ "\n\n", "\r\n\r\n.\r\n" },
		{ "", ".\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out;

		buf_init(&out, 1000);
		smtp_stuff(&out, str_of(rows[i].message));
		buf_add(&out, "", 1);
		assert_string_equal(out.p, rows[i].wanted);
		buf_fini(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mail_is_said_step_by_step),
		cmocka_unit_test(each_answer_means_one_end),
		cmocka_unit_test(after_a_refusal_the_next_mail_begins_with_a_reset),
		cmocka_unit_test(a_server_without_ehlo_is_greeted_the_old_way),
		cmocka_unit_test(an_address_beyond_ascii_needs_a_server_that_knows_them),
		cmocka_unit_test(a_lost_connection_costs_one_try),
		cmocka_unit_test(who_is_closed_while_nothing_is_sent_is_told),
		cmocka_unit_test(a_server_that_babbles_is_left),
		cmocka_unit_test(what_a_server_says_is_told_in_printable_letters),
		cmocka_unit_test(what_a_server_says_is_told_without_addresses),
		cmocka_unit_test(a_full_stop_at_the_head_of_a_line_is_doubled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
