"""Publish into a folder: a date is a folder, swapped with the stage in one step.

A run writes below ``<table>/_staging/<date>,<run_id>-<random>`` (names that begin with an
underscore are hidden from Spark's readers), which only its own user may read. A run that dies
leaves the old folder in place; the next run, of whatever date, removes the stage that it has left.
Runs of two dates may write at once: each locks its date.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from sparkweights.core.engine_errors import SPARK_ERRORS
from sparkweights.core.errors import PublishError
from sparkweights.storage.files import write_text
from sparkweights.storage.location import PRIVATE
from sparkweights.storage.lock import lock
from sparkweights.storage.publish.protocol import Publication, require_owner
from sparkweights.storage.shared_folders import require_shared
from sparkweights.storage.spark_paths import literal_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from sparkweights.storage.location import Location
    from sparkweights.storage.lock import Lock

LOCKS, STAGING, RETIRED, OWNER = "_locks", "_staging", "_retired", "_owner"
SEPARATOR = ","  # between the date and the attempt in the name of a stage's folder
_UNREADABLE: tuple[type[Exception], ...] = (OSError, *SPARK_ERRORS)
_PATIENCE = 2.0  # seconds; a run of another date that looks for leftovers has a date's lock briefly
MAX_OWNER_BYTES = 2**16


@dataclass(frozen=True, kw_only=True)
class FolderPublication(Publication):
    """One date of a table that lies in a folder which driver and executors share.

    Attributes
    ----------
    root
        The table's folder.
    file_format
        parquet or orc.
    spark
        The session; classic or Connect.
    owner
        The configuration whose rows the table holds; a hidden file in the table keeps its name.
    attempt
        A part of the stage's name that nobody knows before, another run of the date neither.
    """

    spark: SparkSession
    root: Location
    file_format: str
    owner: str
    attempt: str = field(default_factory=lambda: uuid4().hex)

    @property
    def format(self) -> str:
        """The format of its files: parquet or orc."""
        return self.file_format

    @property
    def stage_path(self) -> str:
        """The stage's folder, named as the date's partition."""
        return str(self._stage)

    @property
    def partition(self) -> tuple[str, str]:
        """The column and the value of what is replaced."""
        return "run_date", self.run_date.isoformat()

    @property
    def target(self) -> Location:
        """The partition, as readers see it."""
        return self.root / "=".join(self.partition)

    @property
    def _owner(self) -> Location:
        return self.root / OWNER

    @property
    def _attempt(self) -> Location:
        """The attempt's folder: everything in it is for the run's own user alone."""
        name = f"{self.target.name}{SEPARATOR}{self.run_id}-{self.attempt}"
        return self.root / STAGING / name

    @property
    def _stage(self) -> Location:
        return self._attempt / self.target.name

    @contextmanager
    def lock(self) -> Iterator[Lock]:
        """Lock the date for one run.

        Incomplete stages are removed; a date that was moved away but not replaced is restored. That
        is done for other dates as well, unless a run is writing them.

        Raises
        ------
        OccupiedError
            If another run has locked it.
        PublishError
            If it cannot be written.
        """
        own = self.target.name
        with self._lock(own, patience=_PATIENCE) as held:
            try:
                self._recover(own)
            except OSError as error:
                raise self.target.unwritable(error) from None
            for name in self._left_over() - {own}:
                # What cannot be locked or written is of a run, or of another user.
                with suppress(PublishError, OSError):
                    with self._lock(name):
                        dead = self._restore(name)
                    # Which takes a while, in which a run of the date may begin.
                    _remove_all(dead)
            yield held

    def _lock(self, name: str, *, patience: float = 0.0) -> AbstractContextManager[Lock]:
        file = self.root / LOCKS / name / "_lock"
        return lock(file, f"'{self.root / name}'", patience=patience)

    def _left_over(self) -> set[str]:
        """Return the names of dates that runs have left a stage or an old folder of."""
        staged = {each.name.partition(SEPARATOR)[0] for each in self._children(STAGING)}
        return staged | {each.name for each in self._children(RETIRED)}

    def _children(self, name: str) -> tuple[Location, ...]:
        """Return what a folder for leftovers holds; a link in its place is no run's."""
        folder = self.root / name
        if folder.is_link:
            folder.remove()
        return folder.children() if folder.is_dir() else ()

    def _restore(self, name: str) -> list[Location]:
        """Restore the rows of a date, which is locked, where a run died between its two steps.

        Returns
        -------
        list of Location
            The stages of runs of the date that died. No later run has one of the same name.

        Raises
        ------
        OSError
            If that is not possible.
        """
        target = self.root / name
        for retired in self._children(RETIRED):
            if retired.name == name and not target.exists():
                retired.rename(target)
            elif retired.name == name:
                retired.remove()
        staged = self._children(STAGING)
        return [each for each in staged if each.name.partition(SEPARATOR)[0] == name]

    def _recover(self, name: str) -> None:
        _remove_all(self._restore(name))

    def require_ready(self, schema: StructType | None = None) -> None:
        """Refuse a folder that cannot be made or written, or holds another configuration's rows.

        Raises
        ------
        ConfigError
            Naming the configuration whose rows they are; or if the server of a Spark Connect
            session does not share the folder.
        PublishError
            With the part of the path that prevents it.
        """
        self._require_own()
        obstacle = self.root.find_write_obstacle()
        if obstacle is not None:
            raise PublishError(
                f"Cannot write '{self.root}': '{obstacle}' is no folder that may be written.",
                hint="nothing was published; correct the location, or the folder's rights.",
            )
        require_shared(self.spark, self.root)

    def published_schema(self) -> StructType | None:
        """Return the columns of the table's first date; that of this run does not count.

        Only footers are read.
        """
        dates = [] if not self.root.is_dir() else self.root.children()
        others = [
            folder
            for folder in dates
            if folder.name.startswith(f"{self.partition[0]}=") and folder != self.target
        ]
        # A run may replace a date while it is read; at the second time it has done so.
        failure: Exception | None = None
        for folder in (*others, *others):
            try:
                if any(not file.name.startswith(("_", ".")) for file in folder.files()):
                    reader = self.spark.read.format(self.format)
                    return reader.load(literal_path(folder)).schema
            except _UNREADABLE as error:
                failure = error
        if failure is not None:
            raise failure
        return None

    def _require_own(self) -> None:
        removal = f"remove the file '{self._owner.name}' there"
        require_owner(str(self.root), self._read_owner(), self.owner, removal=removal)

    def _take_ownership(self) -> None:
        """Write the owner's name where there is none; runs of two configurations may both begin."""
        if self._read_owner() == self.owner:
            return
        with self._lock(OWNER, patience=_PATIENCE):
            self._require_own()
            write_text(self._owner, self.owner)

    def _read_owner(self) -> str | None:
        try:
            # Messages quote it, so it is no link to something else that this user may read.
            return self._owner.read_plain(MAX_OWNER_BYTES).decode()
        except (OSError, ValueError):  # there is none, or it is not text
            return None

    def write_stage(
        self, df: DataFrame, *, partition_by: Sequence[str] = (), few: bool = False
    ) -> None:
        """Write the rows to the stage, in one Spark job.

        Raises
        ------
        ConfigError
            If a run of another configuration has begun to write the table in the meantime.
        PublishError
            If the stage cannot be written.
        """
        self._take_ownership()
        self._attempt.parent.make_folder()
        self._attempt.with_mode(PRIVATE).make_folder()
        super().write_stage(df, partition_by=partition_by, few=few)

    def publish(self) -> None:
        """Replace the date's folder by the staged one.

        Raises
        ------
        PublishError
            If it cannot be moved; the old folder stays.
        """
        try:
            self._stage.settle()
            if not self.target.exists():
                self._stage.rename(self.target)
            elif not self._stage.exchange(self.target):
                self._replace_in_two_steps()
        except OSError as error:
            raise self.target.unwritable(error) from None
        self.discard()

    def _replace_in_two_steps(self) -> None:
        retired = self.root / RETIRED / self.target.name
        retired.parent.make_folder()
        self.target.rename(retired)
        try:
            self._stage.rename(self.target)
        except OSError:
            retired.rename(self.target)
            raise
        retired.remove()

    def discard(self) -> None:
        """Remove what is left of the stage, published or not."""
        self._attempt.remove()


@dataclass(frozen=True, kw_only=True)
class BatchPublication(FolderPublication):
    """One micro-batch of a table of a stream; a batch that is repeated replaces itself.

    Attributes
    ----------
    batch
        The number of the micro-batch.
    """

    batch: int

    @contextmanager
    def lock(self) -> Iterator[Lock]:
        """Lock the table: one stream writes it, one micro-batch after the other.

        Raises
        ------
        PublishError
            If another stream has locked it, or it cannot be written.
        """
        with lock(self.root / "_lock", f"'{self.root}'") as held:
            for name in self._left_over():
                if name.startswith(f"{self.partition[0]}="):
                    self._recover(name)
            yield held

    @property
    def partition(self) -> tuple[str, str]:
        """The column and the value of what is replaced."""
        return "batch_id", str(self.batch)


def _remove_all(locations: Iterable[Location]) -> None:
    for each in locations:
        each.remove()
