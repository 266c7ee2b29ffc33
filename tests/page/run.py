"""Tries the admin page of `keyward serve` in Chromium, and says how many checks passed.

Usage: run.py PROGRAM DIRECTORY BROWSER SCREENSHOTS, with playwright and axe-core installed; page.sh sees to that.
"""

import os
import signal
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "clients"))
for name in list(os.environ):
    if name.startswith("KEYWARD_") or name.lower().endswith("_proxy"):
        del os.environ[name]

from playwright.sync_api import sync_playwright

import checks_keys
import checks_look
import checks_rules
from model_server import ModelServer
from program import Program
from tally import Tally

LIMIT_SECONDS = 300
UPSTREAM_KEY = "sk-of-the-upstream-0123456789abcdef"
SETTINGS = """
server.name = "{name}"
server.report_every = "300ms"
upstreams.default.url = "{upstream}"
[[proxy.routes]]
path = "/v1/chat/completions"
upstream = "default"
model_in = ["body"]
[[proxy.routes]]
path = "/models/{{model}}/predict"
upstream = "default"
[upstreams.openai]
url = "http://127.0.0.1:9"
[[upstreams.openai.keys]]
id = "first"
name = "First account"
value = {{ inline = "{key}" }}
models = ["gpt-*"]
denied_models = ["gpt-4"]
[[upstreams.openai.keys]]
id = "second"
value = "env.SECOND_UPSTREAM_KEY"
weight = 0.5
enabled = false
"""


class Stage:
    """What the checks play on: two instances on one key database, a model server and a browser."""

    def __init__(self, program, directory, chromium, screenshots):
        os.environ["SECOND_UPSTREAM_KEY"] = UPSTREAM_KEY
        self.model = ModelServer()
        self.screenshots = Path(screenshots)
        self.keyward = Program(program, directory, name="edge-1", settings=self.settings("edge-1"))
        self.keyward.wait_until_ready()
        self.other = Program(
            program, directory, name="edge-2", settings=self.settings("edge-2"), database=self.keyward.database
        )
        self.other.wait_until_ready()
        self.chromium = chromium
        self.url = f"{self.keyward.admin}/admin"

    def settings(self, name):
        return SETTINGS.format(name=name, upstream=self.model.url, key=UPSTREAM_KEY)

    def close(self):
        self.keyward.kill()
        self.other.kill()
        self.model.close()


def main(program, directory, browser, screenshots):
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT_SECONDS)
    tally = Tally()
    with sync_playwright() as playwright:
        # Chromium's own sandbox wants a user that is not root.
        chromium = playwright.chromium.launch(executable_path=browser, chromium_sandbox=os.getuid() != 0)
        stage = Stage(program, directory, chromium, screenshots)
        try:
            checks_keys.run(tally, stage)
            checks_look.run(tally, stage)
            checks_rules.run(tally, stage)
        except Exception:
            tally.failed += 1
            traceback.print_exc()
        finally:
            chromium.close()
            stage.close()
    if tally.failed:
        print("\nthe end of keyward's log:", *stage.keyward.log_end(), sep="\n", file=sys.stderr)
    print(f"{tally.passed} passed, {tally.failed} failed", flush=True)
    return 1 if tally.failed else 0


def too_long(*_):
    raise TimeoutError(f"the checks took longer than {LIMIT_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
