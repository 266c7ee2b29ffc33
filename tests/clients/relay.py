"""Stands between a client and keyward, and notes how each connection begins: whether HTTP/2 is spoken on it from the start."""

import socket
import threading

PREFACE = b"PRI * HTTP/2.0"


class Relay:
    def __init__(self, to):
        host, port = to.split("//")[1].split(":")
        self.to = (host, int(port))
        self.begun = []  # the first bytes of each connection
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.getsockname()[1]}"

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(self.to)
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self.pass_on, args=(*ends, ends[0] is client), daemon=True).start()

    def pass_on(self, source, target, is_caller):
        begun = b""
        try:
            while data := source.recv(65536):
                if is_caller and len(begun) < len(PREFACE):
                    begun += data
                    if len(begun) >= len(PREFACE):
                        self.begun.append(begun[: len(PREFACE)])
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one end is gone, and so is the call

    def spoken(self):
        """What was spoken on the connections: `http2` and `http1`."""
        return {"http2" if each == PREFACE else "http1" for each in self.begun}

    def close(self):
        self.server.close()
