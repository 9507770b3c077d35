"""Tables and figures of the stored studies, rebuilt from their rows.

A study is a folder results/NAME of row files (`metrics.study`). All of its tables go to
results/NAME/tables.md, its figures to docs/figures/NAME/; docs/figures/versions.json
says what they were drawn with. RESULTS.md has slots for the few tables of its one page:

  <!-- table NAME PART -->
  ...
  <!-- end -->

NAME is a study and PART one of its tables (those of tables.md, or of
`headline.short_tables`), or NAME is `all` and PART `headline` or `twins`. What stands
between the two lines is replaced. For the same rows and versions all of it is the same
to the byte. A section about a study that may be missing stands between two others:

  <!-- section NAME -->
  ...
  <!-- end section -->

It is emptied where there is no such study. Where there is one and the section is empty,
its text is that of templates/results_NAME.md; text that is there is kept.
"""

import functools
import importlib.metadata
import json
import pathlib
import re
from collections.abc import Iterable

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import budgets, study, summary
from lsaprobe_jax.report import headline, studies
from lsaprobe_jax.rows import Row, has_score, parse_rows

_RESAMPLES, _SEED = 10_000, 0
# What the bytes of a figure depend on.
_DRAWN_BY = ("matplotlib", "numpy", "scipy", "scikit-learn")
_SLOT = re.compile(r"(<!-- table (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SECTION = re.compile(
  r"(<!-- section (\S+) -->\n)(.*?)(<!-- end section -->)", re.DOTALL
)
# Stands for all studies in a slot; what it holds is Markdown.
_ALL = "all"
_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_HEAD = """# Tables of the study `{name}`

`python -m launch.reproduce` makes this file from the rows beside it. What the columns
mean says [docs/evaluation.md](../../docs/evaluation.md), what was found
[RESULTS.md](../../RESULTS.md). Tables of an ablation leave out the methods that it does
not change, and name them once.

"""

summarise = functools.partial(summary.summarise, resamples=_RESAMPLES, seed=_SEED)


def add(name: str, source: pathlib.Path, root: pathlib.Path) -> list[str]:
  """Stores rows as a study, replacing one of that name.

  Ablations without a main table (`launch.sweep --nomain`) are added to the study that
  is there, replacing those of their names.

  Args:
    name: name of the study: letters, digits, hyphens and underscores.
    source: the folder of a sweep, or the working folder of launch.eval.
    root: the folder of RESULTS.md and results/.

  Returns:
    The names of what was stored.

  Raises:
    ArgumentError: the name or the folder cannot be used.
  """
  if not re.fullmatch(r"[\w-]+", name):
    raise ArgumentError(f"add={name}={source}: give NAME=FOLDER")
  try:
    parts = _read_any(source)
    study.check_ablations(parts)
  except (OSError, ValueError) as error:
    raise ArgumentError(f"add={name}={source}: {error}") from error
  target = root / "results" / name
  if study.MAIN not in parts and study.TUNE in parts:
    raise ArgumentError(
      f"add={name}={source}: has {study.TUNE}.jsonl and no {study.MAIN}.jsonl; finish"
      " the sweep"
    )
  if study.MAIN not in parts and not (target / f"{study.MAIN}.jsonl.gz").is_file():
    raise ArgumentError(
      f"add={name}={source}: has no {study.MAIN}.jsonl, and there is no study {name} to"
      " add ablations to; run launch.sweep without --nomain"
    )
  target.mkdir(parents=True, exist_ok=True)
  for path in target.glob("*.jsonl.gz"):
    if study.MAIN in parts or path.name.split(".")[0] in parts:
      path.unlink()
  for part, rows in parts.items():
    (target / f"{part}.jsonl.gz").write_bytes(study.pack(rows))
  return list(parts)


def _read_any(source: pathlib.Path) -> dict[str, list[Row]]:
  """Rows of a sweep by the name of their file, or those of an evaluation as `main`."""
  path = source / "scores.jsonl"
  if not path.is_file():
    return study.read(source, whole=False)
  rows = parse_rows(path, path.read_bytes()).values()
  return {study.MAIN: [row for row in rows if has_score(row)]}


def rebuild(root: pathlib.Path) -> list[str]:
  """Makes the tables and figures of all studies anew, and fills RESULTS.md.

  Args:
    root: the folder of RESULTS.md, results/ and docs/figures/.

  Returns:
    The names of the studies.

  Raises:
    ArgumentError: there is nothing to rebuild, a study is damaged, or RESULTS.md asks
      for a table that is not there.
  """
  folders = sorted(path.parent for path in root.glob("results/*/main.jsonl.gz"))
  path = root / "RESULTS.md"
  if not folders or not path.is_file():
    raise ArgumentError(f"root={root}: no RESULTS.md, or no study in results/")
  tables, records = {}, {}
  for folder in folders:
    name = folder.name
    try:
      parts = study.read(folder)
      tables[name], records[name] = studies.make_tables(parts, summarise)
      if pushed := budgets.format_by_budget(parts[study.MAIN]):
        tables[name]["budgets"] = pushed
      drawn = studies.draw(parts, records[name], root / "docs" / "figures" / name)
      text = studies.document(tables[name], drawn, f"../../docs/figures/{name}/")
      write_whole(folder / "tables.md", _HEAD.format(name=name) + text + "\n")
      tables[name] |= headline.short_tables(parts, records[name])
    except (OSError, ValueError) as error:
      raise ArgumentError(f"root={root}: {name}: {error}") from error
  versions = {name: importlib.metadata.version(name) for name in _DRAWN_BY}
  made_by = root / "docs" / "figures" / "versions.json"
  write_whole(made_by, json.dumps(versions, indent=1) + "\n")
  tables[_ALL] = {"headline": headline.format_headline(records)}
  tables[_ALL]["twins"] = link_twins(root)
  write_whole(path, fill(fill_sections(path.read_text(), records), tables))
  return [folder.name for folder in folders]


def link_twins(root: pathlib.Path) -> str:
  """Links to what is written of twins in results/twins/, if anything is."""
  paths = sorted(root.glob("results/twins/*.md"))
  lines = []
  for path in filter(pathlib.Path.is_file, paths):
    title = path.read_text().partition("\n")[0].lstrip("# ") or path.stem
    lines.append(f"- [{title}]({path.relative_to(root)})")
  return "\n".join(lines)


def fill_sections(text: str, studies_there: Iterable[str]) -> str:
  """A document with its sections about studies that may be missing put in or left out.

  Args:
    text: the document.
    studies_there: names of the studies.
  """

  def section(match: re.Match) -> str:
    head, name, own, end = match.groups()
    if name not in studies_there:
      return head + end
    template = _TEMPLATES / f"results_{name}.md"
    return head + (own or (template.read_text() if template.is_file() else "")) + end

  return _SECTION.sub(section, text)


def fill(text: str, tables: dict[str, dict[str, str]]) -> str:
  """A document with the tables in its slots made anew.

  Args:
    text: the document.
    tables: text of the tables by study and part.

  Raises:
    ArgumentError: the document asks for a table that is not there.
  """

  def table(match: re.Match) -> str:
    head, name, part, end = match.groups()
    if part not in tables.get(name, {}):
      there = ", ".join(f"{n} {p}" for n, parts in tables.items() for p in parts)
      raise ArgumentError(
        f"root: RESULTS.md asks for table {name} {part}; there are {there}"
      )
    text = tables[name][part]
    text = text if name == _ALL else studies.shown(text)
    return f"{head}{text}\n{end}" if text else head + end

  return _SLOT.sub(table, text)
