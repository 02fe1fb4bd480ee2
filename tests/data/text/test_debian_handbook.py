import pytest

from ssl_zoo.data.text.sources.base import BadText, Document
from ssl_zoo.data.text.sources.debian_handbook import INSIDE, LANGUAGES, DebianHandbook, read_paragraphs
from ssl_zoo.errors import InputError

ENGLISH = (
    '<div class="book"><div class="para">\n\t\tThe <em>apt</em> tool.\n</div>'
    '<pre>apt install</pre><div class="para"></div>'
)
NESTED = (
    '<div class="para">Outer &amp; more<div class="note"><div class="para">Inner.</div>no text</div> end.</div></div>'
)
PAGES = {
    "en-US": {"apt.html": ENGLISH, "book.html": NESTED, "index.html": ""},
    "de-DE": {
        "apt.html": ENGLISH.replace("The <em>apt</em> tool", "Das Werkzeug <em>apt</em>"),
        "book.html": NESTED.replace("Inner.", "Innen.") + '<div class="para">Innen.</div>',
        "index.html": "",
    },
}


@pytest.fixture
def root(tmp_path):
    for language, pages in PAGES.items():
        folder = tmp_path / INSIDE / language
        folder.mkdir(parents=True)
        for name, page in pages.items():
            (folder / name).write_text(page, encoding="utf-8")
    return tmp_path


def test_paragraphs_are_plain_text_one_within_another_by_itself(root):
    folder = root / INSIDE / "en-US"
    assert read_paragraphs(folder / "apt.html") == ["The apt tool."]
    assert read_paragraphs(folder / "book.html") == ["Outer & more end.", "Inner."]


def test_what_is_not_translated_is_left_out_and_every_paragraph_comes_once(root):
    source = DebianHandbook(["de-DE", "en-US"], root)
    assert source.classes == ["de-DE", "en-US"]
    assert list(source.documents()) == [
        Document("Das Werkzeug apt.", 0, name="de-DE/apt.html, paragraph 1"),
        Document("Innen.", 0, name="de-DE/book.html, paragraph 2"),
        Document("The apt tool.", 1, name="en-US/apt.html, paragraph 1"),
        Document("Outer & more end.", 1, name="en-US/book.html, paragraph 1"),
        Document("Inner.", 1, name="en-US/book.html, paragraph 2"),
    ]


def test_its_fingerprint_changes_with_the_pages_and_the_languages(root):
    first = DebianHandbook(["de-DE"], root).fingerprint()
    assert first == DebianHandbook(["de-DE"], root).fingerprint()
    assert first != DebianHandbook(["en-US"], root).fingerprint()
    (root / INSIDE / "en-US" / "apt.html").write_text("changed: what is left out depends on it")
    assert first != DebianHandbook(["de-DE"], root).fingerprint()


def test_mistakes_end_in_a_sentence(root):
    for languages in ([], ["de-DE", "de-DE"]):
        with pytest.raises(InputError, match="name some, each once"):
            DebianHandbook(languages, root)
    with pytest.raises(InputError, match=r"languages has fr-FR, but .* has de-DE, en-US: choose among these"):
        DebianHandbook(["fr-FR"], root)
    with pytest.raises(InputError, match="unpack debian-handbook into the source's root"):
        DebianHandbook(["de-DE"], root / "nowhere")
    (root / INSIDE / "de-DE" / "apt.html").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is damaged"):
        list(DebianHandbook(["de-DE"], root).documents())


@pytest.mark.slow  # fetches 34 MB
def test_the_package_has_the_languages_and_as_many_paragraphs_as_it_should():
    counts = [0] * len(LANGUAGES)
    for document in DebianHandbook().documents():
        counts[document.label] += 1
    assert counts[0] == 3032 and min(counts) > 1000


def paragraph(*texts):
    return "".join(f'<div class="para">{text}</div>' for text in texts)


def page(up, *texts):
    return f'<html><head><link rel="home" href="index.html" /><link rel="up" href="{up}" /></head>{paragraph(*texts)}'


