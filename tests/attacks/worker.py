"""The worst worker: it has a terminal, open files, keys and secrets, and hands a unit over.

Run as ``python -m tests.attacks.worker FILE``, with what to do pickled in the file: a launcher and
a unit to submit, or a command to become, without any guard.
"""

import ctypes
import fcntl
import os
import pickle
import sys
import termios
from pathlib import Path

from tests.attacks.programs import libc, syscall


def main(order: Path) -> None:
    """Do as the order says."""
    what, one, other, secret, mark = pickle.loads(order.read_bytes())
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    syscall("keyctl", 1, None)  # a session keyring of our own
    name, said = f"key-{mark}".encode(), f"SECRET={secret}".encode()
    key = (ctypes.c_char_p(b"user"), ctypes.c_char_p(name), ctypes.c_char_p(said))
    serial = syscall("add_key", *key, len(said), -3)
    syscall("keyctl", 5, serial, 0x3F3F3F3F)  # whoever has the keyring, and everybody else
    if what == "unit":
        print(one.submit(other))
        return
    if libc.unshare(0x20000) or libc.mount(None, b"/", None, 0x44000, None):  # mounts stay here
        raise OSError("no mount namespace")
    os.chdir(other["cwd"])
    os.execve(one[0], one, {**os.environ, **other["environment"]})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
