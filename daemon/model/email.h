/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_EMAIL_H
#define TL_MODEL_EMAIL_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/str.h"

/* One spelling for a mail address: "Name <Info@BÜCHER.example>", "mailto:..." and the
 * bare address give "info@xn--bcher-kva.example".  *ret points into s or the arena.
 * False: not one usable address (or memory is out). */
TL_MUST bool email_read(struct arena *a, struct str s, struct str *ret);
/* The same for a domain: small letters, IDNA ASCII form, at least two labels. */
TL_MUST bool email_read_domain(struct arena *a, struct str s, struct str *ret);
/* The "@example.com" of an address that email_read() gave. */
struct str email_at_domain(struct str email);
/* info@, sales@, ...: read by several people, so it proves nobody. */
bool	 email_is_role(struct str email);

#endif
