"""A pytest plugin: the known failures of a release of Django, as client or as service.

A test that cannot run is left out with its reason; one that has to fail fails strictly, so that a release which does
better is noticed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import django
import pytest

from tests.versions.environments import SERIES

__all__ = ["LEFT_OUT", "SERVER", "Known", "pytest_collection_modifyitems"]

#: The variable that names the service's release, where that is not this process's.
SERVER = "DJANGO_RPC_TEST_SERVER_DJANGO"


@dataclass(frozen=True)
class Known:
    """Why a test fails where the client's, or the service's, Django is of one of these series."""

    reason: str
    client: tuple[str, ...] = ()
    server: tuple[str, ...] = ()


_IN_PROCESS = "changes the service's code, settings or chance in the process of the test"
_NO_RELEASE = "starts a service of its own, in its own process"
_ONE_FILE = "writes to the client's database and to the service's at once, which are one file of SQLite here"
_NO_WINDOW = "Django 4.2 itself writes no SQL for SQLite that orders a window by a decimal"
_OVERFLOW = "Django 4.2 itself gives a number to the database that this refuses"

#: Tests that no run against a worker can have; the beginning of a test's id, and why.
LEFT_OUT = {
    "tests/models/test_atomic_blocks.py::test_forbidden_write_undoes_block": _IN_PROCESS,
    "tests/models/test_atomic_properties.py::test_a_block_is_a_transaction": _IN_PROCESS,
    "tests/models/test_cascades.py::test_service_rows_are_deleted_with_local_row": _ONE_FILE,
    "tests/models/test_fidelity_queries.py::test_custom_save_of_service_keeps_its_arguments": _IN_PROCESS,
    "tests/models/test_fidelity_queries.py::test_trusting_service_names_protecting_rows": _IN_PROCESS,
    "tests/models/test_redefine.py::test_cells_run_again": _NO_RELEASE,
    "tests/models/test_custom_expressions.py::test_an_expression_that_both_ends_registered": _IN_PROCESS,
    "tests/models/test_custom_expressions.py::test_hidden_fields_and_sql_text_do_not_pass": _IN_PROCESS,
    "tests/models/test_using.py::test_test_case_writes_are_isolated": _NO_RELEASE,
    "tests/models/test_profile.py::test_without_show_sql_there_are_figures_and_no_text": _IN_PROCESS,
}

#: Tests that fail on a release.
KNOWN: dict[str, Known] = {
    "tests/contrib/test_admin.py::test_facet_counts": Known("since Django 5.0", client=("4.2",)),
    "tests/models/test_queryset.py::test_async_method[aiterator]": Known(
        "since Django 5.0, aiterator() prefetches", client=("4.2",)
    ),
    "tests/models/test_queryset.py::test_method[update_or_create]": Known(
        "since Django 5.0, a local model has create_defaults", client=("4.2",)
    ),
    "tests/models/test_fidelity_queries.py::test_create_refuses_a_reverse_relation": Known(
        "since Django 5.0", client=("4.2",)
    ),
    "tests/models/test_fidelity_queries.py::test_inserted_object_must_be_a_model": Known(
        "since Django 5.0", client=("4.2",)
    ),
    "tests/models/test_fidelity_nesting.py::test_query_without_equivalent_values_is_refused": Known(
        "Django 6.1 itself refuses a subquery of several columns, with an error of its own", client=("6.1",)
    ),
    "tests/models/test_fidelity_nesting.py::test_a_window_is_no_value_of_a_row": Known(
        "Django 6.1 itself refuses the order of an aggregate, with an error of its own", client=("6.1",)
    ),
    "tests/models/test_fidelity_nesting.py::test_force_insert_of_a_row_that_is_there": Known(
        "since Django 5.0", client=("4.2",)
    ),
    "tests/models/test_fidelity_nesting.py::test_force_insert_of_parents": Known(
        "since Django 5.0", ("4.2",), ("4.2",)
    ),
    "tests/models/test_fidelity_queries.py::test_a_filtered_relation_of_a_filtered_relation": Known(
        "Django 5.1 itself comes to no end with it, locally too", ("5.1",), ("5.1",)
    ),
    "tests/models/test_fidelity_queries.py::test_integer_out_of_range_is_not_queried": Known(
        _OVERFLOW, ("4.2",), ("4.2",)
    ),
    "tests/models/test_fidelity_queries.py::test_frames_exclude": Known("since Django 5.1", server=("4.2",)),
    "tests/models/test_parity.py::test_read[window]": Known(_NO_WINDOW, ("4.2",), ("4.2",)),
    "tests/server/registry/test_service_info.py::test_versions_and_clock": Known(
        "tells the version of an installed django_rpc, which these environments have on the path", tuple(SERIES)
    ),
    "tests/server/lowering/test_rules.py::test_constant_statements_or_reason_in_plan[chain]": (
        Known(_NO_WINDOW, ("4.2",))
    ),
    "tests/server/evaluate/test_elements.py::test_statements_equal_those_of_single_element[first]": Known(
        _NO_WINDOW, ("4.2",)
    ),
    "tests/server/evaluate/test_elements.py::test_statements_equal_those_of_single_element[item]": Known(
        _NO_WINDOW, ("4.2",)
    ),
    "tests/server/evaluate/test_elements.py::test_error_of_each_element_and_output": Known(_OVERFLOW, ("4.2",)),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    client = ".".join(map(str, django.VERSION[:2]))
    server = os.environ.get(SERVER, client)
    for item in items:
        if SERVER in os.environ and (why := _starting(LEFT_OUT, item.nodeid)):
            item.add_marker(pytest.mark.skip(reason=why))
        known = _starting(KNOWN, item.nodeid)
        if known is not None and (client in known.client or server in known.server):
            item.add_marker(pytest.mark.xfail(reason=known.reason, strict=True))


def _starting(table, nodeid):
    return next((found for start, found in table.items() if nodeid.startswith(start)), None)
