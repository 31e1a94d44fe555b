"""Invented learners: names in several scripts, countries with their networks, profiles.

Nobody here exists. Addresses come from networks that are reserved for documentation, benchmarks
and private use, one block a country, so no real network is ever named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

T = TypeVar("T")

Names = Sequence[tuple[str, str]]
"""Names as (as written, in ASCII letters)."""


@dataclass(frozen=True, slots=True)
class Country:
    """Where learners come from. ``offset`` is minutes east of UTC, ``block`` the number of its
    networks: 8,192 IPv4 addresses from 198.18.0.0/15 and 2001:db8:<block>::/48."""

    code: str
    name: str
    block: int
    weight: float
    offset: int
    language: str
    city: str
    script: str


COUNTRIES = (
    Country("US", "United States", 0, 20, -300, "en", "Springfield", "latin"),
    Country("IN", "India", 1, 17, 330, "en", "Pune", "indic"),
    Country("BR", "Brazil", 2, 9, -180, "pt-br", "Recife", "latin"),
    Country("NO", "Norway", 3, 7, 60, "nb", "Bergen", "latin"),
    Country("DE", "Germany", 4, 7, 60, "de-de", "Jena", "latin"),
    Country("EG", "Egypt", 5, 6, 120, "ar", "Mansoura", "arabic"),
    Country("CN", "China", 6, 6, 480, "zh-cn", "Chengdu", "han"),
    Country("FR", "France", 7, 5, 60, "fr", "Nantes", "latin"),
    Country("NG", "Nigeria", 8, 5, 60, "en", "Ibadan", "latin"),
    Country("UA", "Ukraine", 9, 4, 120, "uk", "Lviv", "cyrillic"),
    Country("MX", "Mexico", 10, 4, -360, "es-419", "Puebla", "latin"),
    Country("JP", "Japan", 11, 3, 540, "ja-jp", "Sendai", "han"),
    Country("IL", "Israel", 12, 2, 120, "he", "Haifa", "hebrew"),
    Country("GR", "Greece", 13, 2, 120, "el", "Patras", "greek"),
    Country("KE", "Kenya", 14, 2, 180, "en", "Kisumu", "latin"),
    Country("NP", "Nepal", 15, 1, 345, "en", "Pokhara", "indic"),
)

GIVEN: dict[str, Names] = {
    "latin": (
        ("Ada", "ada"), ("José", "jose"), ("Zoë", "zoe"), ("Jürgen", "jurgen"),
        ("Amélie", "amelie"), ("Ngozi", "ngozi"), ("Solveig", "solveig"), ("João", "joao"),
        ("Wanjiru", "wanjiru"), ("Bjørn", "bjorn"), ("Lucía", "lucia"), ("Sam", "sam"),
        ("Grace", "grace"), ("Tomás", "tomas"), ("Chidi", "chidi"), ("Élodie", "elodie"),
    ),
    "cyrillic": (("Олена", "olena"), ("Тарас", "taras"), ("Ірина", "iryna"), ("Богдан", "bohdan")),
    "greek": (("Ελένη", "eleni"), ("Νίκος", "nikos"), ("Μαρία", "maria"), ("Γιώργος", "giorgos")),
    "arabic": (("مريم", "mariam"), ("يوسف", "yusuf"), ("ليلى", "layla"), ("عمر", "omar")),
    "hebrew": (("נועה", "noa"), ("איתן", "eitan"), ("תמר", "tamar"), ("דוד", "david")),
    "han": (("小雨", "xiaoyu"), ("健", "ken"), ("美咲", "misaki"), ("伟", "wei")),
    "indic": (("आशा", "asha"), ("राहुल", "rahul"), ("सीता", "sita"), ("Priya", "priya")),
}  # fmt: skip

FAMILY: dict[str, Names] = {
    "latin": (
        ("Nordmann", "nordmann"), ("O'Leary", "oleary"), ("Müller", "muller"),
        ("da Silva", "dasilva"), ("Okafor", "okafor"), ("García Núñez", "garcia"),
        ("Dupont-Lévy", "dupont"), ('Smith "Smitty"', "smith"), ("Kamau", "kamau"),
        ("Ødegård", "odegard"), ("Doe, Jr.", "doe"), ("Costa", "costa"),
    ),
    "cyrillic": (("Шевчук", "shevchuk"), ("Коваль", "koval"), ("Мельник", "melnyk")),
    "greek": (("Παππάς", "pappas"), ("Δήμου", "dimou"), ("Βλάχος", "vlachos")),
    "arabic": (("حسن", "hassan"), ("النجار", "elnaggar"), ("منصور", "mansour")),
    "hebrew": (("כהן", "cohen"), ("מזרחי", "mizrahi"), ("לוי", "levi")),
    "han": (("王", "wang"), ("佐藤", "sato"), ("林", "lin")),
    "indic": (("शर्मा", "sharma"), ("पटेल", "patel"), ("Rao", "rao")),
}  # fmt: skip

# Codes as the LMS stores them, with what learners leave out or old versions let through.
GENDERS = (("m", 0.44), ("f", 0.4), ("o", 0.02), ("", 0.06), (None, 0.08))
EDUCATIONS = (
    ("b", 0.3), ("m", 0.22), ("hs", 0.15), ("p", 0.04), ("p_se", 0.01), ("p_oth", 0.01),
    ("a", 0.06), ("jhs", 0.03), ("el", 0.01), ("none", 0.01), ("other", 0.03),
    ("", 0.05), (None, 0.06), ("xyz", 0.02),
)  # fmt: skip

GOALS = (
    None,
    "",
    "A better job",
    "Curiosity, mostly",
    'My teacher said: "Try it!"',
    "Apprendre à apprendre\nun peu chaque jour",
    "تعلم شيء جديد",
    "🎓🙂",
)


@dataclass(slots=True)
class Learner:
    """One account. ``ability`` and ``zeal`` lie in (0, 1); ``home`` is the usual address."""

    user_id: int
    username: str
    country: Country
    home: str
    away: str
    agent: int
    ability: float
    zeal: float
    has_app: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """A row of ``auth_userprofile`` (specs/edx-enrollment-geography §2.10)."""

    name: str
    gender: str | None
    year_of_birth: int | None
    level_of_education: str | None
    goals: str | None


def draw_learner(random: Random, user_id: int) -> tuple[Learner, str]:
    """A learner and the learner's full name."""
    draw = random.random
    country = draw_country(random)
    given = _pick(GIVEN[country.script], draw())
    family = _pick(FAMILY[country.script], draw())
    # The LMS allows user names in any script where the operator switched that on.
    username = f"{given[0 if draw() < 0.15 else 1].lower()}_{family[1][:6]}{user_id}"
    learner = Learner(
        user_id=user_id,
        username=username,
        country=country,
        home=draw_address(random, country),
        away="",
        agent=int(draw() * 5),
        ability=0.25 + 0.7 * draw(),
        zeal=0.2 + 0.8 * draw(),
        has_app=draw() < 0.35,
    )
    if draw() < 0.08:
        learner.away = draw_address(random, draw_country(random))
    return learner, f"{given[0]} {family[0]}"


