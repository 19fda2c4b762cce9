"""Example files of pairs as users upload them: content, intended pairs, expected notes."""

import codecs
import json
from dataclasses import dataclass

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
    """A file and its pairs. ``says``: words of the expected notes; empty if there are none."""

    name: str
    content: bytes
    pairs: Pairs
    says: tuple[str, ...] = ()


def text(lines: list[str], encoding: str = "utf-8", end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode(encoding)


def rows(pairs: Pairs, mark: str = "\t", before: str = "", after: str = "") -> list[str]:
    """Lines of pairs; {n} in ``before`` and ``after`` is the line's number."""
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
"""Kinds of file that were misread before."""

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
    # no header, though the first line may look like one
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
