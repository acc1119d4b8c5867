"""Archives, hostile ones above all."""

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from pipelines.core.errors import EmptyDocumentError, MalformedDocumentError
from services.documents.archives import ArchiveTooLargeError, DamagedMemberError, base, is_archive, members

FILES = {"a.md": b"# A\n", "deep/er/b.txt": b"B" * 3_000_000, "c.md": b""}
PACKERS = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def make_zip(files: dict[str, bytes] = FILES, *, packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", packing) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


def make_tar(*entries: tuple[tarfile.TarInfo | str, bytes], **options: object) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", **options) as archive:  # type: ignore[call-overload]
        for entry, data in entries:
            info = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(entry)
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def made(ending: str, files: dict[str, bytes] = FILES) -> bytes:
    return make_zip(files) if ending == ".zip" else PACKERS[ending](make_tar(*files.items()))


def read(data: bytes, name: str, *, max_members: int = 100, max_bytes: int = 50_000_000) -> dict[str, bytes | str]:
    """Each member's bytes, or why it has none."""
    found: dict[str, bytes | str] = {}
    for member in members(io.BytesIO(data), name, max_members=max_members, max_bytes=max_bytes):
        if member.content is None:
            found[member.path] = str(member.refused)
            continue
        try:
            pieces = iter(lambda content=member.content: content.read(100_000), b"")
            found[member.path] = b"".join(pieces)
        except DamagedMemberError:
            found[member.path] = "damaged"
    return found


@pytest.mark.parametrize("ending", [".zip", *PACKERS])
def test_members_come_out_as_they_went_in(ending: str) -> None:
    assert is_archive(f"X{ending.upper()}")
    assert read(made(ending), f"x{ending}") == FILES


@pytest.mark.parametrize("name", ["a.docx", "a.zip.md", "zip", "a.gz"])
def test_other_files_are_no_archives(name: str) -> None:
    assert not is_archive(name)


@pytest.mark.parametrize("ending", [".zip", *PACKERS])
def test_an_archive_that_was_cut_short_is_told(ending: str) -> None:
    noise = random.Random(1).randbytes(400_000)
    data = made(ending, {"a.md": noise, "b.md": noise[::-1]})
    for length in (0, 10, len(data) // 2, len(data) - 9_000 if ending == ".tar" else len(data) - 30):
        with pytest.raises(MalformedDocumentError, match=r"The archive x\S+ is damaged or was cut short"):
            read(data[:length], f"x{ending}")


@pytest.mark.parametrize("ending", [".zip", *PACKERS])
def test_noise_is_no_archive(ending: str) -> None:
    with pytest.raises(MalformedDocumentError):
        read(random.Random(2).randbytes(5_000), f"x{ending}")


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_an_empty_archive_is_told(ending: str) -> None:
    with pytest.raises(EmptyDocumentError):
        read(made(ending, {}), f"x{ending}")


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_names_are_only_names(ending: str) -> None:
    files = {"/etc/passwd": b"1", "../../up.md": b"2", "C:\\win\\a.md": b"3", "./here//b.md": b"4", "a\tb.md": b"5"}
    assert read(made(ending, files), f"x{ending}") == {
        "etc/passwd": b"1",
        "up.md": b"2",
        "win/a.md": b"3",
        "here/b.md": b"4",
        "a\ufffdb.md": b"5",
    }


def test_a_name_that_is_too_long_stays_a_name_of_its_own() -> None:
    found = list(read(make_tar(("x" * 3000 + "1", b"a"), ("x" * 3000 + "2", b"b")), "x.tar"))
    assert len({*found}) == 2
    assert all(len(name) < 600 for name in found)


def test_links_devices_and_folders_are_left_out() -> None:
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    entries = []
    for number, kind in enumerate(kinds):
        info = tarfile.TarInfo(f"{number}.md")
        info.type, info.linkname = kind, "/etc/passwd"
        entries.append((info, b""))
    assert read(make_tar(*entries, ("a.md", b"A")), "x.tar") == {"a.md": b"A"}

    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        link = zipfile.ZipInfo("link.md")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.mkdir("folder")
        archive.writestr("a.md", "A")
    assert read(target.getvalue(), "x.zip") == {"a.md": b"A"}


def test_hidden_files_are_left_out_and_archives_inside_refused() -> None:
    files = {".git/config": b"", "__MACOSX/a.md": b"", "b/.DS_Store": b"", "in.tar.gz": b"x", "a.md": b"A"}
    assert read(make_zip(files), "x.zip") == {"in.tar.gz": "nested", "a.md": b"A"}


def test_bad_members_do_not_stop_the_others() -> None:
    data = bytearray(make_zip({"a.md": b"A" * 50, "bad.md": b"B" * 50, "c.md": b"C"}, packing=zipfile.ZIP_STORED))
    data[data.index(b"B" * 50)] ^= 1
    assert read(bytes(data), "x.zip") == {"a.md": b"A" * 50, "bad.md": "damaged", "c.md": b"C"}

    encrypted = bytearray(make_zip({"a.md": b"A", "secret.md": b"B"}))
    entry = encrypted.rindex(b"PK\x01\x02")
    encrypted[entry + 8] |= 1
    assert read(bytes(encrypted), "x.zip") == {"a.md": b"A", "secret.md": "encrypted"}


def test_packings_whose_memory_cannot_be_bounded_are_refused() -> None:
    assert read(make_zip({"a.md": b"A"}, packing=zipfile.ZIP_LZMA), "x.zip") == {"a.md": "packing"}
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 * 1024 * 1024, "preset": 0}]
    data = lzma.compress(make_tar(("a.md", b"A")), filters=filters)
    with pytest.raises(MalformedDocumentError):
        read(data, "x.tar.xz")


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_the_number_of_members_is_bounded(ending: str) -> None:
    data = made(ending, {f"{number}.md": b"" for number in range(101)})
    with pytest.raises(ArchiveTooLargeError, match="max_archive_members"):
        read(data, f"x{ending}")


