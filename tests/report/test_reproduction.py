"""What is rebuilt of stored studies, on made-up ones."""

import shutil

import crossover
import crossover_twins
import pytest

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics import study
from lsaprobe_jax.report import headline, reproduction


@pytest.fixture
def root(tmp_path):
  """Two studies of the same rows, one of them a grid of two cells."""
  rows = [row for m in ("lsa_probe", "loss") for row in crossover.rows(m, effect=2.0)]
  names = ("diffwave-multigenre", "musicldm-piano")
  cells = [row | {"value": name} for name in names for row in rows]
  for name, parts in {"mini": {}, "grid": {"cell": cells}}.items():
    folder = tmp_path / "results" / name
    folder.mkdir(parents=True)
    for part, own in ({"main": rows} | parts).items():
      (folder / f"{part}.jsonl.gz").write_bytes(study.pack(own))
  text = "# Results\n\n{}\nold\n<!-- end -->\nprose\n{}\nold\n<!-- end -->\n"
  slots = "<!-- table all headline -->", "<!-- table mini gates -->"
  (tmp_path / "RESULTS.md").write_text(text.format(*slots))
  return tmp_path


def files(root):
  return {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}


def test_all_is_rebuilt_and_a_second_time_the_same(root, monkeypatch):
  monkeypatch.setattr(reproduction, "summarise", _few)
  assert reproduction.rebuild(root) == ["grid", "mini"]
  made = files(root)
  text = (root / "RESULTS.md").read_text()
  assert "old" not in text
  assert "\nprose\n" in text
  assert "```\nblind baseline: NOT RUN" in text
  tables = (root / "results" / "grid" / "tables.md").read_text()
  assert tables.startswith("# Tables of the study `grid`\n")
  assert "## cell_comparisons\n" in tables
  assert "![cell](../../docs/figures/grid/cell.svg)" in tables
  assert (root / "docs" / "figures" / "grid" / "cell.svg").is_file()
  assert (root / "docs" / "figures" / "versions.json").is_file()
  reproduction.rebuild(root)
  assert files(root) == made


def _few(rows):
  from lsaprobe_jax.metrics import summary

  return summary.summarise(rows, resamples=20)


def test_the_headline_has_a_row_for_each_study_and_cell(root):
  records = {
    name: {
      part: _few(rows) if part == "main" else study.ablation_records(part, rows, _few)
      for part, rows in study.read(root / "results" / name).items()
    }
    for name in ("grid", "mini")
  }
  lines = headline.format_headline(records).splitlines()
  assert lines[0].startswith("| study | tracks | lsa_probe | random_stability | loss |")
  # The cell that is the study `mini` again is not shown twice.
  assert [line.split(" | ")[0] for line in lines[2:]] == ["| mini", "| musicldm-piano"]
  (mean,) = (
    r
    for r in records["mini"]["main"]
    if (r["model"], r["method"]) == ("mean", "lsa_probe")
  )
  bold = f"**{mean['auc']:.3f} [{mean['auc_ci'][0]:.3f}, {mean['auc_ci'][1]:.3f}]**"
  assert lines[2].split(" | ")[1:3] == ["24", bold]


def test_a_table_that_is_not_there_is_named():
  text = "<!-- table mini colour -->\n<!-- end -->\n"
  with pytest.raises(ArgumentError, match=r"^root: .* table mini colour; .* mini main"):
    reproduction.fill(text, {"mini": {"main": "| a |"}})


def test_what_cannot_be_stored_or_rebuilt_is_named(tmp_path):
  with pytest.raises(ArgumentError, match=r"^root=.*no study in results"):
    reproduction.rebuild(tmp_path)
  with pytest.raises(ArgumentError, match=r"^add=x y=.*give NAME=FOLDER"):
    reproduction.add("x y", tmp_path, tmp_path)
  with pytest.raises(ArgumentError, match=r"^add=x=.*no such folder"):
    reproduction.add("x", tmp_path / "none", tmp_path)


