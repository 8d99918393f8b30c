/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_EDGE_CONFIG_H
#define TL_EDGE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/conf.h"
#include "flow/action.h"
#include "flow/action_set.h"
#include "flow/intake.h"
#include "flow/mail_conf.h"
#include "io/spool.h"
#include "model/identity.h"

struct database_conf {
	struct str	 conninfo_text, admin_conninfo, reader_conninfo;	/* NUL-terminated */
	int64_t		 writers;
};

enum listener_role { SERVE_INGEST = 1, SERVE_OPS = 2 };	/* bits of listener_conf.serve */

struct ssl_ctx_st;

struct tls_conf {
	struct conf_texts	 certificate, key;	/* PEM; one each.  None: no TLS */
	int			 min_version;		/* enum tls_version */
	struct ssl_ctx_st	*context;		/* the configuration's; NULL: no TLS */
};

struct listener_conf {
	struct str	 address;
	struct tls_conf	 tls;
	unsigned	 serve;			/* enum listener_role */
	int64_t		 max_connections;
	int64_t		 max_per_address;
	int64_t		 max_head, max_bodies;	/* bytes */
	int64_t		 request_ms;
	int64_t		 idle_ms;
};

/* The whole configuration.  Everything in it lives until config_free(). */
struct config {
	struct conf		*conf;		/* ours */
	struct database_conf	 database;
	struct conf_named_list	 listeners;	/* common: struct listener_conf */
	struct conf_named_list	 sources;	/* common: struct source */
	struct conf_named_list	 actions;	/* common: struct action */
	struct conf_named_list	 rules;		/* common: struct rule_conf */
	struct conf_named_list	 calendars;	/* common: struct calendar_conf */
	int64_t			 timer_grace_ms;
	struct mail_conf	 mail;
	struct action_env	 action_env;	/* of the rest, for the actions */
	struct conf_texts	 stages;
	struct outbound_conf	 outbound;
	struct str		 preset_dir;
	struct str		 public_url;	/* as written */
	struct conf_texts	 proxies;
	const struct net_set	*proxy_set;
	struct conf_texts	 own;
	const struct own_set	*own_set;
	unsigned		 strong;	/* bit per enum identity_rank */
	struct str		 user;
	int64_t			 batch_max, batch_max_bytes, queue_max_bytes;
	struct spool_conf	 spool;		/* path.p NULL: there is none */
	int64_t			 spool_after_ms;
	int64_t			 merge_limit;
	int64_t			 drain_ms;
};

extern const struct conf_key config_keys[];

/* Loads and judges the file: also what the channel types say of their sources.  Always
 * returns a config unless memory is out: look at conf_errors(c->conf). */
TL_MUST struct config	*config_load(const char *path);
/* The same without the secrets, for the command line: it proves nothing to anybody. */
TL_MUST struct config	*config_load_without_secrets(const char *path);
/* For `touchlogd -t`: see conf_load_to_check(). */
TL_MUST struct config	*config_load_to_check(const char *path);
void			 config_free(struct config *c);	/* accepts NULL */
/* Errors and warnings, a line each, on stderr. */
void			 config_print(const struct config *c);
/* Whether it has `rules:`, be it empty: else any rule set suits it. */
bool			 config_has_rules(const struct config *c);
void			 config_intake(const struct config *c, struct intake_conf *ret);

#endif
