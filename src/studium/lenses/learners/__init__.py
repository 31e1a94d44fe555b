"""The learners lens: who does how much in a course, who falls behind, and who comes back."""
