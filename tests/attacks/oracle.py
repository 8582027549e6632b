"""Properties of the answer to any message, and a service with hidden data."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.db import transaction

from django_rpc.demo.server.shop.models import Customer, Tag
from django_rpc.errors import ERRORS
from django_rpc.server import ModelRpc, site
from django_rpc.server.handler import handle
from django_rpc.wire.codec import decode_response

__all__ = ["LIMITS", "SETTINGS", "Guarded", "Violation"]

#: Stands in every hidden column, and in every column of a row that the client must not see.
CANARY = "CANARY"
LIMITS = {"seconds": 4, "requests": 10**9, "rows": 20_000, "response_bytes": 4_000_000}
SETTINGS = {"STRICT": True, "LIMITS": LIMITS, "CLIENTS": {"anonymous": {}}}
#: An answer that takes longer is a hang: the time-out of the database and some parsing.
MAX_SECONDS = 10.0
#: Parts of SQL, of paths and of tables, which an answer holds only where the message did.
TELLING = ("SELECT ", "INSERT INTO", "shop_customer", "Traceback", ".py", "sqlite", "psycopg", "secret_note")
ALL = {"read", "create", "update", "delete"}


class Violation(AssertionError):
    """A message after which something is not as it must be."""


class GuardedCustomerRpc(ModelRpc):
    """Half of the customers, without one of their columns."""

    fields = ["id", "name", "email", "city", "joined", "credit", "notes", "referred_by", "order_count"]
    operations = ALL
    methods = ["top_spenders"]

    def order_count(self, obj: Any) -> int:
        return obj.orders.count()

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).filter(secret_note="")


class GuardedTagRpc(ModelRpc):
    fields = ["id", "name"]
    operations = ALL

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).exclude(name__startswith=CANARY)


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Guarded:
    """A context in which hidden rows and columns contain the canary, and all changes are undone."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self._errors = _Errors()

    def __enter__(self) -> Guarded:
        self._before = {model: type(site._registry[model]) for model in (Customer, Tag)}
        for model, rpc in ((Customer, GuardedCustomerRpc), (Tag, GuardedTagRpc)):
            site.unregister(model)
            site.register(model, rpc)
        for customer in Customer.objects.filter(pk__gt=20):
            customer.secret_note = customer.name = customer.city = customer.notes = CANARY
            customer.email = f"{CANARY}-{customer.pk}@example.org"
            customer.save()
        Tag.objects.create(name=f"{CANARY}-1")
        self._state = self._hidden()
        logging.getLogger("django_rpc.server").addHandler(self._errors)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("django_rpc.server").removeHandler(self._errors)
        for model, rpc in self._before.items():
            site.unregister(model)
            site.register(model, rpc)

    def _hidden(self) -> Any:
        customers = Customer.objects.order_by("pk").values_list("pk", "secret_note")
        unseen = Customer.objects.filter(secret_note=CANARY).order_by("pk").values_list()
        return (
            list(customers.filter(secret_note=CANARY)),
            list(unseen),
            list(Tag.objects.filter(name__startswith=CANARY).values_list()),
        )

    def check(self, data: bytes, look: bool = True) -> str:
        """The code of the answer; raises Violation.  ``look``: also whether hidden rows are as they were."""
        self._errors.records.clear()
        begun = time.monotonic()
        try:
            with transaction.atomic():
                answer = handle(data)
                changed = look and self._hidden() != self._state
                transaction.set_rollback(True)
        except Exception as error:
            raise Violation(f"{type(error).__name__} was raised: {error}") from error
        took = time.monotonic() - begun
        code = self._code(answer)
        self.codes[code] = self.codes.get(code, 0) + 1
        if took > MAX_SECONDS:
            raise Violation(f"It took {took:.1f} s.")
        if changed:
            raise Violation("What the client does not see was changed.")
        if self._errors.records:
            record = self._errors.records[0]
            raise Violation(f"The service's log has an error: {record.getMessage()} {record.exc_info}")
        self._check_text(data.decode("utf-8", "replace"), answer.decode())
        return code

    def _code(self, answer: bytes) -> str:
        response = decode_response(answer)
        if response.error is None:
            return "answered"
        code = response.error.code
        if code == "Remote" or code not in ERRORS or ERRORS[code].raised_by == "client":
            raise Violation(f"An error that is none of ours: {response.error}")
        return code

    def _check_text(self, sent: str, answer: str) -> None:
        if CANARY in answer and CANARY not in sent:
            raise Violation(f"A hidden value is in the answer: {answer[:300]}")
        for part in TELLING:
            if part in answer and part not in sent:
                raise Violation(f"{part!r} is in the answer: {answer[:500]}")
