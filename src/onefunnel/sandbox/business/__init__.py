"""The company that the advertising is for: its people, leads, deals, bookings and plans, as a log of what happened.

Everything is decided in the log first; the files of a day and the truth about it are two readings of the same log.
"""
