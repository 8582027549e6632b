"""Checks of the arguments of expressions of ``django.contrib.postgres``; see `vocabulary.POSTGRES`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django_rpc.graph.nodes import Node
from django_rpc.graph.values import Condition, Expr
from django_rpc.graph.vocabulary.names import POSTGRES, check_path

__all__ = ["CHECKS", "COMBINED"]

#: Names of text search configurations, with or without a schema.
_CONFIG = re.compile(r"[A-Za-z_][\w]{0,62}(\.[A-Za-z_]\w{0,62})?", re.ASCII)
_SEARCH_TYPES = frozenset({"plain", "phrase", "raw", "websearch"})
_WEIGHTS = frozenset("ABCD")
#: Parameters of SearchHeadline after the two expressions; each value is a literal.
_HEADLINE = (
    "start_sel stop_sel max_words min_words short_word highlight_all max_fragments fragment_delimiter".split()
)  # fmt: skip
#: Expressions that an operator combines, by the name of the combination, with the operators.
COMBINED: dict[str, tuple[str, frozenset[str]]] = {
    f"{POSTGRES}CombinedSearchVector": (f"{POSTGRES}SearchVector", frozenset({"||"})),
    f"{POSTGRES}CombinedSearchQuery": (f"{POSTGRES}SearchQuery", frozenset({"||", "&&"})),
}


def _argument(expr: Expr, position: int, keyword: str) -> Any:
    return expr.args[position] if len(expr.args) > position else expr.kwargs.get(keyword)


def _check_count(expr: Expr, most: int) -> None:
    if len(expr.args) > most:
        raise ValueError(f"{expr.name} takes at most {most} positional arguments.")


def _check_column(value: Any) -> None:
    if isinstance(value, str):
        check_path(value)
    elif not isinstance(value, Condition | Expr | Node):
        raise ValueError("A column of an expression for PostgreSQL is a name, an expression or a condition.")


def _check_config(value: Any) -> None:
    is_expression = isinstance(value, Node) or (
        isinstance(value, Expr) and value.name in ("F", f"{POSTGRES}SearchConfig")
    )
    if not (value is None or is_expression or (isinstance(value, str) and _CONFIG.fullmatch(value))):
        raise ValueError("A text search configuration is a plain name or a column.")


def _check_search_config(expr: Expr) -> None:
    _check_count(expr, 1)
    _check_config(_argument(expr, 0, "config"))


def _check_vector(expr: Expr) -> None:
    for column in expr.args:
        _check_column(column)
    _check_config(expr.kwargs.get("config"))
    weight = expr.kwargs.get("weight")
    if not (weight is None or isinstance(weight, Node) or (isinstance(weight, str) and weight in _WEIGHTS)):
        raise ValueError("The weight of a SearchVector is A, B, C or D.")


def _check_query(expr: Expr) -> None:
    _check_count(expr, 1)
    _check_config(expr.kwargs.get("config"))
    kind = expr.kwargs.get("search_type", "plain")
    if not (isinstance(kind, Node) or (isinstance(kind, str) and kind in _SEARCH_TYPES)):
        raise ValueError(f"The search_type of a SearchQuery is one of {', '.join(sorted(_SEARCH_TYPES))}.")


def _check_combined(expr: Expr) -> None:
    kind, connectors = COMBINED[expr.name]
    for position, keyword in ((0, "lhs"), (2, "rhs")):
        side = _argument(expr, position, keyword)
        if not (isinstance(side, Expr) and side.name in (kind, expr.name)):
            raise ValueError(f"{expr.name} combines two {kind}.")
    connector = _argument(expr, 1, "connector")
    if not isinstance(connector, str) or connector not in connectors:
        raise ValueError(f"The connectors of {expr.name} are {', '.join(sorted(connectors))}.")
    _check_config(_argument(expr, 3, "config"))


def _check_rank(expr: Expr) -> None:
    _check_column(_argument(expr, 0, "vector"))


def _check_headline(expr: Expr) -> None:
    _check_count(expr, 2)
    _check_column(_argument(expr, 0, "expression"))
    _check_config(expr.kwargs.get("config"))
    for keyword in _HEADLINE:
        value = expr.kwargs.get(keyword)
        if not (value is None or isinstance(value, str | int | Node)):
            raise ValueError(f"{keyword} of a SearchHeadline is a text, a number or a boolean.")


def _check_string_agg(expr: Expr) -> None:
    _check_count(expr, 2)
    _check_column(_argument(expr, 0, "expression"))
    delimiter = _argument(expr, 1, "delimiter")
    if not (isinstance(delimiter, str | Node) or (isinstance(delimiter, Expr) and delimiter.name == "Value")):
        raise ValueError("The delimiter of a StringAgg is a text.")


def _columns(*keywords: str) -> Callable[[Expr], None]:
    """Return a check for an expression whose positional arguments are columns with these names."""

    def check(expr: Expr) -> None:
        _check_count(expr, len(keywords))
        for position, keyword in enumerate(keywords):
            _check_column(_argument(expr, position, keyword))

    return check


def _trigram(position: int) -> Callable[[Expr], None]:
    """Return a check for a trigram function with its column at ``position``; the other argument is data."""

    def check(expr: Expr) -> None:
        _check_count(expr, 2)
        _check_column(_argument(expr, position, "expression"))

    return check


def _check_subquery(expr: Expr) -> None:
    _check_count(expr, 1)
    if not isinstance(_argument(expr, 0, "queryset"), Node):
        raise ValueError(f"{expr.name} takes a query.")


def _names(names: str, check: Callable[[Expr], None]) -> dict[str, Callable[[Expr], None]]:
    return dict.fromkeys([POSTGRES + name for name in names.split()], check)


#: The check of each expression. It decides which texts are columns and which are data.
CHECKS: dict[str, Callable[[Expr], None]] = {
    **_names("ArrayAgg JSONBAgg BitAnd BitOr BitXor BoolAnd BoolOr", _columns("expression")),
    **_names("StringAgg", _check_string_agg),
    **_names(
        "Corr CovarPop RegrAvgX RegrAvgY RegrCount RegrIntercept RegrR2 RegrSlope RegrSXX RegrSXY RegrSYY",
        _columns("y", "x"),
    ),
    **_names("SearchConfig", _check_search_config),
    **_names("SearchVector", _check_vector),
    **_names("SearchQuery", _check_query),
    **_names("CombinedSearchVector CombinedSearchQuery", _check_combined),
    **_names("SearchRank", _check_rank),
    **_names("SearchHeadline", _check_headline),
    **_names("TrigramSimilarity TrigramDistance", _trigram(0)),
    **_names(
        "TrigramWordSimilarity TrigramWordDistance TrigramStrictWordSimilarity TrigramStrictWordDistance", _trigram(1)
    ),
    **_names("RandomUUID TransactionNow", _columns()),
    **_names("ArraySubquery", _check_subquery),
}
