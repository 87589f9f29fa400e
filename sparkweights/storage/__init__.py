"""Storage: reading tables, publishing partitions and model bundles; nothing else writes."""

from sparkweights.storage.artifacts import (
    ModelBundle,
    Reference,
    load_bundle,
    load_held_out,
    name_in_use,
    publish_bundle,
)
from sparkweights.storage.catalog import CatalogPublication
from sparkweights.storage.files import (
    as_json,
    make_folder,
    remove_file,
    write_json,
    write_rows,
    write_text,
)
from sparkweights.storage.folders import FolderPublication
from sparkweights.storage.lease import lease
from sparkweights.storage.names import TableName
from sparkweights.storage.publish import Publication
from sparkweights.storage.tables import TableSource, read_table, require_rows
from sparkweights.storage.workspace import keep_rows, workspace

__all__ = [
    "CatalogPublication",
    "FolderPublication",
    "ModelBundle",
    "Publication",
    "Reference",
    "TableName",
    "TableSource",
    "as_json",
    "keep_rows",
    "lease",
    "load_bundle",
    "load_held_out",
    "make_folder",
    "name_in_use",
    "publish_bundle",
    "read_table",
    "remove_file",
    "require_rows",
    "workspace",
    "write_json",
    "write_rows",
    "write_text",
]
