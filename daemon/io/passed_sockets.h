/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_PASSED_SOCKETS_H
#define TL_IO_PASSED_SOCKETS_H

#include "base/checked.h"
#include "base/err.h"

struct passed_sockets;

/* The listening sockets that systemd opened for us (a .socket unit): it keeps them open
 * while we are restarted, so that no connection is refused.  Once in a process. */
TL_MUST struct passed_sockets *passed_sockets_new(struct err *err);
/* Closes those that nobody took.  Accepts NULL. */
void	passed_sockets_free(struct passed_sockets *ps);

/* The one whose FileDescriptorName is `name`, else the one that listens on `address`; it
 * is the caller's then.  -1: there is none. */
int	passed_sockets_take(struct passed_sockets *ps, const char *name, const char *address);
/* Says in the log which ones nobody took, and what to do. */
void	passed_sockets_tell_rest(const struct passed_sockets *ps);

#endif
