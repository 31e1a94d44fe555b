"""Images of jobs: found by digest, loaded from an archive, built from a submitted folder.

A build runs a stranger's commands, so it has no data: by Podman it runs in namespaces of its own,
where the site's folders are covered, with a storage of its own that is thrown away. Only the image
that it made is brought over. Rules: specs/morf §7.5; design §3.5.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from studium.errors import BuildError, LaunchError
from studium.jobs.launchers.container.dockerfile import (
    check_dockerfile,
    find_bases,
    find_dockerfile,
    measure_context,
)
from studium.jobs.launchers.container.runtime import (
    Runtime,
    call,
    environment,
    last_line,
    run_folder,
)

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""How a unit names its image; a tag could be another image tomorrow."""

_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,120}")
_REPOSITORY = "localhost/studium-job"
_CAPABILITIES = ("chown", "dac_override", "fowner", "fsetid", "setfcap", "setgid", "setuid")
"""What installing packages needs, inside the namespaces of the build step."""

# The site's folders are covered before anything of the submission is looked at.
_COVER = """
while [ "$1" != -- ]; do
  if [ ! -e "$1" ]; then :; elif [ -d "$1" ]; then mount -t tmpfs -o size=4k,mode=0 tmpfs "$1"; else
  mount --bind /dev/null "$1"; fi || exit 125
  shift
done
shift; exec "$@"
"""


@dataclass(frozen=True, slots=True)
class BuildPolicy:
    """What a build may have. Sizes are in bytes."""

    network: str = "none"  # or a network of the program: bridge, slirp4netns, host
    seconds: float = 1800.0
    context: int = 256 * 2**20
    image: int = 16 * 2**30  # of the storage that the build fills
    memory: int = 4 * 2**30
    processes: int = 1024
    log: int = 2**20
    hidden: tuple[Path, ...] = ()  # files and folders that no build sees, whatever it breaks


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the storage; ``made`` is a day, ``size`` as the program writes it."""

    name: str
    digest: str
    made: str
    size: str


def all_images(runtime: Runtime) -> list[Image]:
    """Every named image of the storage but the probe's."""
    format_ = "{{.Repository}}:{{.Tag}}\t{{.ID}}\t{{.CreatedAt}}\t{{.Size}}"
    done = call(runtime.command("images", "--no-trunc", f"--format={format_}"))
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [
        Image(name, digest, made[:10], size)
        for name, digest, made, size in rows
        if not name.startswith(("localhost/studium-probe:", "<none>"))
    ]


def pull_image(runtime: Runtime, name: str, seconds: float = 1800.0) -> str:
    """Bring ``name@sha256:…`` from its registry; the digest by which it is run.

    Raises BuildError (image not found).
    """
    done = call(runtime.command("pull", "--quiet", name), seconds=seconds)
    digest = None if done.returncode else resolve_image(runtime, name)
    if digest is None:
        raise BuildError(
            f"{name} could not be pulled: {last_line(done.stderr)}",
            "Look at the name; `studium image load` takes a file.",
            missing=True,
        )
    return digest


def find_image(runtime: Runtime, name: str) -> str | None:
    """The digest of an image in the storage, by its name or digest; None if there is none."""
    done = call(runtime.command("image", "inspect", "--format={{.Id}}", name))
    if done.returncode:
        return None
    found = done.stdout.strip()
    return found if found.startswith("sha256:") else f"sha256:{found}"


def resolve_image(runtime: Runtime, image: str) -> str | None:
    """The digest by which it is run, of what a spec names: ``sha256:…`` or ``name@sha256:…``."""
    return find_image(runtime, image) or find_image(runtime, image.rpartition("@")[2])


def image_volumes(runtime: Runtime, digest: str) -> list[str]:
    """The folders that an image declares as volumes."""
    format_ = "{{range $path, $_ := .Config.Volumes}}{{println $path}}{{end}}"
    done = call(runtime.command("image", "inspect", f"--format={format_}", digest))
    return [line for line in done.stdout.splitlines() if line.startswith("/")]


