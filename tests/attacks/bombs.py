"""Small files that would take gigabytes or minutes if their headers were trusted."""

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch

from tests.attacks.gadgets import as_legacy, as_zip
from tests.support.checkpoint_files import joined

GIGABYTE = 1 << 30


def _saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def zeros(length: int) -> bytes:
    """A zip of a MarianMT model whose weights are ``length`` zero bytes, written in pieces."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("config.json", "{}")
        with archive.open("model.safetensors", "w", force_zip64=True) as member:
            for _ in range(length >> 22):
                member.write(bytes(1 << 22))
    return buffer.getvalue()


def deflated() -> bytes:
    """A compressed state dict; torch.save itself stores tensors uncompressed."""
    buffer = io.BytesIO(_saved({"weight": torch.zeros(16_000_000)}))
    with zipfile.ZipFile(buffer) as sound:
        return _packed({name: sound.read(name) for name in sound.namelist()})


def stride_of_zero() -> bytes:
    return _saved({"weight": torch.zeros(1).expand(10**6, 10**6)})


def bytearray_of_3_gib() -> bytes:
    return as_zip(b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\xc0\x00\x85R.")


def bytearray_of_3_gib_legacy() -> bytes:
    return as_legacy(b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\xc0\x00\x85R.")


def sparse() -> bytes:
    value = torch.sparse_coo_tensor(torch.zeros(2, 1, dtype=torch.long), [1.0], (10**6, 10**6))
    return _saved({"weight": value})


def meta() -> bytes:
    return _saved({"weight": torch.empty(10**6, 10**6, device="meta")})


def a_million_keys() -> bytes:
    return as_legacy(pickle.dumps(dict.fromkeys(map(str, range(1_000_000)), 0), protocol=2))


def a_million_keys_zip() -> bytes:
    return as_zip(pickle.dumps(dict.fromkeys(map(str, range(1_000_000)), 0), protocol=2))


def deep() -> bytes:
    """A million lists, each nested in the next."""
    return as_legacy(b"\x80\x02" + b"]" * 1_000_000 + b"a" * 999_999 + b".")


def wide() -> bytes:
    """Six nested mappings, each a hundred times in the next: 10^12 paths in a kilobyte."""
    inner: dict[str, Any] = {"weight": 1}
    for _ in range(6):
        inner = {str(number): inner for number in range(100)}
    return as_zip(pickle.dumps(inner, protocol=2))


def storage_of_3_gib() -> bytes:
    """A tensor that claims 3 GiB, in a file without any of its data."""
    persistent = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        b"J\x00\x00\x00\x30Nt"
    )
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + persistent
        + b"QK\x00J\x00\x00\x00\x30\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
    )
    return as_legacy(b"\x80\x02}X\x06\x00\x00\x00weight" + tensor + b"s.")


def one_tensor_as_thousands() -> bytes:
    tensor = torch.zeros(100_000)
    return _saved(OrderedDict((f"layer.{number}", tensor) for number in range(4000)))


def overlapping() -> bytes:
    """A zip of a thousand directory entries at the same place (as in a 10 MB zip of 281 TB)."""
    content = _packed({f"{number:04}": bytes(900_000) for number in range(2)})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start = archive.start_dir
        first = archive.infolist()[0]
    length = 46 + len(first.filename)
    record = content[start : start + length]
    records = b"".join(
        record[:46] + f"{number:04}".encode() + record[50:] for number in range(1000)
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1000, 1000, len(records), start, 0)
    return content[:start] + records + end


def many_members() -> bytes:
    return _packed({f"{number:x}": b"" for number in range(60_000)})


def larger_than_it_says() -> bytes:
    """A zip member that claims ten bytes and has 200 MB."""
    content = bytearray(_packed({"config.json": b" " * 200_000_000}))
    content[22:26] = struct.pack("<L", 10)
    start = content.rindex(b"PK\1\2")
    content[start + 24 : start + 28] = struct.pack("<L", 10)
    return bytes(content)


def header_of_lists() -> bytes:
    """4 MB of JSON that would take 100 MB as Python lists."""
    return joined('{"a": [' + ",".join(["[]"] * 1_300_000) + "]}", b"")


def empty_tensors() -> bytes:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return joined(json.dumps({f"{number:x}": entry for number in range(55_000)}), b"")


BOMBS: dict[str, Callable[[], bytes]] = {
    "a zip of 4 GiB of zeros": lambda: zeros(4 * GIGABYTE),
    "packed tensors": deflated,
    "a stride of zero": stride_of_zero,
    "a bytearray of 3 GiB": bytearray_of_3_gib,
    "a bytearray of 3 GiB, legacy": bytearray_of_3_gib_legacy,
    "a sparse tensor of 10^12": sparse,
    "a tensor without numbers": meta,
    "a million keys": a_million_keys,
    "a million keys in a zip": a_million_keys_zip,
    "a million lists, one in the other": deep,
    "10^12 paths": wide,
    "a storage of 3 GiB": storage_of_3_gib,
    "one tensor under thousands of names": one_tensor_as_thousands,
    "members on top of each other": overlapping,
    "60,000 members": many_members,
    "a member larger than it says": larger_than_it_says,
    "a header of a million lists": header_of_lists,
    "55,000 empty tensors": empty_tensors,
}
