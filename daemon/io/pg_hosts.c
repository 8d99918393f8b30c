/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conninfo -> parameters for PQconnectStartParams(), host names resolved.
 *
 * libpq itself would resolve them synchronously and stop the loop for as long as the
 * name server is silent.  Each address found becomes an entry of the lists host,
 * hostaddr and port (host stays beside hostaddr for certificates and .pgpass); unix
 * sockets pass as they are, names that do not resolve are left out.
 *
 * libpq goes on to the next entry when one refuses, but not when one accepts and then
 * says nothing: so the caller can have the lists begin with another entry.
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

enum { MAX_PARAMS = 64, MAX_HOSTS = 16, LIST_BYTES = 8192, NLISTS = 3 };

struct name {
	struct pg_hosts			*hosts;
	struct evdns_getaddrinfo_request *request;	/* evdns's; NULL: answered */
	char				 host[256];
	char				 port[8];
	struct buf			 addresses;	/* each ended by a comma; "": a socket */
	bool				 is_pending;
};

struct pg_hosts {
	struct loop	*loop;
	PQconninfoOption *options;		/* ours */
	char		*application_name;	/* ours */
	pg_hosts_done	*done;
	void		*owner;
	size_t		 first;		/* entry */
	struct name	 names[MAX_HOSTS];
	size_t		 nnames;
	size_t		 npending;
	bool		 is_starting;	/* pg_hosts_start() is on the stack */
	bool		 is_dead;	/* freed, but evdns still owes us answers */
	struct buf	 host, hostaddr, port;
	struct buf	 rotated[NLISTS];	/* the same, as libpq gets them */
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

/* All addresses of the first name, of the second, ... whichever was answered first. */
static void
make_lists(struct pg_hosts *h)
{
	for (size_t i = 0; i < h->nnames; i++) {
		const struct name *name = &h->names[i];
		struct str rest = buf_str(&name->addresses);

		while (rest.n > 0) {
			const char *comma = h->host.n > 0 ? "," : "";

			buf_printf(&h->host, "%s%s", comma, name->host);
			buf_printf(&h->port, "%s%s", comma, name->port);
			buf_text(&h->hostaddr, comma);
			buf_str_add(&h->hostaddr, str_cut(&rest, ','));
		}
	}
}

/* "a,b,c" from the second on: "b,c,a".  NUL-terminated, unless it does not fit. */
static bool
rotate(struct buf *out, const char *list, size_t first)
{
	struct str tail = str_of(list), head = tail;
	size_t n = 1;

	for (const char *p = list; *p != '\0'; p++)
		n += *p == ',';
	for (first %= n; first > 0; first--)
		(void)str_cut(&tail, ',');
	head.n -= tail.n;
	buf_clear(out);
	buf_str_add(out, tail);
	if (head.n > 0)
		buf_printf(out, ",%.*s", (int)head.n - 1, head.p);
	buf_add(out, "", 1);
	return buf_ok(out);
}

/* The lists of our making, else those that the user gave. */
static bool
set_lists(struct pg_hosts *h, const char **keywords, const char **values, size_t *n)
{
	const struct {
		const char	*keyword;
		struct buf	*made;
	} lists[] = { { "host", &h->host }, { "hostaddr", &h->hostaddr }, { "port", &h->port } };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		const char *list = option_or_env(h, lists[i].keyword);

		if (h->nnames > 0) {
			buf_add(lists[i].made, "", 1);
			list = buf_ok(lists[i].made) ? lists[i].made->p : NULL;
		}
		if (list == NULL && h->nnames == 0)
			continue;
		if (list == NULL || !rotate(&h->rotated[i], list, h->first))
			return false;
		set_param(keywords, values, n, lists[i].keyword, h->rotated[i].p);
	}
	return true;
}

static void
finish(struct pg_hosts *h)
{
	const char *keywords[MAX_PARAMS + 1] = { NULL }, *values[MAX_PARAMS + 1] = { NULL };
	size_t n = 0;
	struct err err;

	make_lists(h);
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
	if (set_lists(h, keywords, values, &n)) {
		h->done(h->owner, keywords, values, NULL);
		return;
	}
	(void)err_set(&err, ERR_RETRY, "the database's hosts have too many addresses");
	h->done(h->owner, NULL, NULL, &err);
}

static void
add_addresses(struct name *name, struct evutil_addrinfo *found)
{
	char text[64];

	for (struct evutil_addrinfo *a = found; a != NULL; a = a->ai_next)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0,
		    NI_NUMERICHOST) == 0)
			buf_printf(&name->addresses, "%s,", text);
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
	for (size_t i = 0; i < NLISTS; i++)
		buf_fini(&h->rotated[i]);
	for (size_t i = 0; i < MAX_HOSTS; i++)
		buf_fini(&h->names[i].addresses);
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
		add_addresses(name, found);
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
		buf_text(&name->addresses, ",");
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
pg_hosts_new(struct loop *l, const char *conninfo, const char *application_name, size_t first,
    pg_hosts_done *done, void *owner, struct err *err)
{
	struct pg_hosts *h = calloc(1, sizeof(*h));
	char *why = NULL;

	if (h == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	h->loop = l;
	h->first = first;
	h->done = done;
	h->owner = owner;
	h->application_name = strdup(application_name);
	buf_init(&h->host, LIST_BYTES);
	buf_init(&h->hostaddr, LIST_BYTES);
	buf_init(&h->port, LIST_BYTES);
	for (size_t i = 0; i < NLISTS; i++)
		buf_init(&h->rotated[i], LIST_BYTES);
	for (size_t i = 0; i < MAX_HOSTS; i++)
		buf_init(&h->names[i].addresses, LIST_BYTES);
	h->options = PQconninfoParse(conninfo, &why);
	if (h->options == NULL)
		(void)err_set(err, ERR_CONFIG, "conninfo: %s", pg_text(why));
	PQfreemem(why);
	if (h->options != NULL && h->application_name != NULL && find_names(h, err))
		return h;
	free_now(h);
	return NULL;
}
