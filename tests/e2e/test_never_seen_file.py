"""A file of a shape that nobody has seen becomes marts by declaration alone, and a declaration decides what its bytes mean."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
import world
from conftest import PROJECT, Home

# What an agency might send: Latin-1, semicolons, R$ 1.234,56, day/month/year, `None` for nothing.
AGENCY = """\
Dia;Cliente;Código;Campanha;Mídia;Investimento;Impressões;Cliques;Receita
03/04/2026;Loja São João;0001;Liquidação;Rádio;R$ 1.234,56;None;None;None
03/04/2026;Loja São João;0002;Promoção "Já";Busca;R$ 12.345.678,90;1.234.567;12.345;R$ 99.999.999,99
04/04/2026;Loja São João;0001;Liquidação;Rádio;-R$ 0,01;None;None;None
04/04/2026;Loja São João;0003;;Outdoor;R$ 7,5;None;None;R$ 0,00
""".replace('"Já"', '"Já"').replace('Promoção "Já"', '"Promoção ""Já"""')
# The same bytes mean 1234 clicks for 1234.000 on 3 April to one reader, and 1 click for 1.234 on 4 March to another.
AMBIGUOUS = "day|campaign|cost|clicks\n03/04/2026|c1|1.234|1\n05/04/2026|c1|2.500|1\n"


