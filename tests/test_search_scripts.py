"""A hundred queries in many scripts: the same results and order on every database."""

import re
from datetime import timedelta
from uuid import uuid4

from sqlalchemy.orm import Session

from blog.entries.rendering import render_entry
from blog.models import Entry, Tag
from tests.conftest import NOW, BlogClient
from tests.test_search import found

#: Entries by title, oldest first.
TEXTS = {
    "Deutsch": "Die Straße zur Donau\u00addampf\u00adschiffahrt, größer als Füße. Ganz naïv.",
    "Polski": "Zażółć gęślą jaźń w mieście Łódź.",
    "Norden": "Smørrebrød på Øland, Þingvellir og Ærø. Ålesund, Đakovo, Œuvre.",
    "Türkçe": "İstanbul ve Iğdır: ışık, ŞEKER, çay.",
    "Tiếng Việt": "Phở ở Đà Nẵng và Hà Nội",
    "Ελληνικά": "Η Ελλάδα, η ΟΔΟΣ και ο Ὅμηρος.",
    "Кириллица": "Новогодняя ёлка, йогурт; їжак і ґанок, Қазақстан.",
    "עברית": "שָׁלוֹם עוֹלָם, וגם צה״ל.",
    "العربية": "كتب مُحَمَّد في المَكْتَبة عن أحمد: ســلام ٢٠٢٦.",
    "فارسی": "می\u200cخواهم یک کتاب بخوانم.",
    "हिन्दी": "ज़रूरत की किताब, कीमत नहीं।",
    "বাংলা": "আমার সোনার বাংলা",
    "தமிழ்": "யாதும் ஊரே யாவரும் கேளிர்",
    "ไทย": "ภาษาไทยง่ายมาก น้ำ",
    "ខ្មែរ": "ភាសាខ្មែរល្អ",
    "日本語": "東京タワーから葉書を出す。か\u3099くせい、ｶﾀｶﾅ、時々。",
    "中文": "搜索引擎很好用，豈有此理。",
    "한국어": "\u1112\u1161\u11ab\u1100\u116e\u11a8어를 배우다",
    "Հայերեն": "Բարեւ աշխարհ",
    "ქართული": "გამარჯობა მსოფლიო",
    "In C": "A program in C, without classes.",
    "In C++": "A program in C++17, with classes (C++).",
    "In C#": "A program in C#, as in F♯.",
    "On .NET": "A program on .NET and ASP.NET.",
    "The net": "A program at example.net with a .bashrc in it",
    "Signs": "12 m² and ½ of ﬁve: Ⅳ, ＦＵＬＬ, Threadleaf™, R&D, x_y",
    "Unseen": "in\u200bvis\u2060ible \ufefffeed cafe\u0301s n\u0303\u0331o e\u20ddnd w\ufe0fait",
}  # fmt: skip

#: Shortest first.
PROGRAMS = ["In C#", "In C", "On .NET", "In C++", "The net"]

