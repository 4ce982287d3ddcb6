"""The company's search ads once more, as Microsoft Advertising tells them: an asynchronous report, a zipped CSV.

Sources, pages of Microsoft's documentation: *SubmitGenerateReport* and *PollGenerateReport* (REST: `GenerateReport/
Submit`, `GenerateReport/Poll`), *Request and Download a Report*, *Reporting Service Model* (file schema, header, footer,
format version, books), *ReportRequest* (ReturnOnlyCompleteData), *CampaignPerformanceReportColumn*, *Reporting Error
Codes*, *Handle Service Errors and Exceptions* (AdApiFaultDetail, ApiFaultDetail), *SearchAccounts*, and *Authentication
with OAuth*.

A report is a zip with one CSV: lines about the report, a blank line, column names, rows, a blank line, a copyright. It
is UTF-8 with a byte order mark. `Conversions` are whole, `ConversionsQualified` are not; leads are in the `All` columns
only. `Spend` has as many decimals as the company's amount needs, two at least.

Further endpoint outside the vendor's path: `POST /_sandbox/books {"open_from": "2026-03-31"}` keeps the books open from
that day on (null closes them): of an open day a report has only half of what was spent, and says so in one line.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.events import Figures
from onefunnel.sandbox.servers.ad_records import AdAccount, AdCampaign, AdRecords, bearer, decimal_text, new_ads_app
from onefunnel.sandbox.vendor_ids import SEARCH_ACCOUNTS
from onefunnel.sandbox.world import SEARCH

TOKEN_SECONDS = 3_600
CUSTOMER_ID = "251000001"
LOOKS_UNTIL_READY = 2
# The company does not exist, so none of these opens anything.
DEVELOPER_TOKEN = "BBDsandbox"  # noqa: S105
CLIENT_ID, REFRESH_TOKEN = "sandbox-client", "M.sandbox-refresh"

_ZONES = {
    "Europe/Berlin": "AmsterdamBerlinBernRomeStockholmVienna",
    "Europe/London": "GreenwichMeanTimeDublinEdinburghLisbonLondon",
    "America/New_York": "EasternTimeUSCanada",
}
_DEFAULT_ZONE = "PacificTimeUSCanadaTijuana"
_ZONE_TEXTS = {
    _ZONES["Europe/Berlin"]: "(GMT+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna",
    _ZONES["Europe/London"]: "(GMT) Greenwich Mean Time : Dublin, Edinburgh, Lisbon, London",
    _ZONES["America/New_York"]: "(GMT-05:00) Eastern Time (US & Canada)",
    _DEFAULT_ZONE: "(GMT-08:00) Pacific Time (US & Canada); Tijuana",
}
_CAMPAIGN_TYPES = {"SEARCH": "Search & content", "SHOPPING": "Shopping", "PARTNERS": "Audience"}
_ACCOUNT_COLUMNS = (
    "TimePeriod",
    "AccountId",
    "AccountName",
    "AccountNumber",
    "CurrencyCode",
    "Impressions",
    "Clicks",
    "Spend",
    "Conversions",
    "ConversionsQualified",
    "Revenue",
    "AllConversions",
    "AllConversionsQualified",
    "AllRevenue",
)
_CAMPAIGN_COLUMNS = (*_ACCOUNT_COLUMNS, "CampaignId", "CampaignName", "CampaignStatus", "CampaignType")
_REPORTS = {
    "AccountPerformanceReportRequest": _ACCOUNT_COLUMNS,
    "CampaignPerformanceReportRequest": _CAMPAIGN_COLUMNS,
}
_STATISTICS = frozenset(_ACCOUNT_COLUMNS[5:])

Flat = dict[str, Any]


class _Fault(Exception):
    """A fault of the service: an authentication error is an AdApiFaultDetail, the others are an ApiFaultDetail."""

    def __init__(self, code: int, symbol: str, message: str, http: int = 400) -> None:
        super().__init__(message)
        self.code, self.symbol, self.http = code, symbol, http

    def answer(self, tracking_id: str) -> JSONResponse:
        error = {"Code": self.code, "Details": None, "ErrorCode": self.symbol, "Message": str(self)}
        kind: Flat = (
            {"Type": "AdApiFaultDetail", "Errors": [error]}
            if self.http == 401
            else {"Type": "ApiFaultDetail", "BatchErrors": [], "OperationErrors": [error]}
        )
        return JSONResponse({"TrackingId": tracking_id, **kind}, self.http, headers={"TrackingId": tracking_id})


@dataclass
class _Report:
    """A report that was asked for; `content` is the zip, None when it has no row."""

    name: str
    content: bytes | None
    looks: int = 0


def make_app(company: Company, day: int) -> FastAPI:
    """Reporting and account search of Microsoft Advertising, and Microsoft's token endpoint, on a company day."""
    there = SEARCH_ACCOUNTS["microsoft_ads"] if company.served else None
    records = AdRecords(company, SEARCH, day, tokens=set(), lasting=False, accounts=there)
    app = new_ads_app("Microsoft Advertising API", records)
    reports: dict[str, _Report] = {}
    open_from: list[dt.date] = []
    calls = 0

    def tracking_id() -> str:
        nonlocal calls
        calls += 1
        return str(uuid.UUID(int=calls))

    @app.post("/_sandbox/books")
    async def books(request: Request) -> JSONResponse:
        wanted = (await request.json()).get("open_from")
        open_from[:] = [dt.date.fromisoformat(wanted)] if wanted else []
        return JSONResponse({"open_from": wanted})

    @app.post("/{tenant}/oauth2/v2.0/token")
    async def token(tenant: str, request: Request) -> JSONResponse:
        form = await request.form()
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != REFRESH_TOKEN:
            return _no_grant(70000, "The provided value for the 'refresh_token' parameter is not valid.")
        if form.get("client_id") != CLIENT_ID:
            return _no_grant(700016, "The application was not found in the directory.", "unauthorized_client")
        return JSONResponse(
            {
                "token_type": "Bearer",
                "scope": "https://ads.microsoft.com/msads.manage",
                "expires_in": TOKEN_SECONDS,
                "access_token": records.new_token("EwBsandbox"),
                "refresh_token": REFRESH_TOKEN,
            }
        )

    @app.post("/CustomerManagement/v13/Accounts/Search")
    async def search_accounts(request: Request) -> JSONResponse:
        try:
            _authenticate(request, records)
        except _Fault as fault:
            return fault.answer(tracking_id())
        page = (await request.json()).get("PageInfo") or {}
        index, size = int(page.get("Index", 0)), int(page.get("Size", 100))
        found = [_account_node(account) for account in records.accounts()]
        return JSONResponse({"Accounts": found[index * size : (index + 1) * size]})

    @app.post("/Reporting/v13/GenerateReport/Submit")
    async def submit(request: Request) -> JSONResponse:
        try:
            _authenticate(request, records)
            wanted = (await request.json()).get("ReportRequest")
            report = _generate(records, wanted, open_from[0] if open_from else None)
        except _Fault as fault:
            return fault.answer(tracking_id())
        number = f"300{len(reports) + 1:08d}"
        reports[number] = report
        return JSONResponse({"ReportRequestId": number})

    @app.post("/Reporting/v13/GenerateReport/Poll")
    async def poll(request: Request) -> JSONResponse:
        try:
            _authenticate(request, records)
            number = str((await request.json()).get("ReportRequestId"))
            if number not in reports:
                message = "The report identifier is not valid."
                raise _Fault(2100, "ReportingServiceInvalidReportId", message)
        except _Fault as fault:
            return fault.answer(tracking_id())
        report = reports[number]
        report.looks += 1
        ready = report.looks >= LOOKS_UNTIL_READY
        url = str(request.url.replace(path=f"/download/{number}.zip", query="sig=sandbox"))
        status = {
            "ReportDownloadUrl": url if ready and report.content is not None else None,
            "Status": "Success" if ready else "Pending",
        }
        return JSONResponse({"ReportRequestStatus": status})

    @app.get("/download/{number}.zip")
    async def download(number: str, sig: str = "") -> Response:
        report = reports.get(number)
        if report is None or report.content is None or report.looks < LOOKS_UNTIL_READY or sig != "sandbox":
            return Response("<Error><Code>AuthenticationFailed</Code></Error>", 403, media_type="application/xml")
        return Response(report.content, media_type="application/x-zip-compressed")

    return app


