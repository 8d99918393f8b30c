/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_EDGE_UNSUBSCRIBE_H
#define TL_EDGE_UNSUBSCRIBE_H

#include "base/checked.h"
#include "base/err.h"
#include "base/str.h"

struct http_request;
struct intake;
struct loop;
struct unsubscribe;

/* The links by which customers leave: /u/TOKEN.  A GET shows a page and changes nothing, since
 * scanners of mail follow links; a POST with List-Unsubscribe=One-Click (RFC 8058), which the
 * page's button sends as well, does it. */

enum { UNSUBSCRIBE_BODY_BYTES = 4096 };

/* conninfo is borrowed and outlives it.  Connects when it is first asked.  NULL: ERR_RETRY. */
TL_MUST struct unsubscribe *unsubscribe_new(struct loop *l, const char *conninfo,
    struct intake *intake, struct err *err);
/* Who still waits is told 503.  Accepts NULL. */
void	unsubscribe_free(struct unsubscribe *u);
bool	unsubscribe_is_path(struct str path);
/* Answers it, now or later. */
void	unsubscribe_request(struct unsubscribe *u, struct http_request *take_req);

#endif
