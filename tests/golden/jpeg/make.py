"""JPEG files of every kind, and what Pillow 13.0 (with libjpeg-turbo 3.2) makes of them: `jpeg.tsv`, which
`tests/data/jpeg.rs` reads. Run it in this folder, with cjpeg of libjpeg-turbo on the path: python make.py

A line is a file's name, the mode in which Pillow opens it or "bad" where Pillow refuses it, its width and height, and
the FNV-1a hash of its samples in that mode.
"""
import io, os, random, subprocess
from PIL import Image

random.seed(1)
lines = []


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{value:016x}"


def picture(w, h):
    """Gradients, edges, saturated colours and fine detail."""
    def pixel(x, y):
        if (x // 5 + y // 4) % 3 == 0:
            return (255 * (x % 2), 255 * (y % 3 > 0), 255 * ((x + y) % 2))
        return (x * 9 % 256, y * 11 % 256, (x * y + 90) % 256)
    return Image.frombytes("RGB", (w, h), bytes(v for y in range(h) for x in range(w) for v in pixel(x, y)))


def add(name, data):
    open(name, "wb").write(data)
    try:
        image = Image.open(name)
        image.load()
        lines.append(f"{name}\t{image.mode}\t{image.width}\t{image.height}\t{fnv(image.tobytes())}")
    except Exception:
        lines.append(f"{name}\tbad\t0\t0\t0")


def cjpeg(image, *options, scans=None):
    if scans:
        open("scans.txt", "w").write(scans)
        options += ("-scans", "scans.txt")
    file = io.BytesIO()
    image.save(file, "PPM")
    data = subprocess.run(["cjpeg", *options], input=file.getvalue(), capture_output=True, check=True).stdout
    if scans:
        os.remove("scans.txt")
    return data


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


one, odd, even = picture(1, 1), picture(35, 21), picture(32, 32)
factors = {
    "444": "1x1", "422": "2x1", "420": "2x2", "440": "1x2", "411": "4x1", "410": "4x2", "441": "1x4", "244": "2x4",
    "422_of_2x2": "2x2,1x2,1x2", "444_of_2x2": "2x1,2x1,2x1", "mixed": "2x2,2x1,1x2", "3x1": "3x1", "3x2": "3x2",
    "luminance_subsampled": "1x1,2x2,2x2",
}
for name, sample in factors.items():
    add(f"{name}.jpg", cjpeg(odd, "-quality", "80", "-sample", sample, "-restart", "2B"))
    add(f"{name}_progressive.jpg", cjpeg(odd, "-quality", "80", "-sample", sample, "-progressive"))
for w, h in [(1, 1), (2, 3), (3, 1), (5, 8), (7, 9), (8, 8), (15, 17), (16, 16), (17, 33), (31, 5), (64, 2)]:
    add(f"size_{w}x{h}.jpg", cjpeg(picture(w, h), "-quality", "90", "-sample", "2x2"))
    add(f"size_{w}x{h}_422.jpg", cjpeg(picture(w, h), "-quality", "90", "-sample", "2x1", "-optimize"))
for quality in (1, 30, 100):
    add(f"quality_{quality}.jpg", cjpeg(even, "-quality", str(quality), "-sample", "2x2"))
add("apart.jpg", cjpeg(odd, "-sample", "2x2", scans="0;\n1;\n2;\n"))
add("half_apart.jpg", cjpeg(odd, "-sample", "2x2", scans="0;\n1 2;\n"))
add("restarts_progressive.jpg", cjpeg(odd, "-sample", "2x2", "-progressive", "-restart", "1B"))
add("grey.jpg", cjpeg(odd.convert("L"), "-grayscale"))
add("grey_2x2.jpg", cjpeg(odd.convert("L"), "-grayscale", "-sample", "2x2"))
add("grey_progressive.jpg", saved(odd.convert("L"), progressive=True))
add("rgb.jpg", cjpeg(odd, "-rgb"))
ink = Image.merge("CMYK", [odd.getchannel(c) for c in "RGB"] + [odd.rotate(180).getchannel("R")])
for name, options in {"": {}, "_progressive": {"progressive": True}, "_420": {"subsampling": 2}}.items():
    data = saved(ink, **options)
    add(f"cmyk{name}.jpg", data)
    at = data.find(b"Adobe")
    add(f"ycck{name}.jpg", data[:at + 11] + b"\2" + data[at + 12:])
    add(f"cmyk{name}_unnamed.jpg", data[:at - 4] + data[at + 12:])

plain = cjpeg(odd, "-quality", "60", "-sample", "2x2")
head, body = plain[:2], plain[20:]
for transform in range(3):
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])
    add(f"adobe_{transform}.jpg", head + adobe + body)
    add(f"jfif_adobe_{transform}.jpg", plain[:20] + adobe + body)
for ids in (b"RGB", b"\0\1\2", b"\1\1\1"):
    data = bytearray(head + body)
    frame, scan = data.find(b"\xff\xc0"), data.find(b"\xff\xda")
    for i in range(3):
        data[frame + 10 + 3 * i] = data[scan + 5 + 2 * i] = ids[i]
    add(f"ids_{ids.hex()}.jpg", bytes(data))
bare = plain
while (at := bare.find(b"\xff\xc4")) > 0:
    bare = bare[:at] + bare[at + 2 + int.from_bytes(bare[at + 2:at + 4], "big"):]
add("no_codes.jpg", bare)
add("junk_behind.jpg", plain + b"junk" * 9)
add("junk_between.jpg", plain[:20] + b"junk" + plain[20:])
add("fill_bytes.jpg", plain[:-2] + b"\xff\xff\xff\xd9")
add("no_end.jpg", plain[:-2])
bits_12 = bytearray(plain)
bits_12[plain.find(b"\xff\xc0") + 4] = 12
add("bits_12.jpg", bytes(bits_12))

# Damage, which libjpeg passes over in its own way.
markers = cjpeg(picture(48, 40), "-quality", "70", "-sample", "2x1", "-restart", "2B")
for i in range(16):
    for name, data in {"plain": plain, "markers": markers}.items():
        start = data.find(b"\xff\xda") + 14
        at = random.randrange(start, len(data) - 40)
        if i % 4 == 0:
            data = data[:at] + b"\xff\xd9"
        elif i % 4 == 1:
            data = data[:at]
        elif i % 4 == 2:
            data = data[:at] + data[at + random.randrange(1, 40):]
        else:
            data = data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1:]
        add(f"damaged_{name}_{i}.jpg", data)

open("jpeg.tsv", "w").write("\n".join(lines) + "\n")
