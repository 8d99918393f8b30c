/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_IO_CURL_LOOP_H
#define TL_IO_CURL_LOOP_H

#include <curl/curl.h>

#include "base/checked.h"
#include "base/err.h"

struct curl_loop;
struct event_base;

/* libcurl's multi handle, driven by the event loop. */

/* ended is called for each handle that is through with what it was to do, from a turn of the
 * loop of its own: it may add and remove handles, and may not free the curl_loop.
 * NULL: ERR_RETRY. */
TL_MUST struct curl_loop *curl_loop_new(struct event_base *base,
    void (*ended)(CURL *easy, CURLcode code), struct err *err);
/* No handle is left in it.  Accepts NULL. */
void	curl_loop_free(struct curl_loop *l);

/* false: it was not added. */
TL_MUST bool curl_loop_add(struct curl_loop *l, CURL *easy);
/* Also one that was never added. */
void	curl_loop_remove(struct curl_loop *l, CURL *easy);

/* What CURLOPT_PRIVATE was set to. */
void	*curl_private(CURL *easy);

#endif
