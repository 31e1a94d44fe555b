"""Settings of jobs at work: what workers do, and whom they tell."""

from __future__ import annotations

from studium.settings.kinds import JobEvents, Number, Texts, Whole
from studium.settings.section import Section, key


class WorkerSettings(Section):
    """Workers, which run jobs."""

    slots: Whole = key(
        0, "Units that one worker runs at once; 0: one a core.", "a whole number, 0 or more", ge=0
    )
    per_owner: Whole = key(
        0,
        "Units of one owner that run at once, over all workers; 0: no limit.",
        "a whole number, 0 or more",
        ge=0,
    )
    per_launcher: Texts = key(
        [],
        'Units that run at once on a launcher, over all workers: ["container=4"].',
        "a list of NAME=NUMBER",
    )
    lease: Number = key(
        60.0,
        "Seconds without a sign of life after which another worker takes a job over.",
        "seconds, 1 or more",
        ge=1,
        allow_inf_nan=False,
    )
    grace: Number = key(
        30.0,
        "Seconds for which a unit must be missing before it counts as lost.",
        "seconds, 0 or more",
        ge=0,
        allow_inf_nan=False,
    )
    abandoned: Number = key(
        3600.0,
        "Seconds after which a worker takes over what runs on another machine, and cannot be "
        "adopted there any more.",
        "seconds, 1 or more",
        ge=1,
        allow_inf_nan=False,
    )
    tries: Whole = key(
        3,
        "How often a step that crashes is tried before its job has failed.",
        "a whole number, 1 or more",
        ge=1,
    )
    step: Number = key(
        7200.0,
        "Seconds that one step may take: staging, building an image, collecting.",
        "seconds, 1 or more",
        ge=1,
        allow_inf_nan=False,
    )


class NotifySettings(Section):
    """Who is told of jobs, and how."""

    urls: Texts = key(
        [],
        "Addresses as Apprise writes them that are told of every job. They hold secrets: set "
        "STUDIUM_NOTIFY__URLS instead.",
        "a list of texts (in the environment: one text, or a JSON array)",
    )
    mail: str = key(
        "",
        "The mail server for addresses that jobs name, as Apprise writes it and without to=: "
        "mailto://smtp.example.org?from=studium@example.org; with a password: in "
        "STUDIUM_NOTIFY__MAIL. Empty: jobs may name none.",
        "a mailto:// or mailtos:// address",
        pattern="^(mailtos?://.+)?$",
    )
    callbacks: Texts = key(
        [],
        "Where jobs may have their events posted to: https://hooks.example.org, "
        "https://*.example.org, http://intranet:8080. Empty: nowhere.",
        "a list of origins: scheme, host, and port if it is another than the scheme's",
    )
    networks: Texts = key(
        [],
        "Networks that are not public and may be posted to, e.g. 10.1.0.0/16. Without, only "
        "public addresses are.",
        "a list of networks",
    )
    events: JobEvents = key(
        ["queued", "started", "progress", "failed", "result ready", "cancelled"],
        "What is told; progress is at a quarter, a half and three quarters of the units.",
        "a list of queued, started, progress, failed, result ready, cancelled",
    )
    timeout: Number = key(
        10.0,
        "Seconds that a receiver of a callback has.",
        "seconds, 0.1 to 60",
        ge=0.1,
        le=60,
    )
    attempts: Whole = key(
        10,
        "How often a message is tried, with growing pauses, before it is given up.",
        "a whole number, 1 or more",
        ge=1,
    )
    pause: Number = key(
        15.0,
        "Seconds before the second try; doubled for each further one, up to an hour.",
        "seconds, 0 or more",
        ge=0,
        allow_inf_nan=False,
    )
