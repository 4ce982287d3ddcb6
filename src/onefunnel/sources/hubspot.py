"""HubSpot, by its CRM API: contacts, companies, deals with lines and splits, products, activities, owners, histories, associations.

Sources, pages of HubSpot's developer documentation: *CRM API, objects* (list, batch read, archived records), *Search the CRM*
(at most 10,000 results of a query, 200 of a page, five searches a second; new records are found after a moment), *Associations v4* (batch
read of at most 1,000 records, `paging` of a record with many), *Properties*, *Owners*, *Account information*, *API usage
guidelines* (`policyName` of a 429; the day's requests begin anew at midnight of the portal's time zone), *Manage tokens*;
the changelog entry on association limits. A batch with property histories has at most 50 records, as the API's own error
says. Merged records are named by the record that is left (`hs_merged_object_ids`), which may be a new one (changelog, *Deals
now support merging*).

The first fetch and the first of each ISO week list every record, so what the search does not show is found then: hard
deletes, associations that moved. The fetches between read what changed since the greatest stamp that was seen.
"""

# ruff: noqa: S608  (SQL over our own scratch relations, of constants and property names that HubSpot has confirmed)

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from onefunnel.engines.duckdb import identifier, literal
from onefunnel.errors import ConfigError, EnvironmentNotReady, OnefunnelError, StepFailed
from onefunnel.sources import hubspot_campaigns, hubspot_touches
from onefunnel.sources.base import TOTALS, Asked
from onefunnel.sources.connections import Connection
from onefunnel.sources.http import RETRIED, Again, Api, Usage, quoted
from onefunnel.sources.hubspot_streams import (
    ACTIVITIES,
    CHANGES,
    CONTACTS,
    DAY,
    DEALS,
    KINDS,
    NAME,
    PERCENT,
    PERSON,
    RECORDS,
    Object,
    Stream,
)
from onefunnel.sources.inbox import Inbox, Records
from onefunnel.sources.oauth import AccessToken
from onefunnel.sources.pages import Field

API, TOKEN = "https://api.hubapi.com", "https://api.hubapi.com/oauth/v1/token"
LIST_PAGE, HISTORY_PAGE, SEARCH_PAGE, ASSOCIATIONS_PAGE, OWNERS_PAGE = 100, 50, 200, 1_000, 500
OVERLAP, NOT_YET_FOUND = dt.timedelta(minutes=10), dt.timedelta(seconds=90)
SEARCH_EVERY_SECONDS = 0.25
# HubSpot keeps the newest versions of a property alone, how many is not documented; 20 is the fewest that users tell of. What
# the oldest one of so many replaced is not known.
SHORTEST_CUT = 20
TRIES = 3
# Known records of which fewer than this share are listed were not all deleted.
LEAST_SHARE, FEW = 0.5, 20
MAIN_CONTACT = "Main contact"
SPLITS, SPLITS_SCOPE = "crm/v3/objects/deals/splits/batch/read", "crm.dealsplits.read_write"
_DOCS = "docs/how-to/connect-hubspot.md"
_LIMITS = ("X-HubSpot-RateLimit-Daily", "X-HubSpot-RateLimit-Daily-Remaining", "X-HubSpot-RateLimit-Remaining")


@dataclass
class _Pages:
    """Saved pages, and what of them is needed to go on: ids, those of merged records and of records that were made and changed
    after `until`, the greatest stamp of a change; stamps in milliseconds."""

    until: int
    files: list[Path] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    losers: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)
    newest: int = 0

    def add(self, file: Path, page: Mapping[str, Any], of: Object) -> None:
        """Take a page."""
        self.files.append(file)
        for record in page["results"]:
            self.ids.append(str(record["id"]))
            known = record.get("properties", {})
            changed = _milliseconds(known.get(of.modified) or "0")
            self.newest = max(self.newest, changed)
            if changed > self.until and _milliseconds(known.get(of.created) or "0") > self.until:
                self.later.add(self.ids[-1])
            self.losers.update(_merged_into(record))


def connect(where: str, connection: Connection, accounts: Sequence[str]) -> HubSpot:
    """The connector for one source.

    Args:
        connection: the password is a private app's access token; or login and password are an app's client id and secret,
            and extra has its `refresh_token` (and `token_url` where it is not HubSpot's). Extra may say under `properties`
            which property of the portal stands for one that the connector knows (`deals.competitor=main_rival, …`), and
            under `main_contact_label` which label the main contact of a deal has.
        accounts: none: a token is of one portal.

    Raises:
        ConfigError: something of this is missing or cannot be read.
    """
    if accounts:
        raise ConfigError("HubSpot has no accounts to choose", where, "take `accounts` out; a token is of one portal")
    return HubSpot(where, connection)


