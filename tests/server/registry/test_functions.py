"""Functions that the service registered by name."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.db.models import Sum

from django_rpc import compute, function
from django_rpc.errors import BadValue
from django_rpc.graph.nodes import Attr, Function, Literal
from django_rpc.graph.values import Record, Reference
from django_rpc.server import RpcRequest, RpcSite, site
from tests.server.conftest import call, method, source

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])

PRODUCTS, TAGS = source("shop.Product"), source("shop.Tag")


@pytest.fixture(autouse=True)
def data(shop_data):
    return shop_data


@pytest.fixture
def open_function():
    """``open_function(call, **options)``: registered for the time of a test."""
    names = []

    def register(call, **options):
        site.function(**options)(call)
        names.append(options.get("name") or call.__name__)
        return call

    yield register
    for name in names:
        del site.functions[name]


def asked(name_, /, *args, reads_only=False, **kwargs):
    return Function(service="rpc", name=name_, args=args, kwargs=kwargs, reads_only=reads_only)


def test_both_forms_of_the_decorator():
    fresh = RpcSite()

    @fresh.function
    def one():
        pass

    @fresh.function(name="second", reads_only=True)
    def two():
        pass

    assert {name: found.call for name, found in fresh.functions.items()} == {"one": one, "second": two}
    assert fresh.functions["second"].reads_only
    assert fresh.function(one) is one  # again, as a reload does


@pytest.mark.parametrize(
    ("register", "said"),
    [
        (lambda fresh: fresh.function("quote"), "The argument for a name is name="),
        (lambda fresh: fresh.function(lambda: 1), "'<lambda>' is not a valid name"),
        (lambda fresh: fresh.function(name="os.system")(len), "'os.system' is not a valid name"),
        (lambda fresh: (fresh.function(len), fresh.function(max, name="len")), "'len' is registered already"),
    ],
)
def test_mistakes_are_reported_at_registration(register, said):
    with pytest.raises(ImproperlyConfigured, match=said):
        register(RpcSite())


def test_query_argument_is_queryset_in_scope(ask, remote, registered, local):
    total = function("basket_total", reads_only=True)(remote.Product.objects.filter(pk__lte=3), discount=50)
    expected = local.Product.objects.filter(pk__lte=3).aggregate(total=Sum("price"))["total"] / 2
    assert total.compute() == expected
    assert compute(total, [total + 1]) == (expected, [expected + 1])


def test_container_arguments_are_converted(ask, open_function, local):
    seen = []

    @open_function
    def look(*args, **kwargs):
        seen.append((args, kwargs))

    first = method(TAGS, "filter", pk=1)
    claimed = Reference("shop.Tag", 1)
    look_at = asked("look", [first, (claimed,)], claimed, by={"query": first})
    assert ask(look_at).output is None
    [([query, (instance,)], alone), kwargs] = seen[0]
    for found in (query, kwargs["by"]["query"]):
        assert type(found.query).__module__.startswith("django.db")
        assert list(found) == [local.Tag.objects.get(pk=1)]
    # The row itself, and not the values that the client sent.
    assert instance.name == alone.name == local.Tag.objects.get(pk=1).name


def test_rows_that_the_client_may_not_see_are_no_arguments(ask, open_function, registered, local):
    from django_rpc.server import ModelRpc

    class TagRpc(ModelRpc):
        fields = ["id", "name"]

        def get_queryset(self, request):
            return super().get_queryset(request).filter(pk__gt=1)

    registered(local.Tag, TagRpc)

    @open_function
    def count(tags):
        return len(tags)

    assert ask(asked("count", TAGS)).output == local.Tag.objects.count() - 1
    refused = ask(asked("count", [Reference("shop.Tag", 1)]))
    assert refused.error.code == "DoesNotExist"
    hidden = ask(asked("count", method(TAGS, "filter", products__sku="x")))
    assert hidden.error is None  # a path of exposed names


def test_result_is_limited_to_exposed_fields(ask, open_function, registered, local):
    registered(local.Product, fields=["id", "title"])

    @open_function
    def first():
        return local.Product.objects.first()

    record = ask(asked("first")).output
    assert type(record) is Record
    assert record.fields == ("id", "title")
    assert ask(Attr(parent=asked("first"), name="price")).error.code == "AttributeError"


def test_returned_queryset_can_be_refined(ask, open_function, local):
    @open_function
    def all_tags():
        return local.Tag.objects.all()

    assert ask(method(method(asked("all_tags"), "filter", pk=1), "count")).output == 1


def test_forbidden_function_is_like_unknown_function(ask, open_function):
    ran = []
    open_function(lambda: ran.append(1), name="hidden", permission=lambda request: request.client == "boss")
    for name in ("hidden", "nowhere"):
        answered = ask(asked(name))
        assert answered.error.code == "UnknownFunction"
        assert answered.error.message == (
            f"This service has no function {name!r}. There are: basket_total, rename_tag."
        )
        assert not [sql for sql in answered.queries if sql not in ("BEGIN", "ROLLBACK") and "SAVEPOINT" not in sql]
    assert ran == []


@pytest.mark.parametrize("name", ["__import__", "os.system", "_private", "", 5])
def test_only_names_are_names(name):
    with pytest.raises(ValueError, match="not a valid name"):
        function(name)
    with pytest.raises(ValueError, match="not a valid name"):
        asked(name)


def test_function_receives_caller(ask, open_function):
    def own(request, greeting):
        assert isinstance(request, RpcRequest)
        return f"{greeting}, {request.client}"

    open_function(own, name="whoami", with_request=True)
    assert ask(asked("whoami", "Hello")).output == "Hello, anonymous"


def test_a_call_is_a_transaction_with_the_writes_around_it(ask, open_function, local):
    @open_function
    def fail(tag):
        tag.name = "changed"
        tag.save()
        raise DatabaseError("no")

    made = method(TAGS, "create", name="made")
    answered = ask(asked("fail", made))
    assert answered.error.code == "DatabaseError"
    assert answered.queries[0].startswith(("BEGIN", "SAVEPOINT"))
    assert not local.Tag.objects.filter(name__in=["made", "changed"]).exists()


def test_reading_calls_are_merged_without_transaction(ask, open_function, remote):
    calls = []

    @open_function
    def plain(value):
        calls.append(value)
        return value

    open_function(plain, name="reading", reads_only=True)
    quick, slow = function("reading", reads_only=True), function("plain")
    assert compute(quick(1), quick(1), quick(2)) == (1, 1, 2)
    assert calls == [1, 2]
    assert compute(slow(1), slow(1)) == (1, 1)
    assert calls == [1, 2, 1, 1]
    assert ask(asked("reading", 1, reads_only=True)).queries == []


def test_function_declares_if_it_writes(ask, open_function):
    open_function(lambda: 1, name="writing")
    answered = ask(asked("writing", reads_only=True))
    assert answered.error.code == "PermissionDenied"
    assert "without reads_only=True" in answered.error.message


def test_in_a_map_it_is_called_for_each_element(ask, open_function, remote, local):
    @open_function
    def shout(text):
        return text.upper()

    names = remote.Tag.objects.delayed().order_by("id").map(lambda tag: function("shout")(tag.name))
    assert names.compute() == [tag.name.upper() for tag in local.Tag.objects.order_by("id")]


def test_it_is_planned_with_the_rest_of_its_service(remote, messages):
    tag = remote.Tag.objects.delayed().get(pk=1)
    renamed = function("rename_tag")(tag, "renamed")
    after = remote.Tag.objects.delayed().get(pk=1).name
    with messages() as sent:
        assert compute(renamed.name, after) == ("renamed", "renamed")
    assert len(sent) == 1
    assert type(renamed.compute()) is remote.Tag
    assert "writes rename_tag(Tag.objects.get(pk=1), 'renamed')" in renamed.explain()


def test_a_lookup_in_keywords_is_checked_when_the_message_is_read(ask):
    from django_rpc.wire.codec import decode_request, encode_request
    from tests.server.conftest import request_for

    text = encode_request(request_for(asked("basket_total", [], discount=5))).replace(b"discount", b"dis count")
    with pytest.raises(BadValue):
        decode_request(text)


def test_error_in_function_names_the_call(remote):
    with pytest.raises(TypeError) as caught:
        function("basket_total")(remote.Product.objects.all(), wrong=1).compute()
    assert "failed at the service: basket_total(Product.objects, wrong=1)" in caught.value.__notes__[0]


def test_a_literal_is_an_argument_as_well(ask, open_function):
    open_function(lambda values: sum(values, Decimal(0)), name="total")
    assert ask(asked("total", Literal(value=[Decimal("1.5"), 2]))).output == Decimal("3.5")


def test_methods_take_queries_in_containers_too(ask, registered, local):
    from django_rpc.server import ModelRpc

    class TagRpc(ModelRpc):
        fields = ["id", "name"]
        methods = ["counts"]

        def counts(self, request, tags, others):
            return [other.count() for other in others]

    registered(local.Tag, TagRpc)
    assert ask(call(TAGS, "counts", [method(TAGS, "filter", pk=1)])).output == [1]
