/* studium
description = "How each learner's enrollment in a course began, changed and ended"
kind    = "full"
grain   = ["course_id", "user_id"]
rule    = "specs/edx-enrollment-geography §2.5"

[columns]
course_id                      = "varchar(255) not null; course run"
user_id                        = "bigint not null; learner"
current_enrollment_mode        = "varchar(255) not null; mode of the last effective activation or mode change"
current_enrollment_is_active   = "boolean not null; enrolled at end_time"
first_enrollment_mode          = "varchar(255); mode of the first activation"
first_enrollment_time          = "datetime; UTC time of the first activation"
last_unenrollment_time         = "datetime; UTC time of the last effective deactivation"
first_verified_enrollment_time = "datetime; UTC time of the first effective event with mode verified"
first_credit_enrollment_time   = "datetime; UTC time of the first effective event with mode credit"
end_time                       = "datetime not null; end of the days covered, exclusive, UTC"
*/
-- Another rule than that of enrollment_changes: an event counts only if it has an effect.
-- Activated: when not enrolled. Deactivated, mode_changed: when enrolled.
WITH numbered AS (
  SELECT
    course_id,
    user_id,
    time,
    event_type,
    mode,
    ROW_NUMBER() OVER (
      PARTITION BY course_id, user_id
      ORDER BY time NULLS LAST, event_type NULLS LAST, mode NULLS LAST
    ) AS place
  FROM enrollment_events
  WHERE day >= $start AND day < $until
),
preceded AS (
  SELECT
    course_id,
    user_id,
    time,
    event_type,
    mode,
    place,
    COALESCE(MAX(CASE WHEN event_type = 'edx.course.enrollment.activated' THEN place END) OVER (
      PARTITION BY course_id, user_id ORDER BY place NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), 0) AS activated_place,
    COALESCE(MAX(CASE WHEN event_type = 'edx.course.enrollment.deactivated' THEN place END) OVER (
      PARTITION BY course_id, user_id ORDER BY place NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), 0) AS deactivated_place
  FROM numbered
),
effective AS (
  SELECT
    course_id,
    user_id,
    time,
    event_type,
    mode,
    place
  FROM preceded
  WHERE (event_type = 'edx.course.enrollment.activated' AND activated_place <= deactivated_place)
    OR (event_type <> 'edx.course.enrollment.activated' AND activated_place > deactivated_place)
),
marked AS (
  SELECT
    course_id,
    user_id,
    time,
    event_type,
    mode,
    place,
    MIN(place) OVER (PARTITION BY course_id, user_id) AS first_place,
    MAX(place) OVER (PARTITION BY course_id, user_id) AS last_place,
    MAX(CASE WHEN event_type <> 'edx.course.enrollment.deactivated' THEN place END)
      OVER (PARTITION BY course_id, user_id) AS last_mode_place
  FROM effective
)
SELECT
  course_id,
  user_id,
  MAX(CASE WHEN place = last_mode_place THEN mode END) AS current_enrollment_mode,
  MAX(
    CASE
      WHEN place = last_place AND event_type <> 'edx.course.enrollment.deactivated' THEN 1
      ELSE 0
    END
  ) = 1 AS current_enrollment_is_active,
  MAX(CASE WHEN place = first_place THEN mode END) AS first_enrollment_mode,
  MIN(time) AS first_enrollment_time,
  MAX(CASE WHEN event_type = 'edx.course.enrollment.deactivated' THEN time END)
    AS last_unenrollment_time,
  MIN(
    CASE WHEN event_type <> 'edx.course.enrollment.deactivated' AND mode = 'verified' THEN time END
  ) AS first_verified_enrollment_time,
  MIN(
    CASE WHEN event_type <> 'edx.course.enrollment.deactivated' AND mode = 'credit' THEN time END
  ) AS first_credit_enrollment_time,
  CAST($until AS TIMESTAMP) AS end_time
FROM marked
GROUP BY course_id, user_id