class HubSpot:
    """One portal."""

    def __init__(self, where: str, connection: Connection) -> None:
        self.where, self.stream, self.until = where, "", 0
        self.main_contact = connection.extra.get("main_contact_label") or MAIN_CONTACT
        self.instead = _instead(where, connection.extra.get("properties", ""))
        self.oauth: AccessToken | None = None
        deadline = connection.deadline_seconds
        if "refresh_token" in connection.extra:
            form = {
                "grant_type": "refresh_token",
                "client_id": connection.login,
                "client_secret": connection.secret("password"),
                "refresh_token": connection.secret("refresh_token"),
            }
            self.oauth = AccessToken(where, connection.token_url(TOKEN), form, deadline=deadline)
        bearer = {"Authorization": f"Bearer {connection.secret('password')}"}
        self.api = Api(
            where,
            connection.base_url(API),
            self.oauth or (lambda _: bearer),
            explain=lambda response, body: _explained(response, body, self.stream),
            limits=_LIMITS,
            deadline=deadline,
        )
        self.searched_at = 0.0
        self._details: dict[str, str] | None = None

    def close(self) -> None:
        """Close the connections."""
        self.api.close()
        if self.oauth:
            self.oauth.close()

    def fetch(self, asked: Asked, inbox: Inbox) -> None:
        """Fetch one stream."""
        self.where = self.api.where = asked.where
        self.stream, self.until = asked.stream, sys.maxsize
        self.api.usage = Usage()
        if asked.stream == "users":
            self._fetch_owners(inbox)
        elif asked.stream in hubspot_touches.STREAMS:
            hubspot_touches.fetch(self.api, asked, inbox)
        elif asked.stream == hubspot_campaigns.EVENTS:
            hubspot_campaigns.fetch_events(self.api, inbox, self._in_portal()["zone"])
        elif asked.stream == hubspot_campaigns.SENDINGS:
            hubspot_campaigns.fetch_sendings(self.api, asked, inbox)
        elif asked.stream == "opportunity_contacts":
            self._fetch_deal_contacts(asked, inbox)
        elif asked.stream == "opportunity_splits":
            self._fetch_deal_splits(asked, inbox)
        elif asked.stream in CHANGES:
            self._fetch_changes(asked, inbox, *CHANGES[asked.stream])
        elif asked.stream == "activities":
            self._fetch_records(asked, inbox, *ACTIVITIES)
        else:
            self._fetch_records(asked, inbox, RECORDS[asked.stream])

    # -- streams -------------------------------------------------------------------------------------------------------

    def _fetch_owners(self, inbox: Inbox) -> None:
        # A former owner still owns what they won, so both lists are read; the day of leaving is that of the last update.
        select = f"""
            select
                id, {NAME}, case when archived = 'true' then updated_at[:10] end as left_on,
                coalesce(
                    json_extract_string(list_filter(
                        json_extract(teams, '$[*]'), lambda team: json_extract_string(team, '$.primary') = 'true'
                    )[1], '$.name'),
                    json_extract_string(teams, '$[0].name')
                ) as team
            from records
            qualify row_number() over (partition by id order by archived) = 1
        """
        inbox.deliver(
            {"records": self._owners(inbox)},
            covered=None,
            totals=TOTALS.empty_table(),
            about=self._about({}),
            select=select,
        )

    def _fetch_records(self, asked: Asked, inbox: Inbox, *parts: Stream) -> None:
        """Records of one object; or of several, whose ids have their object's name in front."""
        relations: dict[str, Records] = {}
        selects, covered, about, count = [], [], dict[str, Any](), 0
        for part in parts:
            prefix = f"{part.object.name}-" if len(parts) > 1 else ""
            names = self._properties(asked, part)
            wanted = [*filter(None, names.values()), *(["hs_merged_object_ids"] if part.object.merges else [])]
            read = self._read(asked, inbox, part.object, wanted, prefix=prefix)
            selects.append(self._select(asked, inbox, part, names, read, relations, prefix))
            covered.append(self._covered(asked, inbox, part, read, prefix))
            about |= read.about(prefix)
            count += self._count(inbox, part, read.until) if part.counted else 0
        told = [table for table in covered if table is not None]
        row = {"part": None, "day": None, "measure": "rows", "value": str(count)}
        inbox.deliver(
            relations,
            covered=pa.concat_tables(told) if told else None,
            totals=pa.Table.from_pylist([row] if parts[0].counted else [], TOTALS),
            about=self._about(about),
            select=" union all by name ".join(f"select * from ({select})" for select in selects),
        )

    def _select(
        self,
        asked: Asked,
        inbox: Inbox,
        stream: Stream,
        names: Mapping[str, str | None],
        read: _Read,
        relations: dict[str, Records],
        prefix: str,
    ) -> str:
        """SQL of the records of one object; what it selects from is put into `relations`."""
        of = stream.object
        fields = [
            *_fields(names),
            _MERGED,
            Field("archived_at", "archivedAt"),
            Field("made", f"properties.{of.created}"),
            Field("changed", f"properties.{of.modified}"),
        ]
        relations[of.name] = Records([*read.live.files, *read.archived.files], fields, "$.results[*]")
        joins = ""

        def associated(to: str, reached: set[str] | None = None) -> str:
            relations[f"{of.name}_{to}"] = self._associations(inbox, of, to, read.live.ids, reached)
            return f"{of.name}_{to}"

        if "company_id" in stream.columns:
            chosen = f"first(to_id order by type_id <> '{of.company_type}', to_id::bigint)"
            joins += _joined(associated("companies"), chosen, "company_id")
        if "deal_id" in stream.columns:
            # The deal that a lead has made is its first one; HubSpot does not say more.
            joins += _joined(associated("deals"), "min(to_id::bigint)::varchar", "deal_id")
        if "person" in stream.columns:
            reached: set[str] = set()
            links = associated("contacts", reached)
            relations[f"{of.name}_people"] = self._people(asked, inbox, of, reached)
            people = _PEOPLE.format(f"{of.name}_people")
            joins += _joined(links, _PERSON, "person", f" left join ({people}) as people on to_id = people.asked")
        columns = stream.columns.format(**self._in_portal()) if "{" in stream.columns else stream.columns
        emptied = ", ".join(f"nullif({identifier(name)}, '') as {identifier(name)}" for name in names)
        latest = f"""
            with latest as (
                select * replace ({emptied}) from {of.name} where {_THEN.format(until=read.until)}
                qualify row_number() over (partition by id order by cast(updated_at as timestamp) desc, archived desc) = 1
            )
        """
        if not of.merges:
            return f"{latest} select '{prefix}' || id as id, {columns} from latest {joins} where {stream.only}"
        return f"""
            {latest},
            losers as (
                select *, unnest(string_split(merged, ';')) as loser from latest
            )
            select
                id, created_at, coalesce(archived_at, updated_at) as modified_at, cast(null as varchar) as merged_into_id,
                archived, {columns}
            from latest {joins}
            where {stream.only} and id not in (select loser from losers where loser <> id)
            union all by name
            select loser as id, created_at, id as merged_into_id, {stream.loser} from losers
            where {stream.only} and loser not in ('', id)
            qualify row_number() over (partition by loser order by cast(updated_at as timestamp) desc, id) = 1
        """

    def _people(self, asked: Asked, inbox: Inbox, of: Object, ids: Collection[str]) -> Records:
        """What is known of the contacts that activities lead to."""
        names = self._properties(asked, PERSON)
        found = self._batch(inbox, f"{of.name}-people", CONTACTS, sorted(ids), list(filter(None, names.values())))
        return Records(found.files, [*_fields(names), _MERGED], "$.results[*]")

    def _fetch_changes(self, asked: Asked, inbox: Inbox, stream: Stream, words: Mapping[str, str]) -> None:
        names = self._properties(asked, stream)
        held = {name: actual for name, actual in names.items() if actual}
        read = self._read(asked, inbox, stream.object, list(held.values()), list(held.values()))
        fields = _fields(names) + [Field(f"{name} versions", f"propertiesWithHistory.{held[name]}") for name in held]
        in_portal = self._in_portal() if stream.object is DEALS else {}
        told = " union all ".join(
            f"select id, created_at, {literal(held[name])} as property, {literal(words[name])} as field,"
            f" {identifier(f'{name} versions')} as versions from latest where {stream.only}"
            for name in held
        )
        value = f"""
            case field
                when 'probability' then {PERCENT.format("value")}
                when 'close_date' then {DAY.format("value", zone=in_portal.get("zone", "'UTC'"))}
                else value
            end
        """
        # A version is a change when one before it is known, or when there was none: the property was empty at first. What a
        # cut history no longer shows was landed before, and a change that is landed is never said anew.
        select = f"""
            with latest as (
                select * from records
                qualify row_number() over (partition by id order by cast(updated_at as timestamp) desc, archived desc) = 1
            ),
            told as ({told}),
            versions as (
                select * exclude (versions), unnest(json_extract(versions, '$[*]')) as version,
                    generate_subscripts(json_extract(versions, '$[*]'), 1) as place,
                    len(json_extract(versions, '$[*]')) as kept
                from told
            ),
            said as (
                select
                    id, created_at, property, field, place, kept,
                    nullif(json_extract_string(version, '$.value'), '') as value,
                    json_extract_string(version, '$.timestamp') as changed_at,
                    cast(json_extract_string(version, '$.timestamp') as timestamp) as moment,
                    json_extract_string(version, '$.updatedByUserId') as by_user
                from versions
                qualify row_number() over (partition by id, property, moment order by place) = 1
            ),
            changes as (
                select
                    id || '-' || property || '-' || epoch_ms(moment) || '-' || md5(coalesce(value, ''))[:8] as change_id,
                    id, created_at, field, kept, moment, changed_at, by_user, {value} as new_value,
                    lead({value}) over following as old_value,
                    lead(moment) over following is null as is_oldest
                from said
                window following as (partition by id, property order by moment desc, place)
            )
            select change_id, id, field, old_value, new_value, changed_at, owner_id as changed_by
            from changes
            left join (select distinct on (user_id) user_id, id as owner_id from owners order by user_id, archived) as reps
                on by_user = reps.user_id
            where new_value is distinct from old_value
                and (not is_oldest or (kept < {SHORTEST_CUT} and moment > cast(created_at as timestamp) + interval 1 second))
                and change_id not in (select change_id from known)
        """
        inbox.deliver(
            {
                "records": Records([*read.live.files, *read.archived.files], fields, "$.results[*]"),
                "owners": self._owners(inbox),
                "known": _known_records(asked, inbox, "change_id"),
            },
            covered=None,
            totals=TOTALS.empty_table(),
            about=self._about(read.about()),
            select=select,
        )

    def _fetch_deal_contacts(self, asked: Asked, inbox: Inbox) -> None:
        """All of them each time: an association moves no record's time of change."""
        deals = self._list(inbox, "deals", DEALS, ["createdate"])
        label = literal(self.main_contact)
        select = f"""
            select
                from_id as deal_id, to_id as contact_id,
                first(label order by type_id::bigint) filter (where label <> {label}) as role,
                coalesce(bool_or(label = {label}), false)::varchar as is_primary
            from ({_LINKS.format("contacts")})
            group by all
        """
        inbox.deliver(
            {"contacts": self._associations(inbox, DEALS, "contacts", deals.ids)},
            covered=self._covered_of_deals(asked, inbox, deals.ids),
            totals=TOTALS.empty_table(),
            about=self._about({}),
            select=select,
        )

    def _fetch_deal_splits(self, asked: Asked, inbox: Inbox) -> None:
        """All of them each time: that a split moves its deal's time of change is not documented."""
        deals = self._list(inbox, "deals", DEALS, ["createdate"])
        covered = self._covered_of_deals(asked, inbox, deals.ids)
        files: list[Path] = []
        told = set[str]()

        def read(ids: Sequence[str]) -> None:
            for some in _some(ids, LIST_PAGE):
                file = inbox.pages / f"splits-{len(files):06d}.json"
                order = {"inputs": [{"id": i} for i in some]}
                page = self._page("POST", SPLITS, file, _splits_of(some), json=order)
                files.append(file)
                told.update(str(deal["id"]) for deal in page["results"])

        read(deals.ids)
        # Of whom splits are known, and the answer says nothing, is asked for once more before they are taken back.
        read(sorted(set(deals.ids) & set(covered["opportunity_id"].to_pylist() if covered else ()) - told))
        # What an owner has of a deal is one share. HubSpot splits the deal's amount, which is what Salesforce calls revenue.
        select = """
            with told as (
                select
                    deal_id, json_extract_string(split, '$.properties.hubspot_owner_id') as owner_id,
                    json_extract_string(split, '$.properties.hs_deal_split_percentage') as said,
                    try_cast(said as decimal(18, 8)) as share
                from (select deal_id, unnest(json_extract(splits, '$[*]')) as split from splits)
                where json_extract_string(split, '$.archived') is distinct from 'true'
                qualify row_number() over (
                    partition by deal_id, json_extract_string(split, '$.id')
                    order by json_extract_string(split, '$.updatedAt') desc
                ) = 1
            )
            select
                deal_id, owner_id, 'revenue' as split_type,
                case
                    when count(share) = count(*) then cast(cast(sum(share) * 100 as decimal(18, 6)) as varchar)
                    else min(said) filter (where share is null)
                end as split_percent
            from told
            group by all
        """
        inbox.deliver(
            {"splits": Records(files, [Field("deal_id", "id"), Field("splits")], "$.results[*]")},
            covered=covered,
            totals=TOTALS.empty_table(),
            about=self._about({"deals": len(deals.ids)}),
            select=select,
        )

    # -- what is read --------------------------------------------------------------------------------------------------

    def _read(
        self,
        asked: Asked,
        inbox: Inbox,
        of: Object,
        properties: Sequence[str],
        history: Sequence[str] = (),
        prefix: str = "",
    ) -> _Read:
        """Every record, or those that changed since the last load; and the archived ones, once a day.

        What was made and changed in the last moments is read where it is found, and for the next run to deliver: so the
        records, which are read one page after the other, and their number are of one instant.
        """
        now = dt.datetime.fromtimestamp(self.api.server_time or time.time(), dt.UTC)
        self.until = until = _milliseconds((now - NOT_YET_FOUND).isoformat())
        since = int(asked.before.get(f"{prefix}cursor", 0))
        if not since or asked.last is None or asked.dates or _week(asked.last) != _week(asked.as_of):
            live = self._list(inbox, "live", of, properties, history)
            archived = self._list(inbox, "archived", of, properties, history, archived=True)
            # What changed behind the page that showed it lies after the moment at which the list began.
            return _Read(live, archived, True, min(live.newest, until), until)
        live = self._search(inbox, of, [] if history else properties, since - _OVERLAP_MS)
        newest = max(since, min(live.newest, until))
        if history:
            live = self._batch(inbox, f"{of.name}-histories", of, live.ids, properties, history)
        archived = _Pages(until)
        if asked.last.date() != asked.as_of.date():
            archived = self._list(inbox, "archived", of, properties, history, archived=True)
        return _Read(live, archived, False, newest, until)

    def _list(
        self,
        inbox: Inbox,
        name: str,
        of: Object,
        properties: Sequence[str],
        history: Sequence[str] = (),
        *,
        archived: bool = False,
    ) -> _Pages:
        """Every record, page by page."""
        found = _Pages(self.until)
        params = {
            "limit": str(HISTORY_PAGE if history else LIST_PAGE),
            "archived": str(archived).lower(),
            "properties": ",".join([*properties, of.modified, of.created]),
            **({"propertiesWithHistory": ",".join(history)} if history else {}),
        }
        for file, page in self._listed(inbox, f"{of.name}-{name}", f"crm/v3/objects/{of.name}", params):
            found.add(file, page, of)
        return found

    def _listed(
        self, inbox: Inbox, name: str, path: str, params: Mapping[str, str]
    ) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The pages of a list. One that leads back, or is of the other half of the records, is asked for again."""
        seen, after, number = set[str](), "", 0

        def fits(page: Mapping[str, Any]) -> bool:
            archived = params["archived"] == "true"
            return _after(page) not in seen and all(bool(r.get("archived")) is archived for r in page["results"])

        while True:
            file = inbox.pages / f"{name}-{number:06d}.json"
            page = self._page("GET", path, file, fits, params={**params, **({"after": after} if after else {})})
            yield file, page
            after, number = _after(page), number + 1
            if not after:
                return
            seen.add(after)

    def _search(self, inbox: Inbox, of: Object, properties: Sequence[str], since: int) -> _Pages:
        """What changed since a moment (milliseconds), by pages that begin behind the last id: no query is paged, so the
        search's limit of 10,000 results is not met, and what changes meanwhile shifts nothing."""
        found, last = _Pages(self.until), 0
        while True:
            changed = {"propertyName": of.modified, "operator": "GTE", "value": str(since)}
            behind = {"propertyName": "hs_object_id", "operator": "GT", "value": str(last)}
            order = {
                "filterGroups": [{"filters": [changed, behind]}],
                "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                "properties": [*properties, of.modified, of.created],
                "limit": SEARCH_PAGE,
            }

            def fits(page: Mapping[str, Any], last: int = last) -> bool:
                ids = [last, *(int(r["id"]) for r in page["results"])]
                return ids == sorted(set(ids)) and (len(ids) > 1 or int(page["total"]) == 0)

            file = inbox.pages / f"{of.name}-changed-{len(found.files):06d}.json"
            page = self._page("POST", f"crm/v3/objects/{of.name}/search", file, fits, json=order)
            found.add(file, page, of)
            if int(page["total"]) <= len(page["results"]):
                return found
            last = int(found.ids[-1])

    def _batch(
        self,
        inbox: Inbox,
        name: str,
        of: Object,
        ids: Sequence[str],
        properties: Sequence[str],
        history: Sequence[str] = (),
    ) -> _Pages:
        """Records by their ids. Of one that was merged meanwhile the record that is left is given, and names it."""
        found = _Pages(self.until)
        merged = ["hs_merged_object_ids"] if of.merges else []
        for number, some in enumerate(_some(ids, HISTORY_PAGE if history else LIST_PAGE)):
            file = inbox.pages / f"{name}-{number:06d}.json"
            order = {
                "inputs": [{"id": i} for i in some],
                "properties": [*properties, *history, *merged],
                **({"propertiesWithHistory": list(history)} if history else {}),
            }
            page = self._page("POST", f"crm/v3/objects/{of.name}/batch/read", file, _of(some), json=order)
            found.add(file, page, of)
        return found

    def _associations(
        self, inbox: Inbox, of: Object, to: str, ids: Sequence[str], reached: set[str] | None = None
    ) -> Records:
        """The associations of records with another object; what one page does not hold of a record is asked for behind it.

        Args:
            reached: is given the ids that they lead to.
        """
        files: list[Path] = []
        open_ones = [{"id": i} for i in dict.fromkeys(ids)]
        while open_ones:
            further = []
            for some in _some(open_ones, ASSOCIATIONS_PAGE):
                file = inbox.pages / f"{of.name}-to-{to}-{len(files):06d}.json"
                path = f"crm/v4/associations/{of.name}/{to}/batch/read"
                page = self._page("POST", path, file, _of([x["id"] for x in some]), json={"inputs": some})
                files.append(file)
                if reached is not None:
                    reached.update(str(link["toObjectId"]) for r in page["results"] for link in r["to"])
                further += [{"id": str(r["from"]["id"]), "after": _after(r)} for r in page["results"] if _after(r)]
            if further and further == open_ones:
                raise StepFailed(
                    "The API repeats a page of associations.", self.where, "Run again; nothing was landed."
                )
            open_ones = further
        return Records(files, [Field("from_id", "from.id"), Field("links", "to")], "$.results[*]")

    def _owners(self, inbox: Inbox) -> Records:
        """Owners, present and former."""
        halves = [
            self._listed(inbox, f"owners-{a}", "crm/v3/owners", {"limit": str(OWNERS_PAGE), "archived": a})
            for a in ("false", "true")
        ]
        files = [file for half in halves for file, _ in half]
        fields = [
            Field("id"),
            Field("user_id", "userIdIncludingInactive"),
            Field("firstname", "firstName"),
            Field("lastname", "lastName"),
            Field("teams"),
            Field("archived"),
            Field("updated_at", "updatedAt"),
        ]
        return Records(files, fields, "$.results[*]")

    def _page(
        self,
        method: str,
        path: str,
        to: Path,
        fits: Callable[[Mapping[str, Any]], bool] = lambda _: True,
        **request: Any,
    ) -> dict[str, Any]:
        """Save a page, and read what is needed to go on. One that is none, or answers another question, is asked for again.

        Raises:
            StepFailed: it stays so.
        """
        for _ in range(TRIES):
            if path.endswith("/search"):
                time.sleep(max(0.0, self.searched_at + SEARCH_EVERY_SECONDS - time.monotonic()))
                self.searched_at = time.monotonic()
            page = self.api.page(method, path, to, **request)
            if isinstance(page, dict) and isinstance(page.get("results"), list) and _is_whole(page) and fits(page):
                return page
        raise StepFailed(
            "The API's answer is no page of records, or one that was given before.",
            f"{self.where}: {method} {path}",
            "Run again; if it stays so, please report it as an issue. Nothing was landed.",
        )

    # -- what is known of the portal -----------------------------------------------------------------------------------

    def _properties(self, asked: Asked, stream: Stream) -> dict[str, str | None]:
        """The portal's name of each property of a stream; None: the portal lacks it, and may.

        Raises:
            StepFailed: one that is needed is missing, or one has another type.
        """
        of = stream.object.name
        answer = self.api.json("GET", f"crm/v3/properties/{of}", has="results")
        types = {p["name"]: p["type"] for p in answer["results"]}
        names: dict[str, str | None] = {}
        problems = []
        for word in stream.properties.split():
            name, _, kind = word.removesuffix("?").partition(":")
            actual = self.instead.get((of, name), name)
            names[name] = actual if actual in types else None
            if actual not in types:
                if not word.endswith("?") or (of, name) in self.instead:
                    problems.append(f"{actual} is missing")
            elif types[actual] not in KINDS[kind or "text"]:
                problems.append(f"{actual} is of type {types[actual]} and not {' or '.join(KINDS[kind or 'text'])}")
        if problems:
            raise StepFailed(
                f"The object {of} of the portal has other properties than stg_files__{asked.stream} reads:"
                f" {'; '.join(problems)}.",
                where=asked.where,
                do=f"Give the property back its name and type, or name another one under `properties` in the connection's"
                f" extra ({_DOCS}).",
            )
        return names

    def _in_portal(self) -> dict[str, str]:
        """SQL of what depends on the portal: its currency, its days, and percentages."""
        if self._details is None:
            details = self.api.json("GET", "account-info/v3/details", has="companyCurrency")
            self._details = {
                "currency": literal(str(details["companyCurrency"])),
                "zone": literal(str(details["timeZone"])),
            }
        return {
            **self._details,
            "probability": PERCENT.format("hs_deal_stage_probability"),
            "closing_day": DAY.format("closedate", zone=self._details["zone"]),
            "day": DAY.format("hs_timestamp", zone=self._details["zone"]),
        }

    def _covered(self, asked: Asked, inbox: Inbox, stream: Stream, read: _Read, prefix: str) -> pa.Table | None:
        """The cells that were asked for: of a whole list those that are known, but for what is there and was not listed."""
        (cell,) = inbox.cell
        listed = {*read.live.ids, *read.archived.ids}
        if not read.is_all:
            # A record that was read and is not of the stream any more; what is left to the next run stays as it is.
            told = sorted(listed - read.live.later - read.archived.later)
            return None if stream.only == "true" else pa.table({cell: pa.array(told, pa.string())})
        if (landed := _known(asked)) is None:
            return None
        known = {i.removeprefix(prefix) for i in landed[cell].to_pylist() if i.startswith(prefix)}
        losers = read.live.losers | read.archived.losers
        too_few = len(known) > FEW and len(listed | losers) < len(known) * LEAST_SHARE
        if too_few and not asked.accept_deletions:
            raise StepFailed(
                f"The portal lists {len(listed):,} records; {len(known):,} are known.",
                where=f"{asked.where}, object {stream.object.name}",
                do="Does the app still have its scopes? If the others really were deleted: onefunnel run --accept-deletions"
                f" {asked.source}",
            )
        if stream.is_kept:
            return None
        gone = known - listed - losers
        # A lead that was merged into somebody who is none was one nevertheless.
        there = {
            *losers,
            *self._existing(stream.object, gone, archived=False),
            *self._existing(stream.object, gone, archived=True),
        }
        return pa.table({cell: pa.array([f"{prefix}{i}" for i in sorted(known - there)], pa.string())})

    def _covered_of_deals(self, asked: Asked, inbox: Inbox, listed: Collection[str]) -> pa.Table | None:
        """The landed cells of deals that are listed, or are gone: that a list lacks a deal is no proof."""
        if (known := _known(asked)) is None:
            return None
        missing = set(pc.unique(known["opportunity_id"]).to_pylist()) - set(listed)
        there = pa.array(self._existing(DEALS, missing, archived=False), pa.string())
        return known.filter(pc.invert(pc.is_in(known["opportunity_id"], there))).select(list(inbox.cell))

    def _existing(self, of: Object, ids: Collection[str], *, archived: bool) -> list[str]:
        """Which of some records are there; that a list lacks them is no proof."""
        found: list[str] = []
        for some in _some(sorted(ids), LIST_PAGE):
            order = {"inputs": [{"id": i} for i in some], "properties": ["createdate"]}
            path = f"crm/v3/objects/{of.name}/batch/read"
            answer = self.api.json("POST", path, has="results", json=order, params={"archived": str(archived).lower()})
            found += [str(record["id"]) for record in answer["results"]]
        return found

    def _count(self, inbox: Inbox, stream: Stream, until: int) -> int:
        """How many records there were at a moment (milliseconds) that are not archived, as the search counts them."""
        then = [
            {"propertyName": name, "operator": "LTE", "value": str(until)}
            for name in (stream.object.created, stream.object.modified)
        ]
        order = {"filterGroups": [{"filters": [*stream.filters, each]} for each in then], "limit": 1}
        path = f"crm/v3/objects/{stream.object.name}/search"
        return int(self._page("POST", path, inbox.pages / f"{stream.object.name}-total.json", json=order)["total"])

    def _about(self, more: Mapping[str, Any]) -> dict[str, Any]:
        usage = self.api.usage
        return {**more, "requests": usage.requests, "retries": usage.retries, "limits": dict(usage.limits)}


