"""Baseten's performance client in Python: it cuts lists into batches that it sends side by side.

What it ranks and classifies names a model only when it is told to, and a key for some models needs that.
"""

import asyncio

from baseten_performance_client import PerformanceClient, RequestProcessingPreference
from checks_calling import MODEL, OTHER_MODEL
from model_server import VECTOR
from relay import Relay
from requests import HTTPError

TEXTS = [f"text {number:03}" for number in range(100)]
ONCE = RequestProcessingPreference(max_retries=0, batch_size=4)


def run(tally, keyward, model, key, every, revoked):
    for version in (1, 2):
        # One for each: what a client gives up after a refusal may still come when its checks are over.
        relay = Relay(keyward.data)
        try:
            check(tally, Performance(relay, model, key, every, revoked, version), f"(HTTP/{version})")
        finally:
            relay.close()


def check(tally, checks, at):
    tally.check(f"performance client, Python: 100 embeddings come in batches {at}", checks.embed)
    tally.check(f"performance client, Python: texts are ranked {at}", checks.rerank)
    tally.check(f"performance client, Python: texts are classified {at}", checks.classify)
    tally.check(f"performance client, Python: many posts at once {at}", checks.batch_post)
    tally.check(f"performance client, Python: without blocking, too {at}", checks.without_blocking)
    tally.check(f"performance client, Python: refusals are its own errors {at}", checks.refusals)
    tally.check(f"performance client, Python: it spoke {at}, with prior knowledge or none", checks.spoken)


class Performance:
    def __init__(self, relay, model, key, every, revoked, version):
        self.relay = relay
        self.model = model
        self.key = key
        self.every = every
        self.revoked = revoked
        self.version = version
        self.client = self.client_with(key)

    def client_with(self, key, model=MODEL):
        base = f"{self.relay.url}/models/{model}/sync"
        return PerformanceClient(base_url=base, api_key=key, http_version=self.version)

    def embed(self):
        before = len(self.model.requests)
        answer = self.client.embed(TEXTS, MODEL, preference=ONCE)
        assert [each.embedding for each in answer.data] == [VECTOR] * 100, answer
        assert [each.index for each in answer.data] == list(range(100)), answer
        assert answer.usage.total_tokens == 100, answer.usage
        assert len(self.model.requests) - before == 25, "batches of four"

    def rerank(self):
        texts = ["short", "very long", "a"]
        for client, named in [(self.client, {"model": MODEL}), (self.client_with(self.every), {})]:
            answer = client.rerank("which?", texts, return_text=True, preference=ONCE, **named)
            assert {each.index: each.text for each in answer.data} == dict(enumerate(texts)), answer.data

    def classify(self):
        for client, named in [(self.client, {"model": MODEL}), (self.client_with(self.every), {})]:
            answer = client.classify(TEXTS[:10], preference=ONCE, **named)
            labels = [group[0].label for group in answer.data]
            assert labels == [f"about {text}" for text in TEXTS[:10]], labels

    def batch_post(self):
        asked = [{"model": MODEL, "input": text} for text in TEXTS[:20]]
        answer = self.client.batch_post("/v1/embeddings", asked, preference=ONCE)
        assert [each["data"][0]["embedding"] for each in answer.data] == [VECTOR] * 20, answer.data

    def without_blocking(self):
        async def all_at_once():
            return await asyncio.gather(
                self.client.async_embed(TEXTS, MODEL, preference=ONCE),
                self.client.async_rerank("which?", ["a", "b"], model=MODEL, preference=ONCE),
                self.client.async_classify(["a", "b"], model=MODEL, preference=ONCE),
                self.client.async_batch_post("/predict", [{"model": MODEL, "q": 1}], preference=ONCE),
            )

        answers = asyncio.run(all_at_once())
        assert [len(answer.data) for answer in answers] == [100, 2, 2, 1], answers

    def refusals(self):
        revoked, other = self.client_with(self.revoked), self.client_with(self.key, OTHER_MODEL)
        for client, asked, status in [
            (revoked, lambda client: client.embed(TEXTS, MODEL, preference=ONCE), 401),
            (revoked, lambda client: client.rerank("q", ["a"], preference=ONCE), 401),
            (revoked, lambda client: client.classify(["a"], preference=ONCE), 401),
            (other, lambda client: client.embed(TEXTS, OTHER_MODEL, preference=ONCE), 403),
            (self.client, lambda client: client.rerank("q", ["a"], model=OTHER_MODEL, preference=ONCE), 403),
            (self.client, lambda client: client.classify(["a"], model=OTHER_MODEL, preference=ONCE), 403),
            (self.client, lambda client: client.classify(["a"], preference=ONCE), 400),
            (self.client, lambda client: client.batch_post("/nowhere", [{}], preference=ONCE), 404),
            (self.client, lambda client: client.embed(["answer 429"], MODEL, preference=ONCE), 429),
            (self.client, lambda client: client.embed(["answer 503"], MODEL, preference=ONCE), 503),
        ]:
            try:
                asked(client)
            except HTTPError as error:
                assert error.args[0] == status, error.args
            else:
                raise AssertionError(f"not refused with {status}")

    def spoken(self):
        spoken = self.relay.spoken()
        assert spoken == {f"http{self.version}"}, spoken
