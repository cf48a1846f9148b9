"""Trains the demo model on one GPU, in pieces that stop themselves and can be continued.

    python3 demo_train.py probe --out DIR                      times the ways to run, compares optimisers
    python3 demo_train.py vae --out DIR --seconds 480          the VAE; --init continues from its weights
    python3 demo_train.py dit --out DIR --seconds 360 --vae V  text encoder and both experts, jointly
    python3 demo_train.py decoder --out DIR --seconds 100 --vae V --dit D   hardens the decoder, see below
    python3 demo_train.py sample --out DIR --vae V --dit D     contact sheets of held-out captions

Data is drawn on the device (demo_world.py).  A whole training step (forward, backward, optimiser,
average) is one CUDA graph, so small kernels cost no launch time.  Progress is measured in seconds,
not steps: the learning rate follows the share of --seconds that has passed.  Each piece writes its
averaged weights and a contact sheet to DIR as it goes and when it ends.  `--tiny` runs the same code
on a CPU in a minute, to test it.
"""

import argparse
import json
import math
import pathlib
import random
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import demo_layout as layout
import demo_model as model
import demo_world as world

TEXT_LENGTH = 32            # text rows the transformer sees in training; the rest are counted by weight
BOUNDARY, SHIFT = 0.9, 5.0
HELD_OUT = 4242             # seed of the clips and captions that judge


# ---- optimiser ------------------------------------------------------------------------------------

class Optimiser:
    """Muon for matrices, AdamW for the rest, one learning rate in a device tensor, averaged weights.

    Muon (Jordan et al. 2024): the momentum of each matrix is brought near the closest orthogonal
    matrix by five Newton-Schulz steps, scaled to AdamW's usual update size.  Matrices of one shape
    are processed as one batch.  Everything is capturable in a CUDA graph.
    """

    def __init__(self, named, lr, muon=True, decay=0.01, device="cpu", hold=0.4):
        self.named, self.peak, self.decay, self.hold = list(named), lr, decay, hold
        self.lr = torch.zeros((), device=device)
        edge = ("conv_in", "decoder.conv_out", "quant_conv", "shared", "relative", "table", "proj_out", "embedder",
                "patch_embedding", "time_proj")
        matrix = lambda n, p: muon and p.squeeze().ndim >= 2 and not any(e in n for e in edge)
        groups = {}
        for n, p in self.named:
            if matrix(n, p):
                groups.setdefault((p.shape[0], p[0].numel()), []).append(p)
        self.groups = [(ps, torch.zeros(len(ps), *shape, device=device)) for shape, ps in groups.items()]
        rest = [p for n, p in self.named if not matrix(n, p)]
        self.adam = torch.optim.AdamW(rest, lr=self.lr, betas=(0.9, 0.98), weight_decay=decay,
                                      capturable=device == "cuda", fused=device == "cuda" or None)
        self.params = [p for _, p in self.named]
        self.average = [p.detach().clone() for p in self.params]
        self.keep = torch.zeros((), device=device)          # share of the average kept per step

    def zero(self):
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def step(self):
        torch.nn.utils.clip_grad_norm_(self.params, 1.0, foreach=True)
        for ps, momentum in self.groups:
            g = torch.stack([p.grad.reshape(p.shape[0], -1) for p in ps]).float()
            momentum.lerp_(g, 0.05)
            u = orthogonal(g.lerp(momentum, 0.95)) * (0.2 * math.sqrt(max(g.shape[1:])))
            u = u.float() * self.lr
            torch._foreach_mul_(ps, 1 - self.lr * self.decay)
            torch._foreach_sub_(ps, [v.view_as(p) for v, p in zip(u.unbind(0), ps)])
        self.adam.step()
        torch._foreach_mul_(self.average, self.keep)
        torch._foreach_add_(self.average, torch._foreach_mul(self.params, 1 - self.keep))

    def schedule(self, progress, step):
        """Warm up over 150 steps, hold, then fall as a cosine over the rest."""
        fall = 0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0.0, (progress - self.hold) / (1 - self.hold))))
        self.lr.fill_(self.peak * min(1.0, (step + 1) / 150) * (0.01 + 0.99 * fall))
        self.keep.fill_(min(0.9985, step / (step + 20)))

    def averaged(self):
        return {n: a.detach().clone() for (n, _), a in zip(self.named, self.average)}


def orthogonal(g):
    """Newton-Schulz iteration on a batch of matrices [n, r, c], in BF16."""
    x = g.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if tall else x


