"""What D1 can do otherwise than SQLite under Django's sqlite3 backend. Each deviation has its reason beside it."""

# django-stubs take a cached property for a plain attribute.
# mypy: disable-error-code="override"

from __future__ import annotations

from functools import cached_property
from itertools import chain

from django.db.backends.sqlite3.features import DatabaseFeatures as SQLiteDatabaseFeatures

# Tests of Django's suite that cannot pass here, by reason. Each raises or shows a limit; none gives a wrong answer.
EXPECTED_FAILURES = {
    "A block is not interactive: a read after a write to the same table raises NotSupportedError.": {
        "backends.base.test_creation.TestDeserializeDbFromString.test_circular_reference",
        "backends.base.test_operations.SqlFlushTests.test_execute_sql_flush_statements",
        "backends.tests.FkConstraintsTests.test_check_constraints",
        "backends.tests.FkConstraintsTests.test_check_constraints_sql_keywords",
        "backends.tests.FkConstraintsTests.test_disable_constraint_checks_context_manager",
        "backends.tests.FkConstraintsTests.test_disable_constraint_checks_manually",
        "many_to_many.tests.ManyToManyTests.test_add_remove_set_by_to_field",
        "many_to_many.tests.ManyToManyTests.test_related_manager_refresh",
        "transactions.tests.AtomicMergeTests.test_merged_inner_savepoint_rollback",
        "transactions.tests.AtomicMergeTests.test_merged_outer_rollback",
        "transactions.tests.AtomicTests.test_failure_on_exit_transaction",
    },
    "The writes of a block run at its end, so their errors come there too.": {
        "model_fields.test_booleanfield.BooleanFieldTests.test_null_default",
        "transactions.tests.AtomicErrorsTests.test_atomic_prevents_queries_in_broken_transaction",
        "transactions.tests.NonAutocommitTests.test_orm_query_after_error_and_rollback",
    },
    "D1 has no REGEXP, and takes no functions of one's own.": {
        "backends.sqlite.tests.Tests.test_regexp_function",
        "lookup.tests.LookupTests.test_regex",
        "lookup.tests.LookupTests.test_regex_non_ascii",
        "lookup.tests.LookupTests.test_regex_non_string",
        "lookup.tests.LookupTests.test_regex_null",
        "model_fields.test_jsonfield.TestQuerying.test_key_iregex",
        "model_fields.test_jsonfield.TestQuerying.test_key_regex",
    },
    "D1 has no hash functions.": {
        f"db_functions.text.test_{name.lower()}.{name}Tests.{test}"
        for name in ("MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512")
        for test in ("test_basic", "test_transform")
    },
    "A raw cursor gives text for a date: D1 does not tell the declared type of a column.": {
        "timezones.tests.LegacyDatabaseTests.test_cursor_execute_returns_naive_datetime",
        "timezones.tests.NewDatabaseTests.test_cursor_execute_returns_naive_datetime",
    },
    "The test looks for words of other databases in the SQL; the rows are right.": {
        "queries.test_db_returning.ReturningValuesTests.test_insert_returning",
        "queries.test_db_returning.ReturningValuesTests.test_insert_returning_multiple",
        *(
            f"db_functions.datetime.test_extract_trunc.{case}.test_extract_year_{lookup}_lookup"
            for case in ("DateFunctionTests", "DateFunctionWithTimeZoneTests")
            for lookup in ("exact", "greaterthan", "lessthan")
        ),
    },
    "Arithmetic with decimals of more than 15 digits raises NotSupportedError: D1 computes them as floats.": {
        "expressions.tests.ExpressionsNumericTests.test_decimal_expression",
    },
    "D1 has no BEGIN, COMMIT and ROLLBACK to be logged.": {
        "backends.base.test_base.DatabaseWrapperLoggingTests.test_commit_debug_log",
        "backends.base.test_base.DatabaseWrapperLoggingTests.test_rollback_debug_log",
    },
    "The test counts on the block that TestCase puts around it, and that is off here.": {
        "basic.tests.SelectOnSaveTests.test_select_on_save_lying_update",
    },
}

