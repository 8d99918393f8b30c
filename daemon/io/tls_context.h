/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_TLS_CONTEXT_H
#define TL_IO_TLS_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

struct ssl_ctx_st;

enum tls_version { TLS_AT_LEAST_1_2, TLS_AT_LEAST_1_3 };

/* Why a client that came to a TLS listener did not get through the handshake. */
enum tls_failure {
	TLS_TIMED_OUT,
	TLS_GONE,		/* it left in the middle */
	TLS_PLAIN_HTTP,		/* it spoke HTTP */
	TLS_VERSION,		/* older than we take */
	TLS_CIPHER,		/* nothing in common */
	TLS_ALPN,		/* it wants another protocol than HTTP/1.1 */
	TLS_REJECTED,		/* by its alert: it does not trust our certificate, mostly */
	TLS_BROKEN,		/* anything else: it does not speak TLS */
	TLS_NFAILURES
};

/* Which of the two was at fault, for who has to complain. */
enum tls_part { TLS_OF_CERTIFICATE, TLS_OF_KEY };

/* A server's context.  certificate: PEM, our own first, then the chain; key: PEM, without
 * a passphrase.  NULL: ERR_CONFIG (ret_part is set) or ERR_RETRY (memory). */
TL_MUST struct ssl_ctx_st *tls_context_new(struct str certificate, struct str key,
    enum tls_version least, enum tls_part *ret_part, struct err *err);
void	tls_context_free(struct ssl_ctx_st *tls);	/* accepts NULL */
/* When its certificate becomes and ceases to be valid, in seconds since 1970. */
int64_t	tls_context_valid_from_s(const struct ssl_ctx_st *tls);
int64_t	tls_context_valid_until_s(const struct ssl_ctx_st *tls);

/* What an error of OpenSSL's queue means in a handshake; 0: there was none. */
enum tls_failure tls_failure_of(unsigned long openssl_error);
/* "timeout" and so on, for a metric's label. */
const char	*tls_failure_name(enum tls_failure why);

#endif
