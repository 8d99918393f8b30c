/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_EDGE_SERVICE_H
#define TL_EDGE_SERVICE_H

#include <stdint.h>

#include "base/checked.h"
#include "base/err.h"

struct intake;
struct loop;
struct service;

/* Tells the service manager that we have started, from then on once a second how we are,
 * and feeds its watchdog while the loop runs and the writers make progress.  loop and
 * intake are borrowed. */
TL_MUST struct service	*service_new(struct loop *l, struct intake *intake, struct err *err);
void	service_free(struct service *s);	/* accepts NULL */

/* A reload begins; it ends by service_reloaded(), why_not NULL when it was taken over.  The
 * text is copied. */
void	service_reloading(void);
void	service_reloaded(struct service *s, const char *why_not);
/* We stop, within that time at most. */
void	service_stopping(struct service *s, int64_t within_ms);

#endif
