"""Forwarded values pass through a store that others can write to: their origin is checked, and they are only data.

The service of these tests is the receiver. Its forwarded values are raw bytes, as any process with access to the Redis
can write them.
"""

from __future__ import annotations

import json

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_rpc.server.handler import serve
from django_rpc.wire import signing
from django_rpc.wire.names import DEPOSIT
from tests.wire.test_signing import PRIVATE, PUBLIC, pem_pair

from .conftest import Answered, expr, method, ref, written

OTHER_PRIVATE, OTHER_PUBLIC = pem_pair()
SECRET = "s" * 32
GIVER = b'{"v":1,"id":"a1","nodes":[["source","shop.Tag"]],"outputs":[0]}'
SIGNED = {"id": "a1", "hash": signing.digest(GIVER), "client": "shop", "service": "stock", "keys": {"k": PUBLIC}}
TAGS, NAMED = ["source", "shop.Tag"], method(0, "filter", name={"$given": [0, 0]})
COUNT = [TAGS, NAMED, method(1, "count")]


@pytest.fixture(autouse=True)
def data(shop_data):
    from django_rpc.demo.server.shop.models import Tag

    cache.clear()
    yield Tag.objects.create(name="known")
    cache.clear()


@pytest.fixture
def take(db):
    """``take(box, nodes, origins)``: the answer to the message ``b1``, with this in its box; ``box`` by request."""

    def take(box, nodes=COUNT, origins=(SIGNED,), message_id="b1"):
        message = written(nodes, given=list(origins))
        message = message.replace(json.loads(message)["id"].encode(), message_id.encode())
        with CaptureQueriesContext(connection) as captured:
            sending = serve(message, None, message_id, box=None if box is None else lambda origins: box)
        return Answered(sending.answer, [query["sql"] for query in captured], 0)

    return take


def values(*outputs, message_id="b1"):
    return json.dumps({"v": 1, "id": message_id, "outputs": outputs}).encode()


def signed(given, *, key=PRIVATE, kid="k", client="shop", request_id="a1", request=GIVER, service="stock"):
    """Forward ``given`` as the service that answers ``request``, or as a service that lies."""
    claims = signing.Claims(client, request_id, signing.digest(request), 0.0, None, "")
    return signing.sign_response(given, signing.read_key(key, kid), claims, service=service)


def altered(data):
    return data.replace(b"known", b"other")


def test_values_signed_by_their_service_are_accepted(take):
    answered = take({"a1": signed(values("known"))})
    assert answered.output == 1
    assert answered.signature is None  # this client does not sign


#: The content of the store, where the service ``stock`` signs its values for the message ``b1``.
FORGED = {
    "unsigned": lambda: values("known"),
    "by another key": lambda: signed(values("known"), key=OTHER_PRIVATE),
    "by a secret, which is the public key": lambda: signed(
        values("known"), key=PUBLIC.replace("-----BEGIN", "x"), kid="k"
    ),
    "by an unknown key": lambda: signed(values("known"), kid="other"),
    "altered": lambda: altered(signed(values("known"))),
    "a token alone": lambda: signed(values("known")).partition(b"\n")[0] + b"\n",
    "a token of others": lambda: signed(values("other")).partition(b"\n")[0] + b"\n" + values("known"),
    "for another client": lambda: signed(values("known"), client="billing"),
    "of another service": lambda: signed(values("known"), service="billing"),
    "of another request": lambda: signed(values("known"), request_id="a2"),
    "of an earlier request of this id": lambda: signed(values("known"), request=GIVER + b" "),
    "for another message": lambda: signed(values("known", message_id="b0")),
    "the answer to the client": lambda: signed(values("known", message_id="a1")),
    "nothing": lambda: b"",
    "no text": lambda: b"\xff\xfe",
    "no JSON": lambda: signed(b"nonsense"),
}


@pytest.mark.parametrize("attack", FORGED)
def test_values_of_other_signers_are_refused(attack, take):
    answered = take({"a1": FORGED[attack]()})
    assert answered.code == ("BadMessage" if attack == "no JSON" else "HandOverFailed")
    assert answered.statements == []


