"""Reads the screenshots that Chromium writes: PNG, 8 bits a channel, RGB or RGBA, not interlaced."""

import struct
import zlib


def pixels(png):
    """The rows of the picture, each a list of (r, g, b)."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    offset, data = 8, b""
    while offset < len(png):
        length, kind = struct.unpack_from(">I4s", png, offset)
        body = png[offset + 8 : offset + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and colour in (2, 6) and not interlace, (depth, colour, interlace)
        elif kind == b"IDAT":
            data += body
        offset += length + 12
    step = 3 if colour == 2 else 4
    return [[tuple(row[i : i + 3]) for i in range(0, len(row), step)]
            for row in unfiltered(zlib.decompress(data), width * step, height, step)]


def unfiltered(data, stride, height, step):
    """Undo the filter of each row (PNG specification, 9.2)."""
    above = bytearray(stride)
    for y in range(height):
        kind = data[y * (stride + 1)]
        row = bytearray(data[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        for i in range(stride if kind else 0):
            left = row[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            guess = (0, left, above[i], (left + above[i]) // 2, paeth(left, above[i], corner))[kind]
            row[i] = (row[i] + guess) & 255
        yield row
        above = row


def paeth(left, above, corner):
    """Whichever of the three is nearest to left + above - corner."""
    guess = left + above - corner
    return min((left, above, corner), key=lambda value: abs(guess - value))


def brightness(png):
    """The mean over all pixels, 0 (black) to 255 (white)."""
    rows = pixels(png)
    return sum(sum(pixel) for row in rows for pixel in row) / (3 * sum(len(row) for row in rows))
