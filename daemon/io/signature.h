/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SIGNATURE_H
#define TL_IO_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"
#include "io/http_parse.h"

struct signature;
struct sns;

/* Everybody's own, then the ways of named tools: rows of signature_schemes.c. */
enum signature_scheme {
	SIGNATURE_NONE,		/* everybody may post */
	SIGNATURE_BEARER,	/* Authorization: Bearer SECRET */
	SIGNATURE_BASIC,	/* Authorization: Basic base64(USER:SECRET) */
	SIGNATURE_TOKEN,	/* the secret in a header, or behind the URL's path */
	SIGNATURE_HMAC_SHA1,	/* a digest of the body in a header */
	SIGNATURE_HMAC_SHA256,
	SIGNATURE_HMAC_SHA512,
	SIGNATURE_STANDARD_WEBHOOKS,
	SIGNATURE_STRIPE,
	SIGNATURE_GITHUB,
	SIGNATURE_SLACK,
	SIGNATURE_TWILIO,
	SIGNATURE_SENDGRID,
	SIGNATURE_MAILGUN,
	SIGNATURE_HUBSPOT,
	SIGNATURE_TYPEFORM,
	SIGNATURE_CALENDLY,
	SIGNATURE_META,
	SIGNATURE_SHOPIFY,
	SIGNATURE_MANDRILL,
	SIGNATURE_AMAZON_SNS,
	SIGNATURE_NSCHEMES
};

enum signature_encoding { SIGNATURE_HEX, SIGNATURE_BASE64 };

/* Names as the user writes them, in the order of the enums, ended by NULL. */
extern const char *const signature_schemes[SIGNATURE_NSCHEMES + 1];
extern const char *const signature_encodings[];

/* Settings; everything is borrowed for the call of signature_new(). */
struct signature_conf {
	enum signature_scheme	 scheme;
	enum signature_encoding	 encoding;	/* hmac-* */
	struct str		 header;	/* hmac-*, token */
	struct str		 prefix;	/* hmac-*: text before the digest; or unset */
	struct str		 timestamp_header;	/* hmac-*; or unset */
	int64_t			 window_ms;	/* either way; 0: the scheme's own */
	struct str		 user;		/* basic */
	const struct str	*topics;	/* amazon-sns: whose messages these are */
	size_t			 ntopics;
	const struct str	*hosts;		/* amazon-sns: of certificates; or none */
	size_t			 nhosts;
	struct str		 ca_file;	/* amazon-sns; or unset */
	const struct str	*secrets;	/* each of them verifies, the first signs */
	size_t			 nsecrets;
	bool			 signs;		/* sendgrid: secrets are private keys */
	bool			 is_keyless;	/* the secrets are stand-ins: nobody is let in */
};

/* NULL: ERR_CONFIG when a setting is missing, empty or not for this scheme, or
 * ERR_RETRY when out of memory.  The secrets themselves are not kept, but for those
 * of conf->signs. */
TL_MUST struct signature *signature_new(const struct signature_conf *conf, struct err *err);
void	signature_free(struct signature *s);	/* accepts NULL */

/* One request, borrowed for the call. */
struct signature_request {
	const struct http_message	*m;
	struct str	body;		/* as it came, with its content coding (gzip) still on */
	struct str	path_token;	/* last segment of the path, percent-decoded, or STR_NONE */
	struct str	url;		/* as its sender wrote it: see signature_needs_url() */
	int64_t		now_us;		/* clock_now_us() */
};

/* Whether the request comes from one who knows a secret.
 * false: *ret_check is the check that failed, a fixed word for logs and metrics:
 * header_missing header_repeated prefix encoding too_many_signatures signature
 * timestamp_missing timestamp_repeated timestamp window id_missing id_repeated
 * token_missing token user form body_unsigned body_hash url_unknown token_used memory,
 * and those of sns_verify(). */
TL_MUST bool signature_verify(struct signature *s, const struct signature_request *r,
    const char **ret_check);

/* Whether the URL is signed: without one, nothing verifies. */
bool	signature_needs_url(const struct signature *s);
/* Whether this header is one of those that tell who sent it. */
bool	signature_reads(const struct signature *s, struct str header);
/* What reads and verifies messages of amazon-sns; NULL: another scheme. */
struct sns *signature_sns(struct signature *s);
/* What stands in WWW-Authenticate; NULL: the scheme has no such word. */
const char *signature_challenge(const struct signature *s);

/* What a sender is about to post, borrowed for the call. */
struct signature_draft {
	struct str	method, url, content_type, body;
	struct str	id;		/* of the message: standard-webhooks */
	struct str	token;		/* any that was not used before: mailgun */
	int64_t		now_us;
};

/* What it posts then; the caller has initialised the three and frees them. */
struct signature_signed {
	struct buf	headers;	/* "Name: value\r\n" for each */
	struct buf	url, body;	/* some schemes add to these */
};

/* Signs as the tool would, with the first secret of a signature made with conf->signs.
 * ERR_INPUT: this scheme cannot sign such a request. */
TL_MUST bool signature_sign(struct signature *s, const struct signature_draft *d,
    struct signature_signed *ret, struct err *err);

#endif
