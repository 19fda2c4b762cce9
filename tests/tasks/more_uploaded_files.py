"""More example files of pairs as users upload them: other languages, programs and formats."""

import codecs
import json

from tests.tasks.uploaded_files import FIVE, Case, Pairs, encoded, headed, rows, text

NUMBERED = list(enumerate(FIVE, 1))
HEBREW: Pairs = [("בוקר טוב", "good morning"), ("תודה", "thanks"), ("כן", "yes")]
CHINESE: Pairs = [("早上好", "good morning"), ("谢谢", "thank you"), ("再见", "goodbye")]
ARABIC: Pairs = [("صباح الخير", "good morning"), ("\u200fشكرا\u200f", "thanks"), ("نعم", "yes")]
EMOJI: Pairs = [("😀", "grinning"), ("👩\u200d🚀 flies", "astronaut"), ("🇩🇪", "Germany")]


def labelled(form: str, *, last: bool = False, mark: str = ",", header: str = "") -> Case:
    """A case with a column of labels beside the pairs; {n} in ``form`` is the line's number."""
    lines = [
        mark.join([a, b, form.format(n=n)] if last else [form.format(n=n), a, b])
        for n, (a, b) in NUMBERED
    ]
    return Case("a.csv", text([header, *lines] if header else lines), FIVE, ("3 columns",))


