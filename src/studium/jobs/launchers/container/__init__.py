"""The container launcher: Podman or Docker by command line; and images of jobs."""
