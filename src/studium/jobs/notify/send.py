"""Send what is due. Nothing here can touch a job: a message that fails is tried again, and in the
end given up with a record (specs/jobs-hpc §7.16–20)."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from sqlalchemy import Connection

from studium.clock import utcnow
from studium.errors import StudiumError, UsageError
from studium.jobs.notify.callback import Letter, Refused, make_token, open_client, post
from studium.jobs.notify.events import text_of, title_of, to_json
from studium.jobs.notify.outbox import (
    Delivery,
    Kind,
    callback_key,
    digest,
    due,
    settle,
    take,
)
from studium.jobs.notify.receivers import Policy, check_callback, check_mail, read_policy
from studium.messages import send_message
from studium.settings.worker import NotifySettings
from studium.site import Site

LONGEST_PAUSE = 3600.0
_AT_ONCE = 16  # messages on their way at the same time
_MAIL_LIMIT = 60.0  # seconds; Apprise has limits of its own, of 4 to 15 seconds a step


@dataclass(frozen=True, slots=True)
class Sent:
    """What one round came to."""

    sent: int = 0
    failed: int = 0  # to be tried again
    given_up: int = 0


def check_receivers(receivers: list[str] | tuple[str, ...], settings: NotifySettings) -> None:
    """Raise UsageError unless every receiver that a job names can be told on this site."""
    policy = read_policy(settings.callbacks, settings.networks)
    for one in receivers:
        if "://" in one:
            check_callback(one, policy)
            continue
        check_mail(one)
        if not settings.mail:
            raise UsageError(
                f"notify: {one} cannot be told, as this site sends no mail for jobs.",
                "Its operator names a mail server in notify.mail.",
            )


def send_due(site: Site, now: datetime | None = None, limit: int = 200) -> Sent:
    """Send the messages that are due at ``now``, up to ``limit``; any number of processes may."""
    settings = site.settings.notify
    policy = read_policy(settings.callbacks, settings.networks)
    at = now or utcnow()
    with site.state.read() as conn:
        waiting = due(conn, at, limit)
    if not waiting:
        return Sent()
    # While it lasts nobody else takes them; the slowest come one after the other.
    rounds = 1 + len(waiting) // _AT_ONCE
    until = at + timedelta(seconds=rounds * (settings.timeout + _MAIL_LIMIT) + 60)
    with site.state.begin() as conn:
        key = callback_key(conn)
        taken = [one for one in waiting if take(conn, one, until)]
    outcomes = asyncio.run(_send_all(taken, settings, policy, key))
    count = {"sent": 0, "failed": 0, "given_up": 0}
    ended = now or utcnow()
    with site.state.begin() as conn:
        for one, refused in zip(taken, outcomes, strict=True):
            if refused is None:
                settle(conn, one, "sent", None, ended)
                count["sent"] += 1
            elif refused.final or one.tries + 1 >= settings.attempts:
                settle(conn, one, f"given up: {refused.why}", None, ended)
                count["given_up"] += 1
            else:
                again = ended + timedelta(seconds=pause_after(one.tries + 1, settings.pause))
                settle(conn, one, refused.why, again, ended)
                count["failed"] += 1
    return Sent(**count)


def token_of(conn: Connection, job: str) -> str:
    """The token that the callbacks of a job are signed with; ``conn`` must be one that may write,
    as the site's key is drawn at its first use."""
    return make_token(callback_key(conn), job)


def pause_after(tries: int, first: float) -> float:
    """Seconds before the next try: doubled each time up to an hour, and less by up to half at
    random, so that what failed together does not come back together."""
    whole = min(LONGEST_PAUSE, first * 2.0 ** min(tries - 1, 30))
    return whole * random.uniform(0.5, 1.0)


async def _send_all(
    taken: list[Delivery], settings: NotifySettings, policy: Policy, key: bytes
) -> list[Refused | None]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def guarded(one: Delivery) -> Refused | None:
        async with room:
            try:
                if one.kind is Kind.CALLBACK:
                    letter = _letter(one, key)
                    await post(client, letter, int(time.time()), policy, settings.timeout)
                else:
                    await _mail(one, settings)
            except Refused as refused:
                return refused
            except Exception as error:  # whatever a messenger does, the others are sent
                return Refused(type(error).__name__)
            return None

    async with open_client() as client:
        return await asyncio.gather(*map(guarded, taken))


def _letter(one: Delivery, key: bytes) -> Letter:
    return Letter(one.receiver, one.id, make_token(key, one.job), to_json(one.notice).encode())


async def _mail(one: Delivery, settings: NotifySettings) -> None:
    url = _address(one, settings)
    try:
        async with asyncio.timeout(_MAIL_LIMIT):
            troubles = await asyncio.to_thread(
                send_message, [url], title_of(one.notice), text_of(one.notice), "notify"
            )
    except TimeoutError:
        raise Refused("timeout") from None
    except StudiumError:
        raise Refused("studium[alerts] is not installed") from None
    if troubles:
        raise Refused("refused, or not reached")


def _address(one: Delivery, settings: NotifySettings) -> str:
    """The address of Apprise to send to."""
    if one.kind is Kind.SITE:
        found = [url for url in settings.urls if digest(url) == one.receiver]
        if not found:
            raise Refused("no longer in notify.urls", final=True)
        return found[0]
    if not settings.mail:
        raise Refused("notify.mail is empty", final=True)
    joint = "&" if "?" in settings.mail else "?"
    return f"{settings.mail}{joint}to={quote(check_mail(one.receiver), safe='@')}"
