/* SPDX-License-Identifier: Apache-2.0 */
/*
 * type: webhook.  Software posts events as JSON: canonical ones, or any others with a
 * `map` that says where things stand in them.
 *
 * Order of a request (each step can refuse): path, handshakes by GET, method, paused, who
 * sent it (over the raw bytes), handshakes by POST, type and coding, JSON, rate; then each
 * event for itself.  Who does not know the secret learns nothing about the rest.
 */
#include "channels/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "channels/body.h"
#include "channels/events.h"
#include "channels/handshake.h"
#include "channels/post.h"
#include "channels/sns_door.h"
#include "channels/trial.h"
#include "io/http_server.h"
#include "io/request_url.h"
#include "io/signature.h"
#include "io/sns.h"
#include "model/mapping.h"

enum { TOKEN_MAX_BYTES = 1024, URL_MAX_BYTES = 65536 };

struct webhook_conf {
	struct str			 preset;	/* merged underneath before we see it */
	int				 verify;	/* enum signature_scheme */
	struct str			 header;
	struct str			 prefix;
	int				 encoding;	/* enum signature_encoding */
	struct str			 timestamp_header;
	int64_t				 window_ms;
	struct str			 user;
	struct conf_texts		 secret;
	struct conf_texts		 topic, certificate_hosts;
	struct str			 ca_file;
	struct map_nodes		 nodes;
	const struct mapping		*mapping;	/* compiled from these; NULL: canonical */
	bool				 is_keyless;	/* read without its secrets */
	const struct conf_node		*handshake;
	struct conf_texts		 verify_token;
	const struct handshakes		*handshakes;	/* compiled; NULL: none */
};

struct webhook {
	const struct webhook_conf *conf;
	struct signature	*signature;	/* ours */
	struct signature	*verify_tokens;	/* ours; NULL: no handshake asks for one */
	struct sns_door		*sns;		/* ours; NULL: another scheme, or only tried */
};

#define AT(field) offsetof(struct webhook_conf, field)

