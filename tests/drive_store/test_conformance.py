"""Local paths pass the suite that every store has to pass, under names that people give to folders."""

import errno
import os
import pickle
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from drive_store import Store, StoreDenied, StoreError, StoreFull, StoreUnavailable, UnsupportedStore, errors
from drive_store.errors import store_error
from drive_store.testing import StoreTests


class TestLocalPath(StoreTests):
    @pytest.fixture(params=["plain", "My Drive (1)/[x]*?/größe 'q' #100%"])
    def store(self, tmp_path: Path, request: pytest.FixtureRequest) -> Store:
        return Store(str(tmp_path / request.param))


def test_opening_makes_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root/"))
    assert store.root == str(tmp_path / "root")
    assert not list(tmp_path.iterdir())


def test_a_file_url_and_a_relative_path_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store(f"file://{tmp_path}/root").root == Store("root").root == str(tmp_path / "root")


@pytest.mark.parametrize("url", ["", "memory://x", "s3://bucket/x", "gdrive://x", "http://x", "a::b", "a\0b"])
def test_other_stores_are_refused_in_one_sentence(url: str) -> None:
    with pytest.raises(UnsupportedStore, match="local paths only"):
        Store(url)


def test_a_file_too_large_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, opened = Store(str(tmp_path)), MagicMock(return_value=b"12345")
    store.create("file", b"12345")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(store._fs, "cat_file", opened)
    for key, error in (("file", errors.TooLarge), ("pipe", errors.NotAFile)):
        with pytest.raises(error):
            store.read(key, 4)
    assert not opened.called
    assert store.read("file", 5) == b"12345"
    opened.assert_called_once()


def test_a_root_replaced_by_an_empty_folder_is_unavailable(tmp_path: Path) -> None:
    root, away = tmp_path / "root", tmp_path / "elsewhere"
    store = Store(str(root))
    store.make_folder("e")
    store.create("e/experiment.json", b"{}")
    store.attach("e/experiment.json")
    for change, match in ((lambda: root.rename(away), "cannot be reached"), (root.mkdir, "unmounted Drive")):
        change()
        with pytest.raises(StoreUnavailable, match=match):
            store.check()
    root.rmdir()
    away.rename(root)
    store.check()


@pytest.mark.parametrize("key", ["e/tea/rollouts/n0/000000", "e/tea/state", "discovery", "e/tea", "e"])
def test_an_attached_store_never_makes_a_root_that_vanished(key: str, tmp_path: Path) -> None:
    root, away = tmp_path / "mount/root", tmp_path / "away"
    store = Store(str(root))
    store.make_folder("e/tea")
    store.create("e/tea/experiment.json", b"{}")
    store.attach("e/tea/experiment.json")
    check = store.check

    def check_and_vanish() -> None:
        check()
        root.rename(away)

    store.check = check_and_vanish  # type: ignore[method-assign]
    expected = (
        nullcontext() if key in "e/tea" else pytest.raises(StoreUnavailable, match=f"Is {root} mounted")
    )
    with expected:
        store.make_folder(key)
    assert not root.exists()
    away.rename(root)
    store.check = check  # type: ignore[method-assign]
    store.make_folder(key)
    store.make_folder(key)
    assert (root / key).is_dir()


def test_another_device_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    store.create("experiment.json", b"{}")
    store.attach("experiment.json")
    real = Path.stat

    def moved(self: Path, **kwargs: bool) -> os.stat_result:
        fields = list(real(self, **kwargs))
        fields[2] += 1  # st_dev
        return os.stat_result(fields)

    monkeypatch.setattr(Path, "stat", moved)
    with pytest.raises(StoreUnavailable, match="another device"):
        store.check()


def test_a_tree_is_removed_without_following_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    tree = tmp_path / "root/tree"
    tree.mkdir(parents=True)
    (tree / "link").symlink_to(outside)
    (tree / "odd [name] (1)").mkdir()
    (tree / "odd [name] (1)/.hidden").touch()
    Store(str(tmp_path / "root")).remove_tree("tree")
    assert not tree.exists()
    assert (outside / "kept").exists()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EROFS, StoreDenied),
        (errno.EACCES, StoreDenied),
        (errno.EIO, StoreUnavailable),
        (errno.ENOTCONN, StoreUnavailable),
        (errno.EAGAIN, StoreUnavailable),
        (errno.EDEADLK, StoreUnavailable),
    ],
)
def test_errors_of_the_system_have_types(
    number: int, kind: type[StoreError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "listdir", fail)
    store._fs = type(
        "Broken", (), dict.fromkeys(("open", "info", "ls", "makedirs", "rm_file"), staticmethod(fail))
    )
    for call in (
        lambda: store.create("a", b""),
        lambda: store.replace_copy("a", b""),
        lambda: store.read("a", 1),
        lambda: store.names("a"),
        lambda: store.size("a"),
        lambda: store.remove("a"),
        lambda: store.remove_tree("a"),
        lambda: store.make_folder("a"),
    ):
        with pytest.raises(kind, match=errno.errorcode[number]) as caught:
            call()
        assert str(tmp_path) in str(caught.value)


def test_errors_survive_a_process_boundary() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StoreError)
    ]
    assert len(kinds) >= 10
    for kind in kinds:
        again = pickle.loads(pickle.dumps(kind("what happened")))
        assert type(again) is kind
        assert str(again) == "what happened"
    assert isinstance(store_error(OSError("no number"), "read", "x"), StoreUnavailable)


def test_neither_ray_nor_torch_is_imported() -> None:
    others = {"torch", "ray", "swarm_ray", "actors", "transformers", "numpy"}
    code = f"import sys, drive_store; drive_store.Store('x'); print(sorted({others} & {{*sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
