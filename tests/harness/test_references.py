"""References: the grammar by which a component is named in text."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import PluginError
from harness.references import Reference, is_name, parse
from harness.settings import build_settings


@pytest.mark.parametrize(
    ("text", "name", "settings", "label"),
    [
        ("match", "match", {}, "match"),
        ("acme-rouge/rouge", "acme-rouge/rouge", {}, "acme-rouge/rouge"),
        ("m:a=1,b=two", "m", {"a": "1", "b": "two"}, "m:a=1,b=two"),
        ("m: a=1, b=2", "m", {"a": "1", "b": "2"}, "m: a=1, b=2"),
        ("fluency=m:a=1", "m", {"a": "1"}, "fluency"),
        ("answers.csv=m:a=1", "m", {"a": "1"}, "answers.csv"),
        ("größe=m", "m", {}, "größe"),
        ("m:a=[1,2],b=3", "m", {"a": "[1,2]", "b": "3"}, "m:a=[1,2],b=3"),
        ('m:a="x,y",b=3', "m", {"a": '"x,y"', "b": "3"}, 'm:a="x,y",b=3'),
        ('m:a=["x]",","],b=3', "m", {"a": '["x]",","]', "b": "3"}, 'm:a=["x]",","],b=3'),
        ("m:path=C:\\x\\y=z", "m", {"path": "C:\\x\\y=z"}, "m:path=C:\\x\\y=z"),
        ("m:url=http://h:8/v1?k=v", "m", {"url": "http://h:8/v1?k=v"}, "m:url=http://h:8/v1?k=v"),
        ("m:say=it's,n=1", "m", {"say": "it's", "n": "1"}, "m:say=it's,n=1"),
        ("m:stop=],n=1", "m", {"stop": "]", "n": "1"}, "m:stop=],n=1"),
        ("m:stop=[", "m", {"stop": "["}, "m:stop=["),
        ("m:a=", "m", {"a": ""}, "m:a="),
        ("m:pattern=\\d{1,3}", "m", {"pattern": "\\d{1,3}"}, "m:pattern=\\d{1,3}"),
    ],
)
def test_a_reference_is_read(text: str, name: str, settings: dict[str, object], label: str) -> None:
    assert parse(text) == Reference(name, settings, label)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no reference"),
        ("m:", "is no reference"),
        ("=m", "is no reference"),
        ("two words", "is no reference"),
        ("a/b/c", "is no reference"),
        (":a=1", "is no reference"),
        ("m:a", "'a' in 'm:a' is no setting"),
        ("m:=1", "is no setting"),
        ("m:a=1,,b=2", "is no setting"),
        ("m:a=1,a=2", "gives 'a' twice"),
        ("m:a=[x,b=2", "a bracket opens in 'a=[x,b=2' and never closes"),
        ("m:a='x,b=2", "a quote opens"),
    ],
)
def test_what_is_no_reference_is_told_in_one_line(text: str, told: str) -> None:
    with pytest.raises(PluginError) as caught:
        parse(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


_PLAIN = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=",\"'[]{}"), min_size=0
)
_KEY = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


@given(
    name=st.from_regex(r"[a-z][\w.-]{0,9}", fullmatch=True).filter(is_name),
    settings=st.dictionaries(_KEY, _PLAIN, max_size=4),
)
def test_a_reference_reads_back_from_its_own_text(name: str, settings: dict[str, object]) -> None:
    written = Reference(name, settings)
    read = parse(str(written))
    assert (read.name, read.settings) == (name, settings)
    assert str(read) == str(written)


@pytest.mark.parametrize(
    "value",
    ["plain", "a,b", 'say "no", twice', "[good]question: {prompt}\nanswer, please:", True, 0.5, -3],
)
def test_a_reference_made_of_settings_reads_as_them(value: object) -> None:
    """As from a TOML table, whose values were never text of a reference."""
    reference = Reference("gpt2", {"model": "m", "x": value, "y": "z"})
    again = parse(str(reference))
    assert list(again.settings) == ["model", "x", "y"]

    settings = dataclasses.make_dataclass("Settings", [("x", type(value))])
    built = build_settings("gpt2", settings, {"x": again.settings["x"]})
    assert built.x == value
