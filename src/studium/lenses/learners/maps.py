"""The words that a learner is found by: no SQL folds letters alike everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from studium.lake.tables import map_table
from studium.lenses.learners.search import find_terms

if TYPE_CHECKING:
    import pyarrow as pa


def list_terms(params: Mapping[str, object], learners: pa.Table | None) -> pa.Table:
    """The terms of each learner (`specs/edx-learners-api-insights` §1.9, §2.5)."""
    import pyarrow as pa

    assert learners is not None
    names = ("user_id", "name", "username", "email")
    users: list[int] = []
    terms: list[str] = []
    for user, name, *whole in zip(
        *(learners.column(one).to_pylist() for one in names), strict=True
    ):
        found = find_terms(name, *whole)
        users += [user] * len(found)
        terms += found
    return pa.table({"user_id": pa.array(users, pa.int64()), "term": pa.array(terms, pa.string())})


LEARNER_TERMS = map_table(
    "learner_terms",
    "learners",
    list_terms,
    version="2",
    description="Words of learners' names, their user names and e-mail addresses, letters folded",
    grain=["user_id", "term"],
    columns={
        "user_id": "bigint not null; learner",
        "term": "varchar(255) not null; a word of the name, the user name or the address",
    },
    keys="""
        SELECT auth_user.user_id, auth_user.username, contact.email, details.name
        FROM auth_user
        LEFT JOIN auth_user_contact AS contact ON contact.user_id = auth_user.user_id
        LEFT JOIN auth_userprofile_contact AS details ON details.user_id = auth_user.user_id
        WHERE NOT STARTS_WITH(auth_user.username, 'retired__user_')""",
    restricted=True,
    rule="specs/edx-learners-api-insights §1.9, §2.5",
)

TABLES = (LEARNER_TERMS,)
