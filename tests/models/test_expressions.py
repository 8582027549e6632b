"""Every argument of an expression, an output field and a QuerySet method is sent, refused, or has no effect on a query.

The tests read the signatures of the installed release of Django, so a new parameter fails until it is classified.
"""

from __future__ import annotations

import inspect
import zoneinfo

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Func, Q, QuerySet, Subquery, Value, expressions
from django.db.models.functions import Cast, DenseRank, Rank
from django.db.utils import NotSupportedError

from django_rpc.graph.nodes import Method, ModelSource
from django_rpc.graph.values import Expr, freeze
from django_rpc.graph.vocabulary.names import FIELDS as FIELD_KEYWORDS
from django_rpc.graph.vocabulary.names import METHODS
from django_rpc.graph.vocabulary.signatures import check_expression, check_method_arguments
from django_rpc.server.query.expressions import CLASSES, FIELDS, Resolver

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

resolve = Resolver({})

#: The arguments that a class needs, where they are not one column.
NEEDED = {
    "ATan2": (("a", "b"), {}),
    "Case": ((expressions.When(Q(a=1), then=Value(1)),), {}),
    "Cast": (("a", models.IntegerField()), {}),
    "Coalesce": (("a", "b"), {}),
    "Collate": (("a", "nocase"), {}),
    "CombinedExpression": ((F("a"), "+", F("b")), {}),
    "Concat": (("a", "b"), {}),
    "ConcatPair": (("a", "b"), {}),
    "CumeDist": ((), {}),
    "DenseRank": ((), {}),
    "ExpressionWrapper": ((F("a"), models.IntegerField()), {}),
    "Extract": (("a", "year"), {}),
    "FilteredRelation": (("a",), {}),
    "Greatest": (("a", "b"), {}),
    "JSONObject": ((), {}),
    "KeyTextTransform": (("key", "a"), {}),
    "KeyTransform": (("key", "a"), {}),
    "LPad": (("a", 9), {}),
    "Least": (("a", "b"), {}),
    "Left": (("a", 2), {}),
    "Log": (("a", "b"), {}),
    "Mod": (("a", "b"), {}),
    "NegatedExpression": ((F("a"),), {}),
    "Now": ((), {}),
    "Ntile": ((), {"num_buckets": 2}),
    "NullIf": (("a", "b"), {}),
    "OrderBy": ((F("a"),), {}),
    "PercentRank": ((), {}),
    "Pi": ((), {}),
    "Power": (("a", "b"), {}),
    "RPad": (("a", 9), {}),
    "Random": ((), {}),
    "Rank": ((), {}),
    "Repeat": (("a", 2), {}),
    "Replace": (("a", Value("x")), {}),
    "Right": (("a", 2), {}),
    "RowNumber": ((), {}),
    "RowRange": ((), {}),
    "Star": ((), {}),
    "StrIndex": (("a", "b"), {}),
    "Substr": (("a", 1), {}),
    "Trunc": (("a", "year"), {}),
    "Value": ((5,), {}),
    "ValueRange": ((), {}),
    "When": ((Q(a=1), Value(1)), {}),
    "Window": ((Rank(),), {}),
}
#: A value for each parameter that is no default; for a name in a tuple, of that class alone.
SAMPLES = {
    "condition": Q(b=2),
    "collation": "binary",
    "connector": "-",
    "default": Value(7),
    "descending": True,
    "distinct": True,
    "end": 3,
    "exclusion": getattr(getattr(expressions, "WindowFrameExclusion", None), "TIES", None),
    "expression": F("other"),
    "fill_text": Value("-"),
    "filter": Q(b=2),
    "frame": expressions.RowRange(start=-1, end=1),
    "key_name": "inner",
    "kind": "month",
    "is_dst": True,
    "lhs": F("other"),
    "length": 4,
    "lookup_name": "month",
    "name": "other",
    "nth": 3,
    "nulls_first": True,
    "nulls_last": True,
    "num_buckets": 5,
    "number": 3,
    "offset": 2,
    "order_by": F("other").desc(),
    "output_field": models.FloatField(),
    "partition_by": [F("other")],
    "pos": 3,
    "precision": 2,
    "relation_name": "other",
    "replacement": Value("y"),
    "rhs": F("other"),
    "sample": True,
    "start": -3,
    "text": Value("z"),
    "then": Value(9),
    "tzinfo": zoneinfo.ZoneInfo("Asia/Kolkata"),
    "value": 8,
    ("Ntile", "num_buckets"): 4,
    ("Window", "expression"): DenseRank(),
}
#: Parameters that cannot be passed on, and why that is the same for Django.
WITHOUT_EFFECT = {
    ("When", "lookups"): "Django makes them a part of the condition",
    ("When", "output_field"): "a parameter of no constructor: it is the result's",
    ("Exists", "output_field"): "always a boolean",
    ("Case", "cases"): "positional",
}
#: Tested separately: their arguments have no identity.
APART = {"F", "OuterRef", "Subquery", "Exists", "Prefetch", "ArraySubquery"}


