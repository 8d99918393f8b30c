/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_SIGNATURE_INTERNAL_H
#define TL_IO_SIGNATURE_INTERNAL_H

/* What the signature*.c files share; nobody else includes this. */

#include <openssl/evp.h>

#include "base/arena.h"
#include "io/signature.h"
#include "io/sns.h"
#include "io/used_tokens.h"

enum {
	SUM_BYTES	 = 32,	/* SHA-256 */
	SIGNATURE_BYTES	 = 80,	/* an ECDSA signature in DER has up to 72 */
	SIGNATURES_MAX	 = 8,	/* in one header: each may cost an operation on a curve */
	TEXT_PARTS_MAX	 = 12,
};

/* ---- keys ---- */

enum key_kind {
	KEY_NONE,
	KEY_SUM,		/* the secret is compared, by its SHA-256 */
	KEY_HMAC,
	KEY_DIGEST,		/* a plain SHA-256 with the secret in front of the text */
	KEY_ED25519,
	KEY_ECDSA,		/* P-256 with SHA-256 */
	KEY_NKINDS
};

/* How a secret is written. */
enum secret_form {
	SECRET_TEXT,		/* its bytes are the key */
	SECRET_STANDARD,	/* whsec_, whpk_, whsk_ and base64 */
	SECRET_DER,		/* base64 of a DER key, public to verify and private to sign */
};

/* Of one secret: what its scheme needs is set. */
struct key {
	EVP_MAC_CTX	*mac;			/* ours; keyed once */
	EVP_MD_CTX	*digest;		/* ours; has eaten the secret */
	EVP_PKEY	*curve;			/* ours */
	enum key_kind	 curve_kind;
	unsigned char	 sum[SUM_BYTES];
};

/* ---- schemes ---- */

/* Where signatures stand in what carries them. */
enum listing {
	LIST_NONE,		/* LABEL SIGNATURE is the whole value */
	LIST_PAIRS,		/* t=TIME,LABEL=SIGNATURE,LABEL=SIGNATURE */
	LIST_WORDS,		/* LABEL,SIGNATURE LABEL,SIGNATURE */
	LIST_BODY,		/* not in a header: fields timestamp, token, signature */
};

enum url_form {
	URL_AS_IS,
	URL_TWILIO,		/* with and without port, query as sent or encoded anew */
	URL_HUBSPOT,		/* some escapes undone, or not */
};

/* One way in which a scheme signs.  The first whose header is there is the one. */
struct form {
	struct str		 header;
	struct str		 only_header, only_value;	/* if this header has that value */
	enum listing		 listing;
	struct { const char *text; enum key_kind kind; } label[2];
	enum signature_encoding	 encoding;
	/* What is signed.  %b body, %t timestamp, %i id, %k token, %m method, %u URL,
	 * %p the parameters of a form, sorted; all else stands for itself. */
	const char		*text;
	enum url_form		 urls;
	struct str		 timestamp_header, id_header;
	/* A query parameter that holds the SHA-256 of the body: %p is empty then. */
	struct str		 hash_param;
	bool			 is_once;	/* %k is good for one body */
};

struct attempt;

struct scheme {
	const char	*digest;	/* hmac: its name for OpenSSL */
	size_t		 digest_len;	/* bytes */
	const char	*challenge;	/* in WWW-Authenticate; its first word in Authorization */
	unsigned	 needs, takes;	/* GIVEN_ bits of the settings */
	enum secret_form secret;
	unsigned	 kinds;		/* bit per enum key_kind to be made of each secret */
	int64_t		 window_ms;
	const struct form *forms;	/* NULL: made of the settings */
	size_t		 nforms;
	const struct form *signs;	/* the form we sign by; NULL: the only one */
	/* NULL: verified; else the check that failed. */
	const char	*(*verify)(struct signature *s, struct attempt *a);
	bool		(*sign)(struct signature *s, const struct signature_draft *d,
			    struct signature_signed *ret, struct err *err);
};

