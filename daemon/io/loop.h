/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_LOOP_H
#define TL_IO_LOOP_H

#include "base/checked.h"
#include "base/err.h"

struct event_base;
struct evdns_base;
struct loop;

/* The one event loop, with its resolver.  NULL: ERR_RETRY. */
TL_MUST struct loop	*loop_new(struct err *err);
void			 loop_free(struct loop *l);	/* accepts NULL */
struct event_base	*loop_base(struct loop *l);
struct evdns_base	*loop_dns(struct loop *l);
/* Runs until loop_stop(). */
void			 loop_run(struct loop *l);
void			 loop_stop(struct loop *l);

#endif
