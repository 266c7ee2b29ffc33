"""Servers that speak what a plain model server does not: WebSocket, and gRPC."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from websockets.sync.server import serve

SERVICE = "check.Inference"


class SocketServer:
    """Echoes every message. Keeps the headers of each handshake."""

    def __init__(self):
        self.requests = []  # (path, headers as pairs)
        self.server = serve(self.echo, "127.0.0.1", 0, max_size=None, select_subprotocol=choose)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.socket.getsockname()[1]}"

    def echo(self, connection):
        self.requests.append((connection.request.path, list(connection.request.headers.raw_items())))
        for message in connection:
            if message == "close":
                return connection.close(4001, "as asked")
            connection.send(message)

    def close(self):
        self.server.shutdown()


def choose(_, offered):
    return "realtime" if "realtime" in offered else None


class GrpcServer:
    """One method of each kind; messages are bytes. Keeps the metadata of each call, and counts calls given up."""

    def __init__(self):
        self.calls = []  # (method, metadata as pairs)
        self.given_up = threading.Event()
        whole = grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
                "Down": grpc.unary_stream_rpc_method_handler(self.down),
                "Up": grpc.stream_unary_rpc_method_handler(self.up),
                "Both": grpc.stream_stream_rpc_method_handler(self.both),
                "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
                "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
            },
        )
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.server = grpc.server(ThreadPoolExecutor(max_workers=16), options=options)
        self.server.add_generic_rpc_handlers([whole])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def saw(self, method, context):
        self.calls.append((method, [tuple(each) for each in context.invocation_metadata()]))

    def unary(self, message, context):
        self.saw("Unary", context)
        context.set_trailing_metadata((("x-cost", "7"),))
        return message

    def down(self, message, context):
        self.saw("Down", context)
        for number in range(int(message)):
            yield b"%d" % number

    def up(self, messages, context):
        self.saw("Up", context)
        return b"".join(messages)

    def both(self, messages, context):
        self.saw("Both", context)
        yield from messages

    def fail(self, _, context):
        self.saw("Fail", context)
        context.set_trailing_metadata((("x-why", "as asked"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "no such model: 100 % sure")

    def wait(self, _, context):
        self.saw("Wait", context)
        context.add_callback(self.given_up.set)
        threading.Event().wait(timeout=5)
        return b""

    def close(self):
        self.server.stop(grace=0).wait()