_LINKS = """
    select
        from_id, json_extract_string(link, '$.toObjectId') as to_id, json_extract_string(kind, '$.typeId') as type_id,
        json_extract_string(kind, '$.label') as label
    from (
        select from_id, link, unnest(json_extract(link, '$.associationTypes[*]')) as kind
        from (select from_id, unnest(json_extract(links, '$[*]')) as link from {}) as links
    ) as kinds
"""
_MERGED = Field("merged", "properties.hs_merged_object_ids")
# Who somebody is that was asked for: the record itself, or the one that it was merged into since, which was changed later.
_PEOPLE = """
    select *
    from (select *, unnest(string_split(concat_ws(';', id, merged), ';')) as asked from {})
    qualify row_number() over (partition by asked order by cast(updated_at as timestamp) desc, id) = 1
"""
# Of several people a lead, then the one with the smallest id.
_PERSON = """
    first(
        {
            'id': coalesce(people.id, to_id),
            'lead_status': nullif(people.hs_lead_status, ''), 'converted_at': people.converted_at
        }
        order by coalesce(people.hs_lead_status, '') = '', coalesce(people.id, to_id)::bigint
    )
"""
# What was there at a moment, as `_count` counts it: a time of making may be anybody's entry, and lie ahead.
_THEN = """coalesce(
    try_cast(made as timestamp) <= make_timestamp_ms({until}) or try_cast(changed as timestamp) <= make_timestamp_ms({until}),
    true
)"""
_OVERLAP_MS = round(OVERLAP.total_seconds() * 1_000)


