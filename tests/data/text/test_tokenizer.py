import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from ssl_zoo.data.text.tokenizer import (
    SPECIAL_TOKENS,
    TextTokenizer,
    check_trained,
    continuations,
    frequent_characters,
    load_tokenizer,
    train_tokenizer,
)
from ssl_zoo.errors import InputError

KINDS = ["wordpiece", "bpe", "characters"]
RANDOM = random.Random(0)
LETTERS = ["".join(RANDOM.choices("abcdefghij", k=RANDOM.randint(1, 7))) for _ in range(200)]
TEXTS = [" ".join(RANDOM.choices(LETTERS, weights=range(1, 201), k=30)) + ". The End!" for _ in range(200)]
NASTY = [
    "",
    " ",
    "a  b\n\n\tc \r\n",
    "[SEP] [CLS][MASK] <|endoftext|> </s>",
    "Ünïcödé 日本語 🙂🙂",
    "Ġ ▁ ## ##a \ue000",
    "\0\x07",
]


def words_of(tokenizer: TextTokenizer) -> dict[str, int]:
    return tokenizer.backend.get_vocab(with_added_tokens=True)


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_have_fixed_ids_and_no_text_has_them(kind: str) -> None:
    tokenizer = train_tokenizer(kind, TEXTS, 400)
    assert [words_of(tokenizer)[token] for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]
    assert tokenizer.special == {"pad": 0, "unknown": 1, "begin": 2, "end": 3, "mask": 4}
    texts = [*NASTY, *SPECIAL_TOKENS, *TEXTS]
    ids, lengths = tokenizer.encode(texts)
    assert ids.dtype == np.uint16 and lengths.dtype == np.int64 and lengths.sum() == len(ids)
    for document in np.split(ids, lengths.cumsum()[:-1]):
        inside = document[1:-1]
        assert (document[0], document[-1]) == (2, 3) and not np.isin(inside, [0, 2, 3, 4]).any()


SPEAKING = "moon </s> star [SEP]</s> <s> [MASK][MASK] <pad> <unk> [UNK] <|endoftext|> [CLS] [PAD]"


def unigram(special: bool) -> Tokenizer:
    """As SentencePiece makes them; its own special pieces are among the model's."""
    pieces = ["<unk>", "<s>", "</s>", "<pad>", "▁", "moon", "star", *sorted({*SPEAKING} - {" "})]
    backend = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=0))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.add_tokens([AddedToken(name, special=special, normalized=False) for name in pieces[:4]])
    return backend


def word_level(special: bool) -> Tokenizer:
    words = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "</s>", *SPEAKING.split()])
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        backend.add_special_tokens(SPECIAL_TOKENS)
    return backend


def pieces_of_words(special: bool) -> Tokenizer:
    words = [*SPECIAL_TOKENS, *"[]</>|", *(f"##{c}" for c in sorted({*SPEAKING}))]
    backend = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_tokens([AddedToken(name, special=special) for name in SPECIAL_TOKENS])
    return backend


def merged(special: bool) -> Tokenizer:
    """BPE that makes "</s>" of its letters, or takes any word that it has as it is."""
    words = ["<unk>", "<s>", "</s>", "<pad>", *sorted({*SPEAKING}), "</", "</s"]
    merges = [("<", "/"), ("</", "s"), ("</s", ">")]
    model = models.BPE({w: i for i, w in enumerate(words)}, merges, unk_token="<unk>", ignore_merges=special)
    backend = Tokenizer(model)
    backend.decoder = decoders.Fuse()
    return backend


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("make", [unigram, word_level, pieces_of_words, merged])
def test_a_text_that_speaks_of_special_tokens_has_none_whatever_the_tokenizer(
    make: Callable[[bool], Tokenizer], special: bool, tmp_path: Path
) -> None:
    backend = make(special)
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer.json"))
    texts = [SPEAKING, "moon star", *SPEAKING.split(), *SPEAKING.replace("[", " [").split()]
    ids, lengths = tokenizer.encode(texts)
    assert (ids == tokenizer.special["end"]).sum() == len(texts)  # as many ends as documents
    framed = 1 if tokenizer.special["begin"] is None else 2
    for text, document in zip(texts, np.split(ids, lengths.cumsum()[:-1]), strict=True):
        inside = document[framed - 1 : -1].tolist()
        assert not tokenizer.special_ids - {tokenizer.special["unknown"]} & {*inside}
        # A text without their names becomes what the library makes of it.
        if text == "moon star":
            assert inside == backend.encode(text, add_special_tokens=False).ids
        if make in (unigram, merged):  # which can spell them
            assert tokenizer.decode(inside).strip() == text.strip()


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_as_long_as_a_book_and_as_many_spaces_are_learnt_from_in_no_time(kind: str) -> None:
    start = time.monotonic()
    long = train_tokenizer(kind, [*TEXTS, "bread" * 40_000, "\n" * 100_000 + " " * 100_000], 400)
    assert time.monotonic() - start < 10  # of which learning from it in one piece takes several times as much
    assert kind == "characters" or any("rea" in word for word in words_of(long))


