"""The image of a job: found, or built from its code, and noted in the job's folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from studium.errors import BuildError, LaunchError
from studium.jobs.folder import JobFolder, write_whole
from studium.jobs.launchers.container.images import build_image, find_image, resolve_image
from studium.jobs.launchers.container.installation import build_policy, container_launcher
from studium.jobs.spec import JobSpec
from studium.jobs.states import FailedError, Failure
from studium.jobs.submission import read_submission
from studium.site import Site


def prepare_image(site: Site, folder: JobFolder, spec: JobSpec) -> None:
    """See that the image of a job is there; a Dockerfile is built, unless its like was before.

    Idempotent. Pre-condition: its code is taken. Raises FailedError: IMAGE, BUILD, or REFUSED if
    there is no container program.
    """
    if not spec.image and not spec.dockerfile:
        return
    try:
        runtime = container_launcher(site).runtime()
    except LaunchError as error:
        raise FailedError(Failure.REFUSED, error.message, error.hint) from None
    noted = read_image(folder)
    if noted and find_image(runtime, noted):
        return
    if spec.image:
        digest = resolve_image(runtime, spec.image)
        if digest is None:
            raise FailedError(
                Failure.IMAGE,
                f"The image {spec.image} is not in the storage of {runtime.kind}.",
                "Bring it with `studium image pull` or `studium image load`.",
            )
    else:
        assert spec.dockerfile
        code = read_submission(folder)
        assert code, "a job with a Dockerfile has code"
        content = f"{spec.dockerfile}\n{code.fingerprint}"
        key = hashlib.sha256(content.encode()).hexdigest()[:40]
        policy, log = build_policy(site), build_log(folder)
        try:
            digest = build_image(runtime, folder.code, key, policy, log, spec.dockerfile)
        except BuildError as error:
            failure = Failure.IMAGE if error.missing else Failure.BUILD
            raise FailedError(failure, error.message, error.hint) from None
    write_whole(_note(folder), json.dumps({"digest": digest}))


def read_image(folder: JobFolder) -> str | None:
    """The digest of a job's image, as ``prepare_image`` noted it."""
    try:
        return str(json.loads(_note(folder).read_bytes())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def build_log(folder: JobFolder) -> Path:
    """What the build of its image wrote. It has seen no data: its submitter may read it."""
    return folder.path / "build.log"


def _note(folder: JobFolder) -> Path:
    return folder.path / "image.json"