def _parameters(cls):
    """The names that the constructor of ``cls`` takes, and whether it takes any other."""
    names, others = {}, False
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        kinds = [p for p in inspect.signature(base.__init__).parameters.values() if p.name != "self"]
        names.update({p.name: p for p in kinds if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)})
        others = any(p.kind is p.VAR_KEYWORD for p in kinds)
        if not others and not any(p.kind is p.VAR_POSITIONAL for p in kinds):
            break
    return names, others


def _cases():
    for name, cls in sorted(CLASSES.items()):
        if name in APART or name.startswith("lookup:"):
            continue
        for parameter in _parameters(_own(cls))[0]:
            yield pytest.param(name, _own(cls), parameter, id=f"{name}-{parameter}")


def _own(cls):
    """Django's class, in place of the server's class for it."""
    return cls if cls.__module__.startswith("django.") else cls.__mro__[1]


def _made(name, cls, parameter):
    args, kwargs = NEEDED.get(name, (("a",), {}))
    sample = SAMPLES.get((name, parameter), SAMPLES.get(parameter))
    assert sample is not None or parameter == "exclusion", f"a value for {name}({parameter}=...)?"
    signature = inspect.signature(cls.__init__).parameters.values()
    taken = [p.name for p in signature if p.name != "self" and p.kind is p.POSITIONAL_OR_KEYWORD]
    if parameter in taken[: len(args)]:
        args = list(args)
        args[taken.index(parameter)] = sample
        return cls(*args, **kwargs)
    return cls(*args, **{**kwargs, parameter: sample})


@pytest.mark.parametrize(("name", "cls", "parameter"), _cases())
def test_a_parameter_of_an_expression(name, cls, parameter):
    if (name, parameter) in WITHOUT_EFFECT:
        return
    try:
        made = _made(name, cls, parameter)
    except TypeError as error:
        assert f"{name} does not allow" in str(error) or "unexpected keyword" in str(error)  # noqa: PT017
        return
    try:
        frozen = freeze(made)
    except TypeError as refusal:
        assert parameter in str(refusal)  # noqa: PT017 - a refusal is as good
        return
    check_expression(frozen)
    copy = resolve(frozen)
    assert _identity(copy) == _identity(made)


def _identity(expression):
    if isinstance(expression, models.FilteredRelation):
        return expression.relation_name, expression.condition
    return expression.identity


@pytest.mark.parametrize("name", sorted(set(CLASSES) - APART - {"JSONObject"}))
def test_a_variable_of_an_sql_template_is_refused(name):
    cls = _own(CLASSES[name])
    if name.startswith("lookup:") or not _parameters(cls)[1]:
        return
    args, kwargs = NEEDED.get(name, (("a",), {}))
    for extra in ("template", "function", "arg_joiner", "whatever"):
        with pytest.raises(TypeError, match=extra):
            freeze(cls(*args, **kwargs, **{extra: "1; DROP TABLE x"}))


def test_a_subquery_of_another_shape_is_refused(remote):
    """A subclass with its template was sent as a plain subquery, which is another query."""

    class CountOf(Subquery):
        template = "(SELECT count(*) FROM (%(subquery)s) _count)"

    orders = remote.Order.objects.all()
    with pytest.raises(TypeError, match="CountOf cannot be sent"):
        remote.Customer.objects.annotate(n=CountOf(orders))
    for made in (Subquery, expressions.Exists):
        with pytest.raises(TypeError, match="template"):
            remote.Customer.objects.annotate(n=made(orders.values("pk"), template="(%(subquery)s)"))
    frozen = freeze(Subquery(orders.values("total")[:1], output_field=models.FloatField()))
    assert frozen.kwargs == {"output_field": Expr("FloatField")}


