"""Where a job runs: one protocol, a module or folder for each launcher."""
