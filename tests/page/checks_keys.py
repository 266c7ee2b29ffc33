"""Every feature of the page, by keyboard alone."""

import re
import subprocess

from playwright.sync_api import expect

from tally import equal
from visit import Visit

MARKUP = '<img src=x onerror="document.title=1">'
FORCE = re.compile(r"In force everywhere after \d+ ms\.")


def run(tally, stage):
    with Visit(stage) as visit:
        keys = Keys(stage, visit)
        tally.check("a wrong token is refused, and said so", keys.wrong_token)
        tally.check("the right one unlocks", keys.right_token)
        tally.check("a key is created, and shown with its call", keys.create)
        tally.check("the call that is shown works", keys.run_the_call)
        tally.check("the secret is not left by accident, and gone when it is left", keys.leave_secret)
        tally.check("a name that is markup is a name", keys.markup)
        tally.check("a mistake is said where it was made", keys.mistake)
        tally.check("a key is disabled everywhere, and enabled again", keys.switch)
        tally.check("a key gets a new text", keys.rotate)
        tally.check("refusals appear by themselves, with reasons", keys.refusals)
        tally.check("a refusal leads to its key", keys.refusal_to_key)
        tally.check("refusals can be held still", keys.pause)
        tally.check("traffic is drawn, and said", keys.traffic)
        tally.check("upstream keys are shown masked", keys.upstream_keys)
        tally.check("every instance is fresh", keys.instances)
        tally.check("the list is read page by page, searched and sorted", keys.many)
        tally.check("a key is deleted, in force everywhere after so many ms", keys.delete)
        tally.check("an instance that falls silent is said to be", keys.silent_instance)
        tally.check("locking forgets everything", keys.lock)
        tally.check("nothing went elsewhere, and the browser found no fault", visit.is_clean)


