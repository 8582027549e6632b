"""Random writes, alone or in a block, with more of Django's arguments and ends than `writes`."""

from __future__ import annotations

from random import Random

from tests.semantics.reads import aggregate, condition, expression
from tests.semantics.shapes import many_relations, paths, relations
from tests.semantics.writes import NEW, SET, arguments, assigned, chain

__all__ = ["wide_block", "wide_write"]

#: A unique field of each model, for ``bulk_create(update_conflicts=True)``.
_UNIQUE = {
    "Customer": "email", "Product": "sku", "Order": "number", "Tag": "name", "NaturalKey": "code", "Currency": "code",
}  # fmt: skip
_CHECKS = ("full_clean()", "clean_fields()", "validate_unique()", "validate_constraints()")
_SAVES = ("save()", "save(force_insert=True)", "save(update_fields=[])", "save(force_update=True)")


def value(random: Random, model: str) -> tuple[str, str]:
    """Return the name of a field and the text of a value for it, with more expressions than `assigned`."""
    name, text = assigned(random, model)
    kind = dict(SET[model])[name]
    names = [path for path, other in paths(model, 0) if other == kind] or [name]
    choice = random.random()
    if choice < 0.15:
        then = text if text.startswith(("F(", "Upper(")) else f"Value({text})"
        return name, f"Case(When({condition(random, model, 1)}, then={then}), default=F({name!r}))"
    if choice < 0.25:
        return name, f"F({random.choice(names)!r})"
    if choice < 0.32 and kind in ("decimal", "int", "text"):
        rows = f"M.{model}.objects.filter(pk=OuterRef('pk')).values({random.choice(names)!r})[:1]"
        return name, f"Subquery({rows})"
    if choice < 0.36 and kind == "decimal":
        return name, f"Coalesce(F({name!r}), 0) * 2"
    return name, text


def assignment(random: Random, model: str) -> str:
    return "=".join(value(random, model))


def query(random: Random, model: str) -> str:
    """Return the text of a query that a write uses."""
    text = f"query(M.{model})"
    for _ in range(random.randint(0, 2)):
        text += f".{random.choice(('filter', 'exclude'))}({condition(random, model, 1)})"
    ends = [
        ".distinct()", ".order_by('pk')", ".order_by('pk')[:2]", ".select_related()",
        f".annotate(z={aggregate(random, model)[0]})", f".annotate(z={expression(random, model)[0]})",
    ]  # fmt: skip
    return text + (random.choice(ends) if random.random() < 0.4 else "")


def row(model: str, number: int) -> str:
    return f"M.{model}.objects.order_by('pk')[{number}]"


def noted(text: str) -> str:
    return f"note(lambda: {text})"


def changed(variable: str, name: str, text: str) -> str:
    return noted(f"change({variable}, {name!r}, {text})")


def saved(variable: str, call: str) -> str:
    return noted(f"result({variable}.{call}, {variable})")


def _whole_query(random: Random, number: int, model: str) -> list[str]:
    """Update, delete or create with a query."""
    text = random.choice((
        f"{query(random, model)}.update({assignment(random, model)})",
        f"{query(random, model)}.update({assignment(random, model)})",
        f"{query(random, model)}.delete()", f"query(M.{model}).create({arguments(random, model)})",
    ))  # fmt: skip
    return [noted(f"value({text})")]


def _or_create(random: Random, number: int, model: str) -> list[str]:
    name, text = value(random, model)
    key = random.choice((f"pk={random.randint(1, 4)}", "pk=77", _identifying(model, arguments(random, model))))
    new = f"dict({arguments(random, model)})"
    defaults = random.choice((new, f"{{**{new}, {name!r}: {text}}}", f"{{{name!r}: {text}}}"))
    if model == "Order" and key == "pk=77":  # a new order without a moment has the time of its insert
        defaults = new
    method = random.choice(("get_or_create", "update_or_create"))
    more = f", create_defaults={new}" if method == "update_or_create" and random.random() < 0.3 else ""
    return [noted(f"value(query(M.{model}).{method}({key}, defaults={defaults}{more}))")]


def _identifying(model: str, new: str) -> str:
    """Return arguments of a new row that look it up; all of an order, since its moment is the present otherwise."""
    return new if model == "Order" else new.split(", ")[0]


def _in_bulk(random: Random, number: int, model: str) -> list[str]:
    rows = ", ".join(f"M.{model}({arguments(random, model)})" for _ in range(random.randint(1, 3)))
    more = random.choice(("", ", ignore_conflicts=True"))
    if model in _UNIQUE and random.random() < 0.6:
        names = [name for name, _ in SET[model] if f"{name}=" in NEW[model] and name != _UNIQUE[model]]
        if names:
            more = f", update_conflicts=True, unique_fields=[{_UNIQUE[model]!r}], update_fields=[{names[0]!r}]"
    return [noted(f"M.{model}.objects.bulk_create([{rows}]{more})")]


