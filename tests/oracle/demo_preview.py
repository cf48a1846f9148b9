"""The demo's latent-to-RGB map for live previews, by least squares on its own world.

    python3 demo_preview.py CHECKPOINT [--clips 300]      fits the map and writes it to CHECKPOINT/vgen.json

Clips are rendered by demo_world, encoded with the checkpoint's VAE, and normalised as the denoiser sees
them.  The target of a latent pixel is the mean colour, in [-1, 1], of the 4 frames x 8 x 8 pixels it stands
for; latent frame 0 (a single frame) is left out, since the preview shows the middle one.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import load_file

import demo_layout as layout
import demo_model as model
import demo_world as world


def fit(folder, clips, size, device, seed=0, batch=4):
    model.CONV = "2d"
    config = json.loads((folder / "vae" / "config.json").read_text())
    vae = model.Vae(config).to(device).eval()
    vae.load_state_dict({k: v.float() for k, v in load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items()})
    mean, std = (torch.tensor(config[k], dtype=torch.float64) for k in ("latents_mean", "latents_std"))
    channels = mean.numel()
    gram = torch.zeros(channels + 1, channels + 1, dtype=torch.float64)
    moment = torch.zeros(channels + 1, 3, dtype=torch.float64)
    square = count = 0
    for first in range(0, clips, batch):
        video = world.make_clips(min(batch, clips - first), seed + first, device, True, *size)[0].float()  # [n, 3, f, h, w]
        with torch.no_grad():
            z = vae.encode(video)[0].cpu().double()[:, :, 1:]
        video = video.cpu()
        n, _, t, h, w = z.shape
        rows = ((z - mean.view(1, -1, 1, 1, 1)) / std.view(1, -1, 1, 1, 1)).permute(0, 2, 3, 4, 1).reshape(-1, channels)
        rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype)], 1)
        rgb = video[:, :, 1:].double().reshape(n, 3, t, 4, h, 8, w, 8).mean((3, 5, 7)).permute(0, 2, 3, 4, 1).reshape(-1, 3)
        gram += rows.T @ rows
        moment += rows.T @ rgb
        square += (rgb ** 2).sum().item()
        count += rgb.numel()
        print(f"{first + n} clips", end="\r", flush=True)
    solution = torch.linalg.solve(gram, moment)
    error = square - 2 * (solution * moment).sum().item() + (solution * (gram @ solution)).sum().item()
    print(f"root mean square error {127.5 * (error / count) ** 0.5:.1f} of 255 levels over {clips} clips")
    return solution[:-1].tolist(), solution[-1].tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--size", type=int, nargs=3, default=[64, 64, 5], help="height, width, frames of a clip: small is quick")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    factors, bias = fit(args.checkpoint, args.clips, args.size, args.device)
    layout.write_own(args.checkpoint, factors, bias)


if __name__ == "__main__":
    main()
