/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touchlog trace: what became of one event.
 *
 * Facts are gathered from the database (by the event's id, or by its dedupe key) and
 * from the daemon's memory of its last requests; then they are said in words, or as one
 * JSON document of the same facts.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/json.h"
#include "base/uuid.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/db.h"
#include "cli/ops_client.h"
#include "cli/sources.h"
#include "cli/terminal.h"
#include "edge/config.h"

enum { JSON_DEPTH = 128, LINE_MAX_BYTES = 64 * 1024, ITEMS_SHOWN = 100, PATH_BYTES = 128 };

/* All json_objects are ours; NULL: there is no such fact. */
struct tracing {
	struct cli		*cli;
	PGconn			*pg;		/* ours; NULL: the database cannot be asked */
	char			 id[UUID_TEXT_SIZE];	/* "" until known */
	bool			 is_seen;	/* its dedupe key is remembered */
	struct json_object	*interaction;
	struct json_object	*parked;
	struct json_object	*request;	/* as the daemon remembers it */
	struct json_object	*refusal;	/* of the whole request */
	const char		*refused_by;	/* the refusal's source; the status' */
	struct json_object	*status;
};

/* ---- facts of the database ---- */

/* One row of JSON; *ret NULL when there is none. */
static bool
find_row(struct tracing *t, const char *sql, const char *value, struct json_object **ret)
{
	const char *const values[] = { value };
	PGresult *res = db_query(t->pg, sql, values, 1);
	bool ok = res != NULL;
	struct err err;

	*ret = NULL;
	if (ok && PQntuples(res) > 0 && !json_parse(db_cell(res, 0, 0), JSON_DEPTH, ret, &err)) {
		cli_note("%s", err.text);
		ok = false;
	}
	PQclear(res);
	return ok;
}

static bool
find_interaction(struct tracing *t)
{
	return find_row(t, "SELECT to_json(t) FROM (SELECT i.id, i.source, i.received_at,"
	    " i.occurred_at, i.channel, i.direction, i.kind, i.external_id,"
	    " i.customer_id AS own_customer_id, coalesce(c.root_id, i.customer_id) AS customer"
	    " FROM touchlog.interaction i LEFT JOIN touchlog.customer c ON c.id = i.customer_id"
	    " WHERE i.id = $1::uuid AND i.received_at = touchlog.at($1::uuid)) t", t->id,
	    &t->interaction);
}

#define PARKED								\
    "SELECT to_json(t) FROM (SELECT id, source, state, reason, sqlstate, attempts, first_at,"	\
    " last_at, octet_length(raw) AS bytes FROM touchlog.parked WHERE "

static bool
find_by_key(struct tracing *t, const char *key)
{
	const char *const values[] = { key };
	PGresult *res = db_query(t->pg, "SELECT id FROM touchlog.seen WHERE key = $1::uuid", values,
	    1);

	if (res == NULL)
		return false;
	if (PQntuples(res) == 1) {
		t->is_seen = true;
		(void)snprintf(t->id, sizeof(t->id), "%s", PQgetvalue(res, 0, 0));
	}
	PQclear(res);
	return (!t->is_seen || find_interaction(t)) &&
	    find_row(t, PARKED "key = $1::uuid) t", key, &t->parked);
}

/* ---- facts of the daemon ---- */

static bool
ask_daemon(struct tracing *t, const char *path)
{
	struct err err;

	if (ops_ask(t->cli->config, path, &t->status, &err))
		return true;
	cli_note("%s%s", err.text, t->pg != NULL ? "; only the database was asked" : "");
	return false;
}

static void
find_request(struct tracing *t)
{
	char path[PATH_BYTES];
	size_t n;
	struct json_object *requests;

	(void)snprintf(path, sizeof(path), "/status?request=%s", t->id);
	if (!ask_daemon(t, path))
		return;
	requests = ops_list(t->status, "requests", &n);
	if (n > 0)
		t->request = json_object_get(json_object_array_get_idx(requests, 0));
	json_object_put(t->status);
	t->status = NULL;
}

static void
find_refusal_in(struct tracing *t, struct json_object *source)
{
	size_t n;
	struct json_object *refusals = ops_list(source, "refusals", &n);

	for (size_t i = 0; i < n; i++) {
		struct json_object *r = json_object_array_get_idx(refusals, i);

		if (t->refusal != NULL || strcmp(ops_text(r, "request"), t->id) != 0)
			continue;
		t->refusal = json_object_get(r);
		t->refused_by = ops_text(source, "name");
		ops_mend_time(t->refusal, "at");
	}
}

static void
find_refusal(struct tracing *t)
{
	struct json_object *sources;
	size_t n;

	if (!ask_daemon(t, "/status"))
		return;
	sources = ops_list(t->status, "sources", &n);
	for (size_t i = 0; i < n; i++)
		find_refusal_in(t, json_object_array_get_idx(sources, i));
}

/* Which event of the request this id is; its own and its first event's are the same. */
static size_t
item_of(const struct tracing *t)
{
	struct uuid request, wanted;
	size_t n = strlen(ops_text(t->request, "fates"));

	if (!uuid_parse(str_of(ops_text(t->request, "id")), &request) ||
	    !uuid_parse(str_of(t->id), &wanted))
		return 0;
	for (size_t i = 0; i < n; i++) {
		struct uuid item = uuid_plus(request, (uint32_t)i);

		if (memcmp(item.b, wanted.b, sizeof(item.b)) == 0)
			return i;
	}
	return 0;
}

/* ---- in words ---- */

static void __attribute__((format(printf, 1, 2)))
say(const char *fmt, ...)
{
	char text[LINE_MAX_BYTES / 8];
	struct buf line;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_init(&line, LINE_MAX_BYTES);
	terminal_put(&line, str_of(text), TERMINAL_ONE_LINE);
	(void)printf("%.*s\n", STR_ARG(buf_str(&line)));
	buf_fini(&line);
}

static void
say_interaction(struct json_object *i)
{
	int64_t own = ops_number(i, "own_customer_id"), customer = ops_number(i, "customer");

	say("logged as %s at %s, from %s (%s)", ops_text(i, "id"), ops_text(i, "received_at"),
	    ops_text(i, "source"), ops_text(i, "kind"));
	if (own <= 0)
		say("for nobody known");
	else if (own == customer)
		say("for customer %lld", (long long)own);
	else
		say("for customer %lld, who is one with %lld", (long long)own, (long long)customer);
}

static void
say_parked(struct json_object *p)
{
	const char *state = ops_text(p, "state");

	say("%s as %s since %s, %lld time%s: %s",
	    strcmp(state, "open") == 0 ? "parked" : strcmp(state, "retried") == 0 ?
	    "was parked, and retried," : "was parked, and dropped,", ops_text(p, "id"),
	    ops_text(p, "first_at"), (long long)ops_number(p, "attempts"),
	    ops_number(p, "attempts") == 1 ? "" : "s", ops_text(p, "reason"));
}

static const char *
fate_of(char letter)
{
	static const struct { char letter; const char *words; } fates[] = {
		{ 'l', "logged" }, { 'd', "duplicate of an event logged before" },
		{ 's', "spooled: acknowledged before the database took it" },
		{ 'p', "parked" }, { 'r', "rejected: its sender was told what to mend" },
		{ 'i', "ignored: no `when` of the source takes it" },
		{ 'u', "not taken: its sender was told to send it again" },
	};

	for (size_t i = 0; i < sizeof(fates) / sizeof(fates[0]); i++)
		if (fates[i].letter == letter)
			return fates[i].words;
	return "unknown";
}

static void
say_request(const struct tracing *t)
{
	const char *fates = ops_text(t->request, "fates"), *id = ops_text(t->request, "id");
	size_t n = strlen(fates), item = item_of(t);

	say("request %s to %s was answered with %lld; events taken from it: %zu", id,
	    ops_text(t->request, "source"), (long long)ops_number(t->request, "status"), n);
	if (n > 0 && (item > 0 || n == 1))
		say("event %zu: %s", item, fate_of(fates[item]));
	for (size_t i = 0; item == 0 && n > 1 && i < n && i < ITEMS_SHOWN; i++)
		say("event %zu: %s", i, fate_of(fates[i]));
	if (item == 0 && n > ITEMS_SHOWN)
		say("and %zu more; touchlog trace EVENT_ID tells of one", n - ITEMS_SHOWN);
}

static void
say_facts(const struct tracing *t)
{
	if (t->interaction != NULL)
		say_interaction(t->interaction);
	else if (t->is_seen)
		say("logged as %s, which stands in the log no longer", t->id);
	if (t->parked != NULL)
		say_parked(t->parked);
	if (t->refusal != NULL)
		say("refused by %s at %s: check %s, %lld bytes", t->refused_by,
		    ops_text(t->refusal, "at"), ops_text(t->refusal, "check"),
		    (long long)ops_number(t->refusal, "bytes"));
	if (t->request != NULL)
		say_request(t);
}

/* ---- the answer ---- */

static bool
is_known(const struct tracing *t)
{
	return t->is_seen || t->interaction != NULL || t->parked != NULL || t->request != NULL ||
	    t->refusal != NULL;
}

static void
print_json(const struct tracing *t)
{
	struct json_object *o = json_object_new_object();

	if (t->refusal != NULL)
		json_object_object_add(t->refusal, "source", json_object_new_string(t->refused_by));
	json_object_object_add(o, "known", json_object_new_boolean(is_known(t)));
	json_object_object_add(o, "id", t->id[0] != '\0' ? json_object_new_string(t->id) : NULL);
	json_object_object_add(o, "interaction", json_object_get(t->interaction));
	json_object_object_add(o, "parked", json_object_get(t->parked));
	json_object_object_add(o, "request", json_object_get(t->request));
	json_object_object_add(o, "refusal", json_object_get(t->refusal));
	(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
	    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static enum exit_code
answer(const struct tracing *t)
{
	if (t->cli->wants_json)
		print_json(t);
	else
		say_facts(t);
	if (is_known(t))
		return CLI_OK;
	if (t->pg == NULL)
		return CLI_DATABASE;
	return cli_fail(CLI_NOT_FOUND, "not known: it was never accepted, or its key is forgotten%s",
	    t->cli->config->spool.path.p != NULL ? ", or it waits in the spool" : "");
}

/* ---- both ways to ask ---- */

static enum exit_code
trace_request(struct tracing *t)
{
	if (t->pg != NULL && (!find_interaction(t) ||
	    !find_row(t, PARKED "id = $1::uuid) t", t->id, &t->parked)))
		return CLI_DATABASE;
	find_request(t);
	if (!is_known(t) || (t->request != NULL && ops_text(t->request, "fates")[0] == '\0'))
		find_refusal(t);
	return answer(t);
}

static bool
read_id(struct tracing *t, const char *text)
{
	struct uuid id;

	if (!uuid_parse(str_of(text), &id))
		return false;
	uuid_text(id, t->id);
	return true;
}

static enum exit_code
trace_event(struct tracing *t, const char *name, const char *external_id)
{
	char key[UUID_TEXT_SIZE];
	enum exit_code code = sources_event_key(t->cli, name, external_id, key);

	if (code != CLI_OK)
		return code;
	return find_by_key(t, key) ? answer(t) : CLI_DATABASE;
}

static enum exit_code
trace(struct cli *cli)
{
	struct tracing t = { .cli = cli };
	enum exit_code code;

	if (cli->nargs == 1 && !read_id(&t, cli->args[0]))
		return cli_fail(CLI_USAGE, "%s is no request's id; else SOURCE EXTERNAL_ID is wanted",
		    cli->args[0]);
	t.pg = db_open(cli, DB_READ, &code);
	/* The daemon knows a request while it spools. */
	if (t.pg == NULL && (code != CLI_DATABASE || cli->nargs != 1))
		return code;
	code = cli->nargs == 1 ? trace_request(&t) :
	    trace_event(&t, cli->args[0], cli->args[1]);
	json_object_put(t.interaction);
	json_object_put(t.parked);
	json_object_put(t.request);
	json_object_put(t.refusal);
	json_object_put(t.status);
	PQfinish(t.pg);
	return code;
}

static const struct verb verbs[] = {
	{ NULL, "SOURCE EXTERNAL_ID | REQUEST_ID", 1, 2, .summary = "Tell what became of one event",
	    .help = "By the id that the sender gave it, or by the X-Request-Id of an answer; an "
	    "event's\nid in an answer will do too.", .run = trace },
	{ 0 },
};

const struct command command_trace = { "trace", verbs };
