/* studium
description = "What finds a learner of a course: words of the name, user name, e-mail address"
kind    = "full"
grain   = ["course_id", "term", "user_id"]
publish = "module_engagement_roster_terms"
restricted = true
rule    = "specs/edx-learners-api-insights §1.9, §2.5"

[columns]
course_id = "varchar(255) not null; course run"
term      = "varchar(255) not null; a word of the name, the user name or the address, letters folded"
user_id   = "bigint not null; learner, as in module_engagement_roster"
*/
SELECT
  module_engagement_roster.course_id,
  learner_terms.term,
  learner_terms.user_id
FROM module_engagement_roster
INNER JOIN learner_terms ON learner_terms.user_id = module_engagement_roster.user_id
