/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody without the key is let in, and what was signed is, unless a bit of it changed.
 *
 * Input: a byte that names the scheme, a byte that names a bit, the length of the URL's
 * query, then query, header lines up to an empty one, and the body. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct http_parse_limits limits = { 16384, 0 };
static const int64_t now_us = 1700000000 * (int64_t)1000000;
static const struct str topic = { "arn:aws:sns:eu-west-1:1:x", 25 };
static const char der[] = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWPspCFHpVx3Zl8LGibKO6ZHyGR0s"
    "qNEif1WxYVTNpXWhRANCAAQ8rxWyIaYPz09K0UwYU2P7ygDqWPIxvbpIl39lw6NL9UnGpCwo2Uw/m2FZ8bqvIdyp"
    "2j8o51UeNUfckS5u83Nw";

struct input {
	enum signature_scheme	 scheme;
	unsigned		 bit;
	struct str		 query, headers, body;
};

static bool
cut(const uint8_t *data, size_t n, struct input *ret)
{
	struct str rest = { (const char *)data, n };
	const char *end;

	if (n < 3 || 3 + (size_t)data[2] > n)
		return false;
	ret->scheme = (enum signature_scheme)(SIGNATURE_HMAC_SHA1 +
	    data[0] % (SIGNATURE_NSCHEMES - SIGNATURE_HMAC_SHA1));
	ret->bit = data[1];
	ret->query = (struct str){ rest.p + 3, data[2] };
	rest = str_skip(rest, 3 + (size_t)data[2]);
	end = rest.n > 0 ? memmem(rest.p, rest.n, "\r\n\r\n", 4) : NULL;
	ret->headers = (struct str){ rest.p, end != NULL ? (size_t)(end - rest.p) + 2 : 0 };
	ret->body = end != NULL ? str_skip(rest, ret->headers.n + 2) : rest;
	return true;
}

/* One of each is kept; but Mailgun's remembers tokens. */
static struct signature *
make(const struct input *in)
{
	static struct signature *made[SIGNATURE_NSCHEMES];
	struct str secret = in->scheme == SIGNATURE_SENDGRID ? str_of(der) :
	    STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
	struct signature_conf conf = { .scheme = in->scheme, .secrets = &secret, .nsecrets = 1,
	    .signs = true };
	struct signature **s = &made[in->scheme];
	struct err err;

	if (*s != NULL && in->scheme != SIGNATURE_MAILGUN)
		return *s;
	signature_free(*s);
	if (in->scheme == SIGNATURE_AMAZON_SNS)
		conf = (struct signature_conf){ .scheme = in->scheme, .topics = &topic, .ntopics = 1 };
	if (in->scheme <= SIGNATURE_HMAC_SHA512) {
		conf.header = STR("X-Sig");
		conf.timestamp_header = STR("X-Time");
		conf.prefix = STR("v=");
	}
	*s = signature_new(&conf, &err);
	if (*s == NULL)
		abort();
	return *s;
}

/* 1: let in, 0: refused, -1: no HTTP. */
static int
verify(struct signature *s, struct str headers, struct str url, struct str body)
{
	struct http_parse p;
	struct signature_request r = { .m = &p.msg, .body = body, .url = url, .now_us = now_us };
	const char *check = NULL;
	struct buf text;
	int result = -1;

	buf_init(&text, 16384);
	buf_text(&text, "POST /in/x HTTP/1.1\r\nHost: x\r\n");
	buf_str_add(&text, headers);
	buf_text(&text, "\r\n");
	http_parse_init(&p, &limits);
	if (buf_ok(&text) && http_parse_feed(&p, text.p, text.n) == text.n &&
	    p.state == PARSE_DONE) {
		result = signature_verify(s, &r, &check);
		if (result == 0 && check == NULL)
			abort();
	}
	http_parse_fini(&p);
	buf_fini(&text);
	return result;
}

static void
check_signed(struct signature *s, const struct input *in, struct str url)
{
	static const struct str types[] = { STR("application/x-www-form-urlencoded"),
	    STR("application/json") };
	struct signature_draft d = { .method = STR("POST"), .url = url, .body = in->body,
	    .content_type = types[in->bit % 2], .id = STR("id"), .token = STR("token"),
	    .now_us = now_us };
	struct signature_signed out;
	struct err err;

	buf_init(&out.headers, 16384);
	buf_init(&out.url, 65536);
	buf_init(&out.body, in->body.n + 1024);
	if (signature_sign(s, &d, &out, &err)) {
		buf_text(&out.headers, "Content-Type: ");
		buf_str_add(&out.headers, d.content_type);
		buf_text(&out.headers, "\r\n");
		/* A form or object may hold a name twice, which is refused: Mailgun. */
		if (verify(s, buf_str(&out.headers), buf_str(&out.url), buf_str(&out.body)) != 1 &&
		    in->scheme != SIGNATURE_MAILGUN && in->scheme != SIGNATURE_TWILIO)
			abort();
		/* The token of the first signature goes with another body. */
		if (out.body.n > 0 && in->scheme != SIGNATURE_TWILIO &&
		    in->scheme != SIGNATURE_MANDRILL) {
			out.body.p[in->bit % out.body.n] ^= 1;
			if (verify(s, buf_str(&out.headers), buf_str(&out.url),
			    buf_str(&out.body)) == 1 && in->scheme != SIGNATURE_MAILGUN)
				abort();
		}
	}
	buf_fini(&out.headers);
	buf_fini(&out.url);
	buf_fini(&out.body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char before[] = "https://log.example.com:8443/in/x?";
	struct signature *s;
	struct input in;
	char url[512];
	int url_n;

	if (!cut(data, n, &in))
		return 0;
	url_n = snprintf(url, sizeof(url), "%s%.*s", before, STR_ARG(in.query));
	s = make(&in);
	if (verify(s, in.headers, (struct str){ url, (size_t)url_n }, in.body) == 1)
		abort();
	check_signed(s, &in, (struct str){ url, (size_t)url_n });
	return 0;
}
