"""The answers lens: what learners answered, first and last, and how that was graded."""
