"""What leaves of a folder that hostile code wrote: declared, checked copies, or nothing at all."""

import csv
import json
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studium.errors import SettingsError
from studium.jobs.disclosure.model import Output, Policy, Reason, Refused, Release
from studium.jobs.disclosure.release import MANIFEST, release
from studium.settings.disclosure import DisclosureSettings

ALL_TYPES = ("csv", "parquet", "json", "png", "svg", "text")
POLICY = Policy(types=ALL_TYPES)
COUNTS = Output(
    "counts.csv", "csv", "aggregate", keys=("week",), learners="n", measures=("auc", "posts")
)
GOOD = "week,n,auc,posts\n3,40,0.81234,102\n1,52,0.7,33\n2,61,,7\n"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    folder.mkdir()
    return folder


def let_out(outputs: Path, *declared: Output, policy: Policy = POLICY) -> Release:
    return release(outputs, outputs.parent / "out", declared, policy)


def refusal(outputs: Path, *declared: Output, policy: Policy = POLICY) -> Refused:
    """The refusal; nothing may have been written, and it may not say what the job wrote."""
    before = sorted(outputs.parent.iterdir())
    with pytest.raises(Refused) as caught:
        let_out(outputs, *declared, policy=policy)
    assert sorted(outputs.parent.iterdir()) == before
    assert "secret" not in str(caught.value)
    assert caught.value.hint
    return caught.value


# What leaves


def test_a_table_leaves_rounded_sorted_and_listed(outputs: Path) -> None:
    (outputs / "counts.csv").write_text(GOOD)
    (outputs / "features.parquet").write_bytes(b"rows that stay")
    done = let_out(outputs, COUNTS, Output("*.parquet", "parquet", "row"))
    out = outputs.parent / "out"
    assert sorted(path.name for path in out.iterdir()) == ["counts.csv", MANIFEST]
    text = (out / "counts.csv").read_text()
    assert text == "week,n,auc,posts\n1,50,0.7,35\n2,60,,5\n3,40,0.812,100\n"
    manifest = json.loads((out / MANIFEST).read_text())
    (entry,) = manifest["files"]
    assert entry["sha256"] == done.files[0].sha256
    assert (entry["size"], entry["rows"], entry["withheld"]) == (len(text), 3, False)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (["1", "0.5", "3"], ["1.0", "0.5", "3.0"]),  # rates: 1 is no count
        (["17.0", "3.0", "101"], ["15", "5", "100"]),  # counts, however they are written
        (["17.0", "", "nan"], ["15", "", ""]),
        (["-123456789012345", "7", "8"], ["-123457000000000", "5", "10"]),
        (["123456.789", "-0.0001", "1e400"], ["123457.0", "0.0", ""]),
    ],
)
def test_measures_are_rounded_by_column(outputs: Path, given: list[str], left: list[str]) -> None:
    lines = [f"{week},40,{number}" for week, number in enumerate(given)]
    (outputs / "counts.csv").write_text("\n".join(["week,n,auc", *lines]))
    let_out(outputs, replace(COUNTS, measures=("auc",)))
    with (outputs.parent / "out" / "counts.csv").open() as file:
        assert [row["auc"] for row in csv.DictReader(file)] == left


def test_letting_out_again_gives_what_left(outputs: Path) -> None:
    (outputs / "counts.csv").write_text(GOOD)
    record = outputs.parent / "record.json"
    arguments = (outputs, outputs.parent / "out", [COUNTS], POLICY, (), record, ["table t"])
    first = release(*arguments)
    (outputs / "counts.csv").write_text("changed since")
    assert release(*arguments) == first


def test_a_withheld_row_takes_key_and_measures_with_it(outputs: Path) -> None:
    (outputs / "counts.csv").write_text(GOOD + "secret-4,3,0.99,1000\n")
    record = outputs.parent / "record.json"
    done = release(
        outputs, outputs.parent / "out", [COUNTS], POLICY, (), record, ["table t"], b"of the site"
    )
    rows = list(csv.reader((outputs.parent / "out" / "counts.csv").read_text().splitlines()))
    assert done.withheld == {"counts.csv": 2}  # and one more, for a total known from elsewhere
    assert len(rows) == 1 + 4 - 2
    assert "secret" not in str(rows)
    manifest = (outputs.parent / "out" / MANIFEST).read_text()
    assert json.loads(manifest)["files"][0]["withheld"] is True
    kept = json.loads(record.read_text())
    assert kept["sources"] == ["table t"]
    assert sorted(cell["value"] for cell in kept["cells"]) == [3, 40, 52, 61]
    assert "secret-4" not in str(kept)  # nor any key


