"""launch.reproduce on the studies of the repository, and what it refuses."""

import pathlib
import re
import shutil

import pytest
from launching import complaint

ROOT = pathlib.Path(__file__).parents[2]
_SLOT = r"(<!-- table .*? -->\n).*?(<!-- end -->)"


@pytest.mark.slow
def test_the_results_in_the_repository_are_those_of_their_rows(tmp_path, launcher):
  text = (ROOT / "RESULTS.md").read_text()
  empty = re.sub(_SLOT, r"\1\2", text, flags=re.S)
  assert len(empty) < len(text)
  (tmp_path / "RESULTS.md").write_text(empty)
  shutil.copytree(ROOT / "results", tmp_path / "results")
  for path in tmp_path.glob("results/*/tables.md"):
    path.unlink()
  if (ROOT / "docs" / "twins.md").is_file():
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "twins.md", tmp_path / "docs" / "twins.md")
  done = launcher.run("reproduce", f"--root={tmp_path}")
  assert done.returncode == 0, done.stderr
  assert (tmp_path / "RESULTS.md").read_text() == text
  for stored in ROOT.glob("results/*/tables.md"):
    made = tmp_path / stored.relative_to(ROOT)
    assert made.read_bytes() == stored.read_bytes()
  made, stored = (
    {str(path.relative_to(own)): path.read_bytes() for path in own.rglob("*.*")}
    for own in (tmp_path / "docs" / "figures", ROOT / "docs" / "figures")
  )
  assert made.keys() == stored.keys()
  # Bytes depend on versions; what figures there are does not.
  if made["versions.json"] == stored["versions.json"]:
    svg = {name for name in made if name.endswith(".svg")}
    assert [name for name in sorted(svg) if made[name] != stored[name]] == []


def test_the_results_are_a_page():
  text = (ROOT / "RESULTS.md").read_text()
  assert len(text) <= 20_000
  studies = {path.parent.name for path in ROOT.glob("results/*/main.jsonl.gz")}
  for name in studies:
    assert f"(results/{name}/tables.md)" in text
    assert f"(docs/figures/{name}/" in text
    assert f"--add={name}=" in text


def test_links_of_the_results_lead_somewhere():
  text = (ROOT / "RESULTS.md").read_text()
  for target in re.findall(r"\]\(([^)#]+)", text):
    assert target.startswith("https://") or (ROOT / target).exists(), target


def test_a_study_that_is_not_there_is_refused(tmp_path, launcher):
  (tmp_path / "RESULTS.md").write_text("<!-- table gone main -->\n<!-- end -->\n")
  line = complaint(launcher.run("reproduce", f"--root={tmp_path}"))
  assert "no study in results" in line
  line = complaint(
    launcher.run("reproduce", f"--root={tmp_path}", f"--add=x={tmp_path / 'none'}")
  )
  assert "no such folder" in line
