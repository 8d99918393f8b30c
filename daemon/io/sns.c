/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of Amazon SNS.
 *
 * Anybody with an account can have SNS send signed messages to anybody: so it is the topic
 * that says who sends, and the signature that the topic is true.  The certificate is believed
 * because it came by verified TLS from the topic's own host and is Amazon SNS's by name; its
 * chain is verified as far as it is there.  (SNS hands out the leaf alone, whose issuer no
 * system has at hand; Amazon's own libraries compare names and dates.)
 */
#include "io/sns.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/encoding.h"
#include "base/json.h"
#include "model/when.h"

enum {
	CERTIFICATES_MAX	= 8,
	SIGNATURE_BYTES		= 1024,		/* an RSA key of 8,192 bits */
	KEY_MIN_BITS		= 2048,
	DOCUMENT_MAX_DEPTH	= 100,
	HOST_MAX_BYTES		= 255,
};

const char sns_certificate_unknown[] = "certificate_unknown";

/* A certificate that was believed. */
struct certificate {
	char		*url;		/* ours; NULL: a free place */
	EVP_PKEY	*key;		/* ours */
	int64_t		 until_us;
};

struct sns {
	struct arena		 arena;		/* holds the texts */
	struct str		*topics;
	size_t			 ntopics;
	struct str		*hosts;		/* of the settings; or none */
	size_t			 nhosts;
	int64_t			 window_us;
	struct certificate	 certificates[CERTIFICATES_MAX];
	size_t			 next;		/* the place of the next one */
};

/* ---- topics and hosts ---- */

/* "arn:PARTITION:sns:REGION:ACCOUNT:NAME" -> its host; false: it is none. */
static bool
host_of(struct arena *a, struct str topic, struct str *ret)
{
	struct str rest = topic, arn = str_cut(&rest, ':'), partition = str_cut(&rest, ':');
	struct str service = str_cut(&rest, ':'), region = str_cut(&rest, ':');
	struct str account = str_cut(&rest, ':');
	char host[HOST_MAX_BYTES];
	int n;

	if (!str_eq(arn, STR("arn")) || !str_starts(partition, STR("aws")) ||
	    !str_eq(service, STR("sns")) || region.n == 0 || account.n == 0 || rest.n == 0)
		return false;
	for (size_t i = 0; i < region.n; i++)
		if (!(region.p[i] >= 'a' && region.p[i] <= 'z') &&
		    !(region.p[i] >= '0' && region.p[i] <= '9') && region.p[i] != '-')
			return false;
	n = snprintf(host, sizeof(host), "sns.%.*s.amazonaws.com%s", STR_ARG(region),
	    str_eq(partition, STR("aws-cn")) ? ".cn" : "");
	if ((size_t)n >= sizeof(host))
		return false;
	*ret = arena_str(a, (struct str){ host, (size_t)n });
	return ret->p != NULL;
}

/* "https://HOST[:PORT]/PATH" -> what stands before and behind the slash. */
static bool
split_url(struct str url, struct str *ret_host, struct str *ret_path)
{
	static const struct str scheme = STR("https://");

	if (!str_starts(url, scheme))
		return false;
	for (size_t i = 0; i < url.n; i++)
		if (url.p[i] <= ' ' || url.p[i] > '~')
			return false;
	*ret_path = str_skip(url, scheme.n);
	*ret_host = str_cut(ret_path, '/');
	/* The whole of it without a slash has no path. */
	return ret_path->p > ret_host->p && ret_host->n > 0;
}

static bool
is_host_of_ours(const struct sns *s, struct str topic, struct str host)
{
	struct arena a = { 0 };
	struct str own;
	bool is_ours;

	for (size_t i = 0; i < s->nhosts; i++)
		if (str_eq_nocase(host, s->hosts[i]))
			return true;
	if (s->nhosts > 0)
		return false;
	is_ours = host_of(&a, topic, &own) && str_eq_nocase(host, own);
	arena_fini(&a);
	return is_ours;
}

/* "SimpleNotificationService-0123abcd.pem" */
static bool
is_certificate_name(struct str path)
{
	static const struct str head = STR("SimpleNotificationService-"), end = STR(".pem");

	if (!str_starts(path, head) || path.n <= head.n + end.n ||
	    !str_eq(str_skip(path, path.n - end.n), end))
		return false;
	for (size_t i = head.n; i < path.n - end.n; i++)
		if (str_hex_digit(path.p[i]) < 0)
			return false;
	return true;
}

static bool
is_certificate_url(const struct sns *s, const struct sns_message *m)
{
	struct str host, path;

	return split_url(m->certificate_url, &host, &path) &&
	    is_host_of_ours(s, m->topic, host) && is_certificate_name(path);
}

bool
sns_may_confirm(const struct sns *s, const struct sns_message *m)
{
	static const char action[] = "Action=ConfirmSubscription";
	struct str host, path;

	return m->type == SNS_SUBSCRIPTION && split_url(m->subscribe_url, &host, &path) &&
	    is_host_of_ours(s, m->topic, host) && str_starts(path, STR("?")) &&
	    memmem(path.p, path.n, action, sizeof(action) - 1) != NULL;
}

/* ---- the settings ---- */

static bool
copy_texts(struct arena *a, const struct str *from, size_t n, struct str **ret)
{
	*ret = arena_alloc(a, (n + 1) * sizeof(**ret));
	for (size_t i = 0; *ret != NULL && i < n; i++) {
		(*ret)[i] = arena_str(a, from[i]);
		if ((*ret)[i].p == NULL)
			return false;
	}
	return *ret != NULL;
}

struct sns *
sns_new(const struct sns_conf *conf, struct err *err)
{
	struct sns *s = calloc(1, sizeof(*s));
	struct str host;

	if (s == NULL || !copy_texts(&s->arena, conf->topics, conf->ntopics, &s->topics) ||
	    !copy_texts(&s->arena, conf->hosts, conf->nhosts, &s->hosts)) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		sns_free(s);
		return NULL;
	}
	s->ntopics = conf->ntopics;
	s->nhosts = conf->nhosts;
	s->window_us = conf->window_us;
	for (size_t i = 0; i < s->ntopics; i++)
		if (!host_of(&s->arena, s->topics[i], &host)) {
			(void)err_set(err, ERR_CONFIG, "topic: arn:aws:sns:REGION:ACCOUNT:NAME is "
			    "wanted");
			sns_free(s);
			return NULL;
		}
	return s;
}

