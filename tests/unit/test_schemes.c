/* SPDX-License-Identifier: Apache-2.0 */
/* How tools sign: what they published verifies, what we sign as they would does, and
 * nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/encoding.h"
#include "io/used_tokens.h"
#include "tests/unit/signed_request.h"

#define JSON_TYPE "application/json"
#define FORM_TYPE "application/x-www-form-urlencoded"
#define URL "https://log.example.com/in/shop?a=1&b=it%27s"
#define WHSEC "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
/* Made for this test. */
#define P256_PRIVATE "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWPspCFHpVx3Zl8LGibKO" \
	"6ZHyGR0sqNEif1WxYVTNpXWhRANCAAQ8rxWyIaYPz09K0UwYU2P7ygDqWPIxvbpIl39lw6NL9UnGpCwo2Uw/" \
	"m2FZ8bqvIdyp2j8o51UeNUfckS5u83Nw"
#define P256_PUBLIC "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPK8VsiGmD89PStFMGFNj+8oA6ljyMb26SJd" \
	"/ZcOjS/VJxqQsKNlMP5thWfG6ryHcqdo/KOdVHjVH3JEubvNzcA=="
#define ED_PRIVATE "whsk_9cOVl/Z5sdq2c09Ww17MiC82RTt5b/jK2bmXIVdigiM="
#define ED_PUBLIC "whpk_TLoQwPrEu1a6kXQARxXIrzjKq3nZtxMt8/5eLgiaS1k="

static const int64_t now_us = 1700000000 * (int64_t)1000000;

/* ---- one request ---- */

struct post {
	const char	*method, *url, *type, *headers;
	struct str	 body;
	int64_t		 at_us;
};

static struct signature *
make(enum signature_scheme scheme, struct str secret, bool signs)
{
	const struct signature_conf conf = { .scheme = scheme, .secrets = &secret, .nsecrets = 1,
	    .signs = signs };
	struct err err;
	struct signature *s = signature_new(&conf, &err);

	if (s == NULL)
		fail_msg("%s: %s", signature_schemes[scheme], err.text);
	return s;
}

/* "" when it is let in, else the check that failed. */
static const char *
check(struct signature *s, const struct post *p)
{
	const struct signature_request r = { .body = p->body, .url = str_of(p->url),
	    .now_us = p->at_us != 0 ? p->at_us : now_us };
	char text[8192];
	int n = snprintf(text, sizeof(text), "%s /x HTTP/1.1\r\nHost: x\r\n%s%s%s%s\r\n",
	    p->method != NULL ? p->method : "POST", p->type != NULL ? "Content-Type: " : "",
	    p->type != NULL ? p->type : "", p->type != NULL ? "\r\n" : "", p->headers);

	assert_in_range(n, 1, sizeof(text) - 1);
	/* A flipped bit may leave no HTTP: that is refused too. */
	return check_request(s, text, r);
}

static void
assert_check(struct signature *s, const struct post *p, const char *wanted)
{
	const char *got = check(s, p);

	if (strcmp(got, wanted) != 0)
		fail_msg("%s %s: \"%s\", not \"%s\"", p->url, p->headers, got, wanted);
}

/* ---- what was published ---- */

static void
assert_published(enum signature_scheme scheme, const char *secret, const struct post *good)
{
	struct signature *s = make(scheme, str_of(secret), false);
	struct post bad = *good;

	assert_check(s, good, "");
	bad.at_us = good->at_us + 1;
	bad.body = STR("another");
	assert_string_not_equal(check(s, &bad), "");
	assert_check(s, good, "");
	signature_free(s);
}

static void
what_tools_have_published_verifies(void **state)
{
	static const char hubspot_secret[] = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
	static const struct { enum signature_scheme scheme; const char *secret; struct post post; }
	    table[] = {
		/* The vector of every Standard Webhooks library; also Svix's. */
		{ SIGNATURE_STANDARD_WEBHOOKS, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", { .headers =
		    "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\nwebhook-timestamp: 1614265330\r\n"
		    "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n",
		    .body = STR("{\"test\": 2432232314}"), .at_us = 1614265330000000 } },
		{ SIGNATURE_STANDARD_WEBHOOKS, WHSEC, { .headers =
		    "svix-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\nsvix-timestamp: 1614265330\r\n"
		    "svix-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n",
		    .body = STR("{\"test\": 2432232314}"), .at_us = 1614265330000000 } },
		{ SIGNATURE_GITHUB, "It's a Secret to Everybody", { .headers = "X-Hub-Signature-256: "
		    "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\r\n",
		    .body = STR("Hello, World!") } },
		{ SIGNATURE_META, "It's a Secret to Everybody", { .headers = "X-Hub-Signature-256: "
		    "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\r\n",
		    .body = STR("Hello, World!") } },
		{ SIGNATURE_TWILIO, "12345", { .headers =
		    "X-Twilio-Signature: RSOYDt4T1cUTdK1PDd93/VVr8B8=\r\n", .type = FORM_TYPE,
		    .url = "https://mycompany.com/myapp.php?foo=1&bar=2", .body =
		    STR("To=%2B18005551212&Digits=1234&CallSid=CA1234567890ABCDE"
		    "&From=%2B14158675309&Caller=%2B14158675309") } },
		/* Two of HubSpot's own examples, and its library's tests of them. */
		{ SIGNATURE_HUBSPOT, hubspot_secret, { .method = "GET",
		    .url = "https://www.example.com/webhook_uri", .headers =
		    "X-HubSpot-Signature-Version: v2\r\nX-HubSpot-Signature: "
		    "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e\r\n",
		    .body = STR("") } },
		{ SIGNATURE_HUBSPOT, hubspot_secret, { .url = "https://www.example.com/webhook_uri",
		    .headers = "X-HubSpot-Signature-Version: v2\r\nX-HubSpot-Signature: "
		    "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900\r\n",
		    .body = STR("{\"example_field\":\"example_value\"}") } },
		{ SIGNATURE_HUBSPOT, hubspot_secret, { .headers = "X-HubSpot-Signature: "
		    "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de\r\n",
		    .body = STR("[{\"eventId\":1,\"subscriptionId\":12345,\"portalId\":62515,"
		    "\"occurredAt\":1564113600000,\"subscriptionType\":\"contact.creation\","
		    "\"attemptNumber\":0,\"objectId\":123,\"changeSource\":\"CRM\","
		    "\"changeFlag\":\"NEW\",\"appId\":54321}]") } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_published(table[i].scheme, table[i].secret, &table[i].post);
}

/* ---- the vectors beside the clone ---- */

static const char *
member(struct json_object *o, const char *name)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(o, name, &value) ? json_object_get_string(value) : NULL;
}

