/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let in and who is not, scheme by scheme. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "tests/unit/signed_request.h"

#define BODY "{\"kind\":\"call\"}"
#define KEY "correct horse"

static const int64_t now_us = 1700000000 * (int64_t)1000000;
static const struct str one_key[] = { { KEY, sizeof(KEY) - 1 } };

static struct signature_conf
hmac_conf(void)
{
	return (struct signature_conf){
		.scheme = SIGNATURE_HMAC_SHA256, .header = STR("X-Sig"),
		.prefix = STR("sha256="), .secrets = one_key, .nsecrets = 1,
	};
}

static struct signature *
make(const struct signature_conf *conf)
{
	struct err err;
	struct signature *s = signature_new(conf, &err);

	if (s == NULL)
		fail_msg("%s", err.text);
	return s;
}

/* "" when the request is let in, else the check that failed. */
static const char *
check_full(struct signature *s, const char *headers, struct str body, struct str path_token)
{
	const struct signature_request r = { .body = body, .path_token = path_token,
	    .now_us = now_us };
	char text[4096];
	int n = snprintf(text, sizeof(text), "POST /in/x HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);

	assert_in_range(n, 1, sizeof(text) - 1);
	return check_request(s, text, r);
}

static const char *
check(struct signature *s, const char *headers)
{
	return check_full(s, headers, STR(BODY), STR_NONE);
}

/* Hex of HMAC(key, text), computed in one shot by OpenSSL. */
static void
sign(char hex[2 * EVP_MAX_MD_SIZE + 1], const char *digest, struct str key, struct str text)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t n;

	assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, digest, NULL, key.p, key.n,
	    (const unsigned char *)text.p, text.n, mac, sizeof(mac), &n));
	for (size_t i = 0; i < n; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", mac[i]);
}

/* ---- hmac ---- */

static char aa[131], x0b[20];

