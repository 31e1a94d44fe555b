"""The moments at which a crash could leave a site half done.

Every change of a site goes through a rename of a file, an upload, a commit of Delta, a statement or
a commit of SQLAlchemy, or the removal of a folder; ``watched`` tells of each of them.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import deltalake
import obstore
import pytest
import sqlalchemy
from deltalake.table import TableAlterer

Hit = Callable[[str], None]


@contextmanager
def watched(hit: Hit) -> Iterator[None]:
    """Call ``hit`` with the name of each point that is passed, just before and just after it."""

    def around(name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def done(*args: Any, **options: Any) -> Any:
            hit(f"before {name}")
            given = do(*args, **options)
            hit(f"after {name}")
            return given

        return done

    def before_statement(*_: Any) -> None:
        hit("statement")

    def before_commit(*_: Any) -> None:
        hit("commit")

    listeners = (("before_cursor_execute", before_statement), ("commit", before_commit))
    delta = deltalake.DeltaTable
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", around("rename", os.replace))
        patch.setattr(obstore, "put", around("upload", obstore.put))
        patch.setattr(shutil, "rmtree", around("removal", shutil.rmtree))
        patch.setattr(delta, "create", staticmethod(around("create", delta.create)))
        for owner, name in (
            (delta, "create_write_transaction"),
            (delta, "vacuum"),
            (delta, "create_checkpoint"),
            (TableAlterer, "add_columns"),
        ):
            patch.setattr(owner, name, around(name, getattr(owner, name)))
        for event, listener in listeners:
            sqlalchemy.event.listen(sqlalchemy.Engine, event, listener)
        try:
            yield
        finally:
            for event, listener in listeners:
                sqlalchemy.event.remove(sqlalchemy.Engine, event, listener)
