"""benchmarks.long_tables: an evaluation's tables, made anew of its stored rows."""

import gzip
import shutil


def test_tables_of_stored_rows_are_those_of_the_evaluation(
  finished, launcher, tmp_path
):
  workdir, _ = finished
  rows = (workdir / "scores.jsonl").read_bytes()
  (tmp_path / "scores.jsonl.gz").write_bytes(gzip.compress(rows))
  shutil.copy(workdir / "run.json", tmp_path)
  done = launcher.run("benchmarks.long_tables", f"--folder={tmp_path}")
  assert done.returncode == 0, done.stderr
  there = (workdir / "tables.txt").read_text()
  assert (tmp_path / "tables.txt").read_text() == there
  gone = launcher.run("benchmarks.long_tables", f"--folder={tmp_path / 'none'}")
  assert gone.returncode
  assert "No such file" in gone.stderr
