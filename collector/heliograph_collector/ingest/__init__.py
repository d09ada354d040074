"""The entrances for agents: enrolment, sessions, envelopes, and places of peers."""
