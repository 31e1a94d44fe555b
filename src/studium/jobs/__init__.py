"""Jobs: other people's code over protected data, run where a launcher runs it."""
