/* studium
description = "Stretches of video that learners watched without a break"
kind    = "day"
grain   = ["day", "course_id", "encoded_module_id", "user_id", "time"]
reach   = 1
rule    = "specs/edx-activity-video-answers §2.1 to §2.5"

[columns]
day               = "date not null; UTC day of the play"
course_id         = "varchar(255) not null; course run, from the context or else from the URL"
encoded_module_id = "varchar(255) not null; the video"
user_id           = "bigint not null; learner, from the context"
time              = "datetime not null; UTC, of the play"
start_offset      = "double not null; seconds into the video"
end_offset        = "double not null; seconds into the video"
ended_by          = "varchar(16) not null; pause_video, stop_video or seek_video"
duration          = "double; of the video in seconds, as the play tells; NULL if it does not"
youtube_id        = "varchar(255); code of the play, unless html5, mobile or hls"

[trace]
events = """
  video_id = $encoded_module_id AND course_id = $course_id AND user_id = $user_id
  AND event_type IN ('play_video', 'pause_video', 'stop_video', 'seek_video')"""
*/
-- What follows a play ends it: another play discards it, a pause, stop or seek makes a viewing of it.
-- So events fall into groups, each a play and what comes up to the next one. After a viewing that a
-- seek ended, the next play begins where the group's last seek led, whatever position it tells.
--
-- At the same instant a pause comes before a seek and a seek before a play. A day knows its neighbours
-- only: an end after the next day, or a seek of a play before the previous day, does not count,
-- whatever else is built in the same go.
WITH watched AS (
  SELECT
    day,
    course_id,
    user_id,
    video_id,
    time,
    event_type,
    CASE event_type WHEN 'seek_video' THEN 1 WHEN 'play_video' THEN 2 ELSE 0 END AS turn,
    CASE WHEN event_type = 'seek_video' THEN seek_from ELSE position END AS position,
    CASE WHEN event_type = 'seek_video' THEN seek_to END AS seek_to,
    CASE
      WHEN event_type = 'play_video' AND duration > 0 AND duration <= 1000000 THEN duration
    END AS duration,
    CASE
      WHEN event_type = 'play_video' AND NOT video_code IN ('', 'html5', 'mobile', 'hls')
      THEN video_code
    END AS youtube_id
  FROM events
  WHERE course_id IS NOT NULL
    AND user_id IS NOT NULL
    AND video_id IS NOT NULL
    AND video_id <> ''
    AND LENGTH(video_id) <= 255
    AND (
      event_type IN ('play_video', 'pause_video', 'stop_video') AND position IS NOT NULL
      OR event_type = 'seek_video' AND seek_from IS NOT NULL AND seek_to IS NOT NULL
    )
),
numbered AS (
  SELECT
    day,
    course_id,
    user_id,
    video_id,
    time,
    event_type,
    position,
    seek_to,
    duration,
    youtube_id,
    ROW_NUMBER() OVER (
      PARTITION BY course_id, user_id, video_id
      ORDER BY time NULLS FIRST, turn NULLS FIRST, position NULLS FIRST, seek_to NULLS FIRST,
        duration NULLS FIRST, youtube_id NULLS FIRST, event_type NULLS FIRST
    ) AS n
  FROM watched
),
grouped AS (
  SELECT
    day,
    course_id,
    user_id,
    video_id,
    time,
    event_type,
    position,
    seek_to,
    duration,
    youtube_id,
    n,
    COUNT(CASE WHEN event_type = 'play_video' THEN 1 END) OVER (
      PARTITION BY course_id, user_id, video_id ORDER BY n NULLS FIRST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS play,
    LEAD(event_type) OVER (
      PARTITION BY course_id, user_id, video_id ORDER BY n NULLS FIRST
    ) AS end_type,
    LEAD(day) OVER (PARTITION BY course_id, user_id, video_id ORDER BY n NULLS FIRST) AS end_day,
    LEAD(position) OVER (
      PARTITION BY course_id, user_id, video_id ORDER BY n NULLS FIRST
    ) AS end_position
  FROM numbered
),
sought AS (
  SELECT
    day,
    course_id,
    user_id,
    video_id,
    time,
    event_type,
    position,
    duration,
    youtube_id,
    n,
    end_type,
    end_day,
    end_position,
    LAST_VALUE(seek_to IGNORE NULLS) OVER (
      PARTITION BY course_id, user_id, video_id, play ORDER BY n NULLS FIRST
      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    ) AS led_to
  FROM grouped
),
plays AS (
  SELECT
    day,
    course_id,
    user_id,
    video_id,
    time,
    position,
    duration,
    youtube_id,
    end_type,
    end_day,
    end_position,
    LAG(day) OVER (
      PARTITION BY course_id, user_id, video_id ORDER BY n NULLS FIRST
    ) AS previous_day,
    LAG(end_type) OVER (
      PARTITION BY course_id, user_id, video_id ORDER BY n NULLS FIRST
    ) AS previous_end,
    LAG(led_to) OVER (
      PARTITION BY course_id, user_id, video_id ORDER BY n NULLS FIRST
    ) AS previous_led_to
  FROM sought
  WHERE event_type = 'play_video'
),
viewings AS (
  SELECT
    day,
    course_id,
    video_id AS encoded_module_id,
    user_id,
    time,
    CASE
      WHEN previous_end = 'seek_video' AND DATE_DIFF('day', previous_day, day) <= 1
      THEN previous_led_to
      ELSE position
    END AS start_offset,
    end_position AS end_offset,
    end_type AS ended_by,
    duration,
    youtube_id
  FROM plays
  WHERE end_type <> 'play_video' AND DATE_DIFF('day', day, end_day) <= 1
)
SELECT
  day,
  course_id,
  encoded_module_id,
  user_id,
  time,
  start_offset,
  end_offset,
  ended_by,
  duration,
  youtube_id
FROM viewings
WHERE end_offset - start_offset >= CAST('0.25' AS DOUBLE)
  AND (duration IS NULL OR end_offset <= duration + CAST('1' AS DOUBLE))
