"""A stereo model and a folder of stereo files: from files to rows, pages and audits."""

import base64
import io
import re

import jax
import numpy as np
import pytest
import soundfile
import tiny_experiment
import tiny_stable_audio
import tiny_tracks

import lsaprobe_jax as lsa
from configs import mini
from lsaprobe_jax import cli
from lsaprobe_jax.attacks import get
from lsaprobe_jax.data.corpus import open_corpus
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.report import html, page, reading, reproduction, walk
from lsaprobe_jax.scoring.evaluate import evaluate
from lsaprobe_jax.scoring.one_clip import load_clip
from lsaprobe_jax.scoring.record_media import log_mel_images
from lsaprobe_jax.scoring.scorer import clip_number
from lsaprobe_jax.scoring.settings import Experiment
from lsaprobe_jax.scoring.targets import load_targets

RATE, SECONDS, SAMPLES = 44100, 0.1, 4410
# A frame of latents is 32 samples, and one block compiles faster than two.
VAE = {"sampling_rate": RATE, "downsampling_ratios": [32], "channel_multiples": [1]}


def write_stereo(path, seed):
  """Half a second whose channels share a tone and have noise of their own."""
  rng = np.random.default_rng(seed)
  time = np.arange(RATE // 2) / RATE
  tone = 0.2 * np.sin(2 * np.pi * rng.uniform(100, 2000) * time)
  noise = rng.normal(scale=[[0.1], [0.03]], size=(2, time.size))
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, (tone + noise).T, RATE, "FLOAT")


