/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of mail as a whole. */
#include "flow/mail_conf.h"

#include <unistd.h>

#include "model/email.h"

#define OF_MAIL(field) offsetof(struct mail_conf, field)

static const char *const tls_names[] = { "auto", "required", "none", NULL };
const char *const consent_model_names[] = { "opt_in", "opt_out", NULL };

const struct conf_key smtp_keys[] = {
	{ "url", CONF_TEXT, OF_MAIL(url), .required = true, .reload = true,
	    .help = "The mail server: smtp://HOST[:PORT] (25; 587 where one logs in) or "
	    "smtps://HOST[:PORT] (465)." },
	{ "from", CONF_TEXT, OF_MAIL(from), .required = true, .reload = true,
	    .help = "Who sends: \"Care <care@example.com>\". What cannot be delivered later comes back "
	    "there." },
	{ "reply_to", CONF_TEXT, OF_MAIL(reply_to), .reload = true,
	    .help = "Where answers go, if not to `from`." },
	{ "user", CONF_TEXT, OF_MAIL(user), .reload = true, .help = "Logs in as this user." },
	{ "secret", CONF_SECRETS, OF_MAIL(secret), .reload = true, .help = "The user's password." },
	{ "tls", CONF_ENUM, OF_MAIL(tls), .choices = tls_names, .def = "auto", .reload = true,
	    .help = "required: nothing is sent without TLS (over smtp:// by STARTTLS). none: smtp:// "
	    "is spoken in the clear. auto: required, but none to this very machine (localhost, "
	    "127.0.0.1, [::1])." },
	{ "ca", CONF_TEXT, OF_MAIL(ca_file), .reload = true,
	    .help = "A file with the certificates, in PEM form, that the server's is verified by. "
	    "Default: the system's." },
	{ "helo", CONF_TEXT, OF_MAIL(helo), .reload = true,
	    .help = "The name by which we greet the server. Default: the machine's." },
	{ "timeout", CONF_MS, OF_MAIL(timeout_ms), .min = 100, .max = 60000, .def = "30s",
	    .reload = true, .help = "How long the server may take to connect and for each answer; for "
	    "the one to the message itself, five times as long." },
	{ "connections", CONF_INT, OF_MAIL(connections), .min = 1, .max = 100, .def = "4",
	    .reload = true, .help = "Mails that are handed over at once." },
	{ 0 },
};

/* What stands between "://" and the port or path. */
static struct str
host_of(struct str url)
{
	struct str rest = url;
	struct str host;

	while (rest.n > 0 && !str_starts(rest, STR("://")))
		rest = str_skip(rest, 1);
	if (rest.n <= 3)
		return STR("");
	rest = str_skip(rest, 3);
	host = str_cut(&rest, '/');
	rest = host;
	if (host.n > 0 && host.p[0] == '[') {
		host = str_cut(&rest, ']');
		return str_skip(host, 1);
	}
	return str_cut(&host, ':');
}

static bool
is_here(struct str host)
{
	return str_eq_nocase(host, STR("localhost")) || str_eq(host, STR("127.0.0.1")) ||
	    str_eq(host, STR("::1"));
}

static bool
is_plain_url(struct str url)
{
	for (size_t i = 0; i < url.n; i++)
		if ((unsigned char)url.p[i] <= ' ' || url.p[i] == '@' || url.p[i] == '?' ||
		    url.p[i] == '#')
			return false;
	return true;
}

static void
check_server(struct conf *c, const struct conf_node *at, struct mail_conf *m)
{
	bool is_tls = str_starts(m->url, STR("smtps://"));

	if ((!is_tls && !str_starts(m->url, STR("smtp://"))) || host_of(m->url).n == 0 ||
	    !is_plain_url(m->url))
		conf_complain(c, conf_find(at, "url"), "smtp.url: smtp://HOST[:PORT] or "
		    "smtps://HOST[:PORT] is wanted; the user and the password are settings of their own");
	m->needs_tls = !is_tls && (m->tls == MAIL_TLS_REQUIRED ||
	    (m->tls == MAIL_TLS_AUTO && !is_here(host_of(m->url))));
	if ((m->user.p == NULL) != (conf_find(at, "secret") == NULL))
		conf_complain(c, conf_find(at, m->user.p != NULL ? "user" : "secret"),
		    "smtp: user and secret go together");
	if (m->user.p != NULL && !is_tls && !m->needs_tls && !is_here(host_of(m->url)))
		conf_warn(c, conf_find(at, "tls"), "smtp.tls: the password goes over the network in "
		    "the clear");
	if (m->ca_file.p != NULL && access(m->ca_file.p, R_OK) != 0)
		conf_complain(c, conf_find(at, "ca"), "smtp.ca: %s cannot be read", m->ca_file.p);
}

static void
check_address(struct conf *c, const struct conf_node *at, const char *key, struct str text)
{
	struct str address;

	if (text.p != NULL && !email_read(conf_arena(c), text, &address))
		conf_complain(c, conf_find(at, key), "smtp.%s: an address is wanted, such as "
		    "\"Care <care@example.com>\"", key);
}

/* "3/1d", or "none" */
static void
check_cap(struct conf *c, const struct conf_node *at, struct mail_conf *m)
{
	struct str rest = m->cap;
	struct str n = str_cut(&rest, '/');

	if (str_eq(m->cap, STR("none")))
		return;
	if (!str_to_i64(str_trim(n), 1, 1000, &m->cap_n) ||
	    !conf_parse_ms(str_trim(rest), &m->cap_ms) || m->cap_ms <= 0)
		conf_complain(c, conf_find(at, "mail_cap"), "mail_cap: a number of mails (1 to 1000), a "
		    "slash and a time are wanted, such as 3/1d; or none");
}

void
mail_conf_check(struct conf *c, const struct conf_node *at, struct mail_conf *m)
{
	const struct conf_node *block = conf_find(at, "smtp");

	check_cap(c, at, m);
	if (m->url.p == NULL)
		return;
	check_server(c, block, m);
	check_address(c, block, "from", m->from);
	check_address(c, block, "reply_to", m->reply_to);
}
