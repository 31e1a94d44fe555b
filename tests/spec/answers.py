"""Answer cases: submissions of one course → rows of the distribution, latest responses, tags.

`rule` names the rule in `specs/edx-activity-video-answers` §6, or the section. Times are seconds
after noon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.spec.lines import NOON, Event, event

Row = tuple[str, str | None, str | None, int | None, bool, int, int]
"""Part, value id, answer, variant, right?, first and last responses."""

DISTRIBUTION = (
    "part_id", "value_id", "answer_value_text", "variant", "correct", "first_response_count",
    "last_response_count",
)  # fmt: skip
TAGGED = ("module_id", "tag_name", "tag_value", "total_submissions", "correct_submissions")


@dataclass(frozen=True)
class Case:
    """``rows``: the distribution. ``cells``: of the row with an answer (or value id), more of its
    columns. ``responses``: learner, part → columns of the latest response. ``tags``: the rows.
    None: not looked at."""

    rule: str
    events: tuple[Event, ...]
    rows: tuple[Row, ...] | None = None
    cells: Mapping[str | None, Mapping[str, Any]] = field(default_factory=dict)
    responses: Mapping[tuple[str, str], Mapping[str, Any]] | None = None
    tags: tuple[tuple[str, str, str, int, int], ...] | None = None

    @property
    def course_id(self) -> str:
        return course_of(self.rule)


def course_of(rule: str) -> str:
    return f"course-v1:{rule}+Answers+2021"


SAME: Any = object()


def part(
    answer: object,
    raw: object = SAME,
    correct: object = True,
    kind: object = "stringresponse",
    variant: object = "",
    question: object = "Why?",
    **more: object,
) -> dict[str, Any]:
    """A part of a submission; ``raw`` is what the form sent, if that is not the answer; `...`
    leaves a field out."""
    fields = {
        "answer": answer, "question": question, "response_type": kind, "input_type": "textline",
        "variant": variant, "correct": correct, **more,
    }  # fmt: skip
    return {
        "raw": answer if raw is SAME else raw,
        "given": {key: value for key, value in fields.items() if value is not ...},
    }


def choice(answer: object, raw: object, correct: bool = True, **more: Any) -> dict[str, Any]:
    """A part of a multiple choice problem."""
    return part(answer, raw, correct, "multiplechoiceresponse", **more)


class Log:
    """Submissions of one case, each a second after the one before unless ``at`` is given."""

    def __init__(self, rule: str) -> None:
        self.rule, self.at, self.events = rule, 0.0, list[Event]()
        self.course = course_of(rule)

    def check(
        self,
        parts: Mapping[str, dict[str, Any]],
        user: str = "ann",
        at: float | None = None,
        graded: Mapping[str, object] | None = None,
        changes: Mapping[str, object] | None = None,
        **payload: Any,
    ) -> Log:
        """A submission as today's LMS logs it; ``changes`` to the event, ``payload`` to that."""
        fields = {
            "answers": {key: one["raw"] for key, one in parts.items() if one["raw"] is not ...},
            "submission": {key: one["given"] for key, one in parts.items()},
            "correct_map": {
                key: {"correctness": "correct" if one["given"].get("correct") else "incorrect"}
                for key, one in parts.items()
            }
            if graded is None
            else {key: {"correctness": said} for key, said in graded.items()},
        }
        return self.add(user, at, changes, **{**fields, **payload})

    def old(
        self,
        values: Mapping[str, object],
        user: str = "ann",
        at: float | None = None,
        right: bool = True,
        seed: object = 1,
        **payload: Any,
    ) -> Log:
        """A submission as it was logged before March 2014."""
        said = {"correctness": "correct" if right else "incorrect"}
        graded = payload.pop("correct_map", dict.fromkeys(values, said))
        return self.add(
            user, at, answers=values, correct_map=graded, state={"seed": seed}, **payload
        )

    def add(
        self,
        user: str,
        at: float | None,
        changes: Mapping[str, object] | None = None,
        **payload: Any,
    ) -> Log:
        self.at = self.at + 1 if at is None else at
        fields = {
            "problem_id": "p", "success": "correct", "attempts": 1, "grade": 1, "max_grade": 2,
            **payload,
        }  # fmt: skip
        tags, name = fields.pop("tags", ...), fields.pop("name", "Problem")
        made = event(
            "problem_check", 1, self.course, username=user,
            time=(NOON + timedelta(seconds=self.at)).isoformat() + "+00:00",
            event={key: value for key, value in fields.items() if value is not ...},
        )  # fmt: skip
        if name is not None:
            made["context"]["module"] = {"display_name": name}
        if tags is not ...:
            made["context"]["asides"] = tags and {"tagging_aside": {"saved_tags": tags}}
        made |= changes or {}
        self.events.append({key: value for key, value in made.items() if value is not None})
        return self

    def gives(self, *rows: Row, **more: Any) -> Case:
        return Case(self.rule, tuple(self.events), rows, **more)

    def shows(self, **more: Any) -> Case:
        return Case(self.rule, tuple(self.events), **more)


