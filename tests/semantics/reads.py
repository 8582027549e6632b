"""Random queries as Python text.

A query is the text of a chain that begins with ``query(M.Order)``; it ends with a call that gives a value.
"""

from __future__ import annotations

from random import Random

from tests.semantics.shapes import MODELS, literal, many_relations, paths, relations

__all__ = ["Query", "condition", "expression", "read"]

LOOKUPS = {
    "int": ("", "__gt", "__lte", "__in", "__range", "__isnull", "__exact"),
    "key": ("", "__in", "__isnull", "__gte"),
    "decimal": ("", "__gt", "__lt", "__gte", "__in", "__range"),
    "float": ("", "__gt", "__lte", "__isnull"),
    "bool": ("", "__isnull"),
    "text": (
        "", "__contains", "__icontains", "__startswith", "__iendswith", "__iexact", "__gt", "__in", "__isnull",
        "__regex", "__iregex",
    ),
    "date": ("", "__gt", "__lte", "__year", "__month__gte", "__week_day", "__range", "__in", "__quarter"),
    "datetime": (
        "", "__gt", "__lte", "__date", "__date__gt", "__hour", "__hour__lt", "__year", "__month", "__day", "__time__lt",
        "__range", "__week_day", "__minute__gte", "__iso_year", "__second",
    ),
    "json": (
        "", "__color", "__color__isnull", "__has_key", "__a__b", "__size__0", "__0", "__isnull", "__size__gt",
        "__has_any_keys",
    ),
}  # fmt: skip
NUMBERS = ("year", "month", "day", "hour", "week_day", "quarter", "minute", "iso_year", "second")


def chosen(random: Random, model: str, kinds: tuple[str, ...] = (), depth: int = 1) -> tuple[str, str]:
    """Return a path of a model with its kind; of one of ``kinds`` where there are any."""
    known = [pair for pair in paths(model, random.randint(0, depth)) if not kinds or pair[1] in kinds]
    known = known or [pair for pair in paths(model, 1) if not kinds or pair[1] in kinds]
    return random.choice(known) if known else ("pk", "int")


def operand(random: Random, kind: str, lookup: str, model: str) -> str:
    """Return the text of the value of a lookup."""
    last = lookup.rpartition("__")[2]
    if last in ("isnull",):
        return random.choice(("True", "False"))
    if last == "in":
        return f"[{', '.join(literal(random, kind) for _ in range(random.randint(0, 3)))}]"
    if last == "range":
        return f"({literal(random, kind)}, {literal(random, kind)})"
    if any(part in lookup for part in NUMBERS):
        return str(random.choice((1, 2, 3, 5, 8, 10, 12, 23, 2024, 2025)))
    if "__date" in lookup:
        return literal(random, "date")
    if "__time" in lookup:
        return "time(6, 30)"
    if kind == "json":
        if last == "has_key":
            return "'color'"
        if last == "has_any_keys":
            return "['a', 'size']"
        return literal(random, "json")
    if last in ("regex", "iregex"):
        return random.choice((r"r'^N'", r"r'[0-3]$'", r"r'o'"))
    if kind in ("int", "decimal", "text", "float") and random.random() < 0.15:
        return f"F({chosen(random, model, (kind,), 0)[0]!r})"
    return literal(random, kind)


def condition(random: Random, model: str, depth: int = 2) -> str:
    """Return the text of a condition: a ``Q``, a tree of them, or an ``Exists``."""
    if depth and random.random() < 0.3:
        inner = [condition(random, model, depth - 1) for _ in range(2)]
        return f"({random.choice((' & ', ' | ', ' ^ ')).join(inner)})"
    if depth and random.random() < 0.15:
        return f"~{condition(random, model, depth - 1)}"
    many = many_relations(model)
    if random.random() < 0.06 and many:
        return exists(random, model)
    path, kind = chosen(random, model, depth=2)
    if random.random() < 0.01:
        path += "_wrong"
    lookup = random.choice(LOOKUPS.get(kind, ("",)))
    return f"Q({path}{lookup}={operand(random, kind, lookup, model)})"


