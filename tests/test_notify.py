"""Who is told of a job: once, signed, by what is allowed only, and whatever the receiver does."""

import base64
import hashlib
import hmac
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import studium
from studium.clock import utcnow
from studium.errors import SettingsError, StudiumError, UsageError
from studium.jobs.notify import (
    Event,
    Notice,
    check_receivers,
    deliveries_of,
    next_due,
    progress_marks,
    send_due,
    tell,
    token_of,
)
from studium.jobs.notify.outbox import due, stamp, take
from studium.jobs.notify.receivers import read_policy
from studium.jobs.notify.send import LONGEST_PAUSE, pause_after
from studium.jobs.states import Failure
from studium.jobs.worker.children import start_child
from studium.jobs.worker.steps import send_messages
from studium.settings import masked_values
from studium.site import Site
from tests.databases import Server
from tests.receivers import Hook, Post, mail_server, web_server

NOW = "2025-09-01T12:00:00.000000+00:00"
LOOPBACK = ["127.0.0.0/8"]


@pytest.fixture
def hook() -> Iterator[Hook]:
    with web_server() as server:
        yield server


def make_site(folder: Path, **settings: object) -> Site:
    studium.init(folder).close()
    given = {name.replace("__", "."): value for name, value in settings.items()}
    return studium.open(folder, given)


def hooked_site(folder: Path, hook: Hook, **settings: object) -> Site:
    """A site that may post to ``hook``, which is not at a public address."""
    allowed = {"notify__callbacks": [f"http://127.0.0.1:{hook.port}"], "notify__networks": LOOPBACK}
    return make_site(folder, **{**allowed, **settings})


def notice(event: Event = Event.RESULT, job: str = "weekly-abc", **more: object) -> Notice:
    return Notice(job, event, NOW, **more)  # type: ignore[arg-type]


def told(site: Site, one: Notice, *receivers: str) -> int:
    with site.state.begin() as conn:
        return tell(conn, one, receivers, site.settings.notify)


def outcomes(site: Site, job: str = "weekly-abc") -> list[str]:
    with site.state.read() as conn:
        return [one.outcome for one in deliveries_of(conn, job)]


