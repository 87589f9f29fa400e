"""A date of a folder is replaced for its readers alone, and no link that lies there is followed."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from pyspark.sql import SparkSession

from sparkweights.core.errors import ConfigError, PublishError
from sparkweights.storage.location import Location
from sparkweights.storage.publish import folder as folder_publication
from sparkweights.storage.publish.folder import FolderPublication

DATE, MARCH_2 = "run_date=2026-03-01", date(2026, 3, 2)


def _publication(
    root: Path, owner: str = "loans", mode: int = 0o750, run_date: date = date(2026, 3, 1)
) -> FolderPublication:
    return FolderPublication(
        run_id="r1",
        run_date=run_date,
        root=Location.of(root).with_mode(mode),
        file_format="parquet",
        owner=owner,
        # Asked for the types of an earlier date alone.
        spark=MagicMock(spec=SparkSession),
    )


def _frame(content: str) -> MagicMock:
    """Return a frame that writes one file of one partition, for everybody, as Spark does."""

    def save(path: str) -> None:
        (Path(path) / "decision=a").mkdir(parents=True)
        (Path(path) / "decision=a" / "part-0.parquet").write_text(content)
        for folder in (Path(path), Path(path) / "decision=a"):
            folder.chmod(0o755)
        (Path(path) / "decision=a" / "part-0.parquet").chmod(0o644)

    df = MagicMock()
    df.sparkSession.version = "4.1.4"
    df.write.format().options().mode().partitionBy().save.side_effect = save
    return df


def _publish(publication: FolderPublication, content: str) -> None:
    with publication.lock():
        publication.require_ready()
        publication.write_stage(_frame(content), partition_by=["decision"])
        publication.publish()


def _rows(root: Path) -> str:
    return (root / DATE / "decision=a" / "part-0.parquet").read_text()


@pytest.mark.parametrize(
    ("mode", "umask", "folder"), [(0o750, 0o022, 0o750), (0o777, 0o077, 0o700)]
)
def test_rows_are_private_until_they_are_published_in_the_configured_mode(
    tmp_path: Path, mode: int, umask: int, folder: int
) -> None:
    """What Spark writes is for everybody; a stricter umask is kept."""
    root = tmp_path / "scored"
    publication = _publication(root, mode=mode)
    before = os.umask(umask)
    try:
        with publication.lock():
            publication.write_stage(_frame("rows"), partition_by=["decision"])
            attempt = Path(publication.stage_path).parent
            assert attempt.stat().st_mode & 0o777 == 0o700
            publication.publish()
    finally:
        os.umask(before)
    written = [root, root / DATE, root / DATE / "decision=a"]
    assert {path.stat().st_mode & 0o777 for path in written} == {folder}
    files = [root / "_owner", root / DATE / "decision=a" / "part-0.parquet"]
    assert {path.stat().st_mode & 0o777 for path in files} == {folder & 0o666}


def test_two_runs_of_one_date_have_stages_of_their_own(tmp_path: Path) -> None:
    """Also with the same settings and model, and so the same run id."""
    first, second = _publication(tmp_path), _publication(tmp_path)
    assert first.run_id == second.run_id
    assert first.stage_path != second.stage_path


def test_run_undoes_what_runs_of_other_dates_left_unless_they_are_live(tmp_path: Path) -> None:
    """A stage is removed, and a date that was moved away comes back; a live run keeps both."""
    root, other = tmp_path / "scored", _publication(tmp_path / "scored", run_date=MARCH_2)
    retired = root / "_retired" / other.target.name / "decision=a"
    with other.lock():
        other.write_stage(_frame("half a stage"), partition_by=["decision"])
        retired.mkdir(parents=True)
        (retired / "part-0.parquet").write_text("yesterday's")
        _publish(_publication(root), "new")
        assert Path(other.stage_path).is_dir()
        assert retired.is_dir()
    _publish(_publication(root), "newer")
    assert not list((root / "_staging").iterdir())
    assert not list((root / "_retired").iterdir())
    found = (root / other.target.name / "decision=a" / "part-0.parquet").read_text()
    assert (_rows(root), found) == ("newer", "yesterday's")


def test_rows_that_a_run_moves_away_while_another_tidies_up_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leftovers are removed without their date's lock, so a run of that date may be at work."""
    root, other = tmp_path / "scored", _publication(tmp_path / "scored", run_date=MARCH_2)
    _publish(other, "yesterday's")
    retired = root / "_retired" / other.target.name
    retired.mkdir(parents=True)  # of a run that died after it had replaced the date
    (root / "_staging" / f"{other.target.name},r0-dead").mkdir(parents=True)
    remove_all, at_work = folder_publication._remove_all, list[str]()

    def replace_meanwhile(locations: list[Location]) -> None:
        if locations:
            at_work.append("moved away")
            Path(str(other.target)).rename(retired)
        remove_all(locations)

    monkeypatch.setattr(folder_publication, "_remove_all", replace_meanwhile)
    with _publication(root).lock():
        assert at_work
        assert (retired / "decision=a" / "part-0.parquet").read_text() == "yesterday's"
    assert not list((root / "_staging").iterdir())


