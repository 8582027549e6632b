"""Contract tests for the private names of Django that the server uses: each works in the installed release."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import django
import pytest
from django.db import NotSupportedError, connection, connections, models

from django_rpc.demo.server.shop.models import Customer, Line, Order, Product
from django_rpc.demo.server.zoo.models import Place, Seat
from django_rpc.server import django_compat as compat
from django_rpc.server.query.client_query import ClientQuery, ClientUpdateQuery
from django_rpc.server.query.column_guard import audited

SERVER = Path(compat.__file__).parent
RELEASE = ".".join(map(str, django.VERSION[:2]))
#: Modules with a reason to read Django's version.
READS_VERSION = {"django_compat.py", "checks.py"}  # checks.py: the releases with known security holes
#: Modules of Django without documentation; only the compat module imports them.
UNDOCUMENTED = (
    "django.db.models.fields.related",
    "django.db.models.fields.related_descriptors",
    "django.db.models.manager",
    "django.db.models.query",
    "django.db.models.query_utils",
    "django.db.models.sql",
)
#: The names that the server uses with the installed release; all names for a release without an entry in the table.
ENTRIES = [
    (owner, name)
    for owner, names in compat.PRIVATE_NAMES.items()
    for name, releases in names.items()
    if RELEASE in releases or RELEASE not in compat.RELEASES
]


def owner_of(name):
    """Return an object of Django that has the private names of this owner."""
    queryset = Order.objects.filter(customer__name="Ann")
    owners = {
        "QuerySet": lambda: queryset,
        "Query": lambda: queryset.query,
        "UpdateQuery": lambda: compat.UpdateQuery(Order),
        "SQLCompiler": lambda: compiled(queryset),
        "Join": lambda: next(join for join in queryset.query.alias_map.values() if isinstance(join, compat.Join)),
        "Col": lambda: Order._meta.get_field("id").get_col("shop_order"),
        "Manager": lambda: Customer.objects,
        "RelatedManager": lambda: Customer(pk=1).orders,
        "ModelState": lambda: Customer()._state,
        "DatabaseSchemaEditor": lambda: connection.schema_editor(collect_sql=True),
        "DatabaseWrapper": lambda: connections["default"],
        "Options": lambda: Order._meta,
    }
    return owners[name]()


def compiled(queryset):
    compiler = queryset.query.get_compiler(using="default")
    compiler.as_sql()
    return compiler


@pytest.mark.parametrize(("owner", "name"), ENTRIES)
def test_installed_release_has_the_name(owner, name):
    assert hasattr(owner_of(owner), name)


@pytest.mark.parametrize(
    ("own_class", "django_class", "owner"),
    [
        (ClientQuery, compat.Query, "Query"),
        (ClientUpdateQuery, compat.UpdateQuery, "UpdateQuery"),
        (audited(compat.SQLCompiler), compat.SQLCompiler, "SQLCompiler"),
    ],
)
def test_table_lists_each_overridden_method(own_class, django_class, owner):
    own_classes = [cls for cls in own_class.__mro__ if cls.__module__.startswith("django_rpc.")]
    overridden = {
        name
        for cls in own_classes
        for name, value in vars(cls).items()
        if inspect.isfunction(value) and not name.startswith("__") and hasattr(django_class, name)
    }
    listed = set(compat.PRIVATE_NAMES["Query"]) | set(compat.PRIVATE_NAMES[owner])
    assert overridden <= listed


def test_overrides_accept_the_parameters_of_django():
    pairs = [(ClientQuery, compat.Query, "Query"), (audited(compat.SQLCompiler), compat.SQLCompiler, "SQLCompiler")]
    for own_class, django_class, owner in pairs:
        for name in compat.PRIVATE_NAMES[owner]:
            override, original = getattr(own_class, name, None), getattr(django_class, name, None)
            if not inspect.isfunction(override) or override is original:
                continue
            accepted = inspect.signature(override).parameters.values()
            kinds = {parameter.kind for parameter in accepted}
            if inspect.Parameter.VAR_POSITIONAL in kinds and inspect.Parameter.VAR_KEYWORD in kinds:
                continue
            passed = inspect.signature(original).parameters
            assert {parameter.name for parameter in accepted} >= set(passed), f"{owner}.{name}"


@pytest.mark.parametrize("path", sorted(SERVER.rglob("*.py")), ids=lambda path: str(path.relative_to(SERVER)))
def test_only_the_compat_module_uses_private_names_of_django(path):
    if path.name == "django_compat.py":
        return
    private = {name for names in compat.PRIVATE_NAMES.values() for name in names if name.startswith("_")}
    problems = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in private and not _is_other(node):
            problems.append(f"{node.lineno}: {node.attr}")
        if isinstance(node, ast.Attribute) and node.attr == "__class__" and isinstance(node.ctx, ast.Store):
            problems.append(f"{node.lineno}: assignment to __class__")
        if isinstance(node, ast.Attribute) and node.attr == "VERSION" and path.name not in READS_VERSION:
            problems.append(f"{node.lineno}: django.VERSION")
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(UNDOCUMENTED):
            problems.append(f"{node.lineno}: {node.module}")
    assert not problems


def _is_other(node):
    """Return True for an attribute of ``self``, and for ``_fields`` of a named tuple."""
    is_named_tuple = node.attr == "_fields" and (
        isinstance(node.value, ast.Call) or getattr(node.value, "id", "") == "Lists"
    )
    return is_named_tuple or getattr(node.value, "id", "") == "self"


# Behaviour of each function


@pytest.mark.django_db
def test_querysets(shop_data):
    orders = Order.objects.order_by("pk")
    copy = compat.clone(orders)
    assert copy is not orders
    assert list(copy) == list(orders)
    assert compat.is_evaluated(copy)
    assert compat.rows_in_memory(copy) == len(orders)
    assert not compat.is_evaluated(Order.objects.all())
    assert compat.rows_in_memory(Order.objects.all()) == 0


def test_queryset_attributes():
    orders = Order.objects.all()
    assert not compat.selects_columns(orders)
    assert compat.selects_columns(orders.values("id"))
    assert compat.row_iterable(orders) is compat.ModelIterable
    assert compat.row_iterable(orders.values()) is compat.ValuesIterable
    assert compat.row_iterable(orders.values_list()) is compat.ValuesListIterable
    assert compat.row_iterable(orders.values_list("id", flat=True)) is compat.FlatValuesListIterable
    assert compat.row_iterable(orders.values_list("id", named=True)) is compat.NamedValuesListIterable
    assert compat.database_of(orders) is None
    assert compat.database_of(orders.using("other")) == "other"
    compat.set_database(orders, "default")
    assert compat.database_of(orders) == orders.db == "default"
    assert compat.prefetch_lookups(orders.prefetch_related("lines")) == ("lines",)
    compat.set_prefetch_lookups(orders, ("lines",))
    assert compat.prefetch_lookups(orders) == ("lines",)


@pytest.mark.django_db
def test_parents_are_assigned_to_rows(shop_data, django_assert_num_queries):
    customer = Customer.objects.filter(orders__isnull=False).first()
    parents = compat.known_parents(customer.orders.all())
    assert parents == {Order._meta.get_field("customer"): {customer.pk: customer}}
    orders = Order.objects.filter(customer=customer)
    compat.set_known_parents(orders, parents)
    order = orders[0]
    assert compat.related_cache(order)["customer"] is customer
    compat.clear_related_cache(order)
    assert compat.related_cache(order) == {}
    with django_assert_num_queries(1):
        assert order.customer == customer


@pytest.mark.django_db
def test_prefetched_rows_are_forgotten(shop_data, django_assert_num_queries):
    order = Order.objects.prefetch_related("lines").first()
    compat.clear_related_cache(order)
    with django_assert_num_queries(1):
        list(order.lines.all())


def test_methods_of_a_union_are_refused():
    with pytest.raises(NotSupportedError):
        compat.refuse_combined(Order.objects.all().union(Order.objects.all()), "update")
    compat.refuse_combined(Order.objects.all(), "update")


def test_sticky_filter_uses_one_join():
    products = compat.with_sticky_filter(Order.objects.all()).filter(lines__quantity=1).filter(lines__quantity=2)
    assert str(products.query).count("JOIN") == 1
    assert str(Order.objects.filter(lines__quantity=1).filter(lines__quantity=2).query).count("JOIN") == 2


def test_condition_uses_all_joins():
    query = Order.objects.filter(lines__quantity=1).query.clone()
    compat.add_condition_to_all_joins(query, models.Q(lines__quantity=2))
    assert str(query).count("JOIN") == 1


@pytest.mark.django_db
def test_rows_are_inserted_without_signals(django_capture_on_commit_callbacks):
    seat = Seat(row=7, number=3)
    fields = [field for field in Seat._meta.concrete_fields if not field.primary_key]
    compat.insert_rows(Seat.objects.all(), [seat], fields=fields, using="default")
    assert Seat.objects.filter(row=7, number=3).exists()


def test_queryset_class_of_a_manager():
    assert compat.queryset_class(Customer.objects) is type(Customer.objects.all())
    assert compat.queryset_class(object()) is models.QuerySet


@pytest.mark.django_db
def test_related_rows(shop_data):
    customer = Customer.objects.filter(orders__isnull=False).first()
    rows = compat.related_rows(customer.orders, Order.objects.all())
    assert set(rows) == set(customer.orders.all())


def test_plain_query_has_the_class_of_django():
    class OtherQuery(compat.Query):
        def chain(self, klass=None):
            raise AssertionError("the override is not called")

    query = OtherQuery(Order)
    query.add_q(models.Q(pk=1))
    plain = compat.plain_query(query)
    assert type(plain) is compat.Query
    assert str(plain) == str(Order.objects.filter(pk=1).query)


def test_update_query_keeps_its_values():
    class OtherQuery(compat.UpdateQuery):
        pass

    query = Order.objects.filter(pk=1).query.chain(compat.UpdateQuery)
    query.add_update_values({"number": "A-1"})
    other = compat.update_query_as(query, OtherQuery)
    assert type(other) is OtherQuery
    assert type(query) is compat.UpdateQuery
    assert other.values == query.values != []
    assert other.get_compiler("default").as_sql() == query.get_compiler("default").as_sql()


def test_filtered_relations_by_alias():
    queryset = Customer.objects.annotate(big=models.FilteredRelation("orders", condition=models.Q(orders__total__gt=9)))
    assert list(compat.filtered_relations(queryset.filter(big__pk=1).query)) == ["big"]


@pytest.mark.django_db
def test_selected_columns(shop_data):
    orders = Order.objects.order_by("pk").values_list("number", "id")
    query = Order.objects.order_by("pk").query.clone()
    columns = tuple(Order._meta.get_field(name).get_col("shop_order") for name in ("number", "id"))
    compat.select_columns(query, columns, ("number", "id"))
    rows = [tuple(row) for row in query.get_compiler("default").results_iter(tuple_expected=True)]
    assert rows == list(orders)
    names = compat.selected_names(orders.query)
    assert names is None or list(names) == ["number", "id"]


def test_name_of_an_alias_as_sql():
    quoted = connection.ops.quote_name("shop_order")
    assert compat.quote_alias(compiled(Order.objects.all()), "shop_order") == quoted


@pytest.mark.django_db
def test_name_of_a_unique_index():
    name = compat.unique_index_name("default", "zoo_seat", ["row", "number"])
    assert name.startswith("zoo_seat_row_number_")
    assert name.endswith("_uniq")


def test_key_fields():
    assert compat.key_fields(Order) == (Order._meta.pk,)
    assert compat.key_fields(Place)[0] is Place._meta.pk


def test_fields_that_the_database_fills():
    field = Order._meta.get_field("number")
    assert not compat.is_generated(field)
    assert not compat.has_db_default(field)
    if django.VERSION >= (5, 0):
        assert compat.has_db_default(models.IntegerField(db_default=1))
        generated = models.GeneratedField(
            expression=models.F("a"), output_field=models.IntegerField(), db_persist=False
        )
        assert compat.is_generated(generated)


def test_condition_of_a_check_constraint():
    name = "condition" if django.VERSION >= (5, 1) else "check"
    constraint = models.CheckConstraint(name="positive", **{name: models.Q(total__gt=0)})
    assert compat.check_condition(constraint) == models.Q(total__gt=0)


def test_exclusion_of_a_window_frame():
    if django.VERSION < (5, 1):
        with pytest.raises(ValueError, match="release of Django"):
            compat.frame_exclusion("TIES")
    else:
        assert compat.frame_exclusion("TIES").name == "TIES"


def test_delimiter_is_no_expression_of_names():
    delimiter = compat.string_delimiter(",")
    assert delimiter == "," or delimiter == models.Value(",")


def test_flags_of_features():
    update_or_create = inspect.signature(models.QuerySet.update_or_create).parameters
    assert compat.has_create_defaults == ("create_defaults" in update_or_create)
    assert compat.has_force_insert_of_parents == hasattr(models.Model, "_validate_force_insert")
    assert compat.check_rel_lookup_compatibility(Customer, Customer._meta, Order._meta.get_field("customer"))
    assert not compat.check_rel_lookup_compatibility(Line, Customer._meta, Order._meta.get_field("customer"))
    assert compat.RelatedField in type(Order._meta.get_field("customer")).__mro__
    assert isinstance(vars(Customer)["profile"], compat.ReverseOneToOneDescriptor)
    assert issubclass(type(Product.objects), compat.BaseManager)


def test_aggregate_of_postgresql_has_an_order():
    postgres = pytest.importorskip("django.contrib.postgres.aggregates")
    aggregate = postgres.ArrayAgg("id", **{compat.AGGREGATE_ORDER: "number"})
    assert aggregate.order_by is not None