def test_data_that_is_not_protected_is_only_made_safe(outputs: Path) -> None:
    (outputs / "counts.csv").write_text("week,n,auc,posts\nw,1,0.123456,3\n")
    let_out(outputs, COUNTS, policy=replace(POLICY, protected=False))
    text = (outputs.parent / "out" / "counts.csv").read_text()
    assert text == "week,n,auc,posts\nw,1,0.123456,3\n"


def test_parquet_is_written_anew(outputs: Path) -> None:
    table = pa.table({"n": [40, 50], "week": [2, 1], "auc": [0.51239, float("nan")]})
    table = table.replace_schema_metadata({"secret": "of the job"})
    pq.write_table(table, outputs / "t.parquet")
    declared = Output("t.parquet", "parquet", "aggregate", keys=("week",), learners="n",
                      measures=("auc",))  # fmt: skip
    let_out(outputs, declared)
    out = outputs.parent / "out" / "t.parquet"
    assert b"of the job" not in out.read_bytes()
    assert pq.read_table(out).to_pylist() == [
        {"week": "1", "n": 50, "auc": None},
        {"week": "2", "n": 40, "auc": 0.512},
    ]


def test_json_is_a_table_of_flat_objects(outputs: Path) -> None:
    (outputs / "eval.json").write_text('{"n": 6114, "auc": 0.53211234, "kappa": 0.0494}')
    let_out(outputs, Output("eval.json", "json", "aggregate", learners="n",
                            measures=("auc", "kappa")))  # fmt: skip
    out = json.loads((outputs.parent / "out" / "eval.json").read_text())
    assert out == [{"n": 6115, "auc": 0.532, "kappa": 0.049}]


# What is refused: tables


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("week,n,auc,posts\n1,3,.5,1\n2,9,.5,1\n", Reason.FEW),
        ("week,n,auc\n1,40,.5\n", Reason.COLUMNS),
        ("week,n,auc,posts,name\n1,40,.5,1,secret\n", Reason.COLUMNS),
        ("week,n,n,auc,posts\n1,40,40,.5,1\n", Reason.COLUMNS),
        ("week,n,auc,posts\n1,40,.5,1\n1,41,.5,1\n", Reason.COLUMNS),
        ("week,n,auc,posts\nall,40,.5,1\n*,41,.5,1\n", Reason.COLUMNS),
        ("week,n,auc,posts\n1,-40,.5,1\n", Reason.COLUMNS),
        ("week,n,auc,posts\n1,40.5,.5,1\n", Reason.COLUMNS),
        ("week,n,auc,posts\n1,secret,.5,1\n", Reason.COLUMNS),
        ("week,n,auc,posts\n1,nan,.5,1\n", Reason.COLUMNS),
        ("week,n,auc,posts\n1,1e400,.5,1\n", Reason.COLUMNS),
        ("week,n,auc,posts\n1,,.5,1\n", Reason.COLUMNS),
        ("week,n,auc,posts\n1,40,secret,1\n", Reason.COLUMNS),
        ("week,n,auc,posts\n1,40,.5,-1000000000000000\n", Reason.COLUMNS),
        ("week,n,auc,posts\n1,40,1e15,1\n", Reason.COLUMNS),
        ("week,n,auc,posts\n1,40,.5\n", Reason.TYPE),
        ('week,n,auc,posts\n"1,40,.5,1\n', Reason.TYPE),
        ("", Reason.COLUMNS),
        ("week,n,auc,posts\n\u202esecret,40,.5,1\n", Reason.UNSAFE),
        ("week,n,auc,posts\n=SUM(A1),40,.5,1\n", Reason.UNSAFE),
        (f"week,n,auc,posts\n{'x' * 65},40,.5,1\n", Reason.UNSAFE),
        ("week,n,auc,posts\n" + "".join(f"{n},40,.5,1\n" for n in range(2_001)), Reason.SIZE),
    ],
)
def test_a_table_that_may_not_leave(outputs: Path, text: str, reason: Reason) -> None:
    (outputs / "counts.csv").write_text(text)
    assert refusal(outputs, COUNTS).reason is reason