def _no_grant(code: int, message: str, error: str = "invalid_grant") -> JSONResponse:
    body = {"error": error, "error_description": f"AADSTS{code}: {message}", "error_codes": [code]}
    return JSONResponse(body, 400)


def _authenticate(request: Request, records: AdRecords) -> None:
    token = bearer(request) or request.headers.get("authenticationtoken", "")
    if token not in records.tokens:
        code, symbol = (109, "AuthenticationTokenExpired") if token else (105, "InvalidCredentials")
        raise _Fault(code, symbol, "Authentication failed. Either supplied credentials are invalid or expired.", 401)
    if request.headers.get("developertoken") != DEVELOPER_TOKEN:
        raise _Fault(105, "InvalidCredentials", "Authentication failed: the developer token is not valid.", 401)


def _generate(records: AdRecords, wanted: Flat | None, open_from: dt.date | None) -> _Report:
    """The report that is asked for, as known at this moment.

    Raises:
        _Fault: one of the *Reporting Error Codes*.
    """
    if not isinstance(wanted, dict):
        raise _Fault(2001, "ReportingServiceNullReportRequest", "The report request is null.")
    columns = tuple(wanted.get("Columns") or ())
    allowed = _REPORTS.get(wanted.get("Type", ""))
    if allowed is None:
        raise _Fault(2002, "ReportingServiceUnknownReportType", "The report request type is not valid.")
    by_day = wanted.get("Aggregation", "Summary") == "Daily"
    _check_columns(columns, allowed, by_day=by_day)
    if not by_day and wanted.get("Aggregation", "Summary") != "Summary":
        raise _Fault(2007, "ReportingServiceInvalidReportAggregation", "The report aggregation is not valid.")
    accounts = _scope(records, wanted.get("Scope") or {})
    first, last = _time(records, wanted.get("Time") or {})
    incomplete = last > records.last_day() or (open_from is not None and last >= open_from)
    if incomplete and wanted.get("ReturnOnlyCompleteData"):
        if last > records.last_day():
            message = "Complete data cannot be returned for a report time period that includes today."
            raise _Fault(2005, "ReportingServiceInvalidDataAvailabilityAndTimePeriodCombination", message)
        message = (
            "You requested a report with complete data for all included campaigns. Currently only partial data is "
            "available in the respective time zone of one or more campaigns. Please try again later or submit a "
            "report request for partial data."
        )
        raise _Fault(2004, "ReportingServiceNoCompleteDataAvaliable", message)
    lines = list(_lines(records, accounts, columns, (first, last), by_day=by_day, wanted=wanted, open_from=open_from))
    name = wanted.get("ReportName") or f"{wanted['Type'].removesuffix('Request')}-{records.as_of():%Y-%m-%dT%H:%M:%S}"
    text = _file(records, wanted, name, columns, lines, (first, last), incomplete=incomplete)
    return _Report(name, _zipped(text, records.as_of()) if lines else None)


