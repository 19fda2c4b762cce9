"""Usual names of columns in a table of pairs: roles, and languages in many languages."""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SOURCES = _words(
    """
    source src input inputs in question questions prompt from text text1 sentence sentence1
    original x word query problem term instruction user human lemma original_text src_text
    source_text quelle ausgangstext eingabe frage entrada pregunta entrée origen fuente texte
    texto testo origine 原文 输入 입력 ввод исходный источник вопрос źródło wejście
    """
)
TARGETS = _words(
    """
    target tgt trg output outputs out answer answers label response to translation text2 sentence2
    reference ref y definition meaning gloss assistant result completion solution translated
    target_text tgt_text ziel zieltext ausgabe antwort übersetzung salida respuesta réponse sortie
    cible traduction traducción traduzione destino objetivo pronunciation phonemes 译文 输出 번역
    출력 вывод перевод ответ цель tłumaczenie wyjście
    """
)
OTHERS = _words(
    """
    id ids index idx no nr number line row key split licence license attribution url link score
    comment notes path file filename tags source_id target_id sentence_id lang language domain
    date
    """
)
LANGUAGES = _words(
    """
    en de fr es it pt nl sv da no nb nn fi is pl cs sk sl hr sr bs bg ru uk be lt lv et hu ro el
    tr ar he fa ur hi bn ta te ja zh ko vi th id ms sw la eo ga cy eu ca gl sq mk ka hy az kk eng
    deu ger fra fre spa ita por nld dut swe dan nor fin isl pol ces cze slk slo slv hrv srp bul
    rus ukr bel lit lav est hun ron rum ell gre tur ara heb fas per urd hin ben tam tel jpn zho
    chi cmn kor vie tha ind msa swa lat epo en-us en-gb pt-br zh-cn zh-tw english german french
    spanish italian portuguese dutch swedish danish norwegian finnish icelandic polish czech
    slovak slovenian croatian serbian bulgarian russian ukrainian belarusian lithuanian latvian
    estonian hungarian romanian greek turkish arabic hebrew persian urdu hindi bengali tamil
    telugu japanese chinese mandarin korean vietnamese thai indonesian malay swahili latin
    esperanto irish welsh basque catalan galician albanian macedonian georgian armenian deutsch
    français español castellano italiano português nederlands svenska dansk norsk suomi íslenska
    polski čeština česky slovenčina slovenščina hrvatski srpski српски български русский
    українська беларуская lietuvių latviešu eesti magyar română ελληνικά türkçe العربية עברית
    فارسی اردو हिन्दी বাংলা தமிழ் తెలుగు 日本語 中文 汉语 漢語 한국어 ไทย kiswahili latina gaeilge
    cymraeg euskara català galego shqip македонски ქართული հայերեն englisch französisch spanisch
    italienisch portugiesisch niederländisch schwedisch dänisch russisch polnisch tschechisch
    türkisch griechisch japanisch chinesisch koreanisch arabisch latein anglais allemand espagnol
    italien portugais néerlandais russe polonais chinois japonais inglés alemán francés ruso chino
    japonés inglese tedesco francese spagnolo russo inglês alemão francês espanhol angielski
    niemiecki francuski hiszpański rosyjski английский немецкий французский испанский русско
    англійська німецька 英語 英语 英文 德语 ドイツ語 フランス語 法语 독일어 영어 프랑스어
    ingilizce almanca fransızca engelska tyska franska engelsk tysk fransk angličtina němčina
    englanti saksa ranska espanja venäjä ruotsi viro italia japani kiina अंग्रेज़ी अंग्रेजी जर्मन
    फ़्रेंच स्पेनिश रूसी मराठी ગુજરાતી ਪੰਜਾਬੀ ಕನ್ನಡ മലയാളം ইংরেজি الإنجليزية الانجليزية الألمانية
    الفرنسية الإسبانية الروسية عربي إنجليزي انگلیسی آلمانی فرانسوی عربی אנגלית גרמנית צרפתית
    ספרדית רוסית ערבית αγγλικά γερμανικά γαλλικά ισπανικά ρωσικά ιταλικά rusça ispanyolca
    italyanca arapça japonca çince немецкая німецькою французька іспанська російська польська
    английски немски френски руски испански енглески немачки engleski njemački nemački ruski
    engels duits frans spaans angol német francia orosz spanyol engleză germană franceză rusă
    spaniolă angleščina nemščina anglický nemčina nemecký angličtiny spagnola russa alemanha anglų
    vokiečių angļu vācu inglise inggris jerman belanda arab jepang jepun 日语 日文 日語 法文 德文
    西班牙语 俄语 俄文 韩语 韓国語 中国語 スペイン語 ロシア語 イタリア語 중국어 일본어 스페인어
    러시아어 อังกฤษ ภาษาอังกฤษ ภาษาไทย เยอรมัน ฝรั่งเศส ญี่ปุ่น จีน kiingereza anglès alemany
    ingelesa gaelic sanskrit हिंदी संस्कृत नेपाली nepali punjabi marathi gujarati kannada
    malayalam amharic አማርኛ burmese khmer lao mongolian монгол казахский қазақша oʻzbekcha uzbek
    kazakh azerbaijani pashto kurdish kurdî hausa yoruba igbo zulu isizulu xhosa afrikaans tagalog
    filipino cebuano javanese maltese malti luxembourgish yiddish ייִדיש occitan breton frisian
    faroese føroyskt
    """
) | {"tiếng việt", "tiếng anh", "bahasa indonesia", "bahasa inggris", "bahasa melayu"}
"""Codes of languages, their English names, their own names, and names in some other languages."""
KNOWN = SOURCES | TARGETS | OTHERS | LANGUAGES


GENERIC = _words("sentence sentences text texts word words phrase phrases string segment side col")
"""Words that may be added to a name: source_sentence, English text."""


LONGEST = 60
"""Most characters of a name."""


def _plain(cell: str) -> str:
    """A name without additions: quotes, a country in brackets, "sentence" or "text"."""
    if len(cell) > LONGEST:
        return ""
    plain = re.sub(r"\(.*?\)", " ", cell).strip().strip("\"'#:").strip().casefold()
    # The Turkish capital İ becomes an i and a combining dot.
    plain = plain.replace("i\u0307", "i")
    parts = [part for part in re.split(r"[\s_./-]+", plain) if part not in GENERIC]
    return parts[0] if len(parts) == 1 and plain not in KNOWN else plain


def is_name(cell: str) -> bool:
    """Whether a cell is a usual name of a column of pairs, or of a language."""
    return _plain(cell) in KNOWN


def is_language(cell: str) -> bool:
    return _plain(cell) in LANGUAGES


def is_source(cell: str) -> bool:
    return _plain(cell) in SOURCES


def is_target(cell: str) -> bool:
    return _plain(cell) in TARGETS
