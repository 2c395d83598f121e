from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path, PureWindowsPath

import pytest

from engine import files
from engine.contract.control import Control
from engine.contract.errors import DamagedFileError, StorageError
from engine.contract.events import Event
from engine.trainer.full_disk import when_there_is_room


def _failing(code: int):
    def fail(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("name", ["a b.json", "Étude.json", "影像研究.json", "x" * 250])
def test_a_file_is_written_whatever_its_name(tmp_path, name):
    files.write_atomic(tmp_path / name, "grüße\r\n一")
    assert (tmp_path / name).read_bytes() == "grüße\r\n一".encode()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    files.write_atomic(path, b"old")
    monkeypatch.setattr(os, "fsync", _failing(errno.ENOSPC))
    with pytest.raises(StorageError, match="disk is full"):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_a_scanner_holds_to_the_end_is_a_sentence(tmp_path, monkeypatch):
    """On Windows who refuses the rename may refuse the removal of the temporary file, too."""
    for name in ("replace", "unlink"):
        monkeypatch.setattr(Path, name, _failing(errno.EACCES))
    with pytest.raises(StorageError, match="in use by another program"):
        files.write_atomic(tmp_path / "state.json", b"new")
    monkeypatch.undo()
    files.drop_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "read-only"),
        (errno.ENOENT, "isn't there any more"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.EIO, "reported an error"),
    ],
)
def test_disk_problems_become_a_sentence_with_a_remedy_and_without_a_path(code, words):
    error = files.storage_error(OSError(code, "x", "/secret/Jane Doe"), "a checkpoint")
    assert words in error.message
    assert error.remedy.endswith(".")
    assert "Jane" not in error.message + error.remedy


@pytest.mark.parametrize(
    ("reading", "words"),
    [(True, "could not be read."), (False, "could not be written."), (None, "read or written.")],
)
def test_an_error_of_a_disk_says_what_was_tried(reading, words):
    error = files.storage_error(OSError(errno.EIO, "x"), "a file", reading=reading)
    assert error.message.endswith(words)


def test_a_folder_is_made_without_those_around_it_where_they_must_be_there(tmp_path):
    with pytest.raises(StorageError, match="isn't there any more"):
        files.make_folder(tmp_path / "run" / "checkpoints", parents=False)
    assert list(tmp_path.iterdir()) == []
    files.make_folder(tmp_path / "run", parents=False)
    files.make_folder(tmp_path / "run", parents=False)
    assert (tmp_path / "run").is_dir()


def test_a_folder_that_is_gone_is_told(tmp_path):
    with pytest.raises(StorageError, match="isn't there any more"):
        files.write_atomic(tmp_path / "none" / "x", b"")


def test_windows_reports_a_full_disk_by_its_own_number():
    error = OSError(errno.EINVAL, "x")
    error.winerror = 112  # type: ignore[attr-defined]
    assert "full" in files.storage_error(error, "a file").message


def test_a_file_that_a_scanner_holds_for_a_moment_is_replaced_on_windows(tmp_path, monkeypatch):
    source, target = tmp_path / "new", tmp_path / "old"
    source.write_bytes(b"new")
    real = Path.replace
    waits: list[float] = []

    def replace(self, other):
        if len(waits) < 3:
            raise PermissionError(errno.EACCES, "held")
        return real(self, other)

    monkeypatch.setattr(os, "name", "nt")
    monkeypatch.setattr(Path, "replace", replace)
    files.replace_file(source, target, wait=waits.append)
    monkeypatch.undo()
    assert target.read_bytes() == b"new"
    assert 0 < sum(waits) < 2


def test_a_missing_permission_elsewhere_is_reported_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", _failing(errno.EACCES))
    monkeypatch.setattr(os, "name", "posix")
    with pytest.raises(PermissionError):
        files.replace_file(tmp_path / "a", tmp_path / "b", wait=lambda _seconds: None)


def test_json_comes_back_as_it_was(tmp_path):
    plain = {"name": "Brüche 骨折", "values": [1, 2.5, None, True]}
    files.write_json(tmp_path / "a.json", plain)
    assert files.read_json(tmp_path / "a.json") == plain
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == plain


def test_json_without_a_number_for_nan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", [float("nan")])


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b""])
def test_damaged_json_is_a_sentence(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StorageError, match="isn't valid JSON"):
        files.read_json(tmp_path / "a.json")


def test_signed_facts_come_back_and_any_change_is_noticed(tmp_path):
    path, facts = tmp_path / "a.json", {"auroc": 0.931, "names": ["ä"], "n": {"1": None}}
    files.write_json(path, files.signed(facts))
    assert files.read_signed_json(path) == facts
    path.write_text(path.read_text(encoding="utf-8").replace("0.931", "0.938"), encoding="utf-8")
    with pytest.raises(DamagedFileError, match="changed after it was written"):
        files.read_signed_json(path)


def test_facts_that_an_earlier_version_did_not_sign_are_read(tmp_path):
    files.write_json(tmp_path / "a.json", {"a": 1})
    assert files.read_signed_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize("content", ["[1]", "1", '{"a": 1', ""])
def test_what_holds_no_facts_is_damaged_and_what_is_gone_is_not(tmp_path, content):
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(DamagedFileError):
        files.read_signed_json(tmp_path / "a.json")
    with pytest.raises(StorageError) as caught:
        files.read_signed_json(tmp_path / "b.json")
    assert not isinstance(caught.value, DamagedFileError)


def test_nobody_waits_for_a_damaged_file(tmp_path):
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    told: list[Event] = []
    with pytest.raises(DamagedFileError):
        when_there_is_room(
            lambda: files.read_json(tmp_path / "a.json"),
            run="",
            emit=told.append,
            control=Control(),
        )
    assert told == []


def test_too_little_space_is_told_before_writing(tmp_path):
    files.require_space(tmp_path / "not" / "yet" / "made", 1)
    with pytest.raises(StorageError, match="GB are needed"):
        files.require_space(tmp_path, 1 << 60)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("C:\\short\\x", "C:\\short\\x"),
        ("C:\\" + "a" * 250, "\\\\?\\C:\\" + "a" * 250),
        ("\\\\server\\share\\" + "a" * 250, "\\\\?\\UNC\\server\\share\\" + "a" * 250),
        ("\\\\?\\C:\\" + "a" * 250, "\\\\?\\C:\\" + "a" * 250),
        ("a" * 250, "a" * 250),
    ],
)
def test_long_windows_paths_get_the_verbatim_form(path, expected):
    assert files.verbatim_windows(PureWindowsPath(path)) == expected


@pytest.mark.skipif(os.name == "nt", reason="the other half of the rule")
def test_paths_stay_as_they_are_elsewhere():
    path = Path("/" + "a/" * 300)
    assert files.long_path(path) is path


def test_the_hash_is_that_of_the_standard(tmp_path):
    # FIPS 180-2, appendix B.1
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256_file(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    big = bytes(3_000_001)
    (tmp_path / "big").write_bytes(big)
    assert files.sha256_file(tmp_path / "big") == hashlib.sha256(big).hexdigest()
