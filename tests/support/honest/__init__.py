"""The honest test set: cases by people who know networks and not the judge, and their score."""
