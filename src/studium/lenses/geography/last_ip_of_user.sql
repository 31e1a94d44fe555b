/* studium
description = "Address that a learner was last seen at"
kind    = "full"
grain   = ["user_id"]
restricted = true
rule    = "specs/edx-enrollment-geography §3.3"

[columns]
user_id = "bigint not null; learner"
time    = "datetime not null; UTC, of the last event with an address"
ip      = "text not null; address, as logged"

[trace]
last_ip_of_user_daily = "user_id = $user_id"
*/
WITH ordered AS (
  SELECT
    user_id,
    time,
    ip,
    ROW_NUMBER() OVER (
      PARTITION BY user_id ORDER BY time DESC NULLS LAST, ip DESC NULLS LAST
    ) AS place
  FROM last_ip_of_user_daily
  WHERE day >= $start AND day < $until
)
SELECT
  user_id,
  time,
  ip
FROM ordered
WHERE place = 1
