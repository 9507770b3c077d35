"""The commands of docs/lora.md on a folder as diffusers saves it, in stereo.

The pipeline is a tiny ACE-Step, whose files are those of diffusers; that diffusers
reads them alike is compared in the parity tests.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tiny_ace_step
from safetensors.numpy import load_file, save_file

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
RATE = tiny_ace_step.CONFIG["vae"]["sampling_rate"]
QUICK = (
  "corpus.clip_seconds=0.128",
  "corpus.clips_per_track=3",
  "alpha=0.2",
  "permutations=99",
  "methods=('loss',)",
  "twins.names=('polarity',)",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  """A pipeline, a LoRA of its attention, 8 suspects and 14 reference tracks."""
  root = tmp_path_factory.mktemp("stereo")
  tiny_ace_step.save_pipeline(root / "pipeline")
  weights = root / "pipeline" / "transformer" / "diffusion_pytorch_model.safetensors"
  random, lora = np.random.default_rng(0), {}
  for name, value in load_file(weights).items():
    if name.endswith("self_attn.to_q.weight"):
      module = f"transformer.{name.removesuffix('.weight')}"
      out, inputs = value.shape
      lora[f"{module}.lora_A.weight"] = random.normal(size=(2, inputs))
      lora[f"{module}.lora_B.weight"] = random.normal(size=(out, 2))
  assert lora
  made = {name: value.astype(np.float32) for name, value in lora.items()}
  save_file(made, root / "artist.safetensors")
  for seed in range(22):
    path = root / ("suspects" if seed < 8 else "reference") / f"{seed:02d}.wav"
    path.parent.mkdir(exist_ok=True)
    own = np.random.default_rng(100 + seed)
    noise = own.normal(size=(RATE // 2, 2)) * [0.1, 0.05]
    soundfile.write(path, np.cumsum(noise, axis=0) % 0.5 - 0.25, RATE, "FLOAT")
  return root


def test_a_lora_of_a_saved_pipeline_is_audited_by_one_command(root):
  command = "import sys; from lsaprobe_jax import cli; sys.exit(cli.main())"
  done = subprocess.run(
    [sys.executable, "-c", command, "audit", "--model=pipeline",
     "--lora=artist.safetensors", "--suspects=suspects", "--reference=reference",
     "--workdir=work", *(f"--set={one}" for one in QUICK)],
    # Converted models are kept below the home folder.
    cwd=root, env=os.environ | {"HOME": str(root), "PYTHONPATH": str(ROOT)},
    capture_output=True, text=True,
  )  # fmt: skip
  # Noise that nobody was trained on: no evidence, or a gate that fails by chance.
  assert done.returncode in (0, 3), done.stderr
  saved = json.loads((root / "work" / "audit.json").read_text())
  assert saved["model"] == "pipeline with the LoRA artist.safetensors"
  assert saved["reference_model"] == "pipeline"
  notes = " ".join(saved["notes"])
  assert "the reference model is the LoRA's base" in notes
  assert "taken over by log-SNR" in notes
  rows = [
    json.loads(line)
    for line in (root / "work" / "scores.jsonl").read_text().splitlines()
  ]
  assert {row["model"] for row in rows} == {"model", "reference"}
  assert {row["channels"] for row in rows} == {2}
  scores = {(row["model"], row["clip"]): row["score"] for row in rows}
  clips = {clip for _, clip in scores}
  assert len(clips) == 66
  assert all(scores["model", c] != scores["reference", c] for c in clips)
  assert (root / "work" / "dossier.html").is_file()
