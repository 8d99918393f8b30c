// SPDX-License-Identifier: Apache-2.0
// Signs with the genuine package of a tool and posts: reads one request as JSON from stdin,
//   { "with": "stripe", "url": …, "post_to": …, "secret": …, "body": …, … }
// and prints { "status": …, "body": … }.
"use strict";
const http = require("http");

// What each package is asked for; each returns further headers, and may change the URL.
const signers = {
	standardwebhooks(r) {
		const { Webhook } = require("standardwebhooks");
		const at = new Date(r.timestamp * 1000);
		return { "webhook-id": r.id, "webhook-timestamp": String(r.timestamp),
			"webhook-signature": new Webhook(r.secret).sign(r.id, at, r.body) };
	},
	svix(r) {
		const { Webhook } = require("svix");
		const at = new Date(r.timestamp * 1000);
		return { "svix-id": r.id, "svix-timestamp": String(r.timestamp),
			"svix-signature": new Webhook(r.secret).sign(r.id, at, r.body) };
	},
	stripe(r) {
		const Stripe = require("stripe");
		return { "Stripe-Signature": Stripe.webhooks.generateTestHeaderString({
			payload: r.body, secret: r.secret, timestamp: r.timestamp }) };
	},
	async github(r) {
		const { sign } = await import("@octokit/webhooks-methods");
		return { "X-Hub-Signature-256": await sign(r.secret, r.body) };
	},
	twilio(r) {
		const { getExpectedTwilioSignature, getExpectedBodyHash } =
			require("twilio/lib/webhooks/webhooks");
		const is_form = r.headers["Content-Type"].includes("urlencoded");
		const params = {};
		if (is_form)
			for (const [name, value] of new URLSearchParams(r.body))
				params[name] = name in params ? [].concat(params[name], value) : value;
		else
			for (const key of ["url", "post_to"])
				r[key] += (r[key].includes("?") ? "&" : "?") + "bodySHA256=" + getExpectedBodyHash(r.body);
		return { "X-Twilio-Signature": getExpectedTwilioSignature(r.secret, r.url, params) };
	},
};

async function main() {
	const r = JSON.parse(require("fs").readFileSync(0, "utf8"));
	const signature = await signers[r.with](r);
	const req = http.request(r.post_to, { method: "POST", headers: { ...r.headers, ...signature,
		"Content-Length": Buffer.byteLength(r.body) } }, (res) => {
		let body = "";
		res.setEncoding("utf8");
		res.on("data", (s) => body += s);
		res.on("end", () => console.log(JSON.stringify({ status: res.statusCode, body })));
	});
	req.end(r.body);
}

main();
