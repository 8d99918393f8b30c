/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings: one row each.  The rows of a source's type stand with the type, in
 * channels/; those that every source has, here.
 */
#include "edge/config.h"

#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/net_set.h"
#include "channels/channel.h"
#include "channels/registry.h"
#include "flow/action.h"
#include "flow/calendar_conf.h"
#include "flow/rule_conf.h"
#include "io/listen_address.h"
#include "io/pg_conn.h"
#include "io/request_url.h"
#include "io/tls_context.h"
#include "model/zone.h"

enum { MAX_TYPES = 32, EXPIRY_WARNING_DAYS = 14 };

static const char *const payload_names[] = { "kept", "none", NULL };
static const char *const identities_names[] = { "by_type", "strong", "weak", NULL };
static const char *const profile_names_of_source[] = { "fill", "trusted", NULL };
static const char *const dedupe_names[] = { "auto", "body", "none", NULL };
static const char *const role_names[] = { "ingest", "ops", NULL };

static const struct conf_key database_keys[] = {
	{ "conninfo", CONF_TEXT, offsetof(struct database_conf, conninfo_text),
	    .def = "dbname=touchlog",
	    .help = "libpq's connection string for the daemon. Of several hosts, with "
	    "target_session_attrs=read-write, it uses the one that can be written to. Its role is a "
	    "member of touchlog_daemon. Session pooling only: not through pgbouncer by "
	    "transaction." },
	{ "admin_conninfo", CONF_TEXT, offsetof(struct database_conf, admin_conninfo),
	    .help = "The same for `touchlog migrate`, whose role can become touchlog_admin. "
	    "Default: conninfo." },
	{ "reader_conninfo", CONF_TEXT, offsetof(struct database_conf, reader_conninfo),
	    .help = "The same for commands that only read, e.g. a member of touchlog_reader. "
	    "Default: conninfo." },
	{ "writers", CONF_INT, offsetof(struct database_conf, writers), .min = 1, .max = 16,
	    .def = "2", .help = "Connections that write batches." },
	{ 0 },
};

static const char *const tls_version_names[] = { "1.2", "1.3", NULL };

static const struct conf_key tls_keys[] = {
	{ "certificate", CONF_SECRETS, offsetof(struct tls_conf, certificate), .required = true,
	    .is_public = true, .reload = true,
	    .help = "The certificate in PEM form, and behind it those of its chain: file:PATH or "
	    "cred:NAME. A reload reads it again." },
	{ "key", CONF_SECRETS, offsetof(struct tls_conf, key), .required = true, .reload = true,
	    .help = "Its private key in PEM form, without a passphrase. Started as root, the "
	    "daemon reads it before it becomes `user`, who has to be able to read it at a reload." },
	{ "min_version", CONF_ENUM, offsetof(struct tls_conf, min_version), .reload = true,
	    .choices = tls_version_names, .def = "1.2",
	    .help = "The oldest version of TLS that is spoken." },
	{ 0 },
};

