"""Random queries with more of Django's expressions, lookups of rows, prefetches and ends than `reads`."""

from __future__ import annotations

from random import Random

from tests.semantics.reads import LOOKUPS, Query, aggregate, chosen, condition, expression, operand
from tests.semantics.shapes import many_relations, paths, relations

__all__ = ["wide_read"]

_NUMBERS = ("int", "decimal", "float")
#: Expressions of a number, a text and a condition, with the kinds of their values.
_EXPRESSIONS = (
    ("NullIf({number}, Value(1))", "int"), ("Least({number}, Value(2))", "int"),
    ("LPad({text}, 8, Value('*'))", "text"),
    ("Left({text}, 2)", "text"), ("Right({text}, 2)", "text"), ("StrIndex({text}, Value('a'))", "int"),
    ("Round({number}, precision=1)", "decimal"), ("Mod({number}, 3)", "int"), ("Power({number}, 2)", "float"),
    ("F({number}) / 2", "int"), ("F({number}) % 3", "int"), ("-F({number})", "int"),
    ("F({number}) + F({other})", "int"), ("Value('a', output_field=CharField())", "text"), ("Value(True)", "bool"),
    ("Value(None, output_field=IntegerField())", "int"), ("Value(date(2024, 1, 1))", "date"),
    ("Value(Decimal('1.10'))", "decimal"), ("ExpressionWrapper({condition}, output_field=BooleanField())", "bool"),
    ("{condition}", "bool"), ("MD5({text})", "text"), ("Repeat({text}, 2)", "text"), ("Ord({text})", "int"),
    ("Chr(Length({text}) + 65)", "text"), ("JSONObject(a={text}, b={number})", "json"),
    ("Cast({number}, DecimalField(max_digits=8, decimal_places=2))", "decimal"), ("Cast({text}, TextField())", "text"),
    ("Concat({text}, {number}, output_field=CharField())", "text"), ("Coalesce({number}, Value(0))", "int"),
    ("Case(When({condition}, then=F({number})), default=None)", "int"),
    ("Case(When({condition}, then={text}), default=Value('z'))", "text"),
)  # fmt: skip
_OF_MOMENTS = (
    ("F({moment})", "datetime"), ("Trunc({moment}, 'month')", "datetime"), ("Extract({moment}, 'week_day')", "int"),
    ("TruncQuarter({moment})", "datetime"), ("ExtractIsoWeekDay({moment})", "int"),
    ("Cast({moment}, DateField())", "date"),
    ("F({moment}) - F({moment})", "duration"), ("Trunc({moment}, 'week', output_field=DateField())", "date"),
)  # fmt: skip
_OF_JSON = (("F('{json}__color')", "json"), ("KT('{json}__color')", "text"), ("KT('{json}__size__0')", "text"))
_WINDOWS = (
    "Ntile(2)", "Lead('pk', default=0)", "NthValue('pk', 2)", "LastValue('pk')", "DenseRank()", "PercentRank()",
    "CumeDist()", "Max('pk')", "Avg('pk')", "Count('*')", "Lag('pk', 2)",
)  # fmt: skip
_FRAMES = ("", "", ", frame=RowRange(start=-1, end=0)", ", frame=RowRange(start=None, end=None)")
#: Transforms that ``values()`` names, by the kind of their field.
_TRANSFORMS = {
    "date": ("__year", "__month", ""),
    "datetime": ("__date", "__hour", "__year", "__time", ""),
    "json": ("__color", "__a__b", "__size__0", ""),
}


