"""The part of the store that holds calls: every reply that was paid for, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, cast

import sqlalchemy as sa

from harness.calls.values import Reply, Token
from harness.clock import now
from harness.components import Call, Usage
from harness.data.plain import storable
from harness.store.database import Database
from harness.store.schema import as_written, metadata, to_json

_CHUNK = 500
_ANSWERED = ("stop", "length", "refusal")

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, index=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("tokens", sa.Text),
    sa.Column("usage", sa.Text),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("latency_s", sa.Float, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call as it is recorded: what it was for, how it ended, and the reply if there was one.

    `outcome` is the reply's finish, or the failure of a call that may have been billed.
    """

    key: str
    provider: str
    outcome: str
    reply: Reply
    call: Call


class Calls:
    """Every call of a store's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, records: Sequence[CallRecord]) -> None:
        """Record calls, in one transaction."""
        rows = [_row(record) for record in records]
        with self._database.writing() as connection:
            self._database.execute_many(connection, self._database.insert(calls), rows)

    def replies(self, keys: Sequence[str]) -> dict[str, Reply]:
        """The first recorded reply to each of these requests, where there is one."""
        found: dict[str, Reply] = {}
        with self._database.reading() as connection:
            for start in range(0, len(keys), _CHUNK):
                some = keys[start : start + _CHUNK]
                query = sa.select(calls).where(calls.c.key.in_(some), _answered())
                for row in connection.execute(query.order_by(calls.c.id.desc())):
                    found[row.key] = _reply(row)
        return found

    def spent(self) -> dict[str, tuple[int, Usage]]:
        """How many calls each provider had, and what they used, failed ones at nothing."""
        totals: dict[str, tuple[int, Usage]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(sa.select(calls.c.provider, calls.c.usage)):
                count, total = totals.get(row.provider, (0, Usage(cost_usd=0.0)))
                used = _usage(row.usage) or Usage(cost_usd=0.0)
                totals[row.provider] = count + 1, total + used
        return totals


@as_written
def _usage(text: str | None) -> Usage | None:
    return Usage(**json.loads(text)) if text else None


def _answered() -> sa.ColumnElement[bool]:
    return calls.c.outcome.in_(_ANSWERED)


def _row(record: CallRecord) -> Mapping[str, object]:
    reply = record.reply
    tokens = [[t.text, t.logprob, t.top] for t in reply.tokens]
    return {
        "key": record.key,
        "provider": record.provider,
        "outcome": record.outcome,
        "text": storable(reply.text),
        "tokens": storable(to_json(tokens)) if tokens else None,
        "usage": to_json(asdict(reply.usage)) if reply.usage else None,
        "model": reply.model,
        "request_id": reply.request_id,
        "latency_s": record.call.latency_s,
        "created": now(),
    }


@as_written
def _reply(row: sa.Row[tuple[object, ...]]) -> Reply:
    tokens = json.loads(row.tokens) if row.tokens else []
    return Reply(
        text=row.text,
        finish=cast(Literal["stop", "length", "refusal"], row.outcome),
        usage=_usage(row.usage),
        model=row.model,
        request_id=row.request_id,
        tokens=tuple(
            Token(text, logprob, tuple((t, p) for t, p in top)) for text, logprob, top in tokens
        ),
    )