def test_values_do_not_change_places(take):
    """Two requests forward values; each value is the output that the message requested, whatever the store declares."""
    other = b'{"v":1,"id":"c1","nodes":[],"outputs":[]}'
    second = {**SIGNED, "id": "c1", "hash": signing.digest(other)}
    one, two = signed(values("known")), signed(values("unknown"), request_id="c1", request=other)
    both = [TAGS, method(0, "filter", name={"$given": [0, 0]}), method(1, "exclude", name={"$given": [1, 0]})]
    both.append(method(2, "count"))
    assert take({"a1": one, "c1": two}, both, (SIGNED, second)).output == 1
    assert take({"a1": two, "c1": one}, both, (SIGNED, second)).code == "HandOverFailed"
    assert take({"a1": one, "c1": one}, both, (SIGNED, second)).code == "HandOverFailed"


@pytest.mark.parametrize("box", [None, {}, {"a2": b"{}"}], ids=["no box", "an empty box", "of another request"])
def test_values_that_are_missing(box, take):
    answered = take(box)
    assert answered.code == "HandOverFailed"
    assert answered.statements == []


def test_values_for_earlier_message_are_refused(take):
    """A message has its id, also when the same request is sent again."""
    earlier = signed(values("known", message_id="b1::1"))
    assert take({"a1": earlier}, message_id="b1::1").output == 1
    assert take({"a1": earlier}, message_id="b1::2").code == "HandOverFailed"


def test_unsigned_values_belong_to_one_message(take):
    """A service that signs for no client can be imitated by a writer of the store: docs/decisions/0006."""
    unsigned = ({"id": "a1"},)
    assert take({"a1": values("known")}, origins=unsigned).output == 1
    assert take({"a1": values("known", message_id="b0")}, origins=unsigned).code == "HandOverFailed"


def test_secret_is_no_key_for_values(take):
    """A client that could name the secret for the check could sign values itself: only public keys are accepted."""
    answered = take({"a1": signed(values("known"), key=SECRET)}, origins=({**SIGNED, "keys": {"k": SECRET}},))
    assert answered.code == "HandOverFailed"
    assert "public Ed25519 key" in answered.message


