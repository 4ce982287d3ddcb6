"""Salesforce: REST `queryAll` for small answers, Bulk API 2.0 for large ones.

Sources, pages of Salesforce's documentation. REST API Developer Guide: *QueryAll* (deleted, merged and archived rows too; up to
2,000 rows a page, and fewer as it likes), *Query Options Header*, *Limit Info Header*, *sObject Describe*, *Status Codes and
Error Responses*. Bulk API 2.0: *Understanding Bulk API 2.0 Query*, *Create a Query Job*, *Get Results for a Query Job*. Object
Reference: *System Fields* (SystemModstamp moves with users and with automation), *OpportunityFieldHistory*,
*OpportunityHistory*, *CurrencyType*. SOQL: *convertCurrency()* (an aggregate is in the organisation's own currency). Help:
*OAuth 2.0 Client Credentials Flow* (only by the organisation's own domain).

What changed is found by SystemModstamp, with an overlap: rows of one transaction share a stamp, and it may be older than the
moment from which they can be read. What is deleted for good leaves no trace; it is found by comparing ids once a day.
Formulas change without a stamp; they are read anew once a week, and everything once a month.
"""

# ruff: noqa: S608  (queries of constants, instants and Salesforce's own ids)

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from onefunnel.engines.duckdb import BULK_MEMORY, identifier, literal, scratch
from onefunnel.errors import ConfigError, EnvironmentNotReady, OnefunnelError, StepFailed
from onefunnel.sources.base import TOTALS, Asked
from onefunnel.sources.connections import Connection
from onefunnel.sources.http import Again, Api, Usage, quoted
from onefunnel.sources.inbox import Inbox
from onefunnel.sources.oauth import AccessToken
from onefunnel.sources.pages import Field, ahead, write_csv_records, write_records
from onefunnel.sources.salesforce_streams import (
    AMOUNT,
    CURRENCY,
    HISTORIES,
    KINDS,
    PEOPLE,
    SNAPSHOT,
    SNAPSHOT_FIELDS,
    STREAMS,
    SObject,
    Stream,
    changes_of_history,
    changes_of_snapshots,
    texts,
)
from onefunnel.sources.salesforce_streams import time as time_of

VERSION = "v66.0"
DATA = f"services/data/{VERSION}"
LOGIN = "https://login.salesforce.com"
DOMAINS = (".salesforce.com", ".salesforce.mil")
BATCH = 2_000
BULK_FROM = 50_000  # rows; below, pages cost fewer requests and less time than a job
OVERLAP = dt.timedelta(minutes=15)
SETTLED = dt.timedelta(minutes=2)
TRIES = 3
JOB_SECONDS = 3_600.0
IDS_A_QUERY = 300  # an address has an end
# Known records of which fewer than this share are found again were not all deleted: the user sees less than before.
LEAST_SHARE, FEW = 0.5, 20
_LIMIT = "Sforce-Limit-Info"


class _Expired(StepFailed):
    """A place in an answer, or a job, that Salesforce does not keep any more."""


class _NotInBulk(StepFailed):
    """An object that the Bulk API does not read."""


@dataclass(frozen=True)
class _Read:
    """Rows of an object.

    Attributes:
        fields: those that were asked for.
        files: Parquet files of the rows, every field as text (a pattern).
        rows, greatest: how many rows there are, each once, and the greatest stamp among them.
        doubled: whether any of them came more than once.
    """

    sobject: SObject
    fields: tuple[str, ...]
    files: Path
    rows: int
    greatest: str | None
    doubled: bool


def connect(where: str, connection: Connection, accounts: Sequence[str]) -> Salesforce:
    """The connector for one source.

    Args:
        connection: login and password are the consumer key and secret of the app; host is the organisation's own domain
            (needed where there is no refresh token); extra: `refresh_token`, or nothing for the client credentials flow.
        accounts: none; a connection is one organisation.
    """
    if accounts:
        raise ConfigError("Salesforce has no accounts to choose from", where, "take `accounts` out of pipeline.yml")
    return Salesforce(where, connection)


