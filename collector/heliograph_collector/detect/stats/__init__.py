"""Statistics of the detectors: tail probabilities, churn, votes and localization.

votes = count_votes((vantage, is_silent) for vantage, is_silent in observed)
affected = localize(votes, share=0.6, min_votes=5)
upper_tail([0.01] * 20, 3)  # P(at least 3 of 20)
"""