static void
published_vectors_verify_and_do_so_again(void **state)
{
	const struct {
		enum signature_scheme	 scheme;
		struct str		 key, body;
		const char		*hex;
	} table[] = {
		/* RFC 2202 3, cases 1, 2, 6 */
		{ SIGNATURE_HMAC_SHA1, { x0b, 20 }, STR("Hi There"),
		    "b617318655057264e28bc0b6fb378c8ef146be00" },
		{ SIGNATURE_HMAC_SHA1, STR("Jefe"), STR("what do ya want for nothing?"),
		    "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79" },
		{ SIGNATURE_HMAC_SHA1, { aa, 80 },
		    STR("Test Using Larger Than Block-Size Key - Hash Key First"),
		    "aa4ae5e15272d00e95705637ce8a3b55ed402112" },
		/* RFC 4231 4.2, 4.3, 4.7 */
		{ SIGNATURE_HMAC_SHA256, { x0b, 20 }, STR("Hi There"),
		    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ SIGNATURE_HMAC_SHA256, STR("Jefe"), STR("what do ya want for nothing?"),
		    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
		{ SIGNATURE_HMAC_SHA256, { aa, 131 },
		    STR("Test Using Larger Than Block-Size Key - Hash Key First"),
		    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
		{ SIGNATURE_HMAC_SHA512, { x0b, 20 }, STR("Hi There"),
		    "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
		    "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854" },
		{ SIGNATURE_HMAC_SHA512, STR("Jefe"), STR("what do ya want for nothing?"),
		    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
		    "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737" },
		{ SIGNATURE_HMAC_SHA512, { aa, 131 },
		    STR("Test Using Larger Than Block-Size Key - Hash Key First"),
		    "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
		    "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598" },
		/* GitHub's documentation of X-Hub-Signature-256 */
		{ SIGNATURE_HMAC_SHA256, STR("It's a Secret to Everybody"), STR("Hello, World!"),
		    "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" },
	};

	(void)state;
	memset(aa, 0xaa, sizeof(aa));
	memset(x0b, 0x0b, sizeof(x0b));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct signature_conf conf = { .scheme = table[i].scheme,
		    .header = STR("X-Sig"), .secrets = &table[i].key, .nsecrets = 1 };
		struct signature *s = make(&conf);
		char header[200];

		(void)snprintf(header, sizeof(header), "X-Sig: %s\r\n", table[i].hex);
		/* The context is used again, also after a body that did not fit. */
		assert_string_equal(check_full(s, header, table[i].body, STR_NONE), "");
		assert_string_equal(check_full(s, header, STR("no"), STR_NONE), "signature");
		assert_string_equal(check_full(s, header, table[i].body, STR_NONE), "");
		signature_free(s);
	}
}

static void
each_flipped_bit_of_body_key_or_digest_is_a_bad_signature(void **state)
{
	struct signature_conf conf = hmac_conf();
	struct signature *s = make(&conf);
	char hex[2 * EVP_MAX_MD_SIZE + 1], header[200], body[] = BODY, key[] = KEY;

	(void)state;
	sign(hex, "SHA256", STR(KEY), STR(BODY));
	(void)snprintf(header, sizeof(header), "X-Sig: sha256=%s\r\n", hex);
	assert_string_equal(check(s, header), "");
	for (size_t bit = 0; bit < 8 * strlen(BODY); bit++) {
		body[bit / 8] = (char)(body[bit / 8] ^ 1 << bit % 8);
		assert_string_equal(check_full(s, header, str_of(BODY), STR_NONE), "");
		assert_string_equal(check_full(s, header, (struct str){ body, strlen(BODY) },
		    STR_NONE), "signature");
		body[bit / 8] = (char)(body[bit / 8] ^ 1 << bit % 8);
	}
	for (size_t digit = 0; digit < 64; digit++) {
		char *at = strchr(header, '=') + 1 + digit, was = *at;

		*at = was == '0' ? '1' : '0';
		assert_string_equal(check(s, header), "signature");
		*at = was;
	}
	signature_free(s);
	for (size_t bit = 0; bit < 8 * strlen(KEY); bit++) {
		const struct str wrong = { key, strlen(KEY) };

		key[bit / 8] = (char)(key[bit / 8] ^ 1 << bit % 8);
		conf.secrets = &wrong;
		s = make(&conf);
		assert_string_equal(check(s, header), "signature");
		signature_free(s);
		key[bit / 8] = (char)(key[bit / 8] ^ 1 << bit % 8);
	}
}

static void
a_signature_that_is_not_one_is_named(void **state)
{
	struct signature_conf conf = hmac_conf();
	struct signature *s = make(&conf);
	char hex[2 * EVP_MAX_MD_SIZE + 1], upper[2 * EVP_MAX_MD_SIZE + 1], text[500];

	(void)state;
	sign(hex, "SHA256", STR(KEY), STR(BODY));
	for (size_t i = 0; i <= strlen(hex); i++)
		upper[i] = hex[i] >= 'a' ? (char)(hex[i] - 32) : hex[i];
	const struct { const char *format, *hex, *check; } table[] = {
		{ "X-Sig: sha256=%s\r\n", hex, "" },
		{ "x-sIG:   sha256=%s  \r\n", hex, "" },
		{ "X-Sig: sha256=%s\r\n", upper, "" },
		{ "X-Other: sha256=%s\r\n", hex, "header_missing" },
		{ "X-Sig: sha256=%s\r\nX-Sig: sha256=00\r\n", hex, "header_repeated" },
		{ "X-Sig: 00\r\nX-Sig: sha256=%s\r\n", hex, "header_repeated" },
		{ "X-Sig: %s\r\n", hex, "prefix" },
		{ "X-Sig: SHA256=%s\r\n", hex, "prefix" },
		{ "X-Sig: sha1=%s\r\n", hex, "prefix" },
		{ "X-Sig:%s\r\n", "", "prefix" },
		{ "X-Sig: sha256=%s\r\n", "", "encoding" },
		{ "X-Sig: sha256=%.63s\r\n", hex, "encoding" },
		{ "X-Sig: sha256=%.62s\r\n", hex, "encoding" },
		{ "X-Sig: sha256=%s0\r\n", hex, "encoding" },
		{ "X-Sig: sha256=%s00\r\n", hex, "encoding" },
		{ "X-Sig: sha256= %s\r\n", hex, "encoding" },
		{ "X-Sig: sha256=0x%.62s\r\n", hex, "encoding" },
		{ "X-Sig: sha256=%.62s +\r\n", hex, "encoding" },
		{ "X-Sig: sha256=%.63sg\r\n", hex, "encoding" },
		{ "X-Sig: sha256=%s, sha256=00\r\n", hex, "encoding" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		(void)snprintf(text, sizeof(text), table[i].format, table[i].hex);
		if (strcmp(check(s, text), table[i].check) != 0)
			fail_msg("%s: %s, not %s", text, check(s, text), table[i].check);
	}
	signature_free(s);
}

static void
base64_is_taken_in_its_one_spelling_only(void **state)
{
	/* HMAC-SHA1("key", "The quick brown fox jumps over the lazy dog") */
	static const struct { const char *text, *check; } table[] = {
		{ "3nybhbi3iqa8ino29wqQcBydtNk=", "" },
		{ "3nybhbi3iqa8ino29wqQcBydtNk", "encoding" },		/* no padding */
		{ "3nybhbi3iqa8ino29wqQcBydtNl=", "encoding" },		/* bits left over */
		{ "3nybhbi3iqa8ino29wqQcBydtNk==", "encoding" },
		{ "3nybhbi3iqa8ino29wqQcBydtA==", "encoding" },		/* 19 bytes */
		{ "3nybhbi3iqa8ino29wqQcBydtNkA", "encoding" },		/* 21 bytes */
		{ "3nybhbi3iqa8ino29wqQ cBydtNk=", "encoding" },
		{ "3nybhbi3iqa8ino2-wqQcBydtNk=", "encoding" },		/* the URL alphabet */
		{ "3nyb=bi3iqa8ino29wqQcBydtNk=", "encoding" },
		{ "de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9", "encoding" },
		{ "3nybhbi3iqa8ino29wqQcBydtNg=", "signature" },
		{ "====", "encoding" },
		{ "", "encoding" },
	};
	const struct str key = STR("key");
	struct signature_conf conf = { .scheme = SIGNATURE_HMAC_SHA1,
	    .encoding = SIGNATURE_BASE64, .header = STR("X-Sig"),
	    .secrets = &key, .nsecrets = 1 };
	struct signature *s = make(&conf);

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char header[100];
		const char *got;

		(void)snprintf(header, sizeof(header), "X-Sig: %s\r\n", table[i].text);
		got = check_full(s, header, STR("The quick brown fox jumps over the lazy dog"),
		    STR_NONE);
		if (strcmp(got, table[i].check) != 0)
			fail_msg("%s: %s, not %s", table[i].text, got, table[i].check);
	}
	signature_free(s);
}

static void
every_secret_of_the_list_verifies(void **state)
{
	const struct str keys[] = { STR("new"), STR("old"), STR("older") };
	struct signature_conf conf = hmac_conf();
	char hex[2 * EVP_MAX_MD_SIZE + 1], header[200];
	struct signature *s;

	(void)state;
	conf.secrets = keys;
	conf.nsecrets = 3;
	s = make(&conf);
	for (size_t i = 0; i < 4; i++) {
		sign(hex, "SHA256", i < 3 ? keys[i] : STR("other"), STR(BODY));
		(void)snprintf(header, sizeof(header), "X-Sig: sha256=%s\r\n", hex);
		assert_string_equal(check(s, header), i < 3 ? "" : "signature");
	}
	signature_free(s);
}

/* What a request with this timestamp, signed with `signed_as`, comes to. */
static const char *
check_at(struct signature *s, const char *timestamp, const char *signed_as)
{
	char hex[2 * EVP_MAX_MD_SIZE + 1], text[200], headers[400];

	(void)snprintf(text, sizeof(text), "%s." BODY, signed_as);
	sign(hex, "SHA256", STR(KEY), str_of(text));
	(void)snprintf(headers, sizeof(headers), "X-Time: %s\r\nX-Sig: sha256=%s\r\n",
	    timestamp, hex);
	return check(s, headers);
}

static void
a_timestamp_is_signed_and_has_a_window_to_both_sides(void **state)
{
	static const struct { const char *timestamp, *check; } table[] = {
		{ "1700000000", "" }, { "1699999700", "" }, { "1700000300", "" },
		{ "1699999699", "window" }, { "1700000301", "window" },
		{ "1699999700000", "" }, { "1700000300000", "" },
		{ "1699999699999", "window" }, { "1700000300001", "window" },
		{ "0", "window" }, { "99999999999", "window" }, { "100000000000", "window" },
		{ "1700000000x", "timestamp" }, { "-1700000000", "timestamp" },
		{ "+1700000000", "timestamp" }, { "1.7e9", "timestamp" },
		{ "99999999999999999999", "timestamp" }, { "9223372036854775807", "timestamp" },
		{ "9223372036854775", "window" }, { "", "timestamp" },
	};
	struct signature_conf conf = hmac_conf();
	struct signature *s;

	(void)state;
	conf.timestamp_header = STR("X-Time");
	conf.window_ms = 300000;
	s = make(&conf);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *got = check_at(s, table[i].timestamp, table[i].timestamp);

		if (strcmp(got, table[i].check) != 0)
			fail_msg("%s: %s, not %s", table[i].timestamp, got, table[i].check);
	}
	assert_string_equal(check_at(s, "1700000001", "1700000000"), "signature");
	assert_string_equal(check_at(s, "1700000000000", "1700000000"), "signature");
	assert_string_equal(check_at(s, "1700000000\r\nX-Time: 1700000000", "1700000000"),
	    "timestamp_repeated");
	signature_free(s);
}

