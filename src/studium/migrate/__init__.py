"""What an operator of the edX analytics pipeline brings along: command lines and configuration.

Translation only: a line becomes steps of the main job, a file becomes ``studium.toml``. Rules:
specs/edx-enrollment-geography §5, specs/edx-activity-video-answers §5,
specs/edx-learners-api-insights §1.4, §1.9.
"""
