/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CLI_INTERACTION_SQL_H
#define TL_CLI_INTERACTION_SQL_H

/* What an interaction says on one line of a table: of the columns of `interaction`. */
#define INTERACTION_DETAIL						\
    "concat_ws(', ', outcome, trim_scale(amount)::text || coalesce(' ' || currency, ''),"	\
    " 'score ' || score, left(coalesce(subject, body), 200))"

#endif
