"""LinkedIn's SDK (linkedin-api-client): a token, every account and campaign, every day's figures. Run by `.venv-sdks`."""

import json
import sys

from linkedin_api.clients.auth.client import AuthClient
from linkedin_api.clients.restli.client import RestliClient
from linkedin_api.common import constants

asked = json.load(sys.stdin)
given = asked["connection"]
constants.OAUTH_BASE_URL = f"{given['host']}/oauth/v2"
constants.VERSIONED_BASE_URL = f"{given['host']}/rest"

login = AuthClient(client_id=given["login"], client_secret=given["password"])
token = login.exchange_refresh_token_for_access_token(given["extra"]["refresh_token"]).access_token
client = RestliClient()
said = {"access_token": token, "version_string": asked["version"]}


def searched(path, **keys):
    """All elements of a search, three at a time. The SDK knows `paging` alone, so the token is taken from the answer itself."""
    page = {}
    while True:
        answer = client.finder(
            resource_path=path,
            path_keys=keys or None,
            finder_name="search",
            query_params={"pageSize": 3, **page},
            **said,
        )
        assert answer.status_code == 200, answer.response.text
        yield from answer.elements
        following = answer.response.json()["metadata"].get("nextPageToken")
        if following is None:
            return
        page = {"pageToken": following}


def day(text):
    year, month, number = map(int, text.split("-"))
    return {"year": year, "month": month, "day": number}


found = {"accounts": [], "campaigns": [], "rows": []}
for account in searched("/adAccounts"):
    found["accounts"].append([str(account["id"]), account["currency"]])
    campaigns = [c["id"] for c in searched("/adAccounts/{id}/adCampaigns", id=account["id"])]
    found["campaigns"] += [[str(account["id"]), str(campaign)] for campaign in campaigns]
    answer = client.finder(
        resource_path="/adAnalytics",
        finder_name="statistics",
        query_params={
            "pivots": ["ACCOUNT", "CAMPAIGN"],
            "timeGranularity": "DAILY",
            "dateRange": {"start": day(asked["first"]), "end": day(asked["last"])},
            # so many that the query is tunnelled in the body of a POST
            "campaigns": [f"urn:li:sponsoredCampaign:{c}" for c in campaigns for _ in range(-(-200 // len(campaigns)))],
            "accounts": [f"urn:li:sponsoredAccount:{account['id']}"],
            "fields": "dateRange,pivotValues,costInLocalCurrency,impressions,clicks,oneClickLeads",
        },
        **said,
    )
    assert answer.status_code == 200, answer.response.text
    for row in answer.elements:
        start = row["dateRange"]["start"]
        ids = [urn.rpartition(":")[2] for urn in row["pivotValues"]]
        figures = [row[name] for name in ("costInLocalCurrency", "impressions", "clicks", "oneClickLeads")]
        found["rows"].append([*ids, f"{start['year']}-{start['month']:02}-{start['day']:02}", *figures])
    found["methods"] = answer.response.request.method
print(json.dumps(found))
