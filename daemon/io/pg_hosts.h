/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_PG_HOSTS_H
#define TL_IO_PG_HOSTS_H

#include <stddef.h>

#include "base/checked.h"
#include "base/err.h"

struct loop;
struct pg_hosts;

/* keywords and values as PQconnectStartParams() takes them, valid during the call; or
 * why there are none.  The callee may free the pg_hosts. */
typedef void pg_hosts_done(void *owner, const char *const *keywords, const char *const *values,
    const struct err *why);

/* Parses a conninfo (keywords or URI) and resolves its host names through evdns.  The
 * lists begin with entry `first`, counted round.  NULL: ERR_CONFIG, the conninfo is
 * wrong; or ERR_RETRY. */
TL_MUST struct pg_hosts *pg_hosts_new(struct loop *l, const char *conninfo,
    const char *application_name, size_t first, pg_hosts_done *done, void *owner,
    struct err *err);
/* done() is called once, maybe before this returns. */
void	pg_hosts_start(struct pg_hosts *h);
/* Accepts NULL; done() is not called afterwards. */
void	pg_hosts_free(struct pg_hosts *h);

#endif