def _updated_in_bulk(random: Random, number: int, model: str) -> list[str]:
    (first, text), (second, other) = value(random, model), value(random, model)
    return [
        f"b{number} = note(lambda: list(M.{model}.objects.order_by('pk')[:3]))",
        noted(f"[change(o, {first!r}, {text}) for o in b{number}]"),
        noted(f"[change(o, {second!r}, {other}) for o in b{number}]"),
        noted(f"M.{model}.objects.bulk_update(b{number}, [{first!r}, {second!r}])"),
    ]


def _related(random: Random, number: int, model: str) -> list[str]:
    """Write through a manager of a relation."""
    name, _, target = random.choice(many_relations(model))
    rows, test, new = f"M.{target}.objects", condition(random, target, 1), arguments(random, target)
    key = _identifying(target, new)
    end = random.choice((
        f"add({random.randint(1, 6)}, {random.randint(1, 3)})",
        f"set([{random.randint(1, 4)}, {random.randint(1, 4)}])",
        f"remove({random.randint(1, 4)})", f"filter({test}).update({assignment(random, target)})", "all().count()",
        f"filter({test}).delete()", f"update_or_create({key}, defaults=dict({new}))", f"get_or_create({key})",
        f"set({rows}.filter({test}))", f"add(*{rows}.filter({test}).order_by('pk')[:2])", "set([], clear=True)",
        f"bulk_create([M.{target}({new})])", f"exclude(pk=1).update({assignment(random, target)})",
        f"add(M.{target}({new}), bulk=False)", f"set({rows}.order_by('pk')[:2], bulk=False)",
        f"aggregate(a={aggregate(random, target)[0]})",
    ))  # fmt: skip
    return [noted(f"{row(model, random.randint(0, 2))}.{name}.{end}")]


def _new_row(random: Random, number: int, model: str) -> list[str]:
    variable = f"o{number}"
    return [
        f"{variable} = {noted(f'M.{model}({arguments(random, model)})')}",
        saved(variable, random.choice((*_SAVES, *_CHECKS))),
        noted(f"{variable}.pk"),
    ]


def _copied_row(random: Random, number: int, model: str) -> list[str]:
    """Save a row without its key: a new row, except for a child of a multi-table parent."""
    variable = f"o{number}"
    lines = [f"{variable} = {noted(row(model, random.randint(0, 2)))}", changed(variable, "pk", "None")]
    return [*lines, saved(variable, "save()")]


def _row_without_fields(random: Random, number: int, model: str) -> list[str]:
    """Save a row of ``only()`` or ``defer()``, then load it again."""
    variable = f"o{number}"
    name, text = value(random, model)
    # A local row loads more fields: Order.save() reads the number, and Django saves a child with the key of its parent.
    method = "defer" if model in ("Order", "Restaurant") else random.choice(("only", "defer"))
    rows = f"M.{model}.objects.{method}({name!r}).order_by('pk')"
    return [
        f"{variable} = {noted(f'{rows}[{random.randint(0, 2)}]')}",
        changed(variable, name, text),
        saved(variable, "save()"),
        saved(variable, random.choice(("refresh_from_db()", f"refresh_from_db(fields=[{name!r}])"))),
    ]


def _new_parent(random: Random, number: int, model: str) -> list[str]:
    """Give an old row another related row, and a new row a new related row."""
    if not relations(model):
        return _new_row(random, number, model)
    name, target = random.choice(relations(model))
    variable, parent = f"o{number}", f"p{number}"
    if random.random() < 0.5:
        lines = [f"{variable} = {noted(row(model, random.randint(0, 2)))}"]
        lines += [changed(variable, name, f"M.{target}.objects.order_by('-pk')[0]"), saved(variable, "save()")]
        return [*lines, noted(f"{variable}.{name}")]
    new = _without(name, arguments(random, model), f"{name}={parent}")
    lines = [f"{parent} = {noted(f'M.{target}({arguments(random, target)})')}"]
    lines += [f"{variable} = {noted(f'M.{model}({new})')}"]
    lines += [saved(parent, "save()")] if random.random() < 0.7 else []
    return [*lines, saved(variable, "save()")]


def _without(name: str, text: str, relation: str) -> str:
    """Return arguments of a new row with a relation instead of its key."""
    return ", ".join([*(part for part in text.split(", ") if not part.startswith(f"{name}_id")), relation])


