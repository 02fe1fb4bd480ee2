"""Tasks made of a small dictionary in WordNet's own format, and of the real one."""

import zlib
from collections import Counter
from pathlib import Path

import pytest

from ssl_zoo.data.text.sources.wordnet import find_or_fetch
from ssl_zoo.errors import InputError
from ssl_zoo.finetuning.records import Records
from ssl_zoo.finetuning.wordnet_senses import Synset, parse_synset, read_synsets
from ssl_zoo.finetuning.wordnet_tasks import is_form, tag_words, wordnet_records

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by  \n  2 Princeton University  \n"
PUP = (
    "02084071 05 n 02 pup 0 young_dog 0 003 @ 02083346 n 0000 ~ 01322685 n 0000 @ 00001740 n 0000 | a young dog; bred "
    'for fun; "the pup barked"; "two young dogs, barking"  '
)


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory) -> Path:
    """A forest of 300 nouns in two lexicographer files, every one a kind of an earlier one, and a few other words."""
    folder = tmp_path_factory.mktemp("dictionary")
    nouns = [LICENCE]
    for number in range(300):
        file, parent = 5 + number % 3 % 2, f"001 @ {number // 3:08d} n 0000" if number else "000"
        nouns.append(
            f"{number:08d} {file:02d} n 02 thing{number} 0 item_{number} 0 {parent} | kind {number} of it; "
            f'"he saw the thing{number} there"; "a sentence of many"  \n'
        )
    (folder / "data.noun").write_text("".join(nouns))
    (folder / "data.verb").write_text(LICENCE + '00000001 30 v 01 go 0 000 01 + 01 00 | move on; "she goes home"  \n')
    (folder / "data.adj").write_text(LICENCE + '00000002 00 s 01 galore(ip) 0 000 | in plenty; "whisky galore"  \n')
    (folder / "data.adv").write_text(LICENCE + "00000003 02 r 01 often 0 000 | many times  \n")
    return folder


def sides(dictionary: Path) -> dict[str, bool]:
    """By definition: whether a sense is for testing."""
    names = ("data.noun", "data.verb", "data.adj", "data.adv")
    definitions = [synset.definition for name in names for synset in read_synsets(dictionary / name)]
    return {definition: zlib.crc32(definition.encode()) % 5 == 0 for definition in definitions}


def test_a_line_of_a_data_file():
    assert parse_synset(PUP) == Synset(
        "n02084071", 5, ["pup", "young dog"], ["n02083346", "n00001740"], "a young dog; bred for fun",
        ["the pup barked", "two young dogs, barking"],
    )  # fmt: skip
    assert parse_synset(PUP).entry == "pup, young dog: a young dog; bred for fun"


def test_satellites_are_adjectives_and_marks_of_place_are_no_words(dictionary):
    (galore,) = read_synsets(dictionary / "data.adj")
    assert galore.key == "a00000002" and galore.words == ["galore"] and galore.examples == ["whisky galore"]


def test_damage_is_named(dictionary, tmp_path):
    for line in ("nonsense", "00000001 30 x 01 go 0 000 | y", "00000001 30 v 01 go 0", "00000001 30 v 0g go 0 000 | y",
                 "00000001 30 v 01 go 0 000 | \xe9"):  # fmt: skip
        (tmp_path / "data.noun").write_text(LICENCE + line + "\n", encoding="latin-1")
        with pytest.raises(InputError, match=r"data\.noun is damaged in line 3"):
            list(read_synsets(tmp_path / "data.noun"))
    with pytest.raises(InputError, match=r"There is no .*data\.noun: give a folder with WordNet's"):
        wordnet_records("tags", tmp_path / "nowhere")
    for name in ("data.noun", "data.verb", "data.adj", "data.adv"):
        (tmp_path / name).write_text(LICENCE)
    for task in ("tags", "pairs", "spans"):
        with pytest.raises(InputError, match=f"too few senses to make the task {task}"):
            wordnet_records(task, tmp_path)


