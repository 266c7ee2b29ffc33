"""OpenAI's and Anthropic's clients in Python, beyond one call each: tools, many at once, and every refusal as an error of
the client's own.

A key that calls one model, and clients that are told another base URL and key, and nothing else.
"""

import asyncio
import json

import anthropic
import openai
from baseten.client import AsyncInferenceClient, AsyncManagementClient
from baseten.client.inferenceapi import PredictInput, ResponseErrorResponse
from baseten.client.managementapi import CreateAPIKeyRequest, ResponseError
from checks_calling import ASKED, MODEL, OTHER_MODEL, WRONG_KEY, raises
from model_server import TOLD, TOOL, VECTOR, WORDS

PARAMETERS = {"type": "object", "properties": {"name": {"type": "string"}}}
OPENAI_TOOL = {"type": "function", "function": {"name": TOOL, "parameters": PARAMETERS}}
ANTHROPIC_TOOL = {"name": TOOL, "input_schema": PARAMETERS}
# By both clients, from the same generator.
ERRORS = {
    404: "NotFoundError",
    429: "RateLimitError",
    503: "InternalServerError",
}


def run(tally, keyward, model, key):
    checks = Sdks(keyward, model, key)
    tally.check("openai: the body alone may name the model", checks.openai_by_body)
    tally.check("openai: a tool is called", checks.openai_tool)
    tally.check("openai: a tool's call is streamed", checks.openai_tool_stream)
    tally.check("openai: embeddings of many texts come as the client asks for them", checks.openai_embeddings)
    tally.check("openai: the list has the key's own model", checks.openai_models)
    tally.check("openai: many calls at once, plain and streamed", checks.openai_async)
    tally.check("openai: the server's 404, 429, 503 are the client's own errors", checks.openai_errors)
    tally.check("openai: no key, no such path, another model in the body", checks.openai_refusals)
    tally.check("anthropic: a tool is called", checks.anthropic_tool)
    tally.check("anthropic: a tool's call is streamed", checks.anthropic_tool_stream)
    tally.check("anthropic: tokens are counted", checks.anthropic_count)
    tally.check("anthropic: many calls at once, plain and streamed", checks.anthropic_async)
    tally.check("anthropic: the server's 404, 429, 503 are the client's own errors", checks.anthropic_errors)
    tally.check("anthropic: no such path, another model in the body", checks.anthropic_refusals)
    tally.check("baseten: many predictions at once", checks.baseten_async)
    tally.check("baseten: keys are made, listed and deleted by many at once", checks.baseten_async_keys)


def resting(tally, keyward, key):
    """A keyward whose one key for its upstream was told to come back later."""
    checks = Sdks(keyward, None, key)
    tally.check("openai: keyward's own 503 says when to come back", checks.openai_resting)
    tally.check("anthropic: keyward's own 503 says when to come back", checks.anthropic_resting)