def save(folder, config, seed=1):
  params = registry.init_params(config, jax.random.key(seed))
  checkpoints.save_model(folder, params, config, {})
  return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A tiny Stable Audio at 44.1 kHz, and a folder of groups of stereo files."""
  root = tmp_path_factory.mktemp("stereo")
  save(root / "model", tiny_stable_audio.config(vae=VAE))
  names = tiny_experiment.numbered({"a": 4, "b": 4, "dev": 7})
  tracks = [(group, name) for group, own in names.items() for name in own]
  for seed, (group, name) in enumerate(tracks):
    write_stereo(root / "corpus" / group / f"{name}.wav", seed)
  return root


@pytest.fixture(scope="module")
def model(folder):
  return lsa.load_model(folder / "model")


@pytest.fixture(scope="module")
def clips(folder, model):
  how = {"clip_seconds": SECONDS, "clips_per_track": 1, "groups": ["a", "b"]}
  return lsa.load_audio(folder / "corpus", like=model, **how)


@pytest.fixture(scope="module")
def evaluated(folder):
  """The folder of an evaluation, with a recorded clip a side."""
  described = mini.get_config().to_dict()
  described["targets"] = {"model": str(folder / "model")}
  changes = tiny_experiment.changes(folder / "corpus", {}) | tiny_experiment.PAPERS
  changes |= {
    "search.name": "continuation",
    "corpus.clip_seconds": SECONDS,
    "distance": "waveform",
    "t_ratio": 0.3,
    "methods": ("secmi", "lsa_probe"),
    # Development clips have twins too, so that no program is compiled without.
    "twins": {"names": ("polarity", "channel_swap"), "development": True},
  }
  settings = Experiment.from_dict(described).changed(changes)
  evaluate(settings, folder / "evaluated", record=1)
  return folder / "evaluated"


def test_clips_come_as_the_model_takes_them(clips, model):
  assert (model.channels, model.sample_rate) == (2, RATE)
  assert clips.audio.shape == (8, 2, SAMPLES)
  assert clips.errors == ()


def test_a_score_is_that_of_the_files_own_channels(folder, model, clips):
  """Read once more by soundfile alone, up to the gain of its clip."""
  found = lsa.score(
    model, get("loss", draws=2), clips, t_ratio=0.3, twins=["channel_swap", "reversal"]
  )
  assert not found.failed
  assert {row["channels"] for row in found.rows} == {2}
  clip, row = clips.clips[0], found.rows[0]
  path = folder / "corpus" / clip.group / f"{clip.track}.wav"
  first = round(clip.start_seconds * RATE)
  own = soundfile.read(path)[0][first : first + SAMPLES].T.astype(np.float32)
  own *= np.max(np.abs(clips.audio[0])) / np.max(np.abs(own))
  key = jax.random.fold_in(jax.random.key(0), clip_number(clip.id))
  attack, fitted = jax.jit(get("loss", draws=2)), model.for_length(SAMPLES).model
  alone = lambda audio: attack(fitted, key, audio, 300).score
  np.testing.assert_allclose(row["score"], alone(own), rtol=1e-3)
  # The noise of latents does not move with a swap, so that the twin is a clip as any.
  np.testing.assert_allclose(row["twin_scores"][0], alone(own[::-1]), rtol=1e-3)
  assert abs(alone(own) - alone(own[::-1])) > 3e-3 * abs(alone(own))


def test_rows_of_mono_and_of_stereo_are_not_mixed(folder, model, clips, tmp_path):
  attack = {"t_ratio": 0.3, "path": tmp_path / "rows.jsonl"}
  mono = lsa.load_audio(
    folder / "corpus", like=model, channels=1, clip_seconds=SECONDS, groups=["a"]
  )
  lsa.score(model, get("loss", draws=2), mono.take([0]), **attack)
  with pytest.raises(ArgumentError, match="rows of clips with 1 channels, not 2; choo"):
    lsa.score(model, get("loss", draws=2), clips, **attack)


def test_a_mono_model_is_not_given_two_channels(clips, tmp_path):
  config = tiny_tracks.MODEL | {"sample_rate": RATE}
  mono = lsa.load_model(save(tmp_path / "mono", config))
  message = r"^clips: they have 2 channels and the model 1; open them with load_audio"
  with pytest.raises(ArgumentError, match=message):
    lsa.score(mono, get("loss"), clips, t_ratio=0.3)
  probe = lsa.LSAProbe(distance="waveform", t_ratio=0.3)
  with pytest.raises(ArgumentError, match=message):
    lsa.calibrate_tau(mono, probe, clips.take([0] * 20))


def test_models_of_one_experiment_have_as_many_channels(folder, tmp_path):
  config = tiny_stable_audio.config(vae=VAE | {"audio_channels": 1})
  targets = {"A": str(folder / "model"), "B": save(tmp_path / "mono", config)}
  with pytest.raises(SettingError, match=r"^targets have different numbers of chann"):
    load_targets(targets)
  sides = {"suspects": folder / "corpus" / "a", "reference": folder / "corpus" / "dev"}
  with pytest.raises(ArgumentError, match=r"^reference_model has 1 channels, and"):
    lsa.audit(targets["A"], **sides, reference_model=targets["B"])


def test_an_evaluation_scores_by_every_method_with_twins(evaluated):
  rows = reading.read(evaluated, reproduction.summarise).rows
  methods = {"secmi", "lsa_probe", "blind"}
  assert methods <= {row["method"] for row in rows}
  for row in rows:
    if row["method"] in methods - {"blind"}:
      assert row["channels"] == 2
      assert np.isfinite(row["score"])
      assert len(row["twin_scores"]) == 2


def heard(uri):
  """Samples int16 [channels, n] and the rate of a sound of the page."""
  data = base64.b64decode(uri.removeprefix("data:audio/wav;base64,"))
  samples, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
  return samples.T, rate


def test_a_page_plays_both_channels(evaluated, clips):
  results = reading.read(evaluated, reproduction.summarise)
  kept = walk.sounds(results)
  audio = dict(zip((clip.id for clip in clips.clips), clips.audio, strict=True))
  assert set(kept) == set(audio)
  for name, uri in kept.items():
    samples, rate = heard(uri)
    assert rate == RATE
    np.testing.assert_allclose(samples / 32767, audio[name], atol=1 / 32767)
  built = page.build(results)
  assert len(built["walk"]["clips"]) == 2
  for item in built["walk"]["clips"]:
    for panel in (item["x_0"], *item["panels"]["noisy"], *item["panels"]["attacked"]):
      samples, _ = heard(panel["sound"])
      assert samples.shape == (2, SAMPLES)
      assert not np.array_equal(*samples)
    first, _ = heard(item["x_0"]["sound"])
    ratio = np.linalg.norm(first[0]) / np.linalg.norm(first[1])
    expected = np.linalg.norm(audio[item["clip"]], axis=1)
    assert ratio == pytest.approx(expected[0] / expected[1], rel=1e-2)
  text = html.render(built, kept)
  assert "log-mel of the mean of the channels, which the sounds keep, 80 dB" in text


def test_images_are_of_the_mean_of_the_channels(clips):
  found, top = log_mel_images(clips.audio[:2], RATE)
  expected, expected_top = log_mel_images(clips.audio[:2].mean(axis=1), RATE)
  np.testing.assert_array_equal(found, expected)
  assert top == expected_top


def test_an_audit_by_reference(folder, model, tmp_path):
  for seed in range(20):
    side = "suspects" if seed < 6 else "reference"
    write_stereo(tmp_path / side / f"{seed:02d}.wav", seed)
  result = lsa.audit(
    model,
    tmp_path / "suspects",
    tmp_path / "reference",
    **{
      "corpus.clip_seconds": SECONDS,
      "corpus.clips_per_track": 2,
      "methods": ("loss",),
      "baselines.loss.draws": 2,
      "twins.names": ("polarity", "channel_swap"),
      "alpha": 0.2,
      "permutations": 99,
    },
  )
  assert result.inputs.suspects.audio.shape == (12, 2, SAMPLES)
  assert {row["twins"] for row in result.rows if "twins" in row} == {
    "polarity,channel_swap"
  }
  (blind,) = [gate for gate in result.gates if gate.name == "blind baseline"]
  assert "differ over 104 acoustic features" in blind.text
  assert result.evidence is not None
  text = result.save(tmp_path / "w").read_text()
  assert result.verdict in text


def test_commands_take_stereo(folder, capsys, monkeypatch):
  # JAX has started here.
  monkeypatch.setattr(cli, "_use_devices", lambda: None)
  track = folder / "corpus" / "a" / "a00.wav"
  given = [f"--model={folder / 'model'}", f"--audio={track}", "--seconds=0.1"]
  given += ["--distance=waveform", "--num_inference_steps=1", "--t_ratio=0.3"]
  assert cli.main(["probe", *given]) == 0
  stereo = re.findall(r"D (\S+)", capsys.readouterr().out)
  assert len(stereo) == 16
  sides = [f"--suspects={folder / 'corpus' / 'a'}", "--workdir=none", "--dry_run"]
  quick = ["--set=methods=('loss',)", f"--set=corpus.clip_seconds={SECONDS}"]
  assert cli.main(["audit", given[0], *sides, *quick]) == 0
  assert "estimate:" in capsys.readouterr().out


def test_a_clip_of_a_file_has_channels_first(folder):
  track = folder / "corpus" / "a" / "a00.wav"
  clip = load_clip(track, RATE, seconds=0.1, start=0.2, channels=2)
  whole = soundfile.read(track, dtype="float32")[0]
  cut = whole[8820:13230].T
  # One gain for both: the balance stays, and the level is that of a corpus.
  gain = clip[0, 0] / cut[0, 0]
  np.testing.assert_allclose(clip, gain * cut, rtol=1e-5)
  corpus = open_corpus(track, sample_rate=RATE, clip_seconds=0.1, channels=2)
  at = [round(clip.start_seconds, 3) for clip in corpus.clips].index(0.2)
  np.testing.assert_allclose(clip, corpus.audio[at], atol=1e-6)
  mono = load_clip(track, RATE, seconds=0.1, start=0.2)
  gain = mono[0] / cut[:, 0].mean()
  np.testing.assert_allclose(mono, gain * cut.mean(axis=0), atol=1e-6)
