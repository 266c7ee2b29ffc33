"""Baseten's `truss` at the admin listener: it makes keys.

What it does when a job of training needs one (`truss train`) is one request, `POST /v1/api_keys` with a name and a type,
and a team where it has one. Where the REST API is stands in a table of its own, by where the application is; that table is
what these checks change, and nothing else. Its other commands speak GraphQL, which keyward does not.
"""

import contextlib
import io
import os
import urllib.error
import urllib.request

import requests
from truss.remote.baseten import api
from truss.remote.baseten.auth import ApiKeyCredential, AuthService
from truss.remote.baseten.custom_types import APIKeyCategory
from truss.remote.remote_factory import API_KEY_ENV, ENV_REMOTE_NAME, REMOTE_URL_ENV, RemoteFactory

APPLICATION = "https://app.keyward.example"


def run(tally, keyward, model, key):
    api.API_URL_MAPPING[APPLICATION] = keyward.admin
    checks = Creating(keyward, model, key)
    tally.check("truss: a key of each of its types is made, and lists as such", checks.each_type)
    tally.check("truss: what it makes for calling calls", checks.calls)
    tally.check("truss: a key of a team is made", checks.of_a_team)
    tally.check("truss: as the environment tells it, with a bearer token", checks.by_environment)
    tally.check("truss: refusals are its own errors", checks.refusals)


class Creating:
    def __init__(self, keyward, model, key):
        self.keyward = keyward
        self.model = model
        self.key = key

    def truss(self, text):
        return api.BasetenApi(APPLICATION, AuthService(ApiKeyCredential(api_key=text)))

    def create(self, truss, kind, name, **options):
        answer = truss.create_api_key(kind, name, **options)
        assert set(answer) == {"api_key"}, set(answer)
        self.model.secrets.add(answer["api_key"])
        return answer["api_key"]

    def listed(self):
        truss = self.truss(self.keyward.admin_token)
        return {key["name"]: key for key in truss._rest_api_client.get("v1/api_keys")["keys"]}

    def each_type(self):
        truss = self.truss(self.keyward.admin_token)
        for kind in APIKeyCategory:
            self.create(truss, kind, f"truss {kind.value}")
        listed = self.listed()
        for kind in APIKeyCategory:
            assert listed[f"truss {kind.value}"]["type"] == kind.value, listed

    def calls(self):
        # The type of the key that it stores for jobs.
        text = self.create(self.truss(self.keyward.admin_token), APIKeyCategory.WORKSPACE_MANAGE_ALL, "job")
        request = urllib.request.Request(f"{self.keyward.data}/models/m1/predict", b"{}")
        request.add_header("authorization", f"Api-Key {text}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200
        # And with it, it makes another.
        self.create(self.truss(text), APIKeyCategory.WORKSPACE_MANAGE_ALL, "made by a job")
        self.truss(text)._rest_api_client.delete(f"v1/api_keys/{text.split('.')[0]}")
        try:
            urllib.request.urlopen(request, timeout=20)
        except urllib.error.HTTPError as error:
            assert error.code == 401, error
        else:
            raise AssertionError("a deleted key calls")

    def of_a_team(self):
        truss = self.truss(self.keyward.admin_token)
        (team,) = truss._rest_api_client.get("v1/teams")["teams"]
        self.create(truss, APIKeyCategory.WORKSPACE_MANAGE_ALL, "of a team", team_id=team["id"])
        assert self.listed()["of a team"]["team_name"] == team["name"]

    def by_environment(self):
        told = {REMOTE_URL_ENV: APPLICATION, API_KEY_ENV: self.keyward.admin_token}
        os.environ.update(told)
        try:
            truss = RemoteFactory.create(ENV_REMOTE_NAME).api
        finally:
            for name in told:
                del os.environ[name]
        self.create(truss, APIKeyCategory.WORKSPACE_MANAGE_ALL, "by the environment")

    def refusals(self):
        team = "00000000-0000-0000-0000-000000000000"
        for text, name, options, status in [
            ("wrong", "new", {}, 401),
            (self.key, "new", {}, 403),
            (self.keyward.admin_token, "of a team", {}, 409),
            (self.keyward.admin_token, "new", {"team_id": team}, 404),
        ]:
            said = io.StringIO()
            try:
                with contextlib.redirect_stdout(said):
                    self.create(self.truss(text), APIKeyCategory.WORKSPACE_MANAGE_ALL, name, **options)
            except requests.HTTPError as error:
                assert error.response.status_code == status, (name, error, error.response.text)
                # It tells people what the answer says.
                assert said.getvalue().startswith("Client error: "), said.getvalue()
            else:
                raise AssertionError(f"not refused with {status}")
