import json
import pathlib

NOTEBOOKS = pathlib.Path(__file__).parents[1] / "notebooks"


def test_probe_one_clip_runs_and_finds_a_cost(capsys):
  notebook = json.loads((NOTEBOOKS / "probe_one_clip.ipynb").read_text())
  cells = [c["source"] for c in notebook["cells"] if c["cell_type"] == "code"]
  # One namespace, cell after cell, as a kernel would; without starting one.
  space = {}
  for source in cells:
    exec(compile("".join(source), "probe_one_clip.ipynb", "exec"), space)
  printed = capsys.readouterr().out
  assert "A trained on this clip: True" in printed
  assert "B trained on this clip: False" in printed
  assert printed.count("C_adv <=") == 2
  assert 0 < float(space["found"].cost) <= 0.8
