"""The little world that the demo model knows: its captions and its pictures.

A clip shows one softly lit object (shape, colour, size) that does one thing (motion) in front of a
lit, shaded wall (background colour).  `sample_scenes` draws attributes, `caption` words them, and
`render` draws a whole batch of clips at once with tensor operations, so data costs a few
milliseconds on a GPU and needs no files.  All three are pure functions of their inputs.

Every picture is made from signed distance functions, which give anti-aliased edges, a bevel, and a
blurred shadow for free.  Coordinates are pixels, x to the right, y down; values are in [-1, 1].
"""

import random

import torch

HEIGHT, WIDTH, FRAMES, FPS = 96, 160, 17, 8

SHAPES = ["ball", "square", "triangle", "star", "heart", "ring"]
SHAPE_WORDS = {
    "ball": ["ball", "ball", "ball", "sphere", "circle"],
    "square": ["square", "square", "square", "box", "block"],
    "triangle": ["triangle"],
    "star": ["star"],
    "heart": ["heart"],
    "ring": ["ring", "ring", "ring", "donut"],
}

COLOURS = {  # saturated: the object
    "red": (0.90, 0.10, 0.10), "orange": (0.98, 0.50, 0.06), "yellow": (0.98, 0.86, 0.14),
    "green": (0.14, 0.74, 0.22), "blue": (0.12, 0.32, 0.95), "purple": (0.56, 0.16, 0.84),
    "pink": (1.00, 0.42, 0.70), "white": (0.96, 0.96, 0.96),
}
BACKGROUNDS = {  # muted: the wall
    "teal": (0.12, 0.48, 0.48), "blue": (0.22, 0.36, 0.66), "green": (0.30, 0.52, 0.30),
    "purple": (0.42, 0.28, 0.56), "pink": (0.86, 0.62, 0.70), "grey": (0.55, 0.56, 0.58),
    "beige": (0.86, 0.78, 0.64), "black": (0.09, 0.09, 0.11),
}
BACKGROUND_WORDS = {"grey": ["grey", "grey", "gray"], "black": ["black", "black", "dark"]}

SIZES = {"small": (11.0, 13.0), "big": (19.0, 22.0)}  # radius in pixels
SIZE_WORDS = {"small": ["small", "small", "little", "tiny"], "big": ["big", "big", "large", "huge"]}

MOTIONS = {  # name: (weight, phrasings)
    "still": (2, ["standing still", "not moving", "resting"]),
    "right": (3, ["moving right", "moving right", "moving to the right"]),
    "left": (3, ["moving left", "moving left", "moving to the left"]),
    "up": (3, ["moving up", "moving up", "rising", "moving upwards"]),
    "down": (3, ["moving down", "moving down", "falling", "moving downwards"]),
    "up-right": (1, ["moving up and right", "moving diagonally up to the right"]),
    "up-left": (1, ["moving up and left", "moving diagonally up to the left"]),
    "down-right": (1, ["moving down and right", "moving diagonally down to the right"]),
    "down-left": (1, ["moving down and left", "moving diagonally down to the left"]),
    "growing": (2, ["growing", "growing", "getting bigger"]),
    "shrinking": (2, ["shrinking", "shrinking", "getting smaller"]),
    "bouncing": (2, ["bouncing", "bouncing up and down", "jumping"]),
}
DIRECTIONS = {
    "right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1),
    "up-right": (1, -1), "up-left": (-1, -1), "down-right": (1, 1), "down-left": (-1, 1),
}
THE_PROMPT = "a big red ball moving right on a teal background"


def sample_scenes(n, rng):
    """Draws `n` scenes as dicts of attribute names.  An object never has its wall's colour name."""
    motions, weights = list(MOTIONS), [w for w, _ in MOTIONS.values()]
    scenes = []
    while len(scenes) < n:
        scene = dict(
            shape=rng.choice(SHAPES), colour=rng.choice(list(COLOURS)), size=rng.choice(list(SIZES)),
            motion=rng.choices(motions, weights)[0], background=rng.choice(list(BACKGROUNDS)))
        if scene["colour"] != scene["background"]:
            scenes.append(scene)
    return scenes


