"""Send what is due. Nothing here can touch a job: a message that fails is tried again, and in the
end given up with a record (specs/jobs-hpc §7.16–20)."""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
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

if TYPE_CHECKING:
    from httpx import AsyncClient

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
    """Send the messages that are due at ``now``, up to ``limit``; any number of processes may.

    Each is taken just before it is sent, and settled as soon as that has ended: a process that is
    killed leaves only what was on its way to be sent again.
    """
    settings = site.settings.notify
    policy = read_policy(settings.callbacks, settings.networks)
    with site.state.read() as conn:
        waiting = due(conn, now or utcnow(), limit)
    if not waiting:
        return Sent()
    with site.state.begin() as conn:
        key = callback_key(conn)
    return asyncio.run(_send_all(waiting, _Sender(site, policy, key, now)))


def token_of(conn: Connection, job: str) -> str:
    """The token that the callbacks of a job are signed with; ``conn`` must be one that may write,
    as the site's key is drawn at its first use."""
    return make_token(callback_key(conn), job)


def pause_after(tries: int, first: float) -> float:
    """Seconds before the next try: doubled each time up to an hour, and less by up to half at
    random, so that what failed together does not come back together."""
    whole = min(LONGEST_PAUSE, first * 2.0 ** min(tries - 1, 30))
    return whole * random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class _Sender:
    """What all messages of a round have in common."""

    site: Site
    policy: Policy
    key: bytes
    now: datetime | None

    @property
    def settings(self) -> NotifySettings:
        return self.site.settings.notify

    def begin(self, one: Delivery) -> str:
        """Take a message: "taken", or what has become of it already."""
        at = self.now or utcnow()
        until = at + timedelta(seconds=self.settings.timeout + _MAIL_LIMIT + 60)
        with self.site.state.begin() as conn:
            if not take(conn, one, until):
                return "another's"
            if one.tries < self.settings.attempts:
                return "taken"
            settle(conn, one, "given up: its sender died", None, at)
        return "given_up"

    async def send(self, client: AsyncClient, one: Delivery) -> Refused | None:
        """One try; why it failed."""
        try:
            if one.kind is Kind.CALLBACK:
                letter, limit = _letter(one, self.key), self.settings.timeout
                await post(client, letter, int(time.time()), self.policy, limit)
            else:
                await _mail(one, self.settings)
        except Refused as refused:
            return refused
        except Exception as error:  # whatever a messenger does, the others are sent
            return Refused(type(error).__name__)
        return None

    def end(self, one: Delivery, refused: Refused | None) -> str:
        """Record the end of a try: what it came to, as ``Sent`` calls it."""
        at = self.now or utcnow()
        with self.site.state.begin() as conn:
            if refused is None:
                settle(conn, one, "sent", None, at)
                return "sent"
            if refused.final or one.tries + 1 >= self.settings.attempts:
                settle(conn, one, f"given up: {refused.why}", None, at)
                return "given_up"
            again = at + timedelta(seconds=pause_after(one.tries + 1, self.settings.pause))
            settle(conn, one, refused.why, again, at)
        return "failed"


async def _send_all(waiting: list[Delivery], sender: _Sender) -> Sent:
    room = asyncio.Semaphore(_AT_ONCE)
    loop = asyncio.get_running_loop()

    async def one_of_them(one: Delivery) -> str:
        async with room:
            came = await loop.run_in_executor(clerk, sender.begin, one)
            if came != "taken":
                return came
            refused = await sender.send(client, one)
            return await loop.run_in_executor(clerk, sender.end, one, refused)

    # The state is written by one thread, beside the loop: while it waits, answers are heard.
    with ThreadPoolExecutor(1) as clerk:
        async with open_client() as client:
            outcomes = await asyncio.gather(*map(one_of_them, waiting), return_exceptions=True)
    for one in outcomes:
        if isinstance(one, BaseException):
            raise one
    return Sent(*(outcomes.count(name) for name in ("sent", "failed", "given_up")))


def _letter(one: Delivery, key: bytes) -> Letter:
    return Letter(one.receiver, one.id, make_token(key, one.job), to_json(one.notice).encode())


async def _mail(one: Delivery, settings: NotifySettings) -> None:
    url = _address(one, settings)
    try:
        async with asyncio.timeout(_MAIL_LIMIT):
            # The id tells a message that comes a second time, as that of a callback does.
            text = f"{text_of(one.notice)}{one.id}\n"
            troubles = await asyncio.to_thread(
                send_message, [url], title_of(one.notice), text, "notify"
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
