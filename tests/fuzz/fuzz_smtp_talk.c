/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the client's side of SMTP: the input is what a server says, cut at each byte 0.
 *
 * A mail has one end; what is told of it is short and printable; nothing is said when all is over. */
#include "io/smtp_talk.h"

#include <stdint.h>
#include <stdlib.h>

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_end(struct smtp_talk *t)
{
	if (t->mail != NULL || t->result.end >= SMTP_NENDS)
		abort();
	for (const char *p = t->result.text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct smtp_mail mail = { STR("care@our.example"), STR("ann@c.example"),
	    STR("Subject: Hi\n\n.\nYours\n") };
	struct str rest = { (const char *)data, n };
	struct smtp_talk t;

	smtp_talk_init(&t, "me.example");
	smtp_talk_hello(&t);
	if (smtp_talk_begin(&t, &mail))
		abort();
	while (rest.n > 0 && t.state != SMTP_OVER) {
		if (smtp_talk_input(&t, str_cut(&rest, '\0'))) {
			check_end(&t);
			if (t.state != SMTP_OVER && smtp_talk_begin(&t, &mail))
				abort();
		}
		buf_clear(&t.out);
	}
	smtp_talk_lost(&t, "the end");
	if (t.mail != NULL || t.state != SMTP_OVER || smtp_talk_input(&t, STR("250 x\r\n")) == false)
		abort();
	smtp_talk_fini(&t);
	return 0;
}
