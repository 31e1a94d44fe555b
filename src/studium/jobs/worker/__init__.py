"""Workers: they bring jobs from one state to the next."""
