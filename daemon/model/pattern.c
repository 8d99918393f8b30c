/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions with an end to them. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/pattern.h"

#include <pcre2.h>

#include <stdlib.h>

enum {
	MATCH_LIMIT = 100000,		/* some milliseconds */
	DEPTH_LIMIT = 1000,
	HEAP_LIMIT_KIB = 1024,
	NPAIRS = 2,			/* the match and its first capture */
};

struct pattern {
	pcre2_code		*code;		/* ours, as all that follow */
	pcre2_match_context	*limits;
	pcre2_match_data	*data;
};

static void
drop(void *arg)
{
	struct pattern *p = arg;

	pcre2_match_data_free(p->data);
	pcre2_match_context_free(p->limits);
	pcre2_code_free(p->code);
}

static bool
set_limits(struct pattern *p)
{
	p->limits = pcre2_match_context_create(NULL);
	p->data = pcre2_match_data_create(NPAIRS, NULL);
	if (p->limits == NULL || p->data == NULL)
		return false;
	(void)pcre2_set_match_limit(p->limits, MATCH_LIMIT);
	(void)pcre2_set_depth_limit(p->limits, DEPTH_LIMIT);
	(void)pcre2_set_heap_limit(p->limits, HEAP_LIMIT_KIB);
	return true;
}

bool
pattern_compile(struct conf *c, struct str text, const struct pattern **ret, struct err *err)
{
	struct pattern *p = arena_alloc(conf_arena(c), sizeof(*p));
	PCRE2_UCHAR why[120];
	PCRE2_SIZE at;
	int code;

	if (p == NULL || !conf_defer(c, drop, p))
		return err_set(err, ERR_RETRY, "out of memory");
	p->code = pcre2_compile((PCRE2_SPTR)text.p, text.n, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C,
	    &code, &at, NULL);
	if (p->code == NULL) {
		(void)pcre2_get_error_message(code, why, sizeof(why));
		return err_set(err, ERR_CONFIG, "%s at character %zu", (const char *)why, at + 1);
	}
	if (!set_limits(p))
		return err_set(err, ERR_RETRY, "out of memory");
	/* Where there is no JIT (or no right to executable memory), it is interpreted. */
	(void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
	*ret = p;
	return true;
}

enum pattern_fate
pattern_find(const struct pattern *p, struct str subject, struct str *ret)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(p->data);
	int npairs;

	subject = str_prefix_utf8(subject, PATTERN_SUBJECT_MAX_BYTES);
	npairs = pcre2_match(p->code, (PCRE2_SPTR)subject.p, subject.n, 0, PCRE2_NO_UTF_CHECK,
	    p->data, p->limits);
	if (npairs == PCRE2_ERROR_NOMATCH)
		return PATTERN_NOT_FOUND;
	if (npairs < 0)
		return PATTERN_GAVE_UP;
	/* 0: there were more captures than pairs, and both pairs are filled. */
	if (npairs != 1 && at[2] != PCRE2_UNSET)
		at += 2;
	/* \K in a look-ahead may put the start behind the end. */
	*ret = at[0] <= at[1] ? (struct str){ subject.p + at[0], at[1] - at[0] } : STR("");
	return PATTERN_FOUND;
}