class WideQuery(Query):
    """A query of one model while it grows."""

    def grow(self, steps: int) -> Query:
        """Add random steps, then an order that leaves no choice, and perhaps a slice."""
        makers = [
            self.filter, self.exclude, self.annotate, self.aggregated, self.related, self.prefetched, self.only,
            self.distinct, self.windowed, self.aliased, self.nested, self.computed, self.computed, self.chosen_in,
            self.chosen_in, self.filtered_relation, self.related_twice, self.prefetched_twice, self.prefetched_twice,
            self.equal_to_row, self.framed, self.correlated, self.related_only, self.related_or_null, self.referred,
        ]  # fmt: skip
        for _ in range(steps):
            self.random.choice(makers)()
        if self.random.random() < 0.35:
            self.random.choice((self.values, self.transformed_values, self.transformed_values))()
        if self.random.random() < 0.2 and not self.names:
            self.united()
        self.ordered()
        if self.random.random() < 0.25:
            start = self.random.randint(0, 2)
            self.text += f"[{start}:{start + self.random.randint(0, 4)}]"
            self.is_sliced = True
        return self

    def named(self, text: str, kind: str) -> None:
        """Add an annotation."""
        name = f"x{len(self.names)}"
        self.names[name] = kind
        self.text += f".annotate({name}={text})"

    def computed(self) -> None:
        random, model = self.random, self.model
        moment, kind = chosen(random, model, ("date", "datetime"))
        json = [path for path, kind in paths(model, 1) if kind == "json"]
        expressions = [*_EXPRESSIONS, *(_OF_MOMENTS if kind in ("date", "datetime") else ())]
        expressions += _OF_JSON * 2 if json else ()
        if self.names and random.random() < 0.5:
            name, kind = random.choice(list(self.names.items()))
            expressions = [(f"F({name!r})", kind), (f"Coalesce({name!r}, None)", kind)]
        text, kind = random.choice(expressions)
        values = {
            "number": repr(chosen(random, model, _NUMBERS)[0]), "other": repr(chosen(random, model, _NUMBERS)[0]),
            "text": repr(chosen(random, model, ("text",))[0]), "moment": repr(moment),
            "condition": condition(random, model, 1), "json": json[0] if json else "",
        }  # fmt: skip
        self.named(text.format(**values), kind)

    def referred(self) -> None:
        """Annotate with another annotation."""
        if self.names:
            name, kind = self.random.choice(list(self.names.items()))
            self.named(f"{self.random.choice(('F', 'Max', 'Count', 'Min'))}({name!r})", kind)

    def relation(self) -> tuple[str, str] | None:
        """Return a name in lookups of a relation to one or many rows, with its model."""
        names = [*relations(self.model), *((name, model) for _, name, model in many_relations(self.model))]
        return self.random.choice(names) if names else None

    def chosen_in(self) -> None:
        if relation := self.relation():
            name, target = relation
            rows = f"M.{target}.objects"
            test = condition(self.random, target, 1)
            inner = self.random.choice((
                f"{rows}.filter({test}).order_by('pk')[:{self.random.randint(0, 3)}]", f"{rows}.none()",
                f"{rows}.filter({test}).values('pk')", f"{rows}.filter({test}).values_list('pk', flat=True)",
                f"list({rows}.order_by('pk')[:2])", f"{rows}.exclude({test}).distinct()",
            ))  # fmt: skip
            self.text += f".{self.random.choice(('filter', 'exclude'))}({name}__in={inner})"

    def equal_to_row(self) -> None:
        if relation := self.relation():
            row = f"M.{relation[1]}.objects.order_by('pk')[{self.random.randint(0, 1)}]"
            self.text += f".{self.random.choice(('filter', 'exclude'))}({relation[0]}={row})"

    def related_or_null(self) -> None:
        if relation := self.relation():
            is_null = self.random.choice((True, False))
            self.text += f".{self.random.choice(('filter', 'exclude'))}({relation[0]}__isnull={is_null})"

    def filtered_relation(self) -> None:
        many = many_relations(self.model)
        if not many:
            return
        _, relation, target = self.random.choice(many)
        path, kind = chosen(self.random, target, depth=0)
        lookup = self.random.choice(LOOKUPS.get(kind, ("",)))
        test = f"Q({relation}__{path}{lookup}={operand(self.random, kind, lookup, target)})"
        name = f"f{len(self.text)}"
        self.text += f".annotate({name}=FilteredRelation({relation!r}, condition={test}))"
        choice = self.random.randint(0, 2)
        if choice == 0:
            self.named(f"Count({name!r})", "int")
        elif choice == 1:
            self.text += f".filter({name}__{path}__isnull=False)"

    def related_twice(self) -> None:
        one = relations(self.model)
        if one:
            name, target = self.random.choice(one)
            deeper = relations(target)
            if deeper and self.random.random() < 0.6:
                name += f"__{self.random.choice(deeper)[0]}"
            self.text += f".select_related({self.random.choice((repr(name), repr(name), '', 'None'))})"

    def related_only(self) -> None:
        one = relations(self.model)
        if one:
            name, target = self.random.choice(one)
            path, _ = chosen(self.random, target, depth=0)
            method = self.random.choice(("only", "defer"))
            self.text += f".select_related({name!r}).{method}('{name}__{path}')"

    def prefetched_twice(self) -> None:
        random, many, one = self.random, many_relations(self.model), relations(self.model)
        lookups: list[str] = []
        if many:
            attribute, _, target = random.choice(many)
            if random.random() < 0.5:
                self.text += f".prefetch_related(Prefetch({attribute!r}, {_inner(random, target)}))"
                return
            lookups += [f"{attribute}__{name}" for name, _, _ in many_relations(target)[:1]]
            lookups += [f"{attribute}__{name}" for name, _ in relations(target)[:1]]
        elif one:
            name, target = random.choice(one)
            if random.random() < 0.3:
                rows = f"M.{target}.objects.filter({condition(random, target, 1)})"
                self.text += f".prefetch_related(Prefetch({name!r}, {rows}))"
                return
            lookups += [name, *(f"{name}__{attribute}" for attribute, _, _ in many_relations(target))]
        if lookups:
            sample = random.sample(lookups, min(len(lookups), random.randint(1, 2)))
            self.text += f".prefetch_related({', '.join(map(repr, sample))})"

    def framed(self) -> None:
        random = self.random
        path, _ = chosen(random, self.model, depth=0)
        partition = random.choice(("", f", partition_by={path!r}", f", partition_by=[F({path!r})]"))
        order = random.choice(("'pk'", "'-pk'", "F('pk').desc()"))
        self.named(f"Window({random.choice(_WINDOWS)}{partition}, order_by={order}{random.choice(_FRAMES)})", "int")
        if random.random() < 0.4:
            self.text += f".filter({list(self.names)[-1]}__lte={random.randint(1, 4)})"

    def correlated(self) -> None:
        many = many_relations(self.model)
        back = []
        if many:
            _, _, target = self.random.choice(many)
            back = [name for name, to in relations(target) if to == self.model]
        if not back:
            return
        path, _ = chosen(self.random, target, ("int", "decimal"), 0)
        rows = f"M.{target}.objects.filter({back[0]}=OuterRef('pk'))"
        text = self.random.choice((
            f"Subquery({rows}.values({back[0]!r}).annotate(n=Count('pk')).values('n'))",
            f"Subquery({rows}.order_by().values({back[0]!r}).annotate(n=Max({path!r})).values('n')[:1], "
            "output_field=IntegerField())",
            f"~Exists({rows})", f"Exists({rows}.filter(pk__gt=OuterRef('pk')))",
            f"Coalesce(Subquery({rows}.order_by('pk').values({path!r})[:1]), Value(0), output_field=DecimalField())",
        ))  # fmt: skip
        self.named(text, "int")

    def transformed_values(self) -> None:
        random, model = self.random, self.model
        names = []
        for _ in range(random.randint(1, 3)):
            path, kind = chosen(random, model, depth=1)
            names.append(path + random.choice(_TRANSFORMS.get(kind, ("",))))
        names = list(dict.fromkeys([*names, *(name for name in self.names if random.random() < 0.6)]))
        fields = ", ".join(map(repr, names))
        text, _ = expression(random, model)
        forms = [
            f".values({fields})", f".values_list({fields})", f".values_list({fields}, named=True)",
            f".values_list({names[0]!r}, flat=True)", f".values({fields}, y={text})", f".values_list({fields}, {text})",
        ]  # fmt: skip
        if model not in ("Customer", "OpenPlace"):  # which have columns that mirrors do not have
            forms += [".values()", ".values_list()"]
        self.text += random.choice(forms)
        self.is_values = True
        if random.random() < 0.3:
            self.named(*aggregate(random, model))
            if random.random() < 0.4:
                self.text += f".filter({list(self.names)[-1]}__gt={random.randint(0, 2)})"
        if random.random() < 0.3:
            self.text += ".distinct()"

    def united(self) -> None:
        random, model = self.random, self.model
        if any(part in self.text for part in ("values", "only", "defer", "select_related")):
            return
        path, _ = chosen(random, model, depth=0)
        form = random.choice((
            "", f".values('pk', {path!r})", f".values_list('pk', {path!r})", ".values_list('pk', flat=True)",
        ))  # fmt: skip
        operation = random.choice(("union", "union", "intersection", "difference"))
        arms = []
        for _ in range(random.randint(1, 2)):
            order = ".order_by()" if random.random() < 0.5 else ""
            arms.append(f"M.{model}.objects.filter({condition(random, model, 1)}){order}{form}")
        if operation == "union" and random.random() < 0.5:
            arms.append("all=True")
        self.text += f"{form}.{operation}({', '.join(arms)})"
        self.is_combined = True

    def ordered(self) -> None:
        random = self.random
        if self.is_combined:
            self.text += ".order_by('pk')"
            return
        path, kind = chosen(random, self.model, depth=1)
        names = [random.choice((
            repr(path), repr(f"-{path}"), f"F({path!r}).desc(nulls_last=True)", f"F({path!r}).asc(nulls_first=True)",
            f"Lower({path!r})" if kind == "text" else repr(path), expression(random, self.model)[0],
        ))]  # fmt: skip
        if self.names and random.random() < 0.3:
            names.insert(0, repr(random.choice(list(self.names))))
        self.text += f".order_by({', '.join(names)}, 'pk')"

    def ended(self) -> str:
        """Return the text of the whole read."""
        random, model = self.random, self.model
        choice = random.random()
        if choice < 0.45:
            return f"rows({self.text})"
        if choice < 0.5:
            return f"value({self.text}[{random.randint(0, 3)}])"
        if choice < 0.53:
            return f"rows({self.text}[{random.randint(0, 3)}:])"
        functions = [f"{name}({path!r})" for path in self.names for name in ("Max", "Count", "Min", "Sum")]
        functions += ["Count('*')", f"StdDev({chosen(random, model, _NUMBERS, 0)[0]!r})"]
        functions += [aggregate(random, model)[0] for _ in functions]
        first, second = random.choice(functions), random.choice(functions)
        path, _ = chosen(random, model, depth=0)
        ends = [
            "first()", "last()", "count()", "exists()", "in_bulk([1, 2])", "in_bulk()", f"earliest({path!r}, 'pk')",
            f"latest({path!r})", "get(pk=2)", "get()", "distinct().count()", "all().exists()", "exclude(pk=1).first()",
            f"aggregate(a={first}, b={second})", f"aggregate(a={first}, b=F('a') + 1)", "reverse().first()",
            f"order_by({path!r}).last()", "filter(pk__in=[1, 2, 3]).in_bulk()", "first().pk", "count() + 1",
        ]  # fmt: skip
        if not self.is_combined:
            ends.append(f"filter({condition(random, model, 1)}).count()")
        return f"value({self.text}.{random.choice(ends)})"


def _inner(random: Random, model: str) -> str:
    """Return the text of the rows of a prefetch."""
    method = random.choice((
        "all()", f"filter({condition(random, model, 1)})", "select_related()", "order_by('-pk')",
        "annotate(n=Count('pk'))", "distinct()",
    ))  # fmt: skip
    text = f"M.{model}.objects.{method}"
    one, many = relations(model), many_relations(model)
    if one and random.random() < 0.4:
        text += f".select_related({random.choice(one)[0]!r})"
    if many and random.random() < 0.4:
        text += f".prefetch_related({random.choice(many)[0]!r})"
    if random.random() < 0.3:
        text += f".only({chosen(random, model, depth=0)[0]!r})"
    return f"{text}.order_by('pk')"


def wide_read(random: Random) -> list[str]:
    """Return the lines of a program that reads."""
    query = WideQuery(random).grow(random.choice((0, 1, 1, 2, 2, 3, 4)))
    return [f"note(lambda: {query.ended()})"]
