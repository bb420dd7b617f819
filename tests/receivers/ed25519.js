// A receiver of Standard Webhooks in Express that asks for asymmetric signatures (v1a), which the official packages do not
// check: Node's own cryptography does, with the public key PUBLIC (whpk_...).
// It prints its port, and then a line of JSON for each request.
"use strict";

const { createHash, createPublicKey, verify } = require("node:crypto");
const express = require("express");

const raw = Buffer.from(process.env.PUBLIC.replace(/^whpk_/, ""), "base64");
const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });

const say = (fields) => console.log(JSON.stringify(fields));

function isSigned(request) {
  const [id, timestamp] = [request.get("webhook-id"), request.get("webhook-timestamp")];
  const fresh = Math.abs(Date.now() / 1000 - Number(timestamp)) < 300;
  const covered = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), request.body]);
  const given = (request.get("webhook-signature") ?? "").split(" ").map((one) => one.split(","));
  const good = ([version, text]) => version === "v1a" && verify(null, covered, key, Buffer.from(text ?? "", "base64"));
  return id !== undefined && fresh && given.some(good);
}

const app = express();
app.disable("x-powered-by");
app.post("/hook", express.raw({ type: () => true, limit: "5mb" }), (request, response) => {
  const verified = isSigned(request);
  const status = verified ? 200 : 401;
  const sha256 = createHash("sha256").update(request.body).digest("hex");
  say({ verified, id: request.get("webhook-id"), sha256, status });
  response.status(status).end();
});

const server = app.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
process.on("SIGTERM", () => process.exit(0));
