"""Newline-delimited JSON as a source: one object a line, every value as the source wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from onefunnel.sources.base import RecordError
from onefunnel.sources.nested import Pick, element_of

MAX_DEPTH = 20


def lines(blocks: Iterator[bytes], max_record_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield (physical line, its bytes without the line end). An endless line is cut one byte past the limit."""
    rest, line = b"", 0
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        for text in whole:
            line += 1
            yield line, text.removesuffix(b"\r")[: max_record_bytes + 1]
        rest = rest[: max_record_bytes + 1]
    if rest:
        yield line + 1, rest


def parse(text: bytes, picks: Sequence[Pick] = ()) -> dict[str, str | None]:
    """One record: names to text. A nested object's values are named `outer.inner`; a list is its own JSON text, and what is picked
    from it has a name of its own.

    Numbers keep every digit they were written with, and true and false are `true` and `false`.

    Raises:
        RecordError: not one JSON object, or it names a key twice.
    """
    try:
        value = json.loads(
            text.decode("utf-8"),
            parse_float=_Number,
            parse_int=_Number,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError:
        raise RecordError("not UTF-8") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise RecordError(f"not JSON: {getattr(error, 'msg', 'nested too deeply')}") from None
    if not isinstance(value, dict):
        raise RecordError("not a JSON object")
    flat: dict[str, str | None] = {}
    _flatten(value, "", flat, 0)
    for pick in picks:
        is_there, item = element_of(value, pick)
        if is_there:
            flat[pick.name] = _text(item)
    return flat


class _Number(str):
    """A number by its text."""

    __slots__ = ()


def _no_constant(word: str) -> NoReturn:
    raise RecordError(f"not JSON: {word} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise RecordError("an object names a key twice")
    return names


def _flatten(value: dict[str, Any], prefix: str, into: dict[str, str | None], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise RecordError(f"nested deeper than {MAX_DEPTH} levels")
    for name, item in value.items():
        full = f"{prefix}{name}"
        if isinstance(item, dict):
            _flatten(item, f"{full}.", into, depth + 1)
        elif full in into:
            raise RecordError("an object names a key twice")
        else:
            into[full] = _text(item)


def _text(item: Any) -> str | None:
    """A value as it was written; what is no single value as JSON."""
    if item is None or isinstance(item, str):
        return None if item is None else str(item)
    return _json(item)


def _json(value: Any) -> str:
    """JSON text again, its numbers as they were written."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_json(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k, ensure_ascii=False)}: {_json(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    return json.dumps(value, ensure_ascii=False)
