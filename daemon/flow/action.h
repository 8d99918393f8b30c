/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_ACTION_H
#define TL_FLOW_ACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/str.h"

struct action_job;
struct dispatcher;
struct json_object;
struct outbound_conf;
struct mail_conf;

/* What all actions share of the configuration; it lives as long as that. */
struct action_env {
	const struct mail_conf	*mail;
	const struct conf_texts	*stages;
	const struct conf_texts	*own;		/* our addresses, domains and numbers */
	struct str		 public_url;	/* without a slash at its end; .p NULL: not set */
};

/* What a rule does.  One row of action_types[] each: its settings and how it is done.
 *
 * What PostgreSQL can do by itself (task, stage, tag, priority, notify) is done in the
 * transaction that writes the receipt, so exactly once; what leaves the house (webhook, email)
 * is begun by start() and ends in action_job_done(). */
struct action_type {
	const char		*name;		/* the `type` of an action's block */
	const struct conf_key	*keys;		/* its own settings, ended by { 0 } */
	size_t			 conf_size;	/* of the struct they fill */

	/* Keeps what it needs of env; called before check.  NULL: nothing. */
	void	(*use)(void *own, const struct action_env *env);
	/* Judges settings as a whole; complains with conf_complain().  NULL: nothing to judge. */
	void	(*check)(struct conf *c, const struct conf_node *node, void *own);
	/* The settings as PostgreSQL reads them (touchlog.perform(), touchlog.may_send()), with
	 * templates as they were written.  A new reference, or NULL: out of memory. */
	struct json_object *(*settings)(const void *own);
	/* Begins it; action_job_done() is called once, later or from inside.  NULL: PostgreSQL does it. */
	void	(*start)(struct action_job *job);
	/* Ends what start() began, without action_job_done(): the daemon stops, or the lease is lost. */
	void	(*cancel)(struct action_job *job);
};

/* The common part of an action's block. */
struct action {
	struct str			 name;
	const struct action_type	*type;
};

/* By name, for `type`; ended by NULL. */
extern const struct action_type *const action_types[];

/* ---- one delivery, as an action's start() sees it; it lives until action_job_done() ---- */

enum action_end {
	ACTION_DONE,
	ACTION_RETRY,		/* with backoff, or after retry_after_ms */
	ACTION_DEAD,		/* never again: the receiver said so, or it cannot be built */
	ACTION_SUPPRESSED,	/* the address must get nothing more (a refused recipient) */
	ACTION_GONE,		/* dead, and whatever else goes to this action: its receiver is gone */
	ACTION_RELEASED,	/* it was not begun: this does not count; see retry_after_ms */
};

struct action_outcome {
	enum action_end		 end;
	int64_t			 retry_after_ms;	/* 0: the backoff decides */
	const char		*error;			/* for people; NULL with ACTION_DONE */
	/* ACTION_DONE, ACTION_SUPPRESSED: what is logged as an interaction of source `touchlog`, in
	 * the transaction of the receipt: {"kind", "channel", "direction", "thread", "external_id", "subject",
	 * "body", "campaign", "attributes"}; borrowed.  NULL: nothing.  ACTION_SUPPRESSED: "suppress"
	 * is the address that gets nothing more. */
	struct json_object	*log;
};

/* What the job is about.  Everything is the job's. */
const struct action	*action_job_action(const struct action_job *job);
const void		*action_job_conf(const struct action_job *job);	/* what keys filled */
/* {"rule", "interaction": {…}, "customer": {…} | null} */
struct json_object	*action_job_payload(const struct action_job *job);
/* The same for every attempt: "tl_" and the outbox row's number. */
const char		*action_job_delivery_id(const struct action_job *job);
int			 action_job_attempt(const struct action_job *job);	/* from 1 */
/* Of touchlog.may_send(): NULL where it said none. */
const char		*action_job_address(const struct action_job *job);
const char		*action_job_token(const struct action_job *job);
/* The type's own state while it is under way. */
void			 action_job_set_priv(struct action_job *job, void *priv);
void			*action_job_priv(const struct action_job *job);
struct dispatcher	*action_job_dispatcher(const struct action_job *job);
/* The limits of what leaves. */
const struct outbound_conf *action_job_outbound(const struct action_job *job);
/* Once; the job is gone when it returns. */
void			 action_job_done(struct action_job *job, const struct action_outcome *how);

/* ---- substitution ---- */

enum action_escape { ESCAPE_NONE, ESCAPE_JSON, ESCAPE_URL, ESCAPE_HTML, ESCAPE_HEADER };

/* Replaces {a.b|else} in text: a column of the interaction ({subject}), or {customer.name},
 * {interaction.attributes.x}, {rule}; `else` stands for what is null or empty; {{ and }} are
 * braces.  The value is escaped for its target, the text around it is not.  ret is the buf's.
 * false: ERR_RETRY, memory; ERR_INPUT, the template is broken (said with its position). */
struct buf;
TL_MUST bool action_substitute(struct str text, struct json_object *payload, enum action_escape how,
    struct buf *ret, struct err *err);
/* Whether it would do, for the configuration: null payload. */
TL_MUST bool action_template_check(struct str text, struct err *err);

#endif
