/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conninfo -> parameters for PQconnectStartParams(), host names resolved.
 *
 * libpq itself would resolve them synchronously and stop the loop for as long as the
 * name server is silent.  Each address found becomes an entry of the lists host,
 * hostaddr and port (host stays beside hostaddr for certificates and .pgpass); unix
 * sockets pass as they are, names that do not resolve are left out.
 */
#include "io/pg_hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/dns.h>
#include <event2/util.h>
#include <libpq-fe.h>
#include <netdb.h>

#include "base/buf.h"
#include "base/str.h"
#include "io/loop.h"
#include "io/pg_conn.h"

enum { MAX_PARAMS = 64, MAX_HOSTS = 16, LIST_BYTES = 8192 };

struct name {
	struct pg_hosts			*hosts;
	struct evdns_getaddrinfo_request *request;	/* evdns's; NULL: answered */
	char				 host[256];
	char				 port[8];
	bool				 is_pending;
};

struct pg_hosts {
	struct loop	*loop;
	PQconninfoOption *options;		/* ours */
	char		*application_name;	/* ours */
	pg_hosts_done	*done;
	void		*owner;
	struct name	 names[MAX_HOSTS];
	size_t		 nnames;
	size_t		 npending;
	bool		 is_starting;	/* pg_hosts_start() is on the stack */
	bool		 is_dead;	/* freed, but evdns still owes us answers */
	struct buf	 host, hostaddr, port;
	char		 last_error[128];
};

/* What every connection of ours says unless the user did (DESIGN section 3). */
static const struct { const char *keyword, *value; } ours[] = {
	{ "keepalives_idle", "3" },
	{ "keepalives_interval", "2" },
	{ "keepalives_count", "2" },
	{ "tcp_user_timeout", "7000" },
	{ "gssencmode", "disable" },
	{ "client_encoding", "UTF8" },
};

static PQconninfoOption *
option(struct pg_hosts *h, const char *keyword)
{
	for (PQconninfoOption *o = h->options; o->keyword != NULL; o++)
		if (strcmp(o->keyword, keyword) == 0)
			return o;
	return NULL;
}

static const char *
option_or_env(struct pg_hosts *h, const char *keyword)
{
	PQconninfoOption *o = option(h, keyword);

	if (o == NULL)
		return NULL;
	if (o->val != NULL && o->val[0] != '\0')
		return o->val;
	return o->envvar != NULL ? getenv(o->envvar) : NULL;
}

static void
set_param(const char **keywords, const char **values, size_t *n, const char *keyword,
    const char *value)
{
	for (size_t i = 0; i < *n; i++)
		if (strcmp(keywords[i], keyword) == 0) {
			values[i] = value;
			return;
		}
	if (*n >= MAX_PARAMS)
		return;
	keywords[*n] = keyword;
	values[(*n)++] = value;
}

static void
finish(struct pg_hosts *h)
{
	const char *keywords[MAX_PARAMS + 1] = { NULL }, *values[MAX_PARAMS + 1] = { NULL };
	size_t n = 0;
	struct err err;

	if (h->nnames > 0 && h->host.n == 0) {
		(void)err_set(&err, ERR_RETRY, "the database's host is not found: %s",
		    h->last_error);
		h->done(h->owner, NULL, NULL, &err);
		return;
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		set_param(keywords, values, &n, ours[i].keyword, ours[i].value);
	set_param(keywords, values, &n, "application_name", h->application_name);
	for (PQconninfoOption *o = h->options; o->keyword != NULL; o++)
		if (o->val != NULL && o->val[0] != '\0')
			set_param(keywords, values, &n, o->keyword, o->val);
	if (h->nnames > 0) {
		buf_add(&h->host, "", 1);
		buf_add(&h->hostaddr, "", 1);
		buf_add(&h->port, "", 1);
		set_param(keywords, values, &n, "host", h->host.p);
		set_param(keywords, values, &n, "hostaddr", h->hostaddr.p);
		set_param(keywords, values, &n, "port", h->port.p);
	}
	h->done(h->owner, keywords, values, NULL);
}

static void
add_entry(struct pg_hosts *h, const struct name *name, const char *address)
{
	const char *comma = h->host.n > 0 ? "," : "";

	buf_printf(&h->host, "%s%s", comma, name->host);
	buf_printf(&h->port, "%s%s", comma, name->port);
	if (h->hostaddr.n == 0 && *comma == '\0')
		buf_text(&h->hostaddr, address);
	else
		buf_printf(&h->hostaddr, ",%s", address);
}

static void
add_addresses(struct pg_hosts *h, const struct name *name, struct evutil_addrinfo *found)
{
	char text[64];

	for (struct evutil_addrinfo *a = found; a != NULL; a = a->ai_next)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0,
		    NI_NUMERICHOST) == 0)
			add_entry(h, name, text);
}

