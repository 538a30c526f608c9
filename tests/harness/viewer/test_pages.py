"""The viewer's pages: what they list is what the store has, and what is in it can do nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness import Completion, Credit, Evaluation, Sample, Score, evaluate
from harness.store import Store
from harness.store.schema import ScoredRow
from harness.viewer.app import application
from tests.harness.viewer.conftest import MEASUREMENT, ROWS, TRAINING, Client, Words, run, samples

ATTACKS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "</title></textarea></style><iframe srcdoc='<script>alert(1)</script>'>",
    "{{ 7 * 7 }}{% raw %}",
    "<!--<script>--><!-- ]]>",
    "\u202egnp.exe\u2028\u0000<b>",
    "<a href=javascript:alert(1)>x</a>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
]


class Checked(HTMLParser):
    """Refuses whatever a page of ours does not have: elements, handlers, addresses elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        source = given.get("src") or given.get("href") or "/"
        if tag in ("img", "iframe", "b", "textarea", "object", "base"):
            self.bad.append(tag)
        if any(name.startswith("on") or name in ("style", "srcdoc") for name in given):
            self.bad.append(f"{tag} {given}")
        if not source.startswith(("/", "#")) or source.startswith("//"):
            self.bad.append(source)
        data = given.get("type") == "application/json"
        if tag == "script" and not data and not source.startswith("/static/"):
            self.bad.append("a script of its own")


@pytest.fixture(scope="module")
def rows(file: Path, ids: tuple[str, str]) -> list[ScoredRow]:
    """The rows of the older run, as the store tells them."""
    with Store(file, readonly=True) as store:
        return list(store.rows(store.run(ids[0])))


def listed(text: str) -> list[int]:
    """The places of the samples that a page lists, in its order."""
    return [int(n) for n in re.findall(r'class="whole" href="/runs/\w+/samples/(\d+)', text)]


def value(row: ScoredRow, label: str = "words") -> float:
    """A row's score, infinite where there is none, as those come last."""
    found = row.scores[label].value
    return float("inf") if found is None else found


@pytest.mark.parametrize(
    "address",
    [
        "/", "/?kind=training", "/?q=towns&scorer=match&status=finished&sort=name", "/runs/{a}",
        "/runs/last", "/runs/{a}/samples", "/runs/{a}/samples/0", "/compare", "/compare?a={a}",
        "/compare?a={a}&b={b}", "/compare?a={a}&b={b}&only=worse&scorer=words",
        "/compare/0?a={a}&b={b}", f"/trainings/{TRAINING}", f"/trainings/{TRAINING}?step=10",
        f"/measurements/{MEASUREMENT}",
    ],
)  # fmt: skip
def test_every_page_answers_under_a_strict_policy(
    ask: Client, ids: tuple[str, str], address: str
) -> None:
    answer = ask.settled(address.format(a=ids[0], b=ids[1]))
    assert answer.status == 200, answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<[^>]+\s(on\w+|style)=", answer.text)
    assert not re.search(r"(src|href)=\"?(https?:)?//", answer.text)


def test_a_run_says_what_its_evaluation_says(ask: Client, file: Path, ids: tuple[str, str]) -> None:
    text = ask.settled(f"/runs/{ids[0]}").text
    with Store(file, readonly=True) as store:
        summaries = Evaluation(store.run(ids[0]), store).summaries
    for summary in summaries.values():
        assert f"{summary.mean:.4f}" in text
        assert f"{summary.low:.4f} … {summary.high:.4f}" in text
    assert f"{ROWS // 10} refusal" in text


@pytest.mark.parametrize("sort", ["score", "-score"])
def test_samples_are_sorted_by_score_and_those_without_come_last(
    ask: Client, ids: tuple[str, str], rows: list[ScoredRow], sort: str
) -> None:
    sign = -1 if sort == "-score" else 1
    wanted = sorted(rows, key=lambda r: (value(r) == float("inf"), sign * value(r), r.ordinal))
    pages = [
        ask.settled(f"/runs/{ids[0]}/samples?scorer=words&sort={sort}&page={page}").text
        for page in (1, 2, 3)
    ]
    assert [n for page in pages for n in listed(page)] == [r.ordinal for r in wanted]


