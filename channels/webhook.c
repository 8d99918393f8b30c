/* SPDX-License-Identifier: Apache-2.0 */
/*
 * type: webhook.  Software posts events as JSON: canonical ones, or any others with a
 * `map` that says where things stand in them.
 *
 * Order of a request (each step can refuse): handshakes by GET, method, paused, who sent
 * it (over the raw bytes), handshakes by POST, rate, type and coding, JSON; then each event for itself.  Who does not know
 * the secret learns nothing about the rest.
 */
#include "channels/channel.h"

#include <stdlib.h>

#include "base/clock.h"
#include "channels/events.h"
#include "channels/handshake.h"
#include "channels/post.h"
#include "io/http_server.h"
#include "io/request_url.h"
#include "io/signature.h"
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
	struct map_nodes		 nodes;
	const struct mapping		*mapping;	/* compiled from these; NULL: canonical */
	bool				 is_keyless;	/* read without its secrets */
	const struct conf_node		*handshake;
	struct conf_texts		 verify_token;
	const struct handshakes		*handshakes;	/* compiled; NULL: none */
};

struct webhook {
	struct channel		*ch;		/* the host's, outlives us */
	const struct webhook_conf *conf;
	struct signature	*signature;	/* ours */
	struct signature	*verify_tokens;	/* ours; NULL: no handshake asks for one */
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

static bool
webhook_new(struct channel *ch, struct err *err)
{
	struct webhook *w = calloc(1, sizeof(*w));
	struct signature_conf settings;

	if (w == NULL)
		return err_set(err, ERR_RETRY, "out of memory");
	channel_set_priv(ch, w);
	w->ch = ch;
	w->conf = channel_conf(ch);
	signature_settings(w->conf, &settings);
	w->signature = signature_new(&settings, err);
	if (w->signature == NULL || w->conf->verify_token.n == 0)
		return w->signature != NULL;
	settings = (struct signature_conf){ .scheme = SIGNATURE_TOKEN,
	    .secrets = w->conf->verify_token.v, .nsecrets = w->conf->verify_token.n };
	w->verify_tokens = signature_new(&settings, err);
	return w->verify_tokens != NULL;
}

static void
webhook_free(struct channel *ch)
{
	struct webhook *w = channel_priv(ch);

	if (w == NULL)
		return;
	signature_free(w->signature);
	signature_free(w->verify_tokens);
	free(w);
}

/* ---- a request ---- */

/* The token may stand behind the source's path: /in/{source}/{token}, with its odd
 * characters percent-encoded (RFC 3986 2.1).  false: a bad escape, or too long. */
static bool
path_token(struct str rest, char *room, size_t size, struct str *ret)
{
	size_t n = 0;

	*ret = STR_NONE;
	if (rest.n < 2)
		return true;
	for (size_t i = 1; i < rest.n; i++) {
		int high, low;

		if (n == size)
			return false;
		room[n++] = rest.p[i];
		if (rest.p[i] != '%')
			continue;
		high = i + 2 < rest.n ? str_hex_digit(rest.p[i + 1]) : -1;
		low = i + 2 < rest.n ? str_hex_digit(rest.p[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		room[n - 1] = (char)(high << 4 | low);
		i += 2;
	}
	*ret = (struct str){ room, n };
	return true;
}

/* Who sent it?  false: the request was answered. */
static bool
admit(struct webhook *w, struct http_request *req, struct str rest, struct str token)
{
	static const struct http_header challenge[2][2] = {
		{ { STR("WWW-Authenticate"), STR("Bearer") }, { STR_NONE, STR_NONE } },
		{ { STR("WWW-Authenticate"), STR("Basic realm=\"touchlog\"") },
		    { STR_NONE, STR_NONE } },
	};
	const struct source *s = channel_source(w->ch);
	const struct url_rules rules = { s->public_url, s->public_url_is_whole, s->proxies };
	struct signature_request sender = { .m = http_request_message(req),
	    .body = http_request_body(req), .path_token = token, .now_us = clock_now_us() };
	const struct url_peer peer = { http_request_peer(req), http_request_is_tls(req) };
	const char *check;
	struct buf url;
	bool ok;

	buf_init(&url, URL_MAX_BYTES);
	if (signature_needs_url(w->signature) &&
	    request_url(&rules, sender.m, peer, rest, &url))
		sender.url = buf_str(&url);
	ok = signature_verify(w->signature, &sender, &check);
	if (!ok)
		post_refuse_sender(w->ch, req, check,
		    w->conf->verify == SIGNATURE_BEARER ? challenge[0] :
		    w->conf->verify == SIGNATURE_BASIC ? challenge[1] : NULL, sender.url);
	buf_fini(&url);
	return ok;
}

static void
webhook_request(struct channel *ch, struct http_request *req, struct str rest)
{
	struct webhook *w = channel_priv(ch);
	bool is_post = str_eq(http_request_message(req)->method, STR("POST"));
	char room[TOKEN_MAX_BYTES];
	struct str token;

	if (!path_token(rest, room, sizeof(room), &token) ||
	    (token.p != NULL && w->conf->verify != SIGNATURE_TOKEN))
		post_refuse(ch, req, 404, "path", NULL, STR("there is nothing below this source"));
	else if (!is_post && handshakes_answer(w->conf->handshakes, ch, req, w->verify_tokens))
		return;
	else if (!is_post)
		post_refuse(ch, req, 405, "method", NULL, STR("events are posted: use POST"));
	else if (channel_source(ch)->paused)
		post_refuse(ch, req, 503, "paused", NULL, STR("this source is paused"));
	else if (admit(w, req, rest, token) &&
	    !handshakes_answer(w->conf->handshakes, ch, req, w->verify_tokens))
		events_take(ch, w->conf->mapping, req);
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
};
