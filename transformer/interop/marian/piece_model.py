"""Reads and writes SentencePiece's model files (.spm): protobuf, of which a few fields matter.

Only those fields are read. Every length is checked against the bytes that remain, and nothing is
nested deeper than the format needs.
"""

import struct
from collections.abc import Iterator

from transformer.errors import CheckpointError, VocabularyError
from transformer.vocabulary.pieces import PieceModel

MAX_BYTES = 20_000_000
MAX_PIECES = 1 << 18
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
ALGORITHMS = {1: "unigram", 2: "bpe"}


Field = tuple[int, int | bytes]
"""A field of a protobuf message: its field number, and an integer or bytes."""


def read_piece_model(content: bytes, name: str) -> PieceModel:
    """Read a .spm file.

    Args:
        name: of the file, for messages.

    Raises:
        CheckpointError: the file is malformed, or needs what is not supported.
    """
    if len(content) > MAX_BYTES:
        raise CheckpointError(
            f"{name} has {len(content):,} bytes; a SentencePiece model may have {MAX_BYTES:,}."
        )
    pieces: dict[str, float] = {}
    algorithm, normaliser = 1, b""
    for number, value in _fields(content, name):
        if number == 1:
            piece, score, kind = _piece(_bytes(value, name), name)
            if kind in (USER_DEFINED, BYTE):
                what = "pieces of the user's" if kind == USER_DEFINED else "bytes as pieces"
                raise CheckpointError(f"{name} has {what}, which this program cannot cut by.")
            if kind != NORMAL:
                continue
            if piece in pieces or len(pieces) == MAX_PIECES:
                raise CheckpointError(f"{name} has a piece twice, or more than {MAX_PIECES:,}.")
            pieces[piece] = score
        elif number == 2:
            algorithm = _numbers(_bytes(value, name), name).get(3, 1)
            if _numbers(_bytes(value, name), name).get(24):
                raise CheckpointError(
                    f"{name} marks spaces at the end of words, which is not supported."
                )
        elif number == 3:
            normaliser = _bytes(value, name)
    if algorithm not in ALGORITHMS:
        raise CheckpointError(f"{name} cuts by characters or words; unigram and bpe are supported.")
    switches = _numbers(normaliser, name)
    if not switches.get(5, 1):
        raise CheckpointError(f"{name} keeps spaces as they are, which is not supported.")
    character_map = b""
    for number, value in _fields(normaliser, name):
        if number == 2:
            character_map = _bytes(value, name)
    try:
        model = PieceModel(
            ALGORITHMS[algorithm],
            pieces,
            character_map,
            bool(switches.get(3, 1)),
            bool(switches.get(4, 1)),
        )
        model.check()
    except VocabularyError as error:
        raise CheckpointError(f"{name} cannot be used. {error}") from None
    return model


def _piece(content: bytes, name: str) -> tuple[str, float, int]:
    """The text, score and kind of a piece."""
    text, score, kind = b"", 0.0, NORMAL
    for number, value in _fields(content, name):
        if number == 1:
            text = _bytes(value, name)
        elif number == 2 and isinstance(value, bytes) and len(value) == 4:
            score = _short(value)
        elif number == 3 and isinstance(value, int):
            kind = value
    try:
        return text.decode(), score, kind
    except UnicodeDecodeError:
        raise CheckpointError(f"A piece in {name} is not UTF-8.") from None


def _short(content: bytes) -> float:
    """A 32-bit float with the fewest decimal digits that restore it, to be short as text."""
    exact: float = struct.unpack("<f", content)[0]
    for digits in range(6, 10):
        short = float(f"{exact:.{digits}g}")
        if short == exact or struct.pack("<f", short) == content:
            return short
    return exact


def _numbers(content: bytes, name: str) -> dict[int, int]:
    """A message's integers and booleans by field number; the last value of a field counts."""
    return {number: value for number, value in _fields(content, name) if isinstance(value, int)}


def _bytes(value: int | bytes, name: str) -> bytes:
    if not isinstance(value, bytes):
        raise CheckpointError(
            f"{name} is not a SentencePiece model; its fields are of other types."
        )
    return value


def _fields(content: bytes, name: str) -> Iterator[Field]:
    """Yield the fields of a protobuf message in order."""
    damaged = CheckpointError(f"{name} is not a SentencePiece model, or it is damaged.")
    place = 0

    def varint() -> int:
        nonlocal place
        number = 0
        for shift in range(0, 70, 7):
            if place >= len(content):
                raise damaged
            byte = content[place]
            place += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
        raise damaged

    while place < len(content):
        key = varint()
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            yield number, varint()
            continue
        if wire == BYTES:
            length = varint()
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise damaged
        if length > len(content) - place:
            raise damaged
        yield number, content[place : place + length]
        place += length


# --- writing ------------------------------------------------------------------------------


def write_piece_model(model: PieceModel) -> bytes:
    """A .spm file that tokenises like ``model``, with <unk>, <s> and </s> before its pieces."""
    first = (("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL))
    normal = ((piece, score, NORMAL) for piece, score in model.pieces.items())
    pieces = [
        _written(
            1, _written(1, piece.encode()) + b"\x15" + struct.pack("<f", score) + _whole(3, kind)
        )
        for piece, score, kind in (*first, *normal)
    ]
    kinds = {algorithm: number for number, algorithm in ALGORITHMS.items()}
    trainer = _whole(3, kinds[model.algorithm]) + _whole(4, len(pieces))
    normaliser = _written(1, b"user_defined") + _written(2, model.character_map)
    normaliser += _whole(3, model.dummy_prefix) + _whole(4, model.squeeze) + _whole(5, 1)
    return b"".join(pieces) + _written(2, trainer) + _written(3, normaliser)


def _whole(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _written(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
