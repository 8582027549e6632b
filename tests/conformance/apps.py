"""The test apps of Django that touch the ORM through models."""

from __future__ import annotations

__all__ = ["ALL", "SUBSET"]

#: In the order in which issue and report name them: first the basic ones.
ALL: tuple[str, ...] = tuple(
    """
    basic lookup ordering aggregation many_to_one many_to_many get_or_create select_related update defer
    aggregation_regress annotations async bulk_create composite_pk constraints custom_columns custom_lookups
    custom_managers custom_methods custom_pk datatypes dates datetimes db_functions db_typecasts defer_regress delete
    delete_regress distinct_on_fields empty expressions expressions_case expressions_window extra_regress field_defaults
    field_subclassing filtered_relation fixtures fixtures_model_package fixtures_regress force_insert_update
    foreign_object from_db_value generic_relations generic_relations_regress generic_views get_earliest_or_latest
    get_object_or_404 inline_formsets introspection known_related_objects m2m_and_m2o m2m_intermediary m2m_multiple
    m2m_recursive m2m_regress m2m_signals m2m_through m2m_through_regress m2o_recursive managers_regress
    many_to_one_null max_lengths model_enums model_fields model_forms model_formsets model_formsets_regress
    model_inheritance model_inheritance_regress model_meta model_options model_package model_regress model_utils
    multiple_database mutually_referential nested_foreign_keys null_fk null_fk_ordering null_queries one_to_one
    or_lookups order_with_respect_to pagination prefetch_related properties proxy_model_inheritance proxy_models
    queries queryset_pickle raw_query reserved_names reverse_lookup save_delete_hooks select_for_update
    select_related_onetoone select_related_regress serializers signals str string_lookup swappable_models timezones
    transactions transaction_hooks unmanaged_models update_only_fields validation xor_lookups
    contenttypes_tests admin_changelist admin_filters admin_inlines admin_ordering admin_utils admin_views admin_widgets
    modeladmin sitemaps_tests syndication_tests test_utils view_tests backends
    admin_custom_urls admin_docs auth_tests cache file_storage file_uploads forms_tests generic_inline_admin servers
    sites_framework test_runner utils_tests
    """.split()
)

#: The apps that CI runs within two minutes.
SUBSET: tuple[str, ...] = tuple(
    """
    basic lookup ordering aggregation many_to_one many_to_many get_or_create select_related update defer
    """.split()
)