static void
a_missing_timestamp_is_not_the_same_as_none_configured(void **state)
{
	struct signature_conf conf = hmac_conf();
	char hex[2 * EVP_MAX_MD_SIZE + 1], header[200];
	struct signature *s;

	(void)state;
	conf.timestamp_header = STR("X-Time");
	conf.window_ms = 300000;
	s = make(&conf);
	sign(hex, "SHA256", STR(KEY), STR(BODY));
	(void)snprintf(header, sizeof(header), "X-Sig: sha256=%s\r\n", hex);
	assert_string_equal(check(s, header), "timestamp_missing");
	signature_free(s);
}

/* ---- the others ---- */

struct row {
	const char	*headers;
	const char	*check;
};

static void
assert_rows(struct signature *s, const struct row *row, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *got = check(s, row[i].headers);

		if (strcmp(got, row[i].check) != 0)
			fail_msg("%s: %s, not %s", row[i].headers, got, row[i].check);
	}
}

static void
bearer_takes_the_secret_whatever_the_case_of_its_name(void **state)
{
	static const struct row rows[] = {
		{ "Authorization: Bearer " KEY "\r\n", "" },
		{ "authorization: BEARER   " KEY "\r\n", "" },
		{ "Authorization: Bearer second\r\n", "" },
		{ "", "header_missing" },
		{ "Authorization: Bearer " KEY "\r\nAuthorization: Bearer " KEY "\r\n",
		    "header_repeated" },
		{ "Authorization: Basic " KEY "\r\n", "prefix" },
		{ "Authorization: Bearer" KEY "\r\n", "prefix" },
		{ "Authorization:\r\n", "prefix" },
		{ "Authorization: Bearer\r\n", "token" },
		{ "Authorization: Bearer " KEY "x\r\n", "token" },
		{ "Authorization: Bearer correct hors\r\n", "token" },
		{ "Authorization: Bearer Correct horse\r\n", "token" },
		{ "Authorization: Bearer correct  horse\r\n", "token" },
	};
	const struct str keys[] = { one_key[0], STR("second") };
	struct signature_conf conf = { .scheme = SIGNATURE_BEARER, .secrets = keys,
	    .nsecrets = 2 };
	struct signature *s = make(&conf);

	(void)state;
	assert_rows(s, rows, sizeof(rows) / sizeof(rows[0]));
	assert_string_equal(signature_challenge(s), "Bearer");
	assert_true(signature_reads(s, STR("authorization")));
	assert_false(signature_reads(s, STR("X-Token")));
	signature_free(s);
}

