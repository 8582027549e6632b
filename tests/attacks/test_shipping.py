"""Code of a client is unpickled in a single place, and only for a client with the permission.

The payload writes a file when it is unpickled, whatever the server does with the result.
"""

from __future__ import annotations

import ast
import base64
import json
import pickle
import time
from pathlib import Path

import jwt
import pytest
from django.core.cache import cache

import django_rpc
from django_rpc.graph.nodes.pickled_function import PYTHON
from django_rpc.wire import signing

from .conftest import method, ref, written

SECRET, OTHER = "s" * 32, "o" * 32
PACKAGE = Path(django_rpc.__file__).parent
TAGS = ["source", "shop.Tag"]


class Payload:
    """Opens a file for writing when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def mark(tmp_path):
    """The file that is there if the payload was unpickled."""
    return tmp_path / "unpickled"


@pytest.fixture
def service(settings_of_server, db):
    """``service(**options)``: the client ``shop`` has these options; ``reader`` may ship nothing."""
    cache.clear()

    def known(strict=True, **options):
        clients = {"shop": {"keys": {"k": SECRET}, **options}, "reader": {"keys": {"k": OTHER}}, "anonymous": {}}
        settings_of_server(SERVICE="stock", CLIENTS=clients, STRICT=strict)

    known(cloudpickle=True)
    yield known
    cache.clear()


def token(data, client="shop", key=SECRET, **changes):
    now, request_id = time.time(), json.loads(data)["id"]
    claims = {"iss": client, "aud": "stock", "iat": now, "exp": now + 30, "jti": request_id}
    claims |= {"hash": signing.digest(data), **changes}
    return jwt.encode(claims, key, algorithm="HS256", headers={"kid": "k", "typ": "rpc-request+jwt"})


def packed(mark):
    return base64.b64encode(pickle.dumps(Payload(mark))).decode()


def shipped(mark, *args, reads_only=True, python=PYTHON, code=None):
    return ["shipped", "f", python, packed(mark) if code is None else code, list(args), {}, reads_only]


#: Places of code in a message.
PLACES = {
    "alone": lambda code: [code],
    "it writes": lambda code: [[*code[:-1], False]],
    "an argument": lambda code: [TAGS, code, method(0, "filter", name=ref(1)), method(2, "count")],
    "after a write": lambda code: [TAGS, method(0, "create", name="made"), code],
    "in a map": lambda code: [TAGS, ["param", 0], [*code[:4], [ref(1)], *code[5:]], ["map", 0, 1, 2, True]],
    "in a branch": lambda code: [["literal", True], code, ["cond", 0, 1, 1]],
    "another Python": lambda code: [[*code[:2], "3.7", *code[3:]]],
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("who", ["anonymous", "reader", "shop without permission", "shop with STRICT off"])
def test_code_of_client_without_permission_is_not_unpickled(who, place, service, send, mark, shop_data):
    if who.startswith("shop"):
        service(strict=who != "shop with STRICT off")
    data = written(PLACES[place](shipped(mark)))
    signed = {"anonymous": None, "reader": token(data, "reader", OTHER)}.get(who, token(data))
    answered = send(data, signed)
    said = answered.text if place == "in a map" else answered.code
    assert "PermissionDenied" in said
    assert not mark.exists()
    if place in ("alone", "it writes", "another Python"):
        assert answered.data_statements == []


def test_code_of_permitted_client_is_unpickled(service, send, mark):
    """Otherwise the other tests would prove nothing."""
    data = written([shipped(mark)])
    assert send(data, token(data)).code == "ShippingFailed"  # an open file is no function
    assert mark.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"key": OTHER},
        {"client": "reader"},
        {"aud": "billing"},
        {"exp": time.time() - 1000},
        {"hash": "0" * 64},
    ],
    ids=["another key", "another client", "another service", "expired", "another message"],
)
def test_unauthenticated_code_is_not_unpickled(changes, service, send, mark):
    data = written([shipped(mark)])
    assert send(data, token(data, **changes)).code == "RequestRefused"
    assert not mark.exists()


def test_an_explanation_unpickles_nothing(service, send, mark):
    data = written([shipped(mark)], asking="explain")
    answered = send(data, token(data))
    assert answered.error is None
    assert answered.answer["later"] == [0]
    assert not mark.exists()


def test_repeated_message_runs_once(service, send, mark):
    data = written([shipped(mark)])
    first = token(data)
    send(data, first)
    mark.unlink()
    assert send(data, first).code == "RequestRefused"
    assert not mark.exists()


@pytest.mark.parametrize("python", ["3.7", "2.7", "3", "3.11.1", "", 3], ids=repr)
def test_code_of_other_python_is_not_unpickled(python, service, send, mark):
    data = written([shipped(mark, python=python)])
    assert send(data, token(data)).code == ("ShippingFailed" if python == "3.7" else "BadValue")
    assert not mark.exists()


def test_large_code_is_refused_by_its_size(service, send, mark):
    service(cloudpickle=True, limits={"code_bytes": 100})
    halves = [shipped(mark, code=base64.b64encode(pickle.dumps("x" * 60)).decode()) for _ in range(2)]
    data = written([*halves, ["literal", [ref(0), ref(1)]]])
    answered = send(data, token(data))
    assert answered.code == "MessageTooLarge"
    assert "limit 'code_bytes'" in answered.message


def test_bytes_of_other_kinds_stay_bytes(service, send, mark):
    """Bytes that look like a pickle are data at every other place, also for a client that may ship."""
    value = {"$bytes": packed(mark)}
    data = written([["literal", [value, {"py/reduce": [value]}, packed(mark)]]])
    assert send(data, token(data)).error is None
    assert not mark.exists()


#: Ways from a text or bytes to code.
_NAMES = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "pickle",
    "cloudpickle",
    "marshal",
    "shelve",
    "jsonpickle",
    "dill",
    "yaml",
}


def names_of(path):
    """Names of modules and builtins that could execute data."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(node.func.id)
    return found & _NAMES


def test_single_file_unpickles():
    files = [path for room in ("wire", "server", "celery", "telemetry") for path in (PACKAGE / room).rglob("*.py")]
    assert len(files) > 60
    names_by_file = {path.relative_to(PACKAGE).as_posix(): names_of(path) for path in files}
    assert {file: names for file, names in names_by_file.items() if names} == {
        "server/pickled_functions.py": {"pickle"},
        # At its import, from the fields that the classes of the node kinds declare; never from a message.
        "wire/nodes.py": {"compile", "exec"},
    }
