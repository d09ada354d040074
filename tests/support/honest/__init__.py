"""The honest test set: cases by network experts who do not know the judge; scores."""