def row(
    answer: str | None,
    first: int = 1,
    last: int = 1,
    *,
    part_id: str = "a",
    value: str | None = None,
    variant: int | None = None,
    correct: bool = True,
) -> Row:
    return (part_id, value, answer, variant, correct, first, last)


ONE = {"a": part("x")}
MARKUP = "<text><span>First<!-- x --> Choice</span></text>"

_STRIPPED = {
    MARKUP: "First Choice",
    "<p>First<br>Choice": "First Choice",
    "<p First <br>Choice": "Choice",
    "First br>Choice": "First br>Choice",
    "First <![CDATA[x]]>  Choice": "First Choice",
    "First\tChoice \n": "First Choice",
    "<table><tr><td>a</td><td>b</td></tr></table>": "a b",
    "a &amp; b &eacute;": "a & b é",
    "<script>var x</script>y": "var x y",
    "fo<b>o</b>bar": "fo o bar",
    "<p>日本語 <i>العربية</i></p>": "日本語 العربية",
}


def _bad_events() -> Log:
    log = Log("D1").check(ONE, "good")
    for changes in (
        {"event_source": "browser"}, {"event_source": None}, {"event_type": None},
        {"event_type": "/courses/x/problem_check"}, {"time": "never"}, {"username": None},
        {"event": ["a"]}, {"event": None}, {"event": "a=1&b=2"}, {"context": None},
        {"context": {"user_id": 1}}, {"context": {"user_id": 1, "course_id": ";;;;bad/id/val"}},
    ):  # fmt: skip
        log.check(ONE, "bad", changes=changes)
    for payload in (
        {"problem_id": ...}, {"problem_id": None}, {"answers": {}}, {"answers": None},
        {"answers": []}, {"answers": ...}, {"submission": None}, {"submission": []},
        {"submission": "x"}, {"submission": {}},
    ):  # fmt: skip
        log.check(ONE, "bad", **payload)
    return log


def _numbers() -> Case:
    texts = {
        "234": 234.0, "-1.5": -1.5, " 12 ": 12.0, "1e5": 1e5, ".5": 0.5, "7.": 7.0, "nan": None,
        "inf": None, "-infinity": None, "5%": None, "1,000": None, "0x10": None, "1_000": None,
        "1e999": None, "x": None, "+3": 3.0,
    }  # fmt: skip
    log = Log("D26")
    for number, text in enumerate(texts):
        log.check({"a": part(text, kind="numericalresponse")}, f"u{number}")
    cells = {text.strip(): {"answer_value_numeric": number} for text, number in texts.items()}
    return log.shows(cells=cells)


def _changed(first: dict[str, Any], *others: dict[str, Any], rule: str) -> Log:
    log = Log(rule)
    for number, one in enumerate((first, *others)):
        log.check({"a": one}, f"u{number}")
    return log


_TWO = {"a": choice("A", "choice_1"), "b": choice("B", "choice_2", False)}

