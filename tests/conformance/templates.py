"""Templates of a test app, which the second import finds under its own name: ``mirror_basic/page.html``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.template.loaders import app_directories

from tests.conformance.substitution import PREFIX

__all__ = ["Loader"]


class Loader(app_directories.Loader):
    def get_template_sources(self, template_name: Any) -> Iterator[Any]:
        yield from super().get_template_sources(template_name)
        if str(template_name).startswith(PREFIX):
            for origin in super().get_template_sources(str(template_name).removeprefix(PREFIX)):
                origin.template_name = template_name  # by which the test knows it
                yield origin