@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "png", "svg", "text"])
def test_a_pickle_is_no_type_at_all(outputs: Path, kind: str) -> None:
    (outputs / "counts.csv").write_bytes(b"\x80\x04\x95\x0e\x00\x00\x00secret\x94.")
    declared = replace(COUNTS, type=kind)  # type: ignore[arg-type]
    assert refusal(outputs, declared).reason in (Reason.TYPE, Reason.COLUMNS)


@pytest.mark.parametrize("text", ['{"n": [1]}', "[[1]]", '"secret"', '[{"n": 1}', '{"n": NaN}'])
def test_json_of_another_form(outputs: Path, text: str) -> None:
    (outputs / "e.json").write_text(text)
    declared = Output("e.json", "json", "aggregate", learners="n")
    assert refusal(outputs, declared).reason in (Reason.TYPE, Reason.COLUMNS)


def test_parquet_that_unpacks_to_too_much(outputs: Path) -> None:
    pq.write_table(pa.table({"week": ["x" * 60] * 10, "n": [40] * 10}), outputs / "t.parquet")
    declared = Output("t.parquet", "parquet", "aggregate", keys=("week",), learners="n")
    assert refusal(outputs, declared, policy=replace(POLICY, max_rows=9)).reason is Reason.SIZE
    nested = pa.table({"week": [["secret"]], "n": [40]})
    pq.write_table(nested, outputs / "t.parquet")
    assert refusal(outputs, declared).reason is Reason.COLUMNS


