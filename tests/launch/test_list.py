"""python -m launch names every launcher."""

import pathlib
import subprocess
import sys

import launch

FOLDER = pathlib.Path(launch.__file__).parent


def run(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "launch", *arguments],
    capture_output=True,
    text=True,
    cwd=FOLDER.parent,
    check=False,
  )


def test_every_launcher_has_its_line():
  done = run()
  assert done.returncode == 0, done.stderr
  lines = dict(line.split(maxsplit=3)[2:] for line in done.stdout.splitlines())
  runs = {p.stem for p in FOLDER.glob("*.py") if ".run(main)\n" in p.read_text()}
  assert set(lines) == {f"launch.{name}" for name in runs}
  assert "launch.eval" in lines
  assert "launch.common" not in lines
  for name, line in lines.items():
    source = (FOLDER / f"{name.removeprefix('launch.')}.py").read_text()
    assert source.lstrip('r"').startswith(line), name
    assert line.endswith((".", "?")), name


def test_a_launcher_is_not_run_by_its_name_behind():
  done = run("eval")
  assert done.returncode == 1
  assert done.stderr.startswith("to run a launcher: python -m launch.NAME; known: ")
  assert " eval," in done.stderr
