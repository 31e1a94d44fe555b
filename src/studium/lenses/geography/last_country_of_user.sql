/* studium
description = "Country that a learner was last seen in"
kind    = "full"
grain   = ["user_id"]
rule    = "specs/edx-enrollment-geography §3.3"

[columns]
user_id      = "bigint not null; learner"
time         = "datetime not null; UTC, of the last event with an address"
country_code = "varchar(10) not null; ISO 3166 code, UNKNOWN where the address does not tell"

[trace]
last_ip_of_user = "user_id = $user_id"
country_of_ip   = "ip IN (SELECT ip FROM last_ip_of_user WHERE user_id = $user_id)"
*/
SELECT
  last_ip_of_user.user_id,
  last_ip_of_user.time,
  country_of_ip.country_code
FROM last_ip_of_user
INNER JOIN country_of_ip ON country_of_ip.ip = last_ip_of_user.ip
