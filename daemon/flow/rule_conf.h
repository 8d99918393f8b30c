/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_RULE_CONF_H
#define TL_FLOW_RULE_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/str.h"

/* The setting `rules`.  What PostgreSQL alone can judge, the expressions, is left to it. */

enum rule_wait_from { WAIT_FROM_FIRST, WAIT_FROM_LAST };
enum rule_per { PER_CUSTOMER, PER_THREAD, PER_INTERACTION };
enum rule_mode { MODE_LIVE, MODE_SHADOW, MODE_OFF };

extern const char *const rule_wait_from_names[], *const rule_per_names[], *const rule_mode_names[];

enum { RULE_MAX_AGE_MS = 86400000 };	/* the default */

struct rule_conf {
	struct str		 when, unless, wait, at;
	int			 wait_from, per, mode;
	int64_t			 count;			/* 0: none */
	int64_t			 within_ms, max_age_ms;
	struct str		 cooldown, calendar;	/* .p NULL: none */
	struct conf_texts	 actions;
	/* Set by rule_conf_check(). */
	struct str		 name;
	const struct conf_node	*node;
	int64_t			 wait_ms;		/* -1: `wait` is an expression, or none */
	int64_t			 cooldown_ms;		/* -1: for ever */
};

extern const struct conf_key rule_keys[];

/* Judges one; actions and calendars are those it may name.  Complains. */
void	rule_conf_check(struct conf *c, const struct conf_named *named,
	    const struct conf_named_list *actions, const struct conf_named_list *calendars);

#endif
