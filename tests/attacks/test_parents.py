"""Multi-table inheritance: no write of a child row reaches the parent row of another client."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection, models

from django_rpc.demo.server.zoo.models import Place, Restaurant
from django_rpc.server import ModelRpc, site

from .conftest import expr, method, ref

ALL = {"read", "create", "update", "delete"}
MINE, THEIRS = "mine", "theirs"


def _rpc(model):
    """A ModelRpc that shows the rows of the owner ``mine``, by a field that clients may set."""

    class OfThisClientRpc(ModelRpc):
        fields = "__all__"
        operations = ALL

        def get_queryset(self, request):
            return self.model._base_manager.filter(owner=MINE)

    return OfThisClientRpc


class _Family:
    """Models of every form of inheritance, with tables for one test."""

    def __init__(self):
        def model(name_, /, *bases, meta=None, **fields):
            options = type("Meta", (), {"app_label": "zoo", **(meta or {})})
            return type(name_, bases or (models.Model,), {"__module__": __name__, "Meta": options, **fields})

        def owner():
            return models.CharField(max_length=10, default=MINE)

        self.Root = model("AtkRoot", owner=owner(), name=models.CharField(max_length=20, default=""))
        self.Child = model("AtkChild", self.Root, size=models.IntegerField(default=0))
        self.Proxy = model("AtkProxy", self.Child, meta={"proxy": True})
        abstract = model("AtkAbstract", self.Proxy, meta={"abstract": True}, tint=models.IntegerField(default=0))
        self.Grandchild = model("AtkGrandchild", abstract, depth=models.IntegerField(default=0))
        self.Other = model(
            "AtkOther",
            oid=models.AutoField(primary_key=True),
            other_owner=owner(),
            label=models.CharField(max_length=20, default=""),
        )
        self.Both = model(
            "AtkBoth", self.Root, self.Other, both=models.IntegerField(default=0)
        )  # its key is that of Root, and it has a link to Other as well
        self.Named = model(
            "AtkNamed",
            self.Root,
            number=models.AutoField(primary_key=True),
            base=models.OneToOneField(self.Root, models.CASCADE, parent_link=True, related_name="named"),
        )  # with a primary key besides the link
        self.Code = model(
            "AtkCode",
            code=models.CharField(max_length=10, primary_key=True),
            owner=owner(),
            name=models.CharField(max_length=20, default=""),
        )
        self.Coded = model("AtkCoded", self.Code, size=models.IntegerField(default=0))
        self.models = [
            self.Root, self.Child, self.Grandchild, self.Other, self.Both, self.Named, self.Code, self.Coded,
        ]  # fmt: skip
        editor = connection.schema_editor()
        editor.deferred_sql = []
        for table in self.models:
            editor.create_model(table)
        for statement in editor.deferred_sql:
            editor.execute(statement)
        for exposed in (*self.models, self.Proxy):
            site.register(exposed, _OtherRpc if exposed is self.Other else _rpc(exposed))

    def forget(self):
        for exposed in (*self.models, self.Proxy):
            site.unregister(exposed)
            del apps.all_models["zoo"][exposed._meta.model_name]
        apps.clear_cache()


class _OtherRpc(ModelRpc):
    fields = "__all__"
    operations = ALL

    def get_queryset(self, request):
        return self.model._base_manager.filter(other_owner=MINE)


@pytest.fixture
def family(db):
    made = _Family()
    try:
        yield made
    finally:
        made.forget()


def state(family):
    return [list(model._base_manager.order_by("pk").values()) for model in family.models]


#: model -> the forms of its keys; `key` is the key of another client's row of Root.
WAYS = {
    "AtkChild": [["id"], ["pk"], ["root_ptr"], ["root_ptr_id"], ["id", "root_ptr_id"], ["pk", "id"]],
    "AtkProxy": [["id"], ["pk"], ["root_ptr_id"]],
    "AtkGrandchild": [
        ["id"], ["pk"], ["child_ptr"], ["child_ptr_id"], ["root_ptr_id"], ["root_ptr"], ["id", "child_ptr_id"],
    ],
    "AtkBoth": [["id"], ["pk"], ["root_ptr_id"], ["root_ptr"]],
    "AtkNamed": [["id"], ["base"], ["base_id"]],
}  # fmt: skip


def _attribute_names(names):
    """The names that Django gives to the automatic links of these models."""
    links = {"root_ptr": "atkroot_ptr", "child_ptr": "atkchild_ptr"}
    attributes = {f"{name}_id": f"{link}_id" for name, link in links.items()}
    return [{**links, **attributes}.get(name, name) for name in names]


def writes_of(label, keys):
    """Yield each way to write a row of a model with these keys; a save takes names of attributes."""
    rows, values = ["source", label], {**keys, "owner": MINE, "name": "taken"}
    attributes = {("root_ptr" if n == "pk" else n): v for n, v in keys.items()}
    yield [rows, method(0, "create", **values)]
    yield [rows, method(0, "get_or_create", **keys, defaults={"owner": MINE, "name": "taken"})]
    yield [rows, method(0, "get_or_create", name="taken", defaults={**keys, "owner": MINE})]
    yield [rows, method(0, "update_or_create", **keys, defaults={"owner": MINE, "name": "taken"})]
    yield [rows, method(0, "update_or_create", name="taken", create_defaults={**keys, "owner": MINE}, defaults={})]
    if "pk" in keys:
        return
    attributes = {n if n in ("id", "oid") or n.endswith("_id") else f"{n}_id": v for n, v in attributes.items()}
    for adding in (True, False):
        for options in ({}, {"force_insert": True}, {"raw": True}, {"update_fields": ["name", "owner"]},
                        {"force_update": True}):  # fmt: skip
            saved = {**attributes, "owner": MINE, "name": "taken"}
            yield [["save", label, saved, adding, options]]
    names = [*attributes, "owner", "name"]
    yield [["insert", label, names, ["int"] * len(attributes) + ["str", "str"],
            [[*attributes.values(), MINE, "taken"]], {}]]  # fmt: skip
    yield [["insert", label, list(attributes), ["int"] * len(attributes), [[*attributes.values()]], {}]]


@pytest.mark.parametrize(("model", "names"), [(m, names) for m, ways in WAYS.items() for names in ways])
def test_the_parent_row_of_another_client(send, family, model, names):
    """The key has several names, and a row is written in several ways."""
    theirs = family.Root.objects.create(owner=THEIRS, name="before")
    between = family.Child.objects.create(owner=THEIRS, name="before")
    for victim in (theirs, between):
        keys = dict.fromkeys(_attribute_names(names), victim.pk)
        if model == "AtkChild" and victim is between:
            continue  # the row of another client itself
        before = state(family)
        for nodes in writes_of(f"zoo.{model}", keys):
            answered = send(nodes)
            assert answered.error is not None, nodes
            assert state(family) == before, nodes


@pytest.mark.parametrize("has_child", [False, True])
def test_the_parent_row_with_an_empty_text_key(send, family, has_child):
    """Django's save() makes a missing text key the empty text, and then updates the parent's row with this key."""
    (family.Coded if has_child else family.Code).objects.create(code="", owner=THEIRS, name="before")
    before = state(family)
    for keys in ({}, {"code": None}, {"code": ""}):
        for nodes in writes_of("zoo.AtkCoded", keys):
            answered = send(nodes)
            assert answered.error is not None, nodes
            assert state(family) == before, nodes


def test_parent_link_next_to_key(send, family):
    """A child of two parents has a key for each; the second is checked as the first is."""
    theirs = family.Other.objects.create(other_owner=THEIRS, label="before")
    mine = family.Both.objects.create(name="own")
    own = family.Other.objects.get(pk=mine.oid)
    rows, before = ["source", "zoo.AtkBoth"], state(family)
    link = {"oid": theirs.pk, "atkother_ptr_id": theirs.pk}
    for keys in (*({name: value} for name, value in link.items()), link):
        changed = {**keys, "other_owner": MINE, "label": "taken"}
        for nodes in (
            [rows, method(0, "create", name="new", **changed)],
            [rows, method(0, "create", pk=theirs.pk + 50, **changed)],
            [rows, method(0, "get_or_create", name="new", defaults=changed)],
            [rows, method(0, "update_or_create", name="own", defaults=changed)],
            [rows, method(0, "update_or_create", name="new", defaults={}, create_defaults=changed)],
            [["save", "zoo.AtkBoth", {"name": "new", **changed}, True, {}]],
            [["save", "zoo.AtkBoth", {"id": mine.pk, "name": "own", **changed}, True, {}]],
            [["save", "zoo.AtkBoth", {"id": mine.pk, "name": "own", **changed}, False, {}]],
            [["save", "zoo.AtkBoth", {"id": mine.pk, **changed}, False, {"update_fields": list(changed)}]],
            [rows, method(0, "filter", pk=mine.pk), method(1, "update", **keys)],
            [rows, method(0, "filter", pk=mine.pk), method(1, "getset", **keys)],
            [rows, method(0, "bulk_update", list(keys), [[mine.pk, *keys.values()]])],
        ):
            answered = send(nodes)
            assert answered.error is not None, nodes
            assert state(family) == before, nodes
    # Django sets the keys of both parents by ``pk``.
    for nodes in ([rows, method(0, "create", pk=theirs.pk, name="new")],):
        assert send(nodes).error is not None
        assert state(family) == before
    kept = {"id": mine.pk, "oid": own.pk, "name": "saved", "label": "mine"}
    assert send([["save", "zoo.AtkBoth", kept, False, {}]]).error is None
    assert family.Both.objects.get().name == "saved"
    assert family.Other.objects.get(pk=own.pk).label == "mine"


def test_the_link_of_a_model_with_another_primary_key(send, family):
    theirs, mine = family.Root.objects.create(owner=THEIRS, name="before"), family.Named.objects.create(name="own")
    before = state(family)
    for keys in ({"base_id": theirs.pk}, {"id": theirs.pk}, {"base_id": theirs.pk, "id": theirs.pk}):
        for nodes in (
            [["save", "zoo.AtkNamed", {"number": mine.pk, **keys}, False, {}]],
            [["save", "zoo.AtkNamed", {"number": mine.pk, **keys}, True, {}]],
            [["source", "zoo.AtkNamed"], method(0, "update", **keys)],
            [["source", "zoo.AtkNamed"], method(0, "bulk_update", list(keys), [[mine.pk, *keys.values()]])],
            [["source", "zoo.AtkNamed"], method(0, "update_or_create", number=mine.pk, defaults=keys)],
        ):
            answered = send(nodes)
            assert answered.error is not None, nodes
            assert state(family) == before, nodes


def test_keys_that_are_different(send, family):
    """Django writes the parent row of one name, and the child row of another name."""
    mine, theirs = family.Root.objects.create(name="m"), family.Root.objects.create(name="t", owner=THEIRS)
    child = family.Child.objects.create(name="c")
    before = state(family)
    for first, second in ((mine.pk, theirs.pk), (theirs.pk, mine.pk), (child.pk, theirs.pk), (theirs.pk, child.pk)):
        both = {"atkroot_ptr_id": first, "id": second}
        for nodes in (
            [["source", "zoo.AtkChild"], method(0, "create", **both)],
            [["source", "zoo.AtkChild"], method(0, "create", pk=first, id=second)],
            [["source", "zoo.AtkChild"], method(0, "get_or_create", atkroot_ptr_id=first, defaults={"id": second})],
            [["source", "zoo.AtkChild"], method(0, "update_or_create", pk=first, defaults={"id": second})],
            [["save", "zoo.AtkChild", both, True, {}]],
            [["save", "zoo.AtkChild", both, False, {}]],
            [["save", "zoo.AtkChild", both, True, {"force_insert": True}]],
        ):
            answered = send(nodes)
            if nodes[-1][0] != "method" or nodes[-1][2] != "get_or_create" or first != child.pk:
                assert answered.error is not None, nodes
            assert state(family) == before, nodes


def test_key_from_expression_takes_no_row(send, family):
    """The database would evaluate the key of a child for the check, and again for the write."""
    theirs = family.Root.objects.create(owner=THEIRS)
    child = family.Child.objects.create(name="c")
    before = state(family)
    value = expr("Value", theirs.pk)
    messages = [
        [["source", "zoo.AtkRoot"], method(0, "create", id=value)],
        [["source", "zoo.AtkRoot"], method(0, "get_or_create", id=value)],
        [["source", "zoo.AtkRoot"], method(0, "get_or_create", name="x", defaults={"id": value})],
        [["save", "zoo.AtkRoot", {"id": value, "name": "x"}, False, {}]],
        [["insert", "zoo.AtkRoot", ["id"], ["expr"], [[value]], {}]],
    ]
    for key in (value, expr("Value", child.pk), expr("Floor", expr("Random"))):
        messages += [
            [["source", "zoo.AtkChild"], method(0, "create", id=key)],
            [["source", "zoo.AtkChild"], method(0, "get_or_create", atkroot_ptr=key)],
            [["save", "zoo.AtkChild", {"atkroot_ptr_id": key, "name": "x"}, False, {}]],
        ]
    for nodes in messages:
        assert send(nodes).error is not None, nodes
        assert state(family) == before, nodes


def test_a_parent_row_of_the_client_becomes_a_child(send, family):
    """A row that the client may see and update becomes the parent of a new child, as in Django."""
    for names in (["id"], ["atkroot_ptr_id"], ["id", "atkroot_ptr_id"]):
        mine = family.Root.objects.create(name="m")
        answered = send([["save", "zoo.AtkChild", {**dict.fromkeys(names, mine.pk), "name": "n"}, True, {}]])
        assert answered.error is None, answered.text
        assert family.Child.objects.get(pk=mine.pk).name == "n"
        mine = family.Root.objects.create(name="m")
        assert send([["source", "zoo.AtkChild"], method(0, "create", **dict.fromkeys(names, mine.pk))]).error is None
        assert family.Child.objects.filter(pk=mine.pk).exists()
        # A row that is there already is saved by any of its names.
        assert send([["save", "zoo.AtkChild", {**dict.fromkeys(names, mine.pk), "name": "s"}, False, {}]]).error is None
        assert family.Root.objects.get(pk=mine.pk).name == "s"
    made = send([["source", "zoo.AtkGrandchild"], method(0, "create", id=900, name="new")])
    assert made.error is None, made.text
    assert family.Root.objects.get(pk=900).name == "new"
    assert send([["source", "zoo.AtkGrandchild"], method(0, "get_or_create", id=900)]).error is None
    for name in ("pk", "atkchild_ptr_id"):  # a key that is new in each table
        assert send([["source", "zoo.AtkGrandchild"], method(0, "create", **{name: f"90{len(name)}"})]).error is None
    mine = family.Root.objects.create(name="m")
    inserted = ["insert", "zoo.AtkChild", ["atkroot_ptr_id", "size"], ["int", "int"], [[mine.pk, 5]], {}]
    assert send([inserted]).error is None
    assert family.Child.objects.get(pk=mine.pk).size == 5


@pytest.mark.parametrize("missing", ["create", "update", "delete"])
def test_the_permission_on_the_parent(send, registered, missing):
    """A row of a child is a row of each parent: a write needs the permission for all of them."""
    registered(Place, fields="__all__", operations=ALL - {missing})
    row = Restaurant.objects.create(name="r")
    rows = ["source", "zoo.Restaurant"]
    selected = [rows, method(0, "filter", pk=row.pk)]
    requests = {
        "create": [
            [rows, method(0, "create", name="new")],
            [["save", "zoo.Restaurant", {"name": "new"}, True, {}]],
            [rows, method(0, "get_or_create", name="new")],
            [["insert", "zoo.Restaurant", ["place_ptr_id"], ["int"], [[row.pk]], {}]],
        ],
        "update": [
            [*selected, method(1, "update", name="x")],
            [*selected, method(1, "update", rating=3)],
            [["save", "zoo.Restaurant", {"place_ptr_id": row.pk, "name": "x"}, False, {}]],
            [rows, method(0, "bulk_update", ["name"], [[row.pk, "x"]])],
            [rows, method(0, "update_or_create", pk=row.pk, defaults={"name": "x"})],
        ],
        "delete": [[*selected, method(1, "delete")], [*selected, method(1, "get"), method(2, "delete")]],
    }[missing]
    for nodes in requests:
        answered = send(nodes)
        assert answered.code == "PermissionDenied", nodes
        assert answered.message == f"This client may not {missing} zoo.Place."
    assert list(Place.objects.values_list("name", flat=True)) == ["r"]


def test_a_parent_that_is_not_exposed(send, unregistered):
    """A new child has a new parent row; an existing parent row stays as it is."""
    unregistered(Place)
    place = Place.objects.create(name="alone")
    rows = ["source", "zoo.Restaurant"]
    assert send([rows, method(0, "create", name="new")]).error is None
    for nodes in (
        [rows, method(0, "create", id=place.pk, name="x")],
        [rows, method(0, "create", pk=place.pk, name="x")],
        [["save", "zoo.Restaurant", {"place_ptr_id": place.pk, "name": "x"}, True, {}]],
    ):
        assert send(nodes).error is not None
    assert Place.objects.get(pk=place.pk).name == "alone"
    assert not Restaurant.objects.filter(pk=place.pk).exists()


def test_rows_need_visible_parents(send, family):
    """The second parent narrows by its key, and not by the key of the child."""
    family.Other.objects.create(label="shifts the keys")
    seen = family.Both.objects.create(name="seen")
    family.Both.objects.create(name="unseen", other_owner=THEIRS)
    names = send([["source", "zoo.AtkBoth"], method(0, "values_list", "name", flat=True), ref(1)][:2]).output
    assert names == ["seen"]
    assert seen.pk != seen.oid


VALUE = expr("Value", 1)
#: Expressions that read rows.  The nodes of references are a queryset and its first row as a queryset.
READING_KEYS = {
    "column": expr("F", "id"),
    "aggregate": expr("Max", "id"),
    "function of a column": expr("Coalesce", expr("F", "owner"), 7),
    "subquery": expr("Subquery", ref(1)),
    "in": expr("lookup:in", VALUE, ref(1)),
    "exact": expr("lookup:exact", VALUE, ref(2)),
    "gt": expr("lookup:gt", VALUE, ref(2)),
    "in a list": expr("lookup:in", VALUE, [7, expr("F", "id")]),
    "range": expr("lookup:range", VALUE, [expr("F", "id"), 9]),
    "subquery on the right": expr("lookup:exact", VALUE, expr("Subquery", ref(2))),
    "case": expr("Case", expr("When", expr("lookup:in", VALUE, ref(1)), 7), default=8),
    "condition": expr("Case", expr("When", {"$q": ["AND", False, [expr("lookup:in", VALUE, ref(1))]]}, 7), default=8),
    "below a function": expr("Abs", expr("Cast", expr("lookup:in", VALUE, ref(1)), expr("IntegerField"))),
    "exists": expr("Exists", ref(1)),
    "queryset as a source": expr("Coalesce", ref(2), 7),
}


@pytest.mark.parametrize("kind", READING_KEYS)
def test_a_key_reads_no_row(send, family, kind):
    family.Root.objects.create(owner=THEIRS)
    before = state(family)
    key = READING_KEYS[kind]
    queries = [["source", "zoo.AtkRoot"], method(0, "values", "id"), ["item", 1, {"$slice": [None, 1, None]}]]
    for node in (
        method(0, "create", id=key),
        method(0, "get_or_create", id=key),
        method(0, "get_or_create", name="x", defaults={"id": key}),
        ["save", "zoo.AtkRoot", {"id": key, "name": "x"}, False, {}],
    ):
        answered = send([*queries, node])
        assert answered.error is not None, node
        assert not [sql for sql in answered.data_statements if "INSERT" in sql], node
        assert state(family) == before, node
    assert send([*queries, ["insert", "zoo.AtkRoot", ["id"], ["any"], [[key]], {}]]).error is not None
    assert state(family) == before


def test_a_key_may_be_made_of_literals(send, family):
    key = expr("Case", expr("When", expr("lookup:in", VALUE, [1, 2]), 71), default=72)
    answered = send([["source", "zoo.AtkRoot"], method(0, "create", id=key)])
    assert "is a key" not in answered.text
