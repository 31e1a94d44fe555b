"""Network file systems, where SQLite loses data: its locks and shared memory need one machine."""

from __future__ import annotations

import re
from pathlib import Path

NETWORK = frozenset(
    {
        *("afs", "beegfs", "beegfs_nodev", "ceph", "cifs", "coda", "cvmfs", "davfs", "gfs2"),
        *("glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs"),
        *("pvfs2", "smb2", "smb3", "smbfs", "wekafs"),
    }
)
"""Types of file systems that are shared between machines; also as ``fuse.<type>``."""

NETWORK_FUSE = frozenset(
    {
        *("ceph-fuse", "curlftpfs", "davfs2", "gcsfuse", "goofys", "juicefs", "mount-s3"),
        *("mountpoint-s3", "rclone", "s3fs", "s3ql", "sshfs"),
    }
)
"""Programs behind file systems of the types ``fuse`` and ``fuse.<program>``."""

_ESCAPE = re.compile(r"\\([0-7]{3})")


def filesystem_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds ``path`` (absolute, links resolved).

    ``mounts`` is the text of ``/proc/mounts``; an empty answer means that it does not say.
    """
    best, found = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        device, point, kind = (_unescape(field) for field in fields[:3])
        # The last mount on a point hides the ones before it.
        if path.is_relative_to(point) and len(Path(point).parts) >= best:
            best = len(Path(point).parts)
            # sshfs of old mounts as "fuse" with "sshfs#host:/dir" for its device
            found = f"fuse.{device.partition('#')[0]}" if kind == "fuse" else kind
    return found


def network_filesystem(path: Path, mounts: str) -> str:
    """The type of the network file system that holds ``path``; empty if it is a local one."""
    kind = filesystem_of(path, mounts)
    name = kind.removeprefix("fuse.")
    return kind if name in NETWORK or (name != kind and name in NETWORK_FUSE) else ""


def read_mounts() -> str:
    """The text of ``/proc/mounts``; empty on systems without one."""
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _unescape(field: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
