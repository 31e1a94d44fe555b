/* studium
description = "Views and viewers of each 5-second segment, up to the end of the video"
kind    = "full"
grain   = ["pipeline_video_id", "segment"]
publish = "video_timeline"
indexes = [["pipeline_video_id"]]
rule    = "specs/edx-activity-video-answers §2.7, §2.8"

[columns]
pipeline_video_id = "varchar(511) not null; course run and video: <course_id>|<encoded_module_id>"
segment           = "integer; 0 is the first five seconds; those nobody watched are left out"
num_users         = "integer; distinct learners"
num_views         = "integer; viewings"

[trace]
video_usage   = "course_id || '|' || encoded_module_id = $pipeline_video_id AND segment = $segment"
video_lengths = "course_id || '|' || encoded_module_id = $pipeline_video_id"
*/
SELECT
  video_usage.course_id || '|' || video_usage.encoded_module_id AS pipeline_video_id,
  video_usage.segment,
  video_usage.num_users,
  video_usage.num_views
FROM video_usage
INNER JOIN video_lengths
  ON video_lengths.course_id = video_usage.course_id
  AND video_lengths.encoded_module_id = video_usage.encoded_module_id
WHERE video_usage.segment <= video_lengths.final_segment
