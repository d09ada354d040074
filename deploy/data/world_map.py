"""Makes publish/static/world.svg: an outline for each country, small enough for a bad line.

    npm install world-atlas@2.0.2 i18n-iso-countries
    python deploy/data/world_map.py node_modules > world.svg

Natural Earth's 1:50m countries (public domain) by npm world-atlas (ISC), in the Equal Earth
projection, thinned by Douglas and Peucker arc by arc, so that neighbours keep one border.
Run by hand; what it made is shipped, and the collector needs neither Node nor this.
"""

import json
import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

WIDTH = 2000  # of the picture, in whole steps
TOLERANCE = 0.7  # steps
SPECK = 5.0  # square steps: a smaller island is left out, unless it is all there is
DOT = 7  # steps: what is smaller is drawn as a dot of this size
WITHOUT_CODE = {"Kosovo": "XK"}  # user-assigned, as CLDR has it
LEFT_OUT = {"AQ"}

Point = tuple[float, float]


def equal_earth(lon: float, lat: float) -> Point:
    """B. Šavrič, T. Patterson and B. Jenny, 2018; x and y on a sphere of radius 1."""
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    t = math.asin(math.sqrt(3) / 2 * math.sin(math.radians(lat)))
    x = (2 * math.sqrt(3) * math.radians(lon) * math.cos(t)) / (
        3 * (9 * a4 * t**8 + 7 * a3 * t**6 + 3 * a2 * t**2 + a1)
    )
    return x, a4 * t**9 + a3 * t**7 + a2 * t**3 + a1 * t


SCALE = WIDTH / (2 * equal_earth(180, 0)[0])
TOP = equal_earth(0, 84)[1]
HEIGHT = round((TOP - equal_earth(0, -56.5)[1]) * SCALE)


def on_paper(lon: float, lat: float) -> Point:
    x, y = equal_earth(lon, lat)
    return WIDTH / 2 + x * SCALE, (TOP - y) * SCALE


def thinned(line: Sequence[Point]) -> list[Point]:
    """Douglas and Peucker on paper, of degrees; the ends stay."""
    if len(line) < 3:
        return list(line)
    (x0, y0), (x1, y1) = on_paper(*line[0]), on_paper(*line[-1])
    length = math.hypot(x1 - x0, y1 - y0)

    def off(point: Point) -> float:
        x, y = on_paper(*point)
        if length < 1e-9:
            return math.hypot(x - x0, y - y0)
        return abs((x1 - x0) * (y0 - y) - (x0 - x) * (y1 - y0)) / length

    far = max(range(1, len(line) - 1), key=lambda i: off(line[i]))
    if off(line[far]) <= TOLERANCE:
        return [line[0], line[-1]]
    return thinned(line[: far + 1])[:-1] + thinned(line[far:])


def unbroken(line: Sequence[Point]) -> list[Point]:
    """Without the jump at the 180th meridian: degrees go on beyond it."""
    told: list[Point] = []
    for lon, lat in line:
        turns = round((lon - told[-1][0]) / 360) if told else 0
        told.append((lon - 360 * turns, lat))
    return told


def arcs_of(topology: dict) -> list[list[Point]]:
    (kx, ky), (dx, dy) = topology["transform"]["scale"], topology["transform"]["translate"]
    lines = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            line.append((x * kx + dx, y * ky + dy))
        lines.append(thinned(unbroken(line)))
    return lines


def ring(indices: Sequence[int], arcs: Sequence[Sequence[Point]]) -> list[Point]:
    points: list[Point] = []
    for index in indices:
        line = arcs[index] if index >= 0 else arcs[~index][::-1]
        points += line[1:] if points else line
    points = unbroken(points)
    home = 360 * round(sum(lon for lon, _ in points) / len(points) / 360)
    return [on_paper(lon - home, lat) for lon, lat in points]


def area(points: Sequence[Point]) -> float:
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


def path(rings: Sequence[Sequence[Point]]) -> str:
    rings = sorted(rings, key=area, reverse=True)
    xs, ys = [x for x, _ in rings[0]], [y for _, y in rings[0]]
    if max(xs) - min(xs) < DOT and max(ys) - min(ys) < DOT:
        x, y, r = round(sum(xs) / len(xs)), round(sum(ys) / len(ys)), DOT // 2 + 1
        return f"M{x - r} {y}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
    kept = [rings[0], *(r for r in rings[1:] if area(r) >= SPECK)]
    return "".join(outline(points) for points in kept)


def outline(points: Sequence[Point]) -> str:
    """Relative steps, whole numbers: half the bytes."""
    whole = [(round(x), round(y)) for x, y in points]
    told = [f"M{whole[0][0]} {whole[0][1]}l"]
    steps = [
        (x1 - x0, y1 - y0) for (x0, y0), (x1, y1) in pairwise(whole[:-1]) if (x0, y0) != (x1, y1)
    ]
    told.append(" ".join(f"{x} {y}" for x, y in steps).replace(" -", "-"))
    return "".join(told) + "z"


def main() -> None:
    modules = Path(sys.argv[1])
    topology = json.loads((modules / "world-atlas/countries-50m.json").read_text("utf-8"))
    codes = json.loads((modules / "i18n-iso-countries/codes.json").read_text("utf-8"))
    alpha2 = {numeric: two for two, _, numeric, *_ in codes}
    arcs = arcs_of(topology)
    found: dict[str, list[list[Point]]] = {}
    for shape in topology["objects"]["countries"]["geometries"]:
        name = shape["properties"]["name"]
        code = alpha2.get(shape.get("id", ""), WITHOUT_CODE.get(name, "none"))
        polygons = [shape["arcs"]] if shape["type"] == "Polygon" else shape["arcs"]
        if code not in LEFT_OUT:
            found.setdefault(code, []).extend(ring(r, arcs) for p in polygons for r in p)
    sys.stdout.write(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">\n'
        "<!-- Natural Earth 1:50m, public domain, by npm world-atlas 2.0.2 (ISC); "
        "Equal Earth projection; made by deploy/data/world_map.py. -->\n"
    )
    for code, rings in sorted(found.items()):
        sys.stdout.write(f'<path id="{code}" d="{path(rings)}"/>\n')
    sys.stdout.write("</svg>\n")


if __name__ == "__main__":
    main()