def _check_columns(columns: tuple[str, ...], allowed: tuple[str, ...], *, by_day: bool) -> None:
    if not columns:
        raise _Fault(2014, "ReportingServiceNullColumns", "The list of columns cannot be null or empty.")
    if set(columns) - set(allowed):
        raise _Fault(100, "NullRequest", f"The request does not read: {sorted(set(columns) - set(allowed))}.")
    if len(set(columns)) < len(columns):
        raise _Fault(2016, "ReportingServiceDuplicateColumns", "The list of columns contains duplicates.")
    if by_day and "TimePeriod" not in columns:
        message = "The list of columns must contain all required columns."
        raise _Fault(2015, "ReportingServiceRequiredColumnsNotSelected", message)
    if not by_day and "TimePeriod" in columns:
        message = "The TimePeriod column cannot be specified in a report that has a summary aggregation."
        raise _Fault(2034, "ReportingServiceInvalidTimePeriodColumnForSummaryReport", message)
    if not set(columns) & _STATISTICS:
        message = "The report request does not specify at least one measurement column."
        raise _Fault(2017, "ReportingServiceNoMeasureSelected", message)


def _scope(records: AdRecords, scope: Flat) -> list[AdAccount]:
    wanted = {str(number) for number in scope.get("AccountIds") or ()}
    if not wanted:
        message = "The account through campaign report scope contains one or more values that are not valid."
        raise _Fault(2027, "ReportingServiceInvalidAccountThruCampaignReportScope", message)
    found = [account for account in records.accounts() if account.vendor_id in wanted]
    if len(found) < len(wanted):
        message = (
            "The specified report request contains at least one account that you do not have privileges to access."
        )
        raise _Fault(2003, "ReportingServiceAccountNotAuthorized", message)
    return found


