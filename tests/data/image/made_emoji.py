"""A small font of emoji, a list of them and files in another style, as Debian's packages have them."""

import io
from pathlib import Path

from fontTools.feaLib.builder import addOpenTypeFeaturesFromString
from fontTools.fontBuilder import FontBuilder
from fontTools.misc import sstruct
from fontTools.ttLib import newTable
from fontTools.ttLib.tables.BitmapGlyphMetrics import SmallGlyphMetrics
from fontTools.ttLib.tables.C_B_D_T_ import cbdt_bitmap_format_17
from fontTools.ttLib.tables.E_B_L_C_ import (
    BitmapSizeTable,
    SbitLineMetrics,
    Strike,
    eblc_index_sub_table_1,
    sbitLineMetricsFormat,
)
from PIL import Image

from ssl_zoo.data.image.sources.emoji_styles import FILES
from ssl_zoo.data.image.sources.noto_emoji import FONT, LIST

SKIN, JOINER, ARROW = 0x1F3FB, 0x200D, 0x27A1
FIRST, CONCEPTS = 0x1F900, 40
FLAG = (0x1F1E9, 0x1F1EA)


def picture(number: int) -> bytes:
    """Ten columns, of which the first and the last are empty, in a colour of its own; half of it lets light through."""
    drawing = Image.new("RGBA", (10, 8))
    drawing.paste((number % 16 * 16, number // 16 * 16, 0, 255), (1, 0, 9, 4))
    drawing.paste((255, 0, 0, 128), (1, 4, 9, 8))
    file = io.BytesIO()
    drawing.save(file, "PNG")
    return file.getvalue()


def write_font(path, pictures: dict[tuple[int, ...], bytes]) -> None:
    """A font with pictures in place of outlines; sequences have theirs as ligatures, in either direction of writing."""
    characters = sorted({code for codes in pictures for code in codes})
    glyph = {(code,): f"u{code:X}" for code in characters}
    glyph |= {codes: f"sequence{number}" for number, codes in enumerate(pictures) if len(codes) > 1}
    names = [".notdef", *glyph.values()]
    font = FontBuilder(1024, isTTF=False)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({codes[0]: name for codes, name in glyph.items() if len(codes) == 1})
    font.setupHorizontalMetrics(dict.fromkeys(names, (1024, 0)))
    font.setupHorizontalHeader()
    font.setupPost()
    rules = [
        f"sub {' '.join(glyph[(code,)] for code in order)} by {name};"
        for codes, name in glyph.items()
        if len(codes) > 1
        for order in {codes, codes[::-1]}
    ]
    addOpenTypeFeaturesFromString(font.font, f"feature ccmp {{ {' '.join(rules)} }} ccmp;")
    bitmaps = {}
    for codes, png in pictures.items():
        bitmap = bitmaps[glyph[codes]] = cbdt_bitmap_format_17(b"", font.font)
        bitmap.imageData, bitmap.metrics = png, SmallGlyphMetrics()
        for field, value in {"height": 8, "width": 10, "BearingX": 0, "BearingY": 8, "Advance": 10}.items():
            setattr(bitmap.metrics, field, value)
    data, places = newTable("CBDT"), newTable("CBLC")
    data.version = places.version = 3.0
    data.strikeData = [bitmaps]
    strike, index = Strike(), eblc_index_sub_table_1(b"", font.font)
    strike.bitmapSizeTable = size = BitmapSizeTable()
    size.hori, size.vert = SbitLineMetrics(), SbitLineMetrics()
    for field in sstruct.getformat(sbitLineMetricsFormat)[1]:
        setattr(size.hori, field, 0)
        setattr(size.vert, field, 0)
    size.colorRef, size.ppemX, size.ppemY, size.bitDepth, size.flags = 0, 8, 8, 32, 1
    index.indexFormat, index.imageFormat = 1, 17
    index.names = sorted(bitmaps, key=font.font.getGlyphID)
    index.firstGlyphIndex, index.lastGlyphIndex = (font.font.getGlyphID(index.names[end]) for end in (0, -1))
    strike.indexSubTables, places.strikes = [index], [strike]
    font.font["CBDT"], font.font["CBLC"] = data, places
    path.parent.mkdir(parents=True, exist_ok=True)
    font.save(path)


def sequences() -> list[tuple[int, ...]]:
    """Forty concepts, each with another skin and facing right; a flag, and what the list lacks."""
    concepts = range(FIRST, FIRST + CONCEPTS)
    variants = [
        each for code in concepts for each in ((code, SKIN), (code, JOINER, ARROW), (code, SKIN, JOINER, ARROW))
    ]
    return [*((code,) for code in concepts), *variants, FLAG, (0x30,)]


def write_packages(folder: Path) -> Path:
    """A font and its list: concepts take turns in two groups of two subgroups each, the first of three quarters."""
    write_font(folder / FONT, {codes: picture(number) for number, codes in enumerate(sequences())})
    lines, group = [], ""
    for number in range(CONCEPTS):
        here = "Food" if number < 30 else "Animals"
        lines += [f"# group: {here}"] * (here != group) + [f"# subgroup: {here}-{number % 2}"]
        group = here
        lines.append(f"{FIRST + number:X} ; fully-qualified # x E1.0 thing {number}")
        lines.append(f"{FIRST + number:X} 1F3FB ; fully-qualified # x E1.0 thing {number}: light skin tone")
    lines += ["# group: Flags", "# subgroup: country-flag", "1F1E9 1F1EA ; fully-qualified # x E0.6 flag: Germany"]
    (folder / LIST).parent.mkdir(parents=True)
    (folder / LIST).write_text("\n".join(lines))
    return folder


def write_files(folder: Path) -> Path:
    """Every other concept and its other skin in shades of red, and one that the font lacks; arrows have no joiner."""
    folder /= FILES
    folder.mkdir(parents=True)
    concepts = [*range(FIRST, FIRST + CONCEPTS, 2), FIRST + CONCEPTS]
    codes = [*((code,) for code in concepts), *((code, SKIN) for code in concepts), FLAG, (FIRST, ARROW)]
    for number, each in enumerate(codes):
        drawing = Image.new("P", (6, 6), number)
        drawing.putpalette([value for colour in range(256) for value in (255, colour, 0)])
        drawing.save(folder / f"{'-'.join(f'{code:X}' for code in each)}.png")
    return folder
