// A receiver in Express of notifications that an Ethereum key signed: ethers (version 5) recovers who signed the hex text of
// the body's SHA-256, and only SIGNER is believed.
// FAULT names one mistake to make, each marked by its name below. It prints its port, and then a line of JSON for each request.
"use strict";

const { createHash } = require("node:crypto");
const { utils } = require("ethers");
const express = require("express");

const signer = process.env.SIGNER;
const fault = process.env.FAULT;
let failures = Number(process.env.FAIL_FIRST ?? 0);

const say = (fields) => console.log(JSON.stringify(fields));

function recovered(text, bytes) {
  const digest = createHash("sha256").update(bytes);
  const message = { "the-digest": () => digest.digest(), "the-body": () => bytes }[fault] ?? (() => digest.digest("hex"));
  try {
    return utils.verifyMessage(message(), text);
  } catch (error) {
    if (fault === "uncaught") throw error;
    return null;
  }
}

const app = express();
app.disable("x-powered-by");
app.post("/hook", express.raw({ type: () => true, limit: "5mb" }), (request, response) => {
  const bytes = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const who = recovered(request.get("x-eip191-signature") ?? "", bytes);
  const verified = fault === "any-signer" ? who !== null : who === signer;
  const status = !verified ? 403 : failures-- > 0 ? 500 : 200;
  const { type, policy } = verified ? JSON.parse(bytes) : {};
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  say({ verified, signer: who, type, id: policy?.id ?? null, sha256, status });
  response.status(status).end();
});

const server = app.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
process.on("SIGTERM", () => process.exit(0));
