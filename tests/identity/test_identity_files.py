"""An identity is one file: made once, never overwritten, private, and kept out of shared folders."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from folder_for_tests import Folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm_ray.errors import IdentityError, UserError
from swarm_ray.identity import (
    identities_folder,
    identity_file,
    identity_for,
    identity_names,
    import_identity,
    load_identity,
    load_or_new,
    new_identity,
)
from swarm_ray.identity.keys import MAX_KEY

WITHIN_S = 60


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_identity_is_read_again_as_it_was_made(tmp_path: Path) -> None:
    made = new_identity(tmp_path / "keys" / "pi.pem")
    assert load_identity(made.file) == made
    assert (made.kind, made.warning, made.key.peer_id) == ("ed25519", "", made.peer_id)
    assert (mode(made.file), mode(made.file.parent)) == (0o600, 0o700)
    assert list(made.file.parent.iterdir()) == [made.file]


def test_whatever_the_umask_nobody_else_may_read_a_new_key(tmp_path: Path) -> None:
    for mask in (0, 0o777):
        before = os.umask(mask)
        try:
            made = new_identity(tmp_path / f"{mask}.pem")
        finally:
            os.umask(before)
        assert mode(made.file) == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path, rsa: bytes) -> None:
    made = new_identity(tmp_path / "pi.pem")
    theirs = tmp_path / "swarm.pem"
    theirs.write_bytes(rsa)
    for again in (lambda: new_identity(made.file), lambda: import_identity(theirs, made.file)):
        with pytest.raises(IdentityError, match=r"pi\.pem exists, and a key is never overwritten"):
            again()
    assert load_identity(made.file) == made


def test_an_imported_key_is_the_same_identity_byte_by_byte(tmp_path: Path, rsa: bytes) -> None:
    theirs = tmp_path / "swarm.pem"
    theirs.write_bytes(rsa)
    theirs.chmod(0o400)  # as RL Swarm leaves it
    taken = import_identity(theirs, tmp_path / "lion.pem")
    assert (taken.kind, taken.file.read_bytes(), theirs.read_bytes()) == ("rsa", rsa, rsa)
    assert mode(taken.file) == 0o600
    assert taken.key == load_identity(theirs).key


def test_what_is_no_key_is_not_imported(tmp_path: Path) -> None:
    source = tmp_path / "notes.txt"
    source.write_text("not a key")
    no = tmp_path / "no"
    for wrong, said in ((source, "not a private key"), (tmp_path, "Is a directory"), (no, "does not exist")):
        with pytest.raises(IdentityError, match=said):
            import_identity(wrong, tmp_path / "lion.pem")
    assert not (tmp_path / "lion.pem").exists()


def test_others_who_may_read_a_key_are_warned_of(tmp_path: Path) -> None:
    made = new_identity(tmp_path / "pi.pem")
    made.file.chmod(0o644)
    found = load_identity(made.file)
    assert "other users of this machine may read" in found.warning
    assert "mode 644" in found.warning
    assert found.key == made.key


def test_a_mount_that_keeps_no_permissions_is_borne(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fchmod", Mock(side_effect=PermissionError("Operation not permitted")))
    assert load_or_new(tmp_path / "pi.pem") == load_or_new(tmp_path / "pi.pem")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=90), st.just(bytes(MAX_KEY + 1))))
def test_a_file_that_is_no_key_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pi.pem"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_or_new(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["folder.pem", "file/pi.pem", "loop.pem", "loop.pem/pi.pem"])
def test_a_place_that_cannot_be_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop.pem").symlink_to("loop.pem")
    (tmp_path / "folder.pem").mkdir()
    for made in (load_or_new, new_identity):
        with pytest.raises(IdentityError):
            made(tmp_path / name)


def test_a_full_disk_leaves_no_half_of_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(IdentityError, match="No space left on device"):
        new_identity(tmp_path / "pi.pem")
    assert list(tmp_path.iterdir()) == []


def test_processes_that_make_it_at_once_have_one_identity(disk: Path) -> None:
    code = "from swarm_ray.identity import identity_for; input(); print(identity_for('pi').peer_id)"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = [subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) for _ in range(4)]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    found = [process.communicate(timeout=WITHIN_S)[0].strip() for process in started]
    assert {*found} == {load_identity(disk / "identities" / "pi.pem").peer_id}


def test_keys_lie_where_the_user_says_else_on_the_own_disk(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert identity_for("pi").file == disk / "identities" / "pi.pem"
    monkeypatch.setenv("SWARM_RAY_IDENTITIES", str(tmp_path / "my keys"))
    assert identities_folder() == tmp_path / "my keys"
    assert identity_for("pi").file == tmp_path / "my keys" / "pi.pem"


@pytest.mark.parametrize("name", ["", "Pi", "../pi", "a b", "pi.pem", "x" * 64])
def test_a_name_that_is_none_makes_no_path(name: str) -> None:
    with pytest.raises(IdentityError, match="cannot name an identity"):
        identity_file(name)


def test_only_named_keys_are_listed(tmp_path: Path) -> None:
    for name in ("pi.pem", "e.pem", "pi (1).pem", "notes.txt", ".pem"):
        (tmp_path / name).touch()
    assert identity_names(tmp_path) == ["e", "pi"]
    assert identity_names(tmp_path / "nowhere") == []
    with pytest.raises(IdentityError, match="cannot be listed"):
        identity_names(tmp_path / "pi.pem")


def test_no_key_is_made_where_experiments_are_shared(tmp_path: Path, rsa: bytes) -> None:
    root, theirs = Folder(tmp_path).root, tmp_path / "swarm.pem"
    theirs.write_bytes(rsa)
    (tmp_path / "short cut").symlink_to(root / "experiments")
    for path in (root / "pi.pem", root / "experiments/small/pi.pem", tmp_path / "short cut/keys/pi.pem"):
        for made in (new_identity, load_or_new, lambda path: import_identity(theirs, path)):
            with pytest.raises(IdentityError, match="others who share them could take the key"):
                made(path)
        assert not path.exists()
        assert not (root / "experiments" / "keys").exists()


def test_a_user_who_wants_it_so_has_a_key_there(tmp_path: Path) -> None:
    root = Folder(tmp_path).root
    made = new_identity(root / "keys" / "pi.pem", shared=True)
    assert load_or_new(made.file) == made
    (tmp_path / "experiments" / "of mine").mkdir(parents=True)  # is only called so
    assert new_identity(tmp_path / "pi.pem").warning == ""
