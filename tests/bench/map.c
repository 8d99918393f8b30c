/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to verify and to map, without network and database: for a few tools, one
 * item of about 1 kB by the tool's own preset, from the request as it was parsed to the
 * interaction.  And how long a configuration of 60 sources with all presets takes to load.
 *
 *   map PRESET_DIR    prints a line of key=value for each
 */
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encoding.h"
#include "channels/body.h"
#include "channels/events.h"
#include "edge/config.h"
#include "io/signature.h"
#include "model/mapping.h"

enum {
	ROUNDS		= 7,
	ROUND_US	= 150000,
	CALLS		= 64,		/* between two looks at the clock */
	BODY_MAX_BYTES	= 8 << 20,
	HEADERS_MAX	= 8,
	MANY		= 1000,		/* items of SendGrid in a request */
	NSOURCES	= 60,
	PATH_BYTES	= 4096,
	TEXT_MAX_BYTES	= 64 * 1024,
};

#define P256_PRIVATE "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWPspCFHpVx3Zl8LGibKO" \
	"6ZHyGR0sqNEif1WxYVTNpXWhRANCAAQ8rxWyIaYPz09K0UwYU2P7ygDqWPIxvbpIl39lw6NL9UnGpCwo2Uw/" \
	"m2FZ8bqvIdyp2j8o51UeNUfckS5u83Nw"
#define P256_PUBLIC "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPK8VsiGmD89PStFMGFNj+8oA6ljyMb26SJd" \
	"/ZcOjS/VJxqQsKNlMP5thWfG6ryHcqdo/KOdVHjVH3JEubvNzcA=="

/* Made-up events in the tools' documented shapes. */
static const char stripe_body[] =
    "{\"id\":\"evt_3PBenchMark0000000000001\",\"object\":\"event\",\"api_version\":\"2024-06-20\","
    "\"created\":1771000000,\"livemode\":true,\"pending_webhooks\":1,\"type\":\"charge.succeeded\","
    "\"request\":{\"id\":\"req_bench0001\","
    "\"idempotency_key\":\"5f1f7c3e-51a7-4c8e-9f5a-bench0001\"},"
    "\"data\":{\"object\":{\"id\":\"ch_3PBenchMark0000000000001\",\"object\":\"charge\","
    "\"amount\":4995,\"amount_captured\":4995,\"amount_refunded\":0,\"currency\":\"eur\","
    "\"captured\":true,\"customer\":\"cus_Bench000000001\",\"description\":\"Bicycle bell, two "
    "pieces\",\"paid\":true,\"billing_details\":{\"address\":{\"city\":\"Utrecht\","
    "\"country\":\"NL\",\"line1\":\"Oudegracht 1\",\"postal_code\":\"3511 AA\"},"
    "\"email\":\"anna.bench@example.com\",\"name\":\"Anna Bench\",\"phone\":\"+31612345678\"},"
    "\"metadata\":{\"order\":\"NL-20377\",\"voucher\":\"SPRING12\"},"
    "\"payment_intent\":\"pi_3PBenchMark0000000000001\","
    "\"payment_method_details\":{\"card\":{\"brand\":\"visa\",\"last4\":\"4242\",\"exp_month\":12,"
    "\"exp_year\":2030},\"type\":\"card\"},\"receipt_email\":\"anna.bench@example.com\","
    "\"status\":\"succeeded\"}}}";

static const char whatsapp_body[] =
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"102290129340398\","
    "\"changes\":[{\"field\":\"messages\",\"value\":{\"messaging_product\":\"whatsapp\","
    "\"metadata\":{\"display_phone_number\":\"3615550100\","
    "\"phone_number_id\":\"106540352242922\"},\"contacts\":[{\"profile\":{\"name\":\"Anna Bench\"},"
    "\"wa_id\":\"36301234567\"}],\"messages\":[{\"context\":{\"from\":\"3615550100\","
    "\"id\":\"wamid.HBgLMzYzMDEyMzQ1NjcVAgARGBI0NDQ0\"},\"from\":\"36301234567\","
    "\"id\":\"wamid.HBgLMzYzMDEyMzQ1NjcVAgASGBQzQTdCNTg5RjY1MAA=\",\"timestamp\":\"1771000000\","
    "\"type\":\"text\",\"text\":{\"body\":\"Good day, the parcel that you announced for yesterday "
    "has not come. The number of my order is NL-20377, and the invoice says that it left your "
    "house on Monday. Could you please look where it is, and write to me when I can expect it? On "
    "Thursday and Friday I am not at home, but the neighbour at number 12 is, and takes it for me. "
    "If that is too late, I would rather have my money back. Thanks in advance, Anna. The "
    "telephone is best in the evening, between six and eight.\"}}]}}]}]}";

