"""Real clients of HTTP/2, WebSocket and gRPC, and nghttp, h2load and curl at each listener."""

import re
import subprocess
import threading
from pathlib import Path

import grpc
import httpx
from model_server import ModelServer
from program import Program
from protocol_servers import SERVICE, GrpcServer, SocketServer
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import connect

MODEL = "m1"
WRONG_KEY = "kw_00000000.00000000000000000000000000000000000000"
PREFIX = "openai-insecure-api-key."

SETTINGS = """
upstreams.default.url = "{model}"
upstreams.sockets.url = "{sockets}"
upstreams.grpc = {{ url = "{grpc}", protocol = "http2" }}

[[proxy.credentials]]
in = "authorization"
schemes = ["Bearer", "Api-Key"]

[[proxy.credentials]]
in = "websocket-protocol"
prefix = "{prefix}"

[[proxy.routes]]
path = "/models/{{model}}/predict"
upstream = "default"

[[proxy.routes]]
path = "/v1/realtime"
methods = ["GET"]
upstream = "sockets"
model_in = [{{ query = "model" }}]

[[proxy.routes]]
path = "/{service}/{{rest}}"
methods = ["POST"]
upstream = "grpc"
model_in = [{{ header = "x-model-id" }}]
"""

TLS = """
[proxy.tls]
certificate = "{directory}/tls.crt"
key = "{directory}/tls.key"
"""


def run(tally, program, directory):
    """Two keywards on one key database before the same servers, the second with TLS."""
    servers = [ModelServer(), SocketServer(), GrpcServer()]
    model, sockets, grpc_server = servers
    settings = SETTINGS.format(
        model=model.url, sockets=sockets.url, grpc=grpc_server.url, prefix=PREFIX, service=SERVICE
    )
    make_certificate(directory)
    plain = Program(program, directory, name="plain", settings=settings)
    secure = Program(
        program,
        directory,
        name="secure",
        settings=settings + TLS.format(directory=directory),
        database=plain.database,
        scheme="https",
    )
    try:
        plain.wait_until_ready()
        secure.wait_until_ready()
        checks = Protocols(tally, plain, secure, model, sockets, grpc_server, directory)
        checks.run()
        for keyward in (plain, secure):
            tally.check(f"SIGTERM ends the {keyward.name} keyward with 0", lambda k=keyward: ends(k))
    finally:
        for keyward in (plain, secure):
            keyward.kill()
            if tally.failed:
                print(f"\nthe end of the {keyward.name} log:", *keyward.log_end(), sep="\n")
        for server in servers:
            server.close()


def ends(keyward):
    code = keyward.stop()
    assert code == 0, code


def make_certificate(directory):
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", f"{directory}/tls.key", "-out", f"{directory}/tls.crt"]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    Path(directory, "tls.key").chmod(0o600)