def _time(records: AdRecords, time: Flat) -> tuple[dt.date, dt.date]:
    """The days asked for; `Yesterday` is the last one that is over in every zone."""
    last = records.last_day()
    predefined = time.get("PredefinedTime")
    if predefined:
        days = {"Today": (1, 1), "Yesterday": (0, 0), "LastSevenDays": (-6, 0)}
        if predefined not in days:
            raise _Fault(2008, "ReportingServiceInvalidReportTimeSelection", f"Not a report time here: {predefined}.")
        start, end = days[predefined]
        return last + dt.timedelta(days=start), last + dt.timedelta(days=end)
    first = _date(time.get("CustomDateRangeStart"), 2009, "ReportingServiceInvalidCustomDateRangeStart")
    end_day = _date(time.get("CustomDateRangeEnd"), 2010, "ReportingServiceInvalidCustomDateRangeEnd")
    if end_day > last + dt.timedelta(days=1):
        raise _Fault(2010, "ReportingServiceInvalidCustomDateRangeEnd", "The end date is later than today.")
    if end_day < first:
        raise _Fault(2011, "ReportingServiceEndDateBeforeStartDate", "The end date is before the start date.")
    return first, end_day


def _date(value: Any, code: int, symbol: str) -> dt.date:
    try:
        return dt.date(int(value["Year"]), int(value["Month"]), int(value["Day"]))
    except (KeyError, TypeError, ValueError):
        raise _Fault(code, symbol, "The date of the custom date range is not valid.") from None


