import warnings

import lightning as L
import torch
from lightning.pytorch.loggers import CSVLogger

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.embeddings import Embeddings
from ssl_zoo.callbacks.texts import MethodTexts, decode
from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.files import TextFiles
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.methods.bert import BERT
from ssl_zoo.parts.texts import Texts
from tests.made import write_texts


class Twice(BERT):
    """Writes every text again: no callback and no command knows of it."""

    def texts(self, batch: Batch) -> Texts:
        ids = torch.cat([batch.inputs, batch.inputs], 1)
        return Texts(ids, torch.arange(ids.shape[1]).expand_as(ids) >= batch.inputs.shape[1])

    def predict_step(self, batch: Batch, batch_idx: int) -> Texts:
        return self.texts(batch)


def test_the_texts_of_any_method_are_shown_and_those_that_it_predicts_are_kept(tmp_path, capsys):
    data = TextData(TextFiles(write_texts(tmp_path / "texts.jsonl")), vocab_size=300, batch_size=2)
    data.setup()
    model = Twice(BertEncoder(**BertEncoder.tiny(), vocabulary=data.vocabulary))
    trainer = L.Trainer(
        accelerator="cpu", max_steps=1, log_every_n_steps=1, limit_val_batches=0, enable_model_summary=False,
        enable_checkpointing=False,
        enable_progress_bar=False, callbacks=[MethodTexts(), Embeddings()], logger=CSVLogger(tmp_path, "logs", "one"),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")  # the data lies in memory
        trainer.fit(model, datamodule=data)
        folder = tmp_path / "logs" / "one"
        samples = (folder / "samples.txt").read_text().split("\n" + 80 * "─" + "\n")
        assert len(samples) == 4 and samples[0] in capsys.readouterr().out
        given, own = samples[0].split("│")
        assert given == own and len(given.split()) > 2
        trainer.predict(model, datamodule=data, return_predictions=False)
    written = (folder / "generated.txt").read_text().split("\n" + 80 * "─" + "\n")
    assert len(written) == len(data.test_set) and all("│" in text for text in written)
    assert (folder / "embeddings.npz").is_file()  # of what such a method represents, not of what it writes


def test_a_bar_stands_wherever_what_was_given_and_what_was_written_meet(tmp_path):
    data = TextData(TextFiles(write_texts(tmp_path / "texts.jsonl")), vocab_size=300)
    data.setup()
    ids = [data.tokens().tokenizer.splitter.token_to_id(letter) for letter in "abcd"]
    texts = Texts(torch.tensor([ids]), torch.tensor([[False, True, True, False]]))
    assert decode(texts, data.tokens()) == ["a│b c│d"]
