"""`studium init --from-cfg`: an old configuration becomes a site; every line is accounted for."""

import json
import sys
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

import studium
from studium.cli import main
from studium.errors import USAGE, UsageError
from studium.migrate.config import read_config
from studium.migrate.patterns import to_glob
from studium.migrate.sections import Made, translate_config

OVERRIDE = """\
; what our cluster needs
[DEFAULT]
root = s3://edx-logs

[hive]
release = apache
warehouse_path = %(root)s/warehouse   ; old day files

[database-export]
database = reports
credentials = {folder}/output.json

[database-import]
database = edxapp
credentials = {folder}/input.json
destination = %(root)s/warehouse/

[map-reduce]
engine = hadoop
marker = %(root)s/marker

[event-logs]
pattern = [".*tracking.log-(?P<date>\\\\d{8}).*\\\\.gz"]
expand_interval = 2 days
source = ["%(root)s/tracking/", "/edx/logs"]

[manifest]
threshold = 500
path = %(root)s/manifest

[enrollments]
interval_start = 2013-11-01
overwrite_n_days = 3

[location-per-course]
interval_start = 2012-06-01
overwrite_n_days = 7

[user-activity]
overwrite_n_days =

[videos]
dropoff_threshold = 0.05
allow_empty_insert = true

[calendar]
interval = 2012-01-01-2020-01-01

[geolocation]
geolocation_data = /var/geo.dat

[elasticsearch]
host = ["http://localhost:9200/"]

[module-engagement]
alias = roster
overwrite_n_days = 4

[answer-distribution]
valid_response_types = customresponse,choiceresponse

[problem_response]
report_fields = ["username"]

[google]
api_key = AIzaSecret

[edx-rest-api]
client_id = oauth_id
client_secret = TopSecret
auth_url = https://lms.example.org/oauth2/access_token/

[payment]
cybersource_merchant_ids = ["x"]

[ImportEnrollmentsIntoMysql]
overwrite_n_days = 2

[retcode]
task_failed = 30
"""
GLOB = "*tracking?log-" + 8 * "[0-9]" + "*.gz*"


@pytest.fixture
def cfg(tmp_path: Path) -> Path:
    """A realistic configuration with its files of credentials, a comma too many in both."""
    (tmp_path / "output.json").write_text(
        '{"host": "db.example.org", "port": 3307, "username": "pipe@line", '
        '"password": "hunter,}2",}'
    )
    (tmp_path / "input.json").write_text(
        '{\n  "host": "lms-db",\n  "username": "read_only",\n  "password": "hunter3",\n}\n'
    )
    path = tmp_path / "override.cfg"
    path.write_text(OVERRIDE.replace("{folder}", str(tmp_path)))
    return path


