// A receiver of Octamile's webhook in Express: it answers 200 at once, and works afterwards. The status of a transaction is
// kept, and the certificate of one that was approved is saved in the folder SAVE.
// FAULT names one mistake to make, each marked by its name below; FAIL_FIRST is how many requests are answered 500 first.
// It prints its port, and then a line of JSON for each request.
"use strict";

const { createHash } = require("node:crypto");
const { writeFileSync } = require("node:fs");
const { join } = require("node:path");
const express = require("express");

const fault = process.env.FAULT;
let failures = Number(process.env.FAIL_FIRST ?? 0);
// Of the transactions that it asked for.
const statuses = new Map([[process.env.KNOWN, "p"]]);

const say = (fields) => console.log(JSON.stringify(fields));
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

// The id names the file, so it may be nothing but a name.
const isId = (text) => /^[A-Za-z0-9]{1,64}$/.test(text);

function keep(notice) {
  const { trnsctnId: id, status, crtfct, crtfctType: kind } = notice;
  statuses.set(id, status);
  if (status === "a" && isId(id) && ["jpg", "png", "pdf"].includes(kind)) {
    writeFileSync(join(process.env.SAVE, `${id}.${kind}`), Buffer.from(crtfct, "base64"));
  }
}

const app = express();
app.disable("x-powered-by");
// A certificate is longer than the 100 kB that Express takes by itself.
app.use(express.json({
  limit: fault === "default-limit" ? undefined : "10mb",
  verify: (request, _response, bytes) => { request.digest = createHash("sha256").update(bytes).digest("hex"); },
}));

app.post("/hook", async (request, response) => {
  const { trnsctnId: id, status: state, crtfct } = request.body;
  if (fault === "slow") await sleep(6000);
  if (fault === "declined" && crtfct.length === 0) throw new Error("a policy without a certificate");
  if (fault === "unknown-transaction" && !statuses.has(id)) throw new Error("no such transaction");
  const status = failures > 0 ? 500 : ({ created: 201, "no-content": 204 }[fault] ?? 200);
  failures -= 1;
  response.status(status).end();
  if (status < 300) setImmediate(keep, request.body);
  say({ verified: null, type: state, id, sha256: request.digest, status });
});

app.use((error, request, response, _next) => {
  const status = error.status ?? 500;
  say({ verified: null, sha256: request.digest, status, error: error.message });
  response.status(status).end();
});

const server = app.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
process.on("SIGTERM", () => process.exit(0));
