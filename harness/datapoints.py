"""What a retriever is asked, finds and holds: queries, matches, datapoints and their filters.

Everything here is light: this module imports the standard library alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Restrict:
    """A filter by tokens, in one namespace.

    Of a datapoint: the tokens that it has (`allow`), and those whose queries must not find it
    (`deny`). Of a query: any of `allow` must be there, none of `deny`.
    """

    namespace: str
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


NumericOp = Literal["LESS", "LESS_EQUAL", "EQUAL", "GREATER_EQUAL", "GREATER", "NOT_EQUAL"]
"""How a datapoint's number must stand to the query's: `LESS` finds numbers below it."""


@dataclass(frozen=True, slots=True)
class NumericRestrict:
    """A filter by a number, in one namespace; `op` is for queries, and datapoints have none."""

    namespace: str
    value: int | float
    op: NumericOp | None = None


@dataclass(frozen=True, slots=True)
class Datapoint:
    """What an index holds under an id: a vector (any collection of finite floats), and its tags.

    At most so many neighbours of one `crowding_tag` are found as the query allows. A retriever
    with an encoder makes the vector from `text` where there is none. `metadata` holds JSON values.
    """

    id: str
    vector: Collection[float] = ()
    text: str | None = None
    restricts: tuple[Restrict, ...] = ()
    numeric_restricts: tuple[NumericRestrict, ...] = ()
    crowding_tag: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: a text, or a vector where the caller has one already.

    A datapoint must pass the restricts of every namespace. `crowding_limit` is how many matches
    may share a crowding tag. For approximate indexes: `approximate_count` candidates are taken
    into the exact ranking, and `leaves_fraction` of the leaves (0 to 1) are looked at; None is the
    index's own. A retriever that has no such knob leaves it aside.
    """

    text: str = ""
    vector: Collection[float] = ()
    restricts: tuple[Restrict, ...] = ()
    numeric_restricts: tuple[NumericRestrict, ...] = ()
    crowding_limit: int | None = None
    approximate_count: int | None = None
    leaves_fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """One neighbour that a retriever found.

    The order of matches is what counts: nearest first. `distance` is as the retriever measures
    it, where a dot product may be larger for what is nearer. `datapoint` is there where it was
    asked for.
    """

    id: str
    distance: float
    text: str | None = None
    crowding_tag: str | None = None
    datapoint: Datapoint | None = None


@dataclass(frozen=True, slots=True)
class IndexDescription:
    """What an index is: how many datapoints of how many dimensions, by which measure, where.

    `details` holds JSON values that only this kind of index has.
    """

    count: int
    dimensions: int
    measure: str
    location: str = ""
    details: Mapping[str, object] = field(default_factory=dict)
