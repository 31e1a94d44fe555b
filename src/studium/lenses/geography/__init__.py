"""The geography lens: the country that the learners of a course were last seen in."""
