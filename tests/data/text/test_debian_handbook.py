import pytest

from ssl_zoo.data.text.sources.base import Document
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
