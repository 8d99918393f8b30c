/* SPDX-License-Identifier: Apache-2.0 */
/* Action `task`: something for a person to do.  PostgreSQL does it: touchlog.perform_task(). */
#include <inttypes.h>
#include <stdio.h>

#include <json-c/json_object.h>

#include "flow/action_types.h"

enum { SECONDS_BYTES = 40, UNSET = -32768 };

struct task_conf {
	struct str	title, assign, calendar;
	int64_t		due_ms;			/* 0: never */
	int64_t		priority;		/* UNSET: none */
};

#define OF_TASK(field) offsetof(struct task_conf, field)

static const struct conf_key task_keys[] = {
	{ "title", CONF_TEXT, OF_TASK(title), .required = true, .reload = true,
	    .help = "What is to be done: a template, such as \"Call {customer.name|them} back: "
	    "{subject}\"." },
	{ "assign", CONF_TEXT, OF_TASK(assign), .reload = true,
	    .help = "Whose it is: a person or a team, as a template ({customer.owner|care})." },
	{ "due", CONF_MS, OF_TASK(due_ms), .reload = true,
	    .help = "By when, counted from the decision. A task that is late is logged as "
	    "task_overdue, once." },
	{ "calendar", CONF_TEXT, OF_TASK(calendar), .reload = true,
	    .help = "Counts only its opening time for `due`; a name of `calendars`." },
	{ "priority", CONF_INT, OF_TASK(priority), .min = -32768, .max = 32767, .def = "-32768",
	    .reload = true, .help = "Its own priority, 1 being the most important. Default: none; "
	    "`touchlog task list` goes by the customer's first." },
	{ 0 },
};

static void
check_task(struct conf *c, const struct conf_node *node, void *own)
{
	const struct task_conf *t = own;
	struct err err;

	if (t->title.p != NULL && !action_template_check(t->title, &err))
		conf_complain(c, conf_find(node, "title"), "title: %s", err.text);
	if (t->assign.p != NULL && !action_template_check(t->assign, &err))
		conf_complain(c, conf_find(node, "assign"), "assign: %s", err.text);
	if (t->calendar.p != NULL && t->due_ms == 0)
		conf_complain(c, conf_find(node, "calendar"),
		    "calendar: it counts the time of `due`, which is not set");
}

static void
add_text(struct json_object *o, const char *key, struct str text)
{
	if (text.p != NULL)
		(void)json_object_object_add(o, key,
		    json_object_new_string_len(text.p, (int)text.n));
}

static struct json_object *
task_settings(const void *own)
{
	const struct task_conf *t = own;
	struct json_object *o = json_object_new_object();
	char due[SECONDS_BYTES];

	if (o == NULL)
		return NULL;
	add_text(o, "title", t->title);
	add_text(o, "assign", t->assign);
	add_text(o, "calendar", t->calendar);
	if (t->due_ms > 0) {
		(void)snprintf(due, sizeof(due), "%" PRId64 ".%03d s", t->due_ms / 1000,
		    (int)(t->due_ms % 1000));
		add_text(o, "due", str_of(due));
	}
	if (t->priority != UNSET)
		(void)json_object_object_add(o, "priority", json_object_new_int64(t->priority));
	return o;
}

const struct action_type action_task = {
	.name = "task", .keys = task_keys, .conf_size = sizeof(struct task_conf),
	.check = check_task, .settings = task_settings,
};