static const struct conf_key listener_keys[] = {
	{ "address", CONF_TEXT, offsetof(struct listener_conf, address), .required = true,
	    .help = "ADDRESS:PORT, e.g. 127.0.0.1:8080 or [::]:8080; port 0 lets the kernel choose." },
	{ "serve", CONF_FLAGS, offsetof(struct listener_conf, serve), .required = true,
	    .choices = role_names,
	    .help = "What it answers: ingest (/in/SOURCE), ops (/healthz /readyz /metrics /status)." },
	{ "tls", CONF_BLOCK, offsetof(struct listener_conf, tls), .keys = tls_keys,
	    .help = "Speaks HTTPS. A reload may add it, change it and take it away, for "
	    "connections from then on." },
	{ "max_connections", CONF_INT, offsetof(struct listener_conf, max_connections), .min = 1,
	    .max = 1000000, .def = "10000", .reload = true,
	    .help = "Open connections; one more is told 503." },
	{ "max_per_address", CONF_INT, offsetof(struct listener_conf, max_per_address), .min = 1,
	    .max = 1000000, .def = "10000", .reload = true,
	    .help = "Open connections from one address (IPv6: one /64); one more is told 429. "
	    "Behind a proxy they all come from one." },
	{ "max_head", CONF_SIZE, offsetof(struct listener_conf, max_head), .min = 1024,
	    .max = 1048576, .def = "16KiB", .reload = true,
	    .help = "The largest request line and headers together: 414 or 431." },
	{ "max_bodies", CONF_SIZE, offsetof(struct listener_conf, max_bodies), .min = 65536,
	    .max = 17179869184, .def = "256MiB", .reload = true,
	    .help = "Memory for bodies that are being received; when it is used up, a further one "
	    "is told 503. One alone may be larger." },
	{ "request_timeout", CONF_MS, offsetof(struct listener_conf, request_ms), .min = 100,
	    .max = 600000, .def = "30s", .reload = true,
	    .help = "First to last byte of a request; slower ones get 408. A TLS handshake has as "
	    "long." },
	{ "idle_timeout", CONF_MS, offsetof(struct listener_conf, idle_ms), .min = 100,
	    .max = 3600000, .def = "75s", .reload = true,
	    .help = "A connection without a request is closed." },
	{ 0 },
};

static const struct conf_key spool_keys[] = {
	{ "path", CONF_TEXT, offsetof(struct spool_conf, path), .def = "/var/lib/touchlog/spool.db",
	    .help = "Its file, by an absolute path. The folder is there and is the daemon's user's, on "
	    "a disk that lasts; no other daemon uses the same file." },
	{ "max_size", CONF_SIZE, offsetof(struct spool_conf, max_bytes), .min = 1048576,
	    .max = 17592186044416, .def = "1GiB",
	    .help = "What the file may grow to; when it is full, senders get 503. Beside it SQLite "
	    "keeps a log of 20 to 80 MiB." },
	{ 0 },
};

#define OF_SOURCE(field) offsetof(struct source, field)

