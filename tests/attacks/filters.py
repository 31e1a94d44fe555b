"""The sandbox's list of system calls in the words of OCI runtimes.

``python -m tests.attacks.filters`` writes it for the containers, after a change of the list.
"""

import json
from typing import Any

from studium.jobs.launchers.container.isolation import FILTER
from studium.jobs.launchers.sandbox import seccomp

_OPERATORS = {4: "SCMP_CMP_EQ", 7: "SCMP_CMP_MASKED_EQ"}


def container_filter() -> dict[str, Any]:
    """What is allowed; all else says that it does not exist, to 32-bit programs by killing them."""
    rules: list[dict[str, Any]] = [
        {"names": sorted(seccomp.allowed_calls()), "action": "SCMP_ACT_ALLOW"},
        # Also where a program knows one error for all calls: threads need this one.
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ]
    for name, comparisons in seccomp.conditional_calls():
        arguments = [
            {
                "index": one.argument,
                "value": one.first,
                "valueTwo": one.second,
                "op": _OPERATORS[one.operator],
            }
            for one in comparisons
        ]
        rules.append({"names": [name], "action": "SCMP_ACT_ALLOW", "args": arguments})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "archMap": [
            {"architecture": name, "subArchitectures": []}
            for name in ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")
        ],
        "syscalls": rules,
    }


if __name__ == "__main__":
    FILTER.write_text(json.dumps(container_filter(), indent=1) + "\n", "utf-8")
