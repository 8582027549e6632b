"""The attacks: description, defence, the tests that prove it, and the defences that are taken out for it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CATALOGUE", "Attack", "table"]


class Attack(NamedTuple):
    """``tests`` are ``file::function`` of this folder, or with a path; ``proofs``: (defence, test that fails without
    it).
    """

    what: str
    stopped: str
    tests: tuple[str, ...]
    proofs: tuple[tuple[str, str], ...] = ()


_NAMES = "test_hidden_names.py::test_hidden_is_like_unknown_and_runs_no_sql"
_GROWTH, _WRITES, _LEAKS = "test_growth.py::", "test_writes.py::", "test_leaks.py::"
_PARENTS, _BLIND = "test_parents.py::", "test_blind_writes.py::"
_SCOPE, _CALLED, _ORDERINGS = "test_write_scope.py::", "test_registered_queries.py::", "test_orderings.py::"
_SERVICE = "test_service_code.py::"
_LIMITS, _REFERENCES = "test_limits.py::", "test_references.py::"
_FIELDS = "test_fields.py::"
_HANDED, _HANDED_LIVE = "test_handed.py::", "tests/live/test_handed_signed.py::"
_FOREIGN = "tests/live/test_foreign_messages.py::"
_ENVELOPE = "tests/attacks/test_envelope.py::"
_MALFORMED = "tests/live/test_malformed_messages.py::"
_HASHES = "tests/attacks/test_hashes.py::"
_PARKED = "tests/live/test_parked_values.py::"
_KILLED = "tests/live/test_killed_processes.py::"
_ZONES = "test_zones.py::"
_REGEX = "test_regex.py::"
_TEXTS = "tests/server/errors/test_texts.py::"
_SHIPPING = "test_shipping.py::"
_POSTGRES = "test_postgres.py::"
_SIGNED = "tests/server/core/test_authenticate.py::"

CATALOGUE = [
    Attack(
        "a hidden field in any of 142 paths: filter, Q, order_by, values, annotate, aggregate, F, Subquery, Window, "
        "FilteredRelation, Prefetch, union arms, updates, in_bulk, dates, maps, functions",
        "a hidden name gives the same error as an unknown name, and no SQL runs; the compiled query is checked again",
        (
            _NAMES,
            "test_hidden_names.py::test_the_audit_alone_refuses_it",
            "test_hidden_names.py::test_without_the_defences_it_succeeds",
        ),
        (("names", f"{_NAMES}[order_by]"), ("names", f"{_NAMES}[filter]")),
    ),
    Attack(
        "a field that may be read and not used, in any of these paths: as condition, order, group, part of an "
        "expression, column of a nested query, of a union, of distinct rows",
        "readable and filterable fields are declared separately; in the compiled query, a column that is only readable "
        "is accepted only as a selected column, and not as a part of an expression",
        tuple(
            f"{_FIELDS}test_{name}"
            for name in (
                *(
                    "readable_field_is_not_filterable",
                    "readable_field_is_not_filterable_by_name",
                    "a_relation_that_leads_nowhere",
                ),
                *("plain_rows_have_readable_fields", "derived_rows_lack_unusable_fields"),
            )
        ),
        (
            ("used", f"{_FIELDS}test_readable_field_is_not_filterable[nothing]"),
            ("audit", f"{_FIELDS}test_readable_field_is_not_filterable[names]"),
            ("alone", f"{_FIELDS}test_derived_rows_lack_unusable_fields"),
            ("used", f"{_FIELDS}test_a_relation_that_leads_nowhere[read]"),
        ),
    ),
    Attack(
        "a field that may be filtered by and not read: by its beginning, order or range, through an expression or "
        "itself; a field that may be set and not read",
        "in the compiled query, an unreadable column is accepted only at the left of `exact`, `in` and `isnull`",
        (
            f"{_FIELDS}test_filterable_field_has_no_other_use",
            f"{_FIELDS}test_a_comparison_with_itself",
            f"{_FIELDS}test_a_relation_that_leads_nowhere",
            f"{_FIELDS}test_writable_field_is_not_readable",
        ),
        (
            ("compared", f"{_FIELDS}test_filterable_field_has_no_other_use[nothing]"),
            ("compared", f"{_FIELDS}test_a_comparison_with_itself[its own lower case]"),
            ("compared", f"{_FIELDS}test_a_relation_that_leads_nowhere[compared]"),
        ),
    ),
    Attack(
        "a field of another client",
        "the fields that may be read, used and set are determined for the client of each request",
        (f"{_FIELDS}test_fields_differ_by_client",),
        (("clients", f"{_FIELDS}test_fields_differ_by_client"),),
    ),
    Attack(
        "an unforeseen way to a hidden field",
        "every kind of node, tag, method and expression has a probe; the check of compiled SQL needs no list of ways",
        (
            "test_probes.py::test_every_kind_of_node_has_a_probe",
            "test_probes.py::test_a_denied_name_in_each_kind_of_node",
            "test_probes.py::test_denied_function_is_like_unknown_function",
            "test_probes.py::test_every_tag_has_a_probe",
            "test_probes.py::test_a_broken_value_is_refused_by_the_decoder",
            "test_probes.py::test_a_hidden_name_in_each_argument_of_each_method",
            "test_probes.py::test_a_hidden_name_in_each_expression",
            "test_probes.py::test_every_operator_takes_only_plain_values",
            "test_probes.py::test_the_probes_are_bytes",
        ),
        (("names", "test_probes.py::test_a_denied_name_in_each_kind_of_node[rows]"),),
    ),
    Attack(
        "words that become SQL: the CVEs of Django's ORM of 2020 to 2026, `_connector`, aliases, kinds of Trunc, "
        "options of explain, templates, output fields",
        "names must match a pattern, and keywords must be in a closed list, when the message is decoded; a name from a "
        "reference is checked when its value is known; a system check warns of a Django with known holes",
        (
            "test_injection.py::test_it_is_refused_and_no_sql_runs",
            "test_injection.py::test_name_from_a_reference",
            "test_injection.py::test_keys_of_json_are_data",
            "test_injection.py::test_a_text_is_a_text",
            "test_injection.py::test_an_old_django_is_an_error_of_the_checks",
        ),
        (
            ("identifiers", "test_injection.py::test_it_is_refused_and_no_sql_runs[CVE-2021-35042]"),
            ("references", "test_injection.py::test_name_from_a_reference"),
        ),
    ),
    Attack(
        "a hidden value copied into a readable field by `F` in save() or in defaults",
        "expressions that save() at the server will write are checked as those of update()",
        (f"{_WRITES}test_a_hidden_value_is_not_copied_by_a_save",),
        (("saved", f"{_WRITES}test_a_hidden_value_is_not_copied_by_a_save"),),
    ),
    Attack(
        "mass assignment: fields that may not be set, keys, names that are no field",
        "writable fields are declared separately from readable fields, and checked in each way to write",
        (f"{_WRITES}test_unwritable_fields_are_refused", f"{_WRITES}test_a_row_that_is_saved_as_if_it_were_new"),
        (("writable", f"{_WRITES}test_unwritable_fields_are_refused[city]"),),
    ),
    Attack(
        "`annotate(pk=7)`, and then delete(): an annotation that makes another row of an instance",
        "annotations and `to_attr` may not have the name of an attribute",
        (f"{_WRITES}test_an_annotation_does_not_make_another_row",),
        (("free", f"{_WRITES}test_an_annotation_does_not_make_another_row"),),
    ),
    Attack(
        "rows of others: joins three deep in both directions, counts, subqueries",
        "each table is narrowed to the client's rows where it enters the query",
        (
            f"{_WRITES}test_hidden_rows_through_three_relations",
            f"{_WRITES}test_hidden_rows_in_count_and_subquery",
        ),
        (("rows", f"{_WRITES}test_hidden_rows_in_count_and_subquery"),),
    ),
    Attack(
        "writes to rows of others: set() and clear() of relations, insert with ignored conflicts, foreign keys",
        "relations change among the client's rows; the written rows are checked before the commit",
        (
            f"{_WRITES}test_hidden_related_rows_stay_related",
            f"{_WRITES}test_hidden_rows_stay_related_by_foreign_key",
            f"{_WRITES}test_insert_outside_of_scope_is_refused",
            f"{_WRITES}test_foreign_key_to_hidden_row",
            f"{_WRITES}test_generic_foreign_key_to_hidden_row",
        ),
        (
            ("related", f"{_WRITES}test_hidden_related_rows_stay_related"),
            ("ignored", f"{_WRITES}test_insert_outside_of_scope_is_refused"),
            ("confirm", f"{_WRITES}test_insert_outside_of_scope_is_refused"),
            ("generic", f"{_WRITES}test_generic_foreign_key_to_hidden_row"),
            ("targets", f"{_WRITES}test_foreign_key_to_hidden_row"),
        ),
    ),
    Attack(
        "the parent row of another client, by multi-table inheritance: by the key of the child, the link, the key of "
        "the parent, keys that are different, grandparents, second parents, in each way to write; the row with an "
        "empty text key, by a new row without a key",
        "all names of a key have the same value; an existing row becomes the parent of a new row only where the client "
        "may see and update it; the permission of each parent model counts; a key that `save()` fills is checked as a "
        "key of the client",
        (
            f"{_PARENTS}test_the_parent_row_of_another_client",
            f"{_PARENTS}test_the_parent_row_with_an_empty_text_key",
            f"{_SCOPE}test_a_row_without_a_key_is_no_update_of_the_row_with_an_empty_key",
            f"{_PARENTS}test_parent_link_next_to_key",
            f"{_PARENTS}test_the_link_of_a_model_with_another_primary_key",
            f"{_PARENTS}test_keys_that_are_different",
            f"{_PARENTS}test_key_from_expression_takes_no_row",
            f"{_PARENTS}test_a_key_reads_no_row",
            f"{_PARENTS}test_a_key_may_be_made_of_literals",
            f"{_PARENTS}test_the_permission_on_the_parent",
            f"{_PARENTS}test_a_parent_that_is_not_exposed",
            f"{_PARENTS}test_rows_need_visible_parents",
            f"{_PARENTS}test_a_parent_row_of_the_client_becomes_a_child",
        ),
        (
            ("parents", f"{_PARENTS}test_the_parent_row_of_another_client[AtkChild-names0]"),
            ("filled", f"{_PARENTS}test_the_parent_row_with_an_empty_text_key[False]"),
        ),
    ),
    Attack(
        "rows inserted into a database that returns no keys; a key that the database evaluates again; foreign keys, "
        "generic foreign keys and hidden fields that a conflict (`on_conflict`) updates",
        "a row without a known key is refused; each row is inserted separately where the keys are needed; both parts "
        "of a generic foreign key are updated, or none",
        (
            f"{_SCOPE}test_inserted_rows_are_checked_without_their_keys",
            f"{_SCOPE}test_inserted_rows_with_keys_of_the_client",
            f"{_SCOPE}test_a_key_that_the_database_evaluates_again",
            f"{_SCOPE}test_a_conflict_moves_no_generic_foreign_key",
            f"{_SCOPE}test_a_conflict_moves_no_foreign_key",
            f"{_SCOPE}test_a_conflict_sets_no_field_that_the_client_may_not_set",
            f"{_SCOPE}test_a_conflict_needs_the_permission_to_update",
            f"{_SCOPE}test_conflicts_where_a_client_sees_some_rows",
        ),
        (
            ("confirm", f"{_SCOPE}test_inserted_rows_are_checked_without_their_keys"),
            ("pairs", f"{_SCOPE}test_a_conflict_moves_no_generic_foreign_key"),
            ("targets", f"{_SCOPE}test_a_conflict_moves_no_foreign_key"),
        ),
    ),
    Attack(
        "rows of others with the query of a registered method or function: joined or prefetched by the client "
        "before the call, or by the method",
        "the service's code receives a query without the related rows that the client loads with it; related rows of "
        "the query that it returns are loaded by the client's queries",
        (
            f"{_CALLED}test_joined_hidden_rows",
            f"{_CALLED}test_hidden_rows_joined_by_method",
            f"{_CALLED}test_functions",
            f"{_CALLED}test_related_rows_that_the_client_sees",
        ),
        (("returned", f"{_CALLED}test_hidden_rows_joined_by_method[joined]"),),
    ),
    Attack(
        "the order of rows by a hidden field of `Meta.ordering`, in any expression, of the model or of a related one",
        "an ordering counts where the client may use all its fields, and these are known",
        (
            f"{_ORDERINGS}test_a_hidden_field_orders_nothing",
            f"{_ORDERINGS}test_a_visible_field_orders",
            f"{_ORDERINGS}test_a_visible_condition_orders",
            f"{_ORDERINGS}test_an_order_of_the_client_names_an_unknown_field",
        ),
        (("orderings", f"{_ORDERINGS}test_a_hidden_field_orders_nothing[function]"),),
    ),
    Attack(
        "expressions of `django.contrib.postgres`: SQL in delimiters (CVE-2020-7471), configurations, weights, options "
        "and names, hidden fields in their arguments, rows of others, literals that each row repeats",
        "each argument is a checked name, a column that is checked as all others, or a parameter of the statement; "
        "other databases refuse all of them",
        (
            f"{_POSTGRES}test_an_argument_that_is_no_data",
            f"{_POSTGRES}test_no_keyword_is_a_part_of_a_template",
            f"{_POSTGRES}test_hidden_field_is_like_unknown_field",
            f"{_POSTGRES}test_aggregates_exclude_hidden_rows",
            f"{_POSTGRES}test_a_text_is_a_parameter",
            f"{_POSTGRES}test_a_collected_text_is_bounded",
            f"{_POSTGRES}test_text_from_a_reference",
        ),
        (("postgres", f"{_POSTGRES}test_an_argument_that_is_no_data[delimiter]"),),
    ),
    Attack(
        "values of a row that the client may write and not read: in the answer of a write, by a guess that is refused "
        "where it is wrong",
        "the answer holds the key; no refusal depends on a value that the client may not read",
        (
            f"{_BLIND}test_the_answer_to_a_save_holds_the_key",
            f"{_BLIND}test_value_read_from_save_is_the_sent_value",
            f"{_BLIND}test_a_right_guess_has_the_answer_of_a_wrong_guess",
            f"{_BLIND}test_a_foreign_key_that_is_guessed",
            f"{_BLIND}test_a_generic_foreign_key_that_is_guessed",
            f"{_BLIND}test_inserted_rows_return_their_keys",
            f"{_BLIND}test_other_writes_return_no_value",
        ),
        (("blind", f"{_BLIND}test_the_answer_to_a_save_holds_the_key"),),
    ),
    Attack(
        "errors as leaks: SQL, tables, paths, the text of an instance",
        "texts are rebuilt from templates, or are of exceptions that are marked as public",
        (
            f"{_TEXTS}test_text_of_an_exception_is_withheld",
            f"{_LEAKS}test_an_instance_in_any_place_is_no_text",
            f"{_TEXTS}test_validation_params_that_are_objects_are_not_texts",
            f"{_LEAKS}test_errors_hold_nothing_of_the_service",
            f"{_LEAKS}test_an_error_of_a_file_holds_no_path",
            f"{_LEAKS}test_model_errors_do_not_name_hidden_fields",
            f"{_LEAKS}test_a_model_that_a_model_needs",
            f"{_LEAKS}test_default_ordering_does_not_leak",
            f"{_WRITES}test_text_of_hidden_row",
        ),
        (
            ("told", f"{_LEAKS}test_model_errors_do_not_name_hidden_fields"),
            ("meta", f"{_LEAKS}test_default_ordering_does_not_leak"),
            ("told", f"{_LEAKS}test_a_model_that_a_model_needs"),
            ("texts", f"{_LEAKS}test_an_error_of_a_file_holds_no_path"),
            ("texts", f"{_TEXTS}test_text_of_an_exception_is_withheld[method-class of the project]"),
        ),
    ),
    Attack(
        "an instance as a value: its text by `Value`, functions, `create`, `update`, JSON or an error; its text by "
        "comparison (`note__lte`, `range`, `contains`); code of a row of others, by a forged instance as output, as "
        "element of a map, as argument of a function, in sets; a key of another model by `update`, `getset`, `add`",
        "an instance on the wire is a model and a primary key; its row is loaded in the scope of the client, or its "
        "key is used where a foreign key is enough; where a value belongs, an instance is refused",
        tuple(
            f"{_REFERENCES}test_{name}"
            for name in (
                *("no_text_of_an_instance", "only_model_and_key_are_on_the_wire"),
                *("code_runs_on_rows_of_the_client_alone", "an_instance_of_the_client_is_loaded"),
                *("instances_are_compared_by_their_keys", "related_rows_keep_their_values"),
                *("related_rows_need_the_permission_to_change_them", "a_foreign_key_leads_to_a_row_of_the_client"),
                *("a_relation_is_compared_with_instances_of_its_model", "a_foreign_key_to_another_field"),
                *("hidden_rows_by_another_field", "references_are_loaded_by_one_statement"),
                *("references_with_equal_hashes", "parents_children_and_proxies", "one_to_one_many_to_many_and_many"),
            )
        ),
        (
            ("scoped", f"{_REFERENCES}test_code_runs_on_rows_of_the_client_alone[a computed field]"),
            ("instances", f"{_REFERENCES}test_no_text_of_an_instance[a value-alone]"),
            ("assigned", f"{_REFERENCES}test_a_foreign_key_leads_to_a_row_of_the_client[update-another model]"),
        ),
    ),
    Attack(
        "an answer of a hostile service that replaces `__dict__`, `_state`, `save` or another attribute of an "
        "instance, that has an instance of another model for a foreign key, or values of other types than its fields",
        "an answer may set fields of the mirror and names that its class does not use; related rows are of the model "
        "of the relation; all else is `BadResponse`",
        tuple(
            f"tests/models/test_reply_checks.py::test_{name}"
            for name in (
                *("names_of_the_class_are_not_replaced", "names_in_a_related_row_are_checked"),
                *("an_instance_of_another_model_is_no_related_row", "a_field_holds_values_of_its_type"),
                *("the_answer_to_a_save_sets_fields_alone", "rows_hold_plain_data"),
                *("a_method_returns_a_value_of_its_type", "a_message_makes_no_text_of_any_length"),
                *("protected_rows_are_rows_with_keys", "get_or_create_returns_an_instance_of_its_model"),
                *("get_or_create_returns_other_mirrors_and_plain_rows", "delete_returns_numbers_of_rows"),
            )
        ),
        (
            ("answer types", "tests/models/test_reply_checks.py::test_a_method_returns_a_value_of_its_type[x]"),
            (
                "answered rows",
                "tests/models/test_reply_checks.py::test_get_or_create_returns_an_instance_of_its_model[answer7]",
            ),
            ("answered numbers", "tests/models/test_reply_checks.py::test_delete_returns_numbers_of_rows[answer1]"),
            ("answers", "tests/models/test_reply_checks.py::test_names_of_the_class_are_not_replaced[save]"),
            ("answers", "tests/models/test_reply_checks.py::test_an_instance_of_another_model_is_no_related_row"),
        ),
    ),
    Attack(
        "the column of a through model under the name of a field, so that it takes the place of the field's value",
        "such a column is a foreign key of the relation's table, under an alias that no field can have",
        (f"{_REFERENCES}test_a_column_of_a_through_model_takes_the_place_of_nothing",),
        (
            (
                "through",
                f"{_REFERENCES}test_a_column_of_a_through_model_takes_the_place_of_nothing[column1-id]",
            ),
        ),
    ),
    Attack(
        "names of hidden things in descriptions, SQL in traces, time",
        "a description holds only names that a query could use; SQL only where SHOW_SQL is on; neither a hidden nor an "
        "unknown name runs a query",
        (
            f"{_LEAKS}test_a_description_names_nothing_hidden",
            f"{_LEAKS}test_sql_is_not_shown",
            f"{_LEAKS}test_hidden_and_unknown_take_the_same_time",
        ),
        (
            ("described", f"{_LEAKS}test_a_description_names_nothing_hidden"),
            ("sql", f"{_LEAKS}test_sql_is_not_shown"),
            ("names+audit", f"{_LEAKS}test_hidden_and_unknown_take_the_same_time"),
        ),
    ),
    Attack(
        "calling anything: `__class__`, `_meta`, `save_base`, dotted names",
        "closed vocabulary, each method is registered separately; all others are unknown names",
        (f"{_LEAKS}test_internal_names_are_unknown_names",),
        (("registered", f"{_LEAKS}test_internal_names_are_unknown_names[delete]"),),
    ),
    Attack(
        "queries, expressions, annotations and lists that name each other twice, 40 levels deep",
        "they are counted as written out before anything runs (limits `subqueries`, `steps`, `response_bytes`)",
        tuple(
            f"{_GROWTH}test_{name}"
            for name in (
                *("queries_in_queries", "queries_in_queries_that_are_explained", "many_queries_with_many_in_each"),
                *("expressions_in_expressions", "annotations_of_annotations", "an_expression_that_is_named_often"),
                *("lists_of_lists_that_are_compared", "lists_that_are_multiplied", "tuples_deeper_than_the_stack"),
                *("the_clock_runs_while_a_query_is_written", "joins", "the_budget_of_a_chain_is_in_proportion_to_it"),
            )
        ),
        (
            ("nesting", f"{_GROWTH}test_queries_in_queries"),
            ("parts", f"{_GROWTH}test_an_expression_that_is_named_often"),
            ("sizes", f"{_GROWTH}test_lists_of_lists_that_are_compared"),
            ("joins", f"{_GROWTH}test_joins"),
            ("clock", f"{_GROWTH}test_the_clock_runs_while_a_query_is_written"),
        ),
    ),
    Attack(
        "texts made, read and requested many times",
        "all texts that a request makes, reads and answers are counted (limit `response_bytes`)",
        tuple(
            f"{_GROWTH}test_{name}"
            for name in (
                *(
                    "texts_that_are_made",
                    "texts_that_are_cut_into_pieces",
                    "repeated_output_is_counted",
                    "repeated_description_is_counted",
                ),
                *("texts_of_the_database_that_are_read", "texts_that_the_database_makes"),
                *("rows_are_read_in_chunks_that_fit", "single_row_is_counted", "texts_within_the_limit_grow"),
                *(
                    "long_rows_after_short_rows_are_counted",
                    "texts_of_row_count_together",
                    "a_text_that_is_named_often_counts_each_time",
                ),
                *("functions_that_grow_texts_of_literals", "text_growth_by_database_numbers"),
                *("numbers_of_literals_are_estimated", "a_subquery_is_no_number", "numbers_of_the_database_are_taken"),
            )
        ),
        (
            ("made", f"{_GROWTH}test_texts_that_are_made"),
            ("made", f"{_GROWTH}test_texts_that_are_cut_into_pieces"),
            ("once", f"{_GROWTH}test_repeated_description_is_counted"),
            ("outputs", f"{_GROWTH}test_repeated_output_is_counted"),
            ("read", f"{_GROWTH}test_texts_of_the_database_that_are_read"),
            ("growth", f"{_GROWTH}test_functions_that_grow_texts_of_literals[repeat-annotate]"),
            ("growth", f"{_GROWTH}test_texts_of_row_count_together[columns]"),
            ("each row", f"{_GROWTH}test_long_rows_after_short_rows_are_counted"),
        ),
    ),
    Attack(
        "a request that costs too much, for each limit",
        "each limit has a default, can be set for each client, and has an error that names it; a request over the "
        "limit runs no SQL, or none after the limit is reached",
        (
            f"{_LIMITS}test_every_limit_has_a_probe",
            f"{_LIMITS}test_the_error_names_the_limit",
            f"{_LIMITS}test_a_request_that_is_within_is_answered",
        ),
        (
            ("joins", f"{_LIMITS}test_the_error_names_the_limit[joins]"),
            ("read", f"{_LIMITS}test_the_error_names_the_limit[rows]"),
            ("parts", f"{_LIMITS}test_the_error_names_the_limit[steps]"),
        ),
    ),
    Attack(
        "catastrophic regular expressions",
        "the time-out of the database; on SQLite a search that ends",
        (f"{_GROWTH}test_catastrophic_searches", f"{_GROWTH}test_a_search_is_a_search"),
        (("searches", f"{_GROWTH}test_catastrophic_searches[(a+)+$-27]"),),
    ),
    Attack(
        "regular expressions that take memory without a limit, or time before the search begins: recursion, large "
        "counts",
        "on SQLite a pattern has the meaning that it has for Python, and its size is limited; so is the text",
        (
            f"{_REGEX}test_a_pattern_without_a_limit_is_refused",
            f"{_REGEX}test_a_pattern_of_a_row_is_refused",
            f"{_REGEX}test_the_error_is_of_the_statement_that_failed",
            f"{_REGEX}test_a_pattern_means_the_same_as_in_python",
            f"{_REGEX}test_a_search_ends_at_the_limit",
            f"{_REGEX}test_a_text_that_is_too_long_is_not_searched",
        ),
        (
            ("patterns", f"{_REGEX}test_a_pattern_without_a_limit_is_refused[nested counts without groups-regex]"),
            ("patterns", f"{_REGEX}test_a_pattern_means_the_same_as_in_python[fuzzy]"),
        ),
    ),
    Attack(
        "bytes that exhaust a parser; pickle, jsonpickle, YAML",
        "size and depth before parsing, typed errors, flat memory; only our JSON is read",
        (f"{_GROWTH}test_bytes_that_exhaust_a_parser",),
        (
            ("depth", f"{_GROWTH}test_bytes_that_exhaust_a_parser[depth of what is read]"),
            ("digits", f"{_GROWTH}test_bytes_that_exhaust_a_parser[a decimal]"),
        ),
    ),
    Attack(
        "expressions, conditions and queries as arguments of the service's code, in any container: a method that "
        "filters by its argument would compare hidden fields",
        "methods and functions take values, rows and queries; a query is passed without the rows that the client loads "
        "with it",
        tuple(
            f"{_SERVICE}test_{name}"
            for name in (
                *("an_expression_is_no_value", "queries_in_containers_are_trusted"),
                "loaded_rows_next_to_references",
            )
        ),
        (("arguments", f"{_SERVICE}test_an_expression_is_no_value[a condition]"),),
    ),
    Attack(
        "related rows of an instance that Django forgets, since the relation changes or the service's code calls "
        "`refresh_from_db()`: Django would load them again without the scope of the client",
        "rows that are no longer in memory are left out of an answer, or loaded by the client's query",
        (
            f"{_SERVICE}test_prefetched_rows_that_django_forgets",
            f"{_SERVICE}test_related_rows_that_the_service_forgets",
        ),
        (("forgotten", f"{_SERVICE}test_prefetched_rows_that_django_forgets"),),
    ),
    Attack(
        "a `Prefetch` or join of the client that the service's methods, `save()` or `delete()` take for the state of a "
        "row",
        "the service's code gets an instance without the related rows that the client loaded with it",
        (f"{_SERVICE}test_related_rows_that_the_client_selects_for_the_service",),
        (("bare", f"{_SERVICE}test_related_rows_that_the_client_selects_for_the_service"),),
    ),
    Attack(
        "rows of a through model out of scope, made and deleted by `add`, `set`, `remove`, `clear`; read-only foreign "
        "keys of a through model and read-only generic foreign keys set by the relation; a query as the foreign key of "
        "`get_or_create`; hidden names in "
        "`update_fields`",
        "the rows of the through model before and after are compared with those that the client sees; a relation is "
        "writable where its columns are; a foreign key in a scope is a value; a hidden name is an unknown name",
        tuple(
            f"{_SERVICE}test_{name}"
            for name in (
                "a_foreign_key_of_a_through_model_that_is_read_only",
                *("rows_of_a_through_model_out_of_scope", "a_generic_foreign_key_that_is_read_only"),
                *("a_query_as_the_foreign_key_of_a_lookup", "hidden_names_of_update_fields"),
            )
        ),
        (
            ("through keys", f"{_SERVICE}test_a_foreign_key_of_a_through_model_that_is_read_only[order]"),
            ("through rows", f"{_SERVICE}test_rows_of_a_through_model_out_of_scope"),
            ("targets", f"{_SERVICE}test_a_query_as_the_foreign_key_of_a_lookup[get_or_create-customer_id]"),
        ),
    ),
    Attack(
        "numbers, UUIDs and tuples with equal hashes, as members of a set, keys, or values of a list that Django makes "
        "a set of",
        "different values with one hash are counted for a whole message, and refused before a set is made of them; the "
        "time of a request runs while its message is decoded (limit `seconds`)",
        tuple(
            f"{_HASHES}test_{name}"
            for name in (
                *(
                    "colliding_pairs_have_equal_hash",
                    "values_of_equal_hash",
                    "columns_of_equal_hash",
                    "insert_columns_of_equal_hash",
                ),
                *("integers_of_a_column_have_64_bits", "equal_and_usual_values_are_taken"),
                *("the_clock_runs_while_a_message_is_decoded", "members_are_looked_at_in_batches"),
            )
        ),
        (
            ("hashes", f"{_HASHES}test_columns_of_equal_hash[uuid]"),
            ("decoding", f"{_HASHES}test_the_clock_runs_while_a_message_is_decoded[list]"),
        ),
    ),
    Attack(
        "pickle and cloudpickle without permission: unsigned, signed by others, forged, replayed, in every place of a "
        "graph, and where only bytes are allowed",
        "code is unpickled in a single place, for a signed client that the settings name, and only after the signature "
        "is checked; the refusal is the same if no client may ship; code of another Python is not read",
        tuple(
            f"{_SHIPPING}test_{name}"
            for name in (
                *("code_of_client_without_permission_is_not_unpickled", "unauthenticated_code_is_not_unpickled"),
                *("code_of_permitted_client_is_unpickled", "an_explanation_unpickles_nothing"),
                *("repeated_message_runs_once", "code_of_other_python_is_not_unpickled"),
                *("large_code_is_refused_by_its_size", "bytes_of_other_kinds_stay_bytes"),
                "single_file_unpickles",
            )
        ),
        (
            ("shipping", f"{_SHIPPING}test_code_of_client_without_permission_is_not_unpickled[anonymous-alone]"),
            ("signature", f"{_SHIPPING}test_unauthenticated_code_is_not_unpickled[another key]"),
            ("replays", f"{_SHIPPING}test_repeated_message_runs_once"),
            ("code", f"{_SHIPPING}test_large_code_is_refused_by_its_size"),
        ),
    ),
    Attack(
        "envelope tampering: Celery's callbacks, chains and reply addresses",
        "foreign signatures are refused; a reply is sent only to the list of its request",
        (
            f"{_LEAKS}test_foreign_tasks_in_the_envelope",
            f"{_LEAKS}test_message_that_is_no_text",
            f"{_LEAKS}test_reply_list_belongs_to_its_request",
        ),
        (
            ("foreign", f"{_LEAKS}test_foreign_tasks_in_the_envelope[chain]"),
            ("replies", f"{_LEAKS}test_reply_list_belongs_to_its_request[celery]"),
        ),
    ),
    Attack(
        "foreign messages, which every program with access to the broker can put on the queue: pickles, YAML, other "
        "tasks (a project's `shared_task`, Celery's `map` and `chunks`), odd headers and bodies, compressed bodies, "
        "messages for a later time",
        "a worker of django_rpc has only the tasks of django_rpc and reads only JSON; everything else is refused, and "
        "the next message is served",
        (
            f"{_LEAKS}test_worker_registers_only_its_tasks",
            *(
                f"{_FOREIGN}test_{name}"
                for name in (
                    *("other_formats_than_json", "pickle_with_content_type_json", "other_tasks", "odd_envelopes"),
                    *(
                        "odd_bodies",
                        "a_message_that_is_larger_when_it_is_unpacked",
                        "signatures_that_celery_would_call",
                    ),
                )
            ),
        ),
        (("tasks", f"{_LEAKS}test_worker_registers_only_its_tasks"),),
    ),
    Attack(
        "malformed messages: Celery's headers with values of other types, items of a Redis list that are not JSON or "
        "not of the form, header tables that py-amqp cannot read, commands of remote control",
        "a new message is built from the values that a closed schema allows; others are rejected, logged and counted "
        "(`MalformedMessage`); remote control only inspects, and takes back requests",
        (
            *(
                f"{_ENVELOPE}test_{name}"
                for name in (
                    *("celery_options_of_message_are_ignored", "a_header_of_another_type_is_refused"),
                    *("a_body_that_is_no_call_is_refused", "an_expired_message_starts_nothing"),
                    *("a_delivery_of_another_form_is_refused", "a_delivery_does_not_choose_its_tag_or_its_queue"),
                    *("remote_control_does_not_end_a_worker", "arguments_of_a_command_are_of_the_schema"),
                    *("a_revoked_id_costs_no_query_of_the_result_backend", "the_largest_body_is_not_parsed"),
                    "unknown_headers_are_accepted",
                )
            ),
            *(
                f"{_MALFORMED}test_{name}"
                for name in (
                    "malformed_messages_are_counted_and_the_processes_serve_on",
                    "remote_control_can_only_query_and_revoke",
                    "workers_do_not_listen_to_each_other",
                    "forged_unacknowledged_messages",
                    "names_that_are_not_text",
                )
            ),
            f"{_KILLED}test_processes_that_are_killed_while_the_worker_starts",
        ),
        (
            ("schema", f"{_ENVELOPE}test_celery_options_of_message_are_ignored[stamped_headers]"),
            ("schema", f"{_ENVELOPE}test_an_expired_message_starts_nothing"),
            ("commands", f"{_ENVELOPE}test_remote_control_does_not_end_a_worker[shutdown]"),
        ),
    ),
    Attack(
        "values that are parked for a message of others: by a request that it does not wait for, over the values of "
        "another request, without limit, for a long time",
        "a waiting message names the requests that it waits for; the values of others are refused and not read, the "
        "first values stay, and those that a client has parked are limited by number, bytes and time",
        tuple(
            f"{_PARKED}test_{name}"
            for name in (
                *("values_of_a_request_that_the_message_does_not_wait_for", "the_first_values_stay"),
                *("values_of_other_requests_are_not_read", "forged_list_of_requests"),
                *("a_client_parks_no_more_than_its_limits", "values_that_have_expired_do_not_count"),
                *("the_last_values_release_the_message", "values_that_arrive_before_their_message"),
            )
        ),
        (("parked", f"{_PARKED}test_a_client_parks_no_more_than_its_limits"),),
    ),
    Attack(
        "log poisoning",
        "claims are escaped and cut",
        (f"{_LEAKS}test_log_record_is_one_line",),
        (("logs", f"{_LEAKS}test_log_record_is_one_line"),),
    ),
    Attack(
        "unsigned, forged, altered, expired, wrongly addressed requests; confused keys; tokens with JSON of any form; "
        "the time of a refusal, which reveals the names of clients",
        "one identical refusal before a byte of the graph is read; a name that is unknown costs the same verification",
        (
            f"{_SIGNED}test_refusals_are_identical",
            f"{_SIGNED}test_odd_types_in_token_are_refused",
            f"{_SIGNED}test_any_json_in_token_part_is_refused",
            f"{_SIGNED}test_random_tokens_are_refused",
            f"{_SIGNED}test_unknown_name_takes_time_of_verification",
        ),
        (
            ("signature", f"{_SIGNED}test_refusals_are_identical[forged]"),
            ("shapes", f"{_SIGNED}test_odd_types_in_token_are_refused[kid-header]"),
            ("decoys", f"{_SIGNED}test_unknown_name_takes_time_of_verification[EdDSA]"),
        ),
    ),
    Attack(
        "replays",
        "a token is good once; a request that writes is done once (docs/reliability.md)",
        (f"{_SIGNED}test_a_replay", f"{_SIGNED}test_replayed_write_is_done_once"),
        (("replays", f"{_SIGNED}test_a_replay"),),
    ),
    Attack(
        "values that services hand to each other: forged, altered, unsigned, of another client, service or request, "
        "swapped, missing, of an earlier message; a secret named as their key",
        "a service signs the values that it hands over, for this request and for one message; the message, which the "
        "client signed, names the request and the public key; checked before a node is read",
        (
            *(
                f"{_HANDED}test_{name}"
                for name in (
                    *("values_signed_by_their_service_are_accepted", "values_of_other_signers_are_refused"),
                    *("values_do_not_change_places", "values_that_are_missing"),
                    *("values_for_earlier_message_are_refused", "unknown_place_of_forwarded_value"),
                    "no_request_puts_its_values_in_the_place_of_a_message",
                    *("unsigned_values_belong_to_one_message", "error_is_not_forwarded"),
                    *(
                        "secret_is_no_key_for_values",
                        "forwarded_values_count_towards_limits",
                    ),
                )
            ),
            f"{_HANDED_LIVE}test_forged_forwarded_values_are_refused",
            f"{_HANDED_LIVE}test_forged_forwarded_message_is_refused",
            f"{_HANDED_LIVE}test_foreign_headers_do_not_change_operation",
        ),
        (
            ("handed", f"{_HANDED}test_values_of_other_signers_are_refused[altered]"),
            ("handed", f"{_HANDED}test_values_do_not_change_places"),
            ("bound", f"{_HANDED}test_values_for_earlier_message_are_refused"),
        ),
    ),
    Attack(
        "an operation in a value that a service hands over: expressions, conditions, references, at any depth",
        "values of other services are data: anything else is refused, also with a valid signature; names and rows are "
        "those of the client that sent the request",
        tuple(
            f"{_HANDED}test_{name}"
            for name in (
                *("an_operation_in_a_value_is_refused", "data_stays_data", "forwarded_name_belongs_to_the_client"),
                "an_instance_is_a_claim_of_this_client",
            )
        ),
        (
            ("handed data", f"{_HANDED}test_an_operation_in_a_value_is_refused[filter-an expression]"),
            ("handed data", f"{_HANDED}test_an_operation_in_a_value_is_refused[filter-a condition]"),
        ),
    ),
    Attack(
        "a time zone of a request or of a value that is a path to another file of the server",
        "a zone is an offset, or a text in the form of a name of the IANA database; no file is opened for other texts",
        (f"{_ZONES}test_a_zone_is_a_name_and_no_path", "tests/wire/test_zones.py::test_a_zone_that_is_refused"),
        (
            ("zones", f"{_ZONES}test_a_zone_is_a_name_and_no_path[a parent folder-zone]"),
            ("zones", f"{_ZONES}test_a_zone_is_a_name_and_no_path[another file-a value]"),
        ),
    ),
    Attack(
        "a language of a request that is a path, or one of very many languages, each of which Django keeps in memory",
        "only a language of the service is activated; for all others, the language is the service's default",
        (f"{_ZONES}test_language_is_known_to_the_service",),
        (("languages", f"{_ZONES}test_language_is_known_to_the_service[no language]"),),
    ),
    Attack(
        "floods: two bursts where a minute ends; rows of the ledger for requests that are never sent",
        "a window that slides; withdrawals are counted for each client (limits `requests` and `withdrawals`)",
        (
            "tests/server/core/test_limits.py::test_requests_a_minute",
            "tests/server/core/test_limits.py::test_there_is_no_double_burst_where_a_minute_ends",
            f"{_LIMITS}test_the_error_names_the_limit",
        ),
        (
            ("window", "tests/server/core/test_limits.py::test_there_is_no_double_burst_where_a_minute_ends[59.5]"),
            ("withdrawals", f"{_LIMITS}test_the_error_names_the_limit[withdrawals]"),
        ),
    ),
    Attack(
        "anything at all: random graphs of the vocabulary, broken messages, random bytes",
        "an oracle: no crash, no hang, no hidden value, only our errors",
        (
            "test_fuzz.py::test_graphs_of_the_vocabulary",
            "test_fuzz.py::test_bytes",
            "test_fuzz.py::test_the_generator_makes_every_kind_and_some_that_are_answered",
            "test_fuzz.py::test_the_oracle_sees_a_hidden_value_and_a_change",
        ),
        (("rows", "test_fuzz.py::test_the_generator_makes_every_kind_and_some_that_are_answered"),),
    ),
]


def full(test: str) -> str:
    """The id of a test, from the root of the repository."""
    return test if test.startswith("tests/") else f"tests/attacks/{test}"


def table() -> str:
    """The table of docs/security.md."""
    lines = ["| attack | how it is stopped | tests | without the defence |", "| --- | --- | --- | --- |"]
    for attack in CATALOGUE:
        tests = ", ".join(f"`{test.rpartition('::')[2]}`" for test in attack.tests)
        proofs = ", ".join(f"`{name}` out: `{test.rpartition('::')[2]}` failed" for name, test in attack.proofs)
        lines.append(f"| {attack.what} | {attack.stopped} | {tests} | {proofs or '-'} |")
    return "\n".join(lines) + "\n"
