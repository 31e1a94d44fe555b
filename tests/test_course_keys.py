"""Course keys: the verdicts of the spec, and the same ones from Python and from RE2.

Rules: specs/edx-enrollment-geography §1.8, §6 E19–E21; specs/edx-activity-video-answers §0.5.
"""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from studium.engines.duckdb import connect
from studium.sources.edx import course_keys, shred
from studium.sources.edx.course_keys import parse_course_key

VALID = [
    # text, form, organisation
    ("course-v1:org+course_id+course_run", "course-v1", "org"),
    ("org/course_id/course_run", "legacy", "org"),
    ("org/coursé_id/course_run", "legacy", "org"),
    ("course-v1:FooXé+1.23x+2013_Spring", "course-v1", "FooXé"),
    ("ccx-v1:org+c+r+ccx@13", "ccx-v1", "org"),
    ("course-v1:org+course:id+course:run", "course-v1", "org"),
    ("library-v1:org+lib", "library-v1", "org"),
    ("a/b/c%20d", "legacy", "a"),
    ("a/b/", "legacy", "a"),
    ("slashes:a+b+c", "slashes", "a"),
    ("course-v1:org+c+r+branch@draft", "course-v1", "org"),
    ("course-v1:org+c+r+branch@draft+version@519665f6223ebd6980884f2b", "course-v1", "org"),
    ("course-v1:org+c+r+type@problem+block@p1", "course-v1", "org"),
    ("course-v1:version@519665f6223ebd6980884f2b", "course-v1", None),
    ("course-v1:a-b~c.d:e+1+2", "course-v1", "a-b~c.d:e"),
    ("course-v1:大学+コース+春", "course-v1", "大学"),
    ("a.b-c_d%/e/f", "legacy", "a.b-c_d%"),
]
INVALID = [
    "org:course_id:course_run",
    "org/course\ufffd_id/run",
    "",
    "\n",
    ";;;;bad/id/val",
    "a/b/c d",
    "a/b/c~d",
    "a/b/c:d",
    "course-v1:edX+Demo X+T1",
    "course-v1:org+course",
    "course-v1:org+course+run+extra",
    "course-v1%3Aa%2Bb%2Bc",
    "COURSE-V1:a+b+c",
    "i4x://org/course/problem/name",
    "block-v1:org+course+run+type@problem+block@p1",
    "a+b+c",
    "a/b",
    "a/b/c/d",
    "/b/c",
    "a//c",
    "course-v1:+b+c",
    "course-v1:a++c",
    "course-v1:a+b+",
    "course-v1:a+b+c+version@xyz",
    "course-v1:a+b+c+branch@",
    "ccx-v1:org+c+r",
    "ccx-v1:org+c+r+ccx@",
    "ccx-v1:org+c+r+ccx@1a",
    "library-v1:org",
    "library-v1:org+lib+run",
    "slashes:a+b",
    "course-v1:a/b/c",
    "e\u0301/b/c",  # a combining mark is no letter; the composed é is
    "a/b\u200b/c",
]


@pytest.mark.parametrize(("text", "form", "org"), VALID)
def test_valid_keys(text: str, form: str, org: str | None) -> None:
    key = parse_course_key(text)
    assert key is not None
    assert (key.text, key.form, key.org) == (text, form, org)


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_key(text: str) -> None:
    assert parse_course_key(text) is None


@pytest.mark.parametrize("value", [None, 5, True, [], {}, b"a/b/c"])
def test_what_is_no_text_is_no_key(value: object) -> None:
    assert parse_course_key(value) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("around", ["\n", " ", "\t\r\n", "\u00a0", "\u3000", "\x1f", "\x85"])
def test_white_space_around_a_key_is_not_part_of_it(around: str) -> None:
    key = parse_course_key(f"{around}a/b/c{around}")
    assert key is not None
    assert key.text == "a/b/c"


# RE2 in DuckDB against Python

DB = connect(threads=1)
SQL = shred._with_white_space(
    f"SELECT key, {shred._org_sql('key')} FROM "
    f"(SELECT row, {shred._valid_key('text')} AS key FROM texts) ORDER BY row"
)


def in_sql(texts: list[str]) -> list[tuple[str | None, str | None]]:
    """The key and organisation that the shredder finds in each text."""
    DB.register("texts", pa.table({"row": range(len(texts)), "text": texts}))
    try:
        return DB.execute(SQL).fetchall()
    finally:
        DB.unregister("texts")


def in_python(texts: list[str]) -> list[tuple[str | None, str | None]]:
    keys = [parse_course_key(text) for text in texts]
    return [(key.text, key.org) if key else (None, None) for key in keys]


def test_both_grammars_give_the_verdicts_of_the_spec() -> None:
    texts = [text for text, _, _ in VALID] + INVALID
    assert in_sql(texts) == in_python(texts)


def _known(character: str) -> bool:
    """RE2 and Python come with different versions of Unicode; what one of them does not know yet
    is in no course id."""
    return unicodedata.category(character) not in ("Cn", "Cs")