def caption(scene, rng=None):
    """Words a scene.  Without `rng` it is the plain sentence, of which THE_PROMPT is one."""
    def pick(words):
        return rng.choice(words) if rng else words[0]

    name = scene["background"]
    size = pick(SIZE_WORDS[scene["size"]])
    colour, shape = scene["colour"], pick(SHAPE_WORDS[scene["shape"]])
    motion, wall = pick(MOTIONS[scene["motion"]][1]), pick(BACKGROUND_WORDS.get(name, [name]))
    plain = f"a {size} {colour} {shape} {motion} on a {wall} background"
    if rng is None:
        return plain
    article = "an" if colour == "orange" else "a"
    return rng.choices([
        plain,
        f"{size} {colour} {shape} {motion}, {wall} background",
        f"{article} {colour} {shape} {motion} on a {wall} background",
        f"on a {wall} background, a {size} {colour} {shape} is {motion}",
        f"A {size} {colour} {shape} is {motion} in front of a {wall} wall.",
        f"{article} {colour} {shape}, {size}, {motion}, {wall} background",
    ], [8, 2, 2, 2, 2, 1])[0]


def vocabulary():
    """Every word that captions are made of, for the README and for the tokenizer's training text."""
    phrases = [w for ws in SHAPE_WORDS.values() for w in ws] + list(COLOURS) + list(BACKGROUNDS)
    phrases += [w for ws in BACKGROUND_WORDS.values() for w in ws] + [w for ws in SIZE_WORDS.values() for w in ws]
    phrases += [p for _, ps in MOTIONS.values() for p in ps] + ["background wall in front of a an is on to the and"]
    return sorted({word for phrase in phrases for word in phrase.split()})


# ---- shapes: signed distances in units of the radius, negative inside -------------------------

def _polygon(x, y, corners):
    """Distance to a polygon given as a list of (x, y), after Inigo Quilez's sdPolygon."""
    d = torch.full_like(x, 1e9)
    sign = torch.ones_like(x)
    for i, (ax, ay) in enumerate(corners):
        bx, by = corners[i - 1]
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        k = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        d = torch.minimum(d, (wx - ex * k) ** 2 + (wy - ey * k) ** 2)
        above, below, side = y >= ay, y < by, ex * wy > ey * wx
        flip = (above & below & side) | (~above & ~below & ~side)
        sign = torch.where(flip, -sign, sign)
    return sign * (d + 1e-12).sqrt()


def _star_corners():
    import math
    radii = (1.12, 0.50)
    return [(radii[i % 2] * math.sin(math.pi * i / 5), -radii[i % 2] * math.cos(math.pi * i / 5)) for i in range(10)]


def _heart(x, y):
    """Two circles and a square corner, after Quilez's sdHeart, scaled to about the unit disc."""
    s = 1.75
    px, py = x.abs() / s, (0.62 - (y + 0.02) / s)
    far = ((px - 0.25) ** 2 + (py - 0.75) ** 2 + 1e-12).sqrt() - 0.3535534
    m = 0.5 * (px + py).clamp(min=0)
    near = torch.minimum(px ** 2 + (py - 1) ** 2, (px - m) ** 2 + (py - m) ** 2)
    return s * torch.where(px + py > 1, far, (near + 1e-12).sqrt() * (px - py).sign())


def _distance(shape, x, y):
    """Distance for a batch: `shape` [B] indexes SHAPES; x, y are [B, F, H, W] in radii."""
    radius = (x * x + y * y + 1e-12).sqrt()
    qx, qy = x.abs() - 0.72, y.abs() - 0.72
    square = ((qx.clamp(min=0) ** 2 + qy.clamp(min=0) ** 2 + 1e-12).sqrt()
              + torch.maximum(qx, qy).clamp(max=0) - 0.12)
    every = [radius - 1, square,
             _polygon(x, y + 0.0, [(0.0, -1.05), (1.08, 0.82), (-1.08, 0.82)]),
             _polygon(x, y, _star_corners()), _heart(x, y), (radius - 0.74).abs() - 0.27]
    out = every[0]
    for i, d in enumerate(every[1:], 1):
        out = torch.where((shape == i)[:, None, None, None], d, out)
    return out


