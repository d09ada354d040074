"""The running agent: the loops that measure, batch, ship and renew, and the state they share."""
