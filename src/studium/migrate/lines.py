"""A command line of the old pipeline, taken apart."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from studium.errors import UsageError
from studium.migrate.options import LUIGI, REMOTE, Fate, Option
from studium.migrate.tasks import TASKS, Task

LAUNCHERS = ("launch-task", "remote-task")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")
_CONFIGS = ("override-config", "secure-config")


@dataclass(frozen=True)
class Line:
    """A task and its mapped options; ``notes`` say once what is passed over and why."""

    task: Task
    values: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def one(self, name: str) -> str | None:
        """The value of an option that counts once: the last one given."""
        return self.values[name][-1] if name in self.values else None


def read_line(words: Sequence[str]) -> Line:
    """``NAME --option value …``, whole lines of ``launch-task`` and ``remote-task`` included.

    Options may be written with dashes or underscores, with ``=`` or a blank. Raises UsageError for
    a task or option that there is not, with the nearest one; for one that is refused, with the
    reason; for a value or a required option that is missing.
    """
    launcher, rest, notes = _launcher(words)
    remote = {option.name: option for option in REMOTE} if launcher == "remote-task" else {}
    given, rest = _before_the_task(launcher, rest, remote)
    task = _task(rest[0])
    given += _options(task, rest[1:], remote)
    values = _values(task, given, remote)
    missing = [o.name for o in task.options.values() if o.required and o.name not in values]
    if missing:
        raise UsageError(
            f"{task.name} needs --{missing[0]}.", f"Give it: {task.options[missing[0]].says}."
        )
    return Line(task, values, (*notes, *_notes(task, given, remote)))


def read_task(words: Sequence[str]) -> Task:
    """The task that a line names, whatever its options; UsageError if there is none."""
    launcher, rest, _ = _launcher(words)
    return _task(_before_the_task(launcher, rest, {option.name: option for option in REMOTE})[1][0])


def _launcher(words: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """The launcher, if there is one, what follows it, and a note on each variable before it."""
    rest, notes = list(words), []
    while rest and _VARIABLE.fullmatch(rest[0]):
        notes.append(f"{rest.pop(0).partition('=')[0]}: passed over; settings are in studium.toml")
    name = PurePosixPath(rest[0]).name if rest else ""
    return (name, rest[1:], notes) if name in LAUNCHERS else ("", rest, notes)


def _before_the_task(
    launcher: str, words: Sequence[str], remote: Mapping[str, Option]
) -> tuple[list[tuple[Option, str]], list[str]]:
    """Options before the task, and what follows: the task first."""
    known = {option.name: option for option in LUIGI} | dict(remote)
    given: list[tuple[Option, str]] = []
    rest = list(words)
    while launcher and rest and rest[0].startswith("-"):
        name, value = _split(rest.pop(0))
        option = known.get(name) or Option(name, Fate.PASSED, "")
        if option.flag:
            value = _switch(option, value)
        elif value is None and rest and rest[0] not in TASKS and not rest[0].startswith("--"):
            value = rest.pop(0)
        given.append((option, value or ""))
    if not rest:
        line = f"The {launcher} line carries no task" if launcher else "No task is named"
        raise UsageError(f"{line}.", "`studium task --list` shows which there are.")
    return given, rest


def _task(name: str) -> Task:
    if name in TASKS:
        return TASKS[name]
    # A module may stand before the name: insights.enrollments.ImportEnrollmentsIntoMysql.
    last = name.rpartition(".")[2]
    if last in TASKS:
        return TASKS[last]
    lower = {task.lower(): task for task in TASKS}
    near = difflib.get_close_matches(last.lower(), lower, n=1, cutoff=0.5)
    hint = f"Did you mean {lower[near[0]]}? " if near else ""
    raise UsageError(
        f"There is no task {name}.", f"{hint}`studium task --list` shows which there are."
    )


def _options(
    task: Task, words: Sequence[str], remote: Mapping[str, Option]
) -> Iterable[tuple[Option, str]]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            raise UsageError(
                f"{word!r} is no option of {task.name}.",
                "Options begin with --; quote values with blanks in them.",
            )
        name, value = _split(word)
        option = task.options.get(name) or remote.get(name)
        if option is None:
            near = difflib.get_close_matches(name, task.options, n=1, cutoff=0.4)
            hint = f"Did you mean --{near[0]}? " if near else ""
            raise UsageError(
                f"{task.name} has no option --{name}.",
                f"{hint}`studium task {task.name} --help` shows which there are.",
            )
        if option.flag:
            if value is None and rest and rest[0].lower() in ("true", "false"):
                value = rest.pop(0)
            yield option, _switch(option, value)
        elif value is None and (not rest or rest[0].startswith("--")):
            raise UsageError(f"--{name} needs a value.", f"Write --{name}=VALUE.")
        else:
            yield option, rest.pop(0) if value is None else value


def _split(word: str) -> tuple[str, str | None]:
    name, separator, value = word.lstrip("-").partition("=")
    return name.replace("_", "-"), value if separator else None


def _switch(option: Option, value: str | None) -> str:
    if value is None or value.lower() in _TRUE:
        return "true"
    if value.lower() in _FALSE:
        return ""
    raise UsageError(f"--{option.name}={value} is neither true nor false.", "Write it alone.")


def _values(
    task: Task, given: Iterable[tuple[Option, str]], remote: Mapping[str, Option]
) -> dict[str, tuple[str, ...]]:
    values: dict[str, tuple[str, ...]] = {}
    for option, value in given:
        if option.fate is Fate.REFUSED and value and not _equal(value, option.unless):
            raise UsageError(
                f"--{option.name} is refused: {option.says}.",
                f"Take it out of the {task.name} line.",
            )
        if option.fate is Fate.MAPPED and value:
            earlier = values.get(option.name, ()) if option.many else ()
            values[option.name] = (*earlier, value)
    return values


def _equal(value: str, unless: str | None) -> bool:
    try:
        return unless is not None and float(value) == float(unless)
    except ValueError:
        return False


def _notes(
    task: Task, given: Iterable[tuple[Option, str]], remote: Mapping[str, Option]
) -> list[str]:
    """One line for every reason, with the options that it holds for."""
    reasons: dict[str, list[str]] = {}
    foreign: list[str] = []
    for option, value in given:
        if option.fate is not Fate.PASSED or (option.flag and option.says and not value):
            continue
        names = reasons.setdefault(option.says, []) if option.says else foreign
        if f"--{option.name}" not in names:
            names.append(f"--{option.name}")
    notes = [f"{', '.join(names)}: passed over; {says}" for says, names in reasons.items()]
    if foreign:
        where = "no other machine is contacted, the work is done here"
        notes.append(f"{', '.join(foreign)}: passed over; {where}")
    if any(f"--{name}" in foreign for name in _CONFIGS):
        notes.append("what a configuration says belongs into studium.toml: studium init --from-cfg")
    return notes
