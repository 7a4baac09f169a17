"""What every store has to do, as a class of tests that a back end inherits.

A back end's own test module subclasses `StoreTests` and defines the fixture ``store``: a `Store` on a root
that is empty. Pytest collects the methods of the subclass.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain

import pytest

from drive_store.errors import FolderMissing, InvalidName, NameTaken, NotAFile, StoreUnavailable, TooLarge
from drive_store.store.backend import Operations
from drive_store.store.store import Store

HOSTILE_KEYS = (
    "",
    "/etc/passwd",
    "../outside",
    "a/../../outside",
    "a/./b",
    "a//b",
    "a/",
    "a\\b",
    "a\0b",
    "a\n",
    ".hidden",
    "-option",
    "a b",
    "a[0]",
    "ä",
    "x" * 300,
)
_LIMIT = 1000


class StoreTests:
    """The suite. Each test has a folder of its own within the store that the fixture gives."""

    def test_a_file_reads_as_it_was_written(self, store: Store) -> None:
        """Any bytes come back, none included."""
        store.make_folder("a/b")
        for n, data in enumerate((b"", b"x", bytes(range(256)))):
            store.create(f"a/b/{n}", data)
            assert store.read(f"a/b/{n}", _LIMIT) == data
            assert store.size(f"a/b/{n}") == len(data)

    def test_a_name_is_written_once(self, store: Store) -> None:
        """A second creation fails and changes nothing."""
        store.make_folder("a")
        store.create("a/file", b"first")
        with pytest.raises(NameTaken, match="a/file"):
            store.create("a/file", b"second")
        assert store.read("a/file", _LIMIT) == b"first"

    def test_one_of_many_creators_wins(self, store: Store) -> None:
        """Of eight threads exactly one creates a name, and the content is its own."""
        if not store.capabilities.create_if_absent:
            pytest.skip("this store does not promise it")
        store.make_folder("a")
        for n in range(20):
            start = threading.Barrier(8)

            def claim(who: int, n: int = n, start: threading.Barrier = start) -> list[int]:
                start.wait()
                with suppress(NameTaken):
                    store.create(f"a/{n}", b"%d" % who)
                    return [who]
                return []

            with ThreadPoolExecutor(8) as pool:
                (winner,) = chain.from_iterable(pool.map(claim, range(8)))
            assert store.read(f"a/{n}", _LIMIT) == b"%d" % winner

    def test_a_new_file_needs_its_folder(self, store: Store) -> None:
        """Nothing makes folders by the way: a missing one may mean an unmounted drive."""
        for write in (store.create, store.replace_copy):
            with pytest.raises(FolderMissing):
                write("a/file", b"data")
        assert store.names("a") == []

    def test_a_copy_is_replaced(self, store: Store) -> None:
        """The last content stays, and no rest of a longer one."""
        store.make_folder("a")
        for data in (b"the longer one", b"short"):
            store.replace_copy("a/copy.json", data)
            assert store.read("a/copy.json", _LIMIT) == data

    def test_what_is_absent_reads_as_none(self, store: Store) -> None:
        """Neither a file nor a folder has to be there."""
        assert (store.read("a/file", _LIMIT), store.size("a/file"), store.names("a")) == (None, None, [])

    def test_a_file_beyond_the_limit_is_not_read(self, store: Store) -> None:
        """The limit itself is allowed."""
        store.make_folder("a")
        store.create("a/file", b"12345")
        assert store.read("a/file", 5) == b"12345"
        read = store.operations.bytes_read
        with pytest.raises(TooLarge, match="4 bytes"):
            store.read("a/file", 4)
        assert store.operations.bytes_read == read

    def test_names_are_sorted_and_bare(self, store: Store) -> None:
        """Files and folders alike, of this folder only."""
        store.make_folder("a/folder/deeper")
        for name in ("b", "a", "c.json"):
            store.create(f"a/{name}", b"")
        assert store.names("a") == ["a", "b", "c.json", "folder"]

    def test_folders_and_files_are_told_apart(self, store: Store) -> None:
        """Each in the other's place is an error of its own."""
        store.make_folder("a/folder")
        store.make_folder("a/folder")
        store.create("a/file", b"")
        for call in (
            partial(store.read, "a/folder", _LIMIT),
            partial(store.names, "a/file"),
            partial(store.make_folder, "a/file"),
        ):
            with pytest.raises(NotAFile):
                call()

    def test_removal(self, store: Store) -> None:
        """A file, a tree, and what is gone already."""
        store.make_folder("a/deep/er")
        store.create("a/file", b"")
        store.create("a/deep/er/file", b"")
        for remove, key, left in ((store.remove, "a/file", ["deep"]), (store.remove_tree, "a", [])):
            remove(key)
            remove(key)
            assert store.names("a") == left

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_hostile_keys_are_refused(self, store: Store, key: str) -> None:
        """No key leads out of the root, whatever is done with it."""
        for call in (
            partial(store.create, key, b""),
            partial(store.read, key, _LIMIT),
            partial(store.make_folder, key),
            partial(store.remove_tree, key),
        ):
            with pytest.raises(InvalidName):
                call()

    def test_twins_are_never_made(self, store: Store) -> None:
        """Their names can be asked for, so that a twin that Drive shows can be read."""
        store.make_folder("a")
        for write in (store.create, store.replace_copy):
            with pytest.raises(InvalidName):
                write("a/file (1).json", b"")
        assert store.read("a/file (1).json", _LIMIT) is None

    def test_a_store_must_be_attached_to_be_checked(self, store: Store) -> None:
        """A missing sentinel, a changed one and a store never attached are all unavailable."""
        store.make_folder("a")
        for call, match in ((store.check, "attach"), (partial(store.attach, "a/sentinel.json"), "not there")):
            with pytest.raises(StoreUnavailable, match=match):
                call()
        store.create("a/sentinel.json", b"{}")
        store.attach("a/sentinel.json")
        store.check()
        for change, match in (
            (partial(store.replace_copy, "a/sentinel.json", b"[]"), "replaced"),
            (partial(store.remove, "a/sentinel.json"), "not there"),
        ):
            change()
            with pytest.raises(StoreUnavailable, match=match):
                store.check()

    def test_operations_are_counted(self, store: Store) -> None:
        """By kind, with the bytes that went each way."""
        store.make_folder("a")
        store.create("a/file", b"123")
        store.replace_copy("a/copy", b"12")
        store.read("a/file", _LIMIT)
        store.read("a/absent", _LIMIT)
        store.names("a")
        store.size("a/file")
        store.remove("a/file")
        assert store.operations == Operations(
            folders=1,
            creates=1,
            overwrites=1,
            reads=2,
            lists=1,
            sizes=1,
            removes=1,
            bytes_written=5,
            bytes_read=3,
        )
