"""Regular expressions on SQLite: patterns that would take memory or time without a limit are refused."""

from __future__ import annotations

import re
import resource
import sys

import pytest
from django.db import connection

from django_rpc.demo.server.shop.models import Customer, Tag
from django_rpc.server.query.regexes import MAX_TEXT, searcher

from .conftest import expr, method

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="searches of other databases are their own")

CUSTOMERS = ["source", "shop.Customer"]

_REFUSED = {
    "recursion": "(?R)?a",
    "recursion of a group": "(a(?1)?b)",
    "recursion by name": "(?P<x>a(?&x)?b)",
    "recursion by number": "(?0)?a",
    "definition": "(?(DEFINE)(?P<q>a))(?&q)",
    "nested counts": "((a{1,500}){1,500}){1,500}",
    "nested counts without groups": "(?:(?:a{1000}){1000}){1000}",
    "one large count": "a{100000}",
    "large lower count": "a{50000,}",
    "counts side by side": "a{9000}b{9000}",
    "lazy counts": "(?:a{1,900}?){1,900}?",
    "possessive counts": "(?:a{1,900}+){1,900}+",
    "counts in a lookahead": "(?=(?:a{999}){999})",
    "counts in a condition": "(a)?(?(1)(?:b{999}){999}|c)",
    "counts in an atomic group": "(?>(?:a{999}){999})",
    "long": "a" * 5_000,
    "long alternation": "|".join(["abc"] * 2_000),
    "many groups": "(" * 400 + "a" + ")" * 400,
    "property of Unicode": r"\p{L}+",
    "named list": r"\L<words>",
    "grapheme": r"\X",
    "branch reset": "(?|(a)|(b))",
    "version of the package": "(?V1)[a&&b]",
    "fuzzy flag": "(?e)(abc){e<=3}",
    "best match flag": "(?b)a",
    "full case flag": "(?f)a",
    "reverse flag": "(?r)a",
    "partial": r"(?p)a",
    "verbose": "(?x) a # {e<=3}",
    "verbose group": "(?x: a # {e<=3}\n)",
    "keep": r"a\Kb",
    "search anchor": r"\Ga",
    "unbalanced": "(",
    "zero byte and no end": "[\x00",
}  # fmt: skip


@pytest.fixture(autouse=True)
def rows(shop_data):
    searcher.cache_clear()


@pytest.mark.parametrize("lookup", ["regex", "iregex"])
@pytest.mark.parametrize("pattern", _REFUSED.values(), ids=_REFUSED)
def test_a_pattern_without_a_limit_is_refused(send, pattern, lookup):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for nodes in (
        [CUSTOMERS, method(0, "filter", **{f"name__{lookup}": pattern}), method(1, "count")],
        [CUSTOMERS, method(0, "filter", expr(f"lookup:{lookup}", expr("F", "name"), pattern)), method(1, "count")],
        [
            CUSTOMERS,
            method(0, "annotate", x=expr("Value", pattern)),
            method(1, "filter", **{f"name__{lookup}": expr("F", "x")}),
            method(2, "count"),
        ],
    ):
        answered = send(nodes)
        assert answered.code == "DataError", answered.text
        assert "regular expression" in answered.message
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    assert grown < 100_000_000


def test_a_pattern_of_a_row_is_refused(send):
    """The pattern is in the table: it is first seen when the statement runs."""
    Customer.objects.filter(pk=1).update(city="(?R)?a")
    nodes = [CUSTOMERS, method(0, "filter", name__regex=expr("F", "city")), method(1, "count")]
    answered = send(nodes)
    assert answered.code == "DataError", answered.text
    assert "(?R)" not in answered.text


def test_the_error_is_of_the_statement_that_failed(send):
    """A refusal is not the text of a later error of another kind."""
    assert send([CUSTOMERS, method(0, "filter", name__regex="("), method(1, "count")]).code == "DataError"
    wrong = [CUSTOMERS, method(0, "filter", id=10**40), method(1, "count")]
    assert "regular expression" not in send(wrong).text


_SAME = {
    "fuzzy": ("a{e<=3}", "xyz", "a{e<=3}"),
    "fuzzy after a group": ("(?:abc){e}", "xyz", "abc{e}"),
    "fuzzy insertions": ("(abc){i<=1,d<=1}", "abc", "abc{i<=1,d<=1}"),
    "fuzzy with a class": ("(abc){s<=2:[a-z]}", "abx", "abc{s<=2:z}"),
    "fuzzy with bounds": ("a{1<=e<=3}", "b", "a{1<=e<=3}"),
    "fuzzy after a count": ("a{2}{e}", "b", "aa{e}"),
    "class of POSIX": ("[[:digit:]]", "5", "d]"),
    "brackets in a class": ("[[a]b]", "a", "ab]"),
    "bracket first in a class": ("[]a{e}]{2}", "x", "]a"),
    "negated bracket first": ("[^]{e]{2}", "]]", "ab"),
    "sets": ("[a-z&&b]", "1", "&"),
    "braces": ('{"id": 5}', "id", '{"id": 5}'),
    "escaped brace": (r"\{e\}", "e", "{e}"),
    "named character": (r"\N{LATIN SMALL LETTER A}{2}", "b", "aa"),
    "comment": ("a(?#[{e)b", "b", "ab"),
    "count without a minimum": ("^a{,2}$", "aaa", "aa"),
}


@pytest.mark.parametrize(("pattern", "other", "matching"), _SAME.values(), ids=_SAME)
def test_a_pattern_means_the_same_as_in_python(pattern, other, matching):
    """The package ``regex`` reads more into these than Python does."""
    search = searcher(pattern)
    for text in (other, matching, "", "a", "é"):
        assert search(text, None) == bool(re.search(pattern, text)), text
    assert search(matching, None)


_HARD = {
    "backtracking": "(a+)+$",
    "nested stars": "((a*)*)*$",
    "alternatives of one prefix": "(a|aa)+$",
    "back references": r"(a*)(a*)(a*)(a*)(a*)\1\2\3\4\5b|c$",
    "lookbehind": "(?<=a)(a|a)*$",
    "classes": r"(?:\w|[^\W\d_]|[a-z])*$",
    "case": "(?i)(?:ſ|s|a|A)+(?:K|k|a)+$",
    "groups": "((a)|(a)|(a))+$",
}


@pytest.mark.parametrize("lookup", ["regex", "iregex"])
@pytest.mark.parametrize("pattern", _HARD.values(), ids=_HARD)
def test_a_search_ends_at_the_limit(send, settings_of_server, pattern, lookup):
    settings_of_server(LIMITS={"seconds": 0.5}, CLIENTS={"anonymous": {}})
    Tag.objects.create(name="a" * 50 + "!")
    answered = send([["source", "shop.Tag"], method(0, "filter", **{f"name__{lookup}": pattern}), method(1, "count")])
    assert answered.code in ("DeadlineExceeded", "answered"), answered.text
    assert answered.error is None or "seconds" in answered.message


def test_a_text_that_is_too_long_is_not_searched():
    with pytest.raises(Exception, match="regular expression"):
        searcher("a")("x" * (MAX_TEXT + 1), None)
