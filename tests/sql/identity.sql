-- SPDX-License-Identifier: Apache-2.0
-- Each test is a sentence that is true when it passes.  Values differ from test to
-- test, so that none disturbs another.
\set QUIET on
\pset format unaligned
\pset tuples_only on

\echo '# one event, one party'
SELECT t.is('a first event is fresh', t.one('f1', 'email f@x'), 'f1=fresh');
SELECT t.is('its retry under the same id is logged, not duplicate', t.one('f1', 'email f@x'), 'f1=logged');
SELECT t.is('its retry under another id is a duplicate', t.log('[{"name":"f1","again":1,"parties":[[["email","f@x"]]]}]'), 'f1=duplicate');
SELECT t.is('and it stands in the log once', t.line('f@x'), 'f1');
SELECT t.is('the same key twice in one batch is logged once', t.log('[{"name":"f2","parties":[[["email","f@x"]]]},{"name":"f2x","key":"f2","parties":[[["email","ghost@x"]]]}]'), 'f2=fresh f2x=duplicate');
SELECT t.is('the duplicate made nobody', t.own('ghost@x'), NULL);
SELECT t.is('an event without identities is of nobody', t.log('[{"name":"n1","parties":[]}]'), 'n1=fresh');
SELECT t.is('which is customer 0', (SELECT customer_id FROM touchlog.interaction WHERE external_id = 'n1'), 0::bigint);

\echo '# provisional customers'
SELECT t.one('c1', 'phone +311');
SELECT t.one('c2', 'email c@x', 'phone +311');
SELECT t.is('a caller whose number stands in a later order is one time line', t.line('c@x'), 'c1 c2');
SELECT t.is('also seen from the number', t.line('+311'), 'c1 c2');
SELECT t.is('the order belongs to the address', (SELECT customer_id FROM touchlog.interaction WHERE external_id = 'c2'), t.own('c@x'));
SELECT t.is('the root is the strong one although it is younger', (SELECT root_id FROM touchlog.customer WHERE id = t.own('+311')), t.own('c@x'));
SELECT t.one('c3', 'email c3@x', 'phone +311');
SELECT t.is('another address with the same number stays another person', t.line('c3@x'), 'c3');
SELECT t.one('p1', 'phone +312'), t.one('p2', 'anonymous anon2');
SELECT t.one('p3', 'phone +312', 'anonymous anon2');
SELECT t.is('two provisional customers are not joined', t.line('+312') || '|' || t.line('anon2'), 'p1 p3|p2');
SELECT t.one('p4', 'email p@x', 'phone +312', 'anonymous anon2');
SELECT t.is('a new address absorbs both', t.line('p@x'), 'p1 p2 p3 p4');
SELECT t.one('h1', 'email h1@x', 'phone +313');
SELECT t.one('h2', 'email h2@x', 'phone +313');
SELECT t.is('two people with one telephone are two people', t.line('h1@x') || '|' || t.line('h2@x'), 'h1|h2');

SELECT t.one('r1', 'email r1@x'), t.one('r2', 'email r2@x'), t.one('r3', 'phone +31r');
SELECT t.log('[{"name":"r4","parties":[[["email","r1@x"],["phone","+31r"]]]},{"name":"r5","parties":[[["email","r2@x"],["phone","+31r"]]]}]');
SELECT t.is('two who claim a caller in one batch do not become one', t.line('r1@x') || '|' || t.line('r2@x'), 'r1 r3 r4|r2 r5');