F = expr("F", "secret_note")
#: Operations in place of data.
OPERATIONS = {
    "an expression": F,
    "an expression in a list": [1, [F]],
    "an expression in a dict": {"a": F},
    "an expression as a key": {"$dict": [[F, 1]]},
    "an expression in a tuple": {"$tuple": [F]},
    "an expression in a set": {"$set": [F]},
    "an expression in rows": {"$rows": [["name"], ["any"], [[F]]]},
    "an expression in a table": {"$table": ["shop.Tag", ["name"], ["any"], [[F]]]},
    "an expression in a record": {"$record": ["shop.Tag", ["id", "name"], [F, F]]},
    "an expression in a named row": {"$named": [["id"], [F]]},
    "an expression in an instance": {"$instance": ["shop.Tag", F]},
    "an expression in a slice": {"$slice": [F, None, None]},
    "a condition": {"$q": ["AND", True, [["secret_note", "x"]]]},
    "a reference": ref(0),
    "a reference in a list": [ref(0)],
    "another handed value": {"$given": [0, 0]},
    "an error": {"$error": {"code": "DoesNotExist", "message": "no"}},
    "a subquery": expr("Subquery", ref(0)),
    "a window": {"$expr": ["Window", [F], {"partition_by": F}]},
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("way", ["filter", "create", "literal"])
def test_an_operation_in_a_value_is_refused(operation, way, take):
    """The signature of a service covers its data, and not their use at this service."""
    given = {"$given": [0, 0]}
    nodes = {
        "filter": [["source", "shop.Customer"], method(0, "filter", name=given), method(1, "count")],
        "create": [TAGS, method(0, "create", name=given)],
        "literal": [["literal", [given]]],
    }[way]
    answered = take({"a1": signed(values(OPERATIONS[operation]))}, nodes)
    assert answered.code in ("BadValue", "BadMessage", "ForwardReference", "HandOverFailed", "UnknownTag"), (
        answered.answer
    )
    assert answered.statements == []


#: Data that looks like something else.
DATA = {
    "a node": ["source", "auth.User"],
    "a text that is SQL": "x' OR 1=1 --",
    "jsonpickle": {"py/object": "os.system"},
    "code": {"$bytes": "gC4="},
    "a shipped function": ["shipped", "f", "3.11", "gC4=", [], {}, True],
}


@pytest.mark.parametrize("name", DATA)
def test_data_stays_data(name, take):
    answered = take({"a1": signed(values(DATA[name]))}, [["literal", {"$given": [0, 0]}]])
    assert answered.output == DATA[name]
    assert answered.statements == []


@pytest.mark.parametrize("name", ["secret_note", "referred_by__secret_note", 'id"; DROP TABLE x --', "__class__"])
def test_forwarded_name_belongs_to_the_client(name, take):
    """A value that becomes a name has to pass the checks of a name in the message."""
    for make in (
        lambda given: [["source", "shop.Customer"], method(0, "order_by", given)],
        lambda given: [["source", "shop.Customer"], method(0, "values_list", given)],
        lambda given: [["source", "shop.Customer"], method(0, "filter", {"$q": ["AND", False, [["id", given]]]})],
        lambda given: [["source", "shop.Customer"], method(0, "annotate", x={"$expr": ["F", [given], {}]})],
        lambda given: [["source", "shop.Customer"], method(0, "first"), ["item", 1, given]],
    ):
        handed = take({"a1": signed(values(name))}, make({"$given": [0, 0]}))
        said = take({}, make(name), ())
        assert (handed.code, handed.error and handed.message) == (said.code, said.error and said.message)
        assert handed.error is not None
        assert handed.data_statements == said.data_statements


def test_an_instance_is_a_claim_of_this_client(take, registered):
    """A row of a model that this client may not see does not exist, whichever service refers to it."""
    from django_rpc.demo.server.shop.models import Customer
    from django_rpc.server import ModelRpc

    class NobodyRpc(ModelRpc):
        fields = ["id", "name"]

        def get_queryset(self, request):
            return super().get_queryset(request).none()

    registered(Customer, NobodyRpc)
    record = {"$record": ["shop.Customer", ["id", "name"], [1, "CLAIMED"]]}
    nodes = [["literal", {"$given": [0, 0]}], ["attr", 0, "name"]]
    answered = take({"a1": signed(values(record))}, nodes)
    assert answered.code == "DoesNotExist"
    unknown = take({"a1": signed(values({"$record": ["auth.User", ["id"], [1]]}))}, nodes)
    nowhere = take({"a1": signed(values({"$record": ["auth.Usor", ["id"], [1]]}))}, nodes)
    assert unknown.message.replace("User", "Usor") == nowhere.message


def test_forwarded_values_count_towards_limits(take, settings_of_server):
    settings_of_server(LIMITS={"message_bytes": 2_000, "depth": 20})
    assert take({"a1": signed(values("x" * 1_900))}).code == "MessageTooLarge"
    deep = b'{"v":1,"id":"b1","outputs":[' + b"[" * 50 + b"]" * 50 + b"]}"
    assert take({"a1": signed(deep)}).code == "MessageTooDeep"


@pytest.mark.parametrize("place", [[0, 1], [1, 0], [-1, 0], [0, -1], ["0", 0]], ids=repr)
def test_unknown_place_of_forwarded_value(place, take):
    answered = take({"a1": signed(values("known"))}, [["literal", {"$given": place}]])
    assert answered.code == "BadValue"


def test_error_is_not_forwarded(take):
    """A failed service forwards nothing; an error in the store was not written by it."""
    failed = b'{"v":1,"id":"b1","outputs":["known"],"error":{"code":"DoesNotExist","message":"no"}}'
    assert take({"a1": signed(failed)}).code == "HandOverFailed"


def test_no_request_puts_its_values_in_the_place_of_a_message(take):
    """Values are stored under the id of their request, next to the message that waits for them."""
    answered = take({DEPOSIT: values("known")}, origins=({"id": DEPOSIT},))
    assert answered.code == "BadMessage"
    assert take({"message": values("known")}, origins=({"id": "message"},)).output == 1
