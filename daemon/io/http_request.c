/* SPDX-License-Identifier: Apache-2.0 */
/* A request, as its owner sees it. */
#include "io/http_server.h"

#include "io/http_conn.h"

const struct http_message *
http_request_message(const struct http_request *req)
{
	return &req->msg;
}

struct str
http_request_header(const struct http_request *req, struct str name)
{
	return http_message_header(&req->msg, name);
}

struct str
http_request_body(const struct http_request *req)
{
	return http_message_body(&req->msg);
}

struct uuid
http_request_id(const struct http_request *req)
{
	return req->id;
}

struct str
http_request_peer(const struct http_request *req)
{
	return str_of(req->address);
}

bool
http_request_is_tls(const struct http_request *req)
{
	return req->is_tls;
}

void
http_request_set_priv(struct http_request *req, void *priv)
{
	req->priv = priv;
}

void *
http_request_priv(const struct http_request *req)
{
	return req->priv;
}

bool
http_request_has_client(const struct http_request *req)
{
	return req->conn != NULL;
}
