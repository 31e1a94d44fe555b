"""``s3://bucket/key``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from studium.errors import UsageError
from studium.urls import mask_password

SCHEME = "s3://"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]+")


def is_s3(path: str) -> bool:
    """Whether ``path`` is an address in S3 and not a path of this machine."""
    return path.startswith(SCHEME)


@dataclass(frozen=True)
class Address:
    """Where an object is, or objects with a common beginning; ``key`` has no slash at its ends."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises UsageError for what is no such address, and for credentials in it."""
        bucket, _, key = url.removeprefix(SCHEME).partition("/")
        if not is_s3(url) or not _BUCKET.fullmatch(bucket):
            raise UsageError(
                f"{mask_password(url)} is not an address in S3.",
                "Write s3://BUCKET/PREFIX. Endpoint and credentials belong into the environment: "
                "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.",
            )
        return cls(bucket, key.strip("/"))

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    def __truediv__(self, below: str) -> Address:
        return Address(self.bucket, f"{self.key}/{below}" if self.key else below)

    def at(self, key: str) -> Address:
        """Another key in the same bucket."""
        return Address(self.bucket, key)
