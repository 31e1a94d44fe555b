"""Transcripts: fenced ``console`` blocks, run and compared with what they show.

A line ``$ …`` is a command and ``> …`` continues it; the other lines are what it prints (both
streams). ``…`` in an expected line stands for any text, a line that is only ``…`` for any lines.
All blocks of a page run in one shell. A command must succeed unless ``$ echo $?`` follows it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

FENCE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMEOUT = 300
_MARK = "@@studium-transcript@@"


@dataclass(frozen=True)
class Step:
    """One command of a page. ``line`` is where it stands, counted from 1; so is ``end``, the first
    line after what it prints."""

    command: str
    expected: tuple[str, ...]
    line: int
    shown: int
    end: int


@dataclass(frozen=True)
class Outcome:
    """What a command printed and returned."""

    printed: tuple[str, ...]
    code: int


def read_steps(text: str) -> list[Step]:
    """The commands of a page, in order."""
    steps: list[Step] = []
    for block in FENCE.finditer(text):
        first = text.count("\n", 0, block.start(1)) + 1
        steps += _steps_of_block(block[1].splitlines(), first)
    return steps


def _steps_of_block(lines: Sequence[str], first: int) -> Iterator[Step]:
    at = 0
    if lines and not lines[0].startswith("$ "):
        raise ValueError(f"line {first}: a console block begins with a command, `$ …`")
    while at < len(lines):
        start, command = at, [lines[at][2:]]
        at += 1
        while at < len(lines) and (lines[at] == ">" or lines[at].startswith("> ")):
            command.append(lines[at][2:])
            at += 1
        shown = at
        while at < len(lines) and not lines[at].startswith("$ "):
            at += 1
        expected = tuple(lines[shown:at])
        yield Step("\n".join(command), expected, first + start, first + shown, first + at)


def run_steps(steps: Sequence[Step], folder: Path, environment: Mapping[str, str]) -> list[Outcome]:
    """Run the commands in one shell in ``folder``; ``environment`` comes above the present one, of
    which nothing that is Studium's is kept."""
    script = "".join(
        f"{step.command}\n__code=$?; printf '\\n{_MARK} %s\\n' $__code; (exit $__code)\n"
        for step in steps
    )
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script],
        cwd=folder,
        env={
            **_clean(os.environ),
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT,
        check=False,
    )
    outcomes = []
    printed: list[str] = []
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        if not line.startswith(_MARK):
            printed.append(line)
            continue
        if printed and not printed[-1]:  # the newline that makes the mark a line of its own
            printed.pop()
        outcomes.append(Outcome(tuple(printed), int(line.split()[1])))
        printed = []
    if len(outcomes) != len(steps):
        raise AssertionError(f"the shell ended early, after {len(outcomes)} commands: {printed}")
    return outcomes


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    # Without PYTHON…: every command would compile all its modules again if that says so.
    return {k: v for k, v in environment.items() if not k.startswith(("STUDIUM_", "PYTHON"))}


def problems(steps: Sequence[Step], outcomes: Sequence[Outcome]) -> list[str]:
    """What differs from the page, for people."""
    found = []
    for number, (step, outcome) in enumerate(zip(steps, outcomes, strict=True)):
        place = f"line {step.line}: $ {step.command}"
        asked = number + 1 < len(steps) and steps[number + 1].command == "echo $?"
        if outcome.code and not asked:
            found.append(f"{place}\nfailed with code {outcome.code}:\n" + _text(outcome.printed))
        elif not agrees(step.expected, outcome.printed):
            found.append(
                f"{place}\nis documented to print\n{_text(step.expected)}"
                f"\nand printed\n{_text(outcome.printed)}"
            )
    return found


def agrees(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether what was printed fits the pattern of the page."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"[ \t]*\n"
        for line in expected
    )
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in printed)) is not None


def refreshed(text: str, steps: Sequence[Step], outcomes: Sequence[Outcome]) -> str:
    """The page with what the commands print now; lines with ``…`` that still fit stay."""
    lines = text.splitlines()
    for step, outcome in reversed(list(zip(steps, outcomes, strict=True))):
        if not agrees(step.expected, outcome.printed):
            lines[step.shown - 1 : step.end - 1] = _merged(step.expected, outcome.printed)
    return "\n".join(lines) + "\n"


def _merged(expected: Sequence[str], printed: Sequence[str]) -> list[str]:
    """``printed``, in which lines that a line of ``expected`` stands for are written as there."""
    open_lines = [line for line in expected if "…" in line and line != "…"]
    written = [
        next((line for line in open_lines if agrees([line], [one])), one.rstrip())
        for one in printed
    ]
    out: list[str] = []
    for tag, i, j, k, m in SequenceMatcher(None, list(expected), written).get_opcodes():
        gap = tag != "equal" and "…" in expected[i:j]
        out += ["…"] if gap else written[k:m]
    return out


def _text(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in lines) or "    (nothing)"