class Salesforce:
    """One organisation."""

    def __init__(self, where: str, connection: Connection) -> None:
        self.where, self.job_seconds = where, JOB_SECONDS
        form = {"client_id": connection.login, "client_secret": connection.secret("password")}
        if connection.extra.get("refresh_token"):
            form |= {"grant_type": "refresh_token", "refresh_token": connection.secret("refresh_token")}
        elif connection.host:
            form |= {"grant_type": "client_credentials"}
        else:
            raise ConfigError(
                f"the connection {connection.connection_id} has neither a refresh_token nor a host",
                where,
                "give the organisation's own domain as host, https://….my.salesforce.com (docs/how-to/connect-salesforce.md)",
            )
        self.login = connection.base_url(LOGIN)
        self.deadline = connection.deadline_seconds
        self.token = AccessToken(where, f"{self.login}/services/oauth2/token", form, deadline=self.deadline)
        self._api: Api | None = None
        self._fields: dict[str, dict[str, tuple[str, bool]]] = {}  # object -> field -> (type, whether it is a formula)
        self._own: dict[str, str | None] = {}
        self._own_currency = ""
        self._not_in_bulk: set[str] = set()

    @property
    def api(self) -> Api:
        """A client of the instance that the token names.

        Raises:
            ConfigError: that is not a host of Salesforce.
        """
        if self._api is None:
            self.token(False)
            instance = str(self.token.answer.get("instance_url") or "")
            url, own = httpx.URL(instance), httpx.URL(self.login)
            at_home = (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port)
            if not at_home and not (url.scheme == "https" and url.host.endswith(DOMAINS)):
                raise ConfigError(
                    f"the access token is for {url.host or 'no host'}, which is none of Salesforce's",
                    self.where,
                    "nothing was sent there; correct the host of the connection",
                )
            origin = str(url.copy_with(path="/", query=None))
            self._api = Api(
                self.where, origin, self.token, explain=_explained, limits=(_LIMIT,), deadline=self.deadline
            )
        return self._api

    def close(self) -> None:
        """Close the connections."""
        if self._api is not None:
            self._api.close()
        self.token.close()

    def fetch(self, asked: Asked, inbox: Inbox) -> None:
        """Fetch one stream."""
        self.api.usage = usage = Usage()
        stream = STREAMS[asked.stream]
        self._fields.clear()  # what is described now also tells the server's clock
        self._check(asked, (*stream.sobjects, *stream.beside))
        until = self._settled(asked)
        read = self._changes if asked.stream in HISTORIES else self._records
        records, select, covered, about = read(asked, inbox, stream, until)
        totals = self._totals(asked, stream, until)
        about |= {"requests": usage.requests, "retries": usage.retries, "limits": usage.limits}
        inbox.deliver(
            {_raw(each.sobject): each.files for each in records},
            select=f"with {', '.join(map(self._relation, records))} select * from ({select})",
            covered=covered,
            totals=pa.Table.from_pylist(totals, TOTALS),
            about=about,
        )

    def _settled(self, asked: Asked) -> dt.datetime:
        """Up to when everything can be read by now, by Salesforce's own clock; never before what was seen already."""
        now = dt.datetime.fromtimestamp(self.api.server_time or time.time(), dt.UTC)
        seen = [_instant(stamp) + dt.timedelta(seconds=1) for stamp in asked.before.get("cursors", {}).values()]
        return max([now - SETTLED, *seen])

    # -- streams -------------------------------------------------------------------------------------------------------

    def _records(self, asked: Asked, inbox: Inbox, stream: Stream, until: dt.datetime) -> _Delivery:
        """Records as they stand: those that changed, or all."""
        formulas = any(self._fields[o.name][name][1] for o in stream.sobjects for name in self._present(o))
        everything = stream.whole or _all_is_due(asked, stream.sobjects, formulas)
        reads = [self._part(asked, inbox, sobject, until, everything) for sobject in stream.sobjects]
        beside = [self._read(asked, inbox, sobject, ()) for sobject in stream.beside]
        about: dict[str, Any] = {**_cursors(asked, reads, until), "everything": everything}
        merged: list[str] = []
        if "MasterRecordId" in stream.sobjects[0].fields:
            losers = _facts([(reads[0].files, "")], "distinct Id", "MasterRecordId is not null")
            about["merged"] = merged = sorted({*(loser for (loser,) in losers), *asked.before.get("merged", ())})
        covered = None
        if everything:
            covered = self._gone(asked, stream, reads, merged)
        elif asked.last is not None and asked.last.date() < asked.as_of.date():
            ids = [self._read(asked, inbox, sobject, (), ids_only=True) for sobject in stream.sobjects]
            covered = self._gone(asked, stream, ids, merged)
        return [*reads, *beside], stream.select, covered, about

    def _changes(self, asked: Asked, inbox: Inbox, stream: Stream, until: dt.datetime) -> _Delivery:
        """What the field history says, and the snapshots of deals where it says nothing of a field, or not yet.

        History ends with its record, and after some months. What was delivered once is kept: nothing is covered.
        """
        everything = _all_is_due(asked, stream.sobjects, formulas=False)
        history = self._part(asked, inbox, stream.sobjects[0], until, everything)
        reads, compared = [history], [history]
        about: dict[str, Any] = {"everything": everything}
        select = changes_of_history(asked.stream)
        if asked.stream == "opportunity_changes":
            found = {
                str(name): str(first)
                for name, first in _facts([(history.files, "CreatedDate")], "Field, min(stamp)", "true group by Field")
            }
            since = {**found, **asked.before.get("tracked_since", {})}
            about["tracked_since"] = since
            if everything or not since.keys() >= set(SNAPSHOT_FIELDS.values()):
                self._check(asked, [SNAPSHOT])
                new = self._part(asked, inbox, SNAPSHOT, until, everything)
                reads.append(new)
                compared.append(new if everything else self._whole_deals(asked, inbox, new))
                select += " union all " + changes_of_snapshots(since, asked.since)
        about |= _cursors(asked, reads, until)
        users = [self._read(asked, inbox, sobject, ()) for sobject in stream.beside]
        return [*compared, *users], f"select * replace ({PEOPLE} as changed_by_id) from ({select})", None, about

    def _whole_deals(self, asked: Asked, inbox: Inbox, new: _Read) -> _Read:
        """All snapshots of the deals that have new ones: what changed shows in comparison with the one before only."""
        deals = [str(deal) for (deal,) in _facts([(new.files, "")], "distinct OpportunityId", "true")]
        chunks = [deals[n : n + IDS_A_QUERY] for n in range(0, len(deals), IDS_A_QUERY)]
        pages: list[Path] = []
        for n, chunk in enumerate(chunks):
            listed = ", ".join(map(literal, chunk))
            soql = f"SELECT {', '.join(new.fields)} FROM {SNAPSHOT.name} WHERE OpportunityId IN ({listed})"
            pages += self._paged(SNAPSHOT, inbox, f"deals-{n:05d}", soql)[0]
        files = inbox.pages / "deals.*.parquet"
        write_records(pages, "$.records[*]", [Field(name) for name in new.fields], inbox.pages, files, self.api.where)
        return replace(new, files=files, doubled=True)

    def _part(self, asked: Asked, inbox: Inbox, sobject: SObject, until: dt.datetime, everything: bool) -> _Read:
        """The rows of an object that changed since the cursor, or all of them.

        Of all of them none is left out because it changed just now, or it would look deleted; what was just made is.
        """
        if everything:
            return self._read(asked, inbox, sobject, [f"CreatedDate < {_soql(until)}"] if sobject.is_dated else [])
        since = _instant(asked.before["cursors"][sobject.name]) - OVERLAP
        bounds = (f"{sobject.stamp} >= {_soql(since)}", f"{sobject.stamp} < {_soql(until)}")
        return self._read(asked, inbox, sobject, bounds)

    def _gone(self, asked: Asked, stream: Stream, reads: Sequence[_Read], merged: Sequence[str]) -> pa.Table | None:
        """The landed cells without a row, or all where all were read; losers of a merge stay, to say who has won.

        Raises:
            StepFailed: most of what was landed is gone, which is a permission that was taken away, and nobody says otherwise.
        """
        if asked.known is None:
            return None
        names = [name for name in asked.known.column_names if name != "content_hash"]
        with scratch(reads[0].files.parent, BULK_MEMORY) as db:
            db.register("known", asked.known)
            db.register("merged", pa.table({"id": pa.array(merged, pa.string())}))
            db.execute(
                "create temp table landed as select * exclude (content_hash) from known where content_hash <> ''"
            )
            (landed,) = db.execute("select count(*) from landed").fetchall()[0]
            found = sum(read.rows for read in reads)
            too_few = not found or (landed > FEW and found < landed * LEAST_SHARE)
            if landed and too_few and not asked.accept_deletions:
                raise StepFailed(
                    f"The user of the connection sees {found:,} records; {landed:,} are known.",
                    where=f"{asked.where}, object {' and '.join(read.sobject.name for read in reads)}",
                    do="Give the user View All Records on the object again. If the others really were deleted:"
                    f" onefunnel run --accept-deletions {asked.source}",
                )
            existing = " union all ".join(f"select Id from read_parquet({literal(read.files)})" for read in reads)
            kept = f"{identifier(names[0])} in (select id from merged)"
            if len(names) == 1:
                kept += f" or {identifier(names[0])} in ({existing})"
            return db.sql(f"select * from landed where not ({kept})").to_arrow_table()

    def _totals(self, asked: Asked, stream: Stream, until: dt.datetime) -> list[dict[str, str | None]]:
        """How many rows there are that are not deleted, and what deals in the organisation's own currency sum up to.

        Sums of other currencies cannot be asked for: an aggregate is converted ("convertCurrency()").
        """
        if not stream.counted:
            return []
        rows = 0
        for sobject in stream.sobjects:
            self._at(asked, sobject)
            conditions = _conditions(asked, sobject, until)
            rows += int(self._aggregate(f"SELECT COUNT(Id) total FROM {sobject.name}", conditions))
        totals: list[dict[str, str | None]] = [{"part": None, "day": None, "measure": "rows", "value": str(rows)}]
        if asked.stream == "opportunities":
            (sobject,) = stream.sobjects
            own = self._currency(asked, sobject)
            if CURRENCY in self._present(sobject):
                conditions.append(f"{CURRENCY} = {literal(own)}")
            amount = self._aggregate(f"SELECT SUM({AMOUNT}) total FROM {sobject.name}", conditions)
            value = format(Decimal(amount).quantize(Decimal("0.000001")).normalize(), "f")
            totals.append({"part": own, "day": None, "measure": "amount", "value": value})
        return totals

    # -- what the organisation has -------------------------------------------------------------------------------------

    def _check(self, asked: Asked, sobjects: Iterable[SObject]) -> None:
        """Hold what is declared against what the organisation has.

        Raises:
            StepFailed: an object or a field is missing or hidden, or has another type.
        """
        problems = []
        for sobject in sobjects:
            if sobject.name not in self._fields:
                self._at(asked, sobject)
                described = self.api.json("GET", f"{DATA}/sobjects/{sobject.name}/describe", has="fields")
                self._fields[sobject.name] = {
                    f["name"]: (f["type"], bool(f["calculated"])) for f in described["fields"]
                }
            found = self._fields[sobject.name]
            for name, kind in sobject.fields.items():
                if name not in found:
                    if name not in sobject.optional:
                        problems.append(f"{sobject.name} has no field {name}, or hides it")
                elif found[name][0] not in KINDS[kind]:
                    problems.append(f"{sobject.name}.{name} is of type {found[name][0]}, not {_or(KINDS[kind])}")
            self._own[sobject.name] = self._currency(asked, sobject) if CURRENCY in sobject.fields else None
        if problems:
            raise StepFailed(
                f"{'; '.join(problems)}.",
                where=f"{asked.where}; its staging model is stg_files__{asked.stream}",
                do="Let the user of the connection read the field (field-level security of a permission set). If it was"
                " renamed, removed or retyped on purpose, the connector has to be told: see docs/how-to/connect-salesforce.md.",
            )

    def _present(self, sobject: SObject) -> tuple[str, ...]:
        """The declared fields that the organisation has."""
        return tuple(name for name in sobject.fields if name in self._fields[sobject.name])

    def _currency(self, asked: Asked, sobject: SObject) -> str:
        """The organisation's own currency: the corporate one of several, or the only one."""
        if not self._own_currency:
            several = CURRENCY in self._fields[sobject.name]
            soql = (
                "SELECT IsoCode FROM CurrencyType WHERE IsCorporate = true"
                if several
                else "SELECT DefaultCurrencyIsoCode FROM Organization"
            )
            (row,) = self.api.json("GET", f"{DATA}/queryAll", has="records", params={"q": soql})["records"]
            self._own_currency = str(row["IsoCode" if several else "DefaultCurrencyIsoCode"])
        return self._own_currency

    def _relation(self, read: _Read) -> str:
        """SQL of an object's rows, as a named query."""
        rows = texts(
            read.sobject, _raw(read.sobject), read.fields, self._own.get(read.sobject.name), doubled=read.doubled
        )
        return f"{identifier(read.sobject.name)} as ({rows})"

    # -- requests ------------------------------------------------------------------------------------------------------

    def _at(self, asked: Asked, sobject: SObject) -> None:
        """Name the object in messages."""
        self.api.where = f"{asked.where}, object {sobject.name}"

    def _aggregate(self, select: str, conditions: Sequence[str]) -> str:
        """The one value of an aggregate query, by its alias `total`; 0 for none."""
        soql = _where(select, conditions)
        (row,) = self.api.json("GET", f"{DATA}/queryAll", has="records", params={"q": soql})["records"]
        return row["total"] or "0"

    def _read(
        self, asked: Asked, inbox: Inbox, sobject: SObject, bounds: Sequence[str], ids_only: bool = False
    ) -> _Read:
        """Save the rows of an object.

        Raises:
            EnvironmentNotReady: other rows came than were announced.
        """
        self._at(asked, sobject)
        fields = self._present(sobject) if not ids_only else ("Id",)
        conditions = [*_conditions(asked, sobject), *bounds]
        soql = _where(f"SELECT {', '.join(fields)} FROM {sobject.name}", conditions)
        name = f"{sobject.name}{'-ids' if ids_only else ''}"
        # COUNT() answers with its number as totalSize, without rows.
        many = self.api.json(
            "GET",
            f"{DATA}/queryAll",
            has="totalSize",
            params={"q": _where(f"SELECT COUNT() FROM {sobject.name}", conditions)},
        )
        files, columns = inbox.pages / f"{name}.rows.*.parquet", [Field(field) for field in fields]
        announced = 0
        for attempt in range(1, TRIES + 1):
            try:
                if int(many["totalSize"]) >= BULK_FROM and sobject.name not in self._not_in_bulk:
                    job, announced = self._job(soql)
                    pages = ahead(self._results(job, inbox, name))
                    write_csv_records(pages, columns, inbox.pages, files, self.api.where)
                else:
                    found, announced = self._paged(sobject, inbox, name, soql)
                    write_records(found, "$.records[*]", columns, inbox.pages, files, self.api.where)
                break
            except _NotInBulk:
                self._not_in_bulk.add(sobject.name)
            except _Expired:
                if attempt == TRIES:
                    raise
        ((rows, lines, greatest),) = _facts(
            [(files, sobject.stamp if not ids_only else "")], "count(distinct Id), count(*), max(stamp)", "true"
        )
        if rows != announced:
            raise EnvironmentNotReady(
                f"{announced:,} rows were announced and {rows:,} came.", self.api.where, "Run again; nothing was lost."
            )
        return _Read(sobject, fields, files, rows, greatest, lines > rows)

    def _paged(self, sobject: SObject, inbox: Inbox, name: str, soql: str) -> tuple[list[Path], int]:
        """The pages of a query, and how many rows it has. A page is asked for again when it is none, or another one.

        Raises:
            _Expired: a page is not kept any more.
            StepFailed: the pages lead in a circle.
            EnvironmentNotReady: what comes is no page.
        """
        first = f"/{DATA}/queryAll"
        pages: dict[str, Path] = {}
        asked, url, total = Counter[str](), first, 0
        while url:
            page = pages.setdefault(url, inbox.pages / f"{name}-{len(pages):05d}.json")
            asked[url] += 1
            if asked[url] > TRIES:
                raise StepFailed("The pages of an answer lead in a circle.", self.api.where, _REPORT)
            query: dict[str, Any] = {"params": {"q": soql}} if url == first else {}
            body = self.api.page("GET", url, page, headers={"Sforce-Query-Options": f"batchSize={BATCH}"}, **query)
            head = _head(body, sobject.name)
            if head is None:
                if asked[url] == TRIES:
                    raise EnvironmentNotReady(
                        "What came is no page of rows.",
                        self.api.where,
                        "Is there a proxy that answers instead? Run again.",
                    )
                continue
            url, total = head
        return [*pages.values()], total

    def _job(self, soql: str) -> tuple[str, int]:
        """A job of the Bulk API that is complete, and how many rows it has.

        Raises:
            StepFailed: the job failed.
            EnvironmentNotReady: it did not end in time.
        """
        order = {"operation": "queryAll", "query": soql, "columnDelimiter": "COMMA", "lineEnding": "LF"}
        job = f"/{DATA}/jobs/query/{self.api.json('POST', f'{DATA}/jobs/query', has='id', json=order)['id']}"
        began, pause = time.monotonic(), 0.1
        while (info := self.api.json("GET", job, has="state"))["state"] in ("UploadComplete", "InProgress"):
            if time.monotonic() - began > self.job_seconds:
                raise EnvironmentNotReady(
                    f"A bulk job did not end in {self.job_seconds:,.0f} seconds.", self.api.where, "Run again later."
                )
            time.sleep(pause)
            pause = min(2 * pause, 15.0)
        if info["state"] != "JobComplete":
            said = quoted(info.get("errorMessage", ""))
            raise StepFailed(f"A bulk job ended as {info['state']}: {said}.", self.api.where, "Run again.")
        return job, int(info["numberRecordsProcessed"])

    def _results(self, job: str, inbox: Inbox, name: str) -> Iterator[Path]:
        """The pages of a job's results. One is asked for again when it is none.

        Raises:
            _Expired: they are not kept any more.
            StepFailed: the pages lead in a circle, or are none.
        """
        asked, locator, number = Counter[str](), "", 0
        while locator != "null":
            page = inbox.pages / f"{name}-{number:05d}.csv"
            asked[locator] += 1
            if asked[locator] > TRIES:
                raise StepFailed("The results of a bulk job lead in a circle, or are none.", self.api.where, _REPORT)
            query: dict[str, Any] = {"params": {"locator": locator}} if locator else {}
            answer = self.api.save("GET", f"{job}/results", page, headers={"Accept": "text/csv"}, **query)
            # Without a locator it is not Salesforce that answered.
            if "sforce-locator" in answer:
                locator, number = answer["sforce-locator"], number + 1
                yield page