def status(*codes: int) -> object:
    """Answers with ``codes``, one after the other, the last one for ever."""
    left = list(codes)

    def answer(_: Post, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(left.pop(0) if len(left) > 1 else left[0])
        handler.end_headers()

    return answer


def verified(post: Post, token: str) -> bool:
    """As the receiver checks it, by the Standard Webhooks specification."""
    secret = base64.b64decode(token.split("_", 1)[1])
    signed = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode()
    digest = hmac.new(secret, signed + post.body, hashlib.sha256).digest()
    return post.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_a_callback_is_signed_and_repeated_with_the_same_id(tmp_path: Path, hook: Hook) -> None:
    hook.answer = status(503, 500, 204)  # type: ignore[assignment]
    url = f"http://127.0.0.1:{hook.port}/jobs?from=studium"
    with hooked_site(tmp_path / "site", hook) as site:
        assert told(site, notice(Event.FAILED, failure=Failure.MEMORY), url) == 1
        at = utcnow()
        for expected in ("HTTP 503", "HTTP 500", "sent"):
            send_due(site, at)
            assert outcomes(site) == [expected]
            send_due(site, at)  # it is not due yet, or never again
            at += timedelta(hours=2)
        with site.state.begin() as conn:
            token, other = token_of(conn, "weekly-abc"), token_of(conn, "weekly-abd")
            assert next_due(conn) is None
    assert len(hook.posts) == 3
    assert len({post.headers["webhook-id"] for post in hook.posts}) == 1
    for post in hook.posts:
        assert post.path == "/jobs?from=studium"
        assert verified(post, token)
        assert not verified(post, other)
        assert not verified(Post(post.path, post.headers, post.body + b" "), token)
        assert abs(int(post.headers["webhook-timestamp"]) - time.time()) < 300
        assert post.json == {
            "job": "weekly-abc", "event": "failed", "at": NOW, "attempt": 1,
            "failure": "out of memory",
        }  # fmt: skip


def test_what_never_arrives_is_given_up_with_a_record(tmp_path: Path, hook: Hook) -> None:
    hook.answer = status(500)  # type: ignore[assignment]
    url = f"http://127.0.0.1:{hook.port}/"
    with hooked_site(tmp_path / "site", hook, notify__attempts=4) as site:
        told(site, notice(), url)
        at, pauses = utcnow(), []
        while True:
            send_due(site, at)
            with site.state.read() as conn:
                (one,) = deliveries_of(conn, "weekly-abc")
            if one.due is None:
                break
            pauses.append(one.due)
            at += timedelta(hours=2)
        assert (one.tries, one.outcome) == (4, "given up: HTTP 500")
        assert one.ended
        assert len(hook.posts) == 4
        hook.answer = status(410)  # type: ignore[assignment]
        told(site, notice(Event.STARTED), url)
        send_due(site)
        assert "given up: HTTP 410" in outcomes(site)
        assert len(hook.posts) == 5


def test_pauses_grow_to_an_hour() -> None:
    for tries in range(1, 40):
        whole = min(LONGEST_PAUSE, 15 * 2 ** (tries - 1))
        for _ in range(20):
            assert whole / 2 <= pause_after(tries, 15) <= whole


REFUSED = (
    "http://evil.example.org/", "https://127.0.0.1/", "https://hooks.example.org:444/",
    "http://hooks.example.org/", "https://example.org/", "https://hooks.example.org@evil.org/",
    "https://user:secret@hooks.example.org/", "https://hooks.example.org#x", "ftp://example.org/",
    "file:///etc/passwd", "gopher://hooks.example.org/", "json://hooks.example.org/", "https://",
    "https:///x", "https://hooks.example.org\r\nX: y", "https://hooks.example.org/ü",
    "https://xhooks.example.org/", "https://team.org/", "https://a.team.org.evil.org/",
    "https://hooks.example.org/?token=abc", f"https://hooks.example.org/{'x' * 2000}",
    "https://hooks.example.org\\@evil.org/", "http://2130706433/", "slack://a/b/c",
)  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_callbacks_that_are_not_allowed(tmp_path: Path, url: str) -> None:
    origins = ["https://hooks.example.org", "https://*.team.org"]
    with make_site(tmp_path / "site", notify__callbacks=origins) as site:
        with pytest.raises(UsageError) as error:
            check_receivers([url], site.settings.notify)
        assert "secret" not in str(error.value)
        check_receivers(
            [
                "https://hooks.example.org/x?y=1",
                "https://HOOKS.example.org:443",
                "https://a.team.org",
            ],
            site.settings.notify,
        )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "::", "::1", "fe80::1",
        "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::", "localhost", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_allowed(address: str) -> None:
    policy = read_policy([], ["10.1.0.0/16", "fd00:1::/32"])
    assert not policy.allows_address(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "10.1.2.3", "::ffff:10.1.2.3", "fd00:1::2"]
)
def test_addresses_that_are_allowed(address: str) -> None:
    assert read_policy([], ["10.1.0.0/16", "fd00:1::/32"]).allows_address(address)


def test_a_name_of_a_private_address_is_not_posted_to(tmp_path: Path, hook: Hook) -> None:
    """The host is allowed, and its name leads home, as one under foreign control may."""
    origin = f"http://localhost:{hook.port}"
    with make_site(tmp_path / "site", notify__callbacks=[origin]) as site:
        told(site, notice(), f"{origin}/x")
        send_due(site)
        assert outcomes(site) == ["given up: not an allowed address"]
    assert not hook.posts
    with studium.open(
        tmp_path / "site", {"notify.callbacks": [origin], "notify.networks": [*LOOPBACK, "::1/128"]}
    ) as site:
        told(site, notice(Event.STARTED), f"{origin}/x")
        send_due(site)
    (post,) = hook.posts
    assert post.headers["host"] == f"localhost:{hook.port}"