static void
basic_takes_user_and_secret_with_colons_in_the_secret(void **state)
{
	static const struct row rows[] = {
		{ "Authorization: Basic c2hvcDphOmI=\r\n", "" },	/* shop:a:b */
		{ "Authorization: bAsIc c2hvcDphOmI=\r\n", "" },
		{ "", "header_missing" },
		{ "Authorization: Basic c2hvcDphOmI=\r\nAuthorization: x\r\n", "header_repeated" },
		{ "Authorization: Bearer c2hvcDphOmI=\r\n", "prefix" },
		{ "Authorization: Basic\r\n", "encoding" },
		{ "Authorization: Basic c2hvcDphOmI\r\n", "encoding" },
		{ "Authorization: Basic shop:a:b\r\n", "encoding" },
		{ "Authorization: Basic c2hvcA==\r\n", "encoding" },	/* shop */
		{ "Authorization: Basic c2hvcDo=\r\n", "token" },	/* shop: */
		{ "Authorization: Basic c2hvcDphOmJj\r\n", "token" },	/* shop:a:bc */
		{ "Authorization: Basic U2hvcDphOmI=\r\n", "user" },	/* Shop:a:b */
		{ "Authorization: Basic OmE6Yg==\r\n", "user" },	/* :a:b */
	};
	const struct str key = STR("a:b");
	struct signature_conf conf = { .scheme = SIGNATURE_BASIC, .user = STR("shop"),
	    .secrets = &key, .nsecrets = 1 };
	struct signature *s = make(&conf);

	(void)state;
	assert_rows(s, rows, sizeof(rows) / sizeof(rows[0]));
	assert_string_equal(signature_challenge(s), "Basic realm=\"touchlog\"");
	signature_free(s);
}