def draw_country(random: Random) -> Country:
    mark = random.random() * _TOTAL
    for country in COUNTRIES:
        mark -= country.weight
        if mark < 0:
            return country
    return COUNTRIES[0]


def draw_address(random: Random, country: Country) -> str:
    """An address of the country; one in 20 is private or of a network without a country."""
    draw = random.random
    kind = draw()
    low = 1 + int(draw() * 254)
    if kind < 0.03:
        return f"10.{int(draw() * 8)}.{int(draw() * 256)}.{low}"
    if kind < 0.05:
        return f"192.0.2.{low}"
    if kind < 0.12:
        return f"2001:db8:{country.block:x}:{int(draw() * 4096):x}::{low:x}"
    third = 32 * (country.block % 8) + int(draw() * 32)
    return f"198.{18 + country.block // 8}.{third}.{low}"


def draw_profile(random: Random, name: str) -> Profile:
    draw = random.random
    year: int | None = 2025 - int(17 + 60 * draw() ** 2)
    odd = draw()
    if odd < 0.08:
        year = None
    elif odd < 0.09:
        year = 1900
    return Profile(
        name=name,
        gender=_weighted(GENDERS, draw()),
        year_of_birth=year,
        level_of_education=_weighted(EDUCATIONS, draw()),
        goals=_pick(GOALS, draw() ** 2),
    )


def _pick(items: Sequence[T], share: float) -> T:
    return items[int(share * len(items))]


def _weighted(items: Sequence[tuple[str | None, float]], mark: float) -> str | None:
    for item, weight in items:
        mark -= weight
        if mark < 0:
            return item
    return items[0][0]


_TOTAL = sum(country.weight for country in COUNTRIES)
