"""What the page's policy forbids is forbidden by the browser, whoever tries."""

from tally import equal
from visit import Visit


def run(tally, stage):
    with Visit(stage) as visit:
        rules = Rules(stage, visit)
        tally.check("no request leaves for another origin", rules.no_other_origin)
        tally.check("no text becomes markup", rules.no_markup)
        tally.check("no script but the page's own runs", rules.no_script)
        tally.check("it is shown in no frame", rules.no_frame)


class Rules:
    def __init__(self, stage, visit):
        self.stage = stage
        self.page = visit.page

    def no_other_origin(self):
        before = len(self.stage.model.requests)
        said = self.page.evaluate("(url) => fetch(url).then(() => 'sent', () => 'refused')", self.stage.model.url)
        equal((said, len(self.stage.model.requests)), ("refused", before))

    def no_markup(self):
        said = self.page.evaluate(
            "() => { try { document.body.innerHTML = '<p>'; return 'taken'; } catch { return 'refused'; } }"
        )
        equal(said, "refused")

    def no_script(self):
        said = self.page.evaluate(
            """() => {
                window.ran = "refused";
                const script = document.createElement("script");
                try { script.append("window.ran = 'ran'"); document.body.append(script); } catch { /* refused, too */ }
                return window.ran;
            }"""
        )
        equal(said, "refused")

    def no_frame(self):
        page = self.page.context.new_page()
        page.goto("about:blank")
        page.set_content(f"<iframe src='{self.stage.url}'></iframe>")
        page.wait_for_load_state("networkidle")
        shown = [frame.title() for frame in page.frames[1:]]
        assert "keyward" not in shown, shown
