"""The synthetic course runs: weeks, videos, problems, each ready to be written into events.

Texts that events carry are encoded here once, in both ways of the two web servers: one escapes
everything outside ASCII, the other writes UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from json.encoder import encode_basestring, encode_basestring_ascii
from random import Random
from urllib.parse import quote, quote_plus

from studium.demo import texts

Both = tuple[str, str]
"""JSON text as (written by the server that escapes, by the one that does not)."""

QUOTES: tuple[Callable[[str], str], Callable[[str], str]] = (
    encode_basestring_ascii,
    encode_basestring,
)
HOSTS = ("lms-1.example.org", "lms-2.example.org")

CORRECT_MAP_REST = (
    '"npoints": null, "msg": "", "hint": "", "hintmode": null, '
    '"queuestate": null, "answervariable": null}'
)


@dataclass(frozen=True, slots=True)
class Video:
    """``head`` begins the payload, up to where the position follows. ``length`` in seconds;
    ``hard`` are the positions to which viewers go back."""

    head: str
    mobile_head: str
    length: float
    hard: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """``raw`` and ``submission`` are JSON members with the part's id as key; ``form`` is the
    browser's encoding, ``post`` the same as the server's request log shows it."""

    correct: bool
    earned: int
    raw: Both
    correct_map: str
    submission: Both
    form: str
    post: str


@dataclass(frozen=True, slots=True)
class Part:
    """``answers[:right]`` are right. ``input_state`` is a JSON member."""

    answers: tuple[Answer, ...]
    right: int
    input_state: str


@dataclass(frozen=True, slots=True)
class Problem:
    """``variants`` are its parts by seed. ``path``, ``show_path``, ``usage``, ``module`` and
    ``asides`` are JSON texts; ``difficulty`` is in (0, 1)."""

    usage: Both
    module: Both
    asides: Both
    path: Both
    show_path: Both
    variants: tuple[tuple[Part, ...], ...]
    difficulty: float


@dataclass(frozen=True, slots=True)
class Section:
    """A page of the courseware. ``page`` is its URL, ``path`` the URL's path, as JSON texts."""

    page: Both
    path: Both
    usage: Both
    videos: tuple[Video, ...]
    problems: tuple[Problem, ...]
    topic: str


@dataclass(frozen=True, slots=True)
class Course:
    """A course run. ``start`` is in days since the first log day; ``weeks`` of content, one
    section each; ``mode`` is what enrollment starts with. ``items`` is the way through it (``None``
    is a look at the forum), of which ``released[week]`` are open in a week."""

    course_id: str
    org: str
    title: str
    start: int
    weeks: int
    weight: float
    mode: str
    self_paced: bool
    sections: tuple[Section, ...]
    items: tuple[tuple[Section, Video | Problem | None], ...]
    released: tuple[int, ...]
    max_points: int
    quoted_id: Both
    quoted_org: Both
    home: Both
    about: Both
    progress: Both
    forum: Both


@dataclass(frozen=True, slots=True)
class Syllabus:
    """What there is to say about a course run before it is drawn. ``start`` is the share of the
    term that has passed when it opens."""

    course_id: str
    title: str
    start: float
    weeks: int
    weight: float
    mode: str = "audit"
    self_paced: bool = False


SYLLABI = (
    Syllabus("course-v1:NordX+STAT101+2025_T3", "Statistics for Everyone", 0.15, 9, 36),
    Syllabus("course-v1:UniversitéX+Poésie.1x+2025_T3", "Lire la poésie", 0.25, 7, 20),
    Syllabus("NordX/Chem1/2025_Fall", "Kitchen Chemistry", 0.04, 8, 18, "honor", True),
    Syllabus("course-v1:Aurora+BIO-2~x+2025", "Plants & People", 0.09, 8, 18),
    Syllabus(
        "ccx-v1:NordX+STAT101+2025_T3+ccx@7",
        "Statistics for Everyone (Nurses' class)",
        0.2,
        8,
        8,
        "no-id-professional",
    ),
)


