"""Open edX tracking logs: files of one JSON event a line."""
