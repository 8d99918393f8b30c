/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of webhooks: a tree of templates -> JSON. */
#include "flow/action_body.h"

#include <json-c/json_object.h>

#include "base/json.h"
#include "flow/action.h"

enum { VALUE_DEPTH_MAX = 100 };

/* ---- judging ---- */

static void
check_text(struct conf *c, const struct conf_node *n, const char *key)
{
	struct err err;

	if (conf_text(n).p != NULL && !action_template_check(conf_text(n), &err))
		conf_complain(c, n, "%s: %s", key, err.text);
}

void
action_body_check(struct conf *c, const struct conf_node *tree, const char *key)
{
	if (tree == NULL || conf_is_scalar(tree)) {
		check_text(c, tree, key);
		return;
	}
	for (size_t i = 0; i < conf_count(tree); i++)
		action_body_check(c, conf_item(tree, i), key);
}

/* ---- building ---- */

static bool
build_raw(struct str text, struct json_object *payload, struct buf *out, struct err *err)
{
	struct json_object *o = NULL;
	struct err none;
	struct buf b;
	bool ok;

	buf_init(&b, out->max);
	ok = action_substitute(text, payload, ESCAPE_NONE, &b, err);
	if (ok && json_parse(buf_str(&b), VALUE_DEPTH_MAX, &o, &none))
		json_write(out, o, NULL);
	else if (ok)
		buf_json(out, buf_str(&b));
	json_object_put(o);
	buf_fini(&b);
	return ok;
}

static bool
build_text(struct str text, struct json_object *payload, struct buf *out, struct err *err)
{
	if (text.p == NULL) {
		buf_text(out, "null");
		return true;
	}
	if (text.n > 0 && text.p[0] == '=')
		return build_raw(str_skip(text, 1), payload, out, err);
	buf_text(out, "\"");
	if (!action_substitute(text, payload, ESCAPE_JSON, out, err))
		return false;
	buf_text(out, "\"");
	return true;
}

static bool
build(const struct conf_node *n, struct json_object *payload, struct buf *out, struct err *err)
{
	bool is_map = conf_is_map(n), ok = true;

	if (!is_map && !conf_is_list(n))
		return build_text(conf_text(n), payload, out, err);
	buf_text(out, is_map ? "{" : "[");
	for (size_t i = 0; ok && i < conf_count(n); i++) {
		buf_text(out, i > 0 ? "," : "");
		if (is_map) {
			buf_json(out, conf_key_text(n, i));
			buf_text(out, ":");
		}
		ok = build(conf_item(n, i), payload, out, err);
	}
	buf_text(out, is_map ? "}" : "]");
	return ok;
}

bool
action_body_build(const struct conf_node *tree, struct json_object *payload, struct buf *out,
    struct err *err)
{
	if (tree == NULL)
		json_write(out, payload, NULL);
	else if (!build(tree, payload, out, err))
		return false;
	return buf_ok(out) || err_set(err, ERR_INPUT, "more than %zu bytes", out->max);
}
