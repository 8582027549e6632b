"""The rows that programs work on: few, with ties, nulls, and moments near midnight."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

__all__ = ["fill"]

MOMENTS = [
    dt.datetime(2024, 3, 9, 19, 30, tzinfo=dt.UTC),
    dt.datetime(2024, 3, 10, 2, 30, tzinfo=dt.UTC),
    dt.datetime(2024, 3, 10, 12, 15, 30, 123456, tzinfo=dt.UTC),
    dt.datetime(2024, 10, 27, 0, 30, tzinfo=dt.UTC),
    dt.datetime(2024, 10, 27, 1, 30, tzinfo=dt.UTC),
    dt.datetime(2024, 12, 31, 23, 59, tzinfo=dt.UTC),
]
ATTRIBUTES: list[Any] = [
    {"color": "red", "size": [1, 2]},
    {},
    {"color": None},
    {"a": {"b": "x"}},
    [1, "two"],
    {"size": 3},
]


def fill(models: Any) -> None:
    """Make the rows with the service's models."""
    _shop(models)
    _zoo(models)


def _shop(m: Any) -> None:
    customers: list[Any] = []
    for n in range(1, 8):
        customer = m.Customer.objects.create(
            name=f"Name {n % 5}",
            email=f"n{n}@example.org",
            tier=("basic", "plus", "vip")[n % 3],
            city=("Oslo", "Bergen", "é")[n % 3],
            joined=dt.date(2024, 3, 8) + dt.timedelta(days=n),
            credit=Decimal(n * 25) / 2,
            active=n % 4 != 0,
            notes=None if n % 2 else f"note {n}",
            referred_by=customers[n // 2 - 1] if n > 1 else None,
        )
        customers.append(customer)
    for customer in customers[:4]:
        m.Profile.objects.create(customer=customer, bio=f"bio {customer.pk}")
    root = m.Category.objects.create(title="A")
    categories = [root, *(m.Category.objects.create(title=title, parent=root) for title in "BC")]
    tags = [m.Tag.objects.create(name=name) for name in ("new", "sale", "old")]
    products = [
        m.Product.objects.create(
            sku=f"S{n}", title=f"Title {n % 3}", price=Decimal(n * 999) / 100, weight=n / 2, attributes=attributes,
            category=categories[n % 3],
        )
        for n, attributes in enumerate(ATTRIBUTES)
    ]  # fmt: skip
    for n, product in enumerate(products):
        product.tags.set(tags[: n % 4])
    for n in range(12):
        order = m.Order.objects.create(
            customer=customers[n * 2 % 5], number=f"A-{n}", status=("new", "paid", "shipped")[n % 3],
            created=MOMENTS[n % 6], total=Decimal(n * 50),
        )  # fmt: skip
        for k in range(n % 4):
            m.Line.objects.create(order=order, product=products[(n + k) % 5], quantity=k + 1, price=Decimal(k * 10))


def _zoo(m: Any) -> None:
    for n in range(3):
        m.Place.objects.create(name=f"P{n}", open=n != 1)
    for n in range(4):
        rating = None if n == 2 else n * 1.5
        m.Restaurant.objects.create(name=f"R{n}", serves_pizza=n % 2 == 0, rating=rating, open=n != 3)
    people = [m.Person.objects.create(name=f"Name {n}") for n in range(4)]
    people[0].friends.set(people[1:3])
    people[3].friends.add(people[1])
    first = m.ColumnNames.objects.create(first="a", second=1)
    for n in range(3):
        m.ColumnNames.objects.create(first="b" * n, second=n, parent=first if n else None)
    seats = [m.Seat.objects.create(row=row, number=n) for row in "AB" for n in (1, 2)]
    for n, seat in enumerate(seats[:3]):
        m.Booking.objects.create(seat=seat, day=dt.date(2024, 3, 9 + n), name=f"Name {n}")
    for code in ("EUR", "NOK"):
        currency = m.Currency.objects.create(code=code, name=code.lower())
        for n in range(2):
            m.Price.objects.create(currency=currency, amount=Decimal("1.50") * n)
    keys = [m.NaturalKey.objects.create(code=code, title=f"T {code}") for code in ("x", "y")]
    for n in range(3):
        m.NoteOnKey.objects.create(text=f"t{n}", by_code=keys[n] if n < 2 else None)
