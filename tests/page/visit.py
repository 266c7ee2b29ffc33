"""A visit to the admin page: what it asked for, what the browser complained of, and hands for a keyboard."""

from playwright.sync_api import expect

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 400, "height": 800}

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""


class Visit:
    def __init__(self, stage, size=None, scheme="light", bypass_csp=False):
        self.stage = stage
        self.context = stage.chromium.new_context(
            viewport=size or WIDE, color_scheme=scheme, bypass_csp=bypass_csp, reduced_motion="reduce", locale="en-GB"
        )
        self.context.set_default_timeout(10_000)
        self.context.add_init_script(WATCH)
        self.page = self.context.new_page()
        self.asked = []
        self.complaints = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self.heard)
        self.page.goto(stage.url)

    def heard(self, message):
        # The browser says so of every answer that is no success; the page says it to people.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def unlock(self, credential=None):
        """By keyboard: the field has the focus already."""
        expect(self.page.locator("#token")).to_be_focused()
        self.page.keyboard.type(credential or self.stage.keyward.admin_token)
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#app")).to_be_visible()
        return self

    def tab_to(self, selector, backwards=False, most=200):
        """Tab until it has the focus, and see that the focus can be seen."""
        wanted = self.page.locator(selector).first
        expect(wanted).to_be_visible()
        for _ in range(most):
            if wanted.evaluate("(element) => element === document.activeElement"):
                style = "(element) => getComputedStyle(element).outlineStyle"
                assert wanted.evaluate(style) != "none", f"{selector} does not show that it has the focus"
                return wanted
            self.page.keyboard.press("Shift+Tab" if backwards else "Tab")
        raise AssertionError(f"{selector} is not reached with {most} tabs")

    def press(self, selector, key="Enter"):
        self.tab_to(selector)
        self.page.keyboard.press(key)

    def picture(self, name, whole=True):
        self.page.screenshot(path=self.stage.screenshots / f"{name}.png", full_page=whole)

    def is_clean(self):
        """Nothing went elsewhere, and the browser found no fault."""
        strangers = [url for url in self.asked if not url.startswith((f"{self.stage.keyward.admin}/", "data:"))]
        assert not strangers, strangers
        assert not self.complaints, self.complaints
        violations = self.page.evaluate("window.violations")
        assert not violations, violations
