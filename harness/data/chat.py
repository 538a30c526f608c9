"""Conversations as columns that a spreadsheet can hold, and back.

A conversation is `{"messages": [{"role": …, "content": …}, …]}`, as chat APIs take it. As columns
it is `system_prompt` (the first system or developer message), `prompt` (the last user message)
and `completion` (the last assistant message after that). What these three cannot say (earlier
turns, tools, images, names) stands whole, as JSON, in a fourth column `messages`, in the rows that
need it. On the way back a cell that was changed replaces its message, and an emptied one removes
it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from harness.data.plain import DEEPEST, plain
from harness.data.rows import Row
from harness.data.samples import text_in
from harness.errors import DataError

Message: TypeAlias = dict[str, object]

COLUMNS = SYSTEM, PROMPT, COMPLETION = "system_prompt", "prompt", "completion"
MESSAGES = "messages"
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_ROLE_OF = {SYSTEM: "system", PROMPT: "user", COMPLETION: "assistant"}
_TEXTS = ("text", "input_text", "output_text")


def is_chat(row: Row) -> bool:
    """Whether a row is a conversation by its looks: its `messages` is no text and no number."""
    return isinstance(row.values.get(MESSAGES), list | dict)


def has_columns(row: Row) -> bool:
    """Whether a row is a conversation as `to_columns` writes it: it has all three columns."""
    return all(column in row.values for column in COLUMNS)


def to_columns(row: Row) -> dict[str, object]:
    """A conversation as columns, beside what else the row has; `messages` only where needed.

    Raises:
        DataError: naming the row, if it is no conversation, or has a column of its own that one
            of these would replace.
    """
    messages = conversation(row)
    if not has_columns(row):
        for column in COLUMNS:
            if column in row.values and MESSAGES in row.values:
                raise DataError(
                    f"{row.where}: it has {column!r} beside its messages, and the conversation's "
                    "own would replace it; rename the key"
                )
    cells = _cells(messages)
    record = {**cells, **_rest(row)}
    if not cells[PROMPT] or _changed([], cells, row) != messages:
        record[MESSAGES] = json.dumps(messages, ensure_ascii=False)
    return record


def to_chat(row: Row) -> dict[str, object]:
    """A conversation as `messages`, beside what else the row has, less its empty cells.

    Raises:
        DataError: naming the row, if it is no conversation.
    """
    rest = {name: value for name, value in _rest(row).items() if value is not None}
    return {MESSAGES: conversation(row), **rest}


def conversation(row: Row) -> list[Message]:
    """The messages of a row in either form, checked; keys of a message that are null are left out.

    Raises:
        DataError: naming the row and the message, for an unknown role, a message without content,
            or a row that has neither `messages` nor a prompt.
    """
    if has_columns(row) or MESSAGES not in row.values:
        return _from_columns(row)
    return _checked(row, row.values[MESSAGES])


def text_of(message: Message) -> str:
    """What a message says: its content, or the texts of its parts, a line each; "" for neither."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if part["type"] in _TEXTS)
    return str(content or "")


def _from_columns(row: Row) -> list[Message]:
    if not any(name in row.values for name in (*COLUMNS, MESSAGES)):
        names = ", ".join(row.values) or "nothing"
        raise DataError(
            f"{row.where}: it has neither {MESSAGES!r} nor {', '.join(COLUMNS)}; it has: {names}"
        )
    whole = row.values.get(MESSAGES)
    cells = {column: text_in(row, column, row.values.get(column)) for column in COLUMNS}
    if not whole and not cells[PROMPT]:
        raise DataError(f"{row.where}: column 'prompt' is empty; fill it or remove the row")
    return _changed(_checked(row, whole) if whole else [], cells, row)