QUERIES: dict[str, list[str]] = {
    # Latin
    "strasse": ["Deutsch"], "STRASSE": ["Deutsch"], "straße": ["Deutsch"], "STRAẞE": ["Deutsch"],
    "Donaudampfschiffahrt": ["Deutsch"], "donaudampf": ["Deutsch"], "dampf": [],
    "Donau\u00addampfschiffahrt": ["Deutsch"], "grosser": ["Deutsch"], "GRÖSSER": ["Deutsch"],
    "fusse": ["Deutsch"], "naiv": ["Deutsch"],
    "lodz": ["Polski"], "ŁÓDŹ": ["Polski"], "łódz miescie": ["Polski"], '"gesla jazn"': ["Polski"],
    "zazolc": ["Polski"], "smorrebrod": ["Norden"], "SMØRREBRØD": ["Norden"], "oland": ["Norden"],
    "thingvellir": ["Norden"], "aero": ["Norden"], "Ærø": ["Norden"], "alesund": ["Norden"],
    "đakovo": ["Norden"], "dakovo": ["Norden"], "oeuvre": ["Norden"],
    "istanbul": ["Türkçe"], "İSTANBUL": ["Türkçe"], "ISTANBUL": ["Türkçe"], "ıstanbul": ["Türkçe"],
    "igdir": ["Türkçe"], "isik": ["Türkçe"], "IŞIK": ["Türkçe"], "seker": ["Türkçe"],
    "pho": ["Tiếng Việt"], "da nang": ["Tiếng Việt"], "tieng viet": ["Tiếng Việt"],
    '"Hà Nội"': ["Tiếng Việt"],
    # Greek and Cyrillic, Armenian and Georgian
    "ελλαδα": ["Ελληνικά"], "ΕΛΛΆΔΑ": ["Ελληνικά"], "οδός": ["Ελληνικά"], "ΟΔΟΣ": ["Ελληνικά"],
    "οδοσ": ["Ελληνικά"], "ομηρος": ["Ελληνικά"], "ΕΛΛΗΝΙΚΑ": ["Ελληνικά"],
    "елка": ["Кириллица"], "ЁЛКА": ["Кириллица"], "иогурт": ["Кириллица"], "ЙОГУРТ": ["Кириллица"],
    "їжак": ["Кириллица"], "ганок": ["Кириллица"], "казакстан": ["Кириллица"],
    "ԲԱՐԵՒ": ["Հայերեն"], "բարև": ["Հայերեն"], "გამარჯობა": ["ქართული"], "ᲒᲐᲛᲐᲠᲯᲝᲑᲐ": ["ქართული"],
    # Hebrew, Arabic, Persian
    "שלום": ["עברית"], "שָׁלוֹם": ["עברית"], "עולם שלום": ["עברית"], "צה״ל": ["עברית"],
    'צה"ל': ["עברית"],
    "محمد": ["العربية"], "مُحَمَّد": ["العربية"], "المكتبه": ["العربية"], "احمد": ["العربية"],
    "سلام": ["العربية"], "2026": ["العربية"], "٢٠٢٦": ["العربية"],
    "می‌خواهم": ["فارسی"], "ميخواهم": ["فارسی"], "كتاب": ["فارسی"], "یك": ["فارسی"],
    # Indic scripts
    "ज़रूरत": ["हिन्दी"], "जरूरत": ["हिन्दी"], "किताब": ["हिन्दी"], "कताब": [], "हिन्दी": ["हिन्दी"],
    "সোনার": ["বাংলা"], "ஊரே": ["தமிழ்"],
    # Scripts without spaces
    "ไทย": ["ไทย"], "ภาษา": ["ไทย"], "ง่ายมาก": ["ไทย"], "น้ำ": ["ไทย"], "งายมาก": [],
    "ភាសា": ["ខ្មែរ"], "ខ្មែរ": ["ខ្មែរ"],
    "東京": ["日本語"], "京東": [], "がくせい": ["日本語"], "か\u3099くせい": ["日本語"],
    "かくせい": [],
    "カタカナ": ["日本語"], "ｶﾀｶﾅ": ["日本語"], "ﾀﾜｰ": ["日本語"], "日本語": ["日本語"],
    "搜索": ["中文"], "引擎 搜索": ["中文"], "\uf900有": ["中文"],
    "한국": ["한국어"], "\u1112\u1161\u11ab국어": ["한국어"], "배우다 한국어를": ["한국어"],
    "하": [],
    # Names with signs, and other signs
    "C": ["In C"], "c": ["In C"], "C++": ["In C++"], "c++": ["In C++"], "Ｃ＋＋": ["In C++"],
    "C++ classes": ["In C++"], "C#": ["In C#"], "F#": ["In C#"], ".NET": ["On .NET"],
    "net": ["The net", "On .NET"], "ASP.NET": ["On .NET"], "example.net": ["The net"],
    "bashrc": ["The net"], ".bashrc": ["The net"], "program": PROGRAMS,
    "program -C": [each for each in PROGRAMS if each != "In C"],
    "program -C++": [each for each in PROGRAMS if each != "In C++"],
    "m2": ["Signs"], "m²": ["Signs"], "½": ["Signs"], "five": ["Signs"], "iv": ["Signs"],
    "full": ["Signs"], "threadleaf of": ["Signs"], "R&D": ["Signs"], "x y": ["Signs"],
    "invisible": ["Unseen"], "in\u200cvisible": ["Unseen"], "feed": ["Unseen"],
    "cafés": ["Unseen"], "ño": ["Unseen"], "end": ["Unseen"], "wait": ["Unseen"],
}  # fmt: skip


#: In the order shown to readers.
TAGS = ["C#", "C++", "çay", "Élan", "ısı", "İstanbul", "Łódź", "Österreich", "zebra"]


def fill(db: Session) -> None:
    """Store all texts."""
    for number, (title, body) in enumerate(TEXTS.items()):
        store(db, title, body, number)
    db.commit()


def fill_with_ties(db: Session) -> None:
    """Store entries with equal rank, with all tags."""
    tags = [Tag(name=name, slug=f"tag-{number}") for number, name in enumerate(sorted(TAGS))]
    for number in range(4):
        store(db, f"Twin {number}", "Ties are settled by date.", number // 2).tags = tags
    db.commit()


def store(db: Session, title: str, body: str, number: int) -> Entry:
    moment = NOW - timedelta(days=100 - number)
    entry = Entry(title=title, slug=uuid4().hex, body=body, timestamp=moment, updated=moment)
    db.add(entry)
    render_entry(db, entry)
    return entry


def test_queries_find_entries_in_order(client: BlogClient, db: Session) -> None:
    assert len(QUERIES) >= 100
    fill(db)

    assert {q: found(client, q) for q in QUERIES} == QUERIES


def test_matches_are_marked(client: BlogClient, db: Session) -> None:
    fill(db)
    for q, titles in QUERIES.items():
        page = client.get("/blog/search", query_string={"q": q}).text
        assert page.count("<mark>") >= len(titles), q


def test_ties_are_ordered_by_date(client: BlogClient, db: Session) -> None:
    fill_with_ties(db)
    page = client.get("/blog/tags").text
    assert found(client, "ties") == ["Twin 3", "Twin 2", "Twin 1", "Twin 0"]
    assert re.findall(r'<a href="/blog/tag/tag-[0-9]+">(.*?)</a>', page) == TAGS