\echo '# strong identities'
SELECT t.one('s1', 'email s1@x'), t.one('s2', 'external:shop 77');
SELECT t.one('s3', 'external:shop 77', 'email s1@x');
SELECT t.is('two strong identities in one party join', t.line('s1@x'), 's1 s2 s3');
SELECT t.is('the interaction is the own customer''s, never the root''s', (SELECT customer_id FROM touchlog.interaction WHERE external_id = 's3'), t.own('77'));
SELECT t.one('s4', 'external:shop 78'), t.one('s5', 'external:shop 78', 'email s5@x');
SELECT t.is('an unknown address goes to the customer found by a strong one', t.own('s5@x'), t.own('78'));
SELECT t.log('[{"name":"b1","parties":[[["external:shop","b"],["email","b@x"]]]},{"name":"b2","parties":[[["external:crm","b"],["email","b@x"]]]},{"name":"b3","parties":[[["phone","+31b"],["external:crm","b"]]]}]');
SELECT t.is('new people who recur within a batch are one customer', (SELECT count(DISTINCT t.own(v)) FROM unnest('{b,b@x,+31b}'::text[]) v), 1::bigint);

\echo '# weak sources'
SELECT t.one('w1', 'email w1@x'), t.one('w2', 'email w2@x');
SELECT t.weak('w3', 'email w1@x', 'email w2@x');
SELECT t.is('a weak source does not join strong customers', t.line('w1@x') || '|' || t.line('w2@x'), 'w1 w3|w2');
SELECT t.one('w4', 'phone +31w'), t.weak('w5', 'email w2@x', 'phone +31w');
SELECT t.is('but has a provisional one absorbed', t.line('w2@x'), 'w2 w4 w5');
SELECT t.weak('w6', 'email w6@x', 'phone +31w6');
SELECT t.is('an address and a number from a weak source are one customer', t.own('+31w6'), t.own('w6@x'));
SELECT t.is('what only a weak source knows is provisional', (SELECT bool_or(strong) FROM touchlog.identity WHERE customer_id = t.own('w6@x')), false);
SELECT t.one('w7', 'email w7@x');
SELECT t.one('w8', 'email w7@x', 'email w6@x');
SELECT t.is('a strong source makes it strong and joins it', t.line('w6@x'), 'w6 w7 w8');
SELECT t.is('strong is never unset', (SELECT t.weak('w9', 'email w6@x') || (SELECT strong FROM touchlog.identity WHERE value = 'w6@x')), 'w9=freshtrue');

SELECT t.one('v1', 'email victim@x'), t.weak('v2', 'email victim@x', 'email attacker@x');
SELECT t.is('a form with two addresses does not give the unknown one to the known', t.own('attacker@x') <> t.own('victim@x'), true);
SELECT t.is('nor has it absorbed', t.line('victim@x') || '|' || t.line('attacker@x'), 'v1 v2|');
SELECT t.weak('v3', 'email victim@x', 'email attacker@x');
SELECT t.is('nor when it is posted twice', t.line('victim@x') || '|' || t.line('attacker@x'), 'v1 v2 v3|');
SELECT t.weak('v4', 'email attacker2@x', 'email victim@x');
SELECT t.is('the interaction is of the first address, in whatever order', t.line('victim@x') || '|' || t.line('attacker2@x'), 'v1 v2 v3|v4');
SELECT t.log('[{"name":"v5","parties":[[["email","v5@x"]]]},{"name":"v6","weak":1,"parties":[[["email","v5@x"],["email","v6@x"]]]}]');
SELECT t.is('nor when the batch itself makes the known one strong', t.line('v5@x') || '|' || t.line('v6@x'), 'v5 v6|');
SELECT t.one('v7', 'email v7@x', 'phone +31v7'), t.weak('v8', 'email v8@x', 'phone +31v7');
SELECT t.is('an unknown address beside a strong customer''s number is a new customer''s', t.line('v7@x') || '|' || t.line('v8@x'), 'v7|v8');
SELECT t.one('v9', 'phone +31v9'), t.weak('va', 'email va@x', 'phone +31v9');
SELECT t.is('beside a provisional one''s it is that one''s', t.own('va@x'), t.own('+31v9'));
SELECT t.is('who stays provisional', (SELECT bool_or(strong) FROM touchlog.identity WHERE customer_id = t.own('va@x')), false);
SELECT t.one('vb', 'email vb@x', 'phone +31vb'), t.one('vc', 'anonymous vc'), t.weak('vd', 'email vd@x', 'phone +31vb', 'anonymous vc');
SELECT t.is('a provisional one further down takes it too', t.own('vd@x'), t.own('vc'));
SELECT t.weak('ve', 'email vb@x', 'phone +31ve');
SELECT t.is('an unknown number goes to the first customer found, strong or not', t.own('+31ve'), t.own('vb@x'));
SELECT t.weak('vf', 'email info@x', 'email vb@x');
SELECT t.is('so does a role address, which is weak', t.own('info@x'), t.own('vb@x'));
SELECT t.one('vg', 'email vg@x', 'email info@vg');
SELECT t.is('which no strong source makes strong', (SELECT strong FROM touchlog.identity WHERE value = 'info@vg'), false);
SELECT t.one('vh', 'email vh@x', 'email info@vg');
SELECT t.is('nor joins by', t.line('vg@x') || '|' || t.line('vh@x'), 'vg|vh');
SELECT t.one('vi', 'phone +31vi'), t.weak('vj', 'phone +31vb', 'phone +31vi');
SELECT t.is('a weak source absorbs by no identity that is not strong', t.line('+31vi'), 'vi');
SELECT t.one('vk', 'phone +31vb', 'phone +31vi');
SELECT t.is('a strong source does', t.line('vb@x') = t.line('+31vi'), true);

