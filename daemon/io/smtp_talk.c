/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of an SMTP dialogue.
 *
 * One handler for each state says what a reply means there.  What a refusal means is decided
 * here: 4xx is later, 5xx is never, with two exceptions: a recipient who does not exist (so
 * that nothing is sent there any more), and a server that wants a login first (so that a lost
 * password does not cost the mails that wait).
 */
#include "io/smtp_talk.h"

#include <stdio.h>

enum {
	LINE_MAX_BYTES = 4096,
	REPLY_MAX_LINES = 200,
	OUT_MAX_BYTES = 64 * 1024 * 1024,
};

struct reply {
	int		 code;
	struct str	 text;		/* of the last line, behind the code */
};

static const char *const end_names[SMTP_NENDS] = {
	[SMTP_SENT] = "sent", [SMTP_LATER] = "deferred", [SMTP_NO_RECIPIENT] = "no_recipient",
	[SMTP_NEVER] = "refused", [SMTP_NOT_BEGUN] = "not_begun",
};

/* What was said to which the server answered. */
static const char *const state_names[SMTP_NSTATES] = {
	[SMTP_EHLO] = "connecting", [SMTP_HELO] = "HELO", [SMTP_READY] = "nothing", [SMTP_RSET] = "RSET",
	[SMTP_MAIL] = "MAIL FROM", [SMTP_RCPT] = "RCPT TO", [SMTP_DATA] = "DATA",
	[SMTP_BODY] = "the message", [SMTP_OVER] = "QUIT",
};

const char *
smtp_end_name(enum smtp_end end)
{
	return end_names[end];
}

/* ---- saying ---- */

static void
say(struct smtp_talk *t, enum smtp_state next, const char *command)
{
	t->state = next;
	buf_text(&t->out, command);
	buf_text(&t->out, "\r\n");
}

void
smtp_stuff(struct buf *out, struct str message)
{
	while (message.n > 0) {
		struct str line = str_cut(&message, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n > 0 && line.p[0] == '.')
			buf_text(out, ".");
		buf_str_add(out, line);
		buf_text(out, "\r\n");
	}
	buf_text(out, ".\r\n");
}

/* ---- the end of a mail ---- */

/* A server may say anything. */
static void
make_printable(char *p)
{
	for (; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = '?';
}

/* "a@b.example" becomes "*@b.example": the text goes to the log, which holds no addresses. */
static void
hide_names(char *text)
{
	static const char ends[] = " <>()[]{}\"',;:=";
	char *to = text;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '@' && to > text && strchr(ends, to[-1]) == NULL) {
			while (to > text && strchr(ends, to[-1]) == NULL)
				to--;
			*to++ = '*';
		}
		*to++ = *p;
	}
	*to = '\0';
}

static void
end_mail(struct smtp_talk *t, enum smtp_end end, const char *what, struct str said)
{
	t->mail = NULL;
	t->result.end = end;
	(void)snprintf(t->result.text, sizeof(t->result.text), "%s%s%.*s", what,
	    *what != '\0' ? ": " : "", STR_ARG(str_prefix_utf8(said, 180)));
	make_printable(t->result.text);
	hide_names(t->result.text);
}

static void
end_reply(struct smtp_talk *t, enum smtp_end end, const struct reply *r)
{
	char said[220];

	(void)snprintf(said, sizeof(said), "%d %.*s", r->code, STR_ARG(str_prefix_utf8(r->text, 200)));
	end_mail(t, end, end == SMTP_SENT ? "" : state_names[t->state], str_of(said));
	t->is_dirty = end != SMTP_SENT;
	t->state = SMTP_READY;
}

/* The dialogue cannot go on. */
static void
give_up(struct smtp_talk *t, const struct reply *r)
{
	if (t->mail != NULL)
		end_reply(t, SMTP_LATER, r);
	t->state = SMTP_OVER;
}

static enum smtp_end
end_of(int code)
{
	return code >= 500 && code < 600 ? SMTP_NEVER : SMTP_LATER;
}

