"""Settings: what the user writes becomes the field's type, or one line says why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import PluginError
from harness.references import parse
from harness.settings import Setting, build_settings, describe


@dataclass(frozen=True, slots=True)
class Many:
    """One field of each type that a setting may have."""

    text: str = "t"
    """What to say."""
    count: int = 1
    """How often,
    at most."""
    share: float = 0.5
    flag: bool = False
    mode: Literal["fast", "slow"] = "fast"
    level: Literal[1, 2] = 1
    layer: int | None = None
    names: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, slots=True)
class Strict:
    """One required setting, which must be positive."""

    width: int

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("width must be positive")


@pytest.mark.parametrize(
    ("key", "written", "expected"),
    [
        ("text", "5", "5"),
        ("text", "true", "true"),
        ("text", "1e3", "1e3"),
        ("text", "2020-01-01", "2020-01-01"),
        ("text", "", ""),
        ("text", '"a,b"', "a,b"),
        ("text", "'C:\\new\\table'", "C:\\new\\table"),
        ("text", "C:\\new\\table", "C:\\new\\table"),
        ("text", "it's", "it's"),
        ("count", "-3", -3),
        ("count", "1_000", 1000),
        ("share", "1", 1.0),
        ("share", "1e-6", 1e-6),
        ("flag", "true", True),
        ("flag", "false", False),
        ("mode", "slow", "slow"),
        ("mode", '"slow"', "slow"),
        ("level", "2", 2),
        ("layer", "7", 7),
        ("layer", "none", None),
        ("layer", None, None),
        ("names", "one", ("one",)),
        ("names", '["a,b", "c"]', ("a,b", "c")),
        ("names", ["a", "b"], ("a", "b")),
        ("names", "[]", ()),
        ("names", '"[x]"', ("[x]",)),
        ("sizes", "[3,4]", (3, 4)),
        ("sizes", "3", (3,)),
    ],
)
def test_text_is_read_as_the_type_of_the_field(key: str, written: object, expected: object) -> None:
    value = getattr(build_settings("many", Many, {key: written}), key)
    assert value == expected
    assert type(value) is type(expected)


def test_values_of_the_right_type_are_taken_as_they_are() -> None:
    given: dict[str, object] = {"level": 2, "share": 0.25, "sizes": [7], "flag": True}
    expected = Many(level=2, share=0.25, sizes=(7,), flag=True)
    assert build_settings("many", Many, given) == expected


@pytest.mark.parametrize(
    ("key", "written", "hint"),
    [
        ("count", "many", "whole number"),
        ("count", "1.5", "whole number"),
        ("count", "true", "whole number"),
        ("count", "", "whole number"),
        ("share", "half", "a number"),
        ("share", "true", "a number"),
        ("flag", "yes", "true or false"),
        ("flag", "True", "true or false"),
        ("flag", "1", "true or false"),
        ("mode", "Fast", "fast, slow"),
        ("level", "3", "1, 2"),
        ("layer", "top", "whole number"),
        ("names", "[a,b]", '["one","two"]'),
        ("sizes", '["a"]', "whole number"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_owner_and_key(
    key: str, written: str, hint: str
) -> None:
    with pytest.raises(PluginError) as caught:
        build_settings("many", Many, {key: written})
    assert f"many: {key}" in str(caught.value)
    assert repr(written) in str(caught.value) or written.strip('[]"') in str(caught.value)
    assert hint in str(caught.value)


def test_an_unknown_key_is_answered_with_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(PluginError, match=r"no setting 'flga'; did you mean 'flag'\?.*sizes"):
        build_settings("many", Many, {"flga": "true"})
    with pytest.raises(PluginError, match=r"no setting 'zzz'\. It has: text"):
        build_settings("many", Many, {"zzz": "1"})


def test_a_setting_that_is_required_is_asked_for() -> None:
    with pytest.raises(PluginError, match="strict needs the setting 'width': write strict:width="):
        build_settings("strict", Strict, {})
    assert build_settings("strict", Strict, {"width": "3"}) == Strict(3)


def test_what_the_settings_class_refuses_is_said_with_its_owner() -> None:
    with pytest.raises(PluginError, match=r"^strict: width must be positive$"):
        build_settings("strict", Strict, {"width": "0"})


def test_help_is_the_literal_under_each_field() -> None:
    described = describe(Many)
    assert described[0] == Setting("text", "str", "'t'", "What to say.")
    assert described[1].doc == "How often, at most."
    assert described[2].doc == ""
    assert [s.name for s in described] == list(Many.__dataclass_fields__)
    assert describe(Strict)[0].default == "required"


_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]))


@given(text=_TEXT)
def test_any_text_within_toml_quotes_comes_back_through_a_reference(text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    # The grammar of references ends a quote at the next one like it, so those are left out.
    if '"' not in text:
        settings = parse(f"many:text={quoted},count=2").settings
        assert build_settings("many", Many, settings) == Many(text=text, count=2)


@given(
    count=st.integers(-(2**63), 2**63 - 1),
    share=st.floats(allow_nan=False),
    flag=st.booleans(),
    layer=st.none() | st.integers(0, 99),
    sizes=st.lists(st.integers(-99, 99)),
)
def test_settings_come_back_from_the_reference_that_is_written_of_them(
    count: int, share: float, flag: bool, layer: int | None, sizes: list[int]
) -> None:
    reference = (
        f"many:count={count},share={share!r},flag={str(flag).lower()},"
        f"layer={str(layer).lower()},sizes={sizes}"
    )
    expected = Many(count=count, share=share, flag=flag, layer=layer, sizes=tuple(sizes))
    assert build_settings("many", Many, parse(reference).settings) == expected


@dataclass(frozen=True, slots=True)
class Preset(Many):
    """The same settings with other defaults."""

    text: str = "preset"
    count: int = 2
    """How often in this preset."""
    own: bool = True
    """What only the preset has."""


def test_a_preset_keeps_the_help_of_the_fields_that_it_inherits() -> None:
    found = {s.name: (s.default, s.doc) for s in describe(Preset)}
    assert found["text"] == ("'preset'", "What to say.")
    assert found["count"] == ("2", "How often in this preset.")
    assert found["own"] == ("True", "What only the preset has.")
    assert list(found)[:2] == ["text", "count"]