static const char calendly_body[] =
    "{\"event\":\"invitee.created\",\"created_at\":\"2026-02-13T16:26:40.000000Z\","
    "\"created_by\":\"https://api.calendly.com/users/AAAAAAAAAAAAAAAA\","
    "\"payload\":{\"uri\":\"https://api.calendly.com/scheduled_events/GBGBDCAADAEDCRZ2/"
    "invitees/BENCH000000000001\","
    "\"email\":\"anna.bench@example.com\",\"name\":\"Anna Bench\",\"status\":\"active\","
    "\"timezone\":\"Europe/Amsterdam\",\"rescheduled\":false,\"old_invitee\":null,"
    "\"new_invitee\":null,\"cancel_url\":\"https://calendly.com/cancellations/B1\","
    "\"reschedule_url\":\"https://calendly.com/reschedulings/B1\",\"text_reminder_number\":null,"
    "\"tracking\":{\"utm_campaign\":\"spring\",\"utm_source\":\"mail\",\"utm_medium\":null,"
    "\"utm_content\":null,\"utm_term\":null},\"questions_and_answers\":[{\"question\":\"What is it "
    "about?\",\"answer\":\"A bicycle that squeaks\",\"position\":0}],"
    "\"scheduled_event\":{\"uri\":\"https://api.calendly.com/scheduled_events/GBGBDCAADAEDCRZ2\","
    "\"name\":\"Workshop\",\"start_time\":\"2026-02-20T09:00:00.000000Z\","
    "\"end_time\":\"2026-02-20T09:30:00.000000Z\",\"location\":{\"type\":\"physical\","
    "\"location\":\"Oudegracht 1\"},"
    "\"event_memberships\":[{\"user_email\":\"workshop@example.com\"}]}}}";

static const char secret[] = "a secret of the benchmark";

/* One preset as it is used, and one request for it. */
struct trial_run {
	const char		*preset;
	enum signature_scheme	 scheme;
	struct str		 secret, private_secret;
	struct str		 body;
	size_t			 n_items;
	struct source		 source;
	const struct mapping	*mapping;
	struct signature	*signature;
	struct http_message	 m;
	struct http_header	 headers[HEADERS_MAX];
	struct buf		 header_text;
	size_t			 n_fit;
};

/* ---- what is measured ---- */

static bool
begin(void *arg, size_t n, bool is_plural)
{
	(void)arg;
	(void)n;
	(void)is_plural;
	return true;
}

static void
event(void *arg, const struct event_outcome *o)
{
	struct trial_run *r = arg;

	r->n_fit += o->end == EVENT_FITS;
	if (o->end == EVENT_UNFIT || o->end == EVENT_REJECTED)
		errx(1, "%s: %s", r->preset, o->why->text);
}

static void
verify(struct trial_run *r)
{
	const struct signature_request request = { .m = &r->m, .body = r->body,
	    .now_us = clock_now_us() };
	const char *check;

	if (!signature_verify(r->signature, &request, &check))
		errx(1, "%s: %s", r->preset, check);
}

static void
map(struct trial_run *r)
{
	static const struct events_sink sink = { begin, event };
	struct body_refusal why;

	r->n_fit = 0;
	if (!events_read(&r->source, r->mapping, &r->m, uuid_v7(), &sink, r, &why))
		errx(1, "%s: %s", r->preset, why.detail);
	if (r->n_fit != r->n_items)
		errx(1, "%s: %zu events of %zu", r->preset, r->n_fit, r->n_items);
}

static int
compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Of this process: others on the machine are not to count. */
static int64_t
cpu_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Microseconds of one call: the median of rounds that each last a while. */
static double
measure(struct trial_run *r, void (*fn)(struct trial_run *))
{
	double us[ROUNDS];

	fn(r);		/* warm */
	for (size_t i = 0; i < ROUNDS; i++) {
		const int64_t start_us = cpu_us();
		int64_t took_us;
		size_t n = 0;

		do {
			for (size_t k = 0; k < CALLS / r->n_items + 1; k++, n++)
				fn(r);
			took_us = cpu_us() - start_us;
		} while (took_us < ROUND_US);
		us[i] = (double)took_us / (double)n;
	}
	qsort(us, ROUNDS, sizeof(*us), compare);
	return us[ROUNDS / 2];
}

