"""Words that would become SQL: each public CVE of Django's ORM and its neighbours, refused before the ORM sees them."""

from __future__ import annotations

import pytest

from django_rpc.demo.server.shop.models import Customer, Product
from django_rpc.server.checks import check_django

from .conftest import expr, method, ref

CUSTOMERS, ORDERS, PRODUCTS = ["source", "shop.Customer"], ["source", "shop.Order"], ["source", "shop.Product"]
EVIL = [
    'x" FROM auth_user; --',
    "a b",
    "a.b",
    "a--b",
    "a;b",
    "a'b",
    "x\x00",
    "x\n",
    "x\t",
    "a/*b",
    "x" * 64,
    "é",
    "a(b",
    "a__b",
    "%s",
]
Q = ["AND", False, [["id__gt", 0]]]


def on(nodes, *more):
    return [nodes, *more]


#: CVE -> requests that tried it, or a variation.
ATTACKS = {
    "CVE-2025-64459": [
        *(
            on(CUSTOMERS, method(0, name, **{key: "OR"}))
            for name in ("filter", "exclude", "get")
            for key in ("_connector", "_negated")
        ),
        on(CUSTOMERS, method(0, "filter", {"$q": ["OR 1=1 OR", False, [["id", 1]]]})),
        on(CUSTOMERS, method(0, "filter", {"$q": ["AND", False, [["_connector", "OR"]]]})),
        on(CUSTOMERS, method(0, "filter", {"$dict": [["_connector", "OR"]]})),
        on(CUSTOMERS, method(0, "get_or_create", _connector="OR", defaults={})),
        on(CUSTOMERS, method(0, "filter", expr("lookup:exact", "id", 1, _connector="OR"))),
    ],
    "CVE-2022-28346": [
        on(CUSTOMERS, method(0, name, **{alias: expr("F", "id")}))
        for name in ("annotate", "aggregate", "alias")
        for alias in EVIL
        if name != "aggregate" or not alias.replace("_", "").isascii() or not alias.replace("_", "").isalnum()
    ],
    "CVE-2025-59681": [on(CUSTOMERS, method(0, "values", **{alias: expr("F", "id")})) for alias in EVIL],
    "CVE-2026-1287": [
        on(CUSTOMERS, method(0, "values_list", expr("Sum", f"id{control}x")))
        for control in ("\x00", "\x1f", "\x7f", "\x85", "\u2028")
    ],
    "CVE-2025-57833": [
        on(ORDERS, method(0, "annotate", **{alias: expr("FilteredRelation", "customer")})) for alias in EVIL
    ],
    "CVE-2025-13372": [
        on(ORDERS, method(0, "annotate", **{f"f{c}": expr("FilteredRelation", "customer")})) for c in ".$%"
    ],
    "CVE-2026-1312": [
        on(ORDERS, method(0, "annotate", f=expr("FilteredRelation", "customer")), method(1, "order_by", name))
        for name in ('f.x" DESC; --', "f.name", "-f.name", "+f. name")
    ],
    "CVE-2022-28347": [
        on(CUSTOMERS, method(0, "explain", **{option: value}))
        for option, value in (
            ("analyze); --", True),
            ("format", "text); --"),
            ("x", 1),
            ("ANALYZE", "on, x"),
            ("format", [1]),
        )
    ],
    "CVE-2024-42005": [
        on(PRODUCTS, method(0, name, path))
        for name in ("values", "values_list")
        for path in ("attributes__a'b", 'attributes__a"b', "attributes__a) --")
    ],
    "CVE-2019-14234": [
        on(PRODUCTS, method(0, "filter", **{path: 1}))
        for path in ("attributes__a'b", 'attributes__"a', "attributes__a)=1 OR 1=1")
    ],
    "CVE-2021-35042": [
        on(CUSTOMERS, method(0, "order_by", name)) for name in ("id; --", "shop_customer.id", "(id)", "id ASC", "--id")
    ],
    "CVE-2022-34265": [
        *(
            on(CUSTOMERS, method(0, "annotate", x=expr(name, "joined", part)))
            for name in ("Trunc", "Extract")
            for part in ("year', now())) --", "doy", "")
        ),
        on(CUSTOMERS, method(0, "annotate", x=expr("Trunc", "joined", kind="year' --"))),
        on(CUSTOMERS, method(0, "annotate", x=expr("ExtractYear", "joined", lookup_name="year' --"))),
        on(CUSTOMERS, method(0, "dates", "joined", "year' --")),
        on(CUSTOMERS, method(0, "datetimes", "joined", "hour", order="ASC; --")),
        on(CUSTOMERS, ["literal", "year' --"], method(0, "annotate", x=expr("Trunc", "joined", ref(1)))),
    ],
    "CVE-2020-7471": [on(CUSTOMERS, method(0, "annotate", x=expr("StringAgg", "name", delimiter="') --")))],
    "CVE-2024-53908": [on(PRODUCTS, method(0, "filter", expr("HasKey", "attributes", "a' --")))],
    "arguments that carry SQL": [
        on(CUSTOMERS, method(0, "annotate", x=expr(name, "name", **{keyword: "1; --"})))
        for name in ("Lower", "Count", "Coalesce", "Cast", "Now", "F", "Value", "ExpressionWrapper")
        for keyword in ("template", "function", "arg_joiner", "db_collation", "extra", "as_sql", "sql", "params")
    ],
    "expressions that are SQL": [
        on(CUSTOMERS, method(0, "annotate", x=expr(name, "1", [])))
        for name in (
            "RawSQL",
            "Func",
            "Collate",
            "SQLiteNumericMixin",
            "Expression",
            "Col",
            "Ref",
            "ResolvedOuterRef",
            "__import__",
        )
    ],
    "methods that are SQL": [
        on(CUSTOMERS, method(0, name, "SELECT 1"))
        for name in ("raw", "extra", "_raw_delete", "using", "iterator", "as_manager")
    ],
    "a foreign output field": [
        on(CUSTOMERS, method(0, "annotate", x=expr("Value", 1, output_field=field)))
        for field in (
            *(
                "TextField",
                {"db_type": "x"},
                expr("RawField"),
                expr("CharField", "x"),
                expr("CharField", db_collation='x" --'),
                expr("IntegerField", db_collation="x"),
            ),
            *(expr("DecimalField", max_digits="9) --"), expr("CharField", max_length=[1]), expr("ForeignKey"), ref(0)),
        )
    ],
    "operators and frames": [
        on(CUSTOMERS, method(0, "annotate", x=expr("CombinedExpression", expr("F", "id"), "; DROP", 1))),
        on(CUSTOMERS, method(0, "annotate", x=expr("Window", expr("Rank"), frame=expr("RowRange", "1; --", 2)))),
        on(
            CUSTOMERS,
            method(0, "annotate", x=expr("Window", expr("Rank"), frame=expr("RowRange", 0, 1, exclusion="X; --"))),
        ),
    ],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_refused_and_no_sql_runs(attack, send):
    assert ATTACKS[attack]
    for nodes in ATTACKS[attack]:
        answered = send(nodes)
        assert answered.code == "BadValue", (nodes, answered.answer)
        assert answered.statements == []


def test_name_from_a_reference(send, shop_data):
    """The decoder sees a node and no name; it is checked when the node's value is there."""
    for evil in EVIL[:8]:
        text = ["literal", evil]
        for nodes in (
            [text, CUSTOMERS, method(1, "order_by", ref(0))],
            [text, CUSTOMERS, method(1, "values", ref(0))],
            [text, CUSTOMERS, method(1, "annotate", x=expr("Lower", ref(0)))],
            [text, CUSTOMERS, method(1, "aggregate", expr("Sum", ref(0)))],
            [["literal", {"$tuple": [f"{evil}__gt", 1]}], CUSTOMERS, method(1, "filter", ref(0))],
        ):
            answered = send([*nodes, method(2, "first")] if nodes[2][2] != "aggregate" else nodes)
            assert answered.code == "ValueError", (evil, answered.answer)
            assert "is not a valid" in answered.message
            assert answered.statements == []


def test_keys_of_json_are_data(send, shop_data):
    """The text of a JSON key reaches the database as a parameter."""
    Product.objects.filter(pk=1).update(attributes={"a'); --": "found"})
    for nodes in (
        [
            PRODUCTS,
            method(0, "annotate", x=expr("KeyTextTransform", "a'); --", "attributes")),
            method(1, "filter", id=1),
            method(2, "count"),
        ],
        [PRODUCTS, method(0, "filter", attributes__has_key="a'); --"), method(1, "count")],
        [PRODUCTS, method(0, "filter", attributes__contains={"a'); --": "found"}), method(1, "count")],
    ):
        answered = send(nodes)
        assert answered.error is None or answered.code == "NotSupportedError", answered.answer
        assert answered.error or answered.output == 1
    made = send(
        [
            PRODUCTS,
            method(0, "annotate", x={"$expr": ["JSONObject", [], {"a'); --": expr("F", "sku")}]}),
            method(1, "first"),
        ]
    )
    assert made.error is None
    assert "a'); --" in made.text


def test_a_text_is_a_text(send, shop_data):
    """Quotes, wildcards and comments in values are values."""
    before = Customer.objects.count()
    for text in ("'; DROP TABLE shop_customer; --", '" OR ""="', "%", "_", "\\", "x' OR '1'='1"):
        assert send([CUSTOMERS, method(0, "filter", name=text), method(1, "count")]).output == 0
        assert send([CUSTOMERS, method(0, "filter", name__contains=text), method(1, "count")]).output == 0
    assert Customer.objects.count() == before


def test_an_old_django_is_an_error_of_the_checks(monkeypatch):
    assert check_django() == []
    for version in ((4, 2, 27), (5, 1, 14), (5, 2, 10), (6, 0, 1), (3, 2, 25), (5, 0, 14)):
        monkeypatch.setattr("django.VERSION", (*version, "final", 0))
        assert [found.id for found in check_django()] == ["django_rpc.W023"], version
    for version in ((4, 2, 28), (5, 2, 11), (6, 0, 2), (6, 1, 0)):
        monkeypatch.setattr("django.VERSION", (*version, "final", 0))
        assert check_django() == []
