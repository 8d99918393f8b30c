/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SMTP_TALK_H
#define TL_IO_SMTP_TALK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/str.h"

/* The client's side of an SMTP dialogue (RFC 5321), without any network: what the server said
 * goes in, what is to be sent to it comes out.  It begins where libcurl ends: connected, TLS
 * and AUTH done. */

/* One mail to one recipient.  Bare addresses, without line ends. */
struct smtp_mail {
	struct str	 from;		/* none: a mail that nobody is to be told of (<>) */
	struct str	 to;
	struct str	 message;	/* headers and body; lines end in LF or CR LF */
};

enum smtp_end {
	SMTP_SENT,		/* the server has it and answers for it */
	SMTP_LATER,		/* not now, or not by this server as it is set up */
	SMTP_NO_RECIPIENT,	/* there is no such address */
	SMTP_NEVER,		/* it does not take this mail */
	SMTP_NOT_BEGUN,		/* no connection was free in time */
	SMTP_NENDS
};

/* "sent" and so on, for a metric's label. */
const char	*smtp_end_name(enum smtp_end end);

struct smtp_result {
	enum smtp_end	 end;
	char		 text[240];	/* what the server said, and to what; printable,
						 * without the names before an @ */
};

enum smtp_state {
	SMTP_EHLO, SMTP_HELO,		/* the greeting */
	SMTP_READY,			/* between two mails */
	SMTP_RSET, SMTP_MAIL, SMTP_RCPT, SMTP_DATA,
	SMTP_BODY,			/* all was sent; the server thinks */
	SMTP_OVER,			/* nothing more may be sent */
	SMTP_NSTATES
};

struct smtp_talk {
	enum smtp_state		 state;
	struct buf		 out;		/* ours: to be sent; cleared by who has sent it */
	struct buf		 line;		/* ours: an unfinished one */
	unsigned		 nlines;	/* of this reply */
	const char		*helo;		/* the caller's: our name */
	const struct smtp_mail	*mail;		/* the caller's; NULL: none is under way */
	struct smtp_result	 result;	/* of the last mail */
	bool			 knows_utf8;	/* SMTPUTF8 */
	bool			 is_dirty;	/* the server may still keep half a mail */
	bool			 has_begun;	/* the server has answered to this mail; not by closing */
};

/* helo outlives the talk. */
void	smtp_talk_init(struct smtp_talk *t, const char *helo);
void	smtp_talk_fini(struct smtp_talk *t);
/* Greets. */
void	smtp_talk_hello(struct smtp_talk *t);
/* Only when no mail is under way.  mail outlives its sending.  true: it has ended already, as
 * for smtp_talk_input(). */
TL_MUST bool smtp_talk_begin(struct smtp_talk *t, const struct smtp_mail *mail);
/* Takes what the server said.  true: a mail came to its end by it (t->result, t->mail is NULL),
 * or there is none under way and the talk is over. */
TL_MUST bool smtp_talk_input(struct smtp_talk *t, struct str bytes);
/* The connection was lost, or took too long: the mail under way is to be tried again. */
void	smtp_talk_lost(struct smtp_talk *t, const char *why);

/* The message as it travels: lines end in CR LF, a full stop at the head of a line is doubled,
 * and one alone ends it. */
void	smtp_stuff(struct buf *out, struct str message);

#endif