static const struct conf_key source_keys[] = {
	{ "channel", CONF_ENUM, OF_SOURCE(channel), .reload = true, .choices = channel_names,
	    .help = "The medium, where the event does not say it." },
	{ "direction", CONF_ENUM, OF_SOURCE(direction), .reload = true,
	    .choices = direction_names, .help = "The direction, where the event does not say it; "
	    "else in." },
	{ "brand", CONF_TEXT, OF_SOURCE(brand), .reload = true,
	    .help = "The brand, if several are logged." },
	{ "region", CONF_TEXT, OF_SOURCE(region), .reload = true,
	    .help = "ISO country (NL) by which telephone numbers without a + are read." },
	{ "time_zone", CONF_TEXT, OF_SOURCE(time_zone), .reload = true,
	    .help = "The time zone (Europe/Amsterdam) of mapped times that tell none; else UTC." },
	{ "identities", CONF_ENUM, OF_SOURCE(identities), .reload = true, .def = "by_type",
	    .choices = identities_names,
	    .help = "Whether its e-mail addresses and external ids prove who somebody is (strong) "
	    "and so may join customers. by_type: weak for sources that anybody can post to." },
	{ "profile", CONF_ENUM, OF_SOURCE(profile), .reload = true, .def = "fill",
	    .choices = profile_names_of_source,
	    .help = "Its profile fields fill where nothing stood, or (trusted) overwrite." },
	{ "keep_payload", CONF_ENUM, OF_SOURCE(keep_payload), .reload = true, .def = "kept",
	    .choices = payload_names, .help = "Whether the original stands in `document`." },
	{ "dedupe", CONF_ENUM, OF_SOURCE(dedupe), .reload = true, .def = "auto",
	    .choices = dedupe_names,
	    .help = "By what a retried event is known: its external_id, else Idempotency-Key, else "
	    "(when it says when it occurred) its bytes (auto); always its bytes (body); not at "
	    "all (none)." },
	{ "dedupe_for", CONF_MS, OF_SOURCE(dedupe_for_ms), .min = 86400000,
	    .max = 315360000000000, .reload = true, .def = "400d",
	    .help = "How long a retried event is known." },
	{ "rate", CONF_INT, OF_SOURCE(rate), .min = 0, .max = 10000000, .def = "0",
	    .reload = true, .help = "Events a second, a request being one at least; more are told "
	    "429. 0: any. One second's worth may come at once." },
	{ "rate_bytes", CONF_SIZE, OF_SOURCE(rate_bytes), .min = 0, .max = 17179869184,
	    .def = "0", .reload = true, .help = "Bytes of bodies a second, as they come over the "
	    "wire; more are told 429. 0: any." },
	{ "max_body", CONF_SIZE, OF_SOURCE(max_body), .min = 1024, .max = 268435456,
	    .def = "1MiB", .reload = true, .help = "The largest body: 413." },
	{ "max_inflated", CONF_SIZE, OF_SOURCE(max_inflated), .min = 1024, .max = 268435456,
	    .reload = true, .help = "The largest body when unpacked (gzip, deflate): 413. Default: "
	    "max_body." },
	{ "max_depth", CONF_INT, OF_SOURCE(max_depth), .min = 1, .max = JSON_DEPTH_MAX,
	    .def = "100", .reload = true,
	    .help = "How deep lists and maps of a document may be nested: 422." },
	{ "max_in_flight", CONF_INT, OF_SOURCE(max_in_flight), .min = 1, .max = 10000000,
	    .def = "100000", .reload = true, .help = "Events that may wait for their answer at "
	    "once; more are told 429. One request alone may bring more." },
	{ "paused", CONF_BOOL, OF_SOURCE(paused), .def = "no", .reload = true,
	    .help = "Answers 503, so that senders keep their events." },
	{ "public_url", CONF_TEXT, OF_SOURCE(own_public_url), .reload = true,
	    .help = "The URL that its sender was given, for schemes that sign it. With a path it is "
	    "the whole of it and stands for /in/NAME; else as the setting of all sources." },
	{ "was", CONF_TEXTS, OF_SOURCE(was), .reload = true,
	    .help = "Its former name, or names, oldest first: what was logged under them still "
	    "counts for duplicates." },
	{ 0 },
};

static const struct conf_variant *
source_type(size_t n)
{
	static struct conf_variant types[MAX_TYPES];

	if (n >= MAX_TYPES || channels[n] == NULL)
		return NULL;
	types[n] = (struct conf_variant){ channels[n]->name, channels[n]->keys,
	    channels[n]->conf_size };
	return &types[n];
}

static const struct conf_variant *
action_variant(size_t n)
{
	static struct conf_variant types[MAX_TYPES];

	if (n >= MAX_TYPES || action_types[n] == NULL)
		return NULL;
	types[n] = (struct conf_variant){ action_types[n]->name, action_types[n]->keys,
	    action_types[n]->conf_size };
	return &types[n];
}

static const struct conf_key action_keys[] = {
	{ 0 },
};

static const struct conf_key outbound_keys[] = {
	{ "per_host", CONF_INT, offsetof(struct outbound_conf, per_host), .min = 1, .max = 100,
	    .def = "4", .reload = true,
	    .help = "Requests that are under way to one host at a time." },
	{ "allow_private", CONF_TEXTS, offsetof(struct outbound_conf, allow_private),
	    .reload = true, .help = "Addresses and networks (10.0.0.0/8, 127.0.0.1) that actions may "
	    "reach although they are private. Others that are not public are refused, by the address "
	    "that is connected to. No proxy is used." },
	{ "ca_file", CONF_TEXT, offsetof(struct outbound_conf, ca_file), .reload = true,
	    .help = "Certificates (PEM) that receivers are verified by, instead of the system's." },
	{ 0 },
};

#define OF_CONFIG(field) offsetof(struct config, field)

