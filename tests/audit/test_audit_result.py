"""An audit by one call: its result in memory, in a folder, and as files."""

import csv
import dataclasses
import html
import json

import jax
import pytest
from tiny_audits import gates, given

import lsaprobe_jax
import lsaprobe_jax.audit as package
from lsaprobe_jax import diffusion
from lsaprobe_jax.audit import AuditResult, audit, conclusions, prepare, procedure
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models.trained import from_denoiser, load_model
from lsaprobe_jax.scoring import experiment_inputs
from lsaprobe_jax.scoring.method_rows import run_methods
from lsaprobe_jax.scoring.row_store import read_rows


@pytest.fixture(scope="module")
def result(folder):
  """An audit with a reference model, scored in memory."""
  return audit(**given(folder), reference_model=folder / "other")


@pytest.fixture(scope="module")
def saved(result, tmp_path_factory):
  """Its files."""
  folder = tmp_path_factory.mktemp("saved") / "dossier"
  assert result.save(folder) == folder / "dossier.html"
  return folder


def dossier(folder):
  found = json.loads((folder / "audit.json").read_text())
  found["run"].pop("environments")
  return found


def test_a_result_says_what_was_found(result):
  assert isinstance(result, AuditResult)
  assert result.evidence == (result.p_value <= 0.2)
  assert len(result.tracks) == 8
  assert result.findings.tests[0].sets["panel"].reference_tracks == 7 - 3
  assert result.scores.methods == ("loss by both", "lsa_probe by both", "panel")
  assert result.difficulty_calibration == "both"
  names = [test.name for test in result.findings.tests]
  assert names == ["by both", "by twins", "by reference", "suspects alone"]
  assert result.p_value == result.findings.tests[0].p_value
  assert result.facts["reference"][0].track == "reference-08"
  holds = {name: gate.holds for name, gate in gates(result).items()}
  unknown = (
    "reference not in the model's own record",
    "neither side in the reference model's own record",
    "albums",
  )
  assert [holds.pop(name) for name in unknown] == [None] * 3
  # Fourteen tracks show little.
  holds.pop("unseen music is centred")
  assert set(holds.values()) == {True}
  assert {"blind baseline", "null control", "size of the reference"} <= holds.keys()
  # The bad files are named, and do not end the run.
  notes = " ".join(result.notes)
  assert all(name in notes for name in ("corrupt.wav", "silent.wav", "short.wav"))


def test_a_method_without_a_score_is_no_smaller_panel(folder, result):
  """The others alone would be another test than the one that was fixed beforehand."""
  inputs = prepare(**given(folder), reference_model=folder / "other")
  rows = result.to_rows()
  for method, model in (("loss", "model"), ("lsa_probe", "reference")):
    kept = [r for r in rows if (r["method"], r["model"]) != (method, model)]
    found = conclusions.conclude(inputs, kept)
    assert found.findings is None
    assert [gate.text for gate in found.gates if gate.holds is False] == [
      f"{method} has no score of any clip under {model}"
    ]
  assert conclusions.conclude(inputs, rows).findings.p_value == result.p_value


def test_two_sides_are_not_promised_against_a_reference(folder, result):
  assert not any(note.startswith("two_sided") for note in result.notes)
  inputs = prepare(**given(folder, two_sided=True))
  assert sum(note.startswith("two_sided: the test against") for note in inputs.notes)


def test_a_result_is_short_in_a_shell_and_whole_when_printed(result):
  holding = sum(gate.holds is True for gate in result.gates)
  assert repr(result) == (
    f"AuditResult(evidence={result.evidence}, p_value={result.p_value},"
    f" gates={holding} of 9 hold, suspects=8, reference=14)"
  )
  printed = str(result)
  assert printed.endswith(result.verdict)
  assert "size of the reference: holds" in printed
  assert f"{result.findings.flagged} of 8 suspects lie beyond the level" in printed


def test_rows_are_all_scores(result):
  rows = result.to_rows()
  # 22 tracks of 3 clips under two models by two methods, and calibrated.
  kinds = [row["difficulty_calibration"] for row in rows]
  assert (kinds.count("none"), kinds.count("twins")) == (22 * 3 * 4,) * 2
  assert (kinds.count("reference"), kinds.count("both")) == (22 * 3 * 2,) * 2


