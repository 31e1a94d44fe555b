"""The engagement lens: how many learners were active, tried a problem, played a video, posted."""
