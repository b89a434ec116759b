"""captions.json: captions and what OpenCLIP makes of each before it splits it into tokens.

    pip install ftfy==6.3.1 && python make.py
"""
import html
import json
from pathlib import Path

import ftfy

assert ftfy.__version__ == "6.3.1"

# Whole sentences. Each is also garbled through every code page that has its bytes, once, twice, and with losses.
SENTENCES = """
Crème brûlée à la carte, s’il vous plaît — 5 €
Göteborg–Malmö: Järnväg över Öresund…
Coração de mãe – amanhã é outro dia
“El Niño” llegó a España ¿cuándo?
Żółta łódź na jeziorze Śniardwy
Příliš žluťoučký kůň úpěl ďábelské ódy
Árvíztűrő tükörfúrógép
Șase căței în grădină
Fırat’ın köpeği çok güzel, İstanbul
Šešios žąsys ežere
Красная машина стоит у дома № 5
Чому їжак їсть яблуко?
Ο σκύλος τρέχει στην παραλία
كلب أسود على الشاطئ
כלב שחור על החוף
一只黑色的狗在海滩上
海辺の黒い犬、カタカナ
해변의 검은 개 한 마리
हरे मैदान में एक कुत्ता
หมาสีดำบนชายหาด
Con chó đen trên bãi biển
a 🐶 on the beach 🏖️ with two 👩‍👩‍👧
25 °C ± 3, ½ price, 10 × 15 cm², ≤ 4 µm
© 2020 Nestlé® «Café» ™
doesn’t matter — ‘it’s’ “fine”
""".strip().split("\n")

# Captions that are whole, or that ftfy takes to be.
WHOLE = """
AMANHÃ… NINGUÉM SABE
CAFÉ® NESTLÉ®
“CAFÉ” «THÉ»
TRÃ…DFRI
IL Y MARQUÉ…
Ä°stanbul
IKEA TRÅDFRI Å
SÃO PAULO
MÜNCHEN® 100 € GRÖSSE
L’ÉTÉ À LA PLAGE
HÔTEL «L’ÎLE»
ÀÉÎÕÜ ÁÉÍÓÚ ÂÊÎÔÛ ÄËÏÖÜ ÃÑÕ
ÇA VA? ÇA… ALLÔ!
“ÀÍ”
Ôtez-le
ò_ó Ù_Ù (╯°□°)╯︵ ┻━┻
┌─┐│a│└─┘ ═╬═
CÔTE D’AZUR – 30°
T-SHIRT Nº 5 / Nª 2
Œuvre, œuf, cœur, cœ
ŒUVRE D’ART
10²³ ×² ×³ 5×7
¿Qué? ¡Sí!
PARIS®—ÉTÉ™
ÉTÉ°
ΑΘΗΝΑ® ΒΓ
ПРИВЕТ® МИР
И В–Г С»Р
Ã
Â
 Ã 
Â© 2020
é® é© É® É© É™ É¡ É¿ É« É»
a Ã la mode, voilÃ, voilÃ le travail
à² àµ
ı ş ğ Ş İ
ŠKODA ŽIVOT ČESKÁ
ŁÓDŹ ŻUBR ŚWIĘTY
€5 £5 ¥5 ¢5 5€ é€ É€ É£
a É£ b É€ c
naïve café déjà vu
""".strip("\n").split("\n")

# Captions that were damaged, in other ways than one code page for a whole sentence.
DAMAGED = """
Ã  la carte
Ã la carte
Ãquele abraÃ§o Ãs nove
MalmÃƒÂ¶Ã¢â‚¬â€œGÃƒÂ¶teborg jÃƒÂ¤rnvÃƒÂ¤g
coraÃƒÂ§ÃƒÂ£o de mÃƒÂ£e Ã¢â‚¬â€œ amanhÃƒÂ£ ÃƒÂ© outro dia
donâ€™t
The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t have eyebrows.
l’humanitÃ©
Ã perturber la rÃ©flexion
â€œquotedâ€�
â€œquotedâ€? text
a Ã? b Ã�
caf� cr�me
��
Ã��Â�
cafÃ© and café
NestlÃ© — “ok”
IL Y MARQUÉ… cafÃ©
âœ” No problems
(à¸‡'âŒ£')à¸‡
Ð¿Ñ€Ð¸Ð²ÐµÑ‚ æ—¥æœ¬
РџСЂРёРІРµС‚ РјРёСЂ
вЂњЦитатаВ» вЂ“ РўРµРєСЃС‚
ΞΒ±Ξ»Ο†Ξ± β€“ Ξ²Ξ®Ο„Ξ±
ā€žlabasā€ Ä—
é«˜å±±
CafÈ cafÈ
√© √± ‚Äì ‚Äôs
≈° ≈¢
├⌐ ├▒ ΓÇô it's
ÃºltimÃ¡ vÃ­a Ãºnica
Â½ Â° Â£5 Â©
5Â° 10Â€
ÐœÐ¾ÑÐºÐ²Ð°
ðŸ¶ dog
ð¶ dog ð¶
ðŸ˜ ðŸ˜€ ðŸ’ž
í ½í²©
à¤¨à¤®à¤¸à¥à¤¤à¥‡
à² kannada à²•à²¨à³à²¨à²¡
Ø§Ù„Ø¹Ø±Ø¨ÙŠØ©
Ã¢â‚¬Å“twiceÃ¢â‚¬Â
ÃƒÂ© ÃƒÆ’Ã‚Â©
don't
Hello… “worldâ€™
Ÿ¥½
""".strip("\n").split("\n")