def _changed(
    messages: Sequence[Message], cells: Mapping[str, str | None], row: Row
) -> list[Message]:
    """The messages with each cell's text in its place; an empty cell is no message."""
    changed: list[Message | None] = [*messages]
    places = _places(messages)
    for column in (PROMPT, COMPLETION, SYSTEM):  # the last one shifts the places of the others
        place, text = places[column], cells[column]
        if place is not None:
            changed[place] = _with_text(messages[place], text or "", row)
        elif text:
            at = 0 if column == SYSTEM else len(changed)
            changed.insert(at, {"role": _ROLE_OF[column], "content": text})
    return [message for message in changed if message is not None]


def _with_text(message: Message, text: str, row: Row) -> Message | None:
    """The message if it says this, one that does, or None for no text."""
    if text == text_of(message):
        return message
    parts = message.get("content")
    if isinstance(parts, list) and any(part["type"] not in _TEXTS for part in parts):
        raise DataError(
            f"{row.where}: a cell was changed whose message has parts that are no text; change it "
            f"in column {MESSAGES!r}, or put the cell back"
        )
    return {**message, "content": text} if text else None


def _cells(messages: Sequence[Message]) -> dict[str, str | None]:
    places = _places(messages)
    return {c: None if p is None else text_of(messages[p]) for c, p in places.items()}


def _places(messages: Sequence[Message]) -> dict[str, int | None]:
    """Which message each column stands for."""
    roles = [message["role"] for message in messages]
    prompt = max((i for i, role in enumerate(roles) if role == "user"), default=None)
    after = -1 if prompt is None else prompt
    answers = (i for i, role in enumerate(roles) if role == "assistant" and i > after)
    system = (i for i, role in enumerate(roles) if role in ("system", "developer"))
    return {SYSTEM: next(system, None), PROMPT: prompt, COMPLETION: max(answers, default=None)}


def _rest(row: Row) -> dict[str, object]:
    return {name: v for name, v in row.values.items() if name not in (*COLUMNS, MESSAGES)}


def _checked(row: Row, value: object) -> list[Message]:
    found = _plain(row, _decoded(row, value), DEEPEST - 1)
    if not isinstance(found, list) or not found:
        raise DataError(
            f"{row.where}: {MESSAGES!r} is {_brief(found)}; it must be a list of one or more"
        )
    return [_message(row, number, _decoded(row, one)) for number, one in enumerate(found, 1)]


def _decoded(row: Row, value: object) -> object:
    """A value, or what its JSON text stands for: tables without nested values hold such text."""
    if not isinstance(value, str):
        return value
    try:
        decoded: object = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{row.where}: {MESSAGES!r} is {_brief(value)}, no JSON ({error}); mend it or empty it"
        ) from error
    return _plain(row, decoded, DEEPEST - 2)


def _plain(row: Row, value: object, deepest: int) -> object:
    try:
        return plain(value, deepest)
    except TypeError as error:
        raise DataError(f"{row.where}: {MESSAGES!r}: {error}; leave such values out") from error


def _message(row: Row, number: int, value: object) -> Message:
    """One message, checked."""
    where = f"{row.where}: message {number}"
    if not isinstance(value, dict):
        raise DataError(f"{where} is {_brief(value)}; it must be an object with role and content")
    role = value.get("role")
    if role not in _ROLES:
        problem = f"has the role {role!r}" if "role" in value else "has no role"
        raise DataError(f"{where} {problem}; roles are {', '.join(_ROLES)}")
    message = {key: item for key, item in value.items() if item is not None or key == "content"}
    if message.get("content") is None:
        if role != "assistant" or not set(message) - {"role", "content"}:
            raise DataError(f"{where} ({role}) has no content; fill it or remove the message")
    else:
        _check_content(f"{where} ({role})", message["content"])
    try:
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where} ({role}) has half a surrogate pair; mend the text") from error
    return message


def _check_content(where: str, content: object) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not content:
        raise DataError(f"{where}: content is {_brief(content)}; it is text or a list of parts")
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise DataError(f"{where}: the part {_brief(part)} is no object with a type")
        if part["type"] in _TEXTS and not isinstance(part.get("text"), str):
            raise DataError(f"{where}: the part {_brief(part)} has no text")


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:40]}…"
