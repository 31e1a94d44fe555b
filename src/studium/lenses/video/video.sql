/* studium
description = "Videos that were watched: viewers at start and end, and how much was viewed"
kind    = "full"
grain   = ["course_id", "encoded_module_id"]
publish = "video"
indexes = [["course_id", "encoded_module_id"]]
rule    = "specs/edx-activity-video-answers §2.7, §2.8"

[columns]
pipeline_video_id    = "varchar(511) not null; course run and video: <course_id>|<encoded_module_id>"
course_id            = "varchar(255) not null; course run"
encoded_module_id    = "varchar(255) not null; the video"
duration             = "integer; whole seconds; as told by the plays, or else where learners drop off"
segment_length       = "integer; seconds: 5"
users_at_start       = "integer; distinct learners in the first segment"
users_at_end         = "integer; distinct learners in the segment of the end: 95 % or, in long videos, 30 s before it"
total_viewed_seconds = "integer; views of segments times 5: each touched segment counts whole"
viewed_seconds       = "integer; length of all viewings together, rounded down"
percent_watched      = "double; users_at_end in percent of the larger of users_at_start and users_at_end"

[trace]
video_usage   = "course_id = $course_id AND encoded_module_id = $encoded_module_id"
video_lengths = "course_id = $course_id AND encoded_module_id = $encoded_module_id"
*/
WITH summed AS (
  SELECT
    video_lengths.course_id,
    video_lengths.encoded_module_id,
    video_lengths.duration,
    video_lengths.viewed_seconds,
    COALESCE(
      MAX(CASE WHEN video_usage.segment = 0 THEN video_usage.num_users END), 0
    ) AS users_at_start,
    COALESCE(
      MAX(
        CASE WHEN video_usage.segment = video_lengths.end_segment THEN video_usage.num_users END
      ),
      0
    ) AS users_at_end,
    CAST(
      SUM(
        CASE
          WHEN video_usage.segment <= video_lengths.final_segment THEN video_usage.num_views ELSE 0
        END
      ) AS BIGINT
    ) * 5 AS total_viewed_seconds
  FROM video_lengths
  INNER JOIN video_usage
    ON video_usage.course_id = video_lengths.course_id
    AND video_usage.encoded_module_id = video_lengths.encoded_module_id
  GROUP BY
    video_lengths.course_id,
    video_lengths.encoded_module_id,
    video_lengths.duration,
    video_lengths.viewed_seconds
)
SELECT
  course_id || '|' || encoded_module_id AS pipeline_video_id,
  course_id,
  encoded_module_id,
  CAST(FLOOR(duration) AS INTEGER) AS duration,
  5 AS segment_length,
  users_at_start,
  users_at_end,
  CAST(total_viewed_seconds AS INTEGER) AS total_viewed_seconds,
  viewed_seconds,
  COALESCE(
    CAST(users_at_end * 100 AS DOUBLE)
    / NULLIF(CAST(GREATEST(users_at_start, users_at_end) AS DOUBLE), 0),
    CAST('0' AS DOUBLE)
  ) AS percent_watched
FROM summed