def test_a_dossier_is_written(saved, result):
  found = dossier(saved)
  assert found["verdict"] == result.verdict
  assert found["methods"] == ["loss by both", "lsa_probe by both"]
  judged = found["found"]
  assert len(judged["tracks"]) == 8
  assert judged["p_value"] == result.p_value
  assert judged["difficulty_calibration"] == "both"
  test = judged["tests"][0]
  assert test["name"] == "by both"
  assert test["sets"]["panel"]["p_value"] == result.p_value
  lines = list(csv.DictReader((saved / "tracks.csv").open()))
  assert len(lines) == 22
  assert sum(line["verdict"] != "" for line in lines) == 8
  assert {"side", "sha256", "p panel", "score loss by both"} <= lines[0].keys()
  assert len(json.loads((saved / "environment.json").read_text())) == 1
  assert len(read_rows(saved / "scores.jsonl")) == 22 * 3 * 4
  for name in ("tracks.png", "tracks.svg", "curves.png", "curves.svg"):
    assert (saved / "figures" / name).exists()


def test_the_page_is_escaped_and_runs_nothing(saved):
  page = (saved / "dossier.html").read_text()
  assert "&lt;script&gt;alert(1)" in page
  assert "<script" not in page
  assert "script-src 'none'" in html.unescape(page)
  assert page.count("data:image/png;base64,") == 2
  assert dossier(saved)["verdict"] in page


def test_a_folder_and_memory_hold_the_same_audit(folder, saved, result, tmp_path):
  """Scored into a folder, and gone on with after some rows are lost."""
  arguments = given(folder) | {"reference_model": folder / "other"}
  workdir = tmp_path / "kept"
  again = audit(**arguments, workdir=workdir)
  again.save(workdir)
  assert dossier(workdir) == dossier(saved)
  lines = (workdir / "scores.jsonl").read_text().splitlines(keepends=True)
  (workdir / "scores.jsonl").write_text("".join(lines[:10]) + lines[10][:30])
  audit(**arguments, workdir=workdir).save(workdir)
  assert dossier(workdir) == dossier(saved)
  for name in ("tracks.csv", "figures/tracks.png", "figures/curves.svg"):
    assert (workdir / name).read_bytes() == (saved / name).read_bytes()
  other = arguments | {"permutations": 199, "methods": ("loss",)}
  message = r"workdir=.* differs in config\.methods, config\.permutations"
  with pytest.raises(ArgumentError, match=message):
    audit(**other, workdir=workdir)
  with pytest.raises(ArgumentError, match=message):
    audit(**other).save(workdir)


def test_without_twins_and_reference_model_the_verdict_says_so(folder):
  """The model itself may be given, too: it is not loaded again."""
  model = load_model(folder / "model")
  plain = {"methods": ("loss",), "twins.names": ()}
  found = audit(**given(folder) | {"model": model} | plain)
  assert found.difficulty_calibration == "none"
  assert "not calibrated for difficulty" in found.verdict
  assert gates(found)["null control"].holds is None
  assert [test.name for test in found.findings.tests] == ["raw"]
  named = audit(**given(folder, **plain))
  assert named.p_value == found.p_value


def test_a_model_of_functions_is_audited(folder):
  predict = lambda params, x, t: params * x
  path = diffusion.linear(20, 1e-4, 0.2)
  model = lambda weight: from_denoiser(
    predict, path, sample_rate=8000, params=jax.numpy.float32(weight)
  )
  found = audit(
    **given(folder, **{"corpus.clip_seconds": 0.256, "methods": ("loss",)})
    | {"model": model(0.5)},
    reference_model=model(0.1),
  )
  assert 0 < found.p_value <= 1
  assert found.inputs.given["model"] == "model"
  with pytest.raises(ArgumentError, match=r"^reference_model has the weights of model"):
    audit(**given(folder) | {"model": model(0.5)}, reference_model=model(0.5))


def test_an_audit_in_which_every_clip_fails_has_a_dossier(folder, tmp_path):
  model = from_denoiser(
    lambda params, x, t: params * x * jax.numpy.nan,
    diffusion.linear(20, 1e-4, 0.2),
    sample_rate=8000,
    params=jax.numpy.float32(1),
  )
  changes = {"corpus.clip_seconds": 0.256, "methods": ("loss", "lsa_probe")}
  # A twin could not be chosen by what has no number.
  changes |= {"twins.names": (), "reference_free_twins": ()}
  arguments = given(folder, **changes) | {"model": model, "workdir": tmp_path / "w"}
  for _ in range(2):
    found = audit(**arguments)
    assert found.evidence is None
    (failed,) = (gate for gate in found.gates if gate.holds is False)
    assert failed.name == "methods with a score"
    assert "lsa_probe has no score of any clip under model" in failed.text
    assert found.save(tmp_path / "w").is_file()


