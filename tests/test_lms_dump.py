"""MySQL dumps: what a server would have in the wanted columns, and nothing of the others."""

import gzip
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

import studium
from studium.errors import SourceError
from studium.lake.store import Lake
from studium.sources.lms.dump import Rows, Wanted, read_blocks_of_dump, read_dumps
from studium.sources.lms.importer import Imported, import_lms
from tests.sites import make_site

T: Wanted = {"t": {"n": True, "s": False}}
CREATE = "CREATE TABLE `t` (`n` int, `secret` text, `s` text);\n"
PASSWORD = "pbkdf2_sha256$600000$kDn3mX$Zm9vYmFyYmF6"

USERS = (
    "CREATE TABLE `auth_user` (`id` int NOT NULL, `password` varchar(128), `username` text,"
    " `email` text, `first_name` text, `last_name` text, `is_active` tinyint(1), `is_staff` bit(1),"
    " `is_superuser` tinyint(1), `last_login` datetime(6), `date_joined` datetime(6),"
    " PRIMARY KEY (`id`));\n"
)


def user(number: int, name: str = "honor") -> str:
    return (
        f"({number},'{PASSWORD}','{name}','{name}@example.org','Ho','Nor',1,b'0',0,NULL,"
        "'2014-06-27 16:02:38.000000')"
    )


def cells(found: Sequence[Rows]) -> list[tuple[str | None, ...]]:
    return [row for rows in found for row in zip(*rows.values, strict=True)]


def scan(dump: str | bytes, wanted: Wanted = T, cut: int = 1 << 20) -> list[Rows]:
    data = dump.encode() if isinstance(dump, str) else dump
    blocks = [data[at : at + cut] for at in range(0, len(data), cut)]
    return list(read_blocks_of_dump(blocks, wanted))


# A literal of MySQL → its value as a text, in a text column and in a number column.
TEXTS = {
    "''": "",
    "'a'": "a",
    "'it''s'": "it's",
    "''''": "'",
    "''''''": "''",
    r"'it\'s'": "it's",
    r"'\\'": "\\",
    r"'\\\''": "\\'",
    r"'a\0b\bc\nd\re\tf\Zg'": "a\0b\bc\nd\re\tf\x1ag",
    r"'100\% a\_b'": r"100\% a\_b",
    r"'\x\"'": 'x"',
    "'two\nlines'": "two\nlines",
    "'(1,''x''),;/* no */ -- # `'": "(1,'x'),;/* no */ -- # `",
    "'say \"hi\"'": 'say "hi"',
    '"double ""quoted"" it\'s"': 'double "quoted" it\'s',
    r'"a\"b\nc"': 'a"b\nc',
    "'NULL'": "NULL",
    r"'\N'": "N",
    "'Zoë 学 😀'": "Zoë 学 😀",
    r"'\é'": "é",
    "NULL": None,
    "null": None,
    "0x4D7953514C": "MySQL",
    "x'4d79'": "My",
    "X'C3A9'": "é",
    "x''": "",
    "b'01000001'": "A",
    "0b1000001": "A",
    "_utf8'caf\\'e'": "caf'e",
    "_utf8mb4 'x'": "x",
    "_utf8mb3\n'x'": "x",
    "_binary 'x''y'": "x'y",
    "_utf8 0x41": "A",
    "N'n'": "n",
    "n'it''s'": "it's",
    "-1.5e3": "-1.5e3",
}
NUMBERS = {
    "0": "0",
    "007": "007",
    "-5": "-5",
    "+5": "5",
    "1.25": "1.25",
    ".5": ".5",
    "1.": "1.",
    "1E-7": "1E-7",
    "'12'": "12",
    "0x0A": "10",
    "0xFF": "255",
    "x'10'": "16",
    "b'1'": "1",
    "b'0'": "0",
    "0b101": "5",
    "TRUE": "1",
    "false": "0",
    "NULL": None,
}


@pytest.mark.parametrize(("token", "value"), TEXTS.items())
def test_a_literal_in_a_text_column(token: str, value: str | None) -> None:
    dump = f"{CREATE}INSERT INTO `t` VALUES (1,{token},{token}),(2,'',{token});"
    assert cells(scan(dump)) == [("1", value), ("2", value)]


