"""Contract tests for the private names of Django that the client uses: each works in the installed release."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import django
import pytest
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.functional import SimpleLazyObject

import django_rpc
from django_rpc.backend import compiler as rpc_compiler
from django_rpc.backend import django_compat as compat
from django_rpc.backend.transactions import Transactions
from django_rpc.demo.client.shop.models import Customer, Line, Order, Product
from django_rpc.demo.server.shop.models import Customer as LocalCustomer
from django_rpc.models.query import RpcQuery
from django_rpc.models.queryset import RpcQuerySet

PACKAGE = Path(django_rpc.__file__).parent
FILES = [path for folder in ("backend", "models", "contrib") for path in sorted((PACKAGE / folder).rglob("*.py"))]
RELEASE = f"{django.VERSION[0]}.{django.VERSION[1]}"
#: Modules of Django without documentation; only the compat module imports them.
UNDOCUMENTED = (
    "django.db.backends.utils",
    "django.db.models.base",
    "django.db.models.constants",
    "django.db.models.deletion",
    "django.db.models.fields.related",
    "django.db.models.query",
    "django.db.models.sql",
    "django.db.models.utils",
)
ENTRIES = [
    (owner, name)
    for owner, names in compat.PRIVATE_NAMES.items()
    for name, releases in names.items()
    if RELEASE in releases or RELEASE not in compat.RELEASES
]
PRIVATE = {name for names in compat.PRIVATE_NAMES.values() for name in names if name.startswith("_")}


def owner_of(name):
    """Return an object of Django that has the private names of this owner."""
    queryset = models.QuerySet(LocalCustomer)
    owners = {
        "QuerySet": lambda: queryset,
        "Query": lambda: queryset.query,
        "SQLCompiler": lambda: compiled(queryset),
        "Manager": models.Manager,
        "Options": lambda: LocalCustomer._meta,
        "Model": LocalCustomer,
        "ModelBase": lambda: compat.ModelBase,
        "ManyRelatedManager": lambda: Product(pk=1).tags,
        "Expression": lambda: models.Value(1),
        "LazyObject": lambda: SimpleLazyObject(str),
        "Atomic": transaction.atomic,
        "DatabaseWrapper": lambda: connections["default"],
        "Collector": lambda: compat.Collector(using="default"),
    }
    return owners[name]()


def compiled(queryset):
    compiler = queryset.query.get_compiler(using="default")
    compiler.setup_query()
    return compiler


@pytest.mark.parametrize(("owner", "name"), ENTRIES)
def test_installed_release_has_the_name(owner, name):
    assert hasattr(owner_of(owner), name)


@pytest.mark.parametrize(
    ("own_class", "django_class", "owner"),
    [
        (RpcQuerySet, models.QuerySet, "QuerySet"),
        (RpcQuery, compat.Query, "Query"),
        (rpc_compiler.SQLCompiler, compat.sql_compiler.SQLCompiler, "SQLCompiler"),
        (Transactions, BaseDatabaseWrapper, "DatabaseWrapper"),
    ],
)
def test_overrides_are_listed_and_accept_the_parameters_of_django(own_class, django_class, owner):
    listed = set(compat.PRIVATE_NAMES[owner])
    for own_base in (cls for cls in own_class.__mro__ if cls.__module__.startswith("django_rpc.")):
        for name, override in vars(own_base).items():
            original = getattr(django_class, name, None)
            if original is None or name.startswith("__") or not inspect.isfunction(override):
                continue
            documented = not name.startswith("_") and owner in ("QuerySet", "DatabaseWrapper")
            assert documented or name in listed, name
            accepted = inspect.signature(override).parameters.values()
            if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted):
                continue
            passed = inspect.signature(original).parameters.values()
            positional = [p for p in passed if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
            takes_more = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in accepted)
            assert takes_more or {p.name for p in accepted} >= {p.name for p in positional}, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_compat_module_uses_private_names_of_django(path):
    if path.name == "django_compat.py":
        return
    problems = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE and not _is_of_the_class(node):
            problems.append(f"{node.lineno}: {node.attr}")
        if isinstance(node, ast.Attribute) and node.attr == "__class__" and isinstance(node.ctx, ast.Store):
            problems.append(f"{node.lineno}: assignment to __class__")
        if isinstance(node, ast.Attribute) and node.attr in ("VERSION", "_getframe", "f_locals"):
            problems.append(f"{node.lineno}: {node.attr}")
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(UNDOCUMENTED):
            problems.append(f"{node.lineno}: {node.module}")
    assert not problems


def _is_of_the_class(node):
    """Return True for an attribute of the object itself, of its copy, of ``super()`` and of a recording class."""
    owner = node.value
    if isinstance(owner, ast.Call):
        return getattr(owner.func, "id", "") == "super"
    return getattr(owner, "id", "") in ("self", "cls", "RpcQuerySet")


# Behaviour of each function


def test_querysets():
    orders = Order.objects.using("rpc").prefetch_related("lines")
    copy = compat.clone(orders)
    assert copy is not orders
    assert compat.using_of(copy) == "rpc"
    assert compat.using_of(Order.objects.all()) is None
    assert compat.prefetch_lookups(copy) == ("lines",)
    compat.set_prefetch_lookups(copy, ())
    assert compat.prefetch_lookups(copy) == ()
    assert compat.prefetch_lookups(orders) == ("lines",)
    assert compat.loads_fields_singly(orders)


def test_rows_in_memory():
    orders, order = Order.objects.all(), Order(pk=1)
    assert not compat.has_rows(orders)
    assert compat.rows_in_memory(orders) is None
    assert not compat.was_prefetched(orders)
    compat.set_rows(orders, [order], prefetched=True)
    assert list(orders) == [order]
    assert compat.has_rows(orders)
    assert compat.rows_in_memory(orders) == [order]
    assert compat.was_prefetched(orders)


def test_selected_columns():
    orders = Order.objects.all()
    assert not compat.selects_columns(orders)
    assert compat.selected_fields(orders) == ()
    assert compat.selected_names(orders.query) is None
    columns = orders.values_list("number", "id")
    assert compat.selects_columns(columns)
    assert compat.selected_fields(columns) == ("number", "id")
    names = compat.selected_names(columns.query)
    assert (list(names) if django.VERSION >= (5, 2) else names) == (["number", "id"] if names else None)
    assert not issubclass(compat.row_iterable(columns), compat.ModelIterable)
    assert issubclass(compat.row_iterable(orders), compat.ModelIterable)


def test_class_of_the_rows():
    class Rows(compat.ModelIterable):
        pass

    orders = Order.objects.all()
    orders._iterable_class = Rows
    assert compat.row_iterable(orders.filter(pk=1)) is Rows
    assert compat.row_iterable(orders.values()) is not Rows


def test_values_that_are_no_expressions():
    compat.check_expressions(Order.objects.all(), [models.Count("pk")], "aggregate")
    with pytest.raises(TypeError, match="aggregate"):
        compat.check_expressions(Order.objects.all(), ["pk"], "aggregate")


def test_copy_with_another_class():
    class OrderQuerySet(RpcQuerySet):
        pass

    copy = compat.copy_as(OrderQuerySet, Order.objects.using("rpc").filter(pk=1))
    assert type(copy) is OrderQuerySet
    assert compat.using_of(copy) == "rpc"
    assert str(copy.query) == str(Order.objects.filter(pk=1).query)


def test_known_parents():
    customer = Customer(pk=1)
    parents = compat.known_parents(customer.orders.all())
    assert parents == {Order._meta.get_field("customer"): {1: customer}}


def test_managers():
    class PlainManager(models.Manager):
        def __init__(self, name, size=1):
            super().__init__()

    assert compat.constructor_arguments(PlainManager("a", size=2)) == (("a",), {"size": 2})
    assert compat.queryset_class(models.Manager) is models.QuerySet


def test_cache_of_options():
    fields = Order._meta.fields
    compat.expire_cache(Order._meta)
    assert Order._meta.fields is not fields
    assert Order._meta.fields == fields


def test_keys():
    assert compat.has_key(Order(pk=1))
    assert not compat.has_key(Order())
    assert compat.key_fields(Order) == (Order._meta.pk,)
    assert compat.reverse_one_to_one_names(Customer) == (frozenset({"profile"}) if django.VERSION >= (5, 1) else set())


def test_force_insert():
    assert compat.forced_bases(Order, True) is None
    if django.VERSION >= (5, 1):
        assert compat.forced_bases(Order, (Order,)) == (Order,)
        with pytest.raises(TypeError):
            compat.forced_bases(Order, "Order")


def test_related_fields_are_prepared():
    customer = Customer()
    order = Order(customer=customer)
    with pytest.raises(ValueError, match="customer"):
        compat.prepare_related_fields(order, "bulk_update", Order._meta.concrete_fields)
    customer.pk = 7
    compat.prepare_related_fields(order, "bulk_update", Order._meta.concrete_fields)
    assert order.customer_id == 7


def test_fields_that_the_database_fills():
    field = Order._meta.get_field("number")
    assert not compat.is_generated(field)
    assert not compat.has_db_default(field)
    if compat.has_database_defaults:
        assert compat.has_db_default(models.IntegerField(db_default=1))
        assert compat.is_generated(
            models.GeneratedField(expression=models.F("a"), output_field=models.IntegerField(), db_persist=False)
        )


def test_on_delete():
    assert compat.is_lazy_on_delete(models.SET_NULL)
    assert not compat.is_lazy_on_delete(models.CASCADE)


def test_keys_of_prefetched_rows():
    customer, product = Customer(pk=1), Product(pk=1)
    assert compat.prefetch_cache_key(customer.orders, Order._meta.get_field("customer").remote_field) == "orders"
    assert compat.prefetch_cache_key(product.tags, Product._meta.get_field("tags").remote_field) == "tags"


def test_conditions():
    condition = compat.new_q([("a", 1), models.Q(b=2)], "OR", True)
    assert condition == ~models.Q(("a", 1), models.Q(b=2), _connector="OR")


def test_expressions():
    assert compat.constructor_arguments(models.Value(1)) == ((1,), {})
    assert isinstance(compat.output_field_of(models.Value(1)), models.IntegerField)
    assert compat.output_field_of(models.Value(object())) is None
    exists = models.Exists(Line.objects.all())
    assert not compat.is_negated(exists)
    assert compat.is_negated(~exists) or isinstance(~exists, compat.NegatedExpression)
    assert compat.is_passed(None)
    assert all(map(compat.is_passed, compat.constructor_arguments(models.functions.TruncDay("created"))[1].values()))


def test_classes_of_newer_releases():
    assert isinstance(models.F("a")[:3], compat.Sliced) if django.VERSION >= (5, 1) else True
    assert compat.has_composite_keys == (django.VERSION >= (5, 2)) == (compat.TupleLookupMixin is not None)
    constraint = models.CheckConstraint(name="positive", **{compat.check_condition_name: models.Q(total__gt=0)})
    assert getattr(constraint, compat.check_condition_name) == models.Q(total__gt=0)


def test_lazy_objects():
    made = []
    lazy = SimpleLazyObject(lambda: made.append(1) or "text")
    assert compat.unwrapped(lazy) == "text"
    assert compat.unwrapped(lazy) == "text"
    assert made == [1]


def test_block_of_a_test_case():
    assert not compat.is_of_test_case(transaction.atomic())
