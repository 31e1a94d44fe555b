"""The main job and its three steps: ingest → build → publish."""