@pytest.fixture
def init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["studium", "init", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert isinstance(stopped.value.code, int)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return stopped.value.code, captured.out, captured.err

    return run


Init = Callable[..., tuple[int, str, str]]


def made_of(folder: Path, text: str) -> Made:
    path = folder / "old.cfg"
    path.write_text(text)
    return translate_config(read_config([path]))


def says(made: Made, section: str, key: str) -> str:
    account = made.accounts[section, key]
    return f"{'taken' if account.taken else 'left'}: {account.says}"


def test_a_realistic_configuration_becomes_a_site(cfg: Path, init: Init, tmp_path: Path) -> None:
    code, out, err = init("site", "--from-cfg", cfg)
    assert (code, err) == (0, "")
    with studium.open(tmp_path / "site") as site:
        settings = site.settings
        file = {name for name, origin in site.origins.items() if origin.kind == "file"}
    assert settings.site.start == date(2012, 6, 1)
    assert settings.run.lookback == 7
    assert settings.edx.window_days == 2
    assert settings.edx.source == [
        f"s3://edx-logs/tracking/**/{GLOB}",
        f"/edx/logs/**/{GLOB}",
    ]
    assert settings.results.url == "mysql://pipe%40line@db.example.org:3307/reports"
    assert settings.lms.source == "mysql://read_only@lms-db:3306/edxapp"
    assert settings.results.credentials == str(tmp_path / "output.json")
    assert settings.lms.credentials == str(tmp_path / "input.json")
    assert settings.lms.token_url == "https://lms.example.org/oauth2/access_token"
    assert file >= {"site.start", "run.lookback", "edx.source", "results.url", "lms.source"}
    text = (tmp_path / "site" / "studium.toml").read_text()
    for secret in ("hunter", "AIza", "TopSecret"):
        assert secret not in out + text
    line = cfg.read_text().splitlines().index("interval_start = 2013-11-01") + 1
    assert f"# From [enrollments] interval_start (override.cfg, line {line})" in text
    # What was not taken stays commented out with its default.
    given = tomllib.loads(text)
    assert "memory" not in given["engine"]
    assert '# memory = "1GB"' in text


def test_every_entry_is_accounted_for_with_its_line(cfg: Path, init: Init) -> None:
    _, out, _ = init("site", "--from-cfg", cfg)
    lines = out.splitlines()
    # "key = value" lines of the file, each with its number.
    expected = {
        f"override.cfg, line {number}"
        for number, line in enumerate(cfg.read_text().splitlines(), 1)
        if "=" in line
    }
    assert {line.partition("  ")[0] for line in lines[1:-1]} == expected
    assert all(("→ " in line) != ("left: " in line) for line in lines[1:-1])
    shown = {line.split("] ")[1].split()[0]: line for line in lines[1:-1]}
    assert "left: a secret" in shown["client_secret"]
    assert "left: a secret" in shown["api_key"]
    assert "`studium import-history`" in shown["warehouse_path"]
    assert "Studium does not read payments" in shown["cybersource_merchant_ids"]
    assert "no longer published" in shown["geolocation_data"]
    assert "old tables there have to go" in next(
        line for line in lines if "database-export" in line
    )


def test_the_first_of_two_files_yields_to_the_second(tmp_path: Path, init: Init) -> None:
    (tmp_path / "a.cfg").write_text(
        "[enrollments]\ninterval_start = 2012-01-01\noverwrite_n_days: 3\n"
    )
    (tmp_path / "b.cfg").write_text("[enrollments]\ninterval_start = 2013-01-01\n")
    code, out, _ = init("site", "--from-cfg", "a.cfg", "--from-cfg", "b.cfg")
    assert code == 0
    assert "b.cfg, line 2  [enrollments] interval_start    → site.start = 2013-01-01" in out
    with studium.open(tmp_path / "site") as site:
        assert (site.settings.site.start, site.settings.run.lookback) == (date(2013, 1, 1), 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("no section = 1\n", "line 1: neither [section] nor key = value"),
        ("[a]\nx = 1\n  password\n[b\n= hunter2", "neither [section] nor key = value"),
        (b"[a]\nx = \xff\n", "cannot be read"),
    ],
)
def test_what_is_no_configuration_makes_no_site(
    text: str | bytes | None, said: str, tmp_path: Path, init: Init
) -> None:
    path = tmp_path / "old.cfg"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = init("site", "--from-cfg", path)
    assert (code, out) == (USAGE, "")
    assert said in err
    assert "hunter2" not in err
    assert not (tmp_path / "site").exists()


def test_a_site_that_is_there_is_spared(tmp_path: Path, cfg: Path, init: Init) -> None:
    assert init()[0] == 0
    before = (tmp_path / "studium.toml").read_text()
    code, out, err = init("--from-cfg", cfg)
    assert (code, out) == (USAGE, "")
    assert "already" in err
    assert (tmp_path / "studium.toml").read_text() == before


def test_credentials_that_are_not_here(tmp_path: Path) -> None:
    made = made_of(
        tmp_path,
        "[database-export]\ndatabase = reports\ncredentials = s3://bucket/c.json\n"
        "[database-import]\ndatabase = edxapp\ncredentials = /nowhere/c.json\n",
    )
    assert made.values == {}
    assert "s3://bucket/c.json is not on this machine" in says(made, "database-export", "database")
    assert "set lms.source when the file is here" in says(made, "database-import", "credentials")
    made = made_of(tmp_path, "[database-export]\ndatabase = reports\n")
    assert "needs both" in says(made, "database-export", "database")


def test_credentials_may_be_empty(tmp_path: Path) -> None:
    # specs/edx-enrollment-geography §6 E77
    (tmp_path / "c.json").write_text("{}")
    text = f"[database-export]\ndatabase = reports\ncredentials = {tmp_path}/c.json\n"
    assert made_of(tmp_path, text).values["results.url"] == "mysql://localhost:3306/reports"
    (tmp_path / "c.json").write_text('{"password": "hunter2"')
    made = made_of(tmp_path, text)
    assert "results.url" not in made.values
    assert "hunter2" not in says(made, "database-export", "credentials")


