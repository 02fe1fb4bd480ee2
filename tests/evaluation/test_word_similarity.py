"""Word similarity against gensim's own evaluation of the same vectors."""

import json

import pytest
import torch
from gensim.models import KeyedVectors
from gensim.test.utils import datapath
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch.nn import functional as F

import ssl_zoo.evaluation.word_similarity
from ssl_zoo.cli import run
from ssl_zoo.data.text.special_tokens import find_special_ids
from ssl_zoo.data.text.tokenizer import SPECIAL_TOKENS, TextTokenizer
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.encoders.bag_of_tokens import BagOfTokens
from ssl_zoo.evaluation.word_similarity import MISSING, read_pairs, word_similarities
from tests.contracts.experiments import FOLDER, small


def tokenizer(words: list[str]) -> TextTokenizer:
    numbered = {word: number for number, word in enumerate([*SPECIAL_TOKENS, *words])}
    backend = Tokenizer(models.WordLevel(numbered, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    backend.add_special_tokens(SPECIAL_TOKENS)
    return TextTokenizer(backend, find_special_ids(backend))


def encoder(tokens: TextTokenizer) -> BagOfTokens:
    torch.manual_seed(0)
    made = BagOfTokens(tokens.vocabulary(), 6)
    with torch.no_grad():
        made.token_embedding.weight.normal_()
    return made


def test_the_sets_are_read_whole():
    pairs = read_pairs()
    assert {name: len(found) for name, found in pairs.items()} == {"WordSim-353": 353, "SimLex-999": 999}
    assert pairs["WordSim-353"][1] == ("tiger", "cat", 7.35)
    assert all(0 <= pair.score <= 10 for found in pairs.values() for pair in found)


@pytest.mark.parametrize(("name", "file"), [("WordSim-353", "wordsim353.tsv"), ("SimLex-999", "simlex999.txt")])
def test_whole_words_give_gensims_correlation_and_unknown_ones_are_left_out(name, file):
    words = sorted({word.lower() for pair in read_pairs()[name] for word in (pair.first, pair.second)})
    words = [word for word in words if word.isalpha()][::2]
    tokens = tokenizer(words)
    ours = encoder(tokens)
    theirs = KeyedVectors(6)
    vocabulary = tokens.backend.get_vocab()
    theirs.add_vectors(words, ours.token_embedding.weight.detach()[[vocabulary[word] for word in words]].numpy())
    found, remarks = word_similarities({"ours": ours}, Tokens(tokens, 8))
    assert not remarks or name not in remarks[0]
    _, rho, unknown = theirs.evaluate_word_pairs(datapath(file))
    assert found[name]["ours"].rho == pytest.approx(rho[0], abs=1e-5)
    assert found[name] == found[f"{name}, words of one token"]
    assert 20 < found[name]["ours"].pairs == found[name]["ours"].of - round(unknown / 100 * found[name]["ours"].of)


def test_a_word_of_several_tokens_is_the_mean_of_their_vectors():
    pieces = ["##r", "##ger", "ti", "cat"]
    backend = Tokenizer(
        models.WordPiece({token: number for number, token in enumerate([*SPECIAL_TOKENS, *pieces])}, unk_token="[UNK]")
    )
    backend.add_special_tokens(SPECIAL_TOKENS)
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = TextTokenizer(backend, find_special_ids(backend))
    ours = encoder(tokens)
    pairs = [ssl_zoo.evaluation.word_similarity.Pair(*each) for each in (("tiger", "cat", 7.0), ("cat", "cow", 1.0))]
    found = ssl_zoo.evaluation.word_similarity._vectors(ours, Tokens(tokens, 8), pairs)
    table = ours.token_embedding.weight.detach()
    expected = F.cosine_similarity((table[7] + table[6]) / 2, table[8], dim=0)
    assert found.cosines[0] == pytest.approx(expected.item(), abs=1e-6)
    assert found.known.tolist() == [True, False] and found.whole.tolist() == [False, False]


def test_sets_of_which_hardly_a_word_is_one_token_are_left_out_by_name():
    known = [word for pair in read_pairs()["SimLex-999"][:20] for word in (pair.first, pair.second)]
    tokens = tokenizer(sorted({word.lower() for word in known}))
    found, remarks = word_similarities({"ours": encoder(tokens)}, Tokens(tokens, 8))
    assert {name.split(",")[0] for name in found} == {"SimLex-999"}
    assert len(remarks) == 1 and "one token each, WordSim-353 (1 of 353 pairs):" in remarks[0]


@pytest.mark.parametrize("there", [True, False])
def test_results_and_the_terminal_have_it_or_say_why_not(there, tmp_path, monkeypatch, capsys):
    words = [word for pair in read_pairs()["SimLex-999"][:60] for word in (pair.first, pair.second)]
    for label, first in (("a", 0), ("b", 60)):
        (tmp_path / "texts" / label).mkdir(parents=True)
        for number in range(20):
            text = " ".join(words[first + number : first + number + 40])
            (tmp_path / "texts" / label / f"{number}.txt").write_text(text)
    if not there:
        monkeypatch.setattr(ssl_zoo.evaluation.word_similarity, "find_spec", lambda name: None)
    options = ["--trainer.max_steps=2", "--probe_after_fit=true", "--probe.draws=1", "--probe.labels_per_class=[1]"]
    options += ["--probe.ceiling=false", "--probe.layers=false"]
    options += [f"--data.source.root={tmp_path / 'texts'}", "--data.vocab_size=1000"]
    run([*small(FOLDER / "text" / "word2vec.yaml", tmp_path / "runs"), *options])
    (path,) = tmp_path.glob("runs/*/*/results.json")
    result, printed = json.loads(path.read_text()), capsys.readouterr().out
    if there:
        assert {"Word2Vec", "untrained encoder"} == set(result["word_similarity"]["SimLex-999"])
        assert -1 <= result["word_similarity"]["SimLex-999"]["Word2Vec"]["rho"] <= 1
        assert "words that are alike" in printed and "SimLex-999" in printed
    else:
        assert "word_similarity" not in result and MISSING in result["remarks"] and "pip install gensim" in printed
