from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from harness import (
    Evaluation,
    HarnessError,
    PluginError,
    Sample,
    Unscored,
    evaluate,
    generator,
    scorer,
)
from harness.loader import default_plugins
from harness.testing import completion
from harness.testing.faults import Faults, FaultServer
from harness.testing.faults import Request as Asked

KEY = "sk-ant-api03-NOBODY-may-see-this"
PROMPT = "the-prompt-that-no-log-shows"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


def test_finding_the_plugin_loads_no_sdk() -> None:
    code = "import sys, harness_anthropic; print({'anthropic', 'httpx2'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize("value", [None, "  ", "sk-two words", "sk-…"])
def test_without_a_usable_key_nothing_is_built(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    if value is not None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", value)
    with pytest.raises(PluginError, match="ANTHROPIC_API_KEY") as caught:
        generator("anthropic:model=claude-x")
    assert value is None or not value.strip() or value not in str(caught.value)


@pytest.mark.parametrize("ambient", [False, True])
def test_a_key_that_nobody_named_goes_to_no_stranger(
    ambient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ambient:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://proxy.example")
    address = "" if ambient else ",base_url=https://proxy.example"
    said = "ANTHROPIC_API_KEY is not sent to proxy.example unless you say so: add key_env="
    with pytest.raises(PluginError, match=said):
        generator(f"anthropic:model=m{address}")
    generator(f"anthropic:model=m,key_env=ANTHROPIC_API_KEY{address}")
    generator(f"anthropic:model=m,key_env={address}")
    with pytest.raises(PluginError, match="no key in the environment variable NOT_THERE"):
        generator(f"anthropic:model=m,key_env=NOT_THERE{address}")


def test_the_ambient_address_is_used_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OPENAI_BASE_URL is: who keeps data in the house by it must not be passed over."""
    official = generator("anthropic:model=m").fingerprint
    with FaultServer() as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{server.anthropic_url}/")
        default_plugins().forget()
        ambient = generator("anthropic:model=m")
        assert ambient.fingerprint != official
        same = generator(f"anthropic:model=m,base_url={server.anthropic_url}")
        assert ambient.fingerprint == same.fingerprint
        (answer,) = ambient.generate([Sample("1", "2+2?")])
        assert answer.finish != "error"
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://me:secret@proxy.example")
    default_plugins().forget()
    with pytest.raises(PluginError, match="ANTHROPIC_BASE_URL holds more than") as caught:
        generator("anthropic:model=m")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("model=m,temperature=0", "allow_temperature"),
        ("model=m,top_p=0.5", "allow_temperature"),
        ("model=m,seed=1", "seed=1"),
        ("model=m,frequency_penalty=0.5", "frequency_penalty"),
        ("model=m,presence_penalty=0.5", "presence_penalty"),
        ("model=m,max_tokens=30000", "21333"),
        ("model=m,max_tokens=0", "at least 1"),
        ("model=m,effort=huge", "low, medium"),
        ("model=m,concurrency=0", "concurrency"),
        ("model=m,base_url=api.example.org", "https://"),
        ("model=m,base_url=https://example.org/v1/", "/v1"),
        ("model=m,base_url=https://me:pass@example.org", "key_env"),
        ("model=m,base_url=http://example.org:99999", "(?i)port"),
        ("effort=low", "model"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_when_built(reference: str, said: str) -> None:
    with pytest.raises(PluginError, match=said) as caught:
        generator(f"anthropic:{reference}")
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ("anthropic:model=m,temperature=0", "allow_temperature"),
        ("anthropic:model=m,seed=1", "seed"),
        ("anthropic:model=m,method=logprobs", "method=votes"),
        ("anthropic:model=m,votes=3", "method=votes"),
        ("anthropic:model=m,max_tokens=1", "16"),
        ("anthropic:model=m,tries=0", "tries"),
        ("anthropic-pairwise:model=m,temperature=0.2", "allow_temperature"),
        ("anthropic-pairwise:model=m,tries=0", "tries"),
    ],
)
def test_a_judge_says_what_to_use_instead(judge: str, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        scorer(judge)


def test_fingerprints_name_what_is_served_not_how_it_is_reached() -> None:
    def of(settings: str) -> str:
        return generator(f"anthropic:model=m,{settings}").fingerprint

    same = of("base_url=http://127.0.0.1:1,served_as=proxy,cache=5m,concurrency=3,timeout_s=9")
    assert same == of("base_url=http://127.0.0.1:2,served_as=proxy")
    others = [of("effort=low"), of("base_url=http://127.0.0.1:2"), of("thinking=disabled")]
    assert len({same, *others, of("served_as=elsewhere")}) == 5
    assert of("base_url=https://api.anthropic.com") == of("concurrency=2")


def samples(count: int) -> list[Sample]:
    answer = {"completion": "yes, I think"}
    return [Sample(f"s{i}", f"{PROMPT} {i}", ("yes",), answer) for i in range(count)]


def test_bad_weather_changes_no_verdict_and_the_key_stays_out(
    own_store: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def verdicts(server: FaultServer, served_as: str) -> Evaluation:
        at = f"model=claude-x,base_url={server.anthropic_url},served_as={served_as}"
        return evaluate(
            samples(24),
            generator="recorded",
            scorers=[f"judge=anthropic:{at}", f"pair=anthropic-pairwise:{at}"],
            max_unscored=0.5,
        )

    caplog.set_level(logging.DEBUG)
    with FaultServer() as server:
        perfect = verdicts(server, "perfect")
    with FaultServer(Faults.mix(hang=0.0), seed=3, retry_after=0.05) as server:
        stormy = verdicts(server, "stormy")
        assert len(server.ledger.by_fault) > 5, "there was weather"
    told = caplog.text + "".join(capfd.readouterr()) + repr(stormy) + str(stormy.table().to_dict())
    for label in ("judge", "pair"):
        assert set(stormy[label].causes) <= {Unscored.REFUSAL, Unscored.BAD_SCHEMA}
        assert stormy[label].n >= 18
    calm = {row.completion.sample.id: row.scores for row in perfect.rows()}
    for row in stormy.rows():
        for label, score in row.scores.items():
            assert score.value in (None, calm[row.completion.sample.id][label].value)
            assert score.usage is not None
            assert score.usage.input_tokens > 0
            assert score.calls[0].request_id.startswith("req_")
    assert "HTTP Response" in told
    assert KEY not in told
    kept = b"".join(file.read_bytes() for file in own_store.parent.glob("store.db*"))
    assert PROMPT.encode() in kept, "the store was looked at"
    assert KEY.encode() not in kept


def test_a_generator_answers_and_says_where_it_was_cut() -> None:
    faults = {"0": "", "1": "truncated", "2": "refusal", "3": "bad_request"}

    def fault(request: Asked) -> str:
        return faults[request.question[-1]]

    with FaultServer(fault, answer=lambda request: "yes indeed") as server:
        done = evaluate(
            samples(4),
            generator=f"anthropic:model=claude-x,base_url={server.anthropic_url}",
            scorers=["match:mode=contains"],
            max_unscored=0.6,
        )
    ends = {row.completion.sample.id: row.completion for row in done.rows()}
    assert [c.finish for c in ends.values()] == ["stop", "length", "error", "error"]
    assert ends["s0"].text == "yes indeed"
    assert ends["s2"].error.startswith("refusal: the model refused")
    assert ends["s3"].error.startswith("scorer_error: 400")


def test_a_wrong_key_ends_the_run_in_one_line() -> None:
    with FaultServer("unauthorized") as server:
        with pytest.raises(HarnessError, match="ANTHROPIC_API_KEY") as caught:
            evaluate(
                samples(50),
                generator="recorded",
                scorers=[f"anthropic:model=m,base_url={server.anthropic_url},concurrency=2"],
            )
        assert len(server.ledger.requests) <= 2
    assert "\n" not in str(caught.value)


def test_votes_ask_as_often_with_one_system_message_for_all() -> None:
    with FaultServer() as server:
        at = f"model=m,base_url={server.anthropic_url}"
        judge = scorer(f"anthropic:{at},method=votes,votes=3,cache=5m")
        scores = judge.score([completion("four", "four", prompt=f"{i}+2?") for i in (1, 2)])
    assert all(score.value is not None for score in scores)
    assert len(server.ledger.requests) == 6
    systems = {json.dumps(exchange.body["system"]) for exchange in server.ledger.requests}
    assert len(systems) == 1, "so that it can be cached"
    assert "cache_control" in systems.pop()
