/* studium
description = "Programs that a course run belongs to"
kind    = "full"
grain   = ["course_id", "program_id"]
publish = "course_program_metadata"
indexes = [["course_id"]]
rule    = "specs/edx-enrollment-geography §2.9, §2.12"

[columns]
course_id     = "varchar(255) not null; course run"
program_id    = "varchar(36) not null; UUID of the program"
program_type  = "varchar(32) not null; type of the program"
program_title = "varchar(255); title, white space collapsed"
*/
SELECT course_id, program_id, program_type, program_title
FROM program_course
