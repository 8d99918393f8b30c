# SPDX-License-Identifier: Apache-2.0
"""What each preset makes of payloads in its tool's documented shape, column by column.

A case is Case(preset, title, body, rows, headers): `rows` are the interactions in order, each a dict of columns (only
those named are compared), and of `who` (identities of the customer), `with` (identities of participants by role) and
attributes by "attributes.x".  A column that must be empty is None.
"""
import base64, json

from corpus_posts import sendgrid_body
from senders import form, multipart


class Case:
    def __init__(self, preset, title, body, *rows, headers=None, path=""):
        self.preset, self.title, self.body, self.rows = preset, title, body, rows
        self.headers, self.path = headers, path

    def __repr__(self):
        return f"{self.preset}: {self.title}"


def email(address):
    return {("email", address)}


def phone(number):
    return {("phone", number)}


def ses(kind, *to, **more):
    return {"eventType": kind, "mail": {"timestamp": "2026-02-13T16:26:40.000Z", "messageId": "ses-1", "source": "shop@example.com",
                                        "destination": list(to), "commonHeaders": {"subject": "News"}, "tags": {"campaign": ["spring"]}}, **more}


SNS_ID = {"x-amz-sns-message-id": "0f1e2d3c-0000-4000-8000-00000000000a"}
SES_TIME = "2026-02-13T16:27:00.000Z"
SES_AT = 1771000020


MAILCHIMP = {"type": "subscribe", "fired_at": "2026-03-26 21:35:57", "data[id]": "8a25ff1d98", "data[list_id]": "a6b5da1054",
             "data[email]": "anna@mc.example", "data[email_type]": "html", "data[ip_opt]": "192.0.2.7",
             "data[merges][EMAIL]": "anna@mc.example", "data[merges][FNAME]": "Anna", "data[merges][LNAME]": "Kiss"}


def mandrill(*events):
    return form({"mandrill_events": json.dumps(events)})


MANDRILL_MSG = {"ts": 1771000000, "_id": "m-1", "state": "sent", "subject": "Your order", "email": "bea@md.example",
                "sender": "shop@example.com", "tags": ["order"], "metadata": {"order": "77"}}


def mailgun(event, **more):
    return {"event-data": {"event": event, "id": f"mg-{event}", "timestamp": 1771000000.25, "recipient": "carl@mg.example",
                           "message": {"headers": {"message-id": "20260213.1@mg.example", "subject": "News"}},
                           "tags": ["spring"], **more}}


def postmark(kind, **more):
    return {"RecordType": kind, "MessageID": "pm-1", "Recipient": "dora@pm.example", "Tag": "welcome",
            "MessageStream": "outbound", "ServerID": 23, **more}


def brevo(event, **more):
    return {"event": event, "email": "emil@bv.example", "id": 1, "message-id": "<1@bv.example>", "ts_epoch": 1771000000123,
            "ts": 1771000000, "tags": ["promo"], **more}


def hubspot(kind, **more):
    return {"eventId": 100, "subscriptionId": 138, "portalId": 33, "appId": 1160452, "occurredAt": 1771000000456,
            "subscriptionType": kind, "attemptNumber": 0, "objectId": 246, **more}


def typeform(event, *answers):
    return {"event_id": event, "event_type": "form_response", "form_response": {
        "form_id": "lT4Z3j", "token": f"tok-{event}", "landed_at": "2026-02-13T16:20:00Z", "submitted_at": "2026-02-13T16:26:40Z",
        "hidden": {"utm_campaign": "spring"}, "definition": {"id": "lT4Z3j", "title": "How was it?"},
        "answers": [{"type": kind, kind: value, "field": {"id": "f", "ref": "r", "type": field}}
                    for field, kind, value in answers]}}


def calendly(event, **more):
    return {"event": event, "created_at": "2026-02-13T16:26:40.000000Z", "created_by": "https://api.calendly.com/users/A",
            "payload": {"uri": "https://api.calendly.com/invitees/1", "email": "gita@cl.example", "name": "Gita Nagy",
                        "status": "active", "timezone": "Europe/Budapest", "rescheduled": False, "old_invitee": None,
                        "new_invitee": None, "scheduled_event": {
                            "name": "Demo", "start_time": "2026-02-20T09:00:00Z", "end_time": "2026-02-20T09:30:00Z",
                            "event_memberships": [{"user_email": "sales@example.com"}]}, **more}}


def stripe(event, kind, **thing):
    return {"id": event, "object": "event", "created": 1771000000, "livemode": True, "type": kind, "data": {"object": thing}}


CHARGE = {"id": "ch_1", "object": "charge", "amount": 1999, "currency": "eur", "customer": "cus_H", "payment_intent": "pi_1",
          "billing_details": {"email": "hugo@st.example", "name": "Hugo", "phone": None}, "description": "Order 12"}

