"""The operator's side: take in, judge, aggregate, publish."""
