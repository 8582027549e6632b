"""The example server on each kind of database: equal rows, and counters that go on after them."""

from __future__ import annotations

import json

import pytest

from django_rpc.demo import environment
from django_rpc.demo.services import SERVER_SETTINGS

LOOK = """
import django, json
django.setup()
from django.db import transaction
from django_rpc.demo.server.shop import models

# Other tests of the session write to these databases as well: what was loaded has the lowest keys.
rows = {
    model.__name__: [str(row) for row in model.objects.filter(pk__lte=loaded).order_by("pk").values_list()]
    for model, loaded in ((models.Product, 120), (models.Order, 1500), (models.Tag, 8))
}
last = [model.objects.order_by("pk").last().pk for model in (models.Tag, models.Order)]
with transaction.atomic():
    tag = models.Tag.objects.create(name="one-more")
    order = models.Order.objects.create(customer_id=1)
    audit = list(models.AuditEntry.objects.filter(object_pk=str(order.pk)).values_list("action", flat=True))
    transaction.set_rollback(True)
new = [tag.pk, order.pk]
print(json.dumps({"rows": rows, "last": last, "new": new, "number": order.number, "audit": audit}))
"""


@pytest.mark.parametrize("database", ["sqlite_url", "postgresql_url", "mariadb_url"])
def test_rows_are_equal_and_sequences_continue(database, request, prepared, run_python, sqlite_url):
    seen = []
    for url in (prepared(sqlite_url), prepared(request.getfixturevalue(database))):
        env = {"DJANGO_SETTINGS_MODULE": SERVER_SETTINGS, environment.DATABASE: url}
        seen.append(json.loads(run_python(LOOK, env=env).stdout))
    assert len(seen[0]["rows"]["Order"]) == 1500
    assert seen[1]["rows"] == seen[0]["rows"]
    assert all(new > last for new, last in zip(seen[1]["new"], seen[1]["last"], strict=True))
    assert seen[1]["number"]
    assert seen[1]["audit"] == ["create"]
