"""The prompts of the telephone exchange Asterisk in five languages, from Debian's packages."""

from pathlib import Path

from ssl_zoo.data.audio.sources.base import AudioSource, LoadedAudio, Recording
from ssl_zoo.data.audio.sources.sound_files import recording
from ssl_zoo.data.sources.debian import locate
from ssl_zoo.data.sources.files import resolved

SOUNDS = Path("usr/share/asterisk/sounds")
# Folder of the recordings and who speaks, by language.
VOICES = {
    "en": ("en_US_f_Allison", "Allison"),
    "es": ("es_MX_f_Allison", "Allison"),
    "fr": ("fr_CA_f_June", "June"),
    "it": ("it_IT_m_Carlo", "Carlo"),
    "ru": ("ru_RU_f_IvrvoiceRU", "IvrvoiceRU"),
}
LANGUAGES = list(VOICES)
SPEAKERS = sorted({speaker for _, speaker in VOICES.values()})
# Files that have the same meaning in every language: cardinal numbers, and the letters of the Latin alphabet.
WORDS = [*(f"digits/{number}" for number in [*range(20), *range(20, 100, 10)]), *(f"letters/{letter}" for letter in
         "abcdefghijklmnopqrstuvwxyz")]  # fmt: skip
NO_SPEECH = {"ascending-2tone", "descending-2tone", "beep", "beeperr", "tt-monkeys"}


class Asterisk(AudioSource):
    """2 hours of telephone prompts in English, Spanish, French, Italian and Russian, 16 kHz, labelled by language.

    Asterisk core sounds 1.6.1: words, letters, numbers and short sentences, read by four voices, one of which speaks
    English and Spanish. Further tasks are `voice`, who speaks, and `word`, which number or letter is said, in whatever
    language. Pure silence and beeps are left out. There is no official test set. Without `root` the recordings are
    looked for where Debian's packages asterisk-core-sounds-LANGUAGE-g722 put them, then in ~/.cache/ssl_zoo, and
    fetched (55 MB) into the latter if need be. Needs ssl_zoo[speech] to decode them.

    Args:
        root: folder into which all five packages were unpacked, as by `dpkg -x`.
    """

    name = "Asterisk"
    licence = "CC BY-SA 3.0 (Russian: CC BY 3.0)"

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = None if root is None else resolved(root)

    def load(self) -> LoadedAudio:
        """The prompts, language by language."""
        recordings = [found for language in LANGUAGES for found in prompts(language, self.root)]
        return LoadedAudio(recordings, LANGUAGES, {"voice": SPEAKERS, "word": WORDS}, [])


def prompts(language: str, root: str | None) -> list[Recording]:
    """The prompts in one language.

    Args:
        language: a key of `VOICES`.
        root: folder into which all five packages were unpacked, as by `dpkg -x`.

    Raises:
        InputError: they are neither here nor to be had.
    """
    voice, speaker = VOICES[language]
    folder = locate(f"asterisk-core-sounds-{language}-g722", SOUNDS / voice, root)
    numbers = {word: number for number, word in enumerate(WORDS)}
    recordings = []
    for path in sorted(folder.rglob("*.g722")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        # One file of the Russian package is empty, and always was.
        if name in NO_SPEECH or name.startswith("silence/") or path.stat().st_size == 0:
            continue
        tasks = {"voice": SPEAKERS.index(speaker)}
        if name in numbers:
            tasks["word"] = numbers[name]
        recordings.append(recording(path, label=LANGUAGES.index(language), tasks=tasks))
    return recordings
