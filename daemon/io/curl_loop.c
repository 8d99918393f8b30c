/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl and libevent.
 *
 * libcurl says which sockets it waits for and how long (on_socket_wish, on_timer_wish);
 * libevent says what happened to them (on_socket, on_timer).  What is finished is reported
 * from a turn of the loop of its own: libcurl may not be called back from within itself.
 */
#include "io/curl_loop.h"

#include <stdlib.h>

#include <event2/event.h>

struct curl_loop {
	struct event_base	*base;		/* the caller's */
	CURLM			*multi;		/* ours */
	struct event		*timer;		/* ours: what libcurl waits for */
	struct event		*finished;	/* ours: somebody is to be told */
	void			(*ended)(CURL *easy, CURLcode code);
};

void *
curl_private(CURL *easy)
{
	union { char *text; void *p; } p = { NULL };

	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &p.text);
	return p.p;
}

static void
on_finished(evutil_socket_t fd, short what, void *arg)
{
	struct curl_loop *l = arg;
	CURLMsg *m;
	int left;

	(void)fd;
	(void)what;
	while ((m = curl_multi_info_read(l->multi, &left)) != NULL)
		if (m->msg == CURLMSG_DONE)
			l->ended(m->easy_handle, m->data.result);
}

static void
act(struct curl_loop *l, curl_socket_t fd, int mask)
{
	int running;

	(void)curl_multi_socket_action(l->multi, fd, mask, &running);
	event_active(l->finished, 0, 0);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	act(arg, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) |
	    (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int
on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct curl_loop *l = arg;
	struct event *ev = of_socket;

	(void)easy;
	if (ev != NULL)
		event_free(ev);
	ev = what == CURL_POLL_REMOVE ? NULL :
	    event_new(l->base, fd, (short)((what & CURL_POLL_IN ? EV_READ : 0) |
	    (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST), on_socket, l);
	if (ev != NULL && event_add(ev, NULL) != 0) {
		event_free(ev);
		ev = NULL;
	}
	(void)curl_multi_assign(l->multi, fd, ev);
	return what == CURL_POLL_REMOVE || ev != NULL ? 0 : -1;
}

static int
on_timer_wish(CURLM *multi, long timeout_ms, void *arg)
{
	struct curl_loop *l = arg;
	const struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };

	(void)multi;
	if (timeout_ms < 0)
		return event_del(l->timer);
	return event_add(l->timer, &tv);
}

/* ---- public ---- */

struct curl_loop *
curl_loop_new(struct event_base *base, void (*ended)(CURL *easy, CURLcode code), struct err *err)
{
	struct curl_loop *l = calloc(1, sizeof(*l));

	if (l != NULL && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
		l->base = base;
		l->ended = ended;
		l->multi = curl_multi_init();
		l->timer = evtimer_new(base, on_timer, l);
		l->finished = event_new(base, -1, 0, on_finished, l);
		if (l->multi != NULL && l->timer != NULL && l->finished != NULL &&
		    curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish) == CURLM_OK &&
		    curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l) == CURLM_OK &&
		    curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish) == CURLM_OK &&
		    curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l) == CURLM_OK)
			return l;
		curl_loop_free(l);
		l = NULL;
	}
	free(l);
	(void)err_set(err, ERR_RETRY, "libcurl cannot be started");
	return NULL;
}

void
curl_loop_free(struct curl_loop *l)
{
	if (l == NULL)
		return;
	if (l->multi != NULL)
		(void)curl_multi_cleanup(l->multi);
	if (l->timer != NULL)
		event_free(l->timer);
	if (l->finished != NULL)
		event_free(l->finished);
	curl_global_cleanup();
	free(l);
}

bool
curl_loop_add(struct curl_loop *l, CURL *easy)
{
	return curl_multi_add_handle(l->multi, easy) == CURLM_OK;
}

void
curl_loop_remove(struct curl_loop *l, CURL *easy)
{
	(void)curl_multi_remove_handle(l->multi, easy);
}