def exists(random: Random, model: str) -> str:
    """Return the text of an ``Exists`` over the rows of a relation."""
    _, _, target = random.choice(many_relations(model))
    back = [name for name, to in relations(target) if to == model]
    path = f"{back[0]}=OuterRef('pk')" if back else f"pk=OuterRef({chosen(random, model, ('int', 'key'), 0)[0]!r})"
    return f"Exists(M.{target}.objects.filter({condition(random, target, 0)}, {path}))"


def expression(random: Random, model: str, depth: int = 2) -> tuple[str, str]:
    """Return the text of an expression that is no aggregate, and its kind."""
    makers = (numeric, numeric, textual, textual, temporal, conditional, subquery)
    return random.choice(makers)(random, model, depth)


def numeric(random: Random, model: str, depth: int) -> tuple[str, str]:
    path, kind = chosen(random, model, ("int", "decimal", "float"))
    text = f"F({path!r})"
    choice = random.randint(0, 6)
    if choice == 0:
        return f"{text} {random.choice('+-*')} {random.choice(('1', '2', text))}", kind
    if choice == 1:
        return f"Coalesce({text}, {literal(random, kind).replace('None', '0')})", kind
    if choice == 2:
        return f"{random.choice(('Abs', 'Sign', 'Floor', 'Ceil'))}({path!r})", kind
    if choice == 3:
        return f"Greatest({path!r}, Value(2))", kind
    if choice == 4:
        return f"Cast({path!r}, {random.choice(('IntegerField()', 'FloatField()', 'CharField()'))})", kind
    if choice == 5:
        return f"ExpressionWrapper({text} * 2, output_field=FloatField())", "float"
    return text, kind


def textual(random: Random, model: str, depth: int) -> tuple[str, str]:
    path, _ = chosen(random, model, ("text",))
    choice = random.randint(0, 5)
    if choice == 0:
        return f"Concat({path!r}, Value('-'), {chosen(random, model, ('text',))[0]!r})", "text"
    if choice == 1:
        return f"Substr({path!r}, {random.randint(1, 3)}, {random.randint(1, 3)})", "text"
    if choice == 2:
        return f"Length({path!r})", "int"
    if choice == 3:
        return f"Replace({path!r}, Value('a'), Value('xy'))", "text"
    if choice == 4:
        return f"Coalesce({path!r}, Value('none'))", "text"
    return f"{random.choice(('Upper', 'Lower', 'Trim', 'Reverse'))}({path!r})", "text"


def temporal(random: Random, model: str, depth: int) -> tuple[str, str]:
    path, kind = chosen(random, model, ("date", "datetime"))
    if kind not in ("date", "datetime"):
        return numeric(random, model, depth)
    parts = ["Day", "Month", "Year", "Week", "Quarter"]
    parts += ["Hour", "Minute", "Date", "Time"] if kind == "datetime" else []
    part = random.choice(parts)
    zone = ", tzinfo=ZoneInfo('Asia/Tokyo')" if kind == "datetime" and random.random() < 0.2 else ""
    if random.random() < 0.4 and part not in ("Date", "Time"):
        return f"Extract{part}({path!r}{zone})", "int"
    return f"Trunc{part}({path!r}{zone})", "date" if part == "Date" else "time" if part == "Time" else kind


def conditional(random: Random, model: str, depth: int) -> tuple[str, str]:
    cases = [f"When({condition(random, model, 1)}, then=Value({n}))" for n in range(random.randint(1, 2))]
    return f"Case({', '.join(cases)}, default=Value(-1))", "int"


def subquery(random: Random, model: str, depth: int) -> tuple[str, str]:
    many = many_relations(model)
    if not depth or not many:
        return numeric(random, model, depth)
    if random.random() < 0.3:
        return exists(random, model), "bool"
    _, _, target = random.choice(many)
    back = [name for name, to in relations(target) if to == model] or ["pk"]
    path, kind = chosen(random, target, ("int", "decimal", "text"), 0)
    rows = f"M.{target}.objects.filter({back[0]}=OuterRef('pk')).order_by('-pk').values({path!r})[:1]"
    return f"Subquery({rows})", kind