ORDER = {"id": 450789469, "name": "#1001", "email": "ida@sh.example", "phone": "+36301110001", "currency": "HUF",
         "total_price": "12990.00", "created_at": "2026-02-13T17:26:40+01:00", "note": "Please ring twice",
         "landing_site": "/?utm_source=x&utm_campaign=spring", "discount_codes": [{"code": "TENOFF"}],
         "customer": {"id": 207119551, "first_name": "Ida", "last_name": "Szabó"},
         "line_items": [{"sku": "A-1", "quantity": 2, "price": "6495.00"}]}

ISSUE = {"html_url": "https://github.com/acme/app/issues/7", "title": "It crashes", "body": "At start", "number": 7,
         "user": {"login": "jo-gh"}, "updated_at": "2026-02-13T16:26:40Z", "closed_at": None}
GITHUB = {"repository": {"full_name": "acme/app"}, "sender": {"login": "jo-gh"}, "issue": ISSUE}


def slack(event, **fields):
    return {"token": "x", "team_id": "T1", "api_app_id": "A1", "type": "event_callback", "event_id": event,
            "event_time": 1771000000, "event": fields}


def whatsapp(field="messages", **value):
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": field, "value": {
        "messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106"},
        "contacts": [{"wa_id": "36301110002", "profile": {"name": "Kata"}}], **value}}]}]}


def whatsapp_status(status):
    return {"id": "wamid.out", "status": status, "timestamp": "1771000000", "recipient_id": "36301110002",
            "conversation": {"id": "c1"}, "pricing": {"category": "service"}}


def call(**fields):
    return form({"CallSid": "CA1", "AccountSid": "AC1", "From": "+36301110003", "To": "+3615550100", "Direction": "inbound",
                 "ApiVersion": "2010-04-01", **fields})


def sms(**fields):
    return form({"MessageSid": "SM1", "AccountSid": "AC1", "From": "+3615550100", "To": "+36301110004", **fields})


def cti(event, **fields):
    return {"event": event, "from": "36301110005", "to": "3615550100", "direction": "in", "callId": "c-77", **fields}


def cdr(caller, called, profile=None, **variables):
    return {"core-uuid": "core-1", "switchname": "fs", "channel_data": {}, "callStats": {},
            "variables": {"uuid": "u-1", "call_uuid": "u-1", "direction": "inbound", "start_uepoch": "1771000000500000",
                          "answer_epoch": "1771000004", "billmsec": "61250", "waitmsec": "3500", "hangup_cause": "NORMAL_CLEARING",
                          **variables},
            "app_log": {}, "callflow": [{"caller_profile": {"caller_id_number": caller, "caller_id_name": "Márta",
                                                           "destination_number": called, **(profile or {})}}]}


def three_cx(kind, **fields):
    return {"type": kind, "number": "+36301110006", "name": "Nóra", "agent": "101", "agent_email": "[AgentEmail]",
            "duration": "00:01:35", "started_utc": "2026-02-13T16:26:40", **fields}


AT = 1771000000

