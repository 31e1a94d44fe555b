"""The video lens: which parts of which videos were watched, and by how many learners."""
