"""Settings of jobs: where they run, what they may read, what is kept of them."""

from __future__ import annotations

from typing import Literal

from studium.settings.kinds import Number, Size, Texts, UidRange, Whole
from studium.settings.section import Section, key


class JobsSettings(Section):
    """Jobs: other people's code over the lake."""

    folder: str = key("jobs", "Folder of the jobs, relative to the site.", "a folder", min_length=1)
    launcher: str = key(
        "sandbox",
        "Where jobs run that do not say: sandbox, container.",
        "the name of a launcher",
        pattern="^[a-z0-9-]{1,60}$",
    )
    guarantees: Texts = key(
        [
            "no network",
            "own filesystem",
            "read-only inputs",
            "unprivileged user",
            "no capabilities",
            "no new privileges",
            "output limit",
            "time limit",
        ],
        "What a launcher must guarantee on this machine; without one of them it runs nothing. "
        "`studium doctor --jobs` shows what each can.",
        "a list of guarantees",
    )
    uids: UidRange = key(
        "",
        "Numbers of users that nobody else on the machine has, e.g. 900000-900999: each running "
        "unit gets one. Empty: the launcher's own choice.",
        "two numbers above 999, FIRST-LAST",
    )
    runtime: Texts = key(
        [],
        "Folders of the machine that jobs in the sandbox see, read-only, beside /usr: e.g. a "
        "Python with pandas. Studium's own Python is always there.",
        "a list of folders",
    )
    build_network: str = key(
        "none",
        "Network of the steps that build a submitted Dockerfile, which sees no data: none, or as "
        "podman and docker call it: bridge, slirp4netns. With host they reach this machine's own "
        "services. With any but none the builder itself fetches base images by this machine's "
        "network. ADD takes files of the folder only, whatever is set here.",
        "none or the name of a network",
        pattern="^[A-Za-z0-9][A-Za-z0-9_.:-]{0,100}$",
    )
    legacy: Literal["refuse", "allow"] = key(
        "refuse",
        "Whether jobs may ask for the profile legacy, for images that start servers of their own "
        "as root. Root is nobody outside, but has capabilities over its own files and processes.",
        "refuse or allow",
    )
    sources: Texts = key(
        [],
        "Folders of the machine whose files may be inputs; relative ones start at the site.",
        "a list of folders",
    )
    data: Literal["protected", "synthetic", "open"] = key(
        "protected",
        "What the lake and jobs.sources hold. Logs of jobs on protected data are not shown to "
        "those who submit them, and what leaves is checked for few learners.",
        "protected, synthetic or open",
    )
    submission: Size = key(
        "500MB",
        "Largest folder or zip with code that is taken, unpacked.",
        "a number and a unit: 500MB, 2GiB",
    )
    quota: Size = key(
        "20GB",
        "Room that all jobs of one owner may take before no more are accepted.",
        "a number and a unit: 500MB, 20GB, 1TB",
    )
    max_memory: Size = key(
        "64GB", "Most memory that a unit may ask for.", "a number and a unit: 8GiB, 64GB"
    )
    max_cpus: Number = key(
        32.0, "Most cores that a unit may ask for.", "a number above 0", gt=0, allow_inf_nan=False
    )
    max_processes: Whole = key(
        4_096,
        "Most processes and threads that a unit may ask for.",
        "a whole number, 1 or more",
        ge=1,
    )
    max_time: Whole = key(
        7 * 86_400,
        "Most seconds of wall clock that a unit may ask for; the default is a week.",
        "seconds, 1 or more",
        ge=1,
    )
    max_output: Size = key(
        "100GB", "Most room in /output that a unit may ask for.", "a number and a unit: 10GB, 1TB"
    )
    max_scratch: Size = key(
        "64GB",
        "Most room in /tmp, which is memory or disk, that a unit may ask for.",
        "a number and a unit: 10GB, 1TB",
    )
    max_log: Size = key(
        "1GB",
        "Most of stdout, and of stderr, that a unit may ask to be kept.",
        "a number and a unit: 10MB, 1GB",
    )
    keep: Whole = key(
        30,
        "Days that a job that has ended is kept; 0: until it is deleted.",
        "a whole number, 0 or more",
        ge=0,
    )
