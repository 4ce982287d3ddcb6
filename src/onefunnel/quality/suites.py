"""Reads `expectations/**/*.yml`: every mistake in them is reported at once, with file and line, before a check runs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from onefunnel.errors import ConfigError
from onefunnel.quality.violations import NAMED, literal

Severity = Literal["block", "quarantine", "warn"]
# `source` stands for the owner that pipeline.yml declares for the source of a load.
Owner = Literal["sales", "marketing", "finance", "operations", "data", "source"]
Gate = Literal["raw", "marts"]

# What stands for every contract (raw) or every published table (marts), and the name of its file.
EVERY = "*"
EVERY_FILE: dict[Gate, str] = {"raw": "every_contract", "marts": "every_table"}

MAX_BYTES = 256 * 1024
BUILT_IN = frozenset({"table", "text", "key"})
# What the run tells the marts gate, as tables: name, columns, types.
FROM_RUN = {
    "previous_final_spend": {
        "source_system": "varchar",
        "stream": "varchar",
        "month": "date",
        "final_until": "date",
        "spend_amount_rc": "decimal(38, 6)",
    }
}
_PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=600)]
Number = StrictInt | StrictFloat


def _mistake(message: str) -> PydanticCustomError:
    return PydanticCustomError("expectation", "{message}", {"message": message})


class Check(BaseModel):
    """One check of a table or load.

    `on` is the table whose emptiness makes the check meaningless (the suite's own table unless said otherwise), `key`
    an SQL expression over the violating rows: a surrogate key or a structural name, never text of the source.
    `from_run` is a table that the run gives (`{its_name}` in the SQL), `approval` what a human may say to turn a failure
    of this check into a warning.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Name
    severity: Severity
    owner: Owner
    because: Text
    fix: Text
    expectation: str | None = None
    kwargs: dict[str, Any] = Field(default_factory=dict)
    sql: str | None = None
    params: dict[Name, Number] = Field(default_factory=dict)
    on: Name | None = None
    key: str | None = None
    empty_is_legal: bool | None = None
    from_run: Literal["previous_final_spend"] | None = None
    approval: Literal["approve_restatement"] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.expectation is None) == (self.sql is None):
            raise _mistake("say either `expectation:` or `sql:`")
        if self.sql is not None:
            _check_sql(self.sql, {**self.params, **({self.from_run: 0} if self.from_run else {})})
        if self.expectation is not None:
            if self.from_run:
                raise _mistake("`from_run:` belongs to `sql:`")
            _check_expectation(self.expectation, self.kwargs, self.params)
        return self

    def select(self, table: str, text: str, run: Mapping[str, Any] | None = None) -> str:
        """The select whose rows are the violations.

        Args:
            table: qualified table of the check.
            text: SQL expression that joins all text columns of that table.
            run: what the run gives; must have `from_run`.
        """
        if self.expectation is not None:
            return NAMED[self.expectation].sql(table, self.kwargs)
        known = {"table": table, "text": text, "key": self.key or "null"} | {
            name: format(Decimal(str(value)), "f") for name, value in self.params.items()
        }
        if self.from_run is not None:
            known[self.from_run] = _inline(FROM_RUN[self.from_run], (run or {})[self.from_run])
        return (
            _PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), self.sql or "").strip().rstrip(";").rstrip()
        )