@dataclass(frozen=True)
class _Read:
    """What was read: records, archived ones, whether these are all, the stamp to go on from, and the moment up to which
    records are delivered, both in milliseconds."""

    live: _Pages
    archived: _Pages
    is_all: bool
    cursor: int
    until: int

    def about(self, prefix: str = "") -> dict[str, Any]:
        """For the receipt and the next fetch."""
        return {f"{prefix}cursor": self.cursor, f"{prefix}read": "everything" if self.is_all else "what changed"}


def _instead(where: str, text: str) -> dict[tuple[str, str], str]:
    """(object, property) -> the property that stands for it in this portal.

    Raises:
        ConfigError: not `object.property=property, …`, or nobody reads such a property.
    """
    streams = [*RECORDS.values(), *ACTIVITIES, *(stream for stream, _ in CHANGES.values())]
    known = {
        (s.object.name, word.removesuffix("?").partition(":")[0]) for s in streams for word in s.properties.split()
    }
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, actual = (side.strip() for side in part.partition("="))
        of, _, plain = name.partition(".")
        if not actual or (of, plain) not in known:
            raise ConfigError(
                f"`properties` in the connection's extra: nothing is read as {name!r}",
                where,
                f"write object.property=property of the portal, separated by commas ({_DOCS})",
            )
        found[of, plain] = actual
    return found


