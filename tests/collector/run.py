"""Has a Collector read the access log of `keyward serve`, and judges what it sends on. The last line says how many checks passed.

Usage: run.py PROGRAM DIRECTORY COLLECTOR; collector.sh sees to them.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "clients"))
for name in list(os.environ):
    if name.startswith("KEYWARD_") or name.lower().endswith("_proxy"):
        del os.environ[name]

from model_server import ModelServer
from program import Program
from tally import Tally, equal

LIMIT_SECONDS = 120
NOBODY = 65534
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
REST = """
exporters:
  otlphttp:
    endpoint: {sink}
    encoding: json
    compression: none
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
    logs: {{ receivers: [filelog], exporters: [otlphttp] }}
"""


class Sink(ThreadingHTTPServer):
    """What the Collector sends to: takes everything, and keeps the records."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.records = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        for resource in told["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                self.server.records.extend(scope["logRecords"])
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def receivers(log):
    """The settings on the page, with our file, read from its beginning."""
    page = Path("deploy/access-log.md").read_text()
    (written,) = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]
    include = "include: [/var/log/keyward/access.log]"
    assert written.count(include) == 1, written
    return written.replace(include, f"include: [{log}]\n    start_at: beginning")


def attributes(record):
    return {each["key"]: next(iter(each["value"].values())) for each in record["attributes"]}


def collected(collector, directory, log, expected):
    """What the Collector has sent on, once it has sent so much."""
    sink = Sink()
    settings = directory / "collector.yaml"
    settings.write_text(receivers(log) + REST.format(sink=f"http://127.0.0.1:{sink.server_port}"))
    settings.chmod(0o644)
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    process = subprocess.Popen(
        [collector, "--config", settings], env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}, cwd="/", **user
    )
    try:
        deadline = time.monotonic() + 30
        while len(sink.records) < expected:
            assert process.poll() is None, "the Collector ended"
            assert time.monotonic() < deadline, f"{len(sink.records)} of {expected} came"
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    return sink.records


def main(program, directory, collector):
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT_SECONDS)
    directory, tally = Path(directory), Tally()
    directory.chmod(0o755)
    log = directory / "access.log"
    model = ModelServer()
    settings = f'upstreams.default.url = "{model.url}"\n[access_log]\nto = "{log}"\nrefusals_per_second = 1\n'
    keyward = Program(program, directory, settings=settings)
    try:
        keyward.wait_until_ready()
        key = keyward.administer("POST", "/v1/api_keys", {"type": "PERSONAL"})["api_key"]
        equal(keyward.call(key, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}), 200)
        # More refusals than are told of: a line says how many are missing.
        for _ in range(20):
            equal(keyward.call(), 401)
        equal(keyward.stop(), 0)
    finally:
        keyward.kill()
        model.close()
    log.chmod(0o644)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    records = collected(collector, directory, log, len(lines))
    pairs = list(zip(lines, records))

    def each(judge):
        return lambda: [judge(line, record) for line, record in pairs]

    (allowed,) = [record for line, record in pairs if line.get("outcome") == "forwarded"]
    tally.check("every line arrives, once", lambda: equal(len(records), len(lines)))
    tally.check("and says what it said", each(lambda line, record: equal(attributes(record) | line, attributes(record))))
    tally.check("at its time", each(lambda line, record: equal(millis(line["time"]), int(record["timeUnixNano"]) // 10**6)))
    for theirs, ours in (("traceId", "trace_id"), ("spanId", "span_id")):
        tally.check(
            f"with its {ours}", each(lambda line, record: equal(record.get(theirs) or None, line.get(ours)))
        )  # fmt: skip
    tally.check("the trace is the caller's", lambda: equal(allowed["traceId"], TRACE))
    tally.check("its parent is told", lambda: equal(attributes(allowed)["parent_span_id"], PARENT))
    tally.check("lines without a trace arrive, too", lambda: equal(sum("left_out" in line for line in lines) > 0, True))
    tally.check("no key is in any of it", lambda: equal(key in json.dumps(records), False))
    print(f"collector: {tally.passed} passed, {tally.failed} failed", flush=True)
    return 1 if tally.failed else 0


def millis(text):
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def too_long(*_):
    raise TimeoutError(f"the checks took longer than {LIMIT_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