const struct conf_key config_keys[] = {
	{ "own", CONF_TEXTS, OF_CONFIG(own), .reload = true,
	    .help = "Our own addresses, domains (@example.com) and numbers (+31201234567): they are "
	    "nobody's identity." },
	{ "strong_kinds", CONF_FLAGS, OF_CONFIG(strong), .reload = true,
	    .def = "[external, email]", .choices = identity_rank_names,
	    .help = "Kinds of identity that prove who somebody is, from a strong source." },
	{ "public_url", CONF_TEXT, OF_CONFIG(public_url), .reload = true,
	    .help = "What senders put in front of /in/NAME, such as https://log.example.com. Some "
	    "sign it. Without it, what trusted_proxies say, else http (or https, where the "
	    "listener speaks TLS) and the request's Host." },
	{ "trusted_proxies", CONF_TEXTS, OF_CONFIG(proxies), .reload = true,
	    .help = "Addresses and networks (10.0.0.0/8, ::1) of the proxies in front of the "
	    "listeners: their X-Forwarded-Proto and X-Forwarded-Host are believed." },
	{ "user", CONF_TEXT, OF_CONFIG(user),
	    .help = "Started as root, the daemon becomes this user once its ports are open." },
	{ "database", CONF_BLOCK, OF_CONFIG(database), .keys = database_keys,
	    .help = "PostgreSQL 15 or later." },
	{ "listeners", CONF_NAMED, OF_CONFIG(listeners), .keys = listener_keys,
	    .size = sizeof(struct listener_conf), .required = true,
	    .help = "Where the daemon is spoken to over HTTP." },
	{ "sources", CONF_NAMED, OF_CONFIG(sources), .reload = true, .keys = source_keys,
	    .size = sizeof(struct source), .variant = source_type,
	    .help = "The inlets, by name: /in/NAME. Sources can be added, changed and removed "
	    "by a reload." },
	{ "smtp", CONF_BLOCK, OF_CONFIG(mail), .keys = smtp_keys,
	    .help = "The mail server by which actions of type email send." },
	{ "consent_model", CONF_ENUM, OF_CONFIG(mail) + offsetof(struct mail_conf, consent_model),
	    .choices = consent_model_names, .def = "opt_in", .reload = true,
	    .help = "What goes out for marketing: opt_in: only to who has agreed. opt_out: to all but "
	    "those who have objected." },
	{ "mail_cap", CONF_TEXT, OF_CONFIG(mail) + offsetof(struct mail_conf, cap), .def = "3/1d",
	    .reload = true, .help = "The most mails to one address within a time, whatever their "
	    "purpose; one more is not sent (capped). Our own addresses are not counted. none: any "
	    "number." },
	{ "template_dir", CONF_TEXT, OF_CONFIG(mail) + offsetof(struct mail_conf, template_dir),
	    .def = TOUCHLOG_SYSCONFDIR "/touchlog/templates", .reload = true,
	    .help = "The folder of the templates of mails. They are read with the configuration, also "
	    "at a reload." },
	{ "actions", CONF_NAMED, OF_CONFIG(actions), .reload = true, .keys = action_keys,
	    .size = sizeof(struct action), .variant = action_variant,
	    .help = "What rules do, by name." },
	{ "rules", CONF_NAMED, OF_CONFIG(rules), .reload = true, .keys = rule_keys,
	    .size = sizeof(struct rule_conf),
	    .help = "What follows from an interaction, by name. All daemons of a database run the same "
	    "set: the one that was installed last, by a start, a reload or `touchlog rule apply`." },
	{ "calendars", CONF_NAMED, OF_CONFIG(calendars), .reload = true, .keys = calendar_keys,
	    .size = sizeof(struct calendar_conf), .help = "Opening hours that rules count by, by name." },
	{ "timer_grace", CONF_MS, OF_CONFIG(timer_grace_ms), .max = 86400000, .def = "15m",
	    .reload = true, .help = "A rule with `unless` is decided that much later at most while "
	    "events that could cancel it may wait in a spool or a mailbox." },
	{ "stages", CONF_TEXTS, OF_CONFIG(stages), .reload = true,
	    .def = "[selection, reach, acquisition, conversion, retention, loyalty, at_risk, lost]",
	    .help = "The stages of a customer, in their order." },
	{ "outbound", CONF_BLOCK, OF_CONFIG(outbound), .keys = outbound_keys,
	    .help = "Limits of what actions send." },
	{ "preset_dir", CONF_TEXT, OF_CONFIG(preset_dir), .reload = true,
	    .def = TOUCHLOG_PRESETDIR,
	    .help = "The folder of the presets, NAME.yaml each." },
	{ "spool", CONF_BLOCK, OF_CONFIG(spool), .keys = spool_keys,
	    .help = "Where events are kept, and acknowledged, while the database is away or too slow. "
	    "Without this block there is no spool, and senders are told to keep them (503)." },
	{ "batch_max", CONF_INT, OF_CONFIG(batch_max), .min = 1, .max = 10000, .def = "1000",
	    .help = "Events in one transaction." },
	{ "batch_max_bytes", CONF_SIZE, OF_CONFIG(batch_max_bytes), .min = 65536,
	    .max = 268435456, .def = "8MiB", .help = "Bytes of events in one transaction, about." },
	{ "queue_max", CONF_SIZE, OF_CONFIG(queue_max_bytes), .min = 1048576,
	    .max = 17179869184, .def = "256MiB",
	    .help = "Memory for events that wait for the database; beyond it they go to the spool at "
	    "once, and without one senders get 503." },
	{ "spool_after", CONF_MS, OF_CONFIG(spool_after_ms), .min = 10, .max = 60000,
	    .def = "2s", .help = "How long an event may wait for the database before the spool takes "
	    "it; without one, before its sender is told to keep it (503)." },
	{ "merge_limit", CONF_INT, OF_CONFIG(merge_limit), .min = 2, .max = 1000, .def = "5",
	    .help = "Customers that identities may join to one; a larger join is recorded as "
	    "refused, for a person to look at." },
	{ "drain_timeout", CONF_MS, OF_CONFIG(drain_ms), .min = 0, .max = 600000, .def = "10s",
	    .help = "At SIGTERM, how long requests and deliveries that were begun may take." },
	{ 0 },
};