CASES = [
    Case("mailchimp", "a subscription", form(MAILCHIMP),
         {"kind": "subscribe", "direction": "in", "channel": "email", "who": email("anna@mc.example"),
          "occurred_at": 1774560957, "external_id": "subscribe:8a25ff1d98:a6b5da1054:2026-03-26 21:35:57:anna@mc.example",
          "attributes.merges": {"EMAIL": "anna@mc.example", "FNAME": "Anna", "LNAME": "Kiss"}, "name": "Anna Kiss"}),
    Case("mailchimp", "the same person leaves because of a campaign",
         form({**MAILCHIMP, "type": "unsubscribe", "data[action]": "unsub", "data[reason]": "manual", "data[campaign_id]": "4fe"}),
         {"kind": "unsubscribe", "direction": "in", "campaign": "4fe", "who": email("anna@mc.example"),
          "attributes.reason": "manual"}),
    Case("mailchimp", "an address changes", form({"type": "upemail", "fired_at": "2026-03-26 22:15:09", "data[list_id]": "a6",
                                                  "data[new_id]": "51", "data[new_email]": "new@mc.example", "data[old_email]": "old@mc.example"}),
         {"kind": "profile", "who": email("new@mc.example"), "attributes.old_email": "old@mc.example"}),
    Case("mailchimp", "an address is cleaned", form({"type": "cleaned", "fired_at": "2026-03-26 22:01:00", "data[list_id]": "a6",
                                                     "data[campaign_id]": "4f", "data[reason]": "hard", "data[email]": "gone@mc.example"}),
         {"kind": "bounce", "outcome": "bounced", "campaign": "4f", "who": email("gone@mc.example")}),
    Case("mailchimp", "a campaign went out", form({"type": "campaign", "fired_at": "2026-03-26 21:31:21", "data[id]": "5aa",
                                                   "data[subject]": "Spring", "data[status]": "sent", "data[list_id]": "a6"}),
         {"kind": "sent", "direction": "out", "campaign": "5aa", "subject": "Spring", "customer_id": 0}),

    Case("mandrill", "three events of one message", mandrill(
        {"event": "send", "msg": MANDRILL_MSG, "_id": "m-1", "ts": AT},
        {"event": "open", "msg": MANDRILL_MSG, "_id": "m-1", "ts": AT + 60, "ip": "192.0.2.1"},
        {"event": "hard_bounce", "msg": {**MANDRILL_MSG, "diag": "550 no such user"}, "_id": "m-1", "ts": AT + 1}),
         {"kind": "sent", "direction": "out", "thread": "m-1", "external_id": f"send:m-1:{AT}", "who": email("bea@md.example"),
          "campaign": "order", "occurred_at": AT, "subject": "Your order"},
         {"kind": "open", "direction": "out", "thread": "m-1", "external_id": f"open:m-1:{AT + 60}"},
         {"kind": "bounce", "direction": "in", "outcome": "bounced", "attributes.reason": "550 no such user"}),
    Case("mandrill", "a mail that came in", mandrill({"event": "inbound", "ts": AT, "msg": {
        "from_email": "bob@md.example", "from_name": "Bob", "email": "help@example.com", "subject": "Re: Your order", "text": "Thanks",
        "headers": {"Message-Id": "<2@md>", "References": "<0@md> <1@md>"}}}),
         {"kind": "message", "direction": "in", "who": email("bob@md.example"), "thread": "<0@md>", "external_id": "<2@md>", "body": "Thanks"}),

    Case("sendgrid", "delivered, opened, spam", sendgrid_body([
        {"email": "cora@sg.example", "timestamp": AT, "event": "delivered", "sg_event_id": "sg1", "sg_message_id": "msgA.filter1.2",
         "category": ["cat facts", "b"], "response": "250 OK", "smtp-id": "<x>"},
        {"email": "cora@sg.example", "timestamp": AT + 9, "event": "click", "sg_event_id": "sg2", "sg_message_id": "msgA.filter1.2",
         "url": "https://example.com/", "category": "cat facts"},
        {"email": "cora@sg.example", "timestamp": AT + 10, "event": "spamreport", "sg_event_id": "sg3", "sg_message_id": "msgA.filter1.2"},
        {"email": "cora@sg.example", "timestamp": AT, "event": "deferred", "sg_event_id": "sg4", "sg_message_id": "msgA.filter1.2", "attempt": "2"}]),
         {"kind": "delivered", "direction": "out", "outcome": "delivered", "external_id": "sg1", "thread": "msgA", "campaign": "cat facts",
          "occurred_at": AT, "who": email("cora@sg.example"), "attributes.reason": "250 OK"},
         {"kind": "click", "direction": "out", "campaign": "cat facts", "attributes.url": "https://example.com/"},
         {"kind": "spam_report", "direction": "in", "outcome": None},
         {"kind": "sent", "direction": "out", "outcome": "deferred", "attributes.attempt": "2"}),

    Case("sendgrid-inbound", "a reply", multipart({
        "headers": "Received: by x\nMessage-ID: <r2@si.example>\nIn-Reply-To: <r1@si.example>\nDate: Fri, 13 Feb 2026 16:26:40 +0000 (UTC)",
        "from": "\"Cili, Dr.\" <Cili@SI.example>", "to": "help@example.com", "subject": "Re: hi", "text": "Hello",
        "envelope": "{\"to\":[\"help@example.com\"],\"from\":\"bounce@si.example\"}"}),
         {"kind": "message", "direction": "in", "channel": "email", "external_id": "<r2@si.example>", "thread": "<r1@si.example>",
          "who": email("cili@si.example"), "name": "Cili, Dr.", "subject": "Re: hi", "body": "Hello", "occurred_at": AT}),
    Case("sendgrid-inbound", "an answer of a machine is no message", multipart({
        "headers": "Message-ID: <r3@si.example>\nAuto-Submitted: auto-replied\n", "from": "away@si.example", "subject": "Away", "text": "Bye"}),
         {"kind": "auto_reply", "who": email("away@si.example")}),

    Case("mailgun", "delivered", mailgun("delivered"),
         {"kind": "delivered", "direction": "out", "outcome": "delivered", "external_id": "mg-delivered", "thread": "20260213.1@mg.example",
          "campaign": "spring", "who": email("carl@mg.example"), "subject": "News"}),
    Case("mailgun", "a temporary failure is no bounce", mailgun("failed", id="mg-t", severity="temporary"),
         {"kind": "sent", "direction": "out", "outcome": "deferred", "external_id": "mg-t"}),
    Case("mailgun", "a permanent one is", mailgun("failed", id="mg-p", severity="permanent", reason="bounce", **{"delivery-status": {"code": 550, "description": "gone"}}),
         {"kind": "bounce", "direction": "in", "outcome": "bounced", "attributes.code": 550, "attributes.reason": "gone"}),
    Case("mailgun", "an address on the list of those that left", mailgun("failed", id="mg-s", severity="permanent", reason="suppress-unsubscribe"),
         {"kind": "failed", "direction": "out", "outcome": "failed"}),
    Case("mailgun", "a complaint", mailgun("complained"), {"kind": "spam_report", "direction": "in", "who": email("carl@mg.example")}),
    Case("mailgun", "a route's form", form({
        "recipient": "help@example.com", "sender": "bounce@mg.example", "from": "Csaba <csaba@mg.example>", "subject": "Hi", "body-plain": "Hello\n> old",
        "stripped-text": "Hello", "Message-Id": "<9@mg>", "References": "<7@mg> <8@mg>"}),
         {"kind": "message", "direction": "in", "who": email("csaba@mg.example"), "name": "Csaba", "external_id": "<9@mg>", "thread": "<7@mg>", "body": "Hello"}),

    Case("postmark", "delivered", postmark("Delivery", DeliveredAt="2026-02-13T16:26:40.1234567Z", Details="ok"),
         {"kind": "delivered", "direction": "out", "outcome": "delivered", "thread": "pm-1", "campaign": "welcome",
          "who": email("dora@pm.example"), "external_id": "Delivery:pm-1:dora@pm.example:2026-02-13T16:26:40.1234567Z"}),
    Case("postmark", "opened", postmark("Open", ReceivedAt="2026-02-13T16:26:40Z", FirstOpen=True),
         {"kind": "open", "direction": "out", "attributes.first": True, "occurred_at": AT}),
    Case("postmark", "an automatic answer", {**postmark("Bounce", ID=7, Type="AutoResponder", BouncedAt="2026-02-13T16:26:40Z"), "Email": "dora@pm.example", "Recipient": None},
         {"kind": "auto_reply", "direction": "in", "external_id": "Bounce:7:pm-1"}),
    Case("postmark", "left by himself", postmark("SubscriptionChange", SuppressSending=True, SuppressionReason="ManualSuppression", ChangedAt="2026-02-13T16:26:40Z"),
         {"kind": "unsubscribe", "direction": "in"}),
    Case("postmark", "came back", postmark("SubscriptionChange", SuppressSending=False, SuppressionReason=None, ChangedAt="2026-02-13T16:26:41Z"),
         {"kind": "subscribe", "direction": "in"}),

    Case("postmark-inbound", "a reply with others in copy", {
        "From": "eva@pi.example", "FromFull": {"Email": "eva@pi.example", "Name": "Éva"}, "OriginalRecipient": "help@example.com",
        "CcFull": [{"Email": "boss@pi.example", "Name": "Boss"}], "Subject": "Re: hi", "MessageID": "pi-1", "Date": "Fri, 13 Feb 2026 16:26:40 +0000 (GMT)",
        "TextBody": "Hello\n> old", "StrippedTextReply": "Hello", "Headers": [{"Name": "References", "Value": "<a@pi> <b@pi>"}]},
         {"kind": "message", "direction": "in", "who": email("eva@pi.example"), "name": "Éva", "external_id": "pi-1", "thread": "<a@pi>",
          "agent": "help@example.com", "body": "Hello", "occurred_at": AT, "with": {"cc": email("boss@pi.example")}}),

    Case("brevo", "delivered", brevo("delivered"),
         {"kind": "delivered", "direction": "out", "outcome": "delivered", "thread": "<1@bv.example>", "who": email("emil@bv.example"), "campaign": "promo",
          "external_id": "delivered:<1@bv.example>:emil@bv.example:1771000000123:1771000000"}),
    Case("brevo", "a hard bounce", brevo("hard_bounce", reason="550"), {"kind": "bounce", "direction": "in", "outcome": "bounced", "attributes.reason": "550"}),
    Case("brevo", "deferred is still on its way", brevo("deferred"), {"kind": "sent", "outcome": "deferred"}),
    Case("brevo", "an inbound mail", {"items": [{"MessageId": "<5@bv>", "InReplyTo": "<4@bv>", "From": {"Name": "Ede", "Address": "ede@bv.example"},
                                                 "Cc": [{"Name": None, "Address": "edit@bv.example"}], "SentAtDate": "Fri, 13 Feb 2026 16:26:40 +0000",
                                                 "Subject": "Hi", "RawTextBody": "Hello", "Headers": {}}]},
         {"kind": "message", "direction": "in", "who": email("ede@bv.example"), "thread": "<4@bv>", "body": "Hello", "with": {"cc": email("edit@bv.example")}}),

    Case("hubspot", "a new contact and its address", [hubspot("contact.creation"),
                                                      hubspot("contact.propertyChange", eventId=101, propertyName="email", propertyValue="fanni@hs.example")],
         {"kind": "signup", "direction": "in", "external_id": "33:138:100:1771000000456", "who": {("external:hubspot", "33:246")}},
         {"kind": "profile", "external_id": "33:138:101:1771000000456", "who": {("external:hubspot", "33:246"), ("email", "fanni@hs.example")}}),
    Case("hubspot", "a contact wants no more mail", [hubspot("contact.propertyChange", eventId=102, propertyName="hs_email_optout", propertyValue="true")],
         {"kind": "unsubscribe"}),

    Case("typeform", "a score from 0 to 10", typeform("tf1", ("email", "email", "feri@tf.example"), ("nps", "number", 9), ("long_text", "text", "Fast")),
         {"kind": "nps", "score": 9, "channel": "survey", "direction": "in", "external_id": "tf1", "who": email("feri@tf.example"),
          "body": "Fast", "subject": "How was it?", "campaign": "spring", "occurred_at": AT}),
    Case("typeform", "stars", typeform("tf2", ("rating", "number", 4)), {"kind": "csat", "score": 4, "customer_id": 0}),
    Case("typeform", "words only", typeform("tf3", ("short_text", "text", "Hello"), ("phone_number", "phone_number", "+36301110009")),
         {"kind": "message", "score": None, "who": phone("+36301110009"), "body": "Hello"}),

    Case("calendly", "booked", calendly("invitee.created"),
         {"kind": "appointment", "outcome": "booked", "channel": "meeting", "who": email("gita@cl.example"), "agent": "sales@example.com",
          "subject": "Demo", "name": "Gita Nagy", "thread": "https://api.calendly.com/invitees/1",
          "external_id": "invitee.created https://api.calendly.com/invitees/1", "attributes.starts_at": "2026-02-20T09:00:00Z"}),
    Case("calendly", "moved: the new one", calendly("invitee.created", uri="https://api.calendly.com/invitees/2", old_invitee="https://api.calendly.com/invitees/1"),
         {"outcome": "moved", "thread": "https://api.calendly.com/invitees/1"}),
    Case("calendly", "moved: the old one is not told again", calendly("invitee.canceled", rescheduled=True, new_invitee="https://api.calendly.com/invitees/2")),
    Case("calendly", "cancelled", calendly("invitee.canceled", uri="https://api.calendly.com/invitees/2", cancellation={"reason": "Ill", "canceler_type": "invitee"}),
         {"outcome": "cancelled", "body": "Ill"}),

    Case("stripe", "a payment", stripe("evt_1", "charge.succeeded", **CHARGE),
         {"kind": "purchase", "direction": "in", "amount": 19.99, "currency": "EUR", "external_id": "evt_1", "thread": "pi_1", "occurred_at": AT,
          "who": {("external:stripe", "cus_H"), ("email", "hugo@st.example")}, "name": "Hugo", "subject": "Order 12"}),
    Case("stripe", "a payment in yen has no cents", stripe("evt_2", "charge.succeeded", **{**CHARGE, "amount": 500, "currency": "jpy"}),
         {"kind": "purchase", "amount": 500, "currency": "JPY"}),
    Case("stripe", "a refund", stripe("evt_3", "charge.refunded", **{**CHARGE, "amount_refunded": 500}),
         {"kind": "refund", "direction": "out", "amount": 5, "currency": "EUR", "thread": "pi_1"}),
    Case("stripe", "a subscription ends", stripe("evt_4", "customer.subscription.deleted", id="sub_1", customer="cus_H", status="canceled"),
         {"kind": "profile", "outcome": "cancelled", "who": {("external:stripe", "cus_H")}, "attributes.status": "canceled"}),
    Case("stripe", "the same money told again is not logged again", stripe("evt_5", "payment_intent.succeeded", id="pi_1", amount=1999)),

    Case("shopify", "an order", ORDER,
         {"kind": "purchase", "channel": "web", "direction": "in", "amount": 12990, "currency": "HUF", "external_id": "wh-1", "thread": "450789469",
          "campaign": "spring", "name": "Ida Szabó", "subject": "#1001", "body": "Please ring twice", "occurred_at": AT,
          "who": {("external:shopify", "207119551"), ("email", "ida@sh.example"), ("phone", "+36301110001")},
          "attributes.coupon": "TENOFF", "attributes.items": [{"sku": "A-1", "quantity": 2, "price": "6495.00"}]},
         headers={"X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": "wh-1", "X-Shopify-Shop-Domain": "a.myshopify.com"}),
    Case("shopify", "a refund of it", {"id": 1, "order_id": 450789469, "created_at": "2026-02-13T16:26:40Z", "transactions": [{"amount": "500.00", "currency": "HUF"}]},
         {"kind": "refund", "direction": "out", "amount": 500, "currency": "HUF", "thread": "450789469", "customer_id": 0},
         headers={"X-Shopify-Topic": "refunds/create", "X-Shopify-Webhook-Id": "wh-2"}),
    Case("shopify", "consent to mail", {"customer_id": 207119551, "email_address": "ida@sh.example", "email_marketing_consent": {
        "state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": "2026-02-13T16:26:40Z"}},
         {"kind": "subscribe", "channel": "email", "who": {("external:shopify", "207119551"), ("email", "ida@sh.example")}},
         headers={"X-Shopify-Topic": "customers_email_marketing_consent/update", "X-Shopify-Webhook-Id": "wh-3"}),

    Case("github", "an issue", {**GITHUB, "action": "opened"},
         {"kind": "message", "direction": "in", "channel": "social", "external_id": "d-1", "thread": ISSUE["html_url"], "subject": "It crashes",
          "body": "At start", "who": {("social:github", "jo-gh")}, "occurred_at": AT, "attributes.repository": "acme/app"},
         headers={"X-GitHub-Event": "issues", "X-GitHub-Delivery": "d-1"}),
    Case("github", "our answer", {**GITHUB, "action": "created", "sender": {"login": "us"}, "comment": {
        "body": "Fixed", "user": {"login": "us"}, "author_association": "MEMBER", "created_at": "2026-02-13T16:26:40Z"}},
         {"kind": "message", "direction": "out", "who": {("social:github", "jo-gh")}, "agent": "us", "body": "Fixed", "thread": ISSUE["html_url"]},
         headers={"X-GitHub-Event": "issue_comment", "X-GitHub-Delivery": "d-2"}),
    Case("github", "closed", {**GITHUB, "action": "closed", "sender": {"login": "us"}, "issue": {**ISSUE, "closed_at": "2026-02-13T16:26:40Z"}},
         {"kind": "resolved", "direction": "internal", "agent": "us", "who": {("social:github", "jo-gh")}},
         headers={"X-GitHub-Event": "issues", "X-GitHub-Delivery": "d-3"}),
    Case("github", "a push is no contact", {"ref": "refs/heads/main", "commits": [], "repository": {"full_name": "acme/app"}, "sender": {"login": "us"}},
         headers={"X-GitHub-Event": "push", "X-GitHub-Delivery": "d-4"}),

    Case("slack", "an answer in a thread", slack("Ev1", type="message", user="U7", channel="C1", text="Hello", ts="1771000000.000200", thread_ts="1770999999.000100"),
         {"kind": "message", "channel": "chat", "direction": "in", "external_id": "Ev1", "who": {("social:slack", "T1:U7")},
          "thread": "C1:1770999999.000100", "body": "Hello"}),
    Case("slack", "what a bot says is not the customer's", slack("Ev2", type="message", user="U8", bot_id="B1", channel="C1", text="Hi", ts="1771000000.000300")),
    Case("slack", "a new member", slack("Ev3", type="team_join", user={"id": "U9", "profile": {"email": "lea@sl.example", "real_name": "Lea"}, "tz": "Europe/Budapest"}),
         {"kind": "signup", "who": {("social:slack", "T1:U9"), ("email", "lea@sl.example")}, "name": "Lea"}),
    Case("slack", "a command", form({"command": "/help", "text": "my order", "user_id": "U7", "user_name": "zoli", "team_id": "T1", "channel_id": "C2", "trigger_id": "tr1"}),
         {"kind": "message", "external_id": "tr1", "subject": "/help", "body": "my order", "who": {("social:slack", "T1:U7")}}),

    Case("whatsapp", "a message and two states in one post", {"object": "whatsapp_business_account", "entry": [
        *whatsapp(messages=[{"from": "36301110002", "id": "wamid.in", "timestamp": "1771000000", "type": "text", "text": {"body": "Szia"}}])["entry"],
        *whatsapp(statuses=[whatsapp_status("read"), whatsapp_status("delivered")])["entry"]]},
         {"kind": "message", "direction": "in", "channel": "chat", "external_id": "wamid.in", "thread": "106:36301110002", "body": "Szia",
          "who": phone("+36301110002"), "name": "Kata", "occurred_at": AT},
         {"kind": "open", "direction": "out", "external_id": "wamid.out:read", "thread": "wamid.out", "who": phone("+36301110002")},
         {"kind": "delivered", "direction": "out", "outcome": "delivered", "external_id": "wamid.out:delivered", "thread": "wamid.out"}),
    Case("whatsapp", "a call ends", whatsapp("calls", calls=[{"id": "wacid.1", "from": "36301110002", "to": "15550783881", "event": "terminate",
                                                              "direction": "USER_INITIATED", "status": "COMPLETED", "start_time": "1771000000",
                                                              "timestamp": "1771000120", "duration": 120}]),
         {"kind": "call", "channel": "call", "direction": "in", "duration": 120, "outcome": "answered", "who": phone("+36301110002"), "external_id": "wacid.1:terminate"}),
    Case("whatsapp", "no more marketing", whatsapp("user_preferences", user_preferences=[{"wa_id": "36301110002", "category": "marketing_messages", "value": "stop", "timestamp": AT}]),
         {"kind": "unsubscribe", "direction": "in", "who": phone("+36301110002")}),

    Case("twilio", "a call rings", call(CallStatus="ringing", SequenceNumber="0", Timestamp="Fri, 13 Feb 2026 16:26:40 +0000"),
         {"kind": "call_status", "direction": "in", "outcome": "ringing", "external_id": "CA1:ringing:0", "thread": "CA1", "who": phone("+36301110003"), "occurred_at": AT}),
    Case("twilio", "and ends", call(CallStatus="completed", SequenceNumber="3", CallDuration="61", Duration="2", Timestamp="Fri, 13 Feb 2026 16:27:41 +0000"),
         {"kind": "call", "channel": "call", "direction": "in", "outcome": "answered", "duration": 61, "external_id": "CA1:completed:3", "thread": "CA1"}),
    Case("twilio", "its leg to the agent", call(CallSid="CA2", ParentCallSid="CA1", Direction="outbound-dial", To="+36301230000", CallStatus="no-answer"),
         {"kind": "call_leg", "outcome": "no_answer", "agent": "+36301230000", "thread": "CA1", "who": phone("+36301110003")}),
    Case("twilio", "we call", call(CallSid="CA3", Direction="outbound-api", From="+3615550100", To="+36301110007", CallStatus="busy"),
         {"kind": "call", "direction": "out", "outcome": "busy", "who": phone("+36301110007")}),
    Case("twilio", "an SMS of ours is sent", sms(MessageStatus="sent"),
         {"kind": "sent", "channel": "sms", "direction": "out", "external_id": "SM1:sent", "thread": "SM1", "who": phone("+36301110004")}),
    Case("twilio", "and delivered", sms(MessageStatus="delivered"), {"kind": "delivered", "outcome": "delivered", "external_id": "SM1:delivered", "thread": "SM1"}),
    Case("twilio", "a WhatsApp message comes in", form({"MessageSid": "SM2", "SmsSid": "SM2", "AccountSid": "AC1", "SmsStatus": "received", "From": "whatsapp:+36301110008",
                                                         "To": "whatsapp:+3615550100", "Body": "Hali", "NumMedia": "0", "ProfileName": "Olga"}),
         {"kind": "message", "channel": "chat", "direction": "in", "external_id": "SM2", "body": "Hali", "who": phone("+36301110008"), "name": "Olga"}),

    Case("cti", "rings", cti("newCall", user=["Anna", "Béla"], queue="Support"),
         {"kind": "call_status", "direction": "in", "outcome": "ringing", "external_id": "c-77:newCall", "thread": "c-77", "who": phone("+36301110005"),
          "agent": "Anna", "attributes.queue": "Support"}),
    Case("cti", "ends, as a form", form({**cti("hangup", cause="noAnswer"), "user[]": ["Anna"]}),
         {"kind": "call", "outcome": "no_answer", "external_id": "c-77:hangup", "agent": "Anna", "who": phone("+36301110005")}),
    Case("cti", "we call, and nobody may know the number", cti("hangup", callId="c-78", direction="out", to="anonymous", cause="busy", **{"from": "3615550100"}),
         {"kind": "call", "direction": "out", "outcome": "busy", "customer_id": 0}),

    Case("freeswitch", "a call in", cdr("+36301110010", "1000"),
         {"kind": "call", "channel": "call", "direction": "in", "outcome": "answered", "duration": 61.25, "wait": 3.5, "external_id": "core-1:u-1", "thread": "u-1",
          "who": phone("+36301110010"), "name": "Márta"}),
    Case("freeswitch", "its leg to the agent", cdr("+36301110010", "1000", {"originator": {}}, uuid="u-2", call_uuid="u-2", originator="u-1", direction="outbound"),
         {"kind": "call_leg", "direction": "in", "thread": "u-1", "agent": "1000", "who": phone("+36301110010")}),
    Case("freeswitch", "a call out that rings in vain", cdr("1000", "0036301110011", uuid="u-3", call_uuid="u-3", answer_epoch="0", billmsec="0", hangup_cause="NO_ANSWER"),
         {"kind": "call", "direction": "out", "outcome": "no_answer", "agent": "1000", "who": phone("+36301110011"), "duration": 0}),
    Case("freeswitch", "a caller who gives up in the queue, encoded inside", cdr("+36301110012", "1004", uuid="u-4", call_uuid="u-4", cc_cause="cancel", cc_queue="support%40default"),
         {"kind": "call", "outcome": "abandoned", "attributes.queue": "support@default"}),
    Case("freeswitch", "as a form", form({"cdr": json.dumps(cdr("+36301110013", "1000", uuid="u-5"))}),
         {"kind": "call", "who": phone("+36301110013"), "external_id": "core-1:u-5"}, path="?uuid=u-5"),
    Case("freeswitch", "as a form in base64", (b"cdr=" + base64.b64encode(json.dumps(cdr("+36301110015", "1000", uuid="u-6~~~")).encode()),
                                               "application/x-www-form-base64-encoded"),
         {"kind": "call", "who": phone("+36301110015"), "external_id": "core-1:u-6~~~"}, path="?uuid=u-6"),
    Case("freeswitch", "as older ones called their JSON", (json.dumps(cdr("+36301110016", "1000", uuid="u-7")).encode(), "application/x-www-form-plaintext"),
         {"kind": "call", "who": phone("+36301110016"), "external_id": "core-1:u-7"}, path="?uuid=u-7"),

    Case("3cx", "an answered call", three_cx("Inbound"),
         {"kind": "call", "channel": "call", "direction": "in", "outcome": "answered", "duration": 95, "agent": "101", "who": phone("+36301110006"), "name": "Nóra",
          "occurred_at": AT, "external_id": "2026-02-13T16:26:40 Inbound +36301110006 101 00:01:35"}),
    Case("3cx", "a missed one", three_cx("Missed", name="[Name]", duration="00:00:00"), {"direction": "in", "outcome": "no_answer", "duration": 0}),
    Case("3cx", "one of ours that nobody took", three_cx("Notanswered", number="+36301110014"), {"direction": "out", "outcome": "no_answer", "who": phone("+36301110014")}),

    Case("ses", "a bounce of two", ses("Bounce", "jo@ses.example", "zoe@ses.example", bounce={
        "bounceType": "Permanent", "bounceSubType": "General", "timestamp": SES_TIME, "bouncedRecipients": [
            {"emailAddress": "jo@ses.example", "status": "5.1.1", "diagnosticCode": "smtp; 550 unknown"}, {"emailAddress": "zoe@ses.example"}]}),
         {"kind": "bounce", "direction": "in", "outcome": "bounced", "external_id": f"{SNS_ID['x-amz-sns-message-id']}:jo@ses.example",
          "who": email("jo@ses.example"), "thread": "ses-1", "subject": "News", "campaign": "spring", "occurred_at": SES_AT,
          "attributes.type": "Permanent", "attributes.status": "5.1.1", "attributes.reason": "smtp; 550 unknown"},
         {"kind": "bounce", "who": email("zoe@ses.example"), "attributes.status": None}, headers=SNS_ID),
    Case("ses", "a complaint, as a feedback notification", {**{k: v for k, v in ses("x", "kim@ses.example").items() if k != "eventType"},
        "notificationType": "Complaint", "complaint": {"complainedRecipients": [{"emailAddress": "kim@ses.example"}], "timestamp": SES_TIME,
                                                       "complaintFeedbackType": "abuse"}},
         {"kind": "spam_report", "direction": "in", "who": email("kim@ses.example"), "attributes.type": "abuse", "occurred_at": SES_AT}),
    Case("ses", "delivered", ses("Delivery", "lea@ses.example", delivery={"recipients": ["lea@ses.example"], "timestamp": SES_TIME,
                                                                          "smtpResponse": "250 ok"}),
         {"kind": "delivered", "direction": "out", "outcome": "delivered", "who": email("lea@ses.example"), "attributes.response": "250 ok"}),
    Case("ses", "sent to two", ses("Send", "max@ses.example", "ned@ses.example", send={}),
         {"kind": "sent", "direction": "out", "who": email("max@ses.example"), "with": {"to": email("max@ses.example") | email("ned@ses.example")},
          "occurred_at": AT}),
    Case("ses", "delayed", ses("DeliveryDelay", "ola@ses.example", deliveryDelay={
        "delayType": "MailboxFull", "timestamp": SES_TIME, "delayedRecipients": [{"emailAddress": "ola@ses.example", "status": "4.2.2"}]}),
         {"kind": "sent", "outcome": "deferred", "who": email("ola@ses.example"), "attributes.type": "MailboxFull"}),
    Case("ses", "rejected", ses("Reject", "pia@ses.example", reject={"reason": "Bad content"}),
         {"kind": "failed", "outcome": "failed", "who": email("pia@ses.example"), "attributes.reason": "Bad content"}),
    Case("ses", "no mail came of the template", ses("Rendering Failure", "pia@ses.example", failure={"errorMessage": "name is missing"}),
         {"kind": "failed", "attributes.reason": "name is missing"}),
    Case("ses", "opened", ses("Open", "ria@ses.example", open={"timestamp": SES_TIME, "userAgent": "Mail", "ipAddress": "192.0.2.1"}),
         {"kind": "open", "direction": "out", "who": email("ria@ses.example"), "occurred_at": SES_AT, "attributes.ip": "192.0.2.1"}),
    Case("ses", "opened by one of two", ses("Open", "ria@ses.example", "sam@ses.example", open={"timestamp": SES_TIME}),
         {"kind": "open", "customer_id": 0}),
    Case("ses", "clicked", ses("Click", "ria@ses.example", click={"timestamp": SES_TIME, "link": "https://shop.example/x"}),
         {"kind": "click", "who": email("ria@ses.example"), "attributes.url": "https://shop.example/x"}),
    Case("ses", "clicked by one of two", ses("Click", "ria@ses.example", "sam@ses.example", click={"timestamp": SES_TIME, "link": "x"}),
         {"kind": "click", "customer_id": 0, "attributes.url": "x"}),
    Case("ses", "wants no more of a list", ses("Subscription", "uma@ses.example", subscription={
        "contactList": "news", "timestamp": SES_TIME, "newTopicPreferences": {"unsubscribeAll": True}}),
         {"kind": "unsubscribe", "direction": "in", "who": email("uma@ses.example"), "attributes.list": "news"}),
    Case("ses", "a test of the topic is ignored", {"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have successfully subscribed"}),
]
