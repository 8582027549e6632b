"""Random functions that are mapped over rows: nested maps, folds, conditions and containers."""

from __future__ import annotations

from random import Random

from tests.semantics.reads import Query, aggregate, chosen, condition
from tests.semantics.shapes import MODELS, literal, many_relations, paths, relations

__all__ = ["wide_map"]

_NUMBERS = ("int", "decimal", "float")
_MAPPED = (
    "Order", "Customer", "Product", "Category", "Person", "Line", "Seat", "Tag", "Restaurant", "Booking", "Currency",
    "NaturalKey", "ColumnNames",
)  # fmt: skip


def attribute(random: Random, model: str, kinds: tuple[str, ...] = ()) -> str:
    """Return the name of a field of any of ``kinds``, or ``pk``."""
    names = [path for path, kind in paths(model, 0) if not kinds or kind in kinds]
    return random.choice(names) if names else "pk"


def parents(model: str) -> list[tuple[str, str]]:
    return [pair for pair in relations(model) if "_ptr" not in pair[0]]


def number(random: Random, model: str, row: str, depth: int) -> str:
    """Return the text of a number of the row that the variable ``row`` has."""
    choice = random.randint(0, 7)
    many, one = many_relations(model), parents(model)
    if depth and choice == 0:
        left, right = number(random, model, row, depth - 1), number(random, model, row, depth - 1)
        return f"({left} {random.choice('+-*')} {right})"
    if depth and choice == 1:
        return f"({number(random, model, row, depth - 1)} {random.choice(('//', '%', '/'))} 2)"
    if depth and choice == 2 and many:
        name, _, target = random.choice(many)
        rows = random.choice((
            f"{row}.{name}.all()", f"{row}.{name}.filter({condition(random, target, 1)})",
            f"{row}.{name}.order_by('pk')", f"{row}.{name}.order_by('-pk')[:2]",
        ))  # fmt: skip
        function = random.choice(("sum", "sum", "len", "min", "max"))
        return f"fold({function!r}, mapping({rows}, lambda {row}i: {number(random, target, f'{row}i', depth - 1)}))"
    if choice == 3 and many:
        name, _, target = random.choice(many)
        test = condition(random, target, 1)
        count = random.choice(("", "all().", "distinct().", f"filter({test}).", f"exclude({test})."))
        return f"{row}.{name}.{count}count()"
    if choice == 4 and one:
        name, target = random.choice(one)
        return f"{row}.{name}.{attribute(random, target, _NUMBERS)}"
    if choice == 5:
        return str(random.randint(0, 3))
    return f"{row}.{attribute(random, model, _NUMBERS)}"


def check(random: Random, model: str, row: str, depth: int) -> str:
    """Return the text of a condition of a row."""
    choice = random.randint(0, 5)
    many = many_relations(model)
    if choice <= 1:
        left, right = number(random, model, row, max(depth - 1, 0)), number(random, model, row, 0)
        return f"({left} {random.choice(('>', '<=', '==', '!='))} {right})"
    if choice == 2 and many:
        name, _, target = random.choice(many)
        return f"{row}.{name}.filter({condition(random, target, 1)}).exists()"
    if choice == 3 and many and depth:
        name, _, target = random.choice(many)
        inner = check(random, target, f"{row}i", depth - 1)
        return f"fold({random.choice(('any', 'all'))!r}, mapping({row}.{name}.all(), lambda {row}i: {inner}))"
    if choice == 4:
        return f"({row}.{attribute(random, model, ('text',))} == {literal(random, 'text')})"
    return f"({row}.pk > {random.randint(0, 3)})"


