"""Builds the documentation's site from README, the guides in docs/ and the docstrings of ssl_zoo.

    uv run --group docs python docs/build.py [FOLDER]

writes `FOLDER/html` (`site/html` unless another folder is named) and fails on any warning: a broken link, a docstring
that documents an argument there is not. What GitHub shows in one place and the site in another is brought together in
`FOLDER/pages`, which is where the generator reads.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
LINKED = ("experiments", "notebooks")


def write_guides(pages: Path) -> None:
    """README and docs/, whose links to each other and to other files lead to the same files on the site."""
    shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("*.py", "*.yml", "__pycache__"))
    for page in pages.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(re.sub(r"\]\(\.\./([^)#]+)", lambda link: f"]({PAGES.get(link[1], link[1])}", text))
    for name, page in PAGES.items():
        (pages / page).write_text((ROOT / name).read_text(encoding="utf-8").replace("](docs/", "]("))
    for name in LINKED:
        shutil.copytree(ROOT / name, pages / name)


def write_reference(pages: Path) -> list[dict[str, str]]:
    """A page for each package, with the docstrings of its modules; returns the entries of the menu."""
    (pages / "reference").mkdir()
    entries = []
    for package in sorted(path.parent for path in (ROOT / "ssl_zoo").rglob("__init__.py")):
        name = ".".join(package.relative_to(ROOT).parts)
        modules = [f"{name}.{path.stem}" for path in sorted(package.glob("*.py")) if not path.stem.startswith("_")]
        (pages / "reference" / f"{name}.md").write_text(
            f"# {name}\n\n" + "\n".join(f"::: {module}\n" for module in [name, *modules])
        )
        entries.append({name: f"reference/{name}.md"})
    return entries


def build(out: Path) -> int:
    """Writes the site; returns the exit code.

    Args:
        out: Folder for `pages` and `html`, which are replaced; whatever else is in it stays.
    """
    for made in (out / "pages", out / "html"):
        if made.exists():
            shutil.rmtree(made)
    write_guides(out / "pages")
    settings = yaml.safe_load((ROOT / "docs" / "mkdocs.yml").read_text())
    settings["nav"].append({"Reference": write_reference(out / "pages")})
    settings |= {"docs_dir": "pages", "site_dir": "html"}
    settings["plugins"][-1]["mkdocstrings"]["handlers"]["python"]["paths"] = [str(ROOT)]
    (out / "mkdocs.yml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", "mkdocs.yml"]
    done = subprocess.run(command, cwd=out, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    # What is wrong in docstrings is written by their reader, griffe, and is no warning to the generator.
    return done.returncode or int("griffe:" in done.stdout)


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "site").resolve()))
