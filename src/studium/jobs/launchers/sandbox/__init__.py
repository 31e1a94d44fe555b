"""The sandbox: units in namespaces of their own, by bubblewrap, without an image."""

from studium.jobs.launchers.sandbox.launcher import SandboxLauncher, sandbox_launcher

__all__ = ["SandboxLauncher", "sandbox_launcher"]
