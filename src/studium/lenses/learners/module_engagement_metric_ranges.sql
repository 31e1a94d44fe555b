/* studium
description = "What is little, usual and much of each metric of engagement in a course in a week"
kind    = "full"
grain   = ["course_id", "metric", "range_type"]
publish = "module_engagement_metric_ranges"
indexes = [["course_id", "metric"]]
rule    = "specs/edx-learners-api-insights §1.6"

[columns]
course_id  = "varchar(255) not null; course run"
start_date = "date not null; first day of the week: the last one with any activity"
end_date   = "date not null; the day after the week"
metric     = "varchar(50) not null; a metric of module_engagement_summary"
range_type = "varchar(50) not null; low, normal or high"
low_value  = "double; values from here on; NULL: infinite"
high_value = "double; values below this; NULL: infinite, which then belongs to the range"
learners   = "integer not null; learners compared"

[trace]
module_engagement_summary = "course_id = $course_id AND end_date = $end_date"
*/
-- Percentiles by ranks: position p/100·(n-1), between two ranks in a straight line. A value that is
-- NULL is infinite and comes last; what is reckoned with it is infinite, too. Values that are equal,
-- or are hit exactly, are taken as they are, so that a learner at the bound is compared with himself.
WITH latest AS (
  SELECT course_id, MAX(end_date) AS end_date
  FROM module_engagement_summary
  GROUP BY course_id
),
compared AS (
  SELECT
    week.course_id,
    week.start_date,
    week.end_date,
    week.problem_attempts,
    week.problems_attempted,
    week.problems_completed,
    week.problem_attempts_per_completed,
    week.videos_viewed,
    week.discussion_contributions
  FROM module_engagement_summary AS week
  INNER JOIN latest ON latest.course_id = week.course_id AND latest.end_date = week.end_date
),
metrics AS (
  SELECT 'problem_attempts' AS metric
  UNION ALL
  SELECT 'problems_attempted' AS metric
  UNION ALL
  SELECT 'problems_completed' AS metric
  UNION ALL
  SELECT 'problem_attempts_per_completed' AS metric
  UNION ALL
  SELECT 'videos_viewed' AS metric
  UNION ALL
  SELECT 'discussion_contributions' AS metric
),
-- Who tried no problem has no ratio to be compared.
measured AS (
  SELECT
    compared.course_id,
    compared.start_date,
    compared.end_date,
    metrics.metric,
    CASE metrics.metric
      WHEN 'problem_attempts' THEN CAST(compared.problem_attempts AS DOUBLE)
      WHEN 'problems_attempted' THEN CAST(compared.problems_attempted AS DOUBLE)
      WHEN 'problems_completed' THEN CAST(compared.problems_completed AS DOUBLE)
      WHEN 'problem_attempts_per_completed' THEN compared.problem_attempts_per_completed
      WHEN 'videos_viewed' THEN CAST(compared.videos_viewed AS DOUBLE)
      ELSE CAST(compared.discussion_contributions AS DOUBLE)
    END AS value,
    CASE
      WHEN metrics.metric = 'problem_attempts_per_completed' AND compared.problem_attempts = 0
        THEN 0
      ELSE 1
    END AS learners
  FROM compared
  CROSS JOIN metrics
),
grouped AS (
  SELECT course_id, start_date, end_date, metric, value, CAST(SUM(learners) AS BIGINT) AS learners
  FROM measured
  GROUP BY course_id, start_date, end_date, metric, value
),
ranked AS (
  SELECT
    course_id,
    start_date,
    end_date,
    metric,
    value,
    learners,
    CAST(SUM(learners) OVER (
      PARTITION BY course_id, metric ORDER BY value NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS BIGINT) AS up_to_value,
    CAST(SUM(learners) OVER (PARTITION BY course_id, metric) AS BIGINT) AS n
  FROM grouped
),
placed AS (
  SELECT
    course_id,
    start_date,
    end_date,
    metric,
    value,
    n,
    up_to_value - learners AS first_rank,
    up_to_value - 1 AS last_rank,
    $low_percentile * (n - 1) // 100 AS low_rank,
    $high_percentile * (n - 1) // 100 AS high_rank
  FROM ranked
  WHERE learners > 0 OR n = 0
),
bounds AS (
  SELECT
    course_id,
    start_date,
    end_date,
    metric,
    n,
    $low_percentile * (n - 1) % 100 AS low_rest,
    $high_percentile * (n - 1) % 100 AS high_rest,
    MAX(CASE WHEN low_rank BETWEEN first_rank AND last_rank THEN value END) AS low_here,
    MAX(CASE WHEN low_rank + 1 BETWEEN first_rank AND last_rank THEN value END) AS low_next,
    MAX(CASE WHEN high_rank BETWEEN first_rank AND last_rank THEN value END) AS high_here,
    MAX(CASE WHEN high_rank + 1 BETWEEN first_rank AND last_rank THEN value END) AS high_next
  FROM placed
  GROUP BY course_id, start_date, end_date, metric, n
),
percentiles AS (
  SELECT
    course_id,
    start_date,
    end_date,
    metric,
    CAST(n AS INTEGER) AS learners,
    CASE
      WHEN low_rest = 0 OR low_here = low_next THEN low_here
      ELSE (low_here * (100 - low_rest) + low_next * low_rest) / 100
    END AS p_low,
    CASE
      WHEN high_rest = 0 OR high_here = high_next THEN high_here
      ELSE (high_here * (100 - high_rest) + high_next * high_rest) / 100
    END AS p_high
  FROM bounds
),
kinds AS (
  SELECT 'low' AS range_type
  UNION ALL
  SELECT 'normal' AS range_type
  UNION ALL
  SELECT 'high' AS range_type
)
SELECT
  percentiles.course_id,
  percentiles.start_date,
  percentiles.end_date,
  percentiles.metric,
  kinds.range_type,
  CASE
    WHEN kinds.range_type = 'low' OR percentiles.learners = 0 THEN CAST(0 AS DOUBLE)
    WHEN kinds.range_type = 'normal' THEN percentiles.p_low
    ELSE percentiles.p_high
  END AS low_value,
  CASE
    WHEN kinds.range_type = 'low' THEN percentiles.p_low
    WHEN kinds.range_type = 'normal' AND percentiles.p_low IS DISTINCT FROM percentiles.p_high
      THEN percentiles.p_high
  END AS high_value,
  percentiles.learners
FROM percentiles
CROSS JOIN kinds
WHERE kinds.range_type = 'normal'
  OR (kinds.range_type = 'low' AND percentiles.learners > 0
    AND (percentiles.p_low > 0 OR percentiles.p_low IS NULL))
  OR (kinds.range_type = 'high' AND percentiles.p_low IS DISTINCT FROM percentiles.p_high)