static void
begin_mail(struct smtp_talk *t)
{
	const struct smtp_mail *m = t->mail;
	bool is_wide = !str_is_ascii(m->from) || !str_is_ascii(m->to);

	if (is_wide && !t->knows_utf8) {
		end_mail(t, SMTP_NEVER, "", STR("the address is not in ASCII, and the mail server "
		    "does not know SMTPUTF8"));
		return;
	}
	t->state = SMTP_MAIL;
	buf_printf(&t->out, "MAIL FROM:<%.*s>%s\r\n", STR_ARG(m->from), is_wide ? " SMTPUTF8" : "");
}

static void
become_ready(struct smtp_talk *t)
{
	t->state = SMTP_READY;
	if (t->mail != NULL)
		begin_mail(t);
}

/* ---- one handler for each state ---- */

static void
on_ehlo(struct smtp_talk *t, const struct reply *r)
{
	char helo[300];

	if (r->code == 250) {
		become_ready(t);
	} else if (r->code >= 500 && r->code < 600) {
		(void)snprintf(helo, sizeof(helo), "HELO %s", t->helo);
		say(t, SMTP_HELO, helo);
	} else {
		give_up(t, r);
	}
}

static void
on_helo(struct smtp_talk *t, const struct reply *r)
{
	if (r->code == 250)
		become_ready(t);
	else
		give_up(t, r);
}

/* A server that speaks without being asked says that it closes. */
static void
on_ready(struct smtp_talk *t, const struct reply *r)
{
	give_up(t, r);
}

static void
on_rset(struct smtp_talk *t, const struct reply *r)
{
	if (r->code == 250) {
		t->is_dirty = false;
		become_ready(t);
	} else {
		give_up(t, r);
	}
}

static void
on_mail(struct smtp_talk *t, const struct reply *r)
{
	if (r->code == 250) {
		t->state = SMTP_RCPT;
		buf_printf(&t->out, "RCPT TO:<%.*s>\r\n", STR_ARG(t->mail->to));
	} else if (r->code == 530 || r->code == 534 || r->code == 535 || r->code == 538) {
		end_reply(t, SMTP_LATER, r);	/* it wants a login: RFC 4954 */
	} else {
		end_reply(t, end_of(r->code), r);
	}
}

static bool
holds(struct str text, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= text.n; i++)
		if (str_eq_nocase((struct str){ text.p + i, n }, (struct str){ word, n }))
			return true;
	return false;
}

/* RFC 3463: 5.1.x is about the address (but .7 and .8 are about the sender's), 5.2.1 a mailbox
 * that is closed.  Without such a status a server's 550 is as often about spam or relaying:
 * then its words have to say it. */
static bool
is_unknown_recipient(const struct reply *r)
{
	static const char *const words[] = { "unknown", "no such", "not exist", "n't exist",
	    "no mailbox", "mailbox unavailable", "not found", "invalid recipient", "invalid mailbox",
	    "unrouteable address", NULL };
	struct str text = r->text;

	if (text.n > 4 && text.p[1] == '.' && text.p[3] == '.')
		return str_starts(text, STR("5.2.1")) || (str_starts(text, STR("5.1.")) &&
		    text.p[4] != '7' && text.p[4] != '8');
	if (r->code != 550 && r->code != 551 && r->code != 553)
		return false;
	for (size_t i = 0; words[i] != NULL; i++)
		if (holds(text, words[i]))
			return true;
	return false;
}

static void
on_rcpt(struct smtp_talk *t, const struct reply *r)
{
	if (r->code == 250 || r->code == 251)
		say(t, SMTP_DATA, "DATA");
	else if (r->code >= 500 && is_unknown_recipient(r))
		end_reply(t, SMTP_NO_RECIPIENT, r);
	else
		end_reply(t, end_of(r->code), r);
}

static void
on_data(struct smtp_talk *t, const struct reply *r)
{
	if (r->code != 354) {
		end_reply(t, end_of(r->code), r);
		return;
	}
	t->state = SMTP_BODY;
	smtp_stuff(&t->out, t->mail->message);
}

static void
on_body(struct smtp_talk *t, const struct reply *r)
{
	end_reply(t, r->code == 250 ? SMTP_SENT : end_of(r->code), r);
}

