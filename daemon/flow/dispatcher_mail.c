/* SPDX-License-Identifier: Apache-2.0 */
/* The mail server of the dispatcher's actions. */
#include "flow/dispatcher_internal.h"
#include "io/loop.h"
#include "io/smtp_client.h"

struct smtp_client *
dispatcher_smtp(struct dispatcher *d, const struct smtp_server *server, struct err *err)
{
	if (d->smtp == NULL) {
		d->smtp = smtp_client_new(loop_base(d->loop), server, err);
		return d->smtp;
	}
	return smtp_client_use(d->smtp, server, err) ? d->smtp : NULL;
}