def test_pairs_are_balanced_true_and_apart(dictionary):
    records = wordnet_records("pairs", dictionary)
    side = sides(dictionary)
    for part, testing in ((records.train, False), (records.test, True)):
        assert Counter(pair.label for pair in part) == {"hypernym": len(part) // 2, "other": len(part) // 2}
        assert len(part) >= 4
        for pair in part:
            texts = [text.split(": ", 1)[1] for text in (pair.text, pair.second)]
            assert [side[text] for text in texts] == [testing, testing]
            lower, upper = (int(text.split()[1]) for text in texts)
            assert pair.text == f"thing{lower}, item {lower}: kind {lower} of it"
            ancestors = [lower]
            while ancestors[-1]:
                ancestors.append(ancestors[-1] // 3)
            assert upper == lower // 3 if pair.label == "hypernym" else upper not in ancestors


def test_what_is_no_hypernym_is_from_the_same_lexicographer_file(dictionary):
    train = wordnet_records("pairs", dictionary).train
    numbers = [[int(text.split(": ")[1].split()[1]) for text in (pair.text, pair.second)] for pair in train]
    others = [both for both, pair in zip(numbers, train, strict=True) if pair.label == "other"]
    assert all((lower // 3) % 3 % 2 == other % 3 % 2 for lower, other in others)
    assert len({other for _, other in others}) > len(others) / 2


def test_spans_are_the_definition_of_the_word_asked_for(dictionary):
    records = wordnet_records("spans", dictionary)
    side = sides(dictionary)
    places = Counter()
    for part, testing in ((records.train, False), (records.test, True)):
        for question in part:
            texts = question.context.split(". ")
            answer = question.context[question.start : question.end]
            assert len(set(texts)) == 3 and answer in texts and all(side[text] == testing for text in texts)
            if question.question.startswith("thing"):
                assert answer == f"kind {question.question.removeprefix('thing')} of it"
            places[texts.index(answer)] += 1
    assert len(records.train) + len(records.test) == 303 and min(places.values()) > 60


def test_tags_are_on_the_words_of_the_sense(dictionary):
    records = wordnet_records("tags", dictionary)
    sentences = {" ".join(record.tokens): record.tags for record in [*records.train, *records.test]}
    assert len(sentences) == len(records.train) + len(records.test)
    assert sentences["he saw the thing7 there"] == ["O", "O", "O", "B-noun", "O"]
    assert sentences["she goes home"] == ["O", "B-verb", "O"]
    assert sentences["whisky galore"] == ["O", "B-adjective"]
    assert "a sentence of many" not in sentences  # none of its words is one of the sense


def test_a_sentence_of_two_senses_is_in_one_part_only(dictionary, tmp_path):
    for name in ("data.noun", "data.verb", "data.adj", "data.adv"):
        lines = (dictionary / name).read_text().replace("a sentence of many", "a thing7 of many")
        (tmp_path / name).write_text(lines.replace(" thing8 0", " thing7 0"))
    both = wordnet_records("tags", tmp_path)
    found = [record for part in (both.train, both.test) for record in part if "many" in record.tokens]
    assert len(found) <= 1


def test_multiword_terms_come_before_their_parts():
    tokens = "He takes off , took it and takes part".split()
    assert tag_words(tokens, ["take", "take off"], "verb") == "O B-verb I-verb O O O O B-verb O".split()


@pytest.mark.parametrize(
    ("token", "word", "same"),
    [
        ("dog", "dog", True), ("dogs", "dog", True), ("boxes", "box", True), ("baked", "bake", True),
        ("baking", "bake", True), ("walked", "walk", True), ("cities", "city", True), ("tried", "try", True),
        ("stopping", "stop", True), ("stopped", "stop", True), ("doge", "dog", False), ("cat", "dog", False),
        ("walkking", "walk", False), ("fixxed", "fix", False), ("dog", "dogs", False),
    ],
)  # fmt: skip
def test_forms(token, word, same):
    assert is_form(token, word) == same


def test_the_same_at_every_call(dictionary):
    for task in ("tags", "pairs", "spans"):
        assert wordnet_records(task, dictionary) == wordnet_records(task, dictionary)


@pytest.mark.slow
def test_the_real_wordnet():
    try:
        folder = find_or_fetch()
    except InputError:  # skipped with its reason
        pytest.skip("WordNet is neither here nor to be had")
    tasks: dict[str, Records] = {task: wordnet_records(task, folder) for task in ("tags", "pairs", "spans")}
    for records in tasks.values():
        assert len(records.train) == 20_000 and len(records.test) == 2_000
    pairs, spans, tags = tasks["pairs"], tasks["spans"], tasks["tags"]
    known = {text for pair in pairs.train for text in (pair.text, pair.second)}
    assert not known & {text for pair in pairs.test for text in (pair.text, pair.second)}
    answers, tested = ({q.context[q.start : q.end] for q in part} for part in (spans.train, spans.test))
    assert not answers & tested
    assert not {tuple(r.tokens) for r in tags.train} & {tuple(r.tokens) for r in tags.test}
    kinds = Counter(tag for record in tags.train for tag in record.tags)
    assert set(kinds) == {"O", *(f"{p}-{k}" for p in "BI" for k in ("noun", "verb", "adjective", "adverb"))}
