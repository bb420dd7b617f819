// A receiver of Ensuro's notifications in Express. The signature is checked over the raw bytes, within express.json's
// `verify`; what is not signed is refused with 403; what came before is answered 200 and not done again.
// SECRET_FILE holds the shared secret; FAULT names one mistake to make, each marked by its name below; FAIL_FIRST is how
// many good requests are answered 500 first. It prints its port, and then a line of JSON for each request.
"use strict";

const { createHash, createHmac, timingSafeEqual } = require("node:crypto");
const { readFileSync } = require("node:fs");
const express = require("express");

const secret = readFileSync(process.env.SECRET_FILE, "utf8").trim();
const fault = process.env.FAULT;
let failures = Number(process.env.FAIL_FIRST ?? 0);

const say = (fields) => console.log(JSON.stringify(fields));
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

function isSigned(request, bytes) {
  const given = request.get("x-ensuro-signature");
  if (fault === "unchecked") return true;
  if (given === undefined) return fault === "optional";
  const right = createHmac("sha256", secret).update(bytes).digest("hex");
  if (fault === "prefix") return right.startsWith(given);
  return given.length === right.length && timingSafeEqual(Buffer.from(given, "latin1"), Buffer.from(right, "latin1"));
}

function check(request, bytes) {
  request.digest = createHash("sha256").update(bytes).digest("hex");
  request.verified = isSigned(request, bytes);
  if (!request.verified) throw new Error("the signature is wrong");
}

const seen = new Set();
const created = new Set();
let turn = Promise.resolve();

const TYPES = /^policy\/(creation|resolution|cancellation|replacement)(\/failed)?$/;

// What a partner's system would do with a notification.
function handle({ type, policy }) {
  if (fault === "null-quote") say({ quote: policy?.quote.quote_id });
  if (fault === "custom-data" && policy) say({ first: Object.values(policy.custom_data)[0].toString() });
  if (fault === "order" && type === "policy/resolution" && !created.has(policy.id)) throw new Error("no such policy");
  if (fault === "unknown-type" && !TYPES.test(type)) throw new Error("no such type");
  if (type === "policy/creation") created.add(policy.id);
}

// The fields that the document shows.
const FIELDS = `id ensuro_id url rm status payout actual_payout premium pure_premium ensuro_commission partner_commission
  jr_coc sr_coc jr_scr sr_scr loss_prob start expiration events quote bucket_id_hash custom_data replaces replaced_by
  refund_data updated_at`.split(/\s+/);

async function answer(request) {
  const notice = request.body;
  const isNew = !seen.has(request.digest);
  if (failures > 0) {
    failures -= 1;
    return 500;
  }
  if (fault === "slow") await sleep(11_000);
  if (fault === "serial") await (turn = turn.then(() => sleep(600)));
  if (fault === "strict" && Object.keys(notice.policy ?? {}).some((name) => !FIELDS.includes(name))) return 400;
  if (fault === "refuses-duplicates" && !isNew) return 409;
  if (fault === "crashes-on-duplicates" && !isNew) throw new Error("UNIQUE constraint failed: notification.digest");
  if (isNew) handle(notice);
  seen.add(request.digest);
  return { created: 201, redirect: 302 }[fault] ?? 200;
}

const app = express();
app.disable("x-powered-by");
// Express by itself takes no more than 100 kB.
const limit = fault === "default-limit" ? undefined : "5mb";

if (fault === "stringify") {
  app.use(express.json({ limit }), (request, _response, next) => {
    check(request, Buffer.from(JSON.stringify(request.body)));
    next();
  });
} else {
  app.use(express.json({ limit, verify: (request, _response, bytes) => check(request, bytes) }));
}

app.post("/hook", async (request, response) => {
  if (fault === "hangs-up" && request.socket.isKept) return request.socket.destroy();
  request.socket.isKept = true;
  // Without a body nothing was read, and so nothing was checked.
  if (!request.verified) return refuse(new Error("no body"), request, response);
  const status = await answer(request);
  const { type, policy } = request.body;
  say({ verified: true, type, id: policy?.id ?? null, sha256: request.digest, status });
  if (status === 302) response.location("/elsewhere");
  response.status(status).end();
});

function refuse(error, request, response, _next) {
  const status = error.status ?? (request.verified ? 500 : 403);
  say({ verified: request.verified ?? false, sha256: request.digest, status, error: error.message });
  response.status(status).end();
}
app.use(refuse);

const server = app.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
process.on("SIGTERM", () => process.exit(0));
