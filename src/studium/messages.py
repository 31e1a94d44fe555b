"""A message by mail or messenger, through Apprise."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

from studium.errors import UsageError, advise_install


def send_message(urls: Sequence[str], title: str, body: str, setting: str) -> list[str]:
    """Send one message to each address of ``setting``, which is named in what went wrong.

    Returns a line for each address that was not reached, without the secrets in it. Raises
    UsageError if Apprise is not installed.
    """
    # What the library finds old-fashioned in itself is nothing to the operator.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return _send(urls, title, body, setting)


def _send(urls: Sequence[str], title: str, body: str, setting: str) -> list[str]:
    try:
        import apprise
    except ImportError:
        raise UsageError(
            "Messages need Apprise, which is not installed.", advise_install("alerts")
        ) from None
    # What it logs may hold parts of an address.
    logging.getLogger("apprise").disabled = True
    troubles = []
    for number, url in enumerate(urls, 1):
        name = f"{setting}, address {number} ({url.partition(':')[0]})"
        target = apprise.Apprise()
        if not target.add(url):
            troubles.append(f"{name}: Apprise does not know such an address")
        elif not target.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT):
            troubles.append(f"{name}: refused, or not reached")
    return troubles