SKIPS = {
    # Skipped and not expected to fail: the same methods of the class that these two inherit from do pass.
    "A block is not interactive: a read after a write to the same table raises NotSupportedError.": {
        f"transactions.tests.{case}.{test}"
        for case in ("AtomicInsideTransactionTests", "AtomicWithoutAutocommitTests")
        for test in (
            "test_alternate_decorator_syntax_commit",
            "test_commit",
            "test_decorator_syntax_commit",
            "test_failure_on_exit_transaction",
            "test_merged_commit_commit",
            "test_nested_commit_commit",
            "test_nested_commit_rollback",
            "test_prevent_rollback",
            "test_reuse_commit_commit",
            "test_reuse_commit_rollback",
        )
    },
    "It tests the sqlite3 module, files, or a limit of SQLite that D1 does not have.": {
        "backends.sqlite.test_creation.TestDbSignatureTests.test_custom_test_name",
        "backends.sqlite.test_creation.TestDbSignatureTests.test_get_test_db_clone_settings_name",
        "backends.sqlite.test_creation.TestDbSignatureTests.test_get_test_db_clone_settings_not_supported",
        "backends.sqlite.test_features.FeaturesTests.test_supports_json_field_operational_error",
        "backends.sqlite.test_operations.SQLiteOperationsTests.test_bulk_batch_size",
        "backends.sqlite.tests.SchemaTests.test_constraint_checks_disabled_atomic_allowed",
        "backends.sqlite.tests.SchemaTests.test_disable_constraint_checking_failure_disallowed",
        "backends.sqlite.tests.TestTransactionMode.test_default_transaction_mode",
        "backends.sqlite.tests.TestTransactionMode.test_invalid_transaction_mode",
        "backends.sqlite.tests.TestTransactionMode.test_valid_transaction_modes",
        "backends.sqlite.tests.Tests.test_check_database_version_supported",
        "backends.sqlite.tests.ThreadSharing.test_database_sharing_in_threads",
    },
}


class DatabaseFeatures(SQLiteDatabaseFeatures):
    # D1 has what SQLite 3.46 brought; see DatabaseWrapper.get_database_version().
    minimum_database_version = (3, 46)
    # Surplus parameters travel in one JSON parameter, and long lists through json_each().
    max_query_params = None
    # The only user of this flag is django.test: a test inside of one transaction could not read what it wrote.
    supports_transactions = False
    # A batch commits whole or not at all, DDL included.
    can_rollback_ddl = True
    atomic_transactions = True
    # Foreign keys are always on. D1 resets the whole database object when a deferred one is violated at the end, so
    # the tables of the schema editor have immediate ones.
    can_defer_constraint_checks = False
    supports_forward_references = False
    # The keys of many rows come back only by RETURNING, which would need a request of its own inside of bulk_create()'s
    # block, where writes wait.
    can_return_rows_from_bulk_insert = False
    can_return_columns_from_insert = True
    supports_json_field = True
    can_introspect_json_field = True
    has_json_object_function = True
    # D1 refuses user-defined functions, and REGEXP is one.
    supports_regex_backreferencing = False
    # Any number of connections may share a D1 database, in tests too.
    test_db_allows_multiple_connections = True
    # A copy of a D1 database is made by export and import only.
    can_clone_databases = False
    can_alter_table_drop_column = True
    django_test_expected_failures = {
        # django_format_dtdelta() of SQLite, whose results are given here too, mixes dates and moments.
        "expressions.tests.FTimeDeltaTests.test_mixed_comparisons1",
        *chain.from_iterable(EXPECTED_FAILURES.values()),
    }

    @cached_property
    def django_test_skips(self) -> dict[str, set[str]]:
        found = {**super().django_test_skips, **SKIPS}
        # Here such decimals stand in columns of text.
        del found["SQLite stores values rounded to 15 significant digits."]
        return found
