/* studium
description = "How long a video that was watched is, and which of its segments is the last"
kind    = "full"
grain   = ["course_id", "encoded_module_id"]
rule    = "specs/edx-activity-video-answers §2.7"

[columns]
course_id         = "varchar(255) not null; course run"
encoded_module_id = "varchar(255) not null; the video"
duration          = "double not null; seconds, as the plays told or else up to the end of the last segment"
known             = "boolean not null; true if every play told the duration"
final_segment     = "integer not null; the last segment that counts"
end_segment       = "integer not null; the segment that a learner must have touched to be there at the end"
viewings          = "integer not null; viewings of the video"
viewed_seconds    = "integer not null; length of all viewings together, seconds, rounded down"

[trace]
video_viewings = "course_id = $course_id AND encoded_module_id = $encoded_module_id"
video_usage    = "course_id = $course_id AND encoded_module_id = $encoded_module_id"
*/
-- Without a duration the video ends where learners drop off: at the highest segment that has at
-- least twenty times as many viewers as the next one that was watched, or else at the last one.
WITH told AS (
  SELECT
    course_id,
    encoded_module_id,
    MAX(duration) AS longest,
    COUNT(*) - COUNT(duration) AS untold,
    COUNT(*) AS viewings,
    CAST(
      SUM(CAST(FLOOR((end_offset - start_offset) * CAST('1000' AS DOUBLE)) AS BIGINT)) AS BIGINT
    ) AS milliseconds
  FROM video_viewings
  WHERE day >= $start AND day < $until
  GROUP BY course_id, encoded_module_id
),
followed AS (
  SELECT
    course_id,
    encoded_module_id,
    segment,
    num_users,
    LEAD(num_users) OVER (
      PARTITION BY course_id, encoded_module_id ORDER BY segment NULLS FIRST
    ) AS next_users
  FROM video_usage
),
dropped AS (
  SELECT
    course_id,
    encoded_module_id,
    COALESCE(
      MAX(CASE WHEN next_users * 20 <= num_users THEN segment END), MAX(segment)
    ) AS last_segment
  FROM followed
  GROUP BY course_id, encoded_module_id
),
ended AS (
  SELECT
    told.course_id,
    told.encoded_module_id,
    told.untold = 0 AS known,
    told.viewings,
    told.milliseconds,
    CASE
      WHEN told.untold = 0 THEN told.longest
      ELSE CAST(5 * dropped.last_segment + 4 AS DOUBLE)
    END AS duration
  FROM told
  INNER JOIN dropped
    ON dropped.course_id = told.course_id
    AND dropped.encoded_module_id = told.encoded_module_id
)
SELECT
  course_id,
  encoded_module_id,
  duration,
  known,
  CAST(CAST(FLOOR(duration) AS INTEGER) // 5 AS INTEGER) AS final_segment,
  CAST(
    CAST(
      FLOOR(GREATEST(duration - CAST('30' AS DOUBLE), CAST('0.95' AS DOUBLE) * duration)) AS INTEGER
    ) // 5 AS INTEGER
  ) AS end_segment,
  CAST(viewings AS INTEGER) AS viewings,
  CAST(milliseconds // 1000 AS INTEGER) AS viewed_seconds
FROM ended