static void
put_params(struct buf *out, struct json_object *params)
{
	json_object_object_foreach(params, name, value) {
		size_t n = json_object_is_type(value, json_type_array) ?
		    json_object_array_length(value) : 1;

		for (size_t i = 0; i < n; i++) {
			struct json_object *one = json_object_is_type(value, json_type_array) ?
			    json_object_array_get_idx(value, i) : value;

			buf_text(out, out->n > 0 ? "&" : "");
			percent_encode(out, str_of(name), "");
			buf_text(out, "=");
			percent_encode(out, str_of(json_object_get_string(one)), "");
		}
	}
}

static const struct vector_kind {
	const char		*name, *secret;
	enum signature_scheme	 scheme;
	const char		*headers;	/* of signature, timestamp, id */
} vector_kinds[] = {
	{ "standard-webhooks", "secret", SIGNATURE_STANDARD_WEBHOOKS, "webhook-signature: %s\r\n"
	    "webhook-timestamp: %s\r\nwebhook-id: %s\r\n" },
	{ "twilio-form", "token", SIGNATURE_TWILIO, "X-Twilio-Signature: %s\r\nX: %s%s\r\n" },
	{ "twilio-json", "token", SIGNATURE_TWILIO, "X-Twilio-Signature: %s\r\nX: %s%s\r\n" },
	{ "sendgrid-ecdsa-p256", "public_key", SIGNATURE_SENDGRID,
	    "X-Twilio-Email-Event-Webhook-Signature: %s\r\n"
	    "X-Twilio-Email-Event-Webhook-Timestamp: %s\r\nX: %s\r\n" },
	{ "github-hub256", "secret", SIGNATURE_GITHUB, "X-Hub-Signature-256: %s\r\nX: %s%s\r\n" },
	{ "slack-v0", "secret", SIGNATURE_SLACK,
	    "X-Slack-Signature: %s\r\nX-Slack-Request-Timestamp: %s\r\nX: %s\r\n" },
};

static const struct vector_kind *
kind_of(struct json_object *vector)
{
	for (size_t i = 0; i < sizeof(vector_kinds) / sizeof(vector_kinds[0]); i++)
		if (strcmp(vector_kinds[i].name, member(vector, "scheme")) == 0)
			return &vector_kinds[i];
	fail_msg("a vector of %s, which nobody tests", member(vector, "scheme"));
	abort();
}

static void
assert_vector(struct json_object *v)
{
	const struct vector_kind *kind = kind_of(v);
	struct signature *s = make(kind->scheme, str_of(member(v, kind->secret)), false);
	const char *timestamp = member(v, "timestamp"), *body = member(v, "body");
	char headers[1000];
	struct json_object *params, *valid;
	struct buf form;
	struct post p = { .url = member(v, "url"), .headers = headers };

	buf_init(&form, 10000);
	if (json_object_object_get_ex(v, "params", &params)) {
		put_params(&form, params);
		p.type = FORM_TYPE;
	}
	p.body = body != NULL ? str_of(body) : buf_str(&form);
	p.at_us = timestamp != NULL ? strtoll(timestamp, NULL, 10) * 1000000 : 0;
	(void)snprintf(headers, sizeof(headers), kind->headers, member(v, "signature"),
	    timestamp != NULL ? timestamp : "", member(v, "id") != NULL ? member(v, "id") : "");
	assert_true(json_object_object_get_ex(v, "valid", &valid));
	if (json_object_get_boolean(valid))
		assert_check(s, &p, "");
	else
		assert_string_not_equal(check(s, &p), "");
	buf_fini(&form);
	signature_free(s);
}

static void
every_vector_of_the_corpus_is_judged_as_it_says(void **state)
{
	const char *corpus = getenv("TOUCHLOG_CORPUS");
	char path[4096];
	struct json_object *all;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/vectors/signature-vectors.json",
	    corpus != NULL ? corpus : "");
	all = json_object_from_file(path);
	if (all == NULL) {
		print_message("skipped: %s is not there (TOUCHLOG_CORPUS)\n", path);
		skip();
	}
	assert_in_range(json_object_array_length(all), 1, 1000);
	for (size_t i = 0; i < json_object_array_length(all); i++)
		assert_vector(json_object_array_get_idx(all, i));
	json_object_put(all);
}

