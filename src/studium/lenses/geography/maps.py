"""The table of addresses and their countries: a lookup that no SQL can make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from studium.lake.tables import map_table
from studium.lenses.geography.countries import find_place, open_countries

if TYPE_CHECKING:
    import pyarrow as pa


def find_countries(params: Mapping[str, object], addresses: pa.Table | None) -> pa.Table:
    """Look each distinct address up once (`specs/edx-enrollment-geography` §3.3, §3.5)."""
    import pyarrow as pa

    assert addresses is not None
    texts = addresses.column("ip").to_pylist()
    with open_countries(Path(str(params["geoip_file"]))) as reader:
        places = [find_place(reader, text) for text in texts]
    return pa.table(
        {
            "ip": pa.array(texts, pa.string()),
            "country_code": pa.array([place.country_code for place in places], pa.string()),
            "found": pa.array([place.found for place in places], pa.string()),
        }
    )


COUNTRY_OF_IP = map_table(
    "country_of_ip",
    "geography",
    find_countries,
    version="1",
    description="Countries of the addresses that learners were last seen at",
    grain=["ip"],
    columns={
        "ip": "text not null; address as logged",
        "country_code": "varchar(10) not null; ISO 3166 code from the database, or UNKNOWN",
        "found": "varchar(16) not null; country, not found, private or invalid",
    },
    keys="SELECT DISTINCT ip FROM last_ip_of_user",
    params=["geoip_file", "geoip_build"],
    restricted=True,
    rule="specs/edx-enrollment-geography §3.3, §3.5",
)

TABLES = (COUNTRY_OF_IP,)