def test_filters_find_exactly_their_rows(
    ask: Client, ids: tuple[str, str], rows: list[ScoredRow]
) -> None:
    def found(query: str) -> list[int]:
        pages = (ask.settled(f"/runs/{ids[0]}/samples?{query}&page={p}").text for p in (1, 2, 3))
        return [n for page in pages for n in listed(page)]

    between = [r.ordinal for r in rows if 0.2 <= value(r) <= 0.5]
    assert found("scorer=words&low=0.2&high=0.5") == between
    assert found("unscored=refusal") == [r.ordinal for r in rows if r.scores["words"].unscored]
    assert found("unscored=any&scorer=match") == []
    wrong = [r.ordinal for r in rows if "elsewhere" in r.completion.text]
    assert found("q=ELSEWHERE") == wrong
    assert found("q=50%25_of+1") == [i for i in range(ROWS) if str(i)[0] == "1"]
    assert found("q=50__of") == []
    both = sorted((r for r in rows if r.ordinal in wrong), key=lambda r: (value(r), r.ordinal))
    assert found("q=elsewhere&scorer=words&sort=score") == [r.ordinal for r in both]


def test_pages_hold_each_row_once(ask: Client, ids: tuple[str, str]) -> None:
    pages = [ask(f"/runs/{ids[0]}/samples?page={page}").text for page in (1, 2, 3, 4)]
    assert [len(listed(page)) for page in pages] == [50, 50, 20, 0]
    assert [n for page in pages for n in listed(page)] == list(range(ROWS))


def test_next_and_previous_keep_to_the_filter(ask: Client, ids: tuple[str, str]) -> None:
    here, query = f"/runs/{ids[0]}/samples", "q=elsewhere&scorer=words&sort=-score"
    order = listed(ask.settled(f"{here}?{query}").text)
    text = html.unescape(ask.settled(f"{here}/{order[3]}?{query}").text)
    assert f'rel="prev" data-key="k" href="{here}/{order[2]}?{query}' in text
    assert f'rel="next" data-key="j" href="{here}/{order[4]}?{query}' in text


def test_a_sample_shows_all_that_is_known_of_it(ask: Client, ids: tuple[str, str]) -> None:
    text = html.unescape(ask(f"/runs/{ids[0]}/samples/5").text)
    for wanted in ("Where is 50%_of 5?", "it is 5", "because of q5", "half", "0.0625"):
        assert wanted in text
    assert '<span class="credit p5" title="+0.5000">it </span>' in text
    assert '<span class="credit n2" title="−0.2500">is 5</span>' in text
    assert "refusal" in ask(f"/runs/{ids[0]}/samples/10").text


def test_two_runs_are_compared_as_the_command_does(ask: Client, ids: tuple[str, str]) -> None:
    text = ask.settled(f"/compare?a={ids[0]}&b={ids[1]}&scorer=match").text
    assert re.search(r"<strong>match</strong>:\s*B is higher by", text)
    only = ask.settled(f"/compare?a={ids[0]}&b={ids[1]}&scorer=match&only=worse").text
    moved = [int(n) for n in re.findall(r'dir="auto">q(\d+)</a></h3>', only)]
    assert moved
    assert all(i % 7 == 0 and i % 3 and i % 10 for i in moved)
    pair = ask.settled(f"/compare/0?a={ids[0]}&b={ids[1]}&scorer=match&only=worse").text
    assert "<ins>elsewhere</ins>" in pair


def test_ticked_runs_are_compared_the_older_one_first(ask: Client, ids: tuple[str, str]) -> None:
    answer = ask(f"/compare/runs?run={ids[1]}&run={ids[0]}")
    assert (answer.status, answer.headers["location"]) == (303, f"/compare?a={ids[0]}&b={ids[1]}")


def test_an_unknown_id_names_what_comes_near(ask: Client, ids: tuple[str, str]) -> None:
    typo = ids[0][:-1] + ("0" if ids[0][-1] != "0" else "1")
    answer = ask(f"/runs/{typo}")
    assert answer.status == 404
    assert "Did you mean" in answer.text
    assert f'href="/runs/{ids[0]}"' in answer.text
    assert f'href="/trainings/{TRAINING}"' in ask(f"/runs/{TRAINING}").text
    assert ask(f"/trainings/{TRAINING}?step=11").status == 404
    assert [ask(p).status for p in ("/nowhere", f"/runs/{ids[0]}/samples/9999")] == [404, 404]


