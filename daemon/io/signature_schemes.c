/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schemes: how everybody, and how some tools, prove who they are.  A tool that signs
 * in a way of its own is a row here, or two; INTERFACES of the tools, and vectors that
 * were checked against them, are in tests/unit/test_schemes.c.
 */
#include "io/signature_internal.h"

const char *const signature_encodings[] = { "hex", "base64", NULL };

const char *const signature_schemes[SIGNATURE_NSCHEMES + 1] = {
	[SIGNATURE_NONE]		= "none",
	[SIGNATURE_BEARER]		= "bearer",
	[SIGNATURE_BASIC]		= "basic",
	[SIGNATURE_TOKEN]		= "token",
	[SIGNATURE_HMAC_SHA1]		= "hmac-sha1",
	[SIGNATURE_HMAC_SHA256]		= "hmac-sha256",
	[SIGNATURE_HMAC_SHA512]		= "hmac-sha512",
	[SIGNATURE_STANDARD_WEBHOOKS]	= "standard-webhooks",
	[SIGNATURE_STRIPE]		= "stripe",
	[SIGNATURE_GITHUB]		= "github",
	[SIGNATURE_SLACK]		= "slack",
	[SIGNATURE_TWILIO]		= "twilio",
	[SIGNATURE_SENDGRID]		= "sendgrid",
	[SIGNATURE_MAILGUN]		= "mailgun",
	[SIGNATURE_HUBSPOT]		= "hubspot",
	[SIGNATURE_TYPEFORM]		= "typeform",
	[SIGNATURE_CALENDLY]		= "calendly",
	[SIGNATURE_META]		= "meta",
	[SIGNATURE_SHOPIFY]		= "shopify",
	[SIGNATURE_MANDRILL]		= "mandrill",
	[SIGNATURE_AMAZON_SNS]		= "amazon-sns",
};

/* ---- how tools sign ---- */

#define S(text) { "" text, sizeof(text) - 1 }

/* Svix sends its own names for the same; its library looks for these first. */
static const struct form standard[] = {
	{ .header = S("svix-signature"), .listing = LIST_WORDS,
	    .label = { { "v1", KEY_HMAC }, { "v1a", KEY_ED25519 } },
	    .encoding = SIGNATURE_BASE64, .text = "%i.%t.%b",
	    .timestamp_header = S("svix-timestamp"), .id_header = S("svix-id") },
	{ .header = S("webhook-signature"), .listing = LIST_WORDS,
	    .label = { { "v1", KEY_HMAC }, { "v1a", KEY_ED25519 } },
	    .encoding = SIGNATURE_BASE64, .text = "%i.%t.%b",
	    .timestamp_header = S("webhook-timestamp"), .id_header = S("webhook-id") },
};

/* The secret is the text with its whsec_, unlike the one above. */
static const struct form stripe[] = {
	{ .header = S("Stripe-Signature"), .listing = LIST_PAIRS,
	    .label = { { "v1", KEY_HMAC } }, .text = "%t.%b" },
};

/* There is an older X-Hub-Signature with SHA-1 beside it. */
static const struct form hub[] = {
	{ .header = S("X-Hub-Signature-256"), .label = { { "sha256=", KEY_HMAC } },
	    .text = "%b" },
};

static const struct form slack[] = {
	{ .header = S("X-Slack-Signature"), .label = { { "v0=", KEY_HMAC } },
	    .text = "v0:%t:%b", .timestamp_header = S("X-Slack-Request-Timestamp") },
};

static const struct form twilio[] = {
	{ .header = S("X-Twilio-Signature"), .label = { { "", KEY_HMAC } },
	    .encoding = SIGNATURE_BASE64, .text = "%u%p", .urls = URL_TWILIO,
	    .hash_param = S("bodySHA256") },
};

static const struct form sendgrid[] = {
	{ .header = S("X-Twilio-Email-Event-Webhook-Signature"),
	    .label = { { "", KEY_ECDSA } }, .encoding = SIGNATURE_BASE64, .text = "%t%b",
	    .timestamp_header = S("X-Twilio-Email-Event-Webhook-Timestamp") },
};