EVENTS = [
    _bad_events().gives(row("x")),
    # One bad part drops the whole event, which is no attempt then.
    Log("D2-tab").check({**ONE, "b\t": part("y")}).check({"a": part("z")}).gives(row("z")),
    Log("D2-newline").check({**ONE, "b\n": part("y")}).gives(),
    Log("D2-letter").check({**ONE, "é": part("y")}).gives(),
    Log("D2-answers").check(ONE, answers={"a": "x", "字": "y"}).gives(),
    Log("D3").check(ONE).gives(row("x")),
    Log("D4").check({"a": part("A")}).check({"a": part("B")}).check({"a": part("C")}).gives(
        row("A", 1, 0), row("C", 0, 1)
    ),
    Log("D5").check({"a": part("C")}, at=3).check({"a": part("B")}, at=2)
    .check({"a": part("A")}, at=1).gives(row("A", 1, 0), row("C", 0, 1)),
    Log("D6").check({"a": part("A"), "b": part("B")}).check({"a": part("A"), "b": part("C")}).gives(
        row("A"), row("B", 1, 0, part_id="b"), row("C", 0, 1, part_id="b")
    ),
    Log("D6-between").check(ONE).check({**ONE, "b": part("y")}).check(ONE).gives(row("x")),
    Log("D7").check({**ONE, "a_dynamath": part("y"), "a_comment": part("z")}).gives(row("x")),
    # Hidden parts only: still the first submission.
    Log("D7-only").check({"a_comment": part("z")}).check(ONE).gives(row("x", 0, 1)),
    # A part too long for readers is passed over, not what was sent with it.
    Log("long-part").check({**ONE, "p" * 256: part("y")}).check({"p" * 256: part("y")}).gives(
        row("x", 1, 0)
    ),
    Log("D8").check(ONE, "new").old({"a": "x", "b": "y"}, correct_map={
        "a": {"correctness": "correct"}}).gives(row("x", 2, 2, variant=1)),
    Log("not-in-submission").check(ONE, answers={"a": "x", "b": "y"}).gives(row("x")),
    Log("not-in-answers").check({**ONE, "b": part("y", ...)}).gives(
        row("x"), row("y", part_id="b")
    ),
    Log("no-name").check(ONE, "").gives(row("x")),
    Log("empty-problem").check(ONE, problem_id="").gives(row("x")),
    Log("other-problem").check(ONE).check({"b": part("y")}, problem_id="q").gives(
        row("x"), row("y", part_id="b")
    ),
]  # fmt: skip

