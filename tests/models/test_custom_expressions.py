"""Custom expressions: registered at both ends, and sent by their names."""

from __future__ import annotations

import pytest
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db.models import Count, F, Func, IntegerField, Lookup, OuterRef, QuerySet, Value
from django.db.models.functions import Coalesce, Collate, Lower

from django_rpc.graph.values import Expr, freeze
from django_rpc.graph.vocabulary.signatures import check_expression
from django_rpc.models import custom_expressions as own_expressions
from django_rpc.models import register_expression
from django_rpc.server import site

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


class Scaled(Func):
    """``by`` is a number, and no text of the client becomes SQL."""

    template = "(%(expressions)s * %(by)d)"
    output_field = IntegerField()

    def __init__(self, expression, by=2, **extra):
        super().__init__(expression, by=by, **extra)


class IsNearly(Lookup):
    lookup_name = "nearly"
    prepare_rhs = False

    def as_sql(self, compiler, connection):
        (lhs, left), (rhs, right) = (self.process_lhs(compiler, connection), self.process_rhs(compiler, connection))
        return f"ABS({lhs} - {rhs}) < 2", [*left, *right]


@pytest.fixture
def registered(monkeypatch):
    """At both ends, for one test."""
    monkeypatch.setattr(own_expressions, "_names", {})
    monkeypatch.setattr(site, "expressions", {})

    def both(cls, **options):
        return site.expression(register_expression(cls, **options), **options)

    return both


def test_an_expression_that_both_ends_registered(local, remote, shop_data, registered):
    registered(Scaled)
    registered(IsNearly, name="Nearly")
    asked = [
        lambda m: m.Order.objects.annotate(x=Scaled("pk", 5)).order_by("pk").values_list("x", flat=True),
        lambda m: m.Order.objects.annotate(x=Scaled(F("pk"), by=3) + 1).order_by("-x").values_list("x", flat=True),
        lambda m: m.Customer.objects.filter(IsNearly(F("pk"), Value(7))).order_by("pk").values_list("pk", flat=True),
    ]
    for query in asked:
        assert list(query(remote)) == list(query(local)) != []


def test_expression_registered_at_one_end_is_refused(remote, shop_data, registered, messages):
    with messages() as sent, pytest.raises(TypeError, match="Register it at both ends"):
        remote.Order.objects.annotate(x=Scaled("pk"))
    assert len(sent) == 0
    register_expression(Scaled)
    with pytest.raises(ValueError, match="Scaled is not an expression that this service registered"):
        remote.Order.objects.annotate(x=Scaled("pk")).first()


def test_hidden_fields_and_sql_text_do_not_pass(remote, shop_data, registered):
    registered(Scaled)
    frozen = freeze(Scaled("pk"))
    with pytest.raises(FieldError, match="secret_note"):
        remote.Customer.objects.annotate(x=Scaled("secret_note"))
    for sent in (Expr(frozen.name, ("secret_note",)), Expr(frozen.name, ("pk",), {"template": "1"})):
        with pytest.raises((FieldError, TypeError), match=r"secret_note|no keyword 'template'"):
            remote.Customer.objects.delayed().annotate(x=sent).first().compute()


def test_names_are_identifiers():
    check_expression(Expr("own:Median", ("any text; at all",), {"by": "text"}))
    for wrong in (Expr("own:a b"), Expr("own:"), Expr("own:__x"), Expr("own:Median", (), {"a b": 1})):
        with pytest.raises(ValueError, match="not a valid name"):
            check_expression(wrong)
    with pytest.raises(ValueError, match="output_field"):
        check_expression(Expr("own:Median", (), {"output_field": "IntegerField"}))


def test_mistakes_of_a_registration(registered):
    registered(Scaled)
    for wrong in (int, Scaled(1)):
        with pytest.raises(TypeError, match="no"):
            register_expression(wrong)
        with pytest.raises(ImproperlyConfigured, match="none"):
            site.expression(wrong)
    with pytest.raises(ImproperlyConfigured, match="already"):
        site.expression(name="Scaled")(IsNearly)
    with pytest.raises(ImproperlyConfigured, match="not a valid name"):
        site.expression(name="a b")(IsNearly)
    with pytest.raises(ValueError, match="not a valid name"):
        register_expression(IsNearly, name="a b")


def test_a_function_that_django_has_is_sent_as_djangos(local, remote, shop_data):
    class Small(Func):
        function = "LOWER"

    class Odd(Func):
        function = "LOWER"
        template = "%(function)s(%(expressions)s || 'x')"

    assert freeze(Small("name")).name == "Lower"
    named = remote.Customer.objects.annotate(x=Func("name", Value("?"), function="coalesce"), y=Small("name"))
    theirs = local.Customer.objects.annotate(x=Coalesce("name", Value("?")), y=Lower("name"))
    assert list(named.values_list("x", "y").order_by("pk")) == list(theirs.values_list("x", "y").order_by("pk"))
    for own in (Odd("name"), Func("name", function="RANDOMBLOB"), Func("name", function="LOWER", template="1")):
        with pytest.raises(TypeError, match="cannot be sent"):
            freeze(own)
    counted = Func("pk", function="COUNT")
    with pytest.raises(TypeError, match="cannot be sent"):  # it would be grouped by, which Count is not
        freeze(counted)
    counted.contains_aggregate = True
    assert remote.Customer.objects.aggregate(n=counted) == {"n": 40}


def test_collations_by_their_names(local, remote, shop_data):
    ours, theirs = (m.Customer.objects.order_by(Collate("name", "nocase")) for m in (remote, local))
    assert [c.pk for c in ours] == [c.pk for c in theirs]
    with pytest.raises(ValueError, match="collation"):
        check_expression(Expr("Collate", ("name", 'nocase"; --')))


def test_a_query_is_selected_without_a_name(local, remote, shop_data):
    def biggest(m):
        return m.Order.objects.filter(customer=OuterRef("pk")).order_by("-total").values("total")[:1]

    for make in (lambda query: query, lambda query: query.query):
        ours, theirs = (
            m.Customer.objects.order_by("pk").values_list("pk", make(biggest(m))).annotate(n=Count("orders"))
            for m in (remote, local)
        )
        assert list(ours) == list(theirs)
        assert isinstance(ours, QuerySet)
