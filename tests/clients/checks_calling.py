"""OpenAI's, Anthropic's and Baseten's own clients, and curl, at the data listener."""

import json
import subprocess
from contextlib import contextmanager

import anthropic
import openai
from baseten.client import InferenceClient, ManagementClient
from baseten.client.inferenceapi import PredictInput, ResponseError, ResponseErrorResponse
from baseten.client.managementapi import CreateAPIKeyRequest
from model_server import WORDS

MODEL = "m1"
OTHER_MODEL = "m9"
WRONG_KEY = "kw_00000000.00000000000000000000000000000000000000"
ASKED = [{"role": "user", "content": "what are keys?"}]


def run(tally, keyward, model):
    with ManagementClient(api_key=keyward.admin_token, base_url_override=keyward.admin) as client:
        checks = Calling(client.api, keyward, model)
        tally.check("a key made a moment ago works", checks.make_key)
        tally.check("openai: a chat is answered", checks.openai_chat)
        tally.check("openai: a streamed chat comes event by event", checks.openai_stream)
        tally.check("openai: an embedding comes", checks.openai_embedding)
        tally.check("openai: refusals are the client's own errors", checks.openai_refusals)
        tally.check("anthropic: a message is answered", checks.anthropic_message)
        tally.check("anthropic: a bearer token is taken, too", checks.anthropic_bearer)
        tally.check("anthropic: a streamed message comes event by event", checks.anthropic_stream)
        tally.check("anthropic: refusals are the client's own errors", checks.anthropic_refusals)
        tally.check("baseten: a prediction by path comes", checks.baseten_by_path)
        tally.check("baseten: a prediction by host comes", checks.baseten_by_host)
        tally.check("baseten: refusals are the client's own errors", checks.baseten_refusals)
        tally.check("curl: Api-Key and Bearer are taken, in any case", checks.curl_schemes)
        tally.check("curl: no key, a wrong key, another model are refused", checks.curl_refusals)
        tally.check("the model server is told whose call it is", checks.identity)
        tally.check("a deleted key is refused at once by every client", checks.deleted)


