"""simple-salesforce: queries page by page, deleted records, describe, and Bulk API 2.0. Run by `.venv-sdks`."""

import csv
import io
import json
import sys
from decimal import Decimal

import requests
from simple_salesforce import Salesforce

asked = json.load(sys.stdin)
given = asked["connection"]


class Plain(requests.Session):
    """The library writes https whatever it is told; the sandbox's server has no certificate."""

    def request(self, method, url, *args, **kwargs):
        return super().request(method, url.replace("https://", "http://", 1), *args, **kwargs)


form = {
    "grant_type": "refresh_token",
    "client_id": given["login"],
    "client_secret": given["password"],
    **given["extra"],
}
session = Plain()
login = session.post(f"{given['host']}/services/oauth2/token", data=form).json()
sf = Salesforce(
    instance_url=login["instance_url"],
    session_id=login["access_token"],
    version=asked["version"],
    session=session,
    parse_float=Decimal,
)
small = {"Sforce-Query-Options": "batchSize=200"}
found = {"objects": {}, "deleted": {}, "bulk": {}, "fields": {}, "amounts": None}
for name in asked["objects"]:
    query = f"SELECT Id FROM {name}"
    found["objects"][name] = [row["Id"] for row in sf.query_all_iter(query, headers=small)]
    found["deleted"][name] = [
        row["Id"] for row in sf.query_all_iter(f"{query} WHERE IsDeleted = true", include_deleted=True, headers=small)
    ]
    found["fields"][name] = [field["name"] for field in getattr(sf, name).describe()["fields"]]
    pages = getattr(sf.bulk2, name).query(query, max_records=60, wait=0.1)
    found["bulk"][name] = [row["Id"] for page in pages for row in csv.DictReader(io.StringIO(page))]
amounts = (row["Amount"] for row in sf.query_all("SELECT Amount FROM Opportunity WHERE Amount != null")["records"])
found["amounts"] = str(sum(map(Decimal, amounts)))
found["limits"] = sf.limits()["DailyApiRequests"]
print(json.dumps(found))
