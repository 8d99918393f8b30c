/* SPDX-License-Identifier: Apache-2.0 */
/* Limits and breakers of hosts, by a clock that the tests set. */
#include "flow/host_gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"

enum { NPASSES = 20, NOT_CALLED = -1, S_MS = 1000 };

static struct host_gates *gates;
static struct gate_pass passes[NPASSES];
static int called[NPASSES];
static int64_t now_us, wait_ms;

static void
pass_ms(int64_t ms)
{
	now_us += ms * 1000;
	clock_set_us(now_us);
}

static void
on_called(void *arg, enum gate_answer how, int64_t ms)
{
	const struct gate_pass *p = arg;

	called[p - passes] = (int)how;
	wait_ms = ms;
}

static int
begin(void **state)
{
	struct err err;

	(void)state;
	log_set_level(LOG_ERROR);
	now_us = INT64_C(1000) * 1000 * 1000;
	clock_set_us(now_us);
	gates = host_gates_new(&err);
	host_gates_limit(gates, 2);
	for (int i = 0; i < NPASSES; i++) {
		passes[i] = (struct gate_pass){ .called = on_called, .arg = &passes[i] };
		called[i] = NOT_CALLED;
	}
	return gates == NULL;
}

static int
end(void **state)
{
	(void)state;
	host_gates_free(gates);
	clock_set_us(-1);
	return 0;
}

static enum gate_answer
ask(int i)
{
	return host_gates_ask(gates, STR("a.example"), &passes[i], &wait_ms);
}

static void
leave(int i, enum gate_end how)
{
	host_gates_leave(gates, &passes[i], how, 0);
}

static void
so_many_enter_and_the_others_wait_for_their_turn(void **state)
{
	(void)state;
	assert_int_equal(ask(0), GATE_ENTER);
	assert_int_equal(ask(1), GATE_ENTER);
	assert_int_equal(ask(2), GATE_WAIT);
	assert_int_equal(ask(3), GATE_WAIT);
	assert_int_equal(host_gates_ask(gates, STR("b.example"), &passes[9], &wait_ms), GATE_ENTER);
	leave(1, GATE_WELL);
	assert_int_equal(called[2], GATE_ENTER);
	assert_int_equal(called[3], NOT_CALLED);
	leave(3, GATE_NEITHER);		/* who waits may go away */
	leave(0, GATE_WELL);
	leave(2, GATE_WELL);
	assert_int_equal(called[3], NOT_CALLED);
	leave(9, GATE_WELL);
}

static void
who_finds_too_many_waiting_comes_again_later(void **state)
{
	(void)state;
	for (int i = 0; i < 2 + 8; i++)
		assert_int_equal(ask(i), i < 2 ? GATE_ENTER : GATE_WAIT);
	assert_int_equal(ask(10), GATE_LATER);
	assert_in_range(wait_ms, S_MS, 5 * S_MS);
	host_gates_release(gates);
	for (int i = 2; i < 10; i++)
		assert_int_equal(called[i], GATE_LATER);
	leave(0, GATE_WELL);
	leave(1, GATE_WELL);
}

static void
open_breaker(void)
{
	for (int i = 0; i < 5; i++) {
		assert_int_equal(ask(0), GATE_ENTER);
		leave(0, GATE_FAULT);
	}
	assert_int_equal(host_gates_broken(gates), 1);
}

static void
five_faults_in_a_row_open_the_breaker(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(ask(0), GATE_ENTER);
		leave(0, i % 5 == 4 ? GATE_WELL : GATE_FAULT);
	}
	assert_int_equal(host_gates_broken(gates), 0);
	open_breaker();
	assert_int_equal(ask(0), GATE_BROKEN);
	assert_in_range(wait_ms, 9 * S_MS, 11 * S_MS);
}

static void
who_waits_is_told_that_it_opened(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ask(0), GATE_ENTER);
		leave(0, GATE_FAULT);
	}
	assert_int_equal(ask(0), GATE_ENTER);
	assert_int_equal(ask(1), GATE_ENTER);
	assert_int_equal(ask(2), GATE_WAIT);
	leave(0, GATE_FAULT);
	assert_int_equal(called[2], GATE_BROKEN);
	leave(1, GATE_FAULT);		/* begun before: it opens nothing further */
	assert_int_equal(ask(0), GATE_BROKEN);
	assert_in_range(wait_ms, 9 * S_MS, 11 * S_MS);
}

static void
after_its_time_one_request_tries_and_decides(void **state)
{
	(void)state;
	open_breaker();
	pass_ms(11 * S_MS);
	assert_int_equal(ask(0), GATE_ENTER);
	assert_int_equal(ask(1), GATE_BROKEN);	/* only one */
	leave(0, GATE_FAULT);
	assert_int_equal(ask(1), GATE_BROKEN);
	assert_in_range(wait_ms, 19 * S_MS, 21 * S_MS);	/* twice as long */
	pass_ms(21 * S_MS);
	assert_int_equal(ask(0), GATE_ENTER);
	leave(0, GATE_WELL);
	assert_int_equal(host_gates_broken(gates), 0);
	assert_int_equal(ask(0), GATE_ENTER);
	assert_int_equal(ask(1), GATE_ENTER);
	leave(0, GATE_WELL);
	leave(1, GATE_WELL);
}

static void
a_try_that_says_nothing_leaves_it_to_the_next(void **state)
{
	(void)state;
	open_breaker();
	pass_ms(11 * S_MS);
	assert_int_equal(ask(0), GATE_ENTER);
	leave(0, GATE_NEITHER);
	assert_int_equal(ask(1), GATE_ENTER);
	leave(1, GATE_WELL);
	assert_int_equal(host_gates_broken(gates), 0);
}

static void
a_host_that_asks_for_peace_gets_it(void **state)
{
	(void)state;
	assert_int_equal(ask(0), GATE_ENTER);
	assert_int_equal(ask(1), GATE_ENTER);
	assert_int_equal(ask(2), GATE_WAIT);
	host_gates_leave(gates, &passes[0], GATE_WELL, 30 * S_MS);
	assert_int_equal(called[2], GATE_LATER);
	assert_in_range(wait_ms, 29 * S_MS, 31 * S_MS);
	assert_int_equal(ask(3), GATE_LATER);
	leave(1, GATE_WELL);
	assert_int_equal(ask(3), GATE_LATER);
	pass_ms(31 * S_MS);
	assert_int_equal(ask(3), GATE_ENTER);
	leave(3, GATE_WELL);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(so_many_enter_and_the_others_wait_for_their_turn),
		TEST(who_finds_too_many_waiting_comes_again_later),
		TEST(five_faults_in_a_row_open_the_breaker),
		TEST(who_waits_is_told_that_it_opened),
		TEST(after_its_time_one_request_tries_and_decides),
		TEST(a_try_that_says_nothing_leaves_it_to_the_next),
		TEST(a_host_that_asks_for_peace_gets_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