def test_byte_level_bpe_gives_every_text_back_exactly() -> None:
    tokenizer = train_tokenizer("bpe", TEXTS, 400)
    for text in [*NASTY, *TEXTS[:20]]:
        ids, _ = tokenizer.encode([text])
        assert tokenizer.decode(ids.tolist()) == text and 1 not in ids


def test_characters_are_one_token_each_and_come_back_exactly() -> None:
    tokenizer = train_tokenizer("characters", [*TEXTS, *NASTY], 10_000)
    assert set(words_of(tokenizer)) == set(SPECIAL_TOKENS) | set("".join([*TEXTS, *NASTY]))
    for text in [*NASTY, *TEXTS[:20]]:
        ids, _ = tokenizer.encode([text])
        assert len(ids) == len(text) + 2 and tokenizer.decode(ids.tolist()) == text
    ids, _ = tokenizer.encode(["aQb"])  # Q occurs nowhere
    assert ids.tolist()[2] == 1 and len(ids) == 5


def test_the_rarest_characters_are_left_out_where_there_is_no_room() -> None:
    assert frequent_characters(["zzz", "aab", "ccb"], 3) == ["a", "b", "z"]  # of a, b and c the first two
    tokenizer = train_tokenizer("characters", ["zzz", "aab", "ccb"], 8)
    assert words_of(tokenizer) == {**{token: i for i, token in enumerate(SPECIAL_TOKENS)}, "a": 5, "b": 6, "z": 7}


def test_wordpiece_ignores_case_and_accents_and_knows_its_texts() -> None:
    tokenizer = train_tokenizer("wordpiece", [*TEXTS, "Café, naïve"], 400)
    upper, _ = tokenizer.encode(["THE CAFÉ, NAÏVE"])
    lower, _ = tokenizer.encode(["the cafe, naive"])
    assert upper.tolist() == lower.tolist()
    ids, _ = tokenizer.encode(TEXTS)
    assert 1 not in ids
    for text in TEXTS[:20]:
        ids, _ = tokenizer.encode([text])
        assert tokenizer.decode(ids.tolist()) == text.lower()


def test_wordpiece_makes_frequent_words_whole_and_fills_the_vocabulary() -> None:
    counts = Counter(word.strip(".!") for text in TEXTS for word in text.lower().split())
    tokenizer = train_tokenizer("wordpiece", TEXTS, 400)
    words = words_of(tokenizer)
    assert tokenizer.size == len(words) == 400
    assert all(word in words for word, _ in counts.most_common(20))
    characters = set("".join(TEXTS).lower()) - {" "}
    assert {"##" + character for character in characters - set(".!")} | characters <= set(words)
    assert not {"##.", "##!", "", "##"} & set(words)  # punctuation stands alone


def test_wordpiece_fills_the_vocabulary_of_a_text_full_of_punctuation() -> None:
    marks = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    texts = [text + " " + " ".join(RANDOM.sample(marks, len(marks))) for text in TEXTS]
    for vocab_size in (100, 200, 300):
        assert train_tokenizer("wordpiece", texts, vocab_size).size == vocab_size