static const struct conf_key webhook_keys[] = {
	{ "preset", CONF_BASE, AT(preset), .reload = true, .folder = "preset_dir",
	    .help = "The sender, where it is one of those that touchlog knows: what stands in its "
	    "file (verify, map and the like) holds wherever the source itself says nothing. map "
	    "and translate are merged by key; a key without a value takes the preset's away." },
	{ "verify", CONF_ENUM, AT(verify), .required = true, .reload = true,
	    .choices = signature_schemes,
	    .help = "How a sender proves who it is. `none` has to be said: anybody who can reach "
	    "the listener may then post, and its identities are weak." },
	{ "header", CONF_TEXT, AT(header), .reload = true,
	    .help = "The header that carries the signature (hmac) or the token." },
	{ "prefix", CONF_TEXT, AT(prefix), .reload = true,
	    .help = "Text that stands before the signature in its header, such as `sha256=`." },
	{ "encoding", CONF_ENUM, AT(encoding), .reload = true, .choices = signature_encodings,
	    .def = "hex", .help = "How the signature is written." },
	{ "timestamp_header", CONF_TEXT, AT(timestamp_header), .reload = true,
	    .help = "The header with the time of signing (seconds or milliseconds since 1970). "
	    "The signed text is then timestamp, full stop, body." },
	{ "window", CONF_MS, AT(window_ms), .min = 1000, .max = 172800000,
	    .reload = true, .help = "How far the time of signing may be off, either way. Default: "
	    "what the scheme is known for (see SIGNATURES), 5m for hmac." },
	{ "user", CONF_TEXT, AT(user), .reload = true, .help = "The user name (basic)." },
	{ "secret", CONF_SECRETS, AT(secret), .reload = true,
	    .help = "The secret, or a list of them: each verifies, so that a new one can be "
	    "rolled in before the old one goes." },
	{ "topic", CONF_TEXTS, AT(topic), .reload = true,
	    .help = "The topic, or topics, whose messages these are (amazon-sns): "
	    "arn:aws:sns:REGION:ACCOUNT:NAME. Its subscription is confirmed." },
	{ "certificate_hosts", CONF_TEXTS, AT(certificate_hosts), .reload = true,
	    .help = "The hosts (HOST or HOST:PORT) at which certificates are fetched and "
	    "subscriptions confirmed (amazon-sns), over https. Default: sns.REGION.amazonaws.com of "
	    "the topics; another for an endpoint of one's own network." },
	{ "ca_file", CONF_TEXT, AT(ca_file), .reload = true,
	    .help = "The certificate authorities (PEM) by which these hosts are verified. Default: "
	    "those of the system." },
	{ "handshake", CONF_TREE, AT(handshake), .reload = true,
	    .help = "What the sender asks before it sends events: a list of `{ method, when, token, "
	    "answer }`, see HANDSHAKES." },
	{ "verify_token", CONF_SECRETS, AT(verify_token), .reload = true,
	    .help = "What the `token` of a handshake has to be, or a list of such." },
	{ "map", CONF_TREE, AT(nodes.map), .reload = true, .merge_levels = 1,
	    .help = "Where things stand in a foreign document: a column, `email`, `phone`, "
	    "`anonymous`, `external.NAMESPACE`, `social.NETWORK`, `customer.FIELD`, `participants` "
	    "or `attributes.NAME`, and a place: see MAPPING. Without a map, events are canonical." },
	{ "translate", CONF_TREE, AT(nodes.translate), .reload = true, .merge_levels = 2,
	    .help = "For a mapped key, their words and ours; a word that is not listed is kept." },
	{ "require", CONF_TREE, AT(nodes.require), .reload = true,
	    .help = "Mapped keys without which an event is parked. Default: external_id and kind, "
	    "where they are mapped." },
	{ "each", CONF_TREE, AT(nodes.each), .reload = true,
	    .help = "The list of events within a document: a place, or a list of places, each within "
	    "what the one before it found. A lone object counts as a list of one." },
	{ "when", CONF_TREE, AT(nodes.when), .reload = true,
	    .help = "Which events are ours: places, and what has to stand there: a text, a list of "
	    "texts, `yes` (it is there), `no` (it is not) or `{ match: REGEX }`. All must hold. "
	    "Others are answered as if they were, and counted as ignored." },
	{ "items", CONF_TREE, AT(nodes.items), .reload = true, .is_parts = true,
	    .help = "Several kinds of event: a list of `{ each, when, map, translate, require }`. The "
	    "source's own are what they share; the first kind that takes an event has it." },
	{ 0 },
};

/* ---- settings ---- */

static void
signature_settings(const struct webhook_conf *w, struct signature_conf *ret)
{
	*ret = (struct signature_conf){
		.scheme = (enum signature_scheme)w->verify,
		.encoding = (enum signature_encoding)w->encoding,
		.header = w->header, .prefix = w->prefix, .timestamp_header = w->timestamp_header,
		.window_ms = w->window_ms, .user = w->user,
		.secrets = w->secret.v, .nsecrets = w->secret.n,
		.topics = w->topic.v, .ntopics = w->topic.n, .hosts = w->certificate_hosts.v,
		.nhosts = w->certificate_hosts.n, .ca_file = w->ca_file,
		.is_keyless = w->is_keyless,
	};
}

static const struct conf_node *
first_of(const struct map_nodes *n)
{
	return n->each != NULL ? n->each : n->when != NULL ? n->when :
	    n->translate != NULL ? n->translate : n->require;
}

static void
check_handshake(struct conf *c, const struct conf_node *node, struct webhook_conf *w)
{
	if (w->handshake != NULL) {
		w->handshakes = handshakes_compile(c, w->handshake);
		if (w->handshakes == NULL)
			return;
	}
	if (handshakes_have_token(w->handshakes) && w->verify_token.n == 0)
		conf_complain(c, node, "verify_token: is required: the handshake asks for a token");
	if (!handshakes_have_token(w->handshakes) && w->verify_token.n > 0)
		conf_complain(c, conf_find(node, "verify_token"),
		    "verify_token: no handshake of this source asks for a token");
	for (size_t i = 0; i < w->verify_token.n; i++)
		if (w->verify_token.v[i].n == 0)
			conf_complain(c, conf_find(node, "verify_token"), "verify_token: it is empty");
}