@pytest.mark.parametrize(("token", "value"), NUMBERS.items())
def test_a_literal_in_a_number_column(token: str, value: str | None) -> None:
    dump = f"{CREATE}INSERT INTO `t` VALUES ({token},{token},'a'), ( {token} ,{token}, 'b' );"
    assert cells(scan(dump)) == [(value, "a"), (value, "b")]


ONE = [("1", "a")]
TWO = [("1", "a"), ("2", "b")]
STATEMENTS = {
    "several rows": ("INSERT INTO `t` VALUES (1,'x','a'),(2,'x','b');", TWO),
    "several lines": ("INSERT INTO `t` VALUES\n(1,'x','a'),\n(2,'x','b')\n;\n", TWO),
    "two inserts": ("INSERT INTO t VALUES (1,1,'a');INSERT INTO t VALUES (2,2,'b');", TWO),
    "column list": ("INSERT INTO `t` (`s`, `n`) VALUES ('a',1),('b',2);", [("a", "1"), ("b", "2")]),
    "bare column list": ("insert into t(n,s)values(1,'a');", ONE),
    "other columns": ("INSERT INTO `t` (`secret`,`n`) VALUES ('x',1);", [("1",)]),
    "ignore": ("INSERT  IGNORE INTO `t` VALUES (1,'x','a');", ONE),
    "delayed": ("INSERT DELAYED IGNORE INTO `t` VALUES (1,'x','a');", ONE),
    "replace": ("REPLACE INTO `t` VALUES (1,'x','a');", ONE),
    "value": ("INSERT INTO `t` VALUE (1,'x','a');", ONE),
    "on duplicate": ("INSERT INTO t VALUES (1,'x','a') ON DUPLICATE KEY UPDATE s=';';", ONE),
    "database": ("INSERT INTO `edxapp`.`t` VALUES (1,'x','a');", ONE),
    "upper case": ("INSERT INTO `T` (`N`,`S`) VALUES (1,'a');", ONE),
    "ansi quotes": ('INSERT INTO "t" ("n","s") VALUES (1,\'a\');', ONE),
    "version comments": (
        "/*!40000 ALTER TABLE `t` DISABLE KEYS */;\n"
        "INSERT /*!40000 IGNORE */ INTO `t` VALUES (1,'x','a');\n"
        "/*!50001 INSERT INTO `t` VALUES (2,'x','b') */;\n",
        TWO,
    ),
    "comments": (
        "-- INSERT INTO `t` VALUES (8,'x','it''s');\n--\n# don't\n/* INSERT ; ' */\n/**/ /***/"
        "INSERT INTO t /* a */ VALUES -- b '\n (1, /* ) */ 'x', 'a') # c\n, -- d\n(2,'x','b');-- e",
        TWO,
    ),
    "not a comment": ("INSERT INTO t VALUES (-1,--1,'a');", None),
    "around": (
        "LOCK TABLES `t` WRITE;\nSET NAMES utf8mb4;\nDROP TABLE IF EXISTS `x;y`;;\n"
        "INSERT INTO `t` VALUES (1,'x','a');\nUNLOCK TABLES;\n",
        ONE,
    ),
    "others": (
        "INSERT INTO `u` VALUES (1,'it''s; INSERT INTO `t` VALUES (9,9,9);',\"\\\";\");\n"
        "CREATE TABLE `t2` (`t` int DEFAULT '0;' COMMENT 'a''b');\n"
        "INSERT INTO `tt` VALUES (1 - 2 / 3 /* ; */,-- ;\n`a;`,# ;\n'\\\\');\n"
        "CREATE VIEW `v` AS SELECT 1 AS `t`;\n(SELECT ';');\n"
        "INSERT INTO `t` VALUES (1,'x','a');",
        ONE,
    ),
    "routines": (
        "DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER x BEFORE\n"
        "INSERT ON `t` FOR EACH ROW BEGIN\n INSERT INTO `t` VALUES (8,8,'it');\nEND */;;\n"
        "DELIMITER ;\nINSERT INTO `t` VALUES (1,'x','a');\n"
        "DELIMITER $$\nCREATE PROCEDURE p() BEGIN SELECT 'it''s'; END$$\n  delimiter ;\n",
        ONE,
    ),
    "declared again": (
        "CREATE TABLE IF NOT EXISTS `t` (`s` text, `n` int);INSERT INTO t VALUES ('a',1);",
        [("a", "1")],
    ),
    "sandbox": ("/*M!999999\\- enable the sandbox mode */ \nINSERT INTO t VALUES (1,1,'a');", ONE),
    "no rows": ("", []),
}  # fmt: skip


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("name", STATEMENTS)
def test_statements_cut_anywhere(name: str, cut: int) -> None:
    dump, rows = STATEMENTS[name]
    if rows is None:
        with pytest.raises(SourceError, match=r"dump\.sql, line 2: a row of t is malformed"):
            scan(CREATE + dump, cut=cut)
    else:
        assert cells(scan(CREATE + dump, cut=cut)) == rows


