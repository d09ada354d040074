"""Statistics of the detectors: tail probabilities, churn, votes and localization."""