ELSEWHERE: dict[str, Case] = {
    # what programs write around the pairs
    "Excel's sep=": Case(
        "a.csv", text(["sep=;", *rows(FIVE, ";")], end="\r\n"), FIVE, ("semicolons",)
    ),
    "Excel's sep= before a header": Case(
        "a.csv",
        codecs.BOM_UTF8 + text(["sep=;", "Englisch;Deutsch", *rows(FIVE, ";")], end="\r\n"),
        FIVE,
        ("Englisch | Deutsch, names the columns",),
    ),
    "Anki with tags": Case(
        "a.txt",
        text(["#separator:tab", "#html:true", *rows(FIVE, "\t", "", "\ttag")]),
        FIVE,
        ("left out: column 3 (tag)",),
    ),
    "notes before the pairs": Case("a.tsv", text(["# my list", "# of words", *rows(FIVE)]), FIVE),
    "a table in Markdown": Case(
        "a.txt",
        text(["| English | German |", "|:---|---:|", *rows(FIVE, " | ", "| ", " |")]),
        FIVE,
        ("English | German, names the columns",),
    ),
    "JSON in one list": Case(
        "a.json",
        json.dumps([{"en": a, "de": b} for a, b in FIVE]).encode(),
        FIVE,
        ("Read as JSON", "en is the source"),
    ),
    "JSON in one list, indented": Case(
        "a.json",
        json.dumps([{"de": b, "source": a, "target": b} for a, b in FIVE], indent=2).encode(),
        FIVE,
        ("Read as JSON",),
    ),
    "JSON as a list of lists": Case("a.txt", json.dumps(FIVE).encode(), FIVE, ("Read as JSON",)),
    "files that were joined": Case(
        "a.tsv", b"".join(codecs.BOM_UTF8 + text([row]) for row in rows(FIVE)), FIVE
    ),
    "an index and a cell of two lines": Case(
        "a.csv",
        text([",source,target", '0,"go\nnow",geh', *rows(FIVE, ",", "{n},")]),
        [("go now", "geh"), *FIVE],
        ("column 2 (source) is the source",),
    ),
    # header rows
    "Finnish languages": headed("a.csv", "englanti;suomi", ";"),
    "Hindi languages": headed("a.csv", "अंग्रेज़ी,हिन्दी", ","),
    "Arabic languages": headed("a.csv", "الإنجليزية,الألمانية", ","),
    "Hebrew languages": headed("a.csv", "אנגלית,גרמנית", ","),
    "Greek languages": headed("a.csv", "αγγλικά;γερμανικά", ";"),
    "Turkish capitals": headed("a.csv", "İNGİLİZCE;ALMANCA", ";"),
    "Ukrainian languages": headed("a.csv", "Англійська;Німецька", ";"),
    "languages with countries": headed("a.csv", "English (US),German (DE)", ","),
    "names of several words": headed("a.csv", "source_sentence,target_sentence", ","),
    "a term and its definition": headed("a.csv", "term,definition", ","),
    "spaces around what is quoted": headed("a.csv", '"English " ; "German "', ";"),
    # columns
    "a date before each": labelled("2024-01-{n:02}"),
    "a date, named": labelled("2024-01-{n:02}", header="date,en,de"),
    "a time before each": labelled("00:{n:02}:07", mark="\t"),
    "an id of hexadecimals": labelled("{n:02x}f3a9c1e-77b0"),
    "an id with letters": labelled("LJ001-{n:04}", mark="|"),
    "names of recordings": labelled("clip_{n}.mp3", mark="\t"),
    "a score with a decimal comma": labelled("0,9{n}", last=True, mark=";"),
    "an empty column between": Case("a.csv", text(rows(FIVE, ",,")), FIVE, ("3 columns",)),
    # delimiters, and marks inside texts
    "a full-width bar": Case("a.txt", text(rows(CHINESE, "｜")), CHINESE),
    "full-width commas": Case("a.csv", text(rows(CHINESE, "，")), CHINESE, ("full-width commas",)),
    "full-width semicolons": Case("a.txt", text(rows(CHINESE, "；")), CHINESE, ("full-width",)),
    "full-width commas inside texts": Case(
        "a.csv",
        "你好，世界;hello, world\n是，谢谢;yes, thanks\n不，谢谢;no, thanks\n".encode(),
        [("你好，世界", "hello, world"), ("是，谢谢", "yes, thanks"), ("不，谢谢", "no, thanks")],
        ("semicolons",),
    ),
    "three marks of which one separates": Case(
        "a.csv",
        b"a;b, c\tx\nd, e;f\ty\ng;h\tz, w\n",
        [("a;b, c", "x"), ("d, e;f", "y"), ("g;h", "z, w")],
        ("tabs",),
    ),
    "thousands with points": Case(
        "a.csv",
        "1.000;eintausend\n2.500;zweitausendfünfhundert\n3.750;und so fort\n".encode(),
        [
            ("1.000", "eintausend"),
            ("2.500", "zweitausendfünfhundert"),
            ("3.750", "und so fort"),
        ],
        ("semicolons",),
    ),
    "an ideographic space": Case(
        "a.tsv", "東京\u3000駅\tTokyo station\n".encode(), [("東京 駅", "Tokyo station")]
    ),
    "a line separator inside": Case("a.tsv", "a\u2028b\tx\n".encode(), [("a b", "x")]),
    "quotation marks of a book": Case(
        "a.csv", "“go now”,“geh”\n“yes”,“ja”\n".encode(), [("“go now”", "“geh”"), ("“yes”", "“ja”")]
    ),
    # scripts
    "Arabic with marks of direction": Case("a.tsv", text(rows(ARABIC)), ARABIC),
    "Hebrew from a spreadsheet": Case(
        "a.csv",
        codecs.BOM_UTF8 + text([f'"{a}","{b}"' for a, b in HEBREW], end="\r\n"),
        HEBREW,
    ),
    "emoji of several signs": Case("a.csv", text(rows(EMOJI, ",")), EMOJI),
    # encodings
    "UTF-16 that does not say so": Case(
        "a.txt", text(rows(FIVE), "utf-16-le"), FIVE, ("Read as UTF-16: a guess",)
    ),
    "UTF-16 big-endian that does not say so": Case(
        "a.txt", text(rows(CHINESE), "utf-16-be", "\r\n"), CHINESE, ("Read as UTF-16: a guess",)
    ),
    "ISO 8859-2": encoded(
        "iso8859-2", [("dziękuję", "thanks"), ("gęś", "goose"), ("źdźbło", "blade")], "ISO 8859-2"
    ),
    "ISO 8859-5": encoded(
        "iso8859-5", [("доброе утро", "good morning"), ("спасибо", "thanks")], "ISO 8859-5"
    ),
    "capitals in Windows-1251": Case(
        "a.csv",
        text(["АНГЛИЙСКИЙ;РУССКИЙ", "good;добро", "thanks;спасибо"], "cp1251", "\r\n"),
        [("good", "добро"), ("thanks", "спасибо")],
        ("Windows-1251", "АНГЛИЙСКИЙ | РУССКИЙ"),
    ),
}
