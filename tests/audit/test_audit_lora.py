"""A LoRA under audit: merged into its base, with the base as the reference model."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_lora
import tiny_musicldm
from safetensors.numpy import load_file, save_file
from tiny_audits import SECONDS, SETTINGS, gates
from tiny_tracks import MODEL, tiny_weights, write_track

from lsaprobe_jax import audit as audits
from lsaprobe_jax import cli, diffusion
from lsaprobe_jax.audit import audit, prepare
from lsaprobe_jax.audit import inputs as audit_inputs
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models import checkpoints, conversion, torch_params
from lsaprobe_jax.models.trained import from_denoiser, load_model

# MusicLDM's front end cannot tell a change of polarity.
QUICK = SETTINGS | SECONDS | {"methods": ("loss",), "twins.names": ()}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  """A pipeline, a LoRA, 8 suspects and 14 reference tracks."""
  root = tmp_path_factory.mktemp("lora")
  tiny_musicldm.save_pipeline(root / "pipeline")
  tiny_lora.save_lora(root / "artist.safetensors", root / "pipeline")
  for seed in range(22):
    side = "suspects" if seed < 8 else "reference"
    write_track(root / side / f"{seed:02d}.wav", seed)
  return root


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory):
  """Where models of all tests here are kept, so that each is converted once."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(conversion, "CACHE", str(tmp_path_factory.mktemp("cache")))
    yield


def given(root, **changes):
  names = {"model": "pipeline", "suspects": "suspects", "reference": "reference"}
  found = {argument: str(root / name) for argument, name in names.items()}
  found |= {"lora": str(root / "artist.safetensors")} | QUICK | changes
  return {name: value for name, value in found.items() if value is not None}


LORA = {"file": "artist.safetensors", "sha256": "0123456789abcdef" * 4, "scale": 1.0}


@pytest.fixture
def loaded(monkeypatch):
  """What audits load, (name in rows, source, how); all are models of one number."""
  seen = []

  def load(source, *, name, lora=None, **how):
    seen.append((name, source, lora, how.get("lora_scale")))
    model = from_denoiser(
      lambda params, x, t: params * x, diffusion.linear(20, 1e-4, 0.2),
      sample_rate=8000, params=jnp.float32(0.5 if lora else 0.25), name=name,
    )  # fmt: skip
    return dataclasses.replace(model, source=source, lora=lora and LORA)

  monkeypatch.setattr(audit_inputs, "load_model", load)
  return seen


def unet_of(root, *, lora):
  """The UNet's parameters, with the LoRA added by its formula or without."""
  state = load_file(root / "pipeline" / tiny_lora.WEIGHTS)
  if lora:
    path = root / "artist.safetensors"
    state = tiny_lora.merged_by_hand(root / "pipeline", path)
  return torch_params.module_params(state)


@pytest.mark.slow
def test_a_lora_is_audited_with_its_base_as_reference_model(root, tmp_path):
  result = audit(**given(root), workdir=tmp_path)
  assert result.difficulty_calibration == "reference"
  model, base = result.inputs.targets
  assert base.lora is None
  assert model.lora["file"] == "artist.safetensors"
  near = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
  jax.tree.map(near, model.model.params, unet_of(root, lora=True))
  jax.tree.map(near, base.model.params, unet_of(root, lora=False))
  scores = {"model": {}, "reference": {}}
  for row in result.rows:
    if row["difficulty_calibration"] == "none":
      scores[row["model"]][row["method"], row["clip"]] = row["score"]
  ours, theirs = scores["model"], scores["reference"]
  assert ours.keys() == theirs.keys()
  assert len(ours) >= 22
  assert all(ours[key] != theirs[key] for key in ours)
  assert [test.name for test in result.findings.tests] == ["by reference"]
  result.save(tmp_path)
  saved = json.loads((tmp_path / "audit.json").read_text())
  pipeline, lora = str(root / "pipeline"), str(root / "artist.safetensors")
  assert saved["model"] == f"{pipeline} with the LoRA {lora}"
  assert saved["reference_model"] == pipeline
  assert saved["lora"] == lora
  digest = model.lora["sha256"][:16]
  notes = [
    f"the model is {pipeline} with the LoRA artist.safetensors (sha256 {digest}, scale"
    " 1.0) merged into it",
    f"the reference model is the LoRA's base, {pipeline} without it: what the base"
    " gives a clip is taken off, so that what is easy for both does not count",
  ]
  assert [note for note in saved["notes"] if note in notes] == notes
  page = (tmp_path / "dossier.html").read_text()
  assert "with the LoRA artist.safetensors" in page