def test_a_word_that_occurs_once_is_no_token() -> None:
    for kind in ("wordpiece", "bpe"):
        words = words_of(train_tokenizer(kind, ["often often once", "often"], 300))
        assert any("often" in word for word in words) and not any("once" in word for word in words)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_texts_make_the_same_tokenizer(kind: str) -> None:
    texts = [*TEXTS, *NASTY]
    all_words = [words_of(train_tokenizer(kind, texts, 300)) for _ in range(5)]
    assert all(words == all_words[0] for words in all_words)
    assert len({train_tokenizer(kind, texts, 300).hash for _ in range(3)}) == 1


def test_other_texts_kinds_and_sizes_make_other_hashes(tmp_path: Path) -> None:
    made = [train_tokenizer(kind, TEXTS, 300) for kind in KINDS]
    made += [train_tokenizer("bpe", TEXTS[:100], 300), train_tokenizer("bpe", TEXTS, 301)]
    assert len({tokenizer.hash for tokenizer in made}) == 5
    made[0].backend.save(str(tmp_path / "tokenizer.json"))
    again = TextTokenizer(Tokenizer.from_file(str(tmp_path / "tokenizer.json")), made[0].special)
    assert again.hash == made[0].hash and again.encode(TEXTS)[0].tolist() == made[0].encode(TEXTS)[0].tolist()
    again.backend.normalizer = normalizers.BertNormalizer(lowercase=False)  # the same words, read differently
    assert TextTokenizer(again.backend, again.special).hash != made[0].hash


def test_vocabulary_lies_in_a_checkpoint_and_says_what_is_so(tmp_path: Path) -> None:
    tokenizer = train_tokenizer("wordpiece", TEXTS, 300)
    vocabulary = tokenizer.vocabulary()
    torch.save(vocabulary, tmp_path / "x.ckpt")
    assert torch.load(tmp_path / "x.ckpt", weights_only=True) == vocabulary
    assert (vocabulary["size"], vocabulary["special"]) == (300, [0, 1, 2, 3, 4])
    assert vocabulary["continuations"] == [i for word, i in sorted(words_of(tokenizer).items(), key=lambda x: x[1])
                                           if word.startswith("##")]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_says_how_it_is_written_and_special_ones_do_not(kind: str) -> None:
    tokenizer = train_tokenizer(kind, TEXTS, 300)
    spelling = tokenizer.spelling()
    assert spelling[:5] == [None] * 5 and len(spelling) == tokenizer.size
    assert {word: token for token, word in enumerate(spelling) if word is not None} == {
        word: token for word, token in words_of(tokenizer).items() if token >= 5
    }


