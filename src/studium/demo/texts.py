"""What the synthetic courses ask and what their learners write.

``raw`` is what the browser submits (a moniker such as ``choice_1``, or the text itself), ``shown``
what the learner saw (specs/edx-activity-video-answers §3.3). Right answers come first, then wrong
ones, the frequent before the rare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Value = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Draft:
    """A possible answer. ``correctness`` as in ``correct_map``."""

    raw: Value
    shown: Value
    correctness: str = "incorrect"


@dataclass(frozen=True, slots=True)
class Question:
    """One part of a problem."""

    response_type: str
    input_type: str
    text: str
    drafts: tuple[Draft, ...]


def choice(text: str, *choices: str, kind: str = "multiplechoiceresponse") -> Question:
    """One of several; the first choice is right and stands at place 2."""
    order = [1, 0, 2, 3, 4]
    drafts = tuple(
        Draft(f"choice_{order[place]}", shown, "incorrect" if place else "correct")
        for place, shown in enumerate(choices)
    )
    return Question(kind, "choicegroup", text, drafts)


def dropdown(text: str, *choices: str) -> Question:
    """One of several by name: the moniker is the text itself."""
    drafts = tuple(
        Draft(shown, shown, "incorrect" if place else "correct")
        for place, shown in enumerate(choices)
    )
    return Question("optionresponse", "optioninput", text, drafts)


def several(text: str, choices: Sequence[str], *sets: str) -> Question:
    """Any of several; ``sets`` are digit strings, the first right, the second half right."""
    grades = ("correct", "partially-correct")
    drafts = tuple(
        Draft(
            [f"choice_{digit}" for digit in chosen],
            [choices[int(digit)] for digit in chosen],
            grades[place] if place < len(grades) else "incorrect",
        )
        for place, chosen in enumerate(sets)
    )
    return Question("choiceresponse", "checkboxgroup", text, drafts)


def free(
    text: str, right: Sequence[str], wrong: Sequence[str], kind: str = "stringresponse"
) -> Question:
    """Free text; several spellings may be right."""
    inputs = {"formularesponse": "formulaequationinput", "numericalresponse": "textline"}
    drafts = [Draft(answer, answer, "correct") for answer in right]
    drafts += [Draft(answer, answer) for answer in wrong]
    return Question(kind, inputs.get(kind, "textline"), text, tuple(drafts))


def mean_of_three(seed: int) -> Question:
    """A randomised problem: the numbers follow the seed of the learner's problem state."""
    first, second, third = 2 + seed % 5, 7 + seed, 12 + 2 * seed
    total = first + second + third
    right = f"{total / 3:.2f}".rstrip("0").rstrip(".")
    return free(
        f"What is the mean of {first}, {second} and {third}?",
        [right, f" {right} ", f"{total}/3"],
        [str(second), str(total), right.replace(".", ",") + " ", "1e2", "nan", "", "5%"],
        "numericalresponse",
    )


SINGLE: tuple[tuple[str, tuple[Question, ...]], ...] = (
    (
        "Which average?",
        (
            choice(
                "One salary in the list is a hundred times the others. Which average hardly moves?",
                "the median",
                "the mean",
                "the mid-range",
                "none of them",
            ),
        ),
    ),
    (
        "Pick the instruments",
        (
            several(
                "Which of these measure time?",
                ("a sundial", "a barometer", "a metronome", "an hourglass"),
                "023",
                "02",
                "013",
                "0123",
                "1",
                "",
            ),
        ),
    ),
    ("Name it", (dropdown("The unit of force is the …", "newton", "joule", "watt", "pascal"),)),
    (
        "In one word",
        (
            free(
                "What do plants take from the air? Answer in any language.",
                ["carbon dioxide", "CO2", "Kohlendioxid", "二酸化炭素", "ثاني أكسيد الكربون"],
                ["oxygen", "air", "sunlight ☀️", "CO", "אוויר", "None", "inf", "<b>water</b>", "🤷"],
            ),
        ),
    ),
    (
        "Differentiate",
        (
            free(
                "The derivative of 2x³ is …",
                ["6*x^2", "6x^2", "3*2*x^2"],
                ["2*x^2", "6*x", "6*x^3", "x^2*6+C", "6·x²"],
                "formularesponse",
            ),
        ),
    ),
    (
        "Marks & tags",
        (
            choice(
                "Which line is a <em>heading</em>?",
                "<text>a <b>bold</b> title<choicehint>Quite so.</choicehint></text>",
                "<text>a list</text>",
                "plain  text\twith blanks",
            ),
        ),
    ),
    (
        "Your own drawing",
        (
            free(
                "Click on the aorta.",
                ["[142,88]"],
                ["[12,300]", "[140,200]", "[0,0]"],
                "imageresponse",
            ),
        ),
    ),
)

SEVERAL: tuple[tuple[str, tuple[Question, ...]], ...] = (
    (
        "Check your reading",
        (
            choice("Who wrote the letter?", "the sister", "the doctor", "the narrator", "nobody"),
            dropdown("It is written in …", "winter", "autumn", "spring"),
            several(
                "Which moods does it hold?",
                ("joy — and fear", "pride", "«saudade»", "anger"),
                "02",
                "0",
                "01",
                "123",
                "3",
            ),
        ),
    ),
    (
        "A small experiment",
        (
            free("How many of 40 seeds sprouted?", ["31"], ["13", "40", "30", "77 %", "−31"],
                 "numericalresponse"),
            choice("So the rate is …", "above three quarters", "about a half", "below a third"),
        ),
    ),
)  # fmt: skip

VIDEO_TITLES = ("Welcome", "The idea", "An example", "Step by step", "What can go wrong", "Recap")

THREADS = (
    ("Deadline?", "Is the deadline on Sunday in UTC or in local time?"),
    ("Video 2 is silent", "From minute three on there is no sound here. Anyone else?"),
    ("Bonjour de Nantes !", "Enchantée — je découvre le cours. D'où venez-vous ?"),
    ("سؤال عن الأسبوع الثاني", "لماذا نستخدم الوسيط وليس المتوسط؟"),
    ("Spørsmål om oppgave 3", "Jeg får 7,25 men svaret skal være 7.25 😅"),
    ("第2週の課題について", "ヒントをもらえますか。"),
    (
        "A long story about my own data",
        "I counted the birds at my window every morning for a year. "
        "The median stayed, the mean jumped when the starlings came. " * 12,
    ),
)

REPLIES = (
    "It is UTC, see the syllabus.",
    "Same here 👍",
    "Merci beaucoup, ça m'aide !",
    "شكرا جزيلا",
    "Try to draw it first: a picture says more than the formula.",
    "I asked the staff; they will look at it on Monday.",
    "תודה!",
    "Because one outlier moves the mean, but not the median 🙂",
)