static void
on_over(struct smtp_talk *t, const struct reply *r)
{
	(void)t;
	(void)r;
}

static void (*const on_reply[SMTP_NSTATES])(struct smtp_talk *t, const struct reply *r) = {
	[SMTP_EHLO] = on_ehlo, [SMTP_HELO] = on_helo, [SMTP_READY] = on_ready,
	[SMTP_RSET] = on_rset, [SMTP_MAIL] = on_mail, [SMTP_RCPT] = on_rcpt,
	[SMTP_DATA] = on_data, [SMTP_BODY] = on_body, [SMTP_OVER] = on_over,
};

/* ---- reading ---- */

static void
on_last_line(struct smtp_talk *t, int64_t code, struct str text)
{
	const struct reply r = { (int)code, text };

	t->nlines = 0;
	if (code == 421) {
		give_up(t, &r);		/* whatever was said: it closes */
		return;
	}
	if (t->mail != NULL && t->state > SMTP_RSET)
		t->has_begun = true;
	on_reply[t->state](t, &r);
}

/* "250-SMTPUTF8", "250 Ok" */
static void
on_line(struct smtp_talk *t, struct str line)
{
	struct str text = line.n > 4 ? str_skip(line, 4) : STR("");
	int64_t code;

	if (line.n < 3 || !str_to_i64((struct str){ line.p, 3 }, 200, 599, &code) ||
	    (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-') || ++t->nlines > REPLY_MAX_LINES) {
		smtp_talk_lost(t, "the mail server does not speak SMTP");
		return;
	}
	if (t->state == SMTP_EHLO && str_eq_nocase(text, STR("SMTPUTF8")))
		t->knows_utf8 = true;
	if (line.n == 3 || line.p[3] == ' ')
		on_last_line(t, code, text);
}

/* ---- public ---- */

void
smtp_talk_init(struct smtp_talk *t, const char *helo)
{
	*t = (struct smtp_talk){ .state = SMTP_EHLO, .helo = helo };
	buf_init(&t->out, OUT_MAX_BYTES);
	buf_init(&t->line, LINE_MAX_BYTES);
}

void
smtp_talk_fini(struct smtp_talk *t)
{
	buf_fini(&t->out);
	buf_fini(&t->line);
}

void
smtp_talk_hello(struct smtp_talk *t)
{
	buf_printf(&t->out, "EHLO %s\r\n", t->helo);
}

bool
smtp_talk_begin(struct smtp_talk *t, const struct smtp_mail *mail)
{
	t->mail = mail;
	t->has_begun = false;
	if (t->state == SMTP_READY && t->is_dirty)
		say(t, SMTP_RSET, "RSET");
	else if (t->state == SMTP_READY)
		begin_mail(t);
	return t->mail == NULL;		/* else, before it has greeted, later */
}

void
smtp_talk_lost(struct smtp_talk *t, const char *why)
{
	if (t->mail != NULL)
		end_mail(t, SMTP_LATER, state_names[t->state], str_of(why));
	t->state = SMTP_OVER;
}

bool
smtp_talk_input(struct smtp_talk *t, struct str bytes)
{
	bool had_mail = t->mail != NULL;

	while (bytes.n > 0 && t->state != SMTP_OVER) {
		const char *end = memchr(bytes.p, '\n', bytes.n);
		size_t n = end != NULL ? (size_t)(end - bytes.p) : bytes.n;

		buf_add(&t->line, bytes.p, n);
		bytes = str_skip(bytes, n + (end != NULL));
		if (!buf_ok(&t->line))
			smtp_talk_lost(t, "the mail server's reply is too long");
		if (end == NULL || t->state == SMTP_OVER)
			break;
		if (t->line.n > 0 && t->line.p[t->line.n - 1] == '\r')
			t->line.n--;
		on_line(t, buf_str(&t->line));
		buf_clear(&t->line);
	}
	if (!buf_ok(&t->out))
		smtp_talk_lost(t, "out of memory, or the message is too large");
	return had_mail ? t->mail == NULL : t->state == SMTP_OVER;
}
