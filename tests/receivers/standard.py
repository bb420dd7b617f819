"""A receiver of Standard Webhooks in Flask, with the official package. SECRET_FILE holds the secret (whsec_...).

It prints its port, and then a line of JSON for each request.
"""

import hashlib
import json
import os
import signal
import sys

from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError
from werkzeug.serving import make_server

webhook = Webhook(open(os.environ["SECRET_FILE"]).read().strip())
failures = int(os.environ.get("FAIL_FIRST", "0"))
app = Flask(__name__)


def say(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


@app.post("/hook")
def hook():
    global failures
    body = request.get_data()
    status, error = 200, None
    try:
        webhook.verify(body, dict(request.headers))
        if failures > 0:
            failures -= 1
            status = 500
    except WebhookVerificationError as refusal:
        status, error = 401, str(refusal)
    signatures = len(request.headers.get("webhook-signature", "").split(" "))
    digest = hashlib.sha256(body).hexdigest()
    identity = request.headers.get("webhook-id")
    say(verified=error is None, id=identity, signatures=signatures, sha256=digest, status=status, error=error)
    return "", status


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = make_server("127.0.0.1", 0, app, threaded=True)
say(port=server.server_port)
server.serve_forever()
