"""What checks.mjs finds with the clients for Node, in a process of its own."""

import json
import shutil
import subprocess
from pathlib import Path

from checks_calling import ASKED, MODEL, OTHER_MODEL
from model_server import TOLD, TOOL, VECTOR, WORDS
from relay import Relay

LIMIT_SECONDS = 90


def run(tally, keyward, model, key, every, revoked, packages):
    relay = Relay(keyward.data)
    # Node looks for packages beside the file.
    program = Path(packages, "checks.mjs")
    shutil.copyfile(Path(__file__).with_name("checks.mjs"), program)
    told = {
        "data": keyward.data,
        "relay": relay.url,
        "server": model.url,
        "key": key,
        "every": every,
        "revoked": revoked,
        "model": MODEL,
        "other": OTHER_MODEL,
        "asked": ASKED,
        "words": WORDS,
        "tool": TOOL,
        "told": TOLD,
        "vector": VECTOR,
    }
    # By standard input: no key is for others of this machine to see.
    node = subprocess.Popen(
        ["node", program.name], cwd=program.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        said, _ = node.communicate(json.dumps(told), timeout=LIMIT_SECONDS)
    finally:
        node.kill()
        relay.close()
    found = [json.loads(line) for line in said.splitlines() if line.startswith('{"sentence"')]
    for each in found:
        tally.check(each["sentence"], lambda each=each: went_well(each["error"]))
    tally.check("Node: every check was made", lambda: went_well(None if node.returncode == 0 else said))
    tally.check("performance client, Node: HTTP/2 with prior knowledge, always", lambda: always_http2(relay))


def went_well(error):
    assert error is None, error


def always_http2(relay):
    spoken = relay.spoken()
    assert spoken == {"http2"}, spoken