static void
forget(struct certificate *c)
{
	free(c->url);
	EVP_PKEY_free(c->key);
	*c = (struct certificate){ .url = NULL };
}

void
sns_free(struct sns *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < CERTIFICATES_MAX; i++)
		forget(&s->certificates[i]);
	arena_fini(&s->arena);
	free(s);
}

/* ---- a message ---- */

static struct str
text_of(struct json_object *doc, const char *name)
{
	struct json_object *value;
	struct str text;

	if (!json_object_object_get_ex(doc, name, &value) ||
	    !json_object_is_type(value, json_type_string) || !json_text(value, &text))
		return STR_NONE;
	return text;
}

static bool
read_type(struct sns_message *m)
{
	static const struct str names[] = { STR("Notification"), STR("SubscriptionConfirmation"),
	    STR("UnsubscribeConfirmation") };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (str_eq(m->type_name, names[i])) {
			m->type = (enum sns_type)i;
			return true;
		}
	return false;
}

const char *
sns_read(struct str body, struct sns_message *ret)
{
	struct err err;

	*ret = (struct sns_message){ .doc = NULL };
	if (!json_parse(body, DOCUMENT_MAX_DEPTH, &ret->doc, &err) ||
	    !json_object_is_type(ret->doc, json_type_object))
		return "body_unsigned";
	ret->type_name = text_of(ret->doc, "Type");
	ret->id = text_of(ret->doc, "MessageId");
	ret->topic = text_of(ret->doc, "TopicArn");
	ret->message = text_of(ret->doc, "Message");
	ret->subject = text_of(ret->doc, "Subject");
	ret->timestamp = text_of(ret->doc, "Timestamp");
	ret->token = text_of(ret->doc, "Token");
	ret->subscribe_url = text_of(ret->doc, "SubscribeURL");
	ret->version = text_of(ret->doc, "SignatureVersion");
	ret->signature = text_of(ret->doc, "Signature");
	ret->certificate_url = text_of(ret->doc, "SigningCertURL");
	return read_type(ret) && ret->topic.p != NULL && ret->signature.p != NULL &&
	    ret->certificate_url.p != NULL ? NULL : "body_unsigned";
}

