"""The table of errors is complete, and both ends and the documentation agree with it."""

from __future__ import annotations

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

from django_rpc import errors
from django_rpc.client.remote_errors import build
from django_rpc.errors import ERRORS
from django_rpc.models import errors as model_errors
from django_rpc.server.errors.public import public_error
from django_rpc.server.errors.reports import report
from django_rpc.wire.messages import ErrorReport

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "errors.md"
WITH_CLASS = [kind for kind in ERRORS.values() if kind.error_class is not None]
STANDARD = [kind for kind in ERRORS.values() if kind.standard]
FROM_SERVICE = [kind for kind in WITH_CLASS if kind.raised_by in ("service", "codec")]
#: Base classes without a code: no end raises them.
BASES = {"RpcError", "WireError", "LedgerError", "LimitExceeded"}


def error_classes():
    """Return the public classes of the module by name."""
    members = {name: getattr(errors, name) for name in errors.__all__}
    return {name: cls for name, cls in members.items() if isinstance(cls, type) and issubclass(cls, errors.RpcError)}


def test_every_class_has_an_entry():
    listed = {kind.error_class for kind in WITH_CLASS}
    assert set(error_classes().values()) - listed == {getattr(errors, name) for name in BASES}


@pytest.mark.parametrize("kind", ERRORS.values(), ids=ERRORS)
def test_an_entry_is_consistent(kind):
    assert ERRORS[kind.code] is kind
    assert kind.status >= 400
    assert kind.error_class is None or kind.error_class.code == kind.code
    assert kind.error_class is not None or kind.raised_by == "code"
    assert not kind.withheld_text or not kind.sends_text


@pytest.mark.parametrize("kind", FROM_SERVICE, ids=lambda kind: kind.code)
def test_an_error_of_the_service_arrives_with_its_class_and_text(kind):
    made = report(public_error(kind.error_class("Text for clients.")))
    assert (made.code, made.message, made.remote_name) == (kind.code, "Text for clients.", None)
    for error in (build(made), model_errors.build(None, made, None)):
        assert type(error) is kind.error_class
        assert str(error) == "Text for clients."


@pytest.mark.parametrize(
    "kind", [kind for kind in WITH_CLASS if kind.raised_by == "client"], ids=lambda kind: kind.code
)
def test_a_service_cannot_send_an_error_of_the_client(kind):
    error = build(ErrorReport(code=kind.code, message="forged"))
    assert isinstance(error, errors.RemoteError)


@pytest.mark.parametrize("kind", STANDARD, ids=lambda kind: kind.code)
def test_a_standard_class_keeps_its_code_and_withholds_its_text(kind):
    standard = resolve_name(kind.standard)
    error = standard("secret", set()) if kind.code in ("ProtectedError", "RestrictedError") else standard("secret")
    made = report(error)
    assert made.code == kind.code
    if kind.code != "ValidationError":  # its messages are for clients
        assert "secret" not in made.message
    assert isinstance(model_errors.build(None, made, None), standard)


@pytest.mark.parametrize("kind", [kind for kind in FROM_SERVICE if not issubclass(kind.error_class, errors.WireError)])
def test_an_error_of_another_service_is_not_an_error_of_this_service(kind):
    error = build(ErrorReport(code=kind.code, message="secret of the other service"))
    made = report(error)
    assert (made.code, made.remote_name) == ("Remote", kind.code)
    assert "secret" not in made.message


def test_the_page_of_errors_agrees_with_the_table():
    by_class = {kind.error_class.__name__: kind for kind in WITH_CLASS}
    rows = re.findall(r"^\| (`.*?) \| the (client|service) \| ([\d, ]+) \|", PAGE.read_text(), re.MULTILINE)
    documented = []
    for names, raised_by, statuses in rows:
        kinds = [by_class[name] for name in re.findall(r"`(\w+)`", names)]
        documented += [kind.code for kind in kinds]
        assert {"client" if kind.raised_by == "client" else "service" for kind in kinds} == {raised_by}, names
        assert sorted({int(kind.status) for kind in kinds}) == [int(status) for status in statuses.split(", ")], names
    assert sorted(documented) == sorted(kind.code for kind in WITH_CLASS)
