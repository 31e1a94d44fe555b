"""The reference page on `studium task`, made from the table of tasks."""

from __future__ import annotations

from collections.abc import Iterable

from docs.generate.layout import NOTE, SPECS, markdown_table
from studium.migrate.options import LUIGI, REMOTE, Fate, Option
from studium.migrate.tasks import TASKS, Task


def tasks_page() -> str:
    """Every task with what it does here, and every option with what becomes of it."""
    shared = {option.name for option in LUIGI}
    meanings: dict[Option, list[Task]] = {}
    for task in TASKS.values():
        for option in task.options.values():
            if option.name not in shared:
                plain = Option(option.name, option.fate, option.says, option.flag)
                meanings.setdefault(plain, []).append(task)
    parts = [
        NOTE.format(source="src/studium/migrate"),
        "# Old tasks\n",
        "What `studium task` does for each task of the edX analytics pipeline, and what becomes of "
        "its options. How to use it: [From the old pipeline](../how-to/from-the-old-pipeline.md). "
        "`studium task --list` says which tasks this version can do, `studium task NAME --help` "
        "shows the options of one.\n",
        SPECS.format(suffices="what matters for reading a table is in [Tables](tables.md)"),
        "## Tasks\n",
        markdown_table(
            ["task", "does here", "tables", "rule"],
            (
                [
                    f"`{task.name}`",
                    task.does,
                    ", ".join(f"`{name}`" for name in task.tables),
                    task.rule.removeprefix("specs/"),
                ]
                for task in TASKS.values()
            ),
        ),
        "“The day tables” of a lens are those with one partition per day. A task that did one step "
        "of a workflow builds what that step fed and publishes nothing.\n",
        "## Options of tasks\n",
        "Dashes and underscores are the same, and so are `--name value` and `--name=value`. "
        "“Passed over” is said once on standard error; “refused” ends the command with code 2 "
        "before anything is done.\n",
    ]
    for fate in Fate:
        parts += [f"### {fate.capitalize()}\n", _options(meanings, fate)]
    parts += [
        "## Options of every task\n",
        markdown_table(["option", "", ""], ([_shown(o), o.fate.value, o.says] for o in LUIGI)),
        "## Options of remote-task\n",
        "Passed over before and after the task; no other machine is contacted: "
        + ", ".join(_shown(option) for option in REMOTE)
        + ".\n",
    ]
    return "\n".join(parts)


def _options(meanings: dict[Option, list[Task]], fate: Fate) -> str:
    chosen = sorted((o for o in meanings if o.fate is fate), key=lambda o: (o.name, o.says))
    return markdown_table(
        ["option", "what becomes of it", "of"],
        ([_shown(option), option.says, _names(meanings[option])] for option in chosen),
    )


def _names(tasks: Iterable[Task]) -> str:
    names = [f"`{task.name}`" for task in tasks]
    able = len(TASKS)
    if len(names) <= 3:
        return ", ".join(names)
    return "every task" if len(names) == able else f"{len(names)} tasks"


def _shown(option: Option) -> str:
    return f"`--{option.name}`" if option.flag else f"`--{option.name} VALUE`"