/* ---- what we sign ---- */

enum { UNCOVERED = 1, UNTIMED = 2 };	/* of sample.lacks: the body, the timestamp */

static const struct sample {
	enum signature_scheme	 scheme;
	const char		*secret, *private;	/* private NULL: the same */
	const char		*type, *body;
	unsigned		 lacks;
	int64_t			 window_s;
} samples[] = {
	{ SIGNATURE_STANDARD_WEBHOOKS, WHSEC, NULL, JSON_TYPE, "{\"type\":\"a.b\"}", 0, 300 },
	{ SIGNATURE_STANDARD_WEBHOOKS, ED_PUBLIC, ED_PRIVATE, JSON_TYPE, "{\"x\":1}", 0, 300 },
	{ SIGNATURE_STRIPE, WHSEC, NULL, JSON_TYPE, "{\"id\":\"evt_1\"}", 0, 300 },
	{ SIGNATURE_GITHUB, "k3y", NULL, JSON_TYPE, "{\"action\":\"opened\"}", UNTIMED, 0 },
	{ SIGNATURE_SLACK, "8f742231b10e", NULL, JSON_TYPE, "{\"type\":\"x\"}", 0, 300 },
	{ SIGNATURE_TWILIO, "12345", NULL, FORM_TYPE, "To=%2B1&From=a+b&To=2", UNTIMED, 0 },
	{ SIGNATURE_TWILIO, "12345", NULL, JSON_TYPE, "{\"a\": true}", UNTIMED, 0 },
	{ SIGNATURE_SENDGRID, P256_PUBLIC, P256_PRIVATE, JSON_TYPE, "[{\"a\":1}]\r\n", 0,
	    25 * 3600 },
	{ SIGNATURE_MAILGUN, "key-1", NULL, JSON_TYPE, "{\"event-data\":{\"a\":\"}\\\"\"}}",
	    UNCOVERED, 9 * 3600 },
	{ SIGNATURE_MAILGUN, "key-1", NULL, FORM_TYPE, "sender=a%40b.c", UNCOVERED, 9 * 3600 },
	{ SIGNATURE_HUBSPOT, "yyyy-yyyy", NULL, JSON_TYPE, "[{\"eventId\":1}]", 0, 300 },
	{ SIGNATURE_TYPEFORM, "k3y", NULL, JSON_TYPE, "{\"event_id\":\"1\"}", UNTIMED, 0 },
	{ SIGNATURE_CALENDLY, "k3y", NULL, JSON_TYPE, "{\"event\":\"x\"}", 0, 180 },
	{ SIGNATURE_META, "k3y", NULL, JSON_TYPE, "{\"object\":\"\\u00e9\"}", UNTIMED, 0 },
	{ SIGNATURE_SHOPIFY, "k3y", NULL, JSON_TYPE, "{\"id\":1}", UNTIMED, 0 },
	{ SIGNATURE_MANDRILL, "k3y", NULL, FORM_TYPE, "mandrill_events=%5B%5D", UNTIMED, 0 },
};

enum { NSAMPLES = sizeof(samples) / sizeof(samples[0]) };

struct signed_post {
	struct signature	*verifier;	/* ours */
	struct signature_signed	 out;		/* ours */
	char			 headers[2000], url[1000], body[1000];
	struct post		 post;		/* of these three */
};

static const char token[] = "0123456789abcdef0123456789abcdef0123456789abcdef01";

static void
sign(const struct sample *sample, struct signed_post *ret)
{
	const char *private = sample->private != NULL ? sample->private : sample->secret;
	struct signature *signer = make(sample->scheme, str_of(private), true);
	const struct signature_draft d = { .method = STR("POST"), .url = STR(URL),
	    .content_type = str_of(sample->type), .body = str_of(sample->body),
	    .id = STR("msg_1"), .token = str_of(token), .now_us = now_us };
	struct err err;

	buf_init(&ret->out.headers, sizeof(ret->headers) - 1);
	buf_init(&ret->out.url, sizeof(ret->url) - 1);
	buf_init(&ret->out.body, sizeof(ret->body) - 1);
	if (!signature_sign(signer, &d, &ret->out, &err))
		fail_msg("%s: %s", signature_schemes[sample->scheme], err.text);
	signature_free(signer);
	(void)snprintf(ret->headers, sizeof(ret->headers), "%.*s",
	    STR_ARG(buf_str(&ret->out.headers)));
	(void)snprintf(ret->url, sizeof(ret->url), "%.*s", STR_ARG(buf_str(&ret->out.url)));
	(void)snprintf(ret->body, sizeof(ret->body), "%.*s", STR_ARG(buf_str(&ret->out.body)));
	buf_fini(&ret->out.headers);
	buf_fini(&ret->out.url);
	buf_fini(&ret->out.body);
	ret->verifier = make(sample->scheme, str_of(sample->secret), false);
	ret->post = (struct post){ .url = ret->url, .type = sample->type,
	    .headers = ret->headers, .body = str_of(ret->body) };
}

static void
what_we_sign_verifies_twice(void **state)
{
	struct signed_post p;

	(void)state;
	for (size_t i = 0; i < NSAMPLES; i++) {
		sign(&samples[i], &p);
		assert_check(p.verifier, &p.post, "");
		assert_check(p.verifier, &p.post, "");
		signature_free(p.verifier);
	}
}

