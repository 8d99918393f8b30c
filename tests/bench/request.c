/* SPDX-License-Identifier: Apache-2.0 */
/* What the requests hold, and how they are signed. */
#include "tests/bench/request.h"

#include <err.h>
#include <inttypes.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/x509.h>

#include "base/clock.h"
#include "base/encoding.h"
#include "tests/bench/event.h"
#include "tests/bench/load.h"

enum { KEY_MAX_BYTES = 512, SIGNATURE_BYTES = 80 };

/* The header of the benchmark's own source. */
static void
sign_hmac(struct buf *out, const char *key, struct str body)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len;

	if (HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)body.p, body.n, mac,
	    &len) == NULL)
		errx(1, "HMAC failed");
	buf_text(out, "X-Signature: ");
	encode_hex(out, mac, len);
	buf_text(out, "\r\n");
}

/* base64 of PKCS #8, read once. */
static EVP_PKEY *
private_key(const char *text)
{
	static EVP_PKEY *key;
	unsigned char der[KEY_MAX_BYTES];
	const unsigned char *p = der;
	size_t n;

	if (key == NULL && decode_base64(str_of(text), der, sizeof(der), &n))
		key = d2i_AutoPrivateKey(NULL, &p, (long)n);
	if (key == NULL)
		errx(2, "-k is no private key: base64 of PKCS #8 is wanted");
	return key;
}

/* ECDSA over the time and the body, as the header's names have it. */
static void
sign_sendgrid(struct buf *out, const char *key, struct str body)
{
	unsigned char signature[SIGNATURE_BYTES];
	size_t n = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	char at[24];

	(void)snprintf(at, sizeof(at), "%" PRId64, clock_now_us() / 1000000);
	if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, private_key(key)) != 1 ||
	    EVP_DigestSignUpdate(ctx, at, strlen(at)) != 1 ||
	    EVP_DigestSignUpdate(ctx, body.p, body.n) != 1 ||
	    EVP_DigestSignFinal(ctx, signature, &n) != 1)
		errx(1, "ECDSA failed");
	EVP_MD_CTX_free(ctx);
	buf_printf(out, "X-Twilio-Email-Event-Webhook-Timestamp: %s\r\n"
	    "X-Twilio-Email-Event-Webhook-Signature: ", at);
	encode_base64(out, signature, n);
	buf_text(out, "\r\n");
}

const struct request_kind request_post = {
	.name = "post", .type = "application/json", .open = "", .between = "", .close = "",
	.put = event_json, .sign = sign_hmac,
};

const struct request_kind request_ndjson = {
	.name = "ndjson", .type = "application/x-ndjson", .is_many = true, .open = "",
	.between = "\n", .close = "\n", .put = event_json, .sign = sign_hmac,
};

/* SendGrid's own way of writing arrays. */
const struct request_kind request_sendgrid = {
	.name = "sendgrid", .type = "application/json", .is_many = true, .open = "[",
	.between = ",\r\n", .close = "]\r\n", .put = event_sendgrid, .sign = sign_sendgrid,
};

void
request_body(const struct request_kind *kind, const struct load_conf *conf, int64_t first,
    int64_t n, struct buf *body)
{
	struct event e;

	buf_clear(body);
	buf_text(body, kind->open);
	for (int64_t i = 0; i < n; i++) {
		event_make(&e, conf->run, first + i, (uint64_t)conf->n_people);
		buf_text(body, i > 0 ? kind->between : "");
		kind->put(body, &e);
	}
	buf_text(body, kind->close);
}
