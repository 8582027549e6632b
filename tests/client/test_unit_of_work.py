"""The end of a block that collects operations: each result is set and each notification is sent."""

from __future__ import annotations

import pytest

from django_rpc.client.unit_of_work import Operation, Unit
from django_rpc.graph.nodes import Method, ModelSource

COUNT = Method(parent=ModelSource(model="shop.Order", service="rpc"), name="count")


def test_failed_notification_does_not_prevent_others():
    told = []

    def refuse(answer):
        told.append(answer)
        raise LookupError(answer)

    unit = Unit("rpc")
    results = [unit.collect(Operation(COUNT, after=after)) for after in (refuse, told.append, refuse)]
    unit.after(lambda: told.append("callback"))
    with pytest.raises(LookupError, match="a"):
        unit._finish(["a", "b", "c"])
    assert told == ["a", "b", "c", "callback"]
    assert [result.result() for result in results] == ["a", "b", "c"]


def test_operation_without_result_is_not_notified():
    told = []

    def fail(answer):
        raise LookupError(answer)

    unit = Unit("rpc")
    unit.collect(Operation(COUNT, finish=fail, after=told.append))
    unit.collect(Operation(COUNT, after=told.append))
    with pytest.raises(LookupError, match="a"):
        unit._finish(["a", "b"])
    assert told == ["b"]
