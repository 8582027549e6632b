"""Mixins for Django's test cases."""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar

from django_rpc.test.answers import Answers, canned_answers
from django_rpc.test.messages import call_or_block
from django_rpc.test.service import in_process

__all__ = ["CannedAnswersMixin", "InProcessMixin"]


class _Messages:
    #: Alias in DATABASES of the service of these tests.
    rpc_database: ClassVar[str] = "rpc"

    def assertNumMessages(self, num: int, func: Any = None, *args: Any, using: str | None = None, **kwargs: Any) -> Any:
        """Count messages, as ``assertNumQueries`` counts queries: ``with self.assertNumMessages(1): ...``."""
        return call_or_block(num, func, args, kwargs, using or self.rpc_database)


class InProcessMixin(_Messages):
    """Run the service in the process of the tests, in the transaction of each test.

    >>> class OrderTests(InProcessMixin, TestCase):
    ...     databases = {"default", "rpc"}
    ...
    ...     def test_totals(self):
    ...         Order.objects.create(number="1", total=5)
    ...         with self.assertNumMessages(1):
    ...             self.assertEqual(total_of_today(), 5)
    """

    @classmethod
    def setUpClass(cls) -> None:
        # Before the method of Django, which calls setUpTestData().
        stack = contextlib.ExitStack()
        stack.enter_context(in_process(cls.rpc_database))
        cls.addClassCleanup(stack.close)  # type: ignore[attr-defined]  # a mixin of TestCase
        super().setUpClass()  # type: ignore[misc]  # a mixin of TestCase


class CannedAnswersMixin(_Messages):
    """Let each test declare the answers of the service in ``self.answers``, an `Answers`; other messages fail the test.

    >>> class OrderTests(CannedAnswersMixin, SimpleTestCase):
    ...     def test_totals(self):
    ...         self.answers.rows(Order.objects.filter(status="paid"), [Order(id=1, total=5), Order(id=2, total=7)])
    ...         self.assertEqual(total_of_paid(), 12)
    """

    answers: Answers

    def run(self, result: Any = None) -> Any:
        """Run setUp(), the test and tearDown() with canned answers, so that a ``setUp()`` without ``super()`` works."""
        stack = contextlib.ExitStack()
        self.answers = stack.enter_context(canned_answers(self.rpc_database))
        self.addCleanup(stack.close)  # type: ignore[attr-defined]  # a mixin of TestCase
        return super().run(result)  # type: ignore[misc]  # a mixin of TestCase
