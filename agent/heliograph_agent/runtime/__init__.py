"""Run the agent: loops that measure, batch, send and renew, and the state they share."""
