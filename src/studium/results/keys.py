"""How much of a key an index of MariaDB and MySQL can hold."""

from collections.abc import Sequence
from typing import Final

from studium.columns import Column
from studium.results.publication import Publication

# InnoDB's limit for one index, with rows in the dynamic format; four bytes a character.
_MOST_BYTES: Final = 3_072
_CHARACTER: Final = 4
_PLAIN_BYTES: Final = 8


def key_columns(publication: Publication, key: Sequence[str]) -> tuple[str, bool]:
    """The columns of an index as SQL, and whether it holds their whole values.

    Texts that are too long together are indexed by their beginnings: a search finds them as well,
    but such an index can tell nothing of their being unique.
    """
    columns = {column.name: column for column in publication.columns}
    texts = [name for name in key if _is_text(columns[name])]
    room = (_MOST_BYTES - _PLAIN_BYTES * (len(key) - len(texts))) // _CHARACTER
    lengths = {name: columns[name].length or _MOST_BYTES for name in texts}
    whole = all(columns[name].length for name in texts) and sum(lengths.values()) <= room
    if not whole:
        share, left = room, len(texts)
        # The shortest first: what they leave, the longer ones get.
        for name in sorted(texts, key=lambda name: lengths[name]):
            lengths[name] = min(lengths[name], share // left)
            share, left = share - lengths[name], left - 1
    parts = []
    for name in key:
        column = columns[name]
        cut = name in lengths and lengths[name] != column.length
        parts.append(f"`{name}`({lengths[name]})" if cut else f"`{name}`")
    return ", ".join(parts), whole


def _is_text(column: Column) -> bool:
    return column.length is not None or column.type == "text"