def load_image(runtime: Runtime, archive: Path, seconds: float = 1800.0) -> str:
    """Bring an image that ``podman save`` or ``docker save`` wrote; its digest.

    Raises BuildError (image not found) if it is no such file.
    """
    done = call(runtime.command("load", f"--input={archive}"), seconds=seconds)
    names: list[str] = re.findall(r"(?m)^Loaded image(?: ID)?(?:\(s\))?: (\S+)$", done.stdout)
    digest = find_image(runtime, names[-1]) if names else None
    if done.returncode or not digest:
        raise BuildError(
            f"No image could be loaded from {archive.name}: {last_line(done.stderr)}",
            "Write it with `podman save` or `docker save`.",
            missing=True,
        )
    return digest


def remove_image(runtime: Runtime, digest: str) -> None:
    """Remove an image that no container uses. Idempotent."""
    if find_image(runtime, digest):
        done = call(runtime.command("image", "rm", "--force", digest))
        if done.returncode:
            raise LaunchError(f"The image could not be removed: {last_line(done.stderr)}")


def build_image(
    runtime: Runtime,
    context: Path,
    key: str,
    policy: BuildPolicy,
    log: Path | None = None,
    dockerfile: str = "",
) -> str:
    """Build the Dockerfile of a folder, with nothing but the folder; the image's digest.

    ``dockerfile`` is its path in the folder; empty: Dockerfile or Containerfile at the top. ``key``
    names both and the folder's content: an image that was built under it is taken as it is. What
    the build writes goes to ``log``; it has seen no data, so its submitter may read it. Raises
    BuildError: the base image is ``missing``, or a step failed, or a limit was met.
    """
    assert _KEY.fullmatch(key), key
    tag = f"{_REPOSITORY}:{key}"
    if found := find_image(runtime, tag):
        return found
    text = _check(runtime, context, policy, dockerfile)
    with _workplace(runtime) as folder:
        log = log or folder / "log"
        copy = folder / "context"
        shutil.copytree(context, copy, symlinks=True)
        (folder / "Dockerfile").write_text(text, "utf-8")
        iid = folder / "iid"
        named = ["--file", str(folder / "Dockerfile"), "--iidfile"]
        words = _build_words(runtime, policy, folder, named)
        code, why = _run([*words, str(iid), "--tag", tag, str(copy)], folder, policy, log)
        if why or code:
            raise _failure(log, why)
        digest = iid.read_text("ascii").strip()
        if runtime.kind == "podman":
            _bring(runtime, folder, tag)
    if find_image(runtime, digest) is None:
        raise BuildError("The image was built but is not in the storage.", "Submit it again.")
    return digest


def _check(runtime: Runtime, context: Path, policy: BuildPolicy, dockerfile: str) -> str:
    """The text of the Dockerfile, which is built as it was looked at."""
    path = find_dockerfile(context, dockerfile)
    if path is None:
        raise BuildError(
            f"The folder has no {dockerfile or 'Dockerfile'}.", "Put it there, as a file."
        )
    if why := measure_context(context, policy.context):
        raise BuildError(why, "Leave out what the image does not need.")
    text = path.read_text("utf-8", "replace")
    if reasons := check_dockerfile(text):
        raise BuildError(reasons[0])
    if runtime.kind == "docker" and policy.network == "none":  # Docker would ask a registry
        for base in find_bases(text):
            if find_image(runtime, base) is None:
                raise _baseless(base)
    return text


