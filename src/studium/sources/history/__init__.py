"""History without raw logs: day files of an old pipeline's warehouse, imported as they are."""
