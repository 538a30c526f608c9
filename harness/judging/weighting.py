"""Weighting a verdict's levels by their probabilities, as G-Eval does.

Liu et al. 2023, G-Eval (https://arxiv.org/abs/2303.16634), section 2: the score is the sum over
the levels s_i of p(s_i) * s_i. Here p is of the token at the place where the level stands, over
those alternatives that are levels, and made to add up to 1; what they had before is the mass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.calls import Reply, Token, Unreadable
from harness.judging.reading import Verdict, first_object, read_verdict
from harness.judging.rubric import Question, Rubric

Shares = dict[str, tuple[float, ...]]


class NoWeights(Exception):
    """A reply has no log-probabilities that levels could be weighed by; the message says why."""


def weighable(rubric: Rubric) -> str:
    """Why a rubric's answers cannot be weighed by one token each; empty where they can."""
    for question in rubric.questions:
        answers = [str(option.answer) for option in question.options]
        if question.kind == "score" and any(len(answer) > 1 for answer in answers):
            return f"the levels of {question.name!r} are not one digit each"
        if len({answer[0] for answer in answers}) < len(answers):
            return f"two choices of {question.name!r} begin alike"
    return ""


def weigh(
    reply: Reply, verdict: Verdict, rubric: Rubric, code: str | None
) -> tuple[Shares, dict[str, float]]:
    """How probable each option is, by question, and the mass that the options had together.

    Raises:
        NoWeights: if the reply has no log-probabilities, or they do not fit its text.
    """
    if not reply.tokens:
        raise NoWeights("the reply has no log-probabilities; use method=votes with this model")
    joined = "".join(token.text for token in reply.tokens)
    try:  # a character that two tokens share is unreadable in both, so places are found anew
        found = first_object(joined, rubric) if code is None else read_verdict(joined, rubric, code)
    except Unreadable as error:
        raise NoWeights(f"the tokens do not make up the reply: {error}") from error
    if found.answers != verdict.answers:
        raise NoWeights("the tokens do not make up the reply: they say something else")
    shares: Shares = {}
    masses: dict[str, float] = {}
    for question in rubric.questions:
        answer = found.answers[question.name]
        place = found.places[question.name] + isinstance(answer, str)  # after the quote
        token, before = _token_at(reply.tokens, place)
        if _option(question, token.text, before) != question.shares_of(answer).index(1.0):
            raise NoWeights(f"the token at {question.name!r} is {token.text!r}, not {answer!r}")
        shares[question.name], masses[question.name] = _weighed(question, token, before)
    return shares, masses


def _token_at(tokens: Iterable[Token], place: int) -> tuple[Token, str]:
    """The token that holds a character of the text, and what it has before that character."""
    at = 0
    for token in tokens:
        if at + len(token.text) > place:
            return token, token.text[: place - at]
        at += len(token.text)
    raise NoWeights("the tokens end before the verdict does")


def _weighed(question: Question, token: Token, before: str) -> tuple[tuple[float, ...], float]:
    likely = {token.text: token.logprob, **dict(token.top)}
    weights = [0.0] * len(question.options)
    for text, logprob in likely.items():
        option = _option(question, text, before)
        if option is not None and not math.isnan(logprob):
            weights[option] += math.exp(min(logprob, 0.0))
    mass = sum(weights)
    if mass <= 0:
        raise NoWeights(f"no answer to {question.name!r} has a probability")
    return tuple(weight / mass for weight in weights), min(mass, 1.0)


def _option(question: Question, text: str, before: str) -> int | None:
    """The option that a token begins or is, when what comes before the answer is `before`.

    A token that goes on to another number ("10", "4.5") is no level.
    """
    lead = before.strip()
    rest = text.lstrip()
    if not rest.startswith(lead):
        return None
    rest = rest[len(lead) :].lstrip()
    for place, option in enumerate(question.options):
        whole = f"{option.answer}" if question.kind == "score" else f'{option.answer}"'
        ends = rest[len(whole) :]
        if rest and whole.startswith(rest):
            return place
        if rest.startswith(whole) and (whole.endswith('"') or ends[:1] in (",", "}", " ", "\n")):
            return place
    return None