@pytest.mark.parametrize(
    ("logs", "values"),
    [
        ("source = /edx/logs", {"edx.source": ["/edx/logs"]}),  # plain text where a list belongs
        (
            'source = ["s3n://b/x"]\npattern = [".*a|b"]',
            {"edx.source": ["s3://b/x"]},
        ),
        (
            'source = ["/a", "/b/"]\npattern = [".*tracking.log.*", ".*old_\\\\d+$"]',
            {
                "edx.source": [
                    "/a/**/*tracking?log*", "/a/**/*old_[0-9]*",
                    "/b/**/*tracking?log*", "/b/**/*old_[0-9]*",
                ]
            },
        ),
        (
            'source = ["/a"]\npattern = [".*log-(?P<date>\\\\d{4}-\\\\d{2}-\\\\d{2})"]\n'
            "date_pattern = %Y-%m-%d",
            {
                "edx.source": [
                    "/a/**/*log-" + "-".join(("[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2)) + "*"
                ],
                "edx.date_pattern": r"log-(?P<date>\d{4}-\d{2}-\d{2})",
                "edx.date_format": "%Y-%m-%d",
            },
        ),
        (
            'source = ["/a"]\npattern = [".*log-(?P<timestamp>\\\\d{10}).gz"]',
            {
                "edx.source": ["/a/**/*log-" + "[0-9]" * 10 + "?gz*"],
                "edx.date_pattern": r"log-(?P<timestamp>\d{10}).gz",
            },
        ),
        ("source = hdfs://x/y", {}),
        ("source = [broken", {}),
        ("source = s3://key:hunter2@bucket/x", {}),
        ("expand_interval = 1 week", {"edx.window_days": 7}),
        ("expand_interval = soon", {}),
    ],
)  # fmt: skip
def test_where_the_logs_are(tmp_path: Path, logs: str, values: dict[str, object]) -> None:
    made = made_of(tmp_path, f"[event-logs]\n{logs}\n")
    assert made.values == values
    assert "hunter2" not in " ".join(account.says for account in made.accounts.values())
    with studium.init(tmp_path / "site", made.values, made.comments) as site:
        assert site.settings.edx.source == values.get("edx.source", [])


def test_the_glob_finds_what_the_pattern_found(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    (logs / "old").mkdir(parents=True)
    for name in ("tracking.log-20140318.gz", "old/tracking.log-20140319-1.gz", "nginx.log"):
        (logs / name).touch()
    made = made_of(
        tmp_path,
        f'[event-logs]\nsource = ["{logs}"]\n'
        'pattern = [".*tracking.log-(?P<date>\\\\d{8}).*\\\\.gz"]\n',
    )
    from studium.sources.edx.files import find_files

    source = made.values["edx.source"]
    assert isinstance(source, list)
    assert {Path(file.path).name for file in find_files(source)} == {
        "tracking.log-20140318.gz",
        "tracking.log-20140319-1.gz",
    }


@pytest.mark.parametrize(
    ("pattern", "glob"),
    [
        (".*tracking.log.*", "*tracking?log*"),
        (r"^.*tracking\.log$", "*tracking.log"),
        (r".*x(-\d+)?\.gz", "*x*.gz*"),
        (r".*x[0-9]{2}[^a]+", "*x[0-9][0-9][!a]*"),
        (r".*\w{2,}y\d*", "*??*y*"),
        (r".*(?P<date>\d{3})", "*[0-9][0-9][0-9]*"),
        (r".*[\d-]x", "*?x*"),
        (r".*\*x", "*[*]x*"),
        (".*a|b", None),
        (".*/tracking/.*", None),
        (r".*(?=x)", None),
        (r".*\bx", None),
        (r".*(x", None),
    ],
)
def test_globs(pattern: str, glob: str | None) -> None:
    assert to_glob(pattern) == glob


def test_without_a_first_day_the_calendar_has_one(tmp_path: Path) -> None:
    made = made_of(tmp_path, "[calendar]\ninterval = 2012-01-01-2020-01-01\n")
    assert made.values == {"site.start": date(2012, 1, 1)}
    made = made_of(tmp_path, "[calendar]\ninterval = forever\n[enrollments]\ninterval_start = x\n")
    assert made.values == {}
    assert "'x' is not a date" in says(made, "enrollments", "interval_start")


def test_the_misspelt_sections_count(tmp_path: Path) -> None:
    # specs/edx-learners-api-insights §6.1, 4; specs/edx-activity-video-answers §7, 31
    made = made_of(
        tmp_path,
        "[module_engagement]\noverwrite_n_days = 5\n[problem_response]\n"
        "interval_start = 2013-05-30\n",
    )
    assert made.values == {"run.lookback": 5, "site.start": date(2013, 5, 30)}


def test_reports_of_answers_are_taken(tmp_path: Path) -> None:
    made = made_of(
        tmp_path,
        "[answer-distribution]\nvalid_response_types = customresponse, choiceresponse\n"
        "[problem-response]\nreport_output_root = file:///reports/\npartition_format = %Y\n"
        'report_fields = ["username", "answer"]\nreport_field_list_delimiter = "|"\n'
        "report_field_datetime_format = %Y-%m-%dT%H:%M:%SZ\nclean_text_regex = null\n"
        "report_filename_template = {course_id}.csv\n",
    )
    assert made.values == {
        "answers.response_types": ["customresponse", "choiceresponse"],
        "answers.report_folder": "/reports",
        "answers.report_fields": ["username", "answer"],
        "answers.report_list_delimiter": "|",
        "answers.report_date_format": "%Y-%m-%dT%H:%M:%SZ",
        "answers.clean_pattern": "",
        "answers.report_name": "{course_id}.csv",
    }
    assert "days are the partitions" in says(made, "problem-response", "partition_format")
    for line in ("report_output_root = s3://b/reports", "report_filename_template = all.csv",
                 "clean_text_regex = (", "report_fields = [1]"):  # fmt: skip
        assert made_of(tmp_path, f"[problem_response]\n{line}\n").values == {}


def test_a_country_database_of_today_is_taken(tmp_path: Path) -> None:
    made = made_of(tmp_path, "[geolocation]\ngeolocation_data = /var/GeoLite2-Country.mmdb\n")
    assert made.values == {"geography.database": "/var/GeoLite2-Country.mmdb"}


def test_services_of_the_lms_are_taken_as_far_as_they_are_asked(tmp_path: Path) -> None:
    text = (
        "[course-catalog-api]\napi_root_url = https://discovery.example.org/api/v1/\n"
        'partner_short_codes = ["edx"]\n'
        "[course-list]\napi_root_url = https://lms.example.org/api/courses/v1/courses/\n"
        "[edx-rest-api]\nclient_id = studium\nclient_secret = hunter2\n"
    )
    expected = {
        "lms.api_url": "https://lms.example.org",
        "lms.client_id": "studium",
    }
    made = made_of(tmp_path, text)
    assert made.values == expected
    assert "catalog" in says(made, "course-catalog-api", "api_root_url")
    made = made_of(tmp_path, f"{text}[course-summary-enrollment]\nenable_course_catalog = true\n")
    expected["lms.discovery_url"] = "https://discovery.example.org/api/v1/"
    assert made.values == {**expected, "lms.partners": ["edx"]}
    assert "STUDIUM_LMS_CLIENT_SECRET" in says(made, "edx-rest-api", "client_secret")
    assert "hunter2" not in json.dumps(made.comments) + "".join(
        account.says for account in made.accounts.values()
    )


def test_values_with_percent_signs_and_lines_without_one(tmp_path: Path) -> None:
    path = tmp_path / "old.cfg"
    path.write_text("[a]\nform = %Y%m%d\nalone\nlong = [\n  1,\n  2]\ntwice = 1\ntwice = 2\n")
    found = {key: (e.value, e.line) for (_, key), e in read_config([path]).items()}
    assert found == {
        "form": ("%Y%m%d", 2),
        "alone": ("", 3),
        "long": ("[\n1,\n2]", 4),
        "twice": ("2", 8),
    }


def test_a_value_that_no_setting_allows_is_left(tmp_path: Path) -> None:
    made = made_of(tmp_path, "[videos]\noverwrite_n_days = -1\n[enrollments]\ninterval_start =\n")
    assert made.values == {}
    with pytest.raises(UsageError):
        read_config([tmp_path / "none.cfg"])
