"""Expressions of ``django.contrib.postgres``: their texts are data, and their columns are checked as all others."""

from __future__ import annotations

import pytest
from django.db import connection

from django_rpc.demo.server.shop.models import Customer
from django_rpc.graph.vocabulary.names import EXPRESSIONS, POSTGRES
from django_rpc.server import ModelRpc

from .conftest import expr, method, ref

CUSTOMERS = ["source", "shop.Customer"]
EVIL = [
    "'; DROP TABLE shop_customer; --",
    "english'::regconfig",
    "pg_catalog.a.b",
    "a b",
    "",
    "é",
    "%s",
    "x\x00",
    5,
    ["A"],
]
NAME = expr("F", "name")


def pg(name, /, *args, **kwargs):
    return expr(POSTGRES + name, *args, **kwargs)


def annotated(value):
    return [CUSTOMERS, method(0, "annotate", x=value), method(1, "values_list", "x")]


def aggregated(value):
    return [CUSTOMERS, method(0, "aggregate", x=value)]


#: Values that the check of each argument refuses, before an expression is made of them.
WRONG = {
    "config of a vector": [pg("SearchVector", "name", config=text) for text in EVIL],
    "config of a query": [pg("SearchQuery", "x", config=text) for text in EVIL],
    "config of a headline": [pg("SearchHeadline", "name", "x", config=text) for text in EVIL],
    "configuration": [pg("SearchConfig", text) for text in EVIL],
    "expression as a configuration": [pg("SearchConfig", expr("Lower", "name")), pg("SearchConfig", pg("RandomUUID"))],
    "weight": [pg("SearchVector", "name", weight=text) for text in [*EVIL, "E", "a", "AB", expr("F", "secret_note")]],
    "search_type": [pg("SearchQuery", "x", search_type=text) for text in [*EVIL, "to_tsquery", None]],
    "connector": [
        pg("CombinedSearchQuery", pg("SearchQuery", "x"), text, pg("SearchQuery", "y"), None) for text in EVIL
    ],
    "connector of vectors": [
        pg("CombinedSearchVector", pg("SearchVector", "name"), text, pg("SearchVector", "name"), None)
        for text in [*EVIL, "&&"]
    ],
    "sides": [
        pg("CombinedSearchQuery", pg("SearchQuery", "x"), "||", pg("SearchVector", "name"), None),
        pg("CombinedSearchQuery", NAME, "||", pg("SearchQuery", "x"), None),
        pg("CombinedSearchVector", pg("SearchVector", "name"), "||", expr("Value", "x"), None),
    ],
    "delimiter": [pg("StringAgg", "name", value) for value in (NAME, 5, None, [","], expr("Lower", "name"))],
    "name": [
        pg("ArrayAgg", "name); --"),
        pg("StringAgg", "name); --", ","),
        pg("SearchVector", "name || secret"),
        pg("SearchRank", "na me", "x"),
        pg("SearchHeadline", "na'me", "x"),
        pg("TrigramSimilarity", "na-me", "x"),
        pg("TrigramWordSimilarity", "x", "na-me"),
        pg("Corr", "id", "i.d"),
        pg("ArrayAgg", "name", order_by="na me"),
        pg("ArrayAgg", "name", ordering=["id", "-na;me"]),
        pg("JSONBAgg", ["name"]),
    ],
    "number of arguments": [
        pg("RandomUUID", "name"),
        pg("TransactionNow", expr("F", "secret_note")),
        pg("SearchQuery", "x", expr("TextField")),
        pg("StringAgg", "name", ",", "secret_note"),
        pg("ArraySubquery", "name"),
    ],
    "options of a headline": [
        pg("SearchHeadline", "name", "x", start_sel=value) for value in (["<b>"], NAME, {"a": 1})
    ],
    "base of an array": [
        expr("Cast", "name", pg("ArrayField", base_field="text); --")),
        expr("Cast", "name", pg("ArrayField", base_field=expr("F", "name"))),
        expr("Cast", "name", pg("ArrayField", base_field=expr("TextField"), size="9]; --")),
        expr("Cast", "name", pg("RangeField")),
    ],
    "unknown": [pg("OpClass", "name", "x"), pg("PostgresConfig"), pg("Func", "name"), pg("connection")],
}


@pytest.mark.parametrize("kind", WRONG)
def test_an_argument_that_is_no_data(send, shop_data, kind):
    for value in WRONG[kind]:
        for nodes in (annotated(value), aggregated(value), [CUSTOMERS, method(0, "filter", name=value)]):
            answered = send(nodes)
            assert answered.code in ("BadValue", "ValueError"), (value, answered.text)
            assert not answered.data_statements


@pytest.mark.parametrize("keyword", ["template", "function", "arg_joiner", "options", "expressions", "order"])
def test_no_keyword_is_a_part_of_a_template(send, shop_data, keyword):
    for name in EXPRESSIONS:
        if name.startswith(POSTGRES):
            answered = send(annotated(expr(name, "name", **{keyword: "1); DROP TABLE shop_customer; --"})))
            assert answered.code == "BadValue"
            assert not answered.data_statements


