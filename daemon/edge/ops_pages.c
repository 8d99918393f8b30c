/* SPDX-License-Identifier: Apache-2.0 */
/* The pages for operators: alive, ready, metrics, status.  A page is a row. */
#include "edge/ops_pages.h"

#include "base/buf.h"
#include "base/metric.h"
#include "edge/channel_host.h"
#include "edge/listener.h"
#include "flow/intake.h"
#include "flow/rules.h"
#include "io/http_server.h"

enum { PAGE_MAX_BYTES = 64 * 1024 * 1024 };

struct page {
	const char	*path;
	struct str	 type;
	/* Returns the status. */
	int		(*write)(const struct ops_context *c, struct str query, struct buf *out);
};

static int
write_health(const struct ops_context *c, struct str query, struct buf *out)
{
	(void)c;
	(void)query;
	buf_text(out, "ok\n");
	return 200;
}

static void
put_degraded(struct buf *out, const char **comma, const char *part, const char *why)
{
	buf_printf(out, "%s{\"part\":\"%s\",\"why\":", *comma, part);
	buf_json(out, str_of(why));
	*comma = "},";
}

static void
put_spool(struct buf *out, const char **comma, const struct intake_health *h)
{
	if (h->spool.takes && h->spool.events == 0)
		return;
	put_degraded(out, comma, "spool", !h->spool.takes ? h->spool.why :
	    h->database_why != NULL ? "events wait for the database" : "it is being drained");
	buf_printf(out, ",\"events\":%lld", (long long)h->spool.events);
	if (h->unreadable > 0)
		buf_printf(out, ",\"unreadable\":%zu", h->unreadable);
}

/* Degraded is not unready: events can be acknowledged while either store takes them. */
static int
write_ready(const struct ops_context *c, struct str query, struct buf *out)
{
	const char *comma = "";
	struct intake_health h;

	(void)query;
	intake_health(c->intake, &h);
	buf_printf(out, "{\"ready\":%s,\"degraded\":[", h.is_ready ? "true" : "false");
	if (h.database_why != NULL)
		put_degraded(out, &comma, "database", h.database_why);
	if (h.has_spool)
		put_spool(out, &comma, &h);
	if (rules_why(c->rules) != NULL)
		put_degraded(out, &comma, "rules", rules_why(c->rules));
	buf_printf(out, "%s]}\n", comma[0] != '\0' ? "}" : "");
	return h.is_ready ? 200 : 503;
}

static int
write_metrics(const struct ops_context *c, struct str query, struct buf *out)
{
	struct intake_health h;

	(void)query;
	intake_health(c->intake, &h);
	intake_measure(c->intake);
	listeners_measure(c->listeners);
	metric_set(metric_get(METRIC_READY, NULL, NULL), h.is_ready);
	metric_page(out);
	return 200;
}

/* The value of one parameter of a query string; nothing here needs decoding. */
static struct str
parameter(struct str query, struct str name)
{
	while (query.n > 0) {
		struct str value = str_cut(&query, '&');

		if (str_eq(str_cut(&value, '='), name))
			return value;
	}
	return STR_NONE;
}

/* ?source=NAME: that source only, without requests.  ?request=ID: the request that has
 * that id, or an event of which has it, without sources. */
static int
write_status(const struct ops_context *c, struct str query, struct buf *out)
{
	struct str source = parameter(query, STR("source"));
	struct str request = parameter(query, STR("request"));
	struct uuid id;
	bool has_id = uuid_parse(request, &id);

	if (request.p != NULL && !has_id)
		return 400;
	buf_text(out, "{\"sources\":[");
	if (!has_id)
		channel_host_json(c->host, source, out);
	buf_text(out, "],\"requests\":[");
	if (source.p == NULL)
		channel_host_requests_json(c->host, has_id ? &id : NULL, out);
	buf_text(out, "]}\n");
	return 200;
}

static const struct page pages[] = {
	{ "/healthz", STR("text/plain; charset=utf-8"),			write_health },
	{ "/metrics", STR("text/plain; version=0.0.4; charset=utf-8"),	write_metrics },
	{ "/readyz",  STR("application/json"),				write_ready },
	{ "/status",  STR("application/json"),				write_status },
};

static const struct page *
page_at(struct str path)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (str_eq(path, str_of(pages[i].path)))
			return &pages[i];
	return NULL;
}

bool
ops_page_exists(struct str path)
{
	return page_at(path) != NULL;
}

bool
ops_page_answer(const struct ops_context *c, struct http_request *req)
{
	static const struct http_header allow[] = {
		{ STR("Allow"), STR("GET, HEAD") }, { STR_NONE, STR_NONE },
	};
	const struct http_message *m = http_request_message(req);
	const struct page *page = page_at(m->path);
	struct http_header headers[] = { { STR("Content-Type"), STR_NONE },
	    { STR("Cache-Control"), STR("no-store") }, { STR_NONE, STR_NONE } };
	struct buf out;
	int status;

	if (page == NULL)
		return false;
	if (!str_eq(m->method, STR("GET")) && !m->is_head) {
		http_reply_problem(req, 405, allow, STR("this page is read: use GET"));
		return true;
	}
	headers[0].value = page->type;
	buf_init(&out, PAGE_MAX_BYTES);
	status = page->write(c, m->query, &out);
	if (status == 400 || !buf_ok(&out))
		http_reply_problem(req, status == 400 ? 400 : 500, NULL,
		    status == 400 ? STR("request= takes a request's id") :
		    STR("the page became too large"));
	else
		http_reply(req, status, headers, out.p, out.n);
	buf_fini(&out);
	return true;
}
