"""Programs whose output, files or values are much work for a browser."""

_PICTURE = r"""
import struct, zlib

def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)  # one bit for each pixel
    rows = zlib.compress((b"\0" + b"\xaa" * ((width + 7) // 8)) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
"""

_ZIP = f"""{_PICTURE}
import zipfile
with zipfile.ZipFile("all.zip", "w") as packed:
    for n in range(99):
        open(f"{{n}}.png", "wb").write(png(64, 64))
        packed.write(f"{{n}}.png")
"""

_SHAPES = """
shapes = (f'<circle cx="{n % 900}" cy="{n // 90}" r="40" opacity="0.1"/>' for n in range(50_000))
svg = '<svg xmlns="http://www.w3.org/2000/svg" width="900" height="900">' + "".join(shapes) + "</svg>"
open("many.svg", "w").write(svg)
"""

_REPEATED = """
shapes = '<g id="a0"><rect width="9" height="9"/></g>'
for n in range(7):
    shapes += f'<g id="a{n + 1}">' + f'<use href="#a{n}"/>' * 10 + "</g>"
svg = '<svg xmlns="http://www.w3.org/2000/svg">' + shapes + "</svg>"
"""
"""An SVG of 2 kB with ten million shapes."""

FLOODS = {
    "a megabyte of lines": "for n in range(12_000): print(f'{n:06} ' + 'x' * 75)",
    "a line of ten megabytes": "print('x' * 10_000_000)",
    "many colours": r"print(''.join(f'\x1b[3{n % 8}mx' for n in range(150_000)))",
    "lines of many colours": r"for n in range(3000): print(''.join(f'\x1b[3{m % 8}mx' for m in range(80)))",
    "a line that is rewritten": r"for n in range(40_000): print(f'\r{n}', end='')",
    "many right-to-left marks": r"print('\u202e\u2066abc' * 60_000)",
    "combining characters": r"print(('a' + '\u0301' * 50 + '\n') * 3000)",
    "a line that is erased": r"print('\x1b[31ma\x1b[mb' * 500 + '\x1b[K' * 300_000)",
    "a line of many styles that is rewritten": r"print('\x1b[31ma\x1b[mb' * 120 + '\rc' * 450_000)",
    "unfinished sequences": r"print('\x1b[' * 200_000)",
    "a zip of pictures, and the pictures": _ZIP,
    "a picture that is large when it is decoded": _PICTURE + "open('big.png', 'wb').write(png(30_000, 30_000))",
    "large pictures": "for n in range(4): open(f'{n}.png', 'wb').write(bytes(4 << 20))",
    "a drawing of many shapes": _SHAPES,
    "a drawing that repeats itself": _REPEATED + "open('deep.svg', 'w').write(svg)",
    "a wide table": r"open('wide.csv', 'w').write((','.join('abc') * 60 + '\n') * 1000)",
}
"""Programs for the mode Run."""

COMPARED = {
    "random lines": "import random\nfor _ in range(2000): print(random.random())",
    "a line that is erased": "import sys; print(sys.version_info)\n" + FLOODS["a line that is erased"],
}
"""Programs for the mode that compares."""

VALUES = {
    "a long text": "'x' * 900_000",
    "combining characters": r"('a' + '\u0301' * 50) * 10_000",
    "much HTML": "class Value:\n    def _repr_html_(self): return '<div>' * 300 + '<p>text</p>' * 50_000\nValue()",
    "a drawing that repeats itself": _REPEATED + "class Value:\n    def _repr_svg_(self): return svg\nValue()",
}
"""Cells for the notebook."""
