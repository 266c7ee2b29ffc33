"""Runs schemathesis against an admin listener: the one the environment names, or one of our own.

Usage: attack.py PROGRAM DIRECTORY [OPTIONS OF schemathesis run], with schemathesis installed beside this Python;
schemathesis.sh sees to that.
"""

import os
import subprocess
import sys
from pathlib import Path

from program import Program


def main(program, directory, *options):
    url = os.environ.get("KEYWARD_URL")
    if url:
        return attack(url, os.environ["KEYWARD_API_KEY"], directory, options)
    for name in [name for name in os.environ if name.startswith("KEYWARD_")]:
        del os.environ[name]
    # Nothing listens at the upstream: nothing here calls a model.
    keyward = Program(program, directory, "http://127.0.0.1:9")
    try:
        keyward.wait_until_ready()
        return attack(keyward.admin, keyward.admin_token, directory, options) or keyward.stop()
    finally:
        keyward.kill()


def attack(url, token, directory, options):
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "run",
        f"{url.rstrip('/')}/openapi.json",
        "--header",
        f"Authorization: Bearer {token}",
        *options,
    ]
    return subprocess.run(command, cwd=directory, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