/* The event itself is not signed: hence the token's one body. */
static const struct form mailgun[] = {
	{ .listing = LIST_BODY, .label = { { "", KEY_HMAC } }, .text = "%t%k",
	    .is_once = true },
};

/* Whoever can leave out the header of version 3 can fall back to version 1, which some
 * of its subscriptions still are; what version 1 lacks is the timestamp. */
static const struct form hubspot[] = {
	{ .header = S("X-HubSpot-Signature-v3"), .label = { { "", KEY_HMAC } },
	    .encoding = SIGNATURE_BASE64, .text = "%m%u%b%t", .urls = URL_HUBSPOT,
	    .timestamp_header = S("X-HubSpot-Request-Timestamp") },
	{ .header = S("X-HubSpot-Signature"), .only_header = S("X-HubSpot-Signature-Version"),
	    .only_value = S("v2"), .label = { { "", KEY_DIGEST } }, .text = "%m%u%b",
	    .urls = URL_HUBSPOT },
	{ .header = S("X-HubSpot-Signature"), .label = { { "", KEY_DIGEST } }, .text = "%b" },
};

static const struct form typeform[] = {
	{ .header = S("Typeform-Signature"), .label = { { "sha256=", KEY_HMAC } },
	    .encoding = SIGNATURE_BASE64, .text = "%b" },
};

static const struct form calendly[] = {
	{ .header = S("Calendly-Webhook-Signature"), .listing = LIST_PAIRS,
	    .label = { { "v1", KEY_HMAC } }, .text = "%t.%b" },
};

static const struct form shopify[] = {
	{ .header = S("X-Shopify-Hmac-Sha256"), .label = { { "", KEY_HMAC } },
	    .encoding = SIGNATURE_BASE64, .text = "%b" },
};

static const struct form mandrill[] = {
	{ .header = S("X-Mandrill-Signature"), .label = { { "", KEY_HMAC } },
	    .encoding = SIGNATURE_BASE64, .text = "%u%p" },
};

/* ---- all schemes ---- */

enum {
	MINUTE_MS	= 60 * 1000,
	HOUR_MS		= 60 * MINUTE_MS,
	HMAC_NEEDS	= GIVEN_HEADER | GIVEN_SECRET,
	HMAC_TAKES	= HMAC_NEEDS | GIVEN_PREFIX | GIVEN_TIMESTAMP | GIVEN_WINDOW,
	TIMED		= GIVEN_SECRET | GIVEN_WINDOW,
};

#define FORMS(rows) .forms = rows, .nforms = sizeof(rows) / sizeof(rows[0]),	\
	.verify = verify_signed, .sign = sign_text
#define HMAC(name, len) .kinds = 1 << KEY_HMAC, .digest = name, .digest_len = len

/* The window of those whose documentation does not say that a retry is signed anew is as
 * long as they retry: a late event lost is worse than a replay, which is a duplicate. */
