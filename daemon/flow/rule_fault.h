/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_FLOW_RULE_FAULT_H
#define TL_FLOW_RULE_FAULT_H

#include <stddef.h>

#include <libpq-fe.h>

#include "base/checked.h"
#include "base/err.h"

struct rule_set;
struct rule_text;

/* What PostgreSQL has against an expression, told where the user wrote it. */
struct rule_fault {
	const struct rule_text	*text;
	char			 place[1024];		/* file:line:col */
	char			 message[1024];
};

/* Whether a result that failed blames what stands in the rules: no lock, no lost connection, no
 * full disk. */
bool	rule_fault_is_in(const PGresult *res);
/* Reads the result of RULE_CHECK for that text, of which rule_fault_is_in(). */
void	rule_fault_read(const PGresult *res, const struct rule_text *text, struct rule_fault *ret);

/* Has PostgreSQL judge every expression of the set, waiting for it, and tells each fault.
 * false: ERR_RETRY, the database would not. */
TL_MUST bool rule_set_judge(const struct rule_set *s, PGconn *pg,
    void (*tell)(void *arg, const struct rule_fault *fault), void *arg, struct err *err);

#endif
