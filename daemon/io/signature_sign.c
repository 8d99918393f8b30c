/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other side: signs a request as its tool would, by the rows that verify it.
 *
 * Some schemes change what they sign: Twilio puts the digest of a body that is no form
 * into the URL, Mailgun its signature into the body.
 */
#include "io/signature_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/encoding.h"

enum { TIME_BYTES = 24 };

static void
put_header(struct signature_signed *out, struct str name, struct str value)
{
	buf_str_add(&out->headers, name);
	buf_text(&out->headers, ": ");
	buf_str_add(&out->headers, value);
	buf_text(&out->headers, "\r\n");
}

static bool
is_whole(const struct signature_signed *out, struct err *err)
{
	return (buf_ok(&out->headers) && buf_ok(&out->url) && buf_ok(&out->body)) ||
	    err_set(err, ERR_RETRY, "out of memory");
}

/* ---- secrets as they are ---- */

bool
sign_none(struct signature *s, const struct signature_draft *d, struct signature_signed *out,
    struct err *err)
{
	(void)s;
	buf_str_add(&out->url, d->url);
	buf_str_add(&out->body, d->body);
	return is_whole(out, err);
}

bool
sign_bearer(struct signature *s, const struct signature_draft *d, struct signature_signed *out,
    struct err *err)
{
	buf_text(&out->headers, "Authorization: Bearer ");
	buf_str_add(&out->headers, s->secret);
	buf_text(&out->headers, "\r\n");
	return sign_none(s, d, out, err);
}

bool
sign_basic(struct signature *s, const struct signature_draft *d, struct signature_signed *out,
    struct err *err)
{
	union { char *text; unsigned char *bytes; } pair;
	struct buf b;

	buf_init(&b, s->user.n + s->secret.n + 1);
	buf_str_add(&b, s->user);
	buf_text(&b, ":");
	buf_str_add(&b, s->secret);
	pair.text = b.p;
	buf_text(&out->headers, "Authorization: Basic ");
	if (buf_ok(&b))
		encode_base64(&out->headers, pair.bytes, b.n);
	buf_text(&out->headers, "\r\n");
	buf_fini(&b);
	return sign_none(s, d, out, err);
}

/* Without a header the token is the last segment of the path. */
bool
sign_token(struct signature *s, const struct signature_draft *d, struct signature_signed *out,
    struct err *err)
{
	struct str query = d->url, path = str_cut(&query, '?');

	if (s->header.n > 0) {
		put_header(out, s->header, s->secret);
		return sign_none(s, d, out, err);
	}
	buf_str_add(&out->url, path);
	buf_text(&out->url, path.n > 0 && path.p[path.n - 1] == '/' ? "" : "/");
	percent_encode(&out->url, s->secret, "-._~");
	if (query.n > 0)
		buf_text(&out->url, "?");
	buf_str_add(&out->url, query);
	buf_str_add(&out->body, d->body);
	return is_whole(out, err);
}

/* ---- signatures of a text ---- */

/* What goes before the text can be made: the URL, the id and time in headers. */
static bool
prepare(struct attempt *a, const struct signature_draft *d, struct signature_signed *out)
{
	unsigned char sum[SUM_BYTES];

	if (a->form->timestamp_header.n > 0)
		put_header(out, a->form->timestamp_header, a->timestamp);
	if (a->form->id_header.n > 0)
		put_header(out, a->form->id_header, a->id);
	if (a->form->only_header.n > 0)
		put_header(out, a->form->only_header, a->form->only_value);
	buf_str_add(&out->url, d->url);
	if (a->form->hash_param.n == 0 || is_form_type(d->content_type) || d->body.n == 0)
		return true;
	buf_text(&out->url, memchr(d->url.p, '?', d->url.n) != NULL ? "&" : "?");
	buf_str_add(&out->url, a->form->hash_param);
	buf_text(&out->url, "=");
	encode_hex(&out->url, sum, sum_of(d->body, sum) ? sizeof(sum) : 0);
	return buf_ok(&out->url);
}

static void
put_json_fields(const struct attempt *a, struct str signature, struct buf *out)
{
	buf_printf(out, "{\"timestamp\":\"%.*s\",\"token\":\"%.*s\",\"signature\":\"%.*s\"}",
	    STR_ARG(a->timestamp), STR_ARG(a->token), STR_ARG(signature));
}

/* Into an object: in the place of an older signature, or in front. */
static bool
put_into_json(const struct attempt *a, struct str body, struct str signature, struct buf *out)
{
	static const struct str name = STR("signature");
	struct str old, rest = str_trim(body);
	size_t from;

	if (rest.n < 2 || rest.p[0] != '{')
		return false;
	if (body_member(body, name, &old)) {
		from = (size_t)(old.p - body.p);
		buf_add(out, body.p, from);
		put_json_fields(a, signature, out);
		buf_str_add(out, str_skip(body, from + old.n));
		return true;
	}
	rest = str_trim(str_skip(rest, 1));
	buf_text(out, "{\"signature\":");
	put_json_fields(a, signature, out);
	buf_text(out, rest.p[0] == '}' ? "" : ",");
	buf_str_add(out, rest);
	return true;
}

