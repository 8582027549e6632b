"""Random programs that write, collect writes in a block, or map a function over rows, as Python text."""

from __future__ import annotations

from random import Random

from tests.semantics.reads import Query, aggregate, chosen, condition
from tests.semantics.shapes import literal, many_relations, relations

__all__ = ["block", "mapped", "write"]

#: The arguments of a new row, with ``{n}`` for a number.
NEW = {
    "Customer": "name='New {n}', email='new{n}@example.org', city='Oslo', joined=date(2024, 3, {d})",
    "Profile": "customer_id={n}, bio='b'",
    "Category": "title='C{n}', parent_id=1",
    "Tag": "name='tag-{n}'",
    "Product": "sku='N{n}', title='New', price=Decimal('{n}.50'), category_id={k}, attributes={{'color': [{n}]}}",
    "Order": "customer_id={k}, number='N-{n}', created=datetime(2024, 3, {d}, 23, 30), total={n}",
    "Line": "order_id={k}, product_id={d}, quantity={n}",
    "Place": "name='New {n}'",
    "Restaurant": "name='New {n}', serves_pizza=True, rating={n}",
    "OpenPlace": "name='Open {n}'",
    "Person": "name='New {n}'",
    "ColumnNames": "first='new', second={n}, parent_id={k}",
    "Seat": "row='C', number={n}",
    "Booking": "seat_id={k}, day=date(2024, 3, {d}), name='b'",
    "Currency": "code='C{n}', name='new'",
    "Price": "currency_id='EUR', amount={n}",
    "NoteOnKey": "text='new', by_code_id='x'",
    "NaturalKey": "code='k{n}', title='new'",
}
#: A field of each model that an update sets, with its kind.
SET = {
    "Customer": [("credit", "decimal"), ("name", "text"), ("referred_by_id", "key"), ("active", "bool")],
    "Profile": [("bio", "text")],
    "Category": [("title", "text"), ("parent_id", "key")],
    "Tag": [("name", "text")],
    "Product": [("price", "decimal"), ("attributes", "json"), ("weight", "float"), ("category_id", "key")],
    "Order": [("total", "decimal"), ("status", "text"), ("created", "datetime"), ("customer_id", "key")],
    "Line": [("quantity", "int"), ("price", "decimal")],
    "Place": [("name", "text"), ("open", "bool")],
    "Restaurant": [("rating", "float"), ("name", "text"), ("serves_pizza", "bool"), ("open", "bool")],
    "OpenPlace": [("name", "text"), ("open", "bool")],
    "Person": [("name", "text")],
    "ColumnNames": [("second", "int"), ("parent_id", "key"), ("first", "text")],
    "Seat": [("number", "int")],
    "Booking": [("name", "text"), ("day", "date")],
    "Currency": [("name", "text")],
    "Price": [("amount", "decimal"), ("currency_id", "text")],
    "NoteOnKey": [("text", "text"), ("by_code_id", "text")],
    "NaturalKey": [("title", "text")],
}  # fmt: skip

#: Both ends of the many-to-many relation with a model of its own, `Line`.
THROUGH = {("Order", "Product"), ("Product", "Order")}


def arguments(random: Random, model: str) -> str:
    """Return the text of the arguments of a new row."""
    return NEW[model].format(n=random.randint(1, 12), k=random.randint(1, 3), d=random.randint(1, 5))


def assigned(random: Random, model: str) -> tuple[str, str]:
    """Return the name of a field and the text of a value or an expression for it."""
    name, kind = random.choice(SET[model])
    if kind in ("decimal", "int", "float") and random.random() < 0.5:
        return name, f"F({name!r}) {random.choice('+-*')} {random.randint(1, 3)}"
    if kind == "text" and random.random() < 0.2 and not name.endswith("_id"):
        return name, f"Upper({name!r})"
    return name, literal(random, kind)


def chain(random: Random, model: str) -> str:
    """Return the text of a filtered manager."""
    text = f"M.{model}.objects"
    for _ in range(random.randint(0, 2)):
        text += f".filter({condition(random, model, 1)})"
    return text