# ---- scenes to numbers, numbers to pictures ---------------------------------------------------

def plan(scenes, generator, device, height=HEIGHT, width=WIDTH, frames=FRAMES):
    """Turns scenes into the tensors `render` draws: per-frame place and radius, colours, light."""
    n = len(scenes)

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(*shape, device=device, generator=generator)

    def gather(table, key):
        return torch.tensor([table[s[key]] for s in scenes], device=device, dtype=torch.float32)

    size = gather(SIZES, "size")
    radius = size[:, 0] + (size[:, 1] - size[:, 0]) * uniform(0, 1, n)
    way = torch.tensor([DIRECTIONS.get(s["motion"], (0, 0)) for s in scenes], device=device, dtype=torch.float32)
    is_motion = {m: torch.tensor([s["motion"] == m for s in scenes], device=device)[:, None]
                 for m in ("growing", "shrinking", "bouncing")}
    time = torch.linspace(0, 1, frames, device=device)[None]

    scale = torch.where(is_motion["growing"], 0.55 + 0.7 * time, torch.ones_like(time))
    scale = torch.where(is_motion["shrinking"], 1.25 - 0.7 * time, scale)
    radii = radius[:, None] * scale
    room = radii.amax(1, keepdim=True) * 1.12 + 2
    extent = torch.tensor([width, height], device=device, dtype=torch.float32)
    free = ((extent - 2 * room) / 2).clamp(min=0)                       # [n, 2] half of the free way
    reach = torch.minimum(torch.tensor([46.0, 27.0], device=device), free) * uniform(0.8, 1.0, n, 1)
    bounce = is_motion["bouncing"].float()
    travel = way.abs() * reach + bounce * torch.stack([0 * reach[:, 0], 0.8 * reach[:, 1]], 1)
    centre = extent / 2 + (free - travel).clamp(min=0) * uniform(-1, 1, n, 2) * 0.9
    path = (2 * time - 1)[..., None] * (way * reach)[:, None]            # [n, frames, 2]
    hop = travel[:, 1:] * (1 - 2 * (2 * torch.pi * time).sin().abs()) * bounce
    path = path + torch.stack([torch.zeros_like(hop), hop], -1)
    place = centre[:, None] + path
    return dict(
        shape=torch.tensor([SHAPES.index(s["shape"]) for s in scenes], device=device),
        x=place[..., 0], y=place[..., 1], radius=radii,
        colour=(gather(COLOURS, "colour") + 0.010 * torch.randn(n, 3, device=device, generator=generator)),
        wall=(gather(BACKGROUNDS, "background") + 0.006 * torch.randn(n, 3, device=device, generator=generator)),
        lamp=torch.stack([uniform(0.2, 0.4, n), uniform(0.1, 0.3, n), uniform(0.8, 1.2, n)], 1),
        height=height, width=width)