def test_date_is_locked_while_other_dates_are_written(tmp_path: Path) -> None:
    """The message says which date it is."""
    root = tmp_path / "scored"
    with _publication(root).lock():
        with (
            pytest.raises(PublishError, match=f"Another run is writing '{root / DATE}'"),
            _publication(root).lock(),
        ):
            pass
        with _publication(root, run_date=MARCH_2).lock():
            pass


def test_table_that_another_configuration_took_meanwhile_is_refused(tmp_path: Path) -> None:
    """Both found it without an owner, and each wrote a date of its own."""
    root = tmp_path / "scored"
    first, second = _publication(root), _publication(root, owner="cards", run_date=MARCH_2)
    with first.lock(), second.lock():
        for publication in (first, second):
            publication.require_ready()
        first.write_stage(_frame("rows"), partition_by=["decision"])
        with pytest.raises(ConfigError, match="holds rows of the configuration 'loans'"):
            second.write_stage(_frame("rows"), partition_by=["decision"])


def test_link_that_is_planted_during_a_run_leads_it_nowhere(tmp_path: Path) -> None:
    """In place of the folder of stages, to a table with the same date: the run ends, or fails."""
    root, victim = tmp_path / "scored", tmp_path / "victim"
    publication = _publication(root)
    _publish(_publication(victim), "precious")
    for planted in ("before the stage is written", "after it"):
        with publication.lock():
            if planted == "after it":
                publication.write_stage(_frame("rows"), partition_by=["decision"])
                (root / "_staging").rename(root / "moved away")
            (root / "_staging").symlink_to(victim)
            if planted != "after it":
                with pytest.raises(PublishError, match="symbolic link"):
                    publication.write_stage(_frame("rows"), partition_by=["decision"])
            stolen = victim / Path(publication.stage_path).parent.name
            stolen.mkdir()
            publication.discard()
            assert stolen.is_dir()
        (root / "_staging").unlink()
        stolen.rmdir()
    assert _rows(victim) == "precious"


def test_leftover_that_cannot_be_removed_stops_its_own_date_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another user's."""
    root = tmp_path / "scored"
    retired = root / "_retired" / "run_date=2026-03-02"
    retired.mkdir(parents=True)

    def refuse(_: Location, target: Location) -> None:
        raise PermissionError(13, "Permission denied", str(target))

    with monkeypatch.context() as patched:
        patched.setattr(Location, "rename", refuse)
        with _publication(root).lock():
            pass
        with (
            pytest.raises(PublishError, match=r"Cannot write '.*02': Permission denied"),
            _publication(root, run_date=MARCH_2).lock(),
        ):
            pass
    (root / "_staging").mkdir(exist_ok=True)
    (root / "_staging" / "a file").touch()  # no run's, but in its folder
    with _publication(root).lock():
        pass
    assert (root / retired.name).is_dir()
    assert not list((root / "_staging").iterdir())


def test_planted_links_are_neither_written_through_nor_emptied(tmp_path: Path) -> None:
    """Each name that a run uses in the folder, as a link to a folder outside; a date as well."""
    victim, root = tmp_path / "victim", tmp_path / "scored"
    (victim / "run_date=2020-01-01").mkdir(parents=True)
    (victim / "decision=a").mkdir()
    (victim / "decision=a" / "part-0.parquet").write_text("precious")
    root.mkdir()
    for name in ("_staging", "_retired", DATE):
        (root / name).symlink_to(victim)
    _publish(_publication(root), "new")
    assert _rows(root) == "new"
    assert not (root / DATE).is_symlink()
    assert sorted(path.name for path in root.iterdir()) == ["_locks", "_owner", "_staging", DATE]
    assert sorted(path.name for path in victim.iterdir()) == ["decision=a", "run_date=2020-01-01"]
    assert (victim / "decision=a" / "part-0.parquet").read_text() == "precious"


@pytest.mark.parametrize("planted", ["a link", "a FIFO", "a large file"])
def test_owner_that_is_no_plain_file_is_not_read(tmp_path: Path, planted: str) -> None:
    """A message quotes the owner's name, and would show what a link names."""
    secret = tmp_path / "secret"
    secret.write_text("precious")
    root = tmp_path / "scored"
    root.mkdir()
    if planted == "a link":
        (root / "_owner").symlink_to(secret)
    elif planted == "a FIFO":
        os.mkfifo(root / "_owner")
    else:
        (root / "_owner").touch()
        os.truncate(root / "_owner", 2**40)
    _publish(_publication(root), "new")
    assert (root / "_owner").read_text() == "loans"
    assert secret.read_text() == "precious"
    with pytest.raises(ConfigError, match="holds rows of the configuration 'loans'"):
        _publication(root, owner="cards").require_ready()