#: Parameters of fields that describe a column, a form or validation; none is a part of an expression's SQL.
OF_COLUMNS = frozenset(
    "allow_unicode auto_created auto_now auto_now_add blank choices db_column db_comment db_default db_index "
    "db_tablespace default editable error_messages help_text name primary_key rel serialize unique unique_for_date "
    "unique_for_month unique_for_year validators verbose_name null".split()
)
#: Parameters that the client applies.
AT_THE_CLIENT = {
    "encoder": "a Value() is encoded before it is sent",
    "decoder": "the client's own query decodes its rows",
}
FIELD_SAMPLES = {
    "db_collation": "nocase",
    "decimal_places": 3,
    "max_digits": 9,
    "max_length": 33,
    "protocol": "IPv4",
    "unpack_ipv4": True,
}


def _field_cases():
    for name, cls in sorted(FIELDS.items()):
        if cls.__module__.startswith("django.contrib"):
            continue
        for parameter in _parameters(cls)[0]:
            yield pytest.param(cls, parameter, id=f"{name}-{parameter}")


@pytest.mark.parametrize(("cls", "parameter"), _field_cases())
def test_a_parameter_of_an_output_field(cls, parameter):
    if parameter in OF_COLUMNS or parameter in AT_THE_CLIENT:
        return
    assert parameter in FIELD_KEYWORDS[cls.__name__]
    required = {"max_digits": 9, "decimal_places": 3} if cls is models.DecimalField else {}
    field = cls(**{**required, parameter: FIELD_SAMPLES[parameter]})
    frozen = freeze(Cast("a", field))
    check_expression(frozen.args[1])
    assert resolve(frozen).output_field.deconstruct() == field.deconstruct()


def test_a_collation_of_a_field_is_a_name(remote):
    for wrong in ('x"; DROP', "", "a" * 64, 5):
        with pytest.raises(ValueError, match="db_collation"):
            check_expression(Expr("CharField", (), {"db_collation": wrong}))
    with pytest.raises(ValueError, match="db_collation"):
        check_expression(Expr("IntegerField", (), {"db_collation": "nocase"}))


class Shouted(models.CharField):
    """Values are stored in capitals."""

    def get_prep_value(self, value):
        return value if value is None else str(value).upper()


class OtherType(models.CharField):
    def db_type(self, connection):
        return "citext"


class ForOneDatabase(models.CharField):
    def get_db_prep_value(self, value, connection, prepared=False):
        return f"<{value}>"


def test_a_field_of_the_project_prepares_the_value_or_is_refused(local, remote, shop_data):
    asked = [
        lambda m: m.Customer.objects.filter(pk=1).values_list(Value("ada", Shouted()), flat=True),
        lambda m: m.Customer.objects.filter(pk=1).annotate(x=Value("ada", output_field=Shouted())).values("x"),
    ]
    for query in asked:
        assert list(query(remote)) == list(query(local))
    with pytest.raises(TypeError, match="OtherType"):
        remote.Customer.objects.annotate(x=Cast("name", OtherType()))
    with pytest.raises(TypeError, match="ForOneDatabase"):
        remote.Customer.objects.annotate(x=Value("ada", ForOneDatabase()))


def test_a_value_passes_the_encoder_of_its_field(local, remote, shop_data):
    import decimal

    value = Value({"n": decimal.Decimal("1.50")}, models.JSONField(encoder=DjangoJSONEncoder))
    for models_ in (local, remote):
        (found,) = models_.Customer.objects.filter(pk=1).values_list(value, flat=True)
        assert found == {"n": "1.50"}


def test_a_lookup_of_the_project_is_not_taken_for_djangos(remote):
    class Exact(models.lookups.Exact):
        def as_sql(self, compiler, connection):
            return "1 = 1", []

    with pytest.raises(TypeError, match="Exact cannot be sent"):
        remote.Customer.objects.filter(Exact(F("name"), Value("x")))


