"""A receiver of Octamile's webhook in Flask: it keeps the status, and saves the certificate of an approved policy in SAVE.

FAULT names one mistake to make, each marked by its name below; FAIL_FIRST is how many requests are answered 500 first.
It prints its port, and then a line of JSON for each request.
"""

import base64
import hashlib
import json
import os
import re
import signal
import sys

from flask import Flask, request
from werkzeug.serving import make_server

fault = os.environ.get("FAULT", "")
failures = int(os.environ.get("FAIL_FIRST", "0"))
app = Flask(__name__)
statuses = {}


def say(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def place(transaction, kind):
    """Where a certificate is saved; None if these words could lead out of the folder."""
    # The naive way: "../../" in an id that anybody may send is a way to any file.
    if fault == "any-path":
        return os.environ["SAVE"] + "/" + transaction + "." + kind
    if re.fullmatch("[A-Za-z0-9]{1,64}", transaction) and kind in ("jpg", "png", "pdf"):
        return os.path.join(os.environ["SAVE"], f"{transaction}.{kind}")
    return None


def answer(notice):
    global failures
    transaction = notice["trnsctnId"]
    if failures > 0:
        failures -= 1
        return 500
    if fault == "once" and statuses.get(transaction) == notice["status"]:
        return 409
    statuses[transaction] = notice["status"]
    if notice["status"] == "a" or fault == "declined":
        where = place(transaction, notice["crtfctType"])
        if where is not None:
            with open(where, "wb") as file:
                file.write(base64.b64decode(notice["crtfct"], validate=True))
    return 202 if fault == "accepted" else 200


@app.post("/hook")
def hook():
    digest = hashlib.sha256(request.get_data()).hexdigest()
    notice, error = request.get_json(), None
    try:
        status = answer(notice)
    except Exception as crash:
        status, error = 500, repr(crash)
    say(verified=None, type=notice["status"], id=notice["trnsctnId"], sha256=digest, status=status, error=error)
    return "", status


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = make_server("127.0.0.1", 0, app, threaded=True)
say(port=server.server_port)
server.serve_forever()
