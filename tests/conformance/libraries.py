"""What a test defines beside models: in a project it would be a library that client and service both have.

Expressions of the test's own are registered at both ends, each under its name, as `register_expression` and
``@site.expression`` do; a lookup that is registered on a field of a mirror is registered on the service's field.
"""

from __future__ import annotations

from typing import Any

from django.db.models.expressions import BaseExpression
from django.db.models.fields import Field
from django.db.models.query_utils import RegisterLookupMixin, class_or_instance_method

from tests.conformance.substitution import PREFIX

__all__ = ["share_libraries"]


def share_libraries() -> None:
    """From now on; called before the tests are imported."""
    from django_rpc.models.custom_expressions import register_expression
    from django_rpc.server import site

    def made(cls: Any, **kwargs: Any) -> None:
        super(BaseExpression, cls).__init_subclass__(**kwargs)
        if cls.__module__.startswith(PREFIX):
            register_expression(cls)
            site.expressions[cls.__name__] = cls  # a test defines it anew each time that it runs

    BaseExpression.__init_subclass__ = classmethod(made)  # type: ignore[assignment]
    for prefix in ("register", "_unregister"):
        of_class = vars(RegisterLookupMixin)[f"{prefix}_class_lookup"].__func__
        of_field = _at_both_ends(getattr(RegisterLookupMixin, f"{prefix}_instance_lookup"))
        setattr(RegisterLookupMixin, f"{prefix}_lookup", class_or_instance_method(of_class, of_field))


def _at_both_ends(original: Any) -> Any:

    def both(self: Any, *args: Any, **kwargs: Any) -> Any:
        twin = _twin(self)
        if twin is not None:
            original(twin, *args, **kwargs)
        return original(self, *args, **kwargs)

    return both


def _twin(field: Field) -> Any:
    """The service's field that a mirror's stands for."""
    from django.apps import apps

    options = getattr(getattr(field, "model", None), "_rpc", None)
    return None if options is None else apps.get_model(options.label)._meta.get_field(field.name)
