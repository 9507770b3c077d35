"""Launchers that read stored rows: damaged ones end in a line, any name is shown."""

import gzip
import json
import pathlib
import shutil

import crossover
from launching import complaint

GOOD = crossover.rows(effect=2.0) + crossover.rows("loss")


def write(path: pathlib.Path, rows) -> pathlib.Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path.parent


def one_line(done) -> str:
  line = complaint(done)
  assert line.startswith("error: ")
  assert len([text for text in done.stderr.splitlines() if text]) == 1
  return line


def test_rows_that_lack_a_field_are_named(tmp_path, launcher):
  rows, field = [dict(row) for row in GOOD], "score"
  del rows[2][field]
  folder = write(tmp_path / "run" / "scores.jsonl", rows)
  said = f"scores.jsonl: line 3 is not a result row (has no {field}); mend or remove it"
  assert said in one_line(launcher.run("sets", f"--workdir={folder}"))
  assert said in one_line(launcher.run("report", f"--workdir={folder}"))
  study = write(tmp_path / "study" / "main.jsonl", rows)
  said = said.replace("scores", "main")
  flags = (f"--root={tmp_path}", f"--add=mini={study}")
  assert said in one_line(launcher.run("reproduce", *flags))


def test_a_damaged_study_is_named_when_all_is_rebuilt(tmp_path, launcher):
  (tmp_path / "RESULTS.md").write_text("# Results\n")
  folder = write(tmp_path / "results" / "mini" / "main.jsonl", [])
  (folder / "main.jsonl").unlink()
  lines = "".join(json.dumps(row | {"score": "high"}) + "\n" for row in GOOD)
  (folder / "main.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
  line = one_line(launcher.run("reproduce", f"--root={tmp_path}"))
  assert "mini: " in line
  assert "main.jsonl.gz: line 1 is not a result row (score is 'high'" in line


def test_names_that_are_no_text_stop_nothing(tmp_path, launcher):
  """Lone surrogates, line breaks and escapes, through tables, pages and files."""
  odd = "\udce9\n\x1b[31m\u202e"
  rows = [row | {"track": row["track"] + odd, "corpus": "t" + odd} for row in GOOD]
  folder = write(tmp_path / "run" / "scores.jsonl", rows)
  done = launcher.run("sets", f"--workdir={folder}", "--draws=20")
  assert done.returncode == 0, done.stderr
  assert "\x1b" not in done.stdout + done.stderr
  names = json.loads((folder / "sets.json").read_text())["sets"]["members"]["names"]
  assert names[0].endswith("\\udce9\\n\\x1b[31m\\u202e")
  study = tmp_path / "study"
  study.mkdir()
  shutil.move(folder / "scores.jsonl", study / "main.jsonl")
  done = launcher.run("report", f"--workdir={study}")
  assert done.returncode == 0, done.stderr
  page = (study / "report.html").read_text(encoding="utf-8")
  assert not set("\x1b\u202e\udce9") & set(page)