const struct scheme schemes[SIGNATURE_NSCHEMES] = {
	[SIGNATURE_NONE] = { .verify = verify_none, .sign = sign_none },
	[SIGNATURE_BEARER] = { .verify = verify_bearer, .sign = sign_bearer,
	    .challenge = "Bearer", .kinds = 1 << KEY_SUM,
	    .needs = GIVEN_SECRET, .takes = GIVEN_SECRET },
	[SIGNATURE_BASIC] = { .verify = verify_basic, .sign = sign_basic,
	    .challenge = "Basic realm=\"touchlog\"", .kinds = 1 << KEY_SUM,
	    .needs = GIVEN_USER | GIVEN_SECRET, .takes = GIVEN_USER | GIVEN_SECRET },
	[SIGNATURE_TOKEN] = { .verify = verify_token, .sign = sign_token, .kinds = 1 << KEY_SUM,
	    .needs = GIVEN_SECRET, .takes = GIVEN_SECRET | GIVEN_HEADER },
	[SIGNATURE_HMAC_SHA1] = { HMAC("SHA1", 20), .verify = verify_signed, .sign = sign_text,
	    .needs = HMAC_NEEDS, .takes = HMAC_TAKES, .window_ms = 5 * MINUTE_MS },
	[SIGNATURE_HMAC_SHA256] = { HMAC("SHA256", 32), .verify = verify_signed,
	    .sign = sign_text,
	    .needs = HMAC_NEEDS, .takes = HMAC_TAKES, .window_ms = 5 * MINUTE_MS },
	[SIGNATURE_HMAC_SHA512] = { HMAC("SHA512", 64), .verify = verify_signed,
	    .sign = sign_text,
	    .needs = HMAC_NEEDS, .takes = HMAC_TAKES, .window_ms = 5 * MINUTE_MS },
	[SIGNATURE_STANDARD_WEBHOOKS] = { FORMS(standard), HMAC("SHA256", 32),
	    .secret = SECRET_STANDARD, .signs = &standard[1],
	    .needs = GIVEN_SECRET, .takes = TIMED, .window_ms = 5 * MINUTE_MS },
	[SIGNATURE_STRIPE] = { FORMS(stripe), HMAC("SHA256", 32),
	    .needs = GIVEN_SECRET, .takes = TIMED, .window_ms = 5 * MINUTE_MS },
	[SIGNATURE_GITHUB] = { FORMS(hub), HMAC("SHA256", 32),
	    .needs = GIVEN_SECRET, .takes = GIVEN_SECRET },
	[SIGNATURE_SLACK] = { FORMS(slack), HMAC("SHA256", 32),
	    .needs = GIVEN_SECRET, .takes = TIMED, .window_ms = 5 * MINUTE_MS },
	[SIGNATURE_TWILIO] = { FORMS(twilio), HMAC("SHA1", 20),
	    .needs = GIVEN_SECRET, .takes = GIVEN_SECRET },
	[SIGNATURE_SENDGRID] = { FORMS(sendgrid), .secret = SECRET_DER,
	    .needs = GIVEN_SECRET, .takes = TIMED, .window_ms = 25 * HOUR_MS },
	[SIGNATURE_MAILGUN] = { FORMS(mailgun), HMAC("SHA256", 32),
	    .needs = GIVEN_SECRET, .takes = TIMED, .window_ms = 9 * HOUR_MS },
	[SIGNATURE_HUBSPOT] = { FORMS(hubspot), .digest = "SHA256", .digest_len = 32,
	    .kinds = 1 << KEY_HMAC | 1 << KEY_DIGEST, .signs = &hubspot[0],
	    .needs = GIVEN_SECRET, .takes = TIMED, .window_ms = 5 * MINUTE_MS },
	[SIGNATURE_TYPEFORM] = { FORMS(typeform), HMAC("SHA256", 32),
	    .needs = GIVEN_SECRET, .takes = GIVEN_SECRET },
	[SIGNATURE_CALENDLY] = { FORMS(calendly), HMAC("SHA256", 32),
	    .needs = GIVEN_SECRET, .takes = TIMED, .window_ms = 3 * MINUTE_MS },
	[SIGNATURE_META] = { FORMS(hub), HMAC("SHA256", 32),
	    .needs = GIVEN_SECRET, .takes = GIVEN_SECRET },
	[SIGNATURE_SHOPIFY] = { FORMS(shopify), HMAC("SHA256", 32),
	    .needs = GIVEN_SECRET, .takes = GIVEN_SECRET },
	[SIGNATURE_MANDRILL] = { FORMS(mandrill), HMAC("SHA1", 20),
	    .needs = GIVEN_SECRET, .takes = GIVEN_SECRET },
	/* It repeats for an hour. */
	[SIGNATURE_AMAZON_SNS] = { .verify = verify_sns, .sign = sign_sns, .needs = GIVEN_TOPIC,
	    .takes = GIVEN_TOPIC | GIVEN_HOSTS | GIVEN_CA | GIVEN_WINDOW,
	    .window_ms = 25 * HOUR_MS },
};
