"""Says which model Python's json reads in each body: a line of hexadecimal in, a line of readings out.

Two readings, divided by a tab: json.loads of the bytes, where the last of equal names wins, and the first of them.
tests/it/readers/mod.rs says how a reading is written.
"""

import json
import sys


class Members(list):
    """An object's members in order, repeated ones too."""


def first(body):
    document = json.loads(body, object_pairs_hook=Members)
    if isinstance(document, Members):
        for name, value in document:
            if name == "model":
                return written(value)
    return "?"


def last(body):
    document = json.loads(body)
    if isinstance(document, dict) and "model" in document:
        return written(document["model"])
    return "?"


def written(value):
    if isinstance(value, str):
        units = value.encode("utf-16-be", "surrogatepass")
        codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
        return '"' + "".join(map(unit, codes)) + '"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, (int, float)):
        return "number"
    return "object" if isinstance(value, (dict, Members)) else "array"


def unit(code):
    plain = 0x20 <= code < 0x7F and chr(code) not in '"\\|'
    return chr(code) if plain else f"\\u{code:04x}"


def attempt(reader, body):
    try:
        return reader(body)
    except (ValueError, RecursionError):
        return "-"


for line in sys.stdin:
    body = bytes.fromhex(line.strip())
    print(attempt(last, body), attempt(first, body), sep="\t")
