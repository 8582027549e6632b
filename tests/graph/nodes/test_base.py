"""The registry of node kinds: a single declaration of each kind, and the tables that derive from it."""

import json

import pytest

from django_rpc.graph.nodes import ALL_KINDS, KINDS, LOCAL_KINDS, Node, Place
from django_rpc.graph.nodes.source import ModelSource

END_TO_END = """
import json
from tests.graph.toy.weighing import Weighing
import tests.graph.toy.evaluator
import django
django.setup()

from django.core.management import call_command
from django.db import connections
from django_rpc.demo.server.shop.models import Tag
from django_rpc.graph.delayed.runner import Output
from django_rpc.graph.draw.graph_dot import to_dot
from django_rpc.graph.format import describe
from django_rpc.graph.identity import key_text
from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.telemetry import operations
from django_rpc.wire.codec import decode_request, encode_request
from django_rpc.wire.messages import Request

call_command("migrate", run_syncdb=True, verbosity=0)
Tag.objects.bulk_create([Tag(name="a"), Tag(name="b")])

tags = ModelSource("shop.Tag", "rpc")
named = Method(tags, "filter", (), {"name": "a"})
nodes = (tags, Weighing(tags, 3), named, Weighing(named, factor=5, unit="g"))
request = Request(id="1", nodes=nodes, outputs=(1, 3))
data = encode_request(request)
copy = decode_request(data).nodes
print(json.dumps({
    "text": [describe(node) for node in nodes[1::2]],
    "dot": ".weigh(3, 'kg')" in to_dot([nodes[1]]),
    "wire": [form for form in json.loads(data)["nodes"] if form[0] == "weighing"],
    "read": [[type(node).__name__, node.factor, node.unit] for node in copy[1::2]],
    "key": key_text(nodes[1]).partition("-")[0],
    "one": connections["rpc"].session.compute([Output(nodes[1])]),
    "several": connections["rpc"].session.compute([Output(nodes[1]), Output(nodes[3])]),
    "verbs": [operations.kind(request), "weigh" in operations.KINDS],
    "name": operations.name(nodes[3]),
}))
"""

WITHOUT_EVALUATOR = """
from tests.graph.toy.weighing import Weighing
import django
django.setup()
try:
    import django_rpc.server.evaluate.evaluation
except ImportError as error:
    print(error)
"""

SETTINGS = {"DJANGO_SETTINGS_MODULE": "django_rpc.demo.both_settings", "DJANGO_RPC_DEMO_DATABASE": "sqlite://"}


def test_toy_kind_runs_end_to_end(run_python):
    results = json.loads(run_python(END_TO_END, env=SETTINGS).stdout)
    assert results == {
        "text": ["Tag.objects.weigh(3, 'kg')", "Tag.objects.filter(name='a').weigh(5, 'g')"],
        "dot": True,
        "wire": [["weighing", 0, 3], ["weighing", 2, 5, "g"]],
        "read": [["Weighing", 3, "kg"], ["Weighing", 5, "g"]],
        "key": "weighing",
        "one": ["6 kg"],
        "several": ["6 kg", "5 g"],
        "verbs": ["weigh", True],
        "name": "shop.Tag.weighing",
    }


def test_a_kind_without_an_evaluator_fails_at_import(run_python):
    printed = run_python(WITHOUT_EVALUATOR, env=SETTINGS).stdout
    assert "The node kinds Weighing have no evaluator" in printed


@pytest.mark.parametrize(
    ("left_out", "message"),
    [("tag", "declares no tag"), ("place", "declares no place"), ("operation", "declares no operation")],
)
def test_an_incomplete_declaration_fails_at_import(left_out, message):
    declared = {"tag": "incomplete", "place": Place.PARENT, "operation": "read", "text": lambda node, write: ""}
    del declared[left_out]
    with pytest.raises(TypeError, match=message):
        type(Node)("Incomplete", (Node,), declared, frozen=True, eq=False)
    assert "incomplete" not in ALL_KINDS


def test_a_kind_without_a_text_fails_at_import():
    declared = {"tag": "incomplete", "place": Place.PARENT, "operation": "read"}
    with pytest.raises(TypeError, match="declares no text"):
        type(Node)("Incomplete", (Node,), declared, frozen=True, eq=False)


def test_two_kinds_cannot_have_the_same_tag():
    declared = {"tag": "source", "place": Place.PARENT, "operation": "read", "text": lambda node, write: ""}
    with pytest.raises(TypeError, match="Other and ModelSource have the same tag"):
        type(Node)("Other", (Node,), declared, frozen=True, eq=False)
    assert KINDS["source"] is ModelSource


def test_the_kinds_of_the_client_are_those_without_a_wire_form():
    assert {tag for tag, kind in ALL_KINDS.items() if kind.place is Place.CLIENT} == set(LOCAL_KINDS)
