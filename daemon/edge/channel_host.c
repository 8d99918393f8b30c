/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channels of the running configuration, and what is remembered of each source.
 *
 * A channel belongs to a generation: the configuration it was made from.  A reload makes
 * a new generation and retires the old one; a retired channel lives until the last
 * request that holds it is answered, and the configuration until its last channel.
 * What is counted belongs to the source's name and outlives reloads.
 */
#include "edge/channel_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/bucket.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "channels/channel.h"
#include "channels/registry.h"
#include "edge/config.h"
#include "edge/request_ring.h"
#include "flow/intake.h"
#include "flow/source_queue.h"
#include "io/http_client.h"

enum { NREFUSALS = 20, LOG_LINES_A_SECOND = 10 };

struct generation {
	struct config	*config;	/* ours */
	size_t		 nchannels;	/* and others that still use it */
	bool		 is_retired;
};

struct refusal {
	struct uuid	 request;
	int64_t		 at_us;		/* clock_now_us(); 0: none */
	const char	*check;		/* one fixed word */
	size_t		 bytes;
};

/* What is remembered of a source, under its name. */
struct source_record {
	TAILQ_ENTRY(source_record) in_list;
	uint64_t		 received, rejected, ignored, refused;
	struct metric		*received_metric, *ignored_metric;	/* the table's */
	struct refusal		 refusals[NREFUSALS];
	size_t			 next_refusal;
	struct bucket		 events, bytes;	/* that may still come now */
	size_t			 in_flight;	/* events that wait for their answer */
	char			 name[];
};

struct channel {
	TAILQ_ENTRY(channel)	 in_list;	/* while not retired */
	struct channel_host	*host;
	struct generation	*generation;
	const struct channel_ops *ops;
	const struct source	*source;	/* the generation's */
	const void		*conf;		/* the generation's */
	struct source_queue	*queue;		/* the intake's */
	struct source_record	*record;	/* the host's */
	void			*priv;		/* the channel's own */
	size_t			 nholds;
	bool			 is_retired;
};

struct channel_host {
	struct intake		*intake;	/* the caller's */
	struct event_base	*base;		/* the caller's */
	struct http_client	*client;	/* ours; NULL until a channel wants it */
	struct generation	*generation;	/* the running one */
	TAILQ_HEAD(channels, channel) channels;
	TAILQ_HEAD(, source_record) records;
	struct request_ring	*ring;		/* ours */
	int64_t			 log_second;	/* of the lines counted */
	unsigned		 log_lines;
	uint64_t		 log_dropped;
};

/* ---- life of a channel ---- */

static void
generation_drop(struct generation *g)
{
	if (!g->is_retired || g->nchannels > 0)
		return;
	config_free(g->config);
	free(g);
}

static void
channel_free(struct channel *ch)
{
	struct generation *g = ch->generation;

	ch->ops->free(ch);
	free(ch);
	g->nchannels--;
	generation_drop(g);
}

static void
retire(struct channel *ch)
{
	ch->is_retired = true;
	if (ch->nholds == 0)
		channel_free(ch);
}

void
channel_hold(struct channel *ch)
{
	ch->nholds++;
}

void
channel_release(struct channel *ch)
{
	if (--ch->nholds == 0 && ch->is_retired)
		channel_free(ch);
}

static struct source_record *
record_of(struct channel_host *h, struct str name)
{
	struct source_record *r;

	TAILQ_FOREACH(r, &h->records, in_list)
		if (str_eq(str_of(r->name), name))
			return r;
	r = calloc(1, sizeof(*r) + name.n + 1);
	if (r == NULL)
		return NULL;
	memcpy(r->name, name.p, name.n);
	bucket_init(&r->events);
	bucket_init(&r->bytes);
	TAILQ_INSERT_TAIL(&h->records, r, in_list);
	return r;
}

