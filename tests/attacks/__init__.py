"""Attacks on jobs, each with a control: the same attack where its guard is missing succeeds."""
