"""The rewrites change no result: both graphs of each pair are executed with the models of the demo."""

import pytest
from django.db import transaction

from django_rpc import compute
from django_rpc.graph.plan import rewrites
from tests.graph.plan.rewrites import CASES

ALL = [(rule, name) for rule, cases in CASES.items() for name in cases]


def outcome(build, shop):
    """Return the values of the outputs, or the class of the error; all writes are rolled back."""
    with transaction.atomic():
        try:
            return compute(*build(shop))
        except Exception as error:  # noqa: BLE001 - the error is the outcome
            return type(error).__name__
        finally:
            transaction.set_rollback(True)


@pytest.fixture
def shop(remote):
    class Shop:
        def __getattr__(self, model):
            return getattr(remote, model).objects.delayed()

    return Shop()


@pytest.mark.parametrize(("rule", "name"), ALL)
def test_both_graphs_of_a_pair_have_equal_values(rule, name, shop, shop_data, monkeypatch):
    case = CASES[rule][name]
    rewritten = outcome(case.before, shop)
    monkeypatch.setattr(rewrites, "REWRITES", ())
    assert outcome(case.before, shop) == rewritten
    if case.after is not None:
        assert outcome(case.after, shop) == rewritten
    assert isinstance(rewritten, tuple) or name in ("an error remains", "another field is not nested")
