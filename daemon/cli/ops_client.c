/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the running daemon over its ops listener: one GET, whose answer is JSON. */
#include "cli/ops_client.h"

#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/json.h"
#include "cli/http_call.h"
#include "edge/config.h"

enum {
	DEADLINE_MS	  = 5000,
	REQUEST_MAX_BYTES = 8192,
	HOST_BYTES	  = 256,
	PORT_BYTES	  = 8,
	JSON_DEPTH	  = 16,
};

/* ---- where it listens ---- */

static const struct listener_conf *
ops_listener(const struct config *c)
{
	for (size_t i = 0; i < c->listeners.n; i++) {
		const struct listener_conf *l = c->listeners.v[i].common;

		if ((l->serve & SERVE_OPS) != 0)
			return l;
	}
	return NULL;
}

/* "[::1]:9180" -> "::1", "9180".  Who listens everywhere is reached on the loopback. */
static bool
split_address(struct str address, char host[HOST_BYTES], char port[PORT_BYTES])
{
	struct str name = address;
	size_t at = address.n;

	while (at > 0 && address.p[at - 1] != ':')
		at--;
	if (at == 0 || address.n - at >= PORT_BYTES || at > HOST_BYTES)
		return false;
	name.n = at - 1;
	if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
		name = (struct str){ name.p + 1, name.n - 2 };
	if (str_eq(name, STR("0.0.0.0")) || name.n == 0)
		name = STR("127.0.0.1");
	if (str_eq(name, STR("::")))
		name = STR("::1");
	(void)snprintf(host, HOST_BYTES, "%.*s", STR_ARG(name));
	(void)snprintf(port, PORT_BYTES, "%s", address.p + at);
	return strcmp(port, "0") != 0;
}

/* ---- asking ---- */

static bool
ask_at(const char *host, const char *port, const char *path, struct json_object **ret,
    struct err *err)
{
	struct http_answer answer;
	struct buf out;
	bool ok;

	buf_init(&out, REQUEST_MAX_BYTES);
	buf_printf(&out, "GET %s HTTP/1.1\r\nHost: touchlog\r\nConnection: close\r\n\r\n", path);
	ok = http_call(host, port, buf_str(&out), DEADLINE_MS, &answer, err);
	if (ok && answer.status != 200)
		ok = err_set(err, ERR_RETRY, "it answers %.*s", STR_ARG(answer.status_line));
	ok = ok && json_parse(answer.body, JSON_DEPTH, ret, err);
	http_answer_fini(&answer);
	buf_fini(&out);
	return ok;
}

bool
ops_ask(const struct config *c, const char *path, struct json_object **ret, struct err *err)
{
	const struct listener_conf *l = ops_listener(c);
	char host[HOST_BYTES], port[PORT_BYTES];

	if (l == NULL)
		return err_set(err, ERR_RETRY, "no listener serves ops");
	if (!split_address(l->address, host, port))
		return err_set(err, ERR_RETRY, "the listener for ops has no fixed port");
	return ask_at(host, port, path, ret, err) ||
	    err_in(err, "the daemon at %.*s", STR_ARG(l->address));
}

/* ---- what stands in it ---- */

const char *
ops_text(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(o, key, &value) && value != NULL ?
	    json_object_get_string(value) : "";
}

int64_t
ops_number(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_int64(value) : 0;
}

struct json_object *
ops_list(struct json_object *o, const char *key, size_t *ret_n)
{
	struct json_object *value = NULL;

	*ret_n = 0;
	if (!json_object_object_get_ex(o, key, &value) ||
	    !json_object_is_type(value, json_type_array))
		return NULL;
	*ret_n = json_object_array_length(value);
	return value;
}

void
ops_mend_time(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;
	struct tm tm;
	char text[48];
	double at_s;
	time_t s;

	if (!json_object_object_get_ex(o, key, &value) || value == NULL)
		return;
	at_s = json_object_get_double(value);
	s = (time_t)at_s;
	if (gmtime_r(&s, &tm) == NULL || strftime(text, 20, "%FT%T", &tm) == 0)
		return;
	(void)snprintf(text + 19, sizeof(text) - 19, ".%03dZ", (int)((at_s - (double)s) * 1000));
	json_object_object_add(o, key, json_object_new_string(text));
}