class Calling:
    def __init__(self, admin, keyward, model):
        self.admin = admin
        self.data = keyward.data
        self.model = model
        self.key = None

    def make_key(self):
        request = CreateAPIKeyRequest(name="caller", type="WORKSPACE_INVOKE", model_ids=[MODEL])
        self.key = self.admin.post_api_keys(request=request).api_key
        self.model.secrets.add(self.key)
        assert self.curl("-H", f"Authorization: Bearer {self.key}")[0] == 200

    # openai

    def openai(self, key=None, model=MODEL):
        base = f"{self.data}/models/{model}/v1"
        return openai.OpenAI(base_url=base, api_key=key or self.key, max_retries=0, timeout=20)

    def openai_chat(self):
        answer = self.openai().chat.completions.create(model=MODEL, messages=ASKED)
        assert answer.choices[0].message.content == "".join(WORDS), answer

    def openai_stream(self):
        with self.first_event_held() as arrived:
            words = []
            for chunk in self.openai().chat.completions.create(model=MODEL, messages=ASKED, stream=True):
                words.append(chunk.choices[0].delta.content)
                arrived.set()
        assert words == [*WORDS, None], words

    def openai_embedding(self):
        answer = self.openai().embeddings.create(model=MODEL, input="keys", encoding_format="float")
        assert answer.data[0].embedding == [0.25, 0.5], answer

    def openai_refusals(self):
        def chat(client):
            client.chat.completions.create(model=MODEL, messages=ASKED)

        for text in ["wrong", WRONG_KEY, self.key[:-1]]:
            with raises(openai.AuthenticationError) as caught:
                chat(self.openai(key=text))
            assert caught.error.body["message"], caught.error.body
        with raises(openai.PermissionDeniedError):
            chat(self.openai(model=OTHER_MODEL))

    # anthropic

    def anthropic(self, key=None, model=MODEL, **credential):
        base = f"{self.data}/models/{model}"
        credential = credential or {"api_key": key or self.key}
        return anthropic.Anthropic(base_url=base, max_retries=0, timeout=20, **credential)

    def anthropic_message(self):
        answer = self.anthropic().messages.create(model=MODEL, max_tokens=9, messages=ASKED)
        assert answer.content[0].text == "".join(WORDS), answer

    def anthropic_bearer(self):
        client = self.anthropic(auth_token=self.key)
        assert client.messages.create(model=MODEL, max_tokens=9, messages=ASKED).content

    def anthropic_stream(self):
        with self.first_event_held() as arrived:
            words = []
            for event in self.anthropic().messages.create(
                model=MODEL, max_tokens=9, messages=ASKED, stream=True
            ):
                arrived.set()
                if event.type == "content_block_delta":
                    words.append(event.delta.text)
        assert words == WORDS, words

    def anthropic_refusals(self):
        def message(client):
            client.messages.create(model=MODEL, max_tokens=9, messages=ASKED)

        with raises(anthropic.AuthenticationError) as caught:
            message(self.anthropic(key=WRONG_KEY))
        assert caught.error.body["error"]["type"] == "authentication_error", caught.error.body
        with raises(anthropic.PermissionDeniedError) as caught:
            message(self.anthropic(model=OTHER_MODEL))
        assert caught.error.body["error"]["type"] == "permission_error", caught.error.body

    # baseten

    def predict(self, base, **options):
        with InferenceClient(base_url_override=base, **options) as client:
            return client.api.predict_production(request=PredictInput({"q": 1})).root

    def baseten_by_path(self):
        answer = self.predict(f"{self.data}/models/{MODEL}", api_key=self.key)
        assert answer["predicted"] == {"q": 1}, answer

    def baseten_by_host(self):
        host = {"Host": f"model-{MODEL}.api.example.com"}
        answer = self.predict(self.data, api_key=self.key, headers=host)
        assert answer == {"predicted": {"q": 1}, "path": "/production/predict"}, answer

    def baseten_refusals(self):
        with raises(ResponseErrorResponse) as caught:
            self.predict(f"{self.data}/models/{MODEL}", api_key=WRONG_KEY)
        assert caught.error.status_code == 401, caught.error
        assert caught.error.error_response.error, caught.error
        with raises(ResponseError) as caught:
            self.predict(f"{self.data}/models/{OTHER_MODEL}", api_key=self.key)
        assert caught.error.status_code == 403, caught.error

    # curl

    def curl(self, *options, model=MODEL):
        """The status, the head and the body of a prediction."""
        url = f"{self.data}/models/{model}/predict"
        asked = ["-d", '{"q":1}', "-H", "Content-Type: application/json"]
        command = ["curl", "-sS", "-i", "--max-time", "20", *asked, *options, url]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
        return int(head.split()[1]), head.lower(), body

    def curl_schemes(self):
        for scheme in ["Api-Key", "Bearer", "api-key", "BEARER"]:
            status, _, body = self.curl("-H", f"Authorization: {scheme} {self.key}")
            assert status == 200 and json.loads(body)["predicted"] == {"q": 1}, (scheme, status, body)

    def curl_refusals(self):
        status, head, _ = self.curl()
        assert status == 401 and "www-authenticate: " in head, head
        assert self.curl("-H", f"Authorization: Bearer {WRONG_KEY}")[0] == 401
        assert self.curl("-H", f"Authorization: Bearer {self.key}", model=OTHER_MODEL)[0] == 403

    # what the model server knows

    def identity(self):
        status, head, _ = self.curl(
            "-H", f"Authorization: Bearer {self.key}", "-H", "x-keyward-key-name: somebody else"
        )
        assert status == 200 and "x-request-id: " in head, head
        headers = [(name.lower(), value) for name, value in self.model.requests[-1][1]]
        told = dict(headers)
        assert told["x-keyward-model"] == MODEL, headers
        assert told["x-keyward-key-prefix"] == self.key.split(".")[0], headers
        assert [value for name, value in headers if name == "x-keyward-key-name"] == ["caller"], headers
        assert told["x-request-id"] in head, (headers, head)

    def deleted(self):
        self.admin.delete_api_keys(api_key_prefix=self.key.split(".")[0])
        assert self.curl("-H", f"Authorization: Bearer {self.key}")[0] == 401
        with raises(openai.AuthenticationError):
            self.openai().chat.completions.create(model=MODEL, messages=ASKED)
        with raises(anthropic.AuthenticationError):
            self.anthropic().messages.create(model=MODEL, max_tokens=9, messages=ASKED)
        with raises(ResponseErrorResponse):
            self.predict(f"{self.data}/models/{MODEL}", api_key=self.key)

    @contextmanager
    def first_event_held(self):
        """The model server sends one event, and the others when the yielded event is set."""
        self.model.first_event_arrived.clear()
        yield self.model.first_event_arrived


class raises:
    """`with raises(Kind) as caught`: the block must fail so; `caught.error` is the error."""

    def __init__(self, kind):
        self.kind = kind
        self.error = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        assert kind is not None, f"{self.kind.__name__} was not raised"
        self.error = error
        return issubclass(kind, self.kind)
