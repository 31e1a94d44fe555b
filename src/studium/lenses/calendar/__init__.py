"""The days that whole tables cover."""