/* ---- judging ---- */

static void
check_conninfo(struct config *c, const char *key, struct str text)
{
	const struct conf_node *at = conf_find(conf_find(conf_root(c->conf), "database"), key);
	PQconninfoOption *options;
	char *why = NULL;

	if (text.p == NULL)
		return;
	options = PQconninfoParse(text.p, &why);
	if (options == NULL)
		conf_complain(c->conf, at, "%s: %s", key, pg_text(why));
	PQfreemem(why);
	PQconninfoFree(options);
}

/* "file:/etc/x.pem", where it stands as one text; what is wrong with it is told with it. */
static struct str
spec_of(const struct conf_node *n)
{
	const struct conf_node *one = conf_is_list(n) && conf_count(n) == 1 ? conf_item(n, 0) : n;
	struct str spec = conf_text(one);

	return str_starts(spec, STR("plain:")) ? STR("plain:") : spec;
}

static void
complain_tls(struct config *c, const struct conf_named *named, const char *key, const char *why)
{
	const struct conf_node *at = conf_find(conf_find(named->node, "tls"), key);

	conf_complain(c->conf, at, "listeners.%.*s.tls.%s: %.*s: %s", STR_ARG(named->name), key,
	    STR_ARG(spec_of(at)), why);
}

static void
warn_of_validity(struct config *c, const struct conf_named *named, const struct tls_conf *tls)
{
	const struct conf_node *at = conf_find(conf_find(named->node, "tls"), "certificate");
	int64_t now_s = clock_now_us() / 1000000, until_s = tls_context_valid_until_s(tls->context);
	int64_t days = (until_s - now_s) / 86400;

	if (tls_context_valid_from_s(tls->context) > now_s)
		conf_warn(c->conf, at, "listeners.%.*s.tls.certificate: it is not valid yet: "
		    "clients will refuse it", STR_ARG(named->name));
	if (until_s <= now_s)
		conf_warn(c->conf, at, "listeners.%.*s.tls.certificate: it has expired: clients "
		    "refuse it", STR_ARG(named->name));
	else if (days < EXPIRY_WARNING_DAYS)
		conf_warn(c->conf, at, "listeners.%.*s.tls.certificate: it expires in %lld days: "
		    "renew it", STR_ARG(named->name), (long long)days);
}

