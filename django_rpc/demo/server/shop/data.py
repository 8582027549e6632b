"""A few thousand rows, always the same for the same arguments.

Nothing reads a clock, and keys are given, not drawn: two databases of different kinds hold equal
rows, and a test can name a row by its key.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.core.management.color import no_style
from django.db import connections, transaction

from django_rpc.demo.server.rpc_server.models import ServerModel

from .models import Category, Customer, Line, Order, Product, Profile, Tag

FIRST_DAY = date(2024, 1, 1)
FIRST_MOMENT = datetime(2024, 1, 1, 8, tzinfo=UTC)
CITIES = ["Berlin", "Kyiv", "Lisbon", "Moscow", "Oslo", "Paris", "Tbilisi", "Vienna"]
FIRST_NAMES = ["Anna", "Boris", "Clara", "Dmitri", "Eva", "Felix", "Galina", "Hugo", "Irina"]
LAST_NAMES = ["Adler", "Belova", "Costa", "Dubois", "Egorov", "Fischer", "Garcia", "Hansen"]
CATEGORIES = {
    "Books": ["Fiction", "Science"],
    "Home": ["Kitchen", "Garden"],
    "Electronics": ["Audio", "Phones"],
}
ADJECTIVES = ["Blue", "Compact", "Durable", "Elegant", "Fast", "Green", "Heavy", "Quiet"]
NOUNS = ["Atlas", "Basket", "Camera", "Drill", "Kettle", "Lamp", "Novel", "Radio", "Spade"]
TAGS = ["new", "sale", "gift", "eco", "import", "heavy", "fragile", "bestseller"]


def load(seed=42, customers=500, products=120, orders=1500, using="default"):
    """Fill empty tables; return the number of rows by model label.

    The tables must be empty: rows have fixed keys. One transaction, bulk inserts, no signals.
    """
    rng = random.Random(seed)
    batches = [
        *_catalogue(rng, products),
        *_customers(rng, customers),
    ]
    goods = next(rows for model, rows in batches if model is Product)
    batches += _orders(rng, orders, customers, goods)
    batches.append((ServerModel, _server_rows()))
    counts = {}
    with transaction.atomic(using=using):
        for model, rows in batches:
            model._base_manager.using(using).bulk_create(rows, batch_size=500)
            counts[model._meta.label] = len(rows)
        _reset_sequences([model for model, _ in batches], using)
    return counts


def _reset_sequences(models, using):
    """Set the sequences of the database after the explicit keys (PostgreSQL needs it)."""
    connection = connections[using]
    statements = connection.ops.sequence_reset_sql(no_style(), models)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _catalogue(rng, count):
    categories: list[Category] = []
    for title, parts in CATEGORIES.items():
        parent = Category(pk=len(categories) + 1, title=title)
        categories.append(parent)
        for part in parts:
            categories.append(Category(pk=len(categories) + 1, title=part, parent=parent))
    leaves = [category for category in categories if category.parent_id]
    tags = [Tag(pk=pk, name=name) for pk, name in enumerate(TAGS, 1)]
    products = [
        Product(
            pk=pk,
            sku=f"SKU-{pk:05d}",
            title=f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)} {pk}",
            price=Decimal(rng.randint(100, 30_000)) / 100,
            weight=round(rng.uniform(0.05, 25), 3),
            # Keys in the order in which PostgreSQL's jsonb returns them: by length, then by bytes.
            attributes={
                "size": {"h": rng.randint(1, 90), "w": rng.randint(1, 90)},
                "color": rng.choice(["red", "green", "blue"]),
                "origins": rng.sample(CITIES, 2),
            },
            category=rng.choice(leaves),
        )
        for pk in range(1, count + 1)
    ]
    through = Product.tags.through
    tagged = [
        through(product_id=product.pk, tag_id=tag.pk)
        for product in products
        for tag in sorted(rng.sample(tags, rng.randint(0, 3)), key=lambda tag: tag.pk)
    ]
    for pk, row in enumerate(tagged, 1):
        row.pk = pk
    return [(Category, categories), (Tag, tags), (Product, products), (through, tagged)]


def _customers(rng, count):
    rows: list[Customer] = []
    profiles: list[Profile] = []
    for pk in range(1, count + 1):
        name = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
        rows.append(
            Customer(
                pk=pk,
                name=name,
                email=f"{name.lower().replace(' ', '.')}.{pk}@example.com",
                tier=rng.choices(["basic", "plus", "vip"], [70, 22, 8])[0],
                city=rng.choice(CITIES),
                joined=FIRST_DAY + timedelta(days=rng.randrange(600)),
                credit=Decimal(rng.randint(0, 100_000)) / 100,
                active=rng.random() < 0.9,
                notes=None if rng.random() < 0.6 else f"Prefers {rng.choice(NOUNS).lower()}s",
                secret_note=f"secret {pk}",
                referred_by_id=rng.randint(1, pk - 1) if pk > 1 and rng.random() < 0.3 else None,
            )
        )
        if rng.random() < 0.6:
            profiles.append(
                Profile(
                    pk=len(profiles) + 1,
                    customer_id=pk,
                    bio=f"{name} from {rows[-1].city}",
                    website=f"https://example.com/{pk}",
                )
            )
    return [(Customer, rows), (Profile, profiles)]


def _orders(rng, count, customers, products):
    orders: list[Order] = []
    lines: list[Line] = []
    for pk in range(1, count + 1):
        created = FIRST_MOMENT + timedelta(minutes=rng.randrange(600 * 24 * 60))
        order = Order(
            pk=pk,
            customer_id=rng.randint(1, customers),
            number=f"{created:%Y%m%d}-{pk:08d}",
            status=rng.choices(["new", "paid", "shipped", "cancelled"], [20, 30, 40, 10])[0],
            created=created,
        )
        total = Decimal(0)
        for product in rng.sample(products, min(len(products), rng.randint(1, 4))):
            line = Line(
                pk=len(lines) + 1,
                order_id=pk,
                product_id=product.pk,
                quantity=rng.randint(1, 5),
                price=product.price,
            )
            total += line.price * line.quantity
            lines.append(line)
        order.total = total
        orders.append(order)
    return [(Order, orders), (Line, lines)]


def _server_rows():
    """Rows for the first example: exactly one row has some_field='123' and other_field != 1."""
    rows = [("123", 1), ("123", 1), ("123", 7), ("456", 1), ("456", 2), ("789", 0)]
    return [ServerModel(pk=pk, some_field=some, other_field=other) for pk, (some, other) in enumerate(rows, 1)]
