/* SPDX-License-Identifier: Apache-2.0 */
/* Rules as they are configured: their rows, and what can be said of them without a database. */
#include "flow/rule_conf.h"

#include "base/buf.h"
#include "flow/rule_text.h"

enum { NAMES_MAX_BYTES = 4096, COUNT_MAX = 100000 };

#define YEARS_100_MS	(100 * 365 * INT64_C(86400000))

const char *const rule_wait_from_names[] = { "first", "last", NULL };
const char *const rule_per_names[] = { "customer", "thread", "interaction", NULL };
const char *const rule_mode_names[] = { "live", "shadow", "off", NULL };

#define OF(field) offsetof(struct rule_conf, field)

const struct conf_key rule_keys[] = {
	{ "when", CONF_TEXT, OF(when), .required = true, .reload = true,
	    .help = "A SQL condition: which interactions match. It may name the columns of an "
	    "interaction, customer.name, .stage, .tags, .owner, .priority, .language, .time_zone, "
	    ".attributes, .created_at, .interactions, .first_seen and .last_seen, and call what is "
	    "immutable, such as num(attributes,'x'), str(attributes,'/a/b') and has(attributes,'x')." },
	{ "count", CONF_INT, OF(count), .min = 1, .max = COUNT_MAX, .reload = true,
	    .help = "Fires only with so many matches of one subject." },
	{ "within", CONF_MS, OF(within_ms), .min = 1000, .max = YEARS_100_MS, .reload = true,
	    .help = "The time within which `count` is reached." },
	{ "wait", CONF_TEXT, OF(wait), .reload = true,
	    .help = "Fires only so long after the match: a duration, or a SQL interval expression "
	    "over the same columns." },
	{ "at", CONF_TEXT, OF(at), .reload = true,
	    .help = "Instead of `wait`: when it fires, as a SQL timestamptz expression, such as "
	    "ts(attributes,'expires') - interval '3 days'. Null: not at all." },
	{ "unless", CONF_TEXT, OF(unless), .reload = true,
	    .help = "A SQL condition as `when`: such an interaction of the same subject, behind the "
	    "match and before it fires, cancels it." },
	{ "wait_from", CONF_ENUM, OF(wait_from), .choices = rule_wait_from_names, .def = "first",
	    .reload = true, .help = "Which of several matches the wait begins with." },
	{ "per", CONF_ENUM, OF(per), .choices = rule_per_names, .def = "customer", .reload = true,
	    .help = "The subject: what is counted, waited and cooled down for." },
	{ "cooldown", CONF_TEXT, OF(cooldown), .reload = true,
	    .help = "Fires at most once in that time for one subject: a duration, or ever." },
	{ "max_age", CONF_MS, OF(max_age_ms), .min = 1000, .max = YEARS_100_MS, .def = "1d",
	    .reload = true, .help = "What happened longer before it was received does not fire "
	    "(too_old)." },
	{ "calendar", CONF_TEXT, OF(calendar), .reload = true,
	    .help = "One of `calendars`: `wait`, `within` and the `due` of tasks count only its "
	    "opening time; 1d is then 24 hours of it." },
	{ "mode", CONF_ENUM, OF(mode), .choices = rule_mode_names, .def = "live", .reload = true,
	    .help = "shadow: decided and recorded, but not done." },
	{ "do", CONF_TEXTS, OF(actions), .reload = true,
	    .help = "Names of `actions`, in their order. Each stands alone: one that fails does not "
	    "stop the next." },
	{ 0 },
};

struct judge {
	struct conf			*c;
	const struct conf_named		*named;
	struct rule_conf		*rule;
};

#define complain(j, node, fmt, ...)						\
	conf_complain((j)->c, (node), "rules.%.*s." fmt, STR_ARG((j)->named->name), __VA_ARGS__)

static const struct conf_node *
value_of(const struct judge *j, const char *key)
{
	return conf_find(j->named->node, key);
}

static bool
has(const struct judge *j, const char *key)
{
	return value_of(j, key) != NULL;
}

/* ---- names ---- */

static const char *
name_at(void *arg, size_t i)
{
	const struct conf_named_list *list = arg;

	return i < list->n ? list->v[i].name.p : NULL;
}

static bool
is_in(const struct conf_named_list *list, struct str name)
{
	for (size_t i = 0; i < list->n; i++)
		if (str_eq(list->v[i].name, name))
			return true;
	return false;
}

/* "did you mean ...?", or all there are. */
static void
complain_unknown(const struct judge *j, const char *key, const struct conf_node *at,
    const char *where, const struct conf_named_list *list)
{
	union { const struct conf_named_list *in; void *out; } arg = { .in = list };
	const char *nearest = conf_nearest(conf_text(at), name_at, arg.out), *name;
	struct buf all;

	buf_init(&all, NAMES_MAX_BYTES);
	for (size_t i = 0; (name = name_at(arg.out, i)) != NULL; i++)
		buf_printf(&all, "%s%s", i > 0 ? ", " : "; known are: ", name);
	if (nearest != NULL)
		complain(j, at, "%s: there is no \"%.*s\" in %s; did you mean \"%s\"?", key,
		    STR_ARG(str_prefix_utf8(conf_text(at), 60)), where, nearest);
	else
		complain(j, at, "%s: there is no \"%.*s\" in %s%.*s", key,
		    STR_ARG(str_prefix_utf8(conf_text(at), 60)), where, STR_ARG(buf_str(&all)));
	buf_fini(&all);
}

