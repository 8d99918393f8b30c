/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The action email: a template, filled in for one customer and handed to the mail server.
 *
 * Whether it may go, to which address and with which link to unsubscribe, PostgreSQL has said
 * when the delivery was claimed (touchlog.may_send()).  The Message-ID is the delivery's, the same
 * at each try: a mail that left twice, since the server's last word was lost, can be told to be
 * one by whoever gets it.
 */
#include "flow/action_types.h"

#include <stdlib.h>

#include <json-c/json.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/metric.h"
#include "flow/dispatcher.h"
#include "flow/mail_conf.h"
#include "flow/mail_message.h"
#include "flow/mail_template.h"
#include "io/smtp_client.h"
#include "model/email.h"

enum {
	PART_MAX_BYTES	 = 2 * 1024 * 1024,	/* text, or HTML, filled in */
	MAIL_MAX_BYTES	 = 16 * 1024 * 1024,
	LINE_MAX_BYTES	 = 2000,		/* subject and the like */
	AGAIN_MS	 = 10000,		/* when the connections were busy */
};

enum purpose { PURPOSE_SERVICE, PURPOSE_MARKETING };

struct email_conf {
	struct str			 template_name, to, subject, from, reply_to, campaign;
	int				 purpose;
	bool				 weak;
	struct mail_template		 templates;
	const struct action_env		*env;
};

/* A mail on its way. */
struct email {
	struct action_job	*job;
	struct smtp_send	*send;
	struct json_object	*log;		/* ours */
	struct arena		 arena;		/* ours: its texts */
};

#define OF_EMAIL(field) offsetof(struct email_conf, field)

static const char *const purpose_names[] = { "service", "marketing", NULL };

static const struct conf_key email_keys[] = {
	{ "template", CONF_TEXT, OF_EMAIL(template_name), .required = true, .reload = true,
	    .help = "NAME: the mail stands in NAME.txt of template_dir, or in NAME.LANG.txt for "
	    "customers of that language (de, de-AT); beside it, as HTML, in the same with .html." },
	{ "purpose", CONF_ENUM, OF_EMAIL(purpose), .choices = purpose_names, .required = true,
	    .reload = true, .help = "service: what the customer waits for; it stops only at a "
	    "suppressed address. marketing: it needs consent too (see consent_model)." },
	{ "to", CONF_TEXT, OF_EMAIL(to), .reload = true,
	    .help = "The address, with values filled in. Default: the newest address by which the "
	    "customer is known for certain." },
	{ "weak", CONF_BOOL, OF_EMAIL(weak), .def = "no", .reload = true,
	    .help = "Also to an address that proves nobody: what somebody typed into a form, "
	    "info@example.com." },
	{ "subject", CONF_TEXT, OF_EMAIL(subject), .reload = true,
	    .help = "The subject, with values filled in. Default: the template's." },
	{ "from", CONF_TEXT, OF_EMAIL(from), .reload = true, .help = "Default: that of smtp." },
	{ "reply_to", CONF_TEXT, OF_EMAIL(reply_to), .reload = true,
	    .help = "Default: that of smtp." },
	{ "campaign", CONF_TEXT, OF_EMAIL(campaign), .reload = true,
	    .help = "The campaign under which it is logged." },
	{ 0 },
};

/* ---- settings ---- */

static void
email_use(void *own, const struct action_env *env)
{
	struct email_conf *conf = own;

	conf->env = env;
}

static void
check_filled(struct conf *c, const struct conf_node *node, const char *key, struct str text)
{
	struct err err;

	if (text.p != NULL && !action_template_check(text, &err))
		conf_complain(c, conf_find(node, key), "%s: %s", key, err.text);
}

static void
check_address(struct conf *c, const struct conf_node *node, const char *key, struct str text)
{
	struct str address;

	if (text.p != NULL && !email_read(conf_arena(c), text, &address))
		conf_complain(c, conf_find(node, key), "%s: an address is wanted, such as "
		    "\"Care <care@example.com>\"", key);
}

static bool
holds(struct str text, struct str word)
{
	return text.n >= word.n && memmem(text.p, text.n, word.p, word.n) != NULL;
}

