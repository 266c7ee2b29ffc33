"""`keyward serve` as a process of ours: its addresses, its start and its end."""

import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path


class Program:
    """Runs `keyward serve --upstream …` on free loopback ports, with SQLite in `directory`."""

    def __init__(self, program, directory, upstream):
        data, admin, probes = free_ports(3)
        self.data = f"http://127.0.0.1:{data}"
        self.admin = f"http://127.0.0.1:{admin}"
        self.probes = f"http://127.0.0.1:{probes}"
        self.directory = Path(directory, "keyward")
        self.directory.mkdir(mode=0o700)
        self.log = self.directory / "log"
        self.admin_token = secrets.token_urlsafe(32)
        token_file = Path(directory, "admin-token")
        token_file.touch(mode=0o600)
        token_file.write_text(self.admin_token)
        settings = {
            "KEYWARD_LISTEN": f"127.0.0.1:{data}",
            "KEYWARD_ADMIN_LISTEN": f"127.0.0.1:{admin}",
            "KEYWARD_PROBES__LISTEN": f"127.0.0.1:{probes}",
            "KEYWARD_DATABASE_URL": f"sqlite://{self.directory}/keyward.db",
            "KEYWARD_ADMIN__TOKEN_FILE": str(token_file),
            "KEYWARD_LOG": "debug",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [Path(program).absolute(), "serve", "--upstream", upstream],
                env=os.environ | settings,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"keyward ended with {self.process.returncode}")
            try:
                with urllib.request.urlopen(f"{self.probes}/readyz", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise RuntimeError("keyward was not ready within 20 s")

    def stop(self):
        """Asks it to end, and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