static const struct channel_ops *
ops_named(const char *type)
{
	for (size_t i = 0; channels[i] != NULL; i++)
		if (strcmp(channels[i]->name, type) == 0)
			return channels[i];
	return NULL;
}

static bool
channel_new(struct channel_host *h, struct generation *g, const struct conf_named *named,
    struct channels *list, struct err *err)
{
	struct channel *ch = calloc(1, sizeof(*ch));

	if (ch == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	ch->host = h;
	ch->generation = g;
	ch->ops = ops_named(named->variant->name);
	ch->source = named->common;
	ch->conf = named->own;
	ch->record = record_of(h, named->name);
	if (ch->record != NULL) {
		/* Got each time: a source that was removed comes back to the page thereby. */
		ch->record->received_metric = metric_get(METRIC_RECEIVED, ch->record->name, NULL);
		ch->record->ignored_metric = metric_get(METRIC_IGNORED, ch->record->name, NULL);
		ch->queue = intake_queue(h->intake, ch->record->name);
	}
	g->nchannels++;
	TAILQ_INSERT_TAIL(list, ch, in_list);
	if (ch->queue == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	return ch->ops->new(ch, err) ||
	    err_in(err, "source=%.*s", STR_ARG(named->name));
}

static void
retire_all(struct channels *list)
{
	struct channel *ch;

	while ((ch = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, ch, in_list);
		retire(ch);
	}
}

static struct channel *
find(const struct channels *list, struct str name)
{
	struct channel *ch;

	TAILQ_FOREACH(ch, list, in_list)
		if (str_eq(ch->source->name, name))
			return ch;
	return NULL;
}

/* Else the age of its last success would grow, and raise alarms, for ever. */
static void
forget_removed(const struct channels *old, const struct channels *fresh)
{
	struct channel *ch;

	TAILQ_FOREACH(ch, old, in_list) {
		if (find(fresh, ch->source->name) != NULL)
			continue;
		source_queue_retire(ch->queue);
		metric_forget(ch->record->name);
	}
}

/* ---- the host ---- */

struct channel_host *
channel_host_new(struct intake *intake, struct event_base *base, struct err *err)
{
	struct channel_host *h = calloc(1, sizeof(*h));

	if (h != NULL) {
		h->intake = intake;
		h->base = base;
		TAILQ_INIT(&h->channels);
		TAILQ_INIT(&h->records);
		h->ring = request_ring_new();
		if (h->ring != NULL)
			return h;
	}
	channel_host_free(h);
	(void)err_set(err, ERR_RETRY, "out of memory");
	return NULL;
}

static void
retire_generation(struct generation *g)
{
	if (g == NULL)
		return;
	g->is_retired = true;
	generation_drop(g);
}

bool
channel_host_use(struct channel_host *h, struct config *take_config, struct err *err)
{
	struct generation *g = calloc(1, sizeof(*g)), *old = h->generation;
	struct channels fresh = TAILQ_HEAD_INITIALIZER(fresh);
	bool ok = true;

	if (g == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	g->config = take_config;
	for (size_t i = 0; ok && i < take_config->sources.n; i++)
		ok = channel_new(h, g, &take_config->sources.v[i], &fresh, err);
	if (!ok) {
		retire_all(&fresh);
		free(g);		/* the config is the caller's again */
		return false;
	}
	forget_removed(&h->channels, &fresh);
	retire_all(&h->channels);
	TAILQ_CONCAT(&h->channels, &fresh, in_list);
	h->generation = g;
	retire_generation(old);
	return true;
}

void
channel_host_free(struct channel_host *h)
{
	struct source_record *r;

	if (h == NULL)
		return;
	/* Whoever waits for an answer from outside holds his channel. */
	http_client_free(h->client);
	retire_all(&h->channels);
	retire_generation(h->generation);
	while ((r = TAILQ_FIRST(&h->records)) != NULL) {
		TAILQ_REMOVE(&h->records, r, in_list);
		free(r);
	}
	request_ring_free(h->ring);
	free(h);
}

const struct config *
channel_host_config(const struct channel_host *h)
{
	return h->generation->config;
}

struct generation *
channel_host_hold(struct channel_host *h)
{
	h->generation->nchannels++;
	return h->generation;
}

void
channel_host_release(struct generation *g)
{
	g->nchannels--;
	generation_drop(g);
}

struct channel *
channel_host_find(struct channel_host *h, struct str name)
{
	return find(&h->channels, name);
}

const struct channel_ops *
channel_ops_of(const struct channel *ch)
{
	return ch->ops;
}

/* ---- what /status tells ---- */

static void
put_time(struct buf *out, const char *key, int64_t at_us)
{
	if (at_us > 0)
		buf_printf(out, ",\"%s\":%lld.%03d", key, (long long)(at_us / 1000000),
		    (int)(at_us / 1000 % 1000));
	else
		buf_printf(out, ",\"%s\":null", key);
}

static void
put_refusals(struct buf *out, const struct source_record *r)
{
	const char *comma = "";
	char id[UUID_TEXT_SIZE];

	buf_text(out, ",\"refusals\":[");
	for (size_t i = 1; i <= NREFUSALS; i++) {
		const struct refusal *f = &r->refusals[(r->next_refusal + NREFUSALS - i) % NREFUSALS];

		if (f->at_us == 0)
			break;
		uuid_text(f->request, id);
		buf_printf(out, "%s{\"request\":\"%s\"", comma, id);
		put_time(out, "at", f->at_us);
		buf_printf(out, ",\"check\":\"%s\",\"bytes\":%zu}", f->check, f->bytes);
		comma = ",";
	}
	buf_text(out, "]");
}

static void
put_count(struct buf *out, const char *key, uint64_t n)
{
	buf_printf(out, ",\"%s\":%llu", key, (unsigned long long)n);
}

static void
put_source(struct buf *out, const struct channel *ch)
{
	const struct source_record *r = ch->record;
	struct source_counts n;

	source_queue_counts(ch->queue, &n);
	buf_text(out, "{\"name\":");
	buf_json(out, ch->source->name);
	if (ch->source->preset.p != NULL) {
		buf_text(out, ",\"preset\":");
		buf_json(out, ch->source->preset);
	}
	buf_printf(out, ",\"type\":\"%s\",\"paused\":%s", ch->ops->name,
	    ch->source->paused ? "true" : "false");
	put_count(out, "received", r->received);
	put_count(out, "logged", n.fates[FATE_LOGGED]);
	put_count(out, "duplicates", n.fates[FATE_DUPLICATE]);
	put_count(out, "spooled", n.fates[FATE_SPOOLED]);
	put_count(out, "parked", n.fates[FATE_PARKED]);
	put_count(out, "rejected", r->rejected);
	put_count(out, "ignored", r->ignored);
	put_count(out, "refused", r->refused);
	put_count(out, "unavailable", n.fates[FATE_UNAVAILABLE]);
	put_count(out, "waiting", n.waiting);
	put_time(out, "last_success", n.last_success_us);
	put_refusals(out, r);
	buf_text(out, "}");
}

void
channel_host_json(const struct channel_host *h, struct str only, struct buf *out)
{
	const struct channel *ch;
	const char *comma = "";

	TAILQ_FOREACH(ch, &h->channels, in_list) {
		if (only.p != NULL && !str_eq(only, ch->source->name))
			continue;
		buf_text(out, comma);
		put_source(out, ch);
		comma = ",";
	}
}

void
channel_host_requests_json(const struct channel_host *h, const struct uuid *id, struct buf *out)
{
	request_ring_json(h->ring, id, out);
}

/* ---- what a channel may do ---- */

void
channel_set_priv(struct channel *ch, void *take_priv)
{
	ch->priv = take_priv;
}

void *
channel_priv(struct channel *ch)
{
	return ch->priv;
}

const struct source *
channel_source(const struct channel *ch)
{
	return ch->source;
}

const void *
channel_conf(const struct channel *ch)
{
	return ch->conf;
}

struct http_client *
channel_http(struct channel *ch)
{
	struct channel_host *h = ch->host;
	struct err err;

	if (h->client != NULL)
		return h->client;
	h->client = http_client_new(h->base, &err);
	if (h->client == NULL)
		log_error("http_client_failed", F_ERR(&err));
	return h->client;
}

bool
channel_submit(struct channel *ch, const struct interaction *i, struct receipt *r,
    struct err *err)
{
	return intake_submit(ch->host->intake, ch->queue, i, r, err);
}

bool
channel_park(struct channel *ch, const struct parking *p, struct receipt *r, struct err *err)
{
	return intake_park(ch->host->intake, ch->queue, p, r, err);
}

bool
channel_within_rate(struct channel *ch, size_t n, int64_t *ret_wait_s)
{
	int64_t rate = ch->source->rate;

	return rate == 0 || bucket_take(&ch->record->events, rate, n, ret_wait_s);
}

bool
channel_within_rate_bytes(struct channel *ch, size_t n, int64_t *ret_wait_s)
{
	int64_t rate = ch->source->rate_bytes;

	return rate == 0 || bucket_take(&ch->record->bytes, rate, n, ret_wait_s);
}

/* A request that is alone passes, whatever it brings: else it could never pass. */
bool
channel_enter(struct channel *ch, size_t n)
{
	struct source_record *r = ch->record;

	if (r->in_flight > 0 && r->in_flight + n > (size_t)ch->source->max_in_flight)
		return false;
	r->in_flight += n;
	return true;
}

void
channel_leave(struct channel *ch, size_t n)
{
	ch->record->in_flight -= n;
}

void
channel_received(struct channel *ch, size_t nevents)
{
	ch->record->received += nevents;
	metric_add(ch->record->received_metric, nevents);
}

void
channel_ignored(struct channel *ch, size_t nevents)
{
	ch->record->ignored += nevents;
	metric_add(ch->record->ignored_metric, nevents);
}

void
channel_rejected(struct channel *ch, const char *check)
{
	ch->record->rejected++;
	metric_add(metric_get(METRIC_REJECTED, ch->record->name, check), 1);
}

/* A flood of bad requests is not to become one of lines. */
static bool
may_log(struct channel_host *h)
{
	int64_t second = clock_mono_us() / 1000000;

	if (second != h->log_second) {
		h->log_second = second;
		h->log_lines = 0;
	}
	if (h->log_lines++ < LOG_LINES_A_SECOND)
		return true;
	h->log_dropped++;
	return false;
}

void
channel_refused(struct channel *ch, struct uuid request, int status, const char *check,
    size_t bytes, struct str url)
{
	struct source_record *r = ch->record;
	char id[UUID_TEXT_SIZE];

	r->refused++;
	r->refusals[r->next_refusal] = (struct refusal){ request, clock_now_us(), check, bytes };
	r->next_refusal = (r->next_refusal + 1) % NREFUSALS;
	metric_add(metric_get(METRIC_REFUSED, r->name, check), 1);
	request_ring_add(ch->host->ring, request, r->name, status, NULL, 0);
	if (!may_log(ch->host))
		return;
	uuid_text(request, id);
	log_warn("request_refused", F_TEXT("source", r->name), F_TEXT("check", check),
	    F_TEXT("request", id), F_NUM("bytes", bytes),
	    F_STR(url.p != NULL ? "url" : NULL, url),
	    F_NUM("lines_dropped", ch->host->log_dropped));
	ch->host->log_dropped = 0;
}

void
channel_answered(struct channel *ch, struct uuid request, int status, const char *fates,
    size_t nfates)
{
	request_ring_add(ch->host->ring, request, ch->record->name, status, fates, nfates);
}
