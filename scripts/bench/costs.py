"""What stands in the way of a bar that is not reached, by the profile; printed beside it."""

NOTES = {}
