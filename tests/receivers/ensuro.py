"""A receiver of Ensuro's notifications in Flask: the signature is checked over the raw bytes, in constant time.

SECRET_FILE holds the shared secret; FAULT names one mistake to make, each marked by its name below; FAIL_FIRST is how many
good requests are answered 500 first. It prints its port, and then a line of JSON for each request.
"""

import hashlib
import hmac
import json
import os
import signal
import sys
import threading
import time

from flask import Flask, request
from werkzeug.serving import make_server

secret = open(os.environ["SECRET_FILE"], "rb").read().strip()
fault = os.environ.get("FAULT", "")
failures = int(os.environ.get("FAIL_FIRST", "0"))

app = Flask(__name__)
seen = set()
created = set()
lock = threading.Lock()


def say(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def covered():
    """What the signature is computed over."""
    body = request.get_data()
    if fault == "dumps":
        return json.dumps(json.loads(body)).encode()
    if fault == "latin-1":
        return body.decode("latin-1").encode()
    return body


def is_signed():
    given = request.headers.get("X-Ensuro-Signature")
    if given is None:
        return fault == "optional"
    right = hmac.new(secret, covered(), hashlib.sha256).hexdigest()
    if fault == "prefix":
        return right[:16] == given[:16]
    return hmac.compare_digest(right.encode(), given.encode())


def answer(notice, digest):
    """What a partner's system would do, and the status that says so."""
    global failures
    kind, policy = notice["type"], notice.get("policy")
    if failures > 0:
        failures -= 1
        return 500
    if fault == "serial":
        with lock:
            time.sleep(0.6)
    if digest in seen:
        return 200
    if fault == "race":
        time.sleep(0.5)
        if digest in seen:
            raise RuntimeError("UNIQUE constraint failed: notification.digest")
    if fault == "unknown-policy" and policy and kind != "policy/creation" and policy["id"] not in created:
        return 404
    if fault == "null-quote" and policy:
        policy["quote"]["quote_id"]
    if kind == "policy/creation":
        created.add(policy["id"])
    seen.add(digest)
    return 204 if fault == "no-content" else 200


@app.post("/hook")
def hook():
    digest = hashlib.sha256(request.get_data()).hexdigest()
    verified = is_signed()
    notice = json.loads(request.get_data()) if verified else {}
    status, error = 200 if fault == "never-refuses" else 403, None
    if verified:
        try:
            status = answer(notice, digest)
        except Exception as crash:
            status, error = 500, repr(crash)
    policy = notice.get("policy") or {}
    say(verified=verified, type=notice.get("type"), id=policy.get("id"), sha256=digest, status=status, error=error)
    return "", status


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = make_server("127.0.0.1", 0, app, threaded=True)
say(port=server.server_port)
server.serve_forever()
