"""The demo checkpoint's fixed layout: component configurations, the tokenizer, and the export.

Everything the C engine and diffusers read is written here, so that there is one place that says what
`presets/demo/wan-t2v/` looks like.  Used as a program it exports a checkpoint:

    python3 demo_layout.py OUT --random                   untrained weights, exactly the final layout
    python3 demo_layout.py OUT --vae V.safetensors --dit D.safetensors   the trained one

Weights are stored as the real checkpoints are loaded: BF16, but FP32 where diffusers keeps FP32 (any
parameter with a name component in KEEP_FP32).  OUT is replaced only when the new folder is complete.
"""

import argparse
import json
import os
import pathlib
import re
import shutil

import torch
from safetensors.torch import load_file, save_file

KEEP_FP32 = {"rope", "time_embedder", "scale_shift_table", "norm1", "norm2", "norm3"}
VOCAB = 512
SPECIAL = ["<pad>", "</s>", "<unk>"]
TEXT_ROWS = 512

TRANSFORMER = dict(
    _class_name="WanTransformer3DModel", _diffusers_version="0.40.0", added_kv_proj_dim=None,
    attention_head_dim=64, cross_attn_norm=True, eps=1e-06, ffn_dim=384, freq_dim=256, image_dim=None,
    in_channels=16, num_attention_heads=4, num_layers=3, out_channels=16, patch_size=[1, 2, 2],
    pos_embed_seq_len=None, qk_norm="rms_norm_across_heads", rope_max_seq_len=1024, text_dim=128)
VAE = dict(
    _class_name="AutoencoderKLWan", _diffusers_version="0.40.0", attn_scales=[], base_dim=16, dim_mult=[1, 2, 4, 4],
    dropout=0.0, latents_mean=[0.0] * 16, latents_std=[1.0] * 16, num_res_blocks=2,
    temperal_downsample=[False, True, True], z_dim=16)
TEXT_ENCODER = dict(
    architectures=["UMT5EncoderModel"], model_type="umt5", d_model=128, d_kv=64, num_heads=2, d_ff=256, num_layers=2,
    num_decoder_layers=2, dense_act_fn="gelu_new", feed_forward_proj="gated-gelu", is_gated_act=True,
    layer_norm_epsilon=1e-06, relative_attention_num_buckets=32, relative_attention_max_distance=128,
    vocab_size=VOCAB, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, dropout_rate=0.0,
    classifier_dropout=0.0, initializer_factor=1.0, is_encoder_decoder=True, output_past=True,
    scalable_attention=True, tie_word_embeddings=False, tokenizer_class="T5Tokenizer", torch_dtype="bfloat16",
    use_cache=True)
SCHEDULER = dict(
    _class_name="UniPCMultistepScheduler", _diffusers_version="0.40.0", beta_end=0.02, beta_schedule="linear",
    beta_start=0.0001, disable_corrector=[], dynamic_thresholding_ratio=0.995, final_sigmas_type="zero", flow_shift=5.0,
    lower_order_final=True, num_train_timesteps=1000, predict_x0=True, prediction_type="flow_prediction",
    rescale_betas_zero_snr=False, sample_max_value=1.0, solver_order=2, solver_p=None, solver_type="bh2",
    steps_offset=0, thresholding=False, timestep_spacing="linspace", trained_betas=None,
    use_beta_sigmas=False, use_exponential_sigmas=False, use_flow_sigmas=True, use_karras_sigmas=False)
MODEL_INDEX = dict(
    _class_name="WanPipeline", _diffusers_version="0.40.0", boundary_ratio=0.9, expand_timesteps=False,
    scheduler=["diffusers", "UniPCMultistepScheduler"], text_encoder=["transformers", "UMT5EncoderModel"],
    tokenizer=["transformers", "T5TokenizerFast"], transformer=["diffusers", "WanTransformer3DModel"],
    transformer_2=["diffusers", "WanTransformer3DModel"], vae=["diffusers", "AutoencoderKLWan"])
# Our own file: what the checkpoint was trained for.  demo_preview.py adds the preview's map.
OWN = dict(defaults=dict(height=96, width=160, num_frames=17, num_inference_steps=20, guidance_scale=4.0, guidance_scale_2=3.0))


# ---- tokenizer --------------------------------------------------------------------------------

