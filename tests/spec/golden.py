"""The golden scenario, `specs/edx-enrollment-geography` §8.1, whole.

Its interval begins on 2021-03-01; the shared run begins earlier, which changes nothing here.
"""

from tests.spec.enrollment import Scenario

ALPHA = Scenario(
    "§8.1-alpha",
    """
    01 08:00              101 act   audit
    03 09:00:00.25        101 mode  verified
    01 10:00              102 act   audit
    02 10:00              102 deact audit
    02 18:00              102 act   verified
    04 12:00              103 deact honor
    02 00:00:00           104 act   audit
    02 23:59:59.999999    104 deact audit
    05 01:00              105 act   audit
    05 02:00              105 act   verified
    06 05:00              106 mode  verified
    """,
    {
        "days": """
            user date at_end change mode
            101  01   1      +1     audit
            101  02   1      0      audit
            101  03   1      0      verified
            101  04   1      0      verified
            101  05   1      0      verified
            101  06   1      0      verified
            101  07   1      0      verified
            102  01   1      +1     audit
            102  02   1      0      verified
            102  03   1      0      verified
            102  04   1      0      verified
            102  05   1      0      verified
            102  06   1      0      verified
            102  07   1      0      verified
            103  04   0      0      honor
            103  05   0      0      honor
            103  06   0      0      honor
            103  07   0      0      honor
            104  02   0      0      audit
            104  03   0      0      audit
            104  04   0      0      audit
            104  05   0      0      audit
            104  06   0      0      audit
            104  07   0      0      audit
            105  05   1      +1     verified
            105  06   1      0      verified
            105  07   1      0      verified
            106  06   0      0      verified
            106  07   0      0      verified
            """,
        "course_enrollment_daily": """
            date count cumulative_count
            01   2     2
            02   2     3
            03   2     3
            04   2     4
            05   3     5
            06   3     6
            07   3     6
            """,
        "course_enrollment_mode_daily": """
            mode     date count cumulative_count
            audit    01   2     2
            audit    02   1     2
            audit    03   0     1
            audit    04   0     1
            audit    05   0     1
            audit    06   0     1
            audit    07   0     1
            verified 02   1     1
            verified 03   2     2
            verified 04   2     2
            verified 05   3     3
            verified 06   3     4
            verified 07   3     4
            honor    04   0     1
            honor    05   0     1
            honor    06   0     1
            honor    07   0     1
            """,
        "course_enrollment_gender_daily": """
            gender date count cumulative_count
            f      01   1     1
            f      02   1     1
            f      03   1     1
            f      04   1     1
            f      05   1     1
            f      06   1     2
            f      07   1     2
            m      01   1     1
            m      02   1     1
            m      03   1     1
            m      04   1     1
            m      05   1     1
            m      06   1     1
            m      07   1     1
            -      02   0     1
            -      03   0     1
            -      04   0     2
            -      05   0     2
            -      06   0     2
            -      07   0     2
            o      05   1     1
            o      06   1     1
            o      07   1     1
            """,
        "course_enrollment_birth_year_daily": """
            date birth_year count cumulative_count
            07   -          0     2
            07   1985       1     1
            07   1990       1     2
            07   2000       1     1
            """,
        "course_enrollment_education_level_daily": """
            date education_level count cumulative_count
            07   -               0     3
            07   bachelors       1     1
            07   doctorate       1     1
            07   masters         1     1
            """,
        "summary": """
            user_id mode     active first_mode first     unenrolled         verified       credit
            101     verified yes    audit      01T08:00  -                  03T09:00:00.25 -
            102     verified yes    audit      01T10:00  02T10:00           02T18:00       -
            104     audit    no     audit      02T00:00  02T23:59:59.999999 -              -
            105     audit    yes    audit      05T01:00  -                  -              -
            """,
        "course_grade_by_mode": """
            mode     passing_users
            audit    1
            honor    0
            verified 1
            """,
        "course_meta_summary_enrollment": """
            enrollment_mode count count_change_7_days cumulative_count passing_users
            audit           0     0                   1                1
            honor           0     0                   1                0
            verified        3     3                   4                1
            """,
    },
    course="course-v1:UniX+Bio1+2021_T1",
    profiles="""
        user_id gender year_of_birth level_of_education
        101     f      1990          b
        102     m      1985          m
        103     ''     -             ''
        105     o      2000          p_se
        106     f      1990          xyz
        107     m      -             none
        108     -      1970          jhs
        """,
    grades="""
        user_id letter_grade passed_timestamp modified
        101     Pass         02T12:00         02T12:00
        102     Pass         06T12:00         06T12:00
        104     Pass         02-20T12:00      02-20T12:00
        105     ''           06T12:00         06T12:00
        """,
)

BETA = Scenario(
    "§8.1-beta",
    """
    07 23:00 101 act   honor
    01 06:00 107 act   honor
    05 06:00 107 deact verified
    03 11:00 108 deact honor
    03 11:00 108 act   honor
    """,
    {
        "days": """
            user date at_end change mode
            107  01   1      +1     honor
            107  02   1      0      honor
            107  03   1      0      honor
            107  04   1      0      honor
            107  05   0      -1     verified
            107  06   0      0      verified
            107  07   0      0      verified
            108  03   0      0      honor
            108  04   0      0      honor
            108  05   0      0      honor
            108  06   0      0      honor
            108  07   0      0      honor
            101  07   1      +1     honor
            """,
        "course_enrollment_daily": """
            date count cumulative_count
            01   1     1
            02   1     1
            03   1     2
            04   1     2
            05   0     2
            06   0     2
            07   1     3
            """,
        "course_enrollment_mode_daily": """
            mode     date count cumulative_count
            honor    01   1     1
            honor    02   1     1
            honor    03   1     2
            honor    04   1     2
            honor    05   0     1
            honor    06   0     1
            honor    07   1     2
            verified 05   0     1
            verified 06   0     1
            verified 07   0     1
            """,
        "course_enrollment_gender_daily": """
            gender date count cumulative_count
            m      01   1     1
            m      02   1     1
            m      03   1     1
            m      04   1     1
            m      05   0     1
            m      06   0     1
            m      07   0     1
            -      03   0     1
            -      04   0     1
            -      05   0     1
            -      06   0     1
            -      07   0     1
            f      07   1     1
            """,
        "course_enrollment_birth_year_daily": """
            date birth_year count cumulative_count
            07   -          0     1
            07   1970       0     1
            07   1990       1     1
            """,
        "course_enrollment_education_level_daily": """
            date education_level  count cumulative_count
            07   bachelors        1     1
            07   junior_secondary 0     1
            07   none             0     1
            """,
        "summary": """
            user_id mode     active first_mode first     unenrolled verified credit
            101     honor    yes    honor      07T23:00  -          -        -
            107     honor    no     honor      01T06:00  05T06:00   -        -
            108     honor    no     honor      03T11:00  03T11:00   -        -
            """,
        "course_grade_by_mode": """
            mode     passing_users
            honor    0
            verified 1
            """,
        "course_meta_summary_enrollment": """
            enrollment_mode count count_change_7_days cumulative_count passing_users
            honor           1     1                   2                0
            verified        0     0                   1                1
            """,
    },
    course="UniX/Chem/2020",
    grades="""
        user_id letter_grade passed_timestamp modified
        107     C            2021-04-01T12:00 2021-04-01T12:00
        """,
)