def statement(random: Random, number: int, names: list[tuple[str, str]]) -> list[str]:
    """Return the lines of one statement that writes; new names are added to ``names``."""
    model = random.choice(list(NEW))
    name, value = assigned(random, model)
    choice = random.randint(0, 13)
    if choice <= 1:
        names.append((f"o{number}", model))
        return [f"o{number} = note(lambda: M.{model}.objects.create({arguments(random, model)}))"]
    if choice == 2:
        return [f"note(lambda: {chain(random, model)}.update({name}={value}))"]
    if choice == 3:
        return [f"note(lambda: {chain(random, model)}.delete())"]
    if choice == 4:
        key = random.choice(("pk=2", "pk=77", arguments(random, model).split(", ")[0]))
        method = random.choice(("get_or_create", "update_or_create"))
        return [f"note(lambda: M.{model}.objects.{method}({key}, defaults=dict({arguments(random, model)})))"]
    if choice == 5:
        return [
            f"note(lambda: M.{model}.objects.update_or_create(pk={random.randint(1, 4)}, "
            f"defaults={{{name!r}: {value}}}))"
        ]
    if choice == 6:
        rows = ", ".join(f"M.{model}({arguments(random, model)})" for _ in range(random.randint(1, 3)))
        more = random.choice(("", "", ", ignore_conflicts=True", ", batch_size=1"))
        return [f"note(lambda: M.{model}.objects.bulk_create([{rows}]{more}))"]
    if choice == 7:
        return [
            f"note(lambda: bulk_update(M.{model}.objects.order_by('pk')[:3], {name!r}, lambda row: {value}))",
        ]
    if choice in (8, 9):
        return related(random, number, names)
    return instance(random, number, names, model)


def instance(random: Random, number: int, names: list[tuple[str, str]], model: str) -> list[str]:
    """Return lines that fetch an instance or take an earlier one, change it, and save or delete it."""
    lines = []
    if names and random.random() < 0.5:
        variable, model = random.choice(names)
    else:
        variable = f"o{number}"
        lines = [f"{variable} = note(lambda: M.{model}.objects.order_by('pk')[{random.randint(0, 2)}])"]
        names.append((variable, model))
    name, value = assigned(random, model)
    end = random.choice(
        ("save()", "save()", f"save(update_fields=[{name!r}])", "delete()", "refresh_from_db()", "full_clean()")
    )
    if end == "delete()":
        return [*lines, f"note(lambda: {variable}.delete())"]
    return [
        *lines,
        f"note(lambda: change({variable}, {name!r}, {value}))",
        f"note(lambda: result({variable}.{end}, {variable}))",
    ]


def related(random: Random, number: int, names: list[tuple[str, str]]) -> list[str]:
    """Return a line that writes through a manager of a relation."""
    model = random.choice([name for name in NEW if many_relations(name)])
    attribute, _, target = random.choice(many_relations(model))
    owner = f"M.{model}.objects.order_by('pk')[{random.randint(0, 2)}].{attribute}"
    rows = ", ".join(f"M.{target}.objects.order_by('pk')[{random.randint(0, 3)}]" for _ in range(2))
    end = random.choice(
        (f"add({rows})", f"set([{rows}])", f"remove({rows})", "clear()", "count()",
         f"create({arguments(random, target)})",
         f"add({random.randint(1, 4)})", f"get_or_create({arguments(random, target)})"),
    )  # fmt: skip
    if (model, target) in THROUGH and random.random() < 0.6:
        method = random.choice((f"add({rows}", f"set([{rows}]", f"create({arguments(random, target)}",
                                f"get_or_create({arguments(random, target)}", f"set([{rows}], clear=True"))  # fmt: skip
        values = f"quantity={random.randint(0, 9)}, price={random.randint(0, 9)}"
        end = f"{method}, through_defaults=dict({values}))"
    return [f"note(lambda: {owner}.{end})"]


def write(random: Random) -> list[str]:
    """Return the lines of a program that writes."""
    names: list[tuple[str, str]] = []
    lines: list[str] = []
    for number in range(random.randint(1, 4)):
        lines += statement(random, number, names)
    return lines


def block(random: Random) -> list[str]:
    """Return the lines of a program that writes in one block."""
    lines = ["with block():"]
    names: list[tuple[str, str]] = []
    for number in range(random.randint(1, 4)):
        lines += [f"    {line}" for line in _collected(random, number, names)]
    lines += [f"note(lambda: {name})" for name, _ in names]
    lines.append("note(lambda: M.Order.objects.count())")
    return lines


