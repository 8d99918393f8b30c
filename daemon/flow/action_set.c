/* SPDX-License-Identifier: Apache-2.0 */
/* The actions of one configuration, as JSON for the database and by name for deliveries. */
#include "flow/action_set.h"

#include <stdlib.h>

#include <json-c/json_object.h>

#include "base/buf.h"
#include "base/json.h"
#include "flow/action.h"

enum { JSON_MAX_BYTES = 16 * 1024 * 1024 };

struct action_set {
	struct action_set_conf	 conf;
	struct buf		 json;		/* ours; ends with a NUL */
	size_t			 nholds;
};

/* "type" is there in any case: the rest is the type's own. */
static bool
add_action(struct buf *out, const struct conf_named *named)
{
	const struct action *a = named->common;
	struct json_object *settings = a->type->settings != NULL ? a->type->settings(named->own) :
	    json_object_new_object();

	if (settings == NULL || json_object_object_add(settings, "type",
	    json_object_new_string(a->type->name)) != 0) {
		json_object_put(settings);
		return false;
	}
	buf_text(out, out->n > 1 ? "," : "");
	buf_json(out, named->name);
	buf_text(out, ":");
	json_write(out, settings, NULL);
	json_object_put(settings);
	return buf_ok(out);
}

static bool
make_json(struct action_set *s)
{
	const struct conf_named_list *list = s->conf.actions;

	buf_init(&s->json, JSON_MAX_BYTES);
	buf_text(&s->json, "{");
	for (size_t i = 0; i < list->n; i++)
		if (!add_action(&s->json, &list->v[i]))
			return false;
	buf_add(&s->json, "}", 2);
	return buf_ok(&s->json);
}

struct action_set *
action_set_new(const struct action_set_conf *conf, struct err *err)
{
	struct action_set *s = calloc(1, sizeof(*s));

	if (s != NULL) {
		s->conf = *conf;
		s->nholds = 1;
		if (make_json(s))
			return s;
		buf_fini(&s->json);
		free(s);
	}
	(void)err_set(err, ERR_RETRY, "out of memory");
	return NULL;
}

void
action_set_hold(struct action_set *s)
{
	s->nholds++;
}

void
action_set_release(struct action_set *s)
{
	struct action_set_conf conf;

	if (s == NULL || --s->nholds > 0)
		return;
	conf = s->conf;
	buf_fini(&s->json);
	free(s);
	conf.release(conf.arg);
}

const struct conf_named *
action_set_find(const struct action_set *s, struct str name)
{
	for (size_t i = 0; i < s->conf.actions->n; i++)
		if (str_eq(s->conf.actions->v[i].name, name))
			return &s->conf.actions->v[i];
	return NULL;
}

const struct outbound_conf *
action_set_outbound(const struct action_set *s)
{
	return s->conf.outbound;
}

const char *
action_set_json(const struct action_set *s)
{
	return s->json.p;
}

size_t
action_set_count(const struct action_set *s)
{
	return s->conf.actions->n;
}
