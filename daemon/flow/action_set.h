/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_ACTION_SET_H
#define TL_FLOW_ACTION_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/str.h"

/* The actions of one configuration.  Deliveries under way keep theirs: a reload brings another set,
 * and the old one goes with the last of them, and the configuration with it. */

struct action_set;
struct net_set;

/* Limits of what leaves. */
struct outbound_conf {
	int64_t			 per_host;	/* requests under way to one host */
	struct conf_texts	 allow_private;	/* as written */
	const struct net_set	*allowed;	/* the same; NULL: none */
	struct str		 ca_file;	/* PEM; .p NULL: the system's */
};

struct action_set_conf {
	const struct conf_named_list	*actions;	/* common: struct action */
	const struct outbound_conf	*outbound;
	/* Called when nobody needs the configuration any more, which all of this belongs to. */
	void				(*release)(void *arg);
	void				*arg;
};

/* NULL: ERR_RETRY; release is not called. */
TL_MUST struct action_set *action_set_new(const struct action_set_conf *conf, struct err *err);
void	action_set_hold(struct action_set *s);
void	action_set_release(struct action_set *s);	/* accepts NULL */

/* NULL: it has no action of that name. */
const struct conf_named *action_set_find(const struct action_set *s, struct str name);
const struct outbound_conf *action_set_outbound(const struct action_set *s);
/* All of them as touchlog.outbox_claim() reads them: {name: {"type": …, settings}}. */
const char *action_set_json(const struct action_set *s);
size_t	action_set_count(const struct action_set *s);

#endif
