/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SNS_H
#define TL_IO_SNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json_object.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

/* Messages of Amazon SNS: whose they are, and with which certificate they are signed.  The
 * signature stands in the body; the certificate stands at a URL that the message names, which
 * therefore has to be at the host of one of our topics. */
struct sns;

struct sns_conf {
	const struct str	*topics;	/* arn:aws:sns:REGION:ACCOUNT:NAME */
	size_t			 ntopics;
	/* HOST or HOST:PORT; none: sns.REGION.amazonaws.com of the topics. */
	const struct str	*hosts;
	size_t			 nhosts;
	int64_t			 window_us;	/* how far its time may be off, either way */
};

/* Copies what it needs.  NULL: ERR_CONFIG, a topic is none; or ERR_RETRY. */
TL_MUST struct sns *sns_new(const struct sns_conf *conf, struct err *err);
void	sns_free(struct sns *s);	/* accepts NULL */

enum sns_type { SNS_NOTIFICATION, SNS_SUBSCRIPTION, SNS_UNSUBSCRIPTION };

/* All str are the document's. */
struct sns_message {
	enum sns_type		 type;
	struct str		 type_name, id, topic, message, subject, timestamp, token;
	struct str		 version, signature, certificate_url, subscribe_url;
	struct json_object	*doc;		/* ours */
};

/* NULL: it was read; else the check that failed.  Either way sns_message_fini(). */
const char *sns_read(struct str body, struct sns_message *ret);
void	sns_message_fini(struct sns_message *m);

/* NULL: it is from one of our topics; else the check that failed: topic certificate_url
 * certificate_unknown signature_version encoding signature timestamp window memory. */
const char *sns_verify(struct sns *s, const struct sns_message *m, int64_t now_us);
extern const char sns_certificate_unknown[];	/* that check: fetch it, and verify again */

/* Takes the certificate that stood at that URL, for as long as it is valid.  false: ERR_INPUT,
 * it is none that can be believed; err says why. */
TL_MUST bool sns_add_certificate(struct sns *s, struct str url, struct str pem,
    const char *ca_file, int64_t now_us, struct err *err);

/* Whether a verified subscription may be confirmed at the URL that it names: which is at the
 * same host, and does that. */
bool	sns_may_confirm(const struct sns *s, const struct sns_message *m);

#endif
