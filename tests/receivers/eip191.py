"""A receiver in Flask of notifications that an Ethereum key signed: eth-account recovers who signed the hex text of the
body's SHA-256, and only SIGNER is believed.

FAULT names one mistake to make, each marked by its name below. It prints its port, and then a line of JSON for each request.
"""

import hashlib
import json
import os
import signal
import sys

from eth_account import Account
from eth_account.messages import encode_defunct
from flask import Flask, request
from werkzeug.serving import make_server

signer = os.environ["SIGNER"]
fault = os.environ.get("FAULT", "")
failures = int(os.environ.get("FAIL_FIRST", "0"))
app = Flask(__name__)


def say(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def recovered(signature, body):
    digest = hashlib.sha256(body)
    message = encode_defunct(digest.digest()) if fault == "the-digest" else encode_defunct(text=digest.hexdigest())
    try:
        return Account.recover_message(message, signature=signature)
    except Exception:
        return None


@app.post("/hook")
def hook():
    global failures
    body = request.get_data()
    who = recovered(request.headers.get("X-EIP191-Signature", ""), body)
    verified = who is not None if fault == "any-signer" else who == signer
    status = 200 if verified else 403
    if verified and failures > 0:
        failures -= 1
        status = 500
    notice = json.loads(body) if verified else {}
    policy = notice.get("policy") or {}
    digest = hashlib.sha256(body).hexdigest()
    say(verified=verified, signer=who, type=notice.get("type"), id=policy.get("id"), sha256=digest, status=status)
    return "", status


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = make_server("127.0.0.1", 0, app, threaded=True)
say(port=server.server_port)
server.serve_forever()
