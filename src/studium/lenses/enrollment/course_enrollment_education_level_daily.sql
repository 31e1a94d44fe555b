/* studium
description = "Learners enrolled at the end of the last day, per course and level of education"
kind    = "full"
grain   = ["course_id", "date", "education_level"]
publish = "course_enrollment_education_level_daily"
indexes = [["course_id"], ["course_id", "date"]]
rule    = "specs/edx-enrollment-geography §2.6, §2.7, §2.12"

[columns]
date             = "date not null; the last UTC day covered"
course_id        = "varchar(255) not null; course run"
education_level  = "varchar(16); level in today's profile, NULL if not given or unknown"
count            = "integer; learners enrolled at the end of the day"
cumulative_count = "integer; learners with any accepted enrollment event up to that day"

[trace]
auth_userprofile   = """
  MAP {
    'el': 'primary', 'jhs': 'junior_secondary', 'hs': 'secondary', 'a': 'associates',
    'b': 'bachelors', 'm': 'masters', 'p': 'doctorate', 'p_se': 'doctorate',
    'p_oth': 'doctorate', 'none': 'none', 'other': 'other'
  }[level_of_education] IS NOT DISTINCT FROM $education_level
  AND user_id IN (
    SELECT user_id FROM enrollment_changes WHERE course_id = $course_id AND date <= $date
  )"""
enrollment_changes = """
  course_id = $course_id AND date <= $date
  AND MAP {
    'el': 'primary', 'jhs': 'junior_secondary', 'hs': 'secondary', 'a': 'associates',
    'b': 'bachelors', 'm': 'masters', 'p': 'doctorate', 'p_se': 'doctorate',
    'p_oth': 'doctorate', 'none': 'none', 'other': 'other'
  }[(
    SELECT level_of_education
    FROM auth_userprofile
    WHERE auth_userprofile.user_id = enrollment_changes.user_id
  )] IS NOT DISTINCT FROM $education_level"""
*/
WITH learners AS (
  SELECT
    enrollment_changes.course_id,
    CASE auth_userprofile.level_of_education
      WHEN 'el' THEN 'primary'
      WHEN 'jhs' THEN 'junior_secondary'
      WHEN 'hs' THEN 'secondary'
      WHEN 'a' THEN 'associates'
      WHEN 'b' THEN 'bachelors'
      WHEN 'm' THEN 'masters'
      WHEN 'p' THEN 'doctorate'
      WHEN 'p_se' THEN 'doctorate'
      WHEN 'p_oth' THEN 'doctorate'
      WHEN 'none' THEN 'none'
      WHEN 'other' THEN 'other'
    END AS education_level,
    enrollment_changes.change,
    enrollment_changes.first_day
  FROM enrollment_changes
  LEFT JOIN auth_userprofile ON auth_userprofile.user_id = enrollment_changes.user_id
)
SELECT
  CAST($until - INTERVAL 1 DAY AS DATE) AS date,
  course_id,
  education_level,
  CAST(SUM(change) AS INTEGER) AS count,
  CAST(SUM(CASE WHEN first_day THEN 1 ELSE 0 END) AS INTEGER) AS cumulative_count
FROM learners
GROUP BY course_id, education_level
