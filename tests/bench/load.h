/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_BENCH_LOAD_H
#define TL_BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>

/* What the command line asked for. */
struct load_conf {
	const char	*target;	/* URL; for copy a conninfo */
	const char	*run;		/* first part of each external_id */
	const char	*secret;	/* of the HMAC (its header is X-Signature), or the key of ECDSA */
	const char	*schema;	/* copy: where the tables are */
	int64_t		 n_events;
	int64_t		 n_people;
	int64_t		 n_conns;
	int64_t		 n_batch;	/* events in a request or a transaction */
	int64_t		 rate;		/* requests/s of all connections together; 0: closed loop */
};

/* How long it took, by the clock and in this program. */
struct load_cost {
	int64_t	took_us;
	int64_t	cpu_us;
};

int64_t	load_cpu_us(void);
/* Prints the members that every mode has, without a newline. */
void	load_report(const char *mode, const struct load_conf *conf, const struct load_cost *cost);

/* The modes.  Each prepares what it sends, starts the clock, and prints one line of
 * key=value when all has been answered; it ends the program when that fails. */
void	load_copy(const struct load_conf *conf);
void	load_post(const struct load_conf *conf);
void	load_ndjson(const struct load_conf *conf);
void	load_sendgrid(const struct load_conf *conf);

#endif
