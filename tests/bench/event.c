/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmark's events: as canonical JSON and as the rows that become of it. */
#include "tests/bench/event.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/uuid.h"

enum {
	BODY_BYTES = 460,		/* brings the JSON to about 1 kB */
	ITEM_BYTES = 980,		/* of SendGrid's */
	PHONE_PERCENT = 10,		/* of events name a number besides the address */
	THREADS_A_PERSON = 16,
	AMOUNT_BYTES = 8 + 2 * 2,	/* numeric's head and two digits of base 10000 */
	AMOUNT_SCALE = 4,
	LOG_FIELDS = 16,
	DOCUMENT_FIELDS = 4,
};

static const int64_t pg_epoch_us = 946684800000000;	/* 2000-01-01 */

static const char *const words[] = {
	"order", "bicycle", "delivery", "invoice", "address", "yesterday", "still", "waiting",
	"refund", "answer", "parcel", "please", "number", "again", "thanks", "question",
};

const char event_log_columns[] = "id, received_at, occurred_at, customer_id, source, channel,"
    " direction, kind, external_id, thread, subject, body, amount, currency, attributes, txid";
const char event_document_columns[] = "id, received_at, customer_id, payload";

static uint64_t
scramble(uint64_t z)		/* splitmix64's finaliser */
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

void
event_make(struct event *ret_e, const char *run, int64_t seq, uint64_t n_people)
{
	uint64_t seed = (uint64_t)seq;

	for (const char *p = run; *p != '\0'; p++)
		seed = scramble(seed + (unsigned char)*p);
	*ret_e = (struct event){ .run = run, .seq = seq, .at_us = clock_now_us() / 1000 * 1000,
		.person = scramble(seed + 1) % n_people, .bits = scramble(seed + 2) };
}

static unsigned
draw(const struct event *e, unsigned shift, unsigned below)
{
	return (unsigned)(e->bits >> shift) % below;
}

static void
add_external_id(struct buf *out, const struct event *e)
{
	buf_printf(out, "%s:%08" PRId64, e->run, e->seq);
}

static void
add_thread(struct buf *out, const struct event *e)
{
	buf_printf(out, "order-%" PRIu64 "-%u", e->person, draw(e, 0, THREADS_A_PERSON));
}

static void
add_subject(struct buf *out, const struct event *e)
{
	buf_printf(out, "Where is my order %u?", draw(e, 4, 1000000));
}

static void
add_body(struct buf *out, const struct event *e)
{
	const size_t end = out->n + BODY_BYTES;
	uint64_t bits = e->bits;

	buf_text(out, "Good day,");
	while (out->n < end && buf_ok(out)) {
		bits = scramble(bits + 1);
		for (unsigned i = 0; i < 16; i++) {
			buf_add(out, " ", 1);
			buf_text(out, words[bits >> 4 * i & 15]);
		}
	}
	if (buf_ok(out))
		out->n = end;
}

static void
add_attributes(struct buf *out, const struct event *e)
{
	buf_printf(out, "{\"coupon\":\"SPRING%u\",\"device\":\"%s\",\"items\":[", draw(e, 12, 100),
	    draw(e, 20, 2) ? "phone" : "desktop");
	for (unsigned i = 0; i < 2; i++)
		buf_printf(out, "%s{\"sku\":\"B-%05u\",\"quantity\":%u,\"price\":%u.95}",
		    i > 0 ? "," : "", draw(e, 8 + 16 * i, 100000), 1 + i, draw(e, 24, 200));
	buf_text(out, "]}");
}