\echo '# two spellings of a number'
SELECT t.one('q1', 'phone +525512345678 +5215512345678'), t.one('q2', 'phone +5215512345678 +525512345678');
SELECT t.is('a number known by its other spelling is that number', t.line('+525512345678'), 'q1 q2');
SELECT t.is('and what is stored is not rewritten', t.own('+5215512345678'), NULL);
SELECT t.one('q3', 'email q3@x', 'phone +5215512345678 +525512345678');
SELECT t.is('so an order absorbs the caller', t.line('q3@x'), 'q1 q2 q3');
SELECT t.log('[{"name":"q4","parties":[[["phone","+551187654321","+5511987654321"]]]},{"name":"q5","parties":[[["phone","+5511987654321","+551187654321"]]]}]');
SELECT t.is('two spellings new in one batch are one', t.line('+551187654321'), 'q4 q5');
INSERT INTO touchlog.customer (id, root_id) SELECT n, n FROM nextval('touchlog.customer_id') n;
INSERT INTO touchlog.identity VALUES ('+541112345678', 'phone', currval('touchlog.customer_id'), false);
INSERT INTO touchlog.customer (id, root_id) SELECT n, n FROM nextval('touchlog.customer_id') n;
INSERT INTO touchlog.identity VALUES ('+5491112345678', 'phone', currval('touchlog.customer_id'), false);
SELECT t.one('q6', 'phone +541112345678 +5491112345678'), t.one('q7', 'phone +5491112345678 +541112345678');
SELECT t.is('a number known by both is the one it says', t.line('+541112345678') || '|' || t.line('+5491112345678'), 'q6|q7');

