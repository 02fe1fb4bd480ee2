"""All speech that Debian distributes as data packages."""

from pathlib import Path

from ssl_zoo.data.audio.sources import asterisk
from ssl_zoo.data.audio.sources.asterisk import LANGUAGES, SPEAKERS, WORDS
from ssl_zoo.data.audio.sources.base import AudioSource, LoadedAudio
from ssl_zoo.data.audio.sources.festvox_ru import PHONES, sentences
from ssl_zoo.data.sources.files import resolved


class DebianSpeech(AudioSource):
    """3.7 hours of speech in English, Spanish, French, Italian and Russian, 16 kHz, labelled by language.

    `Asterisk` and `FestvoxRu` together: short prompts in all five languages, and longer sentences with the times of
    their phones in Russian. Further tasks are `voice`, who speaks, and `word`, which number or letter is said. There is
    no official test set. Needs ssl_zoo[speech].

    Args:
        root: folder into which all packages were unpacked, as by `dpkg -x`; without it they are looked for where Debian
            puts them, then in ~/.cache/ssl_zoo, and fetched (234 MB) into the latter if need be.
    """

    name = "DebianSpeech"
    licence = "CC BY-SA 3.0, CC BY 3.0 and BSD-like; see Asterisk and FestvoxRu"

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = None if root is None else resolved(root)

    def load(self) -> LoadedAudio:
        """The prompts, language by language, then the sentences."""
        recordings = [found for language in LANGUAGES for found in asterisk.prompts(language, self.root)]
        russian, speakers = LANGUAGES.index("ru"), [*SPEAKERS, "nsh"]
        voice = {"voice": speakers.index("nsh")}
        recordings += [found._replace(label=russian, tasks=voice) for found in sentences(self.root)]
        return LoadedAudio(recordings, LANGUAGES, {"voice": speakers, "word": WORDS}, PHONES)