static void
add_time(struct buf *out, int64_t at_us)
{
	const time_t at_s = (time_t)(at_us / 1000000);
	char text[32];
	struct tm tm;

	(void)gmtime_r(&at_s, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_printf(out, "%s.%03dZ", text, (int)(at_us / 1000 % 1000));
}

void
event_json(struct buf *out, const struct event *e)
{
	buf_text(out, "{\"external_id\":\"");
	add_external_id(out, e);
	buf_text(out, "\",\"channel\":\"email\",\"direction\":\"in\",\"kind\":\"message\","
	    "\"occurred_at\":\"");
	add_time(out, e->at_us);
	buf_printf(out, "\",\"email\":\"person%" PRIu64 "@example.com\"", e->person);
	if (draw(e, 40, 100) < PHONE_PERCENT)
		buf_printf(out, ",\"phone\":\"+316%08" PRIu64 "\"", 10000000 + e->person % 40000000);
	buf_text(out, ",\"thread\":\"");
	add_thread(out, e);
	buf_text(out, "\",\"subject\":\"");
	add_subject(out, e);
	buf_text(out, "\",\"body\":\"");
	add_body(out, e);
	buf_printf(out, "\",\"amount\":%u.95,\"currency\":\"EUR\",\"attributes\":",
	    draw(e, 32, 1000));
	add_attributes(out, e);
	buf_text(out, "}");
}

void
event_sendgrid(struct buf *out, const struct event *e)
{
	static const char *const kinds[] = { "delivered", "open", "click", "bounce" };
	const size_t from = out->n;

	buf_printf(out, "{\"email\":\"person%" PRIu64 "@example.com\",\"timestamp\":%" PRId64
	    ",\"event\":\"%s\",\"sg_event_id\":\"", e->person, e->at_us / 1000000,
	    kinds[draw(e, 0, 4)]);
	add_external_id(out, e);
	buf_printf(out, "\",\"sg_message_id\":\"wrfRRvF7Q0GgwUo2%08x.filter0006.13037.5\","
	    "\"smtp-id\":\"<14c5d75ce93.dfd.%08x@ismtpd-555>\",\"category\":[\"SPRING%u\",\"news\"],"
	    "\"ip\":\"192.0.2.%u\",\"useragent\":\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
	    "(KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\",\"url\":\"https://shop.example.com/"
	    "spring?order=%u\",\"tls\":1,\"asm_group_id\":%u,\"note\":\"", (unsigned)e->bits,
	    (unsigned)(e->bits >> 32), draw(e, 12, 100), draw(e, 20, 250), draw(e, 4, 1000000),
	    draw(e, 28, 20));
	/* An argument of the sender's own, which makes it as long as the other events. */
	for (uint64_t bits = e->bits; out->n - from < ITEM_BYTES && buf_ok(out);) {
		bits = scramble(bits + 1);
		buf_printf(out, "%s ", words[bits & 15]);
	}
	buf_text(out, "\"}");
}

/* A field is its length and its bytes; the length is filled in afterwards. */
static size_t
field_start(struct buf *out)
{
	buf_be32(out, 0);
	return out->n;
}

static void
field_end(struct buf *out, size_t from)
{
	const uint32_t len = __builtin_bswap32((uint32_t)(out->n - from));

	if (buf_ok(out))
		memcpy(out->p + from - sizeof(len), &len, sizeof(len));
}

static void
field_made(struct buf *out, void (*add)(struct buf *, const struct event *), const struct event *e)
{
	const size_t from = field_start(out);

	add(out, e);
	field_end(out, from);
}

static void
field_text(struct buf *out, const char *text)
{
	buf_be32(out, (uint32_t)strlen(text));
	buf_text(out, text);
}

static void
field_64(struct buf *out, int64_t v)
{
	buf_be32(out, sizeof(v));
	buf_be64(out, (uint64_t)v);
}

static void
field_amount(struct buf *out, uint16_t euros)
{
	buf_be32(out, AMOUNT_BYTES);
	buf_be16(out, 2);		/* digits of base 10000 */
	buf_be16(out, 0);		/* weight of the first */
	buf_be16(out, 0);		/* positive */
	buf_be16(out, AMOUNT_SCALE);
	buf_be16(out, euros);
	buf_be16(out, 9500);
}

static void
add_jsonb_attributes(struct buf *out, const struct event *e)
{
	buf_add(out, "\1", 1);		/* the version of jsonb's format */
	add_attributes(out, e);
}

static void
add_jsonb_event(struct buf *out, const struct event *e)
{
	buf_add(out, "\1", 1);
	event_json(out, e);
}

void
event_log_row(struct buf *out, const struct event *e, struct uuid id, int64_t txid)
{
	buf_be16(out, LOG_FIELDS);
	buf_be32(out, UUID_BYTES);
	buf_add(out, id.b, UUID_BYTES);
	field_64(out, uuid_at_us(id) - pg_epoch_us);
	field_64(out, e->at_us - pg_epoch_us);
	field_64(out, (int64_t)e->person + 1);
	field_text(out, "bench");
	field_text(out, "email");
	field_text(out, "in");
	field_text(out, "message");
	field_made(out, add_external_id, e);
	field_made(out, add_thread, e);
	field_made(out, add_subject, e);
	field_made(out, add_body, e);
	field_amount(out, (uint16_t)draw(e, 32, 1000));
	field_text(out, "EUR");
	field_made(out, add_jsonb_attributes, e);
	field_64(out, txid);
}

void
event_document_row(struct buf *out, const struct event *e, struct uuid id)
{
	buf_be16(out, DOCUMENT_FIELDS);
	buf_be32(out, UUID_BYTES);
	buf_add(out, id.b, UUID_BYTES);
	field_64(out, uuid_at_us(id) - pg_epoch_us);
	field_64(out, (int64_t)e->person + 1);
	field_made(out, add_jsonb_event, e);
}
