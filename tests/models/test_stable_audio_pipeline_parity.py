"""A Stable Audio pipeline that diffusers saved, converted, beside the original."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_stable_audio as tiny
from compared import randomised

from lsaprobe_jax import attacks, diffusion, distances, search
from lsaprobe_jax.models import checkpoints, conversion, registry
from lsaprobe_jax.models.trained import load_model

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

SAMPLES, STEPS = 8 * 16, 4


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """(folder, pipeline) of random weights in the published layout."""
  folder = tmp_path_factory.mktemp("pipeline") / "saved"
  config = {
    part: {k: v for k, v in tiny.CONFIG[part].items() if not k.startswith("_")}
    for part in ("transformer", "vae", "projection_model")
  }
  parts = {
    "transformer": diffusers.StableAudioDiTModel(**config["transformer"]),
    "vae": diffusers.AutoencoderOobleck(**config["vae"]),
    "projection_model": diffusers.pipelines.stable_audio.StableAudioProjectionModel(
      **config["projection_model"]
    ),
    "text_encoder": transformers.T5EncoderModel(
      transformers.T5Config(
        vocab_size=40, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2
      )
    ),
  }
  pipe = diffusers.StableAudioPipeline(
    **{name: randomised(part, "float32") for name, part in parts.items()},
    tokenizer=tokenizer(),
    scheduler=diffusers.CosineDPMSolverMultistepScheduler(
      sigma_min=0.3, sigma_max=500, sigma_data=1.0, prediction_type="v_prediction"
    ),
  )
  pipe.save_pretrained(folder, safe_serialization=True, max_shard_size="10KB")
  return folder, pipe


def tokenizer():
  """A tokenizer of single words, as transformers' fast ones are stored."""
  import tokenizers

  words = ["<pad>", "</s>", "<unk>", "solo", "piano", "loud", "drums"]
  made = tokenizers.Tokenizer(
    tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>")
  )
  made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
    model_max_length=6,
  )  # fmt: skip


def their_velocity(pipe, latent, time, prompt):
  """v as the pipeline's loop has it, of the prompt or of its null condition."""
  text = pipe.encode_prompt(prompt or "", "cpu", False)
  start, end = pipe.encode_duration(0.0, SAMPLES / 16000, "cpu", False, 1)
  tokens = torch.cat([text, start, end], dim=1)
  if prompt is None:
    # What it guides away from where there is no negative prompt.
    tokens = torch.zeros_like(tokens)
  overall = torch.cat([start, end], dim=2)
  rotary = diffusers.models.embeddings.get_1d_rotary_pos_embed(
    pipe.rotary_embed_dim, latent.shape[0] + 1, use_real=True,
    repeat_interleave_real=False,
  )  # fmt: skip
  with torch.no_grad():
    return pipe.transformer(
      torch.tensor(latent).T[None], torch.tensor([time]), tokens, overall, rotary
    ).sample[0].T.numpy()  # fmt: skip


@pytest.mark.parametrize("prompt", [None, "solo piano", "loud drums"])
def test_a_whole_pipeline_agrees(saved, tmp_path, prompt):
  """Encoding, v under the condition, deterministic steps, decoding."""
  folder, pipe = saved
  conversion.convert(folder, tmp_path / "model", prompt=prompt)
  params, record = checkpoints.load_model(tmp_path / "model")
  said = {"prompt": prompt} if prompt else "null"
  assert record["training"]["condition"] == said
  model = registry.build_model(record["model"], params, STEPS).for_length(SAMPLES)
  audio = 0.3 * np.random.default_rng(0).normal(size=(2, SAMPLES)).astype(np.float32)
  with torch.no_grad():
    mode = pipe.vae.encode(torch.tensor(audio)[None]).latent_dist.mode()[0].T.numpy()
  np.testing.assert_allclose(model.encode(audio), mode, rtol=1e-4, atol=1e-4)
  x = np.random.default_rng(1).normal(size=mode.shape).astype(np.float32)
  ours = jax.jit(model.reconstruct)(x, 800)
  predict = jax.jit(model.predict)
  for t, s in ((800, 600), (600, 400), (400, 200), (200, 0)):
    v = their_velocity(pipe, x, t / 1000, prompt)
    np.testing.assert_allclose(predict(x, t), v, rtol=1e-3, atol=1e-3 * np.std(v))
    x = np.asarray(diffusion.step(model.schedule, x, v, t, s))
  with torch.no_grad():
    theirs = pipe.vae.decode(torch.tensor(x).T[None]).sample[0].numpy()
  assert ours.shape == theirs.shape == (2, SAMPLES)
  assert np.max(np.abs(ours - theirs)) < 1e-3 * np.max(np.abs(theirs))


def test_prompts_differ_and_padding_says_nothing(saved, tmp_path):
  folder, _ = saved
  found = {}
  for prompt in ("solo piano", "loud drums", "solo piano"):
    conversion.convert(folder, tmp_path / prompt, prompt=prompt)
    params, record = checkpoints.load_model(tmp_path / prompt)
    found[prompt] = params["conditioning"]["text"]
    assert record["model"]["text_tokens"] == 6
  assert not np.allclose(found["solo piano"], found["loud drums"])
  assert np.all(found["solo piano"][2:] == 0)
  with pytest.raises(checkpoints.CheckpointError, match="takes a prompt, and no embed"):
    conversion.convert(folder, tmp_path / "other", embedding=tmp_path / "x.npy")


def test_a_folder_is_probed_as_it_stands(saved, tmp_path, monkeypatch):
  monkeypatch.setattr(conversion, "CACHE", str(tmp_path / "cache"))
  model = load_model(saved[0]).for_length(SAMPLES).model
  audio = 0.3 * np.random.default_rng(0).normal(size=(2, SAMPLES)).astype(np.float32)
  finder = search.get("continuation", rungs=8, steps=1)
  distance = distances.get("waveform", sample_rate=16000)
  curve = attacks.DegradationCurve(distance, finder)
  found = jax.jit(curve)(model, jax.random.key(0), jnp.asarray(audio), 200)
  degradations = found.details["degradations"]
  assert np.all(np.diff(degradations) > 0)