def test_development_clips_that_fail_end_in_a_gate(folder, monkeypatch):
  """With the smallest reference one clip less is too few for tau."""

  def too_few(run, names):
    if "lsa_probe" in names:
      raise experiment_inputs.too_few_development(19)
    return run_methods(run, names)

  monkeypatch.setattr(procedure, "run_methods", too_few)
  found = audit(**given(folder))
  (failed,) = (gate for gate in found.gates if gate.holds is False)
  assert failed.text == "lsa_probe has no score of any clip under model"


def test_the_ascent_alone_scores_reference_tracks_of_all_parts(folder):
  found = audit(**given(folder, methods=("max_degradation",)))
  assert gates(found)["tracks with a score"].holds
  assert 0 < found.p_value <= 1


def test_a_model_in_memory_has_the_steps_that_are_recorded(folder):
  model = load_model(folder / "model", num_inference_steps=2)
  message = r"^num_inference_steps=1: model, which was given .* has 2; give num_inf"
  with pytest.raises(SettingError, match=message):
    prepare(**given(folder) | {"model": model})
  inputs = prepare(**given(folder, num_inference_steps=2) | {"model": model})
  assert inputs.identity()["config"]["num_inference_steps"] == 2
  with pytest.raises(SettingError, match=r"^precision=bfloat16: .* has float32"):
    prepare(**given(folder, num_inference_steps=2, precision="bfloat16", model=model))


def test_what_is_changed_of_a_model_in_memory_is_another_audit(folder):
  model = load_model(folder / "model")
  edited = dataclasses.replace(model, model=model.model.replace(scale=8.0))
  own, other = (
    prepare(**given(folder) | {"model": one}).identity() for one in (model, edited)
  )
  assert own["weights"] == other["weights"]
  assert own["models"] != other["models"]


def test_a_method_by_weights_is_refused_of_a_model_that_shows_none(folder):
  """Before, two methods had been scored when it was found."""
  model = from_denoiser(
    lambda x, t: 0.5 * x, diffusion.linear(20, 1e-4, 0.2), sample_rate=8000
  )
  methods = ("loss", "gradient_norm")
  how = {"corpus.clip_seconds": 0.256, "methods": methods, "model": model}
  message = r"^methods: gradient_norm .*; give them .*methods=\('loss',\)"
  with pytest.raises(SettingError, match=message):
    audit(**given(folder) | how | {"twins.names": ()})


def test_a_reference_too_small_is_refused_before_scoring(folder, tmp_path):
  workdir = tmp_path / "refused"
  found = audit(**given(folder, alpha=0.05), workdir=workdir)
  assert "14 reference tracks; a verdict at 0.05 needs 29" in str(found)
  assert found.verdict == (
    "No verdict. A gate fails: size of the reference: add 15 more tracks of the same"
    " kind, surely not in training."
  )
  assert (found.evidence, found.p_value, found.tracks) == (None, None, ())
  found.save(workdir)
  assert "No verdict" in (workdir / "dossier.html").read_text()
  assert dossier(workdir)["found"] is None
  assert not (workdir / "scores.jsonl").exists()
  # It does not lock the folder, but does not overwrite another audit's either.
  found.save(workdir)
  (workdir / "run.json").touch()
  with pytest.raises(ArgumentError, match=r"^workdir=.* scores of another audit"):
    found.save(workdir)
  (workdir / "run.json").rename(workdir / "scores.jsonl")
  with pytest.raises(ArgumentError, match=r"^workdir=.* scores of another audit"):
    audit(**given(folder, alpha=0.05), workdir=workdir)


def test_the_public_name_is_a_function_whatever_was_imported():
  assert lsaprobe_jax.AuditResult is AuditResult
  assert package is not audit
  with pytest.raises(ArgumentError, match=r"^model: no model folder nowhere"):
    package("nowhere", "x", "y")
  with pytest.raises(ArgumentError, match=r"^model: no model folder nowhere"):
    lsaprobe_jax.audit("nowhere", "x", "y")