/* ---- preparing ---- */

static const struct mapping *
load_mapping(const char *dir, const char *preset)
{
	char path[PATH_BYTES];
	struct map_nodes nodes;
	const struct mapping *m;
	const struct conf_node *root;
	struct conf *c;

	(void)snprintf(path, sizeof(path), "%s/%s.yaml", dir, preset);
	c = conf_load_tree(path);	/* kept to the end */
	if (c == NULL)
		errx(1, "out of memory");
	root = conf_root(c);
	nodes = (struct map_nodes){ .each = conf_find(root, "each"), .when = conf_find(root, "when"),
	    .map = conf_find(root, "map"), .translate = conf_find(root, "translate"),
	    .require = conf_find(root, "require"), .items = conf_find(root, "items") };
	m = mapping_compile(c, &nodes);
	if (m == NULL)
		errx(1, "%s", conf_error_text(c, 0));
	return m;
}

static struct signature *
make_signature(const struct trial_run *r, struct str key, bool signs)
{
	const struct signature_conf conf = { .scheme = r->scheme, .secrets = &key, .nsecrets = 1,
	    .signs = signs };
	struct signature *s;
	struct err err;

	s = signature_new(&conf, &err);
	if (s == NULL)
		errx(1, "%s: %s", r->preset, err.text);
	return s;
}

static void
sign(struct trial_run *r)
{
	struct signature *s = make_signature(r, r->private_secret, true);
	const struct signature_draft d = { .method = STR("POST"), .body = r->body,
	    .content_type = STR("application/json"), .url = STR("http://localhost/in/x"),
	    .now_us = clock_now_us() };
	struct signature_signed out;
	struct str rest;
	struct err err;

	buf_init(&out.headers, TEXT_MAX_BYTES);
	buf_init(&out.url, TEXT_MAX_BYTES);
	buf_init(&out.body, BODY_MAX_BYTES);
	if (!signature_sign(s, &d, &out, &err))
		errx(1, "%s: %s", r->preset, err.text);
	r->header_text = out.headers;
	rest = buf_str(&r->header_text);
	r->headers[r->m.nheaders++] = (struct http_header){ STR("Content-Type"),
	    STR("application/json") };
	while (rest.n > 0) {
		struct str line = str_trim(str_cut(&rest, '\n')), name = str_cut(&line, ':');

		r->headers[r->m.nheaders++] = (struct http_header){ name, str_trim(line) };
	}
	buf_fini(&out.url);
	buf_fini(&out.body);
	signature_free(s);
}

static void
prepare(struct trial_run *r, const char *dir)
{
	union { const char *in; char *out; } body = { .in = r->body.p };

	r->source = (struct source){ .channel = 0, .direction = -1, .name = str_of(r->preset),
	    .key_name = str_of(r->preset), .is_strong = true, .max_body = BODY_MAX_BYTES,
	    .max_inflated = BODY_MAX_BYTES, .max_depth = 100,
	    .dedupe_for_ms = 400LL * 86400 * 1000,
	    .rules = { .strong_ranks = 1U << IDENTITY_EXTERNAL | 1U << IDENTITY_EMAIL } };
	r->m = (struct http_message){ .headers = r->headers, .method = STR("POST"),
	    .path = STR("/in/x"), .body = body.out, .body_len = r->body.n };
	r->mapping = load_mapping(dir, r->preset);
	if (r->private_secret.p == NULL)
		r->private_secret = r->secret;
	r->signature = make_signature(r, r->secret, false);
	sign(r);
}

static void
report(struct trial_run *r, const char *dir)
{
	double verify_us, map_us;

	prepare(r, dir);
	verify_us = measure(r, verify);
	map_us = measure(r, map);
	printf("what=map preset=%s bytes=%zu items=%zu verify_us=%.2f map_us=%.2f item_us=%.2f\n",
	    r->preset, r->body.n / r->n_items, r->n_items, verify_us, map_us,
	    (r->n_items == 1 ? verify_us + map_us : map_us / (double)r->n_items));
	(void)fflush(stdout);
	buf_fini(&r->header_text);
	signature_free(r->signature);
}

/* ---- many items ---- */

