"""A small model server that speaks as OpenAI's, Anthropic's and Baseten's do, and keeps the headers it saw.

A streamed answer waits after its first event until somebody says that it has arrived (`first_event_arrived`): a proxy
that holds streams back makes it give up.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = ["keys", " are", " checked"]


class ModelServer:
    def __init__(self):
        self.requests = []  # (target, headers as pairs)
        self.secrets = set()  # what must never come here
        self.leaks = []
        self.first_event_arrived = threading.Event()
        handler = type("BoundHandler", (Handler,), {"model": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def saw(self, target, headers, body):
        self.requests.append((target, headers))
        everything = [target, *(text for pair in headers for text in pair), body.decode("latin-1")]
        for secret in self.secrets:
            if any(secret in text for text in everything):
                self.leaks.append(f"{target} with {headers}")
        for name, _ in headers:
            if name.lower() in ("authorization", "proxy-authorization", "x-api-key"):
                self.leaks.append(f"{target} with the header {name}")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = None

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.model.saw(self.path, self.headers.items(), body)
        asked = json.loads(body) if body else {}
        path = self.path.split("?")[0]
        if path == "/v1/chat/completions" and asked.get("stream"):
            self.events(chat_events(asked))
        elif path == "/v1/chat/completions":
            self.json(chat(asked))
        elif path == "/v1/embeddings":
            self.json(embeddings(asked))
        elif path == "/v1/messages" and asked.get("stream"):
            self.events(message_events(asked))
        elif path == "/v1/messages":
            self.json(message(asked, WORDS))
        elif path == "/v1/models":
            self.json({"object": "list", "data": [{"id": "m1", "object": "model", "created": 1, "owned_by": "us"}]})
        elif path.endswith("/predict"):
            self.json({"predicted": asked, "path": path})
        else:
            self.json({"error": f"no such path: {path}"}, status=404)

    def json(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def events(self, events):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, event in enumerate(events):
            if number == 1 and not self.model.first_event_arrived.wait(timeout=10):
                self.close_connection = True  # without the last chunk: the caller sees a broken stream
                return
            self.chunk(event.encode())
        self.chunk(b"")

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *_):
        pass


def chat(asked):
    said = {"role": "assistant", "content": "".join(WORDS)}
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1,
        "model": asked["model"],
        "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4},
    }


def chat_events(asked):
    for word in WORDS:
        choice = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
        chunk = {
            "id": "chat-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": asked["model"],
            "choices": [choice],
        }
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"


def embeddings(asked):
    vector = {"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return {"object": "list", "data": [vector], "model": asked["model"], "usage": usage}


def message(asked, words):
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": [{"type": "text", "text": "".join(words)}] if words else [],
        "stop_reason": "end_turn" if words else None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": len(words)},
    }


def message_events(asked):
    def event(kind, **members):
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n"

    yield event("message_start", message=message(asked, []))
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for word in WORDS:
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
    yield event("content_block_stop", index=0)
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    yield event("message_delta", delta=stop, usage={"output_tokens": 3})
    yield event("message_stop")