static bool
put_into_body(const struct attempt *a, const struct signature_draft *d, struct str signature,
    struct buf *out)
{
	if (!is_form_type(d->content_type))
		return put_into_json(a, d->body, signature, out);
	buf_str_add(out, d->body);
	buf_printf(out, "%stimestamp=%.*s&token=%.*s&signature=%.*s", d->body.n > 0 ? "&" : "",
	    STR_ARG(a->timestamp), STR_ARG(a->token), STR_ARG(signature));
	return true;
}

static void
put_signature_header(const struct attempt *a, const char *label, struct str signature,
    struct buf *out)
{
	buf_str_add(out, a->form->header);
	buf_text(out, ": ");
	if (a->form->listing == LIST_PAIRS)
		buf_printf(out, "t=%.*s,%s=", STR_ARG(a->timestamp), label);
	else
		buf_printf(out, "%s%s", label, a->form->listing == LIST_WORDS ? "," : "");
	buf_str_add(out, signature);
	buf_text(out, "\r\n");
}

/* Of the kinds that the form knows, the one that this key can do. */
static bool
sign_pieces(const struct signature *s, const struct attempt *a, struct str url,
    const char **ret_label, struct buf *out)
{
	unsigned char bytes[SIGNATURE_BYTES];
	struct text t;
	size_t n;

	if (s->nkeys == 0 || !text_build(a, url, &t))
		return false;
	for (size_t i = 0; i < 2; i++) {
		*ret_label = a->form->label[i].text;
		if (*ret_label == NULL || !key_signs(&s->keys[0], a->form->label[i].kind, &t,
		    bytes, &n))
			continue;
		(a->form->encoding == SIGNATURE_HEX ? encode_hex : encode_base64)(out, bytes, n);
		return buf_ok(out);
	}
	return false;
}

/* The parameters of a form are read from a request, so it is one for that long. */
static const char *
make_params(struct attempt *a, struct str url, struct http_header *type)
{
	const struct http_message m = { .method = a->r->m->method, .headers = type, .nheaders = 1 };
	const struct signature_request *was = a->r, r = { .m = &m, .body = was->body, .url = url };
	const char *failed;

	if (!form_wants(a->form, 'p'))
		return NULL;
	a->r = &r;
	failed = text_params(a);
	a->r = was;
	return failed;
}

static bool
sign_attempt(struct signature *s, struct attempt *a, const struct signature_draft *d,
    struct signature_signed *out, struct err *err)
{
	struct http_header type = { STR("Content-Type"), d->content_type };
	struct buf signature;
	const char *label, *failed;
	bool ok = prepare(a, d, out);

	failed = make_params(a, buf_str(&out->url), &type);
	if (failed != NULL)
		return err_set(err, ERR_INPUT, "this scheme cannot sign such a body: %s", failed);
	buf_init(&signature, 1024);
	ok = ok && sign_pieces(s, a, buf_str(&out->url), &label, &signature);
	if (!ok)
		(void)err_set(err, ERR_INPUT, "this key cannot sign: the private one is wanted");
	else if (a->form->listing != LIST_BODY) {
		put_signature_header(a, label, buf_str(&signature), &out->headers);
		buf_str_add(&out->body, d->body);
	} else if (!put_into_body(a, d, buf_str(&signature), &out->body)) {
		ok = err_set(err, ERR_INPUT, "the signature goes into the body: a JSON object or a "
		    "form is wanted");
	}
	buf_fini(&signature);
	return ok && is_whole(out, err);
}

bool
sign_text(struct signature *s, const struct signature_draft *d, struct signature_signed *out,
    struct err *err)
{
	const struct http_message m = { .method = d->method };
	const struct signature_request r = { .m = &m, .body = d->body, .url = d->url };
	char time_text[TIME_BYTES];
	struct attempt a = { .scheme = s->scheme, .r = &r, .id = d->id, .token = d->token,
	    .form = s->scheme->signs != NULL ? s->scheme->signs : &s->forms[0] };
	bool ok;

	/* HubSpot's clock has milliseconds. */
	(void)snprintf(time_text, sizeof(time_text), "%" PRId64,
	    d->now_us / (a.form->urls == URL_HUBSPOT ? 1000 : 1000000));
	a.timestamp = str_of(time_text);
	buf_init(&a.params, d->body.n + 1);
	buf_init(&a.fields, d->body.n + d->url.n + 256);
	ok = sign_attempt(s, &a, d, out, err);
	buf_fini(&a.params);
	buf_fini(&a.fields);
	return ok;
}

bool
sign_sns(struct signature *s, const struct signature_draft *d, struct signature_signed *out,
    struct err *err)
{
	(void)s;
	(void)d;
	(void)out;
	return err_set(err, ERR_INPUT, "only Amazon SNS can sign so: its certificate is its own");
}

bool
signature_sign(struct signature *s, const struct signature_draft *d,
    struct signature_signed *out, struct err *err)
{
	return s->scheme->sign(s, d, out, err);
}