static void
check_ca_file(struct conf *c, const struct conf_node *node, const struct webhook_conf *w)
{
	if (w->ca_file.p != NULL && access(w->ca_file.p, R_OK) != 0)
		conf_complain(c, conf_find(node, "ca_file"), "ca_file: %s: %s", w->ca_file.p,
		    strerror(errno));
}

static void
webhook_check(struct conf *c, const struct conf_node *node, void *own)
{
	struct webhook_conf *w = own;
	struct signature_conf settings;
	struct signature *s;
	struct err err;

	w->is_keyless = !conf_has_secrets(c);
	signature_settings(w, &settings);
	s = signature_new(&settings, &err);
	if (s == NULL)
		conf_complain(c, node, "%s", err.text);
	signature_free(s);
	check_handshake(c, node, w);
	check_ca_file(c, node, w);
	if (w->nodes.map != NULL || w->nodes.items != NULL)
		w->mapping = mapping_compile(c, &w->nodes);
	else if (first_of(&w->nodes) != NULL)
		conf_complain(c, first_of(&w->nodes), "each, when, translate and require go with "
		    "map: events without a map are canonical");
}

static bool
webhook_is_public(const void *own)
{
	const struct webhook_conf *w = own;

	return w->verify == SIGNATURE_NONE;
}

static void
webhook_close(struct webhook *w)
{
	if (w == NULL)
		return;
	sns_door_free(w->sns);
	signature_free(w->signature);
	signature_free(w->verify_tokens);
	free(w);
}

static bool
make_signatures(struct webhook *w, struct err *err)
{
	struct signature_conf settings;

	signature_settings(w->conf, &settings);
	w->signature = signature_new(&settings, err);
	if (w->signature == NULL || w->conf->verify_token.n == 0)
		return w->signature != NULL;
	settings = (struct signature_conf){ .scheme = SIGNATURE_TOKEN,
	    .secrets = w->conf->verify_token.v, .nsecrets = w->conf->verify_token.n };
	w->verify_tokens = signature_new(&settings, err);
	return w->verify_tokens != NULL;
}

static struct webhook *
webhook_open(const struct webhook_conf *conf, struct err *err)
{
	struct webhook *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		(void)err_set(err, ERR_RETRY, "out of memory");
		return NULL;
	}
	w->conf = conf;
	if (make_signatures(w, err))
		return w;
	webhook_close(w);
	return NULL;
}

/* ---- a request ---- */

/* One request on its way, whether it is answered or only tried. */
struct asking {
	struct webhook			*w;
	const struct source		*source;
	const struct http_message	*m;
	struct str			 rest;		/* of its path */
	struct url_peer			 peer;		/* who is at the other end; or none */
	int64_t				 now_us;
	bool				 trusts_tokens;	/* of handshakes: nobody has the secrets */
	struct str			 token;		/* out of the path */
	char				*room;		/* for the token */
	struct arena			 arena;		/* ours */
	struct buf			 url;		/* ours: the one that was verified */
};

/* room: TOKEN_MAX_BYTES of the caller's. */
static void
asking_init(struct asking *a, struct webhook *w, const struct source *s,
    const struct http_message *m, struct str rest, char *room)
{
	*a = (struct asking){ .w = w, .source = s, .m = m, .rest = rest, .room = room,
	    .now_us = clock_now_us() };
	buf_init(&a->url, URL_MAX_BYTES);
}

static void
asking_fini(struct asking *a)
{
	arena_fini(&a->arena);
	buf_fini(&a->url);
}

/* The token may stand behind the source's path: /in/{source}/{token}, with its odd
 * characters percent-encoded (RFC 3986 2.1).  false: a bad escape, or too long. */
