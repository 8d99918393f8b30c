-- SPDX-License-Identifier: Apache-2.0
-- min_binary: 1
--
-- What several rows say of one thing: a message and what happened to it, a call and
-- its steps.  Rows arrive in any order and more than once a thing; a state only rises.
-- Both group by own customers and read the log by (customer_id, occurred_at, id) when
-- they are asked for one.

SET LOCAL ROLE touchlog_admin;

-- One row for each message of ours and each customer it went to.  A later state wins
-- over an earlier one whatever arrived first: who clicked has opened, what was opened
-- was delivered; a try that failed may still be delivered, and what was delivered may
-- still come back.
CREATE VIEW touchlog.message_state AS
SELECT i.customer_id, i.source, i.thread, min(i.occurred_at) AS first_at,
    max(i.occurred_at) AS last_at,
    (array_agg(i.kind ORDER BY r.rank DESC, i.occurred_at, i.id))[1] AS state,
    (array_agg(i.occurred_at ORDER BY r.rank DESC, i.occurred_at, i.id))[1] AS state_at,
    (array_agg(i.id ORDER BY r.rank DESC, i.occurred_at, i.id))[1] AS state_id,
    count(*) FILTER (WHERE i.kind = 'open') AS opens,
    count(*) FILTER (WHERE i.kind = 'click') AS clicks,
    (array_agg(i.campaign ORDER BY i.occurred_at, i.id)
	FILTER (WHERE i.campaign IS NOT NULL))[1] AS campaign
FROM touchlog.interaction i
JOIN (VALUES ('sent', 1), ('failed', 2), ('delivered', 3), ('bounce', 4), ('open', 5),
    ('click', 6), ('spam_report', 7)) r(kind, rank) ON r.kind = i.kind
WHERE i.thread IS NOT NULL
GROUP BY i.customer_id, i.source, i.thread;

-- One row for each call.  Its end (kind call) says more than a leg of it (call_leg), and
-- that more than a step on the way (call_status); among steps the furthest counts.
-- A call without a thread is one by itself.
CREATE VIEW touchlog.call AS
SELECT i.customer_id, i.source, coalesce(i.thread, i.id::text) AS call,
    bool_or(i.kind = 'call') AS has_ended,
    min(i.occurred_at) AS started_at, max(i.occurred_at) AS last_at,
    (array_agg(i.id ORDER BY r.rank, s.step DESC, i.occurred_at DESC, i.id))[1] AS id,
    (array_agg(i.direction ORDER BY r.rank, s.step DESC, i.occurred_at DESC, i.id))[1] AS direction,
    (array_agg(i.outcome ORDER BY r.rank, s.step DESC, i.occurred_at DESC, i.id)
	FILTER (WHERE i.outcome IS NOT NULL))[1] AS outcome,
    (array_agg(i.agent ORDER BY r.rank, s.step DESC, i.occurred_at DESC, i.id)
	FILTER (WHERE i.agent IS NOT NULL))[1] AS agent,
    (array_agg(i.duration ORDER BY r.rank, s.step DESC, i.occurred_at DESC, i.id)
	FILTER (WHERE i.duration IS NOT NULL))[1] AS duration,
    (array_agg(i.wait ORDER BY r.rank, s.step DESC, i.occurred_at DESC, i.id)
	FILTER (WHERE i.wait IS NOT NULL))[1] AS wait,
    (array_agg(i.subject ORDER BY r.rank, s.step DESC, i.occurred_at DESC, i.id)
	FILTER (WHERE i.subject IS NOT NULL))[1] AS subject,
    count(*) FILTER (WHERE i.kind = 'call_leg') AS legs
FROM touchlog.interaction i
JOIN (VALUES ('call', 1), ('call_leg', 2), ('call_status', 3)) r(kind, rank) ON r.kind = i.kind
CROSS JOIN LATERAL (SELECT CASE i.outcome WHEN 'answered' THEN 3 WHEN 'queued' THEN 2
    WHEN 'ringing' THEN 1 ELSE 0 END AS step) s
GROUP BY i.customer_id, i.source, coalesce(i.thread, i.id::text);

GRANT SELECT ON touchlog.message_state, touchlog.call TO touchlog_daemon, touchlog_reader;
