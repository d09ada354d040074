"""Make http/static/world.svg: an outline for each country, small enough for slow links.

    npm install world-atlas@2.0.2 i18n-iso-countries
    python deploy/data/world_map.py node_modules > world.svg

Natural Earth's 1:50m countries (public domain) by npm world-atlas (ISC), in the Equal Earth
projection, thinned by Douglas and Peucker arc by arc, so that neighbours keep one border.
Run by hand; the result is shipped, so the collector needs neither Node nor this script.
"""

import json
import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

WIDTH = 2000  # of the picture, in whole steps
TOLERANCE = 0.7  # steps
MIN_AREA = 5.0  # square steps: a smaller island is left out, unless it is all there is
MIN_SIZE = 7  # steps: what is smaller is drawn as a dot of this size
WITHOUT_CODE = {"Kosovo": "XK"}  # user-assigned, as CLDR has it
EXCLUDED = {"AQ"}

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


def project(lon: float, lat: float) -> Point:
    x, y = equal_earth(lon, lat)
    return WIDTH / 2 + x * SCALE, (TOP - y) * SCALE


def simplify(line: Sequence[Point]) -> list[Point]:
    """Douglas and Peucker on paper, of degrees; the ends stay."""
    if len(line) < 3:
        return list(line)
    (x0, y0), (x1, y1) = project(*line[0]), project(*line[-1])
    length = math.hypot(x1 - x0, y1 - y0)

    def distance_to(point: Point) -> float:
        x, y = project(*point)
        if length < 1e-9:
            return math.hypot(x - x0, y - y0)
        return abs((x1 - x0) * (y0 - y) - (x0 - x) * (y1 - y0)) / length

    farthest = max(range(1, len(line) - 1), key=lambda i: distance_to(line[i]))
    if distance_to(line[farthest]) <= TOLERANCE:
        return [line[0], line[-1]]
    return simplify(line[: farthest + 1])[:-1] + simplify(line[farthest:])


def unwrap_longitudes(line: Sequence[Point]) -> list[Point]:
    """Without the jump at the 180th meridian: degrees go on beyond it."""
    points: list[Point] = []
    for lon, lat in line:
        turns = round((lon - points[-1][0]) / 360) if points else 0
        points.append((lon - 360 * turns, lat))
    return points


def decode_arcs(topology: dict) -> list[list[Point]]:
    (kx, ky), (dx, dy) = topology["transform"]["scale"], topology["transform"]["translate"]
    lines = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            line.append((x * kx + dx, y * ky + dy))
        lines.append(simplify(unwrap_longitudes(line)))
    return lines


def build_ring(indices: Sequence[int], arcs: Sequence[Sequence[Point]]) -> list[Point]:
    points: list[Point] = []
    for index in indices:
        line = arcs[index] if index >= 0 else arcs[~index][::-1]
        points += line[1:] if points else line
    points = unwrap_longitudes(points)
    home = 360 * round(sum(lon for lon, _ in points) / len(points) / 360)
    return [project(lon - home, lat) for lon, lat in points]


def ring_area(points: Sequence[Point]) -> float:
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


def draw_path(rings: Sequence[Sequence[Point]]) -> str:
    rings = sorted(rings, key=ring_area, reverse=True)
    xs, ys = [x for x, _ in rings[0]], [y for _, y in rings[0]]
    if max(xs) - min(xs) < MIN_SIZE and max(ys) - min(ys) < MIN_SIZE:
        x, y, r = round(sum(xs) / len(xs)), round(sum(ys) / len(ys)), MIN_SIZE // 2 + 1
        return f"M{x - r} {y}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
    visible_rings = [rings[0], *(r for r in rings[1:] if ring_area(r) >= MIN_AREA)]
    return "".join(draw_ring(points) for points in visible_rings)


def draw_ring(points: Sequence[Point]) -> str:
    """Relative steps, whole numbers: half the bytes."""
    pixels = [(round(x), round(y)) for x, y in points]
    commands = [f"M{pixels[0][0]} {pixels[0][1]}l"]
    steps = [
        (x1 - x0, y1 - y0) for (x0, y0), (x1, y1) in pairwise(pixels[:-1]) if (x0, y0) != (x1, y1)
    ]
    commands.append(" ".join(f"{x} {y}" for x, y in steps).replace(" -", "-"))
    return "".join(commands) + "z"


def main() -> None:
    node_modules = Path(sys.argv[1])
    topology = json.loads((node_modules / "world-atlas/countries-50m.json").read_text("utf-8"))
    codes = json.loads((node_modules / "i18n-iso-countries/codes.json").read_text("utf-8"))
    alpha2 = {numeric: two for two, _, numeric, *_ in codes}
    arcs = decode_arcs(topology)
    rings_by_code: dict[str, list[list[Point]]] = {}
    for shape in topology["objects"]["countries"]["geometries"]:
        name = shape["properties"]["name"]
        code = alpha2.get(shape.get("id", ""), WITHOUT_CODE.get(name, "none"))
        polygons = [shape["arcs"]] if shape["type"] == "Polygon" else shape["arcs"]
        if code not in EXCLUDED:
            rings_by_code.setdefault(code, []).extend(
                build_ring(r, arcs) for p in polygons for r in p
            )
    sys.stdout.write(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">\n'
        "<!-- Natural Earth 1:50m, public domain, by npm world-atlas 2.0.2 (ISC); "
        "Equal Earth projection; made by deploy/data/world_map.py. -->\n"
    )
    for code, rings in sorted(rings_by_code.items()):
        sys.stdout.write(f'<path id="{code}" d="{draw_path(rings)}"/>\n')
    sys.stdout.write("</svg>\n")


if __name__ == "__main__":
    main()