static void
check_actions(const struct judge *j, const struct conf_named_list *actions)
{
	const struct conf_node *list = value_of(j, "do");

	for (size_t i = 0; i < (conf_is_list(list) ? conf_count(list) : list != NULL); i++) {
		const struct conf_node *one = conf_is_list(list) ? conf_item(list, i) : list;

		if (conf_is_scalar(one) && !is_in(actions, conf_text(one)))
			complain_unknown(j, "do", one, "actions", actions);
	}
	if (j->rule->actions.n == 0 && j->rule->mode == MODE_LIVE)
		conf_warn(j->c, conf_find_key(j->named->node, "when"), "rules.%.*s: it has no `do`: "
		    "its firings are recorded, and nothing is done", STR_ARG(j->named->name));
}

/* ---- expressions ---- */

static void
check_expression(const struct judge *j, const char *key)
{
	const struct conf_node *text = value_of(j, key);
	const char *why;
	size_t at;

	if (conf_is_scalar(text) && !rule_text_check(conf_text(text), &at, &why))
		conf_complain_at(j->c, text, at, "rules.%.*s.%s: %s", STR_ARG(j->named->name), key, why);
}

/* "2 days", "10": meant as a duration, and no SQL. */
static bool
looks_like_duration(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= '0' && s.p[i] <= '9') && !(s.p[i] >= 'a' && s.p[i] <= 'z') &&
		    !(s.p[i] >= 'A' && s.p[i] <= 'Z') && s.p[i] != ' ' && s.p[i] != '.')
			return false;
	return s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9';
}

static void
check_wait(const struct judge *j)
{
	struct rule_conf *r = j->rule;

	r->wait_ms = -1;
	if (r->wait.p == NULL || conf_parse_ms(r->wait, &r->wait_ms))
		return;
	if (looks_like_duration(r->wait))
		complain(j, value_of(j, "wait"), "wait: \"%.*s\" is no duration, such as 48h, and no SQL "
		    "interval, such as interval '2 days'", STR_ARG(str_prefix_utf8(r->wait, 60)));
	else
		check_expression(j, "wait");
}

static void
check_cooldown(const struct judge *j)
{
	struct rule_conf *r = j->rule;

	r->cooldown_ms = -1;
	if (r->cooldown.p == NULL || str_eq(r->cooldown, STR("ever")))
		return;
	if (!conf_parse_ms(r->cooldown, &r->cooldown_ms) || r->cooldown_ms < 1000 ||
	    r->cooldown_ms > YEARS_100_MS)
		complain(j, value_of(j, "cooldown"), "cooldown: \"%.*s\" is no duration, such as 30d, and "
		    "not ever", STR_ARG(str_prefix_utf8(r->cooldown, 60)));
}

/* ---- what does not go together ---- */

static void
check_keys(const struct judge *j)
{
	bool waits = has(j, "wait") || has(j, "at");

	if (has(j, "wait") && has(j, "at"))
		complain(j, conf_find_key(j->named->node, "at"), "%s", "at: goes without wait; "
		    "remove one of them");
	if (has(j, "unless") && !waits)
		complain(j, conf_find_key(j->named->node, "unless"), "%s", "unless: there is nothing to "
		    "cancel without wait or at; put into `when` what is true at once");
	if (has(j, "wait_from") && !waits)
		complain(j, conf_find_key(j->named->node, "wait_from"), "%s", "wait_from: goes with wait "
		    "or at");
	if (has(j, "count") && !has(j, "within"))
		complain(j, conf_find_key(j->named->node, "count"), "%s", "count: needs within: in which "
		    "time?");
	if (has(j, "within") && !has(j, "count"))
		complain(j, conf_find_key(j->named->node, "within"), "%s", "within: goes with count: how "
		    "many?");
	if (has(j, "count") && j->rule->per == PER_INTERACTION)
		complain(j, conf_find_key(j->named->node, "count"), "%s", "count: does not go with per: "
		    "interaction, of which there is always one");
}

void
rule_conf_check(struct conf *c, const struct conf_named *named,
    const struct conf_named_list *actions, const struct conf_named_list *calendars)
{
	struct judge j = { c, named, named->common };

	j.rule->name = named->name;
	j.rule->node = named->node;
	check_keys(&j);
	check_expression(&j, "when");
	check_expression(&j, "unless");
	check_expression(&j, "at");
	check_wait(&j);
	check_cooldown(&j);
	if (j.rule->calendar.p != NULL && !is_in(calendars, j.rule->calendar))
		complain_unknown(&j, "calendar", value_of(&j, "calendar"), "calendars", calendars);
	check_actions(&j, actions);
}
