/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_MAIL_CONF_H
#define TL_FLOW_MAIL_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/str.h"

/* What the configuration says of mail as a whole: by which server, under which rules. */

enum mail_tls { MAIL_TLS_AUTO, MAIL_TLS_REQUIRED, MAIL_TLS_NONE };
enum consent_model { CONSENT_OPT_IN, CONSENT_OPT_OUT };

struct mail_conf {
	struct str		 url;		/* .p NULL: there is no mail server */
	struct str		 from, reply_to, user, ca_file, helo;
	struct conf_texts	 secret;
	int			 tls;		/* enum mail_tls */
	int64_t			 timeout_ms, connections;
	int			 consent_model;	/* enum consent_model */
	struct str		 cap;		/* as written */
	struct str		 template_dir;
	/* By mail_conf_check(): */
	bool			 needs_tls;
	int64_t			 cap_n, cap_ms;	/* cap_n 0: none */
};

extern const struct conf_key smtp_keys[];	/* of the block `smtp`; fill a struct mail_conf */
extern const char *const consent_model_names[];

/* Judges and completes it.  at: the whole file. */
void	mail_conf_check(struct conf *c, const struct conf_node *at, struct mail_conf *m);

#endif