\echo '# merge and split'
SELECT t.one('ma1', 'email ma@x'), t.one('mb1', 'email mb@x');
SELECT t.one('ma2', 'email ma@x'), t.one('mb2', 'email mb@x'), t.one('mm', 'email ma@x', 'email mb@x');
SELECT t.one('ma3', 'email ma@x'), t.one('ma4', 'email ma@x'), t.one('ma5', 'email ma@x'), t.one('mb3', 'email mb@x'), t.one('mb4', 'email mb@x'), t.one('mb5', 'email mb@x');
SELECT t.is('merged they are one time line', t.line('mb@x'), 'ma1 ma2 ma3 ma4 ma5 mb1 mb2 mb3 mb4 mb5 mm');
SELECT touchlog.split(t.own('ma@x'), t.own('mb@x'));
SELECT t.is('split both are exact again, also after the merge', t.line('ma@x') || '|' || t.line('mb@x'), 'ma1 ma2 ma3 ma4 ma5 mm|mb1 mb2 mb3 mb4 mb5');
SELECT t.one('ma6', 'email ma@x', 'email mb@x');
SELECT t.is('an undone pair is never joined again', t.line('mb@x'), 'mb1 mb2 mb3 mb4 mb5');
SELECT t.one('md1', 'external:shop md'), t.one('md2', 'external:shop md', 'email ma@x'), t.one('md3', 'external:shop md', 'email mb@x');
SELECT t.is('nor by a detour', t.line('mb@x'), 'mb1 mb2 mb3 mb4 mb5');
SELECT touchlog.join_by_hand(t.own('ma@x'), t.own('mb@x'));
SELECT t.is('but by hand', t.line('mb@x'), 'ma1 ma2 ma3 ma4 ma5 ma6 mb1 mb2 mb3 mb4 mb5 md1 md2 md3 mm');
SELECT t.one('sp1', 'phone +31sp'), t.one('sp2', 'email sp@x', 'phone +31sp');
SELECT touchlog.split(t.own('sp@x'), t.own('+31sp'));
SELECT t.one('sp3', 'email sp@x', 'phone +31sp');
SELECT t.is('a caller split off is not absorbed by the same customer again', t.line('+31sp'), 'sp1');

SELECT t.is('who split and joined is on record, for either', (SELECT string_agg(who || ' ' || what::text, ', ' ORDER BY id) FROM touchlog.customer_change WHERE customer_id = t.own('mb@x')), format('%s {"split": %s}, %1$s {"joined": %2$s}', session_user, t.own('ma@x')));
SELECT touchlog.split(t.own('ma@x'), t.own('mb@x'), 'two sisters');
SELECT t.is('and why, when it was said', (SELECT why FROM touchlog.customer_change WHERE customer_id = t.own('ma@x') ORDER BY id DESC LIMIT 1), 'two sisters');
SELECT t.is('what is not joined cannot be split', t.refusal(format('SELECT touchlog.split(%s, %s)', t.own('ma@x'), t.own('mb@x'))), 'P0002');
SELECT t.is('nor can nobody be joined', t.refusal(format('SELECT touchlog.join_by_hand(%s, 0)', t.own('ma@x'))), 'P0002');
SELECT t.is('nor one with itself', t.refusal(format('SELECT touchlog.join_by_hand(%s, %1$s)', t.own('ma@x'))), 'P0001');
SELECT t.is('nor who are one already, by way of another', t.refusal(format('SELECT touchlog.join_by_hand(%s, %s)', t.own('md'), t.own('ma@x'))), 'P0001');
SELECT t.is('a refused attempt leaves no record', (SELECT count(*) FROM touchlog.customer_change WHERE customer_id = t.own('md')), 0::bigint);
SELECT t.one('me1', 'phone +31me'), t.one('me2', 'email me@x');
SELECT t.one('me3', 'email me@x', 'phone +31me'), t.one('me4', 'phone +31me'), t.one('me5', 'email me@x');
SELECT touchlog.split(t.own('me@x'), t.own('+31me'));
SELECT t.is('split, each has its own events, also those of after the join', t.line('me@x') || '|' || t.line('+31me'), 'me2 me3 me5|me1 me4');

