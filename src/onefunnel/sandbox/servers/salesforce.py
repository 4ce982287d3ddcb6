"""The company's Salesforce: OAuth, REST query and describe, and Bulk API 2.0 query jobs, over what the log says.

Shapes are those of the REST API Developer Guide (Query, QueryAll, Query More Results, Query Options Header, Limit Info
Header, sObject Describe, Status Codes and Error Responses) and of the Bulk API 2.0 Developer Guide (Create a Query Job,
Get Information About a Query Job, Get Results for a Query Job), v60.0 and later.

Beside `control`:

| request | what it does |
|---|---|
| `GET /_sandbox/settings`, `POST /_sandbox/settings` | reads or changes `Settings`; what is not named stays |
| `POST /_sandbox/hard_delete` with `{"id": "00Q…"}` | the record and its history are gone, from queryAll too |
| `POST /_sandbox/expire` with `{"what": "tokens" or "locators" or "jobs"}` | makes what was handed out invalid |

Not served: writes, SOSL, composite requests, getUpdated and getDeleted, archived activities.
"""

from __future__ import annotations

import base64
import binascii
import csv
import datetime as dt
import gzip
import io
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

from onefunnel.sandbox.business.log import MICRO
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.salesforce_ids import company_key, salesforce_id, with_suffix
from onefunnel.sandbox.servers.control import Clock, new_app
from onefunnel.sandbox.servers.crm_records import CrmState
from onefunnel.sandbox.servers.salesforce_objects import MACHINE, OBJECTS, Cell, Kind, Row, SObject, user_id
from onefunnel.sandbox.servers.soql import Query, SoqlError, parse

# What a client logs in with. It opens nothing but this sandbox.
CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = "sandbox-client", "sandbox-secret", "sandbox-refresh"
_BATCH_DEFAULT, _BATCH_LEAST, _BATCH_MOST = 2_000, 200, 2_000
_BULK_DEFAULT = 50_000
_SOAP: dict[str, str] = {
    "boolean": "xsd:boolean", "date": "xsd:date", "datetime": "xsd:dateTime", "currency": "xsd:double",
    "percent": "xsd:double", "double": "xsd:double", "int": "xsd:int", "id": "tns:ID", "reference": "tns:ID",
    "anyType": "xsd:anyType",
}  # fmt: skip


def connection(base: str) -> dict[str, Any]:
    """The Airflow connection with which a client reaches this server at `base`."""
    return {
        "conn_type": "salesforce",
        "host": base,
        "login": CLIENT_ID,
        "password": CLIENT_SECRET,
        "extra": {"refresh_token": REFRESH_TOKEN},
    }


class Settings(BaseModel):
    """How the server behaves.

    Attributes:
        batch_size: most rows of a page, whatever the client asks for: the documentation promises no batch size.
        token_requests: an access token is good for so many requests.
        daily_requests: the organisation's limit; a new day begins at 0.
        forbidden: objects that are refused with INSUFFICIENT_ACCESS.
        hidden: objects, or fields as `Object.Field`, that do not exist for this user.
        untracked: fields as `Opportunity.Amount` of which no field history is kept.
        bulk_polls: how often a job is asked about before it is complete.
        bulk_outcome: how jobs end.
        bulk_records: most rows of a set of results.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    batch_size: int = Field(default=_BATCH_MOST, ge=1, le=_BATCH_MOST)
    token_requests: int | None = Field(default=None, ge=1)
    daily_requests: int = Field(default=15_000, ge=0)
    forbidden: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    untracked: frozenset[str] = frozenset()
    bulk_polls: int = Field(default=1, ge=0)
    bulk_outcome: Literal["JobComplete", "Failed", "Aborted"] = "JobComplete"
    bulk_records: int = Field(default=_BULK_DEFAULT, ge=1)


class Gone(BaseModel):
    """A record that is deleted for good."""

    model_config = ConfigDict(extra="forbid")

    id: str


class Expiry(BaseModel):
    """What is made invalid."""

    model_config = ConfigDict(extra="forbid")

    what: Literal["tokens", "locators", "jobs"]


class ApiError(Exception):
    """An error in the vendor's shape: a list of `{message, errorCode}`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Job:
    """A query job, with its rows as they were when it was made."""

    job_id: str
    operation: str
    version: str
    query: Query
    rows: list[Row]
    made: dt.datetime
    delimiter: str
    line_ending: str
    polls: int = 0
    state: str = "UploadComplete"


