-- SPDX-License-Identifier: Apache-2.0
-- message_state and call: many rows of one thing, in whatever order they came.
\set QUIET on
\pset format unaligned
\pset tuples_only on

SELECT touchlog.make_partitions();
CREATE FUNCTION t.row(who bigint, thread text, kind text, outcome text, minute int, channel touchlog.channel DEFAULT 'email', duration interval DEFAULT NULL, source text DEFAULT 'esp') RETURNS void LANGUAGE sql AS $$
	INSERT INTO touchlog.interaction (id, received_at, occurred_at, customer_id, source, channel,
	    direction, kind, outcome, thread, duration, txid)
	SELECT x.id, touchlog.at(x.id), now() + minute * interval '1 minute', who, source, channel, 'out',
	    kind, outcome, thread, duration, 1
	FROM (SELECT t.id(random()::text) AS id) x
$$;
CREATE FUNCTION t.state(who bigint, of text) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(state, ' ' ORDER BY state) FROM touchlog.message_state WHERE customer_id = who AND thread = of $$;

\echo '# messages'
SELECT t.row(1, 'm1', 'delivered', NULL, 2), t.row(1, 'm1', 'sent', NULL, 1);
SELECT t.is('sent that arrives after delivered does not lower the state', t.state(1, 'm1'), 'delivered');
SELECT t.row(1, 'm1', 'click', NULL, 4), t.row(1, 'm1', 'open', NULL, 3), t.row(1, 'm1', 'open', NULL, 5);
SELECT t.is('a click is more than an open', t.state(1, 'm1'), 'click');
SELECT t.is('and each is counted', (SELECT opens || ' ' || clicks FROM touchlog.message_state WHERE customer_id = 1), '2 1');
SELECT t.row(2, 'm2', 'failed', NULL, 1), t.row(2, 'm2', 'delivered', NULL, 2);
SELECT t.is('what failed at first may be delivered', t.state(2, 'm2'), 'delivered');
SELECT t.row(2, 'm2', 'bounce', NULL, 9);
SELECT t.is('what was delivered may still come back', t.state(2, 'm2'), 'bounce');
SELECT t.row(3, 'm1', 'sent', NULL, 1);
SELECT t.is('the same message to another customer has a state of its own', t.state(3, 'm1') || ' ' || t.state(1, 'm1'), 'sent click');
SELECT t.row(3, 'm1', 'delivered', NULL, 1, source => 'other');
SELECT t.is('so has another tool''s message of that name', t.state(3, 'm1'), 'delivered sent');
SELECT t.row(4, 'm4', 'message', NULL, 1);
SELECT t.is('words to us have no such state', t.state(4, 'm4'), NULL);

\echo '# calls'
SELECT t.row(5, 'c1', 'call', 'answered', 9, 'call', '35 s'), t.row(5, 'c1', 'call_status', 'ringing', 1, 'call'), t.row(5, 'c1', 'call_status', 'answered', 2, 'call'), t.row(5, 'c1', 'call_leg', 'no_answer', 1, 'call');
SELECT t.is('a call is one row whatever its steps', (SELECT count(*) FROM touchlog.call WHERE customer_id = 5), 1::bigint);
SELECT t.is('its end says how it went', (SELECT outcome || ' ' || duration || ' ' || has_ended || ' ' || legs FROM touchlog.call WHERE customer_id = 5), 'answered 00:00:35 true 1');
SELECT t.row(6, 'c2', 'call_status', 'answered', 1, 'call'), t.row(6, 'c2', 'call_status', 'ringing', 2, 'call');
SELECT t.is('until then the furthest step counts', (SELECT outcome || ' ' || has_ended FROM touchlog.call WHERE customer_id = 6), 'answered false');
SELECT t.row(7, NULL, 'call', 'busy', 1, 'call'), t.row(7, NULL, 'call', 'busy', 2, 'call');
SELECT t.is('calls without a thread are calls by themselves', (SELECT count(*) FROM touchlog.call WHERE customer_id = 7), 2::bigint);