_Delivery = tuple[list[_Read], str, pa.Table | None, dict[str, Any]]
_REPORT = "Run again; if it stays so, please report it as an issue."


def _raw(sobject: SObject) -> str:
    """The relation of an object's pages."""
    return f"pages_of_{sobject.name}"


def _or(words: Iterable[str]) -> str:
    return " or ".join(sorted(words))


def _soql(instant: dt.datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}.000Z"


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _where(select: str, conditions: Sequence[str]) -> str:
    return select + (f" WHERE {' AND '.join(conditions)}" if conditions else "")


def _conditions(asked: Asked, sobject: SObject, counted_until: dt.datetime | None = None) -> list[str]:
    """Which rows of an object are the stream's; to count them, those that are not deleted and were there by then."""
    conditions = [sobject.where] if sobject.where else []
    if sobject.since:
        conditions.append(f"{sobject.stamp} >= {asked.since}T00:00:00Z")
    if counted_until is not None:
        if "IsDeleted" in sobject.fields:
            conditions.append("IsDeleted = false")
        if sobject.is_dated:
            conditions.append(f"CreatedDate < {_soql(counted_until)}")
    return conditions


def _all_is_due(asked: Asked, sobjects: Iterable[SObject], formulas: bool) -> bool:
    """Whether everything is read: at first, by hand, monthly, and weekly where there are formulas."""
    if asked.last is None or asked.dates or not {s.name for s in sobjects} <= set(asked.before.get("cursors", {})):
        return True
    before, today = asked.last.date(), asked.as_of.date()
    new_month = (before.year, before.month) != (today.year, today.month)
    return new_month or (formulas and before.isocalendar()[:2] != today.isocalendar()[:2])


