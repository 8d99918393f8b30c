/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges and histograms: one table of families, and the page made of it. */
#include "base/metric.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum metric_type { COUNTER, GAUGE, HISTOGRAM };
enum { LABELS_MAX = 2, BOUNDS_MAX = 14 };

struct bounds {
	size_t	n;
	double	v[BOUNDS_MAX];		/* upper ends, ascending; +Inf is added */
};

static const struct bounds seconds = {
	14, { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 },
};
static const struct bounds sizes = {
	10, { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000 },
};

struct family {
	const char		*name;
	enum metric_type	 type;
	const char		*labels[LABELS_MAX];
	const struct bounds	*bounds;	/* HISTOGRAM */
	const char		*help;
};

static const struct family families[METRIC_NIDS] = {
	[METRIC_BUILD_INFO] = { "touchlog_build_info", GAUGE, { "version" }, NULL,
	    "Always 1; the label says which version runs." },
	[METRIC_START_TIME] = { "touchlog_start_time_seconds", GAUGE, { NULL }, NULL,
	    "When the daemon started, in seconds since 1970." },
	[METRIC_CONFIG_RELOAD_SUCCESSFUL] = { "touchlog_config_last_reload_successful", GAUGE,
	    { NULL }, NULL,
	    "1 when the last load of the configuration was taken over, 0 when the old one was "
	    "kept." },
	[METRIC_CONFIG_RELOAD_TIME] = { "touchlog_config_last_reload_success_timestamp_seconds",
	    GAUGE, { NULL }, NULL,
	    "When a configuration was last taken over, in seconds since 1970." },
	[METRIC_RECEIVED] = { "touchlog_events_received_total", COUNTER, { "source" }, NULL,
	    "Events that came in authentic, whatever became of them." },
	[METRIC_LOGGED] = { "touchlog_events_logged_total", COUNTER, { "source" }, NULL,
	    "Events that were committed to the log." },
	[METRIC_DUPLICATES] = { "touchlog_events_duplicate_total", COUNTER, { "source" }, NULL,
	    "Events that stood in the log already." },
	[METRIC_PARKED] = { "touchlog_events_parked_total", COUNTER, { "source" }, NULL,
	    "Events that were kept among the parked, with the reason." },
	[METRIC_SPOOLED] = { "touchlog_events_spooled_total", COUNTER, { "source" }, NULL,
	    "Events that were acknowledged when they stood in the spool; drained, they are counted "
	    "as logged, duplicate or parked too." },
	[METRIC_REJECTED] = { "touchlog_events_rejected_total", COUNTER, { "source", "reason" },
	    NULL, "Events that did not fit and were given back to their sender." },
	[METRIC_IGNORED] = { "touchlog_events_ignored_total", COUNTER, { "source" }, NULL,
	    "Events that are not ours, since no `when` of the source takes them." },
	[METRIC_REFUSED] = { "touchlog_requests_refused_total", COUNTER, { "source", "reason" },
	    NULL, "Requests that were refused before any event was read from them." },
	[METRIC_UNAVAILABLE] = { "touchlog_events_unavailable_total", COUNTER, { "source" }, NULL,
	    "Events answered 503 because nothing could take them; senders come again." },
	[METRIC_LAST_SUCCESS_AGE] = { "touchlog_source_last_success_age_seconds", GAUGE,
	    { "source" }, NULL,
	    "Time since an event of this source was last acknowledged." },
	[METRIC_QUEUE_EVENTS] = { "touchlog_queue_events", GAUGE, { NULL }, NULL,
	    "Events that wait for the database." },
	[METRIC_QUEUE_BYTES] = { "touchlog_queue_bytes", GAUGE, { NULL }, NULL,
	    "Bytes of the events that wait for the database." },
	[METRIC_QUEUE_OLDEST_AGE] = { "touchlog_queue_oldest_age_seconds", GAUGE, { NULL }, NULL,
	    "How long the oldest waiting event has waited." },
	[METRIC_SPOOL_EVENTS] = { "touchlog_spool_events", GAUGE, { NULL }, NULL,
	    "Events in the spool: acknowledged, and not in PostgreSQL yet." },
	[METRIC_SPOOL_BYTES] = { "touchlog_spool_bytes", GAUGE, { NULL }, NULL,
	    "Bytes that the spool uses of what it may." },
	[METRIC_SPOOL_MAX_BYTES] = { "touchlog_spool_max_bytes", GAUGE, { NULL }, NULL,
	    "Bytes that the spool may use; 0 without one." },
	[METRIC_SPOOL_FILL] = { "touchlog_spool_fill_ratio", GAUGE, { NULL }, NULL,
	    "How full the spool is, 0 to 1. At 1 senders get 503: alarm at 0.5." },
	[METRIC_SPOOL_OLDEST_AGE] = { "touchlog_spool_oldest_age_seconds", GAUGE, { NULL }, NULL,
	    "How long the oldest event in the spool has stood there; 0 when it is empty. It grows "
	    "while nothing moves, whatever else looks healthy." },
	[METRIC_SPOOL_TAKES] = { "touchlog_spool_takes", GAUGE, { NULL }, NULL,
	    "1 while the spool can take events; 0 when it is full, its disk fails, or there is none." },
	[METRIC_SPOOL_UNREADABLE] = { "touchlog_spool_unreadable_events", GAUGE, { NULL }, NULL,
	    "Events that stay in the spool because another version of touchlogd wrote them." },
	[METRIC_SPOOL_REFUSED] = { "touchlog_spool_refused_total", COUNTER, { NULL }, NULL,
	    "Events that the spool did not take; unless they were committed after all, their "
	    "senders were told to keep them." },
	[METRIC_SPOOL_DRAINED] = { "touchlog_spool_drained_total", COUNTER, { "fate" }, NULL,
	    "Events that left the spool, by what they became: logged, duplicate or parked." },
	[METRIC_BATCH_EVENTS] = { "touchlog_batch_events", HISTOGRAM, { NULL }, &sizes,
	    "Events in one transaction." },
	[METRIC_BATCH_STEP] = { "touchlog_batch_step_seconds", HISTOGRAM, { "step" }, &seconds,
	    "Time that one step of a transaction took." },
	[METRIC_BATCH_ERRORS] = { "touchlog_batch_errors_total", COUNTER, { "class" }, NULL,
	    "Transactions that failed, by the class of PostgreSQL's error code." },
	[METRIC_ACK_LATENCY] = { "touchlog_ack_seconds", HISTOGRAM, { NULL }, &seconds,
	    "Time from an event's arrival to its acknowledgement." },
	[METRIC_OUTBOX_WAITING] = { "touchlog_outbox_waiting", GAUGE, { NULL }, NULL,
	    "Actions that are to be done, by any daemon; it stops at 100,000." },
	[METRIC_OUTBOX_DEAD] = { "touchlog_outbox_dead", GAUGE, { NULL }, NULL,
	    "Actions that were given up: `touchlog outbox list` shows them. It stops at 100,000." },
	[METRIC_OUTBOX_OLDEST_AGE] = { "touchlog_outbox_oldest_age_seconds", GAUGE, { NULL }, NULL,
	    "How long ago the oldest action that is still to be done was decided." },
	[METRIC_DELIVERIES] = { "touchlog_deliveries_total", COUNTER, { "action", "result" }, NULL,
	    "Attempts to do an action, by how they ended: done, retry, dead, gone, capped, "
	    "no_address, no_consent, suppressed, released (not begun), lost, unknown (an action that "
	    "is not configured)." },
	[METRIC_DELIVERIES_RUNNING] = { "touchlog_deliveries_running", GAUGE, { NULL }, NULL,
	    "Deliveries that are under way in this daemon." },
	[METRIC_BREAKERS_OPEN] = { "touchlog_outbound_breakers_open", GAUGE, { NULL }, NULL,
	    "Hosts that are left alone because requests to them failed several times in a row." },
	[METRIC_ACTIONS_HELD] = { "touchlog_actions_held", GAUGE, { NULL }, NULL,
	    "1 while this daemon does no actions: --hold-actions, or `touchlog outbox pause`." },
	[METRIC_TIMERS_DUE] = { "touchlog_timers_due", GAUGE, { NULL }, NULL,
	    "Timers of rules that are due and not decided yet; it stops at 100,000." },
	[METRIC_TIMERS_LATE] = { "touchlog_timers_late_seconds", GAUGE, { NULL }, NULL,
	    "How long the longest of them has been due. Timers with `unless` wait for spools, at "
	    "most for timer_grace." },
	[METRIC_TIMERS_DECIDED] = { "touchlog_timers_decided_total", COUNTER, { NULL }, NULL,
	    "Due timers that this daemon decided." },
	[METRIC_DECIDE_SECONDS] = { "touchlog_decide_seconds", HISTOGRAM, { NULL }, &seconds,
	    "Time to decide a bite of due timers." },
	[METRIC_DISPATCH_ERRORS] = { "touchlog_dispatch_errors_total", COUNTER, { "step" }, NULL,
	    "Transactions of the dispatcher that failed and are tried again." },
	[METRIC_DB_CONNECTED] = { "touchlog_database_connected", GAUGE, { "role" }, NULL,
	    "Connections to PostgreSQL that stand, by what they are for." },
	[METRIC_DB_CONNECTS] = { "touchlog_database_connects_total", COUNTER, { NULL }, NULL,
	    "Connections to PostgreSQL that were made." },
	[METRIC_RULES_ACTIVE] = { "touchlog_rules_active", GAUGE, { "mode" }, NULL,
	    "Rules of the active set, by mode: live, shadow, off." },
	[METRIC_RULES_LOAD_SUCCESSFUL] = { "touchlog_rules_last_load_successful", GAUGE, { NULL },
	    NULL, "1 when the rules of the file were taken over, 0 when PostgreSQL refused them and "
	    "the set before goes on; the log says why." },
	[METRIC_RULES_DIFFER] = { "touchlog_rules_differ", GAUGE, { NULL }, NULL,
	    "1 while the active rule set is not that of this daemon's file." },
	[METRIC_MERGES_REFUSED] = { "touchlog_merges_refused_total", COUNTER, { NULL }, NULL,
	    "Joins of customers that were recorded but not made, being too large." },
	[METRIC_PARTITIONS_MADE] = { "touchlog_partitions_made_total", COUNTER, { NULL }, NULL,
	    "Partitions that were made." },
	[METRIC_SEEN_PRUNED] = { "touchlog_seen_pruned_total", COUNTER, { NULL }, NULL,
	    "Dedupe keys that were removed because their time was over." },
	[METRIC_HTTP_CONNECTIONS] = { "touchlog_http_connections", GAUGE, { "listener" }, NULL,
	    "Open client connections." },
	[METRIC_HTTP_ACCEPTED] = { "touchlog_http_connections_accepted_total", COUNTER,
	    { "listener" }, NULL, "Client connections that were accepted." },
	[METRIC_HTTP_REQUESTS] = { "touchlog_http_requests_total", COUNTER, { "listener" }, NULL,
	    "Requests that were read whole." },
	[METRIC_HTTP_BAD] = { "touchlog_http_requests_bad_total", COUNTER,
	    { "listener", "reason" }, NULL,
	    "Requests that broke the protocol or a limit; the connection was closed." },
	[METRIC_HTTP_RESPONSES] = { "touchlog_http_responses_total", COUNTER, { "code" }, NULL,
	    "Answers, by status code." },
	[METRIC_TLS_HANDSHAKES] = { "touchlog_tls_handshakes_total", COUNTER, { "listener" }, NULL,
	    "TLS handshakes that were completed." },
	[METRIC_TLS_FAILURES] = { "touchlog_tls_handshake_failures_total", COUNTER,
	    { "listener", "reason" }, NULL,
	    "Connections that were closed in the TLS handshake." },
	[METRIC_TLS_EXPIRY] = { "touchlog_tls_certificate_expiry_seconds", GAUGE, { "listener" },
	    NULL, "When the certificate in use expires, in seconds since 1970." },
	[METRIC_FETCHES] = { "touchlog_fetches_total", COUNTER, { "source", "result" }, NULL,
	    "What was fetched of a sender, and what could not be: certificate, "
	    "certificate_failed, confirmation (of a subscription), confirmation_failed." },
	[METRIC_MAILS] = { "touchlog_mails_total", COUNTER, { "result" }, NULL,
	    "What the mail server said to the mails of actions: sent, deferred (it is tried again), "
	    "no_recipient (there is no such address), refused; not_begun: all connections were busy." },
	[METRIC_UNSUBSCRIBES] = { "touchlog_unsubscribe_requests_total", COUNTER, { "result" }, NULL,
	    "Requests to /u/TOKEN: shown, done, already (nothing was left to withdraw), unknown (no such "
	    "link), bad, limited (too many), unavailable." },
	[METRIC_READY] = { "touchlog_ready", GAUGE, { NULL }, NULL,
	    "1 while events can be acknowledged." },
};

