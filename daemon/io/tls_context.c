/* SPDX-License-Identifier: Apache-2.0 */
/* What a TLS listener speaks and by which certificate. */
#include "io/tls_context.h"

#include <limits.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* Forward secrecy and AEAD only; those of TLS 1.3 are all of that kind. */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

static const char *const failure_names[TLS_NFAILURES] = {
	[TLS_TIMED_OUT]	 = "timeout",
	[TLS_GONE]	 = "gone",
	[TLS_PLAIN_HTTP] = "plain_http",
	[TLS_VERSION]	 = "version",
	[TLS_CIPHER]	 = "cipher",
	[TLS_ALPN]	 = "alpn",
	[TLS_REJECTED]	 = "rejected",
	[TLS_BROKEN]	 = "broken",
};

/* The first error is the cause; the queue is empty afterwards. */
static bool
refuse(struct err *err, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_get_error());

	ERR_clear_error();
	return err_set(err, ERR_CONFIG, why != NULL ? "%s: %s" : "%s", what, why);
}

/* ---- certificate and key ---- */

/* Instead of OpenSSL's own, which would ask at the terminal. */
static int
no_passphrase(char *out, int size, int is_writing, void *arg)
{
	(void)out;
	(void)size;
	(void)is_writing;
	*(bool *)arg = true;
	return -1;
}

static BIO *
open_pem(struct str pem)
{
	return pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
}

/* Those behind the first, up to the end of the text. */
static bool
add_chain(SSL_CTX *tls, BIO *in, struct err *err)
{
	X509 *x;

	while ((x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL)
		if (SSL_CTX_add0_chain_cert(tls, x) != 1) {
			X509_free(x);
			return refuse(err, "a certificate of its chain is not taken");
		}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return refuse(err, "a certificate of its chain cannot be read");
	ERR_clear_error();
	return true;
}

static bool
use_certificate(SSL_CTX *tls, struct str pem, struct err *err)
{
	BIO *in = open_pem(pem);
	X509 *own = in != NULL ? PEM_read_bio_X509_AUX(in, NULL, NULL, NULL) : NULL;
	bool ok = own != NULL ? SSL_CTX_use_certificate(tls, own) == 1 ||
	    refuse(err, "the certificate is not taken") :
	    refuse(err, "there is no certificate in PEM form in it");

	ok = ok && add_chain(tls, in, err);
	X509_free(own);
	BIO_free(in);
	return ok;
}

static bool
use_key(SSL_CTX *tls, struct str pem, struct err *err)
{
	BIO *in = open_pem(pem);
	bool has_passphrase = false, ok;
	EVP_PKEY *key = in != NULL ?
	    PEM_read_bio_PrivateKey(in, NULL, no_passphrase, &has_passphrase) : NULL;

	BIO_free(in);
	if (key == NULL && has_passphrase) {
		ERR_clear_error();
		return err_set(err, ERR_CONFIG, "the key is locked by a passphrase, which nobody "
		    "could give at a restart: store it without");
	}
	if (key == NULL)
		return refuse(err, "there is no private key in PEM form in it");
	/* This compares the two and says so itself, but not in words that help. */
	ok = X509_check_private_key(SSL_CTX_get0_certificate(tls), key) == 1 &&
	    SSL_CTX_use_PrivateKey(tls, key) == 1;
	EVP_PKEY_free(key);
	return ok || refuse(err, "the key does not belong to the (first) certificate");
}

/* ---- the protocol ---- */

/* RFC 7301: who names protocols and not ours is told so. */
static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
    const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	union { const unsigned char *in; unsigned char *out; } chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen.out, out_len, ours, sizeof(ours) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen.in;
	return SSL_TLSEXT_ERR_OK;
}

/* Sessions are resumed by tickets, of which we keep nothing. */
static bool
set_protocol(SSL_CTX *tls, enum tls_version least)
{
	(void)SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	(void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(tls, 1);
	SSL_CTX_set_alpn_select_cb(tls, choose_protocol, NULL);
	return SSL_CTX_set_min_proto_version(tls,
	    least == TLS_AT_LEAST_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
	    SSL_CTX_set_cipher_list(tls, ciphers) == 1;
}

struct ssl_ctx_st *
tls_context_new(struct str certificate, struct str key, enum tls_version least,
    enum tls_part *ret_part, struct err *err)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	*ret_part = TLS_OF_CERTIFICATE;
	if (tls == NULL || !set_protocol(tls, least)) {
		ERR_clear_error();
		(void)err_set(err, ERR_RETRY, "out of memory");
	} else if (use_certificate(tls, certificate, err)) {
		*ret_part = TLS_OF_KEY;
		if (use_key(tls, key, err))
			return tls;
	}
	SSL_CTX_free(tls);
	return NULL;
}

void
tls_context_free(struct ssl_ctx_st *tls)
{
	SSL_CTX_free(tls);
}

static int64_t
seconds_of(const ASN1_TIME *at)
{
	struct tm tm;

	return ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int64_t
tls_context_valid_from_s(const struct ssl_ctx_st *tls)
{
	return seconds_of(X509_get0_notBefore(SSL_CTX_get0_certificate(tls)));
}

int64_t
tls_context_valid_until_s(const struct ssl_ctx_st *tls)
{
	return seconds_of(X509_get0_notAfter(SSL_CTX_get0_certificate(tls)));
}

/* ---- what went wrong in a handshake ---- */

enum tls_failure
tls_failure_of(unsigned long openssl_error)
{
	static const struct { int reason; enum tls_failure why; } reasons[] = {
		{ SSL_R_HTTP_REQUEST, TLS_PLAIN_HTTP },
		{ SSL_R_HTTPS_PROXY_REQUEST, TLS_PLAIN_HTTP },
		{ SSL_R_UNSUPPORTED_PROTOCOL, TLS_VERSION },
		{ SSL_R_VERSION_TOO_LOW, TLS_VERSION },
		{ SSL_R_NO_SHARED_CIPHER, TLS_CIPHER },
		{ SSL_R_NO_SUITABLE_KEY_SHARE, TLS_CIPHER },
		{ SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, TLS_CIPHER },
		{ SSL_R_NO_APPLICATION_PROTOCOL, TLS_ALPN },
		{ SSL_R_UNEXPECTED_EOF_WHILE_READING, TLS_GONE },
	};
	int reason = ERR_GET_REASON(openssl_error);

	if (openssl_error == 0 || ERR_SYSTEM_ERROR(openssl_error))
		return TLS_GONE;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].reason == reason)
			return reasons[i].why;
	/* Above this stand the alerts that the other side sent. */
	return reason > SSL_AD_REASON_OFFSET ? TLS_REJECTED : TLS_BROKEN;
}

const char *
tls_failure_name(enum tls_failure why)
{
	return failure_names[why];
}
