"""Meta's SDK (facebook-business): every campaign and every day's figures, asked at once and as a job. Run by `.venv-sdks`."""

import json
import sys
import time

from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession

asked = json.load(sys.stdin)
FacebookSession.GRAPH = asked["connection"]["host"]
FacebookAdsApi.init(access_token=asked["connection"]["password"])

wanted = {
    "level": "campaign",
    "time_increment": 1,
    "time_range": {"since": asked["first"], "until": asked["last"]},
    "limit": 40,
}
fields = ["account_id", "campaign_id", "date_start", "spend", "impressions", "clicks", "actions"]
found = {"accounts": [], "campaigns": [], "rows": [], "rows_of_jobs": []}
for each in User("me").get_ad_accounts(fields=["account_id", "currency", "timezone_name"]):
    account = AdAccount(each["id"])
    found["accounts"].append([each["account_id"], each["currency"], each["timezone_name"]])
    campaigns = account.get_campaigns(fields=["id", "account_id", "name"], params={"limit": 2})
    found["campaigns"] += [[c["account_id"], c["id"], c["name"]] for c in campaigns]
    job = account.get_insights_async(fields=fields, params=wanted)
    while (status := job.api_get()["async_status"]) != "Job Completed":
        assert status in ("Job Not Started", "Job Started", "Job Running"), status
        time.sleep(0.02)
    answers = {
        "rows": account.get_insights(fields=fields, params=wanted),
        "rows_of_jobs": job.get_result(params={"limit": 40}),
    }
    for name, answer in answers.items():
        for row in answer:
            leads = [a["value"] for a in row.get("actions", ()) if a["action_type"] == "lead"]
            figures = [row["spend"], row["impressions"], row["clicks"], leads[0] if leads else "0"]
            found[name].append([row["account_id"], row["campaign_id"], row["date_start"], *figures])
print(json.dumps(found))
