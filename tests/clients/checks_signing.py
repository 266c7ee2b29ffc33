"""What keyward signs for Bedrock, against what botocore signs for the same request."""

import datetime
import urllib.error
import urllib.request

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from model_server import ModelServer
from program import Program

ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SETTINGS = """
[upstreams.bedrock]
url = "{url}"
provider = "bedrock"
[[upstreams.bedrock.keys]]
id = "signing"
[upstreams.bedrock.keys.bedrock_key_config]
access_key = {{ inline = "{access}" }}
secret_key = {{ inline = "{secret}" }}
{session}
region = "eu-central-1"
deployments = {{ "profiled" = "eu.anthropic.claude-sonnet-4:0" }}
[[proxy.routes]]
path = "/model/{{model}}/{{rest}}"
upstream = "bedrock"
"""
REQUESTS = [
    ("/model/anthropic.claude-v2:1/invoke", b'{"prompt":"hello"}', "application/json"),
    ("/model/profiled/converse", "{\"messages\":[\"gr\u00fc\u00df dich\"]}".encode(), "application/json"),
    ("/model/amazon.titan/invoke", b"", None),
    ("/model/amazon.titan/invoke?b=2&a=1", bytes(range(256)), "application/octet-stream"),
]


def run(tally, program, directory):
    for name, token in (("signing", None), ("session", "a/session+token==")):
        model = ModelServer()
        session = f'session_token = {{ inline = "{token}" }}' if token else ""
        settings = SETTINGS.format(url=model.url, access=ACCESS_KEY, secret=SECRET_KEY, session=session)
        keyward = Program(program, directory, name=name, settings=settings)
        try:
            keyward.wait_until_ready()
            key = keyward.administer("POST", "/v1/api_keys", {"type": "PERSONAL"})["api_key"]
            for path, body, content_type in REQUESTS:
                sentence = f"botocore signs {path} with {name} as keyward does"
                tally.check(sentence, lambda: is_signed(keyward, model, key, (path, body, content_type), token))
        finally:
            keyward.kill()
            model.close()


def is_signed(keyward, model, key, asked, token):
    path, body, content_type = asked
    model.requests.clear()
    request = urllib.request.Request(keyward.data + path, body, method="POST")
    request.add_header("authorization", f"Bearer {key}")
    if content_type:
        request.add_header("content-type", content_type)
    try:
        urllib.request.urlopen(request).close()
    except urllib.error.HTTPError:
        pass  # The model server does not know the path, and has seen it.
    (target, headers) = model.requests[-1]
    headers = {name.lower(): value for name, value in headers}
    moment = headers["x-amz-date"]

    theirs = AWSRequest("POST", model.url + target, data=body)
    if "content-type" in headers:
        theirs.headers["content-type"] = headers["content-type"]
    signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY, token), "bedrock", "eu-central-1")
    frozen = datetime.datetime.strptime(moment, "%Y%m%dT%H%M%SZ")
    # As `add_auth`, with our moment.
    theirs.context["timestamp"] = frozen.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(theirs)
    theirs.headers.replace_header("X-Amz-Date", moment)
    canonical = signer.canonical_request(theirs)
    signature = signer.signature(signer.string_to_sign(theirs, canonical), theirs)
    assert headers["authorization"].endswith(f"Signature={signature}"), (headers["authorization"], canonical)
    assert headers.get("x-amz-security-token") == token