static void
assert_refused(const struct sample *sample, struct signed_post *p, const char *what, size_t at)
{
	if (strcmp(check(p->verifier, &p->post), "") == 0)
		fail_msg("%s takes it with %s flipped at %zu: %s | %s | %s",
		    signature_schemes[sample->scheme], what, at, p->headers, p->url, p->body);
}

/* The least bit of each byte, which turns no letter into its capital: that would be the
 * same in hexadecimal. */
static void
assert_each_byte_counts(const struct sample *sample, struct signed_post *p, char *bytes,
    const char *what)
{
	for (size_t i = 0; i < strlen(bytes); i++) {
		if (bytes[i] == '\r' || bytes[i] == '\n')
			continue;
		bytes[i] ^= 1;
		assert_refused(sample, p, what, i);
		bytes[i] ^= 1;
	}
	assert_check(p->verifier, &p->post, "");
}

static void
one_flipped_bit_in_body_url_or_header_is_refused(void **state)
{
	struct signed_post p;

	(void)state;
	for (size_t i = 0; i < NSAMPLES; i++) {
		sign(&samples[i], &p);
		assert_each_byte_counts(&samples[i], &p, p.headers, "headers");
		if ((samples[i].lacks & UNCOVERED) == 0)
			assert_each_byte_counts(&samples[i], &p, p.body, "body");
		if (signature_needs_url(p.verifier))
			assert_each_byte_counts(&samples[i], &p, p.url, "url");
		signature_free(p.verifier);
	}
}

/* A key that is none any more is refused at the start. */
static void
one_flipped_bit_in_the_key_is_refused(void **state)
{
	struct signed_post p;

	(void)state;
	for (size_t i = 0; i < NSAMPLES; i++) {
		char key[500];

		(void)snprintf(key, sizeof(key), "%s", samples[i].secret);
		sign(&samples[i], &p);
		for (size_t bit = 0; bit < 8 * strlen(samples[i].secret); bit++) {
			const struct str secret = { key, strlen(samples[i].secret) };
			const struct signature_conf conf = { .scheme = samples[i].scheme,
			    .secrets = &secret, .nsecrets = 1 };
			struct signature *was = p.verifier;
			struct err err;

			key[bit / 8] = (char)(key[bit / 8] ^ 1 << bit % 8);
			p.verifier = signature_new(&conf, &err);
			if (p.verifier == NULL)
				assert_int_equal(err.kind, ERR_CONFIG);
			else
				assert_refused(&samples[i], &p, "key", bit);
			signature_free(p.verifier);
			p.verifier = was;
			key[bit / 8] = (char)(key[bit / 8] ^ 1 << bit % 8);
		}
		signature_free(p.verifier);
	}
}

/* `change` rewrites one header line. */
static void
assert_each_line_counts(const struct sample *sample, struct signed_post *p,
    void (*change)(char *out, size_t size, struct str line), const char *what)
{
	char all[sizeof(p->headers)];
	struct str rest;

	memcpy(all, p->headers, sizeof(all));
	rest = str_of(all);
	while (rest.n > 0) {
		const char *from = rest.p;
		struct str line = str_cut(&rest, '\n');
		size_t before = (size_t)(from - all);

		memcpy(p->headers, all, before);
		change(p->headers + before, sizeof(p->headers) - before, line);
		before = strlen(p->headers);
		(void)snprintf(p->headers + before, sizeof(p->headers) - before, "%s", rest.p);
		assert_refused(sample, p, what, before);
	}
	memcpy(p->headers, all, sizeof(all));
}

static void
without_line(char *out, size_t size, struct str line)
{
	(void)line;
	(void)snprintf(out, size, "%s", "");
}

static void
twice(char *out, size_t size, struct str line)
{
	(void)snprintf(out, size, "%.*s\n%.*s\n", STR_ARG(line), STR_ARG(line));
}

static void
cut_off(char *out, size_t size, struct str line)
{
	(void)snprintf(out, size, "%.*s\r\n", (int)line.n - 2, line.p);
}

static void
a_missing_doubled_or_truncated_header_is_refused(void **state)
{
	struct signed_post p;

	(void)state;
	for (size_t i = 0; i < NSAMPLES; i++) {
		sign(&samples[i], &p);
		assert_each_line_counts(&samples[i], &p, without_line, "no header");
		assert_each_line_counts(&samples[i], &p, twice, "a header twice");
		assert_each_line_counts(&samples[i], &p, cut_off, "a header cut off");
		assert_check(p.verifier, &p.post, "");
		signature_free(p.verifier);
	}
}

static void
the_signature_of_one_tool_is_none_of_another(void **state)
{
	struct signed_post p;

	(void)state;
	for (size_t i = 0; i < NSAMPLES; i++) {
		sign(&samples[i], &p);
		for (enum signature_scheme k = SIGNATURE_STANDARD_WEBHOOKS; k < SIGNATURE_AMAZON_SNS; k++) {
			struct signature *other;

			/* GitHub's and Meta's are the same. */
			if (k == samples[i].scheme || (k == SIGNATURE_META &&
			    samples[i].scheme == SIGNATURE_GITHUB) || (k == SIGNATURE_GITHUB &&
			    samples[i].scheme == SIGNATURE_META))
				continue;
			other = make(k, str_of(k == SIGNATURE_SENDGRID ? P256_PUBLIC :
			    k == SIGNATURE_STANDARD_WEBHOOKS ? WHSEC : samples[i].secret), false);
			assert_string_not_equal(check(other, &p.post), "");
			signature_free(other);
		}
		signature_free(p.verifier);
	}
}