static void
free_tls(void *arg)
{
	tls_context_free(arg);
}

static void
check_tls(struct config *c, const struct conf_named *named, struct tls_conf *tls)
{
	enum tls_part part;
	struct err err;

	if (tls->certificate.n == 0 || tls->key.n == 0 || !conf_has_secrets(c->conf))
		return;		/* no TLS, or complained about already, or nothing to look at */
	if (tls->certificate.n > 1 || tls->key.n > 1) {
		complain_tls(c, named, tls->key.n > 1 ? "key" : "certificate", "one is wanted");
		return;
	}
	tls->context = tls_context_new(tls->certificate.v[0], tls->key.v[0],
	    (enum tls_version)tls->min_version, &part, &err);
	if (tls->context == NULL)
		complain_tls(c, named, part == TLS_OF_KEY ? "key" : "certificate", err.text);
	else if (!conf_defer(c->conf, free_tls, tls->context))
		free_tls(tls->context);
	else
		warn_of_validity(c, named, tls);
}

static void
check_listener(struct config *c, const struct conf_named *named)
{
	struct listener_conf *l = named->common;
	struct listen_address address;

	if (l->address.p != NULL && !listen_address_read(l->address.p, &address))
		conf_complain(c->conf, conf_find(named->node, "address"), "listeners.%.*s.address: "
		    "a numeric address and a port are wanted, such as 127.0.0.1:8080, "
		    "0.0.0.0:8080 (all) or [::]:8080 (all, IPv6 too)", STR_ARG(named->name));
	check_tls(c, named, &l->tls);
}

static void
check_own(struct config *c)
{
	size_t bad = 0;

	c->own_set = own_set_new(conf_arena(c->conf), c->own.v, c->own.n, &bad);
	if (c->own_set == NULL && bad < c->own.n)
		conf_complain(c->conf, conf_find(conf_root(c->conf), "own"),
		    "own: entry %zu is not an address, @domain or +number", bad + 1);
}

static void
check_proxies(struct config *c)
{
	size_t bad = 0;

	c->proxy_set = net_set_new(conf_arena(c->conf), c->proxies.v, c->proxies.n, &bad);
	if (c->proxy_set == NULL && bad < c->proxies.n)
		conf_complain(c->conf, conf_find(conf_root(c->conf), "trusted_proxies"),
		    "trusted_proxies: entry %zu is no address and no network such as 10.0.0.0/8",
		    bad + 1);
}

static void
check_outbound(struct config *c)
{
	const struct conf_node *block = conf_find(conf_root(c->conf), "outbound");
	struct outbound_conf *o = &c->outbound;
	size_t bad = 0;

	if (o->allow_private.n == 0)
		return;
	o->allowed = net_set_new(conf_arena(c->conf), o->allow_private.v, o->allow_private.n, &bad);
	if (o->allowed == NULL && bad < o->allow_private.n)
		conf_complain(c->conf, conf_find(block, "allow_private"), "outbound.allow_private: "
		    "entry %zu is no address and no network such as 10.0.0.0/8", bad + 1);
}

/* The block makes the spool: its rows have defaults, which are not asked for without it. */
static void
check_spool(struct config *c)
{
	const struct conf_node *block = conf_find(conf_root(c->conf), "spool");
	struct str path = c->spool.path;

	if (block == NULL)
		c->spool = (struct spool_conf){ .path = STR_NONE };
	else if (path.p != NULL && !spool_is_path(path))
		conf_complain(c->conf, conf_find(block, "path"), "spool.path: the absolute path of a "
		    "file is wanted, such as /var/lib/touchlog/spool.db");
}

