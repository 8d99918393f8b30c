/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running daemon: its parts, in the order in which they start, and what signals do.
 *
 * SIGHUP loads the configuration again: whole, or not at all.  SIGTERM and SIGINT stop
 * listening, answer what was begun (for at most drain_timeout; then it goes to the spool,
 * or is answered with 503), and end; a second one ends at once.
 */
#include "edge/daemon.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "edge/channel_host.h"
#include "edge/config.h"
#include "edge/listener.h"
#include "edge/service.h"
#include "edge/unsubscribe.h"
#include "flow/action_set.h"
#include "flow/dispatcher.h"
#include "flow/intake.h"
#include "flow/keeper.h"
#include "flow/rule_set.h"
#include "flow/rules.h"
#include "io/loop.h"
#include "io/passed_sockets.h"

enum {
	DRAIN_TICK_MS = 50,
	LAST_ANSWERS_US = 500 * 1000,	/* to send them to who still waits */
	SPOOL_ANSWERS_US = 5000 * 1000,	/* the same, when the spool's disk is to answer first */
	STOP_MARGIN_MS = 5000,		/* for all that comes after */
	INSTANCE_BYTES = 512,
	HOST_BYTES = 64,
	NSIGNALS = 3,
};

struct daemon {
	const char		*path;
	const char		*version;
	bool			 holds_actions;
	struct config		*config;	/* ours until the host takes it */
	char			*conninfo;	/* ours: outlives reloads */
	struct loop		*loop;		/* ours, as all that follow */
	struct intake		*intake;
	struct keeper		*keeper;
	struct channel_host	*host;
	struct rules		*rules;
	struct unsubscribe	*unsubscribe;
	struct listeners	*listeners;
	struct dispatcher	*dispatcher;
	struct service		*service;
	struct event		*signals[NSIGNALS];
	struct event		*drain;		/* looks whether all is answered */
	int64_t			 drain_until_us;	/* clock_mono_us() */
	bool			 is_draining;
	bool			 has_given_up;	/* drain_timeout is over */
};

/* ---- reload ---- */

static void
tell_fixed(void *arg, const char *path)
{
	(void)arg;
	log_warn("setting_needs_restart", F_TEXT("setting", path));
}

static void
set_reload_metrics(bool was_good)
{
	metric_set(metric_get(METRIC_CONFIG_RELOAD_SUCCESSFUL, NULL, NULL), was_good);
	if (was_good)
		metric_set(metric_get(METRIC_CONFIG_RELOAD_TIME, NULL, NULL),
		    (double)clock_now_us() / 1e6);
}

static void
release_config(void *arg)
{
	channel_host_release(arg);
}

/* Of the configuration in use, which lives as long as the actions do. */
static struct action_set *
make_actions(struct daemon *d, struct err *err)
{
	const struct config *c = channel_host_config(d->host);
	const struct action_set_conf conf = { .actions = &c->actions, .outbound = &c->outbound,
	    .release = release_config, .arg = channel_host_hold(d->host) };
	struct action_set *set = action_set_new(&conf, err);

	if (set == NULL)
		channel_host_release(conf.arg);
	return set;
}

static void
use_actions(struct daemon *d)
{
	struct err err;
	struct action_set *set = make_actions(d, &err);

	if (set != NULL)
		dispatcher_use(d->dispatcher, set, channel_host_config(d->host)->timer_grace_ms);
	else
		log_error("actions_not_reloaded", F_ERR(&err));
}

static struct rule_set *
rule_set_of(const struct config *c, struct err *err)
{
	struct rule_set *set = rule_set_new(&c->rules, &c->calendars, err);

	if (set != NULL)
		set->is_silent = !config_has_rules(c);
	return set;
}

static bool
use_config(struct daemon *d, struct config *c, struct err *err)
{
	struct rule_set *set = rule_set_of(c, err);

	conf_diff_fixed(config_keys, channel_host_config(d->host), c, tell_fixed, NULL);
	if (set == NULL || !channel_host_use(d->host, c, err)) {
		log_error("reload_failed", F_ERR(err));
		rule_set_free(set);
		return false;
	}
	rules_use(d->rules, set);
	listeners_use(d->listeners, c);
	use_actions(d);
	return true;
}