def test_continuations_of_every_kind_of_tokenizer() -> None:
    pieces = {"[PAD]": 0, "play": 1, "##ing": 2, "##s": 3, "#": 4, "##": 5}
    assert continuations(pieces, {0}, models.WordPiece(pieces, unk_token="[PAD]")) == [2, 3, 5]
    alphabet = {character: i for i, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    begins = ["Ġ", "Ċ", "č", "ĉ", "Ġplay", "ĊĊ"]
    words = {**alphabet, "<|endoftext|>": 256, "Ġplay": 257, "ing": 258, "ĊĊ": 259, "Ãł": 260}
    found = continuations(words, {256}, models.BPE())
    assert found == [i for word, i in words.items() if word not in begins and i != 256] and {258, 260} < set(found)
    sentencepiece = {"<unk>": 0, "▁play": 1, "ing": 2, "▁": 3, "č": 4}
    assert continuations(sentencepiece, {0}, models.Unigram([(word, 0.0) for word in sentencepiece], 0)) == [2, 4]
    characters = {"[PAD]": 0, " ": 1, "a": 2, "\n": 3, "č": 4}
    assert continuations(characters, {0}, models.BPE(characters, [])) == [2, 4]
    assert continuations({"a": 0, "word": 1}, set(), models.WordLevel({"a": 0, "word": 1}, unk_token="a")) == []


def test_too_small_a_vocabulary_is_refused() -> None:
    for kind, least in {"wordpiece": 7, "bpe": 261, "characters": 6}.items():
        check_trained(kind, least)
        assert train_tokenizer(kind, TEXTS, least).size == least
        with pytest.raises(InputError, match=rf"vocab_size is {least - 1}: .* {kind} needs at least {least}"):
            check_trained(kind, least - 1)


# Ready-made tokenizers ------------------------------------------------------------------------------------------------


def save_like_gpt2(path: Path) -> None:
    tokenizer = train_tokenizer("bpe", TEXTS, 300).backend
    described = json.loads(tokenizer.to_str().replace("[SEP]", "<|endoftext|>"))
    described["added_tokens"] = [token for token in described["added_tokens"] if token["content"] == "<|endoftext|>"]
    described["model"]["vocab"] = {w: i for w, i in described["model"]["vocab"].items() if w not in SPECIAL_TOKENS}
    path.write_text(json.dumps(described))


def test_a_file_with_one_special_token_uses_it_for_the_end_and_for_padding(tmp_path: Path) -> None:
    save_like_gpt2(tmp_path / "tokenizer.json")
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer.json"))
    assert tokenizer.special == {"pad": 3, "begin": None, "end": 3, "mask": None, "unknown": None}
    ids, lengths = tokenizer.encode(["The End!", "", "<|endoftext|>"])
    documents = np.split(ids, lengths.cumsum()[:-1])
    assert documents[1].tolist() == [3] and all(3 not in document[:-1] for document in documents)
    assert tokenizer.decode(documents[0].tolist()) == "The End!"
    vocabulary = tokenizer.vocabulary()
    assert vocabulary["special"] == [3] and vocabulary["size"] == 300 and 3 not in vocabulary["continuations"]


@pytest.mark.parametrize("configured", [False, True])
def test_a_folder(tmp_path: Path, configured: bool) -> None:
    save_like_gpt2(tmp_path / "tokenizer.json")
    if configured:  # a word that has no usual name ends documents
        described = json.loads((tmp_path / "tokenizer.json").read_text().replace("<|endoftext|>", "<|stop|>"))
        (tmp_path / "tokenizer.json").write_text(json.dumps(described))
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|stop|>", "bos_token": "<|stop|>"}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(str(tmp_path))
    assert tokenizer.special == {"pad": 3, "begin": None, "end": 3, "mask": None, "unknown": None}


def test_a_tokenizer_s_own_padding_and_truncation_do_not_count(tmp_path: Path) -> None:
    backend = train_tokenizer("wordpiece", TEXTS, 300).backend
    backend.enable_truncation(4)
    backend.enable_padding(length=50)
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer.json"))
    expected = train_tokenizer("wordpiece", TEXTS, 300).encode(TEXTS[:3])
    assert [values.tolist() for values in tokenizer.encode(TEXTS[:3])] == [values.tolist() for values in expected]


def test_many_tokens_take_four_bytes() -> None:
    for size, dtype in ((2**16, np.uint16), (2**16 + 1, np.uint32)):
        words = {"[SEP]": 0, "[UNK]": 1, **{f"w{i}": i for i in range(2, size)}}
        backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer = TextTokenizer(backend, {"pad": 0, "begin": None, "end": 0, "mask": None, "unknown": 1})
        ids, _ = tokenizer.encode([f"w{size - 1} w2"])
        assert ids.dtype == dtype and ids.tolist() == [size - 1, 2, 0]


def test_tokenizers_that_cannot_be_had_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no tokenizer wordpice: did you mean wordpiece"):
        load_tokenizer("wordpice")
    for path in (str(tmp_path / "nowhere"), "./nowhere", "nowhere.json"):
        with pytest.raises(InputError, match=r"There is no tokenizer at .*nowhere"):
            load_tokenizer(path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json could not be loaded \(Exception\): choose wordpiece, bpe"):
        load_tokenizer(str(tmp_path / "tokenizer.json"))
    endless = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    endless.add_special_tokens([AddedToken("[CLS]", special=True)])
    endless.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="has no token that ends a document"):
        load_tokenizer(str(tmp_path / "tokenizer.json"))

    from transformers import AutoTokenizer

    def offline(*args: Any) -> None:
        raise OSError("We couldn't connect")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", offline)
    with pytest.raises(InputError, match=r"tokenizer some/model could not be loaded \(OSError\).*check the network"):
        load_tokenizer("some/model")
