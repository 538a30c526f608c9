"""The viewer and the report in a real browser: every view opened, filtered, compared, clicked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from harness import Completion, Credit, Sample, Score, evaluate
from harness.cli import main
from harness.store import Store
from tests.harness.viewer.browser import (
    CHROMIUM,
    PATIENCE_MS,
    Watched,
    chromium,
    served,
    watched,
)
from tests.harness.viewer.conftest import MEASUREMENT, ROWS, TRAINING, Words, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

expect.set_options(timeout=PATIENCE_MS)
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
ATTACKS = [
    "<script>owned()</script>",
    "<img src=x onerror=owned()>",
    '"><svg onload=owned()>',
    "' autofocus onfocus=owned() x='",
    "</script><script>owned()</script>",
    "</textarea></title></style><script>owned()</script>",
    "javascript:owned()",
    "<a href=javascript:owned()>x</a>",
    "<iframe srcdoc='<script>parent.owned()</script>'>",
    "<details open ontoggle=owned()>",
    "{{ owned() }}{% raw %}",
    "\u2028<style>@import 'http://127.0.0.1:9/'</style>",
    "<form action=javascript:owned()><button autofocus>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=owned()>",
    "--><script>owned()</script><!--",
    "${owned()}`;owned();`",
    '\\";owned();//',
    "<meta http-equiv=refresh content='0;url=javascript:owned()'>",
    "<base href=http://127.0.0.1:9/>",
    "<b>bold</b> &lt;script&gt;owned()&lt;/script&gt;",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def base(file: Path) -> Iterator[str]:
    with served(file) as address:
        yield address


@pytest.fixture
def tab(browser: Browser, base: str) -> Iterator[Watched]:
    with watched(browser, base) as found:
        yield found
    assert not found.wrong


def addresses(ids: tuple[str, str]) -> list[str]:
    a, b = ids
    of_runs = [f"/runs/{a}", f"/runs/{a}/samples", f"/runs/{a}/samples/7"]
    of_both = [f"/compare?a={a}&b={b}", f"/compare/3?a={a}&b={b}"]
    return ["/", *of_runs, *of_both, f"/trainings/{TRAINING}", f"/measurements/{MEASUREMENT}"]


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_view_opens_whole_and_every_control_has_a_name(
    browser: Browser, base: str, ids: tuple[str, str], width: int, scheme: Scheme
) -> None:
    with watched(browser, base, width=width) as tab:
        tab.page.emulate_media(color_scheme=scheme)
        for address in addresses(ids):
            page = tab.open(address)
            assert page.locator("h1").count() == 1, address
            assert page.locator("main").count() == 1, address
            assert not tab.nameless(), address
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{address} is {wide} wide"
            for plot in page.locator("[data-plot]").all():
                expect(plot.locator("svg.main-svg").first).to_be_visible()
    assert not tab.wrong


def test_from_the_list_to_a_sample_and_on_by_keys(tab: Watched, ids: tuple[str, str]) -> None:
    page = tab.open("/")
    page.get_by_role("link", name="towns[old]").click()
    page.get_by_role("link", name="All samples").click()
    expect(page.locator("h1")).to_contain_text("Samples")
    page.keyboard.press("/")
    page.keyboard.type("it is 1")
    page.keyboard.press("Enter")
    wanted = [
        i for i in range(ROWS) if str(i).startswith("1") or f"it is {i}".startswith("it is 1")
    ]
    expect(page.get_by_role("status")).to_contain_text(f"{len(wanted)} of {ROWS} rows")
    shown = page.locator("tbody th a").all_inner_texts()
    assert shown == [f"q{i}" for i in wanted][: len(shown)]
    page.get_by_role("link", name=shown[0], exact=True).click()
    expect(page.locator("h1")).to_have_text(shown[0])
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text(shown[1])
    page.keyboard.press("k")
    expect(page.locator("h1")).to_have_text(shown[0])
    page.keyboard.press("u")
    expect(page.get_by_role("status")).to_contain_text(f"{len(wanted)} of {ROWS} rows")
    page.keyboard.press("u")
    expect(page.locator("h1")).to_have_text("towns[old]")
    assert page.url.endswith(ids[0])


def test_a_filter_is_an_address_that_shows_the_same_again(
    tab: Watched, browser: Browser, base: str, ids: tuple[str, str]
) -> None:
    page = tab.open(f"/runs/{ids[0]}/samples")
    page.get_by_label("Scorer").select_option("words")
    page.get_by_label("From").fill("0.5")
    page.get_by_label("Order").select_option("-score")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("columnheader", name="words")).to_have_attribute(
        "aria-sort", "descending"
    )
    shown = page.locator("tbody tr").all_inner_texts()
    assert len(shown) > 1
    with watched(browser, base) as other:
        again = other.open(page.url)
        assert again.locator("tbody tr").all_inner_texts() == shown
    assert not other.wrong


def test_words_that_earned_the_score_are_coloured_and_say_what(
    tab: Watched, ids: tuple[str, str]
) -> None:
    page = tab.open(f"/runs/{ids[0]}/samples/7")
    up, down = (
        page.locator(".credited [title='+0.5000']"),
        page.locator(".credited [title='−0.2500']"),
    )
    colours = [
        spot.first.evaluate("e => getComputedStyle(e).backgroundColor") for spot in (up, down)
    ]
    assert len({*colours, "rgba(0, 0, 0, 0)"}) == 3
    expect(page.locator(".reason")).to_have_text("because of q7")


def test_two_ticked_runs_are_compared_and_a_pair_is_opened(
    tab: Watched, ids: tuple[str, str]
) -> None:
    page = tab.open("/")
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Compare the two").click()
    page.wait_for_selector("main:not([data-live])")
    expect(page.locator("h1")).to_have_text("Is B better than A?")
    assert f"a={ids[0]}" in page.url
    page.get_by_label("Only where").select_option("worse")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_selector("main:not([data-live])")
    page.locator("article.pair a").first.click()
    expect(page.locator("h1")).to_contain_text("q")
    expect(page.locator("del, ins, .gone, .new").first).to_be_visible()


def test_the_theme_is_kept_and_help_opens_and_closes(tab: Watched) -> None:
    page = tab.open("/")
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    before = page.evaluate(colour)
    page.get_by_role("button", name="dark").click()
    changed = page.evaluate(colour)
    assert changed != before
    page.reload()
    assert page.evaluate(colour) == changed
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_an_unknown_address_says_what_comes_near(
    browser: Browser, base: str, ids: tuple[str, str]
) -> None:
    with watched(browser, base) as tab:
        page = tab.open(f"/runs/{ids[0][:-1]}0")
        page.get_by_role("link", name="towns[old]").click()
        assert page.url.endswith(ids[0])
    assert all("404" in line for line in tab.wrong)


class Attacking(Words):
    """Its reasons, its parts and its name are attacks."""

    name = ATTACKS[1]

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [
            Score(0.5, {c.text: 1.0}, c.text, credit=(Credit(0, len(c.text), 1.0),))
            for c in completions
        ]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A store whose every text is an attack, and the ids of its two runs."""
    store = tmp_path_factory.mktemp("attacked") / "store.db"
    rows = [
        Sample(f"{i}{text}", text, (text,), {"answer": text, text: {text: [text]}})
        for i, text in enumerate(ATTACKS)
    ]
    made = [
        evaluate(
            some, generator="recorded:field=answer", scorers=["match", Attacking()],
            store=store, name=f"{name}::{name}",
        ).run.id
        for some, name in ((rows, ATTACKS[0]), (rows[1:], ATTACKS[2]))
    ]  # fmt: skip
    return store, made