\echo '# merge_limit'
SELECT t.one('l' || n, 'email l' || n || '@x') FROM generate_series(1, 6) n;
SELECT t.one('lj' || n, 'email l1@x', 'email l' || n || '@x') FROM generate_series(2, 5) n;
SELECT t.is('up to it nothing is refused', (SELECT refused FROM t.last), 0);
SELECT t.one('lj6', 'email l1@x', 'email l6@x');
SELECT t.is('above it a join is refused and counted', (SELECT refused FROM t.last), 1);
SELECT t.one('lk6', 'email l1@x', 'email l6@x');
SELECT t.is('once', (SELECT refused FROM t.last), 0);
SELECT t.is('five join', t.line('l1@x'), 'l1 l2 l3 l4 l5 lj2 lj3 lj4 lj5 lj6 lk6');
SELECT t.is('the sixth does not', t.line('l6@x'), 'l6');
SELECT t.is('and is recorded as refused', (SELECT state::text FROM touchlog.merge WHERE b_id = t.own('l6@x')), 'refused');
SELECT touchlog.split(t.own('l1@x'), t.own('l2@x'));
SELECT t.one('lj7', 'email l1@x', 'email l6@x');
SELECT t.is('a split makes room', t.line('l6@x'), 'l1 l3 l4 l5 l6 lj2 lj3 lj4 lj5 lj6 lj7 lk6');

\echo '# several parties'
SELECT t.log('[{"name":"o1","parties":[[["email","o1@x"]],[["email","o2@x"]],[["email","o3@x"]]]}]');
SELECT t.is('three outsiders in one event are not merged', (SELECT count(DISTINCT root_id) FROM touchlog.customer WHERE id IN (t.own('o1@x'), t.own('o2@x'), t.own('o3@x'))), 3::bigint);
SELECT t.is('the event stands on each time line', t.line('o1@x') || t.line('o2@x') || t.line('o3@x'), 'o1o1o1');
SELECT touchlog.join_by_hand(t.own('o1@x'), t.own('o2@x'));
SELECT t.is('and once when two of them are one', t.line('o1@x'), 'o1');

SELECT t.log('[{"name":"o2","parties":[[["email","oa@x"]],[["email","ob@x"]],[["email","ob@x"]]]}]');
SELECT t.is('one named twice takes part once', (SELECT count(*) FROM touchlog.participant WHERE customer_id = t.own('ob@x')), 1::bigint);
SELECT t.log('[{"name":"o3","parties":[[["email","oa@x"],["email","oc@x"]],[]]}]');
SELECT t.is('a party without identities hides no join in another', t.line('oc@x') = t.line('oa@x'), true);
SELECT t.log('[{"name":"o4","parties":[[["email","oa@x"],["email","ob@x"]],[]]}]');
SELECT t.is('also of two who are known', t.line('ob@x') = t.line('oa@x'), true);
SELECT t.log('[{"name":"o5","parties":[[],[["email","od@x"]]]}]');
SELECT t.is('the event of an unknown is on the time line of who took part', (SELECT own_customer_id || ' ' || role FROM touchlog.timeline WHERE customer_id = t.own('od@x')), '0 cc');

\echo '# erasure'
SELECT t.one('e1', 'email e@x');
DELETE FROM touchlog.identity WHERE value = 'e@x';
DELETE FROM touchlog.customer WHERE id = (SELECT customer_id FROM touchlog.interaction WHERE external_id = 'e1');
SELECT t.log('[{"name":"e1","again":1,"parties":[[["email","e@x"]]]},{"name":"e2","parties":[[["email","f@x"]]]}]');
SELECT t.is('a duplicate brings nobody back', t.own('e@x'), NULL);
DELETE FROM touchlog.interaction WHERE external_id = 'e1';
DELETE FROM touchlog.seen WHERE id NOT IN (SELECT id FROM touchlog.interaction);
DELETE FROM touchlog.identity WHERE value LIKE '+54%1112345678';
DELETE FROM touchlog.customer c WHERE NOT EXISTS (SELECT FROM touchlog.identity i WHERE i.customer_id = c.id);
DELETE FROM touchlog.interaction WHERE external_id IN ('q6', 'q7');
DELETE FROM touchlog.seen WHERE id NOT IN (SELECT id FROM touchlog.interaction);
SELECT t.is('roots, customers, identities and log agree', t.broken(), '');
