"""GeoPackages as QGIS likes them: their version, and layer styles where it looks for them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from geoseg.errors import OutputError
from geoseg.raster.atomic import failure

GPKG_OPTIONS = {"VERSION": "1.3"}
"""Of 1.4, GDAL 3.6 and QGIS with it warn that they know only parts."""

_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
    styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30),
    ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
)
"""


def add_style(path: Path, *, layer: str, style: str, name: str = "classes") -> None:
    """Adds the default style (QML) of a layer, as QGIS does when it saves one in the database.

    Raises:
        OutputError: if the file cannot be written.
    """
    try:
        connection = sqlite3.connect(path)
        try:
            with connection:
                connection.execute(_TABLE)
                connection.execute(
                    "INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, description)"
                    " VALUES ('layer_styles', 'attributes', 'layer_styles', '')"
                )
                connection.execute(
                    "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column,"
                    " styleName, styleQML, styleSLD, useAsDefault, description, owner)"
                    " SELECT '', '', table_name, column_name, ?, ?, '', 1, '', '' FROM gpkg_geometry_columns"
                    " WHERE table_name = ?",
                    (name, style, layer),
                )
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise OutputError(failure(path, reason=str(error))) from error