def _lines(
    records: AdRecords,
    accounts: list[AdAccount],
    columns: tuple[str, ...],
    days: tuple[dt.date, dt.date],
    *,
    by_day: bool,
    wanted: Flat,
    open_from: dt.date | None,
) -> Iterator[tuple[str, ...]]:
    """The rows: figures summed over everything that no column tells apart."""
    sums: dict[tuple[str, ...], list[int]] = {}
    attributes = tuple(column for column in columns if column not in _STATISTICS)
    for account in accounts:
        for row in records.rows(account, *days):
            told = _attributes(row.campaign) | {"TimePeriod": row.day.isoformat() if by_day else ""}
            total = sums.setdefault(tuple(told[column] for column in attributes), [0] * 7)
            half = open_from is not None and row.day >= open_from
            for place, amount in enumerate((*row.figures, row.figures.conversions_micro // 1_000_000)):
                total[place] += _half(amount or 0) if half else amount or 0
    grouped = wanted.get("FormatVersion", "1.0") != "2.0"
    for key, (*figures, conversions) in sums.items():
        told = dict(zip(attributes, key, strict=True)) | _statistics(Figures(*figures), conversions, grouped=grouped)
        yield tuple(told[column] for column in columns)


def _half(amount: int) -> int:
    """What was processed of an amount while the books are open, without the last digits."""
    return amount // 2_000 * 1_000 if abs(amount) >= 2_000 else amount // 2


def _statistics(figures: Figures, conversions: int, *, grouped: bool) -> dict[str, str]:
    revenue = decimal_text(figures.value_micro, 2)
    if grouped:  # format version 1.0 groups the thousands of revenue
        whole, _, cents = revenue.partition(".")
        revenue = f"{int(whole):,}.{cents}"
    leads = figures.leads or 0
    return {
        "Impressions": str(figures.impressions),
        "Clicks": str(figures.clicks),
        "Spend": decimal_text(figures.spend_micro, 2),
        "Conversions": str(conversions),
        "ConversionsQualified": decimal_text(figures.conversions_micro, 2),
        "Revenue": revenue,
        "AllConversions": str(conversions + leads),
        "AllConversionsQualified": decimal_text(figures.conversions_micro + leads * 1_000_000, 2),
        "AllRevenue": revenue,
    }


def _attributes(campaign: AdCampaign) -> dict[str, str]:
    account = campaign.account
    return {
        "AccountId": account.vendor_id,
        "AccountName": account.account.name,
        "AccountNumber": _number(account),
        "CurrencyCode": account.account.currency,
        "CampaignId": campaign.vendor_id,
        "CampaignName": campaign.name,
        "CampaignStatus": "Active",
        "CampaignType": _CAMPAIGN_TYPES[campaign.campaign.network],
    }


def _file(
    records: AdRecords,
    wanted: Flat,
    name: str,
    columns: tuple[str, ...],
    lines: list[tuple[str, ...]],
    days: tuple[dt.date, dt.date],
    *,
    incomplete: bool,
) -> str:
    """The CSV (*Reporting Service Model*, Report File Schema)."""
    period = ",".join(f"{day.month}/{day.day}/{day.year}" for day in dict.fromkeys(days))
    done = records.as_of()
    completed = f"{done.month}/{done.day}/{done.year} {done.hour % 12 or 12}:{done:%M:%S %p} (GMT)"
    zone = (wanted.get("Time") or {}).get("ReportTimeZone") or _DEFAULT_ZONE
    header = (
        f"Report Name: {name}",
        f"Report Time: {period}",
        f"Time Zone: {_ZONE_TEXTS.get(zone, zone)}",
        f"Last Completed Available Day: {completed}",
        f"Last Completed Available Hour: {completed}",
        f"Report Aggregation: {wanted.get('Aggregation', 'Summary')}",
        "Report Filter: ",
        f"Potential Incomplete Data: {'true' if incomplete else 'false'}",
        f"Rows: {len(lines)}",
    )
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    if not wanted.get("ExcludeReportHeader"):
        writer.writerows([line] for line in header)
        out.write("\r\n")
    if not wanted.get("ExcludeColumnHeaders"):
        writer.writerow(columns)
    writer.writerows(lines)
    if not wanted.get("ExcludeReportFooter"):
        out.write("\r\n")
        writer.writerow([f"@{done.year} Microsoft Corporation. All rights reserved. "])
    return out.getvalue()


def _zipped(text: str, made_at: dt.datetime) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("report.csv", made_at.timetuple()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, text.encode("utf-8-sig"))
    return out.getvalue()


def _number(account: AdAccount) -> str:
    return f"F119{account.vendor_id[-4:]}"


def _account_node(account: AdAccount) -> Flat:
    return {
        "Id": int(account.vendor_id),
        "Name": account.account.name,
        "Number": _number(account),
        "CurrencyCode": account.account.currency,
        "TimeZone": _ZONES[account.account.time_zone],
        "ParentCustomerId": int(CUSTOMER_ID),
        "AccountLifeCycleStatus": "Active",
        "AccountFinancialStatus": "ClearFinancialStatus",
    }
