"""What may leave the site of jobs on protected data."""

from __future__ import annotations

from studium.settings.kinds import Size, Texts, Whole
from studium.settings.section import Section, key


class DisclosureSettings(Section):
    """What may leave of jobs on protected data."""

    minimum: Whole = key(
        10,
        "Learners that a published number stands for at least: rows with fewer are withheld, and "
        "others with them, so that nobody can compute them.",
        "a whole number, 2 or more",
        ge=2,
    )
    rounding: Whole = key(
        5,
        "Published counts are rounded to a multiple of it; 1: not at all.",
        "a whole number, 1 or more, not above disclosure.minimum",
        ge=1,
    )
    decimals: Whole = key(
        3, "Decimals of other published numbers.", "a whole number, 0 to 6", ge=0, le=6
    )
    max_bytes: Size = key(
        "10MB", "Size of all files of a release together.", "a number and a unit: 500kB, 10MB"
    )
    max_rows: Whole = key(
        2_000, "Rows of a released table.", "a whole number, 1 to 5000", ge=1, le=5_000
    )
    max_files: Whole = key(
        200, "Files and folders that a job may leave.", "a whole number, 1 or more", ge=1
    )
    types: Texts = key(
        ["csv", "parquet", "json"],
        "Types that may leave: csv, parquet, json; also png, svg and text, which nobody but a "
        "person can check for what they show of learners.",
        "a list of csv, parquet, json, png, svg, text",
    )