/* STR_NONE: it is not set, or was complained about. */
static struct str
check_public_url(struct config *c, const struct conf_node *at, struct str text)
{
	struct str url;

	if (text.p == NULL)
		return STR_NONE;
	if (public_url_read(text, &url))
		return url;
	conf_complain(c->conf, conf_find(at, "public_url"), "public_url: http:// or https://, a "
	    "host and perhaps a path are wanted, such as https://log.example.com");
	return STR_NONE;
}

static bool
is_region(struct str s)
{
	return s.n == 2 && s.p[0] >= 'A' && s.p[0] <= 'Z' && s.p[1] >= 'A' && s.p[1] <= 'Z';
}

static bool
has_path(struct str url)
{
	size_t slashes = 0;

	for (size_t i = 0; i < url.n; i++)
		slashes += url.p[i] == '/';
	return slashes > 2;		/* those behind the scheme */
}

/* Derives what the rows do not say directly. */
static void
complete_source(struct config *c, struct conf_named *named, const struct channel_ops *ops)
{
	struct source *s = named->common;
	bool is_public = ops->is_public != NULL && ops->is_public(named->own);

	if (conf_find(named->node, "channel") == NULL)
		s->channel = -1;
	if (conf_find(named->node, "direction") == NULL)
		s->direction = -1;
	s->name = named->name;
	s->preset = named->base;
	if (s->max_inflated == 0)
		s->max_inflated = s->max_body;
	s->key_name = s->was.n > 0 ? s->was.v[0] : named->name;
	s->proxies = c->proxy_set;
	s->public_url = check_public_url(c, named->node, s->own_public_url);
	s->public_url_is_whole = has_path(s->public_url);
	if (s->own_public_url.p == NULL)
		s->public_url = c->public_url;
	s->rules.own = c->own_set;
	s->rules.region = s->region.p;
	s->rules.strong_ranks = c->strong;
	s->is_strong = s->identities == IDENTITIES_STRONG ||
	    (s->identities == IDENTITIES_BY_TYPE && !is_public);
}

static void
check_source(struct config *c, struct conf_named *named)
{
	struct source *s = named->common;
	struct err err;

	if (str_eq(named->name, STR("touchlog")))
		conf_complain(c->conf, named->node, "sources.touchlog: that is the name of what the "
		    "daemon logs by itself; give it another one");
	if (named->variant == NULL)
		return;		/* its type is unknown: reported already */
	if (s->region.p != NULL && !is_region(s->region))
		conf_complain(c->conf, conf_find(named->node, "region"),
		    "region: an ISO country in capitals is wanted, such as NL");
	if (s->time_zone.p != NULL && !zone_open(c->conf, s->time_zone, &s->zone, &err))
		conf_complain(c->conf, conf_find(named->node, "time_zone"), "time_zone: %s",
		    err.text);
	for (size_t i = 0; channels[i] != NULL; i++) {
		if (channels[i]->name != named->variant->name)
			continue;
		if (channels[i]->check != NULL)
			channels[i]->check(c->conf, named->node, named->own);
		complete_source(c, named, channels[i]);
	}
}

static bool
is_former_name(const struct source *s, struct str name)
{
	for (size_t i = 0; i < s->was.n; i++)
		if (str_eq(s->was.v[i], name))
			return true;
	return false;
}

/* Two sources under one name, be it a former one, would take each other's events for
 * duplicates. */
static void
check_former_name(struct config *c, const struct conf_named *a, struct str name)
{
	const struct conf_node *at = conf_find(a->node, "was");

	for (size_t i = 0; i < c->sources.n; i++) {
		const struct conf_named *b = &c->sources.v[i];

		if (b == a)
			continue;
		if (str_eq(name, b->name))
			conf_complain(c->conf, at, "was: %.*s is a source by itself",
			    STR_ARG(name));
		else if (b < a && is_former_name(b->common, name))
			conf_complain(c->conf, at, "was: %.*s is the former name of %.*s too: only "
			    "one of them can go on with it", STR_ARG(name), STR_ARG(b->name));
	}
}