ROWS = [
    Log("D9").check(ONE).check({"a": part("y", "y")}, "bob").gives(row("x"), row("y")),
    Log("D10").check({"a": choice("Blue", "choice_1")}).gives(row("Blue", value="choice_1")),
    Log("D11").check({"a": part(["A", "B", "C"], ["choice_1", "choice_2", "choice_4"],
                                kind="choiceresponse")}).gives(
        row("[A|B|C]", value="[choice_1|choice_2|choice_4]")
    ),
    Log("D11-order").check({"a": part([], [])}, "cid")
    .check({"a": part(["A", "B"], ["1", "2"])}).check({"a": part(["B", "A"], ["2", "1"])}, "bob")
    .gives(row("[A|B]", value="[1|2]"), row("[B|A]", value="[2|1]"), row("[]")),
    Log("D12").check({"a": part("  x ")}).check(ONE, "bob").gives(row("x", 2, 2)),
    *(
        Log(f"D13-{number}").check({"a": choice(text, " choice_1")}).gives(
            row(stripped, value="choice_1")
        )
        for number, (text, stripped) in enumerate(_STRIPPED.items())
    ),
    Log("D14").check({"a": part(f" {MARKUP}\t")}).gives(row(MARKUP)),
    Log("D15").check({"a": part("x", kind="imageresponse"), "b": part("y", kind="optionresponse")})
    .gives(row("y", part_id="b")),
    Log("D15-none").check({"a": part("x", kind=...), "b": part("y", kind=None),
                           "c": part("z", kind="")}).gives(),
    Log("D16").old({"a": "x"}).gives(),
    # Better than the original: the newest typed answer decides.
    Log("D17").check({"a": part("y")}).old({"a": "x"}, "bob").gives(row("x", variant=1), row("y")),
    Log("D17-other").check({"a": part("y", kind="imageresponse")}, at=2)
    .check(ONE, "bob", at=1).gives(),
    Log("D18").old({"a": "x"}).check(ONE, "bob").gives(row("x", 2, 2)),
    Log("D19").check({"a": part("x", variant=123)}).check({"a": part("x", variant=456)}, "bob")
    .check(ONE, "cid").check({"a": part("x", variant=1)}, "dan").gives(
        row("x", variant=123), row("x", variant=456), row("x", 2, 2, variant=1)
    ),
    # Better: rows that nobody could tell apart are one.
    Log("variant-none").check({"a": part("x", variant=0)}).check({"a": part("x", variant=None)},
                                                                 "bob")
    .check(ONE, "cid").gives(row("x", 3, 3)),
    Log("variant-text").check({"a": part("x", variant="7")}).gives(row("x", variant=7)),
    Log("D20").check({"a": part("x", question="Old?")}, name="Old")
    .check({"a": part("y", question="New?")}, "bob", name="New").gives(
        row("x"), row("y"), cells={
            "x": {"problem_display_name": "New", "question_text": "Old?"},
            "y": {"problem_display_name": "New", "question_text": "New?", "module_id": "p"},
        },
    ),
    Log("D20-none").check(ONE).check({"a": part("y")}, "bob", name=None).gives(
        row("x"), row("y"), cells={"x": {"problem_display_name": None}}
    ),
    Log("D21").old({"a": "old"}, name="Old").check(ONE, "bob", name="New").gives(
        row("old", variant=1), row("x"),
        cells={"old": {"question_text": None, "problem_display_name": "New"}},
    ),
    _changed(part("<b>Blue</b>", kind="optionresponse"), choice("Red", "choice_2"), rule="D22")
    .gives(row("<b>Blue</b>"), row("Red", value="choice_2")),
    Log("D23").old({"a": "choice_0"}).check({"a": choice("Red", "choice_2")}, "bob").gives(
        row(None, value="choice_0", variant=1), row("Red", value="choice_2")
    ),
    _changed(part("x", correct=False), part("x"), rule="D25").gives(row("x", 2, 2)),
    _changed(part("x"), part("x", correct=False), rule="D25-wrong").gives(
        row("x", 2, 2, correct=False)
    ),
    _numbers(),
    Log("D26-stripped").check({"a": choice("<p> 12 </p>", "choice_1")}).gives(
        row("12", value="choice_1"), cells={"12": {"answer_value_numeric": 12.0}}
    ),
    Log("D27").check({"a": part("")}).check({"a": part(None)}, "bob").gives(row(None, 2, 2)),
    # Better: these are answers.
    Log("D28").check({"a": part("None")}).check({"a": part("inf")}, "bob")
    .check({"a": part("\\N")}, "cid").gives(row("None"), row("inf"), row("\\N")),
    Log("Dörg").check({"a": part("日本語")}).check({"a": part("😀 שלום")}, "bob").gives(
        row("日本語"), row("😀 שלום")
    ),
    Log("numbers").check({"a": part(3)}).check({"a": part("3")}, "bob").check({"a": part(1.50)},
                                                                             "cid")
    .check({"a": part(True)}, "dan").gives(row("3", 2, 2), row("1.5"), row("True")),
    Log("correct-truth").check({"a": part("x", correct=0)}).check({"a": part("y", correct="no")},
                                                                 "bob").gives(
        row("x", correct=False), row("y")
    ),
    Log("long").check({"a": part(["é" * 500_000, "b" * 500_000])}).gives(
        row(f"[{'é' * 500_000}|{'b' * 500_000}]")
    ),
]  # fmt: skip

_HINT = "potato <choicehint>A potato\n is\n edible</choicehint>  "

