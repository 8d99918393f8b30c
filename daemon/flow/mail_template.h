/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_MAIL_TEMPLATE_H
#define TL_FLOW_MAIL_TEMPLATE_H

#include <stddef.h>

#include "base/conf.h"
#include "base/str.h"

/* A template of mails: NAME.txt, in other languages NAME.LANG.txt (de, de-AT), and beside each,
 * where there is one, the same as .html.  A .txt may begin with a line "Subject: …" and an empty
 * one. */

struct mail_variant {
	struct str	 language;	/* in small letters; .n 0: whatever the language */
	struct str	 subject;	/* .p NULL: it has none */
	struct str	 text;		/* .p NULL while it is loaded only */
	struct str	 html;		/* .p NULL: none */
};

struct mail_template {
	struct mail_variant	*v;
	size_t			 n;
};

/* Reads it from the folder into the memory of c; complains at `at` about what is missing or
 * broken. */
void	mail_template_load(struct conf *c, const struct conf_node *at, struct str folder,
	    struct str name, struct mail_template *ret);
/* For de-AT: de-at, else de, else the one without a language.  Never NULL for a template that
 * was loaded without complaints. */
const struct mail_variant *mail_template_for(const struct mail_template *t, struct str language);

#endif