def test_rows_of_a_sweep_replace_a_study(root, tmp_path):
  source = tmp_path / "sweep"
  source.mkdir()
  (source / "main.jsonl").write_text(study.row_lines(crossover.rows(effect=1.0)))
  assert reproduction.add("grid", source, root) == ["main"]
  assert study.read(root / "results" / "grid") == {"main": crossover.rows(effect=1.0)}


def test_ablations_alone_are_added_to_a_study(root, tmp_path):
  source = tmp_path / "sweep"
  source.mkdir()
  rows = [row | {"value": 3} for row in crossover.rows(effect=1.0)]
  (source / "dose.jsonl").write_text(study.row_lines(rows))
  before = study.read(root / "results" / "grid")
  assert reproduction.add("grid", source, root) == ["dose"]
  assert study.read(root / "results" / "grid") == before | {"dose": rows}
  # A second time those of the same name are replaced.
  more = [row | {"value": 4} for row in rows]
  (source / "dose.jsonl").write_text(study.row_lines(more))
  reproduction.add("grid", source, root)
  assert study.read(root / "results" / "grid") == before | {"dose": more}
  (source / "tune.jsonl").write_text(study.row_lines(crossover.rows()))
  with pytest.raises(ArgumentError, match=r"^add=grid=.*finish the sweep"):
    reproduction.add("grid", source, root)
  assert study.read(root / "results" / "grid") == before | {"dose": more}
  (source / "tune.jsonl").unlink()
  with pytest.raises(ArgumentError, match=r"^add=new=.*no study new to add"):
    reproduction.add("new", source, root)
  assert not (root / "results" / "new").exists()


def test_a_section_comes_and_goes_with_its_study(root, monkeypatch):
  """RESULTS.md is whole with the study of fresh tracks and without it."""
  monkeypatch.setattr(reproduction, "summarise", _few)
  path = root / "RESULTS.md"
  head, end = "<!-- section extra -->\n", "<!-- end section -->\n"
  slots = "<!-- table mini calibrations -->\n<!-- end -->\n"
  path.write_text(f"# Results\n\n{slots}{head}{end}after\n")
  reproduction.rebuild(root)
  without = path.read_text()
  assert f"{head}{end}after\n" in without
  assert "| loss | 0.4 | - | 4/0 | 0." in without
  folder = root / "results" / "extra"
  folder.mkdir()
  parts = {"main": crossover_twins.evaluation(), "epochs": crossover_twins.by_epochs()}
  for part, rows in parts.items():
    (folder / f"{part}.jsonl.gz").write_bytes(study.pack(rows))
  assert reproduction.rebuild(root) == ["extra", "grid", "mini"]
  text = path.read_text()
  own = text[text.index(head) : text.index(end)]
  assert "--add=extra=" in own
  assert "(results/extra/tables.md)" in own
  assert "| lsa_probe_anchored | 0.4 |" in own
  tables = (folder / "tables.md").read_text()
  for name in ("twins_against_reference", "training_length"):
    assert f"## {name}\n" in tables
  assert "lsa_probe_anchored by twins" in tables
  assert (root / "docs/figures/extra/training_length.svg").is_file()
  # What was written by hand there stays.
  edited = text.replace("Models, tracks and", "Findings by hand. Models, tracks and")
  path.write_text(edited)
  reproduction.rebuild(root)
  assert path.read_text() == edited
  shutil.rmtree(folder)
  reproduction.rebuild(root)
  assert path.read_text() == without


def test_links_to_what_is_written_of_twins(tmp_path):
  assert reproduction.link_twins(tmp_path) == ""
  for name, title in (("docs/twins.md", "Twins"), ("results/twins/level.md", "Level")):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(f"# {title}\n\ntext\n")
  links = reproduction.link_twins(tmp_path)
  assert links.endswith("- [Level](results/twins/level.md)")
  slot = "<!-- table all twins -->\n{}<!-- end -->\n"
  filled = reproduction.fill(slot.format("old\n"), {"all": {"twins": links}})
  assert filled == slot.format(f"{links}\n")
  assert reproduction.fill(filled, {"all": {"twins": ""}}) == slot.format("")
