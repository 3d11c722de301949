"""Scanning archives: good ones, hostile ones and broken ones."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import secrets
import tarfile

import pytest

from raypipe.datasets.tars import Member, members, read_compressed
from raypipe.errors import InputError
from raypipe.storage.location import Location
from tests.datasets.conftest import tar_of

LONG = "a folder with a long name/" * 12 + "image.jpg"  # beyond the 100 bytes of the old header


class Counting(io.RawIOBase):
    """Counts the bytes that are read of it."""

    def __init__(self, content: bytes) -> None:
        self._inner, self.count = io.BytesIO(content), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def readinto(self, buffer) -> int:
        found = self._inner.readinto(buffer)
        self.count += found
        return found


def scan(content: bytes, within: Member | None = None) -> list[Member]:
    return list(members(io.BufferedReader(Counting(content)), "shard.tar", within))


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_are_where_they_are_said_to_be(kind) -> None:
    files = [("a.jpg", b"aaa"), ("./b.jpg", b""), (LONG, b"x" * 1025), ("ä/ö.jpg", b"last")]
    content = tar_of(*files, kind=kind)
    found = scan(content)
    assert [item.name for item in found] == ["a.jpg", "b.jpg", LONG, "ä/ö.jpg"]
    for member, (_, data) in zip(found, files, strict=True):
        assert content[member.offset : member.offset + member.size] == data


def test_the_images_themselves_are_not_read() -> None:
    raw = Counting(tar_of(*((f"{at}.jpg", b"x" * 200_000) for at in range(50))))
    assert len(list(members(io.BufferedReader(raw, 4096), "t"))) == 50
    assert raw.count < 51 * 3 * 4096, "of ten million bytes"


def test_an_archive_in_an_archive() -> None:
    inner = tar_of(("1.jpg", b"one"), ("2.jpg", b"two"))
    outer = tar_of(
        ("pad", b"x" * 700), ("n01.tar", inner), ("n02.tar", tar_of(("3.jpg", b"three")))
    )
    _, first, second = scan(outer)
    assert [outer[item.offset :][: item.size] for item in scan(outer, first)] == [b"one", b"two"]
    assert [outer[item.offset :][: item.size] for item in scan(outer, second)] == [b"three"]


def test_the_file_may_be_moved_between_members() -> None:
    content = tar_of(*((f"{at}", bytes([at]) * 600) for at in range(9)))
    file = io.BufferedReader(io.BytesIO(content))
    for number, member in enumerate(members(file, "t")):
        file.seek(member.offset)
        assert file.read(member.size) == bytes([number]) * 600
        file.seek(0)


def test_folders_and_hidden_files_are_left_out() -> None:
    folder = tarfile.TarInfo("./")
    folder.type = tarfile.DIRTYPE
    assert [
        m.name for m in scan(tar_of(folder, ("._a.jpg", b"x"), ("b/.x", b""), ("a.jpg", b"")))
    ] == ["a.jpg"]


def odd(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def gnu_sparse() -> tarfile.TarInfo:
    info = odd("holes.jpg")
    info.pax_headers = {"GNU.sparse.map": "0,1,5,1", "GNU.sparse.size": "6"}
    return info


@pytest.mark.faults
@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (odd("../evil.jpg"), "leads out"),
        (odd("a/../../evil.jpg"), "leads out"),
        (odd("/etc/evil.jpg"), "leads out"),
        (odd("evil.jpg", tarfile.SYMTYPE, "/etc/passwd"), "a link to /etc/passwd"),
        (odd("evil.jpg", tarfile.LNKTYPE, "good.jpg"), "a link to good.jpg"),
        (odd("evil.jpg", tarfile.CHRTYPE), "no plain file"),
        (odd("evil.jpg", tarfile.BLKTYPE), "no plain file"),
        (odd("evil.jpg", tarfile.FIFOTYPE), "no plain file"),
        (odd("evil.jpg", b"Z"), "no plain file"),
        (gnu_sparse(), "sparse"),
    ],
)
def test_what_is_no_plain_file_inside_is_refused(member, reason) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        scan(tar_of(("good.jpg", b"x"), member))
    assert caught.value.message.startswith(f"shard.tar: member {member.name!r}")
    assert "plain files" in caught.value.remedy


@pytest.mark.faults
def test_every_cut_is_noticed_and_names_the_last_whole_member() -> None:
    content = tar_of(("a.jpg", b"x" * 700), ("b.jpg", b"y" * 700), ("c.jpg", b"z" * 700))
    first = 512 + 1024
    ends = {0: "(none)", 512 + 700: "a.jpg", first + 512 + 700: "b.jpg", 2 * first + 1212: "c.jpg"}
    for size in range(0, 3 * first + 1, 100):
        with pytest.raises(InputError, match="cut short|damaged") as caught:
            scan(content[:size])
        last = [name for end, name in ends.items() if end <= size][-1]
        assert caught.value.message.endswith(f" {last}"), (size, caught.value.message)
        assert caught.value.remedy == "copy or download it again"


@pytest.mark.faults
def test_no_damage_hangs_or_escapes() -> None:
    content = bytearray(tar_of((LONG, b"x" * 600), ("b.jpg", b"y" * 10), ("ä.jpg", b"z")))
    for at in range(0, len(content), 7):
        for value in (0, 0x2D, 0x80, 0xFF):
            broken = content.copy()
            broken[at] = value
            with contextlib.suppress(InputError):
                for member in scan(bytes(broken)):
                    assert 0 <= member.offset <= member.offset + member.size <= len(content)


@pytest.mark.faults
def test_a_header_that_points_back_is_no_endless_loop() -> None:
    info = tarfile.TarInfo("loop.jpg")
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = (-1024 & (1 << 95) - 1 | 1 << 95).to_bytes(12, "big")  # a negative size
    block[148:156] = b" " * 8
    block[148:155] = f"{sum(block):06o}\0".encode()
    with pytest.raises(InputError, match="damaged|cut short"):
        scan(tar_of(("a.jpg", b"x"))[:1024] + bytes(block) + bytes(1024))


@pytest.mark.faults
def test_a_header_cannot_claim_the_memory() -> None:
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 8 << 20
    content = info.tobuf(tarfile.GNU_FORMAT) + bytes(9 << 20)
    with pytest.raises(InputError, match="claims 8388608 bytes"):
        scan(content)


@pytest.mark.parametrize(("pack", "name"), [(gzip, "gzip"), (bz2, "bzip2"), (lzma, "xz")])
def test_a_compressed_archive_is_refused_with_the_remedy(pack, name) -> None:
    with pytest.raises(InputError, match=rf"shard\.tar: compressed with {name}") as caught:
        scan(pack.compress(tar_of(("a", b""))))
    assert "uncompressed" in caught.value.remedy


def test_small_files_of_a_gzipped_archive(tmp_path) -> None:
    path = tmp_path / "boxes.tgz"
    path.write_bytes(
        gzip.compress(tar_of(("val/a.xml", b"<a/>"), ("val/b.txt", b"no"), ("c.xml", b"c")))
    )
    assert list(read_compressed(Location.of(str(path)), (".xml",))) == [
        ("val/a.xml", b"<a/>"), ("c.xml", b"c"),
    ]  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.3, 0.5, 0.7, 0.9])
def test_a_gzipped_archive_cut_short(tmp_path, share) -> None:
    content = gzip.compress(tar_of(*((f"{at}.xml", secrets.token_bytes(900)) for at in range(20))))
    path = tmp_path / "boxes.tgz"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"boxes\.tgz: .*(cut short|damaged)"):
        list(read_compressed(Location.of(str(path)), (".xml",)))


@pytest.mark.faults
def test_an_annotation_of_gigabytes_is_refused(tmp_path) -> None:
    path = tmp_path / "boxes.tgz"
    path.write_bytes(gzip.compress(tar_of(("a.xml", bytes(17 << 20)))))
    with pytest.raises(InputError, match=r"a\.xml has 17825792 bytes"):
        list(read_compressed(Location.of(str(path)), (".xml",)))
