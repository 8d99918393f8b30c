/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_RULE_SET_H
#define TL_FLOW_RULE_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/str.h"

struct rule_conf;

/* The rules and calendars of a configuration as the database takes them: the daemon and the
 * command line both load this. */

enum { RULE_SHA_TEXT_SIZE = 2 + 64 + 1 };

/* An expression that PostgreSQL is to judge. */
struct rule_text {
	const struct rule_conf	*rule;
	const char		*key;		/* of the rule */
	const char		*kind;		/* as touchlog.rule_check() calls it */
	struct str		 text;
};

struct rule_set {
	struct buf		 rules, calendars;	/* JSON, with a NUL behind it: see schema/009 */
	char			 sha[RULE_SHA_TEXT_SIZE];	/* over both, as a bytea: \x… */
	size_t			 nrules, ncalendars;
	bool			 is_silent;	/* the file has no `rules:`: any set suits it */
	struct rule_text	*texts;			/* ours; they point into the configuration */
	size_t			 ntexts;
};

/* Of lists that were judged without an error; they have to outlive the set, but rule_set_free()
 * does not look at them.  The order in which rules and days stand in a file, and what is written
 * although it is the default, make no difference.  NULL: ERR_RETRY, memory. */
TL_MUST struct rule_set	*rule_set_new(const struct conf_named_list *rules,
			    const struct conf_named_list *calendars, struct err *err);
void			 rule_set_free(struct rule_set *s);	/* accepts NULL */

/* Each takes sha, rules, calendars as text: one transaction by itself, unless in another. */
#define RULE_SET_LOAD	"touchlog.rule_set_load($1, $2, $3)"
#define RULE_SET_INSTALL "SELECT touchlog.rule_set_activate(" RULE_SET_LOAD ")"
/* Takes text and kind. */
#define RULE_CHECK	"SELECT touchlog.rule_check($1, $2)"

#endif
