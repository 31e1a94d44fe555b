"""``rejects``: the lines that were not kept, each with file, line number, reason and bytes.

A reading of a file replaces what earlier readings of it refused: rows count only while their
``reading`` is the one in the manifest, so nothing is deleted and a crash leaves nothing wrong.
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from studium.clock import today
from studium.engines import StagedFile
from studium.lake.erasures import NOBODY, Erasures
from studium.lake.store import Lake
from studium.site import Site
from studium.sources.edx.lines import Refused

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

TABLE = "rejects"
COLUMNS = {
    "file_id": "BIGINT",
    "line_no": "BIGINT",
    "reason": "VARCHAR",
    "raw": "BLOB",
    "reading": "VARCHAR",
    "path": "VARCHAR",
}
_SPILL_BYTES = 32 << 20


class RejectsFile:
    """Collects refused lines and writes them to one staged Parquet file, in bounded memory."""

    def __init__(
        self, path: Path, reading: str, paths: dict[int, str], erasures: Erasures = NOBODY
    ) -> None:
        self._path, self._reading, self._paths = path, reading, paths
        self._erasures = erasures
        self._day = today()
        self._rows: list[Refused] = []
        self._bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self.counts: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()
        self.forgotten: Counter[int] = Counter()

    def append(self, refused: Refused) -> None:
        if self._erasures and self._erasures.speaks_of(refused.raw.decode(errors="replace")):
            self.forgotten[refused.file_id] += 1
            return
        self._rows.append(refused)
        self._bytes += len(refused.raw) + 200
        self.counts[refused.file_id] += 1
        self.reasons[refused.reason.partition(":")[0]] += 1
        if self._bytes > _SPILL_BYTES:
            self._spill()

    def close(self) -> list[StagedFile]:
        """The file, if any line was refused."""
        self._spill()
        if self._writer is None:
            return []
        self._writer.close()
        rows = sum(self.counts.values())
        return [StagedFile(self._path, self._day, rows, self._path.stat().st_size)]

    def _spill(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._rows:
            return
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, _schema(), compression="zstd")
        rows, self._rows, self._bytes = self._rows, [], 0
        self._writer.write_table(
            pa.table(
                [
                    [row.file_id for row in rows],
                    [row.line_no for row in rows],
                    [row.reason for row in rows],
                    [row.raw for row in rows],
                    [self._reading] * len(rows),
                    [self._paths[row.file_id] for row in rows],
                ],
                schema=_schema(),
            )
        )


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"BIGINT": pa.int64(), "VARCHAR": pa.string(), "BLOB": pa.binary()}
    return pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])


def current_rejects(site: Site, lake: Lake, condition: str = "true") -> pa.Table:
    """Rows (path, line_no, reason, raw, day) of the latest reading of each file, in that order.

    ``condition`` is SQL over these columns.
    """
    from studium.engines.duckdb import connect

    settings = site.settings.engine
    with closing(connect(settings.memory, settings.threads)) as db:
        rows = _rows_and_readings(db, site, lake)
        return db.sql(
            f"SELECT path, line_no, reason, raw, day FROM ({rows}) "
            f"SEMI JOIN readings USING (path, reading) WHERE {condition} ORDER BY path, line_no"
        ).to_arrow_table()


def drop_superseded(site: Site, lake: Lake) -> int:
    """Forget what earlier readings of files refused; returns how many rows. Needs the lock.

    What was refused of a file that the manifest does not know stays: the manifest may be lost.
    """
    from studium.engines.duckdb import connect
    from studium.sources.edx.staging import copy_by_day
    from studium.state.counters import next_build

    snapshot = lake.snapshot(TABLE)
    settings = site.settings.engine
    folder = site.scratch / "superseded"
    with closing(connect(settings.memory, settings.threads)) as db:
        rows = (
            f"SELECT * FROM ({_rows_and_readings(db, site, lake)}) AS refused ANTI JOIN readings "
            "ON refused.path = readings.path AND refused.reading <> readings.reading"
        )
        ((count,),) = db.execute(f"SELECT count(*) FROM ({rows})").fetchall()
        gone = snapshot.rows - int(count)
        if gone:
            shutil.rmtree(folder, ignore_errors=True)
            staged, _ = copy_by_day(db, f"{rows} ORDER BY day", folder)
            with site.state.begin() as conn:
                build = next_build(conn)
            lake.commit(
                TABLE, staged, columns=COLUMNS, by_day=True, build=build,
                fingerprint="current0", replace=snapshot.files,
            )  # fmt: skip
            shutil.rmtree(folder, ignore_errors=True)
    return gone


def _rows_and_readings(db: duckdb.DuckDBPyConnection, site: Site, lake: Lake) -> str:
    """SELECT of all rows; ``readings`` becomes a view of the latest reading of each file."""
    import pyarrow as pa

    from studium.engines import Relation
    from studium.engines.duckdb import relation_sql
    from studium.state.manifest import known_files

    with site.state.read() as conn:
        known = {**known_files(conn, "edx"), **known_files(conn, "history")}
    schema = pa.schema([("path", pa.string()), ("reading", pa.string())])
    readings = [{"path": path, "reading": row.build} for path, row in known.items()]
    db.register("readings", pa.Table.from_pylist(readings, schema=schema))
    snapshot = lake.snapshot(TABLE)
    return relation_sql(Relation(snapshot.relation().files, COLUMNS, by_day=True))
