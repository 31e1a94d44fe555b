/* studium
description = "Views and viewers of each 5-second segment of a video that was watched"
kind    = "full"
grain   = ["course_id", "encoded_module_id", "segment"]
rule    = "specs/edx-activity-video-answers §2.6"

[columns]
course_id         = "varchar(255) not null; course run"
encoded_module_id = "varchar(255) not null; the video"
segment           = "integer not null; 0 is the first five seconds"
num_users         = "integer not null; distinct learners with a viewing that touches the segment"
num_views         = "integer not null; viewings that touch the segment"

[trace]
video_viewings = """
  course_id = $course_id AND encoded_module_id = $encoded_module_id"""
*/
-- A viewing touches all segments from that of its start to that of its end, both included. It is
-- never spread over them: it adds one view where it begins and takes it away behind its end, and the
-- sums of that along the video are the views. Viewers likewise, each viewing counting only for what
-- it touches beyond the learner's earlier ones.
WITH touched AS (
  SELECT
    course_id,
    encoded_module_id,
    user_id,
    CAST(FLOOR(start_offset) AS INTEGER) // 5 AS first_segment,
    CAST(FLOOR(end_offset) AS INTEGER) // 5 AS last_segment
  FROM video_viewings
  WHERE day >= $start AND day < $until
),
reached AS (
  SELECT
    course_id,
    encoded_module_id,
    first_segment,
    last_segment,
    COALESCE(
      MAX(last_segment) OVER (
        PARTITION BY course_id, encoded_module_id, user_id
        ORDER BY first_segment NULLS FIRST, last_segment NULLS FIRST
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ),
      -1
    ) AS known_segment
  FROM touched
),
steps AS (
  SELECT course_id, encoded_module_id, first_segment AS segment, 1 AS views, 0 AS users
  FROM reached
  UNION ALL
  SELECT course_id, encoded_module_id, last_segment + 1 AS segment, -1 AS views, 0 AS users
  FROM reached
  UNION ALL
  SELECT
    course_id,
    encoded_module_id,
    GREATEST(first_segment, known_segment + 1) AS segment,
    0 AS views,
    1 AS users
  FROM reached
  WHERE last_segment > known_segment
  UNION ALL
  SELECT course_id, encoded_module_id, last_segment + 1 AS segment, 0 AS views, -1 AS users
  FROM reached
  WHERE last_segment > known_segment
),
stepped AS (
  SELECT
    course_id,
    encoded_module_id,
    segment,
    CAST(SUM(views) AS BIGINT) AS views,
    CAST(SUM(users) AS BIGINT) AS users
  FROM steps
  GROUP BY course_id, encoded_module_id, segment
),
levels AS (
  SELECT
    course_id,
    encoded_module_id,
    segment,
    LEAD(segment) OVER (
      PARTITION BY course_id, encoded_module_id ORDER BY segment NULLS FIRST
    ) AS next_segment,
    CAST(
      SUM(views) OVER (
        PARTITION BY course_id, encoded_module_id ORDER BY segment NULLS FIRST
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      ) AS INTEGER
    ) AS num_views,
    CAST(
      SUM(users) OVER (
        PARTITION BY course_id, encoded_module_id ORDER BY segment NULLS FIRST
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      ) AS INTEGER
    ) AS num_users
  FROM stepped
)
SELECT
  levels.course_id,
  levels.encoded_module_id,
  video_segments.segment,
  levels.num_users,
  levels.num_views
FROM levels
INNER JOIN video_segments
  ON video_segments.segment >= levels.segment AND video_segments.segment < levels.next_segment
WHERE levels.num_views > 0
