"""What there is to get on the machine: services, sockets, shared memory and a secret environment.

Run as ``python -m tests.attacks.services MARK FOLDER SECRET neighbour-MARK`` in a network namespace
of its own, so that the machine's is left alone. It is the neighbour of the units, too.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

METADATA = "169.254.169.254"


def main(mark: str, folder: Path, secret: str) -> None:
    """Serve until standard input ends."""
    _address("lo", "127.0.0.1")
    _address("lo:1", METADATA)
    # A way out that is up, of which nobody is at the other end.
    subprocess.run(["ip", "link", "add", "out", "type", "veth", "peer", "name", "in"], check=True)
    said = f"SECRET={secret}".encode()
    tcp, path = socket.socket(), socket.socket(socket.AF_UNIX)
    tcp.bind(("127.0.0.1", 0))
    path.bind(str(folder / "socket"))
    os.chmod(folder / "socket", 0o666)
    cloud, hidden = socket.socket(), socket.socket(socket.AF_UNIX)
    cloud.bind((METADATA, 80))
    hidden.bind("\0" + mark)
    for server in (tcp, path, cloud, hidden):
        server.listen()
        threading.Thread(target=_greet, args=(server, said), daemon=True).start()
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 0))
    threading.Thread(target=_answer, args=(names, said), daemon=True).start()
    libc = ctypes.CDLL(None, use_errno=True)
    key = int.from_bytes(os.urandom(3), "big") + 1
    shared = libc.shmget(key, 4096, 0o1666)
    libc.shmat.restype = ctypes.c_void_p
    ctypes.memmove(libc.shmat(shared, None, 0), said + b"\0", len(said) + 1)
    found = {"tcp": tcp.getsockname(), "dns": names.getsockname(), "shm": key, "abstract": mark}
    print(json.dumps(found), flush=True)
    sys.stdin.read()
    libc.shmctl(shared, 0, None)


def _address(interface: str, address: str) -> None:
    """Give an interface an address, and bring it up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        name = interface.encode()
        place = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
        fcntl.ioctl(door, 0x8916, struct.pack("16s16s", name, place))  # SIOCSIFADDR
        fcntl.ioctl(door, 0x8914, struct.pack("16sh14x", name, 0x41))  # SIOCSIFFLAGS: up, running


def _greet(server: socket.socket, said: bytes) -> None:
    while True:
        client, _ = server.accept()
        with client:
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(1)
            try:
                client.recv(512)
            except OSError:
                continue


def _answer(server: socket.socket, said: bytes) -> None:
    while True:
        _, asker = server.recvfrom(512)
        server.sendto(said, asker)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