class Graphed:
    """Runs `work` as one CUDA graph; plainly on a CPU, or if capture fails."""

    def __init__(self, work, device, log):
        self.work, self.graph = work, None
        if device != "cuda":
            return
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                work()
            self.graph = graph
        except Exception as error:  # noqa: BLE001 - any failure to capture means: run eagerly
            log(f"no CUDA graph: {error!r}")
            torch.cuda.synchronize()

    def __call__(self):
        self.graph.replay() if self.graph else self.work()


def autocast(device):
    return torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda", cache_enabled=False)


def stored(weights):
    """Weights after the rounding of storage: what users will run."""
    return {k: v.float() for k, v in layout.stored(weights, keep_fp32=False).items()}


# ---- data -------------------------------------------------------------------------------------------

class Pool:
    """Clips drawn once and kept as bytes on the device."""

    def __init__(self, n, seed, device, chunk=64):
        rng = random.Random(seed)
        generator = torch.Generator(device=device).manual_seed(seed)
        self.scenes, self.device, video, mask, x, y = [], device, [], [], [], []
        while len(self.scenes) < n:
            scenes = world.sample_scenes(min(chunk, n - len(self.scenes)), rng)
            p = world.plan(scenes, generator, device)
            v, m = world.render(p)
            video.append(((v + 1) * 127.5).round().byte())
            mask.append((m * 255).byte())
            x.append(p["x"]), y.append(p["y"])
            self.scenes += scenes
        self.video, self.mask, self.x, self.y = (torch.cat(a) for a in (video, mask, x, y))
        self.rng = rng

    def batch(self, n, height, width):
        """Random clips, or windows of `height` x `width` around the object at a random time."""
        index = torch.randint(len(self.video), (n,))
        if (height, width) == tuple(self.video.shape[-2:]):
            index = index.to(self.device)
            v, m = self.video[index], self.mask[index]
        else:
            at = torch.randint(world.FRAMES, (n,))
            cx, cy = self.x_host[index, at], self.y_host[index, at]
            left = (cx - width * (0.15 + 0.7 * torch.rand(n))).round().long().clamp(0, world.WIDTH - width)
            top = (cy - height * (0.15 + 0.7 * torch.rand(n))).round().long().clamp(0, world.HEIGHT - height)
            cut = [(int(i), slice(int(t), int(t) + height), slice(int(l), int(l) + width))
                   for i, t, l in zip(index, top, left)]
            v = torch.stack([self.video[i, :, :, a, b] for i, a, b in cut])
            m = torch.stack([self.mask[i, :, :, a, b] for i, a, b in cut])
        return v.float() / 127.5 - 1, m.float() / 255

    def host(self):
        self.x_host, self.y_host = self.x.cpu(), self.y.cpu()
        return self


# ---- VAE --------------------------------------------------------------------------------------------

def vae_loss(made, video, mask, mean, logvar, kl_weight):
    weight = 1 + 4 * mask
    weight = weight / weight.mean()
    d = made - video
    loss = (weight * (d.abs() + 4 * d * d)).mean()
    chroma = d - d.mean(1, keepdim=True)                  # hue errors count again
    loss = loss + 1.0 * (weight * chroma.abs()).mean()
    for dim in (-1, -2, -3):                              # edges in space and time
        n = d.shape[dim] - 1
        loss = loss + 0.5 * (weight.narrow(dim, 0, n) * d.diff(dim=dim).abs()).mean()
    kl = 0.5 * (mean * mean + logvar.exp() - 1 - logvar).mean()
    return loss + kl_weight * kl, d.detach().square().mean(), kl.detach()