RESPONSES = [
    Log("R1").check(ONE, "good").check(ONE, " \t\u2003\n").check(ONE, "")
    .check(ONE, "bad", changes={"event_source": "browser"}).shows(
        responses={("good", "a"): {"problem_id": "p"}}
    ),
    Log("R2").check(ONE).check({"a": part("y")}).check(_TWO, at=100, grade=0, max_grade=None).shows(
        responses={
            ("ann", name): {
                "total_attempts": 3, "first_attempt_date": NOON + timedelta(seconds=1),
                "last_attempt_date": NOON + timedelta(seconds=100), "score": 0.0, "max_score": None,
                "answer": answer, "problem": "Problem", "question": "Why?",
            }
            for name, answer in (("a", '["A"]'), ("b", '["B"]'))
        }
    ),
    Log("R3").check(
        {name: part("x") for name in "abcde"},
        graded={"a": "correct", "b": "incorrect", "c": "unknown", "d": "partially-correct"},
    ).shows(responses={
        ("ann", name): {"correct": said}
        for name, said in zip("abcde", (True, False, None, None, None), strict=True)
    }),
    Log("R4").check({
        "a": part(_HINT), "b": part([_HINT, "tomato <choicehint label='x'>y</choicehint>  "]),
        "c": part("<choicehint>left open"), "d": part(3), "e": part(..., "choice_2"),
        "f": part(..., ...),
    }).shows(responses={
        ("ann", "a"): {"answer": '["potato  "]'},
        ("ann", "b"): {"answer": '["potato  ", "tomato  "]'},
        ("ann", "c"): {"answer": '["left open"]'},
        ("ann", "d"): {"answer": '["3"]'},
        ("ann", "e"): {"answer": '["choice_2"]'},
        ("ann", "f"): {"answer": '[""]'},
    }),
    Log("R5").check({"a": part("x\n\n  y", question=" a\t b ")}, name="Two\nlines").shows(
        responses={("ann", "a"): {"answer": '["x y"]', "question": " a b ", "problem": "Two lines"}}
    ),
    Log("R8").check(ONE, problem_id="gone").check(ONE, "bob", problem_id="here")
    .check(ONE, "cid", name=None).shows(responses={
        ("ann", "a"): {"location": "(Deleted block :) / Problem", "sort_idx": -1},
        ("bob", "a"): {"location": "Week 1 / Problem", "sort_idx": 2},
        ("cid", "a"): {"location": "(Deleted block :) / ", "sort_idx": -1, "problem": ""},
    }),
    Log("R9").check(ONE, at=-86_400).check({"a": part("y")}, at=0).check({"a": part("z")}, at=1)
    .check({"a": part("now")}, at=86_400).gives(
        row("x", 1, 0), row("now", 0, 1), responses={("ann", "a"): {"total_attempts": 4}}
    ),
    Log("R-old").old({"a": "x", "b": "y"}, correct_map={"a": {"correctness": "correct"}}).shows(
        responses={("ann", "a"): {"answer": '["x"]', "correct": True, "question": ""}}
    ),
    Log("R-padded").check(ONE, " ann ").shows(responses={(" ann ", "a"): {"total_attempts": 1}}),
]  # fmt: skip

BLOCKS = [
    {
        "course_id": course, "block_id": "here", "course_path": path, "sort_idx": place,
        "is_root": False, "is_orphan": False, "is_dag": False,
    }
    for course, path, place in (
        (course_of("R8"), "Week 1", 2), (course_of("D3"), "Week 9", 7),
    )
]  # fmt: skip

_EASY, _HARD = {"difficulty": "Easy"}, {"difficulty": "Hard"}

TAGS = [
    Log("T1").check(ONE, tags=_EASY).check(ONE, "bob", at=0).gives(
        row("x", 2, 2), tags=(("p", "difficulty", "Easy", 2, 2),)
    ),
    Log("T2").check(ONE, tags=_EASY, success="incorrect").check(ONE, tags=_HARD).shows(
        tags=(("p", "difficulty", "Hard", 2, 1),)
    ),
    Log("T3").check(ONE, tags={**_EASY, "topic": "Plants"}).check(ONE, tags=_EASY).shows(
        tags=(("p", "difficulty", "Easy", 2, 2),)
    ),
    Log("T4").check(ONE, tags=_EASY).check(ONE, "bob").shows(tags=()),
    Log("T4-empty").check(ONE, tags=_EASY).check(ONE, "bob", tags={}).shows(tags=()),
    # Better than the original: an element that is repeated is there once.
    Log("T5").check(ONE, tags={"topic": ["Plants", "Trees", "Plants"], "none": []}).shows(
        tags=(("p", "topic", "Plants", 1, 1), ("p", "topic", "Trees", 1, 1))
    ),
    Log("T6").check(ONE, tags=_EASY, success="Correct").shows(
        tags=(("p", "difficulty", "Easy", 1, 0),)
    ),
    Log("T7").check(ONE, tags=_EASY, problem_id="").check(ONE, tags=_EASY, problem_id=None)
    .check(ONE, tags=_EASY, changes={"event": ["x"]})
    .check(ONE, tags=_EASY, changes={"event_source": "browser"})
    .check(ONE, tags=_EASY, changes={"time": "never"}).shows(tags=()),
    # Neither learner nor answers are needed; asides may be null.
    Log("T-nobody").check(ONE, tags=_EASY, changes={"username": None}, answers=...).check(
        ONE, "bob", at=0, tags=None).shows(tags=(("p", "difficulty", "Easy", 2, 2),)),
    Log("T-odd").check(ONE, tags={"a": None, "b": {"c": "d"}, "e": 5, "f": "x" * 256, "字": "🙂"})
    .shows(tags=(("p", "e", "5", 1, 1), ("p", "字", "🙂", 1, 1))),
]  # fmt: skip

CASES = (*EVENTS, *ROWS, *RESPONSES, *TAGS)
