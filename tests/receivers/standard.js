// A receiver of Standard Webhooks in Express, with the official package. SECRET_FILE holds the secret (whsec_...).
// It prints its port, and then a line of JSON for each request.
"use strict";

const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");
const express = require("express");
const { Webhook } = require("standardwebhooks");

const webhook = new Webhook(readFileSync(process.env.SECRET_FILE, "utf8").trim());
let failures = Number(process.env.FAIL_FIRST ?? 0);

const say = (fields) => console.log(JSON.stringify(fields));

const app = express();
app.disable("x-powered-by");
app.post("/hook", express.raw({ type: () => true, limit: "5mb" }), (request, response) => {
  let status = 200;
  let error = null;
  try {
    webhook.verify(request.body, request.headers);
    if (failures-- > 0) status = 500;
  } catch (refusal) {
    status = 401;
    error = refusal.message;
  }
  const signatures = (request.get("webhook-signature") ?? "").split(" ").length;
  const sha256 = createHash("sha256").update(request.body).digest("hex");
  say({ verified: error === null, id: request.get("webhook-id"), signatures, sha256, status, error });
  response.status(status).end();
});

const server = app.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
process.on("SIGTERM", () => process.exit(0));