class VaeTrainer:
    def __init__(self, args, device, log, muon=True, lr=2e-3, init=None):
        torch.manual_seed(0)
        self.net, self.device, self.log, self.kl = model.Vae().to(device), device, log, args.kl
        if init:
            self.net.load_state_dict({k: v.float() for k, v in load_file(init).items()})
        else:
            with torch.no_grad():
                for n, p in self.net.named_parameters():
                    if n.endswith("conv2.weight"):
                        p.mul_(0.5)
        self.opt = Optimiser(self.net.named_parameters(), lr, muon, 0.01, device)
        self.step_count = 0

    def shape(self, batch, height, width):
        """Fixes the batch's shape and captures the step for it."""
        dev = self.device
        self.batch_shape = batch, height, width
        self.video = torch.zeros(batch, 3, world.FRAMES, height, width, device=dev)
        self.mask = torch.zeros(batch, 1, world.FRAMES, height, width, device=dev)
        self.noise = torch.zeros(batch, 16, 5, height // 8, width // 8, device=dev)
        self.stats = torch.zeros(2, device=dev)
        self.run = None

    def work(self):
        self.opt.zero()
        with autocast(self.device):
            mean, logvar = self.net.encode(self.video)
            logvar = logvar.clamp(-14, 8)
            made = self.net.decode(mean + (0.5 * logvar).exp() * self.noise)
        loss, mse, kl = vae_loss(made, self.video, self.mask, mean, logvar, self.kl)
        loss.backward()
        self.opt.step()
        self.stats.copy_(torch.stack([mse, kl]))

    def train_step(self, pool, progress):
        video, mask = pool.batch(*self.batch_shape)
        self.video.copy_(video), self.mask.copy_(mask), self.noise.normal_()
        if self.run is None:
            self.opt.lr.zero_()
            self.run = Graphed(self.work, self.device, self.log)
        self.opt.schedule(progress, self.step_count)
        self.run()
        self.step_count += 1

    def release(self):
        self.run = None
        self.opt.zero()
        if self.device == "cuda":
            torch.cuda.empty_cache()


@torch.no_grad()
def vae_report(weights, out, device, log, count=64):
    """PSNR on fresh clips with stored (rounded) weights in FP32, latent statistics, and a sheet."""
    net = model.Vae().to(device)
    net.load_state_dict(stored(weights))
    was = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    scores, objects, means, logvars, rows = [], [], [], [], []
    for i in range(0, count, 8):
        video, mask, _, _ = world.make_clips(min(8, count), HELD_OUT + i, device)
        mean, logvar = net.encode(video)
        made = net.decode(mean).clamp(-1, 1)
        error = ((made - video) / 2).square()
        scores += (-10 * error.mean((1, 2, 3, 4)).log10()).tolist()
        objects += (-10 * ((error * mask).sum((1, 2, 3, 4)) / (3 * mask.sum((1, 2, 3, 4)))).log10()).tolist()
        means.append(mean), logvars.append(logvar)
        if i < 16:
            for a, b in list(zip(video, made))[:4]:
                rows += [[world.to_uint8(x)[k] for k in (0, 4, 8, 12, 16)] for x in (a, b)]
    torch.backends.cudnn.allow_tf32 = was
    mean, logvar = torch.cat(means), torch.cat(logvars)
    world.contact_sheet(out / "vae_sheet.png", rows, columns=2)
    log(f"VAE on {len(scores)} fresh clips: PSNR mean {sum(scores) / len(scores):.2f} dB, lowest {min(scores):.2f}; "
        f"around the object {sum(objects) / len(objects):.2f} dB")
    log("latent std by channel " + " ".join(f"{s:.2f}" for s in mean.std((0, 2, 3, 4)).tolist())
        + f"; mean posterior std {(0.5 * logvar).exp().mean():.3f}")
    return sum(scores) / len(scores)


def train_vae(args, device, log):
    start = time.time()
    pool = Pool(args.pool, 1, device).host()
    sync(device)
    log(f"pool of {args.pool} clips drawn in {time.time() - start:.1f} s")
    muon = args.opt == "muon"
    t = VaeTrainer(args, device, log, muon, args.lr, args.init)
    full = (args.batch, world.HEIGHT, world.WIDTH)
    stages = [(args.small, (args.batch * 3, 64, 80)), (1.0, full)]
    last, saved, stage = time.time(), time.time(), None
    sums = torch.zeros(2, device=device)
    since = 0
    while (progress := (time.time() - start) / args.seconds) < 1:
        want = next(s for limit, s in stages if progress < limit)
        if want != stage:
            t.release()
            t.shape(*want)
            stage = want
            log(f"step {t.step_count}: clips of {want}")
        t.train_step(pool, progress)
        sums += t.stats
        since += 1
        if since == args.report:
            mse, kl = (sums / since).tolist()
            log(f"{time.time() - start:6.1f} s  step {t.step_count:6d}  {1e3 * (time.time() - last) / since:6.1f} ms  "
                f"PSNR {-10 * math.log10(mse / 4):.2f}  kl {kl:.3f}  lr {float(t.opt.lr):.1e}")
            last, since = time.time(), 0
            sums.zero_()
        if time.time() - saved > 120:
            save_file(t.opt.averaged(), args.out / "vae.safetensors")
            saved = time.time()
    weights = t.opt.averaged()
    save_file(weights, args.out / "vae.safetensors")
    log(f"{t.step_count} steps in {time.time() - start:.0f} s")
    t.release()
    vae_report(weights, args.out, device, log, 8 if args.tiny else 64)


# ---- text -------------------------------------------------------------------------------------------

class Words:
    """Prompts to padded ids, with the checkpoint's own SentencePiece model."""

    def __init__(self, path):
        import sentencepiece
        self.sp = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def __call__(self, prompts, device):
        ids = [self.sp.encode(p)[: TEXT_LENGTH - 2] + [1] for p in prompts]
        out = torch.zeros(len(ids), TEXT_LENGTH, dtype=torch.long)
        for row, i in zip(out, ids):
            row[: len(i)] = torch.tensor(i)
        return out.to(device), torch.tensor([len(i) for i in ids], device=device)


# ---- transformer --------------------------------------------------------------------------------------

class Experts(torch.nn.Module):
    def __init__(self, device):
        super().__init__()
        self.high, self.low, self.text = model.Transformer(), model.Transformer(), model.TextEncoder()
        for expert in (self.high, self.low):
            torch.nn.init.zeros_(expert.proj_out.weight)
        self.to(device)
        self.text.prepare(TEXT_LENGTH, device)
        self.rope = self.high.rope(5, world.HEIGHT // 16, world.WIDTH // 16, device)

    def velocity(self, expert, x, timestep, rows, bias):
        return expert(x, timestep, rows, bias, self.rope)


@torch.no_grad()
def encode_pool(vae_weights, args, device, log):
    """Latents (posterior means, normalised) and captions of fresh clips, with their statistics."""
    start = time.time()
    net = model.Vae().to(device)
    net.load_state_dict(stored(vae_weights))
    rng = random.Random(args.seed)
    generator = torch.Generator(device=device).manual_seed(args.seed)
    latents, spreads, scenes = [], [], []
    while len(scenes) < args.pool:
        some = world.sample_scenes(32, rng)
        video, _ = world.render(world.plan(some, generator, device))
        with autocast(device):
            mean, logvar = net.encode(video)
        latents.append(mean)
        spreads.append(logvar.exp().mean((0, 2, 3, 4)))
        scenes += some
    z = torch.cat(latents)
    mean = z.mean((0, 2, 3, 4))
    std = (z.var((0, 2, 3, 4)) + torch.stack(spreads).mean(0)).sqrt()   # of samples: an unused channel stays near 0
    z = (z - mean.view(1, -1, 1, 1, 1)) / std.view(1, -1, 1, 1, 1)
    words = Words(args.tokenizer)
    ids, lengths = [], []
    for _ in range(args.phrasings):
        i, n = words([world.caption(s, rng) for s in scenes], device)
        ids.append(i), lengths.append(n)
    sync(device)
    log(f"pool of {len(scenes)} latents in {time.time() - start:.1f} s; longest caption {int(torch.stack(lengths).max())}")
    return z, mean, std, torch.stack(ids, 1), torch.stack(lengths, 1)


class DitTrainer:
    def __init__(self, args, device, log, batch):
        torch.manual_seed(args.seed)
        self.net, self.device, self.log, self.batch = Experts(device), device, log, batch
        if args.init:
            self.net.load_state_dict({k: v.float() for k, v in load_file(args.init).items()
                                      if not k.startswith("latents_")})
        self.opt = Optimiser(self.net.named_parameters(), args.lr, args.opt == "muon", 0.02, device, args.hold)
        n = batch
        self.x = torch.zeros(2 * n, 16, 5, world.HEIGHT // 8, world.WIDTH // 8, device=device)
        self.target = torch.zeros_like(self.x)
        self.t = torch.zeros(2 * n, device=device)
        self.ids = torch.zeros(2 * n, TEXT_LENGTH, dtype=torch.long, device=device)
        self.lengths = torch.ones(2 * n, dtype=torch.long, device=device)
        self.stats = torch.zeros(2, device=device)
        self.run, self.step_count = None, 0
        if device == "cuda" and args.compile:
            for expert in (self.net.high, self.net.low):
                for block in expert.blocks:
                    block.forward = torch.compile(block.forward)

    def fill(self, z, ids, lengths):
        """A batch: the first half for the high-noise expert, the second for the low-noise one."""
        n, dev = self.batch, self.device
        index = torch.randint(len(z), (2 * n,), device=dev)
        phrase = torch.randint(ids.shape[1], (2 * n,), device=dev)
        u = torch.rand(2 * n, device=dev)
        edge = BOUNDARY / (SHIFT - (SHIFT - 1) * BOUNDARY)
        u = torch.cat([edge + (1 - edge) * u[:n], edge * u[n:]]).clamp(min=1e-3)
        sigma = SHIFT * u / (1 + (SHIFT - 1) * u)
        s = sigma.view(-1, 1, 1, 1, 1)
        noise, clean = torch.randn_like(self.x), z[index]
        self.x.copy_(s * noise + (1 - s) * clean)
        self.target.copy_(noise - clean)
        self.t.copy_((sigma * 1000).floor().clamp(max=999))
        empty = torch.rand(2 * n, device=dev) < 0.12
        nothing = torch.zeros(TEXT_LENGTH, dtype=torch.long, device=dev)
        nothing[0] = 1                                        # an empty prompt is just </s>
        self.ids.copy_(torch.where(empty[:, None], nothing, ids[index, phrase]))
        self.lengths.copy_(torch.where(empty, 1, lengths[index, phrase]))

    def work(self):
        self.opt.zero()
        n = self.batch
        with autocast(self.device):
            rows = self.net.text(self.ids, self.lengths)
            bias = model.text_bias(self.lengths, TEXT_LENGTH)
            high = self.net.velocity(self.net.high, self.x[:n], self.t[:n], rows[:n], bias[:n])
            low = self.net.velocity(self.net.low, self.x[n:], self.t[n:], rows[n:], bias[n:])
        a, b = F.mse_loss(high, self.target[:n]), F.mse_loss(low, self.target[n:])
        (a + b).backward()
        self.opt.step()
        self.stats.copy_(torch.stack([a.detach(), b.detach()]))

    def train_step(self, data, progress):
        self.fill(*data)
        if self.run is None:
            self.opt.lr.zero_()
            self.run = Graphed(self.work, self.device, self.log)
        self.opt.schedule(progress, self.step_count)
        self.run()
        self.step_count += 1


@torch.no_grad()
def sample(weights, vae_weights, mean, std, prompts, args, device, steps=20, guidance=(4.0, 3.0), seed=0):
    """Euler with UniPC's sigmas and classifier-free guidance; returns videos [B, 3, F, H, W]."""
    net = Experts(device)
    net.load_state_dict({k: v.to(device) for k, v in weights.items()})
    words = Words(args.tokenizer)
    ids, lengths = words(list(prompts) + [""] * len(prompts), device)
    n = len(prompts)
    x = torch.randn(n, 16, 5, world.HEIGHT // 8, world.WIDTH // 8, generator=torch.Generator().manual_seed(seed)).to(device)
    u = torch.linspace(1, 1e-3, steps + 1, dtype=torch.float64)[:-1]
    sigmas = torch.cat([SHIFT * u / (1 + (SHIFT - 1) * u), torch.zeros(1, dtype=torch.float64)])
    with autocast(device):
        rows, bias = net.text(ids, lengths), model.text_bias(lengths, TEXT_LENGTH)
        for now, then in zip(sigmas[:-1], sigmas[1:]):
            t = float((now * 1000).floor().clamp(max=999))
            expert, scale = (net.high, guidance[0]) if t >= 1000 * BOUNDARY else (net.low, guidance[1])
            v = net.velocity(expert, torch.cat([x, x]), torch.full((2 * n,), t, device=device), rows, bias)
            cond, uncond = v.float().chunk(2)
            x = x + float(then - now) * (uncond + scale * (cond - uncond))
    vae = model.Vae().to(device)
    vae.load_state_dict(stored(vae_weights))
    z = x * std.view(1, -1, 1, 1, 1) + mean.view(1, -1, 1, 1, 1)
    return torch.cat([vae.decode(a).clamp(-1, 1) for a in z.split(8)])


def sheets(weights, vae_weights, mean, std, args, device, log, count=32):
    """Contact sheets of THE_PROMPT and held-out random captions, sixteen to a picture."""
    rng = random.Random(HELD_OUT)
    prompts = [world.THE_PROMPT] + [world.caption(s, rng) for s in world.sample_scenes(count - 1, rng)]
    videos = sample(weights, vae_weights, mean, std, prompts, args, device, steps=args.sample_steps)
    for k in range(0, count, 16):
        rows = [[world.to_uint8(v)[f] for f in (0, 4, 8, 12, 16)] for v in videos[k:k + 16]]
        world.contact_sheet(args.out / f"sheet{k // 16 + 1}.png", rows, prompts[k:k + 16], columns=2)
    log(f"{count} captions sampled")


def train_dit(args, device, log):
    start = time.time()
    vae_weights = load_file(args.vae, device=device)
    z, mean, std, ids, lengths = encode_pool(vae_weights, args, device, log)
    t = DitTrainer(args, device, log, args.dit_batch)
    data = (z, ids, lengths)
    t.train_step(data, 0.0)
    sync(device)
    log(f"first step after {time.time() - start:.1f} s")
    begin = last = time.time()
    limit = max(1.0, args.seconds - (begin - start))
    saved, since, sums = time.time(), 0, torch.zeros(2, device=device)

    def save():
        weights = {k: v.contiguous() for k, v in t.opt.averaged().items()}
        half = layout.stored(weights)
        save_file(dict(half, latents_mean=mean.float().cpu(), latents_std=std.float().cpu()),
                  args.out / "dit.safetensors")
        return {k: v.float() for k, v in half.items()}

    while (progress := (time.time() - begin) / limit) < 1:
        t.train_step(data, progress)
        sums += t.stats
        since += 1
        if since == args.report:
            high, low = (sums / since).tolist()
            log(f"{time.time() - start:6.1f} s  step {t.step_count:6d}  {1e3 * (time.time() - last) / since:6.1f} ms  "
                f"loss high {high:.4f} low {low:.4f}  lr {float(t.opt.lr):.1e}")
            last, since = time.time(), 0
            sums.zero_()
        if time.time() - saved > 120:
            save()
            saved = time.time()
    log(f"{t.step_count} steps in {time.time() - start:.0f} s")
    weights = save()
    t.run = None
    sheets(weights, vae_weights, mean, std, args, device, log, 4 if args.tiny else 32)


def sample_only(args, device, log):
    weights, mean, std = load_dit(args.dit, device)
    sheets(weights, load_file(args.vae, device=device), mean, std, args, device, log, 4 if args.tiny else 32)


# ---- decoder ----

def load_dit(path, device):
    dit = load_file(path, device=device)
    mean, std = dit.pop("latents_mean"), dit.pop("latents_std")
    return {k: v.float() for k, v in dit.items()}, mean, std


class DecoderTrainer(VaeTrainer):
    """Trains the decoder alone to draw clean shapes from latents as the transformer leaves them.

    The encoder, and so the latent space, stay as they are.  Latents come clean, with white noise, or,
    mostly, as the low-noise expert's one-step prediction of the clean latent at a moderate noise
    level: the same small structured errors that a finished sample has, but with the true clip known.
    """

    def __init__(self, args, device, log):
        super().__init__(args, device, log, True, args.lr, args.vae)
        named = [(n, p) for n, p in self.net.named_parameters() if n.startswith(("decoder.", "post_quant_conv."))]
        for n, p in self.net.named_parameters():
            p.requires_grad_(n.startswith(("decoder.", "post_quant_conv.")))
        self.opt = Optimiser(named, args.lr, True, 0.01, device)
        self.zero = torch.zeros(1, device=device)

    @torch.no_grad()
    def prepare(self, pool, words, weights, mean, std):
        shape = (1, -1, 1, 1, 1)
        self.mean, self.std = mean.view(shape), std.view(shape)
        experts = Experts(self.device)
        experts.load_state_dict(weights)
        clean, guess = [], []
        for i in range(0, len(pool.scenes), 64):
            video = pool.video[i:i + 64].float() / 127.5 - 1
            with autocast(self.device):
                m, _ = self.net.encode(video)
                z = (m - self.mean) / self.std
                ids, lengths = words([world.caption(s, pool.rng) for s in pool.scenes[i:i + 64]], self.device)
                rows, bias = experts.text(ids, lengths), model.text_bias(lengths, TEXT_LENGTH)
                levels = []
                for low, high in ((0.05, 0.25), (0.25, 0.45), (0.45, 0.6)):
                    sigma = low + (high - low) * torch.rand(len(z), device=self.device)
                    s = sigma.view(-1, 1, 1, 1, 1)
                    x = s * torch.randn_like(z) + (1 - s) * z
                    levels.append(x - s * experts.velocity(experts.low, x, (1000 * sigma).floor(), rows, bias))
            clean.append(z), guess.append(torch.stack(levels, 1))
        self.clean, self.guess = torch.cat(clean), torch.cat(guess)
        self.log("error of the predictions by level " + " ".join(
            f"{(self.guess[:, k] - self.clean).square().mean().sqrt():.3f}" for k in range(3)))

    def work(self):
        self.opt.zero()
        with autocast(self.device):
            made = self.net.decode(self.noise * self.std + self.mean)
        loss, mse, kl = vae_loss(made, self.video, self.mask, self.zero, self.zero, 0.0)
        loss.backward()
        self.opt.step()
        self.stats.copy_(torch.stack([mse, kl]))

    def train_step(self, pool, progress):
        n, dev = self.batch_shape[0], self.device
        index = torch.randint(len(self.clean), (n,), device=dev)
        self.video.copy_(pool.video[index].float() / 127.5 - 1)
        self.mask.copy_(pool.mask[index].float() / 255)
        z, kind = self.clean[index], torch.rand(n, device=dev).view(-1, 1, 1, 1, 1)
        noisy = z + torch.randn_like(z) * (0.35 * torch.rand_like(kind) * (kind < 0.85))
        guess = self.guess[index, torch.randint(3, (n,), device=dev)]
        self.noise.copy_(torch.where(kind < 0.6, guess, noisy))      # the decoder's input
        if self.run is None:
            self.opt.lr.zero_()
            self.run = Graphed(self.work, self.device, self.log)
        self.opt.schedule(progress, self.step_count)
        self.run()
        self.step_count += 1


def train_decoder(args, device, log):
    start = time.time()
    weights, mean, std = load_dit(args.dit, device)
    pool = Pool(args.pool, 11, device)
    t = DecoderTrainer(args, device, log)
    t.prepare(pool, Words(args.tokenizer), weights, mean, std)
    t.shape(args.batch, world.HEIGHT, world.WIDTH)
    sync(device)
    log(f"prepared in {time.time() - start:.1f} s")
    t.train_step(pool, 0.0)
    begin, since, sums = time.time(), 0, torch.zeros(2, device=device)
    limit = max(1.0, args.seconds - (begin - start))
    while (progress := (time.time() - begin) / limit) < 1:
        t.train_step(pool, progress)
        sums += t.stats
        since += 1
        if since == args.report:
            log(f"{time.time() - start:6.1f} s  step {t.step_count:6d}  PSNR "
                f"{-10 * math.log10(sums[0].item() / since / 4):.2f}  lr {float(t.opt.lr):.1e}")
            since = 0
            sums.zero_()
    new = {**load_file(args.vae, device=device), **t.opt.averaged()}
    save_file(new, args.out / "vae.safetensors")
    log(f"{t.step_count} steps in {time.time() - start:.0f} s")
    t.release()
    sheets(weights, new, mean, std, args, device, log, 4 if args.tiny else 32)
    vae_report(new, args.out, device, log, 8 if args.tiny else 64)


# ---- probe --------------------------------------------------------------------------------------------

def probe(args, device, log):
    """Times both convolution forms, races the optimisers on the VAE, tries the transformer's step."""
    pool = Pool(512, 1, device).host()
    choice = {}
    timing = {}
    for conv in ("3d", "2d"):
        model.CONV = conv
        t = VaeTrainer(args, device, log)
        t.shape(args.batch, world.HEIGHT, world.WIDTH)
        begin = time.time()
        t.train_step(pool, 0.5)
        sync(device)
        warm = time.time() - begin
        begin = time.time()
        for _ in range(10):
            t.train_step(pool, 0.5)
        sync(device)
        timing[conv] = (time.time() - begin) / 10
        log(f"conv {conv}: {1e3 * timing[conv]:.1f} ms a step of {args.batch} clips (first {warm:.1f} s), "
            f"peak {torch.cuda.max_memory_allocated() / 2**30 if device == 'cuda' else 0:.1f} GiB")
        t.release()
        del t
    choice["conv"] = model.CONV = min(timing, key=timing.get)
    scores = {}
    for opt, lr in (("muon", 2e-3), ("adam", 2e-3), ("muon", 5e-3))[: 1 if args.tiny else 3]:
        t = VaeTrainer(args, device, log, opt == "muon", lr)
        t.shape(args.batch * 3, 64, 80)
        t.train_step(pool, 0.0)
        sync(device)
        begin, sums, n, tail = time.time(), torch.zeros(2, device=device), 0, []
        while (progress := (time.time() - begin) / args.race) < 1:
            t.train_step(pool, progress)
            if progress > 0.85:
                sums += t.stats
                n += 1
            if t.step_count % 50 == 0:
                sync(device)
        sync(device)
        mse, kl = (sums / max(n, 1)).tolist()
        scores[opt, lr] = mse
        log(f"{opt} lr {lr}: {t.step_count} steps in {args.race} s, {1e3 * args.race / t.step_count:.1f} ms, "
            f"PSNR at the end {-10 * math.log10(max(mse, 1e-9) / 4):.2f}, kl {kl:.3f}")
        t.release()
        del t
    choice["opt"], choice["lr"] = min(scores, key=scores.get)
    (args.out / "choice.json").write_text(json.dumps(choice))
    log(json.dumps(choice))
    n = 256
    z = torch.randn(n, 16, 5, 12, 20, device=device)
    ids = torch.randint(3, layout.VOCAB, (n, 1, TEXT_LENGTH), device=device)
    lengths = torch.full((n, 1), 12, device=device)
    for compiled in (False, True):
        args.compile = compiled
        try:
            t = DitTrainer(args, device, log, args.dit_batch)
            begin = time.time()
            t.train_step((z, ids, lengths), 0.0)
            sync(device)
            warm, begin = time.time() - begin, time.time()
            for _ in range(20):
                t.train_step((z, ids, lengths), 0.0)
            sync(device)
            log(f"transformer step, compile {compiled}: {50 * (time.time() - begin):.1f} ms for 2 x {args.dit_batch} "
                f"clips (first {warm:.1f} s), loss {t.stats.tolist()}")
        except Exception as error:  # noqa: BLE001
            log(f"transformer step, compile {compiled}: {error!r}")


def sync(device):
    if device == "cuda":
        torch.cuda.synchronize()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("piece", choices=["probe", "vae", "dit", "decoder", "sample"])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--init", help="weights to continue from")
    parser.add_argument("--vae", help="VAE weights")
    parser.add_argument("--dit", help="transformer and text encoder weights")
    parser.add_argument("--tokenizer", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2]
                        / "presets/demo/wan-t2v/tokenizer/spiece.model")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dit-batch", type=int, default=96)
    parser.add_argument("--pool", type=int, default=6144)
    parser.add_argument("--phrasings", type=int, default=4)
    parser.add_argument("--opt", choices=["muon", "adam"], default="muon")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--hold", type=float, default=0.4, help="share of transformer training at the full learning rate")
    parser.add_argument("--seed", type=int, default=7, help="of the transformer's clips")
    parser.add_argument("--kl", type=float, default=5e-5)
    parser.add_argument("--small", type=float, default=0.4, help="share of VAE training on windows of clips")
    parser.add_argument("--conv", choices=["3d", "2d"], default="3d")
    parser.add_argument("--choice", help="choice.json of a probe, overrides --conv, --opt and --lr")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--race", type=float, default=18, help="seconds per optimiser in the probe")
    parser.add_argument("--report", type=int, default=100)
    parser.add_argument("--sample-steps", type=int, default=20)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.choice and pathlib.Path(args.choice).exists():
        choice = json.loads(pathlib.Path(args.choice).read_text())
        args.conv = choice["conv"]
        if args.piece == "vae" and not args.init:
            args.opt, args.lr = choice["opt"], choice["lr"]
    if args.tiny:
        args.batch, args.pool, args.dit_batch, args.report, args.race = 1, 8, 2, 1, 2
        args.sample_steps, args.phrasings = 3, 2
    model.CONV = args.conv
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    start, log_file = time.time(), open(args.out / "log.txt", "a")

    def log(line):
        print(f"[{time.time() - start:6.1f}] {line}", flush=True)
        print(line, file=log_file, flush=True)

    log(f"{args.piece} on {torch.cuda.get_device_name() if device == 'cuda' else 'CPU'}, "
        + ", ".join(f"{k} {getattr(args, k)}" for k in ("seconds", "batch", "opt", "lr", "conv", "kl", "init")))
    {"probe": probe, "vae": train_vae, "dit": train_dit, "decoder": train_decoder, "sample": sample_only}[args.piece](args, device, log)


if __name__ == "__main__":
    main()
