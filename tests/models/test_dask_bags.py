"""Queries of mirrors as the partitions of a bag of dask."""

from __future__ import annotations

import dask
import dask.bag
import pytest

from django_rpc.graph.delayed.delayed import Delayed

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def test_queries_are_partitions_of_a_bag(remote, shop_data):
    """``from_delayed`` requires the attribute ``key``: a query has it, and a value has a field of this name."""
    tags = remote.Tag.objects.order_by("pk")
    names = list(tags.values_list("name", flat=True))
    with dask.config.set(scheduler="synchronous"):
        bag = dask.bag.from_delayed([tags.delayed(), tags[:1].delayed()])
        assert bag.map(str).compute() == [*names, names[0]]
        assert dask.bag.from_delayed([tags.delayed().map(lambda tag: tag.name)]).compute() == names
        assert dask.delayed(len)(tags.delayed()).compute() == len(names)
    assert tags.delayed().key == tags.delayed().__dask_keys__()[0]
    assert isinstance(tags.delayed().first().key, Delayed)


def test_a_bag_takes_a_list_of_queries(remote, shop_data):
    with pytest.raises(TypeError, match="it cannot be iterated over"):
        dask.bag.from_delayed(remote.Tag.objects.delayed())