class Keys:
    def __init__(self, stage, visit):
        self.stage = stage
        self.visit = visit
        self.page = visit.page
        self.text = None
        self.curl = None

    @property
    def prefix(self):
        return self.text.split(".")[0]

    def row(self, prefix=None):
        return self.page.locator(f'tr[data-prefix="{prefix or self.prefix}"]')

    def notice(self, pattern):
        expect(self.page.locator("#notice")).to_have_text(pattern)

    def wrong_token(self):
        expect(self.page.locator("#token")).to_be_focused()
        self.page.keyboard.type("kwadmin_wrong")
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#gate-problem")).to_have_text("this credential is not valid")
        expect(self.page.locator("#app")).to_be_hidden()
        self.page.locator("#token").fill("")

    def right_token(self):
        self.visit.unlock()
        expect(self.page.locator("#app-title")).to_be_focused()
        expect(self.page.locator("#keys-count")).to_have_text("No keys yet.")
        expect(self.page.locator("#freshness")).to_have_text("edge-1: fresh")

    def create(self):
        self.visit.press("#new-key")
        expect(self.page.locator("#create-name")).to_be_focused()
        self.page.keyboard.type(MARKUP)
        self.visit.tab_to("#create-models")
        self.page.keyboard.type("m1")
        self.page.keyboard.press("Enter")
        self.page.keyboard.type("it's*")
        self.visit.press("#create button[type=submit]")
        secret = self.page.locator("#secret-text")
        expect(secret).to_be_visible()
        self.text = secret.input_value()
        assert re.fullmatch(r"kw_[0-9A-Za-z]{8}\.[0-9A-Za-z]{38}", self.text), "not a key"
        self.stage.model.secrets.add(self.text)
        expect(self.page.locator("#secret-force")).to_have_text(FORCE)
        self.curl = self.page.locator("#curl").text_content()
        assert self.text in self.curl and '"model":"m1"' in self.curl, "not the call"
        self.visit.picture("secret", whole=False)

    def run_the_call(self):
        ran = subprocess.run(["sh", "-c", f"{self.curl} -w '%{{http_code}}'"], capture_output=True, timeout=20, check=True)
        said = ran.stdout.decode()
        assert said.endswith("200") and "keys are checked" in said, said
        equal(self.stage.model.leaks, [])

    def leave_secret(self):
        self.page.keyboard.press("Escape")
        expect(self.page.locator("#secret")).to_be_visible()
        self.visit.press("#secret button[type=submit]")
        expect(self.page.locator("#secret")).to_be_hidden()
        expect(self.page.locator("#new-key")).to_be_focused()
        left = self.page.evaluate(
            "[document.documentElement.outerHTML, ...[...document.querySelectorAll('input')].map((i) => i.value)].join()"
        )
        assert self.text not in left, "the secret is still there"

    def markup(self):
        cells = self.row().locator("td")
        expect(cells.nth(0)).to_have_text(MARKUP)
        expect(cells.nth(2)).to_have_text("invoke")
        expect(cells.nth(6)).to_have_text("active")
        equal(self.page.locator("img").count(), 0)
        equal(self.page.title(), "keyward")

    def mistake(self):
        self.visit.press("#new-key")
        expect(self.page.locator("#create-name")).to_be_focused()
        self.page.keyboard.type(MARKUP)
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#create-problem")).to_contain_text("exists already")
        self.page.keyboard.press("Escape")
        expect(self.page.locator("#create")).to_be_hidden()
        expect(self.page.locator("#new-key")).to_be_focused()

    def switch(self):
        equal(self.stage.keyward.call(self.text), 200)
        self.visit.press(f'[data-focus="disable {self.prefix}"]')
        self.notice(re.compile(r"is disabled\. In force everywhere after \d+ ms\."))
        expect(self.row()).to_contain_text("disabled")
        equal(self.stage.keyward.call(self.text), 401)
        # The focus stays where it was: on what is now the way back.
        expect(self.page.locator(f'[data-focus="enable {self.prefix}"]')).to_be_focused()
        self.page.keyboard.press("Enter")
        self.notice(re.compile(r"is enabled\. In force everywhere after \d+ ms\."))
        equal(self.stage.keyward.call(self.text), 200)

    def rotate(self):
        before = self.text
        self.visit.press(f'[data-focus="rotate {self.prefix}"]')
        expect(self.page.locator("#rotate-name")).to_have_text(MARKUP)
        self.visit.press("#rotate button[type=submit]")
        expect(self.page.locator("#secret-text")).to_be_visible()
        self.text = self.page.locator("#secret-text").input_value()
        self.stage.model.secrets.add(self.text)
        expect(self.page.locator("#secret-force")).to_contain_text("The text before is refused.")
        self.visit.press("#secret button[type=submit]")
        expect(self.page.locator(f'[data-focus="rotate {self.prefix}"]')).to_be_focused()
        equal((self.stage.keyward.call(before), self.stage.keyward.call(self.text)), (401, 200))

    def refusals(self):
        equal((self.stage.keyward.call(self.text, "m2"), self.stage.keyward.call()), (403, 401))
        rows = self.page.locator("#refusal-rows tr")
        scoped = rows.filter(has_text="model_not_allowed")
        expect(scoped).to_contain_text("/models/{model}/predict")
        expect(scoped).to_contain_text(self.prefix)
        expect(rows.filter(has_text="missing_key")).to_contain_text("not known")
        expect(self.page.locator("#reasons li", has_text="model_not_allowed")).to_contain_text("1")

    def refusal_to_key(self):
        self.visit.press(f'[data-focus="refusal {self.prefix}"]')
        expect(self.page.locator("#search")).to_be_focused()
        expect(self.page.locator("#search")).to_have_value(self.prefix)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.press("Delete")

    def pause(self):
        self.visit.press("#pause")
        expect(self.page.locator("#pause")).to_have_attribute("aria-pressed", "true")
        before = self.page.locator("#refusal-rows").text_content()
        self.stage.keyward.call("nobodys-key-of-all")
        with self.page.expect_response("**/v1/status"):
            pass
        equal(self.page.locator("#refusal-rows").text_content(), before)
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#refusal-rows tr").first).to_contain_text("unknown_key")

    def traffic(self):
        plots = self.page.locator("#plots figure")
        expect(plots).to_have_count(3)
        expect(plots.first.locator("svg.plot")).to_have_attribute("aria-label", re.compile("forwarded [0-9.]+,"))
        expect(plots.nth(1)).to_contain_text("ms")

    def upstream_keys(self):
        rows = self.page.locator("#upstream-rows tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(0)).to_contain_text("First account")
        expect(rows.nth(0)).to_contain_text("sk-o************************cdef")
        expect(rows.nth(0)).to_contain_text("not gpt-4")
        expect(rows.nth(1)).to_contain_text("from env.SECOND_UPSTREAM_KEY")
        expect(rows.nth(1)).to_contain_text("disabled")
        assert "0123456789" not in self.page.content(), "an upstream's key is shown"

    def instances(self):
        rows = self.page.locator("#instance-rows tr")
        expect(rows).to_have_count(2)
        for row, name in ((rows.nth(0), "edge-1"), (rows.nth(1), "edge-2")):
            expect(row).to_contain_text(name)
            expect(row).to_contain_text("heard")
        expect(self.page.locator("#memory")).to_contain_text("It holds every key.")

    def many(self):
        team = self.stage.keyward.administer("POST", "/v1/teams", {"name": "search"})["id"]
        for number in range(250):
            wish = {"type": "WORKSPACE_INVOKE", "name": f"robot-{number:03}", "model_ids": ["m1", f"vendor/model-{number}"]}
            if number % 2:
                wish["team_id"] = team
            self.stage.keyward.administer("POST", "/v1/api_keys", wish)
        self.visit.tab_to("#refresh", backwards=True)
        self.page.keyboard.press("Enter")
        count = self.page.locator("#keys-count")
        expect(count).to_contain_text("200 keys loaded; there are more")
        self.visit.tab_to("#search", backwards=True)
        self.page.keyboard.type("robot-00")
        # The oldest are not loaded yet, and nothing pretends otherwise.
        expect(count).to_contain_text("0 of 200 keys loaded; there are more")
        self.visit.press("#all")
        expect(count).to_contain_text("10 of 251 keys.")
        self.visit.press('th[data-column="name"] button')
        expect(self.page.locator('th[data-column="name"]')).to_have_attribute("aria-sort", "ascending")
        first = self.page.locator("#keys-rows tr").first
        expect(first).to_contain_text("robot-000")
        self.page.keyboard.press("Enter")
        expect(first).to_contain_text("robot-009")
        self.visit.tab_to("#search", backwards=True)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type("robot SEARCH model-7")
        expect(self.page.locator("#keys-rows tr").first).to_contain_text("robot-079")
        self.page.keyboard.press("Control+a")
        self.page.keyboard.press("Delete")
        expect(count).to_contain_text("251 keys. The first 200 are shown.")
        self.visit.tab_to("#category")
        self.page.keyboard.type("pers")
        expect(count).to_have_text("No keys of this category.")
        self.page.keyboard.press("Home")
        expect(count).to_contain_text("200 keys loaded")

    def delete(self):
        victim = self.page.locator("#keys-rows tr").first
        prefix = victim.get_attribute("data-prefix")
        name = victim.locator("td").first.text_content()
        self.visit.press(f'[data-focus="delete {prefix}"]')
        dialog = self.page.locator("#delete")
        expect(dialog).to_contain_text(f"{name} ({prefix})")
        # Whoever presses Enter without reading has cancelled.
        expect(dialog.locator("[data-close]")).to_be_focused()
        self.visit.press("#delete button.danger")
        self.notice(re.compile(rf"{name} is deleted\. In force everywhere after \d+ ms\."))
        expect(self.row(prefix)).to_have_count(0)
        expect(self.page.locator("#new-key")).to_be_focused()
        listed = self.stage.keyward.administer("GET", "/v1/api_keys")["keys"]
        assert prefix not in [key["prefix"] for key in listed], "it is still there"

    def silent_instance(self):
        self.stage.other.kill()
        row = self.page.locator("#instance-rows tr", has_text="edge-2")
        expect(row).to_contain_text("silent")
        self.visit.picture("silent-instance")

    def lock(self):
        self.visit.tab_to("#lock", backwards=True)
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#gate")).to_be_visible()
        expect(self.page.locator("#token")).to_be_focused()
        assert self.prefix not in self.page.content(), "what was shown is still there"
        stored = self.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
        equal(stored, [0, 0, ""])
        equal(self.page.evaluate("token"), None)
