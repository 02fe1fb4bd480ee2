"""Settings of earlier versions as they are now: where classes lie, and what arguments of methods are called."""

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
# Classes that lay in a file with others, by their names in it.
_ENCODERS = "ssl_zoo.encoders"
MOVED_CLASSES = {
    f"{_ENCODERS}.audio.{name}": f"{_ENCODERS}.audio_causal.{name}" for name in ("CausalConvEncoder", "GRUEncoder")
}
# Settings of the optimizer that stood beside its name among a method's own.
FLAT = ("learning_rate", "weight_decay", "warmup")


def present_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run, as in its config.yaml, as this version writes them.

    Args:
        config: settings by the names of the command line; `model` and `data` may be missing.
    """
    present = where_classes_are(config)
    model = present.get("model")
    if isinstance(model, dict) and isinstance(model.get("init_args"), dict):
        arguments = present_arguments(model["init_args"], str(model.get("class_path")))
        present["model"] = {**model, "init_args": arguments}
    return present


def present_arguments(arguments: dict[str, Any], class_path: str) -> dict[str, Any]:
    """A method's arguments as they are called now.

    Args:
        arguments: those of any version, by name.
        class_path: whole name of the method's class; arguments of a class of the user's own are the user's to name.
    """
    present = dict(arguments)
    name = present.get("optimizer")
    ours_without = class_path.startswith("ssl_zoo.") and "optimizer" not in present
    if isinstance(name, str) or (ours_without and any(each in present for each in FLAT)):
        moved = {each: present.pop(each) for each in FLAT if each in present}
        present["optimizer"] = {**({} if name is None else {"name": name}), **moved}
    for name in ("mask_fraction", "mask_probability"):  # of when each method had its own
        if name in present:
            present["mask_ratio"] = present.pop(name)
    return present


def where_classes_are(settings: Any) -> Any:
    """Settings of a checkpoint with every class named where it lies now."""
    if isinstance(settings, dict):
        return {
            name: _present(value) if name.endswith("class_path") else where_classes_are(value)
            for name, value in settings.items()
        }
    return [where_classes_are(value) for value in settings] if isinstance(settings, list) else settings


def _present(path: Any) -> Any:
    if path in MOVED_CLASSES:
        return MOVED_CLASSES[path]
    module, _, name = str(path).rpartition(".")
    package, _, place = module.partition(".data.")
    return f"ssl_zoo.data.{MOVED[place]}.{name}" if package == "ssl_zoo" and place in MOVED else path
