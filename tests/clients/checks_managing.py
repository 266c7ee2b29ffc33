"""Baseten's own client at the admin listener: lists, creates and deletes."""

from contextlib import contextmanager

from baseten.client import ManagementClient
from baseten.client.managementapi import CreateAPIKeyRequest, GetApiKeysParams, ResponseError


def run(tally, keyward, model):
    with ManagementClient(api_key=keyward.admin_token, base_url_override=keyward.admin) as client:
        checks = Managing(client.api, keyward, model)
        tally.check("baseten: there is no key at first", checks.none_at_first)
        tally.check("baseten: a key of every category is created", checks.create)
        tally.check("baseten: the list has what was created, newest first", checks.list)
        tally.check("baseten: the list is filtered by type", checks.list_by_type)
        tally.check("baseten: a taken name is a conflict", checks.taken_name)
        tally.check("baseten: models for a personal key are refused", checks.models_for_personal)
        tally.check("baseten: a key is deleted once", checks.delete)
        tally.check("baseten: the default team is listed", checks.teams)
        tally.check("baseten: the caller is told who it is", checks.who_am_i)
        tally.check("baseten: a key that manages keys may manage, one that invokes may not", checks.who_may)
        tally.check("baseten: a wrong credential is refused", checks.wrong_credential)


class Managing:
    def __init__(self, api, keyward, model):
        self.api = api
        self.keyward = keyward
        self.model = model
        self.texts = {}

    def none_at_first(self):
        assert self.api.get_api_keys().keys == []

    def create(self):
        for category, models in [
            ("PERSONAL", None),
            ("WORKSPACE_MANAGE_ALL", None),
            ("WORKSPACE_EXPORT_METRICS", ["m1"]),
            ("WORKSPACE_INVOKE", ["m1", "m2*"]),
        ]:
            request = CreateAPIKeyRequest(name=f"the {category}", type=category, model_ids=models)
            text = self.api.post_api_keys(request=request).api_key
            self.model.secrets.add(text)
            self.texts[category] = text

    def list(self):
        keys = self.api.get_api_keys().keys
        assert [key.type for key in keys] == list(reversed(self.texts)), keys
        for key in keys:
            assert self.texts[key.type].startswith(f"{key.prefix}."), key
            assert key.name == f"the {key.type}", key
            assert key.team_name, key
            assert key.created_at.tzinfo is not None, key
            assert key.last_used_at is None, key
        assert [key.model_ids for key in keys] == [["m1", "m2*"], ["m1"], None, None]

    def list_by_type(self):
        found = self.api.get_api_keys(params=GetApiKeysParams(type="WORKSPACE_INVOKE")).keys
        assert [key.type for key in found] == ["WORKSPACE_INVOKE"], found

    def taken_name(self):
        with refused(409):
            request = CreateAPIKeyRequest(name="the WORKSPACE_INVOKE", type="WORKSPACE_INVOKE")
            self.api.post_api_keys(request=request)

    def models_for_personal(self):
        with refused(400):
            self.api.post_api_keys(request=CreateAPIKeyRequest(type="PERSONAL", model_ids=["m1"]))

    def delete(self):
        prefix = self.texts["WORKSPACE_EXPORT_METRICS"].split(".")[0]
        assert self.api.delete_api_keys(api_key_prefix=prefix).prefix == prefix
        assert prefix not in [key.prefix for key in self.api.get_api_keys().keys]
        with refused(404):
            self.api.delete_api_keys(api_key_prefix=prefix)

    def teams(self):
        assert [team.default for team in self.api.get_teams().teams] == [True]

    def who_am_i(self):
        mine = self.api.get_api_keys(params=GetApiKeysParams(type="PERSONAL", created_by_me=True)).keys
        assert [key.owner.user_id for key in mine] == [self.api.get_users_me().user_id], mine

    def who_may(self):
        assert self.call_as(self.texts["WORKSPACE_MANAGE_ALL"], "get_api_keys").keys
        with refused(403):
            self.call_as(self.texts["WORKSPACE_INVOKE"], "get_api_keys")

    def wrong_credential(self):
        for text in ["wrong", self.texts["WORKSPACE_EXPORT_METRICS"], self.keyward.admin_token[:-1]]:
            with refused(401):
                self.call_as(text, "get_api_keys")

    def call_as(self, text, method):
        with ManagementClient(api_key=text, base_url_override=self.keyward.admin) as client:
            return getattr(client.api, method)()


@contextmanager
def refused(status):
    try:
        yield
    except ResponseError as error:
        assert error.status_code == status, error
    else:
        raise AssertionError(f"not refused with {status}")