def _inline(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows that the run gives as a subquery: the sealed file is locked, and this way the SQL can be run again anywhere."""
    lines = [", ".join(f"cast({literal(row[c])} as {kind}) as {c}" for c, kind in columns.items()) for row in rows]
    none = ", ".join(f"cast(null as {kind}) as {c}" for c, kind in columns.items())
    return "(" + "\n    union all ".join([f"select {none} where false", *(f"select {line}" for line in lines)]) + ")"


def _check_sql(sql: str, params: Mapping[str, object]) -> None:
    body = re.sub(r"--[^\n]*", "", sql).strip()
    if not re.match(r"(select|with)\b", body, re.IGNORECASE):
        raise _mistake("`sql:` must start with select or with; the rows that it returns are the violations")
    if ";" in re.sub(r"'(?:[^']|'')*'", "", body).rstrip("; \n"):
        raise _mistake("`sql:` must be one statement")
    used = set(_PLACEHOLDER.findall(sql)) - BUILT_IN
    for name in sorted(used - set(params)):
        raise _mistake(f"`sql:` uses {{{name}}}, which `params:` does not give")
    for name in sorted(set(params) - used):
        raise _mistake(f"`params:` gives {name}, which `sql:` does not use")


def _check_expectation(expectation: str, kwargs: Mapping[str, object], params: Mapping[str, object]) -> None:
    named = NAMED.get(expectation)
    if named is None:
        raise _mistake(f"unknown expectation {expectation!r}; known are {', '.join(sorted(NAMED))}, or write `sql:`")
    if params:
        raise _mistake("`params:` belongs to `sql:`; a named expectation takes `kwargs:`")
    for name in sorted(named.required - set(kwargs)):
        raise _mistake(f"{expectation} needs kwargs: {name}")
    for name in sorted(set(kwargs) - named.required - named.optional):
        raise _mistake(f"{expectation} does not take kwargs: {name}")


Subject = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9_]*)$", max_length=100)]


class SuiteFile(BaseModel):
    """One file of expectations: of a published table, or of the loads of a contract or a source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: Subject | None = None
    contract: Subject | None = None
    source: Name | None = None
    key: str | None = None
    empty_is_legal: bool = False
    checks: list[Check] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if len([s for s in (self.table, self.contract, self.source) if s]) != 1:
            raise _mistake("say exactly one of `table:`, `contract:`, `source:`")
        if not self.empty_is_legal and self.checks and all(check.empty_is_legal for check in self.checks):
            raise _mistake("every check accepts an empty table: one must not, or the file says `empty_is_legal: true`")
        return self

    def shared(self, every: Sequence[Check]) -> tuple[Check, ...]:
        """The checks of every table as checks of this one, under ids of its own."""
        return tuple(
            check.model_copy(
                update={"id": f"{self.name}_{check.id}", "key": self.key, "empty_is_legal": self.empty_is_legal}
            )
            for check in every
        )

    @property
    def resolved(self) -> tuple[Check, ...]:
        """The checks, with what the file says where they say nothing."""
        return tuple(
            check.model_copy(
                update={
                    "key": check.key or self.key,
                    "empty_is_legal": self.empty_is_legal if check.empty_is_legal is None else check.empty_is_legal,
                }
            )
            for check in self.checks
        )

    @property
    def name(self) -> str:
        """The table, contract or source."""
        return self.table or self.contract or self.source or ""


class TableFile(SuiteFile):
    """The file of a published table: its key, and what is special to it beyond the checks of every table.

    `fed_by` names the contracts without which the table is rightly empty: it is, when no row of them was ever delivered.
    """

    key: str
    fed_by: tuple[Name, ...] = ()
    checks: list[Check] = Field(default_factory=list)


@dataclass(frozen=True)
class Suite:
    """The checks of one table (marts), or of one contract, one source or every contract (raw)."""

    name: str
    checks: tuple[Check, ...]
    fed_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suites:
    """All declared checks."""

    raw: Mapping[str, Suite]
    marts: Mapping[str, Suite]

    def declared(self, gate: Gate) -> list[str]:
        """Ids of a gate's checks."""
        suites = self.raw if gate == "raw" else self.marts
        return [check.id for suite in suites.values() for check in suite.checks]


def load_suites(expectations: Path, contracts: Collection[str] | None = None) -> Suites:
    """Read all suites below `expectations/`.

    Args:
        expectations: the folder that holds raw/ and marts/.
        contracts: the names of the staging contracts; a file of another contract would never be used.

    Raises:
        ConfigError: one or more files are wrong; all problems are listed with file and line.
    """
    if not (expectations / "raw").is_dir() and not (expectations / "marts").is_dir():
        do = "give the folder that holds raw/ and marts/; without expectations nothing is checked"
        raise ConfigError("there are no expectations here", str(expectations), do)
    problems: list[str] = []
    seen: dict[str, str] = {}
    found: dict[Gate, dict[str, SuiteFile]] = {"raw": {}, "marts": {}}
    for gate, path in _files(expectations):
        file = _load_file(gate, path, expectations, problems, seen, contracts)
        if file is not None:
            found[gate][file.name] = file
    for gate, without in (("raw", "a load of most contracts"), ("marts", "no published table")):
        _note_missing(expectations, gate, without, problems)
    tables = found["marts"]
    every = tables.pop(EVERY, None)
    shared = {name: file.shared(every.checks) for name, file in tables.items()} if every else {}
    ids = [check.id for checks in shared.values() for check in checks]
    problems += [f"{seen[name]}: the id {name} is that of a check of every table" for name in ids if name in seen]
    if problems:
        raise ConfigError(problems, str(expectations), "mend these lines; expectations/README.md has the format")
    raw = {name: Suite(name, file.resolved) for name, file in found["raw"].items()}
    marts = {
        name: Suite(name, (*shared.get(name, ()), *file.resolved), getattr(file, "fed_by", ()))
        for name, file in tables.items()
    }
    return Suites(raw, marts)


def _note_missing(expectations: Path, gate: Gate, without: str, problems: list[str]) -> None:
    """The file of the shared checks must be there; the marts gate needs it as soon as it has any file."""
    path = expectations / gate / f"{EVERY_FILE[gate]}.yml"
    if path.is_file() or (gate == "marts" and not any((expectations / gate).glob("*.y*ml"))):
        return
    meets = "meets no check" if gate == "raw" else "is searched for personal text and doubled rows"
    problems.append(f"{gate}/{path.name}:1: is missing: without it {without} {meets}")


def _files(expectations: Path) -> Iterator[tuple[Gate, Path]]:
    gates: tuple[Gate, ...] = ("raw", "marts")
    for gate in gates:
        for path in sorted((expectations / gate).glob("*.y*ml")):
            yield gate, path


def _load_file(
    gate: Gate,
    path: Path,
    root: Path,
    problems: list[str],
    seen: dict[str, str],
    contracts: Collection[str] | None,
) -> SuiteFile | None:
    shown = path.relative_to(root).as_posix()
    tree = _parse(path, shown, problems)
    if tree is None:
        return None
    _note_duplicate_ids(tree, shown, problems, seen)
    of_a_table = gate == "marts" and tree.get("table") != EVERY
    try:
        file = (TableFile if of_a_table else SuiteFile).model_validate(_plain(tree))
    except ValidationError as error:
        problems.extend(_describe(item, tree, shown) for item in error.errors())
        return None
    if (gate == "marts") != (file.table is not None):
        problems.append(f"{shown}:1: a file in {gate}/ says `{'table' if gate == 'marts' else 'contract'}:`")
    if path.stem != (EVERY_FILE[gate] if file.name == EVERY else file.name):
        subject = EVERY_FILE[gate].replace("_", " ") if file.name == EVERY else file.name
        problems.append(f"{shown}:1: the file is called {path.stem} but speaks of {subject}")
    if file.contract not in (None, EVERY) and contracts is not None and file.contract not in contracts:
        line = _line(tree, ["contract"])
        problems.append(f"{shown}:{line}: there is no contract {file.contract}: these checks would never run")
    for number, check in enumerate(file.checks):
        keyless = "{key}" in (check.sql or "") and not (check.key or file.key)
        if keyless and (gate, file.name) != ("marts", EVERY):
            problems.append(
                f"{shown}:{_line(tree, ['checks', number, 'sql'])}: `sql:` uses {{key}}, and no `key:` is said"
            )
        if gate == "marts" and check.owner == "source":
            line = _line(tree, ["checks", number, "owner"])
            problems.append(f"{shown}:{line}: `owner: source` belongs to raw/: a published table has many sources")
    return file


def _parse(path: Path, shown: str, problems: list[str]) -> Any:
    """The file as ruamel's tree (which knows lines), or None after noting what is wrong."""
    if path.stat().st_size > MAX_BYTES:
        problems.append(f"{shown}:1: larger than {MAX_BYTES} bytes")
        return None
    try:
        tree = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except DuplicateKeyError as error:
        problems.append(f"{shown}:{_marked_line(error)}: duplicate key ({error.problem})")
        return None
    except (YAMLError, UnicodeDecodeError) as error:
        line = _marked_line(error) if isinstance(error, MarkedYAMLError) else 1
        problems.append(f"{shown}:{line}: not valid YAML ({str(error).splitlines()[0]})")
        return None
    if not isinstance(tree, dict):
        problems.append(f"{shown}:1: a mapping with `checks:` was expected")
        return None
    return tree


def _marked_line(error: MarkedYAMLError) -> int:
    return int(error.problem_mark.line) + 1 if error.problem_mark else 1


def _plain(node: Any) -> Any:
    """ruamel's tree as plain Python values, because pydantic's strict types refuse subclasses of str and float."""
    if isinstance(node, dict):
        return {_plain(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _note_duplicate_ids(tree: Any, shown: str, problems: list[str], seen: dict[str, str]) -> None:
    checks = tree.get("checks")
    for check in checks if isinstance(checks, list) else []:
        name = check.get("id") if isinstance(check, dict) else None
        if not isinstance(name, str):
            continue
        place = f"{shown}:{check.lc.key('id')[0] + 1}"
        if name in seen:
            problems.append(f"{place}: the id {name} is already used in {seen[name]}")
        seen.setdefault(name, place)


def _describe(item: Any, tree: Any, shown: str) -> str:
    """One pydantic error as `file:line: place: what`."""
    loc: Sequence[str | int] = [part for part in item["loc"] if part not in ("int", "float")]
    place = ".".join(str(part) for part in loc)
    return f"{shown}:{_line(tree, loc)}: {place + ': ' if place else ''}{item['msg']}"


def _line(tree: Any, loc: Sequence[str | int]) -> int:
    """Line of the deepest node on the way that exists (a missing key is reported at its parent)."""
    node = tree
    line = int(tree.lc.line) + 1
    for part in loc:
        try:
            place = node.lc.key(part) if hasattr(node, "keys") else node.lc.item(part)
            line, node = place[0] + 1, node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line