static void
each_window_has_its_length_to_both_sides(void **state)
{
	struct signed_post p;

	(void)state;
	for (size_t i = 0; i < NSAMPLES; i++) {
		const int64_t window_us = samples[i].window_s * 1000000;

		sign(&samples[i], &p);
		for (int side = -1; side <= 1; side += 2) {
			p.post.at_us = now_us + side * window_us;
			assert_check(p.verifier, &p.post, "");
			p.post.at_us = now_us + side * (window_us + 1);
			assert_check(p.verifier, &p.post,
			    (samples[i].lacks & UNTIMED) != 0 ? "" : "window");
		}
		signature_free(p.verifier);
	}
}

static void
a_window_of_ones_own_replaces_the_schemes(void **state)
{
	const struct str secret = STR(WHSEC);
	struct signature_conf conf = { .scheme = SIGNATURE_STRIPE, .secrets = &secret,
	    .nsecrets = 1, .window_ms = 1000 };
	struct signed_post p;
	struct err err;

	(void)state;
	sign(&samples[2], &p);
	signature_free(p.verifier);
	p.verifier = signature_new(&conf, &err);
	assert_non_null(p.verifier);
	p.post.at_us = now_us + 1000000;
	assert_check(p.verifier, &p.post, "");
	p.post.at_us++;
	assert_check(p.verifier, &p.post, "window");
	signature_free(p.verifier);
}

/* ---- several ---- */

struct header_row {
	const char	*format, *check;
};

static void
assert_headers(const struct sample *sample, const struct header_row *row, size_t n,
    const char *signature)
{
	struct signed_post p;

	sign(sample, &p);
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(p.headers, sizeof(p.headers), row[i].format, signature, signature);
		assert_check(p.verifier, &p.post, row[i].check);
	}
	signature_free(p.verifier);
}

/* The value of the first header of what we signed, behind what stands before it. */
static void
signature_of(const struct sample *sample, const char *before, char out[200])
{
	struct signed_post p;
	const char *at;

	sign(sample, &p);
	at = strstr(p.headers, before);
	assert_non_null(at);
	at += strlen(before);
	(void)snprintf(out, 200, "%.*s", (int)strcspn(at, "\r"), at);
	signature_free(p.verifier);
}

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define ZEROS64 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static void
any_signature_of_a_list_is_enough(void **state)
{
	static const struct header_row stripe[] = {
		{ "Stripe-Signature: t=1700000000,v1=%s\r\n", "" },
		{ "Stripe-Signature: v1=%s,t=1700000000\r\n", "" },
		{ "Stripe-Signature: t=1700000000, v1=%s\r\n", "" },
		{ "Stripe-Signature: t=1700000000,v1=" ZEROS ",v1=%s\r\n", "" },
		{ "Stripe-Signature: t=1700000000,v1=%s,v1=" ZEROS "\r\n", "" },
		{ "Stripe-Signature: t=1700000000,v0=x,v1=%s,v9=\r\n", "" },
		{ "Stripe-Signature: t=1700000000,v1=zz,v1=%s\r\n", "" },
		{ "Stripe-Signature: t=1700000000,v1=" ZEROS "\r\n", "signature" },
		{ "Stripe-Signature: t=1700000000,v0=%s\r\n", "prefix" },
		{ "Stripe-Signature: t=1700000000,v1=%s0\r\n", "encoding" },
		{ "Stripe-Signature: t=1700000000\r\n", "prefix" },
		{ "Stripe-Signature:\r\n", "prefix" },
		{ "Stripe-Signature: v1=%s\r\n", "timestamp_missing" },
		{ "Stripe-Signature: t=,v1=%s\r\n", "signature" },
		{ "Stripe-Signature: t=1700000000,t=1700000000,v1=%s\r\n", "timestamp_repeated" },
		{ "Stripe-Signature: t=1700000001,v1=%s\r\n", "signature" },
		{ "Stripe-Signature: t=1700000000,v1=%1$s,v1=%1$s,v1=%1$s,v1=%1$s,v1=%1$s,v1=%1$s,"
		    "v1=%1$s,v1=%1$s,v1=%1$s\r\n", "too_many_signatures" },
	};
#define BOTH "webhook-id: msg_1\r\nwebhook-timestamp: 1700000000\r\nwebhook-signature: "
	static const struct header_row standard[] = {
		{ BOTH "v1,%s\r\n", "" },
		{ BOTH "v1," ZEROS64 " v1,%s\r\n", "" },
		{ BOTH "v9,x v1,%s v1a,y\r\n", "" },
		{ BOTH " v1,%s  v1,%s\r\n", "" },
		{ BOTH "v1a,%s\r\n", "encoding" },
		{ BOTH "v2,%s\r\n", "prefix" },
		{ BOTH "%s\r\n", "prefix" },
		{ BOTH "v1,%s,x\r\n", "encoding" },
		{ BOTH "v1," ZEROS64 "\r\n", "signature" },
		{ "svix-signature: v1,x\r\n" BOTH "v1,%s\r\n", "encoding" },
	};
	char signature[200];

	(void)state;
	signature_of(&samples[2], "v1=", signature);
	assert_headers(&samples[2], stripe, sizeof(stripe) / sizeof(stripe[0]), signature);
	signature_of(&samples[0], "v1,", signature);
	assert_headers(&samples[0], standard, sizeof(standard) / sizeof(standard[0]), signature);
}

