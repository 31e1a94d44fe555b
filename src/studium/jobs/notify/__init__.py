"""Who is told what of a job: by mail or messenger, and by signed callbacks."""

from studium.jobs.notify.events import Event, Notice, progress_marks
from studium.jobs.notify.outbox import (
    Delivery,
    deliveries_of,
    next_due,
    tell,
    tell_move,
    tell_progress,
)
from studium.jobs.notify.send import Sent, check_receivers, send_due, token_of

__all__ = [
    "Delivery",
    "Event",
    "Notice",
    "Sent",
    "check_receivers",
    "deliveries_of",
    "next_due",
    "progress_marks",
    "send_due",
    "tell",
    "tell_move",
    "tell_progress",
    "token_of",
]
