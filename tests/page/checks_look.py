"""How it looks: light and dark, wide and narrow, each judged by axe-core and kept as pictures."""

from pathlib import Path

import axe_playwright_python
from playwright.sync_api import expect

from visit import NARROW, WIDE, Visit

AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()
RUN_AXE = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.map(({ id, impact, help, nodes }) =>
    `${impact}: ${id}: ${help}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
}"""


def run(tally, stage):
    for scheme in ("light", "dark"):
        for name, size in (("1280", WIDE), ("400", NARROW)):
            # axe-core is put into the page, whose policy would not have it.
            with Visit(stage, size, scheme, bypass_csp=True) as visit:
                look = Look(stage, visit, f"{scheme}-{name}")
                where = f"{scheme}, {name} px"
                tally.check(f"{where}: the gate", look.gate)
                tally.check(f"{where}: the page", look.page)
                tally.check(f"{where}: a list with one key of each state", look.states)
                tally.check(f"{where}: the dialogs", look.dialogs)


class Look:
    def __init__(self, stage, visit, name):
        self.stage = stage
        self.visit = visit
        self.name = name

    def judge(self, what, whole=True):
        self.visit.picture(f"{self.name}-{what}", whole)
        page = self.visit.page
        wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], f"{what} is {wide[0]} px wide in a window of {wide[1]} px"
        page.evaluate(AXE)
        found = page.evaluate(RUN_AXE)
        for violation in found:
            print(f"        {violation}", flush=True)
        grave = [violation for violation in found if violation.startswith(("serious", "critical"))]
        assert not grave, grave

    def gate(self):
        self.judge("gate")

    def page(self):
        for _ in range(20):
            self.stage.keyward.call()
        self.visit.unlock()
        page = self.visit.page
        expect(page.locator("#refusal-rows")).to_contain_text("missing_key")
        expect(page.locator("#upstream-rows")).to_contain_text("First account")
        expect(page.locator("#plots figure")).to_have_count(3)
        page.locator("#search").fill("robot-24")
        self.judge("page")

    def states(self):
        keys = self.stage.keyward.administer("GET", "/v1/api_keys")["keys"]
        if not any(key["name"] == "laptop of @ada" for key in keys):
            self.make_states()
        page = self.visit.page
        page.locator("#refresh").click()
        # No prefix of a key has such a sign, so that none is found by chance.
        page.locator("#search").fill("@ada")
        expect(page.locator("#keys-rows tr")).to_have_count(4)
        self.judge("states")

    def make_states(self):
        def make(category, name, **more):
            made = self.stage.keyward.administer("POST", "/v1/api_keys", {"type": category, "name": name, **more})
            return made["api_key"]

        models = [f"vendor/a-model-with-a-rather-long-name-{number}" for number in range(7)]
        used = make("WORKSPACE_INVOKE", "laptop of @ada")
        self.stage.keyward.call(used)
        make("PERSONAL", "@ada, ends soon", expires_in=90_000)
        make("WORKSPACE_EXPORT_METRICS", "metrics of @ada", model_ids=models)
        stopped = make("WORKSPACE_MANAGE_ALL", "robot-of-@ada-" + "x" * 60)
        self.stage.keyward.administer("PATCH", f"/v1/api_keys/{stopped.split('.')[0]}", {"enabled": False})

    def dialogs(self):
        page = self.visit.page
        page.locator("#new-key").click()
        expect(page.locator("#create-team option").first).to_be_attached()
        self.judge("create", whole=False)
        page.keyboard.press("Escape")
        page.locator("#keys-rows button.rotate").first.click()
        self.judge("rotate", whole=False)
        page.keyboard.press("Escape")
        page.locator("#keys-rows button.delete").first.click()
        self.judge("delete", whole=False)
        page.keyboard.press("Escape")
        page.locator("#new-key").click()
        page.locator("#create-name").fill(f"of {self.name}")
        page.keyboard.press("Enter")
        expect(page.locator("#secret-text")).to_be_visible()
        self.judge("secret", whole=False)
