/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_PATTERN_H
#define TL_MODEL_PATTERN_H

#include "base/checked.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/str.h"

/* A regular expression of the configuration (PCRE2), whose every match is bounded: what it
 * is tried on comes from strangers. */
struct pattern;

enum { PATTERN_SUBJECT_MAX_BYTES = 65536 };	/* what is longer is looked at so far */

enum pattern_fate {
	PATTERN_FOUND, PATTERN_NOT_FOUND,
	PATTERN_GAVE_UP,	/* a limit was reached: it may be there or not */
};

/* Compiled once, for as long as the conf lives.  ERR_CONFIG: what is wrong, and where in
 * the text. */
TL_MUST bool	pattern_compile(struct conf *c, struct str text, const struct pattern **ret,
		    struct err *err);
/* subject is UTF-8.  *ret, borrowed from it: what the first pair of brackets took, else
 * (they took no part, or there are none) the whole match. */
enum pattern_fate pattern_find(const struct pattern *p, struct str subject, struct str *ret);

#endif