DECLARATIONS = {
    "keys": "`n` int, PRIMARY KEY (`n`,`s`), KEY `s` (`s`(10)), `secret` text, `s` text,"
    " UNIQUE KEY (`n`), CONSTRAINT `c` FOREIGN KEY (`n`) REFERENCES `x` (`y`),"
    " CHECK (`n` in (1,2))",
    "types": "`n` decimal(10,2) DEFAULT '1,5', `secret` enum('a','b)','c''d') COMMENT 'x, y',"
    " `s` text CHARACTER SET utf8mb4",
    "quoted": "`n` int, `primary` text, `s` text, KEY (`n`)",
    "bare": "n int not null, secret text, s text, primary key (n)",
    "generated": "`n` int DEFAULT (1+(2*3)), `secret` text AS (concat('a,', `n`)) STORED,"
    " `s` text /*!80023 INVISIBLE */ -- last, \n",
}


@pytest.mark.parametrize("name", DECLARATIONS)
def test_columns_come_in_the_order_of_the_declaration(name: str) -> None:
    dump = (
        f"CREATE TABLE `t` (\n {DECLARATIONS[name]}\n) ENGINE=InnoDB COMMENT='a;b(';\n"
        "INSERT INTO `t` VALUES (1,'x','a');"
    )
    assert cells(scan(dump)) == ONE
    assert cells(scan(dump, cut=1)) == ONE


REFUSED = {
    "too few values": ("INSERT INTO t VALUES (1,'x');", 2, "has not 3 values"),
    "too many values": ("\nINSERT INTO t VALUES (1,'x','a'),\n(1,'x','a','b');", 4, "has not 3"),
    "no literal": ("INSERT INTO t VALUES (1,'x',NOW());", 2, "malformed or cut off"),
    "unclosed": ("INSERT INTO t VALUES (1,'x','a);\n", 2, "malformed or cut off"),
    "within rows": ("INSERT INTO t VALUES (1,'x','a'),", 2, "file ends within INSERT INTO t"),
    "after a row": ("INSERT INTO t VALUES (1,'x','a')", 2, "malformed or cut off"),
    "within a head": ("INSERT INTO t (`n`", 2, "not followed by VALUES"),
    "set": ("INSERT INTO t SET n=1;", 2, "not followed by VALUES"),
    "select": ("INSERT INTO t SELECT * FROM u;", 2, "not followed by VALUES"),
    "cut declaration": ("CREATE TABLE `t` (`n` int", 2, "CREATE TABLE statement is malformed"),
    "other table": ("\n\nINSERT INTO u VALUES (1,\n'x", 4, "ends within this statement"),
    "comment": ("/* and then", 2, "not a statement"),
    "routine": ("DELIMITER ;;\nSELECT 1;\n", 2, "before DELIMITER"),
    "databases": ("USE `a`;\nINSERT INTO t VALUES (1,1,'a');\nUSE `b`;INSERT INTO t VALUES (1);", 4,
                  "in the databases a and b"),
}  # fmt: skip


@pytest.mark.parametrize("cut", [1, 1 << 20])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_an_error_with_its_line(name: str, cut: int) -> None:
    dump, line, why = REFUSED[name]
    with pytest.raises(SourceError, match=f"dump.sql, line {line}: .*{why}"):
        scan(CREATE + dump, cut=cut)


