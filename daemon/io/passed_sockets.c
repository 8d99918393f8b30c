/* SPDX-License-Identifier: Apache-2.0 */
/* Socket activation: what stands in LISTEN_FDS and LISTEN_FDNAMES. */
#include "io/passed_sockets.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "io/listen_address.h"

struct passed {
	int			 fd;		/* ours; -1: taken */
	char			*name;		/* ours */
	bool			 is_fit;	/* a TCP socket that listens */
	struct listen_address	 address;	/* where is_fit */
};

struct passed_sockets {
	size_t		n;
	struct passed	v[];
};

struct passed_sockets *
passed_sockets_new(struct err *err)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);
	struct passed_sockets *ps;

	if (n < 0) {
		(void)err_set(err, ERR_CONFIG, "LISTEN_FDS: %s", strerror(-n));
		return NULL;
	}
	ps = calloc(1, sizeof(*ps) + (size_t)n * sizeof(ps->v[0]));
	if (ps == NULL)
		(void)err_set(err, ERR_RETRY, "out of memory");
	for (int i = 0; ps != NULL && i < n; i++) {
		struct passed *p = &ps->v[ps->n++];

		p->fd = SD_LISTEN_FDS_START + i;
		p->name = names[i];
		p->is_fit = listen_address_of(p->fd, &p->address);
	}
	free(names);	/* the texts in it are ours now */
	return ps;
}

void
passed_sockets_free(struct passed_sockets *ps)
{
	if (ps == NULL)
		return;
	for (size_t i = 0; i < ps->n; i++) {
		if (ps->v[i].fd != -1)
			(void)close(ps->v[i].fd);
		free(ps->v[i].name);
	}
	free(ps);
}

static bool
is_named(const struct passed *p, const char *name)
{
	return p->fd != -1 && p->is_fit && strcmp(p->name, name) == 0;
}

static bool
is_at(const struct passed *p, const struct listen_address *a)
{
	return p->fd != -1 && p->is_fit && listen_address_eq(&p->address, a);
}

static int
take(struct passed *p)
{
	int fd = p->fd;

	p->fd = -1;
	return fd;
}

int
passed_sockets_take(struct passed_sockets *ps, const char *name, const char *address)
{
	struct listen_address a;
	bool has_address = listen_address_read(address, &a);

	for (size_t i = 0; i < ps->n; i++)
		if (is_named(&ps->v[i], name))
			return take(&ps->v[i]);
	for (size_t i = 0; has_address && i < ps->n; i++)
		if (is_at(&ps->v[i], &a))
			return take(&ps->v[i]);
	return -1;
}

void
passed_sockets_tell_rest(const struct passed_sockets *ps)
{
	char text[LISTEN_ADDRESS_SIZE] = "";

	for (size_t i = 0; i < ps->n; i++) {
		const struct passed *p = &ps->v[i];

		if (p->fd == -1)
			continue;
		if (p->is_fit)
			listen_address_text(&p->address, text);
		log_error("socket_unwanted", F_TEXT("name", p->name),
		    F_TEXT(p->is_fit ? "address" : NULL, text), F_TEXT("hint", p->is_fit ?
		    "no listener has this name or address: give one of them this name, or stop "
		    "the socket unit" :
		    "not a listening TCP socket: ListenStream= takes a port, Accept=no"));
	}
}
