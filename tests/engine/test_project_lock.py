from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from io import FileIO
from pathlib import Path

import pytest

from engine.contract.errors import ProjectError, StorageError
from engine.project import lock as lock_module
from engine.project.lock import LOCK_NAME, TOKEN_VARIABLE, ProjectLock, lock_byte, unlock_byte

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys
from pathlib import Path
from engine.project.lock import ProjectLock
lock = ProjectLock(Path(sys.argv[1]), "the other window")
lock.acquire()
print("borrowed" if lock.is_borrowed else "held", flush=True)
sys.stdin.read()
"""


def _start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_second_window_is_refused_with_the_owners_name(tmp_path):
    with ProjectLock(tmp_path, "the RadTune window") as first:
        assert first.is_held
        second = ProjectLock(tmp_path, "the command scan")
        with pytest.raises(ProjectError, match="in use by the RadTune window on"):
            second.acquire()
        assert not second.is_held
    with ProjectLock(tmp_path, "x") as third:
        assert third.is_held


def test_a_full_disk_has_room_for_the_owner_of_a_project_that_was_open_before(tmp_path):
    class OnFullDisk(FileIO):
        """Has room for what overwrites something, and no more."""

        def write(self, data, /):
            if self.tell() + len(data) > os.fstat(self.fileno()).st_size:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    def opened(path):
        return OnFullDisk(path, "r+")

    with ProjectLock(tmp_path, "the RadTune window"):
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock_module, "_open_lock", opened)
        with ProjectLock(tmp_path, "the RadTune window") as lock:
            worker = _start(tmp_path, **lock.environment())
            try:
                assert _first_line(worker) == "borrowed"
            finally:
                _end(worker)


def test_a_disk_that_takes_nothing_keeps_no_earlier_owner(tmp_path):
    class Refusing(FileIO):
        def write(self, data, /):
            raise OSError(errno.ENOSPC, "No space left on device")

    with ProjectLock(tmp_path, "the RadTune window"):
        left = (tmp_path / LOCK_NAME).read_bytes()
    (tmp_path / LOCK_NAME).write_bytes(left)  # its owner was killed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock_module, "_open_lock", lambda path: Refusing(path, "r+"))
        with (
            ProjectLock(tmp_path, "the command scan"),
            pytest.raises(ProjectError, match="in use by another RadTune window or command"),
        ):
            ProjectLock(tmp_path, "x").acquire()


def test_another_process_holds_the_lock_until_it_dies(tmp_path):
    process = _start(tmp_path)
    try:
        assert _first_line(process) == "held"
        with pytest.raises(ProjectError, match=f"the other window on {socket.gethostname()}"):
            ProjectLock(tmp_path, "x").acquire()
    finally:
        _end(process)
    with ProjectLock(tmp_path, "x") as lock:
        assert lock.is_held


def test_a_worker_borrows_the_lock_of_its_session_and_others_do_not(tmp_path):
    with ProjectLock(tmp_path, "the RadTune window") as lock:
        worker = _start(tmp_path, **lock.environment())
        stranger = _start(tmp_path, **{TOKEN_VARIABLE: "something else"})
        try:
            assert _first_line(worker) == "borrowed"
            assert _first_line(stranger) == ""
            assert stranger.wait(timeout=30) == 1
        finally:
            _end(worker)
            _end(stranger)
        assert lock.is_held


def test_a_borrower_gives_nothing_back_and_lends_on(tmp_path, monkeypatch):
    with ProjectLock(tmp_path, "the RadTune window") as lock:
        monkeypatch.setenv(TOKEN_VARIABLE, lock.token)
        borrower = ProjectLock(tmp_path, "a worker")
        with borrower:
            assert borrower.is_borrowed
            assert borrower.environment() == lock.environment()
        monkeypatch.delenv(TOKEN_VARIABLE)
        with pytest.raises(ProjectError):
            ProjectLock(tmp_path, "x").acquire()


def test_acquiring_and_releasing_twice_does_no_harm(tmp_path):
    lock = ProjectLock(tmp_path, "x")
    lock.acquire()
    lock.acquire()
    lock.release()
    lock.release()
    assert not lock.is_held


def test_nothing_is_locked_on_a_read_only_disk(tmp_path, monkeypatch):
    def read_only(*_args, **_kwargs):
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(os, "open", read_only)
    with ProjectLock(tmp_path, "x") as lock:
        assert lock.is_read_only
        assert not lock.is_held
        assert "read-only" in lock.reason


def test_a_folder_that_is_gone_is_a_sentence(tmp_path):
    with pytest.raises(StorageError, match="isn't there any more"):
        ProjectLock(tmp_path / "gone", "x").acquire()


@pytest.fixture
def no_locks(monkeypatch):
    """A network disk without file locks."""

    def refuse(_file):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(lock_module, "_lock", refuse)


@pytest.mark.usefixtures("no_locks")
def test_a_file_stands_in_on_a_disk_without_locks(tmp_path):
    with ProjectLock(tmp_path, "the RadTune window") as lock:
        assert lock.is_held
        assert "no file locks" in lock.reason
        with pytest.raises(ProjectError, match="the RadTune window") as caught:
            ProjectLock(tmp_path, "x").acquire()
        assert "project.owner" in caught.value.remedy
    with ProjectLock(tmp_path, "x") as lock:
        assert lock.is_held


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize(
    ("pid", "host", "blocks"),
    [("dead", "here", False), ("alive", "here", True), ("dead", "elsewhere", True)],
)
def test_a_stand_in_blocks_while_its_process_may_live(tmp_path, pid, host, blocks):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    owner = {
        "owner": "the other window",
        "pid": ended.pid if pid == "dead" else os.getpid(),
        "host": socket.gethostname() if host == "here" else "elsewhere",
        "since": 4e9,
    }
    (tmp_path / "project.owner").write_text(json.dumps(owner), encoding="utf-8")
    lock = ProjectLock(tmp_path, "x")
    if blocks:
        with pytest.raises(ProjectError, match="the other window"):
            lock.acquire()
    else:
        lock.acquire()
        assert lock.is_held


@pytest.mark.usefixtures("no_locks")
def test_a_stand_in_of_a_process_whose_number_was_given_again_does_not_block(tmp_path):
    owner = {"owner": "y", "pid": os.getpid(), "host": socket.gethostname(), "since": 1e9}
    (tmp_path / "project.owner").write_text(json.dumps(owner), encoding="utf-8")
    with ProjectLock(tmp_path, "x") as lock:
        assert lock.is_held


class _WindowsLocks:
    """Behaves as msvcrt does: one owner a byte, found by the file's position."""

    LK_NBLCK = 2
    LK_UNLCK = 0

    def __init__(self) -> None:
        self.locked: set[int] = set()

    def locking(self, fd: int, mode: int, nbytes: int) -> None:
        position = os.lseek(fd, 0, os.SEEK_CUR)
        assert nbytes == 1
        if mode == self.LK_UNLCK:
            self.locked.remove(position)
        elif position in self.locked:
            raise OSError(errno.EACCES, "locked")
        else:
            self.locked.add(position)


