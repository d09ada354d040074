"""The door for agents: enrolment, sessions, envelopes, and where their peers are."""
