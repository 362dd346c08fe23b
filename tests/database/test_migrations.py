"""The files: what is wrong with them is said before anything runs."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from database.migrations import MigrationError, read_migrations

Write = Callable[[dict[str, str]], Path]


def test_files_are_read_in_the_order_of_their_numbers(write: Write) -> None:
    folder = write({"0002_b.sql": "SELECT 2;", "0001_a.sql": "SELECT 1;", "down/0001_a.sql": "SELECT -1;"})
    found = read_migrations(folder)
    assert [(each.version, each.name, each.sql, each.down_sql) for each in found] == [
        (1, "a", "SELECT 1;", "SELECT -1;"),
        (2, "b", "SELECT 2;", None),
    ]


def test_the_checksum_is_the_same_whatever_the_line_ends(write: Write) -> None:
    checksums = {
        read_migrations(write({"0001_a.sql": text}))[0].checksum
        for text in ("SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n", "SELECT 1;\rSELECT 2;\r")
    }
    assert checksums == {hashlib.sha256(b"SELECT 1;\nSELECT 2;\n").hexdigest()}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"0001_a.sql": "", "0003_c.sql": ""}, "0003_c.sql has no 0002 before it: bring that file back"),
        ({"0002_b.sql": ""}, "0002_b.sql has no 0001 before it"),
        ({"0001_a.sql": "", "0001_b.sql": ""}, "0001_a.sql and 0001_b.sql have one number: rename"),
        ({"0001_a.sql": "", "schema.sql": ""}, "schema.sql is not named NNNN_verb_noun.sql: rename it, or move it"),
        ({"0001_a.sql": "SELECT '\0';"}, "0001_a.sql holds a NUL character"),
    ],
)
def test_an_error_names_the_file_and_the_way_out(write: Write, files: dict[str, str], words: str) -> None:
    folder = write(files)
    with pytest.raises(MigrationError, match=words):
        read_migrations(folder)


def test_a_file_that_is_not_utf8_is_named(write: Write) -> None:
    folder = write({"0001_a.sql": ""})
    (folder / "0001_a.sql").write_bytes(b"SELECT '\xe9';")
    with pytest.raises(MigrationError, match=r"0001_a.sql is not UTF-8 \(byte 8\): save it as UTF-8"):
        read_migrations(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match=r"nowhere is no folder.*--directory"):
        read_migrations(tmp_path / "nowhere")


@pytest.mark.parametrize("word", ["BEGIN", "commit", "END", "ROLLBACK", "SAVEPOINT x", "VACUUM", "ATTACH 'x' AS x"])
def test_what_breaks_a_transaction_is_refused(write: Write, word: str) -> None:
    (migration,) = read_migrations(write({"0001_a.sql": f"-- first\nSELECT 1;\n{word};"}))
    first = word.split()[0].upper()
    with pytest.raises(MigrationError, match=f"0001_a.sql says {first} in statement 2. Each file is one transaction"):
        _ = migration.statements


def test_a_row_of_its_own_in_schema_version_is_left_to_the_runner(write: Write) -> None:
    own = """
        INSERT INTO schema_version (version, description) VALUES (1, 'first');
        INSERT OR IGNORE INTO "schema_version" VALUES (1);
        REPLACE INTO [schema_version] SELECT 1;
        INSERT INTO schema_version_notes VALUES (1);"""
    (migration,) = read_migrations(write({"0001_a.sql": own}))
    assert migration.statements == ["INSERT INTO schema_version_notes VALUES (1)"]


def test_a_folder_without_any_migration_is_told(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match=r"shows no NNNN_verb_noun\.sql: give the migrations' folder"):
        read_migrations(tmp_path)