def test_a_lora_goes_through_the_command(root, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(cli, "_use_devices", lambda: None)
  monkeypatch.setattr(audits, "estimate", lambda inputs: "timed")
  arguments = given(root, lora_scale=0.5)
  flags = [f"--{k}={arguments.pop(k)}" for k in ("model", "suspects", "reference")]
  flags += [f"--{k}={arguments.pop(k)}" for k in ("lora", "lora_scale")]
  flags += [f"--set={name}={value!r}" for name, value in arguments.items()]
  workdir = tmp_path / "work"
  assert cli.main(["audit", *flags, f"--workdir={workdir}", "--dry_run"]) == 0
  out = capsys.readouterr().out
  assert "scale 0.5) merged into it" in out
  assert "the reference model is the LoRA's base" in out
  assert not workdir.exists()


def test_the_base_is_scored_where_there_are_reference_tracks(root, loaded):
  inputs = prepare(**given(root, lora_scale=0.5))
  pipeline, lora = str(root / "pipeline"), str(root / "artist.safetensors")
  assert loaded == [("model", pipeline, lora, 0.5), ("reference", pipeline, None, None)]
  assert inputs.given["reference_model"] == pipeline
  # Nobody recorded what either was trained on, which the verdict will say.
  assert gates(inputs)["neither side in the reference model's own record"].holds is None


def test_a_reference_model_of_the_users_own_is_taken(root, loaded):
  inputs = prepare(**given(root, reference_model="other"))
  assert [entry[:2] for entry in loaded] == [
    ("model", str(root / "pipeline")),
    ("reference", "other"),
  ]
  note = f"the reference model is other, as given, and not the LoRA's base {root}"
  assert any(line.startswith(note) for line in inputs.notes)
  assert inputs.given["reference_model"] == "other"


def test_without_reference_tracks_the_base_is_not_scored(root, loaded, tmp_path):
  inputs = prepare(**given(root, reference=None))
  (note,) = (line for line in inputs.notes if "is not scored" in line)
  assert "without reference tracks the suspects are compared with their twins" in note
  assert inputs.given["reference_model"] is None
  for seed in range(8):
    write_track(tmp_path / f"{seed:02d}.wav", 100 + seed)
  inputs = prepare(**given(root, reference=None, held_back=str(tmp_path)))
  (note,) = (line for line in inputs.notes if "is not scored" in line)
  assert "versions that were held back are compared under the model alone" in note
  assert [entry[0] for entry in loaded] == ["model", "model"]


def test_a_model_that_was_converted_with_a_lora_says_so(root, loaded):
  """The same audit by hand: the record of a converted model, and no --lora."""
  merged = dict(LORA, left_out="text encoder")
  model = audit_inputs.load_model("merged", name="model", lora="artist.safetensors")
  model = dataclasses.replace(model, lora=merged)
  inputs = prepare(**given(root, model=model, lora=None, reference_model="base"))
  assert [note for note in inputs.notes if "LoRA" in note] == [
    "the model is merged with the LoRA artist.safetensors (sha256 0123456789abcdef,"
    " scale 1.0) merged into it",
    "the LoRA's changes to the text encoder are left out, as no text encoder is run",
  ]


def refused(root, match, **changes):
  with pytest.raises(ArgumentError, match=match):
    prepare(**given(root, **changes))


def test_what_is_refused(root, tmp_path):
  folder = tmp_path / "model"
  checkpoints.save_model(folder, tiny_weights(MODEL, 0), MODEL, {})
  refused(root, "^lora=.*converted already; give that pipeline's", model=str(folder))
  refused(root, "^lora=.*embedded or conv", model="diffwave-multigenre-a")
  refused(root, "^lora: the model is loaded already", model=load_model(folder))
  loaded = {"model": load_model(folder), "lora": None}
  refused(root, "^lora_scale=0.5: there is no lora", lora_scale=0.5, **loaded)
  refused(root, "^lora=nothing: no such file or folder", lora="nothing")
  refused(root, "^lora_scale=2.0: there is no lora", lora=None, lora_scale=2.0)
  refused(root, "^lora_scale = -1.0 is not supported", lora_scale=-1.0)
  zero = load_file(root / "artist.safetensors")
  zero |= {k: np.zeros_like(v) for k, v in zero.items() if "lora_B" in k}
  save_file(zero, tmp_path / "untrained.safetensors")
  refused(root, "changes nothing", lora=str(tmp_path / "untrained.safetensors"))