def render(p):
    """Draws planned clips.  Returns video [B, 3, F, H, W] in [-1, 1] and a soft object mask [B, 1, F, H, W]."""
    device = p["x"].device
    ys = torch.arange(p["height"], device=device, dtype=torch.float32) + 0.5
    xs = torch.arange(p["width"], device=device, dtype=torch.float32) + 0.5
    r = p["radius"][..., None, None]
    x = (xs[None, None, None, :] - p["x"][..., None, None]) / r
    y = (ys[None, None, :, None] - p["y"][..., None, None]) / r
    x, y = torch.broadcast_tensors(x, y)
    inside = _distance(p["shape"], x, y)
    cover = (0.5 - inside * r / 1.3).clamp(0, 1)
    shade_x, shade_y = x - 0.16 - 2.0 / r, y - 0.22 - 3.0 / r
    shadow = 0.42 * torch.sigmoid(-_distance(p["shape"], shade_x, shade_y) / 0.085)

    # the wall: lighter at the top, a lamp's glow, a darker rim
    u = (xs / p["width"])[None, None, :]
    v = (ys / p["height"])[None, :, None]
    lx, ly, power = (p["lamp"][:, i, None, None] for i in range(3))
    glow = power * torch.exp(-((u - lx) ** 2 * 1.6 + (v - ly) ** 2) / 0.22)
    rim = ((u - 0.5) ** 2 + (v - 0.5) ** 2)
    light = (1.06 - 0.26 * v + 0.16 * glow - 0.22 * rim)[:, None]       # [B, 1, H, W]
    wall = p["wall"][:, :, None, None] * light + 0.05 * glow[:, None]
    video = wall[:, :, None] * (1 - shadow[:, None])

    # the object: a lit sphere, or a bevelled tile with a soft highlight
    is_ball = (p["shape"] == 0)[:, None, None, None]
    z = (1 - x * x - y * y).clamp(min=0).sqrt()
    facing = (-0.48 * x - 0.58 * y + 0.66 * z).clamp(min=0)
    shine = torch.exp(-((x + 0.38) ** 2 + (y + 0.42) ** 2) / 0.05)
    tile = 0.93 - 0.17 * (x + y).clamp(-1.4, 1.4) * 0.7 - 0.22 * (1 + inside / 0.16).clamp(0, 1)
    body = torch.where(is_ball, 0.42 + 0.66 * facing, tile + 0.05)[:, None]
    gloss = torch.where(is_ball, 0.55 * shine, 0.10 * torch.exp(-((x + 0.3) ** 2 + (y + 0.35) ** 2) / 0.25))[:, None]
    thing = p["colour"][:, :, None, None, None] * body + gloss * (1 - 0.3 * p["colour"][:, :, None, None, None])
    video = video + (thing.clamp(0, 1) - video) * cover[:, None]
    mask = (1.0 - inside * r / 6.0).clamp(0, 1)[:, None]
    return video.clamp(0, 1) * 2 - 1, mask


def make_clips(n, seed, device="cpu", worded=True, height=HEIGHT, width=WIDTH, frames=FRAMES):
    """`n` fresh clips: (video, mask, captions, scenes), reproducible from `seed` on one device kind."""
    rng = random.Random(seed)
    generator = torch.Generator(device=device).manual_seed(seed)
    scenes = sample_scenes(n, rng)
    video, mask = render(plan(scenes, generator, device, height, width, frames))
    return video, mask, [caption(s, rng if worded else None) for s in scenes], scenes


def contact_sheet(path, rows, titles=None, scale=1, columns=1):
    """Writes a PNG: `rows` is a list of frame lists (uint8 [H, W, 3] arrays), each under its title."""
    from PIL import Image, ImageDraw
    h, w, _ = rows[0][0].shape
    h, w, band = h * scale, w * scale, 14 if titles else 0
    per = -(-len(rows) // columns)
    row_w = len(rows[0]) * (w + 2) + 6
    sheet = Image.new("RGB", (row_w * columns, per * (h + band + 2)), (24, 24, 24))
    draw = ImageDraw.Draw(sheet)
    for i, frames in enumerate(rows):
        left, top = (i // per) * row_w, (i % per) * (h + band + 2)
        if titles:
            draw.text((left + 3, top + 1), titles[i][: row_w // 6], fill=(235, 235, 235))
        for j, frame in enumerate(frames):
            image = Image.fromarray(frame)
            sheet.paste(image.resize((w, h), Image.LANCZOS) if scale != 1 else image, (left + j * (w + 2), top + band))
    sheet.save(path)


def to_uint8(video):
    """[3, F, H, W] in [-1, 1] -> list of uint8 [H, W, 3]."""
    frames = ((video.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 3, 0).cpu().numpy()
    return list(frames)
