"""Random programs give the same on local models and through mirrors, and so do the programs that once did not."""

from __future__ import annotations

import pytest
from django.db.models import Exists, Max, OuterRef

from tests.semantics.data import fill
from tests.semantics.known import KNOWN
from tests.semantics.programs import Program, compare
from tests.semantics.sides import sides

PROGRAMS = 300
#: Programs of one test, so that a failure is easy to find.
PART = 50


@pytest.fixture
def filled(db):
    local = sides()[0]
    local.Customer.objects.all().delete()  # rows that a test of another file committed
    fill(local)


@pytest.mark.parametrize("first", range(0, PROGRAMS, PART))
@pytest.mark.django_db(databases=["default", "rpc"])
def test_random_programs(filled, first):
    differences = [compare(Program.of(seed)) for seed in range(first, first + PART)]
    assert [str(one) for one in differences if one is not None] == []


@pytest.mark.django_db(databases=["default", "rpc"])
def test_a_wrong_result_is_a_difference(filled, monkeypatch):
    """The comparison is no comparison of errors alone: a mirror that forgets a filter is found."""
    program = Program(
        0, "read", "query", ["note(lambda: rows(query(M.Order).filter(Q(total__gt=100)).order_by('pk')))"]
    )
    assert compare(program) is None
    remote = sides()[1]
    monkeypatch.setattr(type(remote.Order.objects.all()), "filter", lambda rows, *args, **kwargs: rows.all())
    assert compare(program) is not None


def test_each_known_difference_has_a_reason():
    assert all(len(reason) > 30 for reason, _ in KNOWN)


@pytest.mark.django_db(databases=["default", "rpc"])
def test_exists_of_groups_where_the_model_has_hidden_columns(filled):
    """Django groups by all columns of the model; the service refused the hidden one."""
    local, remote = sides()
    for customers in (remote.Customer.objects, remote.Customer.objects.delayed()):
        groups = customers.annotate(last=Max("joined"))
        found = groups.exists()
        assert (found if isinstance(found, bool) else found.compute()) is True
        none = groups.filter(last__year=1999).exists()
        assert (none if isinstance(none, bool) else none.compute()) is False
    results = []
    for side in (local, remote):
        groups = side.Customer.objects.annotate(last=Max("orders__total")).filter(pk=OuterRef("customer"), last__gt=300)
        results.append(list(side.Order.objects.filter(Exists(groups)).order_by("pk").values_list("pk", flat=True)))
    assert results[0] == results[1] != []
