"""Guessing the encoding of a text that is not UTF-8, from how often letters occur.

Files of pairs are short and often half English, which is too little for guessers made for long
texts (`charset-normalizer`, which Streamlit installs). So only the words that are not ASCII are
judged here, for each encoding by the letters of its own languages.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

LATIN: Mapping[str, str] = {
    "cp1252": "éàèêçôâîùûëïœæÿ äüößé áéíóñúü¿¡ ãõáçéêíóâôàú àèìòùé äöåéÄÖÅ åøæéÅØÆ ëéïöóè "
    "áéíóúýþæöð",
    "cp1250": "áíéěšřčžýůúťďňó ąęłóśżćńź áéöőóüíúű ăîâşţșț čšžćđ áíéčžšýúľťôňďäŕĺ",
    "iso8859_2": "áíéěšřčžýůúťďňó ąęłóśżćńź áéöőóüíúű ăîâşţ čšžćđ áíéčžšýúľťôňďäŕĺ",
    "cp1254": "ıüşğçöİâîûŞÇÖÜ",
    "cp1257": "āīšēņūļžķģč ėąįšųžęūč äõüöšž",
}
"""The non-ASCII letters of each encoding's languages, one word per language, commonest first."""
OTHER: Mapping[str, str] = {
    "cp1251": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъёіїєґјљњђћџ",
    "koi8_r": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "cp866": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "iso8859_5": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "cp1253": "αοιετσνηυρπκμλςωγδίόάήέύθχφβξώζψϊϋΐΰ",
    "cp1255": "יוהלאתמרשבנםעדחקפכגטסזןצךףץ",
    "cp1256": "اليموننرتبةهدعسفكحقشجصخطأىئذغزضظإثءآؤپچگژ",
    "cp874": "านรอกเงมยลวดทส่้ตัะปบคห็ิีแพจขใไชถซธณผโฟศภญ",
}
WIDE = ("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr")
NAMES = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp1252": "Windows-1252 (Latin-1)",
    "cp1250": "Windows-1250 (Central European)",
    "iso8859_2": "ISO 8859-2 (Central European)",
    "cp1254": "Windows-1254 (Turkish)",
    "cp1257": "Windows-1257 (Baltic)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "koi8_r": "KOI8-R (Cyrillic)",
    "cp866": "DOS 866 (Cyrillic)",
    "iso8859_5": "ISO 8859-5 (Cyrillic)",
    "cp1253": "Windows-1253 (Greek)",
    "cp1255": "Windows-1255 (Hebrew)",
    "cp1256": "Windows-1256 (Arabic)",
    "cp874": "Windows-874 (Thai)",
    "shift_jis": "Shift JIS (Japanese)",
    "euc_jp": "EUC-JP (Japanese)",
    "gb18030": "GB 18030 (Chinese)",
    "big5": "Big5 (Chinese)",
    "euc_kr": "EUC-KR (Korean)",
}
"""Encodings that can be read: Python's name -> the name shown to the user."""
CANDIDATES = (*LATIN, *OTHER, *WIDE)
STRANGE = math.log(0.0005)
"""Log-probability of a character that no language of the encoding has."""
WIDE_SHARE = {"shift_jis": 0.1, "euc_jp": 0.1, "gb18030": 0.15, "big5": 0.15, "euc_kr": 0.25}
"""Probability of a common character in each encoding, counted for each of its bytes."""
PRIOR = {"cp1252": 0.3}
"""Advantage, in nats per byte, of the encoding of most files that are not UTF-8."""
LEAST_BYTES = 3
"""Fewest non-ASCII bytes that are evidence of another script than Latin."""
WORST = math.log(0.006)
"""Lowest mean log-probability per byte of an encoding that is still considered possible."""
MOST_WORDS = 5_000
WORD = re.compile(rb"[^\s,;|]+")


def foreign_words(content: bytes) -> Iterable[bytes]:
    """The words of a text that are not all ASCII."""
    return (word for word in WORD.findall(content) if not word.isascii())


