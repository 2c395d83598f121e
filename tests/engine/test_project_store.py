from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pytest

from engine.contract.config import ImageContract
from engine.contract.errors import ProjectError, StorageError
from engine.files import long_path
from engine.project import disk, labels
from engine.project.database import check_name_length
from engine.project.store import Project, has_project

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "Study.radtune") as project:
        yield project


def _alter(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / "project.db", isolation_level=None)
    connection.execute(statement)
    connection.close()


@contextmanager
def _without_rights():
    """Be somebody whom file permissions hold back; root isn't."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only_folder():
    """Return a closed project in a folder that can't be written to."""
    if os.name == "nt":
        pytest.skip("Windows has no read-only folders")
    parent = Path(tempfile.mkdtemp())
    with Project.create(parent / "p") as project:
        project.add_class("normal")
    for path in (parent / "p" / "project.db", parent / "p", parent):
        path.chmod(0o555)
    yield parent / "p"
    for path in (parent, parent / "p"):
        path.chmod(0o755)
    shutil.rmtree(parent)


@pytest.mark.parametrize("name", ["My study", "Étude thoracique", "胸部影像研究"])
def test_a_project_comes_back_as_it_was_left(tmp_path, name):
    folder = tmp_path / name / f"{name}.radtune"
    with Project.create(folder) as project:
        project.image_contract = ImageContract(size_px=320)
        assert project.name == name
        salt = project.salt
    with Project.open(folder) as project:
        assert project.image_contract == ImageContract(size_px=320)
        assert (project.salt, project.name) == (salt, name)
        assert project.folder == folder


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name is Unicode")
def test_a_project_works_in_a_folder_whose_name_is_no_text(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xe9tude?#%20")
    with Project.create(folder) as project:
        source = project.add_source(folder / "images", "folder")
    with Project.open(folder, read_only=True) as project:
        assert project.source_root(source) == folder / "images"
        assert project.name == "?tude?#%20"


def test_a_project_works_in_a_path_of_more_than_250_characters(tmp_path):
    folder = tmp_path / ("a" * 120) / ("b" * 120) / ("c" * 60)
    with Project.open_or_create(long_path(folder)) as project:
        project.add_class("normal")
    with Project.open_or_create(folder) as project:
        assert [summary.name for summary in project.classes()] == ["normal"]


def test_a_path_beyond_what_the_database_takes_is_a_sentence():
    with pytest.raises(ProjectError, match="too long"):
        check_name_length(Path("/" + "影" * 200 + "/project.db"))
    check_name_length(Path("/" + "x" * 490 + "/project.db"))


def test_every_project_has_its_own_salt(tmp_path):
    with Project.create(tmp_path / "a") as a, Project.create(tmp_path / "b") as b:
        assert len(a.salt) == 32
        assert a.hashed("4711") != b.hashed("4711")
        assert a.hashed("4711") == a.hashed(" 4711 ")


def test_a_second_project_in_a_folder_is_refused(project):
    with pytest.raises(ProjectError, match="already"):
        Project.create(project.folder)


def test_a_folder_without_a_project_is_refused(tmp_path):
    with pytest.raises(ProjectError, match="no RadTune project"):
        Project.open(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not has_project(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_a_sentence(tmp_path):
    (tmp_path / "p").write_text("", encoding="utf-8")
    with pytest.raises((ProjectError, StorageError)):
        Project.create(tmp_path / "p")


def test_a_project_of_a_newer_version_is_refused_unchanged(project):
    project.close()
    _alter(project.folder, "PRAGMA user_version = 99")
    before = (project.folder / "project.db").read_bytes()
    for open_ in (Project.open, Project.open_or_create):
        with pytest.raises(ProjectError, match="made by a newer version of RadTune"):
            open_(project.folder)
    assert (project.folder / "project.db").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, b"SQLite format 3\0" + bytes(9)])
def test_a_damaged_database_is_a_sentence(project, content):
    project.close()
    (project.folder / "project.db").write_bytes(content)
    with pytest.raises(ProjectError, match="no RadTune project, or its database is damaged"):
        Project.open(project.folder)


def test_another_programs_database_is_left_alone(tmp_path):
    _alter(tmp_path, "CREATE TABLE theirs (a)")
    with pytest.raises(ProjectError, match="no RadTune project"):
        Project.open(tmp_path)
    with pytest.raises(ProjectError):
        Project.open_or_create(tmp_path)


def test_a_creation_that_was_cut_short_can_be_repeated(tmp_path):
    (tmp_path / "project.db").touch()
    with Project.open_or_create(tmp_path, "Again") as project:
        assert project.name == "Again"


def test_the_window_reads_while_a_worker_writes(project):
    with Project.open(project.folder) as worker:
        with worker.transaction():
            worker.add_class("normal")
            assert project.classes() == ()
        assert [summary.name for summary in project.classes()] == ["normal"]


def test_several_writers_wait_for_one_another(project):
    def write(found: list[int]) -> None:
        with Project.open(project.folder) as writer:
            found += [writer.patient(str(number)) for number in range(20)]

    results: list[list[int]] = [[], [], []]
    threads = [threading.Thread(target=write, args=(result,)) for result in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1] == results[2]
    assert sorted(results[0]) == list(range(1, 21))


def test_a_failed_change_leaves_nothing_behind(project):
    with pytest.raises(RuntimeError), project.transaction():
        project.add_class("normal")
        with project.transaction():
            project.add_class("opacity")
        raise RuntimeError
    assert project.classes() == ()
    project.add_class("other")
    assert [summary.name for summary in project.classes()] == ["other"]


def test_a_full_disk_is_a_sentence_and_nothing_is_half_written(project):
    project.db.execute(f"PRAGMA max_page_count = {project.db.value('PRAGMA page_count')}")
    with pytest.raises(StorageError, match="disk is full"), project.transaction():
        for number in range(1000):
            project.add_class(f"{'long name ' * 20}{number}")
    assert project.classes() == ()


def test_a_project_opened_for_reading_refuses_to_write(project):
    project.add_class("normal")
    project.close()
    with Project.open(project.folder, read_only=True) as reader:
        assert reader.is_read_only
        assert [summary.name for summary in reader.classes()] == ["normal"]
        with pytest.raises(ProjectError, match="reading only"):
            reader.add_class("opacity")


def test_a_project_on_a_read_only_disk_can_be_read(read_only_folder):
    with _without_rights(), Project.open(read_only_folder, read_only=True) as reader:
        assert [summary.name for summary in reader.classes()] == ["normal"]


def test_writing_on_a_read_only_disk_is_a_sentence(read_only_folder):
    with (
        _without_rights(),
        pytest.raises(StorageError, match=r"read-only|not writable"),
        Project.open(read_only_folder) as project,
    ):
        project.add_class("opacity")
    with _without_rights(), pytest.raises(StorageError, match="read-only"):
        Project.create(read_only_folder.parent / "other")


def test_a_network_disk_gets_no_shared_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.project.database.is_network_disk", lambda _folder: True)
    with Project.create(tmp_path / "p") as project:
        project.add_class("normal")
        assert not (tmp_path / "p" / "project.db-wal").exists()


def test_the_disk_of_a_folder_is_that_of_the_deepest_mount():
    mounts = [("/", "ext4"), ("/mnt/lab share", "cifs"), ("/mnt/lab share/usb", "vfat")]
    assert disk.mount_type(PurePosixPath("/home/x"), mounts) == "ext4"
    assert disk.mount_type(PurePosixPath("/mnt/lab share/study"), mounts) == "cifs"
    assert disk.mount_type(PurePosixPath("/mnt/lab share/usb/study"), mounts) == "vfat"
    assert disk.mount_type(PurePosixPath("/mnt/lab shared"), mounts) == "ext4"


def test_the_list_of_mounts_of_a_mac_is_understood():
    output = (
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only)\n"
        "//guest@server/study on /Volumes/Study (old) (smbfs, nodev, nosuid)\n"
    )
    assert disk.parse_mac_mounts(output) == [("/", "apfs"), ("/Volumes/Study (old)", "smbfs")]