def test_a_directory_of_millions_is_refused_unread() -> None:
    data = make_zip({"a.md": b"A"})
    at = data.index(b"PK\x01\x02")
    entry = data[at : data.index(b"PK\x05\x06")]
    many = 200_000
    directory = entry * many
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), at, 0)
    tracemalloc.start()
    with pytest.raises(ArchiveTooLargeError):
        read(data[:at] + directory + end, "x.zip")
    assert tracemalloc.get_traced_memory()[1] < 3 * len(directory)
    tracemalloc.stop()


@pytest.mark.parametrize("ending", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_unpacked_bytes_are_counted_whatever_headers_say(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made(ending, {f"{number}.md": bytes(1_000_000) for number in range(5)})
    with pytest.raises(ArchiveTooLargeError, match="max_archive_bytes"):
        read(data, f"x{ending}", max_bytes=4_000_000)
    monkeypatch.setattr(base, "FREE_BYTES", 1_000_000)
    with pytest.raises(ArchiveTooLargeError, match="100 times"):
        read(data, f"x{ending}")


def test_an_unread_member_counts_as_well() -> None:
    data = gzip.compress(make_tar(("large.md", bytes(5_000_000)), ("a.md", b"A")))
    found = members(io.BytesIO(data), "x.tgz", max_members=9, max_bytes=4_000_000)
    with pytest.raises(ArchiveTooLargeError):
        list(found)


def test_a_header_of_megabytes_is_refused() -> None:
    info = tarfile.TarInfo("a.md")
    info.pax_headers = {"comment": "x" * 5_000_000}
    data = gzip.compress(make_tar((info, b"A"), format=tarfile.PAX_FORMAT))
    with pytest.raises(MalformedDocumentError):
        read(data, "x.tgz")


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for number in range(40):
            info = tarfile.TarInfo(f"{number}.md")
            info.size = 1_000_000
            archive.addfile(info, io.BytesIO(random.Random(number).randbytes(1_000) * 1_000))
    tracemalloc.start()
    count = 0
    with path.open("rb") as stream:
        for member in members(stream, path.name, max_members=100, max_bytes=100_000_000):
            assert member.content is not None
            while data := member.content.read(1_000_000):
                count += len(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 40_000_000
    assert peak < 8_000_000
