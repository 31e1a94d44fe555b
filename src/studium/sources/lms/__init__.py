"""Tables of the learning management system: who the learners are, and how they were graded."""
