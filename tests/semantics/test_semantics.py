"""Random programs give the same on local models and through mirrors, and so do the programs that once did not."""

from __future__ import annotations

import pytest
from django.core.management.color import no_style
from django.db import connection
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
    """Make the rows, with the same keys after any other test: a flush does not set SQLite's sequences back."""
    sequences = connection.introspection.sequence_list()
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_by_name_sql(no_style(), sequences):
            cursor.execute(statement)
    fill(sides()[0])


@pytest.fixture
def advanced_sequence(db):
    """Move the sequence of a key on, as a test that commits rows does."""
    customers = sides()[0].Customer.objects
    customers.create(id=5000, name="x", email="x@example.org", city="Oslo", joined="2025-01-02").delete()
    assert customers.create(name="y", email="y@example.org", city="Oslo", joined="2025-01-02").delete()[0] == 1


def test_the_rows_have_the_same_keys_after_other_tests(advanced_sequence, filled):
    referrers = sides()[0].Customer.objects.order_by("pk").values_list("pk", "referred_by")
    assert list(referrers) == [(1, None), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)]
    connection.check_constraints()


@pytest.mark.parametrize("first", range(0, PROGRAMS, PART))
@pytest.mark.django_db(databases=["default", "rpc"])
def test_random_programs(filled, first):
    differences = [compare(Program.of(seed)) for seed in range(first, first + PART)]
    assert [str(one) for one in differences if one is not None and not one.reason] == []


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
    """Django groups by all columns of the model; the service refused the hidden column."""
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