static void
shared_secrets_and_public_keys_may_stand_in_one_list(void **state)
{
	const struct str keys[] = { STR("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), STR(ED_PUBLIC),
	    STR(WHSEC) };
	const struct signature_conf conf = { .scheme = SIGNATURE_STANDARD_WEBHOOKS,
	    .secrets = keys, .nsecrets = 3 };
	struct signed_post p;
	struct err err;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		sign(&samples[i], &p);
		signature_free(p.verifier);
		p.verifier = signature_new(&conf, &err);
		assert_non_null(p.verifier);
		assert_check(p.verifier, &p.post, "");
		p.body[0] ^= 1;
		assert_check(p.verifier, &p.post, "signature");
		signature_free(p.verifier);
	}
}

static void
a_secret_that_cannot_be_the_schemes_is_a_config_error(void **state)
{
	static const struct { enum signature_scheme scheme; const char *secret, *text; } table[] = {
		{ SIGNATURE_STANDARD_WEBHOOKS, "whsec_not base64", "secret: whsec_, whpk_ or whsk_ "
		    "and base64 behind it are wanted" },
		{ SIGNATURE_STANDARD_WEBHOOKS, "whsec_", "secret: whsec_, whpk_ or whsk_ "
		    "and base64 behind it are wanted" },
		{ SIGNATURE_STANDARD_WEBHOOKS, "whpk_AAAA",
		    "secret: an Ed25519 key of 32 bytes is wanted" },
		{ SIGNATURE_SENDGRID, "-----BEGIN PUBLIC KEY-----", "secret: a public key for the "
		    "curve P-256 is wanted, in base64 of DER, without PEM's lines" },
		{ SIGNATURE_SENDGRID, P256_PRIVATE, "secret: a public key for the "
		    "curve P-256 is wanted, in base64 of DER, without PEM's lines" },
		/* Right, but for another curve: Ed25519. */
		{ SIGNATURE_SENDGRID, "MCowBQYDK2VwAyEATLoQwPrEu1a6kXQARxXIrzjKq3nZtxMt8/5eLgiaS1k=",
		    "secret: a public key for the curve P-256 is wanted, in base64 of DER, without "
		    "PEM's lines" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct str secret = str_of(table[i].secret);
		struct signature_conf conf = { .scheme = table[i].scheme, .secrets = &secret,
		    .nsecrets = 1 };
		struct signature *s;
		struct err err;

		assert_null(signature_new(&conf, &err));
		assert_int_equal(err.kind, ERR_CONFIG);
		assert_string_equal(err.text, table[i].text);
		/* Who has no secrets at all may still judge the settings. */
		conf.is_keyless = true;
		s = signature_new(&conf, &err);
		assert_non_null(s);
		signature_free(s);
	}
}

/* ---- one tool's own ---- */

static void
twilio_may_have_signed_any_of_four_urls(void **state)
{
#define PATH "/in/x?q=a%20b&n=it%27s"
	static const struct { const char *signed_url, *ours, *check; } table[] = {
		{ "https://h.example" PATH, "https://h.example" PATH, "" },
		{ "https://h.example" PATH, "https://h.example:443" PATH, "" },
		{ "https://h.example" PATH, "https://h.example:8443" PATH, "" },
		{ "https://h.example:443" PATH, "https://h.example" PATH, "" },
		{ "http://h.example:80" PATH, "http://h.example" PATH, "" },
		{ "https://h.example:8443" PATH, "https://h.example:8443" PATH, "" },
		{ "https://[::1]:8443" PATH, "https://[::1]:8443" PATH, "" },
		{ "https://[::1]" PATH, "https://[::1]:8443" PATH, "" },
		{ "https://h.example/in/x?q=a%20b&n=it's", "https://h.example" PATH, "" },
		{ "https://h.example:443/in/x?q=a%20b&n=it's", "https://h.example/in/x?q=a+b&n=it%27s", "" },
		{ "https://h.example", "https://h.example", "" },
		{ "https://h.example:444" PATH, "https://h.example" PATH, "signature" },
		{ "http://h.example" PATH, "https://h.example" PATH, "signature" },
		{ "https://g.example" PATH, "https://h.example" PATH, "signature" },
		{ "https://h.example/in/x", "https://h.example" PATH, "signature" },
		{ "https://h.example" PATH, NULL, "url_unknown" },
	};
	struct signature *signer = make(SIGNATURE_TWILIO, STR("12345"), true);
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct signature_draft d = { .method = STR("GET"),
		    .url = str_of(table[i].signed_url), .body = STR("") };
		struct signature_signed out;
		struct post p = { .method = "GET", .url = table[i].ours, .body = STR("") };

		buf_init(&out.headers, 500);
		buf_init(&out.url, 500);
		buf_init(&out.body, 500);
		assert_true(signature_sign(signer, &d, &out, &err));
		buf_add(&out.headers, "", 1);
		p.headers = out.headers.p;
		assert_check(signer, &p, table[i].check);
		buf_fini(&out.headers);
		buf_fini(&out.url);
		buf_fini(&out.body);
	}
	signature_free(signer);
}

