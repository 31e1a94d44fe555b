"""Objects in S3, or in a store that speaks like it: MinIO, Ceph and others.

Endpoint and credentials come from the environment (``AWS_…``), so that no file of the site and no
output holds them. Every request is tried again with growing pauses while the store answers 5xx,
does not answer or cannot be reached.
"""

from studium.s3.address import SCHEME, Address, is_s3
from studium.s3.mirror import Mirror
from studium.s3.objects import Object, fetch, list_folder, list_objects, look_at, upload
from studium.s3.reader import open_object
from studium.s3.store import DEFAULT_WAITS, Waits, delta_options, explain

__all__ = [
    "DEFAULT_WAITS",
    "SCHEME",
    "Address",
    "Mirror",
    "Object",
    "Waits",
    "delta_options",
    "explain",
    "fetch",
    "is_s3",
    "list_folder",
    "list_objects",
    "look_at",
    "open_object",
    "upload",
]
