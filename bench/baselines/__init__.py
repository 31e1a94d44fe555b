"""What Studium is measured against: as fast as we could make it, its result checked."""
