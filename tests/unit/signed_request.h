/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_TESTS_SIGNED_REQUEST_H
#define TL_TESTS_SIGNED_REQUEST_H

/* What the tests of signatures share.  Included behind cmocka.h. */

#include "io/signature.h"

/* The head of a request, and what else of it is verified: "" when it is let in, else the
 * check that failed, or "http" when it is none. */
static inline const char *
check_request(struct signature *s, const char *head, struct signature_request r)
{
	static const struct http_parse_limits limits = { 65536, 0 };
	const char *failed = "";
	struct http_parse p;

	http_parse_init(&p, &limits);
	assert_int_equal(http_parse_feed(&p, head, strlen(head)), strlen(head));
	r.m = &p.msg;
	if (p.state != PARSE_DONE)
		failed = "http";
	else if (!signature_verify(s, &r, &failed))
		assert_string_not_equal(failed, "");
	else
		assert_string_equal(failed, "");
	http_parse_fini(&p);
	return failed;
}

#endif
