/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SIGNATURE_H
#define TL_IO_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"
#include "io/http_parse.h"

struct signature;

enum signature_scheme {
	SIGNATURE_NONE,		/* everybody may post */
	SIGNATURE_BEARER,	/* Authorization: Bearer SECRET */
	SIGNATURE_BASIC,	/* Authorization: Basic base64(USER:SECRET) */
	SIGNATURE_TOKEN,	/* the secret in a header, or behind the URL's path */
	SIGNATURE_HMAC_SHA1,	/* a digest of the body in a header */
	SIGNATURE_HMAC_SHA256,
	SIGNATURE_HMAC_SHA512,
	SIGNATURE_NSCHEMES
};

enum signature_encoding { SIGNATURE_HEX, SIGNATURE_BASE64 };

/* Names as the user writes them, in the order of the enums, ended by NULL. */
extern const char *const signature_schemes[SIGNATURE_NSCHEMES + 1];
extern const char *const signature_encodings[];

/* Settings; everything is borrowed for the call of signature_new(). */
struct signature_conf {
	enum signature_scheme	 scheme;
	enum signature_encoding	 encoding;	/* hmac */
	struct str		 header;	/* hmac, token */
	struct str		 prefix;	/* hmac: text before the digest; or unset */
	struct str		 timestamp_header;	/* hmac; or unset */
	int64_t			 window_ms;	/* hmac with a timestamp: either way */
	struct str		 user;		/* basic */
	const struct str	*secrets;	/* each of them verifies */
	size_t			 nsecrets;
};

/* NULL: ERR_CONFIG when a setting is missing, empty or not for this scheme, or
 * ERR_RETRY when out of memory.  The secrets themselves are not kept. */
TL_MUST struct signature *signature_new(const struct signature_conf *conf, struct err *err);
void	signature_free(struct signature *s);	/* accepts NULL */

/* Whether the request comes from one who knows a secret.  `body` is as it came, with
 * its content coding (gzip) still on; `path_token` is the last segment of the path,
 * percent-decoded, or STR_NONE when the path ends before it.
 * false: *ret_check is the check that failed, a fixed word for logs and metrics:
 * header_missing header_repeated prefix encoding signature timestamp_missing
 * timestamp_repeated timestamp window token_missing token user. */
TL_MUST bool signature_verify(struct signature *s, const struct http_message *m,
    struct str body, struct str path_token, int64_t now_us, const char **ret_check);

/* Whether the body has to be there before anything is known: if not, a request can
 * be refused by its head. */
bool	signature_needs_body(const struct signature *s);
/* "Bearer" or "Basic" for WWW-Authenticate; NULL for the other schemes. */
const char *signature_challenge(const struct signature *s);

#endif
