/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_EDGE_CHANNEL_HOST_H
#define TL_EDGE_CHANNEL_HOST_H

#include "base/buf.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

struct channel;
struct channel_host;
struct channel_ops;
struct config;
struct event_base;
struct intake;

/* Owns the channels: makes them from a configuration, swaps them whole at a reload,
 * keeps what /metrics and /status tell of each source.  intake and base are borrowed and
 * have to outlive the host. */
TL_MUST struct channel_host *channel_host_new(struct intake *intake, struct event_base *base,
	    struct err *err);
void	channel_host_free(struct channel_host *h);	/* accepts NULL */

/* true: the host owns the config, the channels of the one before are retired (requests
 * under way keep theirs until they are answered).  false: nothing changed. */
TL_MUST bool channel_host_use(struct channel_host *h, struct config *take_config,
	    struct err *err);
const struct config *channel_host_config(const struct channel_host *h);

/* Who uses the configuration beside the channels holds it until he releases what he got. */
struct generation;
struct generation *channel_host_hold(struct channel_host *h);
void	channel_host_release(struct generation *g);

/* NULL: no source of that name. */
struct channel	*channel_host_find(struct channel_host *h, struct str name);
const struct channel_ops *channel_ops_of(const struct channel *ch);

/* One JSON object for each source (only != none: for that one), separated by commas. */
void	channel_host_json(const struct channel_host *h, struct str only, struct buf *out);
/* The requests, as request_ring_json(). */
void	channel_host_requests_json(const struct channel_host *h, const struct uuid *id,
	    struct buf *out);

#endif