static void
free_now(struct pg_hosts *h)
{
	if (h->options != NULL)
		PQconninfoFree(h->options);
	free(h->application_name);
	buf_fini(&h->host);
	buf_fini(&h->hostaddr);
	buf_fini(&h->port);
	free(h);
}

static void
on_found(int result, struct evutil_addrinfo *found, void *arg)
{
	struct name *name = arg;
	struct pg_hosts *h = name->hosts;

	name->request = NULL;
	name->is_pending = false;
	h->npending--;
	if (result == 0)
		add_addresses(h, name, found);
	else
		(void)snprintf(h->last_error, sizeof(h->last_error), "%.60s: %.60s", name->host,
		    evutil_gai_strerror(result));
	if (found != NULL)
		evutil_freeaddrinfo(found);
	if (h->npending > 0 || h->is_starting)
		return;
	if (h->is_dead)
		free_now(h);
	else
		finish(h);
}

static void
resolve(struct pg_hosts *h, struct name *name)
{
	const struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };

	if (name->host[0] == '/' || name->host[0] == '@') {
		add_entry(h, name, "");
		return;
	}
	name->is_pending = true;
	h->npending++;
	/* Answers at once for numeric addresses: then on_found() has run already. */
	name->request = evdns_getaddrinfo(loop_dns(h->loop), name->host, NULL, &hints, on_found,
	    name);
	if (!name->is_pending)
		name->request = NULL;
}

void
pg_hosts_start(struct pg_hosts *h)
{
	h->is_starting = true;
	for (size_t i = 0; i < h->nnames; i++)
		resolve(h, &h->names[i]);
	h->is_starting = false;
	if (h->npending == 0)
		finish(h);
}

void
pg_hosts_free(struct pg_hosts *h)
{
	if (h == NULL)
		return;
	if (h->npending == 0) {
		free_now(h);
		return;
	}
	/* evdns still calls on_found() for what is cancelled. */
	h->is_dead = true;
	for (size_t i = 0; i < h->nnames; i++)
		if (h->names[i].request != NULL)
			evdns_getaddrinfo_cancel(h->names[i].request);
}

/* hosts "a,b" with ports "1,2", or one port for all, or none. */
static bool
list_names(struct pg_hosts *h, const char *hosts, const char *ports, struct err *err)
{
	struct str rest = str_of(hosts), ports_left = str_of(ports != NULL ? ports : "5432");
	struct str port = STR("5432");
	bool has_one_port = memchr(ports_left.p, ',', ports_left.n) == NULL;

	do {
		struct str host = str_cut(&rest, ',');
		struct name *name = &h->names[h->nnames];

		if (h->nnames == MAX_HOSTS || host.n >= sizeof(name->host))
			return err_set(err, ERR_CONFIG, "conninfo: more than %d hosts, or too long "
			    "a name", MAX_HOSTS);
		if (!has_one_port || h->nnames == 0)
			port = str_cut(&ports_left, ',');
		name->hosts = h;
		(void)snprintf(name->host, sizeof(name->host), "%.*s", STR_ARG(host));
		(void)snprintf(name->port, sizeof(name->port), "%.*s",
		    port.n > 0 ? (int)port.n : 4, port.n > 0 ? port.p : "5432");
		h->nnames++;
	} while (rest.n > 0);
	return true;
}

/* hostaddr given, or no host at all (the default socket): nothing to resolve. */
static bool
find_names(struct pg_hosts *h, struct err *err)
{
	const char *hosts = option_or_env(h, "host");

	if (option_or_env(h, "hostaddr") != NULL || hosts == NULL || hosts[0] == '\0')
		return true;
	return list_names(h, hosts, option_or_env(h, "port"), err);
}

struct pg_hosts *
pg_hosts_new(struct loop *l, const char *conninfo, const char *application_name,
    pg_hosts_done *done, void *owner, struct err *err)
{
	struct pg_hosts *h = calloc(1, sizeof(*h));
	char *why = NULL;

	if (h == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	h->loop = l;
	h->done = done;
	h->owner = owner;
	h->application_name = strdup(application_name);
	buf_init(&h->host, LIST_BYTES);
	buf_init(&h->hostaddr, LIST_BYTES);
	buf_init(&h->port, LIST_BYTES);
	h->options = PQconninfoParse(conninfo, &why);
	if (h->options == NULL)
		(void)err_set(err, ERR_CONFIG, "conninfo: %s", pg_text(why));
	PQfreemem(why);
	if (h->options != NULL && h->application_name != NULL && find_names(h, err))
		return h;
	free_now(h);
	return NULL;
}