def test_a_redirect_is_not_followed(tmp_path: Path, hook: Hook) -> None:
    with web_server() as inner:

        def away(_: Post, handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(307)
            handler.send_header("Location", f"http://127.0.0.1:{inner.port}/latest/meta-data")
            handler.end_headers()

        hook.answer = away
        with hooked_site(tmp_path / "site", hook) as site:
            told(site, notice(), f"http://127.0.0.1:{hook.port}/")
            send_due(site)
            assert outcomes(site) == ["HTTP 307"]
        assert len(hook.posts) == 1
        assert not inner.posts


def test_a_receiver_that_never_ends_is_left(tmp_path: Path, hook: Hook) -> None:
    """A byte of its header now and then would satisfy a limit on each step."""

    stop = threading.Event()

    def drip(_: Post, handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.05):
            handler.wfile.write(b"X")

    hook.answer = drip
    with hooked_site(tmp_path / "site", hook, notify__timeout=0.5) as site:
        told(site, notice(), f"http://127.0.0.1:{hook.port}/")
        told(site, notice(Event.STARTED), "http://127.0.0.1:1/")
        started = time.monotonic()
        send_due(site)
        assert time.monotonic() - started < 10
        stop.set()
        assert sorted(outcomes(site)) == ["given up: not an allowed receiver", "timeout"]


def certificate(folder: Path, name: str) -> Path:
    """A certificate of its own for ``name``, and its key, in one file."""
    key, cert, both = folder / f"{name}.key", folder / f"{name}.crt", folder / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-keyout", key, "-out", cert, "-subj", f"/CN={name}",
         "-addext", f"subjectAltName=DNS:{name}"],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


