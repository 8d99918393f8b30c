/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SMTP_CLIENT_H
#define TL_IO_SMTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
#include "io/smtp_talk.h"

struct event_base;
struct smtp_client;
struct smtp_send;

/* Outgoing mail by SMTP.  libcurl connects, speaks TLS and logs in; the dialogue is ours
 * (smtp_talk.h), since libcurl's own waits for the server with the whole loop.  Certificates and
 * names are verified.
 *
 * A mail has its end within SMTP_QUEUE_S and SMTP_SEND_S together, whatever the server does. */

enum {
	SMTP_QUEUE_S	= 60,		/* it waits for a connection */
	SMTP_SEND_S	= 200,		/* from then on */
};

/* The mail server.  Texts are NUL-terminated. */
struct smtp_server {
	const char	*url;		/* smtp://HOST[:PORT], smtps://HOST[:PORT] */
	const char	*user;		/* NULL: no login */
	const char	*secret;
	const char	*ca_file;	/* PEM; NULL: the system's */
	const char	*helo;		/* our name; NULL: the host's */
	bool		 needs_tls;	/* smtp:// too: STARTTLS, or nothing is sent */
	unsigned	 timeout_ms;	/* to connect, and for each answer but the last */
	unsigned	 connections;	/* at most */
};

/* NULL: ERR_RETRY. */
TL_MUST struct smtp_client *smtp_client_new(struct event_base *base,
    const struct smtp_server *server, struct err *err);
/* For mails from now on (the same one: nothing changes); what is under way ends with the server it began with.  false:
 * ERR_RETRY, memory; nothing changed. */
TL_MUST bool smtp_client_use(struct smtp_client *c, const struct smtp_server *server,
    struct err *err);
/* What is under way is dropped without a word.  Accepts NULL. */
void	smtp_client_free(struct smtp_client *c);

/* Copies the mail.  done fires once, from the loop and never before this returned; the result is
 * good until it returns.  NULL: ERR_RETRY, it never fires. */
TL_MUST struct smtp_send *smtp_client_send(struct smtp_client *c, const struct smtp_mail *mail,
    void (*done)(void *arg, const struct smtp_result *result), void *arg, struct err *err);
/* done does not fire.  Whether the mail left is not known. */
void	smtp_client_cancel(struct smtp_send *s);

#endif