static void
check_variant(struct conf *c, const struct conf_node *node, const struct email_conf *conf,
    const struct mail_variant *v)
{
	const struct conf_node *at = conf_find(node, "template");
	const char *where = v->language.n > 0 ? v->language.p : "no particular language";

	if (v->text.p != NULL && v->subject.p == NULL && conf->subject.p == NULL)
		conf_complain(c, at, "template: for %s it has no subject: begin its .txt with "
		    "\"Subject: …\" and an empty line, or set `subject`", where);
	if (conf->purpose == PURPOSE_MARKETING && v->text.p != NULL &&
	    !holds(v->text, STR("{unsubscribe_url")))
		conf_warn(c, at, "template: for %s the text has no {unsubscribe_url}, as mail for "
		    "marketing should", where);
}

static void
email_check(struct conf *c, const struct conf_node *node, void *own)
{
	struct email_conf *conf = own;
	const struct mail_conf *mail = conf->env->mail;

	if (mail->url.p == NULL)
		conf_complain(c, node, "email: there is no `smtp`, by which it is to be sent");
	if (conf->purpose == PURPOSE_MARKETING && conf->env->public_url.p == NULL)
		conf_warn(c, conf_find(node, "purpose"), "purpose: without `public_url` nobody can "
		    "unsubscribe from a mail");
	check_filled(c, node, "to", conf->to);
	check_filled(c, node, "subject", conf->subject);
	check_address(c, node, "from", conf->from);
	check_address(c, node, "reply_to", conf->reply_to);
	if (conf->template_name.p == NULL)
		return;
	mail_template_load(c, conf_find(node, "template"), mail->template_dir, conf->template_name,
	    &conf->templates);
	for (size_t i = 0; i < conf->templates.n; i++)
		check_variant(c, node, conf, &conf->templates.v[i]);
}

static struct json_object *
json_str(struct str s)
{
	return s.p != NULL ? json_object_new_string_len(s.p, (int)s.n) : NULL;
}

static void
put(struct json_object *o, const char *key, struct str s)
{
	if (s.p != NULL)
		(void)json_object_object_add(o, key, json_str(s));
}

static struct json_object *
cap_json(const struct mail_conf *mail)
{
	struct json_object *cap = json_object_new_object();
	char per[40];

	(void)snprintf(per, sizeof(per), "%lld milliseconds", (long long)mail->cap_ms);
	(void)json_object_object_add(cap, "n", json_object_new_int64(mail->cap_n));
	(void)json_object_object_add(cap, "per", json_object_new_string(per));
	return cap;
}

/* What touchlog.may_send() reads. */
static struct json_object *
email_settings(const void *own)
{
	const struct email_conf *conf = own;
	const struct mail_conf *mail = conf->env->mail;
	struct json_object *o = json_object_new_object(), *ours = json_object_new_array();

	for (size_t i = 0; i < conf->env->own->n; i++)
		(void)json_object_array_add(ours, json_str(conf->env->own->v[i]));
	(void)json_object_object_add(o, "own", ours);
	(void)json_object_object_add(o, "purpose",
	    json_object_new_string(purpose_names[conf->purpose]));
	(void)json_object_object_add(o, "consent_model",
	    json_object_new_string(consent_model_names[mail->consent_model]));
	(void)json_object_object_add(o, "weak", json_object_new_boolean(conf->weak));
	put(o, "template", conf->template_name);
	put(o, "to", conf->to);
	if (mail->cap_n > 0)
		(void)json_object_object_add(o, "cap", cap_json(mail));
	return o;
}

/* ---- one mail ---- */

static struct str
text_at(struct json_object *payload, const char *part, const char *name)
{
	struct json_object *o, *member;
	struct str text;

	if (json_object_object_get_ex(payload, part, &o) &&
	    json_object_object_get_ex(o, name, &member) && json_text(member, &text))
		return text;
	return STR_NONE;
}

static void
end(struct action_job *job, enum action_end how, const char *error, struct json_object *log)
{
	const struct action_outcome outcome = { .end = how, .error = error, .log = log,
	    .retry_after_ms = how == ACTION_RELEASED ? AGAIN_MS : 0 };

	action_job_done(job, &outcome);
}

static void
email_free(struct email *e)
{
	json_object_put(e->log);
	arena_fini(&e->arena);
	free(e);
}

/* Fills in one text; *ret lives in the arena. */
static bool
fill(struct email *e, struct str text, enum action_escape how, size_t max_bytes, struct str *ret,
    struct err *err)
{
	struct buf out;
	bool ok;