def ranked(words: Iterable[bytes]) -> list[str]:
    """The possible encodings, the most likely first; empty if none is.

    Args:
        words: those that are not all ASCII.
    """
    some = list(dict.fromkeys(words))[:MOST_WORDS]
    found = []
    for order, encoding in enumerate(CANDIDATES):
        try:
            texts = [word.decode(encoding) for word in some]
        except UnicodeDecodeError:
            continue
        total = sum(len(word) - sum(byte < 128 for byte in word) for word in some) or 1
        if total < LEAST_BYTES and encoding not in LATIN:
            continue
        mean = _likelihood(encoding, texts) / total + PRIOR.get(encoding, 0)
        if mean > WORST:
            found.append((-mean, order, encoding))
    return [encoding for _, _, encoding in sorted(found)]


def _likelihood(encoding: str, texts: Sequence[str]) -> float:
    """Log-likelihood of the non-ASCII characters, each counted once for each of its bytes."""
    if encoding in LATIN:
        languages = LATIN[encoding].split(" ")
        return max(sum(_latin(letters, text) for text in texts) for letters in languages)
    if encoding in OTHER:
        return sum(_other(OTHER[encoding], text) for text in texts)
    return sum(_wide(encoding, text) for text in texts)


def _latin(letters: str, text: str) -> float:
    """Log-likelihood in a Latin script: accents are between plain letters, so three are strange."""
    known, total, run = _ranks(letters), 0.0, 0
    for mark in text:
        if mark <= "\x7f":
            run = 0
            continue
        run += 1
        strange = run > 2 or (mark.isupper() and run > 1)
        total += STRANGE if strange else known.get(mark, known.get(mark.lower(), STRANGE))
    return total


def _other(letters: str, text: str) -> float:
    """Log-likelihood in another script. Strange are a Latin letter beside one of the script, a
    capital after a small letter, and a final form inside a word."""
    known, total, before = _ranks(letters), 0.0, " "
    for place, mark in enumerate(text):
        if mark > "\x7f":
            beside = before + text[place + 1 : place + 2]
            mixed = any(one <= "\x7f" and one.isalpha() for one in beside)
            turned = mark.isupper() and before.islower()
            final = mark in "ךםןףץς" and text[place + 1 : place + 2] > "\x7f"
            strange = mixed or turned or final
            total += STRANGE if strange else known.get(mark, known.get(mark.lower(), STRANGE))
        before = mark
    return total


@cache
def _ranks(letters: str) -> dict[str, float]:
    """The log-probability of each letter, by its rank."""
    shares = {letter: 1.0 / (rank + 3) for rank, letter in reversed(list(enumerate(letters)))}
    total = sum(shares.values())
    return {letter: math.log(share / total) for letter, share in shares.items()}


def _wide(encoding: str, text: str) -> float:
    """Log-likelihood of characters of two bytes; a Latin letter beside them is strange."""
    total, before = 0.0, " "
    for place, mark in enumerate(text):
        if mark > "\x7f":
            beside = before + text[place + 1 : place + 2]
            mixed = any(one <= "\x7f" and one.isalpha() for one in beside)
            total += 2 * (STRANGE if mixed else _of_two(encoding, mark))
        before = mark
    return total


def _of_two(encoding: str, mark: str) -> float:
    """Log-probability per byte of a character of two bytes: common ones come first in the tables
    of these encodings."""
    code = mark.encode(encoding)
    lead = code[0] if len(code) == 2 else 0
    if "ぁ" <= mark <= "ヿ" and encoding in ("shift_jis", "euc_jp"):
        return math.log(0.25)
    common = {
        "shift_jis": 0x88 <= lead <= 0x97,
        "euc_jp": 0xB0 <= lead <= 0xCF,
        "gb18030": 0xB0 <= lead <= 0xD7,
        "big5": 0xA4 <= lead <= 0xC6,
        "euc_kr": "가" <= mark <= "힣",
    }[encoding]
    if common:
        return math.log(WIDE_SHARE[encoding])
    return math.log(0.02) if lead and mark in "、。，！？「」・ー（）" else STRANGE
