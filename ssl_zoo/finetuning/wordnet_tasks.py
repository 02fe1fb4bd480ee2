"""Tasks that need nobody's annotation: what WordNet knows of words, made into pairs, spans and tags."""

import re
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ssl_zoo.data.text.sources.wordnet import FILES
from ssl_zoo.errors import InputError
from ssl_zoo.finetuning.records import Pair, Question, Records, TaggedSentence, TextTaskName
from ssl_zoo.finetuning.wordnet_senses import PARTS_OF_SPEECH, Kinship, Synset, read_synsets

TRAIN_SIZE, TEST_SIZE = 20_000, 2_000
# One definition of so many is for testing.
TEST_EVERY = 5
DEFINITIONS_PER_CONTEXT = 3
# Random texts that are tried before a pair is given up.
TRIES = 20

Item = TypeVar("Item")


def wordnet_records(task: TextTaskName, folder: Path) -> Records[Any]:
    """A task made of WordNet's files, the same at every call.

    G. A. Miller, WordNet: A Lexical Database for English, Communications of the ACM 38(11), 1995.

    - `pairs`: the entry of a sense (its words and its definition), and that of a hypernym (what it is a kind of) or of
      any sense from the hypernym's lexicographer file, as often the one as the other. A general entry is more likely a
      hypernym's: logistic regression on the second entry's words alone is right in 69 % of cases, not in 50 %.
    - `spans`: a word, and three definitions of senses that share no word, in random order; the answer is the one of a
      sense of the word.
    - `tags`: example sentences, in which the words that they are an example of are tagged with their part of speech.

    Every sense is for training or for testing by its definition, and all senses in a record are of the same side; no
    sentence occurs twice. An encoder pretrained on WordNet has read definitions and sentences, those for testing too,
    but not what is asked of them.

    Args:
        task: name of the task.
        folder: folder with data.noun, data.verb, data.adj and data.adv.

    Raises:
        InputError: a file is missing or damaged, or there are too few senses to make anything of.
    """
    synsets = _without_repeated_examples(synset for name in FILES for synset in read_synsets(folder / name))
    makers: dict[str, Callable[[list[Synset], int], list[Any]]] = {
        "pairs": partial(_pairs, kin=Kinship(synsets)),
        "spans": _spans,
        "tags": _tags,
    }
    parts = []
    for testing, size in ((False, TRAIN_SIZE), (True, TEST_SIZE)):
        chosen = [synset for synset in synsets if (zlib.crc32(synset.definition.encode()) % TEST_EVERY == 0) == testing]
        parts.append(makers[task](_shuffled(chosen), size))
    if not all(parts):
        raise InputError(f"The WordNet in {folder} has too few senses to make the task {task} of: give it whole.")
    return Records(f"WordNet {task}", *parts)


def _without_repeated_examples(synsets: Iterable[Synset]) -> list[Synset]:
    """An example that several senses quote stays with the first, or it could be in training and in testing."""
    seen: set[str] = set()
    kept = []
    for synset in synsets:
        new = [example for example in dict.fromkeys(synset.examples) if example not in seen]
        seen.update(new)
        kept.append(synset._replace(examples=new))
    return kept


def _shuffled(items: list[Item]) -> list[Item]:
    # NumPy's RandomState is used since its numbers are frozen for all time.
    return [items[position] for position in np.random.RandomState(0).permutation(len(items))]


def _pairs(synsets: list[Synset], size: int, kin: Kinship) -> list[Pair]:
    by_key = {synset.key: synset for synset in synsets}
    links = [(lower, by_key[key]) for lower in synsets for key in lower.hypernyms if key in by_key]
    by_file: dict[int, list[Synset]] = {}
    for synset in synsets:
        by_file.setdefault(synset.lexicographer_file, []).append(synset)
    draw = np.random.RandomState(0)
    records: list[Pair] = []
    for lower, upper in links:
        if len(records) % 2 == 0:
            records.append(Pair(lower.entry, upper.entry, "hypernym"))
            continue
        alike, ancestors = by_file[upper.lexicographer_file], kin.ancestors(lower.key)
        other = next((alike[i] for i in draw.randint(len(alike), size=TRIES) if alike[i].key not in ancestors), None)
        if other is not None:
            records.append(Pair(lower.entry, other.entry, "other"))
        if len(records) >= size:
            break
    return records[: len(records) // 2 * 2]


def _spans(synsets: list[Synset], size: int) -> list[Question]:
    draw = np.random.RandomState(0)
    records: list[Question] = []
    for synset in synsets[:size]:
        texts, words = [synset.definition], set(synset.words)
        for i in draw.randint(len(synsets), size=TRIES):
            if len(texts) < DEFINITIONS_PER_CONTEXT and words.isdisjoint(synsets[i].words):
                texts.append(synsets[i].definition)
                words.update(synsets[i].words)
        if len(texts) == DEFINITIONS_PER_CONTEXT:
            order = draw.permutation(DEFINITIONS_PER_CONTEXT)
            start = sum(len(texts[i]) + len(". ") for i in order[: list(order).index(0)])
            context = ". ".join(texts[i] for i in order)
            records.append(Question(synset.words[0], context, start, start + len(synset.definition)))
    return records


def _tags(synsets: list[Synset], size: int) -> list[TaggedSentence]:
    records: list[TaggedSentence] = []
    for synset in synsets:
        for example in synset.examples:
            tokens = re.findall(r"\w+(?:['-]\w+)*|[^\w\s]", example)
            tags = tag_words(tokens, synset.words, PARTS_OF_SPEECH[synset.key[0]])
            if set(tags) != {"O"}:
                records.append(TaggedSentence(tokens, tags))
    return records[:size]


def tag_words(tokens: list[str], words: list[str], kind: str) -> list[str]:
    """BIO tags: `B-kind` on the first token of each of the words, `I-kind` on their further tokens, `O` elsewhere.

    Args:
        tokens: tokens of a sentence.
        words: lower case; those of several parts, separated by spaces, are found first.
        kind: what the words are.
    """
    tags = ["O"] * len(tokens)
    for word in sorted(words, key=lambda word: -word.count(" ")):
        parts = word.split(" ")
        for start in range(len(tokens) - len(parts) + 1):
            place = slice(start, start + len(parts))
            free = all(tag == "O" for tag in tags[place])
            if free and all(is_form(token.lower(), part) for token, part in zip(tokens[place], parts, strict=True)):
                tags[place] = [f"B-{kind}", *[f"I-{kind}"] * (len(parts) - 1)]
    return tags


def is_form(token: str, word: str) -> bool:
    """Whether a token is a word, or the word with a regular ending -s, -es, -d, -ed or -ing; both in lower case."""
    stems = {word + ending for ending in ("", "s", "es", "d", "ed", "ing")}
    if word.endswith("e"):
        stems.add(word[:-1] + "ing")
    if word.endswith("y"):
        stems |= {word[:-1] + "ies", word[:-1] + "ied"}
    if len(word) > 2 and word[-1] not in "aeiouwxy" and word[-2] in "aeiou" and word[-3] not in "aeiou":
        stems |= {word + word[-1] + "ed", word + word[-1] + "ing"}  # stop, stopped, stopping
    return token in stems
