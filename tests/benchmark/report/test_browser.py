"""The leaderboard in a real browser: sorting, filtering, its address, details, copying, and accessibility."""

import csv
import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.report.pages.leaderboard import COLUMNS

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (the dev extra has it)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with chromedriver here: the browser tests need both"
)
FORMULA = '=HYPERLINK("x"),1'
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,1000",
)  # fmt: skip


@pytest.fixture(scope="module")
def index(
    tmp_path_factory: pytest.TempPathFactory, study_of: Callable[..., list], writer: Callable[..., Path]
) -> str:
    """A site of two sweeps; the second has another corpus and backend, and a formula for a name."""
    from benchmark.report import build

    results = tmp_path_factory.mktemp("results")
    writer(results, "quick", study_of())
    title = "A sweep with a title that is longer than a phone"
    other = {"corpus": "apidocs", "backend": "torch", "title": title}
    writer(results, "reference", study_of(("adamw", "muon", FORMULA)), **other)
    return build(results, tmp_path_factory.mktemp("site")).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator["webdriver.Chrome"]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def open_page(browser: "webdriver.Chrome") -> Callable[[str], "webdriver.Chrome"]:
    def load(url: str) -> "webdriver.Chrome":
        browser.get("about:blank")  # an address that differs only after # would not be loaded anew
        browser.get(url)
        return browser

    return load


def wait(browser: "webdriver.Chrome", script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20).until(lambda b: b.execute_script(f"return Boolean({script})"))


