"""Who is enrolled in what, in which mode, on which day (`specs/edx-enrollment-geography §2`)."""