static void
twilios_body_has_to_be_covered(void **state)
{
	struct signed_post p;

	(void)state;
	sign(&samples[6], &p);
	assert_non_null(strstr(p.url, "&bodySHA256="));
	p.post.body = STR("{\"a\": false}");
	assert_check(p.verifier, &p.post, "body_hash");
	p.post.body = STR("");
	assert_check(p.verifier, &p.post, "body_hash");
	signature_free(p.verifier);
	/* The signature of a GET, with a body that it says nothing of. */
	sign(&(struct sample){ SIGNATURE_TWILIO, "12345", NULL, FORM_TYPE, "", 0, 0 }, &p);
	assert_check(p.verifier, &p.post, "");
	p.post.type = JSON_TYPE;
	p.post.body = STR("{\"a\": false}");
	assert_check(p.verifier, &p.post, "body_unsigned");
	p.post.type = NULL;
	assert_check(p.verifier, &p.post, "body_unsigned");
	p.post.type = FORM_TYPE;
	p.post.body = STR("a=%zz");
	assert_check(p.verifier, &p.post, "form");
	signature_free(p.verifier);
}

static void
a_form_of_too_many_fields_is_not_sorted(void **state)
{
	struct signature *s = make(SIGNATURE_TWILIO, STR("12345"), false);
	struct post p = { .url = URL, .type = FORM_TYPE, .headers = "X-Twilio-Signature: "
	    "RSOYDt4T1cUTdK1PDd93/VVr8B8=\r\n" };
	struct buf b;

	(void)state;
	buf_init(&b, 100000);
	for (size_t i = 0; i < 1000; i++)
		buf_text(&b, "a=b&");
	p.body = buf_str(&b);
	assert_check(s, &p, "signature");
	buf_text(&b, "a=b");
	p.body = buf_str(&b);
	assert_check(s, &p, "form");
	buf_fini(&b);
	signature_free(s);
}

static void
hubspot_signs_its_url_with_some_escapes_undone_or_as_it_is(void **state)
{
	static const struct { const char *signed_url, *ours, *check; } table[] = {
		{ "https://h.example/x?a=b%3Ac", "https://h.example/x?a=b%3Ac", "" },
		{ "https://h.example/x?a=b:c/@d", "https://h.example/x?a=b%3Ac%2f%40d", "" },
		{ "https://h.example/x?a=b%20c", "https://h.example/x?a=b%20c", "" },
		{ "https://h.example/x?a=b c", "https://h.example/x?a=b%20c", "signature" },
		{ "https://h.example/x?a=b%3Ac", "https://h.example/x?a=b:c", "signature" },
		{ "https://h.example/x?a=%", "https://h.example/x?a=%", "" },
	};
	struct signature *s = make(SIGNATURE_HUBSPOT, STR("yyyy"), true);
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct signature_draft d = { .method = STR("POST"), .body = STR("[]"),
		    .url = str_of(table[i].signed_url), .now_us = now_us };
		struct signature_signed out;
		struct post p = { .url = table[i].ours, .body = STR("[]") };

		buf_init(&out.headers, 500);
		buf_init(&out.url, 500);
		buf_init(&out.body, 500);
		assert_true(signature_sign(s, &d, &out, &err));
		buf_add(&out.headers, "", 1);
		p.headers = out.headers.p;
		assert_check(s, &p, table[i].check);
		buf_fini(&out.headers);
		buf_fini(&out.url);
		buf_fini(&out.body);
	}
	signature_free(s);
}

static void
a_token_of_mailgun_is_good_for_one_body(void **state)
{
	struct signed_post p;

	(void)state;
	for (size_t i = 0; i < NSAMPLES; i++) {
		if (samples[i].scheme != SIGNATURE_MAILGUN)
			continue;
		sign(&samples[i], &p);
		assert_check(p.verifier, &p.post, "");
		assert_each_byte_counts(&samples[i], &p, p.body, "a used token's body");
		assert_check(p.verifier, &p.post, "");
		signature_free(p.verifier);
	}
}

static void
the_signature_in_a_body_is_found_or_named(void **state)
{
#define SIG "{\"timestamp\":\"1700000000\",\"token\":\"%2$s\",\"signature\":\"%1$s\"}"
	static const struct { const char *format, *check; } table[] = {
		{ "{\"signature\":" SIG "}", "" },
		{ " { \"a\" : [ {\"signature\":1}, \"}\" ] , \"signature\" : " SIG " } ", "" },
		{ "{\"signature\":{\"timestamp\":1700000000,\"token\":\"%2$s\",\"signature\":\"%1$s\"}}", "" },
		{ "{\"a\":{\"signature\":" SIG "}}", "signature_missing" },
		{ "{\"signature\":" SIG ",\"signature\":" SIG "}", "signature_missing" },
		{ "{\"signature\":" SIG, "signature_missing" },
		{ "{\"signature\":" SIG ",", "signature_missing" },
		{ "[" SIG "]", "signature_missing" },
		{ "\"signature\":" SIG, "signature_missing" },
		{ "", "signature_missing" },
		{ "{", "signature_missing" },
		{ "{}", "signature_missing" },
		{ "{\"signature\":}", "signature_missing" },
		{ "{\"signature\":\"%1$s\"}", "signature_missing" },
		{ "{\"signature\":null}", "signature_missing" },
		{ "{\"signature\":{\"signature\":\"%1$s\",\"token\":\"%2$s\"}}", "timestamp_missing" },
		{ "{\"signature\":{\"signature\":\"%1$s\",\"timestamp\":\"1700000000\"}}", "token_missing" },
		{ "{\"signature\":{\"signature\":\"%1$s\",\"timestamp\":\"1700000000\",\"token\":null}}",
		    "token_missing" },
		{ "{\"signature\":{\"signature\":\"%1$s\",\"timestamp\":\"1700000000\",\"token\":\"\\u0030\"}}",
		    "token_missing" },
		{ "{\"signature\":{\"signature\":\"x\",\"timestamp\":\"1700000000\",\"token\":\"x\"}}",
		    "encoding" },
		{ "{\"signature\":{\"signature\":\"" ZEROS "\",\"timestamp\":\"1\",\"token\":\"x\"}}",
		    "signature" },
	};
	struct signed_post p;
	char signature[65], body[1000];
	const char *at;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		sign(&(struct sample){ SIGNATURE_MAILGUN, "k", NULL, JSON_TYPE, "{}", 0, 0 }, &p);
		at = strstr(p.body, "\"signature\":\"");
		assert_non_null(at);
		(void)snprintf(signature, sizeof(signature), "%.64s", at + 13);
		(void)snprintf(body, sizeof(body), table[i].format, signature, token);
		p.post.body = str_of(body);
		assert_check(p.verifier, &p.post, table[i].check);
		signature_free(p.verifier);
	}
}

