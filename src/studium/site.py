"""A site: the directory with ``studium.toml`` that everything of one installation hangs off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from studium.errors import SiteError
from studium.s3 import Address, Mirror, Waits, is_s3
from studium.servers import is_server
from studium.settings import (
    FILE,
    Origin,
    Settings,
    load_settings,
    parse_size,
    render_template,
)

if TYPE_CHECKING:
    from studium.state import State
    from studium.state.lock import Holder


@dataclass(frozen=True)
class Site:
    """One site, open; a context manager that closes it.

    ``root`` is absolute; ``origins`` says where each setting came from, by dotted key.
    """

    root: Path
    settings: Settings
    origins: Mapping[str, Origin]

    @property
    def lake_dir(self) -> Path | Mirror:
        """Where the Delta tables are: a folder (absolute, not necessarily made yet), or one in S3
        with copies here."""
        lake = self.settings.lake
        if is_s3(lake.path):
            limit = parse_size(lake.cache)
            return Mirror(Address.parse(lake.path), self.cache, limit, self.waits)
        return self.root / lake.path

    @property
    def cache(self) -> Path:
        """Where files of a lake in S3 are kept for reading; not necessarily made yet."""
        return self.root / "cache"

    @property
    def scratch(self) -> Path:
        """Where files are staged before they are moved into the lake; not necessarily made yet."""
        return self.root / "scratch"

    @property
    def jobs_dir(self) -> Path:
        """Where the folders of jobs are; not necessarily made yet."""
        return self.root / self.settings.jobs.folder

    @property
    def waits(self) -> Waits:
        """How long to wait for S3."""
        return Waits(self.settings.s3.timeout, self.settings.s3.patience)

    @cached_property
    def state(self) -> State:
        """The state database, opened (and made, and migrated) on first use."""
        from studium.state import open_state

        return open_state(self.settings.state.url, self.root)

    @contextmanager
    def writer(
        self, command: str, on_wait: Callable[[Holder | None], None] = lambda holder: None
    ) -> Iterator[None]:
        """Hold the site's writer lock while ``command`` writes; LockedError after the wait.

        ``on_wait`` is told once whom it has to wait for.
        """
        from studium.state.lock import writer_lock

        wait = self.settings.site.lock_wait
        with ExitStack() as held:
            held.enter_context(writer_lock(self.root, command, wait, on_wait))
            if is_server(self.settings.state.url):
                from studium.state.sole import sole_writer

                held.enter_context(sole_writer(self.state, command, wait, on_wait))
            yield

    def close(self) -> None:
        """Close the state if it was opened. The site may be used again."""
        state = self.__dict__.pop("state", None)
        if state is not None:
            state.close()

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_site(path: Path | str, overrides: Mapping[str, object] | None = None) -> Site:
    """The site at ``path``; ``overrides`` are settings by dotted key, above all others.

    Raises SiteError if there is no ``studium.toml`` and SettingsError for what it says wrong.
    """
    root = Path(path).expanduser().resolve()
    if not (root / FILE).is_file():
        raise SiteError(
            f"{root} is not a Studium site: it has no {FILE}.",
            "Make one with `studium init DIR`, or choose one with --site DIR or STUDIUM_SITE.",
        )
    settings, origins = load_settings(root, overrides)
    return Site(root, settings, origins)


def init_site(
    path: Path | str,
    values: Mapping[str, object] | None = None,
    comments: Mapping[str, str] | None = None,
) -> Site:
    """Make a site at ``path`` (the folder is made if need be) and open it.

    ``values``, by dotted key, are set in its ``studium.toml``; the others stay commented out.
    ``comments`` say there where a value is from.

    Raises SiteError if there is one already, or if the folder cannot be written to.
    """
    root = Path(path).expanduser().resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        # "x" decides between two commands that make the same site.
        with (root / FILE).open("x", encoding="utf-8") as file:
            file.write(render_template(values, comments))
    except FileExistsError:
        if not root.is_dir():
            raise SiteError(f"{root} is a file.", "Name a folder for the site.") from None
        raise SiteError(
            f"{root} is a Studium site already.", f"Edit {root / FILE}, or choose another folder."
        ) from None
    except OSError as error:
        raise SiteError(
            f"No site can be made at {root}: {error.strerror or error}.",
            "Choose a folder that you may write to.",
        ) from None
    return open_site(root)