def test_no_text_of_a_store_runs_in_the_viewer(
    browser: Browser, attacked: tuple[Path, list[str]]
) -> None:
    store, (one, other) = attacked
    seen: list[str] = []
    with served(store) as base, watched(browser, base) as tab:
        tab.page.expose_function("owned", lambda: seen.append(tab.page.url))
        both = f"a={one}&b={other}"
        pages = ["/", f"/runs/{one}", f"/runs/{one}/samples", f"/compare?{both}"]
        pages += [f"/runs/{one}/samples/{i}" for i in range(len(ATTACKS))]
        pages += [f"/compare/{i}?{both}" for i in (0, 7)]
        for address in pages:
            page = tab.open(address)
            assert page.locator("h1").count() == 1, address
        for attack in ATTACKS[:6]:
            page.goto(f"/runs/{one}/samples")
            page.get_by_label("Search").fill(attack)
            page.get_by_role("button", name="Apply").click()
            expect(page.get_by_label("Search")).to_have_value(attack)
    assert not seen
    assert not tab.wrong


def test_no_text_of_a_store_runs_in_a_report(
    browser: Browser, attacked: tuple[Path, list[str]], tmp_path: Path
) -> None:
    store, runs = attacked
    out = tmp_path / "report.html"
    assert main(["report", *runs, "-o", str(out), "--store", str(store)]) == 0
    seen: list[str] = []
    with watched(browser) as tab:
        tab.page.expose_function("owned", lambda: seen.append("ran"))
        page = tab.open(out.as_uri())
        expect(page.locator("#rows article")).to_have_count(len(ATTACKS) - 1)
        for sample in page.locator("#rows summary").all():
            sample.click()
        assert page.locator("#rows .prose").count() > len(ATTACKS)
    assert not seen
    assert not tab.wrong


def test_a_report_is_searched_and_opened_without_a_network(
    browser: Browser, file: Path, ids: tuple[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    assert main(["report", ids[0], "-o", str(out), "--store", str(file)]) == 0
    with watched(browser) as tab:
        page = tab.open(out.as_uri())
        expect(page.locator("#found")).to_have_text(f"{ROWS} samples")
        expect(page.locator("svg.main-svg").first).to_be_visible()
        page.get_by_label("Search").fill("it is 11")
        wanted = [i for i in range(ROWS) if str(i).startswith("11")]
        expect(page.locator("#found")).to_have_text(f"{len(wanted)} of {ROWS} samples")
        page.locator("#rows summary").first.click()
        expect(page.locator("#rows article").first).to_contain_text("because of q11")
        assert not tab.nameless()
        page.reload()
        expect(page.locator("#found")).to_have_text(f"{len(wanted)} of {ROWS} samples")
    assert not tab.wrong


def test_a_page_follows_what_is_recorded(browser: Browser, tmp_path: Path) -> None:
    """While a run is under way, what arrives appears without a reload."""
    store = tmp_path / "under-way.db"
    samples = [Sample(f"s{i}", "Where?", ("here",), {"answer": "here"}) for i in range(3)]
    first = run(store, "under way", samples[:1]).run
    with Store(store) as opened, served(store) as base, watched(browser, base) as tab:
        opened.begin(replace(first, status="running"), {"g": {}})
        tab.page.goto("/")
        expect(tab.page.get_by_role("status")).to_have_text("1 run")
        run(store, "another", samples)
        expect(tab.page.get_by_role("status")).to_have_text("2 runs")
    assert not tab.wrong