struct metric {
	const struct family	*family;
	char			*labels[LABELS_MAX];	/* ours; NULL: the family has fewer */
	double			 value;			/* HISTOGRAM: the sum */
	bool			 is_forgotten;
	uint64_t		 buckets[BOUNDS_MAX + 1];	/* HISTOGRAM; not cumulated */
};

struct children {
	struct metric	**v;		/* ours */
	size_t		  n, room;
};

static struct children children[METRIC_NIDS];
/* Takes what is counted when memory is out; bounds must be there for observe. */
static struct metric sink = { .family = &families[METRIC_ACK_LATENCY] };

static bool
same_label(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static struct metric *
find(const struct children *c, const char *label1, const char *label2)
{
	for (size_t i = 0; i < c->n; i++)
		if (same_label(c->v[i]->labels[0], label1) &&
		    same_label(c->v[i]->labels[1], label2))
			return c->v[i];
	return NULL;
}

static void
free_child(struct metric *m)
{
	if (m == NULL)
		return;
	free(m->labels[0]);
	free(m->labels[1]);
	free(m);
}

static struct metric *
new_child(const struct family *f, const char *label1, const char *label2)
{
	const char *labels[LABELS_MAX] = { label1, label2 };
	struct metric *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->family = f;
	for (size_t i = 0; i < LABELS_MAX; i++) {
		if (labels[i] == NULL)
			continue;
		m->labels[i] = strdup(labels[i]);
		if (m->labels[i] == NULL) {
			free_child(m);
			return NULL;
		}
	}
	return m;
}

static bool
add_child(struct children *c, struct metric *m)
{
	if (c->n == c->room) {
		size_t room = c->room ? 2 * c->room : 4;
		struct metric **v = realloc(c->v, room * sizeof(*v));

		if (v == NULL)
			return false;
		c->v = v;
		c->room = room;
	}
	c->v[c->n++] = m;
	return true;
}

struct metric *
metric_get(enum metric_id id, const char *label1, const char *label2)
{
	struct children *c = &children[id];
	struct metric *m = find(c, label1, label2);

	if (m == NULL) {
		m = new_child(&families[id], label1, label2);
		if (m == NULL || !add_child(c, m)) {
			free_child(m);
			return &sink;
		}
	} else if (m->is_forgotten) {
		m->is_forgotten = false;
		m->value = 0;
		memset(m->buckets, 0, sizeof(m->buckets));
	}
	return m;
}

void
metric_add(struct metric *m, uint64_t n)
{
	m->value += (double)n;
}

void
metric_set(struct metric *m, double value)
{
	m->value = value;
}

void
metric_observe(struct metric *m, double value)
{
	const struct bounds *b = m->family->bounds;
	size_t i = 0;

	while (i < b->n && value > b->v[i])
		i++;
	m->buckets[i]++;
	m->value += value;
}

double
metric_value(const struct metric *m)
{
	return m->value;
}

void
metric_forget(const char *source)
{
	for (size_t id = 0; id < METRIC_NIDS; id++) {
		const char *label = families[id].labels[0];

		if (label == NULL || strcmp(label, "source") != 0)
			continue;
		for (size_t i = 0; i < children[id].n; i++)
			if (same_label(children[id].v[i]->labels[0], source))
				children[id].v[i]->is_forgotten = true;
	}
}

void
metric_free_all(void)
{
	for (size_t id = 0; id < METRIC_NIDS; id++) {
		for (size_t i = 0; i < children[id].n; i++)
			free_child(children[id].v[i]);
		free(children[id].v);
		children[id] = (struct children){ .v = NULL };
	}
}

/* ---- the page ---- */

static void
add_number(struct buf *out, double v)
{
	if (isnan(v))
		buf_text(out, "NaN");
	else if (isinf(v))
		buf_text(out, v > 0 ? "+Inf" : "-Inf");
	else
		buf_printf(out, "%.15g", v);
}

static void
add_label(struct buf *out, const char *name, const char *value, bool *is_first)
{
	buf_printf(out, "%s%s=\"", *is_first ? "{" : ",", name);
	*is_first = false;
	for (const char *p = value; *p != '\0'; p++) {
		if (*p == '\\' || *p == '"')
			buf_printf(out, "\\%c", *p);
		else if (*p == '\n')
			buf_text(out, "\\n");
		else
			buf_add(out, p, 1);
	}
	buf_text(out, "\"");
}

/* name{label="value",le="..."} ; `le` NULL: none. */
static void
add_name(struct buf *out, const struct metric *m, const char *suffix, const char *le)
{
	bool is_first = true;

	buf_printf(out, "%s%s", m->family->name, suffix);
	for (size_t i = 0; i < LABELS_MAX; i++)
		if (m->family->labels[i] != NULL)
			add_label(out, m->family->labels[i],
			    m->labels[i] != NULL ? m->labels[i] : "", &is_first);
	if (le != NULL)
		add_label(out, "le", le, &is_first);
	buf_text(out, is_first ? " " : "} ");
}

static void
add_histogram(struct buf *out, const struct metric *m)
{
	const struct bounds *b = m->family->bounds;
	unsigned long long sum = 0;
	char le[32];

	for (size_t i = 0; i <= b->n; i++) {
		sum += m->buckets[i];
		(void)snprintf(le, sizeof(le), "%g", i < b->n ? b->v[i] : 0);
		add_name(out, m, "_bucket", i < b->n ? le : "+Inf");
		buf_printf(out, "%llu\n", sum);
	}
	add_name(out, m, "_sum", NULL);
	add_number(out, m->value);
	buf_text(out, "\n");
	add_name(out, m, "_count", NULL);
	buf_printf(out, "%llu\n", sum);
}

static void
add_child_lines(struct buf *out, const struct metric *m)
{
	if (m->family->type == HISTOGRAM) {
		add_histogram(out, m);
		return;
	}
	add_name(out, m, "", NULL);
	add_number(out, m->value);
	buf_text(out, "\n");
}

static const char *const type_names[] = {
	[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram",
};

static void
add_family(struct buf *out, const struct family *f, const struct children *c)
{
	const struct metric unused = { .family = f };
	size_t shown = 0;

	for (size_t i = 0; i < c->n; i++)
		shown += !c->v[i]->is_forgotten;
	if (shown == 0 && f->labels[0] != NULL)
		return;
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name,
	    type_names[f->type]);
	if (shown == 0)
		add_child_lines(out, &unused);
	for (size_t i = 0; i < c->n; i++)
		if (!c->v[i]->is_forgotten)
			add_child_lines(out, c->v[i]);
}

void
metric_page(struct buf *out)
{
	for (size_t id = 0; id < METRIC_NIDS; id++)
		add_family(out, &families[id], &children[id]);
}

void
metric_man(struct buf *out)
{
	for (size_t id = 0; id < METRIC_NIDS; id++) {
		const struct family *f = &families[id];

		buf_text(out, ".TP\n.B ");
		buf_man(out, str_of(f->name));
		buf_printf(out, "\n(%s", type_names[f->type]);
		for (size_t i = 0; i < LABELS_MAX && f->labels[i] != NULL; i++) {
			buf_text(out, i == 0 ? " by " : ", ");
			buf_man(out, str_of(f->labels[i]));
		}
		buf_text(out, ")\n.br\n");
		buf_man(out, str_of(f->help));
		buf_text(out, "\n");
	}
}
