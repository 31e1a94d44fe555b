"""A synthetic institution, written in the real formats."""

from studium.demo.institution import Institution, write_institution

__all__ = ["Institution", "write_institution"]