class Sdks:
    def __init__(self, keyward, model, key):
        self.keyward = keyward
        self.model = model
        self.key = key

    def openai(self, **options):
        told = {"base_url": f"{self.keyward.data}/v1", "api_key": self.key}
        return openai.OpenAI(**{**told, **options})

    def anthropic(self, **options):
        told = {"base_url": self.keyward.data, "api_key": self.key}
        return anthropic.Anthropic(**{**told, **options})

    # openai

    def openai_by_body(self):
        answer = self.openai().chat.completions.create(model=MODEL, messages=ASKED)
        assert answer.choices[0].message.content == "".join(WORDS), answer

    def openai_tool(self):
        answer = self.openai().chat.completions.create(model=MODEL, messages=ASKED, tools=[OPENAI_TOOL])
        (call,) = answer.choices[0].message.tool_calls
        assert (call.function.name, json.loads(call.function.arguments)) == (TOOL, TOLD), answer

    def openai_tool_stream(self):
        self.model.first_event_arrived.set()
        asked = {"model": MODEL, "messages": ASKED, "tools": [OPENAI_TOOL]}
        with self.openai().chat.completions.stream(**asked) as stream:
            answer = stream.get_final_completion()
        (call,) = answer.choices[0].message.tool_calls
        assert (call.function.name, json.loads(call.function.arguments)) == (TOOL, TOLD), answer

    def openai_embeddings(self):
        answer = self.openai().embeddings.create(model=MODEL, input=["a", "b", "c"])
        assert [each.embedding for each in answer.data] == [VECTOR] * 3, answer

    def openai_models(self):
        assert [each.id for each in self.openai().models.list()] == [MODEL]

    def openai_async(self):
        self.model.first_event_arrived.set()

        async def all_at_once():
            told = {"base_url": f"{self.keyward.data}/v1", "api_key": self.key}
            async with openai.AsyncOpenAI(**told) as client:

                async def streamed():
                    stream = await client.chat.completions.create(model=MODEL, messages=ASKED, stream=True)
                    return [chunk.choices[0].delta.content or "" async for chunk in stream]

                plain = [client.chat.completions.create(model=MODEL, messages=ASKED) for _ in range(20)]
                answers = await asyncio.gather(*plain, *(streamed() for _ in range(20)))
            return [answer.choices[0].message.content for answer in answers[:20]], answers[20:]

        plain, streamed = asyncio.run(all_at_once())
        assert plain == ["".join(WORDS)] * 20, plain
        assert ["".join(words) for words in streamed] == ["".join(WORDS)] * 20, streamed

    def openai_errors(self):
        for status, name in ERRORS.items():
            asked = [{"role": "user", "content": f"answer {status}"}]
            with raises(getattr(openai, name)) as caught:
                self.openai(max_retries=0).chat.completions.create(model=MODEL, messages=asked)
            assert caught.error.status_code == status, caught.error
            assert caught.error.body["message"] == "as asked", caught.error.body
            if status != 404:
                assert caught.error.response.headers["retry-after"] == "7", caught.error.response

    def openai_refusals(self):
        with raises(openai.AuthenticationError):
            self.openai(api_key="none").models.list()
        for name in ("AuthenticationError", "PermissionDeniedError"):
            key, model = (WRONG_KEY, MODEL) if name == "AuthenticationError" else (self.key, OTHER_MODEL)
            with raises(getattr(openai, name)) as caught:
                self.openai(api_key=key).embeddings.create(model=model, input="a")
            assert caught.error.body["message"] and caught.error.request_id, caught.error.body
        with raises(openai.NotFoundError):
            self.openai(base_url=f"{self.keyward.data}/v2").chat.completions.create(model=MODEL, messages=ASKED)

    def openai_resting(self):
        asked = [{"role": "user", "content": "answer 429"}]
        with raises(openai.RateLimitError):
            self.openai(max_retries=0).chat.completions.create(model=MODEL, messages=asked)
        with raises(openai.InternalServerError) as caught:
            self.openai(max_retries=0).chat.completions.create(model=MODEL, messages=ASKED)
        self.is_resting(caught.error)

    def is_resting(self, error):
        assert error.status_code == 503, error
        assert 1 <= int(error.response.headers["retry-after"]) <= 7, error.response.headers

    # anthropic

    def anthropic_tool(self):
        asked = {"model": MODEL, "max_tokens": 9, "messages": ASKED, "tools": [ANTHROPIC_TOOL]}
        (call,) = self.anthropic().messages.create(**asked).content
        assert (call.type, call.name, call.input) == ("tool_use", TOOL, TOLD), call

    def anthropic_tool_stream(self):
        self.model.first_event_arrived.set()
        asked = {"model": MODEL, "max_tokens": 9, "messages": ASKED, "tools": [ANTHROPIC_TOOL]}
        with self.anthropic().messages.stream(**asked) as stream:
            (call,) = stream.get_final_message().content
        assert (call.type, call.name, call.input) == ("tool_use", TOOL, TOLD), call

    def anthropic_count(self):
        assert self.anthropic().messages.count_tokens(model=MODEL, messages=ASKED).input_tokens == 3

    def anthropic_async(self):
        self.model.first_event_arrived.set()
        asked = {"model": MODEL, "max_tokens": 9, "messages": ASKED}

        async def all_at_once():
            told = {"base_url": self.keyward.data, "api_key": self.key}
            async with anthropic.AsyncAnthropic(**told) as client:

                async def streamed():
                    async with client.messages.stream(**asked) as stream:
                        return await stream.get_final_message()

                plain = [client.messages.create(**asked) for _ in range(20)]
                return await asyncio.gather(*plain, *(streamed() for _ in range(20)))

        said = [answer.content[0].text for answer in asyncio.run(all_at_once())]
        assert said == ["".join(WORDS)] * 40, said

    def anthropic_errors(self):
        for status, name in ERRORS.items():
            asked = [{"role": "user", "content": f"answer {status}"}]
            with raises(anthropic.APIStatusError) as caught:
                self.anthropic(max_retries=0).messages.create(model=MODEL, max_tokens=9, messages=asked)
            # A kind of its own stands for 503 in newer versions.
            assert isinstance(caught.error, (getattr(anthropic, name), anthropic.InternalServerError)), caught.error
            assert caught.error.status_code == status, caught.error
            assert caught.error.body["error"]["message"] == "as asked", caught.error.body

    def anthropic_refusals(self):
        with raises(anthropic.PermissionDeniedError):
            self.anthropic().messages.create(model=OTHER_MODEL, max_tokens=9, messages=ASKED)
        with raises(anthropic.AuthenticationError):
            self.anthropic(api_key="none").messages.count_tokens(model=MODEL, messages=ASKED)
        with raises(anthropic.NotFoundError):
            client = self.anthropic(base_url=f"{self.keyward.data}/nowhere")
            client.messages.create(model=MODEL, max_tokens=9, messages=ASKED)

    def anthropic_resting(self):
        with raises(anthropic.InternalServerError) as caught:
            self.anthropic(max_retries=0).messages.create(model=MODEL, max_tokens=9, messages=ASKED)
        assert caught.error.body["type"] == "error", caught.error.body
        self.is_resting(caught.error)

    # baseten

    def baseten_async(self):
        base = f"{self.keyward.data}/models/{MODEL}"

        async def predict(key):
            async with AsyncInferenceClient(base_url_override=base, api_key=key) as client:
                calls = [client.api.predict_production(request=PredictInput({"q": n})) for n in range(20)]
                return await asyncio.gather(*calls)

        answers = asyncio.run(predict(self.key))
        assert [answer.root["predicted"]["q"] for answer in answers] == list(range(20)), answers
        with raises(ResponseErrorResponse) as caught:
            asyncio.run(predict(WRONG_KEY))
        assert caught.error.status_code == 401, caught.error

    def baseten_async_keys(self):
        async def manage(token):
            async with AsyncManagementClient(api_key=token, base_url_override=self.keyward.admin) as client:

                async def one(number):
                    asked = CreateAPIKeyRequest(name=f"async {number}", type="WORKSPACE_INVOKE", model_ids=[MODEL])
                    text = (await client.api.post_api_keys(request=asked)).api_key
                    self.model.secrets.add(text)
                    prefix = text.split(".")[0]
                    assert prefix in [key.prefix for key in (await client.api.get_api_keys()).keys]
                    assert (await client.api.delete_api_keys(api_key_prefix=prefix)).prefix == prefix
                    return prefix

                made = await asyncio.gather(*(one(number) for number in range(10)))
                left = {key.prefix for key in (await client.api.get_api_keys()).keys}
                assert len(set(made)) == 10 and not left & set(made), (made, left)

        asyncio.run(manage(self.keyward.admin_token))
        with raises(ResponseError) as caught:
            asyncio.run(manage(self.key))
        assert caught.error.status_code == 403, caught.error
