"""Makes pages of Markdown outside docs/, and links that work in both places.

README.md, RESULTS.md and others are written to be read in the repository. Here they
become pages of the site, and every relative link is looked up in the repository. It
then leads to a page where there is one, to the repository's own address where that is
known (`repo_url`), and else nowhere: its text stays. A link to a file that does not
exist is warned of, which ends a strict build.
"""

import logging
import pathlib
import posixpath
import re

from mkdocs.structure.files import File

_ROOT = pathlib.Path(__file__).parents[1]
_LOG = logging.getLogger("mkdocs.hooks.links")

# Path in the repository -> page; those of docs/ have their own place.
_PAGES = {
  "README.md": "index.md",
  "RESULTS.md": "results.md",
  "CHANGELOG.md": "changelog.md",
  "CONTRIBUTING.md": "contributing.md",
}
_FOLDERS = {
  "benchmarks": "benchmarks",
  "lsaprobe_jax/weights": "weights",
  "results/twins": "twins",
}

_REPORT = "report.html"

_FENCE = re.compile(r"^(```.*?^```)$", re.MULTILINE | re.DOTALL)
# Text without brackets, or an image within; the target without its anchor.
_LINK = re.compile(
  r"(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)\s#]*)(#[^)\s]*)?\)"
)
_ELSEWHERE = re.compile(r"[a-z]+:")


def _pages() -> dict[str, str]:
  """Path in the repository -> page, of what lies outside docs/."""
  pages = dict(_PAGES)
  for folder, place in _FOLDERS.items():
    for path in sorted((_ROOT / folder).glob("*.md")):
      pages[f"{folder}/{path.name}"] = f"{place}/{path.name}"
  return pages


def on_config(config):
  """Lists the page of the embedded benchmark, where it was built."""
  if (_ROOT / "docs" / _REPORT).is_file():
    results = next(part["Results"] for part in config.nav if "Results" in part)
    results.insert(1, {"Results, as a page": _REPORT})
  return config


def on_files(files, config):
  """Adds the pages."""
  for path, page in _pages().items():
    files.append(File.generated(config, page, abs_src_path=str(_ROOT / path)))
  return files


def on_page_markdown(markdown, page, config, files):
  """Rewrites the links of one page, but not what looks like one in code."""
  pages = _pages()
  sources = {place: path for path, place in pages.items()}
  here = page.file.src_uri
  source = sources.get(here, f"docs/{here}")

  def rewrite(match):
    image, text, target, anchor = match.groups(default="")
    text = _LINK.sub(rewrite, text)
    if not target or target.startswith("/") or _ELSEWHERE.match(target):
      return f"{image}[{text}]({target}{anchor})"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if not (_ROOT / path).exists():
      _LOG.warning("%s links to %s, which does not exist", source, target)
    place = pages.get(path)
    if place is None and path.startswith("docs/"):
      place = path.removeprefix("docs/")
    if place is not None and files.get_file_from_path(place):
      relative = posixpath.relpath(place, posixpath.dirname(here) or ".")
      return f"{image}[{text}]({relative}{anchor})"
    if config.repo_url:
      address = f"{config.repo_url.rstrip('/')}/blob/HEAD/{path}{anchor}"
      return f"{image}[{text}]({address})"
    return text

  # What lies within <details> is Markdown too.
  markdown = markdown.replace("<details>", '<details markdown="1">')
  parts = _FENCE.split(markdown)
  parts[::2] = [_LINK.sub(rewrite, part) for part in parts[::2]]
  return "".join(parts)
