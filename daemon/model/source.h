/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_MODEL_SOURCE_H
#define TL_MODEL_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/str.h"
#include "model/identity.h"

struct net_set;
struct zone;

enum source_identities { IDENTITIES_BY_TYPE, IDENTITIES_STRONG, IDENTITIES_WEAK };
enum source_profile { PROFILE_FILL, PROFILE_TRUSTED };
enum source_dedupe { DEDUPE_AUTO, DEDUPE_BODY, DEDUPE_NONE };
enum source_payload { PAYLOAD_KEPT, PAYLOAD_NONE };

/* The settings every source has, whatever its type: the common rows of `sources:`
 * fill the first part, the channel host the second. */
struct source {
	int		 channel;	/* index into channel_names, or -1: the event says */
	int		 direction;	/* index into direction_names, or -1 */
	struct str	 brand;
	struct str	 region;	/* ISO country of its national numbers */
	struct str	 time_zone;	/* IANA name */
	int		 identities;	/* enum source_identities */
	int		 profile;	/* enum source_profile */
	int		 keep_payload;	/* enum source_payload */
	int		 dedupe;	/* enum source_dedupe */
	int64_t		 dedupe_for_ms;
	int64_t		 rate;		/* events a second, 0: any */
	int64_t		 rate_bytes;	/* of bodies a second, 0: any */
	int64_t		 max_body;	/* bytes */
	int64_t		 max_inflated;	/* bytes; 0: max_body */
	int64_t		 max_depth;	/* maps and lists in each other */
	int64_t		 max_in_flight;	/* events that are not answered yet */
	bool		 paused;
	struct conf_texts was;		/* former names, oldest first */
	struct str	 own_public_url;	/* as written */

	struct str	 name;
	struct str	 preset;	/* what it is made from; none */
	struct str	 key_name;	/* the oldest: dedupe keys use it */
	const struct zone *zone;	/* of times that tell none; NULL: UTC */
	struct identity_rules rules;
	bool		 is_strong;	/* its strong kinds make strong identities */
	bool		 keeps_keys;	/* seen.until is null: for ever */
	struct str	 public_url;	/* as its sender knows it; .p NULL: not said */
	bool		 public_url_is_whole;	/* it stands for /in/NAME too */
	const struct net_set *proxies;	/* NULL: nobody's X-Forwarded headers count */
};

extern const char *const channel_names[];	/* DESIGN section 1; ended by NULL */
extern const char *const direction_names[];

#endif