@pytest.fixture
def book(tmp_path):
    """Two chapters of many paragraphs in three languages, the preface, and a page that French has differently."""
    for language, word in {"en-US": "word", "de-DE": "Wort", "fr-FR": "mot"}.items():
        folder = tmp_path / INSIDE / language
        folder.mkdir(parents=True)
        texts = [f"{word} {number}" for number in range(60)]
        (folder / "index.html").write_text(paragraph(f"{word} of the index"))
        (folder / "preface.html").write_text(page("index.html", f"{word} before"))
        (folder / "apt.html").write_text(page("index.html", *texts[:20]))
        # The second paragraph is empty everywhere; English says one thing twice that the others say in two ways.
        (folder / "sect.get.html").write_text(page("apt.html", texts[20], "", *texts[21:40]))
        last = [texts[0] if language == "en-US" else f"{word} again", *texts[40:]]
        (folder / "net.html").write_text(page("index.html"))
        (folder / "sect.dns.html").write_text(page("net.html", *last))
        extra = ["en plus"] if language == "fr-FR" else []
        (folder / "sect.odd.html").write_text(page("net.html", f"{word} odd", *extra))
    return tmp_path


LANGUAGES_OF_BOOK = ["en-US", "de-DE", "fr-FR"]


def test_chapters_are_what_has_sections(book):
    source = DebianHandbook(LANGUAGES_OF_BOOK, book, "chapter")
    assert source.classes == ["apt", "net"]
    labels = {document.name: document.label for document in source.documents()}
    assert labels["de-DE/apt.html, paragraph 1"] == labels["fr-FR/sect.get.html, paragraph 2"] == 0
    assert labels["de-DE/sect.dns.html, paragraph 1"] == 1
    assert labels["de-DE/preface.html, paragraph 1"] == labels["en-US/index.html, paragraph 1"] == -1


def test_a_paragraph_and_all_of_its_translations_are_in_one_part(book):
    found = list(DebianHandbook(LANGUAGES_OF_BOOK, book, together=True).documents())
    bad = [document for document in found if isinstance(document, BadText)]
    assert bad == [BadText("fr-FR/sect.odd.html", "has another number of paragraphs than the English page")]
    parts = {}
    for document in found:
        if isinstance(document, Document):
            parts.setdefault(document.name.split("/")[1], set()).add(document.part)
    assert all(len(each) == 1 for each in parts.values())
    # English says the same in two places, so that the German of either is a translation of it.
    assert parts["apt.html, paragraph 1"] == parts["sect.dns.html, paragraph 1"]
    drawn = [next(iter(each)) for each in parts.values()]
    assert {"train", "validation", "test"} == set(drawn) and drawn.count("test") < drawn.count("train")


def test_the_parts_do_not_depend_on_the_order_of_the_languages(book):
    found = [
        {document.name: document.part for document in DebianHandbook(languages, book, together=True).documents()
         if isinstance(document, Document)}
        for languages in (LANGUAGES_OF_BOOK, LANGUAGES_OF_BOOK[::-1])
    ]  # fmt: skip
    assert found[0] == found[1]


def test_labels_and_parts_make_it_other_data(book):
    made = [
        DebianHandbook(["de-DE"], book),
        DebianHandbook(["de-DE"], book, "chapter"),
        DebianHandbook(["de-DE"], book, together=True),
    ]
    assert len({source.fingerprint() for source in made}) == 3
    with pytest.raises(InputError, match="choose language or chapter"):
        DebianHandbook(["de-DE"], book, "page")


@pytest.mark.slow  # fetches 34 MB
def test_no_test_paragraph_of_any_language_has_a_translation_in_training():
    parts, texts = {}, {}
    for found in DebianHandbook(together=True).paragraphs():
        assert not isinstance(found, BadText)
        assert parts.setdefault((found.page, found.number), found.part) == found.part
        assert texts.setdefault(found.text, found.part) == found.part
