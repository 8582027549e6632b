"""The end of a block that collects operations: each result is set and each notification is sent."""

from __future__ import annotations

import pytest

from django_rpc.client.unit_of_work import Operation, Unit
from django_rpc.graph.nodes import Method, ModelSource

COUNT = Method(parent=ModelSource(model="shop.Order", service="rpc"), name="count")


def test_an_error_of_one_notification_does_not_prevent_the_others():
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


def test_an_operation_without_a_result_is_not_notified_and_the_others_are():
    told = []

    def fail(answer):
        raise LookupError(answer)

    unit = Unit("rpc")
    unit.collect(Operation(COUNT, finish=fail, after=told.append))
    unit.collect(Operation(COUNT, after=told.append))
    with pytest.raises(LookupError, match="a"):
        unit._finish(["a", "b"])
    assert told == ["b"]
