-- SPDX-License-Identifier: Apache-2.0
-- append() as the daemon calls it: what is stored where, and of whom.
\set QUIET on
\pset format unaligned
\pset tuples_only on

SELECT t.log('[{"name":"a1","parties":[[["email","a@x"]],[["email","b@x"]]]},
    {"name":"a2","parties":[]},{"name":"a3","key":"a1","parties":[[["email","ghost@x"]]]}]');
SELECT t.is('an event stands in the log under its customer', (SELECT customer_id FROM touchlog.interaction WHERE external_id = 'a1'), t.own('a@x'));
SELECT t.is('its original stands beside it, of the same customer', (SELECT d.payload::text || (d.customer_id = i.customer_id AND d.received_at = i.received_at) FROM touchlog.document d JOIN touchlog.interaction i USING (id) WHERE i.external_id = 'a1'), '{"a": 1}true');
SELECT t.is('and its participant, with the event''s customer', (SELECT p.role || (p.customer_id = t.own('b@x')) || (p.interaction_customer_id = t.own('a@x')) FROM touchlog.participant p JOIN touchlog.interaction i ON i.id = p.interaction_id WHERE i.external_id = 'a1'), 'cctruetrue');
SELECT t.is('an event of nobody is of customer 0, its original too', (SELECT i.customer_id || ' ' || d.customer_id FROM touchlog.interaction i JOIN touchlog.document d USING (id) WHERE i.external_id = 'a2'), '0 0');
SELECT t.is('a duplicate leaves no row, original or participant', (SELECT count(*) || ' ' || (SELECT count(*) FROM touchlog.document) || ' ' || (SELECT count(*) FROM touchlog.participant) FROM touchlog.interaction), '2 2 1');
SELECT t.is('nor a customer', t.own('ghost@x'), NULL);
SELECT t.is('all rows of a batch have its transaction', (SELECT count(DISTINCT txid) FROM touchlog.interaction), 1::bigint);
SELECT t.is('the batch again changes nothing', t.log('[{"name":"a1","parties":[[["email","a@x"]],[["email","b@x"]]]},{"name":"a2","parties":[]}]'), 'a1=logged a2=logged');
SELECT t.is('and leaves the log as it was', (SELECT count(*) || ' ' || (SELECT count(*) FROM touchlog.document) FROM touchlog.interaction), '2 2');

\echo '# every column'
SELECT touchlog.append(ARRAY[md5('full')::uuid], ARRAY[t.id('full')], '{2030-01-01}', '{1}', '{t}', '{1}', '{email}', '{full@x}', '{NULL}', '{Full@X}', '{t}', 5,
    ARRAY[touchlog.at(t.id('full'))],
    ARRAY[ROW(t.id('full'), touchlog.at(t.id('full')), '2026-01-02 03:04:05+00', 'shop', 'brand', 'web', 'out', 'purchase', 'ext', 'thread', 'agent', 'subject', 'body', 'answered', '1 min', '2 s', 12.3456, 'EUR', 9, 'spring', '{"coupon": "X"}')::touchlog.interaction_row],
    '{1}', ARRAY[NULL::jsonb], '{}', '{}', '{}', '{1}', '{1}', ARRAY['{"name": "Full Name"}'::jsonb], '{f}');
SELECT t.is('every column has its own place', (SELECT concat_ws('|', occurred_at AT TIME ZONE 'UTC', source, brand, channel, direction, kind, external_id, thread, agent, subject, body, outcome, duration, wait, amount, currency, score, campaign, attributes) FROM touchlog.interaction WHERE external_id = 'ext'), '2026-01-02 03:04:05|shop|brand|web|out|purchase|ext|thread|agent|subject|body|answered|00:01:00|00:00:02|12.3456|EUR|9|spring|{"coupon": "X"}');
SELECT t.is('no original is kept where none is given', (SELECT count(*) FROM touchlog.document d JOIN touchlog.interaction i USING (id) WHERE i.external_id = 'ext'), 0::bigint);
SELECT t.is('the profile fills the customer', (SELECT name FROM touchlog.customer WHERE id = t.own('full@x')), 'Full Name');
SELECT t.is('how it was received is kept beside the identity', (SELECT received_as FROM touchlog.identity WHERE value = 'full@x'), 'Full@X');

\echo '# nothing is fresh'
BEGIN;
SELECT stands FROM touchlog.append(ARRAY[md5('full')::uuid], ARRAY[t.id('other')], '{NULL}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', 5,
    ARRAY[touchlog.at(t.id('other'))], '{NULL}', '{NULL}', '{NULL}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') \gset
SELECT t.is('an event that stands in the log is told so', (:'stands'::uuid[])[1], (SELECT id FROM touchlog.interaction WHERE external_id = 'ext'));
SELECT t.is('and the transaction writes all the same, so that its COMMIT waits for standbys', pg_current_xact_id_if_assigned() IS NOT NULL, true);
COMMIT;
SELECT t.is('the log stays sound', t.broken(), '');
