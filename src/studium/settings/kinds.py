"""The kinds of values that settings have, and how a text becomes one."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from studium.clock import parse_day
from studium.errors import UsageError
from studium.s3 import Address, is_s3

_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZES |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]I?B|B)", re.IGNORECASE | re.ASCII)


def parse_size(text: str) -> int:
    """Bytes in a size such as ``1GB`` (10^9) or ``512MiB`` (2^20 each); else a UsageError."""
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * _SIZES[match[2].upper()]) if match else 0
    if size <= 0:
        raise UsageError(f"{text!r} is not a size.", "Write a number and a unit: 512MB, 1GB, 2GiB.")
    return size


# Pydantic collects ValueError and AssertionError and lets every other exception through.


def _size(text: str) -> str:
    try:
        parse_size(text)
    except UsageError as error:
        raise ValueError(error.message) from None
    return text.strip()


def _day(value: object) -> object:
    # Left alone, pydantic takes "20240101" for seconds since 1970.
    if isinstance(value, str):
        try:
            return parse_day(value)
        except UsageError as error:
            raise ValueError(error.message) from None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError("not a date")
    return value


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


def _texts(value: object) -> object:
    """One text is a list of one; a text may hold a JSON array (an environment variable)."""
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return [value]  # a glob may begin with "[" as well
    return [value] if value else []


def _date_pattern(text: str) -> str:
    try:
        groups = re.compile(text).groupindex
    except re.error as error:
        raise ValueError(str(error)) from None
    if not {"date", "timestamp"} & groups.keys():
        raise ValueError("no group named date or timestamp")
    return text


def _date_format(text: str) -> str:
    day = date(2023, 11, 30)
    try:
        read = datetime.strptime(day.strftime(text), text).date()
    except re.error as error:  # strptime makes a pattern of the format: "%Y%Y"
        raise ValueError(str(error)) from None
    if read != day:
        raise ValueError("does not hold a whole date")
    return text


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(str(error)) from None
    return text


def _report_name(text: str) -> str:
    if "{course_id}" not in text or "/" in text or "\\" in text:
        raise ValueError("not a file name with {course_id}")
    return text


def store_url(*schemes: str) -> AfterValidator:
    """A database URL of one of the ``schemes``."""

    def check(url: str) -> str:
        scheme, separator, _ = url.partition("://")
        if not separator or scheme.partition("+")[0] not in schemes:
            raise ValueError("not such a URL")
        return url

    return AfterValidator(check)


def _folder(text: str) -> str:
    if is_s3(text):
        try:
            return str(Address.parse(text))
        except UsageError as error:
            raise ValueError(error.message) from None
    if not text.strip() or "://" in text:
        raise ValueError("not a folder")
    return text


def _web(url: str) -> str:
    if url and not re.match(r"https?://[^/?#\s]", url):
        raise ValueError("not such a URL")
    return url.rstrip("/")


def _uids(text: str) -> str:
    first, _, last = text.partition("-")
    if text and not (
        re.fullmatch(r"\d{4,10}-\d{4,10}", text, re.ASCII) and 999 < int(first) <= int(last) < 2**32
    ):
        raise ValueError("not such a range")
    return text


Day = Annotated[date, BeforeValidator(_day)]
Whole = Annotated[int, BeforeValidator(_number)]
Number = Annotated[float, BeforeValidator(_number)]
Size = Annotated[str, AfterValidator(_size)]
Texts = Annotated[list[str], BeforeValidator(_texts)]
JobEvents = Annotated[
    list[Literal["queued", "started", "progress", "failed", "result ready", "cancelled"]],
    BeforeValidator(_texts),
]
Pattern = Annotated[str, AfterValidator(_date_pattern)]
Regex = Annotated[str, AfterValidator(_regex)]
ReportName = Annotated[str, AfterValidator(_report_name)]
DateFormat = Annotated[str, AfterValidator(_date_format)]
Folder = Annotated[str, AfterValidator(_folder)]
Web = Annotated[str, AfterValidator(_web)]
UidRange = Annotated[str, AfterValidator(_uids)]