#: Methods of a queryset with arguments that need no classification.
LOCAL_METHODS = {
    "iterator": "chunk_size is the size of the chunks in which the client reads its rows",
    "aiterator": "as iterator()",
    "resolve_expression": "Django's own",
    "as_manager": "makes a class",
    "from_queryset": "makes a class",
    "raw": "refused",
    "extra": "refused",
    "using": "chooses the service",
    "fetch_mode": "the client's instances have it",
    "complex_filter": "is filter()",
    "bulk_create": "tests below",
    "abulk_create": "as bulk_create()",
}
NOT_SENT = {
    ("bulk_update", "batch_size"): "one message, which the service splits as its database needs",
    ("bulk_create", "batch_size"): "one message, which the service splits as its database needs",
}


def _methods():
    names = [name for name, value in vars(QuerySet).items() if inspect.isfunction(value) and not name.startswith("_")]
    for name in sorted(names):
        if name not in LOCAL_METHODS and not (name.startswith("a") and name[1:] in names):
            yield name


METHOD_SAMPLES = {
    "obj": None,
    "field_name": "created",
    "kind": "month",
    "order": "DESC",
    "tzinfo": zoneinfo.ZoneInfo("Asia/Kolkata"),
    "is_dst": None,
    "flat": True,
    "named": True,
    "all": True,
    "nowait": True,
    "skip_locked": True,
    "of": ("self",),
    "no_key": True,
    "format": "text",
    "id_list": [1],
}
EXAMPLES = {
    "datetimes": {"field_name": "created", "kind": "month"},
    "dates": {"field_name": "created", "kind": "month"},
    "in_bulk": {"id_list": [1]},
    "values_list": {},
}


@pytest.mark.parametrize("name", _methods())
def test_each_parameter_of_a_queryset_method_is_in_the_node(remote, messages, name, monkeypatch):
    """Methods that return a query hold each argument in their node; the others hand it to the message."""
    signature = inspect.signature(getattr(QuerySet, name)).parameters
    keywords = [p.name for p in signature.values() if p.kind is p.KEYWORD_ONLY or p.default is not p.empty]
    if not METHODS.get(name) or not METHODS[name].returns_query:
        assert name in TERMINALS, f"{name}() is not in the test"
        assert set(keywords) <= TERMINALS[name], f"{name}() has a new parameter"
        return
    for keyword in keywords:
        assert keyword in METHOD_SAMPLES, f"a value for {name}({keyword}=...)?"
        if keyword == "is_dst":
            continue  # before Django 5.0
        if name in ("union", "intersection", "difference"):
            node = getattr(remote.Order.objects.all(), name)(
                remote.Order.objects.all(), **{keyword: METHOD_SAMPLES[keyword]}
            ).query.node
        else:
            given = {**EXAMPLES.get(name, {}), keyword: METHOD_SAMPLES[keyword]}
            positional = ("number",) if name == "values_list" else ()
            node = getattr(remote.Order.objects, name)(*positional, **given).query.node
        assert node.kwargs.get(keyword) == freeze(METHOD_SAMPLES[keyword])


#: The parameters of the methods that return a value: all are sent, except those in `NOT_SENT`.
TERMINALS = {
    "aggregate": set(),
    "bulk_update": {"batch_size"},
    "contains": set(),
    "count": set(),
    "create": set(),
    "delete": set(),
    "earliest": set(),
    "exists": set(),
    "explain": {"format"},
    "first": set(),
    "get": set(),
    "get_or_create": {"defaults"},
    "in_bulk": {"id_list", "field_name"},
    "last": set(),
    "latest": set(),
    "update": set(),
    "update_or_create": {"defaults", "create_defaults"},
}


def test_options_of_explain_are_sent(remote):
    node = Method(ModelSource("shop.Order", "rpc"), "explain", (), {"format": "text", "analyze": True})
    check_method_arguments(node.name, node.args, node.kwargs)
    seen = []
    query = remote.Order.objects.all()
    query.query._value = lambda using, name, args, kwargs: seen.append(kwargs) or ""
    query.explain(format="text", analyze=True)
    assert seen == [{"format": "text", "analyze": True}]


def test_refused_methods_have_reason(remote):
    for call in (
        lambda: remote.Order.objects.raw("SELECT 1"),
        lambda: remote.Order.objects.extra(where=["1=1"]),
        lambda: remote.Order.objects.extra(select={"x": "1"}),
    ):
        with pytest.raises(NotSupportedError):
            call()
    with pytest.raises(TypeError):
        remote.Order.objects.annotate(x=Func("pk", function="LOWER", template="%(function)s"))
