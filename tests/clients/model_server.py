"""A small model server that speaks as OpenAI's, Anthropic's and Baseten's do, and keeps the headers it saw.

A streamed answer waits after its first event until somebody says that it has arrived (`first_event_arrived`): a proxy
that holds streams back makes it give up. Other processes say so by `POST /first-event-arrived`.

Asked to `answer 429`, as a message or as a text, it does: with that status, as whose API it is would.
"""

import base64
import json
import re
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = ["keys", " are", " checked"]
TOOL = "look_up"
TOLD = {"name": "keys"}
VECTOR = [0.25, 0.5]
ERRORS = {404: "not_found_error", 429: "rate_limit_error", 503: "overloaded_error"}


class ModelServer:
    def __init__(self):
        self.requests = []  # (target, headers as pairs)
        self.secrets = set()  # what must never come here
        self.leaks = []
        self.first_event_arrived = threading.Event()
        handler = type("BoundHandler", (Handler,), {"model": self})
        self.server = Server(("127.0.0.1", 0), handler)
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


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # 5 otherwise: some of many who connect at once would wait for a second and more


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = None

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.split("?")[0]
        if path == "/first-event-arrived":
            self.model.first_event_arrived.set()
            return self.json({})
        self.model.saw(self.path, self.headers.items(), body)
        asked = json.loads(body) if body else {}
        refusal = re.search(r'"answer (\d{3})"', json.dumps(asked))
        if refusal:
            return self.refuse(path, int(refusal[1]))
        if path == "/v1/chat/completions" and asked.get("stream"):
            self.events(tool_events(asked) if asked.get("tools") else chat_events(asked))
        elif path == "/v1/chat/completions":
            self.json(chat(asked))
        elif path == "/v1/embeddings":
            self.json(embeddings(asked))
        elif path == "/v1/messages" and asked.get("stream"):
            self.events(message_events(asked))
        elif path == "/v1/messages":
            self.json(message(asked, WORDS))
        elif path == "/v1/messages/count_tokens":
            self.json({"input_tokens": 3})
        elif path == "/v1/models":
            models = [{"id": name, "object": "model", "created": 1, "owned_by": "us"} for name in ("m1", "m9")]
            self.json({"object": "list", "data": models})
        elif path == "/rerank":
            self.json(ranks(asked))
        elif path == "/predict" and "inputs" in asked:
            self.json([[{"label": f"about {text}", "score": 0.5}] for (text,) in asked["inputs"]])
        elif path.endswith("/predict"):
            self.json({"predicted": asked, "path": path})
        else:
            self.refuse(path, 404)

    def refuse(self, path, status):
        kind = ERRORS.get(status, "api_error")
        if path.startswith("/v1/messages"):
            value = {"type": "error", "error": {"type": kind, "message": "as asked"}}
        elif path.startswith("/v1/"):
            value = {"error": {"message": "as asked", "type": kind, "param": None, "code": kind}}
        else:
            value = {"error": "as asked"}
        self.json(value, status=status, headers={"retry-after": "7"} if status in (429, 503) else {})

    def json(self, value, status=200, headers=None):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
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
    reason = "stop"
    if asked.get("tools"):
        call = {"name": TOOL, "arguments": json.dumps(TOLD)}
        said = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call-1", "type": "function", "function": call}],
        }
        reason = "tool_calls"
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1,
        "model": asked["model"],
        "choices": [{"index": 0, "message": said, "finish_reason": reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4},
    }


def chat_events(asked):
    for word in WORDS:
        yield chat_chunk(asked, {"role": "assistant", "content": word})
    yield chat_chunk(asked, {}, "stop")
    yield "data: [DONE]\n\n"


def tool_events(asked):
    """A call of a tool, its arguments in pieces."""
    told = json.dumps(TOLD)
    begun = {"id": "call-1", "type": "function", "function": {"name": TOOL, "arguments": ""}}
    pieces = [{"function": {"arguments": part}} for part in (told[:4], told[4:])]
    for piece in [begun, *pieces]:
        yield chat_chunk(asked, {"role": "assistant", "tool_calls": [{"index": 0, **piece}]})
    yield chat_chunk(asked, {}, "tool_calls")
    yield "data: [DONE]\n\n"


def chat_chunk(asked, delta, reason=None):
    chunk = {
        "id": "chat-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": asked["model"],
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }
    return f"data: {json.dumps(chunk)}\n\n"


def embeddings(asked):
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    vector = VECTOR
    if asked.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<2f", *VECTOR)).decode()
    data = [{"object": "embedding", "index": place, "embedding": vector} for place in range(len(texts))]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"object": "list", "data": data, "model": asked["model"], "usage": usage}


def ranks(asked):
    """Longer texts first."""
    texts = asked["texts"]
    order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
    return [{"index": place, "score": len(texts[place]) / 100, "text": texts[place]} for place in order]


def message(asked, words):
    content = [{"type": "text", "text": "".join(words)}] if words else []
    reason = "end_turn"
    if words and asked.get("tools"):
        content = [{"type": "tool_use", "id": "call-1", "name": TOOL, "input": TOLD}]
        reason = "tool_use"
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": content,
        "stop_reason": reason if words else None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": len(words)},
    }


def message_events(asked):
    def event(kind, **members):
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n"

    if asked.get("tools"):
        block = {"type": "tool_use", "id": "call-1", "name": TOOL, "input": {}}
        told = json.dumps(TOLD)
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in (told[:4], told[4:])]
        reason = "tool_use"
    else:
        block = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": word} for word in WORDS]
        reason = "end_turn"
    yield event("message_start", message=message(asked, []))
    yield event("content_block_start", index=0, content_block=block)
    for delta in deltas:
        yield event("content_block_delta", index=0, delta=delta)
    yield event("content_block_stop", index=0)
    yield event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 3})
    yield event("message_stop")
