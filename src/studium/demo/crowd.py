"""Events of nobody in particular: health checks, crawlers, visitors, background tasks."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii

from studium.demo.activities import Lines
from studium.demo.courses import HOSTS, Course
from studium.demo.envelope import AGENTS, anonymous, background_task
from studium.demo.people import draw_address, draw_country
from studium.demo.visits import Campus

HEALTH_CHECK = '"ELB-HealthChecker/2.0"'
CRAWLER = '"Mozilla/5.0 (compatible; DemoBot/1.0; +https://bot.example.org/)"'


def pass_by(
    campus: Campus, courses: tuple[Course, ...], start: int, span: int, count: int, last_user: int
) -> Lines:
    """``count`` events of the ``span`` that begins at ``start``; tasks regrade learners 1001 to
    ``last_user``."""
    random, calendar = campus.random, campus.calendar
    draw, lines = random.random, Lines()
    for _ in range(count):
        time, mark = start + int(draw() * span), draw()
        course, way = courses[int(draw() * len(courses))], int(draw() * 2)
        if mark < 0.3:
            stamp = calendar.whole(time) if draw() < 0.5 else calendar.utc(time)
            user_id = 1001 + int(draw() * (last_user - 1000))
            line = background_task(stamp, course, way, user_id, random.getrandbits(128))
        elif mark < 0.6:
            address = f"10.0.{int(draw() * 4)}.{10 + way}"
            stamp = calendar.naive(time)
            line = anonymous(stamp, '"/heartbeat"', HOSTS[way], HEALTH_CHECK, address, '""')
        else:
            path = course.about[way] if draw() < 0.6 else encode_basestring_ascii("/register")
            agent = CRAWLER if mark < 0.75 else AGENTS[int(draw() * len(AGENTS))]
            address = draw_address(random, draw_country(random))
            user_id_text = "null" if draw() < 0.3 else '""'
            stamp = calendar.utc(time)
            line = anonymous(stamp, path, HOSTS[way], agent, address, user_id_text)
        lines.append((time, line))
    return lines
