"""The volunteer's side: measure, store, and send when there is a way."""
