"""A LongCat-AudioDiT pipeline of diffusers, tiny and of random weights."""

from compared import randomised

RATE, HOP, CHANNELS = 8000, 4, 4


def pipeline():
  import diffusers
  import torch
  import transformers

  torch.manual_seed(0)
  vae = diffusers.LongCatAudioDiTVae(
    channels=4, c_mults=[2], strides=[HOP], latent_dim=CHANNELS,
    encoder_latent_dim=2 * CHANNELS, downsampling_ratio=HOP, sample_rate=RATE,
  )  # fmt: skip
  transformer = diffusers.LongCatAudioDiTTransformer(
    dit_dim=16, dit_depth=1, dit_heads=2, dit_text_dim=8, latent_dim=CHANNELS
  )
  with torch.no_grad():
    # As it is made its output is zero, whatever it is given.
    for parameter in transformer.parameters():
      if not parameter.any():
        parameter.copy_(0.2 * torch.randn_like(parameter))
  text_encoder = transformers.UMT5EncoderModel(
    transformers.UMT5Config(
      vocab_size=40, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2
    )
  )
  return diffusers.LongCatAudioDiTPipeline(
    vae=randomised(vae, "float32"),
    text_encoder=randomised(text_encoder, "float32"),
    tokenizer=tokenizer(transformers),
    transformer=randomised(transformer, "float32"),
    scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0, invert_sigmas=True),
  )


def tokenizer(transformers):
  """A tokenizer of single words."""
  import tokenizers

  words = ["<pad>", "</s>", "<unk>", "solo", "piano", "loud", "drums"]
  made = tokenizers.Tokenizer(
    tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>")
  )
  made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
  )
