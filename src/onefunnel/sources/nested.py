"""Values inside nested records, named by a path, in NDJSON and in Parquet alike.

`context.campaign.source` is a value of an object in an object. `event_params[key=page_location].value.string_value` is a value of
that element of a list whose `key` is `page_location`: of several such elements the first counts, without one there is no value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from onefunnel.engines.duckdb import identifier, literal, scratch
from onefunnel.settings import Stream

_PICK = re.compile(r"(?P<list>[^\[\]]+)\[(?P<field>[^\[\]=]+)=(?P<word>[^\[\]]*)\](?:\.(?P<rest>.+))?")


@dataclass(frozen=True)
class Pick:
    """A value of one element of a list.

    Attributes:
        name: the path as declared; it names the value as a column.
        list: where the list is, name by name.
        field, word: the element is the one whose field has this text.
        rest: where the value is in the element.
    """

    name: str
    list: tuple[str, ...]
    field: str
    word: str
    rest: tuple[str, ...]


def picks(stream: Stream) -> list[Pick]:
    """The values of list elements that a stream declares."""
    names = dict.fromkeys(name for column in stream.columns.values() for name in column.parts)
    found = [(name, match) for name in names if (match := _PICK.fullmatch(name))]
    return [Pick(n, _parts(m["list"]), m["field"], m["word"], _parts(m["rest"])) for n, m in found]


def _parts(path: str | None) -> tuple[str, ...]:
    return tuple(path.split(".")) if path else ()


def flat_columns(schema: pa.Schema, wanted: Sequence[Pick]) -> list[tuple[str, str]]:
    """Name and SQL of the columns of a Parquet file without its nesting: a value of an object is named `outer.inner`, a list is
    its JSON text, and what is picked from it has a name of its own. Empty where no column is nested.
    """
    if not any(pa.types.is_nested(field.type) for field in schema):
        return []
    columns = [each for field in schema for each in _flat(field, field.name, identifier(field.name))]
    return columns + [(pick.name, sql) for pick in wanted if (sql := _picked(schema, pick))]


def write_flat(snapshot: Path, columns: Sequence[tuple[str, str]], to: Path) -> None:
    """Write the columns of a Parquet file as another one."""
    selected = ", ".join(f"{sql} as {identifier(name)}" for name, sql in columns)
    with scratch(to.parent) as db:
        read = f"read_parquet({literal(snapshot)})"
        db.execute(f"copy (select {selected} from {read}) to {literal(to)} (format parquet, compression zstd)")  # noqa: S608


def _flat(field: pa.Field, name: str, sql: str) -> list[tuple[str, str]]:
    """Name and SQL of every value of a column."""
    if pa.types.is_struct(field.type):
        return [
            each
            for inner in field.type
            for each in _flat(inner, f"{name}.{inner.name}", f"struct_extract({sql}, {literal(inner.name)})")
        ]
    return [(name, f"cast(to_json({sql}) as varchar)" if pa.types.is_nested(field.type) else sql)]


def _picked(schema: pa.Schema, pick: Pick) -> str | None:
    """SQL of a value of a list's element; None where the file has no such list, or its elements no such value."""
    first, *inner = pick.list
    if first not in schema.names:
        return None
    lists = _follow(schema.field(first).type, identifier(first), inner)
    if lists is None or not (pa.types.is_list(lists[0]) or pa.types.is_large_list(lists[0])):
        return None
    element = lists[0].value_type
    key = _follow(element, "element", [pick.field])
    if key is None:
        return None
    chosen = f"list_filter({lists[1]}, lambda element: cast({key[1]} as varchar) = {literal(pick.word)})[1]"
    value = _follow(element, chosen, pick.rest)
    if value is None:
        return None
    return f"cast(to_json({value[1]}) as varchar)" if pa.types.is_nested(value[0]) else value[1]


def _follow(of: pa.DataType, sql: str, names: Sequence[str]) -> tuple[pa.DataType, str] | None:
    """Type and SQL of a value in structs; None where there is none of that name."""
    for name in names:
        if not pa.types.is_struct(of) or of.get_field_index(name) < 0:
            return None
        of, sql = of.field(name).type, f"struct_extract({sql}, {literal(name)})"
    return of, sql


def element_of(record: Any, pick: Pick) -> tuple[bool, Any]:
    """Whether a JSON record has the list, and the value that is picked from it."""
    found = record
    for name in pick.list:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, list):
        return False, None
    of_word = (e for e in found if isinstance(e, dict) and e.get(pick.field) == pick.word)
    value = next(of_word, None)
    for name in pick.rest:
        value = value.get(name) if isinstance(value, dict) else None
    return True, value