def stream(**declared: object) -> dict[str, object]:
    return {"files": "*", "replaces": "file", "key": ["spend_date", "campaign_id"], "usual_rows": "off", **declared}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The three files, published by one whole run for which nothing was written but pipeline.yml."""
    home = Home(tmp_path_factory.mktemp("never_seen") / "home")
    constants = {"level": {"value": "campaign"}, "currency": {"value": "BRL"}}
    agency = stream(
        dialect={"delimiter": ";", "encoding": "latin-1", "decimal": ",", "grouping": ".", "null_words": ["None", ""]},
        columns={
            **constants,
            "spend_date": {"from": "Dia", "format": "%d/%m/%Y"},
            "ad_account_id": {"from": "Cliente"},
            "campaign_id": {"from": "Código"},
            "campaign_name": {"from": "Campanha"},
            "channel": {
                "from": "Mídia",
                "map": {"Rádio": "broadcast", "Busca": "paid_search", "Outdoor": "out_of_home"},
            },
            "spend_amount": {"from": "Investimento", "prefix": "R$ "},
            "impressions": {"from": "Impressões"},
            "clicks": {"from": "Cliques"},
            "claimed_value_amount": {"from": "Receita", "prefix": "R$ "},
        },
    )
    ambiguous = {
        **constants,
        "ad_account_id": {"value": "A"},
        "campaign_id": {"from": "campaign"},
        "channel": {"value": "display"},
    }
    brazil = stream(
        dialect={"delimiter": "|", "decimal": ",", "grouping": "."},
        columns={
            **ambiguous,
            "spend_date": {"from": "day", "format": "%d/%m/%Y"},
            "spend_amount": {"from": "cost"},
            "clicks": {"from": "cost"},
        },
        ignore=["clicks"],
    )
    america = stream(
        dialect={"delimiter": "|", "decimal": ".", "grouping": ","},
        columns={
            **ambiguous,
            "spend_date": {"from": "day", "format": "%m/%d/%Y"},
            "spend_amount": {"from": "cost"},
            "clicks": {"from": "clicks"},
        },
    )
    files = {
        "agency": (agency, "relatório de abril.txt", AGENCY.encode("latin-1")),
        "read_as_brazil": (brazil, "report", AMBIGUOUS.encode()),
        "read_as_america": (america, "report", AMBIGUOUS.encode()),
    }
    home.path.mkdir(parents=True)
    sources = {}
    for name, (declared, file, content) in files.items():
        sources[name] = {"connector": "files", "root": f"drop/{name}", "streams": {"performance_daily": declared}}
        home.drop(f"../{name}/{file}", content)
    settings = {
        "version": 1,
        "company": "Nobody",
        "reporting": {"currency": "BRL", "time_zone": "America/Sao_Paulo"},
        "sources": sources,
    }
    home.config.write_text(json.dumps(settings), encoding="utf-8")
    done = home.cli("run", "--as-of", "2026-05-10T06:00:00Z")
    assert done.returncode == 0, done.stderr[-3000:]
    return home


def rows(home: Home, source: str, columns: str) -> world.Rows:
    return home.query(
        f"select {columns} from marts.fct_ad_spend spend join marts.dim_campaign campaigns using (campaign_version_key)"
        f" where spend.is_current and spend.source_system = '{source}' order by all"
    )


@pytest.mark.long
def test_a_file_in_a_shape_of_its_own_gives_exact_figures(home: Home) -> None:
    third, fourth = dt.date(2026, 4, 3), dt.date(2026, 4, 4)
    columns = "spend_date, spend.campaign_id, spend.channel, spend_amount_rc, impressions, clicks, claimed_value_amount"
    assert rows(home, "agency", columns) == [
        (third, "0001", "broadcast", Decimal("1234.56"), None, None, None),
        (third, "0002", "paid_search", Decimal("12345678.90"), 1_234_567, 12_345, Decimal("99999999.99")),
        (fourth, "0001", "broadcast", Decimal("-0.01"), None, None, None),
        (fourth, "0003", "out_of_home", Decimal("7.5"), None, None, Decimal(0)),
    ]
    assert rows(home, "agency", "distinct spend.ad_account_id, campaign_name") == [
        ("Loja São João", "Liquidação"),
        ("Loja São João", 'Promoção "Já"'),
        ("Loja São João", None),
    ]
    assert home.query("select count(*) from metadata.quarantine_summary") == [(0,)]
    assert home.query("select sum(rows_extracted), sum(rows_loaded) from metadata.row_ledger") == [(8, 8)]


@pytest.mark.long
def test_the_same_bytes_under_two_declarations_give_two_right_results(home: Home) -> None:
    brazil, america = (home.path / "drop" / name / "report" for name in ("read_as_brazil", "read_as_america"))
    assert brazil.read_bytes() == america.read_bytes()
    columns = "spend_date, spend_amount, clicks"
    assert rows(home, "read_as_brazil", columns) == [
        (dt.date(2026, 4, 3), Decimal(1234), 1234),
        (dt.date(2026, 4, 5), Decimal(2500), 2500),
    ]
    assert rows(home, "read_as_america", columns) == [
        (dt.date(2026, 3, 4), Decimal("1.234"), 1),
        (dt.date(2026, 5, 4), Decimal("2.5"), 1),
    ]


def mentions(word: str) -> list[Path]:
    """Files of the package and of the dbt project in which a word stands, in its name or its text; not as a part of a
    longer word, as some names are of `tolist`."""
    written = re.compile(rf"(?<![a-z]){re.escape(word)}(?![a-z])", re.IGNORECASE)
    skipped = {"target", "logs", "dbt_packages", "__pycache__"}
    found = []
    for folder in ("src", "dbt_project"):
        for path in sorted(p for p in (PROJECT / folder).rglob("*") if p.is_file()):
            relative = path.relative_to(PROJECT)
            if skipped & set(relative.parts) or any(p.endswith(".egg-info") for p in relative.parts):
                continue
            text = relative.as_posix() + path.read_text(encoding="utf-8", errors="replace")
            if written.search(text):
                found.append(relative)
    return found


def test_no_example_is_named_in_the_code() -> None:
    names = [p.name for p in (PROJECT / "examples").iterdir() if p.is_dir()]
    assert names
    assert mentions("performance_daily"), "the search finds what is there"
    for name in names:
        for spelling in {name, name.replace("_", "-"), name.replace("_", " ")}:
            assert mentions(spelling) == [], spelling
