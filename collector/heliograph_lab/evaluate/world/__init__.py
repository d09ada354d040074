"""Draw an honest world of countries, habits, events and disturbances from sources.

Written without reading the detectors. Every number is in `figures.py` with its source. A family
draws a `World`; `render.py` turns it into neutral events, and these into today's signals.

>>> from heliograph_lab.evaluate.world.families import WorldDraw, draw_world
>>> from heliograph_lab.evaluate.world.render import render_replay
>>> replay = render_replay(draw_world(WorldDraw("transit", 1)))
>>> replay.name
'transit'
"""
