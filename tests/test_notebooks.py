"""Notebooks, whole, in a kernel of their own, on small settings."""

import json
import pathlib
import re
import sys

import nbclient
import nbformat
import pytest
import tiny_musicldm as tiny
from jupyter_client import kernelspec, manager

from lsaprobe_jax.audit import AuditSettings

NOTEBOOKS = pathlib.Path(__file__).parents[1] / "notebooks"


@pytest.fixture
def run(monkeypatch, tmp_path):
  """`run(name, **environment)` -> its outputs, in order."""
  # This environment's own Python, whatever kernels the machine has installed.
  spec = kernelspec.KernelSpec(
    argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    display_name="Python 3",
    language="python",
  )
  monkeypatch.setattr(
    kernelspec.KernelSpecManager, "get_kernel_spec", lambda self, name: spec
  )
  for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
    monkeypatch.setenv(name, str(tmp_path / name))
  monkeypatch.setenv("LSAPROBE_SMALL", "1")
  # What runs is this tree, also in the launchers that a notebook starts.
  monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))

  def run(name, **environment):
    for key, value in environment.items():
      monkeypatch.setenv(key, value)
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    client = nbclient.NotebookClient(
      notebook,
      km=manager.AsyncKernelManager(kernel_name="python3"),
      timeout=900,
      resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    return [out for cell in notebook.cells for out in cell.get("outputs", ())]

  return run


def printed(outputs) -> str:
  """What went to stdout."""
  streams = (out for out in outputs if out.output_type == "stream")
  return "".join(out.text for out in streams if out.name == "stdout")


def shown(outputs, kind: str) -> list[str]:
  """What was displayed in one MIME type."""
  data = (out.get("data", {}) for out in outputs)
  return [own[kind] for own in data if kind in own]


def sounds(outputs) -> list[str]:
  """Pages with a player of sound."""
  return [page for page in shown(outputs, "text/html") if "data:audio/wav" in page]


def test_all_notebooks_are_run_here_and_keep_outputs():
  source = pathlib.Path(__file__).read_text()
  for path in NOTEBOOKS.glob("*.ipynb"):
    assert re.search(rf'run\(\s*"{path.stem}"', source)
    assert any(cell.get("outputs") for cell in json.loads(path.read_text())["cells"])


def test_the_outputs_that_are_kept_are_of_audits_as_they_are_now():
  kept = {
    name: printed(
      out
      for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
      for out in cell.get("outputs", ())
    )
    for name in ("audit_your_folder", "audit_a_lora")
  }
  for method in AuditSettings().methods:
    assert f"\n{method}: 162 clips" in kept["audit_your_folder"]
  # What the gates say today, which they did not always.
  for text in kept.values():
    assert "would often be missed" in text
    assert "unseen music is centred: " in text


@pytest.mark.slow
def test_tour(run):
  outputs = run("tour")
  text = printed(outputs)
  assert "A was trained on this clip: True" in text
  assert "B was trained on this clip: False" in text
  costs = [float(cost) for cost in re.findall(r"C_adv <= (\S+)", text)]
  assert len(costs) == 2
  assert all(0 < cost <= 0.8 for cost in costs)
  assert float(re.search(r"D = (\S+) at eta", text)[1]) > 0
  assert len(sounds(outputs)) == 4
  assert len(shown(outputs, "image/png")) == 2


@pytest.mark.slow
def test_train_and_cross_over(run):
  outputs = run("train_and_cross_over")
  text = printed(outputs)
  losses = re.findall(r"[AB]: loss (\d+\.\d+) in epoch 1, (\d+\.\d+) in epoch", text)
  assert len(losses) == 2
  for method in ("loss", "lsa_probe"):
    for model in ("A", "B", "mean"):
      assert re.search(rf"^{method} +{model} ", text, re.MULTILINE)
  assert len(shown(outputs, "image/png")) == 1


@pytest.mark.slow
def test_port_a_checkpoint(run, tmp_path):
  pipeline = tiny.save_pipeline(tmp_path / "pipeline")
  outputs = run(
    "port_a_checkpoint",
    LSAPROBE_PIPELINE=str(pipeline),
    # Compiles in less time what is hardly run.
    JAX_DISABLE_MOST_OPTIMIZATIONS="1",
  )
  text = printed(outputs)
  parts = re.findall(r"^(\w+): [\d,]+ parameters", text, re.MULTILINE)
  assert set(parts) == {"unet", "vae", "vocoder", "conditioning"}
  worst = [float(found) for found in re.findall(r"eta \S+  D (\S+)", text)]
  assert len(worst) == 3
  assert all(degradation > 0 for degradation in worst)
  assert len(sounds(outputs)) == 1


@pytest.mark.slow
def test_audit_your_folder(run):
  outputs = run("audit_your_folder")
  text = printed(outputs)
  assert "estimate:" in text
  (verdict,) = shown(outputs, "text/markdown")
  # By loss alone, on the very clips that the embedded model was trained on.
  assert "vidence" in verdict
  gates = re.search(r"gates: (\{.*\})", text)[1]
  assert "False" not in gates
  assert len(re.findall(r"^p = \S+, q = ", text, re.MULTILINE)) == 5
  assert len(shown(outputs, "image/svg+xml")) >= 1


@pytest.mark.slow
def test_audit_a_lora(run):
  outputs = run("audit_a_lora")
  text = printed(outputs)
  assert "1 passes over 31 clips" in text
  # One pass is too little to be seen; what is seen after forty the notebook keeps.
  (verdict,) = shown(outputs, "text/markdown")
  assert "vidence" in verdict
  assert re.search(r"^note: settings are untuned for this family", text, re.MULTILINE)
  assert re.search(r"^p-value: 0\.\d+$", text, re.MULTILINE)