class Protocols:
    def __init__(self, tally, plain, secure, model, sockets, grpc_server, directory):
        self.tally = tally
        self.plain = plain
        self.secure = secure
        self.model = model
        self.sockets = sockets
        self.grpc_server = grpc_server
        self.certificate = f"{directory}/tls.crt"
        self.body = Path(directory, "body.json")
        self.body.write_text('{"q":1}')
        self.key = None

    def run(self):
        check = self.tally.check
        check("a key for the protocols is made and works on both", self.make_key)
        for keyward in (self.plain, self.secure):
            at = f"({keyward.scheme})"
            check(f"httpx: HTTP/2 {at}", lambda k=keyward: self.httpx_http2(k))
            check(f"nghttp: a call and a refusal {at}", lambda k=keyward: self.nghttp_calls(k))
            check(f"h2load: 2,000 calls on 4 connections, 10 at once {at}", lambda k=keyward: self.h2load(k))
            check(f"curl: HTTP/1.1 and HTTP/2 {at}", lambda k=keyward: self.curl_versions(k))
            check(f"curl: an upload that waits for 100 {at}", lambda k=keyward: self.curl_continues(k))
            check(f"websockets: an echo of every size {at}", lambda k=keyward: self.echo(k))
            check(f"websockets: the subprotocol holds the key {at}", lambda k=keyward: self.subprotocol(k))
            check(f"grpcio: a unary call, 4 MiB too {at}", lambda k=keyward: self.unary(k))
            check(f"grpcio: streams down, up and both ways {at}", lambda k=keyward: self.streams(k))
        check("nghttp and curl: the listeners of admin and probes", self.other_listeners)
        check("websockets: the code of the server's close arrives", self.closes)
        check("websockets: refusals are the client's own errors", self.socket_refusals)
        check("websockets: the server is told whose it is, and no key", self.socket_identity)
        check("grpcio: refusals are the client's own errors", self.grpc_refusals)
        check("grpcio: the server's own refusal arrives whole", self.server_refuses)
        check("grpcio: a deadline ends the call, and the server hears of it", self.deadline)
        check("grpcio: the server is told whose it is, and no key", self.grpc_identity)
        check("grpcio: a server that is away is unavailable", self.unavailable)
        check("no server saw the key", self.no_leaks)

    def make_key(self):
        asked = {"type": "WORKSPACE_INVOKE", "model_ids": [MODEL], "name": "protocols"}
        self.key = self.plain.administer("POST", "/v1/api_keys", asked)["api_key"]
        self.model.secrets.add(self.key)
        for keyward in (self.plain, self.secure):
            keyward.wait_until_known(self.key, self.certificate)

    # HTTP/2

    def predict(self, keyward):
        return f"{keyward.data}/models/{MODEL}/predict"

    def authorization(self):
        return f"authorization: Bearer {self.key}"

    def httpx_http2(self, keyward):
        headers = {"authorization": f"Bearer {self.key}"}
        with httpx.Client(http1=False, http2=True, verify=self.certificate, headers=headers) as client:
            for _ in range(20):
                answer = client.post(self.predict(keyward), json={"q": 1})
                assert (answer.status_code, answer.http_version) == (200, "HTTP/2"), answer
                assert answer.json()["predicted"] == {"q": 1}, answer.text
            answer = client.post(self.predict(keyward), headers={"authorization": "Bearer no"})
            assert (answer.status_code, answer.http_version) == (401, "HTTP/2"), answer

    def tool(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (command[0], done)
        return done.stdout + done.stderr

    def nghttp(self, url, *options):
        return re.findall(r":status: (\d+)", self.tool("nghttp", "-v", "-t", "20", *options, url))

    def nghttp_calls(self, keyward):
        body = ["-d", str(self.body)]
        url = self.predict(keyward)
        assert self.nghttp(url, "-H", self.authorization(), *body) == ["200"]
        # Many on one connection.
        assert self.nghttp(url, "-m", "20", "-H", self.authorization(), *body) == ["200"] * 20
        assert self.nghttp(url, *body) == ["401"]
        padded = ["-b", "64", "-H", self.authorization(), *body]
        assert self.nghttp(url, *padded) == ["200"]

    def h2load(self, keyward):
        head = ["-H", self.authorization(), "-d", str(self.body)]
        said = self.tool("h2load", "-n2000", "-c4", "-m10", *head, self.predict(keyward))
        assert "2000 succeeded, 0 failed" in said and "2000 2xx" in said, said

    def curl(self, url, *options):
        """The version and the status of an answer."""
        said = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
        command = ["curl", "-sS", "--max-time", "20", "--cacert", self.certificate]
        return subprocess.run([*command, *said, *options, url], capture_output=True, text=True, check=True).stdout

    def curl_versions(self, keyward):
        asked = ["-H", self.authorization(), "-d", '{"q":1}']
        url = self.predict(keyward)
        two = "--http2" if keyward.scheme == "https" else "--http2-prior-knowledge"
        assert self.curl(url, "--http1.1", *asked) == "1.1 200"
        assert self.curl(url, two, *asked) == "2 200"
        assert self.curl(url, two, "-d", "{}") == "2 401"
        # An answer of HTTP/1.0 may be told as 1.1: the version is the connection's.
        assert self.curl(url, "--http1.0", *asked).endswith(" 200")
        if keyward.scheme == "http":
            # curl offers `Upgrade: h2c`, which is dropped: the call is one of HTTP/1.1.
            assert self.curl(url, "--http2", *asked) == "1.1 200"

    def curl_continues(self, keyward):
        self.body.with_name("large").write_bytes(b'{"q":"' + b"x" * 2_000_000 + b'"}')
        asked = ["-H", "expect: 100-continue", "--data-binary", f"@{self.body.with_name('large')}"]
        url = self.predict(keyward)
        assert self.curl(url, "--http1.1", "-H", self.authorization(), *asked) == "1.1 200"
        assert self.curl(url, "--http1.1", *asked) == "1.1 401"

    def other_listeners(self):
        probe = f"{self.plain.probes}/livez"
        admin = f"{self.plain.admin}/v1/api_keys"
        token = f"authorization: Bearer {self.plain.admin_token}"
        for url, options in [(probe, []), (admin, ["-H", token])]:
            assert self.nghttp(url, *options) == ["200"], url
            assert self.curl(url, "--http1.1", *options) == "1.1 200", url
            assert self.curl(url, "--http2-prior-knowledge", *options) == "2 200", url
        assert self.nghttp(admin) == ["401"]

    # WebSocket

    def socket(self, keyward, key=None, model=MODEL, **options):
        url = re.sub("^http", "ws", keyward.data) + f"/v1/realtime?model={model}"
        if keyward.scheme == "https":
            options["ssl"] = keyward.trusting(self.certificate)
        if key != "":
            options["additional_headers"] = {"authorization": f"Bearer {key or self.key}"}
        # This client writes its handshake while another thread of it reads. Before 3.13, Python lets both into one TLS session at
        # once, and some connections break before their request is sent, whoever the server is: 6 of 750 to one of its own.
        for _ in range(3 if keyward.scheme == "https" else 1):
            try:
                return connect(url, open_timeout=20, max_size=None, proxy=None, **options)
            except InvalidMessage as error:
                broken = error
        raise broken

    def echo(self, keyward):
        with self.socket(keyward) as socket:
            for size in (1, 125, 126, 65_535, 65_536, 1 << 20):
                for message in ("x" * size, b"\xff" * size):
                    socket.send(message)
                    assert socket.recv(timeout=20) == message, size
            assert socket.ping().wait(20)
        with self.socket(keyward, compression=None) as socket:
            socket.send(["in ", "many ", "frames"])
            assert socket.recv(timeout=20) == "in many frames"

    def subprotocol(self, keyward):
        offered = ["realtime", f"{PREFIX}{self.key}"]
        with self.socket(keyward, key="", subprotocols=offered) as socket:
            assert socket.subprotocol == "realtime", socket.subprotocol
            socket.send("hi")
            assert socket.recv(timeout=20) == "hi"
        told = [value for name, value in self.sockets.requests[-1][1] if name.lower() == "sec-websocket-protocol"]
        assert told == ["realtime"], told

    def closes(self):
        with self.socket(self.plain) as socket:
            socket.send("close")
            try:
                socket.recv(timeout=20)
            except ConnectionClosed as error:
                assert (error.rcvd.code, error.rcvd.reason) == (4001, "as asked"), error
            else:
                raise AssertionError("it was not closed")

    def socket_refusals(self):
        for options, status in [({"key": WRONG_KEY}, 401), ({"key": ""}, 401), ({"model": "m9"}, 403)]:
            try:
                self.socket(self.plain, **options)
            except InvalidStatus as error:
                assert error.response.status_code == status, (options, error)
            else:
                raise AssertionError(f"{options} opened a WebSocket")

    def socket_identity(self):
        headers = [(name.lower(), value) for name, value in self.sockets.requests[-1][1]]
        told = dict(headers)
        assert told["x-keyward-model"] == MODEL and told["x-keyward-key-name"] == "protocols", headers
        assert "authorization" not in told, headers

    # gRPC

    def channel(self, keyward):
        where = keyward.data.split("//")[1]
        options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
        if keyward.scheme == "https":
            trusted = grpc.ssl_channel_credentials(Path(self.certificate).read_bytes())
            return grpc.secure_channel(where.replace("127.0.0.1", "localhost"), trusted, options)
        return grpc.insecure_channel(where, options)

    def metadata(self, key=None, model=MODEL):
        named = [("x-model-id", model)] if model else []
        return [("authorization", f"Bearer {key or self.key}"), *named]

    def unary(self, keyward):
        with self.channel(keyward) as channel:
            call = channel.unary_unary(f"/{SERVICE}/Unary")
            for message in (b"", b"hello", b"x" * (4 << 20)):
                answer, done = call.with_call(message, metadata=self.metadata(), timeout=20)
                assert answer == message, len(message)
                assert dict(done.trailing_metadata())["x-cost"] == "7", done.trailing_metadata()

    def streams(self, keyward):
        with self.channel(keyward) as channel:
            told = {"metadata": self.metadata(), "timeout": 20}
            down = channel.unary_stream(f"/{SERVICE}/Down")
            assert [int(each) for each in down(b"1000", **told)] == list(range(1000))
            up = channel.stream_unary(f"/{SERVICE}/Up")
            assert up(iter([b"a", b"b", b"c"] * 100), **told) == b"abc" * 100
            # Each message is sent when the one before has come back: nothing on the way holds one.
            both = channel.stream_stream(f"/{SERVICE}/Both")
            turns = Turns(200)
            for number, answer in enumerate(both(turns, **told)):
                assert answer == b"%d" % number, answer
                turns.next()
            assert number == 199, number

    def grpc_fails(self, method="Unary", timeout=20, **metadata):
        with self.channel(self.plain) as channel:
            try:
                channel.unary_unary(f"/{SERVICE}/{method}")(b"", metadata=self.metadata(**metadata), timeout=timeout)
            except grpc.RpcError as error:
                return error
        raise AssertionError("the call went well")

    def grpc_refusals(self):
        for metadata, code in [
            ({"key": WRONG_KEY}, grpc.StatusCode.UNAUTHENTICATED),
            ({"model": "m9"}, grpc.StatusCode.PERMISSION_DENIED),
            ({"model": None}, grpc.StatusCode.PERMISSION_DENIED),
        ]:
            error = self.grpc_fails(**metadata)
            assert error.code() == code and error.details(), (metadata, error)

    def server_refuses(self):
        error = self.grpc_fails(method="Fail")
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        assert error.details() == "no such model: 100 % sure", error
        assert dict(error.trailing_metadata())["x-why"] == "as asked", error

    def deadline(self):
        error = self.grpc_fails(method="Wait", timeout=0.3)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        assert self.grpc_server.given_up.wait(timeout=5)

    def grpc_identity(self):
        method, metadata = self.grpc_server.calls[-1]
        told = dict(metadata)
        assert told["x-keyward-model"] == MODEL and told["x-keyward-key-name"] == "protocols", metadata
        assert "authorization" not in told, metadata

    def unavailable(self):
        self.grpc_server.close()
        error = self.grpc_fails()
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error

    def no_leaks(self):
        assert not self.model.leaks, self.model.leaks
        for _, pairs in [*self.sockets.requests, *self.grpc_server.calls]:
            found = [pair for pair in pairs if self.key in str(pair)]
            assert not found, found


class Turns:
    """Messages, each given out once it is asked for with `next`."""

    def __init__(self, count):
        self.count = count
        self.number = 0
        self.turn = threading.Semaphore(1)

    def next(self):
        self.turn.release()

    def __iter__(self):
        return self

    def __next__(self):
        if self.number == self.count:
            raise StopIteration
        self.turn.acquire(timeout=20)
        self.number += 1
        return b"%d" % (self.number - 1)
