/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Actions that change the customer: stage, tag, priority.  PostgreSQL does them, in the profile of
 * the root, and tells it in customer_change: touchlog.perform_profile().
 */
#include <json-c/json_object.h>

#include "flow/action_types.h"

/* ---- stage ---- */

struct stage_conf {
	struct str			 to;
	const struct conf_texts		*stages;	/* the configuration's */
};

static const struct conf_key stage_keys[] = {
	{ "to", CONF_TEXT, offsetof(struct stage_conf, to), .required = true, .reload = true,
	    .help = "The customer's new stage: one of `stages`." },
	{ 0 },
};

static void
use_stages(void *own, const struct action_env *env)
{
	struct stage_conf *s = own;

	s->stages = env->stages;
}

static bool
is_stage(const struct conf_texts *stages, struct str name)
{
	for (size_t i = 0; i < stages->n; i++)
		if (str_eq(stages->v[i], name))
			return true;
	return false;
}

static void
check_stage(struct conf *c, const struct conf_node *node, void *own)
{
	const struct stage_conf *s = own;

	if (s->to.p != NULL && !is_stage(s->stages, s->to))
		conf_complain(c, conf_find(node, "to"), "to: %.*s is none of `stages`",
		    STR_ARG(s->to));
}

static struct json_object *
stage_settings(const void *own)
{
	const struct stage_conf *s = own;
	struct json_object *o = json_object_new_object();

	if (o != NULL)
		(void)json_object_object_add(o, "to",
		    json_object_new_string_len(s->to.p, (int)s->to.n));
	return o;
}

const struct action_type action_stage = {
	.name = "stage", .keys = stage_keys, .conf_size = sizeof(struct stage_conf),
	.use = use_stages, .check = check_stage, .settings = stage_settings,
};

/* ---- tag ---- */

struct tag_conf {
	struct conf_texts	add, remove;
};

static const struct conf_key tag_keys[] = {
	{ "add", CONF_TEXTS, offsetof(struct tag_conf, add), .reload = true,
	    .help = "Tags that the customer gets." },
	{ "remove", CONF_TEXTS, offsetof(struct tag_conf, remove), .reload = true,
	    .help = "Tags that are taken away." },
	{ 0 },
};

static void
check_tag(struct conf *c, const struct conf_node *node, void *own)
{
	const struct tag_conf *t = own;

	if (t->add.n == 0 && t->remove.n == 0)
		conf_complain(c, node, "add or remove: one of them is needed");
	for (size_t i = 0; i < t->add.n; i++)
		for (size_t k = 0; k < t->remove.n; k++)
			if (str_eq(t->add.v[i], t->remove.v[k]))
				conf_complain(c, conf_find(node, "remove"),
				    "remove: %.*s is added as well", STR_ARG(t->remove.v[k]));
}

static void
add_texts(struct json_object *o, const char *key, const struct conf_texts *texts)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; list != NULL && i < texts->n; i++)
		(void)json_object_array_add(list,
		    json_object_new_string_len(texts->v[i].p, (int)texts->v[i].n));
	(void)json_object_object_add(o, key, list);
}

static struct json_object *
tag_settings(const void *own)
{
	const struct tag_conf *t = own;
	struct json_object *o = json_object_new_object();

	if (o == NULL)
		return NULL;
	add_texts(o, "add", &t->add);
	add_texts(o, "remove", &t->remove);
	return o;
}

const struct action_type action_tag = {
	.name = "tag", .keys = tag_keys, .conf_size = sizeof(struct tag_conf),
	.check = check_tag, .settings = tag_settings,
};

/* ---- priority ---- */

struct priority_conf {
	int64_t	to;
};

static const struct conf_key priority_keys[] = {
	{ "to", CONF_INT, offsetof(struct priority_conf, to), .required = true, .reload = true,
	    .min = 1, .max = 32767,
	    .help = "The customer's new priority; 1 is the most important." },
	{ 0 },
};

static struct json_object *
priority_settings(const void *own)
{
	const struct priority_conf *p = own;
	struct json_object *o = json_object_new_object();

	if (o != NULL)
		(void)json_object_object_add(o, "to", json_object_new_int64(p->to));
	return o;
}

const struct action_type action_priority = {
	.name = "priority", .keys = priority_keys, .conf_size = sizeof(struct priority_conf),
	.settings = priority_settings,
};
