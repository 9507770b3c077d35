"""Rebuilds every table and figure of RESULTS.md from the stored rows; scores nothing.

python -m launch.reproduce [--add=mini=runs/sweep]

A study is a folder results/NAME of row files (`evaluation.study`); --add makes one of
what launch.sweep wrote, replacing one of that name. RESULTS.md says where tables go:

  <!-- table NAME PART -->
  ...
  <!-- end -->

with PART one of gates, main, models, comparisons, operating_points, sets, advantage
(the probe less its rivals, in all ablations), the names of ablations, and those with
_tpr, _gates or _comparisons behind. What stands between is replaced; figures go to
docs/figures/NAME/, and versions.json beside them says what they were drawn with. For
the same rows and versions of NumPy, SciPy, scikit-learn and Matplotlib all of it is the
same to the byte.
"""

import functools
import importlib.metadata
import json
import pathlib
import re

from absl import app, flags, logging

from launch import command
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import study, summary
from lsaprobe_jax.report import studies

_ADD = flags.DEFINE_list("add", [], "NAME=FOLDER: store the rows of these studies.")
_ROOT = flags.DEFINE_string(
  "root", str(pathlib.Path(__file__).parents[1]), "Folder of RESULTS.md and results/."
)

_RESAMPLES, _SEED = 10_000, 0
# What the bytes of a figure depend on.
_DRAWN_BY = ("matplotlib", "numpy", "scipy", "scikit-learn")
_SLOT = re.compile(r"(<!-- table (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def add(name: str, source: pathlib.Path, target: pathlib.Path) -> None:
  """Stores the rows of a study that launch.sweep wrote."""
  try:
    parts = study.read(source)
    study.check_ablations(parts)
  except (OSError, ValueError) as error:
    raise app.UsageError(f"--add={name}={source}: {error}") from error
  target.mkdir(parents=True, exist_ok=True)
  for path in target.glob("*.jsonl.gz"):
    path.unlink()
  for part, rows in parts.items():
    (target / f"{part}.jsonl.gz").write_bytes(study.pack(rows))
  logging.info("%s: %s", target, ", ".join(parts))


def fill(text: str, tables: dict[str, dict[str, str]]) -> str:
  """RESULTS.md with its tables made anew; UsageError on one that is not there."""

  def table(match: re.Match) -> str:
    head, name, part, end = match.groups()
    if part not in tables.get(name, {}):
      raise app.UsageError(
        f"RESULTS.md asks for table {name} {part}; there are"
        f" {', '.join(f'{n} {p}' for n, ps in tables.items() for p in ps)}"
      )
    body = tables[name][part]
    return f"{head}{body if body.startswith('|') else fenced(body)}\n{end}"

  return _SLOT.sub(table, text)


def fenced(text: str) -> str:
  """Plain text as Markdown shows it unchanged."""
  return f"```\n{text}\n```"


def main(argv):
  """Stores what --add names, then rebuilds."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  root = pathlib.Path(_ROOT.value)
  for pair in _ADD.value:
    name, equals, source = pair.partition("=")
    if not (equals and re.fullmatch(r"[\w-]+", name)):
      raise app.UsageError(f"--add={pair}: give NAME=FOLDER")
    add(name, pathlib.Path(source), root / "results" / name)
  folders = sorted(path.parent for path in root.glob("results/*/main.jsonl.gz"))
  if not folders or not (root / "RESULTS.md").is_file():
    raise app.UsageError(f"--root={root}: no RESULTS.md, or no study in results/")
  summarise = functools.partial(summary.summarise, resamples=_RESAMPLES, seed=_SEED)
  tables = {}
  for folder in folders:
    try:
      parts = study.read(folder)
      tables[folder.name], records = studies.make_tables(parts, summarise)
      studies.draw(parts, records, root / "docs" / "figures" / folder.name)
    except (OSError, ValueError) as error:
      raise app.UsageError(f"--root={root}: {folder.name}: {error}") from error
  versions = {name: importlib.metadata.version(name) for name in _DRAWN_BY}
  made_by = root / "docs" / "figures" / "versions.json"
  write_whole(made_by, json.dumps(versions, indent=1) + "\n")
  path = root / "RESULTS.md"
  write_whole(path, fill(path.read_text(), tables))
  logging.info("wrote %s and docs/figures of %d studies", path, len(folders))


if __name__ == "__main__":
  command.run(main)