def test_the_windows_lock_leaves_the_owners_name_readable(tmp_path):
    locks = _WindowsLocks()
    path = tmp_path / LOCK_NAME
    path.write_bytes(b"{}")
    with path.open("r+b") as first, path.open("r+b") as second:
        assert lock_byte(locks, first)
        assert not lock_byte(locks, second)
        assert min(locks.locked) > 1_000_000
        assert second.read() == b"{}"
        unlock_byte(locks, first)
        assert lock_byte(locks, second)


def test_a_windows_disk_without_locks_is_told_apart_from_a_locked_file(tmp_path):
    class NoLocks(_WindowsLocks):
        def locking(self, fd: int, mode: int, nbytes: int) -> None:
            raise OSError(errno.EINVAL, "not supported")

    path = tmp_path / LOCK_NAME
    path.touch()
    with path.open("r+b") as file, pytest.raises(OSError, match="not supported"):
        lock_byte(NoLocks(), file)


# A disk that was away and is back


def _forget(lock: ProjectLock) -> None:
    """Lose the system's lock, as with a drive that is pulled out."""
    assert lock._file is not None
    lock_module._unlock(lock._file)


def _is_free(folder: Path) -> bool:
    with lock_module._open_lock(folder / LOCK_NAME) as file:
        return lock_module._lock(file)