# Characters of every kind: letters, digits and numbers of all scripts, marks, blanks, separators.
CHARACTERS = st.one_of(
    st.sampled_from("abcZ019_-~.:%+/@ \t\n\r\x0b\x1c\x85\u00a0\u2028\u3000\ufeff\ufffd"),
    st.sampled_from("éßñ大عΩ٣²Ⅷ①\u0301\u0327\u200d\u200b🎓ªﬁ"),
    st.characters(exclude_categories=["Cs", "Cn"]),
)
SEPARATORS = "course-v1: ccx-v1: library-v1: slashes: block-v1: COURSE-V1: + / @ version@"
TAILS = "+branch@ +version@ +type@ +block@ +ccx@ deadbeef 13 a b/c d+e"
PIECES = st.one_of(
    st.sampled_from((*SEPARATORS.split(), *TAILS.split())), st.text(CHARACTERS, max_size=4)
)


@st.composite
def near_misses(draw: st.DrawFn) -> str:
    """A valid key with a few characters put in, taken out or put in another's place; or a string
    of pieces that keys are made of."""
    if draw(st.booleans()):
        return "".join(draw(st.lists(PIECES, max_size=8)))
    text = draw(st.sampled_from([text for text, _, _ in VALID]))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(PIECES) + text[at + draw(st.integers(0, 2)) :]
    return text


@given(st.lists(near_misses(), min_size=10, max_size=60))
@example(["course-v1:a+b+c\n", " a/b/c ", "\u00a0a/b/\u3000", "a/b/\x1f", "é/b/c"])
def test_python_and_re2_agree(texts: list[str]) -> None:
    texts = [text for text in texts if all(map(_known, text))]
    assert in_sql(texts) == in_python(texts)


def test_every_character_is_judged_alike() -> None:
    codes = (*range(1, 0x3400), *range(0xA000, 0xAC10), *range(0xF900, 0x10800), 0x1D7CE, 0x1F393)
    frames = ("course-v1:o+c{}+r", "{}a/b/c")
    known = [chr(code) for code in codes if _known(chr(code))]
    texts = [frame.format(character) for character in known for frame in frames]
    pairs = zip(texts, in_sql(texts), in_python(texts), strict=True)
    assert [pair for pair in pairs if pair[1] != pair[2]] == []


def test_white_space_of_sql_is_that_of_python() -> None:
    spaces = {chr(code) for code in range(0x110000) if chr(code).isspace()}
    assert set(course_keys.WHITE_SPACE) == spaces


# Keys in URLs

BLOCK = "block-v1:A+B+C+type@vertical+block@z"
URLS = [
    ("/courses/course-v1:A+B+C/about", "course-v1:A+B+C"),
    ("/courses/course-v1:A+B+C", "course-v1:A+B+C"),
    ("/courses/A/B/C/info", "A/B/C"),
    ("/courses/A/B/C?x=1", "A/B/C"),
    (
        "https://lms.example.org/courses/course-v1:A+B+C/courseware/1/?x=/courses/",
        "course-v1:A+B+C",
    ),
    ("/courses/ccx-v1:A+B+C+ccx@7/progress", "ccx-v1:A+B+C+ccx@7"),
    ("/courses/A/coursé/C/", "A/coursé/C"),
    ("/api/courses/v1/courses/course-v1:A+B+C", "course-v1:A+B+C"),
    ("/api/courses/v1/courses/course-v1:A+B+C/?username=x", "course-v1:A+B+C"),
    ("/api/courses/v1/blocks/", None),
    ("/api/courses/v2/blocks/a/b/c", None),
    ("/course/course-v1:A+B+C/home", None),
    ("/courses/course-v1%3AA%2BB%2BC/about", None),
    ("/courses/course-v1:A+B+C#frag", None),
    ("/courses/course-v1:A+B/about", None),
    ("/courses/", None),
    ("/courses/A/B", None),
    ("/courses/;;;;bad/id/val", None),
    ("/dashboard", None),
    ("", None),
    (f"/xblock/{BLOCK}?show_title=0", "course-v1:A+B+C"),
    (f"https://lms.example.org/xblock/{BLOCK}#x", "course-v1:A+B+C"),
    (f"/xblock/{BLOCK}/handler", "course-v1:A+B+C"),
    (f"/courses/course-v1:X+Y+Z/xblock/{BLOCK}/handler/", "course-v1:A+B+C"),
    ("/xblock/ccx-block-v1:A+B+C+ccx@3+type@video+block@v", "ccx-v1:A+B+C+ccx@3"),
    ("/xblock/block-v1:A+B+C", None),
    # The first form matches and its key is not valid: there is no second attempt.
    ("/courses/course-v1:A+B+C/xblock/not/a/key/handler", None),
    ("/courses/course-v1:A+B+C/xblock/", "course-v1:A+B+C"),
]


def test_keys_in_urls() -> None:
    DB.register("urls", pa.table({"row": range(len(URLS)), "url": [url for url, _ in URLS]}))
    sql = f"SELECT url, {shred._key_in_url('url')} FROM urls ORDER BY row"
    assert DB.execute(shred._with_white_space(sql)).fetchall() == URLS


def test_a_broken_grammar_stops_the_ingest(monkeypatch: pytest.MonkeyPatch) -> None:
    course_keys.check_grammar()
    monkeypatch.setattr(course_keys, "_FORMS", {})
    with pytest.raises(AssertionError, match="refuses"):
        course_keys.check_grammar()