def _fields(names: Mapping[str, str | None]) -> list[Field]:
    """Columns of a record: what each has, and its properties under the names of this connector."""
    own = [Field("id"), Field("created_at", "createdAt"), Field("updated_at", "updatedAt"), Field("archived")]
    return own + [Field(name, f"properties.{actual or name}") for name, actual in names.items()]


def _joined(links: str, chosen: str, column: str, further: str = "") -> str:
    """SQL that joins one of a record's associations."""
    found = (
        f"select from_id as id, {chosen} as {column} from ({_LINKS.format(links)}) as found{further} group by from_id"
    )
    return f" left join ({found}) as to_{links} using (id)"


def _known(asked: Asked) -> pa.Table | None:
    """The landed cells that are not empty."""
    return None if asked.known is None else asked.known.filter(pc.not_equal(asked.known["content_hash"], ""))


def _known_records(asked: Asked, inbox: Inbox, column: str) -> Records:
    """The landed ids as a relation."""
    known = _known(asked)
    page = inbox.pages / "known.csv"
    csv.write_csv(known.select([column]) if known is not None else pa.table({column: pa.array([], pa.string())}), page)
    return Records([page], [Field(column)])


def _some(things: Sequence[Any], most: int) -> Iterable[Sequence[Any]]:
    return (things[start : start + most] for start in range(0, len(things), most))


