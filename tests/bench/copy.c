/* SPDX-License-Identifier: Apache-2.0 */
/* The yardstick: the rows of the events by binary COPY, one process a connection. */
#include "tests/bench/load.h"

#include <err.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "tests/bench/event.h"

enum { BATCH_MAX_BYTES = 1 << 30, SQL_BYTES = 512 };

/* One transaction, made before the clock starts. */
struct batch {
	struct buf	log, document;	/* rows with COPY's head and trailer */
};

struct worker {
	const struct load_conf	*conf;
	int64_t			 first, end;	/* its events */
	struct batch		*batches;	/* ours */
	size_t			 n_batches;
	PGconn			*pg;		/* ours */
};

/* What a worker tells its parent; shared memory. */
struct outcome {
	int64_t	cpu_us;
	int64_t	done_at_us;
};

static void
must(PGconn *pg, PGresult *res, ExecStatusType want)
{
	if (PQresultStatus(res) != want)
		errx(1, "%s", PQerrorMessage(pg));
	PQclear(res);
}

static void
copy_rows(struct worker *w, const char *table, const char *columns, const struct buf *rows)
{
	char sql[SQL_BYTES];

	(void)snprintf(sql, sizeof(sql), "COPY %s.%s (%s) FROM STDIN BINARY", w->conf->schema, table,
	    columns);
	must(w->pg, PQexec(w->pg, sql), PGRES_COPY_IN);
	if (PQputCopyData(w->pg, rows->p, (int)rows->n) != 1 || PQputCopyEnd(w->pg, NULL) != 1)
		errx(1, "%s", PQerrorMessage(w->pg));
	must(w->pg, PQgetResult(w->pg), PGRES_COMMAND_OK);
	if (PQgetResult(w->pg) != NULL)
		errx(1, "COPY gave two results");
}

static void
commit_batch(struct worker *w, const struct batch *b)
{
	must(w->pg, PQexec(w->pg, "BEGIN"), PGRES_COMMAND_OK);
	copy_rows(w, "interaction", event_log_columns, &b->log);
	copy_rows(w, "document", event_document_columns, &b->document);
	must(w->pg, PQexec(w->pg, "COMMIT"), PGRES_COMMAND_OK);
}

static void
copy_head(struct buf *rows)
{
	static const char head[19] = "PGCOPY\n\377\r\n\0";	/* no flags, no extension */

	buf_init(rows, BATCH_MAX_BYTES);
	buf_add(rows, head, sizeof(head));
}

static void
copy_trailer(struct buf *rows)
{
	buf_be16(rows, UINT16_MAX);
	if (!buf_ok(rows))
		errx(1, "out of memory, or -b is too much");
}

static void
make_batch(struct worker *w, struct batch *b, int64_t first, int64_t end)
{
	/* Grows from run to run as the daemon's does. */
	const int64_t txid = clock_now_us() / 100;
	struct event e;
	struct uuid id;

	copy_head(&b->log);
	copy_head(&b->document);
	for (int64_t seq = first; seq < end; seq++) {
		event_make(&e, w->conf->run, seq, (uint64_t)w->conf->n_people);
		id = uuid_v7();
		event_log_row(&b->log, &e, id, txid);
		event_document_row(&b->document, &e, id);
	}
	copy_trailer(&b->log);
	copy_trailer(&b->document);
}

static void
prepare(struct worker *w)
{
	const int64_t step = w->conf->n_batch;

	w->batches = calloc((size_t)((w->end - w->first + step - 1) / step), sizeof(*w->batches));
	if (w->batches == NULL)
		err(1, "calloc");
	for (int64_t seq = w->first; seq < w->end; seq += step)
		make_batch(w, &w->batches[w->n_batches++], seq,
		    seq + step < w->end ? seq + step : w->end);
	w->pg = PQconnectdb(w->conf->target);
	if (PQstatus(w->pg) != CONNECTION_OK)
		errx(1, "%s", PQerrorMessage(w->pg));
}

/* Says that it is ready, and waits until all are. */
static void
await_start(int ready_fd, int start_fd)
{
	char c = 0;

	if (write(ready_fd, &c, 1) != 1 || read(start_fd, &c, 1) != 0)
		err(1, "the other workers are gone");
}

static _Noreturn void
work(struct worker *w, struct outcome *outcome, int ready_fd, int start_fd)
{
	int64_t cpu_us;

	prepare(w);
	await_start(ready_fd, start_fd);
	cpu_us = load_cpu_us();
	for (size_t i = 0; i < w->n_batches; i++)
		commit_batch(w, &w->batches[i]);
	outcome->done_at_us = clock_mono_us();
	outcome->cpu_us = load_cpu_us() - cpu_us;
	PQfinish(w->pg);
	_exit(0);
}

static void
fork_workers(const struct load_conf *conf, struct outcome *outcomes, const int ready[2],
    const int start[2])
{
	for (int64_t i = 0; i < conf->n_conns; i++) {
		struct worker w = { .conf = conf, .first = conf->n_events * i / conf->n_conns,
			.end = conf->n_events * (i + 1) / conf->n_conns };
		const pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (pid == 0) {
			(void)close(ready[0]);
			(void)close(start[1]);
			work(&w, &outcomes[i], ready[1], start[0]);
		}
	}
	(void)close(ready[1]);
	(void)close(start[0]);
}

static struct load_cost
sum(const struct load_conf *conf, const struct outcome *outcomes, int64_t start_us)
{
	struct load_cost cost = { 0 };

	for (int64_t i = 0; i < conf->n_conns; i++) {
		const int64_t took_us = outcomes[i].done_at_us - start_us;

		cost.cpu_us += outcomes[i].cpu_us;
		if (took_us > cost.took_us)
			cost.took_us = took_us;
	}
	return cost;
}

void
load_copy(const struct load_conf *conf)
{
	const size_t bytes = sizeof(struct outcome) * (size_t)conf->n_conns;
	struct outcome *outcomes = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct load_cost cost;
	int ready[2], start[2], status;
	int64_t start_us;
	char c;

	if (outcomes == MAP_FAILED || pipe(ready) != 0 || pipe(start) != 0)
		err(1, "start");
	fork_workers(conf, outcomes, ready, start);
	for (int64_t i = 0; i < conf->n_conns; i++)
		if (read(ready[0], &c, 1) != 1)
			errx(1, "a worker failed");
	start_us = clock_mono_us();
	(void)close(start[1]);
	for (int64_t i = 0; i < conf->n_conns; i++)
		if (wait(&status) < 0 || status != 0)
			errx(1, "a worker failed");
	cost = sum(conf, outcomes, start_us);
	load_report("copy", conf, &cost);
	putchar('\n');
}
