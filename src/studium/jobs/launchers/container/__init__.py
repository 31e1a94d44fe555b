"""The container launcher: Podman or Docker by command line; and images of jobs."""

from studium.jobs.launchers.container.images import (
    BuildPolicy,
    Image,
    all_images,
    build_image,
    find_image,
    load_image,
    pull_image,
    remove_image,
    resolve_image,
)
from studium.jobs.launchers.container.installation import STORE, build_policy, container_launcher
from studium.jobs.launchers.container.launcher import ContainerLauncher
from studium.jobs.launchers.container.preparation import build_log, prepare_image, read_image

__all__ = [
    "STORE",
    "BuildPolicy",
    "ContainerLauncher",
    "Image",
    "all_images",
    "build_image",
    "build_log",
    "build_policy",
    "container_launcher",
    "find_image",
    "load_image",
    "prepare_image",
    "pull_image",
    "read_image",
    "remove_image",
    "resolve_image",
]