# Single characters, control characters, entities.
CHARACTERS = [
    "don\x92t\x85 \x80\x81\x8d\x93q\x94",
    "e\u0301\ufeff\0 \ufb02u\ufb03e\ufb06 \ufb05 \u0132\u0133\u0149\u01c4\u01c5\u01c6\u01c7\u01ca\u01f1\u01f2\u01f3",
    "\uff35\uff80\uff70\uff9d \uff8a\uff9e \uffe3 \uff07\uff02 \uff0a\uffe6 \uffee\uffe8",
    "\u02bca\u2018b\u2019c\u201ad\u201be \u201cf\u201dg\u201eh\u201fi",
    "\x1b[36;44mI'm blue\x1b[0m \x1b[m\x1b[1;2x \x1b[z9",
    "\x1b\uff3b31mred",
    "a\rb\r\nc\u2028d\u2029e\u0085f\x0bg\x0ch",
    "a\x1cb\x1dc\x1ed\x1fe",
    "a\u00a0b\u2003c\u3000d\u200be\u200df\u202eg\u2060h",
    "\u206a\u206f\ufff9\ufffb\ufffc\U0001d173\U000e0067",
    "ΟΔΟΣ ΣΑΣ Σ İI ǅ",
    "\u2126 \u212b \u1e9b\u0323 \u0958 \ufb1d",
    "&amp;amp;amp;amp;",
    "&EACUTE;t&eacute; P&EACUTE;REZ BUNDESSTRA&SZLIG;E &NTILDE; &nTILDE; &SUP3; &FRAC12; &HELLIP; &LTCC; &SEMI;",
    "this&not that &copy 2020 &notit; &copycat &lt &LT &ampx; AT&T R&D B&B &",
    "&semi;&#59; &#38;#38;amp; &#x26;lt;b&#x3e;",
    "&#1;a&#x7f;b&#xb;c&#12;d&#13;e&#0;f&#128;g&#x81;h&#xfdd0;i&#xfffe;j&#x1ffff;k&#xd83d;l&#x110000;m&#99999999999;n",
    "&am&#1;p; <&#1;&#xfdd0;&#x80;> &#12ab; &#xzz; &# &#x;",
    "<b>caf&eacute;</b> &amp;eacute; &lt;i&gt;",
    "&lt;b&gt; &amp;eacute; &EACUTE;",
    "first <b>\nP&EACUTE;REZ\n",
    "P&EACUTE;REZ\n<i> P&EACUTE;REZ",
    "&Jscr;ohn &HilbertSpace;ancock &checkmark; &nbsp; &NotEqualTilde; &ngE;",
    "&Atilde;&copy; caf&Atilde;&copy; &ATILDE;&COPY;",
    "&macr;\\_(ã\x83\x84)_/&macr;",
    "\xc3\xa9\n\xc0\nx",
    "\xe3\x81\x82 \xe3 \x84 \xf0 \x9f\x98",
    "\u00c0\u0080 \u00c3\u00a9",
    "\u00ed\u00a0\u00bd\u00ed\u00b2\u00a9 \u00ed\u0095\u009c",
    "\u00ed\u00a0\u00bd x \u00c3\u00a9",
    "\x1aÃ©�",
    "",
    "  \t\n ",
    "plain  ASCII\ttext ",
]

PAGES = "latin-1 windows-1252 windows-1251 windows-1250 windows-1253 windows-1254 windows-1257 iso-8859-2 macroman cp437"


def garble(text, page):
    return text.encode().decode(f"sloppy-{page}" if page.startswith("windows") else page)


def variants(text):
    """The text garbled by each page, and some of that damaged further."""
    for page in PAGES.split():
        once = garble(text, page)
        yield once
        if page == "windows-1252":
            yield garble(once, page)
            yield once.replace("\xa0", " ")
            yield ftfy.fixes.uncurl_quotes(once)
            yield once.upper()
            yield "".join("\ufffd" if "\x80" <= c <= "\x9f" else c for c in once)
            yield text + " " + once
            yield once.encode("ascii", "xmlcharrefreplace").decode()
    yield text.upper()


def clean(text):
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


captions = SENTENCES + [v for text in SENTENCES for v in variants(text)] + WHOLE + DAMAGED + CHARACTERS
pairs = [json.dumps([text, clean(text)], ensure_ascii=False) for text in dict.fromkeys(captions)]
Path(__file__).with_name("captions.json").write_text("[\n" + ",\n".join(pairs) + "\n]\n")