@contextmanager
def _workplace(runtime: Runtime) -> Iterator[Path]:
    """A folder for one build, and nothing of it afterwards."""
    parent = runtime.store / "builds" if runtime.store else None
    if parent:
        parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="build-", dir=parent))
    try:
        (folder / "tmp").mkdir()
        yield folder
    finally:
        # Podman mounts the folder of its layers upon itself.
        subprocess.run(
            ["umount", "--lazy", folder / "store" / "overlay"],
            capture_output=True, env=environment(), check=False,
        )  # fmt: skip
        shutil.rmtree(run_folder(folder), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _build_words(
    runtime: Runtime, policy: BuildPolicy, folder: Path, arguments: list[str]
) -> list[str]:
    flags = [
        f"--network={policy.network}",
        f"--memory={policy.memory}",
        f"--memory-swap={policy.memory}",
        "--ulimit=nofile=1024:1024",
        "--force-rm",
        "--no-cache",
    ]
    if runtime.kind == "docker":
        pull = [] if policy.network == "none" else ["--pull"]
        return [*runtime.command("build"), *flags, *pull, *arguments]
    flags += [
        "--isolation=oci",
        "--layers=false",
        "--format=docker",
        "--http-proxy=false",
        "--no-hosts",
        f"--ulimit=nproc={policy.processes}:{policy.processes}",
        f"--pull={'never' if policy.network == 'none' else 'missing'}",
        "--cap-drop=all",
        *(f"--cap-add={name}" for name in _CAPABILITIES),
    ]
    if "cgroups" in runtime.without:
        flags = [flag for flag in flags if not flag.startswith("--memory")]
    elif "swap" in runtime.without:
        flags = [flag for flag in flags if not flag.startswith("--memory-swap")]
    apart = ["--net"] if policy.network == "none" else []
    hidden = [str(path) for path in policy.hidden if path.exists()]
    return [
        # Everything of it ends with this process, whatever ends this process.
        "setpriv", "--pdeathsig=KILL",
        "unshare", *apart, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
        "sh", "-c", _COVER, "sh", *hidden, "--",
        *runtime.command("build", *flags, *arguments, store=folder),
    ]  # fmt: skip


def _run(words: Sequence[str], folder: Path, policy: BuildPolicy, log: Path) -> tuple[int, str]:
    """Run a build within its limits: its exit code, and why it was ended, if it was."""
    env = {**environment(), "TMPDIR": str(folder / "tmp"), "DOCKER_BUILDKIT": "0"}
    started, room, why = time.monotonic(), policy.log, ""
    try:
        build = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=env, cwd=folder, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise LaunchError(
            f"{words[0]} cannot be started: {error.strerror}.", "Install util-linux."
        ) from None
    assert build.stdout
    os.set_blocking(build.stdout.fileno(), False)
    with build, selectors.DefaultSelector() as selector, log.open("wb") as kept:
        selector.register(build.stdout, selectors.EVENT_READ)
        looked = started
        while True:
            if selector.select(timeout=0.5):
                data = build.stdout.read(65536)
                if data == b"":
                    break
                kept.write((data or b"")[:room])
                kept.flush()  # it is looked at while it grows
                room -= min(room, len(data or b""))
            now = time.monotonic()
            if now - started > policy.seconds:
                why = f"It took more than {policy.seconds:g} seconds."
            elif now - looked > 2:
                looked = now
                if _size(folder) > policy.image:
                    why = f"It filled more than {policy.image:,} bytes."
            if why:
                with suppress(ProcessLookupError):
                    os.killpg(build.pid, signal.SIGKILL)
                break
    return build.wait(), why


def _size(folder: Path) -> int:
    """Bytes on the disk below a folder, also of files that vanish meanwhile."""
    total = 0
    for top, _folders, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(top, name)).st_blocks * 512
    return total


def _failure(log: Path, why: str) -> BuildError:
    """A build's end, by its log: without a step after FROM there was no base image."""
    with log.open("r", encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    steps = [line for line in lines if re.match(r"(\[\d+/\d+\] )?STEP \d+|Step \d+/", line)]
    missing = not why and bool(steps) and re.search(r": ?FROM ", steps[-1]) is not None
    if missing:
        base = steps[-1].split("FROM ")[-1].strip()
        return _baseless(base)
    return BuildError(
        f"The image could not be built. {why or last_line(os.linesep.join(lines))}",
        "`studium job logs JOB --build` shows what it wrote.",
    )


def _baseless(base: str) -> BuildError:
    return BuildError(
        f"The base image {base} was not found.", "Ask for it, or use another.", missing=True
    )


def _bring(runtime: Runtime, folder: Path, tag: str) -> None:
    """Copy an image from the storage of its build to that of units."""
    archive = folder / "image.tar"
    save = runtime.command(
        "save", "--format=docker-archive", f"--output={archive}", tag, store=folder
    )
    for words in (save, runtime.command("load", f"--input={archive}")):
        done = call(words, seconds=1800)
        if done.returncode:
            raise BuildError(f"The image could not be kept: {last_line(done.stderr)}")
