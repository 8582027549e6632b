"""The client's process of the demo: each step's code, result, messages and SQL.

The steps are lines of code. The same lines are shown and executed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django_rpc.client.hooks import Hook, MessageEnd
from django_rpc.telemetry.hooks import Sent

SEED = [
    ("get", "ClientModel.objects.filter(some_field='123').exclude(other_field=1).get()"),
    ("future", "qs = ClientModel.objects.future().filter(some_field='123')"),
    ("submit", "f1 = qs.submit()"),
    ("result", "result = f1.result(timeout=10)"),
    ("iterate", "items, found = list(result), bool(result)"),
    ("future first", "f2 = ClientModel.objects.filter(some_field='123').future().first()"),
    ("its result", "item = f2.result()"),
    ("gather", "result1, result2 = connections['rpc'].cursor().gather(f1, f2)"),
    (
        "gather unsent",
        "connections['rpc'].cursor().gather(ClientModel.objects.filter(other_field=1), "
        "ClientModel.objects.delayed().count())",
    ),
    ("delayed", "d = ClientModel.objects.filter(some_field='123').values('pk').delayed()"),
    ("compute", "ids = d.compute()"),
    ("nested delayed", "other_items = list(ClientModel.objects.filter(pk__in=d))"),
    (
        "nested in Q",
        "list(ClientModel.objects.filter(Q(pk__in=ClientModel.objects.filter(some_field='123').values('pk')) "
        "| Q(other_field=7)))",
    ),
    ("call", "ClientModel.objects.call('manager_function', 1, 2, a=3, b=4)"),
]
DESIGN = [
    ("a node", "vip = Customer.objects.filter(tier='vip')"),
    ("nested graph", "orders = Order.objects.filter(customer__in=vip.values('pk'))"),
    ("one statement", "orders.first()"),
    ("prefetch", "list(vip.select_related('profile').prefetch_related('orders__lines')[:3])"),
    (
        "write on a read",
        "o = Order.objects.delayed().create(customer=vip.delayed().first(), number='demo-1', total=5)",
    ),
    ("three steps", "line = Line.objects.delayed().create(order=o, product=Product.objects.delayed().first())"),
    ("one transaction", "line.compute()"),
]


@dataclass
class Step:
    """The result of a step."""

    name: str
    code: str
    result: str = ""
    messages: int = 0
    sql: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Recorder(Hook):
    """Hook that counts the messages of a step, and collects their SQL."""

    wants_sql = True

    def __init__(self, session: Any) -> None:
        self.step = Step("", "")
        session.hooks.append(self)

    def message_begins(self, message: Sent) -> MessageEnd:
        self.step.messages += 1
        return self._message_ends

    def _message_ends(self, message: Sent) -> None:
        self.step.sql += [entry.sql for entry in message.trace]

    @contextmanager
    def measure(self, step: Step) -> Iterator[None]:
        self.step = step
        started = time.perf_counter()
        try:
            yield
        finally:
            step.seconds = time.perf_counter() - started


def run_step(recorder: Recorder, name: str, code: str, names: dict[str, Any]) -> Step:
    """Run one line; the result shown is that of its expression, or the value that it assigned."""
    step = Step(name, code)
    target, _, expression = code.partition(" = ")
    is_assignment = target.replace(", ", "").isidentifier() and bool(expression)
    with recorder.measure(step):
        if is_assignment:
            exec(compile(code, f"<{name}>", "exec"), names)
            values = [names[part] for part in target.split(", ")]
            value = values[0] if len(values) == 1 else tuple(values)
        else:
            value = eval(compile(code, f"<{name}>", "eval"), names)
    step.result = shown(value)
    return step


def shown(value: Any, limit: int = 300) -> str:
    """The repr of a value, without sending anything for it."""
    from django.db.models import QuerySet

    from django_rpc.graph.format import describe

    if isinstance(value, QuerySet) and value._result_cache is None:
        return f"<not sent yet: {describe(value.query.node)}>"
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def main(picture: str) -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "django_rpc.demo.client.settings"
    import django

    django.setup()
    from django.db import connections
    from django.db.models import Q
    from rich.console import Console

    from django_rpc.demo.client.seed.models import ClientModel
    from django_rpc.demo.client.shop.models import Customer, Line, Order, Product

    console = Console(width=max(100, Console().width))
    names: dict[str, Any] = {
        "connections": connections, "Q": Q, "ClientModel": ClientModel,
        "Customer": Customer, "Order": Order, "Line": Line, "Product": Product,
    }  # fmt: skip
    recorder = Recorder(connections["rpc"].session)
    steps = []
    for title, lines in (("The first example", SEED), ("One graph, one message", DESIGN)):
        console.rule(title)
        for name, code in lines:
            step = run_step(recorder, name, code, names)
            show(console, step)
            steps.append(step)
    console.print(table(steps))
    console.print(f"Picture of the last graph: {names['line'].visualize(picture_stem(picture)) and picture}")
    return 0


def picture_stem(picture: str) -> str:
    return str(Path(picture))


def show(console: Any, step: Step) -> None:
    console.print(f">>> {step.code}", style="bold cyan", markup=False, highlight=False)
    console.print(f"    {step.result}", markup=False)
    console.print(f"    {step.messages} message{'' if step.messages == 1 else 's'}", style="green")
    for statement in step.sql:
        console.print(f"    SQL  {statement}", style="dim", markup=False, highlight=False)


def table(steps: list[Step]) -> Any:
    from rich.table import Table

    result = Table(title="Steps, messages, SQL statements and time")
    result.add_column("step")
    for name in ("messages", "SQL statements", "ms"):
        result.add_column(name, justify="right")
    for step in steps:
        result.add_row(step.name, str(step.messages), str(len(step.sql)), f"{step.seconds * 1000:.1f}")
    total = (sum(s.messages for s in steps), sum(len(s.sql) for s in steps), sum(s.seconds for s in steps) * 1000)
    result.add_section()
    result.add_row("all", str(total[0]), str(total[1]), f"{total[2]:.1f}")
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
