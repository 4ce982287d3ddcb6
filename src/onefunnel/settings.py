"""pipeline.yml and the staging contracts, read strictly: every problem at once, each with its file and line."""

from __future__ import annotations

import codecs
import datetime as dt
import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent

from onefunnel.errors import ConfigError
from onefunnel.paths import Paths

MAX_YAML_BYTES = 1_000_000
FILES = "files"
_SOURCES = Path(__file__).with_name("sources")
_OF_APIS = ("connection", "since", "accounts", "without")
NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
RESERVED_SOURCES = {"ledger"}
ColumnType = Literal["text", "currency", "date", "timestamp", "amount", "number", "integer", "rate", "boolean"]
# What a declared date or time format may consist of, and the text that each part stands for.
FORMAT_TOKENS = {
    "%Y": "[0-9]{4}",
    "%y": "[0-9]{2}",
    "%m": "[0-9]{1,2}",
    "%d": "[0-9]{1,2}",
    "%H": "[0-9]{1,2}",
    "%M": "[0-9]{1,2}",
    "%S": "[0-9]{1,2}",
    "%f": "[0-9]{1,6}",
    "%b": "[A-Za-z]{3}",
    "%z": "(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)",
    "%%": "%",
}
NUMERIC_TYPES = frozenset({"amount", "number", "integer", "rate"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _scalar_text(value: object) -> object:
    """YAML reads `1` or `2026-01-01` as numbers and dates; a constant of a contract column is text."""
    return str(value) if isinstance(value, int | float | dt.date) and not isinstance(value, bool) else value


def _column_names(value: object) -> object:
    """`from` is one name or a list of names; one message says so, not one per form."""
    if isinstance(value, list):
        value = tuple(value)
    if value is None or isinstance(value, str) or (isinstance(value, tuple) and all(isinstance(n, str) for n in value)):
        return value
    raise ValueError("`from` is the name of a column of the file, or a list of names")


class ContractColumn(_Strict):
    """One column of a staging contract. `required`: an empty value is quarantined. `personal`: lands as a token only."""

    type: ColumnType
    required: bool = False
    personal: bool = False
    description: str = ""


class Contract(_Strict):
    """One staging contract: the grain of its fact and its columns, in landing order.

    `day` names the column with the day that a row is about; lists, which speak of no day, have none.
    """

    grain: tuple[str, ...]
    day: str | None = None
    columns: dict[str, ContractColumn]
    description: str = ""

    def columns_of(self, *types: str) -> list[str]:
        """Names of the columns of the given types, in contract order."""
        return [name for name, column in self.columns.items() if column.type in types]


class Column(_Strict):
    """Where a contract column's value comes from: a column of the file, several of them that make one id, or a constant.

    `optional`: a file without the column is no error; its values are null.
    `add_days`: what a day is moved by, 1 where the file writes the last day of an interval and the contract the day after.
    `unit`: an amount that is written as a whole number of millionths; a time as microseconds since 1970 (UTC).
    `rounded`: a number that its source computes as a float: it is rounded half up to six decimals instead of being refused.
    """

    from_: Annotated[str | tuple[str, ...] | None, BeforeValidator(_column_names)] = Field(default=None, alias="from")
    value: Annotated[str | None, BeforeValidator(_scalar_text)] = None
    format: str | None = None
    prefix: str | None = None
    map: dict[str, str] | None = None
    zone: str | None = None
    fold: Literal[0, 1] | None = None
    add_days: int = Field(default=0, ge=-31, le=31)
    unit: Literal["micros"] | None = None
    rounded: bool = False
    optional: bool = False

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @property
    def parts(self) -> tuple[str, ...]:
        """The columns of the file that the value is made of; none for a constant."""
        return () if self.from_ is None else (self.from_,) if isinstance(self.from_, str) else self.from_

    @model_validator(mode="after")
    def _one_origin(self) -> Column:
        if (self.from_ is None) == (self.value is None):
            raise ValueError("give exactly one of `from` (a column of the file) and `value` (a constant)")
        if isinstance(self.from_, tuple) and (len(self.from_) < 2 or len(set(self.from_)) < len(self.from_)):
            raise ValueError("a list in `from` names two or more different columns of the file")
        if self.zone is not None and self.zone not in available_timezones():
            raise ValueError(f"unknown time zone {self.zone!r}: use an IANA name such as Europe/Berlin")
        if sum([self.prefix is not None, self.unit is not None, self.rounded]) > 1:
            raise ValueError("`prefix`, `unit` and `rounded` do not go together")
        return self


class Dialect(_Strict):
    """How a text file is written. Nothing of it is ever sniffed."""

    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str = '"'
    decimal: str = "."
    grouping: str = ""
    null_words: tuple[str, ...] = ("",)
    final_newline: bool = True

    @model_validator(mode="after")
    def _sound(self) -> Dialect:
        problems = []
        for name in ("delimiter", "quote", "decimal"):
            value = getattr(self, name)
            if len(value) != 1 or not value.isascii() or value in "\r\n":
                problems.append(f"{name} must be one ASCII character, not {value!r}")
        if len(self.grouping) > 1:
            problems.append("grouping must be one character or empty")
        if self.delimiter == self.quote:
            problems.append("delimiter and quote must differ")
        if self.decimal == self.grouping:
            problems.append("decimal and grouping must differ")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            problems.append(f"unknown encoding {self.encoding!r}")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class UsualRows(_Strict):
    """When a load counts as suspiciously small: rows per unit of delivery against the median of earlier loads.

    A load must have more than `share` of them: exactly half is what is left when one of two accounts is missing.
    """

    share: float = Field(default=0.5, gt=0, lt=1)
    minimum: int = Field(default=1, ge=0)


class Stream(_Strict):
    """One stream of a file source: which files, in which dialect, and what a changed file replaces."""

    contract: str
    files: str
    format: Literal["csv", "parquet", "ndjson", "xlsx"] = "csv"
    sheet: str | None = None
    header_row: int = Field(default=1, ge=1, le=1000)
    dialect: Dialect = Dialect()
    key: tuple[str, ...] | None
    replaces: Literal["file", "keys", "partition"]
    partition: tuple[str, ...] = ()
    file_order: Literal["name", "modified"] = "name"
    order_by: str | None = None
    final_after_days: int = Field(default=30, ge=0, le=400)
    # The stream's rhythm. It says nothing about how a file is read, so receipts and fingerprints do without it.
    fresh_within_days: int = Field(default=3, ge=0, le=400, exclude=True)
    allow_empty: bool = False
    usual_rows: UsualRows | Literal["off"] = UsualRows()
    columns: dict[str, Column]
    ignore: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _yaml_words(cls, data: Any) -> Any:
        if isinstance(data, dict):
            data = dict(data)
            if data.get("key") == "none":
                data["key"] = None
            if data.get("usual_rows") is False:  # YAML 1.1 readers turn `off` into false
                data["usual_rows"] = "off"
        return data

    def declaration(self) -> dict[str, Any]:
        """The declaration as plain JSON-able data, as receipts keep it."""
        return self.model_dump(mode="json", by_alias=True)

    def fingerprint(self) -> str:
        """sha256 of what is declared otherwise than by default: two loads with the same one were read in the same way."""
        declared = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()


class Source(_Strict):
    """One source of data: its connector, whether a run may go on without it, and its streams.

    Files are in `root`. A connector of an API declares its streams itself (`sources/<connector>.yml`), takes its
    credentials from the connection of the given id, and asks for nothing older than `since`.
    """

    connector: str
    required: bool = True
    owner: Literal["sales", "marketing", "finance", "operations", "data"] = "data"
    root: str
    connection: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")
    since: dt.date | None = None
    accounts: tuple[Annotated[str, BeforeValidator(_scalar_text)], ...] = ()
    streams: dict[str, Stream]

    @property
    def is_files(self) -> bool:
        """Whether somebody else delivers its files; what a connector fetches, it writes into `root` itself."""
        return self.connector == FILES

    @model_validator(mode="before")
    @classmethod
    def _default_contract(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("streams"), dict):
            data = dict(data)
            data["streams"] = {
                name: {"contract": name, **body} if isinstance(body, dict) else body
                for name, body in data["streams"].items()
            }
        return data


class Reporting(_Strict):
    """The currency and zone in which the company reports."""

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    time_zone: str = "UTC"

    @model_validator(mode="after")
    def _zone(self) -> Reporting:
        if self.time_zone not in available_timezones():
            raise ValueError(f"unknown time zone {self.time_zone!r}")
        return self


class Retention(_Strict):
    """How many published versions are kept, and how young a version must be to be kept in any case."""

    versions: int = Field(default=5, ge=2)
    min_age_minutes: int = Field(default=60, ge=1)


class Settings(_Strict):
    """The whole of pipeline.yml."""

    version: Literal[1]
    company: str
    reporting: Reporting
    schedule: str | None = None
    as_of: Annotated[str, BeforeValidator(lambda v: v.isoformat() if isinstance(v, dt.datetime) else v)] = "now"
    retention: Retention = Retention()
    sources: dict[str, Source]

    def resolved_as_of(self, now: dt.datetime) -> dt.datetime:
        """The instant the data is read at (UTC): the declared one, or `now`."""
        return now if self.as_of == "now" else parse_instant(self.as_of)


def parse_instant(text: str) -> dt.datetime:
    """An ISO instant with offset or `Z` as UTC.

    Raises:
        ConfigError: not an instant, or without a zone.
    """
    try:
        value = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not an ISO instant", do="Write it like 2026-03-01T06:00:00Z.") from None
    if value.tzinfo is None:
        raise ConfigError(f"the instant {text!r} has no zone", do="Write it like 2026-03-01T06:00:00Z.")
    return value.astimezone(dt.UTC)


@lru_cache(maxsize=8)
def load_contracts(dbt_project: Path) -> dict[str, Contract]:
    """The staging contracts, from `vars: contracts:` of dbt_project.yml (dbt and Python read the same lines)."""
    path = dbt_project / "dbt_project.yml"
    data = read_yaml(path)
    return {name: Contract.model_validate(_plain(body)) for name, body in data["vars"]["contracts"].items()}


def read_yaml(path: Path) -> CommentedMap:
    """A YAML mapping, safely: no aliases, no duplicate keys, at most 1 MB.

    Raises:
        ConfigError: unreadable, with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            "configuration file not found", where=str(path), do="Copy the pipeline.yml of the project."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError("configuration file is not UTF-8", where=str(path)) from None
    if len(text) > MAX_YAML_BYTES:
        raise ConfigError(f"configuration file is larger than {MAX_YAML_BYTES:,} bytes", where=str(path))
    yaml = YAML(typ="rt", pure=True)
    try:
        # Without an anchor there is nothing to alias, and to look costs as much as to load.
        for event in yaml.parse(text) if "&" in text else ():
            if isinstance(event, AliasEvent):
                raise ConfigError("YAML aliases are not supported", where=f"{path}:{event.start_mark.line + 1}")
        data = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = " ".join(str(error.problem or error.context).split())
        raise ConfigError(f"{path}:{line}: not valid YAML: {problem}") from None
    except YAMLError as error:
        raise ConfigError(f"{path}:1: not valid YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise ConfigError("YAML is nested too deeply", where=str(path)) from None
    if not isinstance(data, CommentedMap):
        raise ConfigError("configuration file is empty or not a mapping", where=str(path))
    return data


def load_settings(path: Path, dbt_project: Path) -> Settings:
    """pipeline.yml, validated against its schema and the staging contracts.

    Raises:
        ConfigError: all problems at once, each as `file:line: path: message`.
    """
    tree = read_yaml(path)
    found: list[tuple[tuple[str | int, ...], str]] = []
    plain = _with_connectors(_plain(tree), found)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(plain)
    except ValidationError as error:
        found += [(e["loc"], _message(dict(e))) for e in error.errors()]
    found += _contract_problems(plain, load_contracts(dbt_project))
    if found or settings is None:
        ordered = sorted(found, key=lambda problem: _line(tree, problem[0]))
        raise ConfigError(
            [f"{path}:{_line(tree, loc)}: {_dotted(loc)}: {text}" for loc, text in ordered],
            do="See docs/how-to/bring-your-own-files.md for every key.",
        )
    return settings


def connectors() -> list[str]:
    """The connectors of APIs: each declares its streams in a file of its own."""
    return sorted(path.stem for path in _SOURCES.glob("*.yml"))


def _with_connectors(plain: Any, problems: list[tuple[tuple[str | int, ...], str]]) -> Any:
    """pipeline.yml with what the connectors of its sources declare: an installation may name the streams that it wants, or
    those that it does without, and say more about some of them; it need not repeat the rest."""
    sources = _mapping(_mapping(plain).get("sources"))
    for name, source in sources.items():
        here = ("sources", name)
        body = _mapping(source)
        connector = body.get("connector", FILES)
        if connector == FILES or not isinstance(connector, str):
            problems += [((*here, key), "is for connectors of an API") for key in _OF_APIS if key in body]
            continue
        if connector not in connectors():
            known = ", ".join([FILES, *connectors()])
            problems.append(((*here, "connector"), f"unknown connector {connector!r}: known are {known}"))
            continue
        if "root" in body:
            problems.append(((*here, "root"), "is for files; a connector keeps what it fetches where it must"))
        if "since" not in body:
            problems.append((here, "a connector needs `since`: the first day that is asked for"))
        declared = _mapping(_plain(read_yaml(_SOURCES / f"{connector}.yml")).get("streams"))
        without = body.get("without")
        wanted = body.get("streams", list(declared) if without is None else {})
        for key, listed in (("streams", wanted), ("without", without)):
            if isinstance(listed, list) and not all(isinstance(stream, str) for stream in listed):
                problems.append(((*here, key), "is a list of names"))
                wanted, without = list(declared), None
        if without is not None and not (isinstance(without, list) and isinstance(wanted, dict)):
            text = "is a list of streams that are not read; then `streams` may say more about others, and not list them"
            problems.append(((*here, "without"), text))
            without = None
        said = {stream: {} for stream in wanted} if isinstance(wanted, list) else dict(_mapping(wanted))
        for key, stream in [("streams", s) for s in said] + [("without", s) for s in without or ()]:
            if stream not in declared:
                text = f"{connector} has no stream {stream!r}: it has {', '.join(declared)}"
                problems.append(((*here, key, stream), text))
            elif key == "without" and stream in said:
                problems.append(((*here, "streams", stream), "is left out by `without`"))
        if without and set(declared) <= {*without}:
            problems.append(((*here, "without"), "leaves no stream to read"))
        if without is not None:
            said |= {stream: {} for stream in declared if stream not in said and stream not in without}
        streams = {stream: _merged(declared[stream], said[stream]) for stream in said if stream in declared}
        kept = {key: value for key, value in body.items() if key != "without"}
        sources[name] = {"connection": name, **kept, "root": f"inbox/{name}", "streams": streams}
    return plain


def _merged(declared: Any, said: Any) -> Any:
    """A declaration with what an installation says in its place, name by name."""
    if not isinstance(declared, dict) or not isinstance(said, dict):
        return said
    return {**declared, **{name: _merged(declared.get(name), value) for name, value in said.items()}}


def source_root(root: str, config: Path, home: Path) -> Path:
    """The folder of a file source: `./x` is beside pipeline.yml, another relative path is in the state folder."""
    if root.startswith("./") or root == ".":
        return config.parent / root
    return Path(root) if Path(root).is_absolute() else home / root


def _contract_problems(plain: Any, contracts: dict[str, Contract]) -> list[tuple[tuple[str | int, ...], str]]:
    """What the schema cannot say. It looks at every part that can be read, so that one mistake does not hide the next."""
    problems: list[tuple[tuple[str | int, ...], str]] = []
    as_of = _mapping(plain).get("as_of", "now")
    if isinstance(as_of, str) and as_of != "now":
        try:
            parse_instant(as_of)
        except ConfigError as error:
            problems.append((("as_of",), error.what))
    for source_name, source in _mapping(_mapping(plain).get("sources")).items():
        here: tuple[str | int, ...] = ("sources", source_name)
        if not NAME.match(source_name) or source_name in RESERVED_SOURCES:
            problems.append((here, "a source's name is lower case letters, digits and _, and not a reserved word"))
        for stream_name, stream in _mapping(_mapping(source).get("streams")).items():
            at = (*here, "streams", stream_name)
            if not NAME.match(stream_name):
                problems.append((at, "a stream's name is lower case letters, digits and _"))
            if not isinstance(stream, dict):
                continue
            columns = {name: _column(column) for name, column in _mapping(stream.get("columns")).items()}
            problems += [(at, text) for text in _replacement_problems(stream, set(columns))]
            contract = stream.get("contract", stream_name)
            if contract not in contracts:
                problems.append(((*at, "contract"), f"unknown contract {contract!r}: known are {', '.join(contracts)}"))
                continue
            if "fresh_within_days" in stream and contracts[contract].day is None:
                text = f"`fresh_within_days` has no meaning for the contract {contract}: its rows are about no day"
                problems.append(((*at, "fresh_within_days"), text))
            problems += [((*at, *loc), text) for loc, text in _column_problems(columns, contract, contracts[contract])]
    return problems


def _mapping(node: Any) -> dict[str, Any]:
    return node if isinstance(node, dict) else {}


def _column(raw: Any) -> Column | None:
    """The column, or None where the schema has complained about it already."""
    try:
        return Column.model_validate(raw)
    except ValidationError:
        return None


def _replacement_problems(stream: dict[str, Any], columns: set[str]) -> list[str]:
    """Keys of a stream that do not go together."""
    files, replaces = stream.get("files"), stream.get("replaces")
    key = stream.get("key")
    lists = [x for x in (key, stream.get("partition")) if isinstance(x, list)]
    problems = []
    if replaces == "partition" and not stream.get("partition"):
        problems.append("`replaces: partition` needs `partition: [column, …]`")
    if stream.get("format") == "xlsx" and not stream.get("sheet"):
        problems.append("`format: xlsx` needs `sheet`, the name of the sheet to read")
    if stream.get("format") != "xlsx" and {"sheet", "header_row"} & set(stream):
        problems.append("`sheet` and `header_row` belong to `format: xlsx`")
    if stream.get("format") == "ndjson" and _mapping(stream.get("dialect")).get("encoding", "utf-8") != "utf-8":
        problems.append("NDJSON is UTF-8: leave `encoding` out")
    if replaces in ("file", "keys") and stream.get("partition"):
        problems.append(f"`partition` has no meaning with `replaces: {replaces}`")
    if replaces == "keys" and key in (None, "none"):
        problems.append("`replaces: keys` needs a key")
    if isinstance(files, str) and (files.startswith("/") or ".." in Path(files).parts):
        problems.append("`files` is a pattern below `root`: no leading slash, no `..`")
    named = {str(c) for names in lists for c in names} | (
        {str(stream["order_by"])} if stream.get("order_by") else set()
    )
    problems += [
        f"`{c}` is named in key, partition or order_by but has no entry in `columns`" for c in sorted(named - columns)
    ]
    return problems


def _column_problems(
    columns: dict[str, Column | None], contract_name: str, contract: Contract
) -> list[tuple[tuple[str | int, ...], str]]:
    problems: list[tuple[tuple[str | int, ...], str]] = []
    for name in contract.columns:
        if contract.columns[name].required and name not in columns:
            problems.append((("columns",), f"the contract {contract_name} requires `{name}`: give `from` or `value`"))
    for name, column in columns.items():
        at = ("columns", name)
        declared = contract.columns.get(name)
        if declared is None:
            problems.append(
                (at, f"`{name}` is no column of the contract {contract_name} ({', '.join(contract.columns)})")
            )
            continue
        if column is None:
            continue
        is_micros = declared.type == "timestamp" and column.unit == "micros"
        if is_micros and (column.format is not None or column.zone is not None or column.fold is not None):
            problems.append((at, "`unit: micros` counts from 1970 in UTC: leave `format`, `zone` and `fold` out"))
        if declared.type in ("date", "timestamp") and column.format is None and not is_micros:
            problems.append((at, f"a {declared.type} needs `format`, for example %Y-%m-%d"))
        unknown = [t for t in re.findall("%.", column.format or "") if t not in FORMAT_TOKENS]
        if unknown:
            problems.append((at, f"`format` knows {' '.join(FORMAT_TOKENS)}, not {' '.join(unknown)}"))
        if declared.type == "date" and {"%H", "%M", "%S", "%f", "%z"} & set(re.findall("%.", column.format or "")):
            problems.append((at, "a date's `format` has no time of day"))
        if declared.type not in ("date", "timestamp") and column.format is not None:
            problems.append((at, f"`format` has no meaning for a {declared.type}"))
        if declared.type == "timestamp" and column.zone is None and not is_micros:
            problems.append((at, "a timestamp needs `zone`: the zone its local time is written in"))
        if declared.type == "timestamp" and column.zone not in (None, "UTC") and column.fold is None:
            problems.append(
                (at, "a local timestamp needs `fold`: 0 or 1, which of a repeated hour's two instants is meant")
            )
        if declared.type != "timestamp" and (column.zone is not None or column.fold is not None):
            problems.append((at, f"`zone` and `fold` have no meaning for a {declared.type}"))
        if column.prefix is not None and declared.type not in NUMERIC_TYPES:
            problems.append((at, f"`prefix` has no meaning for a {declared.type}"))
        if column.unit is not None and declared.type not in ("amount", "timestamp"):
            problems.append((at, f"`unit` has no meaning for a {declared.type}"))
        if column.rounded and declared.type not in ("amount", "number"):
            problems.append((at, f"`rounded` has no meaning for a {declared.type}"))
        if column.map is not None and declared.type not in ("text", "currency", "boolean", "date"):
            problems.append((at, f"`map` has no meaning for a {declared.type}"))
        if len(column.parts) > 1 and declared.type != "text":
            problems.append((at, f"only a text is made of several columns, not a {declared.type}"))
        if column.add_days and declared.type != "date":
            problems.append((at, f"`add_days` has no meaning for a {declared.type}"))
    return problems


def _plain(node: Any) -> Any:
    """ruamel's commented containers as plain dicts and lists."""
    if isinstance(node, CommentedMap | dict):
        return {str(k): _plain(v) for k, v in node.items()}
    if isinstance(node, CommentedSeq | list):
        return [_plain(v) for v in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    if isinstance(node, dt.datetime):
        return node if node.tzinfo else node.replace(tzinfo=dt.UTC)
    return node


def _line(tree: Any, loc: tuple[str | int, ...]) -> int:
    """The 1-based line of the deepest part of `loc` that stands in the file."""
    node, line = tree, 1
    for part in loc:
        if isinstance(node, CommentedMap) and part in node:
            line = node.lc.key(part)[0] + 1
            node = node[part]
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line = node.lc.item(part)[0] + 1
            node = node[part]
        else:
            break
    return line


def _dotted(loc: tuple[str | int, ...]) -> str:
    return ".".join(str(p) for p in loc if p not in ("UsualRows", "literal['off']"))


def _message(error: dict[str, Any]) -> str:
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "extra_forbidden":
        return "is not a known key (is it misspelt?)"
    return str(error["msg"]).removeprefix("Value error, ")


def zone(name: str) -> ZoneInfo:
    """The IANA zone `name` (validated when the settings were read)."""
    return ZoneInfo(name)


def declared_connection(source: str) -> str | None:
    """The id of the connection that a source's connector needs; None for files.

    Raises:
        ConfigError: pipeline.yml is wrong.
    """
    paths = Paths.find()
    found = load_settings(paths.config, paths.dbt_project).sources.get(source)
    return found.connection if found else None


def declared_schedule() -> str | None:
    """The schedule in pipeline.yml of this process's installation (read when a DAG file is parsed).

    Raises:
        ConfigError: pipeline.yml is wrong; the orchestrator shows it as an import error.
    """
    paths = Paths.find()
    return load_settings(paths.config, paths.dbt_project).schedule