/* The first of the errors, of which the log has all. */
static bool
is_good(const struct config *c, struct err *err)
{
	if (c == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	for (size_t i = 0; i < conf_errors(c->conf); i++)
		log_error("config_error", F_TEXT("error", conf_error_text(c->conf, i)));
	for (size_t i = 0; i < conf_warnings(c->conf); i++)
		log_warn("config_warning", F_TEXT("warning", conf_warning_text(c->conf, i)));
	return conf_errors(c->conf) == 0 ||
	    err_set(err, ERR_CONFIG, "%s", conf_error_text(c->conf, 0));
}

static void
reload(struct daemon *d)
{
	struct config *c;
	struct err err;
	bool ok;

	service_reloading();
	c = config_load(d->path);
	ok = is_good(c, &err) && use_config(d, c, &err);
	if (ok)
		log_info("config_reloaded", F_NUM("sources", c->sources.n));
	else
		config_free(c);		/* what ran goes on */
	set_reload_metrics(ok);
	service_reloaded(d->service, ok ? NULL : err.text);
}

/* ---- stopping ---- */

static void
start_drain(struct daemon *d)
{
	const struct timeval tv = { 0, DRAIN_TICK_MS * 1000 };
	int64_t most_us = channel_host_config(d->host)->drain_ms * 1000;

	log_info("stopping", F_NUM("drain_ms", most_us / 1000));
	d->is_draining = true;
	d->drain_until_us = clock_mono_us() + most_us;
	service_stopping(d->service, most_us / 1000 + SPOOL_ANSWERS_US / 1000 + STOP_MARGIN_MS);
	listeners_drain(d->listeners);
	intake_stop_draining(d->intake);
	dispatcher_stop(d->dispatcher);
	(void)event_add(d->drain, &tv);
}

/* What a writer still has in hand then, its sender was told to keep. */
static bool
is_drained(const struct daemon *d)
{
	return listeners_are_closed(d->listeners) &&
	    (d->has_given_up || intake_is_empty(d->intake));
}

/* Timers wait for what stays in the spool, and for what is on its way there. */
static bool
dispatcher_is_through(struct daemon *d)
{
	int64_t oldest_us = 0;
	bool spool_is_empty = !d->has_given_up &&
	    intake_oldest_spooled(d->intake, &oldest_us) && oldest_us == 0;

	return dispatcher_has_left(d->dispatcher, spool_is_empty);
}

static void
on_drain(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	if (is_drained(d) && dispatcher_is_through(d)) {
		loop_stop(d->loop);
	} else if (clock_mono_us() < d->drain_until_us) {
		return;
	} else if (d->has_given_up) {
		loop_stop(d->loop);
	} else {
		d->has_given_up = true;
		dispatcher_cancel(d->dispatcher);
		d->drain_until_us = clock_mono_us() +
		    (intake_hand_over(d->intake) ? SPOOL_ANSWERS_US : LAST_ANSWERS_US);
	}
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct daemon *d = arg;

	(void)what;
	if (d->is_draining && number != SIGHUP)
		loop_stop(d->loop);
	else if (number != SIGHUP)
		start_drain(d);
	else if (!d->is_draining)
		reload(d);
}

/* ---- the parts ---- */

static bool
start_loop(struct daemon *d, struct err *err)
{
	static const int numbers[NSIGNALS] = { SIGTERM, SIGINT, SIGHUP };

	d->loop = loop_new(err);
	if (d->loop == NULL)
		return false;
	(void)signal(SIGPIPE, SIG_IGN);
	d->drain = event_new(loop_base(d->loop), -1, EV_PERSIST, on_drain, d);
	for (size_t i = 0; i < NSIGNALS; i++) {
		d->signals[i] = evsignal_new(loop_base(d->loop), numbers[i], on_signal, d);
		if (d->signals[i] == NULL || event_add(d->signals[i], NULL) != 0)
			return err_set(err, ERR_RETRY, "out of memory");
	}
	return d->drain != NULL || err_set(err, ERR_RETRY, "out of memory");
}

static void
stop_loop(struct daemon *d)
{
	for (size_t i = 0; i < NSIGNALS; i++)
		if (d->signals[i] != NULL)
			event_free(d->signals[i]);
	if (d->drain != NULL)
		event_free(d->drain);
	loop_free(d->loop);
}

static bool
start_intake(struct daemon *d, struct err *err)
{
	struct intake_conf conf;

	config_intake(d->config, &conf);
	d->conninfo = strdup(conf.conninfo);
	if (d->conninfo == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	conf.conninfo = d->conninfo;
	d->intake = intake_new(d->loop, &conf, err);
	return d->intake != NULL;
}

static void
stop_intake(struct daemon *d)
{
	intake_free(d->intake);
	free(d->conninfo);
}

static bool
start_keeper(struct daemon *d, struct err *err)
{
	d->keeper = keeper_new(d->loop, d->conninfo, err);
	return d->keeper != NULL;
}

static void
stop_keeper(struct daemon *d)
{
	keeper_free(d->keeper);
}

static bool
start_host(struct daemon *d, struct err *err)
{
	d->host = channel_host_new(d->intake, loop_base(d->loop), err);
	if (d->host == NULL || !channel_host_use(d->host, d->config, err))
		return false;
	d->config = NULL;	/* the host's now */
	return true;
}

static void
stop_host(struct daemon *d)
{
	channel_host_free(d->host);
}

static bool
start_rules(struct daemon *d, struct err *err)
{
	struct rule_set *set = rule_set_of(channel_host_config(d->host), err);

	d->rules = set != NULL ? rules_new(d->loop, d->conninfo, err) : NULL;
	if (d->rules != NULL)
		rules_use(d->rules, set);
	else
		rule_set_free(set);
	return d->rules != NULL;
}

static void
stop_rules(struct daemon *d)
{
	rules_free(d->rules);
}

static bool
start_unsubscribe(struct daemon *d, struct err *err)
{
	d->unsubscribe = unsubscribe_new(d->loop, d->conninfo, d->intake, err);
	return d->unsubscribe != NULL;
}

static void
stop_unsubscribe(struct daemon *d)
{
	unsubscribe_free(d->unsubscribe);
}

/* As many connections as the limits of the listeners allow, where the system does. */
static void
raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static bool
start_listeners(struct daemon *d, struct err *err)
{
	struct passed_sockets *passed = passed_sockets_new(err);

	if (passed == NULL)
		return false;
	raise_file_limit();
	d->listeners = listeners_new(d->loop, channel_host_config(d->host), passed, d->host,
	    d->intake, d->rules, d->unsubscribe, err);
	if (d->listeners != NULL)
		passed_sockets_tell_rest(passed);
	passed_sockets_free(passed);
	return d->listeners != NULL;
}

static void
stop_listeners(struct daemon *d)
{
	listeners_free(d->listeners);
}

/* Only now: its file is to belong to who uses it. */
static bool
start_spool(struct daemon *d, struct err *err)
{
	const struct spool_conf *conf = &channel_host_config(d->host)->spool;

	return conf->path.p == NULL || intake_open_spool(d->intake, conf, err);
}

/* Who we are in the database: the same after a crash, which the spool's lock makes sure of.  Without
 * one, what we leave behind is taken up when its leases have run out. */
static void
name_instance(const struct daemon *d, char out[INSTANCE_BYTES])
{
	struct str path = channel_host_config(d->host)->spool.path;
	char host[HOST_BYTES] = "";

	(void)gethostname(host, sizeof(host) - 1);
	if (path.p != NULL)
		(void)snprintf(out, INSTANCE_BYTES, "%s %.*s", host, STR_ARG(path));
	else
		(void)snprintf(out, INSTANCE_BYTES, "%s %d.%08x", host, (int)getpid(),
		    arc4random());
}

static void
on_enqueued(void *arg)
{
	dispatcher_poke(arg);
}

static bool
start_dispatcher(struct daemon *d, struct err *err)
{
	char instance[INSTANCE_BYTES];
	const struct dispatcher_conf conf = { .conninfo = d->conninfo, .instance = instance,
	    .intake = d->intake, .holds = d->holds_actions,
	    .has_spool = channel_host_config(d->host)->spool.path.p != NULL };
	struct action_set *set = make_actions(d, err);

	if (set == NULL)
		return false;
	name_instance(d, instance);
	d->dispatcher = dispatcher_new(d->loop, &conf, set,
	    channel_host_config(d->host)->timer_grace_ms, err);
	if (d->dispatcher == NULL) {
		action_set_release(set);
		return false;
	}
	intake_tell_enqueued(d->intake, on_enqueued, d->dispatcher);
	return true;
}

static void
stop_dispatcher(struct daemon *d)
{
	intake_tell_enqueued(d->intake, NULL, NULL);
	dispatcher_free(d->dispatcher);
}

/* Whoever still waits is told to keep its event, while the requests and channels that
 * the receipts stand in are there. */
static void
close_door(struct daemon *d)
{
	intake_give_up(d->intake);
}

/* Root was needed for the ports and secrets only. */
static bool
drop_root(struct daemon *d, struct err *err)
{
	const char *name = channel_host_config(d->host)->user.p;
	const struct passwd *pw;

	if (name == NULL || geteuid() != 0)
		return true;
	pw = getpwnam(name);
	if (pw == NULL)
		return err_set(err, ERR_CONFIG, "user: there is no user %s", name);
	if (initgroups(name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
		return err_set(err, ERR_CONFIG, "user: cannot become %s: %s", name,
		    strerror(errno));
	log_info("root_dropped", F_TEXT("user", name));
	return true;
}

static bool
start_service(struct daemon *d, struct err *err)
{
	d->service = service_new(d->loop, d->intake, err);
	return d->service != NULL;
}

static void
stop_service(struct daemon *d)
{
	service_free(d->service);
}

static const struct part {
	const char	*name;
	bool		(*start)(struct daemon *d, struct err *err);
	void		(*stop)(struct daemon *d);	/* also after a start that failed; or NULL */
} parts[] = {
	{ "loop",	start_loop,	 stop_loop },
	{ "intake",	start_intake,	 stop_intake },
	{ "keeper",	start_keeper,	 stop_keeper },
	{ "channels",	start_host,	 stop_host },
	{ "rules",	start_rules,	 stop_rules },
	{ "unsubscribe", start_unsubscribe, stop_unsubscribe },
	{ "listeners",	start_listeners, stop_listeners },
	{ "user",	drop_root,	 NULL },
	{ "spool",	start_spool,	 close_door },
	{ "dispatcher",	start_dispatcher, stop_dispatcher },
	{ "service",	start_service,	 stop_service },
};

enum { NPARTS = sizeof(parts) / sizeof(parts[0]) };

bool
daemon_run(const char *path, struct config *take_config, const char *version, bool holds_actions,
    struct err *err)
{
	struct daemon d = { .path = path, .version = version, .config = take_config,
	    .holds_actions = holds_actions };
	size_t n = 0;
	bool ok = true;

	while (ok && n < NPARTS) {
		ok = parts[n].start(&d, err);
		if (!ok)
			(void)err_in(err, "part=%s", parts[n].name);
		n++;
	}
	if (ok) {
		metric_set(metric_get(METRIC_BUILD_INFO, version, NULL), 1);
		metric_set(metric_get(METRIC_START_TIME, NULL, NULL), (double)clock_now_us() / 1e6);
		set_reload_metrics(true);
		log_info("started", F_TEXT("version", version), F_NUM("pid", getpid()));
		loop_run(d.loop);
		log_info("stopped", F_NUM("pid", getpid()));
	}
	while (n-- > 0)
		if (parts[n].stop != NULL)
			parts[n].stop(&d);
	config_free(d.config);
	metric_free_all();
	return ok;
}