def test_rows_without_a_declaration_are_an_error() -> None:
    with pytest.raises(SourceError, match="line 1: INSERT INTO t names no columns"):
        scan("INSERT INTO t VALUES (1,'x','a');")


def test_bytes_that_are_not_utf8_are_replaced_and_counted() -> None:
    (declared, rows) = scan(
        CREATE.encode() + b"INSERT INTO t VALUES (1,'\xff','a\xffb'),(2,'','c');"
    )
    assert (declared.values, rows.columns, rows.replaced) == ([(), ()], ("n", "s"), [0, 1])
    assert cells([rows]) == [("1", "a\ufffdb"), ("2", "c")]


def test_utf16_is_refused_and_a_byte_order_mark_is_not() -> None:
    dump = CREATE + "INSERT INTO t VALUES (1,'x','a');"
    assert cells(scan(b"\xef\xbb\xbf" + dump.encode(), cut=1)) == ONE
    with pytest.raises(SourceError, match="UTF-16"):
        scan(dump.encode("utf-16"))


# What mysqldump escapes in texts; it writes everything else as it is.
MYSQLDUMP = str.maketrans({
    "\0": r"\0", "\n": r"\n", "\r": r"\r", "\x1a": r"\Z", '"': r"\"", "'": r"\'", "\\": r"\\",
})  # fmt: skip

texts = st.text(
    alphabet=st.one_of(
        st.sampled_from("'\"\\;,()`-#/*\n\r\0\x1a a%_"), st.characters(exclude_categories=["Cs"])
    ),
    max_size=12,
)
rows_of_t = st.tuples(st.one_of(st.none(), st.integers()), texts, st.one_of(st.none(), texts))


def mysqldump(row: Sequence[object]) -> str:
    return "(" + ",".join(
        "NULL" if v is None else f"'{v.translate(MYSQLDUMP)}'" if isinstance(v, str) else str(v)
        for v in row
    ) + ")"  # fmt: skip