	*ret = STR_NONE;
	if (text.p == NULL)
		return true;
	buf_init(&out, max_bytes);
	ok = action_substitute(text, action_job_payload(e->job), how, &out, err);
	if (ok) {
		*ret = arena_str(&e->arena, buf_str(&out));
		ok = ret->p != NULL || err_set(err, ERR_RETRY, "out of memory");
	}
	buf_fini(&out);
	return ok;
}

static struct str
joined(struct email *e, struct str a, const char *middle, struct str b)
{
	struct str text = STR_NONE;
	struct buf out;

	buf_init(&out, LINE_MAX_BYTES);
	buf_str_add(&out, a);
	buf_text(&out, middle);
	buf_str_add(&out, b);
	if (buf_ok(&out))
		text = arena_str(&e->arena, buf_str(&out));
	buf_fini(&out);
	return text;
}

/* Where this customer unsubscribes; none without public_url or a customer. */
static struct str
unsubscribe_url(struct email *e, const struct email_conf *conf)
{
	const char *token = action_job_token(e->job);

	if (token == NULL || conf->env->public_url.p == NULL)
		return STR_NONE;
	return joined(e, conf->env->public_url, "/u/", str_of(token));
}

/* Of the mail that it answers. */
static void
set_thread(struct mail_message *m, struct json_object *payload)
{
	if (!str_eq(text_at(payload, "interaction", "channel"), STR("email")))
		return;
	m->in_reply_to = text_at(payload, "interaction", "external_id");
	m->thread = text_at(payload, "interaction", "thread");
}

static bool
compose(struct email *e, const struct email_conf *conf, struct mail_message *m, struct err *err)
{
	struct json_object *payload = action_job_payload(e->job);
	const struct mail_conf *mail = conf->env->mail;
	const struct mail_variant *v = mail_template_for(&conf->templates,
	    text_at(payload, "customer", "language"));
	struct str url = unsubscribe_url(e, conf);
	struct str subject = conf->subject.p != NULL ? conf->subject : v->subject;
	struct str sender;

	(void)json_object_object_add(payload, "unsubscribe_url", json_str(url));
	*m = (struct mail_message){
		.from = conf->from.p != NULL ? conf->from : mail->from,
		.reply_to = conf->reply_to.p != NULL ? conf->reply_to : mail->reply_to,
		.to = str_of(action_job_address(e->job)),
		.to_name = conf->to.p == NULL ? text_at(payload, "customer", "name") : STR_NONE,
		.at_us = clock_now_us(),
	};
	if (conf->purpose == PURPOSE_MARKETING)
		m->unsubscribe_url = url;
	set_thread(m, payload);
	if (!email_read(&e->arena, m->from, &sender))
		return err_set(err, ERR_INPUT, "from is no address");
	m->message_id = joined(e, str_of(action_job_delivery_id(e->job)), "",
	    email_at_domain(sender));
	return fill(e, subject, ESCAPE_HEADER, LINE_MAX_BYTES, &m->subject, err) &&
	    fill(e, v->text, ESCAPE_NONE, PART_MAX_BYTES, &m->text, err) &&
	    fill(e, v->html, ESCAPE_HTML, PART_MAX_BYTES, &m->html, err);
}

/* The interaction `sent`, but for what the server will say. */
static struct json_object *
log_of(struct email *e, const struct email_conf *conf, const struct mail_message *m)
{
	struct json_object *log = json_object_new_object(), *more = json_object_new_object();
	struct json_object *payload = action_job_payload(e->job), *rule;
	struct str id = joined(e, STR("<"), "", joined(e, m->message_id, ">", STR("")));
	struct str thread = text_at(payload, "interaction", "thread");

	put(log, "kind", STR("sent"));
	put(log, "direction", STR("out"));
	put(log, "channel", STR("email"));
	put(log, "external_id", id);
	put(log, "thread", thread.n > 0 ? thread : id);
	put(log, "subject", m->subject);
	put(log, "campaign", conf->campaign);
	put(more, "to", m->to);
	put(more, "template", conf->template_name);
	put(more, "purpose", str_of(purpose_names[conf->purpose]));
	if (json_object_object_get_ex(payload, "rule", &rule))
		(void)json_object_object_add(more, "rule", json_object_get(rule));
	(void)json_object_object_add(log, "attributes", more);
	return log;
}