static void
token_is_in_its_header_or_behind_the_path(void **state)
{
	static const struct row rows[] = {
		{ "X-Token: " KEY "\r\n", "" },
		{ "", "header_missing" },
		{ "X-Token: " KEY "\r\nX-Token: " KEY "\r\n", "header_repeated" },
		{ "X-Token: no\r\n", "token" },
		{ "X-Token:\r\n", "token" },
	};
	struct signature_conf conf = { .scheme = SIGNATURE_TOKEN, .header = STR("X-Token"),
	    .secrets = one_key, .nsecrets = 1 };
	struct signature *s = make(&conf);

	(void)state;
	assert_rows(s, rows, sizeof(rows) / sizeof(rows[0]));
	assert_true(signature_reads(s, STR("x-token")));
	assert_false(signature_reads(s, STR("Authorization")));
	/* What stands in the path does not help when a header is asked for. */
	assert_string_equal(check_full(s, "", STR(BODY), STR(KEY)), "header_missing");
	signature_free(s);
	conf.header = STR_NONE;
	s = make(&conf);
	assert_string_equal(check_full(s, "", STR(BODY), STR(KEY)), "");
	assert_string_equal(check_full(s, "", STR(BODY), STR("no")), "token");
	assert_string_equal(check_full(s, "", STR(BODY), STR("")), "token");
	assert_string_equal(check_full(s, "X-Token: " KEY "\r\n", STR(BODY), STR_NONE),
	    "token_missing");
	assert_null(signature_challenge(s));
	signature_free(s);
}