@given(
    st.lists(st.lists(rows_of_t, min_size=1, max_size=4), max_size=4),
    st.permutations(["n", "secret", "s"]),
    st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_what_mysqldump_writes_is_read_back(
    inserts: list[list[tuple[int | None, str, str | None]]], order: list[str], cuts: list[int]
) -> None:
    place = [["n", "secret", "s"].index(name) for name in order]
    dump = "-- MySQL dump 10.13\n/*!40101 SET NAMES utf8 */;\nDROP TABLE IF EXISTS `t`;\n"
    dump += f"CREATE TABLE `t` ({','.join(f'`{n}` text' for n in order)}) ENGINE=InnoDB;\n"
    for rows in inserts:
        values = ",".join(mysqldump([row[p] for p in place]) for row in rows)
        dump += f"INSERT INTO `u` VALUES {values};\nINSERT INTO `t` VALUES {values};\n"
    dump += "UNLOCK TABLES;\n-- Dump completed"

    def blocks() -> Iterator[bytes]:
        data, at, turn = dump.encode(), 0, 0
        while at < len(data):
            yield data[at : at + cuts[turn % len(cuts)]]
            at, turn = at + cuts[turn % len(cuts)], turn + 1

    chosen = [name for name in order if name != "secret"]
    assert cells(list(read_blocks_of_dump(blocks(), T))) == [
        tuple(
            None if row[at] is None else str(row[at])
            for at in (0 if n == "n" else 2 for n in chosen)
        )
        for rows in inserts
        for row in rows
    ]


def test_a_declaration_holds_for_the_files_after_it(tmp_path: Path) -> None:
    # Comments within a dump say nothing of its end.
    start = f"-- MySQL dump 10\n--\n-- Table structure for table `t`\n--\n{CREATE}"
    (tmp_path / "1.sql").write_text(f"{start}INSERT INTO t VALUES (1,'x','a');")
    rest = "INSERT INTO t VALUES (2,'x','b');\n-- Dump completed on 2025-01-01"
    (tmp_path / "2.sql.gz").write_bytes(gzip.compress(rest.encode()))
    paths = sorted(tmp_path.iterdir())
    assert cells(list(read_dumps(paths, T))) == TWO
    for some in (paths[:1], [paths[0], *paths]):
        with pytest.raises(SourceError, match=r"1\.sql has no “-- Dump completed”"):
            list(read_dumps(some, T))


STREAM = """
import re, sys
from pathlib import Path
from studium.sources.lms.dump import read_dumps
wanted = {"t": {"n": True, "s": False}}
rows = sum(len(found.values[0]) for found in read_dumps([Path(sys.argv[1])], wanted))
print(rows, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def test_a_large_dump_is_never_in_memory(tmp_path: Path) -> None:
    # One INSERT of 40 MB, a text of 50 MB in a table that nobody wants, and 10 MB of a comment.
    path, row = tmp_path / "large.sql", b"(7,'" + b"x" * 980 + b"\\'','name')"
    with open(path, "wb") as file:
        file.write(CREATE.encode() + b"INSERT INTO `t` VALUES " + row)
        for _ in range(40):
            file.write((b"," + row) * 1000)
        file.write(b";\nINSERT INTO `blobs` VALUES (1,'")
        for _ in range(50):
            file.write(b"it\\'s; " * (1_000_000 // 7))
        file.write(b"');\n/* " + b"long " * 2_000_000 + b"*/\n")
        file.write(b"INSERT INTO `t` VALUES (8,'','last');\n")
    assert path.stat().st_size > 99_000_000
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(path)], capture_output=True, text=True, check=True
    )
    rows, peak = map(int, done.stdout.split())
    assert rows == 40_002
    assert peak < 100 << 10, f"{peak} KiB"


@pytest.fixture
def lms(tmp_path: Path) -> Path:
    """A folder for table files, with a site beside it."""
    (tmp_path / "lms").mkdir()
    make_site(tmp_path / "site", tmp_path / "logs")
    return tmp_path / "lms"


def take(source: Path) -> Mapping[str, Imported]:
    """Import ``source`` into the site beside it; what was found, by table."""
    folder = source if source.is_dir() else source.parent
    with studium.open(folder.parent / "site") as site, site.writer("test"):
        done = import_lms(site, Lake(site.lake_dir), source)
    return {one.table.name: one for one in done if one.found}


def kept(lms: Path, table: str) -> list[dict[str, Any]]:
    found = DeltaTable(str(lms.parent / "site" / "lake" / table)).to_pyarrow_table().to_pylist()
    return sorted(found, key=repr)


def files_of(site: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(site)): path.read_bytes()
        for path in site.rglob("*")
        if path.is_file() and "lake" in path.parts
    }


def test_a_dump_becomes_tables_of_the_lake(lms: Path) -> None:
    (lms / "all.sql").write_text(
        USERS + f"INSERT INTO `auth_user` VALUES {user(1)},{user(2, 'audit')},{user(2, 'again')};\n"
    )
    done = take(lms)
    assert {name: (one.rows, one.refused, one.changed) for name, one in done.items()} == {
        "auth_user": (2, 1, True),
        "auth_user_contact": (2, 1, True),
    }
    first, _ = kept(lms, "auth_user")
    assert str(first.pop("date_joined")).startswith("2014-06-27 16:02:38")
    assert first == {
        "user_id": 1, "username": "honor", "is_active": True, "is_staff": False,
        "is_superuser": False, "last_login": None,
    }  # fmt: skip
    assert kept(lms, "auth_user_contact")[0] == {
        "user_id": 1, "email": "honor@example.org", "first_name": "Ho", "last_name": "Nor"
    }  # fmt: skip
    assert not any(one.changed for one in take(lms).values())


def test_passwords_reach_no_file_of_the_site(lms: Path) -> None:
    dump = lms / "auth_user.sql"
    dump.write_text(USERS + f"INSERT INTO `auth_user` VALUES {user(1)};\n")
    take(dump)
    site = lms.parent / "site"
    everything = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    assert not [path for path, data in everything.items() if b"pbkdf2" in data or b"kDn3mX" in data]
    # Compressed or dictionary-encoded bytes would hide it: so no column holds it either.
    for table in ("auth_user", "auth_user_contact"):
        assert PASSWORD not in repr(kept(lms, table))
        assert "honor" in repr(kept(lms, table))


def test_a_csv_file_wins_over_dumps(lms: Path) -> None:
    (lms / "a.sql").write_text(USERS + f"INSERT INTO `auth_user` VALUES {user(1, 'dump')};\n")
    assert take(lms)["auth_user"].changed
    (lms / "auth_user.csv").write_text("id,username\n1,csv\n")
    assert take(lms)["auth_user"].changed
    assert [row["username"] for row in kept(lms, "auth_user")] == ["csv"]


def test_equal_rows_from_a_dump_and_a_csv_file_are_one_snapshot(lms: Path) -> None:
    header = "user_id,gender,year_of_birth,level_of_education\n"
    (lms / "auth_userprofile.csv").write_text(header + "1,f,1990,m\n2,\\N,\\N,\n")
    assert take(lms)["auth_userprofile"].changed
    (lms / "auth_userprofile.csv").unlink()
    (lms / "p.sql").write_text(
        "INSERT INTO `auth_userprofile` (`level_of_education`,`user_id`,`name`,`gender`,"
        "`year_of_birth`) VALUES ('m',1,'Jo','f',1990),('',2,'',NULL,NULL);\n"
    )
    again = take(lms)["auth_userprofile"]
    assert (again.rows, again.refused, again.changed) == (2, 0, False)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_truncated_dump_changes_nothing(lms: Path, zipped: bool) -> None:
    rows = ",".join(user(number) for number in range(2000))
    whole = (USERS + f"INSERT INTO `auth_user` VALUES {user(1)};\n").encode()
    (lms / "a.sql").write_bytes(whole)
    take(lms)
    before = files_of(lms.parent / "site")
    assert before
    longer = (USERS + f"INSERT INTO `auth_user` VALUES {rows};\n").encode()
    (lms / "a.sql").unlink()
    path = lms / ("a.sql.gz" if zipped else "a.sql")
    data = gzip.compress(longer) if zipped else longer
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=r"a\.sql"):
        take(lms)
    assert files_of(lms.parent / "site") == before


def test_a_table_without_a_needed_column_is_an_error(lms: Path) -> None:
    (lms / "a.sql").write_text("CREATE TABLE auth_user (id int, email text);")
    with pytest.raises(SourceError, match=r"a\.sql has no column username"):
        take(lms)


def test_a_dump_without_any_of_the_tables_is_an_error(lms: Path) -> None:
    dump = lms / "other.sql"
    dump.write_text(CREATE)
    with pytest.raises(SourceError, match="none of the tables auth_user, auth_userprofile"):
        take(dump)
    assert take(lms) == {}


def test_texts_that_are_not_utf8_are_counted(lms: Path) -> None:
    dump = USERS.encode() + f"INSERT INTO auth_user VALUES {user(1, 'Zo@')};".encode("ascii")
    (lms / "a.sql").write_bytes(dump.replace(b"Zo@", b"Zo\xeb"))
    done = take(lms)
    assert (done["auth_user"].replaced, done["auth_user_contact"].replaced) == (1, 1)
    assert kept(lms, "auth_user")[0]["username"] == "Zo\ufffd"


def test_real_dumps(shared: Path, lms: Path) -> None:
    for path in (shared / "lms").glob("*.sql"):
        (lms / path.name).write_bytes(path.read_bytes())
    assert {name: (one.rows, one.refused) for name, one in take(lms).items()} == {
        "auth_user": (5, 0),
        "auth_user_contact": (5, 0),
        "auth_userprofile": (4, 0),
        "auth_userprofile_contact": (4, 0),
        "student_courseenrollment": (5, 0),
    }
    assert [row["username"] for row in kept(lms, "auth_user")] == sorted(
        ["honor", "audit", "verified", "staff", "other"],
        key=["honor", "audit", "verified", "staff", "other"].index,
    )
    assert [
        (p["user_id"], p["gender"], p["year_of_birth"], p["level_of_education"])
        for p in kept(lms, "auth_userprofile")
    ] == [(1, "m", 1984, "a"), (2, "m", 1975, "b"), (3, "", 2000, "b"), (4, None, 2000, "")]
