"""`keyward serve` as a process of ours: its addresses, its start and its end."""

import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path


class Program:
    """Runs `keyward serve` on free loopback ports, with SQLite below `directory` unless a database is given.

    It has either an upstream and the built-in routes, or settings of its own, which may say that `data` speaks TLS.
    """

    def __init__(
        self, program, directory, upstream=None, name="keyward", settings=None, database=None, scheme="http"
    ):
        data, admin, probes = free_ports(3)
        self.name = name
        self.scheme = scheme
        self.data = f"{scheme}://127.0.0.1:{data}"
        self.admin = f"http://127.0.0.1:{admin}"
        self.probes = f"http://127.0.0.1:{probes}"
        self.directory = Path(directory, name)
        self.directory.mkdir(mode=0o700)
        self.log = self.directory / "log"
        self.admin_token = secrets.token_urlsafe(32)
        self.database = database or f"sqlite://{self.directory}/keyward.db"
        token_file = Path(directory, f"{name}-admin-token")
        token_file.touch(mode=0o600)
        token_file.write_text(self.admin_token)
        if settings is None:
            told = ["--upstream", upstream]
        else:
            file = self.directory / "keyward.toml"
            file.write_text(settings)
            told = ["--config", file]
        environment = {
            "KEYWARD_LISTEN": f"127.0.0.1:{data}",
            "KEYWARD_ADMIN_LISTEN": f"127.0.0.1:{admin}",
            "KEYWARD_PROBES__LISTEN": f"127.0.0.1:{probes}",
            "KEYWARD_DATABASE_URL": self.database,
            "KEYWARD_ADMIN__TOKEN_FILE": str(token_file),
            "KEYWARD_LOG": "debug",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [Path(program).absolute(), "serve", *told],
                env=os.environ | environment,
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

    def wait_until_known(self, key, certificate):
        """Waits until a key that another process made counts here."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            request = urllib.request.Request(f"{self.data}/models/m1/predict", b"{}")
            request.add_header("authorization", f"Bearer {key}")
            context = self.trusting(certificate) if self.scheme == "https" else None
            try:
                with urllib.request.urlopen(request, timeout=5, context=context):
                    return
            except urllib.error.HTTPError as error:
                assert error.code == 401, error
                time.sleep(0.02)
        raise RuntimeError("the key was not known within 20 s")

    def call(self, key=None, model="m1", headers=()):
        """Calls a model, with `key` if there is one; returns the status."""
        request = urllib.request.Request(f"{self.data}/models/{model}/predict", b"{}", dict(headers))
        if key is not None:
            request.add_header("authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as refused:
            return refused.code

    def administer(self, method, path, body=None):
        """Asks the admin listener, with its token; returns what is answered."""
        request = urllib.request.Request(self.admin + path, method=method)
        request.add_header("authorization", f"Bearer {self.admin_token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    @staticmethod
    def trusting(certificate):
        return ssl.create_default_context(cafile=certificate)

    def log_end(self):
        return self.log.read_text(errors="replace").splitlines()[-40:]

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
