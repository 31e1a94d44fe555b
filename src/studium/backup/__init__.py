"""Backups of a site: what cannot be made again (state, lake, settings), whole and checked."""