def train_tokenizer(folder):
    """Trains the SentencePiece unigram model on captions and plain English and writes all four files."""
    import io
    import random

    import sentencepiece as spm
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    import demo_world as world

    rng = random.Random(0)
    lines = [world.caption(s, rng) for s in world.sample_scenes(6000, rng)]
    lines += [w for w in world.vocabulary() for _ in range(20)]
    lines += ENGLISH.split("\n") * 12 + ENGLISH.split() * 4
    printable = "".join(chr(c) for c in range(33, 127))
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=VOCAB, model_type="unigram",
        normalization_rule_name="nmt_nfkc", add_dummy_prefix=True, remove_extra_whitespaces=True,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>", eos_piece="</s>", unk_piece="<unk>",
        character_coverage=1.0, required_chars=printable + "éèüöäñç", num_threads=1, minloglevel=2,
        hard_vocab_limit=True, split_digits=True, max_sentence_length=4096)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(model.getvalue())

    from sentencepiece import sentencepiece_model_pb2 as pb
    proto = pb.ModelProto()
    proto.ParseFromString(model.getvalue())
    pieces = [(p.piece, 0.0 if i < 3 else p.score) for i, p in enumerate(proto.pieces)]
    assert [p for p, _ in pieces[:3]] == SPECIAL and len(pieces) == VOCAB
    fast = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    fast.normalizer = normalizers.Sequence([
        normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
        normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")])
    fast.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    fast.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    fast.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", 1)])
    fast.add_special_tokens(SPECIAL)
    fast.save(str(folder / "tokenizer.json"))
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "tokenizer_config.json", dict(
        special, tokenizer_class="T5Tokenizer", extra_ids=0, additional_special_tokens=[], clean_up_tokenization_spaces=False,
        legacy=False, model_max_length=512, added_tokens_decoder={
            str(i): dict(content=t, lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)
            for i, t in enumerate(SPECIAL)}))


ENGLISH = """\
time year people way day man thing woman life child world school state family student group country problem hand part
place case week company system program question work government number night point home water room mother area money
story fact month lot right study book eye job word business issue side kind head house service friend father power hour
game line end member law car city community name president team minute idea body information back parent face others
level office door health person art war history party result change morning reason research girl guy moment air teacher
force education foot boy age policy music animal bird fish dog horse mountain river ocean forest tree flower grass cloud
rain snow storm sun moon star planet space ship plane train bridge road street building tower castle garden window table
chair bed lamp fire smoke glass metal wood stone paper plastic cloth leather gold silver bronze shadow light colour
be have do say get make go know take see come think look want give use find tell ask seem feel try leave call
good new first last long great little own other old different large next early young important few public bad same able
walking running jumping dancing singing sitting sleeping eating drinking reading writing playing swimming climbing
flying falling turning spinning shaking opening closing breaking burning melting floating drifting exploding shining
beautiful dramatic gentle ancient modern futuristic mysterious colourful realistic cartoon animated painted detailed
camera zoom pan tilt close wide angle shot scene frame focus portrait landscape slow motion smooth steady handheld
above below behind between beside inside outside through across along around against toward under over near far
very quite almost always never often again still just only even also then now here there where when while because
a cat walks along the edge of a wooden table and looks at the camera, then it jumps down to the floor
the quick brown fox jumps over the lazy dog while two birds are flying in the sky above the mountains
an old man with a long white beard is reading a book by the window, warm light, close-up, high quality
a young woman in a yellow dress runs through a field of flowers at sunset, cinematic, slow motion
cars are driving in the rain at night, the street is wet and shows the lights of the city
a small boat floats on the calm water of a lake, with snow-covered trees around it; the camera moves slowly
a robot made of shiny metal walks through a forest of giant mushrooms, fantasy style, very detailed
waves are rolling onto the beach and the foam is glowing in the evening light
a chef is cutting fresh vegetables in the kitchen, steam is rising from a hot pan behind him
children are playing with a colourful kite on top of a hill, wide shot, the wind is strong
an astronaut is riding a horse on the moon, the earth is visible in the background
a train passes over a bridge, its smoke drifting away to the left, aerial view, 4k, realistic
two dancers turn around each other on an empty stage, soft spotlight, shadow on the floor
the picture is blurry, low quality, static, overexposed, worst quality, ugly, deformed hands, watermark, text
time-lapse of clouds moving quickly over a desert, then the stars come out one after another
first, second, third: numbers such as 0 1 2 3 4 5 6 7 8 9 and 10, 25, 100% or 2026 should be known
what would you like to see? anything that can be said in a few words! this model only knows simple things.
bright dark slowly fast round flat shining cyan magenta brown black silver gold violet turquoise cube oval line
"""


# ---- export -----------------------------------------------------------------------------------

def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_own(folder, factors=None, bias=None):
    """vgen.json; without a map the engine estimates one from a chart."""
    own = json.loads(json.dumps(OWN))
    if factors is not None:
        own["latent_rgb_factors"] = [[round(float(v), 5) for v in row] for row in factors]
        own["latent_rgb_bias"] = [round(float(v), 5) for v in bias]
    text = json.dumps(own, indent=2)
    flat = re.compile(r"\[\s+([-0-9.e]+),\s+([-0-9.e]+),\s+([-0-9.e]+)\s+\]")     # a row of the map on one line
    (folder / "vgen.json").write_text(flat.sub(r"[\1, \2, \3]", text) + "\n")


def stored(state, keep_fp32=True):
    """The state dict as it is stored: BF16, but for parameters that diffusers keeps in FP32."""
    out = {}
    for name, tensor in state.items():
        fp32 = keep_fp32 and not KEEP_FP32.isdisjoint(name.split("."))
        out[name] = tensor.detach().cpu().to(torch.float32 if fp32 else torch.bfloat16).contiguous()
    return out


def export(out, transformer, transformer_2, vae, text_encoder, latents_mean, latents_std, extra=()):
    """Writes the whole folder beside `out`, then swaps it in.  The four arguments are state dicts."""
    out = pathlib.Path(out)
    new = out.with_name(out.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    kept = out / "tokenizer"
    if (kept / "spiece.model").exists():
        shutil.copytree(kept, new / "tokenizer")     # one tokenizer for the life of the checkpoint
    else:
        train_tokenizer(new / "tokenizer")
    write_json(new / "model_index.json", MODEL_INDEX)
    write_own(new)                                   # demo_preview.py fits the map to the new VAE
    vae_config = dict(VAE, latents_mean=[round(float(v), 6) for v in latents_mean],
                      latents_std=[round(float(v), 6) for v in latents_std])
    for name, config, state, file in [
            ("transformer", TRANSFORMER, transformer, "diffusion_pytorch_model"),
            ("transformer_2", TRANSFORMER, transformer_2, "diffusion_pytorch_model"),
            ("vae", vae_config, vae, "diffusion_pytorch_model"),
            ("text_encoder", TEXT_ENCODER, text_encoder, "model")]:
        (new / name).mkdir()
        write_json(new / name / "config.json", config)
        save_file(stored(state, keep_fp32=name.startswith("transformer")), new / name / f"{file}.safetensors",
                  metadata={"format": "pt"})
    (new / "scheduler").mkdir()
    write_json(new / "scheduler" / "scheduler_config.json", SCHEDULER)
    for path in extra:
        shutil.copy(path, new)
    for file in new.rglob("*.safetensors"):
        file.chmod(0o644)                            # safetensors creates them private
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        os.rename(out, old)
    os.rename(new, out)
    shutil.rmtree(old, ignore_errors=True)
    return sum(f.stat().st_size for f in out.rglob("*") if f.is_file())


def random_states():
    """Untrained weights from the reference classes' own initialisation."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel
    torch.manual_seed(0)
    plain = lambda config: {k: v for k, v in config.items() if not k.startswith("_")}
    first, second = (WanTransformer3DModel(**plain(TRANSFORMER)).state_dict() for _ in range(2))
    text = UMT5EncoderModel(UMT5Config(**TEXT_ENCODER)).state_dict()
    text.pop("encoder.embed_tokens.weight", None)
    return first, second, AutoencoderKLWan(**plain(VAE)).state_dict(), text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--random", action="store_true", help="untrained weights")
    parser.add_argument("--vae", help="safetensors of the trained VAE")
    parser.add_argument("--dit", help="safetensors of both experts, the text encoder and the latent statistics")
    args = parser.parse_args()
    if args.random:
        first, second, vae, text = random_states()
        mean, std = [0.0] * 16, [1.0] * 16
    else:
        vae, dit = load_file(args.vae), load_file(args.dit)
        part = lambda prefix: {k[len(prefix):]: v for k, v in dit.items() if k.startswith(prefix)}
        first, second, text = part("high."), part("low."), part("text.")
        mean, std = dit["latents_mean"].tolist(), dit["latents_std"].tolist()
    readme = pathlib.Path(args.out) / "README.md"
    size = export(args.out, first, second, vae, text, mean, std, extra=[readme] if readme.exists() else [])
    print(f"{args.out}: {size / 2**20:.2f} MiB")
    assert size <= 20 * 2**20


if __name__ == "__main__":
    main()