def draw_course(random: Random, syllabus: Syllabus, days: int) -> Course:
    """The course run with its content; ``days`` is the length of the term in the logs."""
    course_id = syllabus.course_id
    start = int(days * syllabus.start)
    weeks = max(1, min(syllabus.weeks, -(-(days - start) // 7)))
    sections = tuple(_draw_section(random, course_id, week) for week in range(weeks))
    items = tuple(
        (section, thing)
        for section in sections
        for thing in (*section.videos, *section.problems, None)
    )
    sizes = (len(section.videos) + len(section.problems) + 1 for section in sections)
    org = course_id.split(":")[-1].replace("/", "+").split("+")[0]
    return Course(
        course_id=course_id,
        org=org,
        title=syllabus.title,
        start=start,
        weeks=weeks,
        weight=syllabus.weight,
        mode=syllabus.mode,
        self_paced=syllabus.self_paced,
        sections=sections,
        items=items,
        released=tuple(accumulate(sizes)),
        max_points=sum(
            len(problem.variants[0]) for section in sections for problem in section.problems
        ),
        quoted_id=_both(course_id),
        quoted_org=_both(org),
        home=_both(f"/courses/{course_id}/course/"),
        about=_both(f"/courses/{course_id}/about"),
        progress=_both(f"/courses/{course_id}/progress"),
        forum=_both(f"/courses/{course_id}/discussion/forum/"),
    )


def _draw_section(random: Random, course_id: str, week: int) -> Section:
    chapter, sequence = _block(random), _block(random)
    path = f"/courses/{course_id}/courseware/{chapter}/{sequence}/"
    page = tuple(QUOTES[way](f"https://{HOSTS[way]}{quote(path, safe='/:+~@')}") for way in (0, 1))
    videos = tuple(
        _draw_video(random, course_id, known=not (week == 1 and place == 1))
        for place in range(2 + (week + len(course_id)) % 2)
    )
    singles = texts.SINGLE
    title, questions = singles[(week + len(course_id)) % len(singles)]
    problems = [_draw_problem(random, course_id, f"{week + 1}.1 {title}", [questions])]
    if week % 2:
        title, questions = texts.SEVERAL[week // 2 % len(texts.SEVERAL)]
        problems.append(_draw_problem(random, course_id, f"{week + 1}.2 {title}", [questions]))
    else:
        variants = [(texts.mean_of_three(seed),) for seed in range(1, 5)]
        problems.append(_draw_problem(random, course_id, f"{week + 1}.2 Means", variants))
    return Section(
        page=(page[0], page[1]),
        path=_both(path),
        usage=_both(_usage(course_id, "sequential", sequence)),
        videos=videos,
        problems=tuple(problems),
        topic=f"{_block(random)[:8]}-topic-{week + 1}",
    )


def _draw_video(random: Random, course_id: str, *, known: bool) -> Video:
    draw = random.random
    block = _block(random)
    if course_id.count("/") == 2:
        org, number, _ = course_id.split("/")
        block = f"i4x-{org}-{number}-video-{block}"
    length = round(150 + 600 * draw(), 2)
    code = "html5" if draw() < 0.5 else "".join(random.choices("abcXYZ019_-", k=11))
    duration = f'\\"duration\\":{length:g},' if known else ""
    return Video(
        head=f'"{{{duration}\\"code\\":\\"{code}\\",\\"id\\":\\"{block}\\"',
        mobile_head=f'"{{{duration}\\"code\\":\\"mobile\\",\\"id\\":\\"{block}\\"',
        length=length,
        hard=tuple(sorted(round(length * (0.1 + 0.75 * draw()), 1) for _ in range(2))),
    )


def _draw_problem(
    random: Random, course_id: str, title: str, variants: Sequence[tuple[texts.Question, ...]]
) -> Problem:
    block = _block(random)
    usage = _usage(course_id, "problem", block)
    stem = usage.replace("://", "-").replace("/", "-") if usage.startswith("i4x") else block
    handler = f"/courses/{course_id}/xblock/{usage.replace('/', ';_')}/handler/xmodule_handler/"
    seeded = len(variants) > 1
    difficulty = 0.2 + 0.5 * random.random()
    return Problem(
        usage=_both(usage),
        module=_join('{"display_name": ', _both(title), ', "usage_key": ', _both(usage), "}"),
        asides=_tag(title, difficulty),
        path=_both(handler + "problem_check"),
        show_path=_both(handler + "problem_show"),
        variants=tuple(
            tuple(
                _part(f"{stem}_{place + 2}_1", question, str(seed) if seeded else "")
                for place, question in enumerate(questions)
            )
            for seed, questions in enumerate(variants, 1)
        ),
        difficulty=difficulty,
    )


def _tag(title: str, difficulty: float) -> Both:
    """What the tagging aside of a problem says; nobody has tagged those of random numbers."""
    if title.endswith("Means"):
        return "{}", "{}"
    level = "Easy" if difficulty < 0.35 else "Medium" if difficulty < 0.5 else "Hard"
    topics = [word for word in title.split()[1:] if len(word) > 3]
    return _join(
        f'{{"tagging_aside": {{"saved_tags": {{"difficulty": "{level}", "topic": ',
        _value(topics),
        "}}}",
    )


def _part(part_id: str, question: texts.Question, variant: str) -> Part:
    return Part(
        answers=tuple(_answer(part_id, question, draft, variant) for draft in question.drafts),
        right=sum(draft.correctness == "correct" for draft in question.drafts),
        input_state=f'"{part_id}": {{}}',
    )


def _answer(part_id: str, question: texts.Question, draft: texts.Draft, variant: str) -> Answer:
    right = draft.correctness != "incorrect"
    values = [draft.raw] if isinstance(draft.raw, str) else draft.raw
    name = f"input_{part_id}" if isinstance(draft.raw, str) else f"input_{part_id}[]"
    raw = _join(f'"{part_id}": ', _value(draft.raw))
    if question.response_type == "formularesponse":
        raw = _join("", raw, f', "{part_id}_dynamath": ""')
    return Answer(
        correct=right,
        earned=int(draft.correctness == "correct"),
        raw=raw,
        correct_map=(f'"{part_id}": {{"correctness": "{draft.correctness}", ' + CORRECT_MAP_REST),
        submission=_join(
            f'"{part_id}": {{"question": ',
            _both(question.text),
            ', "answer": ',
            _value(draft.shown),
            f', "response_type": "{question.response_type}", '
            f'"input_type": "{question.input_type}", "correct": {str(right).lower()}, '
            f'"variant": {variant or chr(34) * 2}, "group_label": ""}}',
        ),
        form="&".join(f"{quote_plus(name)}={quote_plus(value)}" for value in values),
        post=f'"{name}": [{", ".join(encode_basestring_ascii(value) for value in values)}]',
    )


def _value(value: texts.Value) -> Both:
    if isinstance(value, str):
        return _both(value)
    items = [_both(item) for item in value]
    return (
        "[" + ", ".join(item[0] for item in items) + "]",
        "[" + ", ".join(item[1] for item in items) + "]",
    )


def _usage(course_id: str, kind: str, block: str) -> str:
    if course_id.count("/") == 2:
        org, number, _ = course_id.split("/")
        return f"i4x://{org}/{number}/{kind}/{block}"
    key = course_id.replace("course-v1:", "block-v1:").replace("ccx-v1:", "ccx-block-v1:")
    return f"{key}+type@{kind}+block@{block}"


def _both(text: str) -> Both:
    return (QUOTES[0](text), QUOTES[1](text))


def _join(*pieces: str | Both) -> Both:
    ways = [(piece, piece) if isinstance(piece, str) else piece for piece in pieces]
    return ("".join(way[0] for way in ways), "".join(way[1] for way in ways))


def _block(random: Random) -> str:
    return f"{random.getrandbits(128):032x}"