static void
check_former_names(struct config *c)
{
	for (size_t i = 0; i < c->sources.n; i++) {
		const struct conf_named *a = &c->sources.v[i];
		const struct source *s = a->common;

		for (size_t w = 0; w < s->was.n; w++)
			check_former_name(c, a, s->was.v[w]);
	}
}

static void
check_action(struct config *c, struct conf_named *named)
{
	struct action *a = named->common;

	a->name = named->name;
	for (size_t i = 0; named->variant != NULL && action_types[i] != NULL; i++) {
		if (action_types[i]->name != named->variant->name)
			continue;
		a->type = action_types[i];
		if (a->type->use != NULL)
			a->type->use(named->own, &c->action_env);
		if (a->type->check != NULL)
			a->type->check(c->conf, named->node, named->own);
	}
}

static void
judge(struct config *c)
{
	check_conninfo(c, "conninfo", c->database.conninfo_text);
	check_conninfo(c, "admin_conninfo", c->database.admin_conninfo);
	check_conninfo(c, "reader_conninfo", c->database.reader_conninfo);
	check_own(c);
	for (size_t i = 0; i < c->listeners.n; i++)
		check_listener(c, &c->listeners.v[i]);
	check_proxies(c);
	check_spool(c);
	c->public_url = check_public_url(c, conf_root(c->conf), c->public_url);
	for (size_t i = 0; i < c->sources.n; i++)
		check_source(c, &c->sources.v[i]);
	check_former_names(c);
	mail_conf_check(c->conf, conf_root(c->conf), &c->mail);
	c->action_env = (struct action_env){ &c->mail, &c->stages, &c->own, c->public_url };
	check_outbound(c);
	for (size_t i = 0; i < c->actions.n; i++)
		check_action(c, &c->actions.v[i]);
	for (size_t i = 0; i < c->calendars.n; i++)
		calendar_conf_check(c->conf, &c->calendars.v[i]);
	for (size_t i = 0; i < c->rules.n; i++)
		rule_conf_check(c->conf, &c->rules.v[i], &c->actions, &c->calendars);
	if (c->listeners.n == 0 && conf_errors(c->conf) == 0)
		conf_complain(c->conf, NULL, "listeners: at least one is needed");
}

static struct config *
load(const char *path,
    struct conf *(*read)(const char *path, const struct conf_key *keys, void *out))
{
	struct config *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->conf = read(path, config_keys, c);
	if (c->conf == NULL) {
		free(c);
		return NULL;
	}
	judge(c);
	return c;
}

struct config *
config_load(const char *path)
{
	return load(path, conf_load);
}

struct config *
config_load_without_secrets(const char *path)
{
	return load(path, conf_load_without_secrets);
}

struct config *
config_load_to_check(const char *path)
{
	return load(path, conf_load_to_check);
}

void
config_free(struct config *c)
{
	if (c == NULL)
		return;
	conf_free(c->conf);
	free(c);
}

void
config_print(const struct config *c)
{
	for (size_t i = 0; i < conf_errors(c->conf); i++)
		fprintf(stderr, "%s\n", conf_error_text(c->conf, i));
	for (size_t i = 0; i < conf_warnings(c->conf); i++)
		fprintf(stderr, "%s\n", conf_warning_text(c->conf, i));
}

bool
config_has_rules(const struct config *c)
{
	return conf_find(conf_root(c->conf), "rules") != NULL;
}

void
config_intake(const struct config *c, struct intake_conf *ret)
{
	*ret = (struct intake_conf){
		.conninfo = c->database.conninfo_text.p,
		.writers = c->database.writers,
		.batch_max = c->batch_max,
		.batch_max_bytes = c->batch_max_bytes,
		.queue_max_bytes = c->queue_max_bytes,
		.spool_after_ms = c->spool_after_ms,
		.merge_limit = c->merge_limit,
	};
}
