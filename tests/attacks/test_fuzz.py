"""Broken and hostile messages: no crash, no hang, no leak, only the package's errors. ``make fuzz`` runs longer."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_rpc.graph.nodes import KINDS

from . import graphs, oracle


@pytest.fixture
def guarded(shop_data, settings):
    settings.DJANGO_RPC = oracle.SETTINGS
    with oracle.Guarded() as found:
        yield found


QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=120, **QUIET)
@given(chooser=st.randoms(use_true_random=False))
def test_graphs_of_the_vocabulary(guarded, chooser):
    guarded.check(graphs.message(graphs.Choices(chooser.randrange)))


@settings(max_examples=120, **QUIET)
@given(data=st.binary(max_size=300))
def test_bytes(guarded, data):
    assert guarded.check(data, look=False) in ("BadMessage", "VersionMismatch", "MessageTooDeep")


def test_the_generator_makes_every_kind_and_some_that_are_answered(guarded):
    choices = graphs.Choices(random.Random(7).randrange)
    kinds = set()
    for _ in range(400):
        data = graphs.message(choices)
        kinds |= {kind for kind in KINDS if f'"{kind}"'.encode() in data}
        guarded.check(data, look=False)
    assert kinds == set(KINDS)
    assert guarded.codes["answered"] > 40
    assert len(guarded.codes) > 10


def test_the_oracle_sees_a_hidden_value_and_a_change(guarded, monkeypatch):
    from .defences import DEFENCES

    read = b'{"v":1,"id":"x","nodes":[["source","shop.Customer"],["method",0,"values",["name"],{}]],"outputs":[1]}'
    guarded.check(read)
    DEFENCES["rows"].take_out(monkeypatch)
    with pytest.raises(oracle.Violation, match="hidden value"):
        guarded.check(read)