void
sns_message_fini(struct sns_message *m)
{
	json_object_put(m->doc);
	m->doc = NULL;
}

/* ---- verifying ---- */

struct pair {
	const char	*name;
	struct str	 value;
};

static bool
hash_pair(EVP_MD_CTX *ctx, const char *name, struct str value)
{
	/* What is not there is not signed: Subject, mostly. */
	return value.p == NULL || (EVP_DigestVerifyUpdate(ctx, name, strlen(name)) == 1 &&
	    EVP_DigestVerifyUpdate(ctx, "\n", 1) == 1 &&
	    EVP_DigestVerifyUpdate(ctx, value.p, value.n) == 1 &&
	    EVP_DigestVerifyUpdate(ctx, "\n", 1) == 1);
}

/* Names and values in the order of the alphabet, a line each; which of them, says the type. */
static bool
hash_message(EVP_MD_CTX *ctx, const struct sns_message *m)
{
	bool is_note = m->type == SNS_NOTIFICATION;
	const struct pair pairs[] = {
		{ "Message", m->message }, { "MessageId", m->id },
		{ "Subject", is_note ? m->subject : STR_NONE },
		{ "SubscribeURL", is_note ? STR_NONE : m->subscribe_url },
		{ "Timestamp", m->timestamp }, { "Token", is_note ? STR_NONE : m->token },
		{ "TopicArn", m->topic }, { "Type", m->type_name },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (!hash_pair(ctx, pairs[i].name, pairs[i].value))
			return false;
	return true;
}

static const char *
check_signature(EVP_PKEY *key, const struct sns_message *m)
{
	const EVP_MD *md = str_eq(m->version, STR("2")) ? EVP_sha256() :
	    str_eq(m->version, STR("1")) ? EVP_sha1() : NULL;
	unsigned char signature[SIGNATURE_BYTES];
	EVP_MD_CTX *ctx;
	bool is_good;
	size_t n;

	if (md == NULL)
		return "signature_version";
	if (!decode_base64(m->signature, signature, sizeof(signature), &n))
		return "encoding";
	ctx = EVP_MD_CTX_new();
	if (ctx == NULL)
		return "memory";
	is_good = EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1 && hash_message(ctx, m) &&
	    EVP_DigestVerifyFinal(ctx, signature, n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return is_good ? NULL : "signature";
}

static const char *
check_time(const struct sns *s, const struct sns_message *m, int64_t now_us)
{
	int64_t at_us;

	if (!when_parse(m->timestamp, &at_us))
		return "timestamp";
	return now_us - at_us <= s->window_us && at_us - now_us <= s->window_us ? NULL : "window";
}

static bool
is_topic_of_ours(const struct sns *s, struct str topic)
{
	for (size_t i = 0; i < s->ntopics; i++)
		if (str_eq(topic, s->topics[i]))
			return true;
	return false;
}

static EVP_PKEY *
find_key(struct sns *s, struct str url, int64_t now_us)
{
	for (size_t i = 0; i < CERTIFICATES_MAX; i++) {
		struct certificate *c = &s->certificates[i];

		if (c->url == NULL || !str_eq(url, str_of(c->url)))
			continue;
		if (c->until_us > now_us)
			return c->key;
		forget(c);
	}
	return NULL;
}

const char *
sns_verify(struct sns *s, const struct sns_message *m, int64_t now_us)
{
	const char *failed;
	EVP_PKEY *key;

	if (!is_topic_of_ours(s, m->topic))
		return "topic";
	if (!is_certificate_url(s, m))
		return "certificate_url";
	key = find_key(s, m->certificate_url, now_us);
	if (key == NULL)
		return sns_certificate_unknown;
	failed = check_signature(key, m);
	return failed != NULL ? failed : check_time(s, m, now_us);
}

/* ---- certificates ---- */

/* The first certificate of a PEM, and those behind it. */
static X509 *
read_pem(struct str pem, STACK_OF(X509) *rest)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *first = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL, *more;

	while (first != NULL && (more = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (sk_X509_push(rest, more) == 0)
			X509_free(more);
	BIO_free(bio);
	ERR_clear_error();
	return first;
}

/* As far as its issuers are there: one that is missing is no fault. */
static bool
check_chain(X509 *leaf, STACK_OF(X509) *rest, const char *ca_file, time_t now_s, struct err *err)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int code = X509_V_ERR_UNSPECIFIED;

	if (store != NULL && ctx != NULL &&
	    (ca_file != NULL ? X509_STORE_load_file(store, ca_file) :
	    X509_STORE_set_default_paths(store)) == 1 &&
	    X509_STORE_CTX_init(ctx, store, leaf, rest) == 1) {
		X509_STORE_CTX_set_time(ctx, 0, now_s);
		code = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	ERR_clear_error();
	return code == X509_V_OK || code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	    code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
	    code == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
	    err_set(err, ERR_INPUT, "%s", X509_verify_cert_error_string(code));
}

static bool
check_name(X509 *leaf, struct str url, struct err *err)
{
	struct str host, path;

	if (X509_check_host(leaf, "sns.amazonaws.com", 0, 0, NULL) == 1)
		return true;
	if (split_url(url, &host, &path)) {
		host = str_cut(&host, ':');
		if (X509_check_host(leaf, host.p, host.n, 0, NULL) == 1)
			return true;
	}
	return err_set(err, ERR_INPUT, "it is not Amazon SNS's by its name");
}

static bool
check_times(X509 *leaf, time_t now_s, int64_t *ret_until_us, struct err *err)
{
	int days, seconds;
	ASN1_TIME *now = ASN1_TIME_set(NULL, now_s);
	bool is_good = now != NULL && X509_cmp_time(X509_get0_notBefore(leaf), &now_s) < 0 &&
	    X509_cmp_time(X509_get0_notAfter(leaf), &now_s) > 0 &&
	    ASN1_TIME_diff(&days, &seconds, now, X509_get0_notAfter(leaf)) == 1;

	if (is_good)
		*ret_until_us = ((int64_t)now_s + days * INT64_C(86400) + seconds) * 1000000;
	ASN1_TIME_free(now);
	return is_good || err_set(err, ERR_INPUT, "it is not valid at this time");
}

static bool
check_key(X509 *leaf, struct err *err)
{
	EVP_PKEY *key = X509_get0_pubkey(leaf);

	if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
	    EVP_PKEY_get_bits(key) < KEY_MIN_BITS)
		return err_set(err, ERR_INPUT, "its key is no RSA of %d bits or more", KEY_MIN_BITS);
	return (X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) != 0 ||
	    err_set(err, ERR_INPUT, "its key is not for signatures");
}

static bool
keep(struct sns *s, struct str url, X509 *leaf, int64_t until_us, struct err *err)
{
	struct certificate *c = &s->certificates[s->next];

	forget(c);
	c->url = strndup(url.p, url.n);
	c->key = X509_get_pubkey(leaf);
	c->until_us = until_us;
	s->next = (s->next + 1) % CERTIFICATES_MAX;
	if (c->url != NULL && c->key != NULL)
		return true;
	forget(c);
	return err_set(err, ERR_RETRY, "out of memory");
}

bool
sns_add_certificate(struct sns *s, struct str url, struct str pem, const char *ca_file,
    int64_t now_us, struct err *err)
{
	STACK_OF(X509) *rest = sk_X509_new_null();
	X509 *leaf = rest != NULL && pem.n > 0 && pem.n < INT32_MAX ? read_pem(pem, rest) : NULL;
	time_t now_s = (time_t)(now_us / 1000000);
	int64_t until_us = 0;
	bool ok;

	ok = leaf != NULL || err_set(err, ERR_INPUT, "it is no certificate");
	ok = ok && check_times(leaf, now_s, &until_us, err) && check_name(leaf, url, err) &&
	    check_key(leaf, err) && check_chain(leaf, rest, ca_file, now_s, err) &&
	    keep(s, url, leaf, until_us, err);
	X509_free(leaf);
	sk_X509_pop_free(rest, X509_free);
	return ok;
}