def body(random: Random, model: str, row: str, depth: int) -> str:
    """Return the text of the body of a lambda over rows of a model."""
    choice = random.randint(0, 12)
    many, one = many_relations(model), parents(model)
    if depth and choice <= 2:
        first, second = body(random, model, row, depth - 1), body(random, model, row, depth - 1)
        return random.choice((f"{{'a': {first}, 'b': {second}}}", f"[{first}, {second}]", f"({first}, {second})"))
    if depth and choice <= 4 and many:
        return _nested(random, model, row, depth)
    if depth and choice == 5:
        then, otherwise = body(random, model, row, depth - 1), body(random, model, row, depth - 1)
        return f"cond({check(random, model, row, 1)}, lambda: {then}, lambda: {otherwise})"
    if choice == 6 and one:
        name, target = random.choice(one)
        return random.choice((f"{row}.{name}", f"{row}.{name}.{attribute(random, target)}", f"{row}.{name}_id"))
    if choice == 7 and many:
        return f"{row}.{_read(random, *random.choice(many)[::2])}"
    if choice == 8:
        end = random.choice(("count()", "exists()", "order_by('pk').first()"))
        return f"query(M.{random.choice(MODELS)}).filter(pk={row}.{attribute(random, model, ('int',))}).{end}"
    if choice == 9:
        return number(random, model, row, 2)
    if choice == 10:
        return check(random, model, row, 2)
    return f"{row}.{attribute(random, model)}"


def _nested(random: Random, model: str, row: str, depth: int) -> str:
    """Return the text of a map over the rows of a relation of a row."""
    name, _, target = random.choice(many_relations(model))
    rows = random.choice((
        f"{row}.{name}.order_by('pk')", f"{row}.{name}.order_by('-pk')[:2]",
        f"{row}.{name}.filter({condition(random, target, 1)}).order_by('pk')",
        f"{row}.{name}.select_related().order_by('pk')", f"{row}.{name}.annotate(k=Count('pk')).order_by('pk')",
    ))  # fmt: skip
    inner = random.choice((
        body(random, target, f"{row}i", depth - 1), f"({row}.pk, {row}i.pk)",
        f"({body(random, target, f'{row}i', 0)}, {row}.{attribute(random, model)})",
    ))  # fmt: skip
    if random.random() < 0.3:
        rows = f"where({rows}, lambda {row}i: {check(random, target, f'{row}i', 1)})"
    return f"mapping({rows}, lambda {row}i: {inner})"


def _read(random: Random, name: str, model: str) -> str:
    """Return the text of a read of the rows of a relation."""
    ends = [
        "order_by('pk').first()", "order_by('pk').last()",
        f"filter({condition(random, model, 1)}).order_by('pk').first()",
        f"order_by('pk').values_list({chosen(random, model, depth=0)[0]!r}, flat=True)[:2]", "order_by('-pk')",
        f"aggregate(a={aggregate(random, model)[0]}, b={aggregate(random, model)[0]})",
        "distinct().order_by('pk')[1:3]",
        f"order_by('pk').values('pk', {chosen(random, model, depth=1)[0]!r})", "all().exists()",
        "order_by('pk').in_bulk()",
        f"annotate(n={aggregate(random, model)[0]}).order_by('pk').values_list('pk', 'n')", "order_by('pk').only('pk')",
    ]  # fmt: skip
    ends += [f"order_by('pk').prefetch_related({many!r})" for many, _, _ in many_relations(model)[:1]]
    return f"{name}.{random.choice(ends)}"


def wide_map(random: Random) -> list[str]:
    """Return the lines of a program that maps a function over rows."""
    model = random.choice(_MAPPED)
    query = Query(random, model)
    steps = (query.filter, query.related, query.prefetched, query.only, query.annotate, query.aggregated, query.exclude)
    for _ in range(random.randint(0, 2)):
        random.choice(steps)()
    rows = f"{query.text}.order_by('pk')"
    if random.random() < 0.3:
        rows += f"[:{random.randint(1, 4)}]"
    if random.random() < 0.25:
        rows = f"where({rows}, lambda o: {check(random, model, 'o', 1)})"
    choice = random.random()
    if choice < 0.12:
        function = random.choice(("sum", "min", "max"))
        return [f"note(lambda: value(fold({function!r}, mapping({rows}, lambda o: {number(random, model, 'o', 2)}))))"]
    result = "o" if choice < 0.2 else body(random, model, "o", 2)
    if query.names and random.random() < 0.4:
        result = f"({result}, o.{random.choice(list(query.names))})"
    return [f"note(lambda: value(mapping({rows}, lambda o: {result})))"]