def test_a_lock_that_was_lost_with_its_disk_is_retaken(tmp_path):
    with ProjectLock(tmp_path, "a training") as lock:
        _forget(lock)
        assert _is_free(tmp_path)
        lock.retake()
        assert lock.is_held and not _is_free(tmp_path)
        with pytest.raises(ProjectError, match="in use by a training on"):
            ProjectLock(tmp_path, "x").acquire()
    assert _is_free(tmp_path)


def test_a_lock_that_was_not_lost_is_kept(tmp_path):
    with ProjectLock(tmp_path, "a training") as lock:
        lock.retake()
        assert lock.is_held and not _is_free(tmp_path)


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_lock_that_another_session_took_meanwhile_is_not_retaken(tmp_path, has_ended):
    lock = ProjectLock(tmp_path, "a training")
    lock.acquire()
    _forget(lock)
    other = ProjectLock(tmp_path, "the other window")
    other.acquire()
    if has_ended:
        other.release()
    before = (tmp_path / LOCK_NAME).read_bytes()
    for _ in range(2):
        with pytest.raises(ProjectError, match="another RadTune window or command opened it"):
            lock.retake()
    assert not lock.is_held
    lock.release()
    assert (tmp_path / LOCK_NAME).read_bytes() == before
    assert other.is_held is not has_ended
    other.release()


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_borrower_takes_the_lock_where_its_lender_lost_it(tmp_path, monkeypatch, is_lost):
    lender = ProjectLock(tmp_path, "the RadTune window")
    lender.acquire()
    monkeypatch.setenv(TOKEN_VARIABLE, lender.token)
    with ProjectLock(tmp_path, "a training") as borrower:
        if is_lost:
            _forget(lender)
        borrower.retake()
        assert borrower.is_held is is_lost
        assert borrower.is_borrowed and not _is_free(tmp_path)
        assert json.loads((tmp_path / LOCK_NAME).read_bytes())["token"] == lender.token
    assert json.loads((tmp_path / LOCK_NAME).read_bytes())["token"] == lender.token


def test_a_borrower_retakes_nothing_that_another_session_took(tmp_path, monkeypatch):
    lender = ProjectLock(tmp_path, "the RadTune window")
    lender.acquire()
    monkeypatch.setenv(TOKEN_VARIABLE, lender.token)
    with ProjectLock(tmp_path, "a training") as borrower:
        _forget(lender)
        monkeypatch.delenv(TOKEN_VARIABLE)
        with ProjectLock(tmp_path, "the other window"):
            monkeypatch.setenv(TOKEN_VARIABLE, lender.token)
            with pytest.raises(ProjectError, match="opened it"):
                borrower.retake()


def test_a_file_that_stands_in_is_ours_as_long_as_it_names_us(tmp_path, monkeypatch):
    def no_locks(_file: object) -> bool:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(lock_module, "_lock", no_locks)
    stand_in = tmp_path / "project.owner"
    with ProjectLock(tmp_path, "a training") as lock:
        lock.retake()
        assert lock.is_held
        stand_in.write_text(json.dumps({"token": "another's"}), encoding="utf-8")
        with pytest.raises(ProjectError, match="opened it"):
            lock.retake()
    assert json.loads(stand_in.read_text(encoding="utf-8")) == {"token": "another's"}
