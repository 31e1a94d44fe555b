"""What stands around the table in docs/explanation/attacks.md."""

HEAD = """\
# Attacks

<!-- Written by `python -m tests.attacks`; its text is in tests/attacks/text.py. -->

Whoever submits a job may be hostile. This page lists what was tried, in both
[launchers](jobs.md), what keeps it out, and what happened. Tests try it all again.

**A control for each attack.** An attack that fails proves little: it may be broken. So every
attack is a program that also runs where its guard is missing, and must succeed there: as a
process of the worker, without limits, or against a few lines that trust what they are given. The
secrets that it is after are real, and drawn anew for each run; it has to print them.

**A bad worker.** Units are handed over by a worker that has a terminal, an open folder of
secrets, a secret in its environment, a key in its session's keyring, and a network with a
metadata service, a name server and services of its own. Nothing of that may come through.

**The same program** comes as a folder to the sandbox, and in an image to the containers.

## What was tried
"""

TAIL = """\
## What is left

**What a job says.** What leaves is what the job wrote, within declared forms. How many bits a
hostile job can hide in them is bounded: names of files, numbers, exit codes, the time it takes.
Each bound is in [Disclosure](disclosure.md#what-is-not-guaranteed). Log lines are never shown to
submitters of jobs on protected data: 0 bits. A failure is one word of a list, with the declared
output that was refused and why, or the number and the exit code of the first unit that failed.

**Between two looks.** No file of the outputs can be longer than allowed, but their sum is looked
at every 0.2 seconds, or less often if looking takes long. Within that time a job may write more:
as much as the disk takes in it. The outputs are on the site's disk; give the folder of jobs a
disk or a quota of its own where this matters. A file that was deleted, and sent to a socket that
nobody reads, is held by nobody that can be looked at: the limit of open files bounds how many.

**The kernel.** Both launchers share the machine's kernel, and a fault in the calls that are
allowed is a way out. The list of calls is short, without namespaces, `io_uring`, `bpf` and the
like, from where most such faults came. With gVisor (`runsc`) installed, and if it gives what
`jobs.guarantees` asks for, containers have a kernel of their own; that was not tried here.

**The profile legacy.** A job has no capabilities, with one exception. An image with
`profile = "legacy"` starts as root of a user namespace of its own, and has `CHOWN`, `DAC_OVERRIDE`,
`FOWNER`, `KILL`, `SETGID` and `SETUID` in it. Such images start a database server as root, which
gives its files to a user of its own, becomes that user, and ends its processes at the end; without
these capabilities it does not start. Outside of the namespace they are worth nothing: its root is
a user without rights. But they reach more of the kernel, so a site has to allow the profile
(`jobs.legacy`), and refuses it by default.

**Large units.** What a unit asks for, it may use. The ceilings are the site's, `jobs.max_memory`
and the like; the machine behind them is for the operator to know.

**Side channels.** Units that run at once share caches and processors. What one measures of the
other's timing cannot leave, except in what it writes.

**Not root.** Started without root, all units have the worker's user, and limits hold for each
process only, unless systemd gave it control groups. `studium doctor --jobs` says what is lost,
and `jobs.guarantees` what the site does not do without."""