def shown(browser: "webdriver.Chrome") -> list[str]:
    """The optimizers in the visible table, from top to bottom."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.board:not(.gone) tbody tr[id]:not(.gone) th a')].map(a =>"
        " a.textContent)"
    )


def click(browser: "webdriver.Chrome", query: str) -> None:
    browser.find_element("css selector", query).click()


def test_sorts_and_says_so(index: str, open_page: Callable[[str], "webdriver.Chrome"]) -> None:
    browser = open_page(index)
    header = ".board:not(.gone) thead [data-c=optimizer]"
    click(browser, f"{header} button")
    assert shown(browser) == ["AdamW", "Lion", "Muon", "Soap"]
    assert browser.find_element("css selector", header).get_attribute("aria-sort") == "ascending"
    click(browser, f"{header} button")
    assert shown(browser) == ["Soap", "Muon", "Lion", "AdamW"]
    assert browser.current_url.endswith("sort=-optimizer")


def test_filters(index: str, open_page: Callable[[str], "webdriver.Chrome"]) -> None:
    browser = open_page(index)
    browser.find_element("css selector", "[name=q]").send_keys("scalar")
    assert shown(browser) == ["AdamW", "Lion"]
    assert browser.find_element("id", "status").text == "2 of 4 rows"


def test_restores_its_state_from_the_address(
    index: str, open_page: Callable[[str], "webdriver.Chrome"]
) -> None:
    state = "scale=27k&ratio=1&metric=seconds&q=matrix&sort=-optimizer&hide=family,state&open=muon--27k-1x"
    browser = open_page(f"{index}#{state}")
    assert shown(browser) == ["Soap", "Muon"]
    assert browser.find_element("css selector", "[name=ratio]").get_property("value") == "1"
    head = browser.find_element("css selector", ".board:not(.gone) thead").text
    assert "Speedup in seconds" in head
    assert "Family" not in head
    wait(browser, "document.querySelector('.detail pre')")


def test_other_metrics_change_the_numbers(index: str, open_page: Callable[[str], "webdriver.Chrome"]) -> None:
    cell = "#muon--27k-2x [data-c=speedup] b"
    tokens = open_page(index).find_element("css selector", cell).text
    seconds = open_page(f"{index}#metric=seconds").find_element("css selector", cell).text
    ratio = float(tokens.rstrip("×")) / float(seconds.rstrip("×"))
    assert ratio == pytest.approx(1.15, abs=0.02)  # the planted step time


def test_opens_a_row_by_keyboard(index: str, open_page: Callable[[str], "webdriver.Chrome"]) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = open_page(index)
    button = browser.find_element("css selector", "#muon--27k-2x .expand")
    button.send_keys(Keys.ENTER)
    wait(browser, "document.querySelector('.detail pre')")
    wait(browser, "document.querySelector('.detail .curves .vega-embed svg')")
    detail = browser.find_element("css selector", ".detail").text
    assert "python -m sweeps quick --optimizers muon --tasks 27k-2x" in detail
    assert re.search(r"peak_lr\s+0\.064", detail)
    links = browser.execute_script("return [...document.querySelectorAll('.detail a')].map(a => a.href)")
    assert all(Path(link.removeprefix("file://").split("#")[0]).exists() for link in links)
    assert len([link for link in links if "/records/" in link]) == 8


def test_copies_what_is_shown(index: str, open_page: Callable[[str], "webdriver.Chrome"]) -> None:
    browser = open_page(f"{index}#q=muon&hide=family,trials,tokens,state,step,badges")
    click(browser, "[data-copy=csv]")
    wait(browser, "document.body.dataset.copied")
    rows = list(csv.reader(io.StringIO(browser.execute_script("return document.body.dataset.copied"))))
    assert [name.split()[0] for name in rows[0]] == ["Rank", "Optimizer", "Speedup", "Verdict", "Test"]
    visible = [
        c.text for c in browser.find_elements("css selector", "#muon--27k-2x [data-c]") if c.is_displayed()
    ]
    assert [" ".join(text.replace("▸", "").split()) for text in visible] == rows[1]
    assert len(rows) == 2
    for kind, sign in (("markdown", "| --- |"), ("latex", r"\begin{tabular}{lllll}")):
        browser.execute_script("delete document.body.dataset.copied")
        click(browser, f"[data-copy={kind}]")
        wait(browser, "document.body.dataset.copied")
        assert sign in browser.execute_script("return document.body.dataset.copied")


def test_an_empty_choice_copies_nothing(index: str, open_page: Callable[[str], "webdriver.Chrome"]) -> None:
    browser = open_page(index)
    browser.execute_script("state.ratio = '64'; show()")
    click(browser, "[data-copy=csv]")
    assert browser.find_element("id", "status").text == "There is nothing to copy: no table is shown."
    assert browser.execute_script("return document.body.dataset.copied") is None


def choose(browser: "webdriver.Chrome", name: str, value: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("name", name)).select_by_value(value)


def offered(browser: "webdriver.Chrome", name: str) -> list[str]:
    from selenium.webdriver.support.ui import Select

    return [o.get_property("value") for o in Select(browser.find_element("name", name)).options]


def test_every_choice_is_a_select_and_is_kept_in_the_address(
    index: str, open_page: Callable[[str], "webdriver.Chrome"]
) -> None:
    browser = open_page(index)
    assert offered(browser, "scale") == ["27k"]
    assert offered(browser, "ratio") == ["0.5", "1", "2", "4"]
    assert offered(browser, "metric") == ["tokens", "seconds", "FLOPs"]
    choose(browser, "ratio", "1")
    choose(browser, "metric", "FLOPs")
    assert "ratio=1&metric=FLOPs" in browser.current_url
    assert browser.find_element("css selector", ".board:not(.gone) h2").text.startswith("27k-1x")
    assert "Speedup in FLOPs" in browser.find_element("css selector", ".board:not(.gone) thead").text


def test_corpus_and_backend_lead_to_the_sweep_that_has_them(
    index: str, open_page: Callable[[str], "webdriver.Chrome"]
) -> None:
    for name, value in (("corpus", "apidocs"), ("backend", "torch"), ("sweep", "reference")):
        browser = open_page(f"{index}#scale=27k&ratio=1&sort=-optimizer")
        assert value in offered(browser, name)
        choose(browser, name, value)
        wait(
            browser, "location.pathname.endsWith('/reference/index.html') && document.readyState === 'complete'"
        )
        assert shown(browser) == ["Muon", "AdamW", FORMULA]
        assert browser.current_url.endswith("#scale=27k&ratio=1&sort=-optimizer")
        assert browser.find_element("name", name).get_property("value") == value


def test_hides_a_column_by_keyboard(index: str, open_page: Callable[[str], "webdriver.Chrome"]) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = open_page(index)
    browser.find_element("css selector", ".columns summary").send_keys(Keys.ENTER)
    browser.find_element("css selector", ".columns input[value=family]").send_keys(Keys.SPACE)
    assert "Family" not in browser.find_element("css selector", ".board:not(.gone) thead").text
    assert browser.current_url.endswith("hide=family")
    browser.find_element("css selector", ".board:not(.gone) thead [data-c=optimizer] button").send_keys(
        Keys.ENTER
    )
    assert shown(browser) == ["AdamW", "Lion", "Muon", "Soap"]


def test_a_name_cannot_become_a_formula_in_a_copied_table(
    index: str, open_page: Callable[[str], "webdriver.Chrome"]
) -> None:
    browser = open_page(index.replace("index.html", "reference/index.html#ratio=2"))
    click(browser, "[data-copy=csv]")
    wait(browser, "document.body.dataset.copied")
    rows = list(csv.reader(io.StringIO(browser.execute_script("return document.body.dataset.copied"))))
    names = {row[1] for row in rows[1:]}
    assert names == {"AdamW", "Muon", f"'{FORMULA}"}
    assert next(row for row in rows if row[1] == "Muon")[9] == "+15 %"


def test_without_scripts_tables_and_drawings_are_there(index: str, browser: "webdriver.Chrome") -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(index)
        assert not browser.find_element("id", "controls").is_displayed()
        boards = browser.find_elements("css selector", ".board")
        assert len(boards) == 4
        assert all(board.is_displayed() for board in boards)
        drawing = browser.find_element("css selector", ".plot > svg")
        assert drawing.size["height"] > 200
        assert "higher is better" in drawing.get_attribute("textContent")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_charts_are_drawn_without_error_or_request(
    index: str, open_page: Callable[[str], "webdriver.Chrome"]
) -> None:
    browser = open_page(index)
    browser.get_log("browser"), browser.get_log("performance")  # what came before is not this test's
    cell = "quick/cells/muon--27k-2x.html"
    for page in ("index.html", "quick/speedup.html", "quick/flips.html", "quick/tuning.html", cell):
        open_page(index.replace("index.html", page))
        count = browser.execute_script("return document.querySelectorAll('.chart').length")
        assert count > 0, page
        for i in range(count):
            browser.execute_script(f"document.querySelectorAll('.chart')[{i}].scrollIntoView()")
            wait(browser, f"document.querySelectorAll('.chart')[{i}].querySelector('.vega-embed svg')")
    assert browser.get_log("browser") == []
    asked = re.findall(r'"url":"([a-z]+):', "".join(e["message"] for e in browser.get_log("performance")))
    assert set(asked) <= {"file", "data", "about", "blob"}


@pytest.mark.parametrize("width", [390, 768, 1024, 1280])
def test_the_widest_notes_fit_beside_the_numbers(index: str, width: int, browser: "webdriver.Chrome") -> None:
    """The words that take most room, in every row: the table is no wider than what shows it."""
    step = next(c for c in COLUMNS if c.name == "step").format(None, True)
    badge = "optimum on edge: embedding_lr_ratio (search 12 of 12)"
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.get(index)
        wait(browser, "document.querySelector('.leaderboard thead button')")
        wide = browser.execute_script(
            "for (const td of document.querySelectorAll('td[data-c=step]')) td.textContent = arguments[0];"
            "for (const td of document.querySelectorAll('td[data-c=badges]'))"
            " { td.dataset.v = 1; td.innerHTML = `<span class=badge>${arguments[1]}</span>`; }"
            "return [...document.querySelectorAll('.board:not(.gone) .scroll')]"
            ".map(s => [s.scrollWidth, s.clientWidth])",
            step,
            badge,
        )
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide and all(inner <= outer for inner, outer in wide), wide


@pytest.mark.parametrize(
    "page",
    ["index.html", "reference/index.html", "quick/speedup.html", "quick/tuning.html", "quick/method.html"],
)
def test_narrow_screens_do_not_scroll_sideways(index: str, page: str, browser: "webdriver.Chrome") -> None:
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.get(index.replace("index.html", page))
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


PAGES = (
    "index.html#open=muon--27k-2x", "quick/speedup.html", "quick/flips.html", "quick/tuning.html",
    "quick/claims.html", "quick/method.html", "quick/optimizers/index.html", "quick/optimizers/muon.html",
    "quick/progress.html", "quick/cells/muon--27k-2x.html", "quick/tuning-27k-1x.html", "RECORD",
)  # fmt: skip


@pytest.mark.parametrize(("scheme", "pages"), [("light", PAGES), ("dark", PAGES)])
def test_axe_finds_nothing_serious(
    index: str, browser: "webdriver.Chrome", scheme: str, pages: tuple[str, ...]
) -> None:
    axe = pytest.importorskip(
        "axe_core_python", reason="axe-core-python is not installed (the dev extra has it)"
    )
    site = Path(index.removeprefix("file://")).parent
    record = min(str(path.relative_to(site)) for path in (site / "records").iterdir())
    script = (Path(axe.__file__).parent / "axe.min.js").read_text()
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for page in pages:
        browser.get("about:blank")
        browser.get(index.replace("index.html", page.replace("RECORD", record)))
        browser.execute_script(script)
        result = browser.execute_async_script("axe.run().then(arguments[0])")
        found = [v for v in result["violations"] if v["impact"] in ("serious", "critical")]
        assert not found, (page, [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in found])