static void
the_signature_is_found_among_the_parts_of_a_multipart_body(void **state)
{
#define PART(name, value) "\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define PARTS PART("token", "%2$s") "--b" PART("timestamp", "1700000000") "--b" \
	PART("signature", "%1$s") "--b--\r\n"
#define MULTIPART "multipart/form-data; boundary="
	static const struct { const char *type, *format, *check; } table[] = {
		{ MULTIPART "b", "--b" PARTS, "" },
		{ MULTIPART "\"b\"; charset=x", "preamble\r\n--b" PARTS "epilogue", "" },
		{ "Multipart/Form-Data;Boundary=b", "--b" PART("a", "name=\"token\"") "--b" PARTS, "" },
		{ MULTIPART "b", "--b\r\nContent-Disposition: form-data; filename=\"token\"\r\n\r\nx\r\n--b"
		    PARTS, "" },
		{ MULTIPART "c", "--b" PARTS, "signature_missing" },
		{ MULTIPART, "--b" PARTS, "signature_missing" },
		{ "multipart/mixed; boundary=b", "--b" PARTS, "signature_missing" },
		{ MULTIPART "b", "--b" PART("signature", "%1$s") "--b" PART("timestamp", "1") "--b--",
		    "token_missing" },
		{ MULTIPART "b", "--b" PART("signature", "%1$s"), "signature_missing" },
		{ MULTIPART "b", "--b\r\n name=\"signature\"\r\n--b--", "signature_missing" },
		{ MULTIPART "b", "--b", "signature_missing" },
		{ MULTIPART "b", "", "signature_missing" },
	};
	struct signed_post p;
	char signature[65], body[1000];
	const char *at;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		sign(&(struct sample){ SIGNATURE_MAILGUN, "k", NULL, JSON_TYPE, "{}", 0, 0 }, &p);
		at = strstr(p.body, "\"signature\":\"");
		assert_non_null(at);
		(void)snprintf(signature, sizeof(signature), "%.64s", at + 13);
		(void)snprintf(body, sizeof(body), table[i].format, signature, token);
		p.post.type = table[i].type;
		p.post.body = str_of(body);
		assert_check(p.verifier, &p.post, table[i].check);
		signature_free(p.verifier);
	}
}

static void
the_latest_tokens_are_remembered_and_the_oldest_forgotten(void **state)
{
	struct used_tokens *u = used_tokens_new();
	char text[16];

	(void)state;
	assert_non_null(u);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 65537; i++) {
			(void)snprintf(text, sizeof(text), "%d-%d", round, i);
			assert_true(used_tokens_take(u, str_of(text), STR("a")));
			assert_false(used_tokens_take(u, str_of(text), STR("b")));
		}
	assert_false(used_tokens_take(u, STR("1-1"), STR("b")));
	/* One more than it holds pushed it out. */
	assert_true(used_tokens_take(u, STR("1-0"), STR("b")));
	assert_true(used_tokens_take(u, STR("0-65536"), STR("b")));
	used_tokens_free(u);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_tools_have_published_verifies),
		cmocka_unit_test(every_vector_of_the_corpus_is_judged_as_it_says),
		cmocka_unit_test(what_we_sign_verifies_twice),
		cmocka_unit_test(one_flipped_bit_in_body_url_or_header_is_refused),
		cmocka_unit_test(one_flipped_bit_in_the_key_is_refused),
		cmocka_unit_test(a_missing_doubled_or_truncated_header_is_refused),
		cmocka_unit_test(the_signature_of_one_tool_is_none_of_another),
		cmocka_unit_test(each_window_has_its_length_to_both_sides),
		cmocka_unit_test(a_window_of_ones_own_replaces_the_schemes),
		cmocka_unit_test(any_signature_of_a_list_is_enough),
		cmocka_unit_test(shared_secrets_and_public_keys_may_stand_in_one_list),
		cmocka_unit_test(a_secret_that_cannot_be_the_schemes_is_a_config_error),
		cmocka_unit_test(twilio_may_have_signed_any_of_four_urls),
		cmocka_unit_test(twilios_body_has_to_be_covered),
		cmocka_unit_test(a_form_of_too_many_fields_is_not_sorted),
		cmocka_unit_test(hubspot_signs_its_url_with_some_escapes_undone_or_as_it_is),
		cmocka_unit_test(a_token_of_mailgun_is_good_for_one_body),
		cmocka_unit_test(the_signature_in_a_body_is_found_or_named),
		cmocka_unit_test(the_signature_is_found_among_the_parts_of_a_multipart_body),
		cmocka_unit_test(the_latest_tokens_are_remembered_and_the_oldest_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
