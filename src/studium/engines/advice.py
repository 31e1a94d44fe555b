"""What to write instead of what is not portable, and why it is not."""

from typing import Final

INGEST: Final = "do it at ingest, and store the result as a column"
_TIE = "the row that it takes is undefined when several tie"
_RANK = "ROW_NUMBER() OVER (… a total order) = 1 in a subquery"
_EPOCH = "time zone and unit differ between engines"
FOLD: Final = "letters fold differently outside ASCII"

#: Name of a construct → why it is not portable, and what to write instead.
ADVICE: Final[dict[str, tuple[str, str]]] = {
    "approxdistinct": ("each engine approximates in its own way", "COUNT(DISTINCT …)"),
    "approxquantile": ("each engine approximates in its own way", "counts per value"),
    "approxtopk": ("each engine approximates in its own way", "COUNT(*) and ROW_NUMBER()"),
    "quantile": ("engines interpolate differently", "ROW_NUMBER() and COUNT(*) over the rows"),
    "percentilecont": ("engines interpolate differently", "ROW_NUMBER() and COUNT(*)"),
    "percentiledisc": ("engines interpolate differently", "ROW_NUMBER() and COUNT(*)"),
    "median": ("engines interpolate differently", "ROW_NUMBER() and COUNT(*) over the rows"),
    "avg": (
        "sums of fractions depend on the order of rows",
        "CAST(CAST(SUM(…) AS BIGINT) AS DOUBLE) / NULLIF(COUNT(…), 0) over integers",
    ),
    "timetounix": (_EPOCH, "DATE_DIFF('microsecond', a, b)"),
    "epoch_us": (_EPOCH, "DATE_DIFF('microsecond', a, b)"),
    "epoch_ms": (_EPOCH, "DATE_DIFF('microsecond', a, b)"),
    "epoch_ns": (_EPOCH, "DATE_DIFF('microsecond', a, b)"),
    "isinf": ("Spark has no such function", f"{INGEST} that is never infinite"),
    "isnan": ("NaN compares differently", f"{INGEST} that is never NaN"),
    "generateseries": ("no SQL for a spine of days runs everywhere", "join the table calendar"),
    "explodingseries": ("no SQL for a spine of days runs everywhere", "join the table calendar"),
    "regexplike": ("regular expressions have dialects", f"STARTS_WITH or LIKE, or {INGEST}"),
    "regexpextract": ("regular expressions have dialects", INGEST),
    "regexpreplace": ("regular expressions have dialects", INGEST),
    "jsonextract": ("JSON is read differently", INGEST),
    "jsonextractscalar": ("JSON is read differently", INGEST),
    "trycast": ("engines take different spellings for numbers and dates", INGEST),
    "qualify": ("Spark has none; the rewritten query is not proven", "filter in an outer SELECT"),
    "limit": ("rows have no order to cut", _RANK),
    "offset": ("rows have no order to cut", _RANK),
    "order": ("a table's rows have no order", "leave it to the reader"),
    "first": (_TIE, _RANK),
    "last": (_TIE, _RANK),
    "anyvalue": (_TIE, "MIN(…) or MAX(…)"),
    "argmax": (_TIE, _RANK),
    "argmin": (_TIE, _RANK),
    "mode": (_TIE, "COUNT(*) and ROW_NUMBER()"),
    "arrayagg": ("the order of its items is undefined", "one row per item"),
    "groupconcat": ("the order of its items is undefined", "one row per item"),
    "rand": ("it gives another result in every run", "a column of the input"),
    "uuid": ("it gives another result in every run", "a column of the input"),
    "currentdate": ("it gives another result in every run", "a parameter such as $until"),
    "currenttimestamp": ("it gives another result in every run", "a parameter such as $until"),
    "now": ("it gives another result in every run", "a parameter such as $until"),
    "today": ("it gives another result in every run", "a parameter such as $until"),
    "ilike": (FOLD, INGEST),
    "upper": (FOLD, INGEST),
    "collate": ("collations differ", "the order of code points, which is the default"),
    "concat": ("NULL is skipped by one engine only", "a || b"),
    "round": ("halves are rounded differently", "CAST(FLOOR(x + CAST('0.5' AS DOUBLE)) AS BIGINT)"),
    "dayofweekiso": ("SQLGlot's translation is wrong", "join calendar for iso_weekday"),
    "dayofweek": ("weeks begin on different days", "join calendar for iso_weekday"),
    "timetostr": ("formats differ", "join calendar for names of weeks"),
    "timestamptrunc": ("the type of the result differs", "join calendar for week_start"),
    "unnest": ("rows of arrays come differently", "a row-a-part table made at ingest"),
    "explode": ("rows of arrays come differently", "a row-a-part table made at ingest"),
}