def _deleted_row(random: Random, number: int, model: str) -> list[str]:
    variable = f"o{number}"
    lines = [f"{variable} = {noted(row(model, random.randint(0, 2)))}", noted(f"{variable}.delete()")]
    return [*lines, saved(variable, "save()"), noted(f"{variable}.refresh_from_db()")]


def _changed_row(random: Random, number: int, model: str) -> list[str]:
    """Change a row and save it; perhaps do the same with a copy of it."""
    variable, copy = f"o{number}", f"c{number}"
    name, text = value(random, model)
    lines = [f"{variable} = {noted(row(model, random.randint(0, 2)))}", changed(variable, name, text)]
    lines += [saved(variable, random.choice(("save()", "save()", f"save(update_fields=[{name!r}])")))]
    if random.random() < 0.3:
        lines += [f"{copy} = {noted(f'clone({variable})')}", changed(copy, name, text), saved(copy, "save()")]
    return [*lines, noted(f"{variable}.{name}")]


_STATEMENTS = (
    _whole_query, _whole_query, _whole_query, _or_create, _in_bulk, _updated_in_bulk, _related, _related, _new_row,
    _copied_row, _row_without_fields, _new_parent, _new_parent, _deleted_row, _changed_row,
)  # fmt: skip


def wide_write(random: Random) -> list[str]:
    """Return the lines of a program that writes."""
    lines: list[str] = []
    for number in range(random.randint(1, 3)):
        model = random.choice(list(NEW))
        statement = random.choice(_STATEMENTS)
        if statement is _related and not many_relations(model):
            statement = _changed_row
        lines += statement(random, number, model)
    return lines


def wide_block(random: Random) -> list[str]:
    """Return the lines of a program that writes in one block."""
    lines = ["with block():"]
    names: list[tuple[str, str]] = []
    for number in range(random.randint(2, 6)):
        lines += [f"    {line}" for line in _collected(random, number, names)]
    for name, _ in names:
        lines += [noted(name), noted(f"{name}.pk")]
    return [*lines, noted("M.Order.objects.count()")]


def _collected(random: Random, number: int, names: list[tuple[str, str]]) -> list[str]:
    """Return the lines of a write; new names are added to ``names``."""
    model = random.choice(list(NEW))
    choice = random.randint(0, 11)
    if choice <= 2:
        text = _with_new_parent(random, model, names)
        variable = f"o{number}"
        names.append((variable, model))
        if random.random() < 0.6:
            return [f"{variable} = M.{model}.objects.create({text})"]
        return [f"{variable} = M.{model}({text})", f"{variable}.save()"]
    if choice == 3:
        return [f"{chain(random, model)}.update({assignment(random, model)})"]
    if choice == 4:
        return [f"{chain(random, model)}.delete()"]
    if choice == 5:
        rows = ", ".join(f"M.{model}({arguments(random, model)})" for _ in range(2))
        return [f"M.{model}.objects.bulk_create([{rows}])"]
    if not names:
        return [f"M.{model}.objects.filter(pk={random.randint(1, 4)}).update({assignment(random, model)})"]
    variable, model = random.choice(names)
    if choice <= 8:
        changes = dict(value(random, model) for _ in range(random.randint(1, 2)))
        name = next(iter(changes))
        end = random.choice(("save()", "save()", f"save(update_fields=[{name!r}])", "delete()"))
        return [*(f"{variable}.{name} = {text}" for name, text in changes.items()), f"{variable}.{end}"]
    if choice <= 10 and many_relations(model):
        return [f"{variable}.{_related_in_block(random, model, names)}"]
    end = random.choice((f"update({assignment(random, model)})", "delete()"))
    return [f"M.{model}.objects.filter(pk={variable}.pk).{end}"]


def _with_new_parent(random: Random, model: str, names: list[tuple[str, str]]) -> str:
    """Return the arguments of a new row, with a row of the block as a related row where there is one."""
    text = arguments(random, model)
    owners = [(field, name) for name, of in names for field, target in relations(model) if target == of]
    if not owners or random.random() < 0.2:
        return text
    field, name = random.choice(owners)
    return _without(field, text, f"{field}={name}")


def _related_in_block(random: Random, model: str, names: list[tuple[str, str]]) -> str:
    """Return the text of a write through a manager of a relation of a row that the block makes."""
    attribute, _, target = random.choice(many_relations(model))
    ends = [f"create({arguments(random, target)})", "filter(pk__gt=3).delete()", "all().delete()"]
    if (model, target) in (("Product", "Tag"), ("Tag", "Product"), ("Person", "Person")):
        ends += ["clear()", "add(1)"]
    rows = [name for name, of in names if of == target]
    if rows:
        ends += [f"{method}({random.choice(rows)})" for method in ("add", "remove")]
        ends.append(f"set([{random.choice(rows)}])")
    return f"{attribute}.{random.choice(ends)}"