def _collected(random: Random, number: int, names: list[tuple[str, str]]) -> list[str]:
    """Return the lines of a write without a read before it."""
    model = random.choice(list(NEW))
    name, value = assigned(random, model)
    choice = random.randint(0, 5)
    if choice <= 1:
        owners = [(variable, to) for variable, to in names for _, target in relations(model) if target == to]
        given = arguments(random, model)
        if owners and random.random() < 0.7:
            variable, to = random.choice(owners)
            field = next(field for field, target in relations(model) if target == to)
            kept = [part for part in given.split(", ") if not part.startswith(f"{field}_id")]
            given = ", ".join([*kept, f"{field}={variable}"])
        names.append((f"o{number}", model))
        return [f"o{number} = M.{model}.objects.create({given})"]
    if choice == 2:
        return [f"{chain(random, model)}.update({name}={value})"]
    if choice == 3:
        return [f"{chain(random, model)}.delete()"]
    if choice == 4 and names:
        variable, model = random.choice(names)
        name, value = assigned(random, model)
        return [f"{variable}.{name} = {value}", f"{variable}.save()"]
    return [f"M.{model}.objects.bulk_create([M.{model}({arguments(random, model)})])"]


def mapped(random: Random) -> list[str]:
    """Return the lines of a program that maps a function over rows."""
    model = random.choice(("Order", "Customer", "Product", "Category", "Restaurant", "Person", "Line", "Seat"))
    query = Query(random, model)
    for _ in range(random.randint(0, 1)):
        query.filter()
    rows = f"{query.text}.order_by('pk')"
    if random.random() < 0.3:
        rows += f"[:{random.randint(1, 4)}]"
    if random.random() < 0.3:
        rows = f"where({rows}, lambda o: {_test(random, model)})"
    text = f"mapping({rows}, lambda o: {_body(random, model, 2)})"
    if random.random() < 0.2:
        text = f"fold({random.choice(('len', 'any', 'all'))!r}, {text})"
    elif random.random() < 0.2:
        numbers = f"mapping({rows}, lambda o: {_number(random, model)})"
        text = f"fold({random.choice(('sum', 'min', 'max'))!r}, {numbers})"
    return [f"note(lambda: value({text}))"]


def _number(random: Random, model: str) -> str:
    many = many_relations(model)
    if many and random.random() < 0.5:
        return f"o.{random.choice(many)[0]}.count()"
    return f"o.{chosen(random, model, ('int', 'decimal'), 0)[0]}"


def _test(random: Random, model: str) -> str:
    return f"{_number(random, model)} {random.choice(('>', '<=', '==', '!='))} {random.choice(('0', '1', '2', '100'))}"


def _body(random: Random, model: str, depth: int) -> str:
    """Return the text of the body of a lambda over rows of a model."""
    choice = random.randint(0, 9)
    many, one = many_relations(model), [pair for pair in relations(model) if "_ptr" not in pair[0]]
    if choice <= 1 and one:
        name, target = random.choice(one)
        return f"o.{name}.{chosen(random, target, depth=0)[0]}"
    if choice <= 5 and many:
        attribute, _, target = random.choice(many)
        ends = (
            "count()", f"filter({condition(random, target, 1)}).count()", "exists()", "order_by('pk').first()",
            f"order_by('-pk').values_list({chosen(random, target, depth=0)[0]!r}, flat=True)", "order_by('pk')",
            f"aggregate(a={aggregate(random, target)[0]})", "order_by('pk')[:2]", "order_by('pk').values('pk')",
            f"order_by('pk').values_list('pk', {chosen(random, target, depth=0)[0]!r})",
        )  # fmt: skip
        return f"o.{attribute}.{random.choice(ends)}"
    if choice == 6 and many:
        attribute, _, target = random.choice(many)
        back = [name for name, to in relations(target) if to == model]
        if back:
            return (
                f"query(M.{target}).filter({back[0]}=o, {condition(random, target, 0)[2:-1]}).count()"
                if random.random() < (0.3)
                else f"query(M.{target}).filter({back[0]}=o).order_by('pk').first()"
            )
    if choice == 7 and depth:
        return f"({_body(random, model, depth - 1)}, {_body(random, model, depth - 1)})"
    if choice == 8 and depth:
        return f"cond({_test(random, model)}, lambda: {_body(random, model, 0)}, lambda: {_body(random, model, 0)})"
    if choice == 9:
        return _number(random, model)
    return f"o.{chosen(random, model, depth=0)[0]}"
