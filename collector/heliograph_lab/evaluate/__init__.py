"""Evaluation: detectors on replays with known truth. README.md is the manual.

scenario = load_scenario(SHIPPED / "kazakhstan-2022.yml")  # scenario_file
replay = play_scenario(scenario, seed=1)  # scenario
score = score_replay(replay, detect(replay))  # score, detectors
"""