def test_parquet_with_one_long_text_for_every_row(outputs: Path) -> None:
    """Half a kilobyte on the disk, a hundred megabytes once every row has its own."""
    table = pa.table({"week": ["x" * 400_000] * 256, "n": [40] * 256})
    pq.write_table(table, outputs / "t.parquet", compression="brotli")
    assert (outputs / "t.parquet").stat().st_size < 1_000
    declared = Output("t.parquet", "parquet", "aggregate", keys=("week",), learners="n")
    code = (
        "import sys, resource\n"
        "from pathlib import Path\n"
        "from studium.jobs.disclosure.model import Output, Policy, Refused\n"
        "from studium.jobs.disclosure.tables import read_table\n"
        "import pyarrow.parquet\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "one = Output('t', 'parquet', 'aggregate', keys=('week',), learners='n')\n"
        "try: read_table(Path(sys.argv[1]), 't', one, Policy())\n"
        "except Refused as error: print(error.reason)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, outputs / "t.parquet"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split("\n")[:2] == ["unsafe file", "True"]
    assert refusal(outputs, declared).reason is Reason.UNSAFE


def test_parquet_of_the_usual_types(outputs: Path) -> None:
    table = pa.table(
        {
            "week": pa.array(["a", "b", None]).dictionary_encode(),
            "day": pa.array([1, 2, 3], pa.date32()),
            "n": pa.array([40, 50, 60], pa.decimal128(10, 0)),
            "auc": ["0.5", "0.25", None],
        }
    )
    pq.write_table(table, outputs / "t.parquet")
    let_out(outputs, Output("t.parquet", "parquet", "aggregate", keys=("week", "day"),
                            learners="n", measures=("auc",)))  # fmt: skip
    rows = pq.read_table(outputs.parent / "out" / "t.parquet").to_pylist()
    assert rows[1] == {"week": "a", "day": "1970-01-02", "n": 40, "auc": 0.5}
    shutil.rmtree(outputs.parent / "out")
    pq.write_table(pa.table({"week": [b"x"], "n": [40]}), outputs / "t.parquet")
    declared = Output("t.parquet", "parquet", "aggregate", keys=("week",), learners="n")
    assert refusal(outputs, declared).reason is Reason.COLUMNS


def test_a_table_must_say_how_many_learners_it_rests_on(outputs: Path) -> None:
    (outputs / "counts.csv").write_text(GOOD)
    declared = replace(COUNTS, learners="", measures=("n", "auc", "posts"))
    assert refusal(outputs, declared).reason is Reason.COLUMNS


def test_types_that_the_site_does_not_let_out(outputs: Path) -> None:
    (outputs / "note.txt").write_text("hello")
    note = Output("note.txt", "text", "aggregate")
    assert refusal(outputs, note, policy=Policy()).reason is Reason.TYPE
    let_out(outputs, note)


# What is refused: files


def test_undeclared_and_missing_files(outputs: Path) -> None:
    assert refusal(outputs, COUNTS).reason is Reason.MISSING
    (outputs / "counts.csv").write_text(GOOD)
    (outputs / "secret.csv").write_text(GOOD)
    assert refusal(outputs, COUNTS).reason is Reason.UNDECLARED
    (outputs / "secret.csv").unlink()
    (outputs / "inner").mkdir()
    (outputs / "inner" / "counts.csv").write_text(GOOD)
    every = replace(COUNTS, name="*.csv")  # does not reach into folders
    assert refusal(outputs, every).reason is Reason.UNDECLARED


def a_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def a_linked_folder(path: Path) -> None:
    path.symlink_to("/etc", target_is_directory=True)


def a_hard_link(path: Path) -> None:
    other = path.parent.parent / "elsewhere"
    other.write_text("secret")
    os.link(other, path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(path.parent)  # a path of a socket is short
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


def a_set_id_file(path: Path) -> None:
    path.write_text("x")
    path.chmod(0o4755)


@pytest.mark.parametrize(
    "make", [a_link, a_linked_folder, a_hard_link, os.mkfifo, a_socket, a_set_id_file]
)
@pytest.mark.parametrize("place", ["x.csv", "inner/x.csv"])
def test_what_is_no_plain_file(outputs: Path, make: Callable[[Path], None], place: str) -> None:
    (outputs / "inner").mkdir()
    make(outputs / place)
    declared = (Output("*", "text", "row"), Output("*/*", "text", "row"))
    assert refusal(outputs, *declared).reason is Reason.UNSAFE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_a_device(outputs: Path) -> None:
    try:
        os.mknod(outputs / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("device nodes cannot be made here")
    assert refusal(outputs, Output("null", "text", "row")).reason is Reason.UNSAFE


@pytest.mark.parametrize(
    "name",
    [
        "a;b",
        "a\nb",
        "a b",
        "-rf",
        ".hidden",
        "\u202egnp.exe",
        "x" * 61,
        "é",
        "a\udcff",
        "$(x)",
        "a\\b",
    ],
)
def test_names_that_mean_something(outputs: Path, name: str) -> None:
    (outputs / name).write_text("x")
    found = refusal(outputs, Output("*", "text", "row"))
    assert found.reason is Reason.UNSAFE
    assert found.detail.isprintable()
    assert found.detail.isascii()


def test_folders_that_are_too_deep_or_too_many(outputs: Path) -> None:
    (outputs / "a/b/c/d/e").mkdir(parents=True)
    assert refusal(outputs).reason is Reason.UNSAFE
    for number in range(30):
        (outputs / f"f{number}").touch()
    found = refusal(outputs, policy=replace(POLICY, max_files=20))
    assert found.reason is Reason.SIZE


def test_files_that_are_too_large_together(outputs: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (outputs / name).write_text("x" * 600)
    every = Output("*.txt", "text", "aggregate")
    assert refusal(outputs, every, policy=replace(POLICY, max_bytes=1000)).reason is Reason.SIZE
    # One that claims to be huge and is not read.
    os.truncate(outputs / "a.txt", 10**12)
    assert refusal(outputs, every).reason is Reason.SIZE


# Pictures, drawings, texts


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int = 3, height: int = 2, *extra: bytes, claim: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, claim or height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(range(3 * width)) for _ in range(height)), 0)
    parts = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PLOT = Output("plot", "png", "aggregate")


def test_a_picture_leaves_without_what_is_not_picture(outputs: Path) -> None:
    hidden = png(3, 2, chunk(b"tEXt", b"k\0secret"), chunk(b"eXIf", b"secret")) + b"secret"
    (outputs / "plot").write_bytes(hidden)
    let_out(outputs, PLOT)
    made = (outputs.parent / "out" / "plot").read_bytes()
    assert b"secret" not in made
    kinds, place, pixels = [], 8, b""
    while place < len(made):
        (length,) = struct.unpack_from(">I", made, place)
        kinds.append(made[place + 4 : place + 8])
        if kinds[-1] == b"IDAT":
            pixels = zlib.decompress(made[place + 8 : place + 8 + length])
        place += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    assert pixels == (b"\0" + bytes(range(9))) * 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GIF89a", Reason.TYPE),
        (png()[:-20], Reason.TYPE),
        (png().replace(b"IDAT", b"IDAX"), Reason.TYPE),
        (png(claim=3), Reason.TYPE),  # fewer pixels than it says
        (png(claim=1), Reason.TYPE),  # more
        (png(claim=2**31 - 1), Reason.SIZE),
        (png(3, 2, chunk(b"XXXX", b"")), Reason.TYPE),
    ],
)
def test_a_picture_that_may_not_leave(outputs: Path, data: bytes, reason: Reason) -> None:
    (outputs / "plot").write_bytes(data)
    assert refusal(outputs, PLOT).reason is reason


