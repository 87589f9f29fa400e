"""Publish into a folder: a date is a folder, swapped with the stage in one step.

A run writes below ``<table>/_staging/<run_id>`` (names that begin with an underscore are hidden
from Spark's readers). A run that dies leaves the old folder in place; the next run removes what it
left behind.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, PublishError
from sparkweights.storage.files import (
    exchange,
    make_folder,
    read_text,
    remove,
    unwritable,
    write_text,
)
from sparkweights.storage.lock import lease
from sparkweights.storage.publish.protocol import Publication

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

STAGING, RETIRED = "_staging", "_retired"


@dataclass(frozen=True, kw_only=True)
class FolderPublication(Publication):
    """One date of a table that lies in a folder which driver and executors share.

    Attributes
    ----------
    root
        The table's folder.
    file_format
        parquet or orc.
    owner
        Whose rows the table holds: the configuration's name, which a hidden file beside them keeps.
    """

    root: Path
    file_format: str
    owner: str

    @property
    def format(self) -> str:
        """Of its files: parquet or orc."""
        return self.file_format

    @property
    def staged(self) -> str:
        """The stage's folder, named as the date's partition."""
        return str(self._stage)

    @property
    def target(self) -> Path:
        """The date's partition, as readers see it."""
        return self.root / f"run_date={self.run_date.isoformat()}"

    @property
    def _owner(self) -> Path:
        return self.root / "_owner"

    @property
    def _stage(self) -> Path:
        return self.root / STAGING / self.run_id / self.target.name

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the folder for one run.

        Half-written stages go; a folder that was set aside but not replaced comes back.

        Raises
        ------
        PublishError
            If another run holds it, or it cannot be written.
        """
        with lease(self.root / "_lease", str(self.root)):
            self._recover()
            yield

    def _recover(self) -> None:
        retired = self.root / RETIRED
        if retired.is_dir():
            for folder in retired.iterdir():
                if not (self.root / folder.name).exists():
                    folder.rename(self.root / folder.name)
        remove(retired)
        remove(self.root / STAGING)

    def require_ready(self, schema: StructType | None = None) -> None:  # noqa: ARG002 (any fits)
        """Refuse a folder that cannot be made or written, or holds another configuration's rows.

        Raises
        ------
        ConfigError
            Naming whose rows they are.
        PublishError
            With the part of the path that stands in the way.
        """
        owner = read_text(self._owner)
        if owner not in {None, self.owner}:
            raise ConfigError(
                f"'{self.root}' holds rows of the configuration '{owner}'; this is '{self.owner}', "
                "and would replace them date by date.",
                hint="give each configuration tables of its own under tables; if it was renamed, "
                f"remove the file '{self._owner.name}' there.",
            )
        # Unlike a path's own question, this one is answered where a folder may not be searched.
        nearest = next(p for p in (self.root, *self.root.parents) if os.access(p, os.F_OK))
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise PublishError(
                f"Cannot write '{self.root}': '{nearest}' is no folder that may be written.",
                hint="nothing was published; correct the location, or the folder's rights.",
            )

    def write_stage(
        self, df: DataFrame, *, partition_by: Sequence[str] = (), few: bool = False
    ) -> None:
        """Write the rows to the stage, in one Spark job.

        Raises
        ------
        PublishError
            If the stage cannot be written.
        """
        make_folder(self._stage.parent)
        super().write_stage(df, partition_by=partition_by, few=few)

    def publish(self) -> None:
        """Put the staged folder in the date's place.

        Raises
        ------
        PublishError
            If it cannot be moved; the old folder stays.
        """
        write_text(self._owner, self.owner)
        try:
            if not self.target.exists():
                self._stage.rename(self.target)
            elif not exchange(self._stage, self.target):
                self._replace_in_two_steps()
        except OSError as error:
            raise unwritable(self.target, error) from None
        self.discard()

    def _replace_in_two_steps(self) -> None:
        retired = self.root / RETIRED / self.target.name
        make_folder(retired.parent)
        self.target.rename(retired)
        try:
            self._stage.rename(self.target)
        except OSError:
            retired.rename(self.target)
            raise
        remove(retired.parent)

    def discard(self) -> None:
        """Remove what is left of the stage, published or not."""
        remove(self.root / STAGING)
