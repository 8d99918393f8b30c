/* SPDX-License-Identifier: Apache-2.0 */
/* However the bytes are cut, the parser reaches the same requests and the same end. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct http_parse_limits limits = { 2048, 512 };

struct outcome {
	uint64_t		 hash;		/* of every request */
	size_t			 requests;
	enum http_parse_state	 state;
	int			 status;
};

static void
mix(struct outcome *o, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		o->hash = (o->hash ^ (unsigned char)s.p[i]) * 0x100000001b3U;
	o->hash = (o->hash ^ s.n) * 0x100000001b3U;
}

static void
take(struct http_parse *p, struct outcome *o)
{
	struct http_message m;

	http_parse_take(p, &m);
	mix(o, m.method);
	mix(o, m.path);
	mix(o, m.query);
	for (size_t i = 0; i < m.nheaders; i++) {
		mix(o, m.headers[i].name);
		mix(o, m.headers[i].value);
		if (memchr(m.headers[i].value.p, '\n', m.headers[i].value.n) != NULL)
			abort();
	}
	mix(o, (struct str){ m.body, m.body_len });
	if (m.body_len > limits.max_body_bytes || m.head_len > limits.max_head_bytes)
		abort();
	o->requests++;
	http_message_fini(&m);
}

/* As an owner may: what it decides by depends on nothing but the head. */
static void
judge(struct http_parse *p)
{
	if (p->msg.body_len != 0 || !p->knows_target)
		abort();
	if (p->msg.path.n % 2 == 0)
		http_parse_limit_body(p, p->msg.nheaders * 16);
}

static struct outcome
run(const char *bytes, size_t n, size_t piece)
{
	struct outcome o = { .hash = 0xcbf29ce484222325U };
	struct http_parse p;

	http_parse_init(&p, &limits);
	for (size_t at = 0; at < n && p.state != PARSE_BAD;) {
		size_t most = n - at < piece ? n - at : piece;
		enum http_parse_state was = p.state;
		/* A copy of its own, so that reading past it is seen. */
		char *copy = malloc(most);
		size_t used;

		if (copy == NULL)
			abort();
		memcpy(copy, bytes + at, most);
		used = http_parse_feed(&p, copy, most);
		free(copy);
		at += used;
		if (used > most)
			abort();
		if (was == PARSE_HEAD && p.state == PARSE_BODY)
			judge(&p);
		else if (used < most && p.state < PARSE_DONE)
			abort();
		(void)http_parse_take_continue(&p);
		if (p.state == PARSE_DONE)
			take(&p, &o);
	}
	o.state = p.state;
	o.status = p.state == PARSE_BAD ? p.status : 0;
	if (p.state == PARSE_BAD && (p.why == NULL || p.status < 400))
		abort();
	http_parse_fini(&p);
	return o;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct outcome whole = run((const char *)data, n, n ? n : 1);
	static const size_t pieces[] = { 1, 7 };

	for (size_t i = 0; i < 2; i++) {
		struct outcome cut = run((const char *)data, n, pieces[i]);

		if (cut.hash != whole.hash || cut.requests != whole.requests ||
		    (cut.state == PARSE_BAD) != (whole.state == PARSE_BAD)) {
			fprintf(stderr, "pieces of %zu: %zu requests, state %d status %d;"
			    " whole: %zu, %d, %d\n", pieces[i], cut.requests, cut.state,
			    cut.status, whole.requests, whole.state, whole.status);
			abort();
		}
	}
	return 0;
}