def _after(page: Mapping[str, Any]) -> str:
    """The token of the page behind this one; empty: it is the last."""
    return str(((page.get("paging") or {}).get("next") or {}).get("after") or "")


def _merged_into(record: Mapping[str, Any]) -> list[str]:
    """The records that were merged into one."""
    return [x for x in ((record.get("properties") or {}).get("hs_merged_object_ids") or "").split(";") if x]


def _of(ids: Sequence[str]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a page is about records that were asked for; of a merged one the record that is left may be given instead."""
    asked = set(ids)
    return lambda page: (
        not page["results"]
        or any(not asked.isdisjoint((str((r.get("from") or r).get("id")), *_merged_into(r))) for r in page["results"])
    )


def _splits_of(ids: Sequence[str]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a page is of a batch that is done, and has the splits of deals that were asked for."""
    is_of = _of(ids)
    return lambda page: (
        page.get("status") == "COMPLETE"
        and all(isinstance(deal.get("splits"), list) for deal in page["results"])
        and is_of(page)
    )


def _is_whole(page: Mapping[str, Any]) -> bool:
    """Whether a batch lacks nothing but what is not there: with status 207 it says what it lacks, and why."""
    return all(error.get("category") == "OBJECT_NOT_FOUND" for error in page.get("errors") or ())


def _milliseconds(text: str) -> int:
    """A moment since 1970; HubSpot writes it in ISO 8601 or as such a number."""
    if text.lstrip("-").isdecimal():
        return int(text)
    return round(dt.datetime.fromisoformat(text).timestamp() * 1_000)


def _week(moment: dt.datetime) -> tuple[int, int]:
    return moment.isocalendar()[:2]


def _explained(response: httpx.Response, body: Any, stream: str) -> OnefunnelError | Again | None:
    """What HubSpot's error means ("API usage guidelines", "Error handling")."""
    if response.status_code < 400 or not isinstance(body, Mapping):
        return None
    if body.get("policyName") == "DAILY":
        return EnvironmentNotReady(
            "The portal's requests of the day are used up.",
            do="Run again after midnight of the portal's time zone, when its day begins anew; nothing was lost.",
        )
    if response.status_code == 429:
        return Again(f"the limit {body.get('policyName', 'of requests')} is reached", 1.0)
    if response.status_code == 401:
        return ConfigError(
            "HubSpot does not accept the access token",
            do=f"store the token of a private app that exists, or sign in again ({_DOCS})",
        )
    out = f"take the stream out of pipeline.yml: `without: [{stream}]` ({_DOCS})"
    if body.get("category") == "MISSING_SCOPES":
        contexts = [e.get("context") or {} for e in body.get("errors", ())]
        scopes = {s for c in contexts for k in ("requiredGranularScopes", "requiredScopes") for s in c.get(k, ())}
        named = ", ".join(sorted(scopes)) or (SPLITS_SCOPE if _is_of_splits(response) else "HubSpot does not say which")
        return ConfigError(
            f"the app lacks a scope: {named}", do=f"grant it to the app and store the new token, or {out}"
        )
    if response.status_code == 403 and _is_of_splits(response):
        return ConfigError(
            f"the portal gives no deal splits: {body.get('category', '')}: {quoted(body.get('message', ''))}",
            do=f"they need Sales Hub Enterprise, deal splits that are turned on, and the scope {SPLITS_SCOPE}; or {out}",
        )
    if response.status_code in RETRIED:
        return None
    refused = (
        hubspot_campaigns.Gone
        if response.status_code == 404 and body.get("category") == "OBJECT_NOT_FOUND"
        else StepFailed
    )
    return refused(
        f"HubSpot refused: {response.status_code} {body.get('category', '')}: {quoted(body.get('message', ''))}",
        do="Does this version of HubSpot's API still exist? See the changelog; the connector may need an upgrade.",
    )


def _is_of_splits(response: httpx.Response) -> bool:
    return response.url.path.endswith(SPLITS)