/* Of an address that a server does not know: what it would have told us by a bounce. */
static void
make_bounce(struct email *e, const char *said)
{
	struct json_object *more;

	put(e->log, "kind", STR("bounce"));
	put(e->log, "direction", STR("in"));
	json_object_object_del(e->log, "external_id");
	(void)json_object_object_add(e->log, "suppress",
	    json_object_new_string(action_job_address(e->job)));
	if (!json_object_object_get_ex(e->log, "attributes", &more))
		return;
	put(more, "type", STR("hard_bounce"));
	put(more, "reason", str_of(said));
}

static void
note_answer(struct email *e, const char *said)
{
	struct json_object *more;

	if (json_object_object_get_ex(e->log, "attributes", &more))
		put(more, "response", str_of(said));
}

static void
on_sent(void *arg, const struct smtp_result *result)
{
	static const enum action_end ends[SMTP_NENDS] = {
		[SMTP_SENT] = ACTION_DONE, [SMTP_LATER] = ACTION_RETRY,
		[SMTP_NO_RECIPIENT] = ACTION_SUPPRESSED, [SMTP_NEVER] = ACTION_DEAD,
		[SMTP_NOT_BEGUN] = ACTION_RELEASED,
	};
	struct email *e = arg;

	metric_add(metric_get(METRIC_MAILS, smtp_end_name(result->end), NULL), 1);
	if (result->end == SMTP_SENT)
		note_answer(e, result->text);
	else if (result->end == SMTP_NO_RECIPIENT)
		make_bounce(e, result->text);
	end(e->job, ends[result->end], result->end == SMTP_SENT ? NULL : result->text,
	    result->end == SMTP_SENT || result->end == SMTP_NO_RECIPIENT ? e->log : NULL);
	email_free(e);
}

static struct smtp_client *
client_of(struct action_job *job, const struct mail_conf *mail, struct err *err)
{
	const struct smtp_server server = {
		.url = mail->url.p, .user = mail->user.p,
		.secret = mail->secret.n > 0 ? mail->secret.v[0].p : NULL,
		.ca_file = mail->ca_file.p, .helo = mail->helo.p, .needs_tls = mail->needs_tls,
		.timeout_ms = (unsigned)mail->timeout_ms, .connections = (unsigned)mail->connections,
	};

	return dispatcher_smtp(action_job_dispatcher(job), &server, err);
}

static bool
hand_over(struct email *e, const struct email_conf *conf, struct err *err)
{
	struct smtp_client *client;
	struct mail_message m;
	struct smtp_mail mail;
	struct buf message;

	if (!compose(e, conf, &m, err))
		return false;
	client = client_of(e->job, conf->env->mail, err);
	if (client == NULL)
		return false;
	buf_init(&message, MAIL_MAX_BYTES);
	if (mail_message_write(&m, &message, err) && email_read(&e->arena, m.from, &mail.from)) {
		mail.to = m.to;
		mail.message = buf_str(&message);
		e->log = log_of(e, conf, &m);
		e->send = smtp_client_send(client, &mail, on_sent, e, err);
	}
	buf_fini(&message);
	return e->send != NULL;
}

static void
email_start(struct action_job *job)
{
	struct email *e = calloc(1, sizeof(*e));
	struct err err = { .kind = ERR_RETRY, .text = "out of memory" };

	if (e == NULL || action_job_address(job) == NULL) {
		free(e);
		end(job, e == NULL ? ACTION_RETRY : ACTION_DEAD, "it has no address", NULL);
		return;
	}
	e->job = job;
	if (hand_over(e, action_job_conf(job), &err)) {
		action_job_set_priv(job, e);
		return;
	}
	email_free(e);
	end(job, err.kind == ERR_INPUT ? ACTION_DEAD : ACTION_RETRY, err.text, NULL);
}

static void
email_cancel(struct action_job *job)
{
	struct email *e = action_job_priv(job);

	smtp_client_cancel(e->send);
	email_free(e);
}

const struct action_type action_email = {
	.name = "email", .keys = email_keys, .conf_size = sizeof(struct email_conf),
	.use = email_use, .check = email_check, .settings = email_settings,
	.start = email_start, .cancel = email_cancel,
};