def test_opening_a_project_loads_neither_torch_nor_pandas_nor_qt():
    code = (
        "import sys, engine.project.store, engine.project.labels, engine.project.lock, "
        "engine.project.thumbnails;"
        "print({name.split('.')[0] for name in sys.modules} & "
        "{'torch', 'pandas', 'scipy', 'PIL', 'PySide6', 'psutil'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_project_of_the_first_version_is_brought_up_to_date_with_all_that_it_held(tmp_path):
    # Written by the program when it still made projects of that version.
    script = (Path(__file__).parent / "project_version_1.sql").read_text(encoding="utf-8")
    folder = tmp_path / "old.radtune"
    for part in ("cache", "runs"):
        (folder / part).mkdir(parents=True)
    connection = sqlite3.connect(folder / "project.db")
    connection.executescript(script)
    connection.execute(f"PRAGMA application_id = {0x52544E45}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    with Project.open(folder) as project:
        names: dict[int | None, str] = {c.id: c.name for c in project.classes()}
        records = project.records()
        assert [names[r.class_id] for r in records] == [
            "effusion",
            "effusion",
            "normal",
            "effusion",
        ]
        assert [r.patient for r in records] == ["P0001", "P0001", "P0002", "P0002"]
        assert [r.excluded for r in records] == [None, None, None, "blurred"]
        assert [(r.site, r.acquired, r.findings) for r in records] == [(None, None, {})] * 4
        assert labels.undo(project)  # the history came along
        assert [r.excluded for r in project.records()] == [None] * 4
    with Project.open(folder, read_only=True) as project:
        assert project.db.value("PRAGMA foreign_key_check") is None
