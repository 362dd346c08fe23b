"""How a file is split into its statements."""

import sqlite3

from database.sql import statements, words

TRIGGER = """CREATE TRIGGER IF NOT EXISTS keep AFTER UPDATE ON a BEGIN
  UPDATE a SET x = CASE WHEN new.x > 1 THEN 'it''s; END;' ELSE 'b' END; -- END;
  SELECT CASE new.x WHEN 1 THEN 2 END;
END"""


def test_a_trigger_with_case_and_end_is_one_statement() -> None:
    assert statements(f"CREATE TABLE a (x);\n{TRIGGER};\nSELECT 1;") == ["CREATE TABLE a (x)", TRIGGER, "SELECT 1"]


def test_a_trigger_is_one_statement_with_windows_line_ends_too() -> None:
    assert len(statements(f"CREATE TABLE a (x);\n{TRIGGER};\nSELECT 1;".replace("\n", "\r\n"))) == 3


def test_semicolons_in_strings_names_and_comments_end_nothing() -> None:
    text = """INSERT INTO a VALUES ('x; y''; z', ";", `;`, [;]); -- not here;
    /* nor; here */ SELECT 1 /* ; */ + 1 -- ;
    ;"""
    assert statements(text) == [
        "INSERT INTO a VALUES ('x; y''; z', \";\", `;`, [;])",
        "SELECT 1 /* ; */ + 1",
    ]


def test_quotes_in_comments_open_nothing() -> None:
    assert statements("-- it's\nSELECT 1; /* don't */ SELECT 2;") == ["SELECT 1", "SELECT 2"]


def test_comments_alone_are_no_statement() -> None:
    assert statements("-- nothing;\n/* to; do */\n;;\n") == []
    assert statements("") == []


def test_a_last_statement_needs_no_semicolon() -> None:
    assert statements("SELECT 1;\nSELECT 2 -- the end") == ["SELECT 1", "SELECT 2"]


def test_what_is_not_closed_stays_whole_for_the_database_to_complain_of() -> None:
    assert statements("SELECT 'open; SELECT 2;") == ["SELECT 'open; SELECT 2;"]
    assert statements("SELECT 1; /* open; SELECT 2;") == ["SELECT 1"]


def test_a_statement_of_many_semicolons_is_split_in_linear_time() -> None:
    text = "INSERT INTO a VALUES ('" + ";" * 200_000 + "');" + "SELECT ';';" * 20_000
    assert len(statements(text)) == 20_001


def test_the_statements_do_what_the_whole_text_does() -> None:
    text = f"CREATE TABLE a (x);\n{TRIGGER};\nINSERT INTO a VALUES (5); UPDATE a SET x = 3;"
    whole, parts = sqlite3.connect(":memory:"), sqlite3.connect(":memory:")
    whole.executescript(text)
    for statement in statements(text):
        parts.execute(statement)
    assert list(whole.iterdump()) == list(parts.iterdump())
    whole.close()
    parts.close()


def test_words_leave_out_strings_and_comments_and_unquote_names() -> None:
    assert words("DROP TABLE /* not */ \"my table\" -- DROP\n;'DROP'") == ["DROP", "TABLE", "my table", ";"]
