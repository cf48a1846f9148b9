"""Compares the compact training modules with diffusers and transformers, in FP32 on the CPU.

    python3 demo_check.py            every module on random weights and inputs; prints the differences
"""

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

import demo_layout as layout
import demo_model as model


def report(name, ours, theirs, limit=2e-5):
    error = (ours - theirs).norm() / theirs.norm()
    print(f"{name:28} {error:.1e}")
    assert error < limit, name


def plain(config):
    return {k: v for k, v in config.items() if not k.startswith("_")}


@torch.no_grad()
def main():
    torch.manual_seed(1)
    theirs, ours = AutoencoderKLWan(**plain(layout.VAE)).eval(), model.Vae()
    for name, p in theirs.named_parameters():
        p.copy_(p + 0.05 * torch.randn_like(p))
    ours.load_state_dict(theirs.state_dict())
    video = torch.rand(1, 3, 17, 32, 48) * 2 - 1
    posterior = theirs.encode(video).latent_dist
    z = torch.randn(1, 16, 5, 4, 6)
    decoded = theirs.decode(z).sample
    for model.CONV in ("3d", "2d"):
        mean, logvar = ours.encode(video)
        report(f"vae encode {model.CONV}", mean, posterior.mean)
        report(f"vae logvar {model.CONV}", logvar.clamp(-30, 20), posterior.logvar)
        report(f"vae decode {model.CONV}", ours.decode(z).clamp(-1, 1), decoded)

    theirs = UMT5EncoderModel(UMT5Config(**layout.TEXT_ENCODER)).eval()
    ours = model.TextEncoder().prepare(32, "cpu")
    state = {k: v for k, v in theirs.state_dict().items() if k != "encoder.embed_tokens.weight"}
    ours.load_state_dict(state)
    lengths = torch.tensor([1, 13, 24])
    ids = torch.randint(3, layout.VOCAB, (3, 32)) * (torch.arange(32) < lengths[:, None])
    text = ours(ids, lengths)
    wide = torch.zeros(3, layout.TEXT_ROWS, dtype=torch.long)
    wide[:, :32] = ids
    mask = (torch.arange(layout.TEXT_ROWS) < lengths[:, None]).long()
    full = theirs(wide, mask).last_hidden_state * mask[..., None]
    report("text encoder", text, full[:, :32])

    theirs, ours = WanTransformer3DModel(**plain(layout.TRANSFORMER)).eval(), model.Transformer()
    ours.load_state_dict(theirs.state_dict())
    x, t = torch.randn(3, 16, 5, 4, 6), torch.tensor([999, 500, 17])
    report("transformer", ours(x, t, text, model.text_bias(lengths, 32), ours.rope(5, 2, 3, "cpu")),
           theirs(x, t, full).sample)


if __name__ == "__main__":
    main()