static void
make_sendgrid(struct buf *out)
{
	buf_text(out, "[");
	for (unsigned i = 0; i < MANY; i++)
		buf_printf(out, "%s{\"email\":\"person%u@example.com\",\"timestamp\":%u,\"smtp-id\":"
		    "\"<14c5d75ce93.dfd.64b469@ismtpd-555>\",\"event\":\"%s\",\"category\":[\"spring\","
		    "\"news\"],\"sg_event_id\":\"bench-%08u-ZyjAM5rnQmuI1KFInHQ3Nw\",\"sg_message_id\":"
		    "\"wrfRRvF7Q0GgwUo2CvDmEA.filter0006.13037.5%u\",\"useragent\":\"Mozilla/5.0 (X11; Linux "
		    "x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36\",\"ip\":"
		    "\"192.0.2.%u\",\"url\":\"https://shop.example.com/spring?campaign=%u\"}",
		    i > 0 ? ",\r\n" : "", i % 200, 1771000000 + i, i % 3 ? "open" : "click", i, i, i % 250,
		    i);
	buf_text(out, "]\r\n");
}

/* ---- loading ---- */

static void
put_sources(struct buf *out, const char *dir)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	size_t n = 0;

	if (d == NULL)
		err(1, "%s", dir);
	while (n < NSOURCES) {
		struct str name;

		if ((entry = readdir(d)) == NULL) {
			rewinddir(d);
			continue;
		}
		name = str_of(entry->d_name);
		if (name.n < 6 || !str_eq(str_skip(name, name.n - 5), STR(".yaml")))
			continue;
		name.n -= 5;
		buf_printf(out, "  s%zu: { type: webhook, preset: %.*s, %s%s }\n", n++, STR_ARG(name),
		    str_eq(name, STR("ses")) ? "topic: \"arn:aws:sns:none:0:none\"" :
		    "secret: \"plain:x\"",
		    str_eq(name, STR("whatsapp")) ? ", verify_token: \"plain:x\"" : "");
	}
	(void)closedir(d);
}

static double
load_ms(const char *path)
{
	const int64_t start_us = cpu_us();
	struct config *c = config_load_without_secrets(path);
	double ms;

	if (c == NULL || conf_errors(c->conf) > 0)
		errx(1, "%s", c != NULL ? conf_error_text(c->conf, 0) : "out of memory");
	ms = (double)(cpu_us() - start_us) / 1e3;
	config_free(c);
	return ms;
}

static void
report_loading(const char *dir)
{
	char path[] = "/tmp/touchlog-bench-map-XXXXXX";
	double ms[ROUNDS];
	int fd = mkstemp(path);
	struct buf text;

	buf_init(&text, TEXT_MAX_BYTES);
	buf_printf(&text, "preset_dir: \"%s\"\nlisteners: { x: { address: \"127.0.0.1:0\", serve: "
	    "[ops] } }\nsources:\n", dir);
	put_sources(&text, dir);
	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n)
		err(1, "%s", path);
	(void)close(fd);
	for (size_t i = 0; i < ROUNDS; i++)
		ms[i] = load_ms(path);
	(void)unlink(path);
	buf_fini(&text);
	qsort(ms, ROUNDS, sizeof(*ms), compare);
	printf("what=load sources=%d load_ms=%.1f\n", NSOURCES, ms[ROUNDS / 2]);
}

int
main(int argc, char **argv)
{
	const struct str key = { secret, sizeof(secret) - 1 };
	struct trial_run runs[] = {
		{ .preset = "stripe", .scheme = SIGNATURE_STRIPE, .secret = key,
		    .body = { stripe_body, sizeof(stripe_body) - 1 }, .n_items = 1 },
		{ .preset = "calendly", .scheme = SIGNATURE_CALENDLY, .secret = key,
		    .body = { calendly_body, sizeof(calendly_body) - 1 }, .n_items = 1 },
		{ .preset = "whatsapp", .scheme = SIGNATURE_META, .secret = key,
		    .body = { whatsapp_body, sizeof(whatsapp_body) - 1 }, .n_items = 1 },
		{ .preset = "sendgrid", .scheme = SIGNATURE_SENDGRID, .secret = STR(P256_PUBLIC),
		    .private_secret = STR(P256_PRIVATE), .n_items = MANY },
	};
	const char *dir = argc == 2 ? realpath(argv[1], NULL) : NULL;
	struct buf many;

	if (dir == NULL)
		errx(2, "usage: map PRESET_DIR");
	buf_init(&many, BODY_MAX_BYTES);
	make_sendgrid(&many);
	runs[3].body = buf_str(&many);
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		report(&runs[i], dir);
	buf_fini(&many);
	report_loading(dir);
	return 0;
}