static void
none_lets_everybody_in(void **state)
{
	struct signature_conf conf = { .scheme = SIGNATURE_NONE };
	struct signature *s = make(&conf);

	(void)state;
	assert_string_equal(check(s, ""), "");
	signature_free(s);
}

static void
settings_that_do_not_fit_the_scheme_are_refused(void **state)
{
	static const struct str empty[] = { { KEY, sizeof(KEY) - 1 }, { "", 0 } };
	const struct { struct signature_conf conf; const char *text; } table[] = {
		{ { .scheme = SIGNATURE_NONE, .secrets = one_key, .nsecrets = 1 },
		    "verify: none has no use for secret" },
		{ { .scheme = SIGNATURE_BEARER }, "verify: bearer needs secret" },
		{ { .scheme = SIGNATURE_BEARER, .header = STR("X"), .secrets = one_key,
		    .nsecrets = 1 }, "verify: bearer has no use for header" },
		{ { .scheme = SIGNATURE_BASIC, .secrets = one_key, .nsecrets = 1 },
		    "verify: basic needs user" },
		{ { .scheme = SIGNATURE_BASIC, .user = STR("a:b"), .secrets = one_key,
		    .nsecrets = 1 }, "user: it cannot hold a colon" },
		{ { .scheme = SIGNATURE_TOKEN, .prefix = STR("x"), .secrets = one_key,
		    .nsecrets = 1 }, "verify: token has no use for prefix" },
		{ { .scheme = SIGNATURE_HMAC_SHA1, .header = STR("X") },
		    "verify: hmac-sha1 needs secret" },
		{ { .scheme = SIGNATURE_HMAC_SHA512, .secrets = one_key, .nsecrets = 1 },
		    "verify: hmac-sha512 needs header" },
		{ { .scheme = SIGNATURE_HMAC_SHA256, .header = STR("X"), .secrets = empty,
		    .nsecrets = 2 }, "secret: it is empty" },
		{ { .scheme = SIGNATURE_HMAC_SHA256, .header = STR("X"), .secrets = one_key,
		    .nsecrets = 1, .timestamp_header = STR("T"), .window_ms = -1 },
		    "window: it is out of range" },
		{ { .scheme = SIGNATURE_BEARER, .window_ms = 1000, .secrets = one_key,
		    .nsecrets = 1 }, "verify: bearer has no use for window" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct err err;

		assert_null(signature_new(&table[i].conf, &err));
		assert_int_equal(err.kind, ERR_CONFIG);
		assert_string_equal(err.text, table[i].text);
	}
	signature_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors_verify_and_do_so_again),
		cmocka_unit_test(each_flipped_bit_of_body_key_or_digest_is_a_bad_signature),
		cmocka_unit_test(a_signature_that_is_not_one_is_named),
		cmocka_unit_test(base64_is_taken_in_its_one_spelling_only),
		cmocka_unit_test(every_secret_of_the_list_verifies),
		cmocka_unit_test(a_timestamp_is_signed_and_has_a_window_to_both_sides),
		cmocka_unit_test(a_missing_timestamp_is_not_the_same_as_none_configured),
		cmocka_unit_test(bearer_takes_the_secret_whatever_the_case_of_its_name),
		cmocka_unit_test(basic_takes_user_and_secret_with_colons_in_the_secret),
		cmocka_unit_test(token_is_in_its_header_or_behind_the_path),
		cmocka_unit_test(none_lets_everybody_in),
		cmocka_unit_test(settings_that_do_not_fit_the_scheme_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