def aggregate(random: Random, model: str) -> tuple[str, str]:
    """Return the text of an aggregate and its kind."""
    path, kind = chosen(random, model, ("int", "decimal", "float", "date", "datetime", "text", "key"))
    names = ["Count", "Min", "Max"] + (["Sum", "Avg"] if kind in ("int", "decimal", "float") else [])
    name = random.choice(names)
    more = ""
    if random.random() < 0.2:
        more += f", filter={condition(random, model, 0)}"
    if name in ("Count", "Sum") and random.random() < 0.3:
        more += ", distinct=True"
    if name in ("Sum", "Max") and kind in ("int", "decimal") and random.random() < 0.2:
        more += ", default=0"
    return f"{name}({path!r}{more})", "int" if name == "Count" else kind


def window(random: Random, model: str) -> tuple[str, str]:
    """Return the text of a window function and its kind."""
    part, _ = chosen(random, model, depth=0)
    function = random.choice(("RowNumber()", "Rank()", "Lag('pk')", "FirstValue('pk')", "Count('pk')", "Sum('pk')"))
    partition = f", partition_by=[{part!r}]" if random.random() < 0.6 else ""
    return f"Window({function}{partition}, order_by=[{part!r}, 'pk'])", "int"


class Query:
    """A query of one model while it grows."""

    def __init__(self, random: Random, model: str | None = None) -> None:
        self.random = random
        self.model = model or random.choice(MODELS + ("Order", "Customer", "Product") * 3)
        self.text = f"query(M.{self.model})"
        self.names: dict[str, str] = {}
        self.is_values = self.is_sliced = self.is_combined = self.is_flat = self.is_grouped = False

    def grow(self, steps: int) -> Query:
        """Add random steps, then an order that leaves no choice, and perhaps a slice."""
        makers = [
            self.filter, self.filter, self.exclude, self.annotate, self.annotate, self.aggregated, self.related,
            self.prefetched, self.only, self.distinct, self.combined, self.windowed, self.aliased, self.nested,
        ]  # fmt: skip
        for _ in range(steps):
            if not self.is_combined:
                self.random.choice(makers)()
        if self.random.random() < 0.3 and not self.is_combined:
            self.values()
        self.ordered()
        if self.random.random() < 0.25:
            start = self.random.randint(0, 2)
            self.text += f"[{start}:{start + self.random.randint(0, 4)}]"
            self.is_sliced = True
        return self

    def filter(self) -> None:
        if self.names and self.random.random() < 0.3:
            name, kind = self.random.choice(list(self.names.items()))
            lookup = self.random.choice(("", "__gt", "__isnull", "__in"))
            self.text += f".filter({name}{lookup}={operand(self.random, kind, lookup, self.model)})"
        else:
            self.text += f".filter({condition(self.random, self.model)})"

    def exclude(self) -> None:
        self.text += f".exclude({condition(self.random, self.model)})"

    def annotate(self, method: str = "annotate") -> None:
        name = f"x{len(self.names)}"
        text, self.names[name] = expression(self.random, self.model)
        self.text += f".{method}({name}={text})"

    def aliased(self) -> None:
        self.annotate("alias")

    def aggregated(self) -> None:
        name = f"x{len(self.names)}"
        text, self.names[name] = aggregate(self.random, self.model)
        self.text += f".annotate({name}={text})"
        self.is_grouped = True

    def windowed(self) -> None:
        name = f"x{len(self.names)}"
        text, self.names[name] = window(self.random, self.model)
        self.text += f".annotate({name}={text})"

    def related(self) -> None:
        names = [name for name, _ in relations(self.model)]
        if names:
            self.text += f".select_related({', '.join(map(repr, self.random.sample(names, 1)))})"

    def prefetched(self) -> None:
        many = many_relations(self.model)
        if not many:
            return
        attribute, _, target = self.random.choice(many)
        if self.random.random() < 0.5:
            self.text += f".prefetch_related({attribute!r})"
            return
        cut = "[:2]" if self.random.random() < 0.2 else ""
        rows = f"M.{target}.objects.filter({condition(self.random, target, 1)}).order_by('pk'){cut}"
        to = ", to_attr='kept'" if self.random.random() < 0.5 else ""
        self.text += f".prefetch_related(Prefetch({attribute!r}, {rows}{to}))"

    def only(self) -> None:
        path, _ = chosen(self.random, self.model, depth=0)
        self.text += f".{self.random.choice(('only', 'defer'))}({path!r})"

    def distinct(self) -> None:
        self.text += ".distinct()"

    def nested(self) -> None:
        names = relations(self.model)
        if names:
            name, target = self.random.choice(names)
            inner = f"M.{target}.objects.filter({condition(self.random, target, 1)})"
            self.text += f".filter({name}__in={inner})"

    def combined(self) -> None:
        if self.names or "select_related" in self.text or self.random.random() < 0.5:
            return
        other = f"M.{self.model}.objects.filter({condition(self.random, self.model, 1)})"
        operation = self.random.choice(("union", "intersection", "difference", "&", "|"))
        if operation in ("&", "|"):
            self.text = f"({self.text} {operation} {other})"
        else:
            self.text += f".{operation}({other})"
            self.is_combined = True

    def values(self) -> None:
        names = [chosen(self.random, self.model, depth=1)[0] for _ in range(self.random.randint(1, 3))]
        names += [name for name in self.names if self.random.random() < 0.6]
        names = list(dict.fromkeys(names))
        fields = ", ".join(map(repr, names))
        choice = self.random.randint(0, 3)
        if choice == 0:
            self.text += f".values({fields})"
        elif choice == 1:
            self.text += f".values_list({fields})"
        elif choice == 2:
            self.text += f".values_list({fields}, named=True)"
        else:
            self.text += f".values_list({names[-1]!r}, flat=True)"
            self.is_flat = True
        self.is_values = True
        if self.random.random() < 0.25:
            name = f"x{len(self.names)}"
            text, self.names[name] = aggregate(self.random, self.model)
            self.text += f".annotate({name}={text})"
            self.is_grouped = True

    def ordered(self) -> None:
        path, _ = chosen(self.random, self.model, depth=0)
        names = [f"-{path}" if self.random.random() < 0.4 else path, *self.random.sample(list(self.names), 0), "pk"]
        if self.is_combined:
            names = ["pk"]
        elif self.names and self.random.random() < 0.3:
            names.insert(0, self.random.choice(list(self.names)))
        self.text += f".order_by({', '.join(map(repr, names))})"
        if self.random.random() < 0.1:
            self.text += ".reverse()"

    def ended(self) -> str:
        """Return the text of the whole read."""
        if self.random.random() < 0.1:
            return f"iterate({self.text}, {self.random.randint(1, 3)})"
        if self.random.random() < 0.5 or self.is_combined:
            return f"rows({self.text})"
        fields = chosen(self.random, self.model, ("date", "datetime"), 0)
        ends = [
            "first()", "last()", "count()", "exists()", f"get(pk={self.random.randint(1, 9)})", "in_bulk()",
            f"get({condition(self.random, self.model, 0)})", f"aggregate(a={aggregate(self.random, self.model)[0]})",
            f"aggregate({aggregate(self.random, self.model)[0]})", "earliest('pk')", "latest('pk')",
            f"contains(M.{self.model}.objects.order_by('pk')[{self.random.randint(0, 1)}])",
        ]  # fmt: skip
        if fields[1] in ("date", "datetime"):
            kind = self.random.choice(("year", "month", "day", "week"))
            ends += [f"{fields[1]}s({fields[0]!r}, {kind!r})"] * 3
        end = self.random.choice(ends)
        text = f"{self.text}.{end}"
        return f"rows({text})" if end.startswith("date") else f"value({text})"


def read(random: Random) -> list[str]:
    """Return the lines of a program that reads."""
    query = Query(random).grow(random.choice((0, 1, 1, 2, 2, 3, 4)))
    return [f"note(lambda: {query.ended()})"]
