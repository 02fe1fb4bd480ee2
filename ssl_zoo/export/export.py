"""`ssl-zoo export`: the encoder of a finished run for people who do not have this package."""

from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn
from rich.console import Console

from ssl_zoo.data.base import DataModule
from ssl_zoo.data.same_split import OtherSplit
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.front_ends import WaveConvolutions
from ssl_zoo.encoders.image import ResNet, ViT
from ssl_zoo.encoders.text_base import TextEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.export.card import write_card
from ssl_zoo.export.loading import Loading
from ssl_zoo.export.program import as_evaluated, save_program
from ssl_zoo.export.torchvision_weights import save_for_torchvision
from ssl_zoo.export.transformers_folder import save_text_encoder, save_tokenizer, save_vit, save_wav2vec2, without_bars
from ssl_zoo.runs.run import Run, load_run, read_run
from ssl_zoo.writable import check_writable

# What the exporter traces an encoder with; the program takes any number.
EXAMPLES = 2


def export(
    run: Path, out: Path, licence: str | None = None, allow_other_split: bool = False, root: Path | None = None
) -> None:
    """Writes the encoder of a run's last checkpoint for use without ssl_zoo.

    A ViT, BERT, ModernBERT, GPT-2 or wav2vec 2.0 on waveforms becomes a folder for the transformers library, with what
    prepares its inputs; a ResNet becomes weights for torchvision. Every encoder also becomes encoder.pt2, a program of
    torch.export that needs PyTorch alone. README.md is a model card: method, data, budget, results if the run has been
    probed, and code that loads each form. Where the data the run was trained on is gone, it is exported without.

    Args:
        run: the run directory, runs/<experiment>/<time>-<id>.
        out: a new folder to write to.
        licence: what the weights may be used under, by its name on the Hugging Face Hub such as apache-2.0; the data's
            own licence is in the card, too.
        allow_other_split: go on although the data is not split any more as it was while the run trained.
        root: where the run's data lies now, where it was moved; short for --data.source.root.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out: {out} exists already; name a folder that does not, or empty it first.")
    check_writable(out, "--out")
    write_export(_with_data_where_it_is(run, allow_other_split, root), out, licence)
    names = ", ".join(sorted(path.name for path in out.iterdir()))
    Console(soft_wrap=True).print(f"Exported to {out}: {names}", highlight=False)


def _with_data_where_it_is(directory: Path, allow_other_split: bool, root: Path | None) -> Run:
    """The run, whose data must be split as it was; where the data is gone, what the run keeps of it will do."""
    try:
        return load_run(directory, allow_other_split, root)
    except OtherSplit:
        raise
    except InputError as error:  # is said below, unless it is the run's fault, which `read_run` raises again
        if root is not None:
            raise
        run = read_run(directory)
        rank_zero_warn(f"The run is exported without the data it was trained on, which cannot be read: {error}")
        return run


def write_export(run: Run, out: Path, licence: str | None = None) -> None:
    """Writes every form of a run's encoder, and the card; errors as `save_program` and `write_card`.

    Args:
        run: a finished run, whose encoder lies on the CPU.
        out: is made where it does not exist.
        licence: licence of the weights, for the model card; none is named when left out.
    """
    out.mkdir(parents=True, exist_ok=True)
    encoder = run.encoder
    # First, since it alone can fail.
    program = save_program(as_evaluated(run.method, encoder), run.data, run.data.stand_ins(EXAMPLES), out)
    with without_bars():
        libraries = _for_libraries(encoder, run.data, out)
    write_card(run, [*libraries, program], licence, out)


def _for_libraries(encoder: Encoder, data: DataModule, out: Path) -> list[Loading]:
    """Writes what a library knows under a name of its own."""
    if isinstance(encoder, ResNet):
        return [save_for_torchvision(encoder, out)]
    if isinstance(encoder, ViT):
        return [save_vit(encoder, out)]
    if isinstance(encoder, TextEncoder) and encoder.in_library:
        return [save_text_encoder(encoder, data, out)]
    if (tokens := data.tokens()) is not None:  # without which nobody has the ids that the program reads
        save_tokenizer(tokens.tokenizer, tokens.length, False, out)
    if isinstance(encoder, Wav2Vec2Encoder) and isinstance(encoder.front_end, WaveConvolutions):
        return [save_wav2vec2(encoder, encoder.front_end, out)]
    return []