def test_tls_is_checked_against_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the connection goes to an address."""
    good, bad = certificate(tmp_path, "localhost"), certificate(tmp_path, "example.org")
    (tmp_path / "trusted.pem").write_bytes(
        (tmp_path / "localhost.crt").read_bytes() + (tmp_path / "example.org.crt").read_bytes()
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    with web_server(str(good)) as right, web_server(str(bad)) as wrong:
        origins = [f"https://localhost:{right.port}", f"https://localhost:{wrong.port}"]
        with make_site(
            tmp_path / "site",
            notify__callbacks=origins, notify__networks=["127.0.0.0/8", "::1/128"],
        ) as site:  # fmt: skip
            told(site, notice(), f"{origins[0]}/x")
            told(site, notice(Event.STARTED), f"{origins[1]}/x")
            send_due(site)
            assert outcomes(site) == ["not reached", "sent"]
        assert len(right.posts) == 1
        assert not wrong.posts


def test_mail_to_the_address_that_a_job_names(tmp_path: Path) -> None:
    with mail_server() as (port, letters):
        server = f"mailto://127.0.0.1:{port}?from=studium@example.org&mode=insecure"
        operator = f"{server}&to=ops@example.org"
        with make_site(tmp_path / "site", notify__mail=server, notify__urls=[operator]) as site:
            check_receivers(["ana+jobs@example.org"], site.settings.notify)
            one = notice(Event.PROGRESS, done=3, units=4, mark=75)
            assert told(site, one, "ana+jobs@example.org") == 2
            assert send_due(site).sent == 2
            assert b"ops@example.org" not in (site.root / "state.db").read_bytes()
            shown = masked_values(site.settings)
            assert (shown["notify.urls"], shown["notify.mail"]) == (
                ["mailto://***"],
                "mailto://***",
            )
        assert {letter["To"] for letter in letters.messages} == {
            "ana+jobs@example.org", "ops@example.org"
        }  # fmt: skip
        letter = letters.messages[0]
        assert letter["Subject"] == "Studium: job weekly-abc: progress"
        assert "3 of 4 units are done." in str(letter)
        # One that comes twice is known by its id.
        with site.state.read() as conn:
            ids = {one.id for one in deliveries_of(conn, "weekly-abc")}
        assert all(any(key in str(one) for one in letters.messages) for key in ids)


@pytest.mark.parametrize(
    "address",
    ["ana", "ana@", "@example.org", "a@b,c@d", "a@b c@d", "a@b\r\nBcc: c@d", "a@b?x=y", "a@b&to=c",
     f"{'a' * 65}@b", "Ana <a@b>", "a@-" + "b" * 250],
)  # fmt: skip
def test_bad_mail_addresses(tmp_path: Path, address: str) -> None:
    with (
        make_site(tmp_path / "site", notify__mail="mailto://mail.example.org") as site,
        pytest.raises(UsageError, match="not a mail address"),
    ):
        check_receivers([address], site.settings.notify)


def test_mail_needs_a_server(tmp_path: Path) -> None:
    with make_site(tmp_path / "site") as site:
        with pytest.raises(UsageError, match=r"notify\.mail"):
            check_receivers(["ana@example.org"], site.settings.notify)
        told(site, notice(), "ana@example.org")
        send_due(site)
        assert outcomes(site) == ["given up: notify.mail is empty"]


def test_at_most_one_of_each_event(tmp_path: Path, hook: Hook) -> None:
    url = f"http://127.0.0.1:{hook.port}/"
    with hooked_site(tmp_path / "site", hook) as site:
        for _ in range(3):
            told(site, notice(), url)
            told(site, notice(Event.PROGRESS, mark=25), url)
        told(site, notice(Event.PROGRESS, mark=50), url)
        told(site, notice(attempt=2), url)
        assert send_due(site).sent == 4
        assert send_due(site).sent == 0
        assert len(hook.posts) == 4


def test_a_move_that_fails_tells_nobody(tmp_path: Path, hook: Hook) -> None:
    with hooked_site(tmp_path / "site", hook) as site:
        url = f"http://127.0.0.1:{hook.port}/"

        def move() -> None:
            with site.state.begin() as conn:
                assert tell(conn, notice(), [url], site.settings.notify) == 1
                raise RuntimeError

        with pytest.raises(RuntimeError):
            move()
        assert send_due(site).sent == 0


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_senders_send_each_once(
    tmp_path: Path, hook: Hook, kind: str, request: pytest.FixtureRequest
) -> None:
    settings: dict[str, object] = {}
    if kind == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        settings["state__url"] = server.fresh()
    url = f"http://127.0.0.1:{hook.port}/"
    # How fast the receiver is, beside all else on this machine, is not what this is about.
    with hooked_site(tmp_path / "site", hook, notify__timeout=60, **settings) as site:
        for number in range(40):
            told(site, notice(job=f"job-{number}"), url)
        at = utcnow()
        with ThreadPoolExecutor(3) as pool:
            sent = list(pool.map(lambda _: send_due(site, at).sent, range(3)))
        assert sum(sent) == 40
    count = Counter(post.headers["webhook-id"] for post in hook.posts)
    assert len(count) == 40
    assert set(count.values()) == {1}


def test_what_a_dead_sender_had_taken_is_sent_by_the_next(tmp_path: Path, hook: Hook) -> None:
    with hooked_site(tmp_path / "site", hook, notify__attempts=2) as site:
        told(site, notice(), f"http://127.0.0.1:{hook.port}/")
        at = utcnow()
        with site.state.begin() as conn:
            (one,) = due(conn, at, 10)
            assert take(conn, one, at + timedelta(minutes=5))
            assert not take(conn, one, at + timedelta(minutes=5))
        assert send_due(site, at + timedelta(minutes=4)).sent == 0
        assert send_due(site, at + timedelta(minutes=6)).sent == 1
        with site.state.read() as conn:
            (again,) = deliveries_of(conn, "weekly-abc")
        assert (again.id, again.tries) == (one.id, 2)
        # A message that has killed every sender is not sent for ever.
        told(site, notice(Event.STARTED), f"http://127.0.0.1:{hook.port}/")
        for number in range(2):
            at += timedelta(hours=1)
            with site.state.begin() as conn:
                (one,) = due(conn, at, 10)
                assert take(conn, one, at), number
        assert send_due(site, at).given_up == 1
        assert "given up: its sender died" in outcomes(site)
        assert len(hook.posts) == 1


def test_a_sender_that_is_killed_has_settled_what_it_sent(tmp_path: Path, hook: Hook) -> None:
    """All but what was on its way."""
    stuck = threading.Event()

    def answer(post: Post, handler: BaseHTTPRequestHandler) -> None:
        if post.path == "/stuck":
            stuck.wait(60)
        handler.send_response(204)
        handler.end_headers()

    hook.answer = answer
    origin = f"http://127.0.0.1:{hook.port}"
    with hooked_site(tmp_path / "site", hook, notify__timeout=60) as site:
        told(site, notice(Event.STARTED), f"{origin}/stuck")
        for number in range(20):
            told(site, notice(job=f"job-{number}"), f"{origin}/")
        child = start_child(lambda: send_messages(site), 60)
        clock = threading.Event()
        while [outcomes(site, f"job-{number}") for number in range(20)] != [["sent"]] * 20:
            assert not child.ended()
            clock.wait(0.02)
        child.stop()
        assert child.finish().crash == "signal 9"
        stuck.set()
        assert send_due(site).sent == 0
        assert send_due(site, utcnow() + timedelta(hours=1)).sent == 1
    assert Counter(post.json["job"] for post in hook.posts)["weekly-abc"] == 2
    assert len(hook.posts) == 22


def test_events_that_are_not_wanted_and_settings_that_are_wrong(tmp_path: Path, hook: Hook) -> None:
    with hooked_site(tmp_path / "site", hook, notify__events=["failed"]) as site:
        url = f"http://127.0.0.1:{hook.port}/"
        assert told(site, notice(), url) == 0
        assert told(site, notice(Event.FAILED), url) == 1
    for wrong in ({"notify.events": ["done"]}, {"notify.mail": "slack://a"}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            studium.open(tmp_path / "site", wrong)
    for callbacks, networks in ((["example.org"], []), (["ftp://x"], []), ([], ["10.1.0.0/8"])):
        with pytest.raises(StudiumError, match=r"notify\.(callbacks|networks)"):
            read_policy(callbacks, networks)
    (tmp_path / "site" / "studium.toml").write_text('[notify]\nurls = ["slack://a/b/c"]\n')
    with pytest.raises(SettingsError, match="STUDIUM_NOTIFY__URLS"):
        studium.open(tmp_path / "site")


@given(st.integers(1, 50), st.data())
def test_each_quarter_is_told_once(units: int, data: st.DataObject) -> None:
    steps = sorted(data.draw(st.lists(st.integers(0, units), max_size=10)))
    told: list[int] = []
    for before, now in zip([0, *steps], [*steps, units], strict=True):
        told += progress_marks(before, now, units)
    assert told == ([25, 50, 75] if units >= 4 else [])


def test_a_notice_says_nothing_but_what_is_in_it() -> None:
    from studium.jobs.notify.events import from_json, text_of, title_of, to_json

    for event in Event:
        one = notice(
            event, failure=Failure.EXIT if event is Event.FAILED else None, done=1, units=2
        )
        assert from_json(to_json(one)) == one
        assert one.job in title_of(one)
        assert stamp(utcnow())[:4] > "2024"
        assert text_of(one).endswith(f"\n{NOW}\n")
        assert json.loads(to_json(one))["event"] == str(event)
