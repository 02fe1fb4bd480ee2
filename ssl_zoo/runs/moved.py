"""Where classes lay before, so that checkpoints that name them there can still be read."""

from typing import Any

_IMAGES = ("base", "digits", "fashion_mnist", "folder", "hugging_face", "image_files", "pixels", "torchvision")
_SOUNDS = ("asterisk", "chunks", "debian_speech", "festvox_ru", "ffmpeg", "sound_files", "torchaudio_sets")
# Modules of 0.1 below `ssl_zoo.data`, whose classes are among the settings in checkpoints, by their old names.
MOVED = {
    **{name: f"{name}.module" for name in ("image", "text", "audio")},
    **{f"sources.{name}": f"image.sources.{name}" for name in _IMAGES},
    **{f"sources.{name}": f"audio.sources.{name}" for name in _SOUNDS},
    "sources.audio_folder": "audio.sources.folder",
    "sources.hugging_face_audio": "audio.sources.hugging_face",
    "sources.hugging_face_text": "text.sources.hugging_face",
    "sources.python_docs": "text.sources.python_docs",
    "sources.text_files": "text.sources.files",
    "sources.wordnet": "text.sources.wordnet",
}


def where_classes_are(settings: Any) -> Any:
    """Settings of a checkpoint with every class named where it lies now."""
    if isinstance(settings, dict):
        return {
            name: _present(value) if name.endswith("class_path") else where_classes_are(value)
            for name, value in settings.items()
        }
    return [where_classes_are(value) for value in settings] if isinstance(settings, list) else settings


def _present(path: Any) -> Any:
    module, _, name = str(path).rpartition(".")
    package, _, place = module.partition(".data.")
    return f"ssl_zoo.data.{MOVED[place]}.{name}" if package == "ssl_zoo" and place in MOVED else path
