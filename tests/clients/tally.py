"""Counts checks, each with a sentence that says what is so."""

import traceback


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, sentence, does):
        try:
            does()
        except Exception as error:
            self.failed += 1
            print(f"FAILED  {sentence}", flush=True)
            traceback.print_exception(error)
        else:
            self.passed += 1
            print(f"ok      {sentence}", flush=True)


def equal(left, right):
    assert left == right, f"{left!r} is not {right!r}"


def nothing(found):
    assert not found, found
