-- SPDX-License-Identifier: Apache-2.0
-- What events say of consent, and what may be sent because of it.
\set QUIET on
\pset format unaligned
\pset tuples_only on

-- One event of this kind, by who has these addresses (the first is the customer's), so many
-- minutes from now.
CREATE FUNCTION t.tell(name text, kind text, emails text[], attributes jsonb DEFAULT '{}', minute float8 DEFAULT 0, channel text DEFAULT 'email', cc text DEFAULT NULL, source text DEFAULT 'esp') RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	id uuid := t.id(name || clock_timestamp());
	n int := cardinality(emails);
	people text[] := emails || CASE WHEN cc IS NULL THEN '{}' ELSE ARRAY[cc] END;
	k int := cardinality(people);
BEGIN
	PERFORM touchlog.append(ARRAY[md5(name)::uuid], ARRAY[id], '{NULL}',
	    CASE WHEN k = 0 THEN '{}' WHEN k > n THEN '{1,1}'::int[] ELSE '{1}' END,
	    CASE WHEN k = 0 THEN '{}' WHEN k > n THEN '{t,t}'::bool[] ELSE '{t}' END,
	    array_fill(1, ARRAY[n]) || CASE WHEN k > n THEN '{2}'::int[] ELSE '{}' END,
	    array_fill('email'::text, ARRAY[k]), people,
	    array_fill(NULL::text, ARRAY[k]), array_fill(NULL::text, ARRAY[k]), array_fill(true, ARRAY[k]),
	    5, ARRAY[touchlog.at(id)],
	    ARRAY[ROW(id, touchlog.at(id), now() + minute * interval '1 minute', source, NULL, channel, 'in', kind,
		name, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, attributes)::touchlog.interaction_row],
	    ARRAY[CASE WHEN n > 0 THEN 1 END], ARRAY[NULL::jsonb],
	    CASE WHEN k > n THEN '{1}'::int[] ELSE '{}' END, CASE WHEN k > n THEN ARRAY[k] ELSE '{}' END,
	    CASE WHEN k > n THEN '{cc}'::text[] ELSE '{}' END, '{}', '{}', '{}', '{}');
	RETURN id;
END $$;
CREATE FUNCTION t.consent(val text, purpose text DEFAULT 'marketing', channel touchlog.channel DEFAULT 'email') RETURNS text LANGUAGE sql AS
$$ SELECT state || ' ' || coalesce(basis, '-') FROM touchlog.consent c WHERE customer_id = t.own(val) AND c.purpose = consent.purpose AND c.channel = consent.channel $$;
CREATE FUNCTION t.suppressed(val text) RETURNS text LANGUAGE sql AS
$$ SELECT reason FROM touchlog.suppression WHERE value = val AND kind = 'email' AND lifted_at IS NULL $$;
-- As the dispatcher asks: who has this address, and what is different from an opt-in mail
-- for marketing that follows from a purchase.
CREATE FUNCTION t.may(val text, act jsonb DEFAULT '{}', interaction jsonb DEFAULT '{}', OUT verdict text, OUT address text, OUT token text, OUT reason text) LANGUAGE sql AS $$
	SELECT * FROM touchlog.may_send('{"type": "email", "purpose": "marketing", "consent_model": "opt_in", "template": "x"}' || act,
	    t.own(val), jsonb_build_object('rule', 'r', 'customer', NULL, 'interaction',
	    jsonb_build_object('id', gen_random_uuid(), 'kind', 'purchase', 'channel', 'web', 'direction', 'in', 'attributes', '{"manager": "Boss <Boss@X.example>"}'::jsonb) || interaction))
$$;
CREATE FUNCTION t.verdict(val text, act jsonb DEFAULT '{}', interaction jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS
$$ SELECT verdict FROM t.may(val, act, interaction) $$;

SELECT t.tell('hello ' || n, 'message', ARRAY[n || '@c.example']) FROM unnest('{ann,bob,cid,dan,eve,fay,gus,hal,ida,jim,kim,lea}'::text[]) n;

\echo '# every state and purpose'
SELECT t.tell('bob yes', 'subscribe', '{bob@c.example}'), t.tell('cid no', 'unsubscribe', '{cid@c.example}');
SELECT t.tell('dan yes', 'consent', '{dan@c.example}', '{"purpose": "marketing", "state": "given", "basis": "contract", "text_version": "7"}');
SELECT t.tell('eve no', 'consent', '{eve@c.example}', '{"purpose": "marketing", "state": "withdrawn"}');
SELECT t.tell('fay spam', 'spam_report', '{fay@c.example}');
SELECT t.tell('gus hard', 'subscribe', '{gus@c.example}'), t.tell('gus hard 2', 'bounce', '{gus@c.example}', '{"type": "hard_bounce"}');
SELECT t.tell('hal soft', 'subscribe', '{hal@c.example}'), t.tell('hal soft 2', 'bounce', '{hal@c.example}', '{"type": "soft_bounce"}');
SELECT t.is(format('%s, %s mail under %s: %s', v.state, v.purpose, v.model, v.want),
    t.verdict(v.who || '@c.example', jsonb_build_object('purpose', v.purpose, 'consent_model', v.model)), v.want)
FROM (VALUES
    ('ann', 'nothing said', 'service', 'opt_in', 'ok'), ('ann', 'nothing said', 'service', 'opt_out', 'ok'),
    ('ann', 'nothing said', 'marketing', 'opt_in', 'no_consent'), ('ann', 'nothing said', 'marketing', 'opt_out', 'ok'),
    ('bob', 'subscribed', 'service', 'opt_in', 'ok'), ('bob', 'subscribed', 'service', 'opt_out', 'ok'),
    ('bob', 'subscribed', 'marketing', 'opt_in', 'ok'), ('bob', 'subscribed', 'marketing', 'opt_out', 'ok'),
    ('cid', 'unsubscribed', 'service', 'opt_in', 'ok'), ('cid', 'unsubscribed', 'service', 'opt_out', 'ok'),
    ('cid', 'unsubscribed', 'marketing', 'opt_in', 'no_consent'), ('cid', 'unsubscribed', 'marketing', 'opt_out', 'no_consent'),
    ('dan', 'consent given', 'service', 'opt_in', 'ok'), ('dan', 'consent given', 'service', 'opt_out', 'ok'),
    ('dan', 'consent given', 'marketing', 'opt_in', 'ok'), ('dan', 'consent given', 'marketing', 'opt_out', 'ok'),
    ('eve', 'consent withdrawn', 'service', 'opt_in', 'ok'), ('eve', 'consent withdrawn', 'service', 'opt_out', 'ok'),
    ('eve', 'consent withdrawn', 'marketing', 'opt_in', 'no_consent'), ('eve', 'consent withdrawn', 'marketing', 'opt_out', 'no_consent'),
    ('fay', 'reported as spam', 'service', 'opt_in', 'suppressed'), ('fay', 'reported as spam', 'service', 'opt_out', 'suppressed'),
    ('fay', 'reported as spam', 'marketing', 'opt_in', 'suppressed'), ('fay', 'reported as spam', 'marketing', 'opt_out', 'suppressed'),
    ('gus', 'subscribed, then a hard bounce', 'service', 'opt_in', 'suppressed'), ('gus', 'subscribed, then a hard bounce', 'service', 'opt_out', 'suppressed'),
    ('gus', 'subscribed, then a hard bounce', 'marketing', 'opt_in', 'suppressed'), ('gus', 'subscribed, then a hard bounce', 'marketing', 'opt_out', 'suppressed'),
    ('hal', 'subscribed, then a soft bounce', 'service', 'opt_in', 'ok'), ('hal', 'subscribed, then a soft bounce', 'service', 'opt_out', 'ok'),
    ('hal', 'subscribed, then a soft bounce', 'marketing', 'opt_in', 'ok'), ('hal', 'subscribed, then a soft bounce', 'marketing', 'opt_out', 'ok'))
    v(who, state, purpose, model, want);
SELECT t.is('without a consent model it is opt-in', (touchlog.may_send('{"type": "email", "purpose": "marketing"}', t.own('ann@c.example'), '{}')).verdict, 'no_consent');
SELECT t.is('without a purpose a mail is service', (touchlog.may_send('{"type": "email"}', t.own('ann@c.example'), '{}')).verdict, 'ok');
SELECT t.is('and anything else is not judged', (touchlog.may_send('{"type": "webhook"}', NULL, '{}')).verdict, 'ok');
SELECT t.is('a webhook for marketing needs consent', (touchlog.may_send('{"type": "webhook", "purpose": "marketing"}', t.own('cid@c.example'), '{}')).verdict || (touchlog.may_send('{"type": "webhook", "purpose": "marketing"}', t.own('bob@c.example'), '{}')).verdict, 'no_consentok');
SELECT t.is('on the channel that it names', (touchlog.may_send('{"type": "webhook", "purpose": "marketing", "channel": "sms"}', t.own('bob@c.example'), '{}')).verdict, 'no_consent');
SELECT t.is('one for service does not, and needs no address', (touchlog.may_send('{"type": "webhook", "purpose": "service"}', t.own('fay@c.example'), '{}')).verdict, 'ok');
SELECT t.is('it says why', (SELECT string_agg(reason, ', ' ORDER BY n) FROM unnest('{ann,cid,fay}'::text[]) WITH ORDINALITY u(who, n), t.may(who || '@c.example')), 'consent to marketing was never given, consent to marketing was withdrawn, the address is suppressed: spam_report');

\echo '# what events say'
SELECT t.is('a consent keeps its basis and text', (SELECT basis || text_version || (interaction_id IS NOT NULL) FROM touchlog.consent WHERE customer_id = t.own('dan@c.example')), 'contract7true');
SELECT t.is('else its basis is what it was', t.consent('bob@c.example') || ', ' || t.consent('fay@c.example'), 'given subscribe, withdrawn spam_report');
SELECT t.is('of a consent that does not say, none', t.consent('eve@c.example'), 'withdrawn -');
SELECT t.tell('ida 1', 'consent', '{ida@c.example}', '{"purpose": " Profiling ", "state": "granted"}'), t.tell('ida 2', 'consent', '{ida@c.example}', '{"state": ""}'), t.tell('ida 3', 'message', '{ida@c.example}', '{"state": "given", "purpose": "marketing"}');
SELECT t.is('a purpose of its own is kept by its name', t.consent('ida@c.example', 'profiling'), 'given -');
SELECT t.is('a consent without a state, or a message, says nothing', t.consent('ida@c.example'), NULL);
SELECT t.tell('ida 4', 'consent', '{ida@c.example}', '{"state": "pending"}');
SELECT t.is('what is not clearly a yes is a no', t.consent('ida@c.example'), 'withdrawn -');
SELECT t.tell('jim sms', 'unsubscribe', '{jim@c.example}', '{}', 0, 'sms'), t.tell('jim form', 'subscribe', '{jim@c.example}', '{}', 0, 'form'), t.tell('jim chat', 'subscribe', '{jim@c.example}', '{"channel": "chat"}', 0, 'web');
SELECT t.is('a statement is about the medium it came by, by a form about mail, or about what it says', concat_ws(', ', t.consent('jim@c.example', channel => 'sms'), t.consent('jim@c.example'), t.consent('jim@c.example', channel => 'chat')), 'withdrawn unsubscribe, given subscribe, given subscribe');
SELECT t.tell('nobody', 'unsubscribe', '{}');
SELECT t.is('of nobody nothing is kept', (SELECT count(*) FROM touchlog.consent WHERE customer_id <= 0), 0::bigint);
SELECT t.tell('kim spam', 'spam_report', '{kim@c.example,kim2@c.example}', cc => 'ann@c.example');
SELECT t.is('all addresses by which it named the customer are suppressed, a participant''s is not', concat_ws(', ', t.suppressed('kim@c.example'), t.suppressed('kim2@c.example'), t.suppressed('ann@c.example')), 'spam_report, spam_report');
SELECT t.tell('lea sms', 'bounce', '{lea@c.example}', '{"type": "hard_bounce"}', 0, 'sms');
SELECT t.is('what bounced on another channel is no bounce of the address', t.suppressed('lea@c.example'), NULL);

\echo '# hard and soft, as the presets tell it'
SELECT t.is(v.of || ' is ' || CASE WHEN v.hard THEN 'hard' ELSE 'soft' END, touchlog.is_hard_bounce(v.a::jsonb), v.hard)
FROM (VALUES
    ('Brevo''s hard_bounce', '{"type": "hard_bounce"}', true), ('Brevo''s soft_bounce', '{"type": "soft_bounce", "reason": "550 5.1.1 unknown"}', false),
    ('Mailchimp''s cleaned address', '{"reason": "hard"}', true), ('Mailgun''s 550', '{"code": 550, "reason": "No such user"}', true),
    ('Mailgun''s 550 5.7.1', '{"code": 550, "reason": "5.7.1 blocked"}', false), ('Mailgun''s 552', '{"code": 552}', false),
    ('Postmark''s HardBounce', '{"type": "HardBounce"}', true), ('Postmark''s suppression', '{"reason": "HardBounce"}', true),
    ('Postmark''s SpamNotification', '{"type": "SpamNotification"}', false), ('Postmark''s DnsError', '{"type": "DnsError"}', false),
    ('SendGrid''s bounce', '{"type": "bounce", "status": "5.0.0"}', true), ('SendGrid''s bounce of a full mailbox', '{"type": "bounce", "status": "5.2.2"}', false),
    ('SendGrid''s bounce without a status', '{"type": "bounce"}', true), ('SendGrid''s blocked', '{"type": "blocked", "status": "5.1.1"}', false),
    ('SES''s Permanent', '{"type": "Permanent", "subtype": "General"}', true), ('SES''s Transient', '{"type": "Transient", "status": "5.1.1"}', false),
    ('a report with 5.1.1', '{"status": "5.1.1"}', true), ('one with 5.1.10', '{"status": "5.1.10"}', true), ('one with 5.2.1', '{"status": "5.2.1"}', true),
    ('one with 5.1.8 (the sender)', '{"status": "5.1.8"}', false), ('one with 5.2.2', '{"status": "5.2.2"}', false), ('one with 5.7.1', '{"status": "5.7.1"}', false), ('one with 4.4.1', '{"status": "4.4.1"}', false),
    ('one that says nothing', '{}', false)) v(of, a, hard);

\echo '# what comes late does not count'
SELECT t.tell('late 1', 'subscribe', '{late@c.example}', minute => -10), t.tell('late 2', 'unsubscribe', '{late@c.example}', minute => -5), t.tell('late 3', 'subscribe', '{late@c.example}', minute => -8);
SELECT t.is('an older statement that arrives later leaves the state', t.consent('late@c.example'), 'withdrawn unsubscribe');
SELECT t.tell('late 1', 'subscribe', '{late@c.example}', minute => 5);
SELECT t.is('so does one that is replayed', t.consent('late@c.example'), 'withdrawn unsubscribe');
SELECT t.tell('late 4', 'subscribe', '{late@c.example}', minute => 300), t.tell('late 5', 'unsubscribe', '{late@c.example}', minute => 1);
SELECT t.is('one that claims the future counts from now', t.consent('late@c.example'), 'withdrawn unsubscribe');
SELECT t.tell('tie 1', 'unsubscribe', '{tie@c.example}', minute => -5), t.tell('tie 2', 'subscribe', '{tie@c.example}', minute => -5);
SELECT t.is('of two at one moment the withdrawal counts', t.consent('tie@c.example'), 'withdrawn unsubscribe');
SELECT t.tell('tie 3', 'subscribe', '{tie@c.example}', minute => -4);
SELECT t.is('and a newer one counts again', t.consent('tie@c.example'), 'given subscribe');

\echo '# merged and split'
SELECT t.tell('m1', 'subscribe', '{m1@c.example}', minute => -10), t.tell('m2', 'message', '{m2@c.example}');
SELECT touchlog.join_by_hand(t.own('m1@c.example'), t.own('m2@c.example'));
SELECT t.is('consent is of all that are one customer', t.verdict('m2@c.example'), 'ok');
SELECT t.tell('m3', 'unsubscribe', '{m2@c.example}', minute => -5);
SELECT t.is('and the newest of theirs counts', t.verdict('m1@c.example'), 'no_consent');
SELECT touchlog.split(t.own('m1@c.example'), t.own('m2@c.example'));
SELECT t.is('a split gives each his own back', t.verdict('m1@c.example') || ' ' || t.verdict('m2@c.example'), 'ok no_consent');

\echo '# suppressed by hand'
SELECT t.is('an address can be suppressed by hand', touchlog.suppress('email', 'bob@c.example')::text || t.verdict('bob@c.example', '{"purpose": "service"}'), 'truesuppressed');
SELECT t.is('once', touchlog.suppress('email', 'bob@c.example'), false);
SELECT t.is('and freed', touchlog.lift_suppression('email', 'bob@c.example')::text || t.verdict('bob@c.example'), 'trueok');
SELECT t.is('once', touchlog.lift_suppression('email', 'bob@c.example'), false);
SELECT t.tell('bob old', 'spam_report', '{bob@c.example}', minute => -30);
SELECT t.is('what happened before it was freed suppresses it no more', t.suppressed('bob@c.example'), NULL);
UPDATE touchlog.suppression SET lifted_at = now() - interval '1 minute' WHERE value = 'bob@c.example';
SELECT t.tell('bob new', 'bounce', '{bob@c.example}', '{"type": "hard"}');
SELECT t.is('what happens afterwards does', t.suppressed('bob@c.example'), 'bounce');

\echo '# addresses'
SELECT t.tell('a1', 'message', '{first@c.example}'), t.tell('a2', 'message', '{first@c.example,second@c.example}'), t.tell('a3', 'message', '{ann@c.example}');
UPDATE touchlog.identity SET first_seen = now() - interval '1 year' WHERE value = 'first@c.example';
SELECT t.is('a mail goes to the newest address', (t.may('first@c.example', '{"purpose": "service"}')).address, 'second@c.example');
UPDATE touchlog.identity SET strong = false WHERE value = 'second@c.example';
SELECT t.is('that proves who he is', (t.may('first@c.example', '{"purpose": "service"}')).address, 'first@c.example');
UPDATE touchlog.identity SET strong = false WHERE value = 'first@c.example';
SELECT t.is('or to none', t.verdict('first@c.example', '{"purpose": "service"}'), 'no_address');
SELECT t.is('or to any, where the action says so', (t.may('first@c.example', '{"purpose": "service", "weak": true}')).address, 'second@c.example');
SELECT t.is('never to our own', (t.may('first@c.example', '{"purpose": "service", "weak": true, "own": ["Second@c.example", "@d.example"]}')).address, 'first@c.example');
SELECT t.is('nor to anybody of our domain', t.verdict('first@c.example', '{"purpose": "service", "weak": true, "own": ["@c.example"]}'), 'no_address');
SELECT t.is('`to` stands above all', (t.may('ann@c.example', '{"purpose": "service", "to": "{interaction.attributes.manager}"}')).address, 'boss@x.example');
SELECT t.is('and may name one of ours', (t.may('ann@c.example', '{"purpose": "service", "to": "Care <care@our.example>", "own": ["@our.example"]}')).address, 'care@our.example');
SELECT t.is('what it names must be an address: ' || bad, t.verdict('ann@c.example', jsonb_build_object('purpose', 'service', 'to', bad)), 'no_address')
FROM unnest('{"{attributes.nothing}","a b@c.example","a@b@c.example","a@c.example, b@c.example","a@c..example",nobody}'::text[]) bad;
SELECT t.is('nor may it hold a line end', t.verdict('ann@c.example', E'{"purpose": "service", "to": "a@c.example\\r\\nRCPT TO:<b@c.example>"}'), 'no_address');
SELECT t.is('of nobody there is no address', (touchlog.may_send('{"type": "email", "purpose": "service"}', 0, '{}')).verdict, 'no_address');
SELECT t.is('but there may be one of ours', (touchlog.may_send('{"type": "email", "purpose": "service", "to": "care@our.example"}', NULL, '{"interaction": {"kind": "call", "channel": "call", "direction": "in"}}')).verdict, 'ok');

\echo '# loops'
SELECT t.is(format('a mail that is %s %s by %s triggers %s', i->>'direction', i->>'kind', i->>'channel', want),
    t.verdict('ann@c.example', '{"purpose": "service", "own": ["care@our.example"]}', i), want)
FROM (VALUES ('{"kind": "auto_reply", "channel": "email", "direction": "in"}'::jsonb, 'suppressed'), ('{"kind": "bounce", "channel": "email", "direction": "in"}', 'suppressed'),
    ('{"kind": "spam_report", "channel": "email", "direction": "in"}', 'suppressed'), ('{"kind": "receipt", "channel": "email", "direction": "in"}', 'suppressed'),
    ('{"kind": "message", "channel": "email", "direction": "out"}', 'suppressed'), ('{"kind": "sent", "channel": "email", "direction": "out"}', 'suppressed'),
    ('{"kind": "delivered", "channel": "email", "direction": "out"}', 'suppressed'), ('{"kind": "message", "channel": "email", "direction": "in"}', 'ok'),
    ('{"kind": "click", "channel": "email", "direction": "out"}', 'ok'), ('{"kind": "call", "channel": "call", "direction": "out"}', 'ok'),
    ('{"kind": "task_overdue", "channel": "other", "direction": "internal"}', 'ok')) v(i, want);
SELECT t.is('nor does one from our own address', t.verdict('ann@c.example', '{"purpose": "service", "own": ["care@our.example"]}', '{"kind": "message", "channel": "email", "direction": "in", "attributes": {"from": "Care <Care@our.example>"}}'), 'suppressed');
SELECT t.is('and it says why', (t.may('ann@c.example', '{}', '{"kind": "auto_reply", "channel": "email"}')).reason, 'a mail of kind auto_reply triggers no mail');

\echo '# how much is enough'
CREATE FUNCTION t.capped(val text, per text DEFAULT '1 day') RETURNS text LANGUAGE sql AS
$$ SELECT t.verdict(val, jsonb_build_object('purpose', 'service', 'cap', jsonb_build_object('n', 2, 'per', per))) $$;
SELECT t.is('two mails a day fit, a third does not', t.capped('ann@c.example') || t.capped('ann@c.example') || t.capped('ann@c.example'), 'okokcapped');
SELECT t.is('to another address they do', t.capped('lea@c.example'), 'ok');
SELECT t.is('it says why', (t.may('ann@c.example', '{"purpose": "service", "cap": {"n": 2, "per": "86400000 milliseconds"}}')).reason, '2 mails within 24:00:00 went to this address');
UPDATE touchlog.mail_count SET ats = ARRAY[now() - interval '25 hours', ats[2]] WHERE address = 'ann@c.example';
SELECT t.is('when the first is a day old, one fits again', t.capped('ann@c.example') || t.capped('ann@c.example'), 'okcapped');
SELECT t.is('and what is old is forgotten', (SELECT cardinality(keys) FROM touchlog.mail_count WHERE address = 'ann@c.example'), 2);
SELECT t.is('without a cap any number fits', t.verdict('ann@c.example', '{"purpose": "service"}'), 'ok');
SELECT t.is('what is not to be sent is not counted', t.verdict('cid@c.example', '{"cap": {"n": 1, "per": "1 day"}}') || t.verdict('cid@c.example', '{"purpose": "service", "cap": {"n": 1, "per": "1 day"}}'), 'no_consentok');
SELECT t.is('a delivery that is tried again is counted once', string_agg((touchlog.may_send('{"type": "email", "purpose": "service", "cap": {"n": 1, "per": "1 day"}}', t.own('dan@c.example'), '{"rule": "r", "interaction": {"id": "1"}}')).verdict, ''), 'okokok')
FROM generate_series(1, 3);
SELECT t.is('another action of the same event is another delivery', (touchlog.may_send('{"type": "email", "template": "b", "purpose": "service", "cap": {"n": 1, "per": "1 day"}}', t.own('dan@c.example'), '{"rule": "r", "interaction": {"id": "1"}}')).verdict, 'capped');
SELECT t.is('our own people are not spared', string_agg(t.verdict('ann@c.example', '{"purpose": "service", "to": "care@our.example", "own": ["@our.example"], "cap": {"n": 1, "per": "1 day"}}'), ''), 'okok')
FROM generate_series(1, 2);

\echo '# links'
SELECT t.tell('link', 'subscribe', '{link@c.example}', minute => -10);
SELECT (t.may('link@c.example')).token \gset
SELECT t.is('a mail has a token of 32 digits', :'token' ~ '^[0-9a-f]{32}$', true);
SELECT t.is('the same for the next mail, and for service', (t.may('link@c.example')).token || (t.may('link@c.example', '{"purpose": "service"}')).token, :'token' || :'token');
SELECT t.is('another one has another', (t.may('ann@c.example', '{"purpose": "service"}')).token <> :'token', true);
SELECT t.is('it tells what it is about', (SELECT address || ' ' || purpose || ' ' || state FROM touchlog.unsubscribe_look(:'token')), 'link@c.example marketing given');
SELECT t.is('no other token does', (SELECT count(address) FROM touchlog.unsubscribe_look('0123456789abcdef0123456789abcdef')), 0::bigint);
SELECT generation AS before FROM touchlog.unsubscribe_look(:'token') \gset
SELECT t.tell('u ' || :'token', 'unsubscribe', '{}', jsonb_build_object('token', :'token', 'purpose', 'marketing'), source => 'touchlog');
SELECT t.is('an unsubscribe that bears it is the customer''s', (SELECT customer_id FROM touchlog.interaction WHERE external_id = 'u ' || :'token'), t.own('link@c.example'));
SELECT t.is('and withdraws', (SELECT state || (generation <> :'before') FROM touchlog.unsubscribe_look(:'token')) || ' ' || t.verdict('link@c.example'), 'withdrawntrue no_consent');
SELECT t.tell('u 2', 'unsubscribe', '{}', jsonb_build_object('token', :'token'), source => 'shop'), t.tell('u 3', 'unsubscribe', '{}', '{"token": "none"}', source => 'touchlog'), t.tell('u 4', 'unsubscribe', '{}', '{}', source => 'touchlog');
SELECT t.is('what another source says of a token, or an unknown one, is nobody''s', (SELECT string_agg(customer_id::text, ' ') FROM touchlog.interaction WHERE external_id IN ('u 2', 'u 3', 'u 4')), '0 0 0');
SELECT t.is('the log stays sound', t.broken(), '');
