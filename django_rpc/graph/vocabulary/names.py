"""Every name that may cross the wire as an operation, and the checks of each name.

The server looks up no names outside of these tables, so a message cannot name a Python object.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

__all__ = [
    "EXPRESSIONS",
    "FIELDS",
    "METHODS",
    "OPERATORS",
    "OUTPUT_FIELDS",
    "OWN",
    "POSTGRES",
    "POSTGRES_AGGREGATES",
    "VALUE_METHODS",
    "MethodSpec",
    "check_identifier",
    "check_method",
    "check_model",
    "check_operator",
    "check_path",
    "check_request_id",
    "check_result_name",
]


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """Properties of a method that are known before it runs.

    ``on`` are the kinds of values that have the method: a ``"query"``, a model ``"instance"``, a ``"relation"`` (the
    manager of a many-to-many or reverse foreign key of an instance), or any other ``"value"``.
    """

    on: frozenset[str]
    returns_query: bool = False
    writes: bool = False


def _methods(on: str, names: str, *, returns_query: bool = False, writes: bool = False) -> dict[str, MethodSpec]:
    spec = MethodSpec(frozenset(on.split("|")), returns_query, writes)
    return dict.fromkeys(names.split(), spec)


#: Methods of plain values (str, list, dict, dates) that have no side effect.
VALUE_METHODS: dict[str, frozenset[str]] = {
    "str": frozenset(
        "upper lower title strip lstrip rstrip split join replace startswith endswith removeprefix removesuffix".split()
    ),
    "list": frozenset("index".split()),
    "tuple": frozenset("index".split()),
    "dict": frozenset("keys values items".split()),
    "date": frozenset("isoformat weekday isoweekday".split()),
    "datetime": frozenset("isoformat weekday isoweekday date time timestamp".split()),
    "Decimal": frozenset("quantize".split()),
    "timedelta": frozenset("total_seconds".split()),
}

METHODS: dict[str, MethodSpec] = {
    # QuerySet methods that return a queryset.
    **_methods(
        "query|relation",
        "all filter exclude annotate alias order_by distinct reverse values values_list dates datetimes none only "
        "defer select_related prefetch_related union intersection difference select_for_update",
        returns_query=True,
    ),
    # Operators between two querysets.
    **_methods("query", "and_ or_ xor", returns_query=True),
    # Operations of Django on the ``Query`` of a queryset, which have no public method.
    **_methods(
        "query",
        "sticky filter_reuse clear_ordering add_ordering default_ordering clear_limits clear_select_clause add_fields "
        "through_columns",
        returns_query=True,
    ),
    # QuerySet methods that return a value.
    **_methods(
        "query|relation",
        "get first last earliest latest in_bulk count exists contains aggregate explain",
    ),
    **_methods(
        "query|relation",
        "create get_or_create update_or_create update bulk_update delete getset",
        writes=True,
    ),
    # Relations of an instance.
    **_methods("relation", "add remove set clear", writes=True),
    # Instances (``delete`` is above).
    **_methods("instance", "save delete refresh", writes=True),
    **{
        name: MethodSpec(frozenset({"value"}))
        for names in VALUE_METHODS.values()
        for name in sorted(names)
        if name not in ("values",)
    },
}
METHODS["delete"] = MethodSpec(frozenset({"query", "relation", "instance"}), writes=True)
METHODS["values"] = MethodSpec(frozenset({"query", "relation", "value"}), returns_query=True)

#: Names as in module ``operator``, with their number of arguments.
OPERATORS: dict[str, int] = {
    **dict.fromkeys("add sub mul truediv floordiv mod pow matmul lshift rshift and_ or_ xor".split(), 2),
    **dict.fromkeys("eq ne lt le gt ge contains".split(), 2),
    **dict.fromkeys("neg pos invert abs not_".split(), 1),
}

#: Names of expressions, with the keyword arguments that each takes. No argument that takes SQL text (``template``,
#: ``function``, ``arg_joiner``) is among them.
_OUT = frozenset({"output_field"})
_AGGREGATE = _OUT | {"distinct", "filter", "default"}
_TZ = _OUT | {"tzinfo"}


def _expressions(names: str, keywords: frozenset[str]) -> dict[str, frozenset[str]]:
    return dict.fromkeys(names.split(), keywords)


EXPRESSIONS: dict[str, frozenset[str]] = {
    **_expressions("F OuterRef", frozenset({"name"})),
    "Value": _OUT | {"value"},
    "ExpressionWrapper": _OUT | {"expression"},
    "CombinedExpression": _OUT | {"lhs", "connector", "rhs"},
    "NegatedExpression": frozenset({"expression"}),
    "OrderBy": frozenset({"expression", "descending", "nulls_first", "nulls_last"}),
    "Case": _OUT | {"default"},
    "When": frozenset({"condition", "then"}),
    "Subquery": _OUT | {"queryset"},
    "Exists": _OUT | {"queryset"},
    "FilteredRelation": frozenset({"relation_name", "condition"}),
    "Window": _OUT | {"expression", "partition_by", "order_by", "frame"},
    "RowRange": frozenset({"start", "end", "exclusion"}),
    "ValueRange": frozenset({"start", "end", "exclusion"}),
    "Prefetch": frozenset({"lookup", "queryset", "to_attr"}),
    "Star": frozenset(),
    # aggregates
    **_expressions("Avg Count Max Min StdDev Sum Variance", _AGGREGATE | {"expression", "sample"}),
    # functions: comparison and conversion
    "Cast": _OUT | {"expression"},
    **_expressions("Coalesce Greatest Least NullIf", _OUT),
    "JSONObject": frozenset(),  # its keywords are keys of the object: data
    "JSONArray": _OUT,
    # dates
    "Extract": _TZ | {"expression", "lookup_name"},
    **_expressions(
        "ExtractYear ExtractIsoYear ExtractMonth ExtractDay ExtractWeek ExtractWeekDay ExtractIsoWeekDay "
        "ExtractQuarter ExtractHour ExtractMinute ExtractSecond",
        _TZ | {"expression", "lookup_name"},
    ),
    "Trunc": _TZ | {"expression", "kind", "is_dst"},
    **_expressions(
        "TruncYear TruncQuarter TruncMonth TruncWeek TruncDay TruncDate TruncTime TruncHour TruncMinute TruncSecond",
        _TZ | {"expression", "is_dst"},
    ),
    "Now": _OUT,
    # math
    **_expressions(
        "Abs ACos ASin ATan ATan2 Ceil Cos Cot Degrees Exp Floor Ln Log Mod Pi Power Radians Random Sign Sin Sqrt Tan",
        _OUT | {"expression"},
    ),
    "Round": _OUT | {"expression", "precision"},
    # text
    **_expressions(
        "Chr ConcatPair Concat Length Lower LTrim MD5 Ord Reverse RTrim SHA1 SHA224 SHA256 SHA384 "
        "SHA512 StrIndex Trim Upper",
        _OUT | {"expression"},
    ),
    "Repeat": _OUT | {"expression", "number"},
    "Replace": _OUT | {"expression", "text", "replacement"},
    **_expressions("Left Right", _OUT | {"expression", "length"}),
    **_expressions("LPad RPad", _OUT | {"expression", "length", "fill_text"}),
    "Substr": _OUT | {"expression", "pos", "length"},
    "Collate": frozenset({"expression", "collation"}),
    # windows
    **_expressions("CumeDist DenseRank PercentRank Rank RowNumber", _OUT),
    **_expressions("FirstValue LastValue", _OUT | {"expression"}),
    **_expressions("Lag Lead", _OUT | {"expression", "offset", "default"}),
    "NthValue": _OUT | {"expression", "nth"},
    "Ntile": _OUT | {"num_buckets"},
    # JSON
    "KT": _OUT,
    "KeyTextTransform": _OUT,
    "KeyTransform": _OUT,
}

#: Lookups as expressions (``GreaterThan(F("a"), 5)``), by their lookup name: ``Expr("lookup:gt", (lhs, rhs))``.
LOOKUPS: frozenset[str] = frozenset(
    "exact iexact gt gte lt lte in contains icontains startswith istartswith endswith iendswith range isnull regex "
    "iregex".split()
)
EXPRESSIONS.update({f"lookup:{name}": frozenset({"lhs", "rhs"}) for name in sorted(LOOKUPS)})

#: Prefix of the names of ``django.contrib.postgres``: ``Expr("postgres:ArrayAgg", ("total",))``. Services on other
#: databases refuse them.
POSTGRES = "postgres:"
_ORDERED = _AGGREGATE | {"expression", "order_by", "ordering"}
_PAIR = _OUT | {"y", "x", "filter", "default"}
_SEARCH: dict[str, frozenset[str]] = {
    "SearchConfig": frozenset({"config"}),
    "SearchVector": frozenset({"config", "weight"}),
    "SearchQuery": frozenset({"value", "config", "invert", "search_type"}),
    **_expressions("CombinedSearchVector CombinedSearchQuery", frozenset({"lhs", "connector", "rhs", "config"})),
    "SearchRank": frozenset({"vector", "query", "weights", "normalization", "cover_density"}),
    "SearchHeadline": frozenset(
        "expression query config start_sel stop_sel max_words min_words short_word highlight_all max_fragments "
        "fragment_delimiter".split()
    ),
}
_POSTGRES: dict[str, frozenset[str]] = {
    **_expressions("ArrayAgg JSONBAgg", _ORDERED),
    "StringAgg": _ORDERED | {"delimiter"},
    **_expressions("BitAnd BitOr BitXor BoolAnd BoolOr", _AGGREGATE | {"expression"}),
    **_expressions("Corr RegrAvgX RegrAvgY RegrCount RegrIntercept RegrR2 RegrSlope RegrSXX RegrSXY RegrSYY", _PAIR),
    "CovarPop": frozenset({"y", "x", "sample", "filter", "default"}),
    **_SEARCH,
    **_expressions(
        "TrigramSimilarity TrigramDistance TrigramWordSimilarity TrigramWordDistance TrigramStrictWordSimilarity "
        "TrigramStrictWordDistance",
        _OUT | {"expression", "string"},
    ),
    **_expressions("RandomUUID TransactionNow", frozenset()),
    "ArraySubquery": frozenset({"queryset"}),
}
#: Those that aggregate rows.
POSTGRES_AGGREGATES = frozenset({POSTGRES + name for name, keywords in _POSTGRES.items() if "filter" in keywords})
EXPRESSIONS.update({POSTGRES + name: keywords for name, keywords in _POSTGRES.items()})

#: Prefix of the name of an expression that a service registered: ``Expr("own:Median", ("total",))``.
OWN = "own:"

#: Connectors of ``CombinedExpression``, in Django's spelling.
CONNECTORS: frozenset[str] = frozenset({"+", "-", "*", "/", "^", "%%", "&", "|", "<<", ">>", "#"})

#: Kinds of ``Extract`` and ``Trunc``.
DATE_PARTS: frozenset[str] = frozenset(
    "year iso_year quarter month week day week_day iso_week_day hour minute second date time".split()
)

_FIELD_KEYWORDS = frozenset({"max_length", "max_digits", "decimal_places", "null"})
#: Model fields that may be given as ``output_field``, with the keyword arguments that each takes.
FIELDS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        (
            "AutoField BigAutoField BigIntegerField BinaryField BooleanField DateField DateTimeField DecimalField "
            "DurationField FloatField IntegerField JSONField PositiveBigIntegerField PositiveIntegerField "
            "PositiveSmallIntegerField SmallAutoField SmallIntegerField TimeField UUIDField"
        ).split(),
        _FIELD_KEYWORDS,
    ),
    **dict.fromkeys("CharField EmailField SlugField TextField URLField".split(), _FIELD_KEYWORDS | {"db_collation"}),
    "GenericIPAddressField": _FIELD_KEYWORDS | {"protocol", "unpack_ipv4"},
}

#: The fields above, and those of ``django.contrib.postgres``.
OUTPUT_FIELDS: dict[str, frozenset[str]] = {
    **FIELDS,
    f"{POSTGRES}ArrayField": frozenset({"base_field", "size", "null"}),
    **dict.fromkeys((f"{POSTGRES}HStoreField", f"{POSTGRES}SearchVectorField"), frozenset({"null"})),
}

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_MODEL = re.compile(r"[^\W\d]\w{0,99}(\.[^\W\d]\w{0,99}){1,2}")  # letters of any alphabet, as in Python's class names
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_PATH = re.compile(r"[A-Za-z0-9_]{1,255}")
#: Paths that start with Django's field ``_order``, or with Django's name for a hidden relation.
_UNDERSCORED = re.compile(r"_order(__[A-Za-z0-9_]{1,200})?|_?[A-Za-z0-9][A-Za-z0-9_]{0,199}_\+(__[A-Za-z0-9_]{1,200})?")


#: Names that pass a check are remembered: a graph names few fields, and each of them often.
_cached = functools.lru_cache(maxsize=8192)


def _is_identifier(name: str) -> bool:
    return _IDENTIFIER.fullmatch(name) is not None and "__" not in name


@_cached
def check_identifier(name: object) -> None:
    """Check a name of an alias, attribute or method: letters, digits and ``_``, at most 63 characters, no ``__``.

    Only ``_order``, a field of Django (``order_with_respect_to``), may start with an underscore.
    """
    if not isinstance(name, str) or not (_is_identifier(name) or name == "_order"):
        raise ValueError(
            f"{name!r} is not a valid name: use a letter, then letters, digits and single underscores, at most 63."
        )


@_cached
def check_path(path: object) -> None:
    """Check a lookup path: names joined by ``__``.

    Only two of Django's names may start with an underscore: ``_order``, and a hidden relation (``tags_rel_+``,
    ``_shop_order_tags_+``), which Django's managers use in filters.
    """
    if isinstance(path, str):
        if path[:1] != "_" and _PATH.fullmatch(path):
            return
        if _UNDERSCORED.fullmatch(path):
            return
    raise ValueError(f"{path!r} is not a valid lookup path.")


@_cached
def check_result_name(name: object) -> None:
    """Check the name of a value of ``aggregate()``: it becomes a key of the result, and never an attribute."""
    if not isinstance(name, str) or not _PATH.fullmatch(name):
        raise ValueError(f"{name!r} is not a valid name: use letters, digits and underscores, at most 255.")


def check_request_id(request_id: object) -> None:
    """Check the id of a request."""
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        raise ValueError(f"{request_id!r} cannot be a request's id: use letters, digits and . _ : - , at most 128.")


@_cached
def check_model(label: object) -> None:
    """Check a model label: ``app.Model``, or ``app.Model.field`` for an automatic through model."""
    if not isinstance(label, str) or not _MODEL.fullmatch(label):
        raise ValueError(f"{label!r} does not name a model: write 'app_label.ModelName'.")


def check_method(name: object) -> None:
    if name not in METHODS:
        raise ValueError(f"{name!r} is not a method that can be sent to a service.")


def check_operator(name: object, arity: int) -> None:
    if not isinstance(name, str) or OPERATORS.get(name) != arity:
        raise ValueError(f"{name!r} with {arity} arguments is not an operator that can be sent to a service.")
