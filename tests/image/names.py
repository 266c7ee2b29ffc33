"""A server of names that knows one: `in-dns.test` is 127.0.0.1. Says `listening`, and serves until it is ended."""

import socket

KNOWN = b"\x06in-dns\x04test\x00"

listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("127.0.0.1", 53))
print("listening", flush=True)
while True:
    query, caller = listener.recvfrom(512)
    # RFC 1035, 4.1: a head of 12 octets, then the name and four octets of the question.
    end = query.index(b"\x00", 12) + 5
    question, kind = query[12:end], query[end - 4 : end - 2]
    is_known = question[:-4].lower() == KNOWN
    answers = b""
    if is_known and kind == b"\x00\x01":
        answers = b"\xc0\x0c" + question[-4:] + b"\x00\x00\x00\x3c\x00\x04" + bytes([127, 0, 0, 1])
    flags = b"\x85\x80" if is_known else b"\x85\x83"
    counts = b"\x00\x01" + (b"\x00\x01" if answers else b"\x00\x00") + b"\x00\x00\x00\x00"
    listener.sendto(query[:2] + flags + counts + question + answers, caller)