@dataclass
class Org:
    """The organisation: what it holds, who is logged in, what it has handed out."""

    clock: Clock
    settings: Settings = field(default_factory=Settings)
    tokens: dict[str, int] = field(default_factory=dict)
    cursors: dict[str, tuple[Query, list[Row]]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    used: int = 0
    _issued: int = 0
    _state: CrmState | None = None
    _rows: dict[str, list[Row]] = field(default_factory=dict)

    def forget(self) -> None:
        """The clock moved: another state, and the day's requests are counted anew."""
        self._state, self._rows, self.used = None, {}, 0

    def number(self) -> str:
        """The next number of something that is handed out, nine digits."""
        self._issued += 1
        return f"{self._issued:09d}"

    def rows(self, sobject: SObject, deleted: bool) -> list[Row]:
        """The rows of an object, with the deleted ones or without."""
        if self._state is None:
            self._state = CrmState(self.clock.company, self.clock.day)
        if sobject.name not in self._rows:
            self._rows[sobject.name] = sobject.rows(self._state)
        return [
            row
            for row in self._rows[sobject.name]
            if (deleted or not row.get("IsDeleted"))
            and row["Id"] not in self.gone
            and (not sobject.parent or row[sobject.parent] not in self.gone)
            and f"{sobject.parent.removesuffix('Id')}.{row.get('Field')}" not in self.settings.untracked
        ]

    def query(self, text: str, deleted: bool) -> tuple[Query, list[Row]]:
        """Run a query.

        Raises:
            ApiError: it is refused.
        """
        try:
            query = parse(text, OBJECTS, self.settings.hidden)
        except SoqlError as error:
            raise ApiError(400, error.code, error.message) from None
        if query.sobject.name in self.settings.forbidden:
            raise ApiError(403, "INSUFFICIENT_ACCESS", f"insufficient access rights on {query.sobject.name}")
        return query, query.run(self.rows(query.sobject, deleted))

    def log_in(self, form: dict[str, str], header: str) -> str:
        """A new access token.

        Raises:
            ApiError: the credentials are wrong; `code` is OAuth's word.
        """
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        if header.startswith("Basic "):
            try:
                client, _, secret = base64.b64decode(header[6:], validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise ApiError(400, "invalid_client", "invalid client credentials") from None
        kind = form.get("grant_type")
        if kind not in ("client_credentials", "refresh_token"):
            raise ApiError(400, "unsupported_grant_type", "grant type not supported")
        if client != CLIENT_ID:
            raise ApiError(400, "invalid_client_id", "client identifier invalid")
        if secret != CLIENT_SECRET:
            raise ApiError(400, "invalid_client", "invalid client credentials")
        if kind == "refresh_token" and form.get("refresh_token") != REFRESH_TOKEN:
            raise ApiError(400, "invalid_grant", "expired access/refresh token")
        token = f"{salesforce_id('Organization', '000000001')[:15]}!AQ.{self.number()}"
        self.tokens[token] = 0
        return token

    def admit(self, authorization: str) -> None:
        """Count a request.

        Raises:
            ApiError: nobody is logged in, or the day's requests are used up.
        """
        kind, _, token = authorization.partition(" ")
        most = self.settings.token_requests
        if kind not in ("Bearer", "OAuth") or token not in self.tokens:
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if most is not None and self.tokens[token] >= most:
            del self.tokens[token]
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        self.tokens[token] += 1
        if self.used >= self.settings.daily_requests:
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        self.used += 1


def make_app(company: Company, day: int) -> FastAPI:
    """The company's Salesforce at the end of a day.

    Raises:
        ValueError: the company has no business.
    """
    clock = Clock(company, day)
    org = Org(clock)
    CrmState(company, day)  # refuses a company that only has costs
    clock.moved.append(org.forget)
    app = new_app("Salesforce", clock, {401: _errors("INVALID_SESSION_ID", "Session expired or invalid")})
    _add_control(app, org)
    _add_rest(app, org)
    _add_bulk(app, org)

    @app.exception_handler(ApiError)
    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)  # noqa: S101
        if request.url.path.endswith("/oauth2/token"):
            return JSONResponse({"error": error.code, "error_description": error.message}, error.status)
        return _limited(org, JSONResponse(_errors(error.code, error.message), error.status))

    @app.exception_handler(404)
    async def nowhere(request: Request, error: Exception) -> Response:
        return JSONResponse(_errors("NOT_FOUND", "The requested resource does not exist"), 404)

    return app


def _errors(code: str, message: str) -> list[dict[str, str]]:
    return [{"message": message, "errorCode": code}]


def _limited(org: Org, response: Response) -> Response:
    """With how much of the day's limit is used ("Limit Info Header")."""
    response.headers["Sforce-Limit-Info"] = f"api-usage={org.used}/{org.settings.daily_requests}"
    return response


def _add_control(app: FastAPI, org: Org) -> None:
    @app.get("/_sandbox/settings")
    async def settings() -> Any:
        return json.loads(org.settings.model_dump_json())

    @app.post("/_sandbox/settings")
    async def change(request: Request) -> Any:
        try:
            org.settings = Settings.model_validate(org.settings.model_dump() | await request.json())
        except ValidationError as error:
            return JSONResponse({"errors": json.loads(error.json(include_context=False))}, 422)
        return json.loads(org.settings.model_dump_json())

    @app.post("/_sandbox/hard_delete")
    async def hard_delete(order: Gone) -> dict[str, str]:
        org.gone.add(order.id if len(order.id) == 18 else with_suffix(order.id))
        return {"id": order.id}

    @app.post("/_sandbox/expire")
    async def expire(order: Expiry) -> dict[str, str]:
        handed_out: dict[str, dict[str, Any]] = {"tokens": org.tokens, "locators": org.cursors, "jobs": org.jobs}
        handed_out[order.what].clear()
        return {"what": order.what}


def _add_rest(app: FastAPI, org: Org) -> None:
    @app.post("/services/oauth2/token")
    async def token(request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        access = org.log_in(form, request.headers.get("authorization", ""))
        base = str(request.base_url).rstrip("/")
        organisation, user = salesforce_id("Organization", "000000001"), user_id(MACHINE)
        return JSONResponse(
            {
                "access_token": access,
                "signature": base64.b64encode(access.encode()).decode(),
                "scope": "api",
                "instance_url": base,
                "id": f"{base}/id/{organisation}/{user}",
                "token_type": "Bearer",
                "issued_at": str(round(org.clock.now.timestamp() * 1_000)),
            }
        )

    @app.get("/services/data")
    async def versions() -> Any:
        return [{"label": "Spring '24", "url": "/services/data/v60.0", "version": "60.0"}]

    def page(query: Query, rows: list[Row], cursor: str, start: int, size: int, version: str) -> Response:
        found = rows[start : start + size]
        records = [_record(query, row, version) for row in found]
        answer: dict[str, Any] = {"totalSize": len(rows), "done": start + len(found) >= len(rows), "records": records}
        if not answer["done"]:
            cursor = cursor or salesforce_id("QueryLocator", org.number())
            org.cursors[cursor] = (query, rows)
            answer["nextRecordsUrl"] = f"/services/data/{version}/query/{cursor}-{start + size}"
        return _limited(org, JSONResponse(answer))

    async def run(request: Request, version: str, deleted: bool) -> Response:
        org.admit(request.headers.get("authorization", ""))
        if "q" not in request.query_params:
            raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
        query, rows = org.query(request.query_params["q"], deleted)
        if query.counts_only:
            return _limited(org, JSONResponse({"totalSize": len(rows), "done": True, "records": []}))
        size = _batch_size(org, request)
        if query.aggregates and len(rows) > _BATCH_MOST:
            raise ApiError(
                400,
                "EXCEEDED_ID_LIMIT",
                "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch",
            )
        return page(query, rows, "", 0, _BATCH_MOST if query.aggregates else size, version)

    async def more(request: Request, version: str, locator: str) -> Response:
        org.admit(request.headers.get("authorization", ""))
        cursor, _, start = locator.partition("-")
        if cursor not in org.cursors or not start.isdecimal():
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        query, rows = org.cursors[cursor]
        return page(query, rows, cursor, int(start), _batch_size(org, request), version)

    # "/query/?q=" is how the documentation's examples write it, "/query?q=" how most clients do.
    for slash in ("", "/"):

        @app.get(f"/services/data/{{version}}/query{slash}")
        async def query(request: Request, version: str) -> Response:
            return await run(request, version, deleted=False)

        @app.get(f"/services/data/{{version}}/queryAll{slash}")
        async def query_all(request: Request, version: str) -> Response:
            return await run(request, version, deleted=True)

    for name in ("query", "queryAll"):
        app.get(f"/services/data/{{version}}/{name}/{{locator}}")(more)

    @app.get("/services/data/{version}/limits")
    async def limits(request: Request, version: str) -> Response:
        org.admit(request.headers.get("authorization", ""))
        most = org.settings.daily_requests
        return _limited(org, JSONResponse({"DailyApiRequests": {"Max": most, "Remaining": max(0, most - org.used)}}))

    @app.get("/services/data/{version}/sobjects/{name}/describe")
    async def describe(request: Request, version: str, name: str) -> Response:
        org.admit(request.headers.get("authorization", ""))
        if name not in OBJECTS or name in org.settings.hidden:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        if name in org.settings.forbidden:
            raise ApiError(403, "INSUFFICIENT_ACCESS", f"insufficient access rights on {name}")
        return _limited(org, JSONResponse(_described(OBJECTS[name], version, org.settings.hidden)))


def _batch_size(org: Org, request: Request) -> int:
    """What the client asks for, 200 to 2,000, and never more than the server gives ("Query Options Header")."""
    match = re.search(r"batchSize=(\d+)", request.headers.get("sforce-query-options", ""))
    asked = int(match[1]) if match else _BATCH_DEFAULT
    return min(max(_BATCH_LEAST, min(asked, _BATCH_MOST)), org.settings.batch_size)


def _record(query: Query, row: Row, version: str) -> dict[str, Any]:
    if query.aggregates:
        values = {s.alias: _json(_kind_of(query, n), row[s.alias]) for n, s in enumerate(query.selected)}
        return {"attributes": {"type": "AggregateResult"}} | values
    url = f"/services/data/{version}/sobjects/{query.sobject.name}/{row['Id']}"
    fields = [s.field for s in query.selected if s.field is not None]
    return {"attributes": {"type": query.sobject.name, "url": url}} | {
        f.name: _json(f.kind, row[f.name]) for f in fields
    }


def _kind_of(query: Query, n: int) -> Kind:
    selected = query.selected[n]
    if selected.function.startswith("COUNT") or selected.field is None:
        return "int"
    return selected.field.kind


def _json(kind: Kind, value: Cell) -> Cell:
    """A value as REST writes it: times `2026-03-31T21:59:59.000+0000`, days ISO, amounts as numbers."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, dt.date):
        return value.isoformat()
    if kind == "datetime":
        return _time(int(value), "+0000")
    return int(value) if kind == "int" else int(value) / MICRO


def _time(second: int, zone: str) -> str:
    return f"{dt.datetime.fromtimestamp(second, dt.UTC):%Y-%m-%dT%H:%M:%S}.000{zone}"


def _described(sobject: SObject, version: str, hidden: frozenset[str]) -> dict[str, Any]:
    """The properties that a reader needs ("sObject Describe")."""
    path = f"/services/data/{version}/sobjects/{sobject.name}"
    return {
        "name": sobject.name,
        "label": sobject.name,
        "labelPlural": f"{sobject.name}s",
        "keyPrefix": sobject.key_prefix,
        "custom": False,
        "queryable": True,
        "retrieveable": True,
        "replicateable": sobject.deletes,
        "createable": False,
        "updateable": False,
        "deletable": False,
        "fields": [
            {
                "name": f.name,
                "label": f.name,
                "type": f.kind,
                "soapType": _SOAP.get(f.kind, "xsd:string"),
                "nillable": f.kind != "boolean" and f.name not in ("Id", "CreatedDate", "SystemModstamp"),
                "calculated": f.formula,
                "custom": f.name.endswith("__c"),
                "filterable": f.kind != "anyType",
                "sortable": f.kind != "anyType",
                "groupable": f.kind not in ("anyType", "currency", "percent", "double", "datetime"),
                "length": 18 if f.kind in ("id", "reference") else 255 if f.kind in ("string", "picklist") else 0,
                "referenceTo": f.refers.split(",") if f.refers else [],
                "relationshipName": f.name.removesuffix("Id") if f.kind == "reference" else None,
            }
            for f in sobject.all_fields.values()
            if f"{sobject.name}.{f.name}" not in hidden
        ],
        "urls": {"sobject": path, "describe": f"{path}/describe", "rowTemplate": f"{path}/{{ID}}"},
    }


def _add_bulk(app: FastAPI, org: Org) -> None:
    jobs = "/services/data/{version}/jobs/query"

    def found(version: str, job_id: str, request: Request) -> Job:
        org.admit(request.headers.get("authorization", ""))
        job = org.jobs.get(job_id)
        if job is None:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        if job.version != version:
            raise ApiError(409, "API_ERROR", f"the job was created with API version {job.version[1:]}")
        return job

    @app.post(jobs)
    async def create(request: Request, version: str) -> Response:
        org.admit(request.headers.get("authorization", ""))
        order = await request.json()
        if order.get("operation") not in ("query", "queryAll") or not isinstance(order.get("query"), str):
            raise ApiError(400, "INVALIDJOB", "operation must be query or queryAll, and query a SOQL query")
        if order.get("columnDelimiter", "COMMA") not in _DELIMITERS or order.get("lineEnding", "LF") not in _ENDINGS:
            raise ApiError(400, "INVALIDJOB", "unknown columnDelimiter or lineEnding")
        query, rows = org.query(order["query"], deleted=order["operation"] == "queryAll")
        if query.aggregates or query.offset:
            # "Understanding Bulk API 2.0 Query" lists what is not supported; the message is the sandbox's own.
            raise ApiError(400, "API_ERROR", "GROUP BY, OFFSET and aggregate functions are not supported")
        job = Job(
            salesforce_id("QueryJob", org.number()),
            order["operation"],
            version,
            query,
            rows,
            org.clock.now,
            order.get("columnDelimiter", "COMMA"),
            order.get("lineEnding", "LF"),
        )
        org.jobs[job.job_id] = job
        return _limited(org, JSONResponse(_job(job)))

    @app.get(f"{jobs}/{{job_id}}")
    async def info(request: Request, version: str, job_id: str) -> Response:
        job = found(version, job_id, request)
        if job.state in ("UploadComplete", "InProgress"):
            job.state = org.settings.bulk_outcome if job.polls >= org.settings.bulk_polls else "InProgress"
            job.polls += 1
        done = len(job.rows) if job.state == "JobComplete" else 0
        answer = _job(job) | {
            "jobType": "V2Query",
            "numberRecordsProcessed": done,
            "retries": 0,
            "totalProcessingTime": 100 * job.polls,
            "isPkChunkingSupported": True,
        }
        if job.state == "Failed":
            answer["errorMessage"] = "QUERY_TIMEOUT: Your query request was running for too long."
        return _limited(org, JSONResponse(answer))

    @app.patch(f"{jobs}/{{job_id}}")
    async def abort(request: Request, version: str, job_id: str) -> Response:
        job = found(version, job_id, request)
        job.state = "Aborted"
        return _limited(org, JSONResponse(_job(job)))

    @app.delete(f"{jobs}/{{job_id}}")
    async def delete(request: Request, version: str, job_id: str) -> Response:
        found(version, job_id, request)
        del org.jobs[job_id]
        return _limited(org, Response(status_code=204))

    @app.get(f"{jobs}/{{job_id}}/results")
    async def results(
        request: Request, version: str, job_id: str, locator: str = "", maxRecords: int = _BULK_DEFAULT
    ) -> Response:
        job = found(version, job_id, request)
        if job.state != "JobComplete":
            return _limited(org, Response(status_code=204))  # "Response For an Unsuccessful Request"
        start = _place(locator)
        size = max(1, min(maxRecords, org.settings.bulk_records))
        rows = job.rows[start : start + size]
        more = start + size < len(job.rows)
        headers = {
            "Content-Type": "text/csv",
            "Sforce-NumberOfRecords": str(len(rows)),
            "Sforce-Locator": _locator(start + size) if more else "null",
        }
        body = _csv(job, rows)
        if "gzip" in request.headers.get("accept-encoding", ""):
            # "the response body is always compressed" ("Understanding Bulk API 2.0 Query")
            body, headers["Content-Encoding"] = gzip.compress(body, mtime=0), "gzip"
        return _limited(org, Response(body, headers=headers))


_DELIMITERS = {"COMMA": ",", "TAB": "\t", "PIPE": "|", "SEMICOLON": ";", "CARET": "^", "BACKQUOTE": "`"}
_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}


def _job(job: Job) -> dict[str, Any]:
    made = f"{job.made:%Y-%m-%dT%H:%M:%S}.000+0000"
    return {
        "id": job.job_id,
        "operation": job.operation,
        "object": job.query.sobject.name,
        "createdById": user_id(MACHINE),
        "createdDate": made,
        "systemModstamp": made,
        "state": job.state,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(job.version[1:]),
        "lineEnding": job.line_ending,
        "columnDelimiter": job.delimiter,
    }


def _locator(place: int) -> str:
    """A place in the results, as in the documentation's example: MTAwMDA is 10000."""
    return base64.b64encode(str(place).encode()).decode().rstrip("=")


def _place(locator: str) -> int:
    if not locator:
        return 0
    try:
        return int(base64.b64decode(locator + "=" * (-len(locator) % 4), validate=True))
    except (ValueError, binascii.Error):
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator") from None


def _csv(job: Job, rows: list[Row]) -> bytes:
    """A header and every value in quotes; nothing is written for no value, and times end in Z."""
    text = io.StringIO(newline="")
    writer = csv.writer(
        text, delimiter=_DELIMITERS[job.delimiter], lineterminator=_ENDINGS[job.line_ending], quoting=csv.QUOTE_ALL
    )
    fields = [s.field for s in job.query.selected if s.field is not None]
    writer.writerow([f.name for f in fields])
    for row in rows:
        writer.writerow([_in_csv(f.kind, row[f.name]) for f in fields])
    return text.getvalue().encode()


def _in_csv(kind: Kind, value: Cell) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind == "datetime" and isinstance(value, int):
        return _time(value, "Z")
    written = _json(kind, value)
    return "" if written is None else str(written)


__all__ = ["CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN", "company_key", "connection", "make_app", "salesforce_id"]
