"""Files of pairs as people bring them: each is rightly understood, and what was taken is said.

A row is a file's name and content, the pairs that a person means by it, and what must be said.
"""

import codecs
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from transformer.__main__ import main
from transformer.config import DataConfig
from transformer.errors import TaskError
from transformer.tasks.own_pairs.file import parse_pairs, read_data, read_pairs
from transformer.tasks.own_pairs.layout import Choices
from transformer.tasks.own_pairs.survey import Survey, notes, survey
from transformer.tasks.own_pairs.task import OwnPairs

Pairs = list[tuple[str, str]]
WORDS = [
    "go",
    "come",
    "sit",
    "run",
    "eat",
    "read",
    "write",
    "sing",
    "wait",
    "look",
    "stop",
    "help",
    "walk",
    "play",
    "open",
    "close",
]
FIVE: Pairs = [(f"{word} now", f"jetzt {word}en") for word in WORDS]
MANY: Pairs = [(f"go {n} steps", f"geh {n} Schritte") for n in range(30)]


@dataclass(frozen=True)
class Case:
    """says: words of the notes; empty where nothing is to be said at all."""

    name: str
    content: bytes
    pairs: Pairs
    says: tuple[str, ...] = ()


def text(lines: list[str], encoding: str = "utf-8", end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode(encoding)


def rows(pairs: Pairs, mark: str = "\t", before: str = "", after: str = "") -> list[str]:
    """Lines of pairs; {n} in what stands before or after is the line's number."""
    return [
        before.format(n=n) + one + mark + other + after.format(n=n)
        for n, (one, other) in enumerate(pairs)
    ]


def headed(name: str, header: str, mark: str = "\t", pairs: Pairs = FIVE) -> Case:
    return Case(name, text([header, *rows(pairs, mark)]), pairs, ("names the columns",))


def encoded(encoding: str, pairs: Pairs, says: str) -> Case:
    return Case("a.tsv", text(rows(pairs), encoding), pairs, (says, "a guess"))


GIVEN: dict[str, Case] = {
    "header row": Case(
        "a.csv",
        b"english,german\ngo home,geh heim\ncome here,komm her\nsit down,setz dich\n",
        [("go home", "geh heim"), ("come here", "komm her"), ("sit down", "setz dich")],
        ("The first line, english | german, names the columns",),
    ),
    "pandas index": Case(
        "a.csv",
        text([",source,target", *rows(FIVE, ",", "{n},")]),
        FIVE,
        ("(no name) | source | target", "column 2 (source) is the source", "left out: column 1"),
    ),
    "ids before each text": Case(
        "a.tsv",
        text([f"{1276 + n}\tgo {n}\t{2481 + n}\tgeh {n}" for n in range(12)]),
        [(f"go {n}", f"geh {n}") for n in range(12)],
        ("4 columns", "column 2 is the source, column 4 the target", "column 1 (1276)"),
    ),
    "a third column in three lines": Case(
        "a.tsv",
        b"Go.\tGeh.\tCC-BY A\nHi.\tHallo!\tCC-BY B\nRun!\tLauf!\tCC-BY C\n",
        [("Go.", "Geh."), ("Hi.", "Hallo!"), ("Run!", "Lauf!")],
        ("3 columns", "left out: column 3 (CC-BY A)"),
    ),
    "Windows-1251": encoded(
        "cp1251",
        [("доброе утро", "good morning"), ("спасибо", "thank you")],
        "Windows-1251 (Cyrillic)",
    ),
    "Windows-1250": encoded(
        "cp1250",
        [("dzień dobry", "good morning"), ("dziękuję", "thank you"), ("żółw", "turtle")],
        "Windows-1250 (Central European)",
    ),
    "Shift JIS": encoded(
        "shift_jis",
        [("おはよう", "good morning"), ("ありがとう", "thank you")],
        "Shift JIS (Japanese)",
    ),
    "semicolons and decimal commas": Case(
        "a.csv",
        text(["1,5;eins Komma fünf", "2,25;zwei Komma zwei fünf", "3,75;drei Komma sieben fünf"]),
        [
            ("1,5", "eins Komma fünf"),
            ("2,25", "zwei Komma zwei fünf"),
            ("3,75", "drei Komma sieben fünf"),
        ],
        ("separated by semicolons",),
    ),
    "semicolons and a comma in each source": Case(
        "a.csv",
        b"Hallo, Welt;hello world\nJa, bitte;yes please\n",
        [("Hallo, Welt", "hello world"), ("Ja, bitte", "yes please")],
        ("separated by semicolons",),
    ),
    "a comma inside the source": Case(
        "a.csv",
        text([f"go {n}, now,geh {n}" for n in range(6)]),
        [(f"go {n}, now", f"geh {n}") for n in range(6)],
        ("a comma before a space",),
    ),
    "Excel's Unicode text": Case(
        "a.txt",
        codecs.BOM_UTF16_LE + '"a, b"\tc\r\n"say ""yes"""\t"sag ""ja"""\r\n'.encode("utf-16-le"),
        [("a, b", "c"), ('say "yes"', 'sag "ja"')],
        ("UTF-16", "Quotation marks around cells"),
    ),
    "NBSP and two spaces": Case(
        "a.tsv",
        "10\u00a0kg\tten kilograms\nOui\u00a0!\tyes!\nnew  york\tNY\n".encode(),
        [("10 kg", "ten kilograms"), ("Oui !", "yes!"), ("new york", "NY")],
    ),
    "NFD": Case(
        "a.tsv",
        "cafe\u0301\tcoffee\ndéja\u0300\talready\n".encode(),
        [("cafe\u0301", "coffee"), ("déja\u0300", "already")],
    ),
    "Cyrillic targets": Case(
        "a.tsv", "yes\tда\nno\tнет\n".encode(), [("yes", "да"), ("no", "нет")]
    ),
    "a double arrow": Case(
        "a.txt", b"good morning => guten Morgen\n", [("good morning", "guten Morgen")]
    ),
    "a single arrow": Case("a.txt", b"jump -> I_JUMP\n", [("jump", "I_JUMP")]),
    "Moses' three bars": Case(
        "a.txt",
        b"Hello ||| Hallo\nHow are you ? ||| Wie geht es ?\n",
        [("Hello", "Hallo"), ("How are you ?", "Wie geht es ?")],
        ("separated by |||",),
    ),
    "JSON Lines in a file named CSV": Case(
        "a.csv",
        b'{"en": "good morning", "de": "guten Morgen"}\n{"en": "thank you", "de": "danke"}\n',
        [("good morning", "guten Morgen"), ("thank you", "danke")],
        ("Read as JSON", "en is the source, de the target"),
    ),
    "UTF-16 with CR": Case(
        "a.txt",
        codecs.BOM_UTF16_LE + "one\teins\rtwo\tzwei\r".encode("utf-16-le"),
        [("one", "eins"), ("two", "zwei")],
        ("Read as UTF-16.",),
    ),
    "SentencePiece's marks": Case(
        "a.tsv", "▁a ▁b\tx\nc d\ty\n".encode(), [("▁a ▁b", "x"), ("c d", "y")], ("with ▁",)
    ),
}
"""The kinds of file that were seen to be misread."""

OTHERS: dict[str, Case] = {
    # header rows: names, languages, words found nowhere else, another type
    "source and target": headed("a.tsv", "source\ttarget"),
    "src and tgt": headed("a.csv", "src,tgt", ","),
    "capital letters": headed("a.tsv", "SOURCE\tTARGET"),
    "question and answer": headed("a.csv", "Question;Answer", ";"),
    "input and output": headed("a.tsv", "input\toutput"),
    "German names": headed("a.csv", "Quelle;Ziel", ";"),
    "German languages": headed("a.csv", "Englisch;Deutsch", ";"),
    "French languages": headed("a.tsv", "anglais\tallemand"),
    "Spanish languages": headed("a.tsv", "inglés\talemán"),
    "Polish languages": headed("a.tsv", "angielski\tniemiecki"),
    "Russian languages": headed("a.tsv", "английский\tнемецкий"),
    "Japanese languages": headed("a.tsv", "英語\tドイツ語"),
    "Chinese names": headed("a.tsv", "原文\t译文"),
    "Korean languages": headed("a.tsv", "영어\t독일어"),
    "two codes": headed("a.tsv", "en\tde"),
    "codes of three": headed("a.tsv", "eng\tdeu"),
    "quoted names": Case(
        "a.csv", text(['"english","german"', *rows(FIVE, ",")]), FIVE, ("names the columns",)
    ),
    "words found nowhere else": headed("a.tsv", "Satz\tBefehl", pairs=MANY),
    "a column of numbers": Case(
        "a.tsv",
        text(["expression\tvalue", *(f"{n}+{n}\t{2 * n}" for n in range(8))]),
        [(f"{n}+{n}", str(2 * n)) for n in range(8)],
        ("expression | value",),
    ),
    "target before source": Case(
        "a.tsv",
        text(["target\tsource", *(f"{two}\t{one}" for one, two in FIVE)]),
        FIVE,
        ("source is the source, target the target",),
    ),
    # no header, though it may look like one
    "no header": Case("a.tsv", text(rows(FIVE)), FIVE),
    "a list of languages": Case(
        "a.tsv",
        "english\tdeutsch\nfrench\tfrançais\ngerman\tspanish\n".encode(),
        [("english", "deutsch"), ("french", "français"), ("german", "spanish")],
    ),
    "a first line of a name and another word": Case(
        "a.tsv",
        b"no\tnein\nyes\tja\nperhaps\tvielleicht\nnever\tnie\n",
        [("no", "nein"), ("yes", "ja"), ("perhaps", "vielleicht"), ("never", "nie")],
    ),
    "numbers throughout": Case(
        "a.tsv", text([f"{n}\t{n * n}" for n in range(9)]), [(str(n), str(n * n)) for n in range(9)]
    ),
    "numbers and their names": Case(
        "a.tsv",
        b"1\tone\n2\ttwo\n3\tthree\n4\tfour\n",
        [("1", "one"), ("2", "two"), ("3", "three"), ("4", "four")],
    ),
    "letters": Case(
        "a.tsv", b"abc\tcba\nde\ted\nxyz\tzyx\n", [("abc", "cba"), ("de", "ed"), ("xyz", "zyx")]
    ),
    # columns
    "an index without a header": Case(
        "a.csv", text(rows(FIVE, ",", "{n},")), FIVE, ("column 2 is the source",)
    ),
    "an index that is named": Case(
        "a.csv", text(["id,text,label", *rows(FIVE, ",", "{n},")]), FIVE, ("column 2 (text)",)
    ),
    "language codes before each text": Case(
        "a.tsv",
        text([f"{n}\teng\t{one}\tdeu\t{two}" for n, (one, two) in enumerate(FIVE)]),
        FIVE,
        ("5 columns", "column 3 is the source, column 5 the target"),
    ),
    "ids at the end": Case(
        "a.tsv", text(rows(FIVE, "\t", "", "\t{n}\t9{n}")), FIVE, ("column 1 is the source",)
    ),
    "a URL in the middle": Case(
        "a.tsv",
        text([f"{one}\thttps://example.org/{n}\t{two}" for n, (one, two) in enumerate(FIVE)]),
        FIVE,
        ("column 1 is the source, column 3 the target",),
    ),
    "a licence after two lines": Case(
        "a.tsv",
        b"Go.\tGeh.\tCC-BY A\nHi.\tHallo!\tCC-BY B\n",
        [("Go.", "Geh."), ("Hi.", "Hallo!")],
        ("left out: column 3",),
    ),
    "a score before the texts": Case(
        "a.tsv",
        text(["score\tsource\ttarget", *(f"0.{9 - n}\t{a}\t{b}" for n, (a, b) in enumerate(FIVE))]),
        FIVE,
        ("column 2 (source) is the source",),
    ),
    "names out of order": Case(
        "a.csv",
        text(["target,id,source", *(f"{b},{n},{a}" for n, (a, b) in enumerate(FIVE))]),
        FIVE,
        ("column 3 (source) is the source, column 1 (target) the target",),
    ),
    "empty columns of a spreadsheet": Case("a.csv", text(rows(FIVE, ",", "", ",,")), FIVE),
    "one odd line among many": Case(
        "a.tsv",
        text([*rows(MANY, "\t", "", "\tCC-BY"), "odd\tone"]),
        [*MANY, ("odd", "one")],
        ("3 columns",),
    ),
    # delimiters
    "semicolons": Case("a.csv", text(rows(FIVE, ";")), FIVE, ("semicolons",)),
    "tabs in a file named CSV": Case("a.csv", text(rows(FIVE)), FIVE, ("tabs",)),
    "commas with a space": Case("a.csv", text(rows(FIVE, ", ")), FIVE),
    "commas in a file named text": Case("a.txt", text(rows(FIVE, ",")), FIVE),
    "semicolons in a file named text": Case("a.txt", text(rows(FIVE, ";")), FIVE, ("semicolons",)),
    "thousands with commas": Case(
        "a.csv",
        b"1,000,one thousand\n2,000,two thousand\n3,000,three thousand\n",
        [("1,000", "one thousand"), ("2,000", "two thousand"), ("3,000", "three thousand")],
        ("between two digits",),
    ),
    "commas in some sources": Case(
        "a.csv",
        b"go,geh\ngo now, please,geh bitte\ncome,komm\n",
        [("go", "geh"), ("go now, please", "geh bitte"), ("come", "komm")],
        ("a comma before a space",),
    ),
    "decimal commas on both sides": Case(
        "a.csv",
        b"1,5;3,0\n2,5;5,0\n",
        [("1,5", "3,0"), ("2,5", "5,0")],
        ("semicolons",),
    ),
    "arrows in a file named CSV": Case("a.csv", text(rows(FIVE, " -> ")), FIVE),
    "a real arrow": Case("a.txt", text(rows(FIVE, " → ")), FIVE),
    "a bar": Case("a.txt", text(rows(FIVE, " | ")), FIVE),
    "bars and an alignment": Case(
        "a.txt",
        text(rows(FIVE, " ||| ", "", " ||| 0-0 1-1")),
        FIVE,
        ("separated by |||", "3 columns"),
    ),
    # quotes
    "quotes of a corpus": Case(
        "a.tsv",
        '"Go," he said.\t"Geh", sagte er.\nShe said "no".\tSie sagte „nein“.\n'.encode(),
        [('"Go," he said.', '"Geh", sagte er.'), ('She said "no".', "Sie sagte „nein“.")],
    ),
    "a sentence in quotes": Case(
        "a.tsv", b'"Go."\t"Geh."\nRun.\tLauf.\n', [('"Go."', '"Geh."'), ("Run.", "Lauf.")]
    ),
    "an inch": Case("a.tsv", b'a 5" pipe\tein Rohr\n', [('a 5" pipe', "ein Rohr")]),
    "every cell quoted": Case(
        "a.tsv",
        text([f'"{one}"\t"{two}"' for one, two in FIVE]),
        FIVE,
        ("Quotation marks around cells",),
    ),
    "quoted commas": Case(
        "a.csv",
        b'"Hello, you","Hallo, du"\n"yes, please","ja, bitte"\n',
        [("Hello, you", "Hallo, du"), ("yes, please", "ja, bitte")],
    ),
    "quotes doubled with semicolons": Case(
        "a.csv",
        b'"say ""hi""";sag hallo\ngo;geh\n',
        [('say "hi"', "sag hallo"), ("go", "geh")],
        ("semicolons",),
    ),
    # other forms
    "SCAN": Case(
        "a.txt",
        b"IN: jump twice OUT: I_JUMP I_JUMP\nIN: walk OUT: I_WALK\n",
        [("jump twice", "I_JUMP I_JUMP"), ("walk", "I_WALK")],
        ("IN: source OUT: target",),
    ),
    "CMUdict": Case(
        "cmudict.dict",
        b";;; notes come first\nHELLO  HH AH0 L OW1\nWORLD  W ER1 L D\n",
        [("HELLO", "HH AH0 L OW1"), ("WORLD", "W ER1 L D")],
        ("two spaces",),
    ),
    "JSON Lines": Case(
        "a.jsonl",
        "".join(json.dumps({"input": a, "output": b}) + "\n" for a, b in FIVE).encode(),
        FIVE,
        ("Read as JSON",),
    ),
    "JSON Lines of translations": Case(
        "a.json",
        "".join(json.dumps({"translation": {"en": a, "de": b}}) + "\n" for a, b in FIVE).encode(),
        FIVE,
        ("en is the source",),
    ),
    "JSON Lines of lists": Case(
        "a.txt", "".join(json.dumps(pair) + "\n" for pair in FIVE).encode(), FIVE, ("JSON",)
    ),
    "JSON Lines with ids": Case(
        "a.jsonl",
        "".join(
            json.dumps({"id": n, "de": b, "source": a, "target": b}) + "\n"
            for n, (a, b) in enumerate(FIVE)
        ).encode(),
        FIVE,
        ("column 3 (source) is the source",),
    ),
    # encodings
    "UTF-8 with BOM": Case("a.tsv", codecs.BOM_UTF8 + text(rows(FIVE)), FIVE),
    "UTF-16 big-endian with CR and LF": Case(
        "a.txt",
        codecs.BOM_UTF16_BE + text(rows(FIVE), "utf-16-be", "\r\n"),
        FIVE,
        ("Read as UTF-16.",),
    ),
    "CR alone": Case("a.tsv", text(rows(FIVE), end="\r"), FIVE),
    "Latin-1": encoded("cp1252", [("größer", "bigger"), ("schön", "nice")], "Windows-1252"),
    "French": encoded(
        "cp1252", [("c'est déjà l'été", "it is summer"), ("à bientôt", "see you")], "Windows-1252"
    ),
    "Spanish": encoded("cp1252", [("¿cómo estás?", "how are you"), ("mañana", "tomorrow")], "1252"),
    "Ukrainian": encoded(
        "cp1251", [("добрий ранок", "good morning"), ("дякую", "thanks")], "Windows-1251"
    ),
    "KOI8-R": encoded("koi8_r", [("доброе утро", "good morning"), ("спасибо", "thanks")], "KOI8"),
    "Greek": encoded("cp1253", [("καλημέρα", "good morning"), ("ευχαριστώ", "thanks")], "Greek"),
    "Turkish": encoded(
        "cp1254", [("günaydın", "good morning"), ("teşekkürler", "thanks")], "Turkish"
    ),
    "Czech": encoded("cp1250", [("děkuji", "thanks"), ("čeština", "Czech")], "Windows-1250"),
    "Hungarian": encoded(
        "cp1250", [("köszönöm szépen", "thanks"), ("hűtő", "fridge")], "Windows-1250"
    ),
    "Hebrew": encoded("cp1255", [("בוקר טוב", "good morning"), ("תודה", "thanks")], "Hebrew"),
    "Arabic": encoded("cp1256", [("صباح الخير", "good morning"), ("شكرا", "thanks")], "Arabic"),
    "Chinese": encoded("gb18030", [("早上好", "good morning"), ("谢谢", "thanks")], "GB 18030"),
    "Chinese of Taiwan": encoded("big5", [("早安", "good morning"), ("謝謝", "thanks")], "Big5"),
    "Korean": encoded("euc_kr", [("안녕하세요", "hello"), ("감사합니다", "thanks")], "EUC-KR"),
    "EUC-JP": encoded("euc_jp", [("おはよう", "good morning"), ("東京", "Tokyo")], "EUC-JP"),
    "Windows-1251 with a header and ids": Case(
        "a.csv",
        text(
            [
                "id;русский;english",
                "1;доброе утро;good morning",
                "2;спасибо;thank you",
                "3;до свидания;goodbye",
                "4;пожалуйста;please",
            ],
            "cp1251",
        ),
        [
            ("доброе утро", "good morning"),
            ("спасибо", "thank you"),
            ("до свидания", "goodbye"),
            ("пожалуйста", "please"),
        ],
        ("Windows-1251", "id | русский | english", "column 2 (русский) is the source"),
    ),
}
CASES = GIVEN | OTHERS


def test_there_are_enough_variants() -> None:
    assert len(OTHERS) >= 60


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_read_as_a_person_means_it(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / case.name
    path.write_bytes(case.content)
    read = read_pairs(path)
    assert [tuple(pair) for pair in read.pairs] == case.pairs
    assert not read.refused
    found = survey(path, tmp_path / "data.tsv")
    said = " ".join(notes(found))
    for words in case.says:
        assert words in said
    if not case.says:
        assert said == ""
    # The same for both doors: the terminal's sentences are the page's, and what a run keeps is
    # read as it stands, whatever its first line looks like.
    assert " ".join(read.understood.sentences()) in said
    assert [tuple(pair) for pair in read_data(tmp_path / "data.tsv").pairs] == case.pairs
    plain = json.loads(json.dumps(asdict(found)))
    assert Survey.from_dict(plain).understood == found.understood


def test_the_commands_say_what_was_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES["Windows-1251 with a header and ids"]
    path = tmp_path / case.name
    path.write_bytes(case.content)
    assert main(["pairs", str(path)]) == 0
    said = capsys.readouterr().out
    for each in case.says:
        assert each in said
    words = ["train", "--task", "pairs", "--data", str(path), "--run-dir", str(tmp_path / "run")]
    assert main([*words, "--steps", "1", "--preset", "overfit"]) == 0
    said = capsys.readouterr().err
    for each in case.says:
        assert each in said
    assert (tmp_path / "run" / "data.tsv").read_text("utf-8") == "".join(
        f"{one}\t{two}\n" for one, two in case.pairs
    )


# --- what is understood can be changed ----------------------------------------------------------


def read(content: bytes, **choices: object) -> Pairs:
    found = parse_pairs(content, choices=Choices(**choices))  # type: ignore[arg-type]
    return [(pair.source, pair.target) for pair in found.pairs]


def test_a_header_that_is_none_comes_back() -> None:
    content = b"english\tgerman\ngo\tgeh\nrun\tlauf\n"
    assert read(content)[0] == ("go", "geh")
    assert read(content, header=False)[0] == ("english", "german")
    assert read(b"go\tgeh\nrun\tlauf\n", header=True) == [("run", "lauf")]


@pytest.mark.parametrize(
    ("choices", "first"),
    [
        ({"source": 2, "target": 0}, ("x 0", "0")),
        ({"source": "3", "target": "2"}, ("x 0", "a 0")),
        ({"target": 2}, ("a 0", "x 0")),
        ({"source": 2}, ("x 0", "a 0")),
    ],
)
def test_columns_are_chosen(choices: dict[str, object], first: tuple[str, str]) -> None:
    content = text([f"{n}\ta {n}\tx {n}" for n in range(5)])
    assert read(content, **choices)[0] == first


def test_columns_are_chosen_by_name_and_wrong_ones_are_named() -> None:
    content = text(["id,english,german,french", *(f"{n},a {n},b {n},c {n}" for n in range(5))])
    found = parse_pairs(content, comma=True, choices=Choices(source="french", target="english"))
    assert found.pairs[0] == ("c 0", "a 0")
    with pytest.raises(TaskError, match="no column klingon: the file has 4 columns, named id, e"):
        parse_pairs(content, comma=True, choices=Choices(source="klingon"))
    with pytest.raises(TaskError, match="no column 9"):
        parse_pairs(content, comma=True, choices=Choices(source="9"))
    with pytest.raises(TaskError, match="the same; choose two"):
        parse_pairs(content, comma=True, choices=Choices(source=1, target=1))


def test_a_guess_can_be_changed() -> None:
    content = "größer\tbigger\n".encode("cp1252")
    assert read(content, encoding="cp1251")[0][0] == "grцЯer"
    with pytest.raises(TaskError, match="is not one of utf-8"):
        read(content, encoding="ebcdic")
    with pytest.raises(TaskError, match="not UTF-8 text"):
        read(content, encoding="utf-8")


# --- two files ----------------------------------------------------------------------------------


def two(folder: Path, sources: bytes, targets: bytes) -> tuple[Path, Path]:
    paths = folder / "a.en", folder / "a.de"
    for path, content in zip(paths, (sources, targets), strict=True):
        path.write_bytes(content)
    return paths


def test_two_files_belong_together_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = two(tmp_path, b"go -> on\n\nrun, now\n", "geh\r\n\r\nlauf größer\r\n".encode())
    expected = [("go -> on", "geh"), ("run, now", "lauf größer")]
    assert [tuple(pair) for pair in read_pairs(*paths).pairs] == expected
    assert main(["pairs", *map(str, paths)]) == 0
    assert "Two files, line by line" in capsys.readouterr().out
    run = tmp_path / "run"
    words = ["train", "--task", "pairs", "--data", *map(str, paths), "--run-dir", str(run)]
    assert main([*words, "--steps", "1", "--preset", "overfit"]) == 0
    assert (run / "data.tsv").read_text("utf-8") == "go -> on\tgeh\nrun, now\tlauf größer\n"


def test_two_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="the file of the targets ends before the other"):
        read_pairs(*two(tmp_path, b"a\nb\nc\n", b"x\ny\n"))
    found = read_pairs(*two(tmp_path, b"a\n\nc\n", b"x\ny\nz\n"))
    assert found.refused == [(2, "the source is empty")]
    with pytest.raises(TaskError, match="could not be"):
        read_pairs(tmp_path / "a.en", tmp_path / "nowhere")


# --- the split ----------------------------------------------------------------------------------


def test_texts_that_look_equal_are_one_source_for_the_split() -> None:
    """Else a model would be asked what it has seen, written in other characters."""
    from transformer.tasks import Pair

    pairs = [
        Pair(form, f"x{n}") for n in range(40) for form in (f"caf\u00e9 {n}", f"cafe\u0301 {n}")
    ]
    task = OwnPairs(DataConfig(task="pairs", held_out=0.5, tokens="characters"), pairs)
    held = {pair.target for pair in task.held_out(100)}
    trained = {pair.target for pair in task.epoch(0, 0, 1)}
    assert held
    assert not held & trained


def test_what_a_run_keeps_is_read_as_it_stands(tmp_path: Path) -> None:
    """A first pair that looks like a header was a pair when the run was made."""
    path = tmp_path / "data.tsv"
    path.write_bytes(b'english\tgerman\n"a, b"\tc\ngo\tgeh\n')
    assert [tuple(pair) for pair in read_data(path).pairs] == [
        *(("english", "german"), ('"a, b"', "c"), ("go", "geh"))
    ]


def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    content = io.BytesIO()
    for n in range(50_000):
        content.write(f"{n};Строка {n};line {n}\n".encode("cp1251"))
    path = tmp_path / "large.csv"
    path.write_bytes("id;русский;english\n".encode("cp1251") + content.getvalue())
    found = survey(path, tmp_path / "data.tsv")
    assert (found.pairs, found.encoding, found.source, found.target) == (50_000, "cp1251", 1, 2)
