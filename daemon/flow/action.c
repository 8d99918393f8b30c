/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The types of actions, and the smallest of them: notify, which PostgreSQL does by itself.
 */
#include "flow/action_types.h"

#include <json-c/json.h>

struct notify_conf {
	struct str	 channel;
};

#define OF_NOTIFY(field) offsetof(struct notify_conf, field)

static const struct conf_key notify_keys[] = {
	{ "channel", CONF_TEXT, OF_NOTIFY(channel), .def = "touchlog", .reload = true,
	    .help = "The channel of LISTEN; its payload is JSON: rule, firing, interaction and "
	    "customer by their ids." },
	{ 0 },
};

static struct json_object *
notify_settings(const void *own)
{
	const struct notify_conf *conf = own;
	struct json_object *settings = json_object_new_object();

	if (settings != NULL)
		(void)json_object_object_add(settings, "channel",
		    json_object_new_string_len(conf->channel.p, (int)conf->channel.n));
	return settings;
}

const struct action_type action_notify = {
	.name = "notify", .keys = notify_keys, .conf_size = sizeof(struct notify_conf),
	.settings = notify_settings,
};

const struct action_type *const action_types[] = {
	&action_email,
	&action_notify,
	&action_priority,
	&action_stage,
	&action_tag,
	&action_task,
	&action_webhook,
	NULL,
};
