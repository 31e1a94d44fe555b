"""Specs: compact input rows → expected rows, run on every engine."""