DRAWING = Output("d.svg", "svg", "aggregate")
XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'


def svg(inside: str, attributes: str = "", before: str = "") -> str:
    return f'{before}<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{inside}</svg>'


def test_a_drawing_leaves_without_comments_and_metadata(outputs: Path) -> None:
    usual = '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x.dtd">'
    inside = (
        "<!-- secret --><metadata><a:b xmlns:a='u'>secret</a:b></metadata><defs><style>"
        "*{stroke-linejoin: round}</style><path id='p' d='M0 0L1 1'/></defs>"
        "<use xlink:href='#p' clip-path='url(#c)' style='fill: url(\"#g\")'/><text>a &lt; b</text>"
    )
    (outputs / "d.svg").write_text(svg(inside, XLINK, usual))
    let_out(outputs, DRAWING)
    text = (outputs.parent / "out" / "d.svg").read_text()
    assert "secret" not in text
    assert "DOCTYPE" not in text
    assert '<path id="p" d="M0 0L1 1"></path>' in text
    assert '<use href="#p" clip-path="url(#c)"' in text
    assert "<text>a &lt; b</text>" in text


@pytest.mark.parametrize(
    "text",
    [
        svg("<script>alert(1)</script>"),
        svg("<a href='https://example.org'><text>x</text></a>"),
        svg("<rect onclick='x()'/>"),
        svg("<rect ONLOAD='x()'/>"),
        svg("<foreignObject/>"),
        svg("<image href='http://example.org/x.png'/>"),
        svg("<animate attributeName='href'/>"),
        svg("<use href='other.svg#x'/>"),
        svg("<use xlink:href='javascript:alert(1)'/>", XLINK),
        svg("<rect fill='url(http://example.org/x)'/>"),
        svg("<rect style='background: URL( //example.org)'/>"),
        svg("<style>@import 'x.css';</style>"),
        svg("<style>rect { fill: url(x.svg) }</style>"),
        svg("<style>rect { fill: \\75rl(x) }</style>"),
        svg("<style>svg{background-image:u<g/>rl(ht<g/>tp:/<g/>/evil.example/x)}</style>"),
        svg("<style>svg{background-image:u<metadata/>rl(x.svg)}</style>"),
        svg("<style>svg{background-image:u<!-- -->rl(x.svg)}</style>"),
        svg("<style>svg{background-image:u<![CDATA[rl(x.svg)]]>}</style>"),
        svg("<style>svg{background-image:u<?x?>rl(x.svg)}</style>"),
        svg("<rect xmlns='http://www.w3.org/1999/xhtml'/>"),
        svg("<text>&#x202e;</text>"),
        svg("&e;", before='<!DOCTYPE svg [<!ENTITY e "secret">]>'),
        svg("&e;", before='<!DOCTYPE svg [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
    ],
)
def test_a_drawing_that_runs_or_fetches(outputs: Path, text: str) -> None:
    (outputs / "d.svg").write_text(text)
    assert refusal(outputs, DRAWING).reason is Reason.UNSAFE


@pytest.mark.parametrize("text", ["<html/>", "<svg/>", svg("<rect>"), "no", svg("<g>" * 5)])
def test_what_is_no_drawing(outputs: Path, text: str) -> None:
    (outputs / "d.svg").write_text(text)
    assert refusal(outputs, DRAWING).reason is Reason.TYPE


@pytest.mark.parametrize("data", [b"\xff", b"a\x1b[2Jb", "a\u202eb".encode(), "a\u200bb".encode()])
def test_texts_that_hide_something(outputs: Path, data: bytes) -> None:
    (outputs / "note").write_bytes(data)
    found = refusal(outputs, Output("note", "text", "aggregate"))
    assert found.reason in (Reason.TYPE, Reason.UNSAFE)


def test_the_policy_of_a_site() -> None:
    assert Policy.of(DisclosureSettings()) == replace(Policy(), max_bytes=10**7)
    with pytest.raises(SettingsError, match=r"rounding is above"):
        Policy.of(DisclosureSettings(minimum=4, rounding=5))
    with pytest.raises(SettingsError, match="pickle"):
        Policy.of(DisclosureSettings(types=["csv", "pickle"]))