def _cursors(asked: Asked, reads: Sequence[_Read], until: dt.datetime) -> dict[str, Any]:
    """The greatest stamp that was ever seen of each object, and of all.

    What a whole read shows of later than `until` does not count: beside it lie changes of rows that were read before them.
    """
    found: dict[str, str] = dict(asked.before.get("cursors", {}))
    for read in reads:
        if read.greatest is not None:
            found[read.sobject.name] = max(min(read.greatest, _soql(until)), found.get(read.sobject.name, ""))
    return {"cursor": max(found.values(), default=None), "cursors": found}


def _facts(files: Sequence[tuple[Path, str]], columns: str, condition: str) -> list[tuple[Any, ...]]:
    """Columns of the facts of rows, by (file, its column of the stamp): Id, stamp, and what else the file has."""
    parts = []
    for file, name in files:
        stamp = time_of(identifier(name)) if name else "null"
        parts.append(f"select *, cast({stamp} as varchar) as stamp from read_parquet({literal(file)})")
    with scratch(files[0][0].parent, BULK_MEMORY) as db:
        return db.execute(f"select {columns} from ({' union all by name '.join(parts)}) where {condition}").fetchall()


def _head(body: Any, sobject: str) -> tuple[str, int] | None:
    """(address of the next page, or empty; how many rows the query has) of a page; None where it is no such page."""
    try:
        url, total, rows = body.get("nextRecordsUrl", ""), int(body["totalSize"]), body["records"]
        named = all(row["attributes"]["type"] == sobject for row in rows[:1])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return (url, total) if named and body.get("done") is (not url) else None