static bool
read_token(struct asking *a)
{
	size_t n = 0;

	if (a->rest.n < 2)
		return true;
	for (size_t i = 1; i < a->rest.n; i++) {
		int high, low;

		if (n == TOKEN_MAX_BYTES)
			return false;
		a->room[n++] = a->rest.p[i];
		if (a->rest.p[i] != '%')
			continue;
		high = i + 2 < a->rest.n ? str_hex_digit(a->rest.p[i + 1]) : -1;
		low = i + 2 < a->rest.n ? str_hex_digit(a->rest.p[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		a->room[n - 1] = (char)(high << 4 | low);
		i += 2;
	}
	a->token = (struct str){ a->room, n };
	return true;
}

static bool
find_handshake(struct asking *a, struct handshake_answer *ret)
{
	const struct handshake_question q = { a->m, a->w->verify_tokens, a->trusts_tokens };

	return handshakes_find(a->w->conf->handshakes, &q, &a->arena, ret);
}

static bool
is_posted(const struct asking *a)
{
	return str_eq(a->m->method, STR("POST"));
}

/* Is there anything at this path? */
static bool
judge_path(struct asking *a, struct body_refusal *why)
{
	return (read_token(a) && (a->token.p == NULL || a->w->conf->verify == SIGNATURE_TOKEN)) ||
	    body_refuse(why, 404, "path", "there is nothing below this source");
}

/* Can it be events? */
static bool
judge_method(const struct asking *a, struct body_refusal *why)
{
	if (!is_posted(a))
		return body_refuse(why, 405, "method", "events are posted: use POST");
	return !a->source->paused || body_refuse(why, 503, "paused", "this source is paused");
}

/* Who sent it?  false: *ret_check is the check that failed. */
static bool
judge_sender(struct asking *a, const char **ret_check)
{
	const struct source *s = a->source;
	const struct url_rules rules = { s->public_url, s->public_url_is_whole, s->proxies };
	struct signature_request sender = { .m = a->m, .body = http_message_body(a->m),
	    .path_token = a->token, .now_us = a->now_us };

	if (signature_needs_url(a->w->signature) &&
	    request_url(&rules, a->m, a->peer, a->rest, &a->url))
		sender.url = buf_str(&a->url);
	return signature_verify(a->w->signature, &sender, ret_check);
}

/* The URL that was verified, or none. */
static struct str
verified_url(const struct asking *a)
{
	return a->url.n > 0 ? buf_str(&a->url) : STR_NONE;
}

/* ---- answering ---- */

static void
refuse_sender(const struct asking *a, struct channel *ch, struct http_request *req,
    const char *check)
{
	const char *challenge = signature_challenge(a->w->signature);
	const struct http_header headers[] = {
		{ STR("WWW-Authenticate"), str_of(challenge) }, { STR_NONE, STR_NONE },
	};

	post_refuse_sender(ch, req, check, challenge != NULL ? headers : NULL, verified_url(a));
}

/* Of one who is not known, or not yet. */
static void
answer_stranger(const struct asking *a, struct channel *ch, struct http_request *req,
    const char *check)
{
	if (check == sns_certificate_unknown)
		sns_door_wait(a->w->sns, req, a->rest);
	else
		refuse_sender(a, ch, req, check);
}

static void
answer(struct asking *a, struct channel *ch, struct http_request *req)
{
	struct handshake_answer said;
	struct body_refusal why;
	const char *check;

	if (!judge_path(a, &why))
		post_refuse(ch, req, why.status, why.check, NULL, str_of(why.detail));
	else if (!is_posted(a) && find_handshake(a, &said))
		handshake_reply(ch, req, &said);
	else if (!judge_method(a, &why))
		post_refuse(ch, req, why.status, why.check, NULL, str_of(why.detail));
	else if (!judge_sender(a, &check))
		answer_stranger(a, ch, req, check);
	else if (find_handshake(a, &said))
		handshake_reply(ch, req, &said);
	else if (a->w->sns == NULL || !sns_door_takes(a->w->sns, req))
		events_take(ch, a->w->conf->mapping, req);
}

static void
webhook_request(struct channel *ch, struct http_request *req, struct str rest)
{
	char room[TOKEN_MAX_BYTES];
	struct asking a;

	asking_init(&a, channel_priv(ch), channel_source(ch), http_request_message(req), rest, room);
	a.peer = (struct url_peer){ http_request_peer(req), http_request_is_tls(req) };
	answer(&a, ch, req);
	asking_fini(&a);
}

/* Who is in debt is told before its body comes; who it is, is not known yet, so nothing is
 * counted. */
static bool
webhook_head(struct channel *ch, const struct http_message *m, struct str rest,
    struct http_verdict *verdict)
{
	static const struct http_header retry[] = {
		{ STR("Retry-After"), STR("1") }, { STR_NONE, STR_NONE },
	};
	int64_t wait_s;

	(void)m;
	(void)rest;
	if (channel_within_rate_bytes(ch, 0, &wait_s))
		return true;
	verdict->status = 429;
	verdict->why = "more bytes than this source may send";
	verdict->headers = retry;
	return false;
}

/* ---- the life of an instance ---- */

static bool
webhook_new(struct channel *ch, struct err *err)
{
	struct webhook *w = webhook_open(channel_conf(ch), err);
	struct sns_door_conf door = { .ch = ch, .again = webhook_request };

	channel_set_priv(ch, w);
	if (w == NULL || signature_sns(w->signature) == NULL)
		return w != NULL;
	door.sns = signature_sns(w->signature);
	door.ca_file = w->conf->ca_file.p;
	w->sns = sns_door_new(&door, err);
	return w->sns != NULL;
}

static void
webhook_free(struct channel *ch)
{
	webhook_close(channel_priv(ch));
}

/* ---- trying ---- */

static bool
has_proof(const struct asking *a)
{
	for (size_t i = 0; i < a->m->nheaders; i++)
		if (signature_reads(a->w->signature, a->m->headers[i].name))
			return true;
	return a->token.p != NULL;
}

static void
tell_sender(struct asking *a, const struct trial *t)
{
	struct trial_sender s = { .is_checked = t->checks_sender && is_posted(a),
	    .has_proof = has_proof(a) };
	const char *check;

	if (s.is_checked && !judge_sender(a, &check))
		s.check = check;
	s.url = verified_url(a);
	t->ops->sender(t->arg, &s);
}

/* Of Amazon SNS: a message about the subscription itself. */
static bool
finds_subscription(struct asking *a, struct handshake_answer *ret)
{
	const struct sns *sns = signature_sns(a->w->signature);

	return sns != NULL && is_posted(a) &&
	    sns_door_tells(sns, http_message_body(a->m), &a->arena, ret);
}

/* What a sender that is not known says is told all the same: mostly an old signature is
 * tried. */
static void
tell(struct asking *a, const struct trial *t)
{
	struct handshake_answer said;
	struct body_refusal why;

	if (!judge_path(a, &why)) {
		t->ops->refused(t->arg, &why);
		return;
	}
	tell_sender(a, t);
	if (find_handshake(a, &said) || finds_subscription(a, &said))
		t->ops->handshake(t->arg, &said);
	else if (!judge_method(a, &why) || !events_read(a->source, a->w->conf->mapping, a->m, t->id,
	    &t->ops->events, t->arg, &why))
		t->ops->refused(t->arg, &why);
}

static bool
webhook_try(const struct trial *t, struct err *err)
{
	struct webhook *w = webhook_open(t->conf, err);
	char room[TOKEN_MAX_BYTES];
	struct asking a;

	if (w == NULL)
		return false;
	asking_init(&a, w, t->source, t->m, t->rest, room);
	a.now_us = t->now_us;
	a.trusts_tokens = !t->checks_sender;
	tell(&a, t);
	asking_fini(&a);
	webhook_close(w);
	return true;
}

/* ---- what was parked ---- */

static bool
webhook_replay(struct channel *ch, const struct parking *p, struct receipt *r, struct err *err)
{
	const struct webhook *w = channel_priv(ch);

	return events_replay(ch, w->conf->mapping, p, r, err);
}

const struct channel_ops channel_webhook = {
	.name		= "webhook",
	.keys		= webhook_keys,
	.conf_size	= sizeof(struct webhook_conf),
	.check		= webhook_check,
	.is_public	= webhook_is_public,
	.new		= webhook_new,
	.free		= webhook_free,
	.head		= webhook_head,
	.request	= webhook_request,
	.replay		= webhook_replay,
	.try		= webhook_try,
};
