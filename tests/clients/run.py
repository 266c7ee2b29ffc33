"""Runs every check against `keyward serve` in front of a model server, and says how many passed.

Usage: run.py PROGRAM DIRECTORY PACKAGES, with the clients installed, those for Node in PACKAGES; clients.sh sees to that.
"""

import os
import re
import signal
import sys
import traceback
import urllib.request

# What the clients would take from whoever runs this. Before they are imported: some read it then.
for name in list(os.environ):
    ours = ("KEYWARD_", "BASETEN_", "OPENAI_", "ANTHROPIC_", "USER_TRUSSRC_")
    if name.startswith(ours) or name.lower().endswith("_proxy"):
        del os.environ[name]

# What truss reads, and it must read nobody's.
os.environ["USER_TRUSSRC_PATH"] = os.devnull
os.environ["BASETEN_TRUSS_AUTH_KEYRING_DISABLED"] = "1"

import checks_calling
import checks_creating
import checks_managing
import checks_node
import checks_performance
import checks_protocols
import checks_sdks
import checks_signing
from baseten.client import ManagementClient
from baseten.client.managementapi import CreateAPIKeyRequest
from model_server import ModelServer
from program import Program
from tally import Tally, equal, nothing

LIMIT_SECONDS = 300
KEY_TEXT = re.compile(r"kw_[0-9A-Za-z]{8}\.[0-9A-Za-z]{38}")


RESTING = """
upstreams.default.url = "{url}"
[[upstreams.default.keys]]
id = "a"
value = {{ inline = "a secret of the upstream" }}
"""


def main(program, directory, packages):
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT_SECONDS)
    model = ModelServer()
    keyward = Program(program, directory, model.url)
    tally = Tally()
    try:
        keyward.wait_until_ready()
        checks_managing.run(tally, keyward, model)
        checks_calling.run(tally, keyward, model)
        key, every, revoked = make_keys(keyward, model)
        checks_sdks.run(tally, keyward, model, key)
        checks_creating.run(tally, keyward, model, key)
        checks_performance.run(tally, keyward, model, key, every, revoked)
        checks_node.run(tally, keyward, model, key, every, revoked, packages)
        tally.check("the model server never sees a caller's key", lambda: nothing(model.leaks))
        tally.check("the metrics count the calls and name no key", lambda: metrics_are_silent(keyward, model))
        tally.check("SIGTERM ends keyward with 0", lambda: equal(keyward.stop(), 0))
        tally.check("no key's text is in the log or the database", lambda: secrets_stay_out(keyward, model))
        resting(tally, program, directory)
        checks_protocols.run(tally, program, directory)
        checks_signing.run(tally, program, directory)
    except Exception:
        tally.failed += 1
        traceback.print_exc()
    finally:
        keyward.kill()
        model.close()
        if tally.failed:
            print("\nthe end of keyward's log:", *keyward.log_end(), sep="\n", file=sys.stderr)
        print(f"{tally.passed} passed, {tally.failed} failed", flush=True)
    return 1 if tally.failed else 0


def make_keys(keyward, model):
    """A key that calls one model, one that calls every model, and one that called one until it was deleted."""
    with ManagementClient(api_key=keyward.admin_token, base_url_override=keyward.admin) as client:

        def make(name, models):
            asked = CreateAPIKeyRequest(name=name, type="WORKSPACE_INVOKE", model_ids=models)
            return client.api.post_api_keys(request=asked).api_key

        key, every, revoked = make("one", ["m1"]), make("every", None), make("gone", ["m1"])
        model.secrets |= {key, every, revoked}
        client.api.delete_api_keys(api_key_prefix=revoked.split(".")[0])
    return key, every, revoked


def resting(tally, program, directory):
    """The checks with a keyward of our own, that has a key of its own to present."""
    model = ModelServer()
    keyward = Program(program, directory, name="resting", settings=RESTING.format(url=model.url))
    try:
        keyward.wait_until_ready()
        checks_sdks.resting(tally, keyward, make_keys(keyward, model)[0])
    finally:
        keyward.kill()
        model.close()


def metrics_are_silent(keyward, model):
    with urllib.request.urlopen(f"{keyward.probes}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    forwarded = re.search(r'^keyward_requests_total\{outcome="forwarded"\} (\d+)$', metrics, re.MULTILINE)
    assert forwarded and int(forwarded[1]) == len(model.requests), (forwarded, len(model.requests))
    prefixes = [secret.split(".")[0] for secret in model.secrets]
    nothing([prefix for prefix in prefixes if prefix in metrics])


def secrets_stay_out(keyward, model):
    assert model.secrets, "the checks made no key"
    for path in keyward.directory.rglob("*"):
        content = path.read_bytes().decode("latin-1")
        found = [secret for secret in (*model.secrets, keyward.admin_token) if secret in content]
        assert not found and not KEY_TEXT.search(content), f"a key's text is in {path.name}"


def too_long(*_):
    raise TimeoutError(f"the checks took longer than {LIMIT_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