def _explained(response: httpx.Response, body: Any) -> OnefunnelError | Again | None:
    """What an error means: a list of `{message, errorCode}`."""
    if response.status_code == 410:  # "API End-of-Life" (REST API Developer Guide)
        return StepFailed(f"Salesforce has switched off version {VERSION} of its API.", do="Upgrade onefunnel.")
    errors = [e for e in body if isinstance(e, Mapping) and "errorCode" in e] if isinstance(body, list) else []
    if not errors or response.status_code == 401:
        return None
    code, message = str(errors[0]["errorCode"]), " ".join(str(errors[0].get("message", "")).split())
    if code == "REQUEST_LIMIT_EXCEEDED":
        return EnvironmentNotReady(
            f"The organisation's API requests of the last 24 hours are used up ({response.headers.get(_LIMIT, 'no figures')}).",
            do="It opens again as old requests fall out of these 24 hours. Run again then (nothing was lost), or see in Setup,"
            " System Overview, who uses them.",
        )
    if code in ("SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT", "UNKNOWN_EXCEPTION"):
        return Again(code)
    if code == "INVALID_QUERY_LOCATOR" or (response.status_code == 404 and "/jobs/query/" in response.url.path):
        return _Expired("Salesforce does not keep the rest of an answer any more.", do="Run again.")
    if code == "INVALIDENTITY":
        return _NotInBulk("The Bulk API does not read this object.")
    missing = code == "INVALID_TYPE" or (response.status_code == 404 and response.url.path.endswith("/describe"))
    if missing or code.startswith("INSUFFICIENT_ACCESS"):
        return StepFailed(
            f"The object {'is not there, or hidden' if missing else 'cannot be read'}: {code}.",
            do="Give the user of the connection Read and View All Records on the object (a permission set). If the organisation"
            " does not use it (splits, territories), take the stream out of pipeline.yml.",
        )
    if code in ("API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED"):
        return ConfigError("the organisation or the user may not use the API", do="give the user API Enabled")
    return StepFailed(f"Salesforce refused: {code}: {quoted(message)}", do=_REPORT)