def forms(name):
    """Each position of a column name in an expression."""
    condition = {"$q": ["AND", False, [[name, "x"]]]}
    query = pg("SearchQuery", "x")
    return [
        *(aggregated(pg(kind, name)) for kind in ("ArrayAgg", "JSONBAgg", "BitAnd", "BoolOr")),
        aggregated(pg("ArrayAgg", expr("F", name))),
        aggregated(pg("ArrayAgg", "id", order_by=name)),
        aggregated(pg("ArrayAgg", "id", order_by=["id", f"-{name}"])),
        aggregated(pg("StringAgg", "name", ",", ordering=expr("OrderBy", expr("F", name), descending=True))),
        aggregated(pg("ArrayAgg", "id", filter=condition)),
        aggregated(pg("ArrayAgg", "id", default=expr("F", name))),
        aggregated(pg("StringAgg", name, ",")),
        aggregated(pg("Corr", "id", name)),
        aggregated(pg("CovarPop", name, "id", sample=True)),
        aggregated(pg("RegrCount", y="id", x=name)),
        aggregated(pg("BoolAnd", condition)),
        annotated(pg("SearchVector", "name", name)),
        annotated(pg("SearchVector", "name", config=expr("F", name))),
        annotated(pg("CombinedSearchVector", pg("SearchVector", "name"), "||", pg("SearchVector", name), None)),
        annotated(pg("SearchQuery", expr("F", name))),
        annotated(pg("SearchRank", name, "x")),
        annotated(pg("SearchRank", pg("SearchVector", expr("Lower", name)), query)),
        annotated(pg("SearchRank", "name", query, weights=expr("F", name))),
        annotated(pg("SearchHeadline", name, "x")),
        annotated(pg("SearchHeadline", "name", query, config=pg("SearchConfig", expr("F", name)))),
        annotated(pg("TrigramSimilarity", name, "x")),
        annotated(pg("TrigramDistance", "name", expr("F", name))),
        annotated(pg("TrigramWordDistance", "x", name)),
        [CUSTOMERS, method(0, "order_by", pg("TrigramDistance", name, "x")), method(1, "values_list", "id")],
        [
            CUSTOMERS,
            method(0, "annotate", x=pg("SearchVector", name)),
            method(1, "filter", x=query),
            method(2, "count"),
        ],
        [
            CUSTOMERS,
            method(0, "values", name),
            method(0, "annotate", x=pg("ArraySubquery", ref(1))),
            method(2, "first"),
        ],
        [CUSTOMERS, method(0, "values", "id"), method(1, "annotate", x=pg("ArrayAgg", f"referred_by__{name}"))],
        [CUSTOMERS, method(0, "filter", **{f"{name}__search": "x"}), method(1, "count")],
        [CUSTOMERS, method(0, "filter", **{f"{name}__trigram_similar": "x"}), method(1, "count")],
    ]


def test_hidden_field_is_like_unknown_field(send, shop_data, registered):
    registered(Customer, fields=["id", "name", "referred_by"])
    Customer.objects.update(secret_note="note-of-mine")
    for hidden, unknown in zip(forms("secret_note"), forms("secret_nope"), strict=True):
        first, second = send(hidden), send(unknown)
        assert first.error is not None, hidden
        assert first.code == second.code, (hidden, first.text, second.text)
        assert first.message.replace("secret_note", "") == second.message.replace("secret_nope", "")
        assert not first.data_statements
        assert "note-of-mine" not in first.text


def test_aggregates_exclude_hidden_rows(send, shop_data, registered):
    mine = Customer.objects.order_by("pk").first()

    class OwnCustomerRpc(ModelRpc):
        fields = ["id", "name"]

        def get_queryset(self, request):
            return super().get_queryset(request).filter(pk=mine.pk)

    registered(Customer, OwnCustomerRpc)
    answered = send(aggregated(pg("ArrayAgg", "name")))
    if connection.vendor == "postgresql":
        assert answered.output == {"x": [mine.name]}
    else:
        assert answered.code == "NotSupportedError"


@pytest.mark.parametrize("text", ["'; DROP TABLE shop_customer; --", "%s", '"', "\\", "a' || secret_note || '"])
def test_a_text_is_a_parameter(send, shop_data, text):
    """CVE-2020-7471: the delimiter of StringAgg was a part of the SQL."""
    names = list(Customer.objects.order_by("pk").values_list("name", flat=True))
    answered = send(aggregated(pg("StringAgg", "name", text, order_by="pk")))
    headline = send(
        annotated(pg("SearchHeadline", "name", "x", start_sel=text, stop_sel=text, fragment_delimiter=text))
    )
    ranked = send(annotated(pg("SearchRank", "name", text)))
    if connection.vendor == "postgresql":
        assert answered.output == {"x": text.join(names)}
        assert headline.error is None
        assert ranked.error is None
    else:
        assert {answered.code, headline.code, ranked.code} == {"NotSupportedError"}
    assert Customer.objects.count() == len(names)


def test_a_collected_text_is_bounded(send, shop_data):
    """Each row would repeat the literal."""
    for value in (
        pg("StringAgg", "name", "x" * 500_000),
        pg("ArrayAgg", expr("Repeat", expr("Value", "x"), 5_000_000)),
    ):
        answered = send(aggregated(value))
        assert answered.code == "ResponseTooLarge"
        assert not answered.data_statements


def test_text_from_a_reference(send, shop_data):
    for value in (
        pg("ArrayAgg", ref(1)),
        pg("SearchVector", "name", config=ref(1)),
        pg("SearchVector", "name", weight=ref(1)),
        pg("SearchQuery", "x", search_type=ref(1)),
        pg("SearchHeadline", "name", "x", config=ref(1)),
        pg("Corr", "id", ref(1)),
    ):
        for nodes in ([method(0, "aggregate", x=value)], [method(0, "annotate", x=value), method(2, "first")]):
            answered = send([CUSTOMERS, ["literal", "'; --"], *nodes])
            assert answered.code == "ValueError"
            assert not answered.data_statements
