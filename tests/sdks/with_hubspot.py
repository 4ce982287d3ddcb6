"""HubSpot's SDK (hubspot-api-client): lists, archived records, searches, batches with history, owners, associations. Run by `.venv-sdks`."""

import json
import sys
from decimal import Decimal

from hubspot import HubSpot
from hubspot.crm.associations.v4 import BatchInputPublicFetchAssociationsBatchRequest
from hubspot.crm.objects import BatchReadInputSimplePublicObjectId, PublicObjectSearchRequest
from hubspot.oauth import ApiException  # noqa: F401  (the package is there)

asked = json.load(sys.stdin)
given = asked["connection"]
client = HubSpot(access_token=given["password"], host=given["host"])

found = {"objects": {}, "archived": {}, "searched": {}, "history": {}, "owners": [], "links": 0}
for name in asked["objects"]:
    basic = client.crm.objects.basic_api
    for kind, archived in (("objects", False), ("archived", True)):
        after, ids = None, []
        while True:
            page = basic.get_page(name, limit=50, after=after, archived=archived)
            ids += [each.id for each in page.results]
            if page.paging is None or page.paging.next is None:
                break
            after = page.paging.next.after
        found[kind][name] = ids
    after, ids = None, []
    while True:
        order = PublicObjectSearchRequest(
            limit=100,
            after=after,
            sorts=["hs_object_id"],
            properties=["hs_object_id"],
            filter_groups=[{"filters": [{"propertyName": "hs_object_id", "operator": "GTE", "value": "0"}]}],
        )
        page = client.crm.objects.search_api.do_search(name, order)
        ids += [each.id for each in page.results]
        if page.paging is None:
            break
        after = page.paging.next.after
    found["searched"][name] = ids
deals = found["objects"]["deals"]
amount, changes = Decimal(0), 0
for start in range(0, len(deals), 50):
    inputs = [{"id": each} for each in deals[start : start + 50]]
    order = BatchReadInputSimplePublicObjectId(
        inputs=inputs, properties=["amount"], properties_with_history=["dealstage"]
    )
    for deal in client.crm.objects.batch_api.read("deals", order).results:
        amount += Decimal(deal.properties["amount"] or 0)
        changes += len(deal.properties_with_history["dealstage"])
    order = BatchInputPublicFetchAssociationsBatchRequest(inputs=inputs)
    answer = client.crm.associations.v4.batch_api.get_page("deals", "contacts", order)
    found["links"] += sum(len(each.to) for each in answer.results)
found["history"] = {"amount": str(amount), "changes": changes}
found["owners"] = [owner.id for owner in client.crm.owners.get_all()]
found["stages"] = [s.id for p in client.crm.pipelines.pipelines_api.get_all("deals").results for s in p.stages]
found["properties"] = [p.name for p in client.crm.properties.core_api.get_all("deals").results]
print(json.dumps(found))