@pytest.mark.parametrize("query", ["low=abc", "high=nan", "sort=up", "page=0", "scorer=none"])
def test_a_parameter_that_cannot_be_used_is_named(
    ask: Client, ids: tuple[str, str], query: str
) -> None:
    answer = ask(f"/runs/{ids[0]}/samples?{query}")
    assert answer.status == 400
    assert html.escape(query.partition("=")[2]) in answer.text


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:7007", "", "127.0.0.1@e"])
def test_another_name_is_refused(ask: Client, host: str) -> None:
    assert ask("/", host=host).status == 421


def test_names_of_this_machine_are_served(ask: Client) -> None:
    named = ("localhost", "LOCALHOST:80", "127.0.0.1:7007", "[::1]:7007")
    assert [ask("/live", host=name).status for name in named] == [200] * 4


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reading_is_answered(ask: Client, method: str) -> None:
    assert ask("/", method).status == 405


def test_files_are_served_and_no_others(ask: Client) -> None:
    served = ask("/static/viewer.css")
    assert (served.status, served.headers["content-type"][:8]) == (200, "text/css")
    assert ask("/static/plotly.min.js", "HEAD").status == 200
    assert [ask(f"/static/{name}").status for name in ("report.js", "..", "%2e%2e")] == [404] * 3


def test_live_changes_when_the_store_does(tmp_path: Path) -> None:
    file = tmp_path / "live.db"
    run(file, "a", samples(3)[:5])
    ask = Client(application(str(file)))
    first = ask("/live").headers["etag"]
    assert ask("/live", if_none_match=first).status == 304
    run(file, "b", samples(7)[:9])
    again = ask("/live", if_none_match=first)
    assert again.status == 200
    assert again.headers["etag"] != first
    assert ask("/").text.count("recorded:field=answer") == 2


def test_a_run_under_way_is_followed(tmp_path: Path) -> None:
    file = tmp_path / "live.db"
    found = run(file, "a", samples(3)[:5]).run
    ask = Client(application(str(file)))
    assert " data-live" not in ask.settled("/").text
    with Store(file) as store:
        store.begin(replace(found, status="running"), {"g": {}})  # it goes on
    addresses = ("/", f"/runs/{found.id}", f"/runs/{found.id}/samples")
    assert all(" data-live" in ask(address).text for address in addresses)


class Attacking(Words):
    """Its reasons and its name are attacks."""

    name = ATTACKS[0]

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        credit = (Credit(0, 3, 1.0),)
        return [Score(0.5, {ATTACKS[2]: 1.0}, ATTACKS[1], credit=credit) for _ in completions]


def test_no_text_of_a_store_becomes_markup(tmp_path: Path) -> None:
    file = tmp_path / "xss.db"
    rows = [
        Sample(f"{i}{text}", text, (text,), {"answer": text, text: {text: [text]}})
        for i, text in enumerate(ATTACKS)
    ]
    made = [
        evaluate(
            rows[skip:], generator="recorded:field=answer", scorers=["match", Attacking()],
            store=file, name=f"{ATTACKS[4]}::{ATTACKS[2]}{skip}",
        ).run.id
        for skip in (0, 1)
    ]  # fmt: skip
    ask = Client(application(str(file)))
    sides = f"a={made[0]}&b={made[1]}"
    addresses = ["/", f"/?q={ATTACKS[0]}", f"/runs/{made[0]}", f"/runs/{made[0]}/samples"]
    addresses += [f"/runs/{made[0]}/samples?q=%3Cscript%3E", f"/runs/{ATTACKS[4]}"]
    addresses += [f"/runs/{made[0]}/samples/{i}" for i in range(len(rows))]
    addresses += [f"/compare?{sides}", f"/compare/0?{sides}"]
    for address in addresses:
        text = ask.settled(address).text
        checked = Checked()
        checked.feed(text)
        assert not checked.bad, (address, checked.bad)
        assert "alert(1)</script>" not in text
        blocks = re.findall(r"<script type=\"application/json\">(.*?)</script>", text, re.DOTALL)
        assert all("<" not in block for block in blocks)
        assert text.count("<script") == text.count("</script>")
    assert html.escape(ATTACKS[0]) in ask(f"/runs/{made[0]}/samples/0").text
