"""Pictures of every kind, and what Pillow 13.0 makes of them: `kinds.json`, which `tests/data/kinds.rs` reads.

Run it in this folder: python make.py. Of each file the table says

    mode          the mode in which Pillow opens it, or "bad" where Pillow refuses it, or "unread" where we do
    size          width and height
    rgb           its pixels as `convert("RGB")` has them
    openclip      as OpenCLIP prepares it for 16 pixels: resized (bicubic, shorter side), cropped, then converted
    huggingface   as transformers 5.24 does: laid over white if anything is transparent, then resized and cropped
    upright       its pixels after `ImageOps.exif_transpose`, if that turns it

Pixels of lossless kinds are given by their FNV-1a hash, those of others in full, as hexadecimal numbers.
"""
import io, json, struct, warnings, zlib
from PIL import Image, ImageOps

warnings.simplefilter("ignore")
SIDE = 16
W, H = 21, 18
table = {}


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{value:016x}"


def value(x, y, c):
    """A pattern with gradients, edges and fine detail."""
    return (x * 13 + y * 7 * c + (x * y * (c + 3)) % 61 + (120 if (x // 5 + y // 4) % 2 else 0)) % 256


def samples(channels, width=W, height=H):
    return bytes(value(x, y, c) for y in range(height) for x in range(width) for c in range(channels))


def picture(mode, width=W, height=H):
    return Image.frombytes(mode, (width, height), samples(len(Image.new(mode, (1, 1)).getbands()), width, height))


def bits(n, width=W, height=H, reverse=False):
    """Rows of samples of n bits, packed."""
    rows = b""
    for y in range(height):
        row = "".join(f"{value(x, y, 1) >> (8 - n):0{n}b}" for x in range(width))
        row += "0" * (-len(row) % 8)
        rows += int(row, 2).to_bytes(len(row) // 8, "big")
    return bytes(int(f"{b:08b}"[::-1], 2) for b in rows) if reverse else rows


def colours(n):
    return bytes(v % 256 for i in range(n) for v in (i * 37 + 20, 250 - i * 29, i * 53 + 90))


def crop(image):
    (w, h), s = image.size, SIDE
    return lambda left, top: image.crop((left, top, left + s, top + s))


def scaled(image):
    w, h = image.size
    short = min(w, h)
    return image.resize((SIDE * w // short, SIDE * h // short), Image.BICUBIC)


def openclip(image):
    if image.mode == "I;16B":
        # Pillow 13.0 blends these as if the low byte came first, which leaves nothing but noise.
        size, numbers = image.size, [image.getpixel((x, y)) for y in range(image.height) for x in range(image.width)]
        image = Image.frombytes("I;16", size, struct.pack(f"<{len(numbers)}H", *numbers))
    image = scaled(image)
    w, h = image.size
    return crop(image)(round((w - SIDE) / 2), round((h - SIDE) / 2)).convert("RGB")


def huggingface(image):
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    image = scaled(image.convert("RGB"))
    w, h = image.size
    return crop(image)((w - SIDE) // 2, (h - SIDE) // 2)


def add(name, data, lossy=None, unread=False):
    """Writes a file and its line of the table. `lossy` is the largest difference that is accepted."""
    open(name, "wb").write(data)
    show = (lambda image: image.tobytes().hex()) if lossy is not None else (lambda image: fnv(image.tobytes()))
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception as error:
        table[name] = {"mode": "bad", "pillow": str(error).split("<")[0]}
        return
    line = {"mode": "unread" if unread else image.mode, "size": list(image.size)}
    if not unread:
        line |= {"rgb": show(image.convert("RGB")), "openclip": show(openclip(image)), "huggingface": show(huggingface(image))}
        if "transparency" in image.info and image.mode != "P":
            line["mode"] += " keyed"
        upright = ImageOps.exif_transpose(image)
        if upright.size != image.size or upright.tobytes() != image.tobytes():
            line["upright"] = show(upright.convert("RGB"))
        if lossy is not None:
            line["difference"] = lossy
    table[name] = line


def saved(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


# PNG
def png(colour, depth, rows, stride, palette=None, trns=None, width=W, height=H):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = b"".join(b"\0" + rows[y * stride:(y + 1) * stride] for y in range(height))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    if palette is not None:
        data += chunk(b"PLTE", palette)
    if trns is not None:
        data += chunk(b"tRNS", trns)
    return data + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")


def png_bits(colour, depth, **more):
    return png(colour, depth, bits(depth), (W * depth + 7) // 8, **more)


rgb, grey, wide = samples(3), samples(1), samples(6)
some = rgb[3 * 47:][:3]
add("rgb.png", png(2, 8, rgb, 3 * W))
add("rgb_trns.png", png(2, 8, rgb, 3 * W, trns=bytes([0, some[0], 0, some[1], 0, some[2]])))
add("rgb_16.png", png(2, 16, wide, 6 * W))
add("rgb_16_trns.png", png(2, 16, wide, 6 * W, trns=wide[66:72]))
for depth in (2, 4):
    add(f"grey_{depth}.png", png_bits(0, depth))
    add(f"grey_{depth}_trns.png", png_bits(0, depth, trns=b"\0\1"))
add("grey.png", png(0, 8, grey, W))
add("grey_trns.png", png(0, 8, grey, W, trns=b"\0" + grey[40:41]))
shorts = b"".join(struct.pack(">H", value(x, y, 2) * 3) for y in range(H) for x in range(W))
add("grey_16.png", png(0, 16, shorts, 2 * W))
add("grey_16_loud.png", png(0, 16, samples(2), 2 * W))
add("black_white.png", png_bits(0, 1))
add("black_white_trns.png", png_bits(0, 1, trns=b"\0\1"))
for depth in (1, 2, 4, 8):
    add(f"palette_{depth}.png", png_bits(3, depth, palette=colours(1 << depth)))
add("palette_trns.png", png_bits(3, 4, palette=colours(16), trns=bytes([255, 0, 90, 255, 3])))
add("palette_one_trns.png", png_bits(3, 4, palette=colours(16), trns=bytes([255, 255, 0])))
add("palette_short.png", png_bits(3, 8, palette=colours(100)))
add("grey_alpha_8.png", png(4, 8, samples(2), 2 * W))
add("grey_alpha_16.png", png(4, 16, samples(4), 4 * W))
add("rgba_8.png", png(6, 8, samples(4), 4 * W))
add("rgba_16.png", png(6, 16, samples(8), 8 * W))
whole = table["rgb.png"] and open("rgb.png", "rb").read()
add("torn.png", whole[:len(whole) // 2])


# GIF
def gif(size, frame, palette, local=None, transparent=None, left=0, top=0, **options):
    """A frame whose place on its screen is changed after Pillow has written it."""
    w, h = frame
    image = Image.frombytes("P", frame, bytes(value(x, y, 1) % (len(palette) // 3) for y in range(h) for x in range(w)))
    image.putpalette(palette)
    data = bytearray(saved(image, "GIF", optimize=False, **options))
    assert data[10] & 128
    length = 3 << (data[10] & 7) + 1
    data[13:13 + len(palette)] = palette
    data[6:10] = struct.pack("<HH", *size)
    at = 13 + length
    while data[at] == 0x21:
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    assert data[at] == 0x2C
    data[at + 1:at + 5] = struct.pack("<HH", left, top)
    if local is not None:
        data[at + 9] |= 128 | (data[10] & 7)
        data[at + 10:at + 10] = local
    if transparent is not None:
        data[at:at] = b"!\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    return bytes(data)


wedge = bytes(v for i in range(256) for v in (i, i, i))
add("whole.gif", gif((W, H), (W, H), colours(16)))
add("interlaced.gif", gif((W, H), (W, H), colours(16), interlace=1))
add("transparent.gif", gif((W, H), (W, H), colours(16), transparent=3))
add("small_frame.gif", gif((W, H), (11, 9), colours(16), left=4, top=6))
add("small_frame_transparent.gif", gif((W, H), (11, 9), colours(16), transparent=3, left=4, top=6))
add("large_frame.gif", gif((11, 9), (W, H), colours(16), left=2, top=1))
add("grey.gif", gif((W, H), (W, H), wedge))
add("grey_transparent.gif", gif((W, H), (11, 9), wedge, transparent=200, left=3, top=3))
add("local.gif", gif((W, H), (W, H), colours(16), local=colours(32)[48:]))
frames = [picture("P").quantize(8) if i else picture("RGB").quantize(8) for i in range(2)]
add("animated.gif", saved(frames[0], "GIF", save_all=True, append_images=[frames[1]]))
data = open("whole.gif", "rb").read()
add("torn.gif", data[:len(data) * 2 // 3])


# BMP
def bmp(depth, rows, palette=b"", compression=0, masks=b"", header=40, down=False):
    info = struct.pack("<IiiHHIIiiII", header, W, -H if down else H, 1, depth, compression, len(rows), 0, 0, 0, 0)
    info += masks if header == 40 else masks.ljust(header - 40, b"\0")
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + info + palette + rows


def padded(rows, stride):
    return b"".join(rows[i:i + stride].ljust((stride + 3) // 4 * 4, b"\0") for i in range(0, len(rows), stride))


def quads(palette):
    return b"".join(palette[i:i + 3][::-1] + b"\0" for i in range(0, len(palette), 3))


black_white = bytes([0, 0, 0, 255, 255, 255])
add("black_white.bmp", bmp(1, padded(bits(1), 3), quads(black_white)))
add("white_black.bmp", bmp(1, padded(bits(1), 3), quads(black_white[::-1])))
add("two_colours.bmp", bmp(1, padded(bits(1), 3), quads(colours(2))))
add("palette_4.bmp", bmp(4, padded(bits(4), (W + 1) // 2), quads(colours(16))))
add("palette_8.bmp", bmp(8, padded(grey, W), quads(colours(256))))
add("grey.bmp", bmp(8, padded(grey, W), quads(wedge)))
add("rgb_555.bmp", bmp(16, padded(samples(2), 2 * W)))
add("rgb_565.bmp", bmp(16, padded(samples(2), 2 * W), compression=3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)))
add("rgb.bmp", bmp(24, padded(rgb, 3 * W)))
add("top_down.bmp", bmp(24, padded(rgb, 3 * W), down=True))
add("rgb_32.bmp", bmp(32, samples(4)))
masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
add("rgba.bmp", bmp(32, samples(4), compression=3, masks=masks, header=108))
runs = b"".join(bytes([W - 9, y, 9, 3 * y]) + b"\0\0" for y in range(H)) + b"\0\1"
add("runs.bmp", bmp(8, runs, quads(colours(256)), compression=1))
add("torn.bmp", bmp(24, padded(rgb, 3 * W))[:-200])


# TIFF
def tiff(tags, strips, order="<", big=False):
    """A file of these tags, numbers or lists of numbers of 16 bits, and these strips."""
    tags = {256: W, 257: H, 258: 8, 259: 1, 262: 1, 277: 1, 278: H} | tags
    sizes = [len(strip) for strip in strips]
    wide, inside = ("Q", 8) if big else ("I", 4)
    head = struct.pack(order + "2sHHHQ", b"II" if order == "<" else b"MM", 43, 8, 0, 16) if big else \
        struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    names = sorted(tags.keys() | {273, 279})
    end = len(head) + (8 + 20 * len(names) + 8 if big else 2 + 12 * len(names) + 4)
    tail = b""
    starts = []
    for strip in strips:
        starts.append(end + len(tail))
        tail += strip + b"\0" * (len(strip) % 2)
    tags |= {273: starts, 279: sizes}
    entries = b""
    for name in names:
        numbers = tags[name] if isinstance(tags[name], list) else [tags[name]]
        kind, letter = (4, "I") if name in (273, 279) else (3, "H")
        packed = struct.pack(order + letter * len(numbers), *numbers)
        if len(packed) > inside:
            packed, extra = struct.pack(order + wide, end + len(tail)), packed
            tail += extra
        entries += struct.pack(order + "HH" + wide, name, kind, len(numbers)) + packed.ljust(inside, b"\0")
    count = struct.pack(order + ("Q" if big else "H"), len(names))
    return head + count + entries + struct.pack(order + wide, 0) + tail


def mirrored(data):
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)


def strips(data):
    """The strips of a file that Pillow has written."""
    image = Image.open(io.BytesIO(data))
    return [data[start:start + size] for start, size in zip(image.tag_v2[273], image.tag_v2[279])]


def colour_map(n):
    flat = colours(n)
    return [flat[3 * i + c] * 257 for c in range(3) for i in range(n)]


one = Image.frombytes("1", (W, H), bits(1))
add("black_white.tif", tiff({258: 1}, [bits(1)]))
add("white_black.tif", tiff({258: 1, 262: 0}, [bits(1)]))
add("reversed.tif", tiff({258: 1, 266: 2}, [bits(1, reverse=True)]))
group4 = saved(one, "TIFF", compression="group4")
add("group4.tif", group4)
add("group4_white_is_zero.tif", tiff({258: 1, 259: 4, 262: 0}, strips(group4)))
add("group4_reversed.tif", tiff({258: 1, 259: 4, 266: 2}, [mirrored(strip) for strip in strips(group4)]))
add("group3.tif", saved(one, "TIFF", compression="group3"), unread=True)
for depth in (2, 4):
    add(f"grey_{depth}.tif", tiff({258: depth}, [bits(depth)]))
    add(f"grey_{depth}_inverted.tif", tiff({258: depth, 262: 0}, [bits(depth)]))
    add(f"palette_{depth}.tif", tiff({258: depth, 262: 3, 320: colour_map(1 << depth)}, [bits(depth)]))
add("palette_1.tif", tiff({258: 1, 262: 3, 320: colour_map(2)}, [bits(1)], order=">"))
add("grey.tif", tiff({278: 7}, [grey[i:i + 7 * W] for i in range(0, len(grey), 7 * W)]))
add("grey_inverted.tif", tiff({262: 0}, [grey], order=">"))
add("grey_reversed.tif", tiff({266: 2}, [mirrored(grey)]))
add("grey_big.tif", tiff({262: 0}, [grey], big=True))
add("grey_unknown.tif", tiff({258: [8, 8], 277: 2, 338: 0}, [samples(2)]))
add("grey_alpha.tif", tiff({258: [8, 8], 277: 2, 338: 2}, [samples(2)]))
add("grey_16.tif", tiff({258: 16}, [b"".join(struct.pack("<H", value(x, y, 2) * 3) for y in range(H) for x in range(W))]))
add("grey_16_big_endian.tif", tiff({258: 16}, [shorts], order=">"))
add("grey_16_inverted.tif", tiff({258: 16, 262: 0}, [samples(2)]))
add("palette.tif", tiff({262: 3, 320: colour_map(256)}, [grey]))
image = Image.frombytes("P", (W, H), grey)
image.putpalette(colours(256))
for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate"):
    add(f"palette_{compression}.tif", saved(image, "TIFF", compression=compression))
    add(f"rgb_{compression}.tif", saved(picture("RGB"), "TIFF", compression=compression))
add("rgb_predicted.tif", saved(picture("RGB"), "TIFF", compression="tiff_lzw", tiffinfo={317: 2}))
add("rgb_big_endian.tif", tiff({258: [8] * 3, 262: 2, 277: 3}, [rgb], order=">"))
add("rgb_16.tif", tiff({258: [16] * 3, 262: 2, 277: 3}, [wide]))
add("rgb_16_big_endian.tif", tiff({258: [16] * 3, 262: 2, 277: 3}, [wide], order=">"))
add("rgb_planes.tif", tiff({258: [8] * 3, 262: 2, 277: 3, 284: 2}, [rgb[c::3] for c in range(3)]))
add("rgbx.tif", tiff({258: [8] * 4, 262: 2, 277: 4, 338: 0}, [samples(4)]))
add("rgba.tif", tiff({258: [8] * 4, 262: 2, 277: 4, 338: 2}, [samples(4)]))
add("rgba_unnamed.tif", tiff({258: [8] * 4, 262: 2, 277: 4}, [samples(4)]))
add("rgbax.tif", tiff({258: [8] * 5, 262: 2, 277: 5, 338: [2, 0]}, [samples(5)]))
add("rgba_16.tif", tiff({258: [16] * 4, 262: 2, 277: 4, 338: 2}, [samples(8)]))
multiplied = bytes(v if c == 3 else v * samples(4)[4 * i + 3] // 255 for i in range(W * H) for c, v in enumerate(samples(4)[4 * i:4 * i + 4]))
add("rgba_multiplied.tif", tiff({258: [8] * 4, 262: 2, 277: 4, 338: 1}, [multiplied]))
add("cmyk.tif", tiff({258: [8] * 4, 262: 5, 277: 4}, [samples(4)]))
add("ycbcr.tif", tiff({258: [8] * 3, 262: 6, 277: 3, 530: [1, 1]}, [rgb]), lossy=2)
add("ycbcr_lzw.tif", saved(picture("YCbCr"), "TIFF", compression="tiff_lzw"), lossy=2)
add("ycbcr_jpeg.tif", saved(picture("RGB").resize((W, H)), "TIFF", compression="jpeg", quality=90), lossy=8)
add("grey_jpeg.tif", saved(picture("L"), "TIFF", compression="jpeg", quality=90), lossy=3)
for turn in range(1, 9):
    add(f"turned_{turn}.tif", tiff({274: turn, 258: [8] * 3, 262: 2, 277: 3}, [rgb]))
add("turned_lzw.tif", saved(picture("L"), "TIFF", compression="tiff_lzw", tiffinfo={274: 6}))
add("float.tif", saved(picture("L").convert("F"), "TIFF"), unread=True)
add("long.tif", saved(picture("L").convert("I"), "TIFF"), unread=True)
add("lab.tif", tiff({258: [8] * 3, 262: 8, 277: 3}, [rgb]), unread=True)
add("palette_alpha.tif", tiff({258: [8] * 2, 262: 3, 277: 2, 338: 2, 320: colour_map(256)}, [samples(2)]), unread=True)
add("rgb_float.tif", tiff({258: [32] * 3, 262: 2, 277: 3, 339: [3] * 3}, [samples(12)]))
add("torn.tif", tiff({}, [grey])[:-99])

# JPEG
smooth = Image.merge("RGB", [Image.linear_gradient("L").rotate(a).resize((W, H)) for a in (0, 90, 180)])
ink = Image.merge("CMYK", [Image.linear_gradient("L").rotate(a).resize((W, H)) for a in (0, 90, 180, 270)])
add("grey.jpg", saved(picture("L"), "JPEG", quality=90))
add("rgb.jpg", saved(picture("RGB"), "JPEG", quality=90, subsampling=0))
add("subsampled.jpg", saved(smooth, "JPEG", quality=90, subsampling=2))
add("progressive.jpg", saved(picture("RGB"), "JPEG", quality=90, progressive=True, subsampling=0))
add("no_ycbcr.jpg", saved(picture("RGB"), "JPEG", quality=90, keep_rgb=True))
add("ink.jpg", saved(ink, "JPEG", quality=95))
restarts = saved(picture("RGB"), "JPEG", quality=90, subsampling=0, restart_marker_blocks=1)
add("restarts.jpg", restarts)
for turn in range(2, 9):
    exif = Image.Exif()
    exif[274] = turn
    add(f"turned_{turn}.jpg", saved(smooth, "JPEG", quality=95, subsampling=0, exif=exif))
exif = Image.Exif()
exif[274] = 6
add("turned.png", saved(picture("LA"), "PNG", exif=exif))
add("turned.webp", saved(picture("RGB"), "WEBP", lossless=True, exif=exif))
data = saved(picture("RGB"), "JPEG", quality=90)
add("torn.jpg", data[:len(data) * 2 // 3])
add("torn_progressive.jpg", open("progressive.jpg", "rb").read()[:-100])
add("no_end.jpg", open("subsampled.jpg", "rb").read()[:-2])
# Pillow refuses most files without an end-of-image marker, but not where its decoder finds something to read ahead.
add("junk_for_end.jpg", data[:-2] + b"\0" * 20, unread=True)
add("early_end.jpg", data[:len(data) * 2 // 3] + b"\xff\xd9")
add("junk_after_end.jpg", data + b"junk")
add("photo.jfif", data)

# WebP
add("rgb.webp", saved(picture("RGB"), "WEBP", lossless=True))
add("rgba_lossless.webp", saved(picture("RGBA"), "WEBP", lossless=True, exact=True))
add("lossy.webp", saved(smooth, "WEBP", quality=90), lossy=8)
smooth.putalpha(Image.linear_gradient("L").resize((W, H)))
add("lossy_alpha.webp", saved(smooth, "WEBP", quality=90), lossy=8)
data = open("rgb.webp", "rb").read()
add("torn.webp", data[:len(data) * 2 // 3])

json.dump(table, open("kinds.json", "w"), indent=0, sort_keys=True)