enum {
	GIVEN_HEADER	= 1 << 0,
	GIVEN_PREFIX	= 1 << 1,
	GIVEN_TIMESTAMP	= 1 << 2,
	GIVEN_USER	= 1 << 3,
	GIVEN_SECRET	= 1 << 4,
	GIVEN_WINDOW	= 1 << 5,
	GIVEN_TOPIC	= 1 << 6,
	GIVEN_HOSTS	= 1 << 7,
	GIVEN_CA	= 1 << 8,
};

extern const struct scheme schemes[SIGNATURE_NSCHEMES];

struct signature {
	const struct scheme	*scheme;
	struct arena		 arena;		/* holds what the texts below name */
	const struct form	*forms;
	size_t			 nforms;
	struct form		 own_form;	/* of the settings */
	struct str		 header;	/* token: or unset */
	int64_t			 window_us;
	unsigned char		 user_sum[SUM_BYTES];
	struct key		*keys;
	size_t			 nkeys;
	struct str		 user, secret;	/* only to sign */
	struct used_tokens	*used;		/* ours; made for the first token */
	struct sns		*sns;		/* ours; of amazon-sns */
	bool			 needs_url;
};

/* ---- one request ---- */

/* A signature that was offered. */
struct offer {
	enum key_kind	kind;
	unsigned char	bytes[SIGNATURE_BYTES];
	size_t		n;
};

struct attempt {
	const struct scheme	*scheme;
	const struct signature_request *r;
	const struct form	*form;
	struct str		 timestamp, id, token;	/* .p NULL: not there */
	struct offer		 offers[SIGNATURES_MAX];
	size_t			 noffers;
	struct buf		 params;	/* ours: %p */
	struct buf		 url;		/* ours: the candidate at hand */
	struct buf		 fields;	/* ours: what was decoded of a form */
};

/* The text that is signed, in the pieces it is made of. */
struct text {
	struct str	part[TEXT_PARTS_MAX];
	size_t		n;
};

/* ---- signature_key.c ---- */
TL_MUST bool key_init(struct key *k, const struct scheme *scheme, struct str secret,
    bool is_private, struct err *err);
void	key_fini(struct key *k);
TL_MUST bool sum_of(struct str s, unsigned char sum[SUM_BYTES]);
/* Whether one of the offers of that kind was made with this key. */
TL_MUST bool key_verifies(const struct key *k, enum key_kind kind, const struct text *t,
    const struct offer *offers, size_t n);
TL_MUST bool key_signs(const struct key *k, enum key_kind kind, const struct text *t,
    unsigned char out[SIGNATURE_BYTES], size_t *ret_n);

/* ---- signature_text.c ---- */
/* "text" of the form, of the attempt's pieces and this URL. */
TL_MUST bool text_build(const struct attempt *a, struct str url, struct text *ret);
bool	form_wants(const struct form *f, char code);
/* Fills a->url with the n-th spelling under which the URL may have been signed; false:
 * there are no more. */
TL_MUST bool text_url(struct attempt *a, size_t n);
/* Fills a->params.  NULL, or the check that failed. */
const char *text_params(struct attempt *a);
/* The header that says so, without its parameters. */
bool	is_form_type(struct str content_type);

/* ---- signature_body.c ---- */
/* The value of a member of a JSON object, as it stands there.  false: it is not there,
 * stands there twice, or body is no object as far as it was read. */
TL_MUST bool body_member(struct str object, struct str name, struct str *ret_value);
/* Finds timestamp, token and signature in the body.  NULL, or the check that failed. */
const char *body_fields(struct attempt *a, struct str *ret_signature);

/* ---- signature_verify.c ---- */
const char *verify_none(struct signature *s, struct attempt *a);
const char *verify_bearer(struct signature *s, struct attempt *a);
const char *verify_basic(struct signature *s, struct attempt *a);
const char *verify_token(struct signature *s, struct attempt *a);
const char *verify_signed(struct signature *s, struct attempt *a);
const char *verify_sns(struct signature *s, struct attempt *a);

/* ---- signature_sign.c ---- */
typedef bool sign_fn(struct signature *, const struct signature_draft *,
    struct signature_signed *, struct err *);
sign_fn	sign_none, sign_bearer, sign_basic, sign_token, sign_text, sign_sns;

#endif
