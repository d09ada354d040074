"""Enrolment: turn an invitation into a registered agent, online or by file."""
